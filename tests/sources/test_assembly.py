"""Matrices and a sheet put together: ids and genes that R or a spreadsheet changed; losses."""

import unicodedata
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncopixel.cohort.barcodes import barcode, pick_aliquots
from oncopixel.cohort.contract import Cohort
from oncopixel.cohort.gene_keys import make_names
from oncopixel.cohort.genes import table
from oncopixel.cohort.labels import label_cohort
from oncopixel.cohort.samples import match_samples
from oncopixel.core.errors import ParamsError, SourceError
from oncopixel.core.params import CohortParams, Params, parse_params
from oncopixel.core.project import Paths
from oncopixel.quality.checks import check_cohort
from oncopixel.sources import load
from oncopixel.stages import ingest

N = 40
SAMPLES = [f"{20 + i}RV-{i}" if i % 3 == 0 else f"CELL {i}" for i in range(N)]
GENES = ["HLA-A", "HLA-DRA", "NKX2-1", "5S_rRNA", "MT-CO1", *table().index[:25]]
CHANGED = [make_names(name) for name in GENES]
RNG = np.random.default_rng(0)
LEVELS = RNG.normal(RNG.uniform(4, 12, len(GENES)), 0.5, (N, len(GENES))).astype(np.float32)
RATIOS = RNG.normal(0, 0.5, (N, len(GENES))).astype(np.float32)


def frame(values: np.ndarray, samples: list[str], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, pd.Index(samples, name="id"), names)


