"""Whether probabilities mean what they say: calibration error, slope and intercept."""

import numpy as np
from scipy.special import expit, logit

LEAST_PROBABILITY = 1e-4
"""Probabilities are kept this far from 0 and 1 for the calibration line."""
NEWTON_STEPS = 30


def calibration_error(
    p: np.ndarray, happened: np.ndarray, weights: np.ndarray, bins: int
) -> np.ndarray:
    """`(draws,)` mean absolute gap between predicted and observed frequency, weighted by bin."""
    members = np.eye(bins)[bins_of(p, bins)]
    gaps = (weights * (p - happened)) @ members
    error: np.ndarray = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def calibration_line(
    p: np.ndarray, happened: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """`calibration_slope` and `calibration_intercept`, `(draws,)` each; see `DEFINITIONS`.

    By Newton's method. NaN where there is no finite one.
    """
    odds = logit(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    design = np.column_stack([np.ones_like(odds), odds])
    free = weighted_logistic(design, happened, weights, np.zeros_like(odds))
    fixed = weighted_logistic(design[:, :1], happened, weights, odds)
    return {"calibration_slope": free[:, 1], "calibration_intercept": fixed[:, 0]}


def weighted_logistic(
    design: np.ndarray, happened: np.ndarray, weights: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """`(draws, columns)` coefficients of a logistic regression, NaN where it has no finite ones.

    `design` is `(samples, columns)`, `weights` `(draws, samples)`, the others `(samples,)`.
    """
    n_columns = design.shape[1]
    squares = np.einsum("ij,ik->ijk", design, design).reshape(len(design), -1)
    found = np.full((len(weights), n_columns), np.nan)
    left, beta = np.arange(len(weights)), np.zeros((len(weights), n_columns))
    for _ in range(NEWTON_STEPS):
        p = expit(beta @ design.T + offset)
        mine = weights[left]
        slope = (mine * (happened - p)) @ design
        curvature = ((mine * p * (1 - p)) @ squares).reshape(-1, n_columns, n_columns)
        sound = np.linalg.det(curvature) > 1e-9
        left, beta, slope, curvature = (a[sound] for a in (left, beta, slope, curvature))
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        beta = beta + np.clip(step, -2, 2)
        done = np.abs(step).max(axis=1, initial=0) < 1e-6
        found[left[done]] = beta[done]
        left, beta = left[~done], beta[~done]
        if not len(left):
            break
    return found


def bins_of(p: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each probability; bins hold about equally many, equal values share one."""
    edges = np.quantile(p, np.arange(1, bins) / bins)
    return np.searchsorted(edges, p, side="left")
