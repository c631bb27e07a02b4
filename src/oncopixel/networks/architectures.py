"""The networks by name, and the ensemble as one model. Keras's own layers and operations only.

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
from ..images.layout import Genome, in_rows

LINEAR, OUTPUT = "linear", "output"
"""Names of the linear path of `hybrid`, and of the last layer with weights of any other network."""

PAPER_DROPOUT, PAPER_SIDE = 0.5, 22
"""Of the paper's network: its dropout, and the smallest image that its layers leave a pixel of."""

SILENT, POOLED_DROPOUT = 0.05, 0.3
"""Of convolutions: the mean square below which a genome counts as silent, and dropout after each
pooling as a share of that before the dense layers."""


def build(
    shape: tuple[int, int, int], n_classes: int, params: TrainParams, genome: Genome | None = None
) -> keras.Model:
    """An untrained network: images `(samples, *shape)` to logits `(samples, n_classes)` float32.

    Parameters
    ----------
    genome
        With it the convolutions of `hybrid` over the channels that have neighbours there: along
        each chromosome by itself, or on the image (`params.convolve`). None: `paper`.

    Returns
    -------
    `paper` is the network of the paper that this project starts from, with Keras' default starts
    and dropout 0.5 whatever `params` say: for two classes and images 100 x 100 x 3 it has 1,731,905
    weights. For two classes it has one sigmoid unit, whose logit z is given as (0, z), the same
    probability.

    Raises
    ------
    ParamsError
        The images are too small for the paper's network.
    """
    images = keras.Input(shape, name="images")
    make = _Layers(params, paper=genome is None)
    if genome:
        return keras.Model(images, _convolutions(images, n_classes, make, genome), name="genome")
    return keras.Model(images, _paper(images, n_classes, make), name="paper")


class _Layers:
    """Layers with the dropout, precision and seeds that `params` asks for."""

    def __init__(self, params: TrainParams, *, paper: bool) -> None:
        self.params = params
        self._is_paper = paper
        self._rng = np.random.default_rng(params.seed)
        self.policy = "mixed_float16" if params.mixed_precision else "float32"

    def _seed(self) -> int:
        return int(self._rng.integers(2**31 - 1))

    def _start(self) -> keras.Initializer:
        kind = keras.initializers
        return (kind.GlorotUniform if self._is_paper else kind.HeNormal)(self._seed())

    def conv(self, name: str, filters: int, size: tuple[int, int], padding: str) -> layers.Layer:
        return layers.Conv2D(
            filters,
            size,
            padding=padding,
            activation="relu",
            kernel_initializer=self._start(),
            dtype=self.policy,
            name=name,
        )

    def dense(self, name: str, units: int) -> layers.Layer:
        return layers.Dense(
            units,
            activation="relu",
            kernel_initializer=self._start(),
            dtype=self.policy,
            name=name,
        )

    def dropout(self, name: str, share: float = 1) -> layers.Layer:
        rate = PAPER_DROPOUT if self._is_paper else share * self.params.dropout
        return layers.Dropout(rate, seed=self._seed(), dtype=self.policy, name=name)

    def logits(self, name: str, n_classes: int) -> layers.Layer:
        start = keras.initializers.GlorotUniform(self._seed())
        return layers.Dense(n_classes, kernel_initializer=start, dtype="float32", name=name)


def _paper(x: keras.KerasTensor, n_classes: int, make: _Layers) -> keras.KerasTensor:
    if min(x.shape[1], x.shape[2]) < PAPER_SIDE:
        raise ParamsError(
            f"images of {x.shape[1]} x {x.shape[2]} pixels are too small for `train.model: paper`, "
            f"which needs {PAPER_SIDE} x {PAPER_SIDE} or more. Enlarge the cohort's `image`, or "
            "use `hybrid`."
        )
    for i, filters in enumerate((32, 64, 128), start=1):
        x = make.conv(f"conv_{i}", filters, (3, 3), "valid")(x)
        x = layers.MaxPooling2D(2, dtype=make.policy, name=f"pool_{i}")(x)
    x = layers.Flatten(dtype=make.policy, name="flatten")(x)
    x = make.dropout("dropout")(make.dense("dense", 128)(x))
    if n_classes > 2:
        return make.logits(OUTPUT, n_classes)(x)
    x = layers.Reshape((1, 1), dtype="float32", name="unit")(make.logits(OUTPUT, 1)(x))
    x = layers.ZeroPadding1D((1, 0), dtype="float32", name="zero")(x)
    return layers.Reshape((2,), dtype="float32", name="logits")(x)


