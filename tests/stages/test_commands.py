"""Bad input on the command line: one message, the right exit status, earlier results intact."""

import contextlib
import io
import json
import os
import re
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
from scipy.stats import zscore

from oncopixel.cli import main
from oncopixel.cohort.contract import build_cohort, read_cohort
from oncopixel.cohort.genes import annotate
from oncopixel.core.disk import alone
from oncopixel.core.errors import ArtifactError
from oncopixel.core.params import read_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import (
    read_json,
    read_parquet,
    sha256,
    write_json,
    write_npy,
    write_parquet,
)
from oncopixel.images.folds import read_images
from oncopixel.images.preprocessing import fit
from oncopixel.images.preprocessor import write_preprocessor

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """What `oncopixel ARGUMENTS` does in a folder, in this process: imports cost time only once."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
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
    out.flush()
    said = out.buffer.getvalue().decode()
    return subprocess.CompletedProcess(arguments, status, said, err.getvalue())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, raw_params: dict) -> Path:
    """A project with a small `files` cohort, ingested, validated and preprocessed."""
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
    for command in ("ingest", "validate", "preprocess"):
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
        (remove("reports/mine/validation.json"), "preprocess", "validation.json does not exist"),
        (write("reports/mine/validation.json", b"{"), "preprocess", "validation.json is damaged"),
        (write("data/mine/splits.parquet", b"PAR1"), "train", "splits.parquet is damaged"),
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
    assert run(project, "--quiet", "preprocess", "mine").stderr == ""


def test_unknown_cohort_command_and_option(project: Path) -> None:
    unknown = run(project, "preprocess", "mime")
    assert unknown.returncode == 2
    assert "did you mean mine?" in unknown.stderr
    assert run(project, "preproces", "mine").returncode == 2
    assert run(project, "preprocess", "mine", "--folds", "3").returncode == 2


def test_cohorts_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "_ONCOPIXEL_COMPLETE": "complete_bash",
        "COMP_WORDS": "oncopixel train s",
        "COMP_CWORD": "2",
    }.items():
        monkeypatch.setenv(variable, value)
    command = [str(Path(sys.executable).with_name("oncopixel"))]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told.split() == ["simulated"]


def test_help_sets_stages_models_and_the_project_apart() -> None:
    panels: dict[str, list[str]] = {}
    for line in run(ROOT, "--help").stdout.splitlines():
        if title := re.match(r"╭─ (.+?) ─", line):
            panels[title[1]] = commands = []
        elif command := re.match(r"│ (\w+) ", line):
            commands.append(command[1])
    assert list(panels) == ["Options", "Stages", "Use a model", "Project"]
    assert panels["Stages"][:3] == ["plan", "ingest", "validate"]
    assert panels["Stages"][-1] == "report"
    assert "predict" in panels["Use a model"]
    assert panels["Project"][:4] == ["new", "init", "list", "doctor"]


def test_version() -> None:
    assert run(ROOT, "--version").stdout.strip() == "0.1.0"


def test_no_step_goes_on_with_a_cohort_that_failed(copy: Path) -> None:
    report = read_json(copy / "reports/mine/validation.json")
    report["failed"]["critical"] = 2
    write_json(copy / "reports/mine/validation.json", report)
    result = run(copy, "preprocess", "mine")
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


@pytest.mark.parametrize("copied", [False, True])
def test_the_external_cohort_is_checked_with_the_cohort(copy: Path, copied: bool) -> None:
    matrix = pd.read_csv(copy / "inputs/expression.tsv", sep="\t", index_col=0)
    others = pd.DataFrame(
        np.random.default_rng(1).poisson(200, (80, 24)), matrix.index, [f"E{i}" for i in range(24)]
    )
    if copied:
        others["E5"] = matrix["S007"]
    others.to_csv(copy / "inputs/others.tsv", sep="\t")
    arms = "".join(f"E{i},D{i},{'yes' if i % 2 else 'no'}\n" for i in range(24))
    (copy / "inputs/others.csv").write_text(f"sample,patient,response\n{arms}")
    files = {"expression": "others.tsv", "samples": "others.csv"}
    source = {"kind": "files", "scale": "counts"} | files
    entry(external={"source": source, "label": "column:response", "positive": "yes"})(copy)
    assert run(copy, "ingest", "mine").returncode == 0
    result = run(copy, "validate", "mine")
    report = read_json(copy / "reports/mine/validation.json")
    assert result.returncode == 3 * copied
    assert report["failed"]["critical"] == copied
    found = report["external"]["checks"]["sample_profile_not_in_cohort"]
    assert found["state"] == ("failed" if copied else "passed")
    assert (
        "has the expression of one in the cohort: not so for 1 of 24" in result.stderr
    ) == copied
    assert "external cohort: There are at least" in result.stderr
    assert "External cohort" in (copy / "data/mine/data_docs.html").read_text()


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
    command = [sys.executable, "-m", "oncopixel", "preprocess", "mine"]
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
from oncopixel.stages import ingest
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

    from oncopixel.core.storage import write_keras

    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(project / "models/mine/preprocessor.parquet", folder)
    images = keras.Input((9, 9, 1))
    dense = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    write_keras(folder / "ensemble.keras", keras.Model(images, keras.layers.Reshape((1, 2))(dense)))
    contract = {
        "classes": ["no", "yes"], "threshold": 0.5, "verdict": "signal", "scale": "counts",
        "channels": ["expression"], "image": [9, 9], "genes": 80, "members": 1,
    }  # fmt: skip
    write_json(folder / "model.json", contract)
    seal(folder)
    return folder


def seal(folder: Path, **changes: object) -> None:
    """Makes the contract fit the files beside it, but for the `changes`."""
    names = ("ensemble.keras", "preprocessor.parquet")
    digests = {"sha256": {name: sha256(folder / name) for name in names}}
    contract = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(contract | digests | changes))


def test_predict_writes_a_row_per_sample_by_symbol_or_ensembl_id(
    project: Path, model: Path, tmp_path: Path
) -> None:
    first = run(
        project, "predict", str(model), "inputs/expression.tsv", "--out", str(tmp_path / "a.csv")
    )
    assert first.returncode == 0, first.stderr
    assert "80 of the model's 80 genes found" in first.stderr
    table = pd.read_csv(tmp_path / "a.csv")
    columns = ["sample", "p_no", "p_yes", "predicted", "spread", "distance"]
    assert list(table.columns) == columns
    assert table["distance"].median() == pytest.approx(1, abs=0.2)
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


def scaled(change: Callable[[pd.DataFrame], pd.DataFrame], *options: str) -> Callable:
    def write_changed(model: Path, matrix: Path) -> list[str]:
        frame = pd.read_csv(matrix, sep="\t", index_col=0)
        change(frame).to_csv(matrix, sep="\t")
        return list(options)

    return write_changed


def standardised(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sub(frame.mean(axis=1), axis=0).div(frame.std(axis=1), axis=0)


def half_the_genes(model: Path, matrix: Path) -> list[str]:
    lines = matrix.read_text().splitlines(keepends=True)
    matrix.write_text("".join(lines[:41]))
    return []


def transposed(model: Path, matrix: Path) -> list[str]:
    return ["--orientation", "samples_by_genes"]


def other_scale(model: Path, matrix: Path) -> list[str]:
    return ["--scale", "rsem"]


def logged(model: Path, matrix: Path) -> list[str]:
    frame = pd.read_csv(matrix, sep="\t", index_col=0)
    pd.DataFrame(np.log2(frame + 1)).to_csv(matrix, sep="\t")
    pre, metadata = read_parquet(model / "preprocessor.parquet")
    write_parquet(model / "preprocessor.parquet", pre, metadata | {"scale": "tpm"})
    seal(model, scale="tpm")
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


def contract_says(**changes: object) -> Callable:
    return lambda model, _: seal(model, **changes) or []


def text_contract(text: str) -> Callable:
    return lambda model, _: (model / "model.json").write_text(text) and []


def preprocessor_says(**changes: object) -> Callable:
    def change(model: Path, matrix: Path) -> list[str]:
        path = model / "preprocessor.parquet"
        pre, metadata = read_parquet(path)
        write_parquet(path, pre, metadata | changes)
        seal(model)
        return []

    return change


def preprocessor_column(name: str, value: object) -> Callable:
    def change(model: Path, matrix: Path) -> list[str]:
        path = model / "preprocessor.parquet"
        pre, metadata = read_parquet(path)
        write_parquet(path, pre.assign(**{name: value}), metadata)
        seal(model)
        return []

    return change


def network(shape: tuple[int, ...], members: int, classes: int, weight: float = 0) -> Callable:
    def change(model: Path, matrix: Path) -> list[str]:
        import keras

        from oncopixel.core.storage import write_keras

        images = keras.Input(shape)
        dense = keras.layers.Dense(
            members * classes, kernel_initializer=keras.initializers.Constant(weight)
        )(keras.layers.Flatten()(images))
        outputs = keras.layers.Reshape((members, classes))(dense)
        write_keras(model / "ensemble.keras", keras.Model(images, outputs))
        seal(model)
        return []

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (half_the_genes, "40 of the model's 80 genes (50%), fewer than --min-genes 80%"),
        (transposed, "genes"),
        (other_scale, "the model was fitted on"),
        (logged, "say --scale log2"),
        (scaled(standardised), "look like z-scores or log ratios"),
        (scaled(lambda frame: frame / frame.to_numpy().max()), "scaled from 0 to 1 (min-max)"),
        (scaled(lambda frame: frame.set_axis(["1-Mar", *frame.index[1:]])), "'1-Mar' is a date"),
        (scaled(lambda frame: frame.set_axis(range(80))), "80 of 80 gene keys are numbers"),
        (damaged_model, "ensemble.keras is damaged or of another model"),
        (foreign_preprocessor, "preprocessor.parquet is damaged or of another model"),
        (no_contract, "is no model contract"),
        (contract_says(threshold=float("nan")), "NaN is no finite number"),
        (contract_says(threshold=float("inf")), "Infinity is no finite number"),
        (text_contract('{"threshold": 1e999}'), "1e999 is no finite number"),
        (text_contract('{"threshold": ' + "9" * 5000 + "}"), "model.json is damaged"),
        (text_contract("[" * 100_000), "model.json is damaged"),
        (text_contract("[1]"), "is no model contract"),
        (contract_says(threshold=1.5), "threshold: "),
        (contract_says(threshold=None), "a threshold belongs to two classes"),
        (contract_says(threshold="0.5"), "threshold: "),
        (contract_says(threshold=True), "threshold: "),
        (contract_says(classes="noyes"), "classes: "),
        (contract_says(classes=[0, 1]), "classes.0: "),
        (contract_says(classes=["yes", "no"]), "its `classes` is ['yes', 'no'], there"),
        (contract_says(classes=["a", "b", "c"], threshold=None), "its `classes` is"),
        (contract_says(classes=["no", "no"]), "a class occurs twice"),
        (contract_says(channels=["mutation"]), "its `channels` is"),
        (contract_says(image=[9, 8]), "its `image` is"),
        (contract_says(genes=79), "its `genes` is"),
        (contract_says(members=2), "of another model than"),
        (contract_says(sha256={}), "sha256.ensemble.keras: Field required"),
        (
            contract_says(sha256={"ensemble.keras": "0" * 64}),
            "preprocessor.parquet: Field required",
        ),
        (contract_says(sha256=["ensemble.keras"]), "sha256: "),
        (network((9, 9, 1), 1, 3), "of another model than"),
        (network((9, 8, 1), 1, 2), "of another model than"),
        (network((9, 9, 1), 3, 2), "of another model than"),
        (network((9, 9, 1), 1, 2, float("nan")), "a weight is no finite number"),
        (network((9, 9, 1), 1, 2, float("inf")), "a weight is no finite number"),
        (preprocessor_says(kind="cohort"), "kind: "),
        (preprocessor_says(classes=["no", 1]), "classes.1: "),
        (preprocessor_says(image="99"), "image: "),
        (preprocessor_says(image=[9, 9.5]), "image.1: "),
        (preprocessor_says(channels=[["expression"]]), "channels.0: "),
        (preprocessor_says(channels=["expression"] * 2), "a channel occurs twice"),
        (preprocessor_says(params={"clip": "x"}), "params."),
        (preprocessor_says(covariates=[{"column": "age"}]), "levels: "),
        (preprocessor_says(distances=[]), "distances: "),
        (preprocessor_column("row", 0.5), "`row` holds what is no whole number"),
        (preprocessor_column("gene", None), "a gene's name is no text"),
        (preprocessor_column("expression_center", "x"), "preprocessor.parquet"),
        (preprocessor_column("expression_center", float("inf")), "`expression_center` holds"),
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
    paths = Paths(copy, "mine")
    with pytest.raises(ArtifactError, match=r"images\.npy is damaged"):
        read_images(paths, read_cohort(paths.data("cohort.h5ad")), (9, 9, 1))


LOGS = {
    "ln": (lambda x: np.log(x + 1), "natural logarithms"),
    "log10": (lambda x: np.log10(x + 1), "decadic logarithms"),
    "zscores": (lambda x: zscore(np.log2(x + 1), axis=1), "z-scores"),
    "minmax": (lambda x: (x - x.min(1, keepdims=True)) / np.ptp(x, 1)[:, None], "from 0 to 1"),
    "fpkm": (lambda x: np.log2(x / 8 + 1), "times as large"),
    "shuffled": (lambda x: 40 - 2 * np.log2(x + 1), "of the scale and unit"),
}


@pytest.fixture(scope="module")
def log_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The folder of an untrained model of log2 expression, and new samples, not logged."""
    import keras

    from oncopixel.core.storage import write_keras

    folder = tmp_path_factory.mktemp("log_model")
    rng = np.random.default_rng(1)
    genes = pd.read_parquet(ROOT / "src/oncopixel/data/genes.parquet")["symbol"].unique()[:81]
    typical = rng.uniform(3, 12, (81, 1))
    x = np.exp2(typical + rng.normal(0, 0.8, (81, 90))) - 1
    frame = pd.DataFrame(x.clip(0), index=genes, columns=[f"S{i}" for i in range(90)])
    train = np.log2(frame.iloc[:, :60] + 1).T
    obs = pd.DataFrame({"patient": train.index}, index=train.index)
    cohort = build_cohort(train, obs, annotate(list(genes)), scale="log2", origin="test")
    cohort.data.obs["label"] = ["no", "yes"] * 30
    cohort.data.uns["classes"] = np.array(["no", "yes"], dtype=object)
    params = read_params(ROOT / "params.yaml").preprocess
    pre = fit(cohort, params, channels=["expression"], image=(9, 9))
    write_preprocessor(folder / "preprocessor.parquet", pre)
    images = keras.Input((9, 9, 1))
    dense = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    write_keras(folder / "ensemble.keras", keras.Model(images, keras.layers.Reshape((1, 2))(dense)))
    contract = {
        "classes": ["no", "yes"], "threshold": 0.5, "verdict": "signal", "scale": "log2",
        "channels": ["expression"], "image": [9, 9], "genes": 81, "members": 1,
    }  # fmt: skip
    write_json(folder / "model.json", contract)
    seal(folder)
    return folder, frame.iloc[:, 60:]


