"""Which genes the model uses: attribution, ranking, stability, and recovery of planted markers.

Integrated gradients explain every training sample; their class means score every gene x channel.
Everything here sees training samples only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..images.preprocessor import Preprocessor, to_features

if TYPE_CHECKING:
    import keras

MIN_CHANGE = 0.1
"""Logits; a smaller change of output counts as this much in the completeness error."""

COLUMNS = (
    "rank", "gene", "ensembl_id", "chromosome", "start", "channel", "score", "class", "direction",
    "effect", "log2_fold_change", "level", "row", "col",
)  # fmt: skip
"""Columns of the ranking."""

_PATH_IMAGES = 64  # images on the path that are differentiated at once: bounds memory


@dataclass(frozen=True)
class Attribution:
    """What each pixel adds to a model's output, and how well the parts add up to the whole."""

    pixels: np.ndarray
    """`(samples, height, width, channels)` float32, logits."""
    completeness: np.ndarray
    """`(samples,)` float64, |sum of pixels - change of output| / max(|change of output|, 0.1)."""


@dataclass(frozen=True)
class Explanation:
    """How much a model uses each pixel to tell the classes apart."""

    score: np.ndarray
    """`(height, width, channels)` float32, logits, at least 0; 0 for an empty pixel."""
    target: np.ndarray
    """`(height, width, channels)` int32, index of the class that the score speaks of."""
    by_class: np.ndarray
    """`(classes, height, width, channels)` float32, logits: mean attribution to each class in its
    own samples; of two classes both to the last one."""
    completeness: np.ndarray
    """`(samples x explained classes,)` float64, see `Attribution`."""


@dataclass(frozen=True)
class Stability:
    """Nogueira's index with its interval: 1 is the same selection every time, 0 is chance."""

    index: float
    low: float
    high: float


@dataclass(frozen=True)
class Recovery:
    """How well a score puts planted markers before all other candidates."""

    auprc: float
    precision_at_k: float
    n_markers: int
    chance: float
    """Share of markers among the candidates: what a random score reaches in both figures."""


