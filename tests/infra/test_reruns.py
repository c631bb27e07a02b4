"""`dvc repro` once more, and after a kill: the same bytes, whatever the number of processes."""

import itertools
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from conftest import Project, until


@pytest.fixture(scope="module")
def project(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has run once and is committed."""
    return finished.copy(tmp_path_factory.mktemp("project"))


def outs(project: Project) -> list[dict]:
    return yaml.safe_load(project.text("dvc.lock"))["stages"]["train@simulated"]["outs"]


def test_forced_run_gives_the_same_bytes_with_more_processes_too(project: Project) -> None:
    before = project.text("dvc.lock")
    project.run("dvc", "repro", "-f", LOKY_MAX_CPU_COUNT="2")
    assert project.text("dvc.lock") == before
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_killed_training_is_finished_by_the_next_run_with_the_same_result(
    project: Project,
) -> None:
    def begun() -> list[Path]:
        return list((project.folder / "data/simulated").glob(".oncopixel-partial-*"))

    for seed in itertools.count(7):  # once more, should the training have ended before the kill
        project.set_params(lambda params, seed=seed: params["train"].update(seed=seed))
        before = outs(project)
        process = subprocess.Popen(
            ["dvc", "repro", "train@simulated"], cwd=project.folder, start_new_session=True,
            env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda process=process: begun() or process.poll() is not None)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if begun():
            break

    project.run("dvc", "repro", "train@simulated")
    assert not begun()
    finished = project.text("dvc.lock"), project.text("reports/simulated/history.csv")
    assert outs(project) != before
    project.run("dvc", "repro", "-f", "-s", "train@simulated")
    assert (project.text("dvc.lock"), project.text("reports/simulated/history.csv")) == finished
    project.restore()