@pytest.mark.parametrize("samples", [1, 30])
@pytest.mark.parametrize("kind", LOGS)
def test_predict_refuses_values_of_another_scale(
    log_model: tuple[Path, pd.DataFrame], tmp_path: Path, kind: str, samples: int
) -> None:
    folder, frame = log_model
    change, message = LOGS[kind]
    changed = pd.DataFrame(change(frame.to_numpy()), frame.index, frame.columns)
    changed.iloc[:, :samples].to_csv(tmp_path / "x.tsv", sep="\t")
    out = tmp_path / "out.csv"
    result = run(tmp_path, "predict", str(folder), "x.tsv", "--out", str(out))
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert re.search(
        r"x\.tsv (is taken as|cannot be expression on the scale) `log2`", result.stderr
    )
    assert not out.exists()


@pytest.mark.parametrize("samples", [1, 30])
def test_predict_takes_samples_like_those_of_training_in_silence(
    log_model: tuple[Path, pd.DataFrame], tmp_path: Path, samples: int
) -> None:
    folder, frame = log_model
    np.log2(frame + 1).iloc[:, :samples].to_csv(tmp_path / "x.tsv", sep="\t")
    result = run(tmp_path, "predict", str(folder), "x.tsv")
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr
    found = pd.read_csv(tmp_path / "predictions.csv")
    assert found["distance"].between(0.6, 1.5).all()


