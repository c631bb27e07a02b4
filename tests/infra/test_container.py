"""The image, really built by both builders, and the pipeline, really run in it.

The image is built with BuildKit from the whole lock. The classic builder, three times slower, goes
through the same Dockerfile with the few packages that `oncopixel --version` needs.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from engine import base_image, build, docker, intermediate, need_engine, run

from conftest import Project
from oncopixel.cohort.contract import read_cohort
from oncopixel.core.project import version

TAG = "oncopixel-test"
CALLER = f"{os.getuid()}:{os.getgid()}"
STRANGER = "12345:23456" if os.getuid() == 0 else CALLER
"""A caller that no /etc/passwd lists; only root can make files of his, others are themselves."""
PLANTED = [
    ".env", "id_rsa", ".dvc/config.local", "data/private/matrix.tsv", "src/oncopixel/.env",
    "src/oncopixel/__pycache__/stale.pyc", "src/notes.txt",
]  # fmt: skip
FEW = [
    "annotated-doc", "hatchling", "markdown-it-py", "mdurl", "packaging", "pathspec", "pluggy",
    "pygments", "rich", "setuptools", "shellingham", "tomlkit", "trove-classifiers", "typer",
    "typing-extensions", "wheel",
]  # fmt: skip

BUILDERS = pytest.mark.parametrize("buildkit", [False, True], ids=["classic", "buildkit"])


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    need_engine()


@pytest.fixture(scope="module")
def tree(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with secrets lying about, as in a developer's folder."""
    folder = finished.clone(tmp_path_factory.mktemp("tree") / "oncopixel").folder
    for name in PLANTED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("for nobody else")
    return folder


@pytest.fixture(scope="module")
def image(tree: Path) -> Iterator[str]:
    labels = ("--build-arg", f"VERSION={version()}", "--build-arg", "REVISION=0123abcd")
    build(tree, "--tag", TAG, *labels, buildkit=True)
    yield TAG
    docker("rmi", "--force", TAG)


@pytest.fixture(scope="module")
def small(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same context with a lock of few packages."""
    folder = tmp_path_factory.mktemp("small") / "oncopixel"
    Project(tree).clone(folder)
    lock = (tree / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^\S.*\n(?: .*\n)*", lock, re.MULTILINE)
    kept = [entry for entry in entries if entry.split("==")[0] in FEW]
    assert len(kept) == len(FEW)
    (folder / "requirements.lock").write_text("".join(kept), encoding="utf-8")
    return folder


def mine(finished: Project, folder: Path, user: str) -> Project:
    """A clone without data and cache that belongs to `user`, down to git's own files."""
    finished.run("git", "clone", "-q", "--no-hardlinks", str(finished.folder), str(folder))
    uid, gid = map(int, user.split(":"))
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, uid, gid, follow_symlinks=False)
    return Project(folder)


def foreign_files(folder: Path, user: str) -> list[Path]:
    """Every file that is not the user's."""
    uid, gid = map(int, user.split(":"))
    return [p for p in folder.rglob("*") if (p.lstat().st_uid, p.lstat().st_gid) != (uid, gid)]


@BUILDERS
def test_builds_see_only_what_is_named(tree: Path, tmp_path: Path, buildkit: bool) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {base_image()}\nCOPY . /context\n")
    output = build(tree, "--file", str(dockerfile), "--tag", f"{TAG}:context", buildkit=buildkit)
    try:
        found = run(f"{TAG}:context", "find", "/context", "-type", "f", "-printf", "%P\n").stdout
    finally:
        docker("rmi", f"{TAG}:context", *([] if buildkit else intermediate(output)), check=False)
    tracked = Project(tree).run("git", "ls-files", "src/oncopixel").stdout.split()
    files = {"requirements.lock", "requirements-gpu.lock", "pyproject.toml", "README.md", "LICENSE"}
    assert set(found.split()) == files | set(tracked)


@BUILDERS
def test_a_change_of_source_keeps_the_dependencies(small: Path, buildkit: bool) -> None:
    before, after = f"{TAG}:before", f"{TAG}:after"
    ids = "--build-arg", "UID=4321", "--build-arg", "GID=5432"
    source = small / "src/oncopixel/__init__.py"
    changed = f"{version()}+{uuid.uuid4().hex}"  # no build before has seen it
    original = source.read_text(encoding="utf-8")
    made: list[str] = []
    try:
        made.append(build(small, "--tag", before, *ids, buildkit=buildkit))
        source.write_text(original.replace(version(), changed), encoding="utf-8")
        made.append(build(small, "--tag", after, *ids, buildkit=buildkit))
        assert run(before, "oncopixel", "--version").stdout.strip() == version()
        assert run(after, "oncopixel", "--version").stdout.strip() == changed
        assert run(after, "id").stdout.startswith("uid=4321 gid=5432")
    finally:
        source.write_text(original, encoding="utf-8")
        docker("rmi", before, after, check=False)
        if not buildkit:
            for output in reversed(made):
                docker("rmi", *intermediate(output), check=False)
    cached = cached_steps(made[1])
    for step in ("--require-hashes", "apt-get install", "COPY --from=dependencies"):
        assert any(step in line for line in cached), step
    assert not any("COPY --from=package" in line for line in cached)


