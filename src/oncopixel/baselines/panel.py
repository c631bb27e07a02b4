"""Small linear scores: a few features that could be measured by an assay.

Features are taken in the order of their association with the label, those left out that say what
one before says already. Everything is fitted on training samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ..core.params import BaselineParams
from ..images.preprocessor import Preprocessor
from .grid import Folds, mean_loss
from .trees import association
from .tuning import inner_folds

REDUNDANT = 0.8
"""A feature that correlates with one of the panel by more is left out."""
PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Inverse strengths of the L2 penalty that are tried."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A logistic model of a few features."""

    features: np.ndarray
    """`(size,)` positions, the most associated first."""
    weights: np.ndarray
    """`(size, classes)` logits per unit of the features; of two classes the first has none."""
    intercepts: np.ndarray
    """`(classes,)`."""
    strength: float
    """Inverse of the L2 penalty's."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """`(samples, classes)` of `(samples, features)`."""
        found: np.ndarray = softmax(x[:, self.features] @ self.weights + self.intercepts, axis=1)
        return found


def choose_features(x: np.ndarray, y: np.ndarray, most: int) -> np.ndarray:
    """`(<= most,)` positions of features, the most associated first, none redundant."""
    share = association(x, y)
    sd = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1)
    taken: list[int] = []
    for feature in np.argsort(-share, kind="stable"):
        if len(taken) == most or not share[feature] > 0:
            break
        r = scaled[:, taken].T @ scaled[:, feature] / len(x)
        if not (np.abs(r) > REDUNDANT).any():
            taken.append(int(feature))
    return np.array(taken, dtype=int)


def fit_panels(
    x: np.ndarray, y: np.ndarray, patients: np.ndarray, sizes: list[int], params: BaselineParams
) -> list[Panel]:
    """A panel of each size; smaller where no more features are associated."""
    folds = inner_folds(y, patients, params)
    with threadpool_limits(limits=1):
        features = choose_features(x, y, max(sizes))
        return [_fit(x, y, features[:size], folds) for size in sizes]


def _fit(x: np.ndarray, y: np.ndarray, features: np.ndarray, folds: Folds) -> Panel:
    n_classes = int(y.max()) + 1
    if not len(features):
        shares = np.bincount(y, minlength=n_classes) / len(y)
        return Panel(features, np.zeros((0, n_classes)), np.log(np.maximum(shares, 1e-6)), 1.0)
    own = x[:, features].astype(np.float64)
    best = tuned_logistic(own, y, folds)
    weights, intercepts = best.coef_.T, best.intercept_
    if n_classes == 2:
        weights, intercepts = np.hstack([0 * weights, weights]), np.append(0.0, intercepts)
    return Panel(features, weights, intercepts, best.C)


def tuned_logistic(x: np.ndarray, y: np.ndarray, folds: Folds) -> LogisticRegression:
    """L2 regression on a few features, fitted with the penalty that is best in the folds."""
    losses = [_loss(x, y, strength, folds) for strength in PENALTIES]
    return _model(PENALTIES[int(np.argmin(losses))]).fit(x, y)


def _model(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2_000)


def _loss(x: np.ndarray, y: np.ndarray, strength: float, folds: Folds) -> float:
    return mean_loss((_model(strength).fit(x[fit], y[fit]), x, y, check) for fit, check in folds)


def cost_of_each(
    x: np.ndarray, y: np.ndarray, patients: np.ndarray, panel: Panel, params: BaselineParams
) -> np.ndarray:
    """What leaving each feature out adds to the log loss in inner folds.

    Returns
    -------
    `(size,)`. The features were chosen on the same samples, so all these losses are too small.
    """
    folds = inner_folds(y, patients, params)
    own = x[:, panel.features].astype(np.float64)
    if own.shape[1] < 2:
        return np.full(own.shape[1], np.nan)
    with threadpool_limits(limits=1):
        whole = _loss(own, y, panel.strength, folds)
        without = (np.delete(own, i, axis=1) for i in range(own.shape[1]))
        return np.array([_loss(part, y, panel.strength, folds) - whole for part in without])


def smallest_good(losses: Mapping[int, np.ndarray]) -> int:
    """The smallest size whose `(samples,)` losses exceed the best one's by one SE at most."""
    best = min(losses, key=lambda size: float(losses[size].mean()))
    worse = {size: loss - losses[best] for size, loss in losses.items()}
    return min(
        size
        for size, excess in worse.items()
        if excess.mean() <= excess.std() / np.sqrt(len(excess))
    )


def table(panel: Panel, pre: Preprocessor, costs: np.ndarray) -> dict[str, Any]:
    """What is needed to use the panel elsewhere: JSON-able.

    Returns
    -------
    `features`: gene, channel, `center` and `scale` that standardise it, `weights` by class, and
    `cost`, see `cost_of_each`; `clip`, `intercepts`, `classes`, and `scale` of the expression that
    is taken to log2. The logits of the classes are the intercepts plus the sum of weight times
    standardised value.
    """
    rows = []
    for feature, weights, cost in zip(panel.features, panel.weights, costs, strict=True):
        gene, channel = divmod(int(feature), len(pre.channels))
        row, name = pre.genes.iloc[gene], pre.channels[channel]
        rows.append(
            {
                "gene": row["gene"],
                "ensembl_id": row["ensembl_id"],
                "channel": name,
                "center": float(row[f"{name}_center"]),
                "scale": float(row[f"{name}_scale"]),
                "weights": weights.tolist(),
                "cost": None if np.isnan(cost) else float(cost),
            }
        )
    return {
        "features": rows,
        "intercepts": panel.intercepts.tolist(),
        "clip": pre.params.clip,
        "classes": pre.classes,
        "scale": pre.scale,
    }
