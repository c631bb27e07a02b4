"""Every file that a source reads lies where DVC watches it: below the cohort's `inputs`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oncopixel.core.errors import SourceError
from oncopixel.core.params import (
    BundledSource,
    CbioportalSource,
    FilesSource,
    H5adSource,
    Source,
    XenaSource,
)
from oncopixel.sources import load

FOLDERS = ("in", ".git", "project")


def naming(name: str) -> list[Source]:
    """A source of every kind with a file of that name, each optional file among them."""
    pair = {"expression": "x.tsv", "samples": "s.csv"}
    files = [pair | {key: name} for key in ("expression", "samples", "copy_number", "mutation")]
    study = {"copy_number": None, "mutation": None, "patients": None, "sequenced": None}
    keys = ("expression", "samples", "copy_number", "mutation", "patients", "sequenced")
    return [
        *(FilesSource(kind="files", scale="log2", **entry) for entry in files),
        *(XenaSource(kind="xena", **entry) for entry in files),
        *(CbioportalSource(kind="cbioportal", **(study | {key: name})) for key in keys),
        H5adSource(kind="h5ad", path=name),
    ]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """`inputs` with real files, links of all kinds, and files beside it."""
    folder = tmp_path / "inputs"
    for part in (folder, *(folder / name for name in FOLDERS), tmp_path / "out"):
        part.mkdir()
        (part / "x.tsv").write_text("gene\tS1\nTP53\t1\n")
        (part / "s.csv").write_text("sample,patient\nS1,P1\n")
    (folder / "project" / ".dvc").mkdir()
    (folder / "linked.tsv").symlink_to(tmp_path / "out" / "x.tsv")
    (folder / "inside.tsv").symlink_to("in/x.tsv")
    (folder / "ring.tsv").symlink_to("ring.tsv")
    (folder / "away").symlink_to(tmp_path / "out")
    (folder / "current").symlink_to("in")
    os.mkfifo(folder / "pipe.tsv")
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../out/x.tsv", "does not lie below"),
        ("in/../../out/x.tsv", "does not lie below"),
        ("linked.tsv", "does not lie below"),
        ("away/x.tsv", "does not lie below"),
        ("{}/out/x.tsv", "does not lie below"),
        ("/etc/hostname", "does not lie below"),
        ("/dev/zero", "does not lie below"),
        ("current/x.tsv", "lies in a linked folder or another project below"),
        ("project/x.tsv", "lies in a linked folder or another project below"),
        (".git/x.tsv", "lies in a linked folder or another project below"),
        ("in", "is a folder, not a file"),
        (".", "is a folder, not a file"),
        ("", "is a folder, not a file"),
        ("pipe.tsv", "is a device or pipe, not a file"),
        ("a\0b.tsv", "is no name of a file"),
        ("ring.tsv", "is no name of a file|does not exist"),
        ("x" * 5000 + ".tsv", "is no name of a file|does not exist"),
    ],
)
def test_what_dvc_does_not_watch_is_refused(inputs: Path, name: str, message: str) -> None:
    for source in naming(name.format(inputs.parent)):
        with pytest.raises(SourceError, match=message):
            load(source, inputs)


@pytest.mark.parametrize("name", ["x.tsv", "in/x.tsv", "inside.tsv", "./in/../x.tsv", "{}/x.tsv"])
def test_what_dvc_watches_is_read(inputs: Path, name: str) -> None:
    pair = {"expression": name.format(inputs), "samples": "s.csv"}
    cohort, _ = load(FilesSource(kind="files", scale="log2", **pair), inputs)
    assert cohort.samples.index.tolist() == ["S1"]


def test_inputs_may_be_a_link_themselves(inputs: Path) -> None:
    (inputs.parent / "link").symlink_to("inputs")
    source = FilesSource(kind="files", scale="log2", expression="in/x.tsv", samples="s.csv")
    assert load(source, inputs.parent / "link")[0].samples.index.tolist() == ["S1"]


def test_a_bundled_cohort_is_no_exception(inputs: Path) -> None:
    (inputs / "expression.parquet").symlink_to(inputs.parent / "out" / "x.tsv")
    with pytest.raises(SourceError, match=r"expression\.parquet does not lie below"):
        load(BundledSource(kind="bundled"), inputs)


def test_a_name_on_a_server_is_no_file(inputs: Path) -> None:
    """It is not looked for on this machine; nobody answers there."""
    for source in (
        XenaSource(kind="xena", hub="http://127.0.0.1:1", expression="../x.tsv", samples="s"),
        CbioportalSource(kind="cbioportal", url="http://127.0.0.1:1", expression="../x.tsv"),
    ):
        with pytest.raises(SourceError) as caught:
            load(source.model_copy(update={"minutes": 0}), inputs)
        assert "inputs" not in str(caught.value)


def test_dvc_sees_what_is_read_and_not_what_is_refused(inputs: Path) -> None:
    """The reason for the rules above."""
    for name in ("pipe.tsv", "ring.tsv"):
        (inputs / name).unlink()
    (inputs.parent / "dvc.yaml").write_text("stages: {read: {cmd: 'true', deps: [inputs]}}\n")

    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(
            command, cwd=inputs.parent, check=True, capture_output=True, text=True
        )
        return done.stdout

    dvc("init", "--no-scm", "-q")
    dvc("repro", "-q")
    for folder in (inputs / "project", inputs / ".git", inputs / "away"):
        (folder / "s.csv").write_text("another content")
    assert "modified" not in dvc("status")
    for path in (inputs / "in" / "x.tsv", inputs / "linked.tsv"):
        before = path.read_text()
        path.write_text("another content")
        assert "modified" in dvc("status")
        path.write_text(before)
