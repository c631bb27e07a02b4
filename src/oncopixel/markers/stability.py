"""How reliably a method puts the same genes first when some of the patients are left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..images.preprocessor import Preprocessor


@dataclass(frozen=True)
class Stability:
    """Nogueira's index with its interval: 1 is the same selection every time, 0 is chance."""

    index: float
    low: float
    high: float


def resamples(
    patients: np.ndarray, y: np.ndarray, n: int, fraction: float, seed: int
) -> np.ndarray:
    """Which samples each of `n` draws of patients keeps; `y` is the class index.

    Returns
    -------
    `(n, samples)` bool. A draw keeps `fraction` of the patients, without replacement, of every kind
    alike and one of each at least: those of one class, and those with samples of several, such as
    tumour and normal. All samples of a patient go together.
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


def top_candidates(scores: pd.DataFrame, k: int) -> pd.DataFrame:
    """Which candidates each model puts among its `k` best.

    Parameters
    ----------
    scores
        A row per model, a column per candidate, named by gene and channel.

    Returns
    -------
    `(models, candidates)` bool, the columns sorted; ties go to the first name. A model does not
    select a candidate that it scores 0.
    """
    ordered = scores.sort_index(axis=1)
    values = ordered.to_numpy()
    chosen = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(-values, axis=1, kind="stable")[:, :k], True, axis=1)
    return pd.DataFrame(chosen & (values > 0), columns=ordered.columns)


def select_top(
    scores: Sequence[Mapping[str, np.ndarray]], pre: Preprocessor, k: int
) -> dict[str, pd.DataFrame]:
    """By method its `top_candidates` on each draw, from `(genes, channels)` scores."""
    names = ["gene", "channel"]
    candidates = pd.MultiIndex.from_product([pre.genes["gene"], pre.channels], names=names)
    return {
        name: top_candidates(
            pd.DataFrame([drawn[name].ravel() for drawn in scores], columns=candidates), k
        )
        for name in scores[0]
    }


def nogueira(selections: np.ndarray, level: float = 0.95) -> Stability:
    """Nogueira's stability index of `(models, candidates)` selections with its normal interval.

    Returns
    -------
    NaN when it is undefined: fewer than two models, or nothing or everything selected by all of
    them.

    References
    ----------
    Nogueira, Sechidis & Brown 2018, JMLR 18(174), definition 4 and corollary 9; the variance is
    written as that of the index's first-order influence of each model.
    """
    chosen = np.asarray(selections, dtype=np.float64)
    n_models = len(chosen)
    share = chosen.mean()
    chance = share * (1 - share)
    if n_models < 2 or chance == 0:
        return Stability(math.nan, math.nan, math.nan)
    frequency = chosen.mean(axis=0)
    variance = n_models / (n_models - 1) * np.mean(frequency * (1 - frequency))
    index = 1 - variance / chance
    size = chosen.mean(axis=1)
    overlap = (chosen * frequency).mean(axis=1)
    influence = 2 / chance * (overlap - share * size - index / 2 * size * (1 - 2 * share))
    half = norm.ppf((1 + level) / 2) * math.sqrt(influence.var() / n_models)
    return Stability(float(index), float(index - half), float(index + half))


def summary(selections: Mapping[str, pd.DataFrame], top: int) -> dict[str, Any]:
    """By method Nogueira's index with its interval and the mean number selected, of `top` each."""
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
