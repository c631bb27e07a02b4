"""The linear path of `hybrid`: an adaptive ridge regression, its features and penalties chosen.

What is linear is convex, so it is solved exactly, on all training samples; cross-validation among
them chooses the features and the penalties.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from ..core.errors import LabelError
from ..core.params import TrainParams
from ..images.coexpression import Adjustment, find_adjustment, leading_vectors
from .calibration import calibrate, class_weights

INNER_FOLDS, MANY, FEW_FOLDS = 5, 2_000, 3
"""Inner folds, and how many of more samples than the second."""
SHARPNESS = (0.0, 1.0, 4.0)
"""Powers of a gene's univariate relevance that scale its weight: 0 is plain ridge."""
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse penalties, `C` of `LogisticRegression`, for features of a mean squared norm of one."""


@dataclass(frozen=True, eq=False)
class Features:
    """The same samples as raw pixels and without their latent factors, if there are any.

    `(samples, features)` float32 each; the adjusted ones end with the factors, which are of
    channels with more than two values.
    """

    raw: np.ndarray
    adjustment: Adjustment | None = None
    adjusted: np.ndarray | None = None

    def chosen(self, *, adjusted: bool) -> np.ndarray:
        """The features that a path reads."""
        return self.adjusted if adjusted and self.adjusted is not None else self.raw

    def take(self, part: np.ndarray) -> Self:
        """The same features of some of the samples."""
        left = None if self.adjusted is None else self.adjusted[part]
        return replace(self, raw=self.raw[part], adjusted=left)


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def find_features(images: np.ndarray, seed: int, *, adjusted: bool = True) -> Features:
    """Features of `(samples, height, width, channels)` images; no label is looked at."""
    x = np.asarray(images, np.float32).reshape(len(images), -1, images.shape[-1])
    adjustment = find_adjustment(x, seed) if adjusted else None
    left = adjustment.apply(x) if adjustment else None
    return Features(x.reshape(len(x), -1), adjustment, left)


@dataclass(frozen=True)
class Choice:
    """Features and penalties of the linear path.

    `adjusted`: whether it reads the image without its latent factors; `sharpness`, `strength`: see
    `fit_linear`.
    """

    adjusted: bool
    sharpness: float = 0.0
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class LinearPath:
    """The linear path on raw images, and what it says of samples that it was not fitted on.

    `kernel` `(pixels * channels, classes)`, `bias` `(classes,)`; `held_out`: `(samples, classes)`
    logits of each training sample from the inner fit that did not see its patient; `loss`: their
    mean log loss.
    """

    kernel: np.ndarray
    bias: np.ndarray
    choice: Choice
    held_out: np.ndarray
    loss: float


@dataclass(frozen=True, eq=False)
class _Validated:
    """A choice with the held-out logits of all samples, and their log losses."""

    choice: Choice
    held_out: np.ndarray
    losses: np.ndarray

    @property
    def loss(self) -> float:
        return float(self.losses.mean())


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def fit_linear(
    features: Features, y: np.ndarray, patients: np.ndarray, weights: np.ndarray, seed: int
) -> LinearPath:
    """The linear path that predicts held-out patients best.

    An adaptive ridge: feature j is scaled by the power `sharpness` of its univariate relevance, the
    root of its one-way F statistic in the samples that are fitted, and the scaled features enter an
    L2 logistic regression of inverse penalty `strength`.

    Parameters
    ----------
    weights
        `(classes,)`, of the samples of each class.

    Returns
    -------
    All is chosen by log loss over patient-grouped folds, and solved in the coordinates of the
    samples' Gram matrix, so the cost hardly depends on the number of features.

    Raises
    ------
    LabelError
        A class has too few patients to be fitted and held out.

    References
    ----------
    Zou 2006, with a ridge in place of the lasso; Gram matrix: Hastie & Tibshirani 2004.
    """
    folds = _inner_folds(y, patients, len(weights), seed)
    bases = (False,) if features.adjusted is None else (False, True)
    tried = [_cross_validate(features, y, weights[y], folds, adjusted=base) for base in bases]
    best = min(tried, key=lambda found: found.loss)
    kernel, bias = solve(features, y, weights, best.choice)
    return LinearPath(kernel, bias, best.choice, best.held_out, best.loss)


def fit_path(
    images: np.ndarray, y: np.ndarray, patients: np.ndarray, params: TrainParams, n_classes: int
) -> LinearPath:
    """The linear path of `hybrid` on training samples; see `ensemble.fit_ensemble`."""
    weights = class_weights(y, n_classes, balanced=params.class_weights)
    features = find_features(images, params.seed)
    path: LinearPath = fit_linear(features, y, patients, weights, params.seed)
    return path


def linear_alone(path: LinearPath, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """The calibrated path as a network of its own, of the training samples' classes `y`.

    Returns
    -------
    kernel, bias, chosen
        `(pixels * channels, classes)` and `(classes,)` float32; see `ensemble.fit_ensemble`.
    """
    (slope,), shift = calibrate([path.held_out], y, y)
    chosen: dict[str, Any] = {
        "epochs": [],
        "linear": asdict(path.choice),
        "convolutions": None,
        "members": 1,
    }
    return slope * path.kernel, slope * path.bias + shift, chosen


def _inner_folds(
    y: np.ndarray, patients: np.ndarray, n_classes: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions to fit on and held out, patient-grouped, every class in each fit."""
    per_class = [len(np.unique(patients[y == k])) for k in range(n_classes)]
    n_folds = min(INNER_FOLDS if len(y) <= MANY else FEW_FOLDS, *per_class)
    if n_folds >= 2:
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        folds = list(splitter.split(y, y, patients))
        if all(len(np.unique(y[fit])) == n_classes for fit, _ in folds):
            return folds
    raise LabelError(
        f"class {int(np.argmin(per_class))} has {min(per_class)} patient(s) among the training "
        "samples of a fold, too few to choose the network's penalties. Merge or drop small classes "
        "(`classes` of the cohort), or use fewer folds (`split.folds`)."
    )


