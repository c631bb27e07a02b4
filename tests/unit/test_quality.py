"""The tidy tables: their facts, worked out by hand, and what they must not depend on."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.cohort import Cohort, build_cohort
from oncopixel.params import CHANNELS
from oncopixel.quality import cramers_v, make_tables


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
    assert genes["expression_spread"].tolist() == [5, 200, 0, 0]
    assert genes["mutation_infinite"].tolist() == [0, 1, 0, 0]
    assert genes["mutation_min"].tolist() == [0, 0, -1, 0]
    assert genes["mutation_max"].tolist() == [0, 1, 0, 0]
    assert np.isnan(genes.loc["D", ["expression_min", "expression_max"]].to_numpy(float)).all()


def test_facts_of_the_cohort(cohort: Cohort) -> None:
    facts = make_tables(cohort, list(CHANNELS))["cohort"].iloc[0]
    assert (facts["samples"], facts["patients"], facts["genes"], facts["classes"]) == (4, 2, 4, 2)
    assert (facts["mutation_missing"], facts["mutation_missing_gap"]) == (0.25, 1)
    assert facts["site_label_v"] == 0
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
        monkeypatch.setattr("oncopixel.quality.BLOCK_VALUES", rows * 4)
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
