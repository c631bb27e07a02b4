"""Training: what comes back, what it may look at, and what the exact paths are."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from oncopixel.core.errors import OutputError, ParamsError
from oncopixel.core.params import TrainParams, read_params
from oncopixel.core.storage import sha256, write_keras
from oncopixel.markers.attribution import integrated_gradients
from oncopixel.networks.architectures import (
    DEEP,
    build,
    combine,
    exact_paths,
    linear_weights,
    members,
    predict_logits,
)
from oncopixel.networks.calibration import calibrate, class_weights
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.features import Features, find_features
from oncopixel.networks.folds import describe
from oncopixel.networks.linear_path import PRODUCTS, WIDE, Choice, ExactPaths, fit_exact, solve
from oncopixel.networks.training import set_up

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)

SHAPE = (10, 10, 1)


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


@pytest.mark.parametrize("model", ["paper", "patch", "hybrid"])
def test_an_ensemble_has_a_member_per_seed_and_a_history_per_epoch(model: str) -> None:
    images, y, patients = make_data()
    if model == "paper":  # needs larger ones
        images = np.pad(images, ((0, 0), (0, 12), (0, 12), (0, 0)))
    params = make_params(model=model)
    ensemble, history, _ = fit_ensemble(images, y, patients, params, seeds=[3, 5], n_classes=2)
    assert predict_logits(ensemble, images).shape == (60, 2, 2)
    assert list(history) == ["member", "epoch", "loss", "val_loss", "val_auc", "best"]
    for member, rows in history.groupby("member"):
        assert rows["epoch"].tolist() == list(range(4)), member
        assert rows["best"].sum() == 1
        assert rows.loc[rows["best"], "val_loss"].item() == rows["val_loss"].min()
        assert rows["loss"].isna().tolist() == [True, False, False, False]
    first, second = (member.get_weights() for member in members(ensemble))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("changes", [
    {"optimizer": "sgd", "weight_decay": 0.0}, {"mixed_precision": True, "weight_decay": 0.0},
    {"warm_start": False, "l1": 0.0, "l2": 0.0}, {"model": "patch", "class_weights": False},
])  # fmt: skip
def test_options_train_together_with_three_classes(changes: dict[str, Any]) -> None:
    images, y, patients = make_data(n_classes=3)
    ensemble, history, _ = fit_ensemble(
        images, y, patients, make_params(**changes), seeds=[1], n_classes=3
    )
    logits = predict_logits(ensemble, images)
    assert logits.shape == (60, 1, 3)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert np.isfinite(history["loss"][1:]).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1000.0, "optimizer": "sgd"},
        {"learning_rate": 10.0, "optimizer": "sgd", "model": "patch"},
        {"weight_decay": 1000.0, "learning_rate": 1.0},
        {"learning_rate": 1000.0, "model": "patch", "mixed_precision": True},
    ],
)
def test_training_that_diverges_ends_in_one_message(changes: dict[str, Any]) -> None:
    images, y, patients = make_data()
    with pytest.raises(ParamsError, match=r"training diverged in epoch \d.*train\.learning_rate"):
        fit_ensemble(images, y, patients, make_params(**changes), seeds=[1], n_classes=2)


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best() -> None:
    images, _, patients = make_data()
    y = np.random.default_rng(1).permutation(np.arange(60) % 2)  # nothing to learn
    params = make_params(model="patch", epochs=60, patience=4, learning_rate=1e-2)
    _, history, _ = fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2)
    best = history.loc[history["best"], "epoch"].item()
    assert len(history) == best + params.patience + 1 < 61


def test_a_read_only_memory_map_gives_the_same_bytes_whatever_was_trained_before(
    tmp_path: Path,
) -> None:
    images, y, patients = make_data()
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    stored = []
    for i, data in enumerate((images, mapped)):
        ensemble, *_ = fit_ensemble(data, y, patients, make_params(), seeds=[1], n_classes=2)
        fit_ensemble(data, y[::-1], patients, make_params(), seeds=[2], n_classes=2)
        write_keras(tmp_path / f"{i}.keras", ensemble)
        stored.append(sha256(tmp_path / f"{i}.keras"))
    assert stored[0] == stored[1]


def test_validation_of_one_class_is_no_obstacle() -> None:
    images, y, patients = make_data(14)
    y = (y * (np.arange(14) < 4)).astype(int)  # two positives
    _, history, _ = fit_ensemble(images, y, patients, make_params(), seeds=[1], n_classes=2)
    assert np.isfinite(history["val_loss"]).all()


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


@pytest.mark.parametrize("model", ["paper", "patch", "hybrid", "hybrid without warm start"])
def test_class_weights_are_taken_out_of_the_probabilities(model: str) -> None:
    """Nothing to learn: what is left to say is how often each class occurs."""
    rng = np.random.default_rng(0)
    y = (np.arange(400) % 25 < 3).astype(int)  # 12 %
    images = rng.normal(size=(400, 22, 22, 1)).astype(np.float32)
    name, _, cold = model.partition(" ")
    params = make_params(model=name, warm_start=not cold, epochs=3, learning_rate=1e-4)
    patients = np.array([f"P{i}" for i in range(400)])
    ensemble, *_ = fit_ensemble(
        images[:300], y[:300], patients[:300], params, seeds=[1, 2], n_classes=2
    )
    p = softmax(predict_logits(ensemble, images[300:]), axis=-1)[..., 1]
    assert p.mean() == pytest.approx(0.12, abs=0.03)
    if alone := exact_paths(ensemble):
        p = softmax(predict_logits(alone, images[300:]), axis=-1)[..., 1]
        assert p.mean() == pytest.approx(0.12, abs=0.03)


def raw_features(x: np.ndarray) -> Features:
    return Features(x, None, None, None, None)


def exact_of(features: Features, y: np.ndarray, patients: np.ndarray) -> ExactPaths:
    weights = class_weights(y, y.max() + 1, balanced=False)
    exact = fit_exact(features, y, patients, weights, 1)
    assert exact is not None
    return exact


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 4.0])
def test_the_linear_path_is_the_regression_that_it_claims_to_be(sharpness: float) -> None:
    images, y, _ = make_data(80)
    x = images.reshape(80, -1)
    choice = Choice(adjusted=False, products=False, sharpness=sharpness, strength=3.0)
    exact = solve(raw_features(x), y, np.ones(2, np.float32), choice)
    groups = [x[y == k] for k in (0, 1)]
    between = sum(40 * (g.mean(axis=0) - x.mean(axis=0)) ** 2 for g in groups)
    within = sum(40 * g.var(axis=0) for g in groups) / 78
    f = between / (within + 1e-3 * within.mean())
    scaled = x * np.sqrt(f / f.mean()) ** sharpness
    scaled /= np.sqrt((scaled**2).sum() / 80)
    peer = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(scaled, y)
    kernel, bias = exact.weights[WIDE]
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
    slope, shift = calibrate(moved, y, y)
    assert slope == pytest.approx(1 / scale, rel=0.1)
    p = softmax(slope * moved + shift, axis=-1)
    np.testing.assert_allclose(p.mean(axis=0), np.bincount(y) / 6000, atol=2e-3)


def test_calibration_of_classes_told_apart_is_finite() -> None:
    y = np.arange(40) % 2
    slope, shift = calibrate(np.eye(2)[y] * 3, y, y)
    p = softmax(slope * np.eye(2)[y] * 3 + shift, axis=-1)[np.arange(40), y]
    np.testing.assert_allclose(p, 21 / 22, atol=1e-3)  # (n + 1) / (n + 2)


def test_held_out_logits_never_saw_the_patient() -> None:
    rng = np.random.default_rng(2)
    x = np.repeat(rng.normal(size=(60, 300)), 2, axis=0).astype(np.float32)  # two equal aliquots
    y = np.repeat(np.arange(60) % 2, 2)
    patients = np.repeat([f"P{i}" for i in range(60)], 2)
    exact = exact_of(raw_features(x), y, patients)
    assert roc_auc_score(y, np.diff(exact.held_out)[:, 0]) < 0.75  # a copy elsewhere would give 1
    assert roc_auc_score(y, np.diff(x @ exact.weights[WIDE][0])[:, 0]) > 0.9


def test_too_few_patients_for_an_inner_fit_train_from_zero() -> None:
    x, y = np.eye(4, dtype=np.float32), np.array([0, 0, 0, 1])
    weights = class_weights(y, 2, balanced=True)
    assert fit_exact(raw_features(x), y, np.array(list("abcd")), weights, seed=1) is None


def test_the_cnn_joins_the_linear_path_only_when_validation_gains() -> None:
    images, y, patients = make_data(80)
    params = make_params(learning_rate=1e-9)  # the CNN cannot move
    ensemble, *_ = fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2)
    (member,) = members(ensemble)
    assert np.abs(member.get_layer(DEEP).get_weights()[0]).max() < 1e-6
    exact = exact_of(find_features(images, params.seed), y, patients)
    np.testing.assert_array_equal(linear_weights(ensemble), exact.weights[WIDE][0])


def test_a_clock_before_1980_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(0))
    with pytest.raises(OutputError, match="clock says 1970"):
        set_up(make_params())


@pytest.mark.parametrize("kind", ["hidden", "modules"])
def test_the_exact_paths_of_a_hybrid_are_the_hybrid_without_its_convolutions(kind: str) -> None:
    images, y, patients = make_omics(kind=kind)
    model, *_ = fit_ensemble(images, y, patients, make_params(), seeds=[1, 2], n_classes=2)
    assert (PRODUCTS in {layer.name for layer in members(model)[0].layers}) == (kind == "modules")
    for member in members(model):
        member.get_layer(DEEP).set_weights([w * 0 for w in member.get_layer(DEEP).get_weights()])
    alone = exact_paths(model)
    assert alone is not None
    np.testing.assert_allclose(
        predict_logits(alone, images), predict_logits(model, images), atol=1e-5
    )
    patch = build("patch", images.shape[1:], 2, make_params(model="patch"))
    assert exact_paths(combine([patch])) is None


N_MODULE = 8


def make_omics(n: int = 160, *, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two channels, the second of mutations, under a strong factor; `kind` says what the class is.

    "hidden": a shift of four genes that the factor drowns; "modules":
    whether two modules agree in sign; "hits": whether a gene's value and mutation come together.
    """
    rng = np.random.default_rng(3)
    y = np.arange(n) % 2
    images = rng.normal(size=(n, *SHAPE[:2], 2)).astype(np.float32)
    genes, mutated = images[..., 0].reshape(n, -1), images[..., 1].reshape(n, -1)
    mutated[:] = rng.random(mutated.shape) < 0.5
    genes[:, 40:] += 4 * np.outer(rng.normal(size=n), rng.normal(size=60))
    if kind == "hidden":
        genes[:, 40:46] += 1.5 * y[:, None]
    up = rng.choice([-1, 1], n)
    for i, sign in enumerate((up, up * (2 * y - 1) if kind == "modules" else rng.permutation(up))):
        active = np.abs(rng.normal(size=n)) * sign
        genes[:, N_MODULE * i : N_MODULE * (i + 1)] += 2 * active[:, None]
    if kind == "hits":
        for gene in range(20, 26):
            genes[:, gene] = np.abs(genes[:, gene]) * np.where(mutated[:, gene] == y, 1, -1)
    images[..., 0], images[..., 1] = (
        genes.reshape(images.shape[:3]),
        mutated.reshape(images.shape[:3]),
    )
    return images, y, np.array([f"P{i}" for i in range(n)])


