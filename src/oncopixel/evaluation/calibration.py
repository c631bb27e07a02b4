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
    """`calibration_slope` and `calibration_intercept`, `(draws,)`; NaN where none is finite."""
    odds = logit(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    design = np.column_stack([np.ones_like(odds), odds])
    free = weighted_logistic(design, happened, weights, np.zeros_like(odds))
    fixed = weighted_logistic(design[:, :1], happened, weights, odds)
    return {"calibration_slope": free[:, 1], "calibration_intercept": fixed[:, 0]}


def weighted_logistic(
    design: np.ndarray, happened: np.ndarray, weights: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """`(draws, columns)` coefficients of logistic regressions; NaN where they are not finite."""
    # the other draws start from the solution of the first, and have none without it
    first = _newton(design, happened, weights[:1], offset, np.zeros(design.shape[1]))
    if np.isnan(first).any():
        return np.full((len(weights), design.shape[1]), np.nan)
    return np.vstack([first, _newton(design, happened, weights[1:], offset, first[0])])


def _newton(
    design: np.ndarray,
    happened: np.ndarray,
    weights: np.ndarray,
    offset: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """The coefficients `(draws, columns)` from `start` `(columns,)`; NaN without convergence."""
    n_columns = design.shape[1]
    squares = np.einsum("ij,ik->ijk", design, design).reshape(len(design), -1)
    single = [a.astype(np.float32) for a in (design, squares, happened, offset)]  # for speed
    x, xx, of_class, fixed = single
    found = np.full((len(weights), n_columns), np.nan)
    left, beta = np.arange(len(weights)), np.tile(start, (len(weights), 1))
    mine = weights.astype(np.float32)
    for _ in range(NEWTON_STEPS):
        p = expit(beta.astype(np.float32) @ x.T + fixed)
        slope = ((mine * (of_class - p)) @ x).astype(np.float64)
        p *= 1 - p
        curvature = ((mine * p) @ xx).astype(np.float64).reshape(-1, n_columns, n_columns)
        sound = np.linalg.det(curvature) > 1e-9
        if not sound.all():
            kept = (a[sound] for a in (left, beta, slope, curvature, mine))
            left, beta, slope, curvature, mine = kept
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        beta = beta + np.clip(step, -2, 2)
        done = np.abs(step).max(axis=1, initial=0) < 1e-4  # the error left is its square
        found[left[done]] = beta[done]
        left, beta, mine = left[~done], beta[~done], mine[~done]
        if not len(left):
            break
    return found


def bins_of(p: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each probability; bins hold about equally many, equal values share one."""
    edges = np.quantile(p, np.arange(1, bins) / bins)
    return np.searchsorted(edges, p, side="left")
