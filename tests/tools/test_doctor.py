"""`doctor` says what keeps a project from running, and nothing of one that can."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oncopixel.cli import main
from oncopixel.tools.doctor import examine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which everything is there, with a remote in a folder."""
    tools = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ONCOPIXEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("oncopixel.tools.doctor.LITTLE_DISK", 0)
    monkeypatch.setattr("oncopixel.tools.doctor.LEAST_DISK", 0)
    monkeypatch.setattr("oncopixel.tools.doctor.LITTLE_MEMORY", 0)
    folder = tmp_path / "project"
    for name in ("data/bundled/tcga-luad", "src/oncopixel/data", ".dvc"):
        (folder / name).mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    (tmp_path / "remote").mkdir()
    (folder / ".dvc/config").write_text(
        f"[core]\n    remote = here\n['remote \"here\"']\n    url = {tmp_path}/remote\n"
        "    verify = true\n"
    )
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in ("numpy", "dvc")]
    lines = [*pinned, 'no-such-package==1 ; sys_platform == "none" \\', "    --hash=sha256:00"]
    (folder / "requirements.lock").write_text("\n".join(lines) + "\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


def found(*, remote: bool = False) -> dict[str, list[str]]:
    """The texts by state."""
    texts: dict[str, list[str]] = {"ok": [], "warning": [], "problem": []}
    for finding in examine(Path("params.yaml"), Path(), remote=remote):
        texts[finding.state].append(finding.text)
    return texts


def test_a_project_that_can_run_has_no_problem(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = found(remote=True)
    assert (texts["warning"], texts["problem"]) == ([], [])
    assert any("can be reached" in text for text in texts["ok"])
    monkeypatch.setattr(sys, "argv", ["oncopixel", "doctor"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert any("not asked" in line for line in lines)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / name)


def write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as stream:
            stream.write(text)

    return change


def future(folder: Path) -> None:
    os.utime(folder / "dvc.yaml", (time.time() + 86_400,) * 2)


@pytest.mark.parametrize(
    ("change", "state", "text"),
    [
        (remove(".git"), "problem", "is in no git repository: run `git init`"),
        (remove(".dvc"), "problem", "is no DVC project"),
        (remove("src/oncopixel/data"), "problem", "cohort simulated: src/oncopixel/data does not"),
        (write("requirements.lock", "no-such-package==1\n"), "problem", "(no-such-package)"),
        (write("requirements.lock", "pandas==0.1\n"), "warning", "in place of ==0.1"),
        (write("params.yaml", "sulfur: 1\n"), "problem", "unknown key `sulfur`"),
        (write("models", ""), "problem", "models cannot be written"),
        (future, "warning", "dvc.yaml is later: set it"),
    ],
)
def test_what_is_wrong_is_said(
    project: Path, change: Callable[[Path], None], state: str, text: str
) -> None:
    change(project)
    texts = found()
    assert [text in line for line in texts[state]] == [True], texts


def test_a_problem_ends_with_status_2(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params.yaml").unlink()
    monkeypatch.setattr(sys, "argv", ["oncopixel", "doctor"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "problem  params.yaml does not exist" in capsys.readouterr().out


def test_a_remote_that_is_not_there_is_a_problem_only_when_asked(project: Path) -> None:
    config = project / ".dvc/config"
    config.write_text(config.read_text().replace("url = ", "url = http://127.0.0.1:9/"))
    assert found()["problem"] == []
    assert "cannot be read" in found(remote=True)["problem"][0]
    config.write_text(config.read_text().replace("http://127.0.0.1:9/", "/nowhere"))
    assert "does not exist" in found(remote=True)["problem"][0]
    config.write_text("")
    assert "dvc remote add" in found()["warning"][0]
