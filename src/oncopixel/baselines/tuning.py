"""The linear and tree models that stand beside every CNN score.

Each is tuned by log loss in inner folds of the training samples, grouped by patient and stratified
by class, and refitted on all training samples; the held-out samples are only ever predicted. One
thread and explicit seeds: the same input gives the same numbers, whatever the number of cores.

Features are `(samples, features)`, standardised and without NaN, the channels of a gene side by
side. No grid is fixed: each grows where its best value lies at an end, see `grid.search`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from ..core.errors import LabelError
from ..core.params import BaselineParams
from ..images.coexpression import find_adjustment
from .grid import Chosen, Fitted, Folds
from .linear import fit_elastic_net, fit_ridge, tune_elastic_net, tune_lasso, tune_ridge
from .trees import fit_boosting, fit_forest, tune_boosting, tune_forest

ADJUSTED = "logistic_l1_adjusted"
"""The L1 model on what latent factors leave of the features."""


@dataclass(frozen=True)
class BaselineFit:
    """What a tuned model says about the held-out samples, and what it learned."""

    probabilities: np.ndarray
    """`(held_out, classes)` float64, each row sums to 1."""
    chosen: dict[str, Any]
    """The hyperparameters that the inner folds chose, their inner log loss, and `at_edge`, the
    names of those that lie at the end of a grid that may not grow further; `nonzero`, the features
    with an importance."""
    importance: np.ndarray
    """`(features,)` float64: coefficients of the logistic models (of the positive class; for more
    than two classes the largest absolute one), mean decrease in impurity of the forests, share of
    the gain of boosting, 0 for features that were screened out."""


def fit_predict(
    name: str,
    x_train: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    x_held_out: np.ndarray,
    params: BaselineParams,
    channels: int = 1,
) -> BaselineFit:
    """The baseline `name`, tuned and fitted on training samples, applied to the held-out ones."""
    folds = inner_folds(y, patients, params)
    with threadpool_limits(limits=1):
        x, held_out = _features(name, x_train, [x_train, x_held_out], params.seed, channels)
        tune, fit = _METHODS[name]
        chosen = tune(x, y, folds, params.seed)
        predict, importance = fit(x, y, chosen, params.seed)
        importance = importance[: x_train.shape[1]]
        used = {"nonzero": int(np.count_nonzero(importance))}
        return BaselineFit(predict(held_out), chosen | used, importance)


def refit(
    name: str, x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int, channels: int = 1
) -> np.ndarray:
    """The importances `(features,)` of `name` fitted anew with what `fit_predict` chose."""
    with threadpool_limits(limits=1):
        (seen,) = _features(name, x, [x], seed, channels)
        return _METHODS[name][1](seen, y, chosen, seed)[1][: x.shape[1]]


def inner_folds(y: np.ndarray, patients: np.ndarray, params: BaselineParams) -> Folds:
    """Positions to fit on and to check on; no patient on both sides, every class to fit on."""
    n_classes = int(y.max()) + 1
    per_class = [len(np.unique(patients[y == k])) for k in range(n_classes)]
    n_folds = min(params.inner_folds, *per_class)
    folds = []
    if n_folds >= 2:
        every = _split(tuple(y.tolist()), tuple(patients.tolist()), n_folds, params.seed)
        folds = [(fit, check) for fit, check in every if len(np.unique(y[fit])) == n_classes]
    if not folds:
        raise LabelError(
            f"class {int(np.argmin(per_class))} has {min(per_class)} patient(s) among the training "
            "samples of a fold, too few to tune the baselines. Merge or drop small classes "
            "(`classes` of the cohort), or use fewer folds (`split.folds`)."
        )
    return folds


@lru_cache(maxsize=1)
def _split(y: tuple[int, ...], patients: tuple[str, ...], n_folds: int, seed: int) -> Folds:
    """The same for all models of a fold; it takes longer than fitting some of them."""
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(y, y, patients))


def _features(
    name: str, x: np.ndarray, each: list[np.ndarray], seed: int, channels: int
) -> list[np.ndarray]:
    """`each` as the model sees it: for `ADJUSTED` without the factors of `x`, which come after."""
    if name != ADJUSTED:
        return each
    adjustment = find_adjustment(x.reshape(len(x), -1, channels), seed)
    if adjustment is None:
        return each
    return [adjustment.apply(z.reshape(len(z), -1, channels)) for z in each]


Tune = Callable[[np.ndarray, np.ndarray, Folds, int], Chosen]
Fit = Callable[[np.ndarray, np.ndarray, Mapping[str, Any], int], Fitted]
_METHODS: dict[str, tuple[Tune, Fit]] = {
    "logistic_l1": (tune_lasso, fit_elastic_net),
    ADJUSTED: (tune_lasso, fit_elastic_net),
    "logistic_l2": (tune_ridge, fit_ridge),
    "elastic_net": (tune_elastic_net, fit_elastic_net),
    "random_forest": (tune_forest, fit_forest),
    "gradient_boosting": (tune_boosting, fit_boosting),
}
