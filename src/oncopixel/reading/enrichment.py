"""Gene sets whose genes go with the label more than other genes do, offline.

A sample's activity of a set is the mean of its genes, standardised, less that of all genes; the
label is tested on it. The samples are what is drawn, not the genes: genes of a set that move
together in tumours make no set significant. A set that is found describes the cohort: it names no
cause.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import false_discovery_control

from ..core.params import BiomarkerParams
from ..markers.association import Values, p_values
from ..markers.effects import contrast
from .gene_sets import COLLECTIONS, tested_sets

SHOWN = 20
"""Listed genes of a set that are named."""
COLUMNS = (
    "collection", "term", "size", "class", "effect", "p_value", "q_value", "listed", "genes",
)  # fmt: skip


def find_gene_sets(
    values: np.ndarray,
    genes: Sequence[str],
    y: np.ndarray,
    classes: Sequence[str],
    listed: Sequence[str],
    covariates: np.ndarray,
    params: BiomarkerParams,
) -> pd.DataFrame:
    """Every gene set and how its activity goes with the label, the clearest first.

    Parameters
    ----------
    values
        `(samples, genes)`, standardised.
    listed
        Genes of the marker list, in order.
    covariates
        `(samples, terms)` that are held fixed.

    Returns
    -------
    Columns collection, term, size (tested genes), class, effect (Hedges' g of the activity, that
    class against the rest), p_value (moderated t, or ranks), q_value (Benjamini-Hochberg over all
    sets), listed (how many of its genes are) and genes, the first of these.

    References
    ----------
    Mean z-score of a set: Lee et al. 2008, PLoS Comput Biol 4:e1000217.
    """
    sets = [(of, term, own) for of in COLLECTIONS for term, own in tested_sets(of, genes).items()]
    if not sets:
        return pd.DataFrame(columns=list(COLUMNS))
    position = {gene: i for i, gene in enumerate(genes)}
    members = [[position[gene] for gene in sorted(own)] for _, _, own in sets]
    sizes = np.array([len(own) for own in members])
    weight = csr_array(
        (np.repeat(1 / sizes, sizes), (np.repeat(np.arange(len(sets)), sizes), np.hstack(members))),
        shape=(len(sets), len(genes)),
    )
    activity = (weight @ values.T.astype(np.float64)).T - values.mean(axis=1)[:, None]
    (p,) = p_values(Values(activity), y[None], len(classes), covariates, params)
    p = np.nan_to_num(p, nan=1.0)
    target, effect = _strongest(activity, y, len(classes))
    named = [[gene for gene in listed if gene in own] for _, _, own in sets]
    table = pd.DataFrame(
        {
            "collection": [of for of, _, _ in sets],
            "term": [term for _, term, _ in sets],
            "size": sizes,
            "class": np.asarray(classes, dtype=object)[target],
            "effect": effect,
            "p_value": p,
            "q_value": false_discovery_control(p),
            "listed": [len(own) for own in named],
            "genes": [" ".join(own[:SHOWN]) for own in named],
        }
    )
    return table.sort_values(["p_value", "collection", "term"], ignore_index=True)


def _strongest(
    activity: np.ndarray, y: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """`(sets,)` the class that differs most from the rest, and Hedges' g of it."""
    targets = [1] if n_classes == 2 else list(range(n_classes))
    parts = [contrast(activity, y, target) for target in targets]
    best = np.argmax([np.abs(t) for *_, t in parts], axis=0)
    effects = np.array([g for _, g, _, _ in parts])[best, np.arange(activity.shape[1])]
    return np.array(targets)[best], effects
