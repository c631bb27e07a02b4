"""The claim `beyond`: a candidate tells the classes apart where all others are held fixed.

What the others say of a candidate is taken out of it by ridge regression. What is left, its own, is
scored against what the others leave of the classes, by two models of these: a logistic regression
on a chosen few, for few strong markers, and a ridge regression on all, for many weak ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import joblib
import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2, norm
from threadpoolctl import threadpool_limits

from ..core.executor import parallel
from ..images.coexpression import orthonormal, standardised

RIDGE = 1.0
"""Penalty of the ridge regressions, in units of the mean squared norm of a sample."""
ENTER, MOST = 0.1, 25
"""A candidate is chosen to be held fixed while its score in the logistic regression is significant
at this level, divided by the number of candidates; so many are at most."""
WEAK = 10.0
"""C of the logistic regression: hardly shrunken, but finite where the classes separate."""
STRONG = 8.0
"""A chosen one that ever reached this |z| is held fixed in the ridge regression, too, which would
leave too much of it."""
NEAR = 2.0
"""Where one is left out, its stead is looked for among those that ever reached this |z|."""
TAIL = 3.0
"""|z| from which the saddlepoint gives the p-value of a score of the logistic regression."""
BROAD = 10
"""A score of the ridge regression that fewer samples make, as of a rare mutation or in a small
class, is no normal variable and does not count."""
ENOUGH = 50
"""Candidates from which the inflation of scores can be told; smaller channels share that of all."""
LABELLINGS, THREADS = 25, 2
"""Labellings in a task; tasks at once."""


@dataclass(frozen=True, eq=False)
class Channel:
    """The candidates of one channel."""

    measured: np.ndarray
    """`(samples, candidates)`."""
    fixed: np.ndarray
    """`(samples, terms)` beyond which all of them are judged, such as classes of burden."""
    copies: np.ndarray | None = None
    """`(samples, candidates)` copy number beyond which each is judged."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What is needed of some samples; arrays are `(samples, candidates)` or `(candidates,)`."""

    values: np.ndarray
    free: np.ndarray
    """Values beyond what is fixed; those of a channel share the variance evenly."""
    own: np.ndarray
    """What no other candidate of the channel says."""
    precision: np.ndarray
    """`(samples, samples)` from classes to what a ridge regression on all candidates leaves."""
    spread: np.ndarray
    """What that regression leaves of `free`."""
    covariates: np.ndarray
    """`(samples, terms)` standardised."""
    parts: list[slice]
    """Of each channel."""


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
    prepared = _prepare(channels, covariates, rows)
    targets = [1] if n_classes == 2 else list(range(n_classes))
    p = np.full((len(labels), prepared.values.shape[1]), np.nan)
    for number, label in enumerate(labels[:, rows]):
        for target in targets:
            y = (label == target).astype(np.float64)
            if 0 < y.sum() < len(y):
                one = np.minimum(_p_values(prepared, y) * len(targets), 1)
                p[number] = np.fmin(p[number], one)
    return p


def _prepare(channels: Sequence[Channel], covariates: np.ndarray, rows: np.ndarray) -> _Prepared:
    # With P the inverse of K + ridge I, K the samples' products over the candidates of a channel,
    # the residual of a ridge regression of x on the others is Px but for its scale; with the copies
    # c held fixed, too, P(x - bc), b from weighted least squares.
    n, fixed = int(rows.sum()), standardised(covariates[rows])
    penalty, every = RIDGE * np.eye(n), np.zeros((n, n))
    free, own = [], []
    for channel in channels:
        basis = orthonormal(np.column_stack([np.ones(n), fixed, channel.fixed[rows]]))
        x = _without(channel.measured[rows], basis)
        x /= max(float(np.linalg.norm(x)) / np.sqrt(n), 1e-6)
        gram = (x @ x.T).astype(np.float64)
        precision = np.linalg.inv(gram + penalty).astype(np.float32)
        mine = precision @ x
        if channel.copies is not None:
            copies = _without(channel.copies[rows], basis)
            weighted = precision @ copies
            size = np.maximum((copies * weighted).sum(axis=0), 1e-6)
            mine -= weighted * ((copies * mine).sum(axis=0) / size)
        every += gram / len(channels)
        free.append(x / np.float32(np.sqrt(len(channels))))
        own.append(mine)
    edges = np.cumsum([0, *(x.shape[1] for x in free)])
    precision, together = np.linalg.inv(every + penalty), np.hstack(free)
    return _Prepared(
        np.hstack([standardised(channel.measured[rows]) for channel in channels]),
        together,
        standardised(np.hstack(own)),
        precision,
        precision.astype(np.float32) @ together,
        fixed.astype(np.float64),
        [slice(*ends) for ends in pairwise(edges)],
    )


