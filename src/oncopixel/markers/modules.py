"""Genes that move together: modules that go with the label, and what a gene is hardly told from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..images.coexpression import Modules, standardised
from .effects import contrast, one_against_rest, welch

SHOWN = 10
"""Genes that stand for a module in a table, those of largest weight first."""
ALIKE, NAMED = 0.8, 5
"""Correlation at which two genes are hardly told apart; genes that are named of those."""
BLOCK = 1_000
"""Genes whose correlations with all others are held at once."""


def module_table(
    modules: Modules, activity: np.ndarray, y: np.ndarray, genes: Sequence[str], classes: list[str]
) -> pd.DataFrame:
    """By module ("M1", …): n_genes, leading_genes, class, effect (Hedges' g), p_value, q_value."""
    rows = []
    for number, members in enumerate(modules.members()):
        weight = np.abs(modules.weights[members, number])
        lead = members[np.argsort(-weight, kind="stable")][:SHOWN]
        rows.append((f"M{number + 1}", len(members), " ".join(genes[i] for i in lead)))
    table = pd.DataFrame(rows, columns=["module", "n_genes", "leading_genes"])

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return contrast(activity, inside, 1)[1], welch(activity[inside == 1], activity[inside == 0])

    return pd.concat([table, one_against_rest(test, y, classes)], axis=1)


def alike(features: np.ndarray, listed: np.ndarray, genes: Sequence[str]) -> pd.DataFrame:
    """What each listed row is hardly told from.

    Parameters
    ----------
    features
        `(samples, genes, channels)`.
    listed
        `(genes * channels,)` bool.

    Returns
    -------
    By row `n_alike`, how many genes correlate with it in its channel by `ALIKE` or more, of either
    sign, and `alike`, the first `NAMED` of them, the most alike first; 0 and "" for other rows.
    """
    names, shape = np.asarray(genes, dtype=object), features.shape[1:]
    count, named = np.zeros(shape, dtype=int), np.full(shape, "", dtype=object)
    for c in range(shape[1]):
        x = standardised(features[:, :, c])
        at = np.flatnonzero(listed.reshape(shape)[:, c])
        for some in (at[start : start + BLOCK] for start in range(0, len(at), BLOCK)):
            r = np.abs(x[:, some].T @ x) / len(x)
            for i, of in zip(some, r, strict=True):
                of[i] = 0
                near = np.flatnonzero(of >= ALIKE)
                first = near[np.argsort(-of[near], kind="stable")[:NAMED]]
                count[i, c], named[i, c] = len(near), " ".join(names[first])
    return pd.DataFrame({"n_alike": count.ravel(), "alike": named.ravel()})
