"""The tidy tables: their facts, worked out by hand, and what they must not depend on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.core.params import CHANNELS
from oncopixel.quality.facts import cramers_v, likeness, make_tables


@pytest.fixture
def cohort() -> Cohort:
    """Two patients with tumour and normal, four genes; copy number was never measured."""
    names = ["TCGA-05-0001-01A", "TCGA-05-0002-01A", "TCGA-05-0001-11A", "TCGA-05-0002-11A"]
    samples = pd.DataFrame(
        {
            "patient": ["TCGA-05-0001", "TCGA-05-0002"] * 2,
            "sample_type": ["01", "01", "11", ""],
            "batch": ["a", "a", "b", "b"],
            "site": "",
            "label": ["tumour", "tumour", "normal", "tumour"],
        },
        index=names,
    )
    genes = pd.DataFrame(
        {"ensembl_id": "", "chromosome": ["1", "1", "", "X"], "start": 1}, index=list("ABCD")
    )
    expression = [
        [0, 100, 3, np.nan],
        [5, 200, 3, np.nan],
        [0, 300, 3, np.nan],
        [5, 200, 3, np.nan],
    ]
    mutation = [[0, 1, 0, 0], [0, np.inf, -1, 0], [np.nan] * 4, [0, 0, 0, 0]]
    cohort = build_cohort(
        expression=pd.DataFrame(expression, index=names, columns=genes.index, dtype=float),
        copy_number=None,
        mutation=pd.DataFrame(mutation, index=names, columns=genes.index, dtype=float),
        samples=samples, genes=genes, scale="rsem", origin="A test.", notes=[],
    )  # fmt: skip
    cohort.data.uns["classes"] = np.array(["normal", "tumour"], dtype=object)
    return cohort


def test_one_row_per_sample_gene_and_class_and_one_for_the_cohort(cohort: Cohort) -> None:
    tables = make_tables(cohort, list(CHANNELS))
    assert {name: len(table) for name, table in tables.items()} == {
        "cohort": 1, "classes": 2, "samples": 4, "genes": 4
    }  # fmt: skip
    assert tables["classes"].to_dict("list") == {
        "class": ["normal", "tumour"], "samples": [1, 3], "patients": [1, 2]
    }  # fmt: skip


def test_facts_of_samples(cohort: Cohort) -> None:
    samples = make_tables(cohort, list(CHANNELS))["samples"]
    assert samples["expression_library_size"].tolist() == [103, 208, 303, 208]
    assert samples["expression_zero_fraction"].tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0])
    assert samples["mutation_missing"].tolist() == [0, 0, 1, 0]
    assert samples["copy_number_missing"].tolist() == [1, 1, 1, 1]
    assert samples["type_agrees_with_barcode"].tolist() == [True, True, True, None]
    assert samples["label_agrees_with_type"].tolist() == [True, True, True, False]
    assert not samples["shares_profile"].any()  # rows 1 and 3 are equal, but of one patient


def test_facts_of_genes(cohort: Cohort) -> None:
    genes = make_tables(cohort, list(CHANNELS))["genes"].set_index("gene")
    assert genes["has_position"].tolist() == [True, True, False, True]
    assert genes["expression_range"].tolist() == [5, 200, 0, 0]
    assert genes["mutation_infinite"].tolist() == [0, 1, 0, 0]
    assert genes["mutation_min"].tolist() == [0, 0, -1, 0]
    assert genes["mutation_max"].tolist() == [0, 1, 0, 0]
    assert np.isnan(genes.loc["D", ["expression_min", "expression_max"]].to_numpy(float)).all()


def test_facts_of_the_cohort(cohort: Cohort) -> None:
    facts = make_tables(cohort, list(CHANNELS))["cohort"].iloc[0]
    assert (facts["samples"], facts["patients"], facts["genes"], facts["classes"]) == (4, 2, 4, 2)
    assert (facts["mutation_missing"], facts["mutation_missing_gap"]) == (0.25, 1)
    assert np.isnan(facts["site_label_v"])
    assert (facts["mutation_range"], np.isnan(facts["copy_number_range"])) == (2, True)
    assert not facts["looks_logged"]


def test_sizes_on_the_log_scale_are_those_of_the_values_behind_it(cohort: Cohort) -> None:
    plain = make_tables(cohort, ["expression"])["samples"]
    cohort.data.uns["scale"] = "log2"
    values = cohort.layer("expression")
    values[:] = np.log2(values + 1)
    logged = make_tables(cohort, ["expression"])["samples"]
    for name in ("expression_library_size", "expression_zero_fraction", "library_size_deviation"):
        np.testing.assert_allclose(logged[name], plain[name], rtol=1e-5)


def test_tables_do_not_depend_on_the_block_size(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_tables(cohort, list(CHANNELS))
    for rows in (1, 3):
        monkeypatch.setattr("oncopixel.quality.facts.BLOCK_VALUES", rows * 4)
        for name, table in make_tables(cohort, list(CHANNELS)).items():
            pd.testing.assert_frame_equal(table, whole[name])


def test_cramers_v_is_corrected_for_bias() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 20, 300).astype(str)
    b = rng.integers(0, 2, 300).astype(str)
    assert cramers_v(a, b) < 0.1  # 0.25 without the correction
    assert cramers_v(b, b) == pytest.approx(1)
    assert cramers_v(np.full(300, "x"), b) == 0
    assert cramers_v(np.full(300, ""), b) == 0


def test_genes_that_nobody_measured_are_not_missing(cohort: Cohort) -> None:
    """A mutation panel covers few of the genes; what it does not cover says nothing of samples."""
    values = np.full((4, 4), np.nan, np.float32)
    values[:3, :2] = [[0, 1], [1, 0], [0, 0]]
    cohort.data.layers["mutation"] = values
    samples = make_tables(cohort, ["expression", "mutation"])["samples"]
    assert samples["mutation_missing"].tolist() == [0, 0, 0, 1]
    assert samples["expression_missing"].tolist() == [0, 0, 0, 0]


def labelled(
    values: np.ndarray, *, unplaced: int = 0, scale: str = "log2", channel: str = "expression"
) -> Cohort:
    """Two classes in turn; the last genes have no known place."""
    n, g = values.shape
    names, genes = [f"S{i}" for i in range(n)], [f"G{i}" for i in range(g)]
    obs = pd.DataFrame(
        {"patient": [f"P{i}" for i in range(n)], "label": ["a", "b"] * (n // 2)}, names
    )
    var = pd.DataFrame({"ensembl_id": "", "chromosome": "1", "start": 1}, genes)
    var.iloc[g - unplaced :, 1] = ""
    frames = {"expression": pd.DataFrame(values, names, genes)}
    frames[channel] = frames["expression"]
    cohort = build_cohort(samples=obs, genes=var, scale=scale, origin="A test.", **frames)
    cohort.data.uns["classes"] = np.array(["a", "b"], dtype=object)
    return cohort


def noise(n: int, g: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(8, 1, size=(n, g))


def separation(cohort: Cohort, channel: str = "expression") -> np.ndarray:
    return make_tables(cohort, [channel])["genes"][f"{channel}_separation"].to_numpy(float)


SECOND = np.arange(40) % 2
"""Whether a sample is of the second class."""


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_unplaced_gene_that_separates_the_classes_is_found(channel: str, sign: int) -> None:
    values = noise(40, 50)
    values[:, -1] += sign * 9 * SECOND
    values[3, -1] = np.nan
    found = separation(labelled(values, unplaced=3, channel=channel), channel)
    assert np.isnan(found[:-3]).all()
    assert (found[-3:-1] < 0.95).all()
    assert found[-1] == 1


def test_an_auc_is_that_of_scikit_learn() -> None:
    values = np.round(noise(40, 10))
    values[:, -3:] += SECOND[:, np.newaxis]
    expected = [roc_auc_score(SECOND, values[:, gene]) for gene in (-3, -2, -1)]
    found = separation(labelled(values, unplaced=3))
    np.testing.assert_allclose(found[-3:], np.maximum(expected, 1 - np.array(expected)))


def test_an_unplaced_gene_may_separate_the_classes_where_placed_genes_do() -> None:
    values = noise(40, 60)
    values[:, 30:] += 9 * SECOND[:, np.newaxis]
    assert np.isnan(separation(labelled(values, unplaced=10))).all()


def test_in_a_species_without_places_a_copy_of_the_class_is_found_all_the_same() -> None:
    values = noise(40, 60)
    values[:, 30:] += 9 * SECOND[:, np.newaxis]
    values[:, -1] = SECOND
    found = separation(labelled(values, unplaced=60))
    assert np.flatnonzero(~np.isnan(found)).tolist() == [59]


def same(other: np.ndarray, own: np.ndarray, **more: str) -> tuple[list, list]:
    told = likeness(labelled(other, **more), labelled(own))
    return told["known_profile"].tolist(), told["near_profile"].tolist()


def test_likeness_of_patients_goes_by_id_and_barcode() -> None:
    own, other = labelled(noise(6, 20)), labelled(noise(6, 20, 1))
    own.data.obs["patient"] = ["TCGA-05-0001", "b ", "C", "1", "2", "3"]
    own.data.obs_names = ["x", "y", "z", "TCGA-05-0002-01A-11R", "v", "w"]
    other.data.obs["patient"] = ["tcga.05.0001", "B", "TCGA-05-0003", "4", "5", "6"]
    other.data.obs_names = ["X", "Y", "Z", "TCGA-05-0002-11", "V", "W"]
    assert likeness(other, own)["known_patient"].tolist() == [True, True, False, True, False, False]


def test_likeness_of_profiles() -> None:
    """Of six samples: the same, on another scale, rounded, with a repeat, and two of their own."""
    own = noise(40, 150)
    other = noise(6, 150, seed=1)
    other[0] = own[5]
    other[2] = own[7].round(2)
    assert same(other, own) == ([True] + [False] * 5, [False, False, True, False, False, False])
    assert same(2**other - 1, own, scale="rsem")[0][0] is True


def test_likeness_of_profiles_that_were_standardised_since() -> None:
    own = noise(40, 150)
    other = (own[:30] - own[:30].mean(axis=0)) / own[:30].std(axis=0)
    assert same(other, own) == ([False] * 30, [True] * 30)


def test_likeness_needs_values_that_tell_samples_apart() -> None:
    own, other = np.zeros((6, 20)), np.zeros((6, 20))
    assert same(other, own)[0] == [False] * 6
    other[1] = own[0] = np.arange(20)
    assert same(other, own)[0] == [False, True, *[False] * 4]
    assert same(other, own)[1] == [None] * 6
    other[:, 3:] = np.nan
    assert same(other, own) == ([None] * 6, [None] * 6)


def test_likeness_of_profiles_with_missing_values() -> None:
    """Every gene is missing somewhere, and the copies are missing other values."""
    rng = np.random.default_rng(2)
    own, other = noise(60, 150), noise(6, 150, seed=1)
    other[1], other[4] = own[9], own[8] + rng.normal(0, 0.01, 150)
    for values, share in ((own, 0.1), (other, 0.05)):
        values[rng.random(values.shape) < share] = np.nan
    assert same(other, own)[0] == [False, True, *[False] * 4]


def test_likeness_of_a_sample_without_values_is_not_known() -> None:
    own, other = noise(6, 120), noise(6, 120, seed=1)
    other[0], other[1] = np.nan, own[3]
    assert same(other, own)[0] == [None, True, *[False] * 4]
