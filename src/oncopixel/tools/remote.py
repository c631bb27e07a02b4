"""Whether a remote holds what the project needs, byte for byte, and mending what it does not.

DVC keeps every file as an object named by the MD5 of its content. `dvc push` looks at the names
only, and says "up to date" also when an object is damaged or was never in the cache it pushed from.
This reads each object back. It goes through DVC's own file systems, so any kind of remote will do.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..core.errors import OncopixelError, RemoteError, did_you_mean, first_few
from .objects import LISTING, State, causes, described, inspect, inspect_all, redacted

if TYPE_CHECKING:
    from dvc.repo import Repo

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass
class Need:
    """An object that the project needs: the files it is the content of, and its size if known.

    Of a folder in `parts` only what is called so there, or is below it, is needed.
    """

    oid: str
    files: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    parts: dict[str, set[str]] = field(default_factory=dict)
    malformed: bool = False
    """Whether it should list the files of a folder, but does not."""

    @property
    def label(self) -> str:
        """The files by path, each with the stage that makes it."""
        return ", ".join(f"{path} ({stage})" for path, stage in self.files.items())


@contextmanager
def open_project() -> Iterator["Repo"]:
    """The DVC project of this folder; `RemoteError` where there is none."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo()
    except NotDvcRepoError as error:
        raise RemoteError("this is no DVC project. Run it inside one.") from error
    except DvcException as error:
        raise RemoteError(f"the project cannot be opened: {described(error)}.") from error
    with repo:
        yield repo


def needs(
    repo: "Repo",
    remote: str,
    targets: list[str],
    *,
    all_commits: bool,
    warn: Callable[[str], object],
) -> dict[str, Need]:
    """The objects that belong into `remote` of the outputs that `targets` name (all when empty).

    A target is a file, a folder, something in a folder that DVC keeps as one, a stage (`train`,
    `train@tcga-luad`), a cohort or a `.dvc` file. Those of every commit, branch and tag are
    included when `all_commits`. `warn` is told what was left out: outputs never made, commits that
    cannot be read. Raises `RemoteError` for an unknown target.
    """
    from dvc.exceptions import DvcException

    found: dict[str, Need] = {}
    known: set[str] = set()
    asked = {_normal(target) for target in targets}
    matched: set[str] = set()
    for names in repo.brancher(all_commits=all_commits):
        rev = "" if names in ("", "workspace") else names.split(",")[0][:7]
        try:
            outs = [out for stage in repo.index.stages for out in stage.outs]
        except DvcException as error:
            if not rev:
                raise RemoteError(f"the pipeline cannot be read: {described(error)}") from error
            warn(f"commit {rev} cannot be read and is left out: {described(error)}")
            continue
        of_dvc2 = []
        for out in outs:
            path = Path(repo.fs.relpath(out.fs_path, repo.root_dir)).as_posix()
            stage = getattr(out.stage, "name", None) or f"{path}.dvc"
            names_of_it = {path, stage, *stage.split("@"), *_folders(path)}
            known |= names_of_it
            whole = asked & names_of_it
            kept_as_one = out.hash_info and out.hash_info.isdir
            parts = {t for t in asked if path in _folders(t)} if kept_as_one else set()
            matched |= whole | parts
            ours = out.use_cache and out.can_push and not out.stage.is_repo_import
            if not ours or (asked and not whole and not parts):
                continue
            if not out.hash_info:
                if not rev:
                    warn(f"{path} was never made and is left out. `dvc repro {stage}` makes it.")
                continue
            if out.remote and out.remote != remote:
                warn(f"{path} belongs to remote {out.remote}: check it with -r {out.remote}.")
                continue
            if out.hash_name != "md5":
                if not rev:
                    raise RemoteError(
                        f"{path} was stored by DVC 2. Run `dvc cache migrate --dvc-files` first."
                    )
                of_dvc2.append(path)
                continue
            if not _is_oid(out.hash_info.value):
                said = f"{path} is recorded with {str(out.hash_info.value)!a}, which is no MD5"
                if not rev:
                    raise RemoteError(f"{said}. Restore its .dvc file or dvc.lock from git.")
                warn(f"of commit {rev} {said}: it is left out.")
                continue
            need = found.setdefault(out.hash_info.value, Need(out.hash_info.value))
            need.size = out.meta.size if out.meta else None
            need.files.setdefault(path, f"{stage}, commit {rev}" if rev else stage)
            if parts and not whole:
                need.parts[path] = parts
        if of_dvc2:
            warn(f"of commit {rev} what DVC 2 stored is left out: {first_few(of_dvc2)}")
    for target in sorted(asked - matched):
        raise RemoteError(
            f"no output, folder, stage or cohort is called {target}"
            f"{did_you_mean(target, known)}. `dvc stage list` names the stages."
        )
    return found


