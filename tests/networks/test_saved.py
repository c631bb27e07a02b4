"""A linear ensemble is read without TensorFlow and says what Keras would; others are Keras's."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from oncopixel.core.errors import ArtifactError
from oncopixel.core.storage import read_keras, write_keras
from oncopixel.markers.attribution import deletions, integrated_gradients
from oncopixel.networks.architectures import add_up
from oncopixel.networks.saved import Linear, predict_logits, read_ensemble

SHAPE = (4, 5, 2)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(300, *SHAPE)).astype(np.float32)


@pytest.fixture(params=[2, 3])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    kernel, bias = RNG.normal(size=(40, request.param)), RNG.normal(size=request.param)
    write_keras(tmp_path / "ensemble.keras", add_up(SHAPE, kernel, bias, []))
    return tmp_path / "ensemble.keras"


def test_it_is_what_keras_reads(path: Path) -> None:
    own, theirs = read_ensemble(path), read_keras(path)
    assert isinstance(own, Linear)
    assert (own.input_shape, own.output_shape) == (theirs.input_shape, theirs.output_shape)
    expected = predict_logits(theirs, IMAGES)
    np.testing.assert_allclose(predict_logits(own, IMAGES), expected, rtol=1e-4, atol=1e-5)
    for target in range(expected.shape[2]):
        arguments = IMAGES[:20], IMAGES.mean(axis=0), target
        exact, along = (integrated_gradients(model, *arguments) for model in (own, theirs))
        np.testing.assert_allclose(exact.pixels, along.pixels, atol=1e-4)
        falls = [deletions(model, *arguments, IMAGES[0] > 0) for model in (own, theirs)]
        np.testing.assert_allclose(*falls, atol=1e-4)


def test_tensorflow_is_not_imported_for_it(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from oncopixel.networks.saved import read_ensemble\n"
        f"read_ensemble(Path({str(path)!r})); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_what_is_not_its_linear_path_is_keras_s(tmp_path: Path, activation: str) -> None:
    images = keras.Input(SHAPE, name="images")
    x = layers.Dense(2, activation=activation)(layers.Flatten()(images))
    x = layers.Rescaling(2.0)(x) if activation == "linear" else x
    model = keras.Model(images, layers.Reshape((1, 2))(x))
    write_keras(tmp_path / "other.keras", model)
    read = read_ensemble(tmp_path / "other.keras")
    assert not isinstance(read, Linear)
    np.testing.assert_allclose(predict_logits(read, IMAGES), predict_logits(model, IMAGES))


def change_weights(path: Path, change: str) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO(members["model.weights.h5"])
    with h5py.File(stream, "r+") as file:
        variables = file["layers/dense/vars"]
        if change == "not finite":
            variables["0"][3, 1] = np.inf
        else:
            del variables["0"]
        if change == "elsewhere":
            variables["0"] = h5py.ExternalLink("other.h5", "kernel")
    members["model.weights.h5"] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("change", ["not finite", "gone", "elsewhere"])
def test_odd_weights_are_refused(path: Path, change: str) -> None:
    change_weights(path, change)
    with pytest.raises(ArtifactError, match=r"ensemble\.keras is damaged"):
        read_ensemble(path)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ensemble.keras").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"ensemble\.keras is damaged"):
        read_ensemble(tmp_path / "ensemble.keras")
