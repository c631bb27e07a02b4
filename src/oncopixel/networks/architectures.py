"""The CNNs by name, and the ensemble as one model. Built-in Keras layers only.

A saved model therefore loads with `keras.saving.load_model(path)` in safe mode, without this
package. Every model maps images `(samples, height, width, channels)` to logits in float32, also
under mixed precision. Layers have fixed names and every random start has a seed of its own, taken
from `params.seed`, so no global state decides what a model is.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from ..core.errors import ParamsError
from ..core.params import TrainParams
from .features import Products
from .linear_path import PRODUCTS, WIDE

DEEP = "deep"
"""With `WIDE` and `PRODUCTS` the layers of `hybrid` whose sum is the logits."""

OUTPUT = "output"
"""Name of the last layer with weights of the other networks."""

PAPER_DROPOUT, PAPER_SIDE = 0.5, 22
"""Of the paper's network: its dropout, and the smallest image that its layers leave a pixel of."""

PATCH = 5
"""Side of the square of genes that one patch convolution reads, in pixels."""

PREDICT_BATCH = 256


def build(
    name: str,
    shape: tuple[int, int, int],
    n_classes: int,
    params: TrainParams,
    products: Products | None = None,
) -> keras.Model:
    """An untrained model: images `(samples, *shape)` to logits `(samples, n_classes)` float32.

    `paper`: the network of the paper that this project starts from, with Keras' default starts and
    dropout 0.5 whatever `params` say: 1,731,905 weights for two classes and images 100 x 100 x 3.
    For two classes it has one sigmoid unit, whose logit z is given as (0, z), the same probability.
    `patch`: convolutions whose kernel equals their stride, so each gene is read exactly once.
    `hybrid`: a small patch CNN beside a per-gene linear path; their logits are added, and the
    CNN's start at zero, so it can only add what the linear path lacks. With `products` it has an
    interaction path, too, that is linear in them and starts at zero.
    Raises `ParamsError` when the images are too small for the network.
    """
    images = keras.Input(shape, name="images")
    make = _Layers(params, paper=name == "paper")
    if name == "hybrid":
        return _hybrid(images, n_classes, make, products)
    logits = {"paper": _paper, "patch": _patch}[name](images, n_classes, make)
    return keras.Model(images, logits, name=name)


class _Layers:
    """Layers with the dropout, penalties, precision and seeds that `params` asks for."""

    def __init__(self, params: TrainParams, *, paper: bool = False) -> None:
        self._params = params
        self._is_paper = paper
        self._rng = np.random.default_rng(params.seed)
        self.policy = "mixed_float16" if params.mixed_precision else "float32"

    def _seed(self) -> int:
        return int(self._rng.integers(2**31 - 1))

    def _penalty(self) -> keras.regularizers.Regularizer | None:
        l1, l2 = self._params.l1, self._params.l2
        return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None

    def _start(self) -> keras.Initializer:
        kind = keras.initializers
        return (kind.GlorotUniform if self._is_paper else kind.HeNormal)(self._seed())

    def conv(self, name: str, filters: int, size: int, stride: int, padding: str) -> layers.Layer:
        return layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding=padding,
            activation="relu",
            kernel_initializer=self._start(),
            kernel_regularizer=self._penalty(),
            dtype=self.policy,
            name=name,
        )

    def dense(self, name: str, units: int) -> layers.Layer:
        return layers.Dense(
            units,
            activation="relu",
            kernel_initializer=self._start(),
            kernel_regularizer=self._penalty(),
            dtype=self.policy,
            name=name,
        )

    def dropout(self, name: str) -> layers.Layer:
        rate = PAPER_DROPOUT if self._is_paper else self._params.dropout
        return layers.Dropout(rate, seed=self._seed(), dtype=self.policy, name=name)

    def logits(self, name: str, n_classes: int, *, zero: bool = False) -> layers.Layer:
        return layers.Dense(
            n_classes,
            kernel_initializer="zeros" if zero else keras.initializers.GlorotUniform(self._seed()),
            kernel_regularizer=self._penalty(),
            dtype="float32",
            name=name,
        )


