"""Forests and gradient boosting, on features that are screened inside the training folds."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import xgboost
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from .grid import Chosen, Fitted, Folds, Optimum, log_loss, search, summary

FORESTS = {"extra-trees": 300, "random forest": None}
"""Kinds of forest, and how many features, those that differ most between the classes, each sees."""

TUNING_TREES, FOREST_TREES = 40, 200
BOOSTED_FEATURES, TRIED_FEATURES = (100, 300, 1_000), 100
"""How many features boosting may look at, those that differ most between the classes, and at how
many of them at every split."""
BINS = 32
"""Most values that boosting tells apart in a feature."""
BLOCK = 10
"""Rounds of boosting are counted in blocks of this many."""

Pair = tuple[xgboost.DMatrix, xgboost.DMatrix]
"""What boosting sees of a fold, to fit on and to check on."""


def tune_forest(x: np.ndarray, y: np.ndarray, folds: Folds, seed: int) -> Chosen:
    """Of Breiman's forest, or of extra-trees (Geurts et al. 2006) on screened features."""

    def loss(kind: str, fit: np.ndarray, check: np.ndarray) -> float:
        seen = screen(x[fit], y[fit], FORESTS[kind])
        forest = _forest(kind, TUNING_TREES, seed).fit(x[np.ix_(fit, seen)], y[fit])
        return log_loss(forest.predict_proba(x[np.ix_(check, seen)]), y[check])

    losses = {
        kind: float(np.mean([loss(kind, fit, check) for fit, check in folds])) for kind in FORESTS
    }
    kind = min(losses, key=losses.__getitem__)
    seen = min(FORESTS[kind] or x.shape[1], x.shape[1])
    return {"kind": kind, "features": seen} | summary(losses[kind])


def _forest(kind: str, trees: int, seed: int) -> Any:
    if kind == "extra-trees":
        return ExtraTreesClassifier(trees, min_samples_leaf=5, max_features=0.5, random_state=seed)
    return RandomForestClassifier(trees, min_samples_leaf=5, random_state=seed)


def fit_forest(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int) -> Fitted:
    """The forest that `tune_forest` chose."""
    seen = screen(x, y, chosen["features"])
    forest = _forest(chosen["kind"], FOREST_TREES, seed).fit(x[:, seen], y)
    importance = _scatter(forest.feature_importances_, seen, x.shape[1])
    return lambda new: np.asarray(forest.predict_proba(new[:, seen])), importance


def tune_boosting(x: np.ndarray, y: np.ndarray, folds: Folds, seed: int) -> Chosen:
    """Of gradient boosting (Friedman 2002) by XGBoost: features, rounds, depth and rate."""

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
                raw = (b.predict(check) for b, (_, check) in zip(boosters, data, strict=True))
                truth = (y[check] for _, check in folds)
                losses.append(float(np.mean([*map(log_loss, map(_probabilities, raw), truth)])))
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
    } | summary(
        blocks.loss,
        depth=depth.at_edge and depth.step > 1,  # nothing is shallower
        rate=rate.at_edge,
        rounds=blocks.at_edge and blocks.step > 1,
    )


def _rate(step: int) -> float:
    return 0.4 * 0.5**step


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


def fit_boosting(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], seed: int) -> Fitted:
    """The trees that `tune_boosting` chose."""
    seen = screen(x, y, chosen["features"])
    data = xgboost.QuantileDMatrix(x[:, seen], y, max_bin=BINS, nthread=1)
    booster = _booster([data], y, chosen["depth"], chosen["rate"], seed)
    _boost(booster, data, 0, chosen["rounds"])

    def predict(new: np.ndarray) -> np.ndarray:
        return _probabilities(booster.predict(xgboost.DMatrix(new[:, seen], nthread=1)))

    return predict, _gain(booster, seen, x.shape[1])


def _probabilities(raw: np.ndarray) -> np.ndarray:
    """`(samples, classes)` float64 of what XGBoost says, of two classes of the positive one."""
    p = raw.astype(np.float64)
    return np.column_stack([1 - p, p]) if p.ndim == 1 else p / p.sum(axis=1, keepdims=True)


def _gain(booster: xgboost.Booster, seen: np.ndarray, n: int) -> np.ndarray:
    """`(n,)` share of each feature in the gain of all splits."""
    gains = np.zeros(len(seen))
    for name, gain in booster.get_score(importance_type="total_gain").items():
        gains[int(name[1:])] = gain
    return _scatter(gains / (gains.sum() or 1.0), seen, n)


def screen(x: np.ndarray, y: np.ndarray, n: int | None) -> np.ndarray:
    """Positions, rising, of the `n` features that the F test ranks first; of all for None."""
    if n is None or n >= x.shape[1]:
        return np.arange(x.shape[1])
    return np.sort(np.argsort(-association(x, y), kind="stable")[:n])


def association(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`(features,)` share of each feature's variance that lies between the classes."""
    between = np.zeros(x.shape[1])
    for k in np.unique(y):
        between += (y == k).mean() * (x[y == k].mean(axis=0) - x.mean(axis=0)) ** 2
    variance = x.var(axis=0)
    share: np.ndarray = np.divide(between, variance, out=np.zeros_like(between), where=variance > 0)
    return share


def _scatter(values: np.ndarray, positions: np.ndarray, n: int) -> np.ndarray:
    """`(n,)` zeros with `values` at `positions`."""
    full = np.zeros(n)
    full[positions] = values
    return full
