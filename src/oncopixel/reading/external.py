"""External validation: the model and its markers on an independent cohort, without its labels.

Platforms differ in which genes they measure and on what scale. Genes: the network is fitted anew,
on the development samples, with the genes and channels that both cohorts have. Masking the missing
pixels of the full network instead costs some of the ranking of samples and ruins its
probabilities. Scale: `align` standardises the external samples without looking at their labels.

A marker replicates when it differs between the classes of the external cohort with the same sign
and a Benjamini-Hochberg q of at most `REPLICATED_AT` among the markers that it measures. How many
do so by chance, since many genes differ between most classes, is told by random candidates of the
same channel and a similar mean expression, put through the same procedure.
"""

import math
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import binomtest, false_discovery_control, norm, rankdata

from ..cohort.contract import Cohort
from ..cohort.genes import reconcile
from ..cohort.scales import relative
from ..core.errors import SourceError
from ..images.preprocessing import features, fit
from ..images.preprocessor import Preprocessor
from ..markers.effects import contrast, welch

REPLICATED_AT = 0.1
LEAST_SHARED = 0.01
"""Of the genes of the smaller cohort; when fewer are shared, genes are called otherwise."""
LEVELS = 10
"""Bins of mean expression in which random candidates are matched."""
COLUMNS = (
    "gene", "channel", "class", "effect_internal", "effect_external", "same_sign",
    "p_external", "q_external", "replicated",
)  # fmt: skip


def share_genes(cohort: Cohort, external: Cohort) -> tuple[Cohort, Cohort]:
    """Both cohorts cut to the genes of both, in the order and with the names of the first."""
    names = cohort.genes.index
    positions = external.genes.index.get_indexer(names)
    others, _ = reconcile(external.genes.index, among=names)  # by symbol, Ensembl id, other names
    ids, own = (c.genes["ensembl_id"].astype(str) for c in (external, cohort))
    for theirs, mine in ((pd.Index(ids), pd.Index(own)), (pd.Index(others), names)):
        free = ~theirs.duplicated() & (theirs != "") & ~np.isin(np.arange(len(ids)), positions)
        found = pd.Series(np.flatnonzero(free), index=theirs[free]).reindex(mine)
        usable = (positions < 0) & ~mine.duplicated()
        positions = np.where(usable, found.fillna(-1).to_numpy(dtype=int), positions)
    both = positions >= 0
    if both.sum() < max(1, LEAST_SHARED * min(len(both), len(external.genes))):
        theirs, ours = external.genes.index.delete(positions[both])[0], names[~both][0]
        raise SourceError(
            f"the external cohort has {both.sum()} of the cohort's {len(both)} genes: others are "
            f"called {theirs!r} there and {ours!r} here. Use HGNC symbols or Ensembl ids."
        )
    inside, outside = cohort.data[:, both].copy(), external.data[:, positions[both]].copy()
    outside.var = inside.var.copy()
    return Cohort(inside), Cohort(outside)


def image_for(n_genes: int, image: tuple[int, int]) -> tuple[int, int]:
    """Height and width: the smallest square for so many genes, or `image` if that is smaller."""
    side = math.ceil(math.sqrt(n_genes))
    return min((side, side), image, key=lambda shape: shape[0] * shape[1])


def align(
    pre: Preprocessor, development: Cohort, external: Cohort, how: Literal["zscore", "ranks"]
) -> np.ndarray:
    """Features of the external samples as `pre` has them, without a look at their labels.

    Parameters
    ----------
    pre
        Fitted on `development`; both cohorts come from `share_genes`.
    how
        `zscore`: each gene is standardised over the external samples. It undoes any shift and
        scaling of a gene, but takes both cohorts to have about the same mixture of classes: the
        probabilities, though hardly their order, are off where that differs. `ranks`: normal scores
        of the ranks within each sample, standardised as in the training samples. Each sample
        depends on itself alone, whatever the mixture, but what a platform does to single genes
        stays. Copy number and mutations are standardised as in `zscore`.

    Returns
    -------
    `(samples, genes, channels)` float32.
    """
    side = math.ceil(math.sqrt(len(external.genes)))
    changes: dict[str, Any] = {"genes": "all", "layout": "genomic", "adjust": []}
    if "expression" in external.channels and relative(external.layer("expression")):
        changes["min_expressed_fraction"] = 0.0  # z-scores do not tell what is expressed
    settings = pre.params.model_copy(update=changes)
    own = fit(external, settings, channels=pre.channels, image=[side, side])
    columns = pd.Index(own.genes["gene"]).get_indexer(pre.genes["gene"])
    aligned = features(own, external)[:, columns]
    aligned[:, columns < 0] = 0
    if how == "ranks" and "expression" in pre.channels:
        genes = development.genes.index.get_indexer(pre.genes["gene"])
        reference, scores = (_normal_scores(part, genes) for part in (development, external))
        sd = np.nanstd(reference, axis=0)
        sd[sd == 0] = np.inf
        scores = (scores - np.nanmean(reference, axis=0)) / sd
        scores = np.clip(np.nan_to_num(scores), -pre.params.clip, pre.params.clip)
        aligned[:, :, pre.channels.index("expression")] = scores
    return aligned


