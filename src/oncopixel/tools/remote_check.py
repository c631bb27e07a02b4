"""Whether a remote holds what the project needs, byte for byte, and mending what it does not.

`dvc push` and `dvc status --cloud` look at the names of objects only. `dvc fetch`, which compares
contents with `verify` on, does not say why it lacks an object (a web server that asks for a
password looks empty), deletes damaged ones from a folder, and replaces none. So each object is
read where `dvc.api.get_url` says it is, through DVC's file system for it, which only the calls
inside that function give: `get_data_index_entry` and `storage_map`. `dvc data status` would name
the objects, too, but reads all files of the workspace for it.
"""

import logging
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..core.errors import ObjectsError, RemoteError, did_you_mean
from .remote import (
    MALFORMED,
    REFUSED,
    REPLACED,
    SOUND,
    RemoteObject,
    configured,
    described,
    open_project,
    readable,
    redacted,
)

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)

JOBS = 4
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def run(targets: list[str], *, remote: str | None, all_commits: bool, repair: bool) -> None:
    """Says how many objects are sound.

    Parameters
    ----------
    targets
        Files, folders, something in a folder that DVC keeps as one, stages, cohorts. None: all.
    all_commits
        Includes what any commit needs.
    repair
        Replaces what is missing or damaged from the local cache first.

    Raises
    ------
    ObjectsError
        Names each object that is missing or damaged.
    RemoteError
        The project, the remote or a target cannot be used.
    """
    import dvc.api

    with open_project() as repo, tempfile.TemporaryDirectory(prefix="oncopixel-") as folder:
        check = _Check(repo, remote, targets, Path(folder))
        revisions = [None, *(dvc.api.all_commits() if all_commits else [])]
        bad = check.unsound(revisions)
        left: dict[str, str] = {}
        # more than once, for what a folder lists that was mended
        while repair and (new := [o for o in bad if o not in left and bad[o].state != MALFORMED]):
            left |= {oid: bad[oid].mend() for oid in new}
            if all(left[oid] != REPLACED for oid in new):
                break
            before, bad = bad, check.unsound(revisions, log.debug)
            for oid in (oid for oid in new if oid not in bad):
                log.info("mended %s", before[oid].label)
    if bad:
        lines = [f"  {o.state}{left.get(oid, '')}: {o.label} [{oid}]" for oid, o in bad.items()]
        count = "1 object" if len(bad) == 1 else f"{len(bad)} objects"
        advice = (
            "Find a clone whose cache holds them, or make them anew with `dvc repro -f`, "
            "and run this there."
            if repair
            else "Where the local cache is whole (the machine that made them, or after "
            "`dvc repro`), run `oncopixel remote check --repair`."
        )
        raise ObjectsError(
            "\n".join([f"{count} in {check.url} cannot be relied on:", *sorted(lines), advice])
        )


