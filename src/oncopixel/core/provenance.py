"""What each stage was run with, by which a record of DVC that says otherwise is noticed.

DVC looks at parameters and inputs when a stage has ended, and records those as what made its
results. Each stage stores what it found when it began, in `reports/<cohort>/provenance`, itself one
of the stage's outputs: where `dvc.lock` has that very file, it has to have its content as well.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import ArtifactError, ParamsError, first_few
from .project import Paths
from .storage import read_json, write_text
from .yaml_files import read_yaml


@contextlib.contextmanager
def recorded(stage: str, paths: Paths, params: Path) -> Iterator[None]:
    """Stores what the stage in the block is run with; `ArtifactError` when it changed meanwhile."""
    before = _found(stage, paths, params)
    yield
    if before is None:
        return
    try:
        changed = _differences(before, _found(stage, paths, params) or {})
    except (OSError, ValueError, KeyError, TypeError, ParamsError):
        changed = [f"`{params}`"]
    if changed:
        raise ArtifactError(
            f"{first_few(changed)} changed while {stage} ran: its results are of neither. "
            f"Run `dvc repro {stage}@{paths.cohort}`."
        )
    write_text(
        _place(paths, stage), json.dumps(before, indent=2, sort_keys=True, default=str) + "\n"
    )


def verify(paths: Paths) -> None:
    """`ArtifactError` when `dvc.lock` says that a stage was run with something else than it was."""
    lock = paths.root / "dvc.lock"
    if not lock.is_file():
        return
    for name, entry in _entries(lock).items():
        stage, _, cohort = name.partition("@")
        path = _place(paths, stage)
        if cohort == paths.cohort and _hashes(entry["outs"]).get(_name(paths, path)):
            _verify(stage, paths, entry)


def _entries(lock: Path) -> dict[str, Any]:
    """The stages of `dvc.lock` that have outputs; none while another DVC writes the file."""
    try:
        stages = read_yaml(lock)["stages"].items()
        return {name: entry for name, entry in stages if _hashes(entry.get("outs"))}
    except (ParamsError, TypeError, KeyError, AttributeError):
        return {}


def _verify(stage: str, paths: Paths, entry: dict[str, Any]) -> None:
    path = _place(paths, stage)
    if not path.is_file() or _md5(path) != _hashes(entry["outs"])[_name(paths, path)]:
        return  # of a run that DVC knows nothing of
    files = {k: v for k, v in _hashes(entry.get("deps")).items() if not v.endswith(".dir")}
    locked = _sorted(entry.get("params", {}).get("params.yaml", {}), files)
    wrong = _differences(read_json(path), locked)
    if wrong:
        raise ArtifactError(
            f"dvc.lock has another {first_few(wrong)} for {stage}@{paths.cohort} than it was run "
            f"with: parameters or inputs were changed meanwhile, or by `dvc commit`. Run "
            f"`dvc repro --force {stage}@{paths.cohort}`."
        )


def _found(stage: str, paths: Paths, params: Path) -> dict[str, Any] | None:
    """Values of the parameters and MD5 of the files on which the stage depends, as they are now."""
    pipeline = paths.root / "dvc.yaml"
    if not pipeline.is_file():
        return None
    step = read_yaml(pipeline)["stages"].get(stage, {}).get("do")
    if not step:
        return None
    values = read_yaml(params)
    values["item"] = values["cohorts"][paths.cohort]
    keys = [key.replace("${key}", paths.cohort) for key in step.get("params", ())]
    names = [
        key.replace("${key}", paths.cohort).replace("${item.inputs}", values["item"]["inputs"])
        for key in step["deps"]
    ]
    hashes = {name: _digest(paths.root / name) for name in names if (paths.root / name).exists()}
    return _sorted({key: _value(values, key) for key in keys}, hashes)


def _sorted(params: dict[str, Any], hashes: dict[str, str]) -> dict[str, Any]:
    """Parameters and inputs by name, all of the package's own files as one."""
    files = {name: hashes[name] for name in sorted(hashes) if not hashes[name].endswith(".dir")}
    own = {name: md5 for name, md5 in files.items() if name.startswith("src/")}
    inputs = {name: md5 for name, md5 in hashes.items() if name not in own}
    inputs["src"] = hashlib.md5(repr(own).encode(), usedforsecurity=False).hexdigest()
    return {"params": params, "inputs": inputs}


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Parameters and files of the former that are others in the latter; sections by their keys."""
    return [
        name
        for kind in ("params", "inputs")
        for name, value in first[kind].items()
        if name in second.get(kind, {})
        for name in _unlike(name, value, second[kind][name])
    ]


def _unlike(name: str, first: Any, second: Any) -> list[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted(first.keys() | second.keys())
        return [
            n for key in keys for n in _unlike(f"{name}.{key}", first.get(key), second.get(key))
        ]
    return [] if first == second else [f"`{name}`"]


def _hashes(entries: list[dict[str, Any]] | None) -> dict[str, str]:
    return {entry["path"]: entry.get("md5", "") for entry in entries or ()}


def _place(paths: Paths, stage: str) -> Path:
    return paths.report(f"provenance/{stage}.json")


def _name(paths: Paths, path: Path) -> str:
    return path.relative_to(paths.root).as_posix()


def _digest(path: Path) -> str:
    """MD5 of a file; of a folder, that of what is in it, which is not DVC's."""
    if path.is_file():
        return _md5(path)
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and p.parent.name != "__pycache__"]
    listed = [(str(p.relative_to(path)), _md5(p)) for p in files]
    return hashlib.md5(repr(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
