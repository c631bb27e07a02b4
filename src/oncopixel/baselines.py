"""The linear and tree models that stand beside every CNN score.

Each is tuned by log loss in inner folds of the training samples, grouped by patient and stratified
by class, and refitted on all training samples; the held-out samples are only ever predicted. One
thread and explicit seeds: the same input gives the same numbers, whatever the number of cores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from scipy.special import expit
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from .errors import LabelError
from .params import BaselineParams

L2_STRENGTHS = tuple(float(10**power) for power in np.arange(-2, 3.1, 0.5))
"""Candidates for C, in units of 1 / (mean squared norm of a training sample)."""

L1_RATIOS = (0.8, 0.65, 0.5, 0.4, 0.3, 0.22, 0.15, 0.1, 0.06)
"""Candidates for the L1 penalty, as shares of the smallest penalty that removes every feature."""

SCREENS = (300, 1_000, None)
"""Trees look at this many features, those that differ most between the classes; None is all."""

FORESTS = {"extra-trees": SCREENS[:2], "random forest": SCREENS[2:]}
"""Kinds of forest to choose from, and the screens for each."""

TUNING_TREES, FOREST_TREES = 40, 200
BOOSTING_ROUNDS = 120

FORGIVEN = 0.005
"""Probabilities are kept this far from 0 and 1 in the log loss, so that no sample decides alone."""

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class BaselineFit:
    """What a tuned model says about the held-out samples, and what it learned."""

    probabilities: np.ndarray
    """`(held_out, classes)` float64, each row sums to 1."""
    chosen: dict[str, Any]
    """The hyperparameters that the inner folds chose and their inner log loss."""
    importance: np.ndarray
    """`(features,)` float64: coefficients of the logistic models (of the positive class; for more
    than two classes the largest absolute one), mean decrease in impurity of the tree models, 0 for
    features that were screened out."""


def fit_predict(
    name: str,
    x_train: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    x_held_out: np.ndarray,
    params: BaselineParams,
) -> BaselineFit:
    """The baseline `name`, tuned and fitted on the training samples, applied to the held-out ones.

    `x_train` and `x_held_out` are `(samples, features)`, standardised and without NaN; `y` and
    `patients` are `(samples,)`, `y` the class index. There are `max(y) + 1` classes; `LabelError`
    when one of them has too few training patients to be both fitted and checked.
    """
    folds = _inner_folds(y, patients, params)
    with threadpool_limits(limits=1):
        return _MODELS[name](x_train, y, folds, x_held_out, params.seed)


def refit(
    name: str, x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int
) -> np.ndarray:
    """The importances `(features,)`, as of `BaselineFit`, of `name` fitted without tuning.

    `x` and `y` are as in `fit_predict`, `chosen` is what it chose on the samples that these are a
    part of. Screens and the scale of the L1 penalty are found anew.
    """
    with threadpool_limits(limits=1):
        return _REFITS[name](x, y, chosen, seed)


def _inner_folds(y: np.ndarray, patients: np.ndarray, params: BaselineParams) -> Folds:
    """Positions to fit on and to check on; no patient on both sides, every class to fit on."""
    n_classes = int(y.max()) + 1
    per_class = [len(np.unique(patients[y == k])) for k in range(n_classes)]
    n_folds = min(params.inner_folds, *per_class)
    folds: Folds = []
    if n_folds >= 2:
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=params.seed)
        folds = [
            (fit, check)
            for fit, check in splitter.split(y, y, patients)
            if len(np.unique(y[fit])) == n_classes
        ]
    if not folds:
        raise LabelError(
            f"class {int(np.argmin(per_class))} has {min(per_class)} patient(s) among the training "
            "samples of a fold, too few to tune the baselines. Merge or drop small classes "
            "(`classes` of the cohort), or use fewer folds (`split.folds`)."
        )
    return folds


def _log_loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean log loss; `probabilities` is `(samples, classes)`."""
    of_truth = np.clip(probabilities, FORGIVEN, 1 - FORGIVEN)[np.arange(len(y)), y]
    return float(-np.log(of_truth).mean())