def test_predict_says_what_is_odd_of_samples_that_it_takes(
    log_model: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    folder, frame = log_model
    logged = np.log2(frame + 1)
    logged["S89"] += np.random.default_rng(2).normal(0, 5, len(logged))
    logged.iloc[3:].to_csv(tmp_path / "x.tsv", sep="\t")
    result = run(tmp_path, "predict", str(folder), "x.tsv")
    assert result.returncode == 0, result.stderr
    assert "78 of the model's 81 genes found" in result.stderr
    assert "3 genes of the model are missing" in result.stderr
    assert "1 of 30 samples lie clearly farther" in result.stderr
    found = pd.read_csv(tmp_path / "predictions.csv", index_col="sample")
    assert found["distance"].idxmax() == "S89"
    (np.log2(frame * 2 + 1)).to_csv(tmp_path / "x.tsv", sep="\t")
    result = run(tmp_path, "predict", str(folder), "x.tsv", "--min-genes", "0.9")
    assert "would not if they were 0." in result.stderr


@pytest.mark.parametrize("kind", ["plain", "link", "hard link"])
@pytest.mark.parametrize("name", ["x.tsv", "model.json", "ensemble.keras", "preprocessor.parquet"])
def test_predict_never_writes_over_what_it_reads(
    log_model: tuple[Path, pd.DataFrame], tmp_path: Path, name: str, kind: str
) -> None:
    model = Path(shutil.copytree(log_model[0], tmp_path / "model"))
    np.log2(log_model[1] + 1).to_csv(tmp_path / "x.tsv", sep="\t")
    target = tmp_path / "x.tsv" if name == "x.tsv" else model / name
    out, before = target, sha256(target)
    if kind != "plain":
        out = tmp_path / "out.csv"
        out.symlink_to(target) if kind == "link" else out.hardlink_to(target)
    result = run(tmp_path, "predict", "model", "x.tsv", "--out", str(out))
    assert result.returncode == 2
    assert "which is read here" in result.stderr
    assert sha256(target) == before


@pytest.mark.parametrize("command", ["predict", "noise"])
def test_no_command_replaces_a_fifo_or_a_device(
    log_model: tuple[Path, pd.DataFrame], tmp_path: Path, command: str
) -> None:
    np.log2(log_model[1] + 1).to_csv(tmp_path / "x.tsv", sep="\t")
    os.mkfifo(tmp_path / "fifo")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    given = ["predict", str(log_model[0]), "x.tsv"] if command == "predict" else ["noise"]
    for out in ("fifo", os.devnull, "."):
        result = run(tmp_path, *given, "--out", out)
        assert result.returncode == 2
        assert "it is a folder, a device, a FIFO or a socket" in result.stderr
    assert (tmp_path / "fifo").is_fifo()
    assert Path(os.devnull).is_char_device()


def test_noise_never_writes_over_its_parameters(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    result = run(tmp_path, "noise", "--out", "params.yaml")
    assert result.returncode == 2
    assert "which is read here" in result.stderr


def test_predictions_on_standard_output_are_those_of_the_file(
    log_model: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    np.log2(log_model[1] + 1).to_csv(tmp_path / "x.tsv", sep="\t")
    command = ["predict", str(log_model[0]), "x.tsv", "--out"]
    assert run(tmp_path, *command, "a.csv").returncode == 0
    result = run(tmp_path, *command, "-")
    assert result.returncode == 0, result.stderr
    assert result.stdout == (tmp_path / "a.csv").read_text()
    assert not (tmp_path / "-").exists()


SAID = "where the cohort has float32 images of (60, 9, 9, 1)"


@pytest.mark.slow
def test_images_of_another_size_are_not_trained_on(copy: Path) -> None:
    write_npy(copy / "data/mine/images.npy", np.zeros((59, 9, 9, 1), np.float32))
    result = run(copy, "train", "mine")
    assert result.returncode == 2
    assert SAID in result.stderr


@pytest.mark.parametrize("shape", [(60, 9, 8, 1), (60, 9, 9, 2), (60, 81)])
def test_images_of_another_shape_are_never_read(copy: Path, shape: tuple[int, ...]) -> None:
    paths = Paths(copy, "mine")
    write_npy(paths.data("images.npy"), np.zeros(shape, np.float32))
    with pytest.raises(ArtifactError, match=re.escape(SAID)):
        read_images(paths, read_cohort(paths.data("cohort.h5ad")), (9, 9, 1))


def test_a_second_training_of_a_cohort_leaves_the_first_alone(copy: Path) -> None:
    with alone(copy / "data/mine", "the first"):
        result = run(copy, "train", "mine")
    assert result.returncode == 2
    assert "`oncopixel train mine` is running already" in result.stderr


@pytest.mark.parametrize(
    "given",
    [
        ["predict", "m" * 300, "x.tsv"],
        ["predict", "model", "x.tsv", "--out", "o" * 300],
        ["validate", "mine", "--root", "r" * 300],
        ["noise", "--out", "o/" * 3000 + "x"],
    ],
)
def test_names_beyond_the_limits_of_the_system(
    project: Path, model: Path, given: list[str]
) -> None:
    result = run(project, *[str(model) if word == "model" else word for word in given])
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error: ") == 1
    assert "long" in result.stderr or "cannot be read" in result.stderr
