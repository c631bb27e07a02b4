"""Scores of predictions, under many weightings of the samples at once.

`definitions.DEFINITIONS` says what each score is.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ..core.storage import SIGNIFICANT_DIGITS
from .calibration import calibration_error, calibration_line

Scores = dict[str, np.ndarray]
"""By name, `(draws,)`."""


def weighted_scores(
    p: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    threshold: float | None,
    bins: int,
    folds: np.ndarray,
) -> tuple[Scores, list[Scores]]:
    """All scores of `(samples, classes)` predictions, and some of each class; see `Part`."""
    n_classes = p.shape[1]
    spoken = scored_classes(n_classes)
    decided = decisions(p, threshold)
    cells = np.zeros((len(y), n_classes * n_classes))
    cells[np.arange(len(y)), y * n_classes + decided] = 1
    confusion = (weights @ cells).reshape(-1, n_classes, n_classes)  # draws, actual, predicted
    total = weights.sum(axis=1)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / actual
        rest = (total[:, None] - actual - predicted + hits) / (total[:, None] - actual)
        f1 = 2 * hits / (actual + predicted)
        singles = []
        for k in spoken:
            roc, pr = _fold_mean_areas(p[:, k], y == k, weights, folds)
            singles.append(
                {
                    "roc_auc": roc,
                    "pr_auc": pr,
                    "sensitivity": recall[:, k],
                    "specificity": rest[:, k],
                    "f1": f1[:, k],
                    **calibration_line(p[:, k], y == k, weights),
                }
            )
        variances = (total**2 - (predicted**2).sum(1)) * (total**2 - (actual**2).sum(1))
        covariance = hits.sum(1) * total - (actual * predicted).sum(1)
        mcc = np.where(variances > 0, covariance / np.sqrt(variances), 0.0)
    scores = by_name(singles, lambda each: np.mean(each, axis=0))
    errors = ((p - np.eye(n_classes)[y]) ** 2).sum(axis=1) / (2 if n_classes == 2 else 1)
    certain = p[:, 1] if n_classes == 2 else p.max(axis=1)
    right = y == 1 if n_classes == 2 else y == p.argmax(axis=1)
    scores = scores | {
        "balanced_accuracy": recall.mean(axis=1),
        "mcc": mcc,
        "brier": weights @ errors / total,
        "ece": calibration_error(certain, right, weights, bins),
    }
    return scores, singles


def by_name(pieces: Sequence[Scores], by: Callable[[list[np.ndarray]], np.ndarray]) -> Scores:
    """Each score by itself, `by` its pieces."""
    return {name: by([piece[name] for piece in pieces]) for name in pieces[0]}


def _fold_mean_areas(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """`(2, draws)` areas, means over folds; a fold where an area is undefined does not count."""
    of_folds = np.array(
        [
            areas(score[rows], positive[rows], weights[:, rows])
            for rows in (folds == fold for fold in np.unique(folds))
        ]
    )
    return defined_mean(of_folds)


def areas(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC and the precision-recall curve (average precision), `(draws,)` each."""
    order = np.argsort(-score, kind="stable")
    _, starts = np.unique(-score[order], return_index=True)
    every = weights.T[order]
    pos = every * positive[order, None]
    if len(starts) < len(order):  # samples of one score enter the curves together
        every, pos = (np.add.reduceat(side, starts, axis=0) for side in (every, pos))
    found, called = pos.cumsum(axis=0), every.cumsum(axis=0)
    positives, negatives = found[-1], called[-1] - found[-1]
    above = called - found - (every - pos) / 2  # negatives that rank higher, ties half
    roc = 1 - (pos * above).sum(axis=0) / (positives * negatives)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return roc, (pos * precision).sum(axis=0) / positives


def defined_mean(of_folds: np.ndarray) -> np.ndarray:
    """The mean over folds, the first axis; NaN where no fold has a value."""
    defined = ~np.isnan(of_folds)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.where(defined, of_folds, 0).sum(axis=0) / defined.sum(axis=0)
    return mean


def scored_classes(n_classes: int) -> Sequence[int]:
    """The classes that are scored against the rest: the positive one of two, else each."""
    return [1] if n_classes == 2 else range(n_classes)


def decisions(p: np.ndarray, threshold: float | None) -> np.ndarray:
    """Predicted class of `(…, classes)` probabilities: by threshold, or the most probable one."""
    decided: np.ndarray = p.argmax(-1) if threshold is None else (p[..., 1] >= threshold) * 1
    return decided


def youden_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The probability from which on the positive class is predicted; see `DEFINITIONS`."""
    p = probabilities[:, :, 1].ravel()
    y = np.tile(labels, len(probabilities))
    levels, level = np.unique(p, return_inverse=True)
    if len(levels) == 1:
        return 0.5
    positives = np.bincount(level[y == 1], minlength=len(levels)).cumsum()[:-1]
    negatives = np.bincount(level[y == 0], minlength=len(levels)).cumsum()[:-1]
    youden = negatives / max((y == 0).sum(), 1) - positives / max((y == 1).sum(), 1)
    middles = (levels[:-1] + levels[1:]) / 2
    middles = np.where(middles > levels[:-1], middles, levels[1:])  # neighbours as close as floats
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    threshold = float(middles[best[np.argmin(np.abs(middles[best] - 0.5))]])
    return float(f"{threshold:.{SIGNIFICANT_DIGITS}g}")  # as it is stored, for predict