def write(folder: Path, samples: list[str], names: list[str], kind: str) -> dict:
    """A cohort whose expression has these names, and all else the true ones; its source."""
    sheet = pd.DataFrame({"patient": [f"P{i}" for i in range(N)], "arm": ["a", "b"] * (N // 2)})
    sheet.index = pd.Index(SAMPLES, name="sample")
    expression, ratios = frame(LEVELS, samples, names), frame(RATIOS, SAMPLES, GENES)
    sheet.to_csv(folder / "s.csv")
    sheet.to_csv(folder / "s.txt", sep="\t")
    if kind == "parquet":
        expression.to_parquet(folder / "x.parquet")
        ratios.to_parquet(folder / "c.parquet")
    else:
        expression.to_csv(folder / "x.csv")
        ratios.to_csv(folder / "c.csv")
        expression.T.to_csv(folder / "x", sep="\t")
        ratios.T.to_csv(folder / "c", sep="\t")
    if kind == "h5ad":
        data = anndata.AnnData(LEVELS, sheet.set_axis(SAMPLES), pd.DataFrame(index=names))
        data.layers["copy_number"] = RATIOS
        data.write_h5ad(folder / "x.h5ad")
    return {
        "files": {"kind": "files", "expression": "x.csv", "copy_number": "c.csv",
                  "samples": "s.csv", "orientation": "samples_by_genes", "scale": "log2"},
        "parquet": {"kind": "files", "expression": "x.parquet", "copy_number": "c.parquet",
                    "samples": "s.csv", "orientation": "samples_by_genes", "scale": "log2"},
        "xena": {"kind": "xena", "expression": "x", "copy_number": "c", "samples": "s.txt"},
        "h5ad": {"kind": "h5ad", "path": "x.h5ad", "scale": "log2"},
    }[kind]  # fmt: skip


def r_name(name: str) -> str:
    return make_names(unicodedata.normalize("NFC", name))


def read(folder: Path, source: dict) -> Cohort:
    entry = {"source": source, "inputs": "x", "label": "column:arm", "positive": "b"}
    return load(CohortParams.model_validate(entry).source, folder)[0]


def notes(cohort: Cohort) -> str:
    return "\n".join(cohort.data.uns["notes"])


@pytest.mark.parametrize("kind", ["files", "parquet", "xena", "h5ad"])
def test_a_table_that_went_through_r_gives_the_same_cohort(tmp_path: Path, kind: str) -> None:
    mangled = SAMPLES if kind == "h5ad" else list(map(make_names, SAMPLES))
    cohort = read(tmp_path, write(tmp_path, mangled, CHANGED, kind))
    assert cohort.samples.index.tolist() == mangled
    assert cohort.patients.tolist() == [f"P{i}" for i in range(N)]
    assert cohort.genes.index.tolist() == GENES
    np.testing.assert_allclose(cohort.layer("copy_number"), RATIOS, atol=1e-6)
    assert "5 genes matched whose names R had changed: 5S_rRNA" not in notes(cohort)
    assert "genes matched whose names R had changed: HLA.A is HLA-A" in notes(cohort)
    if kind != "h5ad":
        assert f"sample sheet: {N} samples matched whose ids R or macOS had changed" in notes(
            cohort
        )
    assert not any(cohort.data.uns["losses"].values())


def checked(cohort: Cohort, raw_params: dict) -> list[str]:
    labelled = label_cohort(cohort, CohortParams.model_validate(
        {"source": {"kind": "bundled"}, "inputs": "x", "label": "column:arm", "positive": "b"}
    ))  # fmt: skip
    params: Params = parse_params(raw_params)
    channels = labelled.channels
    return check_cohort(labelled, params.validation, channels=channels, folds=5).warnings


def test_what_finds_no_partner_above_a_few_per_cent_is_a_warning(
    tmp_path: Path, raw_params: dict
) -> None:
    source = write(tmp_path, SAMPLES, GENES, "files")
    lost = [f"other {name}" if i < 4 else name for i, name in enumerate(SAMPLES)]
    names = [f"MYGENE{i}" if i < 6 else name for i, name in enumerate(GENES)]
    frame(LEVELS, lost, GENES).to_csv(tmp_path / "x.csv")
    frame(RATIOS, lost, names).to_csv(tmp_path / "c.csv")
    cohort = read(tmp_path, source)
    assert cohort.data.uns["losses"] == pytest.approx(
        {"samples": 0.1, "expression_genes": 0, "copy_number_samples": 0, "copy_number_genes": 0.2}
    )
    found = "\n".join(checked(cohort, raw_params))
    assert "samples of the expression matrix have no row in the sample sheet" in found
    assert "found 10.0%" in found
    assert "At most 5% of the genes of expression or copy number" in found
    assert "expression rows name no gene" not in found


@pytest.mark.parametrize("stored", ["x", {"samples": "x"}, {"mine": 0.9}, None])
def test_a_file_with_other_losses_is_checked_like_any_other(
    tmp_path: Path, raw_params: dict, stored: object
) -> None:
    cohort = read(tmp_path, write(tmp_path, SAMPLES, GENES, "files"))
    cohort.data.uns["losses"] = stored
    assert "partner" not in "\n".join(checked(cohort, raw_params))


def test_a_part_of_a_larger_study_loses_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, SAMPLES, GENES, "files")
    frame(LEVELS[:10], SAMPLES[:10], GENES).to_csv(tmp_path / "x.csv")
    assert read(tmp_path, source).data.uns["losses"]["samples"] == 0


def test_samples_without_a_row_in_the_sheet_are_lost(tmp_path: Path) -> None:
    source = write(tmp_path, SAMPLES, GENES, "files")
    pd.read_csv(tmp_path / "s.csv").iloc[:10].to_csv(tmp_path / "s.csv", index=False)
    assert read(tmp_path, source).data.uns["losses"]["samples"] == 0.75


def test_words_of_the_sheet_that_nobody_knows_leave_the_type_to_the_barcodes(
    tmp_path: Path,
) -> None:
    names = [f"TCGA-AA-{1000 + i // 2}-{'01' if i % 2 else '11'}A-11R-A00A-07" for i in range(40)]
    words = ["Lymph node metastasis" if i % 2 else "Adjacent normal" for i in range(40)]
    source = write(tmp_path, names, GENES, "files") | {"copy_number": None}
    sheet = pd.DataFrame({"sample": names, "sample_type": words, "arm": ["a", "b"] * 20})
    sheet.to_csv(tmp_path / "s.csv", index=False)
    cohort = pick_aliquots(read(tmp_path, source))
    assert list(cohort.samples.index) == names
    assert "40 samples have a sample type that is not known" in str(cohort.data.uns["notes"])


def test_a_date_is_refused_in_every_channel(tmp_path: Path) -> None:
    source = write(tmp_path, SAMPLES, GENES, "files")
    names = ["1-Mar" if name == GENES[7] else name for name in GENES]
    frame(RATIOS, SAMPLES, names).to_csv(tmp_path / "c.csv")
    with pytest.raises(SourceError, match=r"c\.csv: the gene '1-Mar' is a date"):
        read(tmp_path, source)
    names[7] = "2-Sept"
    frame(LEVELS, SAMPLES, names).to_csv(tmp_path / "x.csv")
    frame(RATIOS, SAMPLES, names).to_csv(tmp_path / "c.csv")
    cohort = read(tmp_path, source)
    assert cohort.genes.index[7] == "SEPT2"
    assert not np.isnan(cohort.layer("copy_number")).any()


# Patients


@pytest.mark.parametrize("how", [{"patient_column": "sample"}, {"patients": "one_per_sample"}])
@pytest.mark.parametrize("kind", ["files", "xena", "h5ad"])
def test_a_sheet_without_patients_works(tmp_path: Path, kind: str, how: dict) -> None:
    source = write(tmp_path, SAMPLES, GENES, kind)
    for name, separator in (("s.csv", ","), ("s.txt", "\t")):
        sheet = pd.read_csv(tmp_path / name, sep=separator).drop(columns="patient")
        sheet.to_csv(tmp_path / name, sep=separator, index=False)
    if kind == "h5ad":
        data = anndata.read_h5ad(tmp_path / "x.h5ad")
        del data.obs["patient"]
        data.obs.index.name = "sample"
        data.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(SourceError, match="set `patients: one_per_sample`"):
        read(tmp_path, source)
    cohort = read(tmp_path, source | how)
    assert cohort.patients.tolist() == SAMPLES
    assert "sample_column" not in cohort.samples


def test_one_per_sample_does_not_overrule_what_is_known(tmp_path: Path, raw_params: dict) -> None:
    source = write(tmp_path, SAMPLES, GENES, "files") | {"patients": "one_per_sample"}
    with pytest.raises(SourceError, match="has a column `patient`, but"):
        read(tmp_path, source)
    coded = [f"TCGA-05-{i // 2:04}-{'01' if i % 2 else '11'}A" for i in range(N)]
    frame(LEVELS, coded, GENES).to_csv(tmp_path / "x.csv")
    frame(RATIOS, coded, GENES).to_csv(tmp_path / "c.csv")
    pd.DataFrame({"sample": coded, "arm": "a"}).to_csv(tmp_path / "s.csv", index=False)
    assert read(tmp_path, source).patients[:3].tolist() == [
        "TCGA-05-0000", "TCGA-05-0000", "TCGA-05-0001",
    ]  # fmt: skip
    entry = {"source": source | {"patient_column": "arm"}, "inputs": "x", "label": "column:arm"}
    with pytest.raises(ParamsError, match="exclude each other"):
        parse_params(raw_params | {"cohorts": {"mine": entry}})


def test_the_plate_is_the_batch_where_nothing_else_says_it(tmp_path: Path) -> None:
    source = write(tmp_path, SAMPLES, GENES, "files")
    coded = [f"TCGA-05-{i:04}-01A-11R-A27{i % 2}-07" for i in range(N)]
    frame(LEVELS, coded, GENES).to_csv(tmp_path / "x.csv")
    frame(RATIOS, coded, GENES).to_csv(tmp_path / "c.csv")
    sheet = pd.DataFrame({"sample": coded, "arm": ["a", "b"] * (N // 2)})
    sheet.to_csv(tmp_path / "s.csv", index=False)
    assert read(tmp_path, source).samples["batch"].tolist() == ["A270", "A271"] * (N // 2)
    sheet.assign(batch=["x"] + [""] * (N - 1)).to_csv(tmp_path / "s.csv", index=False)
    assert read(tmp_path, source).samples["batch"].tolist() == ["x"] + [""] * (N - 1)


# Scales


def two(
    tmp_path: Path, raw_params: dict, *, own: np.ndarray, external: np.ndarray, **more: str
) -> None:
    """`ingest` of a cohort and an external one with these values, declared as log2."""
    folder = tmp_path / "inputs"
    for name, values in (("own", own), ("external", external)):
        samples = [f"{name}-{i}" for i in range(N)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        frame(values, samples, GENES).to_csv(folder / name / "x.csv")
        sheet = pd.DataFrame({"sample": samples, "arm": ["a", "b"] * (N // 2)})
        sheet.to_csv(folder / name / "s.csv", index=False)

    def entry(name: str) -> dict:
        source = {
            "kind": "files",
            "expression": f"{name}/x.csv",
            "samples": f"{name}/s.csv",
            "scale": "log2",
            "orientation": "samples_by_genes",
            "patients": "one_per_sample",
        }
        return {"source": source, "label": "column:arm", "positive": "b"}  # fmt: skip

    mine = entry("own") | {"inputs": "inputs", "external": entry("external") | more}
    params = parse_params(raw_params | {"cohorts": {"mine": mine}})
    ingest.run(Paths(tmp_path, "mine"), params)


Z_SCORES = (LEVELS - LEVELS.mean(0)) / LEVELS.std(0)


def test_zscores_are_read_where_they_are_aligned_and_nowhere_else(
    tmp_path: Path, raw_params: dict
) -> None:
    two(tmp_path, raw_params, own=LEVELS, external=Z_SCORES, align="zscore")
    with pytest.raises(SourceError, match=r"external cohort: files external/x\.csv.*z-scores"):
        two(tmp_path, raw_params, own=LEVELS, external=Z_SCORES, align="ranks")
    with pytest.raises(SourceError, match=r"files own/x\.csv.* is taken as `log2`.*z-scores"):
        two(tmp_path, raw_params, own=Z_SCORES, external=LEVELS, align="zscore")


# Properties

IDS = st.lists(
    st.one_of(
        st.text("AB1-._ 2X", min_size=1, max_size=5),
        st.builds("TCGA-05-{:04}-{}{}".format, st.integers(0, 5), st.sampled_from(["01", "11"]),
                  st.sampled_from(["", "A", "B", "A-11R-A278-07"])),
    ),
    min_size=1, max_size=12, unique=True,
)  # fmt: skip


def test_accents_that_macos_took_apart_make_no_other_sample() -> None:
    apart = [f"Mu\u0308ller{i}" for i in range(3)]
    whole = [f"M\u00fcller{i}" for i in range(3)]
    assert match_samples(apart, whole, by_patient=False) == dict(zip(apart, whole, strict=True))
    assert match_samples(whole[:1], [*whole, apart[0]], by_patient=False) == {whole[0]: whole[0]}


@settings(deadline=None, max_examples=300)
@given(IDS, IDS)
def test_samples_are_matched_one_to_one(wanted: list[str], known: list[str]) -> None:
    """An id is never another's, but for aliquots of one patient and sample type."""
    found = match_samples(wanted, known, by_patient=False)
    assert set(found.values()) <= set(known)
    assert all(found[name] == name for name in set(wanted) & set(known))
    by_match: dict[str, set[object]] = {}
    for name, match in found.items():
        assert name == match or r_name(name) == r_name(match) or barcode(name) is not None
        by_match.setdefault(match, set()).add(barcode(name) or name)
    assert all(len(same) == 1 for same in by_match.values())


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text("AB1-._ 2X", min_size=1, max_size=5), min_size=2, max_size=12, unique=True))
def test_what_r_makes_of_distinct_ids_is_matched_or_left(names: list[str]) -> None:
    changed = list(dict.fromkeys(map(make_names, names)))
    for match, name in match_samples(changed, names, by_patient=True).items():
        assert make_names(name) == match
        alone = [other for other in names if make_names(other) == match]
        assert name == match or alone == [name]
