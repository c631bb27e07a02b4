"""Files from servers: fetched whole, verified, and kept in a cache that all cohorts share.

A file lies in the cache under its MD5, read-only, and is hashed again whenever it is used. What was
received of a file that broke off waits in `partial/`, also after a kill, and is continued from
where it ended; a later download removes it after `ABANDONED_DAYS`. One bound of time holds for
everything: slow answers, retries, `Retry-After`.
"""

import fcntl
import hashlib
import json
import logging
import os
import random
import re
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import BufferedRandom, BufferedReader
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pandas as pd
import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from ...core.errors import OutputError, SourceError, printable
from ...core.project import version
from .limits import Pace, PacedAdapter, Patience

log = logging.getLogger(__name__)

LISTING = ("channel", "id", "name", "url", "md5", "size", "release", "samples")
"""Columns of a listing, the files of a cohort on its server: text, but for `size` in bytes."""
CACHE_VARIABLE = "ONCOPIXEL_CACHE"
TOKEN_HOST_VARIABLE = "ONCOPIXEL_GDC_TOKEN_HOST"  # noqa: S105 (names a host)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

CHUNK = 1 << 20
MAX_JSON = 1 << 25
"""Bytes of an answer that is held in memory; a page of 500 cases of the GDC has some 3 MB."""
MAX_FILE = 1 << 34
"""Bytes of a file of unknown size."""
TRIES = 8
"""Of a request that fails, and of a body that breaks off without having grown."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second try, and before any other: each waits up to twice as long."""
CONNECT_SECONDS, READ_SECONDS = 30.0, 60.0
ABANDONED_DAYS = 30
TELL_SECONDS = 30.0
"""Between two lines of progress where there is no terminal for a bar."""

MD5 = re.compile(r"[0-9a-f]{32}")
_PARTIAL = re.compile(r"[0-9a-f]{32}\.partial")
_TRANSIENT = (429, 500, 502, 503, 504)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server; an empty `md5` and a `size` of -1 are not known yet."""

    url: str
    name: str
    md5: str = ""
    size: int = -1


class BrokenError(Exception):
    """An answer that broke off or is of no use, though another try may do better."""


def backoff(tries: int) -> float:
    """Seconds to wait after so many failed tries (1 or more): doubling, and half of it random."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1))
    return random.uniform(0.5, 1) * longest  # noqa: S311 (spreads requests, keeps no secret)


class _Retry(Retry):
    """urllib3's retries, with back-off from the first one on and within the bound of time."""

    patience: Patience

    def new(self, **changes: Any) -> "_Retry":
        fresh = super().new(**changes)
        fresh.patience = self.patience
        return fresh

    def sleep(self, response: Any = None) -> None:
        self.patience.pause(
            backoff(len(self.history)) + self._asked(response),
            f"the server answers {response.status}" if response else "the server does not answer",
        )

    def _asked(self, response: Any) -> float:
        try:
            return float(self.get_retry_after(response) or 0) if response else 0
        except (InvalidHeader, ValueError, OverflowError):
            return 0


class _Session(requests.Session):
    """A session that keeps a token from the hosts that it is redirected to."""

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        super().rebuild_auth(prepared_request, response)
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("X-Auth-Token", None)


