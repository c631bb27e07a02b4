"""Genes and channels in the order in which the network uses them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..images.preprocessor import Preprocessor, to_features
from .attribution import Explanation
from .effects import contrast

COLUMNS = (
    "rank", "gene", "ensembl_id", "chromosome", "start", "channel", "score", "class", "direction",
    "effect", "effect_low", "effect_high", "log2_fold_change", "level", "row", "col",
)  # fmt: skip
"""Columns of the ranking."""


def score_table(scores: np.ndarray, genes: Sequence[str], channels: Sequence[str]) -> pd.Series:
    """The `(genes, channels)` scores as one column, indexed by gene and channel."""
    index = pd.MultiIndex.from_product([list(genes), list(channels)], names=["gene", "channel"])
    return pd.Series(np.asarray(scores, dtype=np.float64).ravel(), index=index, name="score")


def descending(scores: pd.Series) -> pd.Series:
    """Scores from highest to lowest; ties stand in the order of gene and channel names."""
    return scores.sort_index().sort_values(ascending=False, kind="stable")


def rank_genes(
    pre: Preprocessor, found: Explanation, features: np.ndarray, y: np.ndarray
) -> pd.DataFrame:
    """Every gene x channel, the most used first; `features` and `y` are of the training samples.

    Returns
    -------
    Columns rank, gene, ensembl_id, chromosome, start, channel, score (logits), class, direction,
    effect (Hedges' g, that class against the rest) and its 95 % interval, log2_fold_change
    (expression only, of clipped values), level (mean log2 expression of the training samples), row,
    col. The direction is "up" or "down" in the class, or "mixed" when the interval of g holds 0:
    the gene then speaks through other genes, if at all.
    """
    score = to_features(pre, found.score[None])[0]
    targets = to_features(pre, found.target[None])[0].astype(int)
    difference, effect, error = (np.zeros(score.shape) for _ in range(3))
    for target in np.unique(targets):
        mine = targets == target
        parts = contrast(features, y, int(target))
        difference[mine], effect[mine], error[mine] = (part[mine] for part in parts[:3])
    low, high = effect - 1.96 * error, effect + 1.96 * error
    log2 = np.full(score.shape, np.nan)
    if "expression" in pre.channels:
        at = pre.channels.index("expression")
        log2[:, at] = difference[:, at] * pre.genes["expression_scale"].replace(np.inf, np.nan)
    table = score_table(score, pre.genes["gene"], pre.channels).to_frame()
    table["class"] = np.asarray(pre.classes)[targets].ravel()
    table["direction"] = np.select([low > 0, high < 0], ["up", "down"], "mixed").ravel()
    for column, values in (("effect", effect), ("effect_low", low), ("effect_high", high)):
        table[column] = values.ravel()
    table["log2_fold_change"] = log2.ravel()
    level = pre.genes.get("expression_center", pd.Series(np.nan, pre.genes.index))
    table["level"] = np.repeat(level.to_numpy(), len(pre.channels))
    for column in ("ensembl_id", "chromosome", "start", "row", "col"):
        table[column] = np.repeat(pre.genes[column].to_numpy(), len(pre.channels))
    table = table.loc[descending(table["score"]).index].reset_index()
    table["rank"] = np.arange(1, len(table) + 1)
    return table[list(COLUMNS)]


def in_order(ranking: pd.DataFrame) -> pd.DataFrame:
    """The rows of the list first, then the rest, each by score; `rank` is set anew."""
    columns = ["selected", "score", "evidence"]
    ordered = ranking.sort_values(columns, ascending=False, kind="stable", ignore_index=True)
    return ordered.assign(rank=np.arange(1, len(ordered) + 1))
