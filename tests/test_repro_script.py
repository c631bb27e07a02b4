"""`scripts/repro.sh`: cohorts side by side, each line with its cohort, all of them to the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/repro.sh"
DVC = """#!/usr/bin/env bash
echo "$* with $LOKY_MAX_CPU_COUNT"
case "$*" in *@bad*) echo "ERROR: failed" >&2; exit 255 ;; esac
sleep 0.3; touch "done-${*: -1}"
"""
"""What DVC does, its exit status of a failed stage included."""


def run(folder: Path, cohorts: list[str], cores: int) -> subprocess.CompletedProcess[str]:
    """On a machine of so many cores."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "dvc").write_text(DVC)
    (tools / "dvc").chmod(0o755)
    (tools / "joblib.py").write_text(f"def cpu_count():\n    return {cores}\n")
    entries = "".join(f"  {name}: {{}}\n" for name in cohorts)
    (folder / "params.yaml").write_text(f"cohorts:\n{entries}")
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(tools)}
    environment.pop("LOKY_MAX_CPU_COUNT", None)
    return subprocess.run(
        [SCRIPT, "--force"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("cores", "each"), [(2, 1), (5, 2), (64, 32)])
def test_cores_are_shared_out_and_lines_tell_their_cohort(
    tmp_path: Path, cores: int, each: int
) -> None:
    done = run(tmp_path, ["one", "two"], cores)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"{name}: --wait-for-lock repro --glob *@{name} --force with {each}"
        for name in ("one", "two")
    ]


def test_a_cohort_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    done = run(tmp_path, ["bad", "good", "other"], 2)
    assert done.returncode != 0
    assert "bad: ERROR: failed" in done.stdout
    assert done.stdout.count("--glob") == 3
    assert (tmp_path / "done---force").is_file()


@pytest.mark.parametrize(("cohorts", "cores"), [(["one"], 4), (["one", "two"], 1), ([], 4)])
def test_with_one_cohort_or_core_it_is_dvc_itself_which_tells_what_is_wrong(
    tmp_path: Path, cohorts: list[str], cores: int
) -> None:
    assert run(tmp_path, cohorts, cores).stdout.strip() == "repro --force with"
