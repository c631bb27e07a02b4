"""Refits: what tuning chose is taken over, every weight comes from the part that is fitted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oncopixel.core.params import TrainParams, read_params
from oncopixel.networks.architectures import predict_logits
from oncopixel.networks.calibration import class_weights
from oncopixel.networks.ensemble import fit_ensemble, refit
from oncopixel.networks.features import find_features
from oncopixel.networks.linear_path import PRODUCTS, Choice, fit_exact, solve

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)


def make_params(**changes: Any) -> TrainParams:
    small = {"epochs": 2, "patience": 2, "batch_size": 16}
    return read_params(Path("params.yaml")).train.model_copy(update=small | changes)


def make_data(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two modules of twelve genes; the class is whether they agree, and what two genes say."""
    rng = np.random.default_rng(0)
    y, activity = np.arange(n) % 2, rng.normal(size=(2, n))
    activity[1] = np.abs(activity[1]) * np.sign(activity[0]) * np.where(y == 1, 1, -1)
    flat = rng.normal(size=(n, 100)).astype(np.float32)
    for module, own in enumerate(activity):
        flat[:, 12 * module : 12 * module + 12] += 2 * own[:, None].astype(np.float32)
    flat[:, 40:42] += y[:, None]
    return flat.reshape(n, 10, 10, 1), y, np.array([f"P{i // 2}" for i in range(n)])


PART = np.arange(90) % 10 > 1
EVERYONE = np.ones(90, bool)


def refit_of(part: np.ndarray, labels: np.ndarray, epochs: list[int]) -> np.ndarray:
    """Logits of all samples by an ensemble that is refitted on a part of them."""
    images, _, patients = make_data()
    model = refit(images[part], labels[part], patients[part], make_params(model="patch"), 2, epochs)
    return predict_logits(model, images)


def test_a_refit_on_all_samples_is_the_ensemble_that_was_tuned() -> None:
    images, y, patients = make_data()
    params = make_params(model="patch")
    seeds = [params.seed, params.seed + 1]
    whole, history, choice = fit_ensemble(images, y, patients, params, seeds=seeds, n_classes=2)
    assert choice is None
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
@pytest.mark.parametrize("products", [False, True])
def test_exact_paths_solved_again_are_those_of_the_ensemble(adjusted: bool, products: bool) -> None:
    """Up to calibration, and from the features of their choice alone."""
    images, y, patients = make_data()
    weights = class_weights(y, 2, balanced=True)
    features = find_features(images, 1, adjusted=adjusted, products=products)
    assert (features.adjusted is None, features.products is None) == (not adjusted, not products)
    exact = fit_exact(features, y, patients, weights, 1)
    assert exact is not None
    again = solve(features, y, weights, exact.choice)
    assert exact.weights.keys() == again.weights.keys()
    for name, (kernel, _) in again.weights.items():
        calibrated = exact.weights[name][0].ravel()
        np.testing.assert_allclose(np.corrcoef(kernel.ravel(), calibrated)[0, 1], 1, atol=1e-4)


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("products", [False, True])
def test_a_choice_decides_what_is_read(adjusted: bool, products: bool) -> None:
    images, y, _ = make_data()
    choice = Choice(adjusted, products, sharpness=2.0, strength=0.6)
    solved = solve(find_features(images, seed=1), y, class_weights(y, 2, balanced=True), choice)
    assert (solved.products is not None) == products == (PRODUCTS in solved.weights)
