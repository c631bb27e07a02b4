"""The claim `beyond`: a candidate tells the classes apart where all others are held fixed."""

from collections.abc import Iterator, Sequence
from functools import partial

import joblib
import numpy as np
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from ..core.executor import parallel
from .held_fixed import (
    BROAD,
    NEAR,
    STRONG,
    TAIL,
    Channel,
    Prepared,
    choose,
    combined,
    control,
    efficient_scores,
    least_z,
    logistic,
    over_sd,
    prepare,
    ridge_residual,
    saddlepoint,
    samples_of,
)

LABELLINGS, THREADS = 25, 2
"""Labellings in a task; tasks at once."""


def conditional_p_values(
    channels: Sequence[Channel], labels: np.ndarray, n_classes: int, covariates: np.ndarray
) -> np.ndarray:
    """How surely each candidate goes with each labelling where all others are held fixed.

    Parameters
    ----------
    labels
        `(labellings, samples)` class indices, -1 for a sample that takes no part.
    covariates
        `(samples, terms)` that are held fixed.

    Returns
    -------
    `(labellings, candidates)` two-sided p-values, the channels one after the other; NaN for what
    cannot be tested. Of several classes each is set against the rest; the smallest p counts,
    times their number.

    References
    ----------
    Distilled conditional randomisation test: Liu et al. 2022, Biometrika 109:277. Genomic control,
    here of each channel: Devlin & Roeder 1999, Biometrics 55:997. Cauchy combination of the two
    models: Liu et al. 2019, Am J Hum Genet 104:410.
    """
    taking, which = np.unique(labels >= 0, axis=0, return_inverse=True)
    places = [
        part
        for at in (np.flatnonzero(which == number) for number in range(len(taking)))
        for part in np.array_split(at, -(-len(at) // LABELLINGS))
    ]
    tasks = [(taking[which[part[0]]], labels[part]) for part in places]
    work = partial(_test, channels, covariates, n_classes)
    size = sum(channel.measured.shape[1] for channel in channels)
    p = np.full((len(labels), size), np.nan)
    with parallel(work, min(THREADS, joblib.cpu_count()), None, "tests of labels") as run_all:
        for part, found in zip(places, run_all(tasks), strict=True):
            p[part] = found
    return p


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def _test(
    channels: Sequence[Channel],
    covariates: np.ndarray,
    n_classes: int,
    rows: np.ndarray,
    labels: np.ndarray,
) -> np.ndarray:
    """`(labellings, candidates)` p-values of labellings of the same samples."""
    prepared = prepare(channels, covariates, rows)
    targets = [1] if n_classes == 2 else list(range(n_classes))
    p = np.full((len(labels), prepared.values.shape[1]), np.nan)
    for number, label in enumerate(labels[:, rows]):
        for target in targets:
            y = (label == target).astype(np.float64)
            if 0 < y.sum() < len(y):
                one = np.minimum(_p_values(prepared, y) * len(targets), 1)
                p[number] = np.fmin(p[number], one)
    return p


def _p_values(prepared: Prepared, y: np.ndarray) -> np.ndarray:
    """`(candidates,)` of what is own, with both models of what the others leave of y."""
    n_candidates = prepared.values.shape[1]
    few, every, p = (np.full(n_candidates, np.nan) for _ in range(3))
    broad = np.zeros(n_candidates, dtype=bool)
    for tested, held, firmly in _models(prepared, y):
        design, chance = logistic(prepared, y, held)
        few[tested] = efficient_scores(prepared.own[:, tested], design, chance, y)
        p[tested] = 2 * norm.sf(np.abs(few[tested]))
        strong = np.arange(n_candidates)[tested][np.abs(few[tested]) > TAIL]
        p[strong] = saddlepoint(prepared.own[:, strong], design, chance, y)
        every[tested], broad[tested] = _by_all(prepared, y, tested, firmly)
    p = control(few, p, prepared.parts)
    of_all = control(every, 2 * norm.sf(np.abs(every)), prepared.parts)
    return np.where(broad, combined(p, of_all), p)


def _models(
    prepared: Prepared, y: np.ndarray
) -> Iterator[tuple[slice | np.ndarray, list[int], list[int]]]:
    """Which candidates are tested, and which others, chosen without them, either model holds."""
    least = least_z(prepared)
    chosen, highest = choose(prepared, y, [], slice(None), least)
    near, strong = np.flatnonzero(highest >= NEAR), np.flatnonzero(highest >= STRONG)
    yield slice(None), chosen, [one for one in chosen if one in strong]
    for place, one in enumerate(chosen):
        others, _ = choose(prepared, y, chosen[:place], near[near != one], least)
        yield np.array([one]), others, [other for other in others if other in strong]


def _by_all(
    prepared: Prepared, y: np.ndarray, tested: slice | np.ndarray, firmly: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """What is own, scored on what a ridge regression on all others leaves of y.

    Parameters
    ----------
    tested, firmly
        Candidates that are scored, and those that the regression holds without a penalty.

    Returns
    -------
    z, broad
        `(tested,)`; whether enough samples make the score for it to be normal.
    """
    # Without x, whose products are in K, the ridge regression leaves Py + b Px,
    # b = x'Py / (1 - x'Px) (Sherman & Morrison).
    x, own = prepared.free[:, tested], prepared.own[:, tested]
    basis, left, spread = ridge_residual(prepared, y, tested, firmly)
    b = (left @ x) / np.maximum(1 - np.einsum("ij,ij->j", x, spread), 1e-5)
    score = left @ own + b * np.einsum("ij,ij->j", own, spread)
    size = left @ left + 2 * b * (left @ spread) + b**2 * np.einsum("ij,ij->j", spread, spread)
    total = np.einsum("ij,ij->j", own, own)
    rest = total - ((basis.T.astype(np.float32) @ own) ** 2).sum(axis=0)
    mean = size / max(len(y) - basis.shape[1], 1)
    broad = samples_of(own) * samples_of(left) >= BROAD * len(y)
    return over_sd(score, rest * mean, total * mean), broad
