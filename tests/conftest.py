"""What several tests need: the project's own files, and copies of it to run in."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# The same examples on every machine and in every run; more of them where all tests run.
EXAMPLES = 100 if os.environ.get("ONCOPIXEL_CI") else 25
settings.register_profile("same", deadline=None, derandomize=True, max_examples=EXAMPLES)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """TensorFlow takes its numbers of threads once a process: those of the pipeline."""
    if "tensorflow" in sys.modules:
        from oncopixel.core.params import read_params
        from oncopixel.networks.training import set_up

        set_up(read_params(ROOT / "params.yaml").train)


@pytest.fixture(scope="session")
def raw_params() -> dict:
    """The real params.yaml as a plain mapping; copy before you change it."""
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def until(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Waits for what must come about while `process` runs, however slow the machine is."""
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path) -> "Project":
        """The project's files without tests and results, no git history yet, and no cache."""
        files = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, files):
            if (ROOT / name).is_file() and not name.startswith(("tests/", "reports/")):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        (folder / "dvc.lock").unlink(missing_ok=True)
        project = cls(folder)
        project.run("git", "init", "-q", "-b", "main")
        return project

    def copy(self, folder: Path) -> "Project":
        """Everything, with git history, data and cache."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Project(folder)

    def clone(self, folder: Path) -> "Project":
        """What somebody else gets: the git history, without data and cache."""
        self.run("git", "clone", "-q", str(self.folder), str(folder))
        return Project(folder)

    def run(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess:
        """Runs a command in the project with this interpreter's tools first on PATH."""
        result = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False,
            env=self.environment | env,
        )  # fmt: skip
        if check and result.returncode:
            said = f"{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
            raise AssertionError(f"{command} ended with {result.returncode}:\n{said}")
        return result

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Runs `oncopixel` from the copy's own code."""
        return self.run(sys.executable, "-m", "oncopixel", *arguments, check=check)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def restore(self) -> None:
        """Puts the files of the last commit back, those of DVC too."""
        self.run("git", "checkout", "-q", ".")
        self.run("dvc", "checkout", "--force")

    def set_params(self, change) -> None:
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        tools = str(Path(sys.executable).parent)
        identity = {
            f"GIT_{who}_{what}": "test@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        return os.environ | identity | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "src",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc/tmp/site"),
            "LOKY_MAX_CPU_COUNT": "1",  # a worker process costs more than it does here
        }  # fmt: skip


def shrink(params: dict) -> None:
    """The real configuration, made small: one simulated cohort that runs in half a minute."""
    entry = params["cohorts"]["simulated"] | {"image": [18, 18]}
    smaller = {"n_samples": 240, "n_genes": 300, "n_markers": 30, "effect": 2.0}
    entry["source"] |= smaller
    entry["external"] = entry["external"] | {"source": entry["external"]["source"] | smaller}
    params["cohorts"] = {"simulated": entry}
    params["split"]["folds"] = 3
    params["train"] |= {"epochs": 8, "patience": 4, "members": 2, "cv_members": 1}
    params["baselines"] |= {"models": ["logistic_l2", "gradient_boosting"]}
    params["evaluate"]["bootstrap"] = 200
    params["stability"]["resamples"] = 2
    params["biomarkers"] |= {"permutations": 19}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A shrunken project whose pipeline has run and is committed; never change it, copy it.

    Made once for all processes of a test run.
    """
    own = tmp_path_factory.getbasetemp()
    place = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, done = place / "finished", place / "finished.done"
    with (place / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            project = Project.new(folder)
            project.set_params(shrink)
            project.commit("before")
            project.run("dvc", "repro")
            project.commit("after")
            done.touch()
    return Project(folder)
