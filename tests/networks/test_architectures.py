"""Architectures: shapes, names, starts, and that a saved model needs nothing of ours."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from oncopixel.core.errors import ParamsError
from oncopixel.core.params import TrainParams, read_params
from oncopixel.core.storage import read_keras, sha256, write_keras
from oncopixel.networks.architectures import (
    DEEP,
    PRODUCTS,
    WIDE,
    build,
    combine,
    members,
    rescale_logits,
)
from oncopixel.networks.features import Products

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)

NAMES = ("paper", "patch", "hybrid")
SHAPE = (24, 22, 3)
IMAGES = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


def make_params(**changes: Any) -> TrainParams:
    return read_params(Path("params.yaml")).train.model_copy(update=changes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mixed_precision", [False, True])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_logits_are_float32_per_class(name: str, mixed_precision: bool, n_classes: int) -> None:
    model = build(name, SHAPE, n_classes, make_params(mixed_precision=mixed_precision))
    logits = model(IMAGES)
    assert logits.shape == (5, n_classes)
    assert logits.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    hidden = {layer.compute_dtype for layer in model.layers if "conv" in layer.name}
    assert hidden == {"float16" if mixed_precision else "float32"}


def test_paper_is_the_seed_paper_s_network() -> None:
    """Each size by hand: kernels, valid borders and halvings, then 10 x 10 x 128 to 128 to 1."""
    params = make_params(model="paper", dropout=0.1)
    model = build("paper", (100, 100, 3), 2, params)
    assert model.count_params() == 1_731_905
    assert model.count_params() == sum(
        [(9 * 3 + 1) * 32, (9 * 32 + 1) * 64, (9 * 64 + 1) * 128, (12_800 + 1) * 128, 128 + 1]
    )
    assert [(type(layer).__name__, layer.output.shape[1:]) for layer in model.layers[1:]] == [
        ("Conv2D", (98, 98, 32)), ("MaxPooling2D", (49, 49, 32)),
        ("Conv2D", (47, 47, 64)), ("MaxPooling2D", (23, 23, 64)),
        ("Conv2D", (21, 21, 128)), ("MaxPooling2D", (10, 10, 128)),
        ("Flatten", (12_800,)), ("Dense", (128,)), ("Dropout", (128,)), ("Dense", (1,)),
        ("Reshape", (1, 1)), ("ZeroPadding1D", (2, 1)), ("Reshape", (2,)),
    ]  # fmt: skip
    assert model.get_layer("dropout").rate == 0.5
    for layer in model.layers:
        if layer.weights:
            assert layer.activation.__name__ == ("linear" if layer.name == "output" else "relu")
            assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)


def test_the_two_logits_of_paper_are_those_of_its_sigmoid_unit() -> None:
    model = build("paper", (24, 22, 3), 2, make_params())
    images = np.random.default_rng(1).normal(size=(4, 24, 22, 3)).astype(np.float32)
    unit = keras.Model(model.input, model.get_layer("output").output)
    p = np.asarray(keras.ops.softmax(model(images)))
    np.testing.assert_allclose(p[:, 1:], keras.ops.sigmoid(unit(images)), rtol=1e-5)
    assert build("paper", (24, 22, 3), 3, make_params()).get_layer("output").units == 3


def test_paper_on_tiny_images_says_what_to_do() -> None:
    with pytest.raises(ParamsError, match=r"21 x 30 pixels.*22 x 22.*`image`, or use `hybrid`"):
        build("paper", (21, 30, 1), 2, make_params())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_rescaling_moves_the_log_odds_of_the_classes_alone(name: str, n_classes: int) -> None:
    model = build(name, SHAPE, n_classes, make_params())
    before, by = np.asarray(model(IMAGES)), np.arange(n_classes, dtype=np.float32) - 0.3
    rescale_logits(model, np.float32(3), by)
    moved = np.diff(model(IMAGES), axis=1) - 3 * np.diff(before, axis=1)
    np.testing.assert_allclose(moved, np.ones((5, n_classes - 1)), atol=1e-5)


@pytest.mark.parametrize("name", ["patch", "hybrid"])
def test_patch_convolutions_read_each_gene_once(name: str) -> None:
    model = build(name, (3, 7, 1), 2, make_params())
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert convolutions
    for layer in convolutions:
        assert layer.kernel_size == layer.strides
    assert model(np.zeros((1, 3, 7, 1), np.float32)).shape == (1, 2)


def test_hybrid_starts_at_zero_and_adds_its_two_paths() -> None:
    model = build("hybrid", SHAPE, 2, make_params())
    assert not np.any(model(IMAGES))
    rng = np.random.default_rng(1)
    for name in (WIDE, DEEP):
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    paths = keras.Model(model.input, [model.get_layer(n).output for n in (WIDE, DEEP)])
    wide, deep = (np.asarray(part) for part in paths(IMAGES))
    np.testing.assert_allclose(model(IMAGES), wide + deep, rtol=1e-5)
    kernel, bias = model.get_layer(WIDE).get_weights()
    np.testing.assert_allclose(wide, IMAGES.reshape(5, -1) @ kernel + bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("n_modules", "channels"), [(4, ((0, 2), (1, 2))), (4, ()), (0, ((1, 2),)), (1, ((0, 1),))]
)
def test_products_of_a_hybrid_are_those_it_was_given(
    n_modules: int, channels: tuple[tuple[int, int], ...]
) -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(528, n_modules)).astype(np.float32) / 10
    offset = rng.normal(size=n_modules).astype(np.float32)
    pixels = IMAGES.reshape(5, 528, 3)
    products = Products(weights, offset, channels).standardised(pixels)
    model = build("hybrid", SHAPE, 2, make_params(mixed_precision=True), products)
    assert not np.any(model(IMAGES))
    multiplied = products.apply(pixels)
    assert multiplied.shape == (5, n_modules * (n_modules - 1) // 2 + 528 * len(channels))
    kernel = rng.normal(size=(multiplied.shape[1], 2)).astype(np.float32)
    model.get_layer(PRODUCTS).set_weights(products.fold(kernel))
    np.testing.assert_allclose(model(IMAGES), multiplied @ kernel, rtol=1e-3, atol=1e-3)
    trained = {v.path.split("/")[0] for v in model.trainable_variables}
    assert trained == {WIDE, DEEP, PRODUCTS, "conv", "dense"}


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_start(name: str) -> None:
    starts = []
    for global_seed, seed in ((1, 7), (2, 7), (1, 8)):
        keras.utils.set_random_seed(global_seed)
        starts.append(build(name, SHAPE, 2, make_params(seed=seed)).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(starts[0], starts[1], strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(starts[0], starts[2], strict=True))


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_an_ensemble_stacks_its_members_and_survives_storage(
    tmp_path: Path, name: str, n_members: int
) -> None:
    single = [build(name, SHAPE, 2, make_params(seed=i)) for i in range(n_members)]
    for i, model in enumerate(single):
        rescale_logits(model, np.float32(1), np.array([i, -i], np.float32))
    path = tmp_path / "ensemble.keras"
    write_keras(path, combine(single))
    loaded = read_keras(path)
    assert loaded(IMAGES).shape == (5, n_members, 2)
    assert len(members(loaded)) == n_members
    for i, (model, again) in enumerate(zip(single, members(loaded), strict=True)):
        np.testing.assert_allclose(loaded(IMAGES)[:, i], model(IMAGES), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
    rewritten = tmp_path / "again.keras"
    write_keras(rewritten, combine(members(loaded)))
    assert sha256(rewritten) == sha256(path)


def test_a_stored_model_names_keras_classes_only(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    products = Products(np.ones((528, 2), np.float32), np.ones(2, np.float32), ((0, 2),))
    write_keras(path, combine([build("hybrid", SHAPE, 2, make_params(), products)]))
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    found = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "class_name" in node and "module" in node:
                found.append((node["module"], node.get("registered_name"), node["class_name"]))
            node = list(node.values())
        if isinstance(node, list):
            for item in node:
                walk(item)

    walk(config)
    assert len(found) > 10
    assert {str(module).split(".")[0] for module, _, _ in found} <= {"keras", "builtins"}
    assert {registered for _, registered, _ in found} <= {None, "Functional"}
    assert "Lambda" not in {entry[2] for entry in found}
