"""Probabilities that say how often classes occur."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

SLOPES = (0.1, 10.0)
"""Bounds of what the first part is multiplied by; ranks would drown in rounding far below. Others
may be left out: their lower bound is 0."""


def class_weights(y: np.ndarray, n_classes: int, *, balanced: bool) -> np.ndarray:
    """`(classes,)` float32, mean 1 over samples; `balanced`: classes present have equal sums."""
    counts = np.bincount(y, minlength=n_classes)
    if not balanced:
        return np.ones(n_classes, np.float32)
    weights = len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1).astype(np.float32)


def calibrate(
    parts: Sequence[np.ndarray], y: np.ndarray, everyone: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What makes the sum of parts calibrated: their slopes, and a shift of the logits.

    Parameters
    ----------
    parts
        `(samples, classes)` logits each, of samples that they were not fitted to.
    y
        Their classes.
    everyone
        Classes of the larger sample that these are part of: the odds are those of its shares.

    Returns
    -------
    slopes, shift
        `(parts,)` within `SLOPES` and `(classes,)`, float32. They maximise the likelihood of `y`
        and so take class weights out again. Probabilities of one are aimed at (n + 1) / (n + 2),
        n the samples, and the rest is shared by the other classes, so that classes which are told
        apart without error have finite slopes.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines.
    """
    logits = np.stack(parts).astype(np.float64)
    n_parts, _, n_classes = logits.shape
    targets = _smoothed(y, n_classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        total = np.tensordot(flat[:n_parts], logits, 1) + flat[n_parts:]
        log_p = log_softmax(total, axis=-1)
        slope = np.exp(log_p) - targets
        gradient = np.append(np.sum(slope * logits, axis=(1, 2)), slope.sum(axis=0))
        return float(-np.sum(targets * log_p)), gradient

    start = np.append(np.ones(n_parts) / n_parts, np.zeros(n_classes))
    bounds = [SLOPES, *[(0.0, SLOPES[1])] * (n_parts - 1), *[(None, None)] * n_classes]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    shares = _smoothed(everyone, n_classes).mean(axis=0) / targets.mean(axis=0)
    return found[:n_parts].astype(np.float32), (found[n_parts:] + np.log(shares)).astype(np.float32)


def log_losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`(samples,)` log loss of `(samples, classes)` logits."""
    losses: np.ndarray = -log_softmax(logits, axis=-1)[np.arange(len(y)), y]
    return losses


def _smoothed(y: np.ndarray, n_classes: int) -> np.ndarray:
    """`(samples, classes)` targets. Platt counts a class by itself, which flattens many classes."""
    own, n = np.eye(n_classes)[y], len(y)
    smoothed: np.ndarray = (own * (n + 1) + (1 - own) / (n_classes - 1)) / (n + 2)
    return smoothed