def _is_oid(value: object) -> bool:
    return isinstance(value, str) and bool(_MD5.fullmatch(value.removesuffix(LISTING)))


def _normal(target: str) -> str:
    return target.rstrip("/").removeprefix("./")


def _folders(path: str) -> set[str]:
    return {parent.as_posix() for parent in Path(path).parents} - {"."}


class Store:
    """The objects of one remote."""

    def __init__(self, repo: "Repo", name: str | None) -> None:
        from dvc.config import RemoteNotFoundError
        from dvc.exceptions import DvcException
        from dvc_objects.fs.errors import ConfigError, RemoteMissingDepsError

        remotes = list(repo.config["remote"])
        name = name or repo.config["core"].get("remote")
        if not name:
            raise RemoteError(
                "no default remote is configured. Name one with --remote"
                + (f" (there is {', '.join(remotes)})" if remotes else "")
                + ", or run `dvc remote add -d NAME URL`; docs/remotes.md has recipes."
            )
        try:
            remote = repo.cloud.get_remote(name)
            self.fs: Any = remote.fs
            self.name: str = remote.name
            self.url = redacted(remote.fs.unstrip_protocol(remote.path))
            if remote.worktree or remote.fs.version_aware:
                raise RemoteError(
                    f"remote {remote.name} is cloud-versioned (version_aware): the storage itself "
                    "keeps the versions, not objects named by content. To check it, pull into a "
                    "fresh clone."
                )
            self._odb: Any = remote.odb
        except RemoteNotFoundError as error:
            raise RemoteError(
                f"no remote is called {name}{did_you_mean(name, remotes)}. "
                "`dvc remote list` names them."
            ) from error
        except (RemoteMissingDepsError, ImportError) as error:
            raise RemoteError(
                f"this kind of remote needs one more package ({described(error)}). Install it with "
                "`pip install -e '.[s3]'`, or ssh, gs, azure."
            ) from error
        except (DvcException, ConfigError) as error:
            raise RemoteError(
                f"the remote is not usable as configured: {described(error)}"
            ) from error

    @property
    def verifies(self) -> bool:
        """Whether `dvc pull` compares what it fetches with its name."""
        return bool(self._odb.verify)

    def open(self, oid: str) -> BinaryIO:
        """The object as a stream."""
        stream: BinaryIO = self.fs.open(self._odb.oid_to_path(oid), "rb")
        return stream

    def read(self, oid: str) -> bytes | None:
        """The content of a sound object, None of another; `RemoteError` when reading fails."""
        try:
            if inspect(oid, self.open) is not State.SOUND:
                return None
            with self.open(oid) as stream:
                return stream.read()
        except Exception as error:  # every file system has its own
            raise RemoteError(f"{self.url} cannot be read: {described(error)}") from error

    def inspect(
        self, oids: Iterable[str], seen: Callable[[int], object] = lambda _: None
    ) -> dict[str, State]:
        """The state of every object; `RemoteError` when the remote cannot be read at all."""
        try:
            states = inspect_all(oids, self.open, seen)
        except OncopixelError:
            raise
        except Exception as error:  # every file system has its own
            raise RemoteError(f"{self.url} cannot be read: {described(error)}") from error
        if states and set(states.values()) == {State.REFUSED}:
            raise RemoteError(
                f"{self.url} refuses to be read. Are the key, the secret and the permissions "
                "right? docs/remotes.md says where credentials go."
            )
        if states and set(states.values()) <= {State.MISSING, State.REFUSED}:
            self._assert_bucket()
        return states

    def _assert_bucket(self) -> None:
        try:
            self.fs.ls(self._odb.path, detail=False)
        except Exception as error:
            codes = [getattr(e, "response", None) for e in causes(error)]
            if any(isinstance(c, dict) and c["Error"]["Code"] == "NoSuchBucket" for c in codes):
                raise RemoteError(
                    f"the bucket of {self.url} does not exist. DVC creates none: create it, or "
                    "correct the URL with `dvc remote modify`."
                ) from error

    def replace(self, oid: str, content: Path) -> None:
        """Puts the file `content` in the object's place, whole or not at all."""
        path = self._odb.oid_to_path(oid)
        try:
            self.fs.put_file(str(content), path)
        except Exception as error:  # every file system has its own
            raise RemoteError(
                f"{self.url} cannot be written: {described(error)}. Mending needs write access; "
                "what was mended before this stays."
            ) from error
        self._odb.protect(path)