def cached_steps(output: str) -> list[str]:
    """The Dockerfile's instructions that a builder, either of them, took from its cache."""
    classic = re.findall(r"^Step \d+/\d+ : (.*)\n ---> Using cache", output, re.MULTILINE)
    steps = dict(re.findall(r"^(#\d+) \[.*?\] (.*)", output, re.MULTILINE))
    return classic + [steps[n] for n in re.findall(r"^(#\d+) CACHED", output, re.MULTILINE)]


def test_image_is_small_and_has_no_build_tools(image: str) -> None:
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout) < 2.5e9
    look = "command -v gcc cc g++ clang ld make; ls /opt/*/bin | grep -E '^(pip|uv)'; true"
    assert run(image, "sh", "-c", look).stdout == ""
    assert "No module named pip" in run(image, "python", "-m", "pip", check=False).stdout
    run(image, "sh", "-c", "git --version && python -c 'import dvc_s3, xgboost'")


def test_image_says_what_it_is_and_tells_no_secret(image: str) -> None:
    config = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]
    assert config["User"] == "1000:1000"
    labels = {k.removeprefix("org.opencontainers.image."): v for k, v in config["Labels"].items()}
    assert labels["title"] == "oncopixel"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == version()
    assert labels["revision"] == "0123abcd"
    assert {"description", "source"} <= set(labels)
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    said = "\n".join([history, *config["Env"]])
    assert "COPY /opt/venv" in said
    assert not re.findall(r"(?i)secret|token|passw|credential|api_?key", said)


def test_mounted_code_runs_and_not_the_images(
    image: str, finished: Project, tmp_path: Path
) -> None:
    tree = finished.clone(tmp_path / "oncopixel").folder
    source = tree / "src/oncopixel/__init__.py"
    source.write_text(source.read_text(encoding="utf-8").replace(version(), "9.9.9"))
    both = "oncopixel --version; PYTHONPATH=src python -m oncopixel --version"
    assert run(image, "sh", "-c", both, mount=tree).stdout.split() == ["9.9.9"] * 2
    assert run(image, "oncopixel", "--version").stdout.strip() == version()


def test_pipeline_in_the_container_gives_the_hosts_bytes(
    image: str, finished: Project, tmp_path: Path
) -> None:
    """One core instead of the host's, and a uid that the image does not know."""
    project = mine(finished, tmp_path / "oncopixel", STRANGER)
    user = ("--user", STRANGER)
    output = run(image, mount=project.folder, options=(*user, "--cpus", "1")).stdout
    assert "Running stage 'report@simulated'" in output
    assert project.text("dvc.lock") == finished.text("dvc.lock")
    assert (project.folder / "reports/simulated/report.html").stat().st_size > 0
    assert foreign_files(project.folder, STRANGER) == []
    assert "Running stage" not in run(image, mount=project.folder, options=user).stdout
    status = ("git", "status", "--porcelain")
    assert run(image, *status, mount=project.folder, options=user).stdout == ""


def test_the_caller_need_not_be_a_stranger(image: str, finished: Project, tmp_path: Path) -> None:
    """Root has none of his capabilities here, so he too writes only what is his."""
    project = mine(finished, tmp_path / "oncopixel", CALLER)
    stage = ("dvc", "repro", "ingest@simulated")
    run(image, *stage, mount=project.folder, options=("--user", CALLER))
    assert foreign_files(project.folder, CALLER) == []
    assert project.text("dvc.lock") == finished.text("dvc.lock")


def test_predicts_with_the_images_own_code(image: str, finished: Project, tmp_path: Path) -> None:
    cohort = read_cohort(finished.folder / "data/simulated/cohort.h5ad")
    values = cohort.layer("expression").T
    frame = pd.DataFrame(values, index=cohort.genes.index, columns=cohort.samples.index)
    frame.to_csv(tmp_path / "new.tsv", sep="\t")
    model, new, out = finished.folder / "models/simulated", tmp_path / "new.tsv", "predictions.csv"
    finished.cli("predict", str(model), str(new), "--out", str(tmp_path / "host.csv"))
    options = ("--user", CALLER, "--volume", f"{model}:/model:ro")
    run(image, "oncopixel", "predict", "/model", "new.tsv", mount=tmp_path, options=options)
    assert (tmp_path / out).read_bytes() == (tmp_path / "host.csv").read_bytes()


def test_a_missing_or_unwritable_mount_is_named(
    image: str, finished: Project, tmp_path: Path
) -> None:
    nothing = run(image, check=False)
    assert nothing.returncode
    assert "not inside of a DVC repository" in nothing.stdout
    folder = finished.clone(tmp_path / "oncopixel").folder
    options = ("--user", CALLER, "--volume", f"{folder}:/app:ro")
    readonly = run(image, options=options, check=False)
    assert readonly.returncode
    assert "Read-only file system: '/app/.dvc/tmp" in readonly.stdout
