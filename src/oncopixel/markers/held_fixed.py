"""What is a candidate's own, and what the others leave of the classes: what `beyond` rests on.

What the others say of a candidate is taken out of it by ridge regression. Two models say what they
leave of the classes: a logistic regression on a chosen few, for few strong markers, and a ridge
regression on all, for many weak ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2, norm

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
class Prepared:
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
    first: np.ndarray
    """The first channel's values beyond what is fixed, of mean squared norm 1 of a sample."""
    residual: np.ndarray
    """What a ridge regression on all candidates of the first channel leaves of `first`."""


def prepare(channels: Sequence[Channel], covariates: np.ndarray, rows: np.ndarray) -> Prepared:
    """What is needed of the samples that `rows`, bool, names."""
    # With P the inverse of K + ridge I, K the samples' products over the candidates of a channel,
    # the residual of a ridge regression of x on the others is Px but for its scale; with the copies
    # c held fixed, too, P(x - bc), b from weighted least squares.
    n, fixed = int(rows.sum()), standardised(covariates[rows])
    penalty, every = RIDGE * np.eye(n), np.zeros((n, n))
    free, own, firsts = [], [], []
    for channel in channels:
        basis = orthonormal(np.column_stack([np.ones(n), fixed, channel.fixed[rows]]))
        x = _without(channel.measured[rows], basis)
        x /= max(float(np.linalg.norm(x)) / np.sqrt(n), 1e-6)
        gram = (x @ x.T).astype(np.float64)
        precision = np.linalg.inv(gram + penalty).astype(np.float32)
        mine = precision @ x
        firsts.append((x, mine))
        if channel.copies is not None:
            copies = _without(channel.copies[rows], basis)
            weighted = precision @ copies
            size = np.maximum((copies * weighted).sum(axis=0), 1e-6)
            mine = mine - weighted * ((copies * mine).sum(axis=0) / size)
        every += gram / len(channels)
        free.append(x / np.float32(np.sqrt(len(channels))))
        own.append(mine)
    edges = np.cumsum([0, *(x.shape[1] for x in free)])
    precision, together = np.linalg.inv(every + penalty), np.hstack(free)
    return Prepared(
        np.hstack([standardised(channel.measured[rows]) for channel in channels]),
        together,
        standardised(np.hstack(own)),
        precision,
        precision.astype(np.float32) @ together,
        fixed.astype(np.float64),
        [slice(*ends) for ends in pairwise(edges)],
        *firsts[0],
    )


def _without(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Standardised columns of `x` without what the orthonormal columns of `basis` explain."""
    x = standardised(x)
    return standardised(x - (basis @ (basis.T @ x)).astype(np.float32))


def ridge_residual(
    prepared: Prepared, y: np.ndarray, tested: slice | np.ndarray, firmly: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An orthonormal basis B of what has no penalty; Py, and Px of the tested `free`."""
    # With Q the precision of K over all candidates, P = Q - QB / (B'QB) B'Q.
    basis = orthonormal(_design(prepared, firmly))
    held = prepared.precision @ basis
    inner = np.linalg.pinv(basis.T @ held, hermitian=True)
    left = (prepared.precision @ y - held @ (inner @ (held.T @ y))).astype(np.float32)
    weights = (inner @ held.T).astype(np.float32)
    spread = prepared.spread[:, tested] - held.astype(np.float32) @ (
        weights @ prepared.free[:, tested]
    )
    return basis, left, spread


def samples_of(x: np.ndarray) -> np.ndarray:
    """How many samples make each column of `x`: all of them when they are equal in size."""
    count: np.ndarray = (x**2).sum(axis=0) ** 2 / np.maximum((x**4).sum(axis=0), 1e-30)
    return count


def least_z(prepared: Prepared) -> float:
    """|z| from which a candidate is chosen."""
    return float(norm.isf(ENTER / 2 / prepared.values.shape[1]))


def choose(
    prepared: Prepared,
    y: np.ndarray,
    start: list[int],
    among: slice | np.ndarray,
    least: float,
) -> tuple[list[int], np.ndarray]:
    """Candidates chosen one after the other by the largest |z|; `(candidates,)` highest |z|."""
    chosen, highest = list(start), np.zeros(prepared.values.shape[1])
    values, among = prepared.values[:, among], np.arange(len(highest))[among]
    while len(chosen) < MOST:
        z = np.nan_to_num(np.abs(efficient_scores(values, *logistic(prepared, y, chosen), y)))
        z[np.isin(among, chosen)] = 0
        highest[among] = np.maximum(highest[among], z)
        if z.max(initial=0) < least:
            break
        chosen.append(int(among[z.argmax()]))
    return chosen, highest


def logistic(prepared: Prepared, y: np.ndarray, held: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Design, `(samples, terms)`, and chance of y, `(samples,)`, of a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    design = _design(prepared, held)
    chance = np.full(len(y), y.mean())
    if design.shape[1] > 1:
        model = LogisticRegression(C=WEAK, solver="newton-cholesky").fit(design[:, 1:], y)
        chance = model.predict_proba(design[:, 1:])[:, 1]
    return design, chance


def _design(prepared: Prepared, held: list[int]) -> np.ndarray:
    """`(samples, terms)`: 1, the covariates, and the values of some candidates."""
    ones = np.ones(len(prepared.values))
    return np.column_stack([ones, prepared.covariates, prepared.values[:, held]])


def efficient_scores(
    x: np.ndarray, design: np.ndarray, chance: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """`(candidates,)` z of the efficient score of each column of `x` in a logistic regression."""
    weight, left = chance * (1 - chance), y - chance
    weighted = design * weight[:, None]
    cross = (weighted.T.astype(x.dtype) @ x).astype(np.float64)
    explained = np.linalg.pinv(weighted.T @ design, hermitian=True) @ cross
    total = np.einsum("i,ij,ij->j", weight.astype(x.dtype), x, x).astype(np.float64)
    score = left.astype(x.dtype) @ x - (left @ design) @ explained
    return over_sd(score, total - (cross * explained).sum(axis=0), total)


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


def control(z: np.ndarray, p: np.ndarray, parts: list[slice]) -> np.ndarray:
    """P-values as if the median of z^2 in each part were at most that of a null."""
    p, tested = p.copy(), np.isfinite(z)
    for part in parts:
        pool = z[part][tested[part]]
        pool = pool if len(pool) >= ENOUGH else z[tested]
        inflation = float(np.median(pool**2) / chi2.median(1)) if len(pool) >= ENOUGH else 1.0
        if inflation > 1:
            p[part] = 2 * norm.sf(norm.isf(np.maximum(p[part], 1e-300) / 2) / np.sqrt(inflation))
    return p


def combined(*p: np.ndarray) -> np.ndarray:
    """Cauchy combination of p-values; small ones may depend on each other."""
    mean = np.mean([1 / np.tan(np.pi * np.clip(one, 1e-300, 0.99)) for one in p], axis=0)
    combined: np.ndarray = np.arctan2(1, mean) / np.pi
    return combined


def over_sd(score: np.ndarray, variance: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Scores over their SD; NaN where hardly any of the total variance is left."""
    good = variance > 1e-4 * np.maximum(total, 1e-9)
    z: np.ndarray = np.where(good, score / np.sqrt(np.where(good, variance, 1)), np.nan)
    return z
