"""What genes say together: modules that move with the label, and pairs that only say it jointly.

Genes of one module cannot be told apart, so the module is what is discovered. Two things may carry
the label although neither does alone. Two modules do when their activities correlate differently in
one class (differential co-expression: Choi et al. 2005, Bioinformatics 21:4348), copy number and
mutation of a gene when their product, of values centred within each class, has another mean there
(a loss that meets a mutation: Knudson's two hits, 1971, PNAS 68:820). So nothing is found because
one of the two moves with the label. q-values are Benjamini and Hochberg's over one kind of test.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from .biomarkers import contrast, welch
from .fdr import benjamini_hochberg
from .modules import Modules, normal_scores, pairs

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

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return contrast(activity, inside, 1)[1], welch(activity[inside == 1], activity[inside == 0])

    return pd.concat([table, _tests(test, y, classes)], axis=1)


def pair_table(activity: np.ndarray, y: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Every pair of modules, and whether their activities correlate differently in one class.

    Columns: module, other, class, effect (correlation there less that in the rest), p_value,
    q_value. Fisher's z of the correlations of normal scores within the class and within the rest.
    """
    from scipy.stats import norm

    first, second = pairs(activity.shape[1])
    table = pd.DataFrame({"module": first, "other": second}).map(lambda i: f"M{i + 1}")

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, z, error = [], [], 0.0
        for part in (activity[inside == 1], activity[inside == 0]):
            scores = normal_scores(part)
            scores /= max(float(np.linalg.norm(scores, axis=0).max(initial=0)), 1e-9)
            r.append(np.clip(scores.T @ scores, -0.999, 0.999))
            z.append(np.arctanh(r[-1][first, second]))
            error += 1 / max(len(part) - 3, 1)
        effect = (r[0] - r[1])[first, second]
        return effect, 2 * norm.sf(np.abs(z[0] - z[1]) / np.sqrt(error))

    return pd.concat([table, _tests(test, y, classes)], axis=1)


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
