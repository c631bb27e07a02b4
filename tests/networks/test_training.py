"""Training: what comes back, what it may look at, and what the linear path is."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from oncopixel.core.errors import LabelError, OutputError, ParamsError
from oncopixel.core.params import TrainParams, read_params
from oncopixel.core.storage import sha256, write_keras
from oncopixel.images.layout import Genome
from oncopixel.networks import training
from oncopixel.networks.architectures import LINEAR, linear_path
from oncopixel.networks.calibration import calibrate, class_weights
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.folds import describe
from oncopixel.networks.linear_path import (
    Choice,
    Features,
    LinearPath,
    find_features,
    fit_linear,
    fit_path,
    solve,
)
from oncopixel.networks.saved import predict_logits
from oncopixel.networks.training import set_up

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)

SHAPE = (10, 10, 1)
GENOME = Genome((0,), tuple(tuple(range(k, k + 20)) for k in range(0, 100, 20)))
"""Five chromosomes, two rows of the image each."""


def make_params(**changes: Any) -> TrainParams:
    small = {"epochs": 3, "patience": 3, "batch_size": 16}
    return read_params(Path("params.yaml")).train.model_copy(update=small | changes)


def make_data(n: int = 60, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images whose first genes carry the class, classes in turn, one sample per patient."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    images = rng.normal(size=(n, *SHAPE)).astype(np.float32)
    for k in range(n_classes):
        images[y == k, k, :4] += 1.5
    return images, y, np.array([f"P{i}" for i in range(n)])


@pytest.mark.parametrize("model", ["paper", "hybrid"])
def test_an_ensemble_has_a_member_per_seed_and_a_history_per_epoch(model: str) -> None:
    images, y, patients = make_events()
    params = make_params(model=model, epochs=30, patience=30, mixup=0.0)
    if model == "paper":  # needs larger images, and reads no genome
        images = np.pad(images, ((0, 0), (0, 12), (0, 12), (0, 0)))
        params = params.model_copy(update={"epochs": 3})
    ensemble, history, chosen = fit_ensemble(
        images, y, patients, params, seeds=[3, 5], n_classes=2, genome=GENOME
    )
    names = {part.name for part in ensemble.get_layer("member_0").operations}
    assert ("chromosomes" in names) == (model == "hybrid")
    assert predict_logits(ensemble, images).shape == (len(y), 2, 2)
    assert list(history) == ["member", "epoch", "loss", "val_loss", "val_auc", "best"]
    for member, rows in history.groupby("member"):
        assert rows["epoch"].tolist() == list(range(len(rows))), member
        assert rows["best"].sum() == 1
        assert rows.loc[rows["best"], "val_loss"].item() == rows["val_loss"].min()
        assert rows["loss"].isna().tolist() == [True] + [False] * (len(rows) - 1)
    first, second = (ensemble.get_layer(f"member_{i}").get_weights() for i in range(2))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert chosen["epochs"] == history.loc[history["best"], "epoch"].tolist()
    assert (chosen["linear"] is None) == (chosen["convolutions"] is None) == (model == "paper")
    assert chosen["members"] == 2


@pytest.mark.parametrize("changes", [
    {"optimizer": "sgd", "weight_decay": 0.0}, {"mixed_precision": True, "weight_decay": 0.0},
    {"class_weights": False, "filters": [4], "kernel": 1, "pool": 1},
])  # fmt: skip
def test_options_train_together_with_three_classes(changes: dict[str, Any]) -> None:
    images, y, patients = make_data(n_classes=3)
    ensemble, history, _ = fit_ensemble(
        images, y, patients, make_params(**changes), seeds=[1], n_classes=3, genome=GENOME
    )
    logits = predict_logits(ensemble, images)
    assert logits.shape == (60, 1, 3)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert np.isfinite(history["loss"][1:]).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1000.0, "optimizer": "sgd", "weight_decay": 1.0},
        {"weight_decay": 1000.0, "learning_rate": 1.0},
        {"learning_rate": 1000.0, "mixed_precision": True},
    ],
)
def test_training_that_diverges_ends_in_one_message(changes: dict[str, Any]) -> None:
    images, y, patients = make_data()
    params = make_params(**changes)
    with pytest.raises(ParamsError, match=r"training diverged in epoch \d.*train\.learning_rate"):
        fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2, genome=GENOME)


def test_a_linear_path_that_is_there_already_gives_the_same_network() -> None:
    images, y, patients = make_events()
    params = make_params()
    path = fit_path(images, y, patients, params, 2)
    logits = [
        predict_logits(
            fit_ensemble(
                images, y, patients, params, seeds=[1], n_classes=2, genome=GENOME, path=given
            )[0],
            images,
        )
        for given in (None, path)
    ]
    np.testing.assert_array_equal(*logits)


def test_convolutions_that_do_not_clearly_help_are_kept_on_demand() -> None:
    images, y, patients = make_events()
    params = make_params(epochs=1)  # some gain, of less than two standard errors
    weights = [
        fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2, genome=GENOME, keep=keep)[
            2
        ]["convolutions"]["weight"]
        for keep in (False, True)
    ]
    assert weights[0] == 0 < weights[1]


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best() -> None:
    images, _, patients = make_data()
    y = np.random.default_rng(1).permutation(np.arange(60) % 2)  # nothing to learn
    params = make_params(epochs=60, patience=4, learning_rate=1e-2)
    _, history, _ = fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2, genome=GENOME)
    best = history.loc[history["best"], "epoch"].item()
    assert len(history) == best + params.patience + 1 < 61


def test_a_read_only_memory_map_gives_the_same_bytes_whatever_was_trained_before(
    tmp_path: Path,
) -> None:
    images, y, patients = make_events()
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    stored, params = [], make_params(epochs=30, patience=30, mixup=0.0)
    for i, data in enumerate((images, mapped)):
        for labels in (y, y[::-1]):
            ensemble, _, chosen = fit_ensemble(
                data, labels, patients, params, seeds=[1], n_classes=2, genome=GENOME
            )
            write_keras(tmp_path / f"{i}.keras", ensemble)
            stored.append(sha256(tmp_path / f"{i}.keras"))
            assert chosen["convolutions"]["weight"] > 0 or labels is not y
    assert stored[0] == stored[2] != stored[1] == stored[3]


def test_validation_of_one_class_is_no_obstacle() -> None:
    images, y, patients = make_data(14)
    y = (y * (np.arange(14) < 4)).astype(int)  # two positives
    _, history, _ = fit_ensemble(
        images, y, patients, make_params(), seeds=[1], n_classes=2, genome=GENOME
    )
    assert np.isfinite(history["val_loss"]).all()


def test_without_neighbours_along_the_genome_the_network_is_its_linear_path() -> None:
    images, y, patients = make_data()
    ensemble, history, chosen = fit_ensemble(
        images, y, patients, make_params(), seeds=[1, 2], n_classes=2
    )
    assert history.empty
    assert chosen["epochs"] == []
    assert chosen["convolutions"] is None
    assert chosen["members"] == 1
    assert predict_logits(ensemble, images).shape == (60, 1, 2)


def test_history_in_words_has_a_line_per_member() -> None:
    rows = [(0, 0, 0.7, False), (0, 1, 0.6, True), (1, 0, 0.7, True), (1, 1, 0.8, False)]
    history = pd.DataFrame(rows, columns=["member", "epoch", "val_loss", "best"])
    lines = describe(history.assign(loss=0.5, val_auc=0.5))
    assert [line.split(":")[0] for line in lines] == ["member 1", "member 2"]
    assert "of 1 is best, validation loss" in lines[0]


def test_class_weights_give_every_class_the_same_total() -> None:
    y = np.array([0, 0, 0, 2])
    np.testing.assert_array_equal(class_weights(y, 3, balanced=False), np.ones(3))
    weights = class_weights(y, 3, balanced=True)
    assert weights[y].sum() == pytest.approx(len(y))
    assert weights[0] * 3 == pytest.approx(weights[2])


@pytest.mark.parametrize("model", ["paper", "hybrid"])
@pytest.mark.parametrize("genome", [GENOME, None])
def test_class_weights_are_taken_out_of_the_probabilities(
    model: str, genome: Genome | None
) -> None:
    """Nothing to learn: what is left to say is how often each class occurs."""
    rng = np.random.default_rng(0)
    y = (np.arange(400) % 25 < 3).astype(int)  # 12 %
    images = rng.normal(size=(400, 22, 22, 1)).astype(np.float32)
    params = make_params(model=model, epochs=3, learning_rate=1e-4)
    patients = np.array([f"P{i}" for i in range(400)])
    ensemble, *_ = fit_ensemble(
        images[:300], y[:300], patients[:300], params,
        seeds=[1, 2],
        n_classes=2,
        genome=genome if model == "hybrid" else None,
    )  # fmt: skip
    for network in filter(None, (ensemble, linear_path(ensemble))):
        p = softmax(predict_logits(network, images[300:]), axis=-1)[..., 1]
        assert p.mean() == pytest.approx(0.12, abs=0.03)


def path_of(features: Features, y: np.ndarray, patients: np.ndarray) -> LinearPath:
    return fit_linear(features, y, patients, class_weights(y, y.max() + 1, balanced=False), 1)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 4.0])
def test_the_linear_path_is_the_regression_that_it_claims_to_be(sharpness: float) -> None:
    images, y, _ = make_data(80)
    x = images.reshape(80, -1)
    choice = Choice(adjusted=False, sharpness=sharpness, strength=3.0)
    kernel, bias = solve(Features(x), y, np.ones(2, np.float32), choice)
    groups = [x[y == k] for k in (0, 1)]
    between = sum(40 * (g.mean(axis=0) - x.mean(axis=0)) ** 2 for g in groups)
    within = sum(40 * g.var(axis=0) for g in groups) / 78
    f = between / (within + 1e-3 * within.mean())
    scaled = x * np.sqrt(f / f.mean()) ** sharpness
    scaled /= np.sqrt((scaled**2).sum() / 80)
    peer = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(scaled, y)
    margin = np.diff(x @ kernel + bias)[:, 0]
    expected = peer.decision_function(scaled)
    np.testing.assert_allclose(margin, expected, atol=0.02 * np.abs(margin).max())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_calibration_undoes_what_was_done_to_log_odds(n_classes: int, scale: float) -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(6000, n_classes)) * 2 - np.arange(n_classes)
    y = np.array([rng.choice(n_classes, p=row) for row in softmax(logits, axis=-1)])
    moved = scale * logits + 1.5 * np.arange(n_classes)
    (slope,), shift = calibrate([moved], y, y)
    assert slope == pytest.approx(1 / scale, rel=0.1)
    p = softmax(slope * moved + shift, axis=-1)
    np.testing.assert_allclose(p.mean(axis=0), np.bincount(y) / 6000, atol=2e-3)


def test_calibration_gives_each_part_the_weight_that_it_deserves() -> None:
    rng = np.random.default_rng(5)
    parts = rng.normal(size=(3, 6000, 2))
    truth = 2 * parts[0] + 0.5 * parts[1]
    y = np.array([rng.choice(2, p=row) for row in softmax(truth, axis=-1)])
    slopes, _ = calibrate(parts, y, y)
    np.testing.assert_allclose(slopes, [2, 0.5, 0], atol=0.15)


@pytest.mark.parametrize(("n_classes", "n"), [(2, 20), (33, 3)])
def test_calibration_of_classes_told_apart_is_finite(n_classes: int, n: int) -> None:
    y = np.arange(n_classes * n) % n_classes
    logits = np.eye(n_classes)[y] * 3
    (slope,), shift = calibrate([logits], y, y)
    p = softmax(slope * logits + shift, axis=-1)[np.arange(len(y)), y]
    np.testing.assert_allclose(p, (len(y) + 1) / (len(y) + 2), atol=1e-3)


def test_held_out_logits_never_saw_the_patient() -> None:
    rng = np.random.default_rng(2)
    x = np.repeat(rng.normal(size=(60, 300)), 2, axis=0).astype(np.float32)  # two equal aliquots
    y = np.repeat(np.arange(60) % 2, 2)
    patients = np.repeat([f"P{i}" for i in range(60)], 2)
    path = path_of(Features(x), y, patients)
    assert roc_auc_score(y, np.diff(path.held_out)[:, 0]) < 0.75  # a copy elsewhere would give 1
    assert roc_auc_score(y, np.diff(x @ path.kernel)[:, 0]) > 0.9


def test_too_few_patients_for_an_inner_fit_are_said() -> None:
    x, y = np.eye(4, dtype=np.float32), np.array([0, 0, 0, 1])
    with pytest.raises(LabelError, match=r"class 1 has 1 patient\(s\).*split\.folds"):
        path_of(Features(x), y, np.array(list("abcd")))


def test_convolutions_that_do_not_help_are_left_out() -> None:
    images, y, patients = make_data(80)
    ensemble, history, chosen = fit_ensemble(
        images, y, patients, make_params(learning_rate=1e-9), seeds=[1], n_classes=2, genome=GENOME
    )  # they cannot move
    assert len(history) > 1
    assert chosen["convolutions"]["weight"] == 0
    assert [layer.name for layer in ensemble.layers if layer.weights] == [LINEAR]
    path = path_of(find_features(images, make_params().seed), y, patients)
    kernel = ensemble.get_layer(LINEAR).get_weights()[0]
    assert np.corrcoef(kernel.ravel(), path.kernel.ravel())[0, 1] == pytest.approx(1, abs=1e-6)


def make_events(n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each sample has a run of six neighbours that is up or, of equal sum, alternates; anywhere."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % 2
    flat = rng.normal(scale=0.3, size=(n, 100)).astype(np.float32)
    for i, start in enumerate(20 * rng.integers(0, 5, n) + rng.integers(0, 14, n)):
        flat[i, start : start + 6] += 1 if y[i] else np.array([3, -1, 3, -1, 3, -1])
    return flat.reshape(n, *SHAPE), y, np.array([f"P{i}" for i in range(n)])


def test_convolutions_learn_what_happens_anywhere_and_the_linear_path_cannot() -> None:
    images, y, patients = make_events(480)
    half = np.arange(480) < 240
    params = make_params(epochs=40, patience=40, mixup=0.0)
    ensemble, _, chosen = fit_ensemble(
        images[half], y[half], patients[half], params, seeds=[1, 2], n_classes=2, genome=GENOME
    )
    alone = linear_path(ensemble)
    assert alone is not None
    assert chosen["convolutions"]["gain"] > chosen["convolutions"]["se"]
    assert auc(ensemble, images[~half], y[~half]) > 0.9
    assert auc(alone, images[~half], y[~half]) < 0.7


def test_an_ensemble_is_its_linear_path_plus_its_convolutions() -> None:
    images, y, patients = make_events()
    ensemble, *_ = fit_ensemble(
        images, y, patients, make_params(), seeds=[1, 2], n_classes=2, genome=GENOME
    )
    alone = linear_path(ensemble)
    assert alone is not None
    found = predict_logits(ensemble, images) - predict_logits(alone, images)
    for i in range(2):
        own = predict_logits(ensemble.get_layer(f"member_{i}"), images)
        np.testing.assert_allclose(found[:, i], own, atol=1e-4)


def test_members_take_turns_on_chromosomes_and_on_the_image() -> None:
    images, y, patients = make_events()
    ensemble, *_ = fit_ensemble(
        images, y, patients, make_params(convolve="both"),
        seeds=[1, 2, 3], n_classes=2, genome=GENOME, keep=True,
    )  # fmt: skip
    members = [ensemble.get_layer(f"member_{i}").operations for i in range(3)]
    found = ["chromosomes" in {part.name for part in parts} for parts in members]
    assert found == [True, False, True]


def test_label_smoothing_keeps_the_weights_of_the_samples() -> None:
    targets = np.array([[2, 0, 0, 0], [0, 0, 1, 0]], np.float32)
    expected = [[1.85, 0.05, 0.05, 0.05], [0.025, 0.025, 0.925, 0.025]]
    np.testing.assert_allclose(training._smoothed(targets, 0.1), expected, rtol=1e-6)
    np.testing.assert_array_equal(training._smoothed(targets, 0.0), targets)


def test_a_cosine_takes_the_learning_rate_to_zero() -> None:
    params = make_params(schedule="cosine", learning_rate=2.0, epochs=4)
    rates = [training._cosine(params).schedule(epoch) for epoch in range(5)]
    assert rates == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0])
    images, y, patients = make_events()
    losses = []
    for schedule in ("constant", "cosine"):
        params = make_params(schedule=schedule, epochs=2)
        _, history, _ = fit_ensemble(
            images, y, patients, params, seeds=[1], n_classes=2, genome=GENOME
        )
        losses.append(history["val_loss"].tolist())
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]


def test_a_clock_before_1980_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(0))
    with pytest.raises(OutputError, match="clock says 1970"):
        set_up(make_params())


def make_hidden(n: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two channels, the second of mutations; a strong factor drowns a shift of six genes."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % 2
    genes = rng.normal(size=(n, 100)).astype(np.float32)
    genes[:, 40:] += 4 * np.outer(rng.normal(size=n), rng.normal(size=60))
    genes[:, 40:46] += 1.5 * y[:, None]
    mutated = rng.random((n, 100)) < 0.5
    images = np.stack([genes, mutated], axis=-1).astype(np.float32).reshape(n, *SHAPE[:2], 2)
    return images, y, np.array([f"P{i}" for i in range(n)])


def auc(model: keras.Model, images: np.ndarray, y: np.ndarray) -> float:
    logits = predict_logits(model, images).mean(axis=1)
    return float(roc_auc_score(y, logits[:, 1] - logits[:, 0]))


def test_an_adjustment_is_linear_in_the_raw_image() -> None:
    images, _, _ = make_hidden()
    features = find_features(images, seed=1)
    assert features.adjustment is not None
    assert features.adjusted is not None
    assert features.adjustment.factors[0].axes.shape[1] >= 1
    assert features.adjustment.factors[1].axes.shape[1] == 0  # mutations
    n_features = features.adjusted.shape[1]
    kernel = np.random.default_rng(0).normal(size=(n_features, 3)).astype(np.float32)
    raw, bias = features.adjustment.fold(kernel)
    np.testing.assert_allclose(features.raw @ raw + bias, features.adjusted @ kernel, atol=2e-3)
    n_pixels = features.raw.shape[1]
    own, left = features.raw.std(axis=0), features.adjusted[:, :n_pixels].std(axis=0)
    assert (left <= own * 1.001).all()
    np.testing.assert_allclose(features.adjusted[:, n_pixels:].std(axis=0), 1, rtol=1e-3)


def test_the_features_that_predict_best_are_chosen_and_the_result_reads_raw_images() -> None:
    images, y, patients = make_hidden()
    features = find_features(images, seed=1)
    alone = path_of(Features(features.raw), y, patients)
    path = path_of(features, y, patients)
    assert path.choice.adjusted
    assert path.loss < 0.8 * alone.loss  # the factor drowns the markers
    right = np.argmax(features.raw @ path.kernel + path.bias, axis=1) == y
    assert right.mean() > 0.9


ON_TWO_DEVICES = """
import logging, sys
from pathlib import Path
import keras, numpy as np, tensorflow as tf
from oncopixel.core.params import read_params
from oncopixel.images.layout import Genome
from oncopixel.networks import training
from oncopixel.networks.architectures import build

