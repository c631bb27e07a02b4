"""Which candidates beat their decoys often enough, at a stated false-discovery rate.

A statistic W of a candidate is positive when the candidate did better than its decoy and negative
when the decoy did. For a candidate that says nothing both signs are equally likely, so the negative
ones count the false positives.
"""

import numpy as np

LEVELS = (0.05, 0.1, 0.2)
"""Levels at which a list is made; a candidate selected at none of them has a q-value of 1."""


def knockoff_threshold(w: np.ndarray, q: float, decoys: int = 1) -> float:
    """The t at which selecting W >= t controls the false-discovery rate at `q` (knockoff+).

    Returns
    -------
    The least t > 0 with (1 + #{W <= -t}) / decoys / #{W >= t} <= q; infinite when there is none, as
    with fewer than 1 / (decoys x q) candidates.

    References
    ----------
    Barber & Candès 2015, Ann Statist 43:2055, equation 1.9; with several decoys per candidate:
    Gimenez & Zou 2019, PMLR 89:2184, equation 3.2.
    """
    size = np.sort(np.abs(w[w != 0]))
    if not len(size):
        return np.inf
    size = np.unique(size)
    above = len(w) - np.searchsorted(np.sort(w), size, side="left")
    below = np.searchsorted(np.sort(w), -size, side="right")
    good = np.flatnonzero((1 + below) / decoys <= q * above)
    return float(size[good[0]]) if len(good) else np.inf


def e_values(w: np.ndarray, q: float, decoys: int = 1) -> np.ndarray:
    """E-values of n candidates in one draw; those of null ones add up to n at most in expectation.

    Returns
    -------
    `(candidates,)`: n [W >= t] decoys / (1 + #{W <= -t}), t the `knockoff_threshold` at `q`.

    References
    ----------
    Ren & Barber 2024, J R Stat Soc B 86:122, equation 6.
    """
    t = knockoff_threshold(w, q, decoys)
    values: np.ndarray = len(w) * (w >= t) * decoys / (1 + (w <= -t).sum())
    return values


def e_bh(e: np.ndarray, q: float) -> np.ndarray:
    """`(candidates,)` bool: selected by the e-BH procedure (Wang & Ramdas 2022) at `q`."""
    order = np.argsort(-e, kind="stable")
    enough = np.flatnonzero(e[order] >= len(e) / (q * np.arange(1, len(e) + 1)))
    selected = np.zeros(len(e), dtype=bool)
    if len(enough):
        selected = e >= e[order[enough[-1]]]
    return selected


def mean_e_values(w: np.ndarray, q: float, decoys: int = 1) -> np.ndarray:
    """`(candidates,)` mean over draws of `e_values` at q / 2, as Ren & Barber recommend."""
    values: np.ndarray = np.mean([e_values(draw, q / 2, decoys) for draw in w], axis=0)
    return values


def select(w: np.ndarray, q: float, decoys: int = 1) -> np.ndarray:
    """Which candidates are selected at `q`, from `(draws, candidates)` statistics.

    Returns
    -------
    `(candidates,)` bool. One draw: knockoff+. Several: the mean of their e-values enters e-BH, so
    the list no longer hangs on one draw of decoys.
    """
    if len(w) == 1:
        return np.asarray(w[0] >= knockoff_threshold(w[0], q, decoys))
    return e_bh(mean_e_values(w, q, decoys), q)


def q_values(w: np.ndarray, q: float, decoys: int = 1) -> np.ndarray:
    """`(candidates,)` the least of `LEVELS` and `q` at which `select` takes a candidate, or 1."""
    found = np.ones(w.shape[1])
    for level in sorted({*LEVELS, q}, reverse=True):
        found[select(w, level, decoys)] = level
    taken = select(w, q, decoys)
    above = min((level for level in LEVELS if level > q), default=1.0)
    return np.where(taken, np.minimum(found, q), np.maximum(found, above))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """`(tests,)` q-values of p-values; NaN stays NaN and counts as no test."""
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    there = ~np.isnan(p)
    if there.any():
        q[there] = false_discovery_control(p[there])
    return q
