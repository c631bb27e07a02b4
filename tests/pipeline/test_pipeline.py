"""The real `dvc repro` on a shrunken real configuration, and what people then do with it."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import yaml

from conftest import Project
from oncopixel.cohort.contract import read_cohort, write_cohort
from oncopixel.core.params import parse_params
from oncopixel.core.storage import read_keras, sha256
from oncopixel.images.preprocessor import read_preprocessor

STAGES = [
    "plan", "ingest", "validate", "preprocess", "baselines", "train", "evaluate", "stability",
    "biomarkers", "external", "report",
]  # fmt: skip


@pytest.fixture(scope="module")
def project(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has run once and is committed."""
    return finished.copy(tmp_path_factory.mktemp("project"))


def lock(project: Project) -> dict:
    return yaml.safe_load(project.text("dvc.lock"))["stages"]


def test_every_stage_ran_and_its_files_are_there(project: Project) -> None:
    assert set(lock(project)) == {f"{stage}@simulated" for stage in STAGES}
    for stage in lock(project).values():
        for out in stage["outs"]:
            assert (project.folder / out["path"]).stat().st_size > 0


def test_what_the_convolutions_add_is_said(project: Project) -> None:
    detail = json.loads(project.text("reports/simulated/evaluation.json"))
    others = {name for name in detail["cnn_minus"] if not name.startswith("panel_")}
    assert others == {"linear_path", "logistic_l2", "gradient_boosting"}
    panels = {f"panel_{size}" for size in (5, 10, 20, 50)}
    assert set(detail["cnn_minus"]) - others == panels
    assert detail["best_baseline"] in {"logistic_l2", "gradient_boosting"}


def test_nothing_that_holds_samples_is_in_git(project: Project) -> None:
    tracked = project.run("git", "ls-files").stdout.splitlines()
    assert "reports/simulated/metrics.json" in tracked
    manifest = "data/simulated/manifest.csv"  # of a source that downloads, it names open files
    held = [f for f in tracked if f.startswith(("data/simulated", "models/simulated"))]
    assert held == [manifest, "models/simulated/card.md", "models/simulated/panel.json"]
    samples = set(pd.read_parquet(project.folder / "data/simulated/splits.parquet")["sample"])
    for path in (
        *(project.folder / name for name in held),
        *(project.folder / "reports/simulated").rglob("*.*"),
    ):
        text = path.read_bytes().decode("utf-8", "ignore")
        assert not [s for s in samples if s in text], path


def test_second_run_does_nothing(project: Project) -> None:
    output = project.run("dvc", "repro").stdout
    assert "Running stage" not in output
    assert project.run("git", "status", "--porcelain").stdout == ""


def drop_external(params: dict) -> None:
    params["cohorts"]["simulated"].pop("external")


def claim(params: dict) -> None:
    params["cohorts"]["simulated"]["claim"] = "associated"


def own_epochs(params: dict) -> None:
    """The value that it has anyway: what is fitted is the same, so what reads only that is, too."""
    params["cohorts"]["simulated"]["train"]["epochs"] = params["train"]["epochs"]


def tolerance(params: dict) -> None:
    params["report"]["tolerance"] = 0.5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_external, {"plan", "ingest", "validate", "preprocess", "external", "report"}),
        (claim, {"plan", "biomarkers", "external", "report"}),
        (own_epochs, {"plan", "train", "stability", "external", "report"}),
        (tolerance, {"report"}),
    ],
)
def test_a_change_runs_the_stages_that_read_it_and_no_other(
    project: Project, tmp_path: Path, change: Callable[[dict], None], expected: set[str]
) -> None:
    other = project.copy(tmp_path / "other")
    other.set_params(change)
    output = other.run("dvc", "repro").stdout
    assert set(re.findall(r"Running stage '(\w+)@simulated'", output)) == expected


