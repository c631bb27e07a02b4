"""Files from servers: fetched whole, verified, and kept in a cache that all cohorts share.

What was received of a file that broke off is continued from where it ended, also after a kill. One
bound of time holds for everything: slow answers, retries, `Retry-After`.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedRandom
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ...core.errors import SourceError
from .cache import (
    RemoteFile,
    cache_errors,
    cached,
    drop_abandoned,
    finish,
    locked,
    md5_of,
    partial_path,
)
from .client import TRIES, TRY_LATER, BrokenError, Client, backoff, refuse_page

log = logging.getLogger(__name__)

MAX_FILE = 1 << 34
"""Bytes of a file of unknown size."""
PROGRESS_SECONDS = 30.0
"""Between two lines of progress where there is no terminal for a bar."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def fetch(
    files: Sequence[RemoteFile], *, connections: int, minutes: int, token: str | None = None
) -> list[tuple[Path, RemoteFile]]:
    """Of each file the verified local path, read-only, and it with MD5 and size filled in."""
    with Client(minutes, token) as client:
        return fetch_with(client, files, connections)


def fetch_with(
    client: Client, files: Sequence[RemoteFile], connections: int
) -> list[tuple[Path, RemoteFile]]:
    """As `fetch`, within the time that `client` has left."""
    fresh: list[RemoteFile] = []
    found: dict[int, tuple[Path, RemoteFile]] = {}
    started = shown = time.monotonic()
    silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
    total = None if any(file.size < 0 for file in files) else sum(file.size for file in files)
    drop_abandoned()
    with (
        cache_errors(),
        tqdm(total=total, unit="B", unit_scale=True, leave=False, disable=silent) as bar,
    ):

        def get(numbered: tuple[int, RemoteFile]) -> tuple[int, Path, RemoteFile]:
            position, file = numbered
            path = cached(file)
            if path is not None:
                size = path.stat().st_size
                bar.update(size)
                return position, path, replace(file, size=size)
            path, file = _download(file, client, bar.update)
            fresh.append(file)
            return position, path, file

        for position, path, file in side_by_side(get, list(enumerate(files)), client, connections):
            found[position] = path, file
            if bar.disable and time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                log.info("  %d of %d files", len(found), len(files))
    if fresh:
        log.info(
            "%d files downloaded (%.1f MB in %.1f s), %d were in the cache",
            len(fresh),
            sum(file.size for file in fresh) / 1e6,
            time.monotonic() - started,
            len(files) - len(fresh),
        )
    return [found[position] for position in range(len(files))]


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], client: Client, connections: int
) -> Iterator[Result]:
    """The results of `work` on all items as they come, by so many threads; a failure ends all."""
    if not items:
        return
    with ThreadPool(min(connections, len(items))) as pool:
        try:
            yield from pool.imap_unordered(work, items)
        except BaseException:
            client.deadline.end()
            raise


def _download(
    file: RemoteFile, client: Client, on_bytes: Callable[[int], object]
) -> tuple[Path, RemoteFile]:
    """The file in the cache, received and verified."""
    partial = partial_path(file)
    with locked(partial, client.deadline) as stream:
        path = cached(file)  # another process may have been quicker
        if path is not None:
            partial.unlink()
            return path, replace(file, size=path.stat().st_size)
        for _ in range(2):
            _Transfer(file, stream, client, on_bytes).run()
            size, md5 = stream.seek(0, os.SEEK_END), md5_of(stream)
            if file.md5 in ("", md5) and file.size in (-1, size):
                return finish(stream, md5), replace(file, md5=md5, size=size)
            stream.truncate(0)
        partial.unlink()
        raise SourceError(
            f"{file.name}: {file.url} does not deliver the file that is listed, even at the second "
            f"try: expected {_size_and_md5(file.size, file.md5)}, got {_size_and_md5(size, md5)}. "
            "Is a proxy in between? If the file was replaced at its server, `--refresh` asks for "
            "the present list."
        )


def _size_and_md5(size: int, md5: str) -> str:
    return ", ".join(filter(None, (f"{size} bytes" if size >= 0 else "", md5 and f"MD5 {md5}")))


@dataclass
class _Transfer:
    """A file on its way into `stream`, which may hold its beginning already."""

    file: RemoteFile
    stream: BufferedRandom
    client: Client
    on_bytes: Callable[[int], object]
    validator: str = ""
    """By which the server knows whether the file is still the one that was begun."""

    def run(self) -> None:
        """The whole body is in `stream`; `SourceError` when it breaks off again and again."""
        longest, tries = self.stream.seek(0, os.SEEK_END), 0
        while True:
            try:
                self._attempt()
            except BrokenError as broken:
                length = self.stream.seek(0, os.SEEK_END)
                tries = 1 if length > longest else tries + 1
                longest = max(longest, length)
                if tries == TRIES:
                    raise SourceError(
                        f"{self.file.name}: {broken}, {TRIES} times ({self.file.url}). {TRY_LATER}"
                    ) from None
                self.client.deadline.pause(backoff(tries), str(broken))
            else:
                return

    def _attempt(self) -> None:
        start = self.stream.seek(0, os.SEEK_END)
        if start == self.file.size:
            return
        if not (self.file.md5 or self.validator):  # nothing tells whether it is still that file
            start = self.stream.truncate(0)
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and not self.file.md5:
            headers["If-Range"] = self.validator
        with self.client.send(self.file.url, headers=headers, what=self.file.name) as response:
            refuse_page(response)
            given = response.headers.get("Content-Range", "")
            continued = given.startswith(f"bytes {start}-")
            if response.status_code != 206 or not continued:
                start = self.stream.truncate(0)
                if response.status_code != 200:
                    raise BrokenError("the server did not continue the file where it broke off")
            etag = response.headers.get("ETag", "")
            strong = etag if etag.startswith('"') else ""
            self.validator = strong or response.headers.get("Last-Modified", "")
            size = start
            for chunk in self.client.chunks(response):
                self.stream.write(chunk)
                self.on_bytes(len(chunk))
                size += len(chunk)
                if size > self.file.size >= 0:
                    return
                if size > MAX_FILE:
                    self.stream.truncate(0)
                    raise SourceError(
                        f"{self.file.name}: {self.file.url} sends more than {MAX_FILE} bytes, as "
                        "no such file has. Is the address right?"
                    )
            whole = response.status_code == 200 and "Content-Length" in response.headers
            stated = re.search(r"/(\d{1,15})$", given)
            total = int(stated[1]) if stated and self.file.size < 0 else self.file.size
            if size < total and not whole:
                raise BrokenError("the answer broke off")
