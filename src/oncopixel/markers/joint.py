"""What genes say together: modules that move with the label, and pairs that only say it jointly.

Genes of one module cannot be told apart, so the module is what is discovered. Two things may carry
the label although neither does alone. Two modules do when their activities go together differently
in one class (differential co-expression): their correlation is another there, and so is the slope
of each on the other. Copy number and mutation of a gene do when mutated samples differ from the
others by another number of copies there (a loss that meets a mutation: Knudson's two hits), on
whatever scale. These are interactions proper: that one of the two has another mean, spread or rate
in a class is not enough. Two modules that both move with the label are no pair: those that move in
the same part of a class go together there. A limit: where all modules share heavy tails, pairs are
found more often than promised. q-values are Benjamini and Hochberg's over one kind of test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..images.coexpression import Modules, normal_scores, pairs
from .effects import contrast, welch
from .fdr import benjamini_hochberg

MOVES = 0.1
"""q-value at which a module's activity is associated with the label by itself."""
MIN_CLASS = 15
"""With fewer samples in a class, or in the rest, no pair of modules is tested: p would be wrong."""
MIN_MUTATED = 5
"""With fewer samples of a class in which a gene is mutated, or in which it is not, it is not tested
for two hits."""
MOST_LEVERAGE = 0.99
"""A slope that hangs on one sample by more than this share has no variance to judge it by."""
SHOWN = 10
"""Genes that stand for a module in a table, those of largest weight first."""


def module_table(
    modules: Modules, activity: np.ndarray, y: np.ndarray, genes: Sequence[str], classes: list[str]
) -> pd.DataFrame:
    """By module ("M1", …): n_genes, leading_genes, class, effect (Hedges' g), p_value, q_value."""
    rows = []
    for number, members in enumerate(modules.members()):
        weight = np.abs(modules.weights[members, number])
        lead = members[np.argsort(-weight, kind="stable")][:SHOWN]
        rows.append((f"M{number + 1}", len(members), " ".join(genes[i] for i in lead)))
    table = pd.DataFrame(rows, columns=["module", "n_genes", "leading_genes"])
    return pd.concat([table, _associations(activity, y, classes)], axis=1)


def _associations(activity: np.ndarray, y: np.ndarray, classes: list[str]) -> pd.DataFrame:
    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return contrast(activity, inside, 1)[1], welch(activity[inside == 1], activity[inside == 0])

    return _tests(test, y, classes)