def _logistic_l2(
    x: np.ndarray, y: np.ndarray, folds: Folds, x_held_out: np.ndarray, _seed: int
) -> BaselineFit:
    """Ridge logistic regression, multinomial; fitted in the row space of `x`, where it is the same.

    The optimum of a quadratically penalised linear model is a combination of the samples, so
    `(samples, features)` shrinks to `(samples, rank)` without loss (Hastie & Tibshirani 2004,
    Biostatistics 5:329, section 3).
    """
    rows, loadings = row_space(x)
    unit = float(np.mean(np.sum(rows**2, axis=1))) or 1.0

    def path(fit: Any, strengths: Sequence[float]) -> Iterator[LogisticRegression]:
        model = _ridge()
        for strength in strengths:
            yield model.set_params(C=strength / unit).fit(rows[fit], y[fit])

    losses = np.mean(
        [
            [_log_loss(m.predict_proba(rows[check]), y[check]) for m in path(fit, L2_STRENGTHS)]
            for fit, check in folds
        ],
        axis=0,
    )
    best = int(np.argmin(losses))
    *_, model = path(slice(None), L2_STRENGTHS[: best + 1])
    probabilities = model.predict_proba(np.asarray(x_held_out, dtype=np.float64) @ loadings)
    chosen = {"C": L2_STRENGTHS[best] / unit, "inner_log_loss": float(losses[best])}
    return BaselineFit(probabilities, chosen, _one_per_feature(model.coef_ @ loadings.T))


def _ridge() -> LogisticRegression:
    return LogisticRegression(warm_start=True, tol=1e-6, max_iter=5000)


def _refit_logistic_l2(
    x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], _seed: int
) -> np.ndarray:
    rows, loadings = row_space(x)
    model = _ridge().set_params(C=chosen["C"]).fit(rows, y)
    return _one_per_feature(model.coef_ @ loadings.T)


