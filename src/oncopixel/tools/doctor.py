"""What could keep a project from running on this machine, each with its remedy."""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import joblib
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from ..core.errors import OncopixelError, ParamsError, first_few
from ..core.executor import has_gpu
from ..core.params import CohortParams, FilesSource, GdcSource, H5adSource, Params, read_params
from ..core.params.values import RESULTS
from ..core.project import version
from ..sources.http.cache import cache_folder
from .remote import REFUSED, RemoteObject, configured, open_project, readable, redacted

GB = 1e9
LITTLE_DISK, LEAST_DISK = 10 * GB, 1 * GB
"""Free space below which there is a warning, and a problem."""
LITTLE_MEMORY = 4 * GB
SLACK = 60
"""Seconds by which clocks may differ."""
NO_OBJECT = "oncopixel-doctor"
"""A name that is asked for to see whether a remote answers."""
SUPPORTED = ">=3.11,<3.14"
"""Versions of Python, where the installed package does not tell."""

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    state: State
    text: str

    def __str__(self) -> str:
        return f"{self.state:7}  {self.text}"


Findings = Iterator[Finding]


def examine(params: Path, root: Path, *, remote: bool = False) -> Findings:
    """The state of everything a run needs, in the order in which to mend it; `remote` asks it."""
    yield from _python(root / "dvc.yaml")
    yield from _lock(root / "requirements.lock")
    yield from _programs(root)
    yield from _remote(root, ask=remote)
    yield from _machine(root)
    yield from _clock(root)
    try:
        checked = read_params(params)
    except OncopixelError as error:
        yield Finding("problem", str(error))
    else:
        yield Finding("ok", f"{params}: valid, {len(checked.cohorts)} cohorts")
        yield from _inputs(checked, root)
    yield from _writable(root)


def _python(pipeline: Path) -> Findings:
    running = ".".join(map(str, sys.version_info[:3]))
    try:
        wanted = importlib.metadata.metadata("oncopixel")["Requires-Python"]
    except (importlib.metadata.PackageNotFoundError, KeyError):
        wanted = SUPPORTED
    if running not in SpecifierSet(wanted):
        yield Finding("problem", f"Python {running}: use one that is {wanted}")
    else:
        yield Finding("ok", f"Python {running}, oncopixel {version()}, {sys.prefix}")
    tree = pipeline.is_file() and "python -m oncopixel" in pipeline.read_text(encoding="utf-8")
    program = "python" if tree else "oncopixel"
    found = shutil.which(program)
    if not found or Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        yield Finding(
            "warning",
            f"`{program}`, which the stages run, is {found or 'not found'}, not that of this "
            f"environment: run `source {sys.prefix}/bin/activate`",
        )


def _lock(path: Path) -> Findings:
    """The lock file beside what is installed."""
    if not path.is_file():
        yield Finding("warning", f"{path} does not exist: versions of packages are not pinned")
        return
    missing, other, count = [], [], 0
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line[:1].isalnum():
            continue
        with contextlib.suppress(InvalidRequirement):
            wanted = Requirement(line.rstrip(" \\"))
            if wanted.marker and not wanted.marker.evaluate():
                continue
            count += 1
            try:
                installed = importlib.metadata.version(wanted.name)
            except importlib.metadata.PackageNotFoundError:
                missing.append(wanted.name)
                continue
            if not wanted.specifier.contains(installed, prereleases=True):
                other.append(f"{wanted.name} {installed} in place of {wanted.specifier}")
    remedy = f"`pip install --no-deps -r {path}`"
    if missing:
        yield Finding("problem", f"{len(missing)} packages of {path} are not installed "
                                 f"({first_few(missing)}): {remedy}")  # fmt: skip
    if other:
        fact = f"{len(other)} packages have another version than in {path} ({first_few(other)})"
        yield Finding("warning", f"{fact}, so results may differ: {remedy}")
    if not missing and not other:
        yield Finding("ok", f"{path}: all {count} packages are installed as it says")