def test_values_of_held_out_patients_change_neither_the_model_nor_its_markers(
    project: Project, tmp_path: Path
) -> None:
    other = project.copy(tmp_path / "other")
    cohort = read_cohort(other.folder / "data/simulated/cohort.h5ad")
    splits = pd.read_parquet(other.folder / "data/simulated/splits.parquet").set_index("sample")
    test = (splits.loc[cohort.samples.index, "part"] == "test").to_numpy()
    assert test.sum() > 20
    for channel in cohort.channels:
        layer = np.array(cohort.layer(channel))
        layer[test] = layer[test][::-1, ::-1]
        cohort.data.layers[channel] = layer
    write_cohort(other.folder / "data/simulated/cohort.h5ad", cohort)
    stages = ("preprocess", "baselines", "train", "evaluate", "stability", "biomarkers")
    program = "from oncopixel.cli import app\nfor stage in {}: app([stage, 'simulated'], {})"
    other.run(sys.executable, "-c", program.format(stages, "standalone_mode=False"))

    def result(name: str) -> tuple[Path, Path]:
        return project.folder / name, other.folder / name

    assert sha256(result("data/simulated/images.npy")[0]) != sha256(
        result("data/simulated/images.npy")[1]
    )
    reports = [
        "units",
        "modules",
        "two_hits",
        "regions",
        "enrichment",
        "recovery",
        "fdp",
        "biomarkers",
    ]
    for name in (
        "models/simulated/preprocessor.parquet", "models/simulated/ensemble.keras",
        "data/simulated/ranking.parquet",
        "reports/simulated/stability.json", *(f"reports/simulated/{n}.csv" for n in reports),
    ):  # fmt: skip
        before, after = result(name)
        assert sha256(before) == sha256(after), name
    out_of_fold = [
        pd.read_parquet(path).query("part == 'cv'")
        for path in result("data/simulated/cnn_predictions.parquet")
    ]
    pd.testing.assert_frame_equal(*out_of_fold, check_exact=True)
    before, after = result("reports/simulated/biomarkers.json")
    assert before.read_text() == after.read_text()


def test_metrics_params_and_plots_are_shown(project: Project) -> None:
    metrics = json.loads(project.run("dvc", "metrics", "show", "--json").stdout)
    shown = metrics[""]["data"]["reports/simulated/summary.json"]["data"]
    assert {"verdict", "cv", "test", "simple", "diff", "panel", "genes"} <= set(shown)
    assert 0 <= shown["test"] <= 1
    project.run("dvc", "plots", "show")
    page = project.text("dvc_plots/index.html")
    assert "simulated: ROC" in page
    assert "cdn." not in page


def test_a_parameter_is_tried_and_compared(project: Project) -> None:
    project.run("dvc", "exp", "run", "-n", "stricter", "-S", "report.tolerance=0.003")
    ran = lock(project)["report@simulated"]["params"]["params.yaml"]["report"]
    assert ran["tolerance"] == 0.003
    assert "report.tolerance" in project.run("dvc", "params", "diff").stdout
    table = project.run("dvc", "exp", "show", "--csv").stdout
    assert "stricter" in table
    project.restore()
    assert project.run("dvc", "status", "-q", check=False).returncode == 0


@contextmanager
def studio() -> Iterator[tuple[str, list[dict]]]:
    """Address of a server that takes what DVC tells DVC Studio, and the messages."""
    told: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_studio_sees_each_epoch_while_a_network_is_trained(project: Project) -> None:
    with studio() as (address, told):
        project.run(
            "dvc", "exp", "run", "-f", "-s", "train@simulated",
            DVC_STUDIO_URL=address, DVC_STUDIO_TOKEN="isat_none",  # noqa: S106
            DVC_STUDIO_REPO_URL="github:example/example",
        )  # fmt: skip
    folder = "reports/simulated/live/plots/metrics"
    curve = pd.read_csv(project.folder / folder / "eval/loss.tsv", sep="\t")
    steps = {one["step"] for one in told if f"{folder}/eval/loss.tsv" in one.get("plots", {})}
    assert steps == set(curve["step"])
    assert len(steps) > 1
    assert project.run("dvc", "status", "-q", check=False).returncode == 0
    assert project.run("git", "status", "--porcelain").stdout == ""  # the same bytes


def test_model_loads_with_plain_keras(project: Project) -> None:
    model = read_keras(project.folder / "models/simulated/ensemble.keras")
    assert model.input_shape == (None, 18, 18, 3)
    assert model.output_shape == (None, members_left(project), 2)


def members_left(project: Project) -> int:
    """Members of the final ensemble: one where its linear path is all."""
    chosen = json.loads(project.text("reports/simulated/training.json"))
    left: int = chosen["final"]["members"]
    return left


def test_bad_data_stops_the_pipeline_with_status_3(project: Project) -> None:
    def few(params: dict) -> None:
        params["validation"]["min_samples"] = 5_000

    project.set_params(few)
    repro = project.run("dvc", "repro", check=False)
    assert repro.returncode != 0
    assert "exited with 3" in repro.stderr
    assert "240" in repro.stderr
    assert "preprocess@simulated" not in repro.stdout.split("validate@simulated")[-1]
    project.restore()


