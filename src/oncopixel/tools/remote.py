"""Whether a remote holds what the project needs, byte for byte.

`dvc push` and `dvc status --cloud` look at the names of objects only. This has DVC fetch them all
into an empty cache with `verify` on, where an object whose content does not match its name is
dropped, and says what is then lacking.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ObjectsError, RemoteError, did_you_mean

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)


def check(remote: str | None = None, *, all_commits: bool = False) -> None:
    """Fetches all that the workspace, or every commit, needs, into a cache that goes away.

    Raises
    ------
    RemoteError
        When there is no such remote, or it cannot be read.
    ObjectsError
        Names each file whose object is missing or damaged.
    """
    import dvc.api

    with tempfile.TemporaryDirectory(prefix="oncopixel-") as folder:
        with _project() as repo:
            name = _remote(repo, remote)
        config = {
            "core": {"remote": name, "site_cache_dir": f"{folder}/site"},
            "cache": {"dir": f"{folder}/cache"},
            "remote": {name: {"verify": True}},
        }
        bad: dict[str, str] = {}
        revisions = dvc.api.all_commits() if all_commits else []
        for revision in [None, *revisions]:
            with _project(config, revision) as repo:
                where = f" (commit {revision[:7]})" if revision else ""
                bad |= {path + where: word for path, word in _lacking(repo, name).items()}
        objects = [path for path in Path(folder, "cache").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in objects) / 1e6
    log.info("remote %s: %d sound objects, %.1f MB read", name, len(objects), size)
    if bad:
        raise ObjectsError(
            "\n".join(
                [
                    f"{len(bad)} files cannot be had from remote {name}:",
                    *(f"  {word}: {path}" for path, word in sorted(bad.items())),
                    "Delete the damaged objects there, then push from a whole cache, as "
                    "docs/remotes.md says under *Mending*.",
                ]
            )
        )
    if not objects:
        raise RemoteError("nothing to check: no output that DVC keeps was made. Run `dvc repro`.")


@contextmanager
def _project(config: dict | None = None, revision: str | None = None) -> Iterator["Repo"]:
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(config=config, rev=revision) as repo:
            yield repo
    except NotDvcRepoError as error:
        raise RemoteError("this is no DVC project. Run it inside one.") from error
    except DvcException as error:
        raise RemoteError(f"the project cannot be read: {_line(error)}.") from error


def _remote(repo: "Repo", name: str | None) -> str:
    """The remote's name; `RemoteError` when there is none of the kind that can be checked."""
    remotes = repo.config["remote"]
    name = name or repo.config["core"].get("remote")
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
    if remotes[name].get("version_aware") or remotes[name].get("worktree"):
        raise RemoteError(
            f"remote {name} is cloud-versioned: the storage itself keeps the versions, not objects "
            "named by content. To check it, pull into a fresh clone."
        )
    if not remotes[name].get("verify"):
        log.warning(
            "warning: `dvc pull` takes damaged objects of remote %s as they are. "
            "Run `dvc remote modify %s verify true`.",
            name,
            name,
        )
    return name


def _lacking(repo: "Repo", remote: str) -> dict[str, str]:
    """What is wrong with each file that could not be fetched, by path."""
    from dvc.exceptions import DownloadError

    failed: DownloadError | None = None
    try:
        try:
            repo.fetch(remote=remote)
        except DownloadError as error:  # so it is, too, when an object is missing
            failed = error
        found = repo.data_status(
            granular=True, not_in_remote=True, remote=remote, remote_refresh=True
        )
        if failed and not found["not_in_remote"]:
            raise failed
    except Exception as error:  # every file system has its own
        raise RemoteError(f"remote {remote} cannot be read: {_line(error)}.") from error
    missing = set(found["not_in_remote"])
    return {
        path: "missing" if path in missing else "damaged"
        for path in missing.union(found["not_in_cache"])
    }


def _line(error: BaseException) -> str:
    """An error in one line, without the passwords and query strings of URLs."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"//([^/:@\s]*):\S*@", r"//\1@", text)
    return re.sub(r"(//[^\s?]*)\?\S*", r"\1", text)[:300].rstrip(".")
