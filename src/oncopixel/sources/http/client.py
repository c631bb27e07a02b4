"""Requests to a server, tried again when it falters, within one bound of time."""

import json
import logging
import os
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from ...core.errors import SourceError, printable
from ...core.project import version

log = logging.getLogger(__name__)

TOKEN_HOST_VARIABLE = "ONCOPIXEL_GDC_TOKEN_HOST"  # noqa: S105 (names a host)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
CHUNK = 1 << 20
MAX_JSON = 1 << 25
"""Bytes of an answer that is held in memory; a page of 500 cases of the GDC has some 3 MB."""
TRIES = 8
"""Of a request that fails, and of a body that breaks off without having grown."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second try, and before any other: each waits up to twice as long."""
CONNECT_SECONDS, READ_SECONDS, HEAD_SECONDS = 30.0, 60.0, 120.0
"""For a connection, for one read of it, and for all that comes before the body of an answer."""
TRY_LATER = "Run again later: what is verified or begun is kept."

_TRANSIENT = (429, 500, 502, 503, 504)
_MORE_TIME = "For more time, raise `minutes` of the source."


class BrokenError(Exception):
    """An answer that broke off or is of no use, though another try may do better."""


class EndedError(Exception):
    """Work that is no longer wanted: another thread failed, or the user interrupted."""


class Deadline:
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
                f"again: what is verified or begun is kept. {_MORE_TIME}"
            )
        return left

    def pause(self, seconds: float, why: str) -> None:
        """Waits; `SourceError` at once when that is more than is left."""
        if seconds >= self.left():
            raise SourceError(
                f"{why} and is to be asked again in {seconds:.0f} s, which is beyond the bound of "
                f"{self.minutes:g} minutes. {TRY_LATER} {_MORE_TIME}"
            )
        if seconds > 2:
            log.info("  %s: asking again in %.0f s", why, seconds)
        self._ended.wait(seconds)
        self.left()


def backoff(tries: int) -> float:
    """Seconds to wait after so many failed tries (1 or more): doubling, and half of it random."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1))
    return random.uniform(0.5, 1) * longest  # noqa: S311 (spreads requests, keeps no secret)


class _Retry(Retry):
    """urllib3's retries, with back-off from the first one on and within the deadline."""

    deadline: Deadline

    def new(self, **changes: Any) -> "_Retry":
        fresh = super().new(**changes)
        fresh.deadline, fresh.retry_after_max = self.deadline, sys.maxsize
        return fresh

    def increment(
        self, method: Any = None, url: Any = None, response: Any = None, *rest: Any, **more: Any
    ) -> "_Retry":
        fresh = super().increment(method, url, response, *rest, **more)
        if response is not None:
            response.close()  # or urllib3 reads its body, which may have no end
        return fresh

    def sleep(self, response: Any = None) -> None:
        try:
            asked = float(self.get_retry_after(response) or 0) if response else 0
        except (InvalidHeader, ValueError, OverflowError):
            asked = 0
        self.deadline.pause(
            backoff(len(self.history)) + asked,
            f"the server answers {response.status}" if response else "the server does not answer",
        )


class _Session(requests.Session):
    """A session that keeps a token from the hosts that it is redirected to."""

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        super().rebuild_auth(prepared_request, response)
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("X-Auth-Token", None)

    def get_redirect_target(self, resp: Any) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            resp.close()  # its body may have no end
        return target


class _Timed:
    """A connection that is cut when an answer does not begin in time."""

    sock: Any
    sockets: dict[int, Any]
    """Of each thread, the one that it waits for."""

    def getresponse(self) -> Any:
        self.sockets[threading.get_ident()] = self.sock
        late = threading.Event()
        alarm = threading.Timer(HEAD_SECONDS, _cut, [self.sock, late])
        alarm.daemon = True  # an interrupt does not wait for it
        alarm.start()
        response = None
        try:
            response = super().getresponse()  # type: ignore[misc]
        finally:
            alarm.cancel()
            if late.is_set():
                if response is not None:
                    response.close()  # its end is none
                raise HTTPException(f"the answer had not begun after {HEAD_SECONDS:g} s")
        return response


