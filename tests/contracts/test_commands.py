"""Bad input on the command line: one message, the right exit status, earlier results intact."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from oncopixel.artifacts import (
    read_json,
    read_parquet,
    sha256,
    write_json,
    write_npy,
    write_parquet,
)
from oncopixel.cli import main
from oncopixel.cohort import read_cohort

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """What `oncopixel ARGUMENTS` does in a folder, in this process: imports cost time only once."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["oncopixel", *arguments])
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, raw_params: dict) -> Path:
    """A project with a small `files` cohort that has gone through ingest, validate and split."""
    folder = tmp_path_factory.mktemp("project")
    inputs = folder / "inputs"
    inputs.mkdir()
    rng = np.random.default_rng(0)
    samples = [f"S{i:03}" for i in range(60)]
    genes = pd.read_parquet(ROOT / "src/oncopixel/data/genes.parquet")["symbol"].unique()[:80]
    counts = pd.DataFrame(rng.poisson(200, (80, 60)), index=genes, columns=samples)
    counts.to_csv(inputs / "expression.tsv", sep="\t")
    sheet = pd.DataFrame(
        {"sample": samples, "patient": samples, "response": ["yes", "no"] * 30, "one": "same"}
    )
    sheet.to_csv(inputs / "samples.csv", index=False)
    raw = raw_params | {
        "cohorts": {
            "mine": {
                "source": {
                    "kind": "files",
                    "expression": "expression.tsv",
                    "samples": "samples.csv",
                    "scale": "counts",
                },
                "inputs": "inputs",
                "label": "column:response",
                "positive": "yes",
                "image": [9, 9],
            }
        }
    }
    raw["split"] = raw["split"] | {"folds": 3}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    for command in ("ingest", "validate", "split", "preprocess"):
        result = run(folder, command, "mine")
        assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A copy of the project to spoil."""
    return Path(shutil.copytree(project, tmp_path / "copy"))


def entry(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        raw = yaml.safe_load((folder / "params.yaml").read_text())
        raw["cohorts"]["mine"] |= changes
        (folder / "params.yaml").write_text(yaml.safe_dump(raw))

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def foreign_splits(folder: Path) -> None:
    splits = pd.read_parquet(folder / "data/mine/splits.parquet")
    splits["sample"] = "X" + splits["sample"]
    write_parquet(folder / "data/mine/splits.parquet", splits)


def as_file(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shutil.rmtree(folder / name)
        (folder / name).write_text("not a folder")

    return change


@pytest.mark.parametrize(
    ("change", "command", "message"),
    [
        (remove("params.yaml"), "ingest", "params.yaml does not exist"),
        (remove("inputs/expression.tsv"), "ingest", "expression.tsv"),
        (write("inputs/expression.tsv", b""), "ingest", "expression.tsv"),
        (write("inputs/samples.csv", b"sample\n"), "ingest", "samples.csv"),
        (entry(label="column:respons"), "ingest", "did you mean response"),
        (entry(label="column:one", positive=None), "ingest", "one"),
        (entry(label="mutation:TP53"), "ingest", "mutation"),
        (entry(positive="maybe"), "ingest", "maybe"),
        (entry(sample_types=["77"]), "ingest", "77"),
        (entry(channels=["expression", "mutation"]), "preprocess", "mutation"),
        (remove("data/mine/cohort.h5ad"), "validate", "Run `dvc repro`"),
        (write("data/mine/cohort.h5ad", b"no"), "validate", "cohort.h5ad is damaged"),
        (remove("reports/mine/validation.json"), "split", "validation.json does not exist"),
        (write("reports/mine/validation.json", b"{"), "split", "validation.json is damaged"),
        (foreign_splits, "preprocess", "is not of the samples in"),
        (write("data/mine/splits.parquet", b"PAR1"), "preprocess", "splits.parquet is damaged"),
        (foreign_splits, "train", "is not of the samples in"),
        (remove("data/mine/images.npy"), "biomarkers", "does not exist"),
        (as_file("models"), "preprocess", "is a file, not a folder"),
    ],
)
def test_bad_input_ends_with_status_2_and_one_message(
    copy: Path, change: Callable[[Path], None], command: str, message: str
) -> None:
    change(copy)
    before = {p: sha256(p) for p in sorted((copy / "data").rglob("*")) if p.is_file()}
    result = run(copy, command, "mine")
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error: ") == 1
    assert {p: sha256(p) for p in sorted((copy / "data").rglob("*")) if p.is_file()} == before


def test_debug_adds_the_traceback(copy: Path) -> None:
    (copy / "data/mine/cohort.h5ad").unlink()
    assert "Traceback" in run(copy, "--debug", "validate", "mine").stderr


def test_quiet_is_silent_on_success(project: Path) -> None:
    assert run(project, "--quiet", "split", "mine").stderr == ""


def test_unknown_cohort_command_and_option(project: Path) -> None:
    unknown = run(project, "split", "mime")
    assert unknown.returncode == 2
    assert "did you mean mine?" in unknown.stderr
    assert run(project, "splitt", "mine").returncode == 2
    assert run(project, "split", "mine", "--folds", "3").returncode == 2


def test_version() -> None:
    assert run(ROOT, "--version").stdout.strip() == "0.1.0"


def test_no_step_goes_on_with_a_cohort_that_failed(copy: Path) -> None:
    report = read_json(copy / "reports/mine/validation.json")
    report["failed"]["critical"] = 2
    write_json(copy / "reports/mine/validation.json", report)
    result = run(copy, "split", "mine")
    assert result.returncode == 3
    assert "failed 2 critical data check(s)" in result.stderr


def test_failed_check_ends_with_status_3_and_says_what_to_do(copy: Path) -> None:
    raw = yaml.safe_load((copy / "params.yaml").read_text())
    raw["validation"]["min_samples"] = 1000
    (copy / "params.yaml").write_text(yaml.safe_dump(raw))
    result = run(copy, "validate", "mine")
    assert result.returncode == 3
    assert "1 critical data check" in result.stderr
    assert "60" in result.stderr
    assert "data_docs.html" in result.stderr
    assert read_json(copy / "reports/mine/validation.json")["failed"]["critical"] == 1


def test_read_only_folder(copy: Path) -> None:
    if os.geteuid() == 0:
        result = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", "true"], check=False, capture_output=True
        )
        if result.returncode:
            pytest.skip("root may write anywhere, and setpriv is missing")
    before = sha256(copy / "data/mine/splits.parquet")
    for folder, _, _ in os.walk(copy):
        Path(folder).chmod(0o555)
    command = [sys.executable, "-m", "oncopixel", "split", "mine"]
    if os.geteuid() == 0:
        drop = ["setpriv", "--reuid=65534", "--clear-groups"]
        reachable = subprocess.run(
            [*drop, *command, "--help"], capture_output=True, check=False, cwd="/"
        )
        if reachable.returncode:
            pytest.skip("an unprivileged user cannot reach this interpreter")
        command = [*drop, *command]
    result = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    for folder, _, _ in os.walk(copy):
        Path(folder).chmod(0o755)
    assert result.returncode == 2, result.stderr
    assert "permission denied" in result.stderr
    assert sha256(copy / "data/mine/splits.parquet") == before


SLOW_INGEST = """
import signal, sys
from oncopixel.commands import ingest
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start with it ignored
ingest.load = lambda *_: (print("reading", flush=True), signal.pause())
from oncopixel.cli import main
sys.argv = ["oncopixel", "ingest", "mine"]
main()
"""


def test_interrupt_leaves_earlier_results_and_the_next_run_completes(copy: Path) -> None:
    cohort = copy / "data/mine/cohort.h5ad"
    before = sha256(cohort)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_INGEST], cwd=copy, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stderr == "interrupted: nothing was left half-written; run again to go on.\n"
    assert sha256(cohort) == before
    assert [p.name for p in cohort.parent.iterdir() if p.name.startswith(".")] == []
    assert run(copy, "ingest", "mine").returncode == 0
    assert sha256(cohort) == before


@pytest.fixture
def model(project: Path, tmp_path: Path) -> Path:
    """The folder of an untrained model that fits the project's preprocessor."""
    import keras

    from oncopixel.artifacts import write_keras

    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(project / "models/mine/preprocessor.parquet", folder)
    images = keras.Input((9, 9, 1))
    dense = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    write_keras(folder / "ensemble.keras", keras.Model(images, keras.layers.Reshape((1, 2))(dense)))
    files = ("ensemble.keras", "preprocessor.parquet")
    write_json(
        folder / "model.json",
        {"classes": ["no", "yes"], "threshold": 0.5,
         "sha256": {name: sha256(folder / name) for name in files}},
    )  # fmt: skip
    return folder


