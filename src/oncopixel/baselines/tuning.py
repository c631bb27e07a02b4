"""The linear and tree models that stand beside every CNN score.

Each is tuned by log loss in inner folds of the training samples, grouped by patient and stratified
by class, and refitted on all training samples; the held-out samples are only ever predicted. One
thread and explicit seeds: the same input gives the same numbers, whatever the number of cores.

No grid is fixed: each grows where its best value lies at an end, see `search`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from typing import Any

import numpy as np
import scipy.linalg
import xgboost
from scipy.special import expit, logit
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, enet_path
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from ..core.errors import LabelError
from ..core.params import BaselineParams
from ..images.coexpression import find_adjustment

FLAT = 1e-3
"""A grid grows while its last step improves the inner log loss by this much or more."""

FALL = 0.7
"""Each penalty of an L1 or elastic-net path is the one before times this."""

FORESTS = {"extra-trees": (300, 1_000), "random forest": (None,)}
"""Kinds of forest to choose from, and how many features each looks at: those that differ most
between the classes; None is all."""

TUNING_TREES, FOREST_TREES = 40, 200
BOOSTED_FEATURES, TRIED_FEATURES = (100, 300, 1_000), 100
"""How many features boosting may look at, those that differ most between the classes, and at how
many of them at every split."""
BINS = 32
"""Most values that boosting tells apart in a feature."""
BLOCK = 10
"""Rounds of boosting are counted in blocks of this many."""

FORGIVEN = 0.005
"""Probabilities are kept this far from 0 and 1 in the log loss, so that no sample decides alone."""

Folds = list[tuple[np.ndarray, np.ndarray]]
Chosen = dict[str, Any]
"""See `BaselineFit.chosen`."""
Fitted = tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]
"""Features to probabilities `(samples, classes)`, and the importances of the features."""


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


@dataclass(frozen=True)
class Optimum:
    """The best step of a grid, its loss, and whether it lies at the end of all that is allowed."""

    step: int
    loss: float
    at_edge: bool


def search(
    loss: Callable[[int], float], first: int, last: int, lowest: int, highest: int
) -> Optimum:
    """The step of the lowest `loss` on a grid of whole numbers that grows until it is inside.

    The grid is `first` to `last`, three steps at least, and grows at the end where the best lies
    for as long as that improves the loss by `FLAT` a step; where it is flat, the step before the
    last one is taken. It grows to `lowest` and `highest` at most.
    """
    losses = {step: loss(step) for step in range(first, last + 1)}
    while True:
        best, low, high = min(losses, key=losses.__getitem__), min(losses), max(losses)
        if low < best < high:
            return Optimum(best, losses[best], False)
        outwards = -1 if best == low else 1
        if losses[best - outwards] - losses[best] < FLAT:
            return Optimum(best - outwards, losses[best - outwards], False)
        if best in (lowest, highest):
            return Optimum(best, losses[best], True)
        losses[best + outwards] = loss(best + outwards)


def fit_predict(
    name: str,
    x_train: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    x_held_out: np.ndarray,
    params: BaselineParams,
    channels: int = 1,
) -> BaselineFit:
    """The baseline `name`, tuned and fitted on the training samples, applied to the held-out ones.

    `x_train` and `x_held_out` are `(samples, features)`, standardised and without NaN, the
    `channels` of a gene side by side; `y` and `patients` are `(samples,)`, `y` the class index.
    There are `max(y) + 1` classes; `LabelError` when one of them has too few training patients to
    be both fitted and checked.
    """
    folds = _inner_folds(y, patients, params)
    with threadpool_limits(limits=1):
        x, held_out = _features(name, x_train, [x_train, x_held_out], params.seed, channels)
        chosen = _TUNE[name](x, y, folds, params.seed)
        predict, importance = _FIT[name](x, y, chosen, params.seed)
        importance = importance[: x_train.shape[1]]
        used = {"nonzero": int(np.count_nonzero(importance))}
        return BaselineFit(predict(held_out), chosen | used, importance)


def refit(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    chosen: Mapping[str, Any],
    seed: int,
    channels: int = 1,
) -> np.ndarray:
    """The importances `(features,)`, as of `BaselineFit`, of `name` fitted without tuning.

    `x`, `y` and `channels` are as in `fit_predict`, `chosen` is what it chose on the samples that
    these are a part of. Screens, factors and the scale of the L1 penalty are found anew.
    """
    with threadpool_limits(limits=1):
        (seen,) = _features(name, x, [x], seed, channels)
        return _FIT[name](seen, y, chosen, seed)[1][: x.shape[1]]


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


def _tune_ridge(x: np.ndarray, y: np.ndarray, folds: Folds, _seed: int) -> Chosen:
    """Ridge logistic regression, multinomial; fitted in the row space of `x`, where it is the same.

    The optimum of a quadratically penalised linear model is a combination of the samples, so
    `(samples, features)` shrinks to `(samples, rank)` without loss (Hastie & Tibshirani 2004,
    Biostatistics 5:329, section 3).
    """
    rows, _ = row_space(x)
    unit = float(np.mean(np.sum(rows**2, axis=1))) or 1.0  # mean squared norm of a sample
    models = [_ridge() for _ in folds]  # each starts where it was left

    def loss(step: int) -> float:
        return _mean_loss(
            (model.set_params(C=10 ** (step / 2) / unit).fit(rows[fit], y[fit]), rows, y, check)
            for model, (fit, check) in zip(models, folds, strict=True)
        )

    best = search(loss, -2, 3, -10, 12)
    return {"C": 10 ** (best.step / 2) / unit} | _summary(best.loss, C=best.at_edge)


def _mean_loss(fitted: Iterator[tuple[Any, np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """Mean log loss over folds of (model, features, classes, positions to check)."""
    losses = [_log_loss(model.predict_proba(x[check]), y[check]) for model, x, y, check in fitted]
    return float(np.mean(losses))


def _summary(loss: float, **at_edge: bool) -> dict[str, Any]:
    return {"inner_log_loss": loss, "at_edge": [name for name, there in at_edge.items() if there]}


def _ridge() -> LogisticRegression:
    return LogisticRegression(warm_start=True, tol=1e-6, max_iter=5000)


def _fit_ridge(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], _seed: int) -> Fitted:
    rows, loadings = row_space(x)
    model = _ridge().set_params(C=chosen["C"]).fit(rows, y)

    def predict(new: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_proba(np.asarray(new, dtype=np.float64) @ loadings))

    return predict, _one_per_feature(model.coef_ @ loadings.T)


def row_space(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(samples, rank)` coordinates and `(features, rank)` orthonormal axes: x = rows @ axes.T."""
    x = np.asarray(x, dtype=np.float64)
    values, vectors = scipy.linalg.eigh(x @ x.T)
    kept = values > values[-1] * 1e-10
    norms = np.sqrt(values[kept])
    return vectors[:, kept] * norms, x.T @ (vectors[:, kept] / norms)


