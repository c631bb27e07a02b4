"""What each pixel adds to a network's logits, and how that differs between classes.

Attributions are integrated gradients from the mean training image. Those of linear terms are known
in closed form; others are summed along the path.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..networks.saved import Ensemble, Linear

if TYPE_CHECKING:
    import keras

MIN_CHANGE = 0.1
"""Logits; a smaller change of output counts as this much in the completeness error."""
PATH_IMAGES = 64
"""Images on the path that are differentiated at once: bounds memory."""


@dataclass(frozen=True)
class Attribution:
    """What each pixel adds to a model's output, and how well the parts add up to the whole."""

    pixels: np.ndarray
    """`(samples, height, width, channels)` float32, logits."""
    completeness: np.ndarray
    """`(samples,)` float64, |sum of pixels - change of output| / max(|change of output|, 0.1)."""


@dataclass(frozen=True)
class Explanation:
    """How much a model uses each pixel to tell the classes apart."""

    score: np.ndarray
    """`(height, width, channels)` float32, logits: |mean attribution in a class - in the others|,
    of more than two classes the largest; 0 for an empty pixel."""
    target: np.ndarray
    """`(height, width, channels)` int32, index of the class that the score speaks of."""
    by_class: np.ndarray
    """`(classes, height, width, channels)` float32, logits: mean attribution to each class in its
    own samples; of two classes both to the last one."""
    completeness: np.ndarray
    """`(samples x explained classes,)` float64, see `Attribution`."""


def explain(
    model: Ensemble,
    images: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    steps: int = 32,
    tolerance: float = 0.01,
) -> Explanation:
    """How much a model uses each pixel to tell the classes of the training samples apart.

    Parameters
    ----------
    images, y
        `(samples, height, width, channels)`, whose mean is the baseline, and class indices.

    Returns
    -------
    Two classes are explained once, for the last one; of more every one against the rest.
    """
    baseline = images.mean(axis=0, dtype=np.float64).astype(np.float32)
    targets = [1] if n_classes == 2 else list(range(n_classes))
    scores, means, errors = [], [], []
    for target in targets:
        found = integrated_gradients(
            model, images, baseline, target, steps=steps, tolerance=tolerance
        )
        inside, outside = (found.pixels[part].mean(axis=0) for part in (y == target, y != target))
        scores.append(np.abs(inside - outside))
        means += [outside, inside] if n_classes == 2 else [inside]
        errors.append(found.completeness)
    return Explanation(
        score=np.max(scores, axis=0),
        target=np.asarray(targets, dtype=np.int32)[np.argmax(scores, axis=0)],
        by_class=np.stack(means),
        completeness=np.concatenate(errors),
    )


def _against_rest(kernel: np.ndarray, target: int) -> np.ndarray:
    """`(features,)` weights of the target logit minus the mean of the others."""
    own = kernel[:, target]
    weights: np.ndarray = own - (kernel.sum(axis=1) - own) / (kernel.shape[1] - 1)
    return weights


