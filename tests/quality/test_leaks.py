"""Phenotypes among the genes, and what describes patients: in every source, and in `predict`."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from oncopixel.cohort.contract import Cohort, build_cohort, write_cohort
from oncopixel.cohort.genes import annotate
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.errors import SourceError
from oncopixel.core.params import CohortParams, H5adSource, Source
from oncopixel.sources import load
from oncopixel.tools.new_samples import NewFiles, read_new

N = 12
TUMOURS = [f"TCGA-05-{i:04d}-01" for i in range(N)]
NORMALS = [f"TCGA-06-{i:04d}-11" for i in range(N)]
PATIENTS = [name[:12] for name in (*TUMOURS, *NORMALS)]
STAGE = ["early", "late"] * N
GENES = ["TP53", "KRAS", "EGFR"]


def table(*further: str, samples: list[str] = TUMOURS) -> pd.DataFrame:
    """Genes in rows, those of `further` names among them."""
    genes = [*further[:1], *GENES, *further[1:]]
    values = np.random.default_rng(0).integers(0, 2, (len(genes), len(samples)))
    return pd.DataFrame(values, pd.Index(genes, name="gene"), samples)


def sheet(samples: list[str] = TUMOURS, **columns: list) -> pd.DataFrame:
    patients = [name[:12] for name in samples]
    return pd.DataFrame({"patient": patients, **columns}, pd.Index(samples, name="sample"))


def read(folder: Path, **source: object) -> Cohort:
    return load(TypeAdapter(Source).validate_python(source), folder)[0]


def from_files(folder: Path, channel: str, matrix: pd.DataFrame, about: pd.DataFrame) -> Cohort:
    table(samples=list(matrix)).to_csv(folder / "expression.csv.gz")
    matrix.T.to_parquet(folder / "other.parquet")
    about.to_csv(folder / "s.csv")
    if channel == "expression":
        return read(
            folder, kind="files", scale="log2", expression="other.parquet", samples="s.csv",
            orientation="samples_by_genes",
        )  # fmt: skip
    matrix.to_csv(folder / "other.tsv", sep="\t")
    files = {"expression": "expression.csv.gz", channel: "other.tsv"}
    return read(folder, kind="files", scale="log2", samples="s.csv", **files)


def from_xena(folder: Path, channel: str, matrix: pd.DataFrame, about: pd.DataFrame) -> Cohort:
    table(samples=list(matrix)).to_csv(folder / "expression", sep="\t")
    matrix.to_csv(folder / "other", sep="\t")
    about.to_csv(folder / "clinical", sep="\t")
    files = {"expression": "expression", "samples": "clinical", channel: "other"}
    return read(folder, kind="xena", scale="log2", **files)


def from_cbioportal(
    folder: Path, channel: str, matrix: pd.DataFrame, about: pd.DataFrame
) -> Cohort:
    def portal(frame: pd.DataFrame, name: str) -> None:
        frame.rename_axis("Hugo_Symbol").to_csv(folder / name, sep="\t")

    portal(table(samples=list(matrix)), "expression.txt")
    portal(matrix, "other.txt")
    named = about.rename(columns={"patient": "PATIENT_ID"}).rename_axis("SAMPLE_ID")
    own, of_patients = named[["PATIENT_ID"]], named.groupby("PATIENT_ID").first()
    own.to_csv(folder / "data_clinical_sample.txt", sep="\t")
    of_patients.assign(z=0).to_csv(folder / "data_clinical_patient.txt", sep="\t")
    files = {"expression": "expression.txt", "copy_number": None, "mutation": None}
    return read(folder, kind="cbioportal", scale="log2", **(files | {channel: "other.txt"}))


def from_h5ad(folder: Path, channel: str, matrix: pd.DataFrame, about: pd.DataFrame) -> Cohort:
    data = anndata.AnnData(
        matrix.T.to_numpy(np.float32), obs=about, var=pd.DataFrame(index=matrix.index)
    )
    if channel != "expression":
        data.layers[channel] = data.X.copy()
    data.write_h5ad(folder / "x.h5ad")
    return read(folder, kind="h5ad", scale="log2", path="x.h5ad", patient_column="patient")


Reader = Callable[[Path, str, pd.DataFrame, pd.DataFrame], Cohort]
READERS = [from_files, from_xena, from_cbioportal, from_h5ad]
MATRICES = [
    *[(reader, channel) for reader in READERS for channel in ("expression", "copy_number")],
    *[(reader, "mutation") for reader in READERS if reader is not from_cbioportal],
]
"""Mutations of the cBioPortal are a list."""


@pytest.mark.parametrize(("reader", "channel"), MATRICES)
@pytest.mark.parametrize("name", ["fustat", "OS.time", "MY_MARK", "my.mark"])
def test_a_phenotype_among_the_genes_is_refused(
    tmp_path: Path, reader: Reader, channel: str, name: str
) -> None:
    with pytest.raises(SourceError, match="1 of its genes are phenotypes") as caught:
        reader(tmp_path, channel, table(name), sheet(myMark=STAGE[:N]))
    assert name in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_gene_may_have_a_column_in_the_sheet(tmp_path: Path, reader: Reader) -> None:
    cohort = reader(tmp_path, "expression", table("T"), sheet(TP53=STAGE[:N], T=STAGE[:N]))
    assert set(cohort.genes.index) == {*GENES, "T"}


def test_a_phenotype_in_a_cohort_of_ours_is_refused(tmp_path: Path) -> None:
    values = table("x_mark").T.astype(float)
    cohort = build_cohort(
        values, sheet(**{"X mark": STAGE[:N]}), annotate(list(values)), scale="log2", origin="test"
    )
    write_cohort(tmp_path / "x.h5ad", cohort)
    with pytest.raises(SourceError, match="phenotypes by their names: 'x_mark'"):
        load(H5adSource(kind="h5ad", path="x.h5ad"), tmp_path)


@pytest.mark.parametrize(
    ("name", "about"), [("age", None), ("OS_MONTHS", None), ("my mark", sheet(my_mark=STAGE[:N]))]
)
def test_new_samples_with_a_phenotype_among_the_genes_are_refused(
    tmp_path: Path, name: str, about: pd.DataFrame | None
) -> None:
    table(name).to_csv(tmp_path / "new.tsv", sep="\t")
    if about is not None:
        about.to_csv(tmp_path / "sheet.csv")
    files = NewFiles(
        tmp_path / "new.tsv", None, None, None if about is None else tmp_path / "sheet.csv",
        "log2", "genes_by_samples", None,
    )  # fmt: skip
    genes = pd.DataFrame({"gene": GENES})
    pre = SimpleNamespace(channels=["expression"], scale="log2", genes=genes)
    with pytest.raises(SourceError, match=r"new\.tsv: 1 of its genes are phenotypes"):
        read_new(files, pre, 5)


def label(cohort: Cohort, column: str = "stage") -> Cohort:
    entry = {"source": {"kind": "bundled"}, "inputs": "x", "drop_unlabelled": True}
    entry |= {"label": f"column:{column}", "positive": "late"}
    return label_cohort(cohort, CohortParams.model_validate(entry))


def test_a_sheet_of_patients_labels_their_tumours_only(tmp_path: Path) -> None:
    """Also where the normals are of patients without a tumour here."""
    of_patients = pd.DataFrame({"stage/grade": STAGE}, pd.Index(PATIENTS, name="barcode"))
    cohort = from_files(tmp_path, "expression", table(samples=TUMOURS + NORMALS), of_patients)
    labelled = label(cohort, "stage_grade")
    assert labelled.samples.index.tolist() == TUMOURS
    assert labelled.data.uns["notes"][-1].startswith(f"{N} samples dropped: normal tissue; ")


@pytest.mark.parametrize("reader", [from_files, from_h5ad, from_xena])
def test_a_sheet_of_samples_labels_all_of_them(tmp_path: Path, reader: Reader) -> None:
    samples = TUMOURS + NORMALS
    cohort = reader(tmp_path, "expression", table(samples=samples), sheet(samples, stage=STAGE))
    assert label(cohort).samples.index.tolist() == samples


def test_a_file_of_patients_of_the_cbioportal_labels_tumours_only(tmp_path: Path) -> None:
    samples = TUMOURS + NORMALS
    cohort = from_cbioportal(
        tmp_path, "expression", table(samples=samples), sheet(samples, stage=STAGE)
    )
    assert label(cohort).samples.index.tolist() == TUMOURS