def fit_half(kind: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """An ensemble of one, fitted on half of the samples; the other half and its classes."""
    images, y, patients = make_omics(320, kind=kind)
    ensemble, *_ = fit_ensemble(
        images[:160], y[:160], patients[:160], make_params(), seeds=[1], n_classes=2
    )
    return ensemble, images[160:], y[160:]


def auc(model: keras.Model, images: np.ndarray, y: np.ndarray) -> float:
    logits = predict_logits(model, images).mean(axis=1)
    return float(roc_auc_score(y, logits[:, 1] - logits[:, 0]))


def test_an_adjustment_is_linear_in_the_raw_image() -> None:
    images, _, _ = make_omics(kind="hidden")
    spaces = find_features(images, seed=1)
    assert spaces.adjustment is not None
    assert spaces.adjusted is not None
    assert spaces.adjustment.factors[0].axes.shape[1] >= 1
    assert spaces.adjustment.factors[1].axes.shape[1] == 0  # mutations
    kernel = np.random.default_rng(0).normal(size=(spaces.adjusted.shape[1], 3)).astype(np.float32)
    raw, bias = spaces.adjustment.fold(kernel)
    np.testing.assert_allclose(spaces.raw @ raw + bias, spaces.adjusted @ kernel, atol=2e-3)
    n_pixels = spaces.raw.shape[1]
    own, left = spaces.raw.std(axis=0), spaces.adjusted[:, :n_pixels].std(axis=0)
    assert (left <= own * 1.001).all()
    np.testing.assert_allclose(spaces.adjusted[:, n_pixels:].std(axis=0), 1, rtol=1e-3)


def test_the_features_that_predict_best_are_chosen_and_the_result_reads_raw_images() -> None:
    images, y, patients = make_omics(kind="hidden")
    features = replace(find_features(images, seed=1), products=None)
    alone = exact_of(raw_features(features.raw), y, patients)
    exact = exact_of(features, y, patients)
    assert exact.choice.adjusted
    assert exact.loss < alone.loss - 0.1  # the factor drowns the markers
    kernel, bias = exact.weights[WIDE]
    right = np.argmax(features.raw @ kernel + bias, axis=1) == y
    assert right.mean() > 0.9


def test_products_join_only_when_they_clearly_help() -> None:
    for kind in ("hidden", "modules"):
        images, y, patients = make_omics(kind=kind)
        exact = exact_of(find_features(images, seed=1), y, patients)
        assert exact.choice.products == (kind == "modules")


@pytest.mark.parametrize("kind", ["modules", "hits"])
def test_what_acts_only_together_is_learned_from_products(kind: str) -> None:
    ensemble, images, y = fit_half(kind)
    assert PRODUCTS in {layer.name for layer in members(ensemble)[0].layers}
    assert auc(ensemble, images, y) > 0.8
    for member in members(ensemble):
        layer = member.get_layer(PRODUCTS)
        layer.set_weights([w * 0 for w in layer.get_weights()])
    assert auc(ensemble, images, y) < 0.65


def test_the_interaction_path_survives_storage(tmp_path: Path) -> None:
    images, y, patients = make_omics(kind="modules")
    params = make_params(learning_rate=1e-9)  # the CNN cannot move
    ensemble, *_ = fit_ensemble(images, y, patients, params, seeds=[1, 2], n_classes=2)
    found = predict_logits(ensemble, images)
    one_by_one = np.concatenate([predict_logits(ensemble, image[None]) for image in images[:9]])
    np.testing.assert_allclose(one_by_one, found[:9], atol=1e-4)
    first, second = (m.get_layer("modules").get_weights()[0] for m in members(ensemble))
    np.testing.assert_array_equal(first, second)
    write_keras(tmp_path / "ensemble.keras", ensemble)
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras", safe_mode=True)
    np.testing.assert_array_equal(predict_logits(loaded, images), found)
    write_keras(tmp_path / "again.keras", combine(members(loaded)))
    assert sha256(tmp_path / "again.keras") == sha256(tmp_path / "ensemble.keras")


def test_integrated_gradients_of_products_are_complete_with_few_points() -> None:
    images, y, patients = make_omics(kind="hits")
    params = make_params(learning_rate=1e-9)  # without the CNN the model is quadratic
    ensemble, *_ = fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2)
    found = integrated_gradients(ensemble, images[:20], images.mean(axis=0), 1, steps=2)
    assert found.completeness.max() < 1e-3


def test_three_classes_may_have_products() -> None:
    images, y, patients = make_omics(kind="modules")
    y = np.where(np.arange(len(y)) % 5 == 0, 2, y)
    images[y == 2, 3, 3, 0] += 3
    ensemble, *_ = fit_ensemble(images, y, patients, make_params(), seeds=[1], n_classes=3)
    assert PRODUCTS in {layer.name for layer in members(ensemble)[0].layers}
    assert np.isfinite(predict_logits(ensemble, images)).all()
