"""Logistic regression with an L2, an L1 or an elastic-net penalty."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from typing import Any

import numpy as np
import scipy.linalg
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression, enet_path

from .grid import Chosen, Fitted, Folds, mean_loss, search, summary

FALL = 0.7
"""Each penalty of an L1 or elastic-net path is the one before times this."""


def tune_ridge(x: np.ndarray, y: np.ndarray, folds: Folds, _seed: int) -> Chosen:
    """Of ridge, in the row space without loss (Hastie & Tibshirani 2004, Biostatistics 5:329)."""
    rows, _ = row_space(x)
    unit = float(np.mean(np.sum(rows**2, axis=1))) or 1.0  # mean squared norm of a sample
    models = [_ridge() for _ in folds]  # each starts where it was left

    def loss(step: int) -> float:
        return mean_loss(
            (model.set_params(C=10 ** (step / 2) / unit).fit(rows[fit], y[fit]), rows, y, check)
            for model, (fit, check) in zip(models, folds, strict=True)
        )

    best = search(loss, -2, 3, -10, 12)
    return {"C": 10 ** (best.step / 2) / unit} | summary(best.loss, C=best.at_edge)


def _ridge() -> LogisticRegression:
    return LogisticRegression(warm_start=True, tol=1e-6, max_iter=5000)


def fit_ridge(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], _seed: int) -> Fitted:
    """The model that `tune_ridge` chose."""
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
class Net:
    """A logistic model of each class against the rest; of two classes, of the positive one."""

    coefficients: np.ndarray
    """`(models, features)`."""
    intercepts: np.ndarray
    """`(models,)`."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """`(samples, classes)` of `(samples, features)`."""
        used = np.flatnonzero(self.coefficients.any(axis=0))
        p: np.ndarray = expit(x[:, used] @ self.coefficients[:, used].T + self.intercepts)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)


def tune_lasso(x: np.ndarray, y: np.ndarray, folds: Folds, _seed: int) -> Chosen:
    """Of lasso; one model per class against the rest when there are over two."""
    return _tune_penalty(x, y, folds, 1.0)


def tune_elastic_net(x: np.ndarray, y: np.ndarray, folds: Folds, _seed: int) -> Chosen:
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
    paths = [net_path(x[fit], y[fit], mixing) for fit, _ in folds]
    losses: list[float] = []

    def loss(step: int) -> float:
        while len(losses) < step:
            models = map(next, paths)
            losses.append(
                mean_loss((m, x, y, check) for m, (_, check) in zip(models, folds, strict=True))
            )
        return losses[step - 1]

    best = search(loss, 1, 6, 1, 20)
    edge = best.at_edge and best.step > 1  # a larger penalty leaves nothing
    return {"mixing": mixing, "penalty_ratio": FALL**best.step} | summary(
        best.loss, penalty_ratio=edge
    )


def fit_elastic_net(x: np.ndarray, y: np.ndarray, chosen: Mapping[str, Any], _seed: int) -> Fitted:
    """The model that `tune_lasso` or `tune_elastic_net` chose."""
    step = round(np.log(chosen["penalty_ratio"]) / np.log(FALL))
    model = next(islice(net_path(x, y, chosen["mixing"]), step - 1, None))
    return model.predict_proba, _one_per_feature(model.coefficients)


def net_path(x: np.ndarray, y: np.ndarray, mixing: float) -> Iterator[Net]:
    """The models for penalties that fall by `FALL`; the one before the first removes all."""
    positives = [1] if y.max() == 1 else list(range(int(y.max()) + 1))
    for step in zip(*(binary_path(x, y == k, mixing) for k in positives), strict=True):
        coefficients, intercepts = zip(*step, strict=True)
        yield Net(np.stack(coefficients), np.array(intercepts))


def binary_path(
    x: np.ndarray, target: np.ndarray, mixing: float, ratios: Iterable[float] | None = None
) -> Iterator[tuple[np.ndarray, float]]:
    """The solutions for falling penalties on the weights of `target` against the rest.

    Minimised is the summed log loss + penalty * (mixing * |b| + (1 - mixing) / 2 * b^2). Only a
    working set of features is fitted; one outside it is let in when it breaks the condition
    |gradient| <= mixing * penalty, so the solution is that of all to 1 % of the penalty.

    Yields
    ------
    coefficients, intercept
        `(features,)` and a number, for each of `ratios` or for an endless path.

    References
    ----------
    Tibshirani et al. 2012, J R Stat Soc B 74:245.
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


def _one_per_feature(coefficients: np.ndarray) -> np.ndarray:
    """`(features,)`: the only row of `(models, features)`, else the largest absolute values."""
    if len(coefficients) == 1:
        return np.asarray(coefficients[0])
    return np.asarray(np.abs(coefficients).max(axis=0))
