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
from oncopixel.images.layout import Genome
from oncopixel.networks.architectures import (
    add_up,
    build,
    combine,
    linear_path,
    rescale_logits,
)

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)

SHAPE = (24, 22, 3)
FREE = 24 * 22
"""Pixels."""
GENOME = Genome((1, 2), ((*range(100),), (*range(527, 467, -1),)))
"""Two chromosomes, of 100 and of 60 pixels."""
GENOMES = (None, GENOME)
"""Of the paper's network, and of convolutions along the genome."""
IMAGES = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


def make_params(**changes: Any) -> TrainParams:
    return read_params(Path("params.yaml")).train.model_copy(update=changes)


@pytest.mark.parametrize("genome", GENOMES)
@pytest.mark.parametrize("mixed_precision", [False, True])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_logits_are_float32_per_class(
    genome: Genome | None, mixed_precision: bool, n_classes: int
) -> None:
    model = build(SHAPE, n_classes, make_params(mixed_precision=mixed_precision), genome)
    logits = model(IMAGES)
    assert logits.shape == (5, n_classes)
    assert logits.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    hidden = {layer.compute_dtype for layer in model.layers if "conv" in layer.name}
    assert hidden == {"float16" if mixed_precision else "float32"}


def test_paper_is_the_seed_paper_s_network() -> None:
    """Each size by hand: kernels, valid borders and halvings, then 10 x 10 x 128 to 128 to 1."""
    params = make_params(model="paper", dropout=0.1)
    model = build((100, 100, 3), 2, params)
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
    model = build((24, 22, 3), 2, make_params())
    images = np.random.default_rng(1).normal(size=(4, 24, 22, 3)).astype(np.float32)
    unit = keras.Model(model.input, model.get_layer("output").output)
    p = np.asarray(keras.ops.softmax(model(images)))
    np.testing.assert_allclose(p[:, 1:], keras.ops.sigmoid(unit(images)), rtol=1e-5)
    assert build((24, 22, 3), 3, make_params()).get_layer("output").units == 3


def test_paper_on_tiny_images_says_what_to_do() -> None:
    with pytest.raises(ParamsError, match=r"21 x 30 pixels.*22 x 22.*`image`, or use `hybrid`"):
        build((21, 30, 1), 2, make_params())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("genome", GENOMES)
def test_rescaling_moves_the_log_odds_of_the_classes_alone(
    genome: Genome | None, n_classes: int
) -> None:
    model = build(SHAPE, n_classes, make_params(), genome)
    before, by = np.asarray(model(IMAGES)), np.arange(n_classes, dtype=np.float32) - 0.3
    rescale_logits(model, np.float32(3), by)
    moved = np.diff(model(IMAGES), axis=1) - 3 * np.diff(before, axis=1)
    np.testing.assert_allclose(moved, np.ones((5, n_classes - 1)), atol=1e-5)


def test_convolutions_read_the_genome_and_nothing_else() -> None:
    model = build(SHAPE, 2, make_params(), GENOME)
    before = np.asarray(model(IMAGES))
    other, own = IMAGES.copy(), IMAGES.copy()
    other[..., 0] += 1  # a channel without neighbours
    other.reshape(5, FREE, 3)[:, 100:468] += 1  # pixels of no chromosome
    own.reshape(5, FREE, 3)[:, 527, 1] += 5
    np.testing.assert_array_equal(model(other), before)
    assert not np.allclose(model(own), before)


def test_convolutions_on_the_image_read_local_channels_only() -> None:
    model = build(SHAPE, 2, make_params(convolve="image"), GENOME)
    before = np.asarray(model(IMAGES))
    other, own = IMAGES.copy(), IMAGES.copy()
    other[..., 0] += 1
    own[:, 12, 11, 1] += 5
    np.testing.assert_array_equal(model(other), before)
    assert not np.allclose(model(own), before)
    assert model.get_layer("conv_1").kernel.shape[:3] == (3, 3, 4)


@pytest.mark.parametrize("filters", [[8], [8, 16], [4, 4, 4]])
def test_no_convolution_reads_across_the_end_of_a_chromosome(filters: list[int]) -> None:
    """Nothing that moves with the first chromosome's end also moves with the second one's start."""
    model = build(SHAPE, 2, make_params(filters=filters), GENOME)
    inner = keras.Model(model.input, model.get_layer(f"pool_{len(filters)}").output)
    before = np.asarray(inner(IMAGES))
    moved = []
    for pixel in (99, 527):
        changed = IMAGES.copy()
        changed.reshape(5, FREE, 3)[:, pixel, 1] *= -1  # its mean square stays
        moved.append((np.asarray(inner(changed)) != before).any(axis=(0, 3)))
    assert all(units.any() for units in moved)
    assert not (moved[0] & moved[1]).any()


