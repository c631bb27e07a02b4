"""How reliably a method puts the same genes first when some of the patients are left out.

Nogueira's index of `biomarkers` over patient-level subsamples: every method that sees labels is
fitted anew on each, and its best candidates are compared.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .ranking import nogueira


def resamples(
    patients: np.ndarray, y: np.ndarray, n: int, fraction: float, seed: int
) -> np.ndarray:
    """`(n, samples)` bool: which samples each of `n` draws of patients keeps.

    A draw keeps `fraction` of the patients, without replacement, of every kind alike and one of
    each at least: those of one class, and those with samples of several, such as tumour and normal.
    All samples of a patient go together. `patients` and `y`, the class index, are `(samples,)`.
    """
    names, patient = np.unique(patients, return_inverse=True)
    has = np.zeros((len(names), int(y.max()) + 1), dtype=bool)
    has[patient, y] = True
    kinds = [np.flatnonzero((has == kind).all(axis=1)) for kind in np.unique(has, axis=0)]
    sizes = [max(1, round(fraction * len(kind))) for kind in kinds]
    kept = np.zeros((n, len(names)), dtype=bool)
    for draw in range(n):
        rng = np.random.default_rng([seed, draw])
        for kind, size in zip(kinds, sizes, strict=True):
            kept[draw, rng.choice(kind, size, replace=False)] = True
    return kept[:, patient]


def summary(selections: Mapping[str, pd.DataFrame], top: int) -> dict[str, Any]:
    """Nogueira's index with its interval and the mean number selected, of every method.

    Each method's selections are those of `biomarkers.select`, one row per draw, with its `top`.
    """
    return {
        "resamples": min(map(len, selections.values())),
        "top": top,
        "methods": {
            name: vars(nogueira(chosen.to_numpy()))
            | {"mean_size": float(chosen.sum(axis=1).mean())}
            for name, chosen in selections.items()
        },
    }


def frequencies(selections: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns gene, channel and one per method: the share of draws that select the candidate."""
    return pd.DataFrame({name: chosen.mean() for name, chosen in selections.items()}).reset_index()