def row_space(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(samples, rank)` coordinates and `(features, rank)` orthonormal axes: x = rows @ axes.T."""
    x = np.asarray(x, dtype=np.float64)
    values, vectors = scipy.linalg.eigh(x @ x.T)
    kept = values > values[-1] * 1e-10
    norms = np.sqrt(values[kept])
    return vectors[:, kept] * norms, x.T @ (vectors[:, kept] / norms)


def _logistic_l1(
    x: np.ndarray, y: np.ndarray, folds: Folds, x_held_out: np.ndarray, seed: int
) -> BaselineFit:
    """Lasso logistic regression; one model per class against the rest when there are over two."""
    x = np.asarray(x, dtype=np.float64)

    def paths(fit: Any, ratios: Sequence[float]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return _l1_paths(x[fit], y[fit], ratios, seed)

    def apply(model: tuple[np.ndarray, np.ndarray], z: np.ndarray) -> np.ndarray:
        p = expit(z @ model[0].T + model[1])
        if p.shape[1] == 1:
            return np.hstack([1 - p, p])
        normalised: np.ndarray = p / p.sum(axis=1, keepdims=True)
        return normalised

    losses = np.mean(
        [
            [_log_loss(apply(m, x[check]), y[check]) for m in paths(fit, L1_RATIOS)]
            for fit, check in folds
        ],
        axis=0,
    )
    best = int(np.argmin(losses))
    *_, model = paths(slice(None), L1_RATIOS[: best + 1])
    chosen = {
        "penalty_ratio": L1_RATIOS[best],
        "nonzero": int(np.any(model[0] != 0, axis=0).sum()),
        "inner_log_loss": float(losses[best]),
    }
    probabilities = apply(model, np.asarray(x_held_out, dtype=np.float64))
    return BaselineFit(probabilities, chosen, _one_per_feature(model[0]))


def _refit_logistic_l1(
    x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int
) -> np.ndarray:
    ratios = [ratio for ratio in L1_RATIOS if ratio >= chosen["penalty_ratio"]]
    *_, (coefficients, _intercepts) = _l1_paths(np.asarray(x, dtype=np.float64), y, ratios, seed)
    return _one_per_feature(coefficients)


def _l1_paths(
    x: np.ndarray, y: np.ndarray, ratios: Sequence[float], seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each ratio `(models, features)` coefficients and `(models,)` intercepts."""
    positives = [1] if y.max() == 1 else list(range(int(y.max()) + 1))
    singles = [_l1_path(x, y == k, ratios, seed) for k in positives]
    for step in zip(*singles, strict=True):
        coefficients, intercepts = zip(*step, strict=True)
        yield np.stack(coefficients), np.array(intercepts)


def _l1_path(
    x: np.ndarray, target: np.ndarray, ratios: Sequence[float], seed: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Coefficients `(features,)` and intercept of `target` (bool) for falling penalty ratios.

    Only a working set of features is fitted; every feature outside it is checked against the
    optimality condition |gradient| <= penalty and let in when it breaks it, so the solution is that
    of all features to 1 % of the penalty (Tibshirani et al. 2012, J R Stat Soc B 74:245).
    """
    goal = target.astype(np.float64)
    gradient = x.T @ (goal.mean() - goal)
    largest = float(np.abs(gradient).max()) or 1.0
    working = np.argsort(-np.abs(gradient), kind="stable")[:50]
    for ratio in ratios:
        penalty = ratio * largest
        while True:
            model = LogisticRegression(
                C=1 / penalty,
                l1_ratio=1,
                solver="liblinear",
                intercept_scaling=10,
                max_iter=5000,
                random_state=seed,
            ).fit(x[:, working], target)
            gradient = x.T @ (model.predict_proba(x[:, working])[:, 1] - goal)
            gradient[working] = 0
            broken = np.flatnonzero(np.abs(gradient) > 1.01 * penalty)
            if not broken.size:
                break
            working = np.concatenate([working, broken])
        yield _scatter(model.coef_[0], working, x.shape[1]), float(model.intercept_[0])


def _random_forest(
    x: np.ndarray, y: np.ndarray, folds: Folds, x_held_out: np.ndarray, seed: int
) -> BaselineFit:
    """Breiman's forest on all features or extremely randomised trees on screened ones.

    Extra-trees (Geurts et al. 2006) that try half of a screen's features at every split are the
    stronger forest where many features say little; the inner folds choose.
    """

    def loss(kind: str, n: int | None, fit: np.ndarray, check: np.ndarray) -> float:
        seen = screen(x[fit], y[fit], n)
        forest = _forest(kind, TUNING_TREES, seed).fit(x[np.ix_(fit, seen)], y[fit])
        return _log_loss(forest.predict_proba(x[np.ix_(check, seen)]), y[check])

    losses = {
        (kind, n): float(np.mean([loss(kind, n, fit, check) for fit, check in folds]))
        for kind, screens in FORESTS.items()
        for n in screens
    }
    kind, n = min(losses, key=losses.__getitem__)
    seen = screen(x, y, n)
    forest = _forest(kind, FOREST_TREES, seed).fit(x[:, seen], y)
    chosen = {"kind": kind, "features": len(seen), "inner_log_loss": losses[kind, n]}
    importance = _scatter(forest.feature_importances_, seen, x.shape[1])
    return BaselineFit(forest.predict_proba(x_held_out[:, seen]), chosen, importance)


def _forest(kind: str, trees: int, seed: int) -> Any:
    if kind == "extra-trees":
        return ExtraTreesClassifier(trees, min_samples_leaf=5, max_features=0.5, random_state=seed)
    return RandomForestClassifier(trees, min_samples_leaf=5, random_state=seed)


def _refit_random_forest(
    x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int
) -> np.ndarray:
    seen = screen(x, y, chosen["features"])
    forest = _forest(chosen["kind"], FOREST_TREES, seed).fit(x[:, seen], y)
    return _scatter(forest.feature_importances_, seen, x.shape[1])


def _gradient_boosting(
    x: np.ndarray, y: np.ndarray, folds: Folds, x_held_out: np.ndarray, seed: int
) -> BaselineFit:
    """Stochastic gradient boosting of two-level trees (Friedman 2002); screen and rounds tuned."""

    def losses_by_round(n: int | None, fit: np.ndarray, check: np.ndarray) -> list[float]:
        seen = screen(x[fit], y[fit], n)
        model = _boosting(len(seen), BOOSTING_ROUNDS, seed).fit(x[np.ix_(fit, seen)], y[fit])
        stages = model.staged_predict_proba(x[np.ix_(check, seen)])
        return [_log_loss(stage, y[check]) for stage in stages]

    losses = np.array(
        [np.mean([losses_by_round(n, fit, check) for fit, check in folds], axis=0) for n in SCREENS]
    )
    best, last = np.unravel_index(np.argmin(losses), losses.shape)
    seen, rounds = screen(x, y, SCREENS[best]), int(last) + 1
    model = _boosting(len(seen), rounds, seed).fit(x[:, seen], y)
    chosen = {"features": len(seen), "rounds": rounds, "inner_log_loss": float(losses.min())}
    importance = _scatter(model.feature_importances_, seen, x.shape[1])
    return BaselineFit(model.predict_proba(x_held_out[:, seen]), chosen, importance)


def _boosting(n_features: int, rounds: int, seed: int) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(
        n_estimators=rounds,
        max_depth=2,
        learning_rate=0.1,
        subsample=0.5,
        max_features=min(n_features, max(100, n_features // 50)),
        min_samples_leaf=5,
        random_state=seed,
    )


def _refit_gradient_boosting(
    x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int
) -> np.ndarray:
    seen = screen(x, y, chosen["features"])
    model = _boosting(len(seen), chosen["rounds"], seed).fit(x[:, seen], y)
    return _scatter(model.feature_importances_, seen, x.shape[1])


def screen(x: np.ndarray, y: np.ndarray, n: int | None) -> np.ndarray:
    """Positions, rising, of the `n` features whose class means differ most; of all for None.

    The measure is the share of variance between the classes, which ranks as the F test does.
    """
    if n is None or n >= x.shape[1]:
        return np.arange(x.shape[1])
    between = np.zeros(x.shape[1])
    for k in np.unique(y):
        between += (y == k).mean() * (x[y == k].mean(axis=0) - x.mean(axis=0)) ** 2
    spread = x.var(axis=0)
    share = np.divide(between, spread, out=np.zeros_like(between), where=spread > 0)
    return np.sort(np.argsort(-share, kind="stable")[:n])


def _scatter(values: np.ndarray, places: np.ndarray, n: int) -> np.ndarray:
    """`(n,)` zeros with `values` at `places`."""
    full = np.zeros(n)
    full[places] = values
    return full


def _one_per_feature(coefficients: np.ndarray) -> np.ndarray:
    """`(features,)`: the only row of `(models, features)`, else the largest absolute values."""
    if len(coefficients) == 1:
        return np.asarray(coefficients[0])
    return np.asarray(np.abs(coefficients).max(axis=0))


_MODELS: dict[str, Callable[..., BaselineFit]] = {
    "logistic_l1": _logistic_l1,
    "logistic_l2": _logistic_l2,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
}

_REFITS: dict[str, Callable[..., np.ndarray]] = {
    "logistic_l1": _refit_logistic_l1,
    "logistic_l2": _refit_logistic_l2,
    "random_forest": _refit_random_forest,
    "gradient_boosting": _refit_gradient_boosting,
}
