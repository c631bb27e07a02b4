"""`remote check`: what a remote lacks or holds damaged is named, and nothing else is touched."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oncopixel.tools import remote


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host/x", "http://me@host/x"),
        ("GET https://:secret@host:80/x failed", "GET https://@host:80/x failed"),
        ("ssh://me@host:22/x", "ssh://me@host:22/x"),
        ("s3://bucket/a@b:c", "s3://bucket/a@b:c"),
        ("http://me:p@sSECRET@host", "http://me@host"),
        ("http://me:p/SEC?RET@host/x", "http://me@host/x"),
        ("https://host/x?sp=r&sig=SECRET failed", "https://host/x failed"),
        ("http://me:SECRET@host/x?sig=SEC:RET@z", "http://me@z"),
    ],
)
def test_no_secret_is_shown(text: str, shown: str) -> None:
    assert remote._line(ValueError(text)) == shown


def test_a_secret_is_left_out_before_the_text_is_cut() -> None:
    said = remote._line(ValueError(f"{'x' * 280} http://me:SECRET-OF-MINE@host/x"))
    assert "SECRET" not in said
    assert len(said) <= 300


def check(folder: Path, *arguments: str, status: int = 2) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "oncopixel", "remote", "check", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def run(folder: Path, *command: str) -> None:
    who = {f"GIT_{w}_{x}": "a@b" for w in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | who | {"PATH": path}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=env)


def files(project: Path) -> dict[Path, bytes]:
    found = (path for path in project.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found if ".dvc/tmp" not in path.as_posix()}


def test_outside_a_project(tmp_path: Path) -> None:
    assert "this is no DVC project. Run it inside one." in check(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nno_scm = true\n", encoding="utf-8")
    assert "no default remote is configured" in check(tmp_path)


def test_nothing_checked_is_no_success(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    config = "[core]\nno_scm = true\nremote = store\n['remote \"store\"']\nurl = ../store\n"
    (tmp_path / ".dvc/config").write_text(config, encoding="utf-8")
    said = check(tmp_path)
    assert "Run `dvc remote modify store verify true`" in said
    assert "error: nothing to check" in said
    assert "no remote is called stor (did you mean store?)" in check(tmp_path, "-r", "stor")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A file and a folder in a remote, and an earlier version of the file."""
    folder = tmp_path / "project"
    (folder / "d/sub").mkdir(parents=True)
    for name in ("d/a", "d/sub/b"):
        (folder / name).write_text(name, encoding="utf-8")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    run(folder, "dvc", "remote", "modify", "store", "verify", "true")
    for content in ("earlier", "now"):
        (folder / "f").write_text(content, encoding="utf-8")
        run(folder, "dvc", "add", "-q", "f", "d")
        run(folder, "dvc", "push", "-q")
        run(folder, "git", "add", "-A")
        run(folder, "git", "commit", "-q", "-m", content)
    return folder


def stored(project: Path, content: str) -> Path:
    md5 = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    path = project.parent / "store/files/md5" / md5[:2] / md5[2:]
    path.chmod(0o644)
    return path


def test_what_is_missing_or_damaged_is_named_whatever_the_cache_and_workspace_hold(
    project: Path,
) -> None:
    assert "4 sound objects" in check(project, status=0)
    stored(project, "d/sub/b").write_text("d/sub/c", encoding="utf-8")
    stored(project, "now").unlink()
    before = files(project)
    said = check(project, status=3)
    assert "2 sound objects" in said
    assert "  damaged: d/sub/b\n  missing: f\n" in said
    assert files(project) == before
    stored(project, "d/sub/b").unlink()
    assert "  missing: d/sub/b\n  missing: f\n" in check(project, status=3)
    # as docs/remotes.md says
    for listing in project.parent.glob("store/files/md5/*/*.dir"):
        listing.unlink()
    run(project, "dvc", "push")
    assert "4 sound objects" in check(project, status=0)


def test_earlier_versions_are_checked_when_asked_for(project: Path) -> None:
    assert "5 sound objects" in check(project, "--all-commits", status=0)
    stored(project, "earlier").unlink()
    assert "4 sound objects" in check(project, status=0)
    assert "  missing: f (commit " in check(project, "--all-commits", status=3)


def test_an_output_that_is_not_committed_yet_is_checked_too(project: Path) -> None:
    (project / "f").write_text("new", encoding="utf-8")
    run(project, "dvc", "add", "-q", "f")
    assert "  missing: f\n" in check(project, status=3)