def integrated_gradients(
    model: "keras.Model",
    images: np.ndarray,
    baseline: np.ndarray,
    target: int,
    *,
    steps: int = 32,
    tolerance: float = 0.01,
) -> Attribution:
    """Contribution of every pixel to the target logit minus the mean of the others.

    `images` are `(samples, height, width, channels)`, `baseline` is one image; the model's logits,
    `(samples, members, classes)`, are averaged over members. The path integral is a Gauss-Legendre
    sum with 4 points, doubled up to `steps` for those samples only whose completeness error exceeds
    `tolerance`. Source: Sundararajan, Taly & Yan 2017, equation 1 and proposition 1.
    """
    import tensorflow as tf

    shape = tuple(images.shape[1:])
    base = tf.constant(baseline, tf.float32)

    def output(batch: Any) -> Any:
        logits = tf.reduce_mean(tf.cast(model(batch, training=False), tf.float32), axis=1)
        others = tf.cast(tf.shape(logits)[1] - 1, tf.float32)
        own = logits[:, target]
        return own - (tf.reduce_sum(logits, axis=1) - own) / others

    def path_integral(batch: Any, points: Any, weights: Any) -> Any:
        change = batch - base
        path = base + points[:, None, None, None] * change[:, None]
        path = tf.reshape(path, (-1, *shape))
        with tf.GradientTape() as tape:
            tape.watch(path)
            result = output(path)
        gradient = tape.gradient(result, path)
        gradient = tf.reshape(gradient, (-1, tf.size(points), *shape))
        return change * tf.einsum("bphwc,p->bhwc", gradient, weights)

    image, vector = tf.TensorSpec((None, *shape), tf.float32), tf.TensorSpec((None,), tf.float32)
    integrate = tf.function(path_integral, input_signature=[image, vector, vector])
    evaluate = tf.function(output, input_signature=[image])

    blocks = [images[i : i + _PATH_IMAGES] for i in range(0, len(images), _PATH_IMAGES)]
    start = float(evaluate(base[None])[0])
    change = np.concatenate([evaluate(block).numpy() for block in blocks]) - start
    pixels = np.empty(images.shape, dtype=np.float32)
    error = np.full(len(images), np.inf)
    points = min(4, steps)
    while True:
        open_rows = np.flatnonzero(error > tolerance)
        nodes, weights = np.polynomial.legendre.leggauss(points)
        at = tf.constant((nodes + 1) / 2, tf.float32), tf.constant(weights / 2, tf.float32)
        size = max(1, _PATH_IMAGES // points)
        for rows in (open_rows[i : i + size] for i in range(0, len(open_rows), size)):
            pixels[rows] = integrate(images[rows], *at).numpy()
            missing = pixels[rows].sum(axis=(1, 2, 3), dtype=np.float64) - change[rows]
            error[rows] = np.abs(missing) / np.maximum(np.abs(change[rows]), MIN_CHANGE)
        if points == steps:
            return Attribution(pixels, error)
        points = min(2 * points, steps)


def explain(
    model: "keras.Model",
    images: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    steps: int = 32,
    tolerance: float = 0.01,
) -> Explanation:
    """The score of every pixel: |mean attribution in the class - mean attribution in the others|.

    `images` and `y` are the training samples, `(samples, height, width, channels)` and class
    indices; their mean image is the baseline. Two classes are explained once, for the last one;
    of more classes every one is explained against the rest, and a pixel's score is the largest.
    """
    baseline = images.mean(axis=0, dtype=np.float64).astype(np.float32)
    targets = [1] if n_classes == 2 else list(range(n_classes))
    scores, means, errors = [], [], []
    for target in targets:
        found = integrated_gradients(
            model, images, baseline, target, steps=steps, tolerance=tolerance
        )
        inside, outside = found.pixels[y == target], found.pixels[y != target]
        scores.append(np.abs(inside.mean(axis=0) - outside.mean(axis=0)))
        means += (
            [outside.mean(axis=0), inside.mean(axis=0)] if n_classes == 2 else [inside.mean(axis=0)]
        )
        errors.append(found.completeness)
    best = np.argmax(scores, axis=0)
    return Explanation(
        score=np.max(scores, axis=0),
        target=np.asarray(targets, dtype=np.int32)[best],
        by_class=np.stack(means),
        completeness=np.concatenate(errors),
    )


def score_table(scores: np.ndarray, genes: Sequence[str], channels: Sequence[str]) -> pd.Series:
    """The `(genes, channels)` scores as one column, indexed by gene and channel."""
    index = pd.MultiIndex.from_product([list(genes), list(channels)], names=["gene", "channel"])
    return pd.Series(np.asarray(scores, dtype=np.float64).ravel(), index=index, name="score")


def descending(scores: pd.Series) -> pd.Series:
    """Scores from highest to lowest; ties stand in the order of gene and channel names."""
    return scores.sort_index().sort_values(ascending=False, kind="stable")


def select(tables: Sequence[pd.Series], k: int) -> pd.DataFrame:
    """Which candidates each model puts among its `k` best: `(models, candidates)` bool.

    Each table is a `score_table`; the candidates are those of any model. A model does not select a
    candidate that it does not score, or scores 0.
    """
    columns = pd.MultiIndex.from_tuples(
        sorted(set().union(*(table.index for table in tables))), names=["gene", "channel"]
    )
    rows = []
    for table in tables:
        best = descending(table[table > 0]).index[:k]
        rows.append(columns.isin(best))
    return pd.DataFrame(np.array(rows), columns=columns)


def nogueira(selections: np.ndarray, level: float = 0.95) -> Stability:
    """Nogueira's stability index of `(models, candidates)` selections with its normal interval.

    NaN when it is undefined: fewer than two models, or nothing or everything selected by all of
    them. Source: Nogueira, Sechidis & Brown 2018, JMLR 18(174), definition 4 and corollary 9; the
    variance is written as that of the index's first-order influence of each model.
    """
    from scipy.stats import norm

    chosen = np.asarray(selections, dtype=np.float64)
    n_models = len(chosen)
    share = chosen.mean()
    chance = share * (1 - share)
    if n_models < 2 or chance == 0:
        return Stability(math.nan, math.nan, math.nan)
    frequency = chosen.mean(axis=0)
    spread = n_models / (n_models - 1) * np.mean(frequency * (1 - frequency))
    index = 1 - spread / chance
    size = chosen.mean(axis=1)
    overlap = (chosen * frequency).mean(axis=1)
    influence = 2 / chance * (overlap - share * size - index / 2 * size * (1 - 2 * share))
    half = norm.ppf((1 + level) / 2) * math.sqrt(influence.var() / n_models)
    return Stability(float(index), float(index - half), float(index + half))


def contrast(
    features: np.ndarray, y: np.ndarray, target: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Difference of means, Hedges' g, its standard error, and Welch's t; class against the rest.

    All of the shape of one sample of `features`, whatever that is; 0 where a feature is constant.
    g corrects Cohen's d for small samples. Source: Hedges 1981, J Educ Stat 6:107.
    """
    inside, outside = features[y == target], features[y != target]
    n, m = len(inside), len(outside)
    difference = inside.mean(axis=0, dtype=np.float64) - outside.mean(axis=0, dtype=np.float64)
    v, w = (part.var(axis=0, ddof=1, dtype=np.float64) for part in (inside, outside))
    pooled = np.sqrt(((n - 1) * v + (m - 1) * w) / (n + m - 2))
    welch = np.sqrt(v / n + w / m)
    correction = 1 - 3 / (4 * (n + m) - 9)
    varies = pooled > 0
    g = np.divide(correction * difference, pooled, out=np.zeros_like(pooled), where=varies)
    t = np.divide(difference, welch, out=np.zeros_like(welch), where=varies)
    error = np.sqrt((n + m) / (n * m) + g**2 / (2 * (n + m)))
    return difference, g, error, t


def welch(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """`(columns,)` p-values of Welch's t-test between two sets of samples; 1 where means agree."""
    from scipy.stats import ttest_ind_from_stats

    sd, means = [], []
    for part in (inside, outside):
        sd.append(np.maximum(part.std(axis=0, ddof=1, dtype=np.float64), 1e-9))
        means.append(part.mean(axis=0, dtype=np.float64))
    p = ttest_ind_from_stats(
        means[0], sd[0], len(inside), means[1], sd[1], len(outside), equal_var=False
    ).pvalue
    return np.where(means[0] == means[1], 1.0, p)


def t_test(features: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """The absolute Welch t of every feature; with several classes the largest, one against all."""
    targets = [1] if n_classes == 2 else range(n_classes)
    t = [np.abs(contrast(features, y, target)[3]) for target in targets]
    return np.asarray(np.max(t, axis=0))


def rank_genes(
    pre: Preprocessor, found: Explanation, features: np.ndarray, y: np.ndarray
) -> pd.DataFrame:
    """Every gene x channel from the most to the least used, one row each.

    `features`, `(samples, genes, channels)`, and `y` are the training samples that the preprocessor
    was fitted on and the model explained on.

    Columns: rank, gene, ensembl_id, chromosome, start, channel, score (logits), class, direction,
    effect (Hedges' g, that class against the rest), log2_fold_change (expression only, of clipped
    values), level (mean log2 expression of the training samples), row, col. The direction is "up"
    or "down" in the class, or "mixed" when the 95 % interval of g holds 0: the gene then speaks
    through other genes, if at all.
    """
    score = to_features(pre, found.score[None])[0]
    targets = to_features(pre, found.target[None])[0].astype(int)
    difference, effect, error = (np.zeros(score.shape) for _ in range(3))
    for target in np.unique(targets):
        mine = targets == target
        parts = contrast(features, y, int(target))
        difference[mine], effect[mine], error[mine] = (part[mine] for part in parts[:3])
    direction = np.where(effect > 0, "up", "down")
    log2 = np.full(score.shape, np.nan)
    if "expression" in pre.channels:
        at = pre.channels.index("expression")
        log2[:, at] = difference[:, at] * pre.genes["expression_scale"].replace(np.inf, np.nan)
    table = score_table(score, pre.genes["gene"], pre.channels).to_frame()
    table["class"] = np.asarray(pre.classes)[targets].ravel()
    table["direction"] = np.where(np.abs(effect) > 1.96 * error, direction, "mixed").ravel()
    table["effect"] = effect.ravel()
    table["log2_fold_change"] = log2.ravel()
    level = pre.genes.get("expression_center", pd.Series(np.nan, pre.genes.index))
    table["level"] = np.repeat(level.to_numpy(), len(pre.channels))
    for column in ("ensembl_id", "chromosome", "start", "row", "col"):
        table[column] = np.repeat(pre.genes[column].to_numpy(), len(pre.channels))
    table = table.loc[descending(table["score"]).index].reset_index()
    table["rank"] = np.arange(1, len(table) + 1)
    return table[list(COLUMNS)]


def recovery(scores: np.ndarray, is_marker: np.ndarray, k: int) -> Recovery:
    """How well `(candidates,)` scores put the markers first; NaN without any marker.

    Precision is among the `k` best; ties at the border count by their share, so that no order of
    the candidates is lucky. AUPRC is the average precision, in which ties count as one step.
    """
    from sklearn.metrics import average_precision_score

    scores, marker = np.asarray(scores, dtype=np.float64), np.asarray(is_marker, dtype=bool)
    n_markers, k = int(marker.sum()), min(k, len(scores))
    if n_markers == 0:
        return Recovery(math.nan, math.nan, 0, 0.0)
    border = np.partition(scores, -k)[-k]
    above, tied = scores > border, scores == border
    hits = marker[above].sum() + (k - above.sum()) * marker[tied].mean()
    auprc = float(average_precision_score(marker, scores))
    return Recovery(auprc, float(hits / k), n_markers, float(marker.mean()))


def marker_recovery(scores: Mapping[str, pd.Series], truth: pd.DataFrame, k: int) -> pd.DataFrame:
    """Recovery of planted markers by every method: columns method, kind, then those of `Recovery`.

    Each method's scores are a `score_table`; `truth` has gene, channel and kind. Kind "all" takes
    every marker; a single kind leaves the markers of the others out of the candidates. Markers that
    no image holds cannot be recovered and do not count. Without any truth there are no rows.
    """
    rows: list[dict[str, Any]] = []
    if truth.empty:
        return pd.DataFrame(rows, columns=["method", "kind", *Recovery.__dataclass_fields__])
    kinds = truth.set_index(["gene", "channel"])["kind"]
    for method, table in scores.items():
        kind_of = kinds.reindex(table.index)
        for kind in ["all", *sorted(truth["kind"].unique())]:
            marker = kind_of.notna() if kind == "all" else kind_of == kind
            candidate = (marker | kind_of.isna()).to_numpy()
            found = recovery(table.to_numpy()[candidate], marker.to_numpy()[candidate], k)
            rows.append({"method": method, "kind": kind, **vars(found)})
    return pd.DataFrame(rows)
