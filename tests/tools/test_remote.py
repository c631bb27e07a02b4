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

from oncopixel.tools import objects, remote
from oncopixel.tools.objects import State
from oncopixel.tools.remote import Need


def oid(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Objects(dict[str, bytes | Exception]):
    def open(self, name: str) -> BinaryIO:
        found = self.get(name, FileNotFoundError(name))
        if isinstance(found, Exception):
            raise found
        return io.BytesIO(found)


GOOD, EMPTY = oid(b"good"), oid(b"")


@pytest.mark.parametrize(
    ("held", "state"),
    [
        ({GOOD: b"good"}, State.SOUND),
        ({GOOD: b"g00d"}, State.DAMAGED),
        ({GOOD: b"goo"}, State.DAMAGED),
        ({GOOD: b""}, State.DAMAGED),
        ({}, State.MISSING),
        ({GOOD: PermissionError("403")}, State.REFUSED),
    ],
)
def test_state_of_an_object(held: dict[str, bytes | Exception], state: State) -> None:
    assert objects.inspect(GOOD, Objects(held).open) is state


def test_empty_objects_and_listings_are_sound_like_others() -> None:
    held = Objects({EMPTY: b"", f"{GOOD}.dir": b"good"})
    assert set(objects.inspect_all(held, held.open).values()) == {State.SOUND}


def not_found(cause: Exception, status: int | None = None) -> Objects:
    """What a web server's file system raises for whatever goes wrong."""
    absent = FileNotFoundError("url")
    absent.__cause__ = cause
    if status:
        cause.status = status  # type: ignore[attr-defined]
    return Objects({GOOD: absent})


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (401, State.REFUSED),
        (403, State.REFUSED),
        (407, State.REFUSED),
        (404, State.MISSING),
        (410, State.MISSING),
    ],
)
def test_a_web_server_s_refusal_is_no_absence(status: int, state: State) -> None:
    assert objects.inspect(GOOD, not_found(ClientError("the answer"), status).open) is state


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
        objects.inspect(GOOD, not_found(cause, status).open)


def test_other_errors_are_passed_on_and_every_byte_is_counted() -> None:
    with pytest.raises(ConnectionError):
        objects.inspect_all([GOOD], Objects({GOOD: ConnectionError("reset")}).open)
    content = b"x" * (objects.CHUNK + 3)
    seen: list[int] = []
    held = Objects({oid(content): content})
    objects.inspect_all(held, held.open, seen.append)
    assert seen == [objects.CHUNK, 3]


def test_a_directory_needs_what_its_listing_names(tmp_path: Path) -> None:
    listing = json.dumps([{"md5": GOOD, "relpath": "a/b.tsv"}]).encode()
    name = f"{oid(listing)}.dir"
    found = {name: Need(name, {"data/own": "own.dvc"}, 4)}
    held = Objects({name: listing})
    store = SimpleNamespace(read=lambda oid: held.get(oid))
    cache = SimpleNamespace(local=SimpleNamespace(oid_to_path=lambda oid: tmp_path / oid))
    repo = SimpleNamespace(cache=cache)
    wanted = remote.with_listed(found, repo, store)  # type: ignore[arg-type]
    assert set(wanted) == {name, GOOD}
    assert wanted[GOOD].label == "data/own/a/b.tsv (own.dvc)"
    # damaged in the remote: the local cache's is read, unless it is damaged too
    held[name] = None  # type: ignore[assignment]
    (tmp_path / name).write_bytes(listing)
    assert set(remote.with_listed(found, repo, store)) == {name, GOOD}  # type: ignore[arg-type]
    (tmp_path / name).write_bytes(b"[]")
    assert set(remote.with_listed(found, repo, store)) == {name}  # type: ignore[arg-type]


def test_a_listing_that_cannot_be_read_for_a_moment_is_no_empty_folder(tmp_path: Path) -> None:
    name = oid(b"[]") + objects.LISTING
    held = Objects({name: ConnectionResetError("gone")})
    store = object.__new__(remote.Store)
    store.url, store.open = "s3://bucket", held.open  # type: ignore[method-assign]
    repo = SimpleNamespace(
        cache=SimpleNamespace(local=SimpleNamespace(oid_to_path=lambda o: str(tmp_path / o)))
    )
    with pytest.raises(remote.RemoteError, match="cannot be read: gone"):
        remote.with_listed({name: remote.Need(name)}, repo, store)  # type: ignore[arg-type]
    held[name] = b"cut"
    assert store.read(name) is None
    held[name] = b"[]"
    assert store.read(name) == b"[]"
    assert store.read(oid(b"nowhere")) is None


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
    assert objects.redacted(text) == shown