def cached(repo: "Repo", oid: str) -> Path:
    """Where the local cache keeps an object, whether it is there or not."""
    return Path(repo.cache.local.oid_to_path(oid))


def with_listed(found: dict[str, Need], repo: "Repo", store: Store) -> dict[str, Need]:
    """`found` and the files that its directories list.

    A listing is read from the remote, or from the local cache when the remote's is not sound; one
    that is sound in neither lists nothing, and is itself among what is found wanting; one that is
    no list of files is marked `malformed`. Raises `RemoteError` for a target that is in no listing.
    """
    everything = dict(found)
    asked: set[str] = set()
    matched: set[str] = set()
    for oid, need in found.items():
        if not oid.endswith(LISTING):
            continue
        need.size = None  # DVC gives the size of the directory's files
        content = store.read(oid)
        content = _sound_content(cached(repo, oid), oid) if content is None else content
        listed = _listed(b"[]" if content is None else content)
        need.malformed = listed is None
        for folder, stage in need.files.items():
            parts = need.parts.get(folder, set())
            asked |= parts
            matched |= parts if content is None or listed is None else set()
            for relative, md5 in (listed or {}).items():
                path = f"{folder}/{relative}"
                ours = parts & {path, *_folders(path)}
                matched |= ours
                if ours or not parts:
                    member = everything.setdefault(md5, Need(md5))
                    member.files.setdefault(path, stage)
    for target in sorted(asked - matched):
        raise RemoteError(f"no file is called {target} in the folder that DVC keeps as one.")
    return everything


def _listed(content: bytes) -> dict[str, str] | None:
    """MD5 by relative path, as a listing has it; None when it is no list of files in a folder."""
    try:
        entries = json.loads(content)
        files = {entry["relpath"]: entry["md5"] for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = isinstance(entries, list) and len(files) == len(entries)
    return files if whole and all(_is_file(*item) for item in files.items()) else None


def _is_file(path: object, md5: object) -> bool:
    """Whether a listing's entry names a file below its folder, and an object."""
    return (
        isinstance(path, str)
        and not {"", ".", ".."} & set(path.split("/"))
        and isinstance(md5, str)
        and bool(_MD5.fullmatch(md5))
    )


def mend(oid: str, repo: "Repo", store: Store) -> str | None:
    """Replaces an object by the local cache's; None when it is sound now, else what hinders."""
    here = cached(repo, oid)
    state = inspect(oid, lambda _: here.open("rb"))
    if state is not State.SOUND:
        return "and not in the local cache" if state is State.MISSING else "in the local cache too"
    store.replace(oid, here)
    if store.inspect([oid])[oid] is not State.SOUND:
        return "and still not sound after it was written anew"
    return None


def _sound_content(path: Path, oid: str) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    right = hashlib.md5(content, usedforsecurity=False).hexdigest() == oid.removesuffix(LISTING)
    return content if right else None