def test_shipped_parameters_are_valid(raw_params: dict) -> None:
    assert set(parse_params(raw_params).cohorts) == {"luad-keap1", "simulated"}


def test_predict_reproduces_the_pipeline_and_refuses_foreign_genes(
    project: Project, tmp_path: Path
) -> None:
    cohort = read_cohort(project.folder / "data/simulated/cohort.h5ad")
    names = {
        "expression": "expression.tsv",
        "copy_number": "copy_number.tsv",
        "mutation": "mutation.tsv",
    }
    for channel, name in names.items():
        frame = pd.DataFrame(
            cohort.layer(channel).T, index=cohort.genes.index, columns=cohort.samples.index
        )
        frame.to_csv(tmp_path / name, sep="\t")
    arguments = [
        "predict", "models/simulated", str(tmp_path / "expression.tsv"),
        "--copy-number", str(tmp_path / "copy_number.tsv"),
        "--mutation", str(tmp_path / "mutation.tsv"),
    ]  # fmt: skip
    further = ["--panel", "--explain", str(tmp_path / "why.csv")]
    result = project.cli(*arguments, *further, "--out", str(tmp_path / "out.csv"))
    n_genes = len(read_preprocessor(project.folder / "models/simulated/preprocessor.parquet").genes)
    assert f"{n_genes} of the model's {n_genes} genes found" in result.stderr
    mine = pd.read_csv(tmp_path / "out.csv").set_index("sample")
    theirs = pd.read_parquet(project.folder / "data/simulated/predictions.parquet")
    panel = json.loads((project.folder / "models/simulated/panel.json").read_text())
    for model, column in {"cnn": "p_case", f"panel_{panel['size']}": "panel_case"}.items():
        own = theirs[(theirs["model"] == model) & (theirs["part"] == "test")].set_index("sample")
        assert mine.loc[own.index, column].to_numpy() == pytest.approx(own["p_1"], abs=1e-4)
    assert mine["spread"].isna().all() == (members_left(project) == 1)
    why = pd.read_csv(tmp_path / "why.csv")
    assert set(why["sample"]) == set(mine.index)

    few = pd.read_csv(tmp_path / "expression.tsv", sep="\t", index_col=0)
    of_panel = {feature["gene"] for feature in panel["features"]}
    few.loc[few.index.isin(of_panel)].to_csv(tmp_path / "assay.tsv", sep="\t")
    alone = [*arguments[:2], str(tmp_path / "assay.tsv"), "--panel", "--min-genes", "0.9"]
    unwritten = tmp_path / "nothing.csv"
    alone += ["--explain", str(unwritten)]
    result = project.cli(*alone, "--out", str(tmp_path / "assay.csv"))
    assert "only the panel is" in result.stderr
    assert f"{unwritten} is not written" in result.stderr
    assert not unwritten.exists()
    scores = pd.read_csv(tmp_path / "assay.csv")
    assert scores["p_case"].isna().all()
    assert scores["panel_case"].between(0, 1).all()
    few.drop(index=list(of_panel)[:1], errors="ignore").iloc[:9].to_csv(
        tmp_path / "lacking.tsv", sep="\t"
    )
    refused = project.cli(*alone[:2], str(tmp_path / "lacking.tsv"), *alone[3:], check=False)
    assert refused.returncode == 2
    assert "which the panel needs" in refused.stderr

    frame = pd.read_csv(tmp_path / "expression.tsv", sep="\t", index_col=0)
    frame.index = [f"FOREIGN{i}" for i in range(len(frame))]
    frame.to_csv(tmp_path / "foreign.tsv", sep="\t")
    refused = project.cli(
        "predict",
        "models/simulated",
        str(tmp_path / "foreign.tsv"),
        "--out",
        str(tmp_path / "no.csv"),
        check=False,
    )
    assert refused.returncode == 2
    assert not (tmp_path / "no.csv").exists()


def test_artifact_of_another_run_is_refused_by_predict(project: Project, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(project.folder / "models/simulated", tmp_path / "model")
    other = tmp_path / "model/preprocessor.parquet"
    frame = pd.read_parquet(other)
    assert sha256(other)
    frame.to_parquet(other)
    result = project.cli("predict", str(tmp_path / "model"), "whatever.tsv", check=False)
    assert result.returncode == 2
    assert "preprocessor" in result.stderr
