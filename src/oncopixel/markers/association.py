"""The claim `associated`: each candidate by itself, with the label and the covariates.

Values are tested by moderated t (limma-trend) or by ranks, events, which are 0 or 1, by Fisher's
exact test. Of several classes each is set against the rest; the smallest p counts, times their
number.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from ..core.params import BiomarkerParams
from ..images.coexpression import orthonormal

TREND_KNOTS = (0, 1 / 3, 2 / 3, 1)
"""Quantiles of the mean level at which the trend of the variance may bend; limma's, too."""
LEAST_VARIANCE = 1e-5
"""Of the median variance: smaller ones are taken for it."""


@dataclass(frozen=True, eq=False)
class Values:
    """Candidates of one kind, as they are tested."""

    measured: np.ndarray
    """`(samples, candidates)`: expression log2, copy number in SDs, events bool."""
    level: np.ndarray | None = None
    """`(candidates,)` mean log2 expression, along which the variance may have a trend."""
    least: float = 0.0
    """The effect that is to be exceeded, in units of the values."""

    @property
    def is_event(self) -> bool:
        """Whether they happen or not."""
        return self.measured.dtype == bool


def p_values(
    tested: Values,
    labels: np.ndarray,
    n_classes: int,
    covariates: np.ndarray,
    params: BiomarkerParams,
) -> np.ndarray:
    """How each candidate goes with each labelling, by itself.

    Parameters
    ----------
    labels
        `(labellings, samples)` class indices, -1 for a sample that takes no part.
    covariates
        `(samples, terms)` that are held fixed. Events are tested without them.

    Returns
    -------
    `(labellings, candidates)` two-sided p-values, NaN for values that never differ.
    """
    p = np.full((len(labels), tested.measured.shape[1]), np.nan)
    targets = [1] if n_classes == 2 else list(range(n_classes))
    taking, which = np.unique(labels >= 0, axis=0, return_inverse=True)
    for number, rows in enumerate(taking):
        at = np.flatnonzero(which == number)
        values, design = tested.measured[rows], covariates[rows]
        varies = (values != values[:1]).any(axis=0)
        inside = (labels[np.ix_(at, rows)][:, None] == np.array(targets)[:, None]).reshape(
            -1, rows.sum()
        )
        if tested.is_event:
            found = _exact(values[:, varies], inside)
        else:
            values = stats.rankdata(values, axis=0) if params.test == "rank" else values
            level = None if tested.level is None else tested.level[varies]
            own = Values(values[:, varies], level, tested.least)
            found = _t_test(own, inside, design, moderated=params.test == "moderated_t")
        smallest = found.reshape(len(at), len(targets), -1).min(axis=1) * len(targets)
        p[np.ix_(at, varies)] = np.minimum(smallest, 1)
    return p


def _t_test(
    tested: Values, inside: np.ndarray, covariates: np.ndarray, *, moderated: bool
) -> np.ndarray:
    """Whether effects exceed the least one.

    Returns
    -------
    `(labellings, candidates)` p-values.

    References
    ----------
    Smyth 2004, Stat Appl Genet Mol Biol 3:3; trend: Law et al. 2014, Genome Biol 15:R29; a least
    effect: McCarthy & Smyth 2009, Bioinformatics 25:765. On ranks: Conover & Iman 1981, Am Stat
    35:124.
    """
    effects, variances, factors, freedom = _linear_model(tested.measured, inside, covariates)
    p, least = np.ones_like(effects), tested.least
    for number in np.flatnonzero(factors):
        variance, total = np.maximum(variances[number], 1e-12), float(freedom)
        if moderated:
            variance, total = moderate(variance, freedom, tested.level)
        error, size = np.sqrt(variance) * factors[number], np.abs(effects[number])
        p[number] = sum(stats.t.sf((size + side) / error, total) for side in (-least, least))
    return p