def _paper(x: keras.KerasTensor, n_classes: int, make: _Layers) -> keras.KerasTensor:
    if min(x.shape[1], x.shape[2]) < PAPER_SIDE:
        raise ParamsError(
            f"images of {x.shape[1]} x {x.shape[2]} pixels are too small for `train.model: paper`, "
            f"which needs {PAPER_SIDE} x {PAPER_SIDE} or more. Enlarge the cohort's `image`, or "
            "use `hybrid` or `patch`."
        )
    for i, filters in enumerate((32, 64, 128), start=1):
        x = make.conv(f"conv_{i}", filters, 3, 1, "valid")(x)
        x = layers.MaxPooling2D(2, dtype=make.policy, name=f"pool_{i}")(x)
    x = layers.Flatten(dtype=make.policy, name="flatten")(x)
    x = make.dropout("dropout")(make.dense("dense", 128)(x))
    if n_classes > 2:
        return make.logits(OUTPUT, n_classes)(x)
    x = layers.Reshape((1, 1), dtype="float32", name="unit")(make.logits(OUTPUT, 1)(x))
    x = layers.ZeroPadding1D((1, 0), dtype="float32", name="zero")(x)
    return layers.Reshape((2,), dtype="float32", name="logits")(x)


def _patch(x: keras.KerasTensor, n_classes: int, make: _Layers) -> keras.KerasTensor:
    x = make.conv("conv_1", 32, PATCH, PATCH, "same")(x)
    x = make.conv("conv_2", 64, 2, 2, "same")(x)
    x = layers.Flatten(dtype=make.policy, name="flatten")(x)
    x = make.dropout("dropout_1")(x)
    x = make.dropout("dropout_2")(make.dense("dense", 64)(x))
    return make.logits(OUTPUT, n_classes)(x)


def _hybrid(
    x: keras.KerasTensor, n_classes: int, make: _Layers, products: Products | None
) -> keras.Model:
    wide = layers.Flatten(dtype="float32", name="genes")(x)
    wide = make.logits(WIDE, n_classes, zero=True)(wide)
    deep = make.conv("conv", 16, PATCH, PATCH, "same")(x)
    deep = layers.Flatten(dtype=make.policy, name="flatten")(deep)
    deep = make.dropout("dropout_1")(deep)
    deep = make.dropout("dropout_2")(make.dense("dense", 32)(deep))
    deep = make.logits(DEEP, n_classes, zero=True)(deep)
    paths = [wide, deep]
    fixed: dict[str, list[np.ndarray]] = {}
    if products:
        multiplied, fixed = _multiply(x, products)
        paths.append(make.logits(PRODUCTS, n_classes, zero=True)(multiplied))
    model = keras.Model(x, layers.Add(dtype="float32", name="logits")(paths), name="hybrid")
    for name, weights in fixed.items():
        model.get_layer(name).set_weights(weights)
    return model


def _multiply(
    x: keras.KerasTensor, products: Products
) -> tuple[keras.KerasTensor, dict[str, list[np.ndarray]]]:
    """The products of an image, flat, in the order of `Products.fold`; weights to set by layer.

    Nothing of it is trained. A convolution of one pixel picks channels.
    """
    fixed: dict[str, list[np.ndarray]] = {}

    def pick(name: str, channels: Sequence[int]) -> keras.KerasTensor:
        fixed[name] = [np.eye(x.shape[-1], dtype=np.float32)[:, list(channels)][None, None]]
        layer = layers.Conv2D(len(channels), 1, use_bias=False, dtype="float32", name=name)
        layer.trainable = False
        return layer(x)

    def flat(name: str, tensor: keras.KerasTensor) -> keras.KerasTensor:
        return layers.Flatten(dtype="float32", name=name)(tensor)

    parts = []
    n_modules = products.weights.shape[1]
    if n_modules:
        layer = layers.Dense(n_modules, trainable=False, dtype="float32", name="modules")
        fixed["modules"] = [products.weights, products.offset]
        row = layer(flat("first_genes", pick("first_channel", [0])))
        row = layers.Reshape((1, n_modules), dtype="float32", name="row")(row)
        square = layers.Dot(axes=1, dtype="float32", name="module_pairs")([row, row])
        parts.append(flat("flat_pairs", square))
    if products.channels:
        first, second = zip(*products.channels, strict=True)
        hits = [pick("left_channels", first), pick("right_channels", second)]
        parts.append(flat("flat_hits", layers.Multiply(dtype="float32", name="gene_hits")(hits)))
    if len(parts) == 1:
        return parts[0], fixed
    return layers.Concatenate(dtype="float32", name="multiplied")(parts), fixed


