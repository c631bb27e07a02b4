"""`predict` on segments gives what the pipeline gave for the same samples."""

from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from oncopixel.cohort.contract import Cohort, read_cohort
from oncopixel.cohort.genome import CHROMOSOMES, lengths
from oncopixel.core.errors import SourceError
from oncopixel.core.params import parse_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import sha256, write_json
from oncopixel.images.preprocessing import features
from oncopixel.images.preprocessor import Preprocessor, read_preprocessor
from oncopixel.stages import ingest, preprocess, train, validate
from oncopixel.tools import predict
from oncopixel.tools.new_samples import NewFiles, read_new

N = 48
GENES = ("TP53", "KRAS", "EGFR", "CDKN2A", "RB1", "PTEN", "BRAF", "APC", "ATM", "MYC")


def write(folder: Path) -> None:
    """Tumours whose chromosome 17 tells the class; short segments that only `min_markers` bars."""
    rng = np.random.default_rng(1)
    rows, sheet = [], []
    for i in range(N):
        name = f"P{i:02d}-T"
        sheet.append((name, f"P{i:02d}", "01", "ab"[i % 2]))
        for chromosome in CHROMOSOMES:
            size = lengths("hg19")[chromosome]
            ends = [0, *np.sort(rng.integers(1, size, 2)), size]
            shift = 0.8 * (i % 2) if chromosome == "17" else 0
            rows += [
                (name, chromosome, start + 1, end, 500, round(rng.normal(shift, 0.2), 4))
                for start, end in pairwise(ends)
            ]
        rows.append((name, "17", 7_000_001, 8_000_000, 12, 4.0))
    columns = ["Sample", "Chromosome", "Start", "End", "Num_Probes", "Segment_Mean"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "all.seg", sep="\t", index=False)
    columns = ["sample", "patient", "sample_type", "kind"]
    pd.DataFrame(sheet, columns=columns).to_csv(folder / "samples.csv", index=False)
    values = rng.normal(8, 1, (len(GENES), N)).round(3)
    names = [row[0] for row in sheet]
    pd.DataFrame(values, GENES, names).to_csv(folder / "x.tsv", sep="\t", index_label="gene")


BINS = {
    "source": {"kind": "segments", "segments": "all.seg", "samples": "samples.csv",
               "build": "hg19", "min_markers": 20, "bins": 120},
    "channels": ["copy_number"], "image": [11, 11],
}  # fmt: skip
ONLY_GENES = BINS | {"source": BINS["source"] | {"pixels": "genes"}, "image": [60, 60]}
BESIDE = {
    "source": {
        "kind": "files", "expression": "x.tsv", "samples": "samples.csv", "scale": "log2",
        "copy_number": {"segments": "all.seg", "build": "hg19", "min_markers": 20},
    },
    "channels": ["expression", "copy_number"], "image": [5, 5],
}  # fmt: skip


def prepared(
    folder: Path, raw_params: dict, given: dict, *stages: ModuleType
) -> tuple[Paths, Cohort, Preprocessor]:
    """The cohort and its preprocessor, and what further stages make."""
    (folder / "inputs").mkdir()
    write(folder / "inputs")
    entry = given | {"inputs": "inputs", "label": "column:kind", "positive": "b"}
    raw = raw_params | {"cohorts": {"mine": entry}}
    raw["validation"] = raw["validation"] | {"min_samples": 20}
    raw["split"] = raw["split"] | {"folds": 2}
    raw["train"] = raw["train"] | {"epochs": 2, "members": 1, "filters": [2], "units": 4}
    params, paths = parse_params(raw), Paths(folder, "mine")
    for stage in (ingest, validate, preprocess, *stages):
        stage.run(paths, params)
    cohort = read_cohort(paths.data("cohort.h5ad"))
    return paths, cohort, read_preprocessor(paths.model("preprocessor.parquet"))


def new_files(folder: Path, main: str, copy_number: str | None = None) -> NewFiles:
    return NewFiles(
        folder / main, folder / copy_number if copy_number else None, None, None, None,
        "genes_by_samples", "hg19",
    )  # fmt: skip


@pytest.mark.parametrize("given", [BINS, ONLY_GENES, BESIDE], ids=["bins", "genes", "beside"])
def test_new_samples_have_the_features_that_they_had_in_training(
    tmp_path: Path, raw_params: dict, given: dict
) -> None:
    _, cohort, pre = prepared(tmp_path, raw_params, given)
    inputs, main = tmp_path / "inputs", "x.tsv" if given is BESIDE else "all.seg"
    assert cohort.min_markers == 20
    found = read_new(new_files(inputs, main, "all.seg"), pre, 20)
    wanted = features(pre, cohort)
    assert found.samples.index.tolist() == cohort.samples.index.tolist()
    assert np.ptp(wanted[:, :, -1]) > 1
    np.testing.assert_array_equal(features(pre, found), wanted)
    other = read_new(new_files(inputs, main, "all.seg"), pre, 5)
    assert not np.array_equal(features(pre, other), wanted)
    if given is BINS:
        with pytest.raises(SourceError, match=r"x\.tsv holds no segments, and the model's pixels"):
            read_new(new_files(inputs, "x.tsv"), pre, 20)


@pytest.mark.slow
def test_predictions_are_those_of_the_pipeline(tmp_path: Path, raw_params: dict) -> None:
    paths, cohort, pre = prepared(tmp_path, raw_params, BINS, train)
    files = ("ensemble.keras", "preprocessor.parquet")
    contract = {
        "classes": cohort.classes, "threshold": 0.5, "verdict": "signal", "scale": pre.scale,
        "channels": pre.channels, "image": list(pre.image), "genes": len(pre.genes), "members": 1,
        "min_markers": cohort.min_markers,
        "sha256": {name: sha256(paths.model(name)) for name in files},
    }  # fmt: skip
    write_json(paths.model("model.json"), contract)
    wanted = pd.read_parquet(paths.data("cnn_predictions.parquet"))
    wanted = wanted[(wanted["part"] == "test") & (wanted["model"] == "cnn")].set_index("sample")
    table = pd.read_csv(tmp_path / "inputs" / "all.seg", sep="\t")
    few = table[table["Sample"].isin(wanted.index)]
    few.to_csv(tmp_path / "new.seg", sep="\t", index=False)
    predict.run(
        tmp_path / "models" / "mine", tmp_path / "new.seg", tmp_path / "out.csv", scale=None,
        orientation="genes_by_samples", copy_number=None, mutation=None, min_genes=0.8,
        build="hg19",
    )  # fmt: skip
    found = pd.read_csv(tmp_path / "out.csv", index_col="sample")
    np.testing.assert_allclose(found.loc[wanted.index, "p_b"], wanted["p_1"], rtol=0, atol=1e-6)
    assert wanted["p_1"].nunique() == len(wanted) == len(found)
