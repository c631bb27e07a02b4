"""A DVC project, its remotes, and the objects in them."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..core.errors import OncopixelError, RemoteError, did_you_mean

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)

SOUND, MISSING, DAMAGED, REFUSED = "sound", "missing", "damaged", "missing or not readable"
MALFORMED = "no list of files"
REPLACED = " and still not sound after it was written anew"


@dataclass
class RemoteObject:
    """An object of the remote: what it is the content of, and where it and the cache's belong."""

    oid: str
    fs: Any
    path: str
    cached: Path
    unlisted: bool
    """Whether it should list the files of a folder, but DVC can read no list there."""
    files: dict[str, str] = field(default_factory=dict)
    state: str = SOUND

    @property
    def label(self) -> str:
        """The files by path, each with the stage that makes it."""
        return ", ".join(f"{path} ({stage})" for path, stage in self.files.items())

    def read(self) -> int:
        """Its size, once `state` is known; errors but absence and refusal are passed on."""
        try:
            with self.fs.open(self.path, "rb") as stream:
                self.state, size = self._inspect(stream)
        except PermissionError:
            self.state, size = REFUSED, 0
        except FileNotFoundError as error:
            self.state, size = _not_found(error), 0
        return size

    def _inspect(self, stream: BinaryIO) -> tuple[str, int]:
        md5, size = hashlib.md5(usedforsecurity=False), 0
        while chunk := stream.read(1 << 20):  # `hashlib.file_digest` does not take SSH's files
            md5.update(chunk)
            size += len(chunk)
        if md5.hexdigest() != self.oid.removesuffix(".dir"):
            return DAMAGED, size
        return MALFORMED if self.unlisted else SOUND, size

    def mend(self) -> str:
        """Replaces the object by the local cache's, and says what is so if it is still bad."""
        if not self.cached.is_file():
            return " and not in the local cache"
        with self.cached.open("rb") as stream:
            if self._inspect(stream)[0] == DAMAGED:
                return " in the local cache too"
        try:
            self.fs.put_file(str(self.cached), self.path)
        except Exception as error:  # every file system has its own
            raise RemoteError(
                f"the remote cannot be written: {described(error)}. Mending needs write access; "
                "what was mended before this stays."
            ) from error
        return REPLACED


def _not_found(error: FileNotFoundError) -> str:
    """What it means: a web server's faults read as absence, and a lacking bucket does, too."""
    from aiohttp import ClientError

    cause = error.__cause__ or error.__context__
    while cause:
        status = getattr(cause, "status", None)
        if status in {401, 403, 407}:
            return REFUSED
        failed = isinstance(cause, (ClientError, ConnectionError, TimeoutError))
        if (failed and status not in {404, 410}) or type(cause).__name__ == "NoSuchBucket":
            raise ConnectionError(str(cause)) from error
        cause = cause.__cause__ or cause.__context__
    return MISSING


@contextmanager
def open_project(
    config: dict[str, Any] | None = None, commit: str | None = None
) -> Iterator["Repo"]:
    """The DVC project of this folder; `RemoteError` where there is none."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo(config=config, rev=commit)
    except NotDvcRepoError as error:
        raise RemoteError("this is no DVC project. Run it inside one.") from error
    except DvcException as error:
        raise RemoteError(f"the project cannot be opened: {described(error)}.") from error
    with repo:
        yield repo


def configured(repo: "Repo", name: str | None) -> tuple[str, dict[str, Any]]:
    """The remote's name and settings; `RemoteError` when there is none that can be checked."""
    remotes = repo.config["remote"]
    name = (name or repo.config["core"].get("remote", "")).lower()
    if not name:
        raise RemoteError(
            "no default remote is configured. Name one with --remote"
            + (f" (there is {', '.join(remotes)})" if remotes else "")
            + ", or run `dvc remote add -d NAME URL`; docs/remotes.md has recipes."
        )
    if name not in remotes:
        raise RemoteError(
            f"no remote is called {name}{did_you_mean(name, remotes)}. "
            "`dvc remote list` names them."
        )
    settings = dict(remotes[name])
    if settings.get("version_aware") or settings.get("worktree"):
        raise RemoteError(
            f"remote {name} is cloud-versioned (version_aware): the storage itself keeps the "
            "versions, not objects named by content. To check it, pull into a fresh clone."
        )
    if not settings.get("verify"):
        log.warning(
            "warning: remote %s has no `verify = true`, so `dvc pull` takes damaged objects as "
            "they are. Run `dvc remote modify %s verify true`.",
            name,
            name,
        )
    return name, settings


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Turns what reading the remote at `url` raises into a `RemoteError`."""
    from dvc_objects.fs.errors import RemoteMissingDepsError

    try:
        yield
    except OncopixelError:
        raise
    except (RemoteMissingDepsError, ImportError) as error:
        raise RemoteError(
            f"this kind of remote needs one more package ({described(error)}). Install it with "
            "`pip install -e '.[s3]'`, or ssh, gs, azure."
        ) from error
    except Exception as error:  # every file system has its own
        raise RemoteError(f"{url} cannot be read: {described(error)}") from error


def described(error: BaseException) -> str:
    """An error in one line, without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    return redacted(text)[:300].rstrip(".")


def redacted(text: str) -> str:
    """The text without passwords and query strings of URLs; in doubt it leaves out more."""
    text = re.sub(r"//([^/:@\s]*):\S*@", r"//\1@", text)
    return re.sub(r"(//[^\s?]*)\?\S*", r"\1", text)