def _normal_scores(cohort: Cohort, genes: np.ndarray) -> np.ndarray:
    """`(samples, genes)` normal scores of the ranks within each sample; NaN where not measured."""
    values = cohort.layer("expression")[:, genes]
    ranks = rankdata(values, axis=1, nan_policy="omit")
    measured = (~np.isnan(values)).sum(axis=1, keepdims=True)
    return np.asarray(norm.ppf((ranks - 0.5) / measured))


def replicate(
    pre: Preprocessor,
    markers: pd.DataFrame,
    internal: tuple[np.ndarray, np.ndarray],
    external: tuple[np.ndarray, np.ndarray],
    *,
    draws: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """How the markers do in the external cohort.

    Parameters
    ----------
    markers
        gene, channel and class, the one that is compared with the rest.
    internal, external
        Features `(samples, genes, channels)` of `pre` and class indices, of development and
        external samples.

    Returns
    -------
    table, summary
        A row per measured marker, `COLUMNS` with Hedges' g and Welch's p. `selected` and
        `measured`, how many there are, and unless none is measured, `direction_agreement` and
        `replication`, shares with 95 % Wilson intervals, and of each what `draws` matched random
        lists have: mean, 95 % range and the one-sided p-value.
    """
    candidates = pd.MultiIndex.from_product([pre.genes["gene"], pre.channels])
    at = candidates.get_indexer(pd.MultiIndex.from_frame(markers[["gene", "channel"]]))
    table = markers.loc[at >= 0, ["gene", "channel", "class"]].reset_index(drop=True)
    summary: dict[str, Any] = {"selected": len(markers), "measured": len(table)}
    if table.empty:
        return pd.DataFrame(columns=list(COLUMNS)), summary
    at = at[at >= 0]
    target = np.array([pre.classes.index(name) for name in table["class"].astype(str)])
    inside, outside, p = (np.zeros((len(pre.classes), len(candidates))) for _ in range(3))
    for k in np.unique(target):
        inside[k], outside[k] = (contrast(x, y, k)[1].ravel() for x, y in (internal, external))
        x, y = external
        p[k] = welch(*(x[part].reshape(-1, len(candidates)) for part in (y == k, y != k)))
    same = (inside * outside) > 0
    table["effect_internal"], table["effect_external"] = inside[target, at], outside[target, at]
    table["same_sign"] = same[target, at]
    table["p_external"] = p[target, at]
    table["q_external"] = false_discovery_control(table["p_external"])
    table["replicated"] = table["same_sign"] & (table["q_external"] <= REPLICATED_AT)

    drawn = _matched(pre, at, draws, seed)
    random_same = same[target, drawn]
    q = false_discovery_control(p[target, drawn], axis=1)
    summary |= _shares("direction_agreement", table["same_sign"], random_same)
    summary |= _shares("replication", table["replicated"], random_same & (q <= REPLICATED_AT))
    return table[list(COLUMNS)], summary


def _shares(name: str, mine: pd.Series, random: np.ndarray) -> dict[str, Any]:
    """The share of the markers, with its 95 % interval (Wilson 1927), and that of random lists."""
    interval = binomtest(int(mine.sum()), len(mine)).proportion_ci(method="wilson")
    shares = random.mean(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {
        name: {"value": mine.mean(), "low": interval.low, "high": interval.high},
        f"{name}_of_random": {
            "value": shares.mean(),
            "low": low,
            "high": high,
            "p_value": (1 + (shares >= mine.mean()).sum()) / (1 + len(shares)),
        },
    }


def _matched(pre: Preprocessor, at: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """`(draws, markers)` candidates, none a marker, each of its marker's channel and level."""
    n_channels = len(pre.channels)
    level = np.zeros(len(pre.genes), dtype=int)
    if "expression" in pre.channels:
        mean = pre.genes["expression_center"].to_numpy()
        level = np.digitize(mean, np.quantile(mean, np.arange(1, LEVELS) / LEVELS))
    channel = np.tile(np.arange(n_channels), len(level))
    group = np.repeat(level, n_channels) * n_channels + channel
    free = ~np.isin(np.arange(len(group)), at)
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(at)), dtype=int)
    for i, marker in enumerate(at):
        pool = np.flatnonzero(free & (group == group[marker]))
        if not len(pool):
            pool = np.flatnonzero(channel == channel[marker])
        drawn[:, i] = rng.choice(pool, draws)
    return drawn