def pair_table(activity: np.ndarray, y: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Every pair of modules, and whether their activities go together differently in one class.

    Returns
    -------
    Columns module, other, class, effect (correlation there less that in the rest), p_value,
    q_value. p is the largest of three: of Fisher's z of the correlations of normal scores within
    the class and within the rest, which holds in small classes, and of the slope of either activity
    on the other, which holds where heavy tails are shared, and where one of the two moves or
    spreads more in a part of the class. It is 1 with fewer than `MIN_CLASS` samples, and where both
    modules are associated with the label by themselves.

    References
    ----------
    Differential co-expression: Choi et al. 2005, Bioinformatics 21:4348.
    """
    first, second = pairs(activity.shape[1])
    moves = (_associations(activity, y, classes)["q_value"] <= MOVES).to_numpy()
    both = moves[first] & moves[second]
    table = pd.DataFrame({"module": first, "other": second}).map(lambda i: f"M{i + 1}")
    scores = normal_scores(activity).astype(np.float64)

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        groups = [inside == k for k in (1, 0)]
        r = [_correlation(activity[group])[first, second] for group in groups]
        effect, sizes = r[0] - r[1], [int(group.sum()) for group in groups]
        if min(sizes) < MIN_CLASS:
            return effect, np.ones(len(effect))
        by_z = _exceeded(np.abs(np.arctanh(r[0]) - np.arctanh(r[1])), *sizes)
        by_slope = _slopes_differ(*(scores[group] for group in groups))
        p = np.max([by_z, by_slope[first, second], by_slope[second, first]], axis=0)
        return effect, np.where(both, 1, p)

    return pd.concat([table, _tests(test, y, classes)], axis=1)


def _correlation(x: np.ndarray) -> np.ndarray:
    """`(columns, columns)` correlations of normal scores, kept a little off -1 and 1."""
    scores = normal_scores(x)
    scores /= max(float(np.linalg.norm(scores, axis=0).max(initial=0)), 1e-9)
    r: np.ndarray = np.clip(scores.T @ scores, -0.999, 0.999)
    return r


def _slopes_differ(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """`(columns, columns)` p that the slope of column j on i is the same in two sets of samples."""
    slopes, variances = [], []
    for part in (inside, outside):
        x = part - part.mean(axis=0)
        squares = np.maximum((x**2).sum(axis=0), 1e-9)
        slope = x.T @ x / squares[:, None]
        leverage = 1 / len(x) + x**2 / squares
        # HC3, the jackknife's variance (MacKinnon & White 1985, J Econometrics 29:305): the spread
        # of one column may depend on the other
        weight = (x / (1 - np.minimum(leverage, MOST_LEVERAGE))) ** 2
        residual = weight.T @ x**2 - 2 * slope * ((weight * x).T @ x)
        residual += slope**2 * (weight * x**2).sum(axis=0)[:, None]
        residual = np.maximum(residual, 1e-9 * squares[:, None] * squares / len(x))
        judged = leverage.max(axis=0) <= MOST_LEVERAGE
        slopes.append(slope)
        variances.append(np.where(judged, residual.T / squares**2, 1e12).T)
    freedom = np.array([len(inside) - 2, len(outside) - 2])[:, None, None]
    return _p_of_t(slopes[0] - slopes[1], np.array(variances), freedom)


def _exceeded(difference: np.ndarray, n: int, m: int) -> np.ndarray:
    """How likely two Fisher's z of `n` and `m` samples differ by so much or more; two-sided."""
    # the densities where nothing correlates (Fisher 1915, Biometrika 10:507): their tails are far
    # longer than those of the usual normal approximation, and pairs are many
    z = np.linspace(-8, 8, 4_001)
    n_density, m_density = np.cosh(z) ** (2.0 - n), np.cosh(z) ** (2.0 - m)
    density = np.convolve(n_density, m_density, "same")
    beyond = np.cumsum(density[::-1])[::-1] / density.sum()
    p: np.ndarray = np.minimum(1, 2 * np.interp(difference, z, beyond))
    return p


def two_hit_table(
    copy_number: np.ndarray,
    mutation: np.ndarray,
    y: np.ndarray,
    genes: Sequence[str],
    classes: list[str],
) -> pd.DataFrame:
    """Every gene mutated often enough in `(samples, genes)`, and how its two hits meet by class.

    Returns
    -------
    Columns gene, class, effect (by how many SDs more mutated samples exceed the others in copy
    number there than in the rest), p_value, q_value. SDs are those within mutated and other
    samples, of the class and of the rest apart. p is the largest of three Welch's t-tests of the
    difference, in copies, in SDs, and over the variance, which is what the odds of a mutation per
    copy determine: copies that merely spread more widely in a class leave one of the three as it
    is. A group's variance is at least that within both groups: a group may be small, and the copies
    of all its samples the same.

    References
    ----------
    Two hits: Knudson 1971, PNAS 68:820.
    """
    mutated = mutation > (mutation.min(axis=0) + mutation.max(axis=0)) / 2
    hit = np.stack([mutated, ~mutated])
    counts = np.array([hit[:, y == k].sum(axis=1) for k in range(len(classes))])
    at = np.flatnonzero((counts >= MIN_MUTATED).all(axis=(0, 1)))
    table = pd.DataFrame({"gene": np.asarray(genes, dtype=object)[at]})
    copies = copy_number[:, at].astype(np.float64)

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sides = [_by_mutation(copies, hit[:, :, at] & (inside == k)[:, None]) for k in (1, 0)]
        p = []
        for power in range(3):
            scaled = [side.over_sd(power) for side in sides]
            variances = np.concatenate([variance for _, variance in scaled])
            freedom = np.concatenate([side.freedom for side in sides])
            p.append(_p_of_t(scaled[0][0] - scaled[1][0], variances, freedom))
        effect = sides[0].over_sd(1)[0] - sides[1].over_sd(1)[0]
        return effect, np.max(p, axis=0)

    return pd.concat([table, _tests(test, y, classes)], axis=1)


@dataclass(frozen=True)
class _ByMutation:
    """Copies of the samples of one side in which each gene is mutated, against the others."""

    difference: np.ndarray
    """`(genes,)` of means."""
    variances: np.ndarray
    """`(2, genes)` of the two means."""
    freedom: np.ndarray
    """`(3, genes)` degrees of freedom: of the two, and of the SD."""
    sd: np.ndarray
    """`(genes,)` within the two groups."""

    def over_sd(self, power: int) -> tuple[np.ndarray, np.ndarray]:
        """The difference over this power of the SD, and the `(3, genes)` parts of its variance."""
        difference = self.difference / self.sd**power
        of_sd = (power * difference) ** 2 / (2 * self.freedom[2])
        return difference, np.vstack([self.variances / self.sd ** (2 * power), of_sd])


def _by_mutation(copies: np.ndarray, groups: np.ndarray) -> _ByMutation:
    """`groups` `(2, samples, genes)`: which samples are mutated, and which are not."""
    n = groups.sum(axis=1)
    means = np.array([(copies * group).sum(axis=0) for group in groups]) / n
    squares = np.array(
        [
            ((copies - mean) ** 2 * group).sum(axis=0)
            for mean, group in zip(means, groups, strict=True)
        ]
    )
    together = n.sum(axis=0) - 2
    pooled = np.maximum(squares.sum(axis=0) / together, 1e-9)
    own = squares / (n - 1)
    freedom = np.where(own > pooled, n - 1, together)
    return _ByMutation(
        difference=means[0] - means[1],
        variances=np.maximum(own, pooled) / n,
        freedom=np.vstack([freedom, together]),
        sd=np.sqrt(pooled),
    )


def _p_of_t(difference: np.ndarray, variances: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Two-sided p of a difference by Welch's t; its variance is the sum of those of `(groups,)`."""
    from scipy.stats import t

    variance = variances.sum(axis=0)
    together = variance**2 / (variances**2 / freedom).sum(axis=0)
    p: np.ndarray = 2 * t.sf(np.abs(difference) / np.sqrt(variance), together)
    return p


def _tests(
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
