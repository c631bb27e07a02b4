"""Probabilities that say how often classes occur."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

SLOPES = (0.1, 10.0)
"""Bounds of what calibration multiplies logits by; ranks would drown in rounding far below."""


def class_weights(y: np.ndarray, n_classes: int, *, balanced: bool) -> np.ndarray:
    """`(classes,)` float32 weights of samples; `balanced`: each class present has an equal sum.

    They have mean one over the samples, so they do not change the scale of a loss.
    """
    counts = np.bincount(y, minlength=n_classes)
    if not balanced:
        return np.ones(n_classes, np.float32)
    weights = len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1).astype(np.float32)


def calibrate(
    logits: np.ndarray, y: np.ndarray, everyone: np.ndarray
) -> tuple[np.float32, np.ndarray]:
    """The slope and `(classes,)` shift, float32, with which `logits` say how often classes occur.

    They maximise the likelihood of the classes `y` and so take class weights out again; the slope
    stays within `SLOPES`. Probabilities of one are aimed at (n + 1) / (n + classes), n the samples
    of the class, so that classes which are told apart without error have a finite slope.

    Parameters
    ----------
    logits
        `(samples, classes)`, of samples that they were not fitted to.
    y
        Their classes.
    everyone
        Classes of the larger sample that these are part of: the odds are those of its shares.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines.
    """
    n_classes = logits.shape[1]
    targets = _smoothed(y, n_classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = np.exp(flat[0]) * logits
        log_p = log_softmax(scaled + flat[1:], axis=-1)
        slope = np.exp(log_p) - targets
        return float(-np.sum(targets * log_p)), np.append(np.sum(slope * scaled), slope.sum(axis=0))

    bounds = [tuple(np.log(SLOPES)), *[(None, None)] * n_classes]
    found = minimize(loss, np.zeros(1 + n_classes), jac=True, method="L-BFGS-B", bounds=bounds).x
    shares = _smoothed(everyone, n_classes).mean(axis=0) / targets.mean(axis=0)
    return np.float32(np.exp(found[0])), (found[1:] + np.log(shares)).astype(np.float32)


def _smoothed(y: np.ndarray, n_classes: int) -> np.ndarray:
    """`(samples, classes)` Platt's targets."""
    counts = np.bincount(y, minlength=n_classes)[y][:, None]
    smoothed: np.ndarray = (np.eye(n_classes)[y] * counts + 1) / (counts + n_classes)
    return smoothed
