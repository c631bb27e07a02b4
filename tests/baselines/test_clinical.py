"""The clinical model: recognised columns only, never the label, nothing of who is held out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from oncopixel.baselines.clinical import clinical_columns, fit_clinical
from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.core.params import BaselineParams

PARAMS = BaselineParams(models=["logistic_l2"], panel_sizes=[5], inner_folds=3, seed=1)


def cohort(n: int = 200, seed: int = 1) -> Cohort:
    """Patients whose label goes with age and stage; one has no age."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    samples = pd.DataFrame(
        {
            "patient": [f"P{i}" for i in range(n)], "Age": 60 + 8 * y + 6 * rng.standard_normal(n),
            "gender": rng.choice(["female", "male"], n), "stage": np.where(y, "III", "I"),
            "colour": rng.choice(["red", "blue"], n), "smoking": "never",
        },
        index=[f"S{i}" for i in range(n)],
    )  # fmt: skip
    flipped = rng.random(n) < 0.2
    samples.loc[flipped, "stage"] = "II"
    samples.loc["S0", "Age"] = np.nan
    x = pd.DataFrame(rng.random((n, 3)), index=samples.index, columns=["A", "B", "C"])
    genes = pd.DataFrame({"ensembl_id": "", "chromosome": "1", "start": 1}, index=x.columns)
    found = build_cohort(x, samples, genes, scale="log2", origin="made up", notes=[])
    found.data.obs["label"] = np.where(y, "case", "control")
    found.data.uns["classes"] = ["control", "case"]
    return found


def test_recognised_columns_that_vary_are_taken_whatever_their_case() -> None:
    samples = cohort().samples
    assert clinical_columns(samples, "mutation:TP53") == ["Age", "gender", "stage"]
    assert clinical_columns(samples, "column:stage") == ["Age", "gender"]
    assert clinical_columns(samples[["colour"]], "mutation:TP53") == []


def test_what_the_columns_say_is_found_in_others() -> None:
    whole = cohort()
    train, other = whole.take(np.arange(140)), whole.take(np.arange(140, 200))
    p, chosen = fit_clinical(train, other, ["Age", "stage"], PARAMS)
    assert p.sum(axis=1) == pytest.approx(1)
    assert roc_auc_score(other.y, p[:, 1]) > 0.9
    assert chosen["columns"] == ["Age", "stage"]


def test_who_is_held_out_has_no_part_in_the_fit() -> None:
    whole = cohort()
    train, few = whole.take(np.arange(140)), whole.take(np.arange(140, 150))
    alone, _ = fit_clinical(train, few, ["Age", "gender"], PARAMS)
    among, _ = fit_clinical(train, whole.take(np.arange(140, 200)), ["Age", "gender"], PARAMS)
    np.testing.assert_array_equal(alone, among[:10])


def test_a_level_that_training_lacks_and_a_missing_value_count_as_the_mean() -> None:
    whole = cohort()
    train, other = whole.take(np.arange(1, 140)), whole.take(np.array([0, 150]))
    other.data.obs["stage"] = "IV"
    p, _ = fit_clinical(train, other, ["Age", "stage"], PARAMS)
    assert np.isfinite(p).all()