def _programs(root: Path) -> Findings:
    if _git(root, "--version") is None:
        yield Finding("problem", "git is not there: install it (Debian: apt-get install git)")
    elif _git(root, "rev-parse", "--show-toplevel") is None:
        yield Finding("problem", f"{root.resolve()} is in no git repository: run `git init`")
    else:
        yield Finding("ok", "git, and a repository")
    dvc = importlib.metadata.version("dvc")
    if shutil.which("dvc") is None:
        yield Finding("problem", f"`dvc` is not found: run `source {sys.prefix}/bin/activate`")
    elif not (root / ".dvc").is_dir():
        yield Finding("problem", f"{root.resolve()} is no DVC project: run `dvc init`, or make a "
                                 "project with `oncopixel new`")  # fmt: skip
    elif not (root / "dvc.yaml").is_file():
        yield Finding("problem", f"{root / 'dvc.yaml'} does not exist: `git checkout dvc.yaml`, or "
                                 "make a project with `oncopixel new`")  # fmt: skip
    else:
        yield Finding("ok", f"DVC {dvc}, and a project")


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where it fails or is not there."""
    try:
        found = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607, E501  # fmt: skip
    except FileNotFoundError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _remote(root: Path, *, ask: bool) -> Findings:
    if not (root / ".dvc").is_dir():
        return
    try:
        with contextlib.chdir(root), open_project() as repo:
            if not repo.config["core"].get("remote"):
                remedy = "`dvc remote add -d NAME URL`, so that data and models are kept elsewhere"
                yield Finding("problem" if ask else "warning", f"no default remote: {remedy}")
                return
            name, settings = configured(repo, None)
            url = redacted(str(settings.get("url")))
            if not ask:
                yield Finding("ok", f"remote {name}: {url}, not asked (--remote does)")
                return
            with readable(url):
                fs, place = (storage := repo.cloud.get_remote(name)).fs, storage.path
                probe = RemoteObject(
                    NO_OBJECT, fs, fs.join(place, NO_OBJECT), Path(NO_OBJECT), unlisted=False
                )
                probe.read()
                gone = fs.protocol == "local" and not fs.exists(place)
    except OncopixelError as error:
        yield Finding("problem" if ask else "warning", f"remote: {error}")
        return
    if probe.state == REFUSED or gone:
        fact = "does not exist: mount or make it" if gone else f"{REFUSED}: look at the credentials"
        yield Finding("problem", f"remote {name}: {url} {fact}")
    else:
        yield Finding("ok", f"remote {name}: {url} can be reached")


def _machine(root: Path) -> Findings:
    free = shutil.disk_usage(root).free
    state: State = "problem" if free < LEAST_DISK else "warning" if free < LITTLE_DISK else "ok"
    remedy = ": free some space; `dvc gc --workspace` removes what no result needs" * (
        state != "ok"
    )
    yield Finding(state, f"{free / GB:.0f} GB free on disk{remedy}")
    gpu = "a GPU" if has_gpu() else "no GPU"
    memory = _memory()
    little = memory < LITTLE_MEMORY
    remedy = ": folds one after another need less (LOKY_MAX_CPU_COUNT=1)" * little
    yield Finding(
        "warning" if little else "ok",
        f"{joblib.cpu_count()} CPUs, {memory / GB:.0f} GB of memory, {gpu}{remedy}",
    )


def _memory() -> float:
    """Bytes of memory that this process may use."""
    here = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # no limit is "max"
        return min(here, float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return here


def _clock(root: Path) -> Findings:
    """Whether the time is not before that of what is here: DVC compares times of files."""
    now = time.time()
    names = ("params.yaml", "dvc.yaml", "dvc.lock")
    times = {name: (root / name).stat().st_mtime for name in names if (root / name).exists()}
    if committed := _git(root, "log", "-1", "--format=%ct"):
        times["the last commit"] = float(committed)
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    later = [name for name, then in times.items() if then > now + SLACK]
    if later:
        yield Finding("warning", f"the clock says {shown}, and {first_few(later)} is later: set it")
    else:
        yield Finding("ok", f"the clock says {shown}")


def _inputs(params: Params, root: Path) -> Findings:
    for name, entry in params.cohorts.items():
        folder = root / entry.inputs
        if not folder.exists():
            remedy = (
                f"`dvc pull {entry.inputs}`"
                if folder.with_name(f"{folder.name}.dvc").exists()
                else "put its files there, or mend `inputs`"
            )
            yield Finding("problem", f"cohort {name}: {folder} does not exist: {remedy}")
        elif lacking := _lacking(entry, folder):
            yield Finding("problem", f"cohort {name}: {folder} lacks {first_few(lacking)}")
        else:
            source = entry.source
            asks = isinstance(source, GdcSource) or any(
                getattr(source, key, None) for key in ("hub", "url")
            )
            yield Finding(
                "ok", f"cohort {name}: {folder} is there" + ", and `ingest` downloads" * asks
            )


def _lacking(entry: CohortParams, folder: Path) -> list[str]:
    """Files that are named and not there, of sources that are files."""
    sources = [part.source for part in (entry, entry.external) if part]
    keys = ("expression", "copy_number", "mutation", "samples", "path")
    named = [
        getattr(source, key, None)
        for source in sources
        if isinstance(source, (FilesSource, H5adSource))
        for key in keys
    ]
    return [name for name in named if isinstance(name, str) and not (folder / name).is_file()]


def _writable(root: Path) -> Findings:
    """Whether results and caches can be written."""
    places = [root / name for name in RESULTS] + [root / ".dvc", cache_folder()]
    bad = [place for place in places if not _can_write(place)]
    for place in bad:
        yield Finding("problem", f"{place} cannot be written: change its owner or mode")
    if not bad:
        yield Finding("ok", f"data, models, reports and caches can be written ({cache_folder()})")


def _can_write(place: Path) -> bool:
    """Whether a file can be made there, or in the folder in which it would be made."""
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def run(params: Path, root: Path, say: Callable[[str], None], *, remote: bool = False) -> None:
    """Says each finding; `ParamsError` where there is a problem."""
    problems = 0
    for finding in examine(params, root, remote=remote):
        say(str(finding))
        problems += finding.state == "problem"
    if problems:
        raise ParamsError(f"{problems} problem(s): what to do stands beside each.")