def rescale_logits(model: keras.Model, slope: np.float32, shift: np.ndarray) -> None:
    """Makes the logits of a model that `build` made `slope` times theirs, plus `shift`.

    `shift` is `(classes,)`.
    """
    ends = [layer for layer in model.layers if layer.name in (WIDE, DEEP, PRODUCTS, OUTPUT)]
    for weight in (weight for end in ends for weight in end.weights):
        weight.assign(weight * slope)
    bias = ends[0].bias
    own = shift if bias.shape[0] == len(shift) else np.diff(shift)  # one unit: the difference
    bias.assign(bias + own)


def combine(members: Sequence[keras.Model]) -> keras.Model:
    """The ensemble as one model: images to logits `(samples, members, classes)` float32.

    The members are its layers `member_0`, `member_1`, …
    """
    images = keras.Input(members[0].input_shape[1:], name="images")
    rows = []
    for i, member in enumerate(members):
        layer = keras.Model(member.input, member.output, name=f"member_{i}")
        row = layers.Reshape((1, member.output_shape[-1]), dtype="float32", name=f"row_{i}")
        rows.append(row(layer(images)))
    stack = layers.Concatenate(axis=1, dtype="float32", name="logits")
    return keras.Model(images, stack(rows) if len(rows) > 1 else rows[0], name="ensemble")


def members(ensemble: keras.Model) -> list[keras.Model]:
    """The members of an ensemble that `combine` made, in order."""
    return [ensemble.get_layer(f"member_{i}") for i in range(ensemble.output_shape[1])]


def convolutions(network: keras.Model) -> keras.Model:
    """The convolutional path of a `hybrid`: images to its logits, sharing the weights."""
    return keras.Model(network.input, network.get_layer(DEEP).output)


def exact_paths(ensemble: keras.Model) -> keras.Model | None:
    """The exact paths of `hybrid` alone, without its convolutions; None for other networks.

    The difference from `hybrid` is what the convolutions add.
    """
    parts = []
    for member in members(ensemble):
        outputs = [layer.output for layer in member.layers if layer.name in (WIDE, PRODUCTS)]
        if not outputs:
            return None
        add = layers.Add(dtype="float32", name="logits")
        parts.append(keras.Model(member.input, add(outputs) if len(outputs) > 1 else outputs[0]))
    return combine(parts)


def linear_weights(ensemble: keras.Model) -> np.ndarray:
    """`(pixels * channels, classes)` float32 weights of the linear path, mean over the members.

    Its integrated gradients are these times (image - baseline). They leave out products.
    """
    kernels = [member.get_layer(WIDE).get_weights()[0] for member in members(ensemble)]
    mean: np.ndarray = np.stack(kernels).mean(axis=0)
    return mean


def predict_logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Logits `(samples, members, classes)` float32 of an ensemble.

    Any other model gives its own output, one row per sample.
    """
    parts = [
        np.asarray(model(np.asarray(images[i : i + PREDICT_BATCH], np.float32), training=False))
        for i in range(0, len(images), PREDICT_BATCH)
    ]
    return np.concatenate([np.zeros((0, *model.output_shape[1:]), np.float32), *parts])
