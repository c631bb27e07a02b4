"""Time and bytes that a server may take: every wait for it is within one bound.

Libraries bound single waits only. Here each read of a socket asks how much time is left, so that a
server cannot stretch an answer by sending it byte by byte, and what comes before the body that was
asked for (interim answers, headers, the bodies of redirects and of failures) is short.
"""

import io
import logging
import threading
import time
from http.client import HTTPException
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from ...core.errors import SourceError

log = logging.getLogger(__name__)

HEAD_SECONDS, HEAD_BYTES = 120.0, 1 << 18
"""For all that comes before the body that was asked for."""


class EndedError(Exception):
    """Work that is no longer wanted: another thread failed, or the user interrupted."""


class Patience:
    """The time that may be spent on a server, waiting included."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self._end = time.monotonic() + 60 * minutes
        self._ended = threading.Event()

    def end(self) -> None:
        """Makes every thread that asks for time stop."""
        self._ended.set()

    def left(self) -> float:
        """Seconds that are left; `SourceError` when none are."""
        if self._ended.is_set():
            raise EndedError
        left = self._end - time.monotonic()
        if left <= 0:
            raise SourceError(
                f"the download is not finished after {self.minutes:g} minutes, its bound. Run "
                "again: what is verified or begun is kept. For more time, raise `minutes` of the "
                "source."
            )
        return left

    def pause(self, seconds: float, why: str = "the server failed") -> None:
        """Waits; `SourceError` at once when that is more than is left."""
        if seconds >= self.left():
            raise SourceError(
                f"{why} and is to be asked again in {seconds:.0f} s, which is beyond the bound of "
                f"{self.minutes:g} minutes. Run again later: what is verified or begun is kept. "
                "For more time, raise `minutes` of the source."
            )
        if seconds > 2:
            log.info("  %s: asking again in %.0f s", why, seconds)
        self._ended.wait(seconds)
        self.left()


class Pace:
    """How long the connections of one thread may wait for their server, and for how many bytes."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.body()

    def head(self) -> None:
        """From now on an answer is to begin."""
        self._bytes, self._until = HEAD_BYTES, time.monotonic() + HEAD_SECONDS

    def body(self) -> None:
        """From now on the body that was asked for may come, in whatever time is left."""
        self._bytes, self._until = -1, float("inf")

    def seconds(self) -> float:
        """For the next read; `SourceError` and `TimeoutError` when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the answer had not begun after {HEAD_SECONDS:g} s")
        return min(self._patience.left(), left)

    def came(self, size: int) -> None:
        """So many bytes more are here; `HTTPException` when an answer does not begin with them."""
        if self._bytes >= 0:
            self._bytes = max(0, self._bytes - size)
            if not self._bytes:
                raise HTTPException(f"{HEAD_BYTES} bytes came in place of an answer")


class _Reader(io.RawIOBase):
    """A socket's stream whose every read is within the pace."""

    def __init__(self, sock: Any, limit: float | None, pace: Pace) -> None:
        self._sock, self._limit, self._pace = sock, limit, pace
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        seconds = self._pace.seconds()
        self._sock.settimeout(seconds if self._limit is None else min(seconds, self._limit))
        size = self._raw.readinto(buffer)
        self._pace.came(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Socket:
    """A socket that hands out such streams; all else is its own."""

    def __init__(self, sock: Any, pace: Pace) -> None:
        self._sock, self._pace = sock, pace
        self._limit = sock.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        self._limit = seconds
        self._sock.settimeout(seconds)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._limit, self._pace))


class PacedAdapter(HTTPAdapter):
    """Connections whose reads keep to a pace."""

    def __init__(self, pace: Pace, **options: Any) -> None:
        self._pools = {
            "http": _paced(HTTPConnectionPool, HTTPConnection, pace),
            "https": _paced(HTTPSConnectionPool, HTTPSConnection, pace),
        }
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As requests has it, with our connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        """As requests has it, with our connections."""
        manager = super().proxy_manager_for(proxy, **options)
        if type(manager) is ProxyManager:
            manager.pool_classes_by_scheme = self._pools
        return manager


def _paced(pool: Any, connection: Any, pace: Pace) -> Any:
    class Connection(connection):  # type: ignore[misc]
        sock: Any

        def connect(self) -> None:
            super().connect()
            self.sock = _Socket(self.sock, pace)

        def getresponse(self) -> Any:
            pace.head()
            return super().getresponse()

    return type("Pool", (pool,), {"ConnectionCls": Connection})
