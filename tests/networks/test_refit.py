"""Refits: what tuning chose is taken over, every weight comes from the part that is fitted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oncopixel.core.params import TrainParams, read_params
from oncopixel.networks.calibration import class_weights
from oncopixel.networks.ensemble import fit_ensemble, refit
from oncopixel.networks.linear_path import find_features, fit_linear, solve
from oncopixel.networks.saved import predict_logits

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)


def make_params(**changes: Any) -> TrainParams:
    small = {"epochs": 2, "patience": 2, "batch_size": 16}
    return read_params(Path("params.yaml")).train.model_copy(update=small | changes)


def make_data(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of 22 x 22 genes under a common factor, two of which go with the class."""
    rng = np.random.default_rng(0)
    y, flat = np.arange(n) % 2, rng.normal(size=(n, 484)).astype(np.float32)
    flat += np.outer(rng.normal(size=n), rng.normal(size=484)).astype(np.float32)
    flat[:, 40:42] += 2 * y[:, None]
    return flat.reshape(n, 22, 22, 1), y, np.array([f"P{i // 2}" for i in range(n)])


PART = np.arange(90) % 10 > 1
EVERYONE = np.ones(90, bool)


def refit_of(part: np.ndarray, labels: np.ndarray, epochs: list[int]) -> np.ndarray:
    """Logits of all samples by an ensemble of `paper` that is refitted on a part of them."""
    images, _, patients = make_data()
    model = refit(images[part], labels[part], patients[part], make_params(model="paper"), 2, epochs)
    return predict_logits(model, images)


def test_a_refit_on_all_samples_is_the_ensemble_that_was_tuned() -> None:
    images, y, patients = make_data()
    params = make_params(model="paper")
    seeds = [params.seed, params.seed + 1]
    whole, history, chosen = fit_ensemble(images, y, patients, params, seeds=seeds, n_classes=2)
    assert chosen["linear"] is None
    found = refit_of(EVERYONE, y, history.loc[history["best"], "epoch"].tolist())
    expected = predict_logits(whole, images)
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_members_are_trained_as_long_as_they_are_told_to() -> None:
    y = make_data()[1]
    short, long = (refit_of(EVERYONE, y, epochs) for epochs in ([0, 2], [2, 2]))
    assert not np.allclose(short[:, 0], long[:, 0])
    assert (short[:, 1] == long[:, 1]).all()


def test_labels_outside_the_part_have_no_say_in_a_refit() -> None:
    y = make_data()[1]
    first, again, other = (
        refit_of(PART, labels, [2, 2]).tobytes()
        for labels in (y, np.where(PART, y, 1 - y), np.roll(y, 1))
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("adjusted", [False, True])
def test_a_linear_path_solved_again_is_the_same(adjusted: bool) -> None:
    images, y, patients = make_data()
    weights = class_weights(y, 2, balanced=True)
    features = find_features(images, 1, adjusted=adjusted)
    assert (features.adjusted is None) == (not adjusted)
    path = fit_linear(features, y, patients, weights, 1)
    kernel, bias = solve(features, y, weights, path.choice)
    np.testing.assert_array_equal(kernel, path.kernel)
    np.testing.assert_array_equal(bias, path.bias)