@pytest.mark.parametrize("convolve", ["chromosomes", "image"])
def test_convolutions_read_each_channel_raw_and_at_an_even_strength(convolve: str) -> None:
    model = build(SHAPE, 2, make_params(convolve=convolve), GENOME)
    inner = keras.Model(model.input, model.get_layer("raw_and_even").output)
    weak, strong = (np.asarray(inner(share * IMAGES)) for share in (2, 6))
    np.testing.assert_allclose(strong[..., :2], 3 * weak[..., :2], rtol=1e-5)
    np.testing.assert_allclose(strong[..., 2:], weak[..., 2:], rtol=0.05)
    np.testing.assert_allclose(np.square(weak[..., 2:]).mean(axis=(1, 2)), 1, rtol=0.05)


def test_convolutions_move_with_what_they_read() -> None:
    model = build(SHAPE, 2, make_params(), GENOME)
    inner = keras.Model(model.input, model.get_layer("conv_1").output)
    flat = np.zeros((2, FREE, 3), np.float32)
    flat[0, 20:26, 1], flat[1, 50:56, 1] = 1, 1
    first, second = np.asarray(inner(flat.reshape(2, *SHAPE)))[:, 0]
    np.testing.assert_allclose(second[40:70], first[10:40], atol=1e-6)


def test_a_hybrid_adds_its_parts_up() -> None:
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(FREE * 3, 2)), rng.normal(size=2)
    parts = [build(SHAPE, 2, make_params(seed=i), GENOME) for i in range(2)]
    model = add_up(SHAPE, kernel, bias, parts)
    linear = IMAGES.reshape(5, -1) @ kernel + bias
    for i, part in enumerate(parts):
        np.testing.assert_allclose(model(IMAGES)[:, i], linear + part(IMAGES), rtol=1e-3, atol=1e-3)
    alone = linear_path(model)
    assert alone is not None
    for network in (alone, add_up(SHAPE, kernel, bias, [])):
        np.testing.assert_allclose(network(IMAGES)[:, 0], linear, rtol=1e-3, atol=1e-3)
    assert linear_path(combine(parts)) is None


@pytest.mark.parametrize("genome", GENOMES)
def test_the_seed_alone_decides_the_start(genome: Genome | None) -> None:
    starts = []
    for global_seed, seed in ((1, 7), (2, 7), (1, 8)):
        keras.utils.set_random_seed(global_seed)
        starts.append(build(SHAPE, 2, make_params(seed=seed), genome).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(starts[0], starts[1], strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(starts[0], starts[2], strict=True))


def make_ensemble(genome: Genome | None, n_members: int) -> tuple[keras.Model, list[keras.Model]]:
    single = [build(SHAPE, 2, make_params(seed=i), genome) for i in range(n_members)]
    for i, model in enumerate(single):
        rescale_logits(model, np.float32(1), np.array([i, -i], np.float32))
    if genome:
        return add_up(SHAPE, np.zeros((FREE * 3, 2)), np.zeros(2), single), single
    return combine(single), single


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("genome", GENOMES)
def test_an_ensemble_stacks_its_members_and_survives_storage(
    tmp_path: Path, genome: Genome | None, n_members: int
) -> None:
    model, single = make_ensemble(genome, n_members)
    path, again = tmp_path / "ensemble.keras", tmp_path / "again.keras"
    write_keras(path, model)
    loaded = read_keras(path)
    assert loaded(IMAGES).shape == (5, n_members, 2)
    for i, member in enumerate(single):
        np.testing.assert_allclose(loaded(IMAGES)[:, i], member(IMAGES), rtol=1e-5, atol=1e-6)
    write_keras(again, make_ensemble(genome, n_members)[0])  # later in the same process
    assert sha256(again) == sha256(path)


def test_a_stored_model_names_keras_classes_only(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    write_keras(path, make_ensemble(GENOME, 2)[0])
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
    assert {registered for _, registered, _ in found} <= {None, "Functional", "RMSNorm", "Take"}
    assert "Lambda" not in {entry[2] for entry in found}