class _Check:
    """What is asked of a remote, and the temporary folder with an empty cache."""

    def __init__(self, repo: "Repo", remote: str | None, targets: list[str], folder: Path) -> None:
        self.remote, self.settings = configured(repo, remote)
        self.url = redacted(str(self.settings["url"]))
        self.asked = {target.rstrip("/").removeprefix("./") for target in targets}
        self.folder, self.cache = folder, Path(repo.cache.local_cache_dir)
        self.sound: set[str] = set()

    def unsound(
        self, revisions: list[str | None], tell: Callable[..., None] = log.info
    ) -> dict[str, RemoteObject]:
        """The objects that are not sound, by name; `RemoteError` when nothing can be read."""
        from tqdm import tqdm

        wanted = self._wanted(revisions)
        objects = [one for oid, one in wanted.items() if oid not in self.sound]
        tell("checking %d objects in %s", len(objects), self.url)
        started = time.monotonic()
        with readable(self.url), ThreadPoolExecutor(JOBS) as pool:
            try:
                found = pool.map(RemoteObject.read, objects)
                sizes = list(tqdm(found, total=len(objects), leave=False, disable=None))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        counts = Counter(one.state for one in objects)
        if set(counts) == {REFUSED}:
            raise RemoteError(
                f"{self.url} refuses to be read. Are the key, the secret and the permissions "
                "right? docs/remotes.md says where credentials go."
            )
        tell(
            "%s; %.1f MB read in %.1f s",
            ", ".join(f"{n} {state}" for state, n in ({SOUND: 0} | counts).items()),
            sum(sizes) / 1e6,
            time.monotonic() - started,
        )
        self.sound |= {one.oid for one in objects if one.state == SOUND}
        return {one.oid: one for one in objects if one.state != SOUND}

    def _wanted(self, revisions: list[str | None]) -> dict[str, RemoteObject]:
        """The objects that are asked for, by name."""
        wanted: dict[str, RemoteObject] = {}
        self.known, self.matched = set[str](), set[str]()
        config = {
            "core": {"remote": self.remote, "site_cache_dir": tempfile.mkdtemp(dir=self.folder)},
            "cache": {"dir": str(self.folder / "cache")},
            "remote": {self.remote: self.settings},
        }
        for revision in revisions:
            with open_project(config, revision) as repo, readable(self.url):
                if outputs := self._outputs(repo, revision):
                    self._collect(repo, outputs, wanted)
        for target in sorted(self.asked - self.matched):
            raise RemoteError(
                f"no output, file in one, stage or cohort is called {target}"
                f"{did_you_mean(target, self.known)}. `dvc stage list` names the stages."
            )
        if not wanted:
            raise RemoteError(
                "nothing to check: no output that DVC keeps was made. Run `dvc repro`."
            )
        return wanted

    def _outputs(self, repo: "Repo", commit: str | None) -> dict[str, tuple[str, set[str]]]:
        """By path the stage of each output that is asked for, and what of it, if not all."""
        from dvc.exceptions import DvcException

        found: dict[str, tuple[str, set[str]]] = {}
        odd: dict[str, str] = {}
        try:
            outputs = list(repo.index.outs)
        except DvcException as error:
            if not commit:
                raise RemoteError(f"the pipeline cannot be read: {described(error)}") from error
            log.warning("warning: commit %s is left out: %s", commit[:7], described(error))
            return {}
        for out in outputs:
            path = repo.fs.relpath(out.fs_path, repo.root_dir)
            stage = getattr(out.stage, "name", None) or f"{path}.dvc"
            names = {path, stage, *stage.split("@"), *_folders(path)}
            md5 = str(out.hash_info.value or "") if out.hash_info else ""
            parts = {t for t in self.asked if md5.endswith(".dir") and path in _folders(t)}
            self.known |= names
            self.matched |= names & self.asked
            ours = out.use_cache and out.can_push and not out.stage.is_repo_import
            if not ours or out.remote not in {None, self.remote}:
                continue
            if self.asked and not names & self.asked and not parts:
                continue
            if not md5 and not commit:
                log.warning("warning: %s was never made. `dvc repro %s` makes it.", path, stage)
            elif md5 and not _MD5.fullmatch(md5):
                odd[path] = f"{md5!a} is no MD5. Restore its .dvc file or dvc.lock from git."
            elif md5 and out.hash_name != "md5":
                odd[path] = "stored by DVC 2. Run `dvc cache migrate --dvc-files` first."
            elif md5:
                label = f"{stage}, commit {commit[:7]}" if commit else stage
                found[path] = label, set() if names & self.asked else parts
        for path, problem in odd.items():
            if not commit:
                raise RemoteError(f"{path}: {problem}")
            log.warning("warning: of commit %s is left out %s: %s", commit[:7], path, problem)
        return found

    def _collect(
        self,
        repo: "Repo",
        outputs: dict[str, tuple[str, set[str]]],
        wanted: dict[str, RemoteObject],
    ) -> None:
        """Adds the objects of `outputs` to `wanted`."""
        for output, (stage, parts) in outputs.items():
            index, top = repo.get_data_index_entry(repo.fs.join(repo.root_dir, output))
            entries, listed = _listed(index, top)
            for entry in entries:
                path, oid = "/".join(entry.key), entry.hash_info.value
                above = {path, *_folders(path)}
                if parts and entry.key != top.key and not parts & above:
                    continue
                within = {t for t in self.asked if not listed and path in _folders(t)}
                self.matched |= self.asked & above | within
                fs, place = index.storage_map.get_remote(entry)
                _, cached = index.storage_map.get_cache(entry)
                cached = self.cache / Path(cached).relative_to(self.folder / "cache")
                one = wanted.setdefault(oid, RemoteObject(oid, fs, place, cached, not listed))
                one.files.setdefault(path, stage)


def _listed(index: Any, top: Any) -> tuple[list[Any], bool]:
    """An output and, of a folder, its files; whether its listing is there and is one."""
    from dvc_data.index import DataIndexDirError
    from dvc_objects.errors import ObjectFormatError

    absent = (FileNotFoundError, PermissionError)
    malformed = (ObjectFormatError, AttributeError, LookupError, TypeError, ValueError)
    try:
        return [e for _, e in index.iteritems(top.key) if e.hash_info], True
    except DataIndexDirError as error:
        if not isinstance(error.__cause__, (*absent, *malformed, RecursionError)):
            raise error.__cause__ or error from None  # of the network
        return [top], False


def _folders(path: str) -> set[str]:
    return {str(parent) for parent in PurePosixPath(path).parents} - {"."}