@dataclass(frozen=True)
class _Net:
    """A logistic model of each class against the rest; of two classes, of the positive one."""

    coefficients: np.ndarray
    """`(models, features)`."""
    intercepts: np.ndarray
    """`(models,)`."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        used = np.flatnonzero(self.coefficients.any(axis=0))
        p: np.ndarray = expit(x[:, used] @ self.coefficients[:, used].T + self.intercepts)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)


def _tune_lasso(x: np.ndarray, y: np.ndarray, folds: Folds, _seed: int) -> Chosen:
    """Of lasso; one model per class against the rest when there are over two."""
    return _tune_penalty(x, y, folds, 1.0)


def _tune_elastic_net(x: np.ndarray, y: np.ndarray, folds: Folds, _seed: int) -> Chosen:
    """Elastic-net logistic regression (Zou & Hastie 2005), the share of L1 tuned, too."""

    @cache
    def tuned(step: int) -> Chosen:
        return _tune_penalty(x, y, folds, float(expit(step)))

    best = search(lambda step: tuned(step)["inner_log_loss"], -1, 1, -4, 7)
    chosen = tuned(best.step)
    chosen["at_edge"] += ["mixing"] * best.at_edge
    return chosen


def _tune_penalty(x: np.ndarray, y: np.ndarray, folds: Folds, mixing: float) -> Chosen:
    """The penalty, as a share of the smallest one that removes every feature."""
    paths = [_net_path(x[fit], y[fit], mixing) for fit, _ in folds]
    losses: list[float] = []

    def loss(step: int) -> float:
        while len(losses) < step:
            models = map(next, paths)
            losses.append(
                _mean_loss((m, x, y, check) for m, (_, check) in zip(models, folds, strict=True))
            )
        return losses[step - 1]

    best = search(loss, 1, 6, 1, 20)
    edge = best.at_edge and best.step > 1  # a larger penalty leaves nothing
    return {"mixing": mixing, "penalty_ratio": FALL**best.step} | _summary(
        best.loss, penalty_ratio=edge
    )


def _fit_net(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], _seed: int) -> Fitted:
    step = round(np.log(chosen["penalty_ratio"]) / np.log(FALL))
    model = next(islice(_net_path(x, y, chosen["mixing"]), step - 1, None))
    return model.predict_proba, _one_per_feature(model.coefficients)


def _net_path(x: np.ndarray, y: np.ndarray, mixing: float) -> Iterator[_Net]:
    """The models for penalties that fall by `FALL`; the one before the first removes all."""
    positives = [1] if y.max() == 1 else list(range(int(y.max()) + 1))
    for step in zip(*(_binary_path(x, y == k, mixing) for k in positives), strict=True):
        coefficients, intercepts = zip(*step, strict=True)
        yield _Net(np.stack(coefficients), np.array(intercepts))


def _binary_path(
    x: np.ndarray, target: np.ndarray, mixing: float, ratios: Iterable[float] | None = None
) -> Iterator[tuple[np.ndarray, float]]:
    """Coefficients `(features,)` and intercept of `target` (bool) for falling penalties.

    `ratios` are shares of the penalty that removes every feature; without them an endless path.

    Minimises the summed log loss + penalty * (mixing * |b| + (1 - mixing) / 2 * b^2). Only a
    working set of features is fitted; every feature outside it is checked against the optimality
    condition |gradient| <= mixing * penalty and let in when it breaks it, so the solution is that
    of all features to 1 % of the penalty (Tibshirani et al. 2012, J R Stat Soc B 74:245).
    """
    goal = target.astype(np.float64)
    gradient = x.T @ (goal.mean() - goal).astype(x.dtype)
    largest = float(np.abs(gradient).max()) / mixing or 1.0
    working = np.argsort(-np.abs(gradient), kind="stable")[:50]
    weights, intercept = np.zeros(x.shape[1]), float(logit(goal.mean()))
    for ratio in ratios or (FALL**step for step in count(1)):
        penalty = ratio * largest
        while True:
            inner = x[:, working].astype(np.float64)
            weights[working], intercept = _penalised(
                inner, goal, penalty, mixing, weights[working], intercept
            )
            p = expit(inner @ weights[working] + intercept)
            gradient = x.T @ (p - goal).astype(x.dtype)
            gradient[working] = 0
            broken = np.flatnonzero(np.abs(gradient) > 1.01 * mixing * penalty)
            if not broken.size:
                break
            working = np.concatenate([working, broken])
        yield weights.copy(), intercept


def _penalised(
    x: np.ndarray,
    goal: np.ndarray,
    penalty: float,
    mixing: float,
    weights: np.ndarray,
    intercept: float,
) -> tuple[np.ndarray, float]:
    """Weights and intercept from a start, by reweighted least squares (Friedman et al. 2010)."""
    eta = x @ weights + intercept
    for _ in range(50):
        p = np.clip(expit(eta), 1e-5, 1 - 1e-5)
        w = p * (1 - p)
        goals, total, root = eta + (goal - p) / w, w.sum(), np.sqrt(w)
        center, mean = w @ x / total, w @ goals / total
        _, path, _ = enet_path(
            np.asfortranarray((x - center) * root[:, None]),
            (goals - mean) * root,
            l1_ratio=mixing,
            alphas=[penalty / len(x)],
            coef_init=weights,
            precompute=False,
            check_input=False,
            tol=1e-4,
            max_iter=20_000,
        )
        weights = path[:, 0]
        intercept = mean - center @ weights
        before, eta = p, x @ weights + intercept
        if np.abs(expit(eta) - before).max() < 1e-3:
            break
    return weights, float(intercept)


ADJUSTED = "logistic_l1_adjusted"


def _features(
    name: str, x: np.ndarray, each: list[np.ndarray], seed: int, channels: int
) -> list[np.ndarray]:
    """`each` as the model `name`, fitted to `x`, sees it.

    For `ADJUSTED`, what latent factors of `x` leave, and the factors after it, if there are any:
    the adjusted features of `hybrid`.
    """
    if name != ADJUSTED:
        return each
    adjustment = find_adjustment(x.reshape(len(x), -1, channels), seed)
    if adjustment is None:
        return each
    return [adjustment.apply(z.reshape(len(z), -1, channels)) for z in each]


def _tune_forest(x: np.ndarray, y: np.ndarray, folds: Folds, seed: int) -> Chosen:
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
    seen = x.shape[1] if n is None else min(n, x.shape[1])
    return {"kind": kind, "features": seen} | _summary(losses[kind, n])


def _forest(kind: str, trees: int, seed: int) -> Any:
    if kind == "extra-trees":
        return ExtraTreesClassifier(trees, min_samples_leaf=5, max_features=0.5, random_state=seed)
    return RandomForestClassifier(trees, min_samples_leaf=5, random_state=seed)


def _fit_forest(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int) -> Fitted:
    seen = screen(x, y, chosen["features"])
    forest = _forest(chosen["kind"], FOREST_TREES, seed).fit(x[:, seen], y)
    importance = _scatter(forest.feature_importances_, seen, x.shape[1])
    return lambda new: np.asarray(forest.predict_proba(new[:, seen])), importance


def _tune_boosting(x: np.ndarray, y: np.ndarray, folds: Folds, seed: int) -> Chosen:
    """Stochastic gradient boosting (Friedman 2002) by XGBoost.

    Features, rounds, depth and rate are tuned.
    """

    @cache
    def pairs(n: int) -> list[Pair]:
        return [_pair(x, y, fit, check, n) for fit, check in folds]

    @cache
    def rounds(depth: int, step: int, n: int) -> Optimum:
        data = pairs(n)
        boosters = [_booster(pair, y, depth, _rate(step), seed) for pair in data]
        losses: list[float] = []

        def loss(blocks: int) -> float:
            while len(losses) < blocks:
                for booster, (fit, _) in zip(boosters, data, strict=True):
                    _boost(booster, fit, BLOCK * len(losses), BLOCK * (len(losses) + 1))
                said = (b.predict(check) for b, (_, check) in zip(boosters, data, strict=True))
                truth = (y[check] for _, check in folds)
                losses.append(float(np.mean([*map(_log_loss, map(_probabilities, said), truth)])))
            return losses[blocks - 1]

        return search(loss, 1, 6, 1, 60)

    n = min(BOOSTED_FEATURES, key=lambda n: rounds(2, 2, n).loss)

    def best_rate(depth: int) -> Optimum:
        return search(lambda step: rounds(depth, step, n).loss, 1, 3, -1, 6)

    def best_depth(rate: int) -> Optimum:
        return search(lambda depth: rounds(depth, rate, n).loss, 1, 3, 1, 6)

    rate = best_rate(2)
    depth = best_depth(rate.step)
    if depth.step != 2:
        rate = best_rate(depth.step)
    blocks = rounds(depth.step, rate.step, n)
    return {
        "features": min(n, x.shape[1]),
        "depth": depth.step,
        "rate": _rate(rate.step),
        "rounds": BLOCK * blocks.step,
    } | _summary(
        blocks.loss,
        depth=depth.at_edge and depth.step > 1,  # nothing is shallower
        rate=rate.at_edge,
        rounds=blocks.at_edge and blocks.step > 1,
    )


def _rate(step: int) -> float:
    return 0.4 * 0.5**step


Pair = tuple[xgboost.DMatrix, xgboost.DMatrix]


def _pair(x: np.ndarray, y: np.ndarray, fit: np.ndarray, check: np.ndarray, n: int) -> Pair:
    """What boosting sees of a fold in `n` features, to fit on and to check on."""
    seen = screen(x[fit], y[fit], n)
    data = xgboost.QuantileDMatrix(x[np.ix_(fit, seen)], y[fit], max_bin=BINS, nthread=1)
    return data, xgboost.DMatrix(x[np.ix_(check, seen)], nthread=1)


def _booster(
    data: Sequence[xgboost.DMatrix], y: np.ndarray, depth: int, rate: float, seed: int
) -> xgboost.Booster:
    """A booster without trees yet, for what it will be fitted to and asked about."""
    n_classes = int(y.max()) + 1
    settings: dict[str, Any] = {
        "objective": "binary:logistic",
        "max_depth": depth,
        "eta": rate,
        "subsample": 0.5,
        "colsample_bynode": min(1.0, TRIED_FEATURES / data[0].num_col()),
        "max_bin": BINS,
        "tree_method": "hist",
        "device": "cpu",
        "nthread": 1,
        "seed": seed,
    }
    if n_classes > 2:
        settings |= {"objective": "multi:softprob", "num_class": n_classes}
    return xgboost.Booster(settings, data)


def _boost(booster: xgboost.Booster, data: xgboost.DMatrix, first: int, end: int) -> None:
    """Adds the rounds from `first` to before `end`."""
    for round_ in range(first, end):
        booster.update(data, round_)


def _fit_boosting(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int) -> Fitted:
    seen = screen(x, y, chosen["features"])
    data = xgboost.QuantileDMatrix(x[:, seen], y, max_bin=BINS, nthread=1)
    booster = _booster([data], y, chosen["depth"], chosen["rate"], seed)
    _boost(booster, data, 0, chosen["rounds"])

    def predict(new: np.ndarray) -> np.ndarray:
        return _probabilities(booster.predict(xgboost.DMatrix(new[:, seen], nthread=1)))

    return predict, _gain(booster, seen, x.shape[1])


def _probabilities(said: np.ndarray) -> np.ndarray:
    """`(samples, classes)` float64 of what XGBoost says, of two classes of the positive one."""
    p = said.astype(np.float64)
    return np.column_stack([1 - p, p]) if p.ndim == 1 else p / p.sum(axis=1, keepdims=True)


def _gain(booster: xgboost.Booster, seen: np.ndarray, n: int) -> np.ndarray:
    """`(n,)` share of each feature in the gain of all splits."""
    gains = np.zeros(len(seen))
    for name, gain in booster.get_score(importance_type="total_gain").items():
        gains[int(name[1:])] = gain
    return _scatter(gains / (gains.sum() or 1.0), seen, n)


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


_TUNE: dict[str, Callable[[np.ndarray, np.ndarray, Folds, int], Chosen]] = {
    "logistic_l1": _tune_lasso,
    ADJUSTED: _tune_lasso,
    "logistic_l2": _tune_ridge,
    "elastic_net": _tune_elastic_net,
    "random_forest": _tune_forest,
    "gradient_boosting": _tune_boosting,
}

_FIT: dict[str, Callable[[np.ndarray, np.ndarray, Mapping[str, Any], int], Fitted]] = {
    "logistic_l1": _fit_net,
    ADJUSTED: _fit_net,
    "logistic_l2": _fit_ridge,
    "elastic_net": _fit_net,
    "random_forest": _fit_forest,
    "gradient_boosting": _fit_boosting,
}
