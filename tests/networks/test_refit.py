"""Refits: what tuning chose is taken over, every weight comes from the part that is fitted."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from oncopixel.core.params import TrainParams, read_params
from oncopixel.networks.architectures import members, predict_logits
from oncopixel.networks.calibration import class_weights
from oncopixel.networks.ensemble import fit_ensemble, refit
from oncopixel.networks.features import find_features
from oncopixel.networks.linear_path import PRODUCTS, Choice, Hyperparameters, fit_exact, tune

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


@dataclass
class Case:
    params: TrainParams
    whole: keras.Model
    """The ensemble of all samples."""
    tuned: Hyperparameters


@pytest.fixture(scope="module", params=["hybrid", "patch"])
def case(request: pytest.FixtureRequest) -> Case:
    params = make_params(model=request.param)
    seeds = [params.seed, params.seed + 1]
    whole, history = fit_ensemble(*make_data(), params, seeds=seeds, n_classes=2)
    epochs = history.loc[history["best"], "epoch"].tolist()
    return Case(params, whole, tune(*make_data(), params, 2, epochs))


def test_a_refit_on_all_samples_is_the_ensemble_that_was_tuned(case: Case) -> None:
    images, *known = make_data()
    again = refit(images, *known, np.ones(90, bool), case.params, 2, case.tuned)
    exact = case.params.model == "hybrid"
    assert (case.tuned.choice is not None) == exact
    names = [{layer.name for layer in members(m)[0].layers} for m in (case.whole, again)]
    assert names[0] == names[1]
    assert (PRODUCTS in names[0]) == exact
    found, expected = (predict_logits(m, images) for m in (again, case.whole))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_members_are_trained_as_long_as_they_are_told_to(case: Case) -> None:
    data, everyone = make_data(), np.ones(90, bool)
    short, long = (
        predict_logits(
            refit(*data, everyone, case.params, 2, replace(case.tuned, epochs=e)), data[0]
        )
        for e in ([0, 2], [2, 2])
    )
    assert not np.allclose(short[:, 0], long[:, 0])
    assert (short[:, 1] == long[:, 1]).all()


def test_labels_outside_the_part_have_no_say_in_a_refit(case: Case) -> None:
    images, y, patients = make_data()
    params, tuned = case.params, case.tuned
    first = refit(images, y, patients, PART, params, 2, tuned)
    again = refit(images, np.where(PART, y, 1 - y), patients, PART, params, 2, tuned)
    other = refit(images, np.roll(y, 1), patients, PART, params, 2, tuned)
    logits = [predict_logits(m, images).tobytes() for m in (first, again, other)]
    assert logits[0] == logits[1]
    assert logits[0] != logits[2]


def test_a_choice_decides_features_and_penalties() -> None:
    images, y, patients = make_data()
    features = find_features(images, seed=1)
    weights = class_weights(y, 2, balanced=True)
    for adjusted in (False, True):
        for products in (False, True):
            choice = Choice(adjusted, products, sharpness=2.0, strength=0.6)
            exact = fit_exact(features, y, patients, weights, 1, choice)
            assert exact is not None
            assert exact.choice == choice
            assert (exact.products is not None) == products == (PRODUCTS in exact.weights)