def test_predict_writes_a_row_per_sample_by_symbol_or_ensembl_id(
    project: Path, model: Path, tmp_path: Path
) -> None:
    first = run(
        project, "predict", str(model), "inputs/expression.tsv", "--out", str(tmp_path / "a.csv")
    )
    assert first.returncode == 0, first.stderr
    assert "80 of the model's 80 genes found" in first.stderr
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table.columns) == ["sample", "p_no", "p_yes", "predicted", "spread"]
    assert np.allclose(table["p_no"] + table["p_yes"], 1, atol=1e-5)
    assert ((table["p_yes"] >= 0.5) == (table["predicted"] == "yes")).all()

    frame = pd.read_csv(project / "inputs/expression.tsv", sep="\t", index_col=0)
    genes = read_cohort(project / "data/mine/cohort.h5ad").genes
    frame.index = [genes.loc[g, "ensembl_id"] + ".7" for g in frame.index]
    frame.iloc[::-1].to_csv(tmp_path / "ensembl.tsv", sep="\t")
    second = run(
        project,
        "predict",
        str(model),
        str(tmp_path / "ensembl.tsv"),
        "--out",
        str(tmp_path / "b.csv"),
    )
    assert second.returncode == 0, second.stderr
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "b.csv"), atol=1e-5)