def _without(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Standardised columns of `x` without what the orthonormal columns of `basis` explain."""
    x = standardised(x)
    return standardised(x - (basis @ (basis.T @ x)).astype(np.float32))


def _p_values(prepared: _Prepared, y: np.ndarray) -> np.ndarray:
    """`(candidates,)` of what is own, with both models of what the others leave of y."""
    n_candidates = prepared.values.shape[1]
    few, every, p = (np.full(n_candidates, np.nan) for _ in range(3))
    broad = np.zeros(n_candidates, dtype=bool)
    for tested, held, firmly in _models(prepared, y):
        design, chance = _logistic(prepared, y, held)
        few[tested] = _scores(prepared.own[:, tested], design, chance, y)
        p[tested] = 2 * norm.sf(np.abs(few[tested]))
        strong = np.arange(n_candidates)[tested][np.abs(few[tested]) > TAIL]
        p[strong] = saddlepoint(prepared.own[:, strong], design, chance, y)
        every[tested], broad[tested] = _by_all(prepared, y, tested, firmly)
    p = _control(few, p, prepared.parts)
    of_all = _control(every, 2 * norm.sf(np.abs(every)), prepared.parts)
    return np.where(broad, _combined(p, of_all), p)


def _models(
    prepared: _Prepared, y: np.ndarray
) -> Iterator[tuple[slice | np.ndarray, list[int], list[int]]]:
    """Which candidates are tested, and which others, chosen without them, either model holds."""
    least = float(norm.isf(ENTER / 2 / prepared.values.shape[1]))
    chosen, highest = _choose(prepared, y, [], slice(None), least)
    near, strong = np.flatnonzero(highest >= NEAR), np.flatnonzero(highest >= STRONG)
    yield slice(None), chosen, [one for one in chosen if one in strong]
    for place, one in enumerate(chosen):
        others, _ = _choose(prepared, y, chosen[:place], near[near != one], least)
        yield np.array([one]), others, [other for other in others if other in strong]


def _by_all(
    prepared: _Prepared, y: np.ndarray, tested: slice | np.ndarray, firmly: list[int]
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
    # With Q the precision of K over all candidates and B what has no penalty,
    # P = Q - QB / (B'QB) B'Q, and Py is what all of them leave. Without x, whose products are in K,
    # it is Py + b Px, b = x'Py / (1 - x'Px) (Sherman & Morrison).
    x, own, precision = prepared.free[:, tested], prepared.own[:, tested], prepared.precision
    basis = orthonormal(_design(prepared, firmly))
    held = precision @ basis
    inner = np.linalg.pinv(basis.T @ held, hermitian=True)
    left = (precision @ y - held @ (inner @ (held.T @ y))).astype(np.float32)
    fixed, weights = held.astype(np.float32), (inner @ held.T).astype(np.float32)
    spread = prepared.spread[:, tested] - fixed @ (weights @ x)
    b = (left @ x) / np.maximum(1 - np.einsum("ij,ij->j", x, spread), 1e-5)
    score = left @ own + b * np.einsum("ij,ij->j", own, spread)
    size = left @ left + 2 * b * (left @ spread) + b**2 * np.einsum("ij,ij->j", spread, spread)
    total = np.einsum("ij,ij->j", own, own)
    rest = total - ((basis.T.astype(np.float32) @ own) ** 2).sum(axis=0)
    mean = size / max(len(y) - basis.shape[1], 1)
    broad = _samples(own) * _samples(left) >= BROAD * len(y)
    return _ratio(score, rest * mean, total * mean), broad


def _samples(x: np.ndarray) -> np.ndarray:
    """How many samples make each column of `x`: all of them when they are equal in size."""
    count: np.ndarray = (x**2).sum(axis=0) ** 2 / np.maximum((x**4).sum(axis=0), 1e-30)
    return count


def _choose(
    prepared: _Prepared,
    y: np.ndarray,
    start: list[int],
    among: slice | np.ndarray,
    least: float,
) -> tuple[list[int], np.ndarray]:
    """Candidates chosen one after the other by the largest |z|; `(candidates,)` highest |z|."""
    chosen, highest = list(start), np.zeros(prepared.values.shape[1])
    values, among = prepared.values[:, among], np.arange(len(highest))[among]
    while len(chosen) < MOST:
        z = np.nan_to_num(np.abs(_scores(values, *_logistic(prepared, y, chosen), y)))
        z[np.isin(among, chosen)] = 0
        highest[among] = np.maximum(highest[among], z)
        if z.max(initial=0) < least:
            break
        chosen.append(int(among[z.argmax()]))
    return chosen, highest


def _logistic(prepared: _Prepared, y: np.ndarray, held: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Design, `(samples, terms)`, and chance of y, `(samples,)`, of a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    design = _design(prepared, held)
    chance = np.full(len(y), y.mean())
    if design.shape[1] > 1:
        model = LogisticRegression(C=WEAK, solver="newton-cholesky").fit(design[:, 1:], y)
        chance = model.predict_proba(design[:, 1:])[:, 1]
    return design, chance


def _design(prepared: _Prepared, held: list[int]) -> np.ndarray:
    """`(samples, terms)`: 1, the covariates, and the values of some candidates."""
    ones = np.ones(len(prepared.values))
    return np.column_stack([ones, prepared.covariates, prepared.values[:, held]])


def _scores(x: np.ndarray, design: np.ndarray, chance: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`(candidates,)` z of the efficient score of each column of `x` in a logistic regression."""
    weight, left = chance * (1 - chance), y - chance
    weighted = design * weight[:, None]
    cross = (weighted.T.astype(x.dtype) @ x).astype(np.float64)
    explained = np.linalg.pinv(weighted.T @ design, hermitian=True) @ cross
    total = np.einsum("i,ij,ij->j", weight.astype(x.dtype), x, x).astype(np.float64)
    score = left.astype(x.dtype) @ x - (left @ design) @ explained
    return _ratio(score, total - (cross * explained).sum(axis=0), total)


def saddlepoint(x: np.ndarray, design: np.ndarray, chance: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P-values of scores of a logistic regression, also of those that few samples make.

    Parameters
    ----------
    x
        `(samples, candidates)` whose score on `y`, 0 or 1, is tested.
    design, chance
        `(samples, terms)`, the first 1, and `(samples,)` the regression's chance of 1.

    Returns
    -------
    `(candidates,)` two-sided; Chernoff's bound where no saddlepoint is found.

    References
    ----------
    Dey et al. 2017, Am J Hum Genet 101:37.
    """
    weighted = design * (chance * (1 - chance))[:, None]
    x = x - design @ (np.linalg.pinv(weighted.T @ design, hermitian=True) @ (weighted.T @ x))
    x = x / np.sqrt(np.maximum((chance * (1 - chance)) @ x**2, 1e-12))
    score, odds = (y - chance) @ x, logit(np.clip(chance, 1e-9, 1 - 1e-9))[:, None]
    p = np.zeros(len(score))
    for s in (np.abs(score), -np.abs(score)):
        t = np.zeros(len(s))
        for _ in range(100):
            risk = expit(odds + x * t)
            gap = s - ((risk - chance[:, None]) * x).sum(axis=0)
            curve = np.maximum((x**2 * risk * (1 - risk)).sum(axis=0), 1e-9)
            if np.abs(gap).max(initial=0) < 1e-6:
                break
            t += np.clip(gap / curve, -1, 1)
        k = (np.logaddexp(odds + x * t, 0) - np.logaddexp(odds, 0)).sum(axis=0) - t * (chance @ x)
        bound = np.minimum(k - t * s, 0)
        w, v = np.sqrt(-2 * bound), np.abs(t) * np.sqrt(curve)
        solved = (np.abs(gap) < 1e-3) & (w > 1e-3) & (v > 1e-6)
        ratio = np.log(np.where(solved, v, 1) / np.where(solved, w, 1)) / np.where(solved, w, 1)
        p += np.where(solved, norm.sf(w + ratio), np.exp(bound))
    return np.minimum(p, 1)


def _control(z: np.ndarray, p: np.ndarray, parts: list[slice]) -> np.ndarray:
    """P-values as if the median of z^2 in each part were at most that of a null."""
    p, tested = p.copy(), np.isfinite(z)
    for part in parts:
        pool = z[part][tested[part]]
        pool = pool if len(pool) >= ENOUGH else z[tested]
        inflation = float(np.median(pool**2) / chi2.median(1)) if len(pool) >= ENOUGH else 1.0
        if inflation > 1:
            p[part] = 2 * norm.sf(norm.isf(np.maximum(p[part], 1e-300) / 2) / np.sqrt(inflation))
    return p


def _combined(*p: np.ndarray) -> np.ndarray:
    """Cauchy combination of p-values; small ones may depend on each other."""
    mean = np.mean([1 / np.tan(np.pi * np.clip(one, 1e-300, 0.99)) for one in p], axis=0)
    combined: np.ndarray = np.arctan2(1, mean) / np.pi
    return combined


def _ratio(score: np.ndarray, variance: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Scores over their SD; NaN where hardly any of the total variance is left."""
    good = variance > 1e-4 * np.maximum(total, 1e-9)
    z: np.ndarray = np.where(good, score / np.sqrt(np.where(good, variance, 1)), np.nan)
    return z