def test_a_secret_is_left_out_before_the_text_is_cut() -> None:
    said = objects.described(ValueError(f"{'x' * 280} http://me:SECRET-OF-MINE@host/x"))
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
        name = oid(content.encode()) + (objects.LISTING if content == listing else "")
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
    assert said.count("what DVC 2 stored is left out: f") == 2
    git(project, "checkout", "-q", "HEAD~1")
    assert "f was stored by DVC 2. Run `dvc cache migrate --dvc-files` first." in check(project)


def test_a_file_in_a_folder_is_a_target(project: Path) -> None:
    stored = project.parent / "store/files/md5" / oid(b"sub/b")[:2] / oid(b"sub/b")[2:]
    stored.unlink()
    assert "2 sound; " in check(project, "d/a", status=0)
    assert "  missing: d/sub/b (d.dvc) [" in check(project, "d/sub", status=3)
    assert "2 sound, 1 missing" in check(project, "d/a", "./d/", status=3)
    assert "no file is called d/c in the folder" in check(project, "d/c")
    assert "is called f/a" in check(project, "f/a")


MALFORMED = [
    b"", b"{}", b"null", b"[1]", b"[[]]", b"not JSON", b"[" * 100_000, b"\xff",
    b'[{"md5": "%s"}]', b'[{"relpath": "a"}]', b'[{"relpath": "a", "md5": 1}]',
    b'[{"relpath": 1, "md5": "%s"}]', b'[{"relpath": ["a"], "md5": "%s"}]',
    b'[{"relpath": "a", "md5": "../../x"}]', b'[{"relpath": "a", "md5": "%s.dir"}]',
    b'[{"relpath": "../a", "md5": "%s"}]', b'[{"relpath": "/a", "md5": "%s"}]',
    b'[{"relpath": "", "md5": "%s"}]', b'[{"relpath": "a//b", "md5": "%s"}]',
    b'[{"relpath": "a", "md5": "%s"}, {"relpath": "a", "md5": "%s"}]',
    b'[{"relpath": "a", "md5": %s}]' % (b"9" * 5000),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_a_listing_that_is_none_lists_nothing_and_is_marked(tmp_path: Path, number: int) -> None:
    listing = MALFORMED[number].replace(b"%s", GOOD.encode())
    name = oid(listing) + objects.LISTING
    found = {name: Need(name, {"d": "d.dvc"}, parts={"d": {"d/a"}})}
    cache = SimpleNamespace(local=SimpleNamespace(oid_to_path=lambda oid: tmp_path / oid))
    store, repo = SimpleNamespace(read=lambda _: listing), SimpleNamespace(cache=cache)
    wanted = remote.with_listed(found, repo, store)  # type: ignore[arg-type]
    assert set(wanted) == {name}
    assert wanted[name].malformed


def test_a_listing_that_is_none_is_named_and_the_rest_is_checked(project: Path) -> None:
    name = oid(b"{}") + objects.LISTING
    stored = project.parent / "store/files/md5" / name[:2] / name[2:]
    stored.parent.mkdir(exist_ok=True)
    stored.write_bytes(b"{}")
    (project / "d.dvc").write_text(f"outs:\n- md5: {name}\n  hash: md5\n  path: d\n")
    said = check(project, "--repair", status=3)
    assert "2 sound; " in said
    assert f"  no list of files: d (d.dvc) [{name}]" in said


@pytest.mark.parametrize("value", ["", "../../../x", "abc", "z" * 32, f"{GOOD}.dir.dir", 1, None])
def test_what_is_no_md5_names_no_object(value: object) -> None:
    assert not remote._is_oid(value)
    assert remote._is_oid(GOOD)
    assert remote._is_oid(f"{GOOD}.dir")


def test_an_output_recorded_without_an_md5_is_named(project: Path) -> None:
    value = "../../../x"
    (project / "f.dvc").write_text(f"outs:\n- md5: {value}\n  hash: md5\n  path: f\n")
    assert f"f is recorded with '{value}', which is no MD5" in check(project)