class Client:
    """Requests to a server, tried again when it falters, within one bound of time.

    Every thread has a connection of its own. The token goes to the GDC, to this machine and to the
    host in ONCOPIXEL_GDC_TOKEN_HOST, never to one that they redirect to, and over plain HTTP to
    this machine only.
    """

    def __init__(self, minutes: float, token: str | None = None) -> None:
        self.patience = Patience(minutes)
        self._token = token
        self._own = threading.local()
        self._sessions: list[_Session] = []

    @property
    def has_token(self) -> bool:
        """Whether requests carry a token, so that controlled data may be asked for."""
        return self._token is not None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.close()

    def json(self, url: str, payload: Any = None, *, what: str) -> Any:
        """The JSON that the server answers to a POST of `payload`, or to a GET without one."""
        for tries in range(1, TRIES + 1):
            try:
                with self.send(url, payload=payload, what=what) as response:
                    refuse_page(response)
                    return json.loads(self._body(response, MAX_JSON))
            except (BrokenError, ValueError, RecursionError) as error:
                reason = str(error) if isinstance(error, BrokenError) else "the answer is no JSON"
                if tries < TRIES:
                    self.patience.pause(backoff(tries), reason)
        raise SourceError(f"{what}: {reason}, {TRIES} times ({url}). {_TRY_LATER}")

    @contextmanager
    def send(
        self, url: str, *, what: str, payload: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[Any]:
        """An answer of status 200, 206 or 416 whose body is to be read by `chunks`.

        Raises `SourceError` for any other, and when none came after all tries.
        """
        try:
            response = self._session().request(
                "GET" if payload is None else "POST",
                url,
                json=payload,
                headers=(headers or {}) | self._secret(url),
                stream=True,
                timeout=(CONNECT_SECONDS, min(READ_SECONDS, self.patience.left())),
            )
        except requests.RequestException as error:
            self.patience.left()
            raise SourceError(
                f"{what}: no answer from {urlsplit(url).netloc} ({_reason(error)}). Is the address "
                "right, and does this machine reach it? A proxy is named by HTTPS_PROXY."
            ) from None
        with response:
            self._own.pace.body()
            if response.status_code not in (200, 206, 416):
                raise SourceError(f"{what}: {self._refusal(response)}")
            yield response

    def chunks(self, response: Any, *, decoded: bool = False) -> Iterator[bytes]:
        """The body as it arrives, undecoded unless it is to be `decoded` (Content-Encoding)."""
        try:
            while chunk := response.raw.read1(CHUNK, decode_content=decoded):
                self.patience.left()
                yield chunk
        except HTTPError as error:
            self.patience.left()
            raise BrokenError(f"the answer broke off ({_reason(error)})") from None

    def _body(self, response: Any, limit: int) -> bytes:
        """The whole body, in which a server that echoes the token says `<token>`."""
        body = bytearray()
        for chunk in self.chunks(response, decoded=True):
            body += chunk
            if len(body) > limit:
                raise BrokenError(f"the answer is longer than {limit} bytes")
        secret = self._token.encode() if self._token else b""
        return bytes(body).replace(secret, b"<token>") if secret else bytes(body)

    def _session(self) -> Any:
        session = getattr(self._own, "session", None)
        if session is None:
            retries = _Retry(
                TRIES - 1,
                redirect=False,
                status_forcelist=_TRANSIENT,
                allowed_methods=None,
                raise_on_status=False,
            )
            retries.patience = self.patience
            retries.retry_after_max = sys.maxsize  # what is too long is told, not cut
            session = self._own.session = _Session()
            session.headers.update(
                {"User-Agent": f"oncopixel/{version()}", "Accept-Encoding": "identity"}
            )
            pace = self._own.pace = Pace(self.patience)
            for scheme in ("https://", "http://"):
                session.mount(scheme, PacedAdapter(pace, max_retries=retries))
            self._sessions.append(session)
        return session

    def _secret(self, url: str) -> dict[str, str]:
        if self._token is None:
            return {}
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in THIS_MACHINE:
            raise SourceError(
                f"the token is not sent to {parts.netloc} over plain HTTP, where others could read "
                "it. Use https:// in `server`, or unset ONCOPIXEL_GDC_TOKEN."
            )
        own = os.environ.get(TOKEN_HOST_VARIABLE, "").lower()
        if parts.hostname not in ("api.gdc.cancer.gov", *THIS_MACHINE, own):
            raise SourceError(
                f"the token is not sent to {parts.netloc}, which is not the GDC. If it may have "
                f"it, set {TOKEN_HOST_VARIABLE}={parts.hostname}; else unset ONCOPIXEL_GDC_TOKEN."
            )
        return {"X-Auth-Token": self._token}

    def _refusal(self, response: Any) -> str:
        """What a status that is no success means, with the server's own words."""
        status, host = response.status_code, urlsplit(response.url).netloc
        try:
            text = self._body(response, CHUNK).decode(errors="replace")
        except BrokenError:
            text = ""
        try:
            told = json.loads(text)
            text = str(told.get("message") or told.get("error") or text)
        except (ValueError, AttributeError):
            text = re.sub(r"<[^>]*>", " ", text)
        said = " ".join(text.split())[:200]
        fact = f"{host} answers {status}" + (f" ({said})" if said else "") + ". "
        if status in (401, 403, 407):
            return fact + (
                "Some servers say this of a name that they do not have: is the address right? "
                "Controlled data of the GDC need a token: download one from its portal, protect "
                "the file (chmod 600) and name it in ONCOPIXEL_GDC_TOKEN; an old one may have "
                "expired."
            )
        if status in (404, 410):
            return fact + "It is gone, or the address is wrong. `--refresh` asks for a new list."
        if status in _TRANSIENT:
            return f"{fact}It was asked {TRIES} times. {_TRY_LATER}"
        return fact + "This is a request that the server does not accept."


_TRY_LATER = "Run again later: what is verified or begun is kept."


def refuse_page(response: Any) -> None:
    """`BrokenError` for HTML, in which servers and proxies write what went wrong."""
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise BrokenError("the server sent an HTML page in place of data")


def _reason(error: BaseException) -> str:
    """The innermost words of an error of requests or urllib3, which wrap each other."""
    inner: Any = error
    while isinstance(inner, BaseException):
        text = str(inner)
        inner = getattr(inner, "reason", None) or next(iter(inner.args), None)
    return printable(" ".join(text.split())[:200]) or type(error).__name__


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
def _cache_errors() -> Iterator[None]:
    """`OutputError` in place of the system's errors when the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the cache {cache_folder()} cannot be used: {error.strerror or error}. Free some "
            f"space, change its owner or mode, or name another folder in {CACHE_VARIABLE}."
        ) from error


@_cache_errors()
def seems_cached(file: RemoteFile) -> bool:
    """Whether the cache holds a file of this MD5 and size; its content is not read."""
    if not file.md5:
        return False
    path = cache_path(file.md5)
    return path.is_file() and file.size in (-1, path.stat().st_size)


@_cache_errors()
def cached(file: RemoteFile) -> Path | None:
    """The verified local path of a file that the cache holds; a damaged one is removed from it."""
    if not file.md5:
        return None
    path = cache_path(file.md5)
    if not path.is_file():
        return None
    if seems_cached(file) and _md5(path) == file.md5:
        return path
    log.warning("warning: %s is damaged in the cache (%s): it is asked for again", file.name, path)
    path.unlink(missing_ok=True)
    return None


def keep(content: bytes, name: str, url: str, *, only: str = "") -> tuple[Path, RemoteFile] | None:
    """The content in the cache, and the file that it is from now on.

    None, and nothing is kept, when its MD5 is not the `only` one that it may have.
    """
    file = RemoteFile(url, name, hashlib.md5(content, usedforsecurity=False).hexdigest())
    if only not in ("", file.md5):
        return None
    file = replace(file, size=len(content))
    with _cache_errors(), _locked(_partial(file), Patience(1)) as stream:
        stream.truncate(0)
        stream.write(content)
        return _finish(stream, file.md5), file


def fetch(
    files: Sequence[RemoteFile], *, connections: int, minutes: int, token: str | None = None
) -> list[tuple[Path, RemoteFile]]:
    """For each file its verified local path, read-only, and the file with MD5 and size filled in.

    What the cache holds is not asked for again. Raises `SourceError` when a file cannot be had
    whole and right within `minutes`, and `OutputError` when the cache cannot be written.
    """
    with Client(minutes, token) as client:
        return fetch_with(client, files, connections)


def fetch_with(
    client: Client, files: Sequence[RemoteFile], connections: int
) -> list[tuple[Path, RemoteFile]]:
    """As `fetch`, within the time that `client` has left."""
    known = [file.size for file in files if file.size >= 0]
    total = sum(known) if len(known) == len(files) else None
    fresh: list[RemoteFile] = []
    found: dict[int, tuple[Path, RemoteFile]] = {}
    started = time.monotonic()

    _drop_abandoned()
    with Progress(total, len(files)) as progress:

        def get(numbered: tuple[int, RemoteFile]) -> tuple[int, Path, RemoteFile]:
            position, file = numbered
            path = cached(file)
            if path is not None:
                size = path.stat().st_size
                progress.add(size)
                return position, path, replace(file, size=size)
            path, file = _download(file, client, progress.add)
            fresh.append(file)
            return position, path, file

        with _cache_errors():
            for position, path, file in side_by_side(
                get, list(enumerate(files)), client, connections
            ):
                found[position] = path, file
                progress.add_file()
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
    """The results of `work` on all items, as they come, on so many connections at most.

    The threads are daemons, which no interrupt has to wait for; when one fails, all end.
    """
    if not items:
        return
    with ThreadPool(min(connections, len(items))) as pool:
        try:
            yield from pool.imap_unordered(work, items)
        except BaseException:
            client.patience.end()
            raise


class Progress:
    """A bar on a terminal, else a line every half a minute."""

    def __init__(self, total: int | None, files: int) -> None:
        silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
        self._bar = tqdm(total=total, unit="B", unit_scale=True, leave=False, disable=silent)
        self._lock = threading.Lock()
        self._files, self._total = 0, files
        self._bytes = 0
        self._told = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def add(self, size: int) -> None:
        """So many bytes more are here."""
        with self._lock:
            self._bytes += size
            self._bar.update(size)
            if self._bar.disable and time.monotonic() - self._told > TELL_SECONDS:
                self._told = time.monotonic()
                log.info("  %d of %d files, %.1f MB", self._files, self._total, self._bytes / 1e6)

    def add_file(self) -> None:
        """One file more is here."""
        with self._lock:
            self._files += 1


def _download(
    file: RemoteFile, client: Client, seen: Callable[[int], None]
) -> tuple[Path, RemoteFile]:
    """The file in the cache, received and verified."""
    partial = _partial(file)
    with _locked(partial, client.patience) as stream:
        path = cached(file)  # another process may have been quicker
        if path is not None:
            partial.unlink()
            return path, replace(file, size=path.stat().st_size)
        for _ in range(2):
            _Transfer(file, stream, client, seen).run()
            size, md5 = stream.seek(0, os.SEEK_END), _md5_of(stream)
            if file.md5 in ("", md5) and file.size in (-1, size):
                return _finish(stream, md5), replace(file, md5=md5, size=size)
            stream.truncate(0)
        partial.unlink()
        raise SourceError(
            f"{file.name}: {file.url} does not deliver the file that is listed, even at the second "
            f"try: expected {_shown(file.size, file.md5)}, got {_shown(size, md5)}. "
            "Is a proxy in between? If the file was replaced at its server, `--refresh` asks for "
            "the present list."
        )


def _shown(size: int, md5: str) -> str:
    return ", ".join(filter(None, (f"{size} bytes" if size >= 0 else "", md5 and f"MD5 {md5}")))


@dataclass
class _Transfer:
    """A file on its way into `stream`, which may hold its beginning already."""

    file: RemoteFile
    stream: BufferedRandom
    client: Client
    seen: Callable[[int], None]
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
                        f"{self.file.name}: {broken}, {TRIES} times ({self.file.url}). {_TRY_LATER}"
                    ) from None
                self.client.patience.pause(backoff(tries), str(broken))
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
                self.seen(len(chunk))
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


def _partial(file: RemoteFile) -> Path:
    key = hashlib.sha256(f"{file.url}\n{file.md5}".encode()).hexdigest()[:32]
    return cache_folder() / "partial" / f"{key}.partial"


def _drop_abandoned() -> None:
    """Removes what was begun of files, and nothing else, if nobody touched it for `ABANDONED_DAYS`.

    No link is followed, and what a thread or process has locked stays.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    latest = time.time() - 86_400 * ABANDONED_DAYS
    with ExitStack() as stack, suppress(OSError):
        folder = os.open(cache_folder() / "partial", flags | os.O_DIRECTORY)
        stack.callback(os.close, folder)
        for name in filter(_PARTIAL.fullmatch, os.listdir(folder)):  # noqa: PTH208 (of this folder)
            with ExitStack() as inner, suppress(OSError):
                handle = os.open(name, flags, dir_fd=folder)
                inner.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                facts = os.fstat(handle)
                here = os.path.samestat(facts, os.stat(name, dir_fd=folder, follow_symlinks=False))
                if here and stat.S_ISREG(facts.st_mode) and facts.st_mtime < latest:
                    os.unlink(name, dir_fd=folder)


@contextmanager
def _locked(path: Path, patience: Patience) -> Iterator[BufferedRandom]:
    """The file, opened to read and append, while no other thread or process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+b") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                patience.pause(0.1, f"another process downloads {path.name}")
                continue
            if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield stream
                return


def _finish(stream: BufferedRandom, md5: str) -> Path:
    """The path in the cache to which a complete file was moved, read-only."""
    stream.flush()
    os.fsync(stream.fileno())
    path = cache_path(md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(stream.name).replace(path)
    os.fchmod(stream.fileno(), 0o444)  # not before: a partial that is read-only blocks later runs
    return path


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return _md5_of(stream)


def _md5_of(stream: BufferedReader | BufferedRandom) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def listing(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A listing of these rows; what a row leaves out is "", a size that is not known -1."""
    frame = pd.DataFrame(list(rows), columns=list(LISTING))
    frame["size"] = frame["size"].fillna(-1).astype("int64")
    return frame.fillna("").astype(dict.fromkeys(set(LISTING) - {"size"}, object))


def remote_files(listed: pd.DataFrame) -> list[RemoteFile]:
    """The files of a listing."""
    columns = (listed[name] for name in ("url", "name", "md5", "size"))
    return [
        RemoteFile(url, name, md5, int(size)) for url, name, md5, size in zip(*columns, strict=True)
    ]
