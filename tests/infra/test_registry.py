"""The model registry as docs/models.md tells it: from an experiment to whoever predicts with it."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from servers import BUCKET, READER, ROOT, S3, WRITER

from conftest import Project
from oncopixel.core.storage import read_h5ad

pytest_plugins = ["storage"]
MODEL = "models/simulated"
PARTS = ("ensemble.keras", "model.json", "preprocessor.parquet")


@pytest.fixture(scope="module")
def author(finished: Project, s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with git and storage remotes, pushed, and an experiment that made another model."""
    folder = tmp_path_factory.mktemp("registry")
    author = finished.copy(folder / "author")
    author.run("git", "init", "-q", "--bare", "-b", "main", str(folder / "origin.git"))
    author.run("git", "remote", "add", "origin", str(folder / "origin.git"))
    author.run("dvc", "remote", "add", "-d", "store", f"s3://{BUCKET}/models")
    for option in ("endpointurl", s3.endpoint), ("region", "us-east-1"), ("verify", "true"):
        author.run("dvc", "remote", "modify", "store", *option)
    author.commit("where the data are")
    author.run("git", "push", "-q", "origin", "main")
    author.run("dvc", "push", **WRITER)
    return author


def parts(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in PARTS}


def gto(project: Project, *arguments: str) -> None:
    project.run("gto", *arguments, "--push")


def fetched(origin: str, name: str, tmp_path: Path, *which: str) -> dict[str, bytes]:
    """What a consumer gets who has nothing of the project but the address of its repository."""
    folder = tmp_path / "fetched"
    shutil.rmtree(folder, ignore_errors=True)
    Project(tmp_path).run(
        "dvc", "artifacts", "get", origin, name, *which, "-o", folder.name, **READER
    )
    return parts(folder)


def test_from_an_experiment_to_production_and_back(author: Project, tmp_path: Path) -> None:
    origin = str(author.folder.parent / "origin.git")
    first = parts(author.folder / MODEL)
    gto(author, "register", "simulated", "--version", "v1.0.0")
    gto(author, "assign", "simulated", "--version", "v1.0.0", "--stage", "production")

    # a part of the model is enough here: to train and evaluate another takes half a minute
    author.run("dvc", "exp", "run", "-S", "preprocess.clip=5", "-n", "clip", "preprocess@simulated")
    second = parts(author.folder / MODEL)
    assert second["preprocessor.parquet"] != first["preprocessor.parquet"]
    author.run("dvc", "exp", "push", "origin", "clip", **WRITER)

    colleague = Project(tmp_path / "colleague")
    author.run("git", "clone", "-q", origin, str(colleague.folder))
    assert "clip" in colleague.run("dvc", "exp", "list", "origin").stdout
    colleague.run("dvc", "exp", "pull", "origin", "clip", **READER)
    colleague.run("dvc", "exp", "apply", "clip")
    assert parts(colleague.folder / MODEL) == second
    colleague.commit("clipped")
    colleague.run("git", "push", "-q", "origin", "main")
    gto(colleague, "register", "simulated", "--version", "v1.1.0")
    gto(colleague, "assign", "simulated", "--version", "v1.1.0", "--stage", "staging")
    typo = colleague.run(
        "gto", "assign", "simulated", "--version", "v1.1.0", "--stage", "prodction", check=False
    )
    assert typo.returncode == 1
    assert "Allowed stages are: '['staging', 'production']'" in typo.stderr

    assert fetched(origin, "simulated", tmp_path, "--rev", "v1.0.0") == first
    assert fetched(origin, "simulated", tmp_path, "--stage", "staging") == second
    gto(colleague, "assign", "simulated", "--version", "v1.1.0", "--stage", "production")
    assert fetched(origin, "simulated", tmp_path, "--stage", "production") == second
    gto(colleague, "assign", "simulated", "--version", "v1.0.0", "--stage", "production", "--force")
    assert fetched(origin, "simulated", tmp_path, "--stage", "production") == first

    cohort = read_h5ad(author.folder / "data/simulated/cohort.h5ad")
    samples = pd.DataFrame(
        cohort.layers["expression"][:7].T, index=cohort.var_names, columns=cohort.obs_names[:7]
    )
    samples.to_csv(tmp_path / "samples.csv", index_label="gene")
    Project(tmp_path).run(
        sys.executable, "-m", "oncopixel", "predict", "fetched", "samples.csv",
        PYTHONPATH=str(ROOT / "src"),
    )  # fmt: skip
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert list(predictions["sample"]) == list(samples.columns)
    assert predictions["p_case"].between(0, 1).all()


def test_another_repository_gets_and_imports_a_model(author: Project, tmp_path: Path) -> None:
    origin = str(author.folder.parent / "origin.git")
    mine = (author.folder / MODEL / "ensemble.keras").read_bytes()
    other = Project(tmp_path / "other")
    author.run("git", "init", "-q", "-b", "main", str(other.folder))
    other.run("dvc", "init", "-q")
    path = f"{MODEL}/ensemble.keras"
    revision = author.run("git", "rev-parse", "HEAD").stdout.strip()
    other.run("dvc", "get", origin, path, "-o", "got.keras", "--rev", revision, **READER)
    other.run("dvc", "import", origin, path, "-o", "imported.keras", "--rev", revision, **READER)
    assert (other.folder / "got.keras").read_bytes() == mine
    assert (other.folder / "imported.keras").read_bytes() == mine
    assert f"path: {path}" in other.text("imported.keras.dvc")
    (other.folder / "imported.keras").unlink()
    other.run("rm", "-r", ".dvc/cache")
    other.run("dvc", "pull", "imported.keras.dvc", **READER)  # from the repository it is of
    assert (other.folder / "imported.keras").read_bytes() == mine
