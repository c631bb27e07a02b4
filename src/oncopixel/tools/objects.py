"""What lies under the names of objects: sound, missing, damaged or refused."""

import enum
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

JOBS = 4
CHUNK = 1 << 20
LISTING = ".dir"
"""Ends the name of an object that lists the files of a directory."""


class State(enum.Enum):
    """What was found under an object's name."""

    SOUND = "sound"
    MISSING = "missing"
    DAMAGED = "damaged"
    REFUSED = "refused"


def digest(stream: BinaryIO, seen: Callable[[int], object] = lambda _: None) -> str:
    """The MD5 of what `stream` holds, in hexadecimal; `seen` is told of every chunk's length."""
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(CHUNK):
        md5.update(chunk)
        seen(len(chunk))
    return md5.hexdigest()


def inspect(
    oid: str, open_object: Callable[[str], BinaryIO], seen: Callable[[int], object] = lambda _: None
) -> State:
    """What is under the name `oid`; errors other than absence and refusal are passed on."""
    try:
        with open_object(oid) as stream:
            right = digest(stream, seen) == oid.removesuffix(LISTING)
    except FileNotFoundError as error:
        return _not_found(error)
    except PermissionError:
        return State.REFUSED
    return State.SOUND if right else State.DAMAGED


def _not_found(error: FileNotFoundError) -> State:
    """What it means: of a web server all that fails reads as absence, with the cause behind it."""
    from aiohttp import ClientError

    for cause in causes(error):
        status = getattr(cause, "status", None)
        if status in {401, 403, 407}:
            return State.REFUSED
        failed = isinstance(cause, (ClientError, ConnectionError, TimeoutError))
        if failed and status not in {404, 410}:
            raise ConnectionError(str(cause)) from error
    return State.MISSING


def inspect_all(
    oids: Iterable[str],
    open_object: Callable[[str], BinaryIO],
    seen: Callable[[int], object] = lambda _: None,
) -> dict[str, State]:
    """The state of every object, some read at a time; the first error ends it."""
    names = list(oids)
    with ThreadPoolExecutor(JOBS) as pool:
        try:
            return dict(
                zip(names, pool.map(lambda o: inspect(o, open_object, seen), names), strict=True)
            )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and, one after another, what it was caused by."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def described(error: BaseException) -> str:
    """An error in one line, without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    return redacted(text)[:300].rstrip(".")


def redacted(text: str) -> str:
    """The text without passwords and query strings of URLs; in doubt it leaves out more."""
    text = re.sub(r"//([^/:@\s]*):\S*@", r"//\1@", text)
    return re.sub(r"(//[^\s?]*)\?\S*", r"\1", text)
