"""Whom the CNN serves worse is found; groups that are too small are counted, not scored."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from oncopixel.core.params import EvaluateParams
from oncopixel.evaluation.evaluate import evaluate
from oncopixel.evaluation.groups import group_samples

PARAMS = EvaluateParams(bootstrap=400, permutations=99, calibration_bins=5, seed=1)


def case(n: int, strength: np.ndarray, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and probabilities that follow each as strongly as is said."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n)
    p = np.exp(strength[:, None] * np.eye(n_classes)[y] + rng.normal(size=(n, n_classes)))
    return y, p / p.sum(axis=1, keepdims=True)


def scored(y: np.ndarray, p: np.ndarray, **groups: np.ndarray) -> dict:
    """`groups` of an evaluation, and its `models`; every second sample is in the test set."""
    rows = np.random.default_rng(1).permutation(len(y))  # ids are in another order than rows
    ids = np.array([f"s{row:04d}" for row in rows])
    test = np.arange(len(y)) % 2 == 0
    samples = pd.DataFrame({"sample": ids, "patient": ids, "group": ids, "y": y})
    samples["part"] = np.where(test, "test", "development")
    predictions = pd.DataFrame({f"p_{k}": p[:, k] for k in range(p.shape[1])})
    predictions = predictions.assign(
        sample=ids, model="cnn", part=np.where(test, "test", "cv"),
        repeat=np.where(test, -1, 0), fold=np.where(test, -1, rows % 3),
    )  # fmt: skip
    classes = [f"class {k}" for k in range(p.shape[1])]
    return evaluate(predictions, samples, classes, PARAMS, groups=pd.DataFrame(groups)).detail


def test_a_planted_difference_between_groups_is_found_and_no_other() -> None:
    sex = np.where(np.arange(480) % 4 < 2, "female", "male")
    site = np.where(np.arange(480) % 8 < 4, "A", "B")
    y, p = case(480, np.where(sex == "male", 3.0, 0.0))
    found = scored(y, p, sex=sex, site=site)["groups"]
    for part in ("cv", "test"):
        groups = found["sex"][part]["groups"]
        assert groups["female"]["minus_all"]["high"] < 0 < groups["male"]["minus_all"]["low"]
        assert groups["female"]["roc_auc"]["high"] < groups["male"]["roc_auc"]["low"]
        for group in found["site"][part]["groups"].values():
            assert group["minus_all"]["low"] < 0 < group["minus_all"]["high"]


def test_small_groups_and_those_of_one_class_are_counted_and_get_no_score() -> None:
    y, p = case(200, np.full(200, 2.0))
    site = np.where(y == 1, "only cases", "controls and four cases")
    for part in (0, 1):  # of the test set and of cross-validation
        mine = np.flatnonzero((y == 1) & (np.arange(200) % 2 == part))
        site[mine[:4]] = "controls and four cases"
    site[:30], site[30:38], site[40:48] = "mixed", "few", ""
    found = scored(y, p, site=site)["groups"]["site"]
    for part in ("cv", "test"):
        assert [*found[part]["groups"]] == ["mixed"]
        counts = {name: n for name, n in found[part].items() if name != "groups"}
        assert counts == {
            "fewer_than_10_samples": 1, "fewer_than_5_of_a_class": 2, "unknown": 4,
        }  # fmt: skip


def test_a_group_of_all_has_the_scores_of_all() -> None:
    y, p = case(240, np.full(240, 1.0))
    detail = scored(y, p, sex=np.full(240, "female"))
    for part, whole in detail["models"]["cnn"].items():
        group = detail["groups"]["sex"][part]["groups"]["female"]
        assert group["samples"] == group["patients"] == 120
        assert group["samples_of_class"] == detail["data"][part]["samples_of_class"]
        assert group["minus_all"] == {"value": 0, "low": 0, "high": 0}
        for name in ("sensitivity", "specificity") + ("roc_auc",) * (part == "test"):
            assert group[name] == pytest.approx(whole[name])


def test_folds_are_not_ranked_together() -> None:
    y, p = case(240, np.full(240, 1.0))
    fold = np.random.default_rng(1).permutation(240) % 3
    p = p ** (1.0 + 3 * fold[:, None])  # each fold on a scale of its own
    p /= p.sum(axis=1, keepdims=True)
    mine = np.arange(240) % 2 == 1
    right, pairs = 0.0, 0
    for k in range(3):
        rows = mine & (fold == k)
        n = int((y[rows] == 1).sum() * (y[rows] == 0).sum())
        right += n * sk.roc_auc_score(y[rows], p[rows, 1])
        pairs += n
    group = scored(y, p, sex=np.full(240, "male"))["groups"]["sex"]["cv"]["groups"]["male"]
    assert group["roc_auc"]["value"] == pytest.approx(right / pairs)


def test_without_pairs_or_chance_in_the_draws_nothing_is_said_of_a_difference() -> None:
    y, p = case(240, np.full(240, 1.0))
    fold = np.random.default_rng(1).permutation(240) % 3
    apart = ((y == 1) & (fold == 0)) | ((y == 0) & (fold == 1))  # no pair within a fold
    found = scored(y, p, sex=np.where(apart, "male", "female"))["groups"]["sex"]["cv"]["groups"]
    assert np.isnan(list(found["male"]["roc_auc"].values())).all()
    assert np.isnan(list(found["male"]["minus_all"].values())).all()
    perfect = np.arange(240) % 4 < 2
    p[perfect] = np.eye(2)[y[perfect]]
    found = scored(y, p, sex=np.where(perfect, "male", "female"))["groups"]["sex"]["cv"]["groups"]
    assert found["male"]["roc_auc"] == {"value": 1, "low": 1, "high": 1}
    assert found["male"]["minus_all"]["value"] > 0
    assert np.isnan(found["male"]["minus_all"]["low"])


def test_of_several_classes_those_with_enough_samples_count() -> None:
    y, p = case(300, np.full(300, 1.0), n_classes=4)
    sex = np.where(y == 3, "male", "female")
    sex[np.flatnonzero(y == 3)[:6]] = "female"  # at most 4 of them in either part
    rows = (np.arange(300) % 2 == 0) & (sex == "female")
    female = scored(y, p, sex=sex)["groups"]["sex"]["test"]["groups"]["female"]
    assert female["samples_of_class"]["class 3"] == (y[rows] == 3).sum() < 5
    expected = [sk.roc_auc_score(y[rows] == k, p[rows, k]) for k in range(3)]
    assert female["roc_auc"]["value"] == pytest.approx(np.mean(expected))
    recall = sk.recall_score(y[rows], p[rows].argmax(1), average=None)[:3]
    assert female["sensitivity"]["value"] == pytest.approx(recall.mean())


def table(**columns: list) -> pd.DataFrame:
    return pd.DataFrame({"site": "", **columns}, index=[*"abcdef"])


def test_groups_are_read_from_columns_as_sources_call_them() -> None:
    samples = table(
        gender=["MALE", "male", "Female", "", "not reported", "FEMALE"],
        age_at_index=[50, 61, np.nan, 70, 99, 98],
        ajcc_pathologic_stage=["Stage IIIA", "stage iv", "I", "2b", "Stage X", "Stage IA3"],
        site=["05", "NA", "", "44", "44", "44"],
    )
    development = pd.Series([True] * 4 + [False] * 2)
    groups = group_samples(samples, development, "mutation:KEAP1")
    assert groups.to_dict("list") == {
        "sex": ["male", "male", "female", "", "", "female"],
        "age": ["up to 61", "up to 61", "", "over 61", "over 61", "over 61"],
        "stage": ["III", "IV", "I", "II", "", "I"],
        "site": ["05", "NA", "", "44", "44", "44"],
    }


def test_the_label_makes_no_groups_and_what_nobody_knows_is_no_kind() -> None:
    samples = table(sex=["m", "f"] * 3, site=["A", "B"] * 3)
    everyone = pd.Series([True] * 6)
    assert [*group_samples(samples, everyone, "column:sex")] == ["site"]
    assert [*group_samples(samples, everyone, "column:site")] == ["sex"]
    assert group_samples(table(), everyone, "sample_type").shape == (6, 0)
