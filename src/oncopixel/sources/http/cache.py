"""The cache that all cohorts share: files under their MD5, read-only, hashed again when used.

What was received of a file that broke off waits in `partial/`, also after a kill. While a thread or
process works on one it holds a lock on it.
"""

import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BufferedRandom, BufferedReader
from pathlib import Path

from ...core.errors import OutputError, SourceError
from .client import Deadline

log = logging.getLogger(__name__)

CACHE_VARIABLE = "ONCOPIXEL_CACHE"
ABANDONED_DAYS = 30
MD5 = re.compile(r"[0-9a-f]{32}")
_PARTIAL = re.compile(r"[0-9a-f]{32}\.partial")


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server; an empty `md5` and a `size` of -1 are not known yet."""

    url: str
    name: str
    md5: str = ""
    size: int = -1


def cache_folder() -> Path:
    """Where downloaded files are kept: `$ONCOPIXEL_CACHE`, else below the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oncopixel"


def cache_path(md5: str) -> Path:
    """The place of a file in the cache; `SourceError` for what is no MD5."""
    if not MD5.fullmatch(md5):
        raise SourceError(f"{md5!r} is no MD5 (32 hexadecimal digits): the list of files is wrong.")
    return cache_folder() / md5[:2] / md5


@contextmanager
def cache_errors() -> Iterator[None]:
    """`OutputError` in place of the system's errors when the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the cache {cache_folder()} cannot be used: {error.strerror or error}. Free some "
            f"space, change its owner or mode, or name another folder in {CACHE_VARIABLE}."
        ) from error


@cache_errors()
def seems_cached(file: RemoteFile) -> bool:
    """Whether the cache holds a file of this MD5 and size; its content is not read."""
    if not file.md5:
        return False
    path = cache_path(file.md5)
    return path.is_file() and file.size in (-1, path.stat().st_size)


@cache_errors()
def cached(file: RemoteFile) -> Path | None:
    """The verified local path of a file that the cache holds; a damaged one is removed from it."""
    if not file.md5:
        return None
    path = cache_path(file.md5)
    if not path.is_file():
        return None
    if seems_cached(file) and _md5_of_path(path) == file.md5:
        return path
    log.warning("warning: %s is damaged in the cache (%s): it is asked for again", file.name, path)
    path.unlink(missing_ok=True)
    return None


def keep(content: bytes, name: str, url: str, *, only: str = "") -> tuple[Path, RemoteFile] | None:
    """The content in the cache, and its file; None, and nothing kept, for an MD5 but the `only`."""
    file = RemoteFile(url, name, hashlib.md5(content, usedforsecurity=False).hexdigest())
    if only not in ("", file.md5):
        return None
    file = replace(file, size=len(content))
    with cache_errors(), locked(partial_path(file), Deadline(1)) as stream:
        stream.truncate(0)
        stream.write(content)
        return finish(stream, file.md5), file


def partial_path(file: RemoteFile) -> Path:
    """Where the beginning of a file waits for the rest."""
    key = hashlib.sha256(f"{file.url}\n{file.md5}".encode()).hexdigest()[:32]
    return cache_folder() / "partial" / f"{key}.partial"


def drop_abandoned() -> None:
    """Removes what was begun, is not locked, and was not touched for `ABANDONED_DAYS`."""
    folder = cache_folder() / "partial"
    latest = time.time() - 86_400 * ABANDONED_DAYS
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        plain = _PARTIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink()
        with suppress(OSError):
            if plain and path.stat().st_mtime < latest:
                with path.open("rb") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


@contextmanager
def locked(path: Path, deadline: Deadline) -> Iterator[BufferedRandom]:
    """The file, opened to read and append, while no other thread or process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "a+b", opener=_no_link) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                deadline.pause(0.1, f"another process downloads {path.name}")
                continue
            if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield stream
                return


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def finish(stream: BufferedRandom, md5: str) -> Path:
    """The path in the cache to which a complete file was moved, read-only."""
    stream.flush()
    os.fsync(stream.fileno())
    path = cache_path(md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(stream.name).replace(path)
    os.fchmod(stream.fileno(), 0o444)  # not before: a partial that is read-only blocks later runs
    return path


def _md5_of_path(path: Path) -> str:
    with path.open("rb") as stream:
        return md5_of(stream)


def md5_of(stream: BufferedReader | BufferedRandom) -> str:
    """The MD5 of all that a stream holds."""
    stream.seek(0)
    return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
