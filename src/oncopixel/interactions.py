"""What genes say together: modules that move with the label, and pairs that only say it jointly.

Genes of one module cannot be told apart, so the module is what is discovered. Two things may carry
the label although neither does alone. Two modules do when their activities correlate differently in
one class (differential co-expression: Choi et al. 2005, Bioinformatics 21:4348), copy number and
mutation of a gene when their product, of values centred within each class, has another mean there
(a loss that meets a mutation: Knudson's two hits, 1971, PNAS 68:820). That one of the two has
another mean in a class is therefore not enough. Two modules that both move with the label are no
pair: those that move in the same part of a class correlate there. Limits: a module that moves in a
part of a class correlates otherwise there with all that it correlates with; a class in which a gene
is mutated more often has more of its two hits, at the same odds; and the p of pairs is that of
normal distributions, too small where heavy tails are shared by modules. q-values are Benjamini and
Hochberg's over one kind of test.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from .biomarkers import contrast, welch
from .fdr import benjamini_hochberg
from .modules import Modules, normal_scores, pairs

MOVES = 0.1
"""q-value at which a module's activity is associated with the label by itself."""
MIN_CLASS = 15
"""With fewer samples in a class, or in the rest, no pair of modules is tested: p would be wrong."""
MIN_MUTATED = 5
"""A gene mutated in fewer samples of a class, or of the rest, is not tested for two hits."""
SHOWN = 10
"""Genes that stand for a module in a table, those of largest weight first."""


def module_table(
    modules: Modules, activity: np.ndarray, y: np.ndarray, genes: Sequence[str], classes: list[str]
) -> pd.DataFrame:
    """Every module, and whether its activity, `(samples, modules)`, is associated with the label.

    Columns: module ("M1", …), n_genes, leading_genes, class, effect (Hedges' g, that class against
    the rest), p_value, q_value.
    """
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
    """Every pair of modules, and whether their activities correlate differently in one class.

    Columns: module, other, class, effect (correlation there less that in the rest), p_value,
    q_value. Fisher's z of the correlations of normal scores within the class and within the rest;
    p is that of two samples of their size from normal distributions. It is 1 with fewer than
    `MIN_CLASS` samples, and where both modules are associated with the label by themselves.
    """
    first, second = pairs(activity.shape[1])
    moves = (_associations(activity, y, classes)["q_value"] <= MOVES).to_numpy()
    both = moves[first] & moves[second]
    table = pd.DataFrame({"module": first, "other": second}).map(lambda i: f"M{i + 1}")

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [activity[inside == k] for k in (1, 0)]
        r = []
        for part in parts:
            scores = normal_scores(part)
            scores /= max(float(np.linalg.norm(scores, axis=0).max(initial=0)), 1e-9)
            r.append(np.clip(scores.T @ scores, -0.999, 0.999)[first, second])
        effect, sizes = r[0] - r[1], [len(part) for part in parts]
        if min(sizes) < MIN_CLASS:
            return effect, np.ones(len(effect))
        p = _exceeded(np.abs(np.arctanh(r[0]) - np.arctanh(r[1])), *sizes)
        return effect, np.where(both, 1, p)

    return pd.concat([table, _tests(test, y, classes)], axis=1)


def _exceeded(difference: np.ndarray, n: int, m: int) -> np.ndarray:
    """How likely two Fisher's z of `n` and `m` samples differ by so much or more; two-sided.

    The density of z is cosh(z)^(2 - n) where nothing correlates (Fisher 1915, Biometrika 10:507):
    its tails are far longer than those of the usual normal approximation, and pairs are many.
    """
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
    """Every gene mutated often enough, and whether its two hits meet differently in one class.

    Both are `(samples, genes)`. Columns: gene, class, effect (Hedges' g of the product), p_value,
    q_value; Welch's t-test.
    """
    mutated = mutation > (mutation.min(axis=0) + mutation.max(axis=0)) / 2
    counts = np.array([mutated[y == k].sum(axis=0) for k in range(len(classes))])
    rest = counts.sum(axis=0) - counts
    at = np.flatnonzero((np.minimum(counts, rest) >= MIN_MUTATED).all(axis=0))
    table = pd.DataFrame({"gene": np.asarray(genes, dtype=object)[at]})

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        product = _centred(copy_number[:, at], inside) * _centred(mutation[:, at], inside)
        return contrast(product, inside, 1)[1], welch(product[inside == 1], product[inside == 0])

    return pd.concat([table, _tests(test, y, classes)], axis=1)


def _tests(
    test: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], y: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Class, effect, p and q; `test` takes which samples are inside a class, 0 or 1.

    With several classes each is tested against the rest; the smallest p counts, times the number
    of classes.
    """
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


def _centred(x: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """`x` less the mean of the class, or of the rest, that each sample is in."""
    means = np.where(inside[:, None] == 1, x[inside == 1].mean(axis=0), x[inside == 0].mean(axis=0))
    centred: np.ndarray = x - means
    return centred
