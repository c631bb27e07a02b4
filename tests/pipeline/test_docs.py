"""The site, built as `make docs` does, and its notebook on results of the pipeline."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project

ROOT = Path(__file__).parents[2]
pytest.importorskip("mkdocs", reason="needs requirements-docs.lock: make docs")


def build(folder: Path, site: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    environment = os.environ | {"PYTHONPATH": "src"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_nothing_comes_from_elsewhere(site: Path) -> None:
    for name in ("index", "parameters", "commands", "glossary", "examples", "api/cohort"):
        assert "<h1" in (site / f"{name}.html").read_text(encoding="utf-8"), name
    fetched = re.compile(r"(?:src=|<link[^>]+href=|url\(|@import )[\"']?(?:https?:)?//")
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        if "examples" not in path.parts:
            assert not fetched.search(path.read_text(encoding="utf-8")), path


def test_the_reference_holds_what_code_and_schema_say(site: Path) -> None:
    assert "--min-genes" in (site / "commands.html").read_text(encoding="utf-8")
    assert "train.patience" in (site / "parameters.html").read_text(encoding="utf-8")
    assert "read_cohort" in (site / "api/cohort.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", ["nowhere.md", "metrics.md#nowhere"])
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, link: str) -> None:
    project = Project.new(tmp_path / "project").folder
    page = project / "docs" / "glossary.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n[broken]({link})\n", encoding="utf-8")
    shutil.copytree(ROOT / "reports", project / "reports", dirs_exist_ok=True)
    done = build(project, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_the_notebook_runs_on_what_the_pipeline_wrote(finished: Project, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute",
        "--output-dir", str(tmp_path), str(ROOT / "docs" / "notebooks" / "results.ipynb"),
    ]  # fmt: skip
    cohort = {"ONCOPIXEL_COHORT": str(finished.folder / "data" / "simulated")}
    done = subprocess.run(
        command, env=os.environ | cohort, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "results.ipynb").read_text(encoding="utf-8")
    assert "240" in text
    assert text.count("image/png") == 1
