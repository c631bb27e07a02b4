"""Servers that never end: each is left within the bound, by time, bytes or entries."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oncopixel.core.errors import SourceError
from oncopixel.sources.http import cache as cache_module
from oncopixel.sources.http import client as client_module
from oncopixel.sources.http import download
from oncopixel.sources.http.cache import RemoteFile
from oncopixel.sources.http.client import Client
from oncopixel.sources.http.download import fetch

LONG = 120
"""Seconds within which what must happen has happened, on any machine."""
OK = b"HTTP/1.1 200 OK\r\n"


class Hostile:
    """A server that sends `parts` on every connection until the client leaves."""

    def __init__(self, parts: Callable[[], Iterator[bytes]], slowly: bool) -> None:
        self._parts, self._slowly = parts, slowly
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file"
        self.left = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1 << 16)
                for part in self._parts():
                    connection.sendall(part)
                    self.sent += len(part)
                    if self._slowly:
                        connection.settimeout(0.05)
                        try:
                            if not connection.recv(1):
                                break
                        except TimeoutError:
                            pass
            except OSError:
                pass
            self.left.set()

    def close(self) -> None:
        self._listener.close()


@contextmanager
def hostile(parts: Callable[[], Iterator[bytes]], *, slowly: bool = False) -> Iterator[Hostile]:
    server = Hostile(parts, slowly)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache_module.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(client_module, "LONGEST_WAIT", 0.002)
    return tmp_path


def bytewise(text: bytes) -> Callable[[], Iterator[bytes]]:
    """The text and then for ever its last byte, one by one."""

    def parts() -> Iterator[bytes]:
        yield text
        while True:
            yield text[-1:]

    return parts


SLOW = {
    "status": b"HTTP/1.1 2",
    "header": OK + b"X: y",
    "chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n0",
    "body": OK + b"Content-Length: 1000000\r\n\r\n1",
    "body without an end": OK + b"\r\n1",
    "body of a failure": b"HTTP/1.1 404 No\r\n\r\n1",
    "body of one that is asked again": b"HTTP/1.1 503 No\r\n\r\n1",
    "body of a redirect": b"HTTP/1.1 302 No\r\nLocation: /file\r\n\r\n1",
}


@pytest.mark.parametrize("case", SLOW)
def test_an_answer_that_comes_byte_by_byte_ends_with_the_time(case: str) -> None:
    with hostile(bytewise(SLOW[case]), slowly=True) as server:
        bound = r"not finished after 0\.02 minutes, its bound|Exceeded 30 redirects"
        with pytest.raises(SourceError, match=bound):
            fetch([RemoteFile(server.url, "x")], connections=1, minutes=0.02)
        assert server.left.wait(LONG)


def test_an_answer_must_begin_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(client_module, "TRIES", 2)
    with (
        hostile(bytewise(OK + b"X: y"), slowly=True) as server,
        pytest.raises(SourceError, match=r"x: no answer from 127\.0\.0\.1:\d+ \(.*not begun after"),
    ):
        fetch([RemoteFile(server.url, "x")], connections=1, minutes=10)


def endless(start: bytes, again: bytes) -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        yield start
        while True:
            yield again

    return parts


BLOCK = b"x" * 65_536
FLOODS = {
    "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"),
    "body of a failure that is asked again": endless(b"HTTP/1.1 503 No\r\n\r\n", BLOCK),
    "body of a redirect": endless(b"HTTP/1.1 302 No\r\nLocation: /file\r\n\r\n", BLOCK),
}


@pytest.mark.parametrize("case", FLOODS)
def test_what_comes_before_the_body_is_short(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(client_module, "TRIES", 2)
    with hostile(FLOODS[case]) as server:
        with pytest.raises(SourceError, match=r"no answer|answers 503\. It was asked"):
            fetch([RemoteFile(server.url, "x")], connections=1, minutes=10)
        assert server.left.wait(LONG)


def test_a_file_without_end_is_left_and_nothing_of_it_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_FILE", 1 << 20)
    with (
        hostile(endless(OK + b"\r\n", BLOCK)) as server,
        pytest.raises(SourceError, match=r"sends more than 1048576 bytes"),
    ):
        fetch([RemoteFile(server.url, "x")], connections=1, minutes=10)
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) == 0


@pytest.mark.parametrize(
    "body",
    [
        endless(OK + b"\r\n", BLOCK),
        lambda: iter([OK + b"\r\n", b"[" * 100_000]),
        lambda: iter([OK + b"\r\n", b"1" * 5_000]),
        lambda: iter([OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(bytes(1 << 22))]),
    ],
)
def test_json_without_end_or_depth_is_told(
    body: Callable[[], Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "TRIES", 2)
    monkeypatch.setattr(client_module, "MAX_JSON", 1 << 20)
    with (
        hostile(body) as server,
        Client(10) as client,
        pytest.raises(SourceError, match=r"the list: the answer is (longer than|no JSON)"),
    ):
        client.json(server.url, what="the list")


def test_what_a_server_says_is_fit_for_a_terminal() -> None:
    said = "\x1b]0;owned\x07\u202egnp.exe".encode()
    with (
        hostile(lambda: iter([b"HTTP/1.1 404 No\r\n\r\n" + said])) as server,
        pytest.raises(SourceError, match=r"answers 404 \(\\x1b\]0;owned\\x07\\u202egnp") as caught,
    ):
        fetch([RemoteFile(server.url, "x")], connections=1, minutes=10)
    assert str(caught.value).isprintable()


def test_many_connections_end_together() -> None:
    with hostile(bytewise(SLOW["body"]), slowly=True) as server:
        files = [RemoteFile(f"{server.url}{i}", f"x{i}") for i in range(6)]
        with pytest.raises(SourceError, match="its bound"):
            fetch(files, connections=4, minutes=0.02)
