"""The source `h5ad`: cohorts of our own, ordinary AnnData, and what it refuses."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from oncopixel.cohort import Cohort, build_cohort, write_cohort
from oncopixel.errors import SourceError
from oncopixel.genes import annotate
from oncopixel.labels import label_cohort
from oncopixel.params import CohortParams, H5adSource
from oncopixel.sources import load

GENES = ["TP53", "KRAS", "EGFR"]
SAMPLES = ["S1", "S2", "S3", "S4"]
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
OBS = pd.DataFrame({"donor": ["P1", "P1", "P2", "P3"], "arm": list("aabb")}, SAMPLES)


def ordinary(folder: Path, x: object = VALUES, obs: pd.DataFrame = OBS, **more: object) -> None:
    data = anndata.AnnData(X=x, obs=obs.copy(), var=pd.DataFrame(index=more.pop("genes", GENES)))
    for name, layer in more.items():
        data.layers[name] = layer
    data.write_h5ad(folder / "x.h5ad")


def own(truth: pd.DataFrame | None = None) -> Cohort:
    obs = OBS.assign(patient=OBS["donor"], sample_type="01")
    return build_cohort(
        pd.DataFrame(VALUES, SAMPLES, GENES), obs, annotate(GENES), scale="log2",
        origin="a study", notes=["a note"], truth=truth,
    )  # fmt: skip


def read(folder: Path, **entry: object) -> Cohort:
    return load(H5adSource.model_validate({"kind": "h5ad", "path": "x.h5ad"} | entry), folder)[0]


def test_a_cohort_of_ours_comes_back_without_its_label(tmp_path: Path) -> None:
    truth = pd.DataFrame({"gene": ["KRAS"], "channel": ["expression"], "effect": [1.0]})
    params = CohortParams.model_validate(
        {"source": {"kind": "bundled"}, "inputs": "x", "label": "column:arm", "positive": "b"}
    )
    write_cohort(tmp_path / "x.h5ad", label_cohort(own(truth), params))
    cohort = read(tmp_path)
    assert cohort.scale == "log2"
    assert cohort.data.uns["origin"] == "a study"
    assert list(cohort.data.uns["notes"]) == ["a note"]
    assert cohort.truth is not None
    assert cohort.truth["gene"].tolist() == ["KRAS"]
    assert "label" not in cohort.samples
    assert not {"classes", "label_rule"} & set(cohort.data.uns)
    np.testing.assert_array_equal(cohort.layer("expression"), VALUES)
    assert label_cohort(cohort, params).y.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_an_ordinary_anndata_dense_or_sparse(tmp_path: Path, form) -> None:
    ordinary(tmp_path, form(VALUES), OBS.astype("category"))
    cohort = read(tmp_path, scale="counts", patient_column="donor")
    assert cohort.patients.tolist() == ["P1", "P1", "P2", "P3"]
    assert cohort.samples["arm"].tolist() == list("aabb")
    assert cohort.genes["chromosome"].tolist() == ["17", "12", "7"]
    np.testing.assert_array_equal(cohort.layer("expression"), VALUES)


def test_an_ordinary_anndata_may_have_other_names_of_the_genes(tmp_path: Path) -> None:
    ordinary(tmp_path, genes=["LFS1", "KRAS2", "ENSG00000146648.2"], expression=VALUES)
    cohort = read(tmp_path, scale="counts", patient_column="donor")
    assert cohort.genes.index.tolist() == ["TP53", "KRAS", "EGFR"]
    assert list(cohort.data.uns["notes"]) == [
        "expression: genes found: 1 by Ensembl id, 1 by previous symbol, 1 by alias"
    ]


def test_layers_and_repeated_gene_names_of_an_ordinary_anndata(tmp_path: Path) -> None:
    mutated = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1]])
    with pytest.warns(UserWarning, match="not unique"):
        ordinary(tmp_path, genes=["TP53", "KRAS", "KRAS"], expression=VALUES * 2, mutation=mutated)
    cohort = read(tmp_path, scale="counts", patient_column="donor")
    assert cohort.channels == ["expression", "mutation"]
    np.testing.assert_array_equal(cohort.layer("expression"), VALUES[:, [0, 2]] * 2)
    assert any("1 entries dropped" in note for note in cohort.data.uns["notes"])


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"x\.h5ad does not exist"):
        read(tmp_path)
    (tmp_path / "x.h5ad").write_bytes(b"\x80\x04 a pickle is never opened")
    with pytest.raises(SourceError, match=r"no readable \.h5ad file"):
        read(tmp_path, scale="counts")
    ordinary(tmp_path)
    whole = (tmp_path / "x.h5ad").read_bytes()
    (tmp_path / "x.h5ad").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="Copy it again"):
        read(tmp_path, scale="counts")


NAN = np.full((4, 3), np.nan, dtype=np.float32)
BAD = {
    "no scale": ({}, {"patient_column": "donor"}, ["does not say the scale", "counts, rsem"]),
    "no patient": (
        {}, {"scale": "counts"}, ["4 of 4 samples have no patient: S1", "patient_column"],
    ),
    "no such patient column": (
        {}, {"scale": "counts", "patient_column": "doner"}, ["(obs)", "did you mean donor?"],
    ),
    "no values": (
        {"x": None}, {"scale": "counts", "patient_column": "donor"},
        ["neither a layer `expression` nor X"],
    ),
    "only NaN": (
        {"x": NAN}, {"scale": "counts", "patient_column": "donor"}, ["(X) holds no number"],
    ),
    "log-scaled counts": (
        {"x": VALUES / 7}, {"scale": "counts", "patient_column": "donor"},
        ["(X): gene 'KRAS', sample 'S1'", "not whole"],
    ),
    "mutation counts": (
        {"mutation": VALUES}, {"scale": "counts", "patient_column": "donor"},
        ["(layer mutation)", "not from 0 to 1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_anndata_is_refused_with_the_remedy(tmp_path: Path, case: str) -> None:
    content, entry, parts = BAD[case]
    ordinary(tmp_path, **content)
    with pytest.raises(SourceError) as caught:
        read(tmp_path, **entry)
    for part in ["x.h5ad", *parts]:
        assert part in str(caught.value)


def test_repeated_samples_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not unique"):
        ordinary(tmp_path, obs=OBS.set_axis(["S1", "S1", "S2", "S3"]))
    with pytest.raises(SourceError, match="1 samples occur more than once: S1"):
        read(tmp_path, scale="counts", patient_column="donor")


def test_two_scales_are_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path / "x.h5ad", own())
    with pytest.raises(SourceError, match=r"its scale is log2, params\.yaml says counts"):
        read(tmp_path, scale="counts")
