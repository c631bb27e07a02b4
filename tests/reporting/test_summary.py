"""DVC's own views of the committed results: narrow, titled, and without network."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from oncopixel.reporting.summary import summarise

ROOT = Path(__file__).parents[2]
COHORTS = ("luad-keap1", "simulated")
LAPTOP = 120


def summary(cohort: str) -> dict:
    evaluation, biomarkers, external = (
        json.loads((ROOT / f"reports/{cohort}/{name}.json").read_text())
        for name in ("evaluation", "biomarkers", "external")
    )
    panel = json.loads((ROOT / f"models/{cohort}/panel.json").read_text())
    return summarise(evaluation, biomarkers, external, panel)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline with the committed results, without git and the code."""
    folder = tmp_path_factory.mktemp("views")
    for name in (".dvc/config", "dvc.yaml", "params.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    config = folder / ".dvc/config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    no_scm = true\n"))
    for name in (".dvc/plots", *(f"reports/{cohort}" for cohort in COHORTS)):
        shutil.copytree(ROOT / name, folder / name)
    for cohort in COHORTS:
        (folder / f"reports/{cohort}/summary.json").write_text(json.dumps(summary(cohort)))
    return folder


def dvc(project: Path, *arguments: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "COLUMNS": "1000"}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_summary_is_of_what_the_results_say() -> None:
    found = summary("simulated")
    metrics = json.loads((ROOT / "reports/simulated/metrics.json").read_text())
    assert found["verdict"] == metrics["verdict"]
    assert found["cv"] == round(metrics["cnn"]["cv_roc_auc"], 3)
    assert found["test"] == round(metrics["cnn"]["test_roc_auc"], 3)
    assert found["diff"] == round(metrics["cnn_minus_best_baseline"]["cv"], 3)
    assert found["panel"] == round(metrics["panel"]["cv_roc_auc"], 3)
    assert found["diff"] == pytest.approx(found["cv"] - found["simple"], abs=0.0015)
    assert len(found) <= 9


def test_what_a_cohort_does_not_have_is_none() -> None:
    assert summary("luad-keap1")["external"] is None
    bare = {"verdict": "no signal", "best_baseline": None, "cnn_minus": {}, "models": {}}
    found = summarise(bare, {"list": {"genes": 0}}, {"external": None}, {})
    assert found.pop("verdict") == "no signal"
    assert found.pop("genes") == 0
    assert set(found.values()) == {None}


def test_metrics_fit_in_a_terminal(project: Path) -> None:
    lines = dvc(project, "metrics", "show").splitlines()
    assert len(lines) == 1 + len(COHORTS)
    assert max(map(len, lines)) <= LAPTOP
    assert [line.split()[0] for line in lines[1:]] == [f"reports/{c}/summary.json" for c in COHORTS]


def test_plots_have_titles_and_need_no_network(project: Path) -> None:
    dvc(project, "plots", "show")
    page = (project / "dvc_plots/index.html").read_text()
    body = page[page.index("<body>") :]
    assert not re.search(r"<script[^>]* src|<link", page)
    titles = re.findall(r'"title": "([^"]+: [^"]+|The network[^"]+)"', body)
    assert titles[0] == "The network in all cohorts, ROC"
    assert {f"{cohort}: {what}" for cohort in COHORTS for what in ("ROC", "calibration")} <= set(
        titles
    )
    assert "figures/evaluate" not in body, "the same curves twice"


def test_the_comparison_has_every_cohort() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    plots = [content for plot in pipeline["plots"] for content in plot.values()]
    together = [plot for plot in plots if plot["template"] == "cohorts"]
    assert len(together) == 2
    for content in together:
        assert [Path(name).parts[1] for name in content["y"]] == sorted(pipeline["artifacts"])