def _cross_validate(
    features: Features,
    y: np.ndarray,
    weights: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    adjusted: bool,
) -> _Validated:
    """These features, with the penalties that are best for them."""
    x = features.chosen(adjusted=adjusted)
    held_out = np.zeros((len(SHARPNESS), len(STRENGTHS), len(y), y.max() + 1), np.float32)
    for fit, rest in folds:
        relevance = _relevance(x[fit], y[fit])
        for s, power in enumerate(SHARPNESS):
            gram = _gram(x, relevance**power)
            rotation = _rotation(gram[np.ix_(fit, fit)])
            rotated = gram[:, fit] @ rotation
            model = LogisticRegression(max_iter=2000, warm_start=True)
            for c, strength in enumerate(STRENGTHS):
                model.set_params(C=strength)
                kernel, bias = _fit(model, rotated[fit], y[fit], weights[fit])
                held_out[s, c, rest] = rotated[rest] @ kernel + bias
    losses = -weights * log_softmax(held_out, axis=-1)[:, :, np.arange(len(y)), y]
    s, c = divmod(int(np.argmin(losses.sum(axis=-1))), len(STRENGTHS))
    return _Validated(Choice(adjusted, SHARPNESS[s], STRENGTHS[c]), held_out[s, c], losses[s, c])


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def solve(
    features: Features, y: np.ndarray, weights: np.ndarray, choice: Choice
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `(pixels * channels, classes)` and bias of a choice, fitted on all samples."""
    x = features.chosen(adjusted=choice.adjusted)
    gate = _relevance(x, y) ** choice.sharpness
    gram = _gram(x, gate)
    rotation = _rotation(gram)
    model = LogisticRegression(C=choice.strength, max_iter=2000)
    dual, bias = _fit(model, gram @ rotation, y, weights[y])
    kernel = gate[:, None] ** 2 * (x.T @ (rotation @ dual).astype(np.float32))
    if choice.adjusted and features.adjustment is not None:
        kernel, moved = features.adjustment.fold(kernel)
        bias = bias + moved
    return kernel, bias


def _gram(x: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """`(samples, samples)` inner products of the features, each times its gate."""
    scaled = x * gate
    gram: np.ndarray = scaled @ scaled.T
    return gram


def _rotation(gram: np.ndarray) -> np.ndarray:
    """`(samples, rank)` from products with the samples to coordinates of mean squared norm one."""
    scale = max(float(np.trace(gram)) / len(gram), 1e-30)
    values, vectors = leading_vectors(gram.astype(np.float64) / scale, 0)
    kept = values > 1e-8
    rotation: np.ndarray = vectors[:, kept] / np.sqrt(values[kept]) / scale
    return rotation


def _fit(
    model: LogisticRegression, x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `(columns, classes)` and bias; those of two classes differ in sign only."""
    model.fit(x, y, sample_weight=weights)
    kernel, bias = model.coef_.T, model.intercept_
    if len(bias) == 1:
        signs = np.array([-0.5, 0.5])
        kernel, bias = kernel * signs, bias * signs
    return kernel, bias.astype(np.float32)


def _relevance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`(features,)` float32: root of the one-way F statistic, in units of its root mean square."""
    groups = (x[y == k] for k in np.unique(y))  # one at a time: each is a copy
    sizes, means, variances = zip(*((len(g), g.mean(0), g.var(0)) for g in groups), strict=True)
    centre = x.mean(axis=0)
    between = sum(n * (mean - centre) ** 2 for n, mean in zip(sizes, means, strict=True))
    between = between / (len(sizes) - 1)
    within = sum(n * var for n, var in zip(sizes, variances, strict=True))
    within = within / max(len(x) - len(sizes), 1)
    f = between / (within + 1e-3 * max(float(within.mean()), 1e-30))
    return np.asarray(np.sqrt(f / max(float(f.mean()), 1e-30)), dtype=np.float32)
