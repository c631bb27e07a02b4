"""`list` shows the committed results, and which of them are of other inputs or parameters."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import Project
from oncopixel.cli import main
from oncopixel.core.storage import write_json
from oncopixel.tools import cohort_list

ROOT = Path(__file__).parents[2]


def lines(text: str) -> dict[str, list[str]]:
    """The cells by the first of each line."""
    cells = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()
    ]
    return {first: rest for first, *rest in cells}


def test_what_the_reports_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = tmp_path / "reports/luad-keap1"
    scores = {"cv_roc_auc": 0.90634, "test_roc_auc": 0.98117}
    forest = {"cv_roc_auc": 0.92029, "test_roc_auc": 0.97035}
    metrics = {"verdict": "signal", "cnn": scores, "random_forest": forest}
    write_json(reports / "metrics.json", metrics)
    write_json(reports / "evaluation.json", {"best_baseline": "random_forest"})
    write_json(reports / "biomarkers.json", {"list": {"genes": 518}})
    monkeypatch.setattr(sys, "argv", ["oncopixel", "list", "--quick", "--root", str(tmp_path)])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    found = lines(capsys.readouterr().out)
    best = "random_forest 0.920, 0.970"
    assert found["luad-keap1"] == ["signal", "0.906", "0.981", best, "518", "0 min", "?"]
    assert found["simulated"] == ["no results", *"------"]
    (reports / "evaluation.json").write_text("{")
    assert best not in cohort_list.run(ROOT / "params.yaml", tmp_path, status=False)


def test_age_is_that_of_the_commit_unless_the_file_was_changed_since(tmp_path: Path) -> None:
    project = Project(tmp_path)
    metrics = tmp_path / "metrics.json"
    metrics.write_text("{}")
    project.run("git", "init", "-q")
    project.run("git", "add", ".")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(
        ["git", *who, "commit", "-qm", "x"], cwd=tmp_path, check=True,
        env={"GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert int(cohort_list._age(metrics).removesuffix(" d")) > 2000
    metrics.write_text('{"a": 1}')
    assert cohort_list._age(metrics) == "0 min"


def test_stale_is_what_another_parameter_or_input_made_so(tmp_path: Path) -> None:
    """Results whose files are elsewhere are not stale, as in a fresh clone."""
    stage = {
        "foreach": "${cohorts}",
        "do": {
            "cmd": "cp params.yaml data/${key}.txt",
            "params": ["cohorts.${key}.label"],
            "outs": ["data/${key}.txt"],
        },
    }
    later = {"cmd": "cp data/a.txt b.txt", "deps": ["data/a.txt"], "outs": ["b.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"plan": stage, "later": later}}))
    cohorts = {name: {"label": "x", "inputs": "in"} for name in ("a", "b")}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"cohorts": cohorts}))
    (tmp_path / "data").mkdir()
    project = Project(tmp_path)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    assert cohort_list._stale(tmp_path, cohorts) == {"a": "stale: plan", "b": "stale: plan"}
    project.run("dvc", "repro", "-q", "plan")
    assert cohort_list._stale(tmp_path, cohorts) == {"a": "current", "b": "current"}
    (tmp_path / "data/a.txt").unlink()
    assert cohort_list._stale(tmp_path, cohorts)["a"] == "current"
    cohorts["b"]["label"] = "y"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"cohorts": cohorts}))
    assert cohort_list._stale(tmp_path, cohorts) == {"a": "current", "b": "stale: plan"}
    (tmp_path / "dvc.yaml").write_text("stages: 1\n")
    assert cohort_list._stale(tmp_path, cohorts) == {"a": "?", "b": "?"}


def test_the_page_sets_cohorts_and_experiments_side_by_side(tmp_path: Path) -> None:
    for name in ("evaluation", "biomarkers", "external", "metrics", "summary"):
        for cohort in ("luad-keap1", "simulated"):
            file = f"reports/{cohort}/{name}.json"
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
    scores = "reports/simulated/summary.json"
    (tmp_path / "dvc.yaml").write_text(
        yaml.safe_dump(
            {"params": ["params.yaml"], "metrics": [scores, "reports/luad-keap1/summary.json"]}
        )
    )
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    project = Project(tmp_path)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    project.commit("results")
    project.set_params(lambda params: params["train"].update(kernel=7))
    metrics = json.loads(project.text(scores))
    metrics["test"] = 0.877
    write_json(tmp_path / scores, metrics)
    project.run("dvc", "exp", "save", "--name", "wide-kernel")
    project.run("git", "checkout", "-q", ".")
    page = tmp_path / "reports/index.html"
    cohort_list.run(tmp_path / "params.yaml", tmp_path, status=False, html=page)
    html = page.read_text()
    day = project.run("git", "log", "-1", "--format=%cs, %h").stdout.strip()
    assert f">{day}</span></td>" in html
    assert '<a href="luad-keap1/report.html">luad-keap1</a>' in html
    assert "Does gene expression tell which tumours have a mutated KEAP1?" in html
    rows = re.findall(r"<tr><th[^>]*>wide-kernel</th>.*?</tr>", html, re.DOTALL)
    assert ["train.kernel = 7" in row for row in rows] == [True, True]
    assert [">0.877<" in row for row in rows] == [False, True]
    (tmp_path / "reports/simulated/metrics.json").write_text("{}")
    cohort_list.run(tmp_path / "params.yaml", tmp_path, status=False, html=page)
    assert "not committed" in page.read_text()
