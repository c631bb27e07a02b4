"""The exact paths of `hybrid`: an adaptive ridge regression, its features and penalties chosen.

What is linear in given features is convex, so it is solved exactly, on all training samples;
cross-validation among them chooses the features and the penalties.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from ..core.params import TrainParams
from .calibration import calibrate
from .features import Features, Products

WIDE, PRODUCTS = "wide", "products"
"""Names of the layers that the exact paths fill."""

INNER_FOLDS = 5
SHARPNESS = (0.0, 1.0, 4.0)
"""Powers of a gene's univariate relevance that scale its weight: 0 is plain ridge."""
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse penalties, `C` of `LogisticRegression`, for features of a mean squared norm of one."""


@dataclass(frozen=True)
class Choice:
    """Features and penalties of the exact paths.

    `adjusted`: whether they read the image without its latent factors; `products`: whether these
    enter, too; `sharpness`, `strength`: see `fit_exact`.
    """

    adjusted: bool
    products: bool
    sharpness: float = 0.0
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights of the exact paths, on raw images.

    `weights`: kernel and bias by layer; `products`: None when the choice was to do without.
    """

    weights: dict[str, list[np.ndarray]]
    products: Products | None


@dataclass(frozen=True, eq=False)
class ExactPaths(Solution):
    """The exact paths of a `hybrid`, calibrated on `held_out`.

    `held_out`: `(samples, classes)` logits of each training sample from the inner fit that did not
    see its patient; `loss`: their mean log loss before calibration.
    """

    choice: Choice
    held_out: np.ndarray
    loss: float


def is_solved(params: TrainParams) -> bool:
    """Whether the network has exact paths."""
    return params.model == "hybrid" and params.warm_start


@dataclass(frozen=True, eq=False)
class _Validated:
    """A choice with the held-out logits of all samples, and their log losses."""

    choice: Choice
    held_out: np.ndarray
    losses: np.ndarray


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def fit_exact(
    features: Features,
    y: np.ndarray,
    patients: np.ndarray,
    weights: np.ndarray,
    seed: int,
) -> ExactPaths | None:
    """The exact paths that predict held-out patients best, or None when too few can be held out.

    An adaptive ridge (Zou 2006, with a ridge in place of the lasso): feature j is scaled by the
    power `sharpness` of its univariate relevance, the root of its one-way F statistic in the
    samples that are fitted, and the scaled features enter an L2 logistic regression of inverse
    penalty `strength`. All is chosen by log loss over patient-grouped folds; products, thousands
    more features, must win by more than the standard error of the paired difference (Breiman et al.
    1984). Solved in the coordinates of the samples' Gram matrix (Hastie & Tibshirani 2004), so its
    cost hardly depends on the number of features.

    Parameters
    ----------
    weights
        `(classes,)`, of the samples of each class.
    """
    folds = _inner_folds(y, patients, len(weights), seed)
    if not folds:
        return None

    def validate(candidate: Choice) -> _Validated:
        return _cross_validate(features, y, weights[y], folds, candidate)

    bases = (False,) if features.adjusted is None else (False, True)
    tried = [validate(Choice(adjusted, products=False)) for adjusted in bases]
    best = min(tried, key=lambda found: float(found.losses.mean()))
    if features.products is not None:
        joined = validate(replace(best.choice, products=True))
        gain = best.losses - joined.losses
        best = joined if gain.mean() > gain.std() / np.sqrt(len(gain)) else best
    slope, shift = calibrate(best.held_out, y, y)
    solved = solve(features, y, weights, best.choice, slope, shift)
    return ExactPaths(
        solved.weights,
        solved.products,
        best.choice,
        slope * best.held_out + shift,
        float(best.losses.mean()),
    )


