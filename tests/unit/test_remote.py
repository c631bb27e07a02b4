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

from oncopixel import remote
from oncopixel.remote import Need, State


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
    assert remote.inspect(GOOD, Objects(held).open) is state


def test_empty_objects_and_listings_are_sound_like_others() -> None:
    held = Objects({EMPTY: b"", f"{GOOD}.dir": b"good"})
    assert set(remote.inspect_all(held, held.open).values()) == {State.SOUND}


@pytest.mark.parametrize(("status", "state"), [(401, State.REFUSED), (404, State.MISSING)])
def test_a_web_server_s_refusal_is_no_absence(status: int, state: State) -> None:
    absent = FileNotFoundError("url")
    absent.__cause__ = ValueError("the answer")
    absent.__cause__.status = status  # type: ignore[attr-defined]
    assert remote.inspect(GOOD, Objects({GOOD: absent}).open) is state


def test_other_errors_are_passed_on_and_every_byte_is_counted() -> None:
    with pytest.raises(ConnectionError):
        remote.inspect_all([GOOD], Objects({GOOD: ConnectionError("reset")}).open)
    content = b"x" * (remote.CHUNK + 3)
    seen: list[int] = []
    held = Objects({oid(content): content})
    remote.inspect_all(held, held.open, seen.append)
    assert seen == [remote.CHUNK, 3]


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host/x", "http://me@host/x"),
        ("GET https://:secret@host:80/x failed", "GET https://@host:80/x failed"),
        ("ssh://me@host:22/x", "ssh://me@host:22/x"),
        ("s3://bucket/a@b:c", "s3://bucket/a@b:c"),
    ],
)
def test_no_password_is_shown(text: str, shown: str) -> None:
    assert remote._redacted(text) == shown


def check(folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "oncopixel", "remote", "check"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
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
    assert "error: nothing to check" in said
