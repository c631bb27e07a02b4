"""Reading objects back: what is sound, missing, damaged or refused, and of which file."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest
from aiohttp import ClientConnectionError, ClientError
from dvc_data.index import DataIndexDirError

from oncopixel.tools import remote, remote_check
from oncopixel.tools.remote import DAMAGED, MISSING, REFUSED, SOUND, RemoteObject


def oid(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


GOOD, EMPTY = oid(b"good"), oid(b"")


def read(held: bytes | Exception, name: str = GOOD) -> RemoteObject:
    """An object once it was read from a file system that holds this, or raises it."""

    def opened(path: str, mode: str) -> BinaryIO:
        assert (path, mode) == ("path", "rb")
        if isinstance(held, Exception):
            raise held
        return io.BytesIO(held)

    one = RemoteObject(name, SimpleNamespace(open=opened), "path", Path("none"), unlisted=False)
    assert one.read() == (0 if isinstance(held, Exception) else len(held))
    return one


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (b"good", SOUND),
        (b"g00d", DAMAGED),
        (b"goo", DAMAGED),
        (b"", DAMAGED),
        (FileNotFoundError("404"), MISSING),
        (PermissionError("403"), REFUSED),
    ],
)
def test_state_of_an_object(held: bytes | Exception, state: str) -> None:
    assert read(held).state == state


def test_empty_objects_and_listings_are_sound_like_others() -> None:
    assert read(b"", EMPTY).state == read(b"good", f"{GOOD}.dir").state == SOUND


def not_found(cause: Exception, status: int | None = None) -> Exception:
    """What a web server's file system raises for whatever goes wrong."""
    absent = FileNotFoundError("url")
    absent.__cause__ = cause
    if status:
        cause.status = status  # type: ignore[attr-defined]
    return absent


@pytest.mark.parametrize(
    ("status", "state"),
    [(401, REFUSED), (403, REFUSED), (407, REFUSED), (404, MISSING), (410, MISSING)],
)
def test_a_web_server_s_refusal_is_no_absence(status: int, state: str) -> None:
    assert read(not_found(ClientError("the answer"), status)).state == state


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (ClientError("what it said"), 500),
        (ClientError("what it said"), 429),
        (ClientConnectionError("what it said"), None),
        (ConnectionRefusedError("what it said"), None),
        (TimeoutError("what it said"), None),
    ],
)
def test_a_server_that_fails_lacks_nothing(cause: Exception, status: int | None) -> None:
    with pytest.raises(ConnectionError, match="what it said"):
        read(not_found(cause, status))


def test_other_errors_are_passed_on() -> None:
    with pytest.raises(ConnectionError, match="reset"):
        read(ConnectionError("reset"))


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
    assert remote.redacted(text) == shown


def test_a_secret_is_left_out_before_the_text_is_cut() -> None:
    said = remote.described(ValueError(f"{'x' * 280} http://me:SECRET-OF-MINE@host/x"))
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


def test_outside_a_project(tmp_path: Path) -> None:
    assert "this is no DVC project. Run it inside one." in check(tmp_path)


