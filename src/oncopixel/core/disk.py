"""Space on disk: files that are written whole or not at all, and failures said in words."""

import contextlib
import errno
import fcntl
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import OutputError

STDOUT = Path("-")
"""In place of a file: standard output."""
SCRATCH = ".oncopixel-partial-"
"""How the names of the folders begin that hold a file while it is written."""
_SCRATCH_NAME = re.compile(re.escape(SCRATCH) + r"[a-z0-9_]{8}")
_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space and run again.",
    errno.EDQUOT: "your disk quota is used up. Free some space and run again.",
    errno.EFBIG: "the file is larger than this system allows.",
    errno.EROFS: "the file system is read-only.",
    errno.EACCES: "permission denied. Change the folder's owner or mode.",
    errno.EPERM: "permission denied. Change the folder's owner or mode.",
    errno.ENOTDIR: "a part of that path is a file, not a folder.",
    errno.EEXIST: "a part of that path is a file, not a folder.",
    errno.EISDIR: "it is a folder.",
    errno.ENAMETOOLONG: "that name is longer than this system allows.",
    errno.ELOOP: "its links lead round in a circle.",
    errno.EIO: "the disk reports an error. Is it damaged, or was it taken out?",
    errno.EPIPE: "nobody reads it any more.",
}


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path`, whole, when the block ends well."""
    with output_errors(path):
        if path == STDOUT:
            with scratch_folder(Path(tempfile.gettempdir())) as folder:
                yield _touched(folder / "stdout")
                sys.stdout.buffer.write((folder / "stdout").read_bytes())
                sys.stdout.flush()
            return
        refuse_special(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # a place such as /proc, where there are no new folders
            raise OutputError(
                f"{path} cannot be written: its folder does not exist and cannot be made."
            ) from None
        with scratch_folder(path.parent) as folder:
            scratch = _touched(folder / path.name)
            yield scratch
            _flush(scratch)
            scratch.replace(path)
            with contextlib.suppress(OSError):  # some file systems cannot flush a folder
                _flush(path.parent)


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """`OutputError` in place of an `OSError` that is a fault of the place."""
    try:
        yield
    except OSError as error:
        reason = write_failure(error)
        if reason is None:
            raise
        raise OutputError(f"{path} cannot be written: {reason}") from error


def write_failure(error: OSError) -> str | None:
    """Why a write failed, in words, or None when the error is no fault of the place."""
    code = error.errno
    if code is None:  # h5py keeps the number in the text only
        found = re.search(r"errno = (\d+)", str(error))
        code = int(found.group(1)) if found else None
    return None if code is None else _REASONS.get(code)


def refuse_special(path: Path) -> None:
    """`OutputError` for a path that holds something else than a plain file."""
    if path.exists() and not path.is_file():
        raise OutputError(
            f"{path} cannot be written: it is a folder, a device, a FIFO or a socket, which no "
            "file may replace. Name a file; `--out -` is standard output."
        )


def refuse_inputs(out: Path, inputs: Iterable[Path | None]) -> None:
    """`OutputError` when writing `out` would destroy an input, by whatever name or link."""
    if out == STDOUT:
        return
    with output_errors(out):
        refuse_special(out)
        for path in inputs:
            if path is not None and out.exists() and path.exists() and out.samefile(path):
                raise OutputError(
                    f"{out} cannot be written: it is {path}, which is read here. Name another file."
                )


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed in the end; after a kill, by the next call there."""
    _clear(parent)
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=SCRATCH))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # a system without locks
                _lock(folder, stack, fcntl.LOCK_EX)
            if folder.exists():  # no other writer cleared it before it was locked
                break
        yield folder


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Lets libraries put their temporary files there, and not where the system has them."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Keeps others out who ask for the same folder; `OutputError` when somebody is in it."""
    with contextlib.ExitStack() as stack:
        try:
            _lock(folder, stack, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{what} is running already. Wait until it has ended, and run again."
            ) from None
        except OSError:  # a system without locks
            pass
        yield


class Sink(io.RawIOBase):
    """A file for HDF5, which crashes when a write fails: it is never told.

    What the disk did not take is kept in memory, so that HDF5 can close its file; `error` is why.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        self._at = 0
        self._kept: list[tuple[int, bytes]] = []
        self._end = 0
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """All of `data`, at the place of `seek`."""
        content = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._file.seek(self._at)
                written = 0
                while written < len(content):
                    written += self._file.write(content[written:])
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._kept.append((self._at, bytes(content)))
        self._at += len(content)
        self._end = max(self._end, self._at)
        return len(content)

    def readinto(self, buffer: Any) -> int:
        """Bytes from the place of `seek`, as they were written."""
        view = memoryview(buffer).cast("B")
        size = max(0, min(len(view), self._end - self._at))
        self._file.seek(self._at)
        stored = self._file.read(size)
        view[:size] = stored.ljust(size, b"\0")
        for start, content in self._kept:
            first, last = max(start, self._at), min(start + len(content), self._at + size)
            if first < last:
                view[first - self._at : last - self._at] = content[first - start : last - start]
        self._at += size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """The new size."""
        self._end = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._end)
            except OSError as error:
                self.error = error
        return self._end

    def close(self) -> None:
        """Raises `error`, if there was one."""
        self._file.close()
        super().close()
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _clear(parent: Path) -> None:
    """Removes the scratch folders in `parent` that nobody has locked."""
    with contextlib.suppress(OSError):  # a folder that may not be read
        for left in filter(lambda path: _SCRATCH_NAME.fullmatch(path.name), parent.iterdir()):
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                _lock(left, stack, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)


def _lock(folder: Path, stack: contextlib.ExitStack, how: int) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack.callback(os.close, handle)
    fcntl.flock(handle, how)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