def _convolutions(
    x: keras.KerasTensor, n_classes: int, make: _Layers, genome: Genome
) -> keras.KerasTensor:
    """Logits of convolutions over the image, or along each chromosome by itself.

    Returns
    -------
    Each channel is read twice: as it is, and divided by the sample's own root mean square, because
    normal cells in a tumour make all of its copy-number changes smaller.
    """
    settings = make.params
    size, pool = (3, 3), (2, 2)
    if settings.convolve != "image":
        size, pool = (1, settings.kernel), (1, settings.pool)
        x = layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]), name="pixels")(x)
        x = layers.ZeroPadding1D((0, 1), name="nothing")(x)  # what fills short chromosomes up
        rows = in_rows(genome.chromosomes, _reach(settings), filling=x.shape[1] - 1)
        x = _take(x, rows, 1, "chromosomes")
    x = _take(x, np.array(genome.channels), 3, "local_channels")
    even = keras.ops.rms_normalization(x, axis=(1, 2), epsilon=SILENT)
    x = layers.Concatenate(name="raw_and_even")([x, _named_operation(even, "even")])
    for i, filters in enumerate(settings.filters, start=1):
        x = make.conv(f"conv_{i}", filters, size, "same")(x)
        x = layers.MaxPooling2D(pool, padding="same", dtype=make.policy, name=f"pool_{i}")(x)
        x = make.dropout(f"conv_dropout_{i}", POOLED_DROPOUT)(x)
    x = layers.Flatten(dtype=make.policy, name="flatten")(x)
    x = make.dropout("dropout_1")(x)
    x = make.dropout("dropout_2")(make.dense("dense", settings.units)(x))
    return make.logits(OUTPUT, n_classes)(x)


def _reach(settings: TrainParams) -> int:
    """Pixels that must lie between two, so that no unit before the dense layers sees both."""
    field, stride = 1, 1
    for _ in settings.filters:
        field += (settings.kernel + settings.pool - 2) * stride
        stride *= settings.pool
    return field - 1


def _take(x: keras.KerasTensor, at: np.ndarray, axis: int, name: str) -> keras.KerasTensor:
    """The entries at these positions of an axis."""
    return _named_operation(keras.ops.take(x, at, axis=axis), name)


def _named_operation(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The same, its operation renamed: names of Keras's own count what was made before."""
    x._keras_history.operation.name = name
    return x


def rescale_logits(model: keras.Model, slope: np.float32, shift: np.ndarray) -> None:
    """Makes the logits of a model that `build` made `slope` times theirs, plus `shift`.

    `shift` is `(classes,)`.
    """
    end = model.get_layer(OUTPUT)
    kernel, bias = end.get_weights()
    own = shift if len(bias) == len(shift) else np.diff(shift)  # one unit: the difference
    end.set_weights([slope * kernel, slope * bias + own])


def combine(members: Sequence[keras.Model]) -> keras.Model:
    """The ensemble of `member_0`, `member_1`, …: images to `(samples, members, classes)` logits."""
    images = keras.Input(members[0].input_shape[1:], name="images")
    return _ensemble(images, [_named(m, i)(images) for i, m in enumerate(members)])


def add_up(
    shape: tuple[int, int, int],
    kernel: np.ndarray,
    bias: np.ndarray,
    convolutions: Sequence[keras.Model],
) -> keras.Model:
    """The ensemble of `hybrid`: the linear path plus each of the convolutions.

    Parameters
    ----------
    kernel, bias
        `(pixels * channels, classes)` and `(classes,)` of the linear path.

    Returns
    -------
    As of `combine`; without any convolutions its only member is the linear path.
    """
    images = keras.Input(shape, name="images")
    pixels = layers.Flatten(dtype="float32", name="flat")(images)
    linear = layers.Dense(len(bias), dtype="float32", name=LINEAR)
    path = linear(pixels)
    linear.set_weights([kernel, bias])
    if not convolutions:
        return _ensemble(images, [path])
    sums = [
        layers.Add(dtype="float32", name=f"sum_{i}")([path, _named(network, i)(images)])
        for i, network in enumerate(convolutions)
    ]
    return _ensemble(images, sums)


def _named(network: keras.Model, i: int) -> keras.Model:
    return keras.Model(network.input, network.output, name=f"member_{i}")


def _ensemble(images: keras.KerasTensor, logits: Sequence[keras.KerasTensor]) -> keras.Model:
    rows = [
        layers.Reshape((1, one.shape[-1]), dtype="float32", name=f"row_{i}")(one)
        for i, one in enumerate(logits)
    ]
    stack = layers.Concatenate(axis=1, dtype="float32", name="logits")
    return keras.Model(images, stack(rows) if len(rows) > 1 else rows[0], name="ensemble")


def linear_path(ensemble: keras.Model) -> keras.Model | None:
    """The linear path of `hybrid` alone, as an ensemble of one; None for other networks."""
    if LINEAR not in {layer.name for layer in ensemble.layers}:
        return None
    return _ensemble(ensemble.input, [ensemble.get_layer(LINEAR).output])