plain = {"epochs": 4, "batch_size": 64, "dropout": 0.0, "mixup": 0.0, "purity": 0.0}
params = read_params(Path("params.yaml")).train.model_copy(update=plain)
training.set_up(params)
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [half] * 2)
devices = tf.config.list_logical_devices("CPU")
assert len(devices) == 2
y = np.arange(84) % 2
images = np.random.default_rng(0).normal(size=(84, 10, 10, 1)) + 0.4 * y[:, None, None, None]
genome = Genome((0,), tuple(tuple(range(k, k + 20)) for k in range(0, 100, 20)))
samples = training.Samples(images.astype(np.float32), np.eye(2, dtype=np.float32)[y])
fit, rest = samples.take(np.arange(64)), samples.take(np.arange(64, 84))

def logits(found):
    tf.config.list_logical_devices = lambda kind: found
    training._trainer.cache_clear()
    keras.utils.set_random_seed(1)
    network = build((10, 10, 1), 2, params, genome)
    before = training.predict_logits(network, images)
    training.train(network, fit, rest, params, genome)
    assert training._strategy().num_replicas_in_sync == max(len(found), 1)
    return training.predict_logits(network, images) - before

one, two = logits([]), logits(devices)
assert np.abs(one).max() > 0.1, one
np.testing.assert_allclose(one, two, atol=1e-4 * np.abs(one).max())
print("alike")
"""


@pytest.mark.slow
def test_several_gpus_share_each_batch() -> None:
    """Two devices of a CPU stand for them; batches of all samples, which are drawn otherwise."""
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": "src"},
    )  # fmt: skip
    assert done.stdout.strip() == "alike", done.stderr[-3000:]