@pytest.mark.parametrize("verdict", ["signal", "no signal", "inconclusive"])
def test_predict_warns_of_a_model_that_told_nothing(
    project: Path, model: Path, tmp_path: Path, verdict: str
) -> None:
    write_json(model / "model.json", read_json(model / "model.json") | {"verdict": verdict})
    out = tmp_path / "out.csv"
    result = run(project, "predict", str(model), "inputs/expression.tsv", "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert (f"the verdict on this model was `{verdict}`" in result.stderr) == (verdict != "signal")
    assert pd.read_csv(out)["spread"].isna().all()  # of one member


def half_the_genes(model: Path, matrix: Path) -> list[str]:
    lines = matrix.read_text().splitlines(keepends=True)
    matrix.write_text("".join(lines[:41]))
    return []


def transposed(model: Path, matrix: Path) -> list[str]:
    return ["--orientation", "samples_by_genes"]


def other_scale(model: Path, matrix: Path) -> list[str]:
    return ["--scale", "tpm"]


def logged(model: Path, matrix: Path) -> list[str]:
    frame = pd.read_csv(matrix, sep="\t", index_col=0)
    pd.DataFrame(np.log2(frame + 1)).to_csv(matrix, sep="\t")
    pre, metadata = read_parquet(model / "preprocessor.parquet")
    write_parquet(model / "preprocessor.parquet", pre, metadata | {"scale": "tpm"})
    contract = read_json(model / "model.json")
    contract["sha256"]["preprocessor.parquet"] = sha256(model / "preprocessor.parquet")
    write_json(model / "model.json", contract)
    return []


def damaged_model(model: Path, matrix: Path) -> list[str]:
    (model / "ensemble.keras").write_bytes(b"zip")
    return []


def foreign_preprocessor(model: Path, matrix: Path) -> list[str]:
    write_parquet(model / "preprocessor.parquet", pd.DataFrame({"gene": ["TP53"]}))
    return []


def no_contract(model: Path, matrix: Path) -> list[str]:
    (model / "model.json").write_text("{}")
    return []


def no_model(model: Path, matrix: Path) -> list[str]:
    shutil.rmtree(model)
    return []


def missing_part(model: Path, matrix: Path) -> list[str]:
    (model / "ensemble.keras").unlink()
    return []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (half_the_genes, "40 of the model's 80 genes (50%), fewer than --min-genes 80%"),
        (transposed, "genes"),
        (other_scale, "the model was fitted on"),
        (logged, "say --scale log2"),
        (damaged_model, "ensemble.keras is damaged or of another model"),
        (foreign_preprocessor, "preprocessor.parquet is damaged or of another model"),
        (no_contract, "is no model contract"),
        (no_model, "holds no model.json"),
        (missing_part, "ensemble.keras does not exist"),
    ],
)
def test_predict_refuses(
    project: Path, model: Path, tmp_path: Path, change: Callable, message: str
) -> None:
    matrix = tmp_path / "expression.tsv"
    shutil.copy(project / "inputs/expression.tsv", matrix)
    options = change(model, matrix)
    out = tmp_path / "out.csv"
    result = run(project, "predict", str(model), str(matrix), "--out", str(out), *options)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()


def test_images_are_never_unpickled(copy: Path) -> None:
    write_npy(copy / "data/mine/images.npy", np.zeros((60, 9, 9, 1), np.float32))
    np.save(copy / "data/mine/images.npy", np.array([print], dtype=object), allow_pickle=True)
    result = run(copy, "train", "mine")
    assert result.returncode == 2
    assert "images.npy is damaged" in result.stderr
