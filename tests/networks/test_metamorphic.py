"""What must hold of any trained model: relations between runs, and what can be learned."""

from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from oncopixel.core.params import TrainParams, read_params
from oncopixel.images.layout import Genome
from oncopixel.networks import saved
from oncopixel.networks.architectures import LINEAR
from oncopixel.networks.augmentation import mixup, vary_purity
from oncopixel.networks.calibration import class_weights
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.linear_path import Features, fit_linear
from oncopixel.networks.saved import predict_logits

SHAPE = (10, 12, 2)
N_TRAIN, N_NEW = 150, 150
GENOME = Genome((0, 1), tuple(tuple(range(k, k + 24)) for k in range(0, 120, 24)))


def make_params(**changes: Any) -> TrainParams:
    small = {"epochs": 8, "patience": 8}
    return read_params(Path("params.yaml")).train.model_copy(update=small | changes)


@cache
def easy(permuted: bool = False, positives: float = 0.5) -> tuple[np.ndarray, ...]:
    """Train and new images of 240 features, 12 of which are shifted in cases; labels; patients."""
    rng = np.random.default_rng(0)
    y = (np.arange(N_TRAIN + N_NEW) % 50 < 50 * positives).astype(int)
    images = rng.normal(size=(len(y), *SHAPE)).astype(np.float32)
    shift = np.zeros(SHAPE, np.float32)
    shift[::2, ::5, 0] = 0.8
    shift[3, 4:, 1] = -0.8
    images += y[:, None, None, None] * shift
    y = rng.permutation(y) if permuted else y
    patients = np.array([f"P{i}" for i in range(N_TRAIN)])
    return images[:N_TRAIN], y[:N_TRAIN], patients, images[N_TRAIN:], y[N_TRAIN:]


@cache
def fitted(permuted: bool = False) -> keras.Model:
    images, y, patients, *_ = easy(permuted)
    params = make_params()
    return fit_ensemble(images, y, patients, params, seeds=[1, 2], n_classes=2, genome=GENOME)[0]


def margin(model: keras.Model, images: np.ndarray) -> np.ndarray:
    logits = predict_logits(model, images).mean(axis=1)
    return np.asarray(logits[:, 1] - logits[:, 0])


@pytest.mark.parametrize("batch", [1, 7, 150])
def test_the_batch_size_of_prediction_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    images = easy()[3]
    expected = predict_logits(fitted(), images)
    monkeypatch.setattr(saved, "PREDICT_BATCH", batch)
    np.testing.assert_allclose(predict_logits(fitted(), images), expected, atol=1e-5)


def test_a_sample_s_logits_do_not_depend_on_the_others() -> None:
    images = easy()[3]
    order = np.random.default_rng(0).permutation(len(images))
    expected = predict_logits(fitted(), images)[order]
    np.testing.assert_allclose(predict_logits(fitted(), images[order]), expected, atol=1e-5)
    assert predict_logits(fitted(), images[:0]).shape == (0, *fitted().output_shape[1:])


def test_the_linear_path_does_not_know_where_a_gene_lies() -> None:
    images, y, patients, *_ = easy()
    x = images.reshape(len(images), -1)
    order = np.random.default_rng(0).permutation(x.shape[1])
    weights = class_weights(y, 2, balanced=True)
    here, there = (
        fit_linear(Features(features), y, patients, weights, seed=1)
        for features in (x, x[:, order])
    )
    np.testing.assert_allclose(there.kernel, here.kernel[order], atol=1e-3)


def test_a_planted_signal_is_learned() -> None:
    *_, images, y = easy()
    assert roc_auc_score(y, margin(fitted(), images)) > 0.9


def test_the_linear_path_finds_the_planted_genes() -> None:
    kernel = fitted().get_layer(LINEAR).get_weights()[0].reshape(*SHAPE, 2)
    weight = np.abs(kernel[..., 1] - kernel[..., 0])
    planted = np.zeros(SHAPE, bool)
    planted[::2, ::5, 0] = planted[3, 4:, 1] = True
    assert roc_auc_score(planted.ravel(), weight.ravel()) > 0.9


def test_permuted_labels_teach_nothing() -> None:
    *_, images, y = easy(permuted=True)
    half_width = 3.3 * np.sqrt((N_NEW + 1) / (12 * np.sum(y) * np.sum(1 - y)))  # null, p = 0.001
    assert abs(roc_auc_score(y, margin(fitted(permuted=True), images)) - 0.5) < half_width


@pytest.mark.parametrize("weighted", [True, False])
def test_the_mean_probability_is_the_share_of_the_rare_class(weighted: bool) -> None:
    images, y, patients, new, truth = easy(positives=0.12)
    params = make_params(class_weights=weighted, epochs=4)
    ensemble, *_ = fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2, genome=GENOME)
    p = softmax(predict_logits(ensemble, new), axis=-1)[..., 1]
    assert p.mean() == pytest.approx(truth.mean(), abs=0.05)


def test_mixup_keeps_sums_and_pairs_and_mixes_every_array_alike() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4000, 2, 3, 1)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[np.arange(4000) % 3 % 2]
    # A linear function of the images is mixed like the images: the offsets of training rely on it.
    linear = images.sum(axis=(1, 2, 3))[:, None]
    batches = tf.data.Dataset.from_tensor_slices((images, targets, linear)).batch(4000)
    (first,), (second,) = (list(mixup(batches, 0.3, 1).as_numpy_iterator()) for _ in range(2))
    mixed, labels, offsets = first
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert mixed.shape == images.shape
    assert mixed.dtype == labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.mean(axis=0), images.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(labels.mean(axis=0), targets.mean(axis=0), atol=0.02)
    assert (labels * targets).sum(axis=1).min() >= 0.5
    assert np.var(mixed) < np.var(images)
    np.testing.assert_allclose(offsets[:, 0], mixed.sum(axis=(1, 2, 3)), atol=1e-4)


def test_purity_scales_the_copy_number_of_each_image_by_one_number() -> None:
    images = np.random.default_rng(1).uniform(1, 2, size=(40, 4, 5, 3)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    batches = tf.data.Dataset.from_tensor_slices((images, targets)).batch(20)
    varied = vary_purity(batches, (1,), 0.3, 1)
    once, again = (list(varied.as_numpy_iterator()) for _ in range(2))
    found, labels = (np.concatenate(parts) for parts in zip(*once, strict=True))
    np.testing.assert_array_equal(labels, targets)
    np.testing.assert_array_equal(found[..., [0, 2]], images[..., [0, 2]])
    factors = (found / images)[..., 1].reshape(40, -1)
    np.testing.assert_allclose(factors, factors[:, :1].repeat(20, axis=1), rtol=1e-5)
    assert 0.7 <= factors.min() < 0.8 < 1.2 < factors.max() <= 1.3
    assert not np.allclose(found[:20], again[0][0])  # another epoch
    same = vary_purity(batches, (1,), 0.3, 1).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(next(iter(same))[0], found[:20])


@pytest.mark.parametrize(("channels", "share"), [((1,), 0.0), ((), 0.3)])
def test_no_purity_changes_nothing(channels: tuple[int, ...], share: float) -> None:
    batches = tf.data.Dataset.from_tensor_slices((np.zeros((2, 3)), np.zeros((2, 2)))).batch(1)
    assert vary_purity(batches, channels, share, 1) is batches


def test_mixup_of_zero_changes_nothing() -> None:
    batches = tf.data.Dataset.range(3)
    assert mixup(batches, 0, 1) is batches
