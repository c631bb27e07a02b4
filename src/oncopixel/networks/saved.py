"""Saved ensembles.

One that is a linear path alone is read without TensorFlow, which takes seconds.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import h5py
import numpy as np
from scipy.special import softmax

from ..core.hdf5 import check_group
from ..core.params import TrainParams
from ..core.storage import read_keras, read_with

if TYPE_CHECKING:
    import keras

LINEAR_ALONE = ["InputLayer", "Flatten", "Dense", "Reshape"]
"""Layers of `architectures.add_up` without convolutions."""
PREDICT_BATCH = 256


@dataclass(frozen=True, eq=False)
class Linear:
    """An ensemble that is its linear path, to be called as a Keras model is.

    `kernel` `(pixels * channels, classes)`, `bias` `(classes,)`, `shape` of an image.
    """

    kernel: np.ndarray
    bias: np.ndarray
    shape: tuple[int, ...]

    @property
    def input_shape(self) -> tuple[None, *tuple[int, ...]]:
        """As of a Keras model."""
        return (None, *self.shape)

    @property
    def output_shape(self) -> tuple[None, int, int]:
        """As of a Keras model: one member."""
        return (None, 1, len(self.bias))

    def __call__(self, images: np.ndarray, **_: object) -> np.ndarray:
        """`(samples, 1, classes)` logits."""
        logits: np.ndarray = images.reshape(len(images), -1) @ self.kernel + self.bias
        return logits[:, None]


Ensemble: TypeAlias = "keras.Model | Linear"


def read_ensemble(path: Path, params: TrainParams | None = None) -> Ensemble:
    """The ensemble in `path`, which `architectures` made.

    Parameters
    ----------
    params
        With it TensorFlow, if it is needed, is made repeatable.

    Returns
    -------
    Called with images `(samples, height, width, channels)` it gives logits `(samples, members,
    classes)`.

    Raises
    ------
    ArtifactError
        The file is missing, damaged or no ensemble.
    """
    linear = read_with(path, lambda: _read_linear(path))
    if linear:
        return linear
    if params:
        from .training import set_up

        set_up(params)
    return read_keras(path)


def _read_linear(path: Path) -> Linear | None:
    """The ensemble that is its linear path; None for any other."""
    with zipfile.ZipFile(path) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
        if [layer["class_name"] for layer in layers] != LINEAR_ALONE:
            return None
        images, _, dense, _ = (layer["config"] for layer in layers)
        if dense["activation"] != "linear":
            return None
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            check_group(weights)
            kernel, bias = (np.asarray(weights[f"layers/dense/vars/{i}"]) for i in range(2))
    shape = tuple(images["batch_shape"][1:])
    if kernel.shape != (np.prod(shape), len(bias)):
        return None
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ValueError("a weight is no finite number")
    return Linear(kernel, bias, shape)


def mean_probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities of an ensemble.

    Parameters
    ----------
    logits
        `(samples, members, classes)`.

    Returns
    -------
    `(samples, classes)`, of the members' mean logits: a mean of probabilities is more timid than
    any of them, and would not be what `predict --explain` adds up to.
    """
    p: np.ndarray = softmax(logits.mean(axis=1, dtype=np.float64), axis=-1)
    return p


def predict_logits(model: Any, images: np.ndarray) -> np.ndarray:
    """`(samples, members, classes)` float32 of an ensemble; of other models a row per sample."""
    parts = [
        np.asarray(model(np.asarray(images[i : i + PREDICT_BATCH], np.float32), training=False))
        for i in range(0, len(images), PREDICT_BATCH)
    ]
    return np.concatenate([np.zeros((0, *model.output_shape[1:]), np.float32), *parts])