def _linear_model(
    values: np.ndarray, inside: np.ndarray, covariates: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Least squares of each column on being inside and the covariates.

    Returns
    -------
    effects, variances, factors, freedom
        `(labellings, candidates)` differences and residual variances; `(labellings,)` factor that
        makes the root of these the effect's standard error, 0 where the covariates tell who is
        inside; residual degrees of freedom.
    """
    n = len(values)
    basis = orthonormal(np.column_stack([np.ones(n), covariates]))
    left = values - (basis @ (basis.T @ values))
    squares = np.einsum("ij,ij->j", left, left, dtype=np.float64)
    label = inside - (inside @ basis) @ basis.T
    size = (label**2).sum(axis=1)
    known = size > 1e-9 * n
    effects = (label.astype(left.dtype) @ left).astype(np.float64)
    effects /= np.where(known, size, 1)[:, None]
    freedom = n - basis.shape[1] - 1
    variances = (squares - effects**2 * size[:, None]) / freedom
    factors = np.where(known, np.where(known, size, 1) ** -0.5, 0)
    return effects, variances, factors, freedom


def moderate(
    variance: np.ndarray, freedom: int, level: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Variances drawn towards what is usual.

    Parameters
    ----------
    variance
        `(candidates,)` of residuals, with `freedom` degrees each.
    level
        `(candidates,)` along which what is usual may have a trend, a natural cubic spline.

    Returns
    -------
    variances, freedom
        `(candidates,)`, and the degrees of freedom of each.

    References
    ----------
    Smyth 2004, section 6.2: moments of the log variances.
    """
    variance = np.maximum(variance, LEAST_VARIANCE * np.median(variance))
    if len(variance) < 2 * len(TREND_KNOTS):
        return variance, float(freedom)
    logs = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    basis = np.ones((len(logs), 1)) if level is None else _natural_spline(level)
    fit, _, rank, _ = np.linalg.lstsq(basis, logs, rcond=None)
    usual = basis @ fit
    excess = ((logs - usual) ** 2).sum() / (len(logs) - rank) - polygamma(1, freedom / 2)
    if excess <= 0:
        return np.exp(usual), float(len(variance) * freedom)
    prior = 2 * float(np.exp(brentq(lambda x: polygamma(1, np.exp(x)) - excess, -20, 20)))
    center = np.exp(usual + digamma(prior / 2) - np.log(prior / 2))
    total = min(prior + freedom, float(len(variance) * freedom))
    return (prior * center + freedom * variance) / (prior + freedom), total


def _natural_spline(x: np.ndarray) -> np.ndarray:
    """`(values, knots)` basis of cubic splines that are straight beyond the outer knots."""
    knots = np.unique(np.quantile(x, TREND_KNOTS))
    columns = [np.ones(len(x)), x]
    if len(knots) > 2:
        bend = [
            (np.maximum(x - k, 0) ** 3 - np.maximum(x - knots[-1], 0) ** 3) / (knots[-1] - k)
            for k in knots[:-1]
        ]
        columns += [column - bend[-1] for column in bend[:-1]]
    return np.column_stack(columns)


def _exact(happened: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """`(labellings, candidates)` p of Fisher's exact test of `(samples, candidates)` events."""
    n, events = len(happened), happened.sum(axis=0)
    hits = (inside.astype(np.float32) @ happened.astype(np.float32)).astype(int)
    size, p = inside.sum(axis=1), np.ones(hits.shape)
    for m in np.unique(events):
        mine = np.flatnonzero(events == m)
        for k in np.unique(size):
            at = np.ix_(size == k, mine)
            p[at] = _fisher(n, int(m), int(k))[hits[at]]
    return p


def _fisher(n: int, m: int, k: int) -> np.ndarray:
    """`(m + 1,)` two-sided p of 0 to m events among k of n samples, m events in all."""
    chance = stats.hypergeom(n, m, k).pmf(np.arange(m + 1))
    order = np.argsort(chance, kind="stable")
    total = np.cumsum(chance[order])
    as_rare = np.searchsorted(chance[order], chance * (1 + 1e-7), side="right")
    p: np.ndarray = np.minimum(total[as_rare - 1], 1)
    return p