def integrated_gradients(
    model: Ensemble,
    images: np.ndarray,
    baseline: np.ndarray,
    target: int,
    *,
    steps: int = 32,
    tolerance: float = 0.01,
) -> Attribution:
    """Contribution of every pixel to the target logit minus the mean of the others.

    Parameters
    ----------
    model
        Its logits, `(samples, members, classes)`, are averaged over members.
    baseline
        The one image at which every path starts.
    steps, tolerance
        The path integral is a Gauss-Legendre sum with 4 points, doubled up to `steps` for those
        samples only whose completeness error exceeds `tolerance`.

    Returns
    -------
    Logits, which add up to the change of output from the baseline but for the completeness error.

    References
    ----------
    Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks.
    """
    if isinstance(model, Linear):
        slopes = _against_rest(model.kernel, target).reshape(baseline.shape)
        return Attribution((images - baseline) * slopes, np.zeros(len(images)))
    import tensorflow as tf

    evaluate, integrate = _compiled(model, target)
    weights = [[v.value for v in of] for of in _variables(model)]
    base = tf.constant(baseline, tf.float32)
    blocks = [images[i : i + PATH_IMAGES] for i in range(0, len(images), PATH_IMAGES)]
    start = float(evaluate(weights, base[None])[0])
    change = np.concatenate([evaluate(weights, block).numpy() for block in blocks]) - start
    pixels = np.empty(images.shape, dtype=np.float32)
    error = np.full(len(images), np.inf)
    points = min(4, steps)
    while True:
        open_rows = np.flatnonzero(error > tolerance)
        nodes, shares = np.polynomial.legendre.leggauss(points)
        at = tf.constant((nodes + 1) / 2, tf.float32), tf.constant(shares / 2, tf.float32)
        size = max(1, PATH_IMAGES // points)
        for rows in (open_rows[i : i + size] for i in range(0, len(open_rows), size)):
            pixels[rows] = integrate(weights, images[rows], base, *at).numpy()
            missing = pixels[rows].sum(axis=(1, 2, 3), dtype=np.float64) - change[rows]
            error[rows] = np.abs(missing) / np.maximum(np.abs(change[rows]), MIN_CHANGE)
        if points == steps:
            return Attribution(pixels, error)
        points = min(2 * points, steps)


def deletions(
    model: Ensemble,
    images: np.ndarray,
    baseline: np.ndarray,
    target: int,
    deleted: np.ndarray,
) -> np.ndarray:
    """By how much the target's logit, minus the mean of the others, falls without some values.

    Parameters
    ----------
    deleted
        `(height, width, channels)` bool: what takes the value of the baseline.

    Returns
    -------
    `(samples,)` logits.
    """
    if isinstance(model, Linear):
        gone = np.where(deleted, _against_rest(model.kernel, target).reshape(baseline.shape), 0)
        return np.asarray(np.tensordot(images - baseline, gone, axes=baseline.ndim))
    evaluate, _ = _compiled(model, target)
    weights = [[v.value for v in of] for of in _variables(model)]
    falls = [np.zeros(0)]
    for i in range(0, len(images), PATH_IMAGES):
        block = images[i : i + PATH_IMAGES]
        without = np.where(deleted, baseline, block)
        falls.append((evaluate(weights, block) - evaluate(weights, without)).numpy())
    return np.concatenate(falls)


_COMPILED: dict[tuple[str, int], tuple[Any, Any]] = {}


def _variables(model: "keras.Model") -> tuple[list[Any], list[Any]]:
    return model.trainable_variables, model.non_trainable_variables


def _compiled(model: "keras.Model", target: int) -> tuple[Any, Any]:
    """Functions of the weights and images of an architecture: the output, and the path integral."""
    import tensorflow as tf

    key = model.to_json(), target
    if key in _COMPILED:
        return _COMPILED[key]
    shape = tuple(model.input_shape[1:])

    def output(weights: Any, batch: Any) -> Any:
        logits, _ = model.stateless_call(*weights, batch, training=False)
        logits = tf.reduce_mean(tf.cast(logits, tf.float32), axis=1)
        others = tf.cast(tf.shape(logits)[1] - 1, tf.float32)
        own = logits[:, target]
        return own - (tf.reduce_sum(logits, axis=1) - own) / others

    def path_integral(weights: Any, batch: Any, base: Any, points: Any, shares: Any) -> Any:
        change = batch - base
        path = base + points[:, None, None, None] * change[:, None]
        path = tf.reshape(path, (-1, *shape))
        with tf.GradientTape() as tape:
            tape.watch(path)
            result = output(weights, path)
        gradient = tape.gradient(result, path)
        gradient = tf.reshape(gradient, (-1, tf.size(points), *shape))
        return change * tf.einsum("bphwc,p->bhwc", gradient, shares)

    weights = [[tf.TensorSpec(v.shape, v.dtype) for v in of] for of in _variables(model)]
    images, one = (tf.TensorSpec(of, tf.float32) for of in ((None, *shape), shape))
    vector = tf.TensorSpec((None,), tf.float32)
    _COMPILED[key] = (
        tf.function(output, input_signature=[weights, images]),
        tf.function(path_integral, input_signature=[weights, images, one, vector, vector]),
    )
    return _COMPILED[key]
