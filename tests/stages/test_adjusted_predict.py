"""New samples for a model that adjusts for confounders: what must be told of them."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncopixel.cohort.assembly import assemble
from oncopixel.cohort.contract import Cohort
from oncopixel.cohort.samples import SheetColumns
from oncopixel.core.errors import SourceError
from oncopixel.core.params import PreprocessParams
from oncopixel.core.storage import sha256, write_json
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.preprocessor import Preprocessor, to_images, write_preprocessor
from oncopixel.sources.tables import read_matrix, read_sheet
from oncopixel.tools import predict
from oncopixel.tools.new_samples import NewFiles, read_new


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Cohort, Preprocessor]:
    """A folder with a model's contract, an expression matrix and a sheet; the cohort; the fit."""
    rng = np.random.default_rng(0)
    genes = [f"GENE{i}" for i in range(20)]
    names = [f"TCGA-{'AB'[i % 2]}{i % 3}-{1000 + i}-01" for i in range(40)]
    pd.DataFrame(rng.normal(8, 1, (20, 40)), genes, names).to_csv(tmp_path / "x.tsv", sep="\t")
    sheet = pd.DataFrame({"batch": [11 + i % 4 for i in range(40)], "age": 50}, index=names)
    sheet["age"] += rng.integers(0, 30, 40)
    sheet.to_csv(tmp_path / "sheet.csv", index_label="id")
    matrix = read_matrix(tmp_path / "x.tsv", "genes_by_samples")
    cohort = assemble(
        {"expression": matrix}, read_sheet(tmp_path / "sheet.csv"), scale="log2",
        columns=SheetColumns(), sheet_origin="sheet", origin="test",
    )  # fmt: skip
    cohort.data.obs["label"] = rng.choice(["no", "yes"], 40)
    cohort.data.uns["classes"] = np.array(["no", "yes"], dtype=object)
    params = PreprocessParams(
        normalise="auto", min_expressed_fraction=0.2, genes="all", clip=6.0,
        mutation_encoding="binary", layout="genomic", seed=1, adjust=["batch", "age", "site"],
    )  # fmt: skip
    pre = fit(cohort, params, channels=["expression"], image=(5, 5))
    write_preprocessor(tmp_path / "preprocessor.parquet", pre)
    (tmp_path / "ensemble.keras").write_bytes(b"not read here")
    write_contract(tmp_path)
    return tmp_path, cohort, pre


def write_contract(folder: Path) -> None:
    names = ("ensemble.keras", "preprocessor.parquet")
    contract = {
        "classes": ["no", "yes"], "threshold": 0.5, "verdict": "signal", "scale": "log2",
        "channels": ["expression"], "image": [5, 5], "genes": 20, "members": 1,
        "sha256": {name: sha256(folder / name) for name in names},
    }  # fmt: skip
    write_json(folder / "model.json", contract)


def run(folder: Path, samples: Path | None) -> None:
    predict.run(
        folder, folder / "x.tsv", folder / "out.csv", scale=None, orientation="genes_by_samples",
        copy_number=None, mutation=None, min_genes=0.8, samples=samples,
    )  # fmt: skip


def test_a_matrix_alone_does_not_tell_the_batch(trained: tuple) -> None:
    folder, _, _ = trained
    with pytest.raises(
        SourceError, match=r"adjusts expression for `batch`.*`batch` with --samples"
    ):
        run(folder, None)


def test_a_sheet_without_a_column_or_without_a_sample_is_refused(trained: tuple) -> None:
    folder, _, _ = trained
    sheet = pd.read_csv(folder / "sheet.csv", index_col=0)
    sheet.drop(columns="age").to_csv(folder / "ageless.csv")
    with pytest.raises(SourceError, match="adjusts expression for `age`"):
        run(folder, folder / "ageless.csv")
    sheet.iloc[:30].to_csv(folder / "short.csv")
    with pytest.raises(SourceError, match=r"short.csv has no row for 10 of 40 samples: TCGA-"):
        run(folder, folder / "short.csv")


def test_with_its_sheet_a_sample_gets_the_features_it_had_in_training(
    trained: tuple, caplog: pytest.LogCaptureFixture
) -> None:
    folder, cohort, pre = trained
    sheet = read_sheet(folder / "sheet.csv").iloc[::-1].drop(columns="batch")
    sheet["batch"] = [str(value) for value in cohort.samples["batch"].iloc[::-1]]

    def read(sheet: pd.DataFrame) -> Cohort:
        sheet.to_csv(folder / "new.csv")
        files = NewFiles(
            folder / "x.tsv", None, None, folder / "new.csv", "log2", "genes_by_samples", None
        )
        return read_new(files, pre, 5)

    new = read(sheet)
    assert list(new.samples.index) == list(cohort.samples.index)
    np.testing.assert_array_equal(features(pre, new), features(pre, cohort))

    sheet.loc[sheet.index[:3], "batch"] = ["99", None, ""]
    new = read(sheet)
    with caplog.at_level(logging.WARNING):
        predict._check_covariates(pre, new, sheet)
    assert [record.getMessage() for record in caplog.records] == [
        "warning: `batch` of 3 samples is missing or was not in training: taken as average"
    ]
    assert (features(pre, new)[:-3] == features(pre, cohort)[:-3]).all()
    assert not np.allclose(features(pre, new)[-3:], features(pre, cohort)[-3:])


@pytest.mark.parametrize(("own", "theirs"), [("MLL2", "KMT2D"), ("KMT2D", "MLL2")])
def test_new_samples_may_call_a_gene_otherwise_than_the_model(
    trained: tuple, monkeypatch: pytest.MonkeyPatch, own: str, theirs: str
) -> None:
    folder, cohort, pre = trained
    pre.genes["gene"] = pre.genes["gene"].replace("GENE7", own)
    cohort.data.var_names = [own if name == "GENE7" else name for name in cohort.genes.index]
    path = folder / "preprocessor.parquet"
    write_preprocessor(path, pre)
    write_contract(folder)
    matrix = folder / "x.tsv"
    matrix.write_text(matrix.read_text().replace("GENE7\t", f"{theirs}\t"))
    seen: list[np.ndarray] = []

    def logits(*given: object) -> np.ndarray:
        images = given[-1]
        seen.append(images)
        return np.zeros((len(images), 1, 2))

    monkeypatch.setattr(predict, "_read_network", lambda *_: None)
    monkeypatch.setattr(predict, "_finite_logits", logits)
    run(folder, folder / "sheet.csv")
    np.testing.assert_array_equal(seen[0], to_images(pre, features(pre, cohort)))