def _inner_folds(
    y: np.ndarray, patients: np.ndarray, n_classes: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions to fit on and held out, patient-grouped; none when a fit would lack a class."""
    n_folds = min(INNER_FOLDS, *(len(np.unique(patients[y == k])) for k in range(n_classes)))
    if n_folds < 2:
        return []
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = list(splitter.split(y, y, patients))
    return folds if all(len(np.unique(y[fit])) == n_classes for fit, _ in folds) else []


def _cross_validate(
    features: Features,
    y: np.ndarray,
    weights: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    choice: Choice,
) -> _Validated:
    """The features of `choice`, with the penalties that are best for them."""
    blocks = features.blocks(adjusted=choice.adjusted, products=choice.products)
    held_out = np.zeros((len(SHARPNESS), len(STRENGTHS), len(y), y.max() + 1), np.float32)
    for fit, rest in folds:
        relevance = _relevance([x[fit] for x in blocks], y[fit])
        for s, power in enumerate(SHARPNESS):
            gram = _gram(blocks, [r**power for r in relevance])
            rotation = _rotation(gram[np.ix_(fit, fit)])
            rotated = gram[:, fit] @ rotation
            model = LogisticRegression(max_iter=2000, warm_start=True)
            for c, strength in enumerate(STRENGTHS):
                model.set_params(C=strength)
                kernel, bias = _solve(model, rotated[fit], y[fit], weights[fit])
                held_out[s, c, rest] = rotated[rest] @ kernel + bias
    losses = -weights * log_softmax(held_out, axis=-1)[:, :, np.arange(len(y)), y]
    s, c = divmod(int(np.argmin(losses.sum(axis=-1))), len(STRENGTHS))
    chosen = replace(choice, sharpness=SHARPNESS[s], strength=STRENGTHS[c])
    return _Validated(chosen, held_out[s, c], losses[s, c])


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def solve(
    features: Features,
    y: np.ndarray,
    weights: np.ndarray,
    choice: Choice,
    slope: float | np.floating = 1.0,
    shift: np.ndarray | float = 0.0,
) -> Solution:
    """The paths of a `choice`, fitted on all samples; their logits times `slope` plus `shift`."""
    blocks = features.blocks(adjusted=choice.adjusted, products=choice.products)
    gates = [r**choice.sharpness for r in _relevance(blocks, y)]
    gram = _gram(blocks, gates)
    rotation = _rotation(gram)
    model = LogisticRegression(C=choice.strength, max_iter=2000)
    kernel, bias = _solve(model, gram @ rotation, y, weights[y])
    dual, bias = (slope * rotation @ kernel).astype(np.float32), slope * bias + shift
    kernels = [gate[:, None] ** 2 * (x.T @ dual) for x, gate in zip(blocks, gates, strict=True)]
    if choice.adjusted and features.adjustment is not None:
        kernels[0], moved = features.adjustment.fold(kernels[0])
        bias = bias + moved
    layers = {WIDE: [kernels[0], bias]}
    products = features.products if choice.products else None
    if products is not None:
        layers[PRODUCTS] = list(products.fold(kernels[1]))
    return Solution(layers, products)


def _gram(blocks: Sequence[np.ndarray], gates: Sequence[np.ndarray]) -> np.ndarray:
    """`(samples, samples)` inner products of the features of all blocks, each times its gate."""
    total = np.zeros((len(blocks[0]),) * 2, np.float32)
    for x, gate in zip(blocks, gates, strict=True):
        scaled = x * gate
        total += scaled @ scaled.T
    return total


def _rotation(gram: np.ndarray) -> np.ndarray:
    """`(samples, rank)`: inner products with the samples @ this are coordinates.

    In these the samples have a mean squared norm of one.
    """
    scale = max(float(np.trace(gram)) / len(gram), 1e-30)
    values, vectors = np.linalg.eigh(gram.astype(np.float64) / scale)
    kept = values > 1e-8
    rotation: np.ndarray = vectors[:, kept] / np.sqrt(values[kept]) / scale
    return rotation


def _solve(
    model: LogisticRegression, x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `(columns, classes)` and bias; those of two classes differ in sign only."""
    model.fit(x, y, sample_weight=weights)
    kernel, bias = model.coef_.T, model.intercept_
    if len(bias) == 1:
        signs = np.array([-0.5, 0.5])
        kernel, bias = kernel * signs, bias * signs
    return kernel, bias.astype(np.float32)


def _relevance(blocks: Sequence[np.ndarray], y: np.ndarray) -> list[np.ndarray]:
    """`(features,)` float32 each: root of the one-way F statistic.

    In units of the first block's root mean square, so that blocks can be compared.
    """
    found = []
    for x in blocks:
        groups = [x[y == k] for k in np.unique(y)]
        centre = x.mean(axis=0)
        between = sum(len(g) * (g.mean(axis=0) - centre) ** 2 for g in groups) / (len(groups) - 1)
        within = sum(len(g) * g.var(axis=0) for g in groups) / max(len(x) - len(groups), 1)
        found.append(between / (within + 1e-3 * max(float(within.mean()), 1e-30)))
    unit = max(float(found[0].mean()), 1e-30)
    return [np.asarray(np.sqrt(f / unit), dtype=np.float32) for f in found]
