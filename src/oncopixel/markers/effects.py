"""Differences between a class and the rest, feature by feature."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind_from_stats

from .fdr import benjamini_hochberg


def contrast(
    features: np.ndarray, y: np.ndarray, target: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How a class differs from the rest, feature by feature.

    Returns
    -------
    difference, g, error, t
        Of means; Hedges' g, which corrects Cohen's d for small samples; its standard error; Welch's
        t. All of the shape of one sample of `features`, whatever that is; g and t are 0 for a
        feature that is constant in both.

    References
    ----------
    Hedges 1981, J Educ Stat 6:107.
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


def one_against_rest(
    test: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], y: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Class, effect, p and q; of several classes the smallest p counts, times their number."""
    targets = [1] if len(classes) == 2 else list(range(len(classes)))
    found = [test((y == target).astype(int)) for target in targets]
    effects, p_values = (np.array(part) for part in zip(*found, strict=True))
    best = np.argmin(p_values, axis=0)
    column = np.arange(len(best))
    p = np.minimum(1, p_values[best, column] * len(targets))
    return pd.DataFrame(
        {
            "class": np.asarray(classes, dtype=object)[np.array(targets)[best]],
            "effect": effects[best, column],
            "p_value": p,
            "q_value": benjamini_hochberg(p),
        }
    )
