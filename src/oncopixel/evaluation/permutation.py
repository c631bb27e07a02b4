"""The permutation p-value of an AUC: whether labels that say nothing would score as well."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from .scores import defined_mean, scored_classes

BLOCK_VALUES = 1_000_000
"""Permuted labels worked on together: 8 MB."""


def permutation_p(
    p: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    *,
    draws: int,
    seed: Sequence[int],
) -> float:
    """The p-value of one model's AUC, exact (Hemerik & Goeman 2018); see `Part` for shapes."""
    rng = np.random.default_rng(seed)
    observed = mean_area(p, y[None], folds)[0]
    size = max(1, BLOCK_VALUES // len(y))
    reached = 0
    for start in range(0, draws, size):
        n = min(size, draws - start)
        drawn = mean_area(p, permuted_labels(y, folds[0], patients, groups, n, rng), folds)
        reached += int((~(drawn < observed - 1e-12)).sum())
    return (1 + reached) / (1 + draws)


def permuted_labels(
    y: np.ndarray,
    folds: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """`(n, samples)` labels: permuted among like patients of a fold, and within each patient."""
    nested = len(np.unique(groups)) < len(np.unique(patients))
    size = np.bincount(patients)[patients]  # alike: equally many samples and, if nested, one group
    keys = np.column_stack([folds, groups if nested else np.zeros_like(groups), size])
    order = np.argsort(patients, kind="stable")
    permuted = np.empty((n, len(y)), dtype=y.dtype)
    for key in np.unique(keys, axis=0):
        alike = order[(keys[order] == key).all(axis=1)].reshape(-1, key[-1])  # patients, samples
        others = rng.permuted(np.tile(np.arange(len(alike)), (n, 1)), axis=1)
        permuted[:, alike] = rng.permuted(y[alike][others], axis=2)
    return permuted


def mean_area(p: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """`(labellings,)` AUC of `(labellings, samples)` labels, from ranks (Mann & Whitney 1947)."""
    repeats = []
    for scores, fold_of in zip(p, folds, strict=True):
        of_classes = []
        for k in scored_classes(p.shape[2]):
            of_folds = []
            for fold in np.unique(fold_of):
                rows = fold_of == fold
                positive = y[:, rows] == k
                n_positive = positive.sum(axis=1)
                wins = positive @ rankdata(scores[rows, k]) - n_positive * (n_positive + 1) / 2
                with np.errstate(invalid="ignore", divide="ignore"):
                    of_folds.append(wins / (n_positive * (rows.sum() - n_positive)))
            of_classes.append(defined_mean(np.array(of_folds)))
        repeats.append(np.mean(of_classes, axis=0))
    mean: np.ndarray = np.mean(repeats, axis=0)
    return mean
