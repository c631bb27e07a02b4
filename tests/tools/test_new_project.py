"""`new` makes a project that is oncopixel's own but for what speaks of its sources."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from oncopixel.cli import main
from oncopixel.core.errors import ArtifactError
from oncopixel.core.params import read_params
from oncopixel.tools import new_project

ROOT = Path(__file__).parents[2]
NEW, OWN = "oncopixel ", "PYTHONPATH=src python -m oncopixel "
WORKFLOW = ".github/workflows/pipeline.yml"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "project"
    new_project.run(folder)
    return folder


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_pipeline_is_the_same_but_for_the_package(project: Path) -> None:
    new, own = read(project / "dvc.yaml"), read(ROOT / "dvc.yaml")
    assert list(new) == list(own)
    assert list(new["stages"]) == list(own["stages"])
    for name, stage in own["stages"].items():
        expected = dict(stage["do"])
        deps = [dep for dep in expected["deps"] if not dep.startswith("src/")]
        at = deps.index("requirements.lock") + 1 if "requirements.lock" in deps else 0
        expected["deps"] = [*deps[:at], "requirements.txt", *deps[at:]]
        expected["cmd"] = expected["cmd"].replace(OWN, NEW)
        assert expected["cmd"].startswith(NEW)
        assert new["stages"][name] == {"foreach": "${cohorts}", "do": expected}
    assert new["artifacts"] == {"simulated": own["artifacts"]["simulated"]}
    assert "src/" not in (project / "dvc.yaml").read_text()
    assert "luad-keap1" not in (project / "dvc.yaml").read_text()


def test_parameters_are_the_same_but_for_the_shipped_cohort(project: Path) -> None:
    new, own = read(project / "params.yaml"), read(ROOT / "params.yaml")
    simulated = own["cohorts"]["simulated"] | {"inputs": "data/sources/no-files"}
    assert new == own | {"cohorts": {"simulated": simulated}}
    text = (project / "params.yaml").read_text()
    assert "src/" not in text
    assert read_params(project / "params.yaml").cohort("simulated").inputs == new_project.NO_FILES


def test_the_image_differs_only_in_where_the_package_comes_from(project: Path) -> None:
    def outside(name: Path) -> list[str]:
        """The lines but those of the stage that installs the package, and of where it is."""
        text = re.sub(r"(?s)AS package.*?\n\n", "", name.read_text())
        text = text.replace("/app/src:", "")
        text = text.replace(
            "# A tree mounted on /app goes before the image's copy of the code.\n", ""
        )
        return text.splitlines()[1:]

    assert outside(project / "Dockerfile") == outside(ROOT / "Dockerfile")
    text = (project / "Dockerfile").read_text()
    assert "COPY requirements.txt wheels* /tmp/package/\n" in text
    assert "-r /tmp/package/requirements.txt\n" in text
    assert "src" not in text
    kept = (project / ".dockerignore").read_text().splitlines()
    assert {"*", "!requirements.lock", "!requirements.txt", "!wheels"} <= set(kept)


def test_git_and_dvc_keep_what_they_keep_here(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    names = [
        "data/a/cohort.h5ad", "data/a/manifest.csv", "data/a/tune/study.jsonl", "reports/a/roc.csv",
        "data/sources/a/patients.csv", "data/sources/a.dvc", "models/a/ensemble.keras",
        "reports/a/report.html", ".dvc/cache/x", ".dvc/config", "data/sources/no-files/.gitignore",
        ".venv/x", "wheels/a.whl",
    ]  # fmt: skip
    for name in names:
        ignored = [
            subprocess.run(["git", "check-ignore", "-q", name], cwd=where, check=False).returncode
            for where in (project, ROOT)
        ]
        assert ignored[0] == ignored[1], name


def test_the_workflow_uses_the_actions_that_are_used_here(project: Path) -> None:
    def actions(text: str) -> set[str]:
        return set(re.findall(r"uses: (actions/\S+ # \S+)", text))

    ours = {
        a for path in (ROOT / ".github/workflows").glob("*.yml") for a in actions(path.read_text())
    }
    theirs = (project / WORKFLOW).read_text()
    assert actions(theirs)
    assert actions(theirs) <= ours
    (job,) = yaml.safe_load(theirs)["jobs"].values()
    reproduce = next(step["run"] for step in job["steps"] if step.get("name") == "Reproduce")
    script = reproduce.replace("dvc repro", "echo").replace("python -", f"{sys.executable} -")
    said = subprocess.run(
        ["bash", "-e", "-c", script], cwd=project, check=True, capture_output=True, text=True
    )
    assert said.stdout == "report@simulated\n"


def test_a_folder_with_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["oncopixel", "new", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_wheel_has_all_that_the_tree_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hatch = Path(sys.executable).with_name("hatchling")
    build = [str(hatch), "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    from_tree = new_project.contents()
    installed = tmp_path / "installed/oncopixel/tools/project"
    monkeypatch.setattr(new_project, "TEMPLATES", installed)
    monkeypatch.setattr(new_project, "TREE", tmp_path)
    assert new_project.contents() == from_tree
    (installed / "shipped/dvc.yaml").unlink()
    with pytest.raises(ArtifactError, match=r"lacks dvc\.yaml"):
        new_project.contents()


@pytest.mark.parametrize(
    ("record", "requirement"),
    [
        ('{"url": "https://x.org/oncopixel-0.1.0.whl"}', "oncopixel @ https://x.org/oncopixel-0.1.0.whl"),
        ('{"url": "https://x.org/a", "vcs_info": {"vcs": "git", "commit_id": "c0"}}', "oncopixel @ git+https://x.org/a@c0"),
        ('{"url": "file:///tree"}', "--find-links wheels\noncopixel==0.1.0"),
        (None, "--find-links wheels\noncopixel==0.1.0"),
    ],
)  # fmt: skip
def test_the_package_comes_from_where_it_came(
    monkeypatch: pytest.MonkeyPatch, record: str | None, requirement: str
) -> None:
    class Installed:
        def read_text(self, _: str) -> str | None:
            return record

    monkeypatch.setattr("importlib.metadata.distribution", lambda _: Installed())
    assert new_project.contents()["requirements.txt"].decode() == f"{requirement}\n"
