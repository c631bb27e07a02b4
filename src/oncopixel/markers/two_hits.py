"""Two hits of a gene: mutated samples have another number of copies in one class only.

A loss that meets a mutation (Knudson 1971, PNAS 68:820) may tell the classes apart although neither
does alone. This is an interaction proper: that mutations are more frequent in a class, or copies
are, is not enough. Two hits are a finding of their own, with q-values of their own, and make no row
of the marker list.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .effects import one_against_rest

MIN_MUTATED = 5
"""With fewer samples of a class in which a gene is mutated, or in which it is not, it is not tested
for two hits."""


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

    return pd.concat([table, one_against_rest(test, y, classes)], axis=1)


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