def test_nothing_checked_is_no_success(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    config = "[core]\nno_scm = true\nremote = store\n['remote \"store\"']\nurl = ../store\n"
    (tmp_path / ".dvc/config").write_text(config, encoding="utf-8")
    said = check(tmp_path)
    assert "warning: remote store has no `verify = true`" in said
    assert "Run `dvc remote modify store verify true`" in said
    assert "error: nothing to check" in said


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A file that DVC 2 stored, and in the next commit the same file and a folder, all pushed."""
    listing = json.dumps([{"md5": oid(p.encode()), "relpath": p} for p in ("a", "sub/b")])
    for content in ("good", "a", "sub/b", listing):
        name = oid(content.encode()) + (".dir" if content == listing else "")
        stored = tmp_path / "store/files/md5" / name[:2] / name[2:]
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_text(content, encoding="utf-8")
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    config = (
        f"[core]\nremote = store\n['remote \"store\"']\nurl = {tmp_path}/store\nverify = true\n"
    )
    (folder / ".dvc/config").write_text(config, encoding="utf-8")
    (folder / ".gitignore").write_text(".dvc/tmp\n.dvc/cache\n", encoding="utf-8")

    def commit(name: str, out: str) -> None:
        (folder / f"{name}.dvc").write_text(f"outs:\n- {out}\n  path: {name}\n", encoding="utf-8")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", name)

    git(folder, "init", "-q")
    commit("f", f"md5: {GOOD}")
    commit("d", f"md5: {oid(listing.encode())}.dir\n  hash: md5")
    commit("f", f"md5: {GOOD}\n  hash: md5")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_commits_that_dvc_2_stored_are_left_out(project: Path) -> None:
    said = check(project, "--all-commits", status=0)
    assert "4 sound; " in said
    assert said.count("is left out f: stored by DVC 2") == 2
    git(project, "checkout", "-q", "HEAD~1")
    assert "f: stored by DVC 2. Run `dvc cache migrate --dvc-files` first." in check(project)


def test_a_file_in_a_folder_is_a_target(project: Path) -> None:
    stored(project, oid(b"sub/b")).unlink()
    assert "2 sound; " in check(project, "d/a", status=0)
    assert "  missing: d/sub/b (d.dvc) [" in check(project, "d/sub", status=3)
    assert "2 sound, 1 missing" in check(project, "d/a", "./d/", status=3)
    assert "no output, file in one, stage or cohort is called d/c" in check(project, "d/c")
    assert "is called f/a" in check(project, "f/a")


def stored(project: Path, name: str) -> Path:
    """Where the remote keeps an object."""
    path = project.parent / "store/files/md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_listing_is_an_object_and_its_files_are_mended_after_it(project: Path) -> None:
    listing = next((project.parent / "store").rglob("*.dir"))
    whole = listing.read_bytes()
    cached = project / ".dvc/cache/files/md5" / listing.parent.name / listing.name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(whole)
    stored(project, oid(b"a")).unlink()
    for held, word in ((whole + b" ", "damaged"), (None, "missing")):
        listing.unlink() if held is None else listing.write_bytes(held)
        assert f"  {word}: d (d.dvc) [{oid(whole)}.dir]" in check(project, status=3)
    assert listing.exists() is False
    said = check(project, "--repair", status=3)
    assert "mended d (d.dvc)" in said
    assert "1 object in " in said
    assert "  missing and not in the local cache: d/a (d.dvc) [" in said
    assert listing.read_bytes() == whole


def test_a_damaged_object_of_a_folder_stays_as_it_is(project: Path) -> None:
    path = stored(project, GOOD)
    path.write_bytes(b"damaged")
    assert "3 sound, 1 damaged; " in check(project, status=3)
    cached = project / ".dvc/cache/files/md5" / GOOD[:2] / GOOD[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"also")
    assert "  damaged in the local cache too: f (f.dvc)" in check(project, "--repair", status=3)
    assert (path.read_bytes(), cached.read_bytes()) == (b"damaged", b"also")


MALFORMED = [
    b"", b"{}", b"null", b"[1]", b"[[]]", b"not JSON", b"[" * 100_000, b"\xff",
    b'[{"md5": "%s"}]', b'[{"relpath": 1, "md5": "%s"}]', b'[{"relpath": "a", "md5": 1}]',
]  # fmt: skip


def test_listings_that_are_none_are_named_and_the_rest_is_checked(project: Path) -> None:
    named = {}
    for number, listing in enumerate(MALFORMED):
        content = listing.replace(b"%s", GOOD.encode())
        named[f"d{number}"] = name = f"{oid(content)}.dir"
        stored(project, name).write_bytes(content)
        text = f"outs:\n- md5: {name}\n  hash: md5\n  path: d{number}\n"
        (project / f"d{number}.dvc").write_text(text)
    said = check(project, "--repair", "d1/a", *named, "f", status=3)
    assert "1 sound, 11 no list of files; " in said
    for path, name in named.items():
        assert f"  no list of files: {path} ({path}.dvc) [{name}]" in said


@pytest.mark.parametrize("value", ["../../../x", f"{GOOD}.dir.dir"])
def test_an_output_recorded_without_an_md5_is_named(project: Path, value: str) -> None:
    (project / "f.dvc").write_text(f"outs:\n- md5: {value}\n  hash: md5\n  path: f\n")
    assert f"f: '{value}' is no MD5" in check(project)


def test_a_listing_that_cannot_be_read_for_a_moment_is_no_empty_folder() -> None:
    def gone(_: tuple[str]) -> None:
        raise DataIndexDirError("d") from ConnectionResetError("gone")

    index, top = SimpleNamespace(iteritems=gone), SimpleNamespace(key=("d",))
    with pytest.raises(ConnectionResetError, match="gone"):
        remote_check._listed(index, top)
