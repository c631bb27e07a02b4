"""A cohort of one's own: its files in place, its entry in params.yaml, and its first checks."""

import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.disk import output_errors
from ..core.errors import DataCheckError, OutputError, ParamsError, SourceError
from ..core.params import parse_params, read_params
from ..core.project import Paths
from ..core.provenance import recorded
from ..core.storage import write_text
from ..core.yaml_files import read_yaml
from ..stages import ingest, plan, validate
from .cohort_files import Ask, Findings, Given
from .inspection import inspect
from .params_text import entry_text, with_cohort

log = logging.getLogger(__name__)

STAGES = {"plan": plan.run, "ingest": ingest.run, "validate": validate.run}
IGNORED = """\
# Patients' data; the pointers that `dvc add` makes are for git.
*
!*/
!*.dvc
!.gitignore
"""


def run(
    name: str,
    given: Given,
    ask: Ask,
    *,
    params: Path,
    root: Path,
    link: bool = False,
    dry_run: bool = False,
    check: bool = True,
) -> str:
    """The entry, once it is in params.yaml and the cohort has passed its checks.

    Parameters
    ----------
    link
        Hard links in place of copies.
    dry_run
        Nothing is written.

    Returns
    -------
    str
        YAML, with the reasons of the guesses as comments.

    Raises
    ------
    ParamsError
        There is such a cohort already, or the entry is not valid.
    SourceError
        The files do not make a cohort. params.yaml is then as it was, and the copies are gone.
    """
    checked, before = read_params(params), params.read_text(encoding="utf-8")
    if name in checked.cohorts:
        raise ParamsError(f"{params} has a cohort {name!r} already. Choose another name.")
    inputs = f"data/sources/{name}"
    names = _names(given.files, root / inputs)
    found = inspect(given, ask, min_class_size=checked.validation.min_class_size)
    for key, reason in found.guesses.items():
        log.info("  guessed %s: %s", key, reason)
    entry = _entry(found, names, inputs)
    raw = read_yaml(params)
    parse_params(raw | {"cohorts": raw["cohorts"] | {name: entry}}, "the new entry")
    text = entry_text(name, entry, {key: f"guessed: {why}" for key, why in found.guesses.items()})
    after = with_cohort(before, text, str(params))
    if dry_run:
        return text
    with _undone_on_failure(name, params, root, before, after):
        _place(given.files, names, root / inputs, link=link)
        if found.sheet is not None:
            write_text(root / inputs / names["samples"], found.sheet.to_csv())
        write_text(params.resolve(), after)
        if dict(read_params(params).cohorts) | {name: None} != dict(checked.cohorts) | {name: None}:
            raise ParamsError(f"{params} cannot take an entry. Add this by hand:\n{text}")
        if check:
            _check(Paths(root, name), params)
    return text


def _names(files: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """What each file is called below `inputs`; `OutputError` where files of others are there."""
    for path in files.values():
        if not path.is_file():
            raise SourceError(f"{path} does not exist or is no file.")
    here = [path.resolve().is_relative_to(folder.resolve()) for path in files.values()]
    if folder.exists() and any(folder.iterdir()) and not all(here):
        raise OutputError(
            f"{folder} is there already. Remove it, choose another name, or have all files in it."
        )
    names: dict[str, str] = {}
    for (role, path), inside in zip(files.items(), here, strict=True):
        names[role] = str(path.resolve().relative_to(folder.resolve())) if inside else path.name
        if names[role] in list(names.values())[:-1]:
            names[role] = f"{role}-{path.name}"
    if "samples" not in names:
        names["samples"] = "samples.csv"
        if (folder / "samples.csv").exists():
            raise OutputError(f"{folder}/samples.csv is there already. Name it with --samples.")
    return names


def _entry(found: Findings, names: Mapping[str, str], inputs: str) -> dict[str, Any]:
    source: dict[str, Any] = {"kind": "files", **names, **found.source}
    if isinstance(segments := found.source.get("copy_number"), dict):
        source["copy_number"] = {"segments": names["copy_number"], **segments}
    return {"source": source, "inputs": inputs, **found.rest}


def _place(
    files: Mapping[str, Path], names: Mapping[str, str], folder: Path, *, link: bool
) -> None:
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not _ignored(folder / "any.csv"):
            write_text(folder.parent / ".gitignore", IGNORED)
        for role, path in files.items():
            target = folder / names[role]
            if target.exists() and target.samefile(path):
                continue
            if not link:
                shutil.copyfile(path, target)
                continue
            try:
                os.link(path.resolve(), target)
            except OSError as error:
                raise OutputError(
                    f"{path} cannot be linked to {target} ({error.strerror}). Leave out --link."
                ) from None


def _ignored(path: Path) -> bool:
    """Whether git leaves the file out; not, where there is no git."""
    command = ["git", "check-ignore", "-q", path.name]
    try:
        found = subprocess.run(command, cwd=path.parent, check=False, capture_output=True)  # noqa: S603
    except FileNotFoundError:
        return False
    return found.returncode == 0


def _check(paths: Paths, params: Path) -> None:
    checked = read_params(params)
    for stage, run_stage in STAGES.items():
        log.info("%s %s", stage, paths.cohort)
        with recorded(stage, paths, params):
            run_stage(paths, checked)


@contextlib.contextmanager
def _undone_on_failure(
    name: str, params: Path, root: Path, before: str, after: str
) -> Iterator[None]:
    """Puts params.yaml back and removes what is new, but for the page of checks that failed."""
    folders = [root / "data/sources" / name, *(root / k / name for k in ("data", "reports"))]
    new = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except BaseException as error:
        now = params.read_text(encoding="utf-8")
        if now == after:
            write_text(params.resolve(), before)
        elif now != before:
            log.warning("warning: %s was edited meanwhile: remove cohort %s there.", params, name)
        for folder in new:
            page = folder / "data_docs.html"
            kept = page.read_bytes() if isinstance(error, DataCheckError) and page.exists() else b""
            shutil.rmtree(folder, ignore_errors=True)
            if kept:
                folder.mkdir()
                page.write_bytes(kept)
        raise
