"""Permuted labels of the list: what moves together, and that nothing of the signal stays."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.core.params import BiomarkerParams, parse_params
from oncopixel.markers.discovery import discover, prepare_hypotheses, rows_of
from oncopixel.markers.permutation import permute_labels, repeated_lists
from oncopixel.markers.stability import resamples


@pytest.fixture
def settings(raw_params: dict) -> BiomarkerParams:
    return parse_params(raw_params).biomarkers.model_copy(update={"permutations": 50})


def test_the_label_of_a_patient_moves_with_all_samples_of_the_patient(
    settings: BiomarkerParams,
) -> None:
    patients = np.repeat([f"P{i:02d}" for i in range(40)], 2)
    y = np.repeat(np.arange(40) % 2, 2)
    permuted = permute_labels(y, patients, patients, settings)
    assert (permuted[:, ::2] == permuted[:, 1::2]).all()
    assert (permuted.sum(axis=1) == y.sum()).all()
    assert len(np.unique(permuted, axis=0)) > 40


def test_the_label_of_a_sample_leaves_no_signal_with_patients_of_one_sample(
    settings: BiomarkerParams,
) -> None:
    patients = np.array([f"P{i:03d}" for i in range(90)] + [f"P{i:03d}" for i in range(10)])
    y = np.repeat([1, 0], [90, 10])  # a tumour of everyone, normal tissue of ten
    permuted = permute_labels(y, patients, patients, settings)
    assert (permuted.sum(axis=1) == 90).all()
    agreement = (permuted[:, 90:] == 0).mean()
    assert agreement == pytest.approx(0.1, abs=0.06)


def test_samples_of_a_patient_in_a_class_move_together_though_another_sample_is_of_another_class(
    settings: BiomarkerParams,
) -> None:
    patients = np.repeat([f"P{i:02d}" for i in range(40)], 4)
    y = np.repeat(np.arange(40) % 2, 4)
    y[0] = 1  # one sample of one patient is of the other class
    permuted = permute_labels(y, patients, patients, settings)
    assert (permuted.sum(axis=1) == y.sum()).all()
    others = permuted.reshape(50, 40, 4)[:, 1:]
    assert (others.min(axis=2) == others.max(axis=2)).all()
    assert len(np.unique(others[:, :, 0], axis=0)) == 50


def test_with_held_out_sites_labels_stay_within_their_site(settings: BiomarkerParams) -> None:
    patients = np.array([f"P{i:02d}" for i in range(60)])
    sites = np.repeat(["A", "B", "C"], 20)
    y = np.concatenate([np.ones(20, int), np.zeros(20, int), np.arange(20) % 2])
    permuted = permute_labels(y, patients, sites, settings)
    assert (permuted[:, :20] == 1).all()
    assert (permuted[:, 20:40] == 0).all()
    assert len(np.unique(permuted[:, 40:], axis=0)) > 40


def test_lists_of_resamples_and_of_permuted_labels_are_made_of_all_candidates(
    raw_params: dict,
) -> None:
    params = parse_params(raw_params)
    rng = np.random.default_rng(1)
    y = np.arange(160) % 2
    features = rng.standard_normal((160, 100, 1)).astype(np.float32)
    features[:, :30, 0] += 0.9 * y[:, None]
    genes = pd.DataFrame(
        {"gene": [f"G{i}" for i in range(100)], "chromosome": "1", "start": 1000 * np.arange(100)}
    )
    settings = params.biomarkers.model_copy(update={"permutations": 19, "minimum_effect": 0.0})
    of = params.stability
    hypotheses = prepare_hypotheses(features, genes, ["expression"], ["control", "case"], settings)
    patients = np.array([f"P{i}" for i in range(160)])
    stable, permuted, least = repeated_lists(
        hypotheses, "associated", y, patients, patients, settings, of
    )
    assert stable.shape == (of.resamples, 100)
    assert permuted.shape == (settings.permutations, 100)
    np.testing.assert_array_equal(least <= settings.q, permuted.any(axis=1))
    assert stable[:, :30].mean() > 0.8
    assert permuted.any(axis=1).mean() < 0.3
    kept = list(resamples(patients, y, of.resamples, of.fraction, of.seed))[3]
    own = np.full(160, -1)
    own[kept] = y[kept]
    (alone,) = rows_of(hypotheses, discover(hypotheses, "associated", own[None], settings))
    np.testing.assert_array_equal(stable[3], alone)
