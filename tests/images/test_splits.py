"""A patient or site is never on two sides, classes are shared out evenly, and seeds decide."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.core.errors import LabelError
from oncopixel.core.params import SplitParams
from oncopixel.images.splits import (
    LeakageError,
    assert_disjoint,
    cv_folds,
    final_fold,
    inner_split,
    make_splits,
    tuning_folds,
)

few_examples = settings(derandomize=True, deadline=None, max_examples=15)


def labelled(y: list[int], patients: list[str], sites: list[str] | None = None) -> Cohort:
    samples = pd.DataFrame(
        {"patient": patients, "site": sites if sites else ["A"] * len(y)},
        index=[f"s{i:04d}" for i in range(len(y))],
    )
    expression = pd.DataFrame(np.zeros((len(y), 1)), index=samples.index, columns=["G"])
    genes = pd.DataFrame({"ensembl_id": "", "chromosome": "", "start": -1}, index=["G"])
    cohort = build_cohort(expression, samples, genes, scale="log2", origin="test")
    cohort.data.uns["classes"] = np.array([f"c{k}" for k in range(max(y) + 1)], dtype=object)
    cohort.data.obs["label"] = [f"c{k}" for k in y]
    return cohort


def tumours_and_normals(n_patients: int = 120, n_normals: int = 24) -> Cohort:
    """A tumour of every patient and, for some patients, a normal sample too; ten sites."""
    patients = [f"p{i:03d}" for i in range(n_patients)]
    sites = [f"site{i % 10}" for i in range(n_patients)]
    return labelled(
        [1] * n_patients + [0] * n_normals,
        patients + patients[:n_normals],
        sites + sites[:n_normals],
    )


def params(**changes: object) -> SplitParams:
    values = {"test_fraction": 0.25, "folds": 5, "repeats": 2, "group_by": "patient", "seed": 1}
    return SplitParams.model_validate(values | changes)


def test_tuning_has_folds_of_its_own_of_the_development_samples() -> None:
    cohort = tumours_and_normals()
    splits = make_splits(cohort, params(group_by="site"))
    draws = [tuning_folds(splits, cohort.y, 3, 1, draw) for draw in (0, 1)]
    development = np.flatnonzero(splits["part"] == "development")
    for folds in draws:
        held_out = np.concatenate([fold.held_out for fold in folds])
        assert sorted(held_out) == list(development)
        for fold in folds:
            assert set(fold.train) | set(fold.held_out) == set(development)
            assert_disjoint(splits["group"].to_numpy(), fold.train, fold.held_out)
            assert set(cohort.y[fold.held_out]) == {0, 1}
    first, second = ([sorted(fold.held_out) for fold in folds] for folds in draws)
    assert first != second
    assert first == [sorted(f.held_out) for f in tuning_folds(splits, cohort.y, 3, 1, 0)]
    with pytest.raises(LabelError, match=r"lower tune\.folds"):
        tuning_folds(splits, cohort.y, 30, 1, 0)


def all_folds(splits: pd.DataFrame) -> list:
    return [*cv_folds(splits), final_fold(splits)]


def test_rows_follow_the_cohort_and_test_samples_are_in_no_fold() -> None:
    cohort = tumours_and_normals()
    splits = make_splits(cohort, params())
    assert list(splits.columns) == ["sample", "patient", "group", "part", "repeat_0", "repeat_1"]
    assert list(splits["sample"]) == list(cohort.samples.index)
    assert set(splits["part"]) == {"development", "test"}
    for column in ("repeat_0", "repeat_1"):
        assert ((splits[column] == -1) == (splits["part"] == "test")).all()
        assert set(splits[column]) == {-1, 0, 1, 2, 3, 4}
    assert (splits["repeat_0"] != splits["repeat_1"]).any()


def test_folds_hold_out_each_development_sample_once_per_repeat() -> None:
    splits = make_splits(tumours_and_normals(), params())
    folds = cv_folds(splits)
    assert [fold.name for fold in folds[:6]] == ["r0f0", "r0f1", "r0f2", "r0f3", "r0f4", "r1f0"]
    final = final_fold(splits)
    assert (final.name, final.repeat, final.fold) == ("final", -1, -1)
    for repeat in (0, 1):
        held_out = np.concatenate([fold.held_out for fold in folds if fold.repeat == repeat])
        np.testing.assert_array_equal(np.sort(held_out), final.train)
    for fold in folds:
        np.testing.assert_array_equal(
            np.sort(np.concatenate([fold.train, fold.held_out])), final.train
        )


@few_examples
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 5), data=st.data())
def test_no_patient_crosses_and_every_class_is_on_both_sides(
    seed: int, n_classes: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    n = 40 * n_classes
    patients = np.array([f"p{i}" for i in rng.integers(0, n, n)])
    y = np.arange(n) % n_classes
    cohort = labelled(y.tolist(), patients.tolist())
    for fold in all_folds(make_splits(cohort, params(seed=seed, repeats=1))):
        assert not set(patients[fold.train]) & set(patients[fold.held_out])
        assert set(y[fold.train]) == set(y[fold.held_out]) == set(range(n_classes))


@pytest.mark.parametrize("fraction", [0.15, 0.25, 0.3, 0.4, 0.6])
def test_every_class_is_shared_out_as_asked(fraction: float) -> None:
    cohort = tumours_and_normals(400, 60)
    splits = make_splits(cohort, params(test_fraction=fraction))
    y, final = cohort.y, final_fold(splits)
    for label in (0, 1):
        size = (y == label).sum()
        assert abs((y[final.held_out] == label).sum() / size - fraction) < 0.03
        left = (y[final.train] == label).sum()
        for fold in cv_folds(splits):
            assert abs((y[fold.held_out] == label).sum() - left / 5) <= max(2, 0.03 * left)


def test_whole_sites_are_held_out() -> None:
    cohort = tumours_and_normals()
    sites = cohort.samples["site"].to_numpy()
    splits = make_splits(cohort, params(group_by="site", folds=3))
    for fold in all_folds(splits):
        assert not set(sites[fold.train]) & set(sites[fold.held_out])
        assert len(set(cohort.y[fold.held_out])) == 2


def test_the_seed_decides_and_the_order_of_samples_does_not() -> None:
    cohort = tumours_and_normals()
    splits = make_splits(cohort, params())
    pd.testing.assert_frame_equal(splits, make_splits(cohort, params()))
    shuffled = cohort.take(np.random.default_rng(0).permutation(len(splits)))
    pd.testing.assert_frame_equal(
        splits.set_index("sample").sort_index(),
        make_splits(shuffled, params()).set_index("sample").sort_index(),
    )
    other = make_splits(cohort, params(seed=2))
    assert (other["part"] != splits["part"]).any()


def test_too_few_patients_says_how_many_are_needed() -> None:
    cohort = labelled([0] * 5 + [1] * 40, [f"p{i}" for i in range(45)])
    with pytest.raises(LabelError, match=r"class 'c0' has 5 patients, but .* at least 6"):
        make_splits(cohort, params())
    with pytest.raises(LabelError, match=r"class 'c0' has 3 patients, .* beside the test set"):
        make_splits(cohort, params(folds=4, test_fraction=0.4))


def test_many_samples_of_one_patient_count_once() -> None:
    cohort = labelled([0] * 30 + [1] * 40, ["same"] * 30 + [f"p{i}" for i in range(40)])
    with pytest.raises(LabelError, match="class 'c0' has 1 patients"):
        make_splits(cohort, params())


def test_sites_that_cannot_be_held_out_are_refused() -> None:
    patients, y, by_site = [f"p{i}" for i in range(40)], [0, 1] * 20, params(group_by="site")
    sites = [f"site{i % 10}" for i in range(40)]
    unknown = labelled(y, patients, [*sites[:3], "", *sites[4:]])
    with pytest.raises(LabelError, match=r"1 of 40 samples have no site .* s0003"):
        make_splits(unknown, by_site)
    moved = labelled(y, ["p0", *patients[:39]], sites)
    with pytest.raises(LabelError, match="patient p0 has samples from more than one site"):
        make_splits(moved, by_site)
    three_sites = labelled(y, patients, [f"site{i % 3}" for i in range(40)])
    with pytest.raises(LabelError, match=r"class 'c0' has 3 sites, but .* at least 6"):
        make_splits(three_sites, by_site)


@few_examples
@given(seed=st.integers(0, 1_000), fraction=st.sampled_from([0.1, 0.15, 0.2, 0.5]))
def test_inner_split_is_grouped_and_stratified(seed: int, fraction: float) -> None:
    cohort = tumours_and_normals(200, 60)
    y, patients = cohort.y, cohort.patients
    fit, validation = inner_split(y, patients, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([fit, validation])), np.arange(len(y)))
    assert not set(patients[fit]) & set(patients[validation])
    for label in (0, 1):
        assert abs((y[validation] == label).sum() / (y == label).sum() - fraction) < 0.05
    again = inner_split(y, patients, fraction, seed)
    np.testing.assert_array_equal(validation, again[1])


def test_inner_split_works_with_two_patients_per_class_but_not_with_one() -> None:
    patients = np.array(["a", "b", "c", "d"])
    fit, validation = inner_split(np.array([0, 0, 1, 1]), patients, 0.15, 1)
    assert len(fit) == len(validation) == 2
    with pytest.raises(LabelError, match="at least 2"):
        inner_split(np.array([0, 1, 1, 1]), patients, 0.15, 1)


def test_leakage_names_the_patients() -> None:
    patients = np.array(["a", "b", "a", "c"])
    assert_disjoint(patients, np.array([0, 2]), np.array([1, 3]))
    with pytest.raises(LeakageError, match="1 patients are both in training and held out: a"):
        assert_disjoint(patients, np.array([0, 1]), np.array([2, 3]))
