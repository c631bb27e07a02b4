"""Where there is nothing to find, nothing is found: random numbers, and cohorts without markers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from oncopixel.cohort.contract import Cohort
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import Params, SimulatedSource, parse_params
from oncopixel.evaluation.evaluate import Evaluation, evaluate
from oncopixel.images.folds import fold_arrays, prediction_rows
from oncopixel.images.preprocessor import to_images
from oncopixel.images.splits import cv_folds, final_fold, make_splits
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.saved import mean_probabilities, predict_logits
from oncopixel.sources.simulated import simulate
from oncopixel.tools import noise
from oncopixel.tools.noise import random_cohort

pytestmark = pytest.mark.slow


def quick(raw: dict) -> dict:
    """The real parameters with fewer folds, members and epochs."""
    raw["split"]["folds"] = 3
    raw["train"] |= {"epochs": 3, "patience": 3, "members": 1}
    raw["evaluate"] |= {"bootstrap": 400, "permutations": 999}
    return raw


def judged(cohort: Cohort, params: Params) -> Evaluation:
    """The CNN's evaluation on the cohort, through the functions of the stages."""
    entry = params.cohorts["simulated"].model_copy(update={"image": [16, 16]})
    cohort = label_cohort(cohort, entry)
    splits = make_splits(cohort, params.split)
    rows = []
    for fold in [*cv_folds(splits), final_fold(splits)]:
        arrays = fold_arrays(cohort, fold, entry, params.preprocess)
        ensemble, *_ = fit_ensemble(
            to_images(arrays.preprocessor, arrays.train_features),
            arrays.train_y,
            arrays.train_patients,
            params.train,
            seeds=[1],
            n_classes=2,
        )
        held_out = to_images(arrays.preprocessor, arrays.held_out_features)
        p = mean_probabilities(predict_logits(ensemble, held_out))
        rows.append(prediction_rows(cohort, fold, "cnn", p))
    samples = splits[["sample", "patient", "group", "part"]].assign(y=cohort.y)
    return evaluate(pd.concat(rows), samples, cohort.classes, params.evaluate)


def simulated(seed: int, n_markers: int, **changes: float) -> Cohort:
    settings = {"n_samples": 160, "n_genes": 250, "normal_fraction": 0.2} | changes
    return simulate(
        SimulatedSource(kind="simulated", seed=seed, n_markers=n_markers, **settings)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_cohort_without_markers_gets_no_signal(seed: int, raw_params: dict) -> None:
    params = parse_params(quick(yaml.safe_load(yaml.safe_dump(raw_params))))
    result = judged(simulated(seed, 0), params)
    assert result.detail["verdict"] != "signal"
    assert result.detail["permutation_p"]["test"] > 0.005


def test_the_same_cohort_with_markers_gets_a_signal(raw_params: dict) -> None:
    """Otherwise the tests above would pass for a network that can learn nothing."""
    params = parse_params(quick(yaml.safe_load(yaml.safe_dump(raw_params))))
    result = judged(simulated(1, 40, effect=3.0, normal_fraction=0.0, penetrance=0.8), params)
    assert result.detail["verdict"] == "signal"
    assert result.detail["permutation_p"]["test"] == 1 / 1000


def test_the_random_cohort_is_uniform_and_says_nothing_of_its_labels() -> None:
    cohort = random_cohort(200, 20, seed=1)
    case = (cohort.samples["status"] == "case").to_numpy()
    assert 70 < case.sum() < 130
    for channel, low, high in (("expression", 0, 16), ("copy_number", -1, 1), ("mutation", 0, 1)):
        values = cohort.layer(channel)
        assert values.shape == (200, 400)
        assert values.min() >= low
        assert values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
        spread = np.corrcoef(values.T)[np.triu_indices(400, 1)].std()
        assert spread == pytest.approx(1 / np.sqrt(199), rel=0.05)  # that of independent numbers
        t = values[case].mean(axis=0) - values[~case].mean(axis=0)
        expected = values.std() * np.sqrt(1 / case.sum() + 1 / (~case).sum())
        assert t.std() == pytest.approx(expected, rel=0.15)
    same, other = random_cohort(200, 20, seed=1), random_cohort(200, 20, seed=2)
    assert (same.layer("expression") == cohort.layer("expression")).all()
    assert (other.layer("expression") != cohort.layer("expression")).mean() > 0.99


def test_the_paper_s_experiment_is_repeated_with_its_settings(
    raw_params: dict, tmp_path: Path
) -> None:
    raw_params = yaml.safe_load(yaml.safe_dump(raw_params))
    found = []
    for changes in ({}, {"epochs": 1, "units": 7, "class_weights": False, "seed": 7}):
        raw_params["train"] |= changes  # none of which are the paper's
        params = parse_params(raw_params)
        found.append(noise.run(params, samples=60, side=22, seed=1, model="paper", folder=tmp_path))
    assert found[0] == found[1]
    assert [row["epoch"] for row in found[0]["history"]] == list(range(1, 11))
    assert found[0]["paper"] == {"val_loss": 0.6945, "val_accuracy": 0.47}
    last = found[0]["history"][-1]
    assert last["val_loss"] == pytest.approx(np.log(2), abs=0.2)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 11
    lines = noise.describe(found[0]).splitlines()
    assert lines[1].split() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert lines[-2].split()[-1] == f"{last['val_accuracy']:.4f}"
    assert lines[-1].split() == ["paper", "0.6945", "0.4700"]
