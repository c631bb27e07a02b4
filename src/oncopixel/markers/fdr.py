"""The false-discovery rate of many tests."""

import numpy as np

LEVELS = (0.05, 0.1, 0.2)
"""Rates at which a list is held against a known truth."""


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """`(tests,)` q-values of p-values; NaN stays NaN and counts as no test."""
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    there = ~np.isnan(p)
    if there.any():
        q[there] = false_discovery_control(p[there])
    return q
