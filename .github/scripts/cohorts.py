#!/usr/bin/env python3
"""Which cohorts a checkout can run, for pipeline.yml and cohorts.yml.

    cohorts.py here
        In the current folder: the last stage of each cohort that runs without network; says which
        do not.
    cohorts.py pointers CHANGE PULLED
        Puts a DVC project into the folder PULLED that holds nothing but this folder's .dvc/config
        and, for the other cohorts of the project CHANGE, pointers to their data; says where to
        start each: at `report@`, or after a download at `validate@`.

Prints stages separated by spaces; nothing when there are none. Of CHANGE only names and MD5s are
believed: a pointer is written anew, so that it names no other place to get its data from.
"""

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML

NAME = re.compile(r"[A-Za-z0-9][\w-]*")
PLACE = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
MAX_BYTES = 16 << 20
CONFIG = Path(".dvc/config")


def cohorts(root: Path) -> dict[str, dict[str, Any]]:
    """The entries of params.yaml; ends the program where one cannot be given to a command."""
    found = _mapping(_mapping(_read(root / "params.yaml")).get("cohorts"))
    for name, entry in found.items():
        inputs = _mapping(entry).get("inputs")
        for word, pattern in ((name, NAME), (inputs, PLACE)):
            if not (isinstance(word, str) and pattern.fullmatch(word)):
                sys.exit(f"error: params.yaml: {word!r} cannot be given to a command")
    return found


def downloads(entry: dict[str, Any]) -> bool:
    """Whether the cohort's source, or that of its external cohort, asks a server."""
    sources = [_mapping(part.get("source")) for part in (entry, _mapping(entry.get("external")))]
    return any(
        source.get("kind") == "gdc" or any("://" in str(value) for value in source.values())
        for source in sources
    )


def here() -> list[str]:
    """The last stage of each cohort whose inputs are here, and are all that it needs."""
    chosen = []
    for name, entry in cohorts(Path()).items():
        lacks = None if Path(entry["inputs"]).exists() else f"{entry['inputs']} is not in git"
        if lacks := "its source downloads" if downloads(entry) else lacks:
            sys.stderr.write(f"::notice::cohort {name} is not run here: {lacks}.\n")
        else:
            chosen.append(f"report@{name}")
    return chosen


def pointers(change: Path, pulled: Path) -> list[str]:
    """Where to start each cohort of `change` whose data a remote has; `pulled` points to it."""
    started, found = [], {}
    for name, entry in cohorts(change).items():
        if downloads(entry):
            stage, outs = f"validate@{name}", _ingested(change, name)
        elif not (change / entry["inputs"]).exists():
            stage, outs = f"report@{name}", _tracked(change, entry["inputs"])
        else:
            continue
        if outs:
            started.append(stage)
            found |= outs
        else:
            sys.stderr.write(
                f"::notice::cohort {name} is not run: no pointer to its data in git.\n"
            )
    (pulled / CONFIG.parent).mkdir(parents=True)
    (pulled / CONFIG).write_bytes(CONFIG.read_bytes())
    (pulled / ".dvc/config.local").write_text("[core]\nno_scm = true\n")
    for place, md5 in found.items():
        pointer = pulled / f"{place}.dvc"
        pointer.parent.mkdir(parents=True, exist_ok=True)
        out = {"md5": md5, "hash": "md5", "path": PurePosixPath(place).name}
        YAML(typ="safe").dump({"outs": [out]}, pointer)
    return started


def _ingested(change: Path, name: str) -> dict[str, str]:
    """What `ingest` made of a cohort and DVC keeps, by path."""
    stages = _mapping(_mapping(_read(change / "dvc.lock")).get("stages"))
    outs = _mapping(stages.get(f"ingest@{name}")).get("outs")
    kept = {
        f"data/{name}/{file}"
        for file in ("cohort.h5ad", "external.h5ad", "truth.csv", "clinical.csv")
    }
    return {place: md5 for place, md5 in _sound(outs, PurePosixPath()).items() if place in kept}


def _tracked(change: Path, inputs: str) -> dict[str, str]:
    """What the `.dvc` file of `inputs`, or of a folder above it, points to."""
    for place in (PurePosixPath(inputs), *PurePosixPath(inputs).parents[:-1]):
        pointer = change / f"{place}.dvc"
        if pointer.is_file():
            outs = _sound(_mapping(_read(pointer)).get("outs"), place.parent)
            return {path: md5 for path, md5 in outs.items() if path == str(place)}
    return {}


def _sound(outs: Any, folder: PurePosixPath) -> dict[str, str]:
    return {
        str(folder / out["path"]): out["md5"]
        for out in (outs if isinstance(outs, list) else [])
        if isinstance(out, dict)
        and all(isinstance(out.get(key), str) for key in ("path", "md5"))
        and PLACE.fullmatch(out["path"])
        and MD5.fullmatch(out["md5"])
    }


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            sys.exit(f"error: {path.name} has more than {MAX_BYTES} bytes")
        return YAML(typ="safe").load(content)  # as DVC does
    except FileNotFoundError:
        return {}
    except Exception as error:  # ruamel.yaml raises all kinds on odd scalars
        sys.exit(f"error: {path.name} cannot be read ({type(error).__name__})")


if __name__ == "__main__":
    print(*(here() if sys.argv[1] == "here" else pointers(*map(Path, sys.argv[2:]))))  # noqa: T201
