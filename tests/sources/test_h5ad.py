"""The source `h5ad`: cohorts of our own, ordinary AnnData, and what it refuses."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from oncopixel.cohort.contract import Cohort, build_cohort, write_cohort
from oncopixel.cohort.genes import annotate
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.errors import SourceError
from oncopixel.core.params import CohortParams, H5adSource
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
        "expression: layer expression is used; there are also X",
        "expression: genes found: 1 by Ensembl id, 1 by previous symbol, 1 by alias",
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
        ["neither a layer `expression` nor X nor raw"],
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


def scanpy(folder: Path, x: object, told: object, **more: object) -> None:
    """An AnnData after scanpy's `log1p`."""
    data = anndata.AnnData(X=x, obs=OBS.copy(), var=pd.DataFrame(index=GENES))
    raw = more.pop("raw", None)
    if raw is not None:
        data.raw = anndata.AnnData(X=raw, obs=OBS.copy(), var=pd.DataFrame(index=GENES))
    for name, layer in more.items():
        data.layers[name] = layer
    data.uns["log1p"] = told
    data.write_h5ad(folder / "x.h5ad")


COUNTS = VALUES + 0.5
LN, LOG2 = np.log1p(COUNTS), np.log2(COUNTS + 1)


def values(folder: Path, **entry: object) -> tuple[np.ndarray, str]:
    cohort = read(folder, patient_column="donor", **entry)
    assert cohort.scale == "log2"
    return cohort.layer("expression"), "\n".join(cohort.data.uns["notes"])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("entry", [{}, {"scale": "log2"}])
@pytest.mark.parametrize(
    ("told", "base"),
    [
        ({}, np.e),
        ({"base": None}, np.e),
        ({"base": 10}, 10),
        ({"base": 2}, 2),
        ({"base": np.e}, np.e),
    ],
)
def test_logarithms_of_scanpy_become_log2(
    tmp_path: Path, form, entry: dict, told: dict, base: float
) -> None:
    logs = (np.log(COUNTS + 1) / np.log(base)).astype(np.float32)
    scanpy(tmp_path, form(logs), told, counts=COUNTS)
    found, said = values(tmp_path, **entry)
    np.testing.assert_allclose(found, LOG2, rtol=1e-5)
    assert ("converted to log2(x + 1)" in said) == (base != 2)
    assert "expression: X is used; there are also layer counts" in said


def test_the_expression_is_also_in_raw(tmp_path: Path) -> None:
    scanpy(tmp_path, None, {}, raw=LN)
    found, said = values(tmp_path)
    np.testing.assert_allclose(found, LOG2, rtol=1e-5)
    scanpy(tmp_path, LN, {}, raw=LN * 2)
    found, said = values(tmp_path)
    np.testing.assert_allclose(found, LOG2, rtol=1e-5)
    assert "X is used; there are also raw" in said


def test_a_layer_is_converted_as_x_tells(tmp_path: Path) -> None:
    scanpy(tmp_path, LN, {}, expression=LN)
    np.testing.assert_allclose(values(tmp_path)[0], LOG2, rtol=1e-5)
    scanpy(tmp_path, LN, {}, expression=LOG2)
    np.testing.assert_allclose(values(tmp_path)[0], LOG2, rtol=1e-5)
    scanpy(tmp_path, None, {}, expression=LN)
    np.testing.assert_allclose(values(tmp_path)[0], LOG2, rtol=1e-5)


def test_counts_stay_counts_whatever_the_file_tells(tmp_path: Path) -> None:
    scanpy(tmp_path, VALUES, {})
    cohort = read(tmp_path, scale="counts", patient_column="donor")
    np.testing.assert_array_equal(cohort.layer("expression"), VALUES)
    scanpy(tmp_path, COUNTS * 100, {})
    cohort = read(tmp_path, scale="tpm", patient_column="donor")
    np.testing.assert_array_equal(cohort.layer("expression"), COUNTS * 100)


CONTRADICTIONS = {
    "another layer": ({"x": LN, "expression": LN * 3}, {}, ["but X holds others"]),
    "scaled": ({"x": LN - 2}, {}, ["some are negative", "`raw`"]),
    "counts as logs": ({"x": VALUES}, {"scale": "log2"}, ["whole numbers", "Set `scale`"]),
    "logs as tpm": ({"x": LN}, {"scale": "tpm"}, ["says `scale: tpm`", "Remove `scale`"]),
    "an odd base": ({"x": LN, "told": {"base": "e"}}, {}, ["base 'e', which is none"]),
    "no base": ({"x": LN, "told": {"base": 1}}, {}, ["base 1, which is none"]),
    "infinite base": ({"x": LN, "told": {"base": np.inf}}, {}, ["which is none"]),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_what_the_file_and_the_entry_say_apart_is_refused(tmp_path: Path, case: str) -> None:
    content, entry, parts = CONTRADICTIONS[case]
    scanpy(tmp_path, **{"told": {}} | content)
    with pytest.raises(SourceError) as caught:
        read(tmp_path, **{"patient_column": "donor"} | entry)
    for part in ["x.h5ad", *parts]:
        assert part in str(caught.value)


def test_a_cohort_of_ours_is_checked_like_any_other(tmp_path: Path) -> None:
    data = own().data
    del data.uns["notes"]
    data.obs["patient"] = [100, 7, 7, 8]
    data.X = None
    data.write_h5ad(tmp_path / "x.h5ad")
    cohort = read(tmp_path)
    assert cohort.patients.tolist() == ["100", "7", "7", "8"]
    assert list(cohort.data.uns["notes"]) == []
    assert cohort.data.uns["origin"] == "a study"
    for layer, value, said in (
        ("mutation", 7.0, "not from 0 to 1"),
        ("copy_number", np.inf, "infinite"),
        ("expression", 99.0, "too large"),
    ):
        data = own().data
        data.layers[layer] = np.where(VALUES == 1, np.float32(value), 0.5)
        data.write_h5ad(tmp_path / "x.h5ad")
        with pytest.raises(SourceError, match=said):
            read(tmp_path)


def test_repeated_samples_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not unique"):
        ordinary(tmp_path, obs=OBS.set_axis(["S1", "S1", "S2", "S3"]))
    with pytest.raises(SourceError, match="1 samples occur more than once: S1"):
        read(tmp_path, scale="counts", patient_column="donor")


def test_two_scales_are_refused(tmp_path: Path) -> None:
    write_cohort(tmp_path / "x.h5ad", own())
    with pytest.raises(SourceError, match=r"its scale is log2, params\.yaml says counts"):
        read(tmp_path, scale="counts")