def _cut(sock: Any, late: threading.Event | None = None) -> None:
    if late is not None:
        late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Timed connections, whose sockets are kept in `sockets`."""

    def __init__(self, sockets: dict[int, Any], retries: Retry) -> None:
        super().__init__(max_retries=retries)
        self._sockets = sockets

    def get_connection_with_tls_context(self, *arguments: Any, **more: Any) -> Any:
        pool = super().get_connection_with_tls_context(*arguments, **more)
        if not issubclass(pool.ConnectionCls, _Timed):
            classes = (_Timed, pool.ConnectionCls)
            pool.ConnectionCls = type("Timed", classes, {"sockets": self._sockets})
        return pool


class Client:
    """Requests to a server, tried again when it falters, within one bound of time.

    Every thread has a connection of its own. The token goes to the GDC, to this machine and to the
    host in ONCOPIXEL_GDC_TOKEN_HOST, never to one that they redirect to, and over plain HTTP to
    this machine only.
    """

    def __init__(self, minutes: float, token: str | None = None) -> None:
        self.deadline = Deadline(minutes)
        self._token = token
        self._own = threading.local()
        self._sessions: list[_Session] = []
        self._sockets: dict[int, Any] = {}

    @property
    def has_token(self) -> bool:
        """Whether requests carry a token, so that controlled data may be asked for."""
        return self._token is not None

    def __enter__(self) -> "Client":
        seconds = min(self.deadline.left(), threading.TIMEOUT_MAX)
        self._alarm = threading.Timer(seconds, self._hang_up)
        self._alarm.daemon = True
        self._alarm.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._alarm.cancel()
        for session in self._sessions:
            session.close()

    def _hang_up(self) -> None:
        """Ends every wait for the server; who waited asks the deadline."""
        for sock in list(self._sockets.values()):
            _cut(sock)

    def json(self, url: str, payload: Any = None, *, what: str) -> Any:
        """The JSON that the server answers to a POST of `payload`, or to a GET without one."""
        for tries in range(1, TRIES + 1):
            try:
                with self.send(url, payload=payload, what=what) as response:
                    refuse_page(response)
                    return json.loads(self.body(response, MAX_JSON))
            except (BrokenError, ValueError, RecursionError) as error:
                reason = str(error) if isinstance(error, BrokenError) else "the answer is no JSON"
                if tries < TRIES:
                    self.deadline.pause(backoff(tries), reason)
        raise SourceError(f"{what}: {reason}, {TRIES} times ({url}). {TRY_LATER}")

    @contextmanager
    def send(
        self, url: str, *, what: str, payload: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[Any]:
        """An answer of status 200, 206 or 416 whose body is to be read by `chunks`, or an error."""
        try:
            response = self._session().request(
                "GET" if payload is None else "POST",
                url,
                json=payload,
                headers=(headers or {}) | self._token_header(url),
                stream=True,
                timeout=(CONNECT_SECONDS, min(READ_SECONDS, self.deadline.left())),
            )
        except requests.RequestException as error:
            self.deadline.left()
            raise SourceError(
                f"{what}: no answer from {urlsplit(url).netloc} ({_reason(error)}). Is the address "
                "right, and does this machine reach it? A proxy is named by HTTPS_PROXY."
            ) from None
        with response:
            self.deadline.left()
            if response.status_code not in (200, 206, 416):
                raise SourceError(f"{what}: {self._refusal(response)}")
            yield response

    def chunks(self, response: Any, *, decoded: bool = False) -> Iterator[bytes]:
        """The body as it arrives, undecoded unless it is to be `decoded` (Content-Encoding)."""
        try:
            while chunk := response.raw.read1(CHUNK, decode_content=decoded):
                self.deadline.left()
                yield chunk
            self.deadline.left()  # an end that this brought is none
        except HTTPError as error:
            self.deadline.left()
            raise BrokenError(f"the answer broke off ({_reason(error)})") from None

    def body(self, response: Any, limit: int, *, decoded: bool = True) -> bytes:
        """The whole body, in which a server that echoes the token says `<token>`."""
        body = bytearray()
        for chunk in self.chunks(response, decoded=decoded):
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
            retries.deadline, retries.retry_after_max = self.deadline, sys.maxsize
            session = self._own.session = _Session()
            session.headers.update(
                {"User-Agent": f"oncopixel/{version()}", "Accept-Encoding": "identity"}
            )
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Adapter(self._sockets, retries))
            self._sessions.append(session)
        return session

    def _token_header(self, url: str) -> dict[str, str]:
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
            text = self.body(response, CHUNK).decode(errors="replace")
        except BrokenError:
            text = ""
        try:
            answer = json.loads(text)
            text = str(answer.get("message") or answer.get("error") or text)
        except (ValueError, AttributeError):
            text = re.sub(r"<[^>]*>", " ", text)
        message = " ".join(text.split())[:200]
        fact = f"{host} answers {status}" + (f" ({message})" if message else "") + ". "
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
            return f"{fact}It was asked {TRIES} times. {TRY_LATER}"
        return fact + "This is a request that the server does not accept."


def refuse_page(response: Any) -> None:
    """`BrokenError` for HTML, in which servers and proxies write what went wrong."""
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise BrokenError("the server sent an HTML page in place of data")


def _reason(error: BaseException) -> str:
    """The innermost words of an error of requests or urllib3, which wrap each other."""
    inner: Any = error
    while isinstance(inner, BaseException):
        text = str(inner)
        wrapped = (one for one in inner.args if isinstance(one, BaseException))
        inner = getattr(inner, "reason", None) or next(wrapped, None)
    return printable(" ".join(text.split())[:200]) or type(error).__name__
