"""What a stage was run with is stored, and a record of DVC that says otherwise is noticed."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from oncopixel.core.errors import ArtifactError
from oncopixel.core.project import Paths
from oncopixel.core.provenance import recorded, verify
from oncopixel.reporting.prdiff import unproven

ROOT = Path(__file__).parents[2]
STAGE = """
import sys
from pathlib import Path
from oncopixel.core.project import Paths
from oncopixel.core.provenance import recorded
with recorded("split", Paths(Path(), "mine"), Path("params.yaml")):
    Path("out.txt").write_text(Path("inputs/a.txt").read_text())
if Path("late").exists():
    Path("params.yaml").write_text(Path("late").read_text())
"""
PIPELINE = {
    "stages": {
        "split": {
            "foreach": "${cohorts}",
            "do": {
                "cmd": f"{sys.executable} src/stage.py",
                "deps": ["src/stage.py", "one.txt", "${item.inputs}"],
                "params": ["cohorts.${key}", "train.seed", "split"],
                "outs": [
                    {"out.txt": {"cache": False}},
                    {"reports/${key}/provenance/split.json": {"cache": False}},
                ],
            },
        }
    }
}
PARAMS: dict[str, Any] = {
    "cohorts": {"mine": {"inputs": "inputs", "label": "x"}},
    "train": {"seed": 1, "epochs": 5},
    "split": {"fraction": 0.123456789, "folds": [1, 2]},
}


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    for name, text in {
        "dvc.yaml": yaml.safe_dump(PIPELINE), "params.yaml": yaml.safe_dump(PARAMS),
        "src/stage.py": STAGE, "inputs/a.txt": "a", "one.txt": "one",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Paths(tmp_path, "mine")


def dvc(paths: Paths, *command: str) -> str:
    tools = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(paths.root / "site"),
    }
    done = subprocess.run(
        ["dvc", *command], cwd=paths.root, capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def edit(paths: Paths, section: str, key: str, value: object) -> str:
    params = yaml.safe_load((paths.root / "params.yaml").read_text())
    params[section][key] = value
    return yaml.safe_dump(params)


@pytest.mark.slow
def test_a_record_that_dvc_makes_of_later_parameters_or_inputs_is_noticed(project: Paths) -> None:
    root = project.root
    dvc(project, "init", "--no-scm", "-q")
    dvc(project, "repro", "-q")
    verify(project)
    assert unproven(root, "mine") == []
    found = json.loads(project.report("provenance/split.json").read_text())
    assert found["params"]["split"] == PARAMS["split"]

    (root / "late").write_text(edit(project, "split", "fraction", 0.2))
    dvc(project, "repro", "-q", "--force")  # edits after the stage, before DVC looks
    with pytest.raises(ArtifactError, match=r"has another `split.fraction` for split@mine"):
        verify(project)
    (root / "late").unlink()
    dvc(project, "repro", "-q", "--force")
    verify(project)

    (root / "one.txt").write_text("two")
    dvc(project, "commit", "-q", "--force")
    with pytest.raises(ArtifactError, match=r"has another `one\.txt` for split@mine"):
        verify(project)
    assert unproven(root, "mine") == ["mine: split ran on another one.txt than dvc.lock says"]
    with (root / "src/stage.py").open("a") as code:
        code.write("\n")
    dvc(project, "repro", "-q")
    verify(project)

    (root / "params.yaml").write_text(edit(project, "train", "seed", 9))
    with recorded("split", project, root / "params.yaml"):
        pass
    verify(project)  # by hand: DVC's record is of another run


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("split", "fraction", 0.2),
        ("split", "new", 1),
        ("train", "seed", 2),
        ("cohorts", "mine", {}),
    ],
)
def test_parameters_edited_meanwhile_end_the_stage(
    project: Paths, section: str, key: str, value: object
) -> None:
    params = project.root / "params.yaml"
    with (
        pytest.raises(ArtifactError, match="changed while split ran"),
        recorded("split", project, params),
    ):
        params.write_text(edit(project, section, key, value))
    assert not project.report("provenance/split.json").exists()


@pytest.mark.parametrize("name", ["one.txt", "inputs/a.txt", "inputs/new", "src/stage.py"])
def test_inputs_changed_meanwhile_end_the_stage(project: Paths, name: str) -> None:
    with (
        pytest.raises(ArtifactError, match="changed while split ran"),
        recorded("split", project, project.root / "params.yaml"),
    ):
        (project.root / name).write_text("other")


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_parameters_that_are_no_more_end_the_stage(project: Paths, content: str) -> None:
    params = project.root / "params.yaml"
    with (
        pytest.raises(ArtifactError, match="changed while split ran"),
        recorded("split", project, params),
    ):
        params.write_text(content)


def test_what_the_stage_does_not_depend_on_may_change(project: Paths) -> None:
    params = project.root / "params.yaml"
    with recorded("split", project, params):
        params.write_text("# a word\n" + edit(project, "train", "epochs", 9))
    verify(project)


def test_nothing_is_stored_without_a_pipeline(project: Paths) -> None:
    (project.root / "dvc.yaml").unlink()
    with recorded("split", project, project.root / "params.yaml"):
        pass
    verify(project)
    assert not project.report("").exists()


def test_a_lock_that_another_dvc_is_writing_says_nothing(project: Paths) -> None:
    with recorded("split", project, project.root / "params.yaml"):
        pass
    record = project.report("provenance/split.json")
    digest = hashlib.md5(record.read_bytes(), usedforsecurity=False).hexdigest()
    out = {"path": record.relative_to(project.root).as_posix(), "md5": digest}
    stages = {
        "split@mine": {"deps": [{"path": "one.txt", "md5": "0"}], "outs": [out]},
        "split@other": {"outs": [out]},
    }
    whole, lock = yaml.safe_dump({"schema": "2.0", "stages": stages}), project.root / "dvc.lock"
    for end in range(whole.index("outs:")):
        lock.write_text(whole[:end])
        verify(project)
    lock.write_text(whole)
    with pytest.raises(ArtifactError, match=r"has another `one\.txt`"):
        verify(project)
