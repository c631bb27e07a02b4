"""The cohorts of a project and their results at a glance."""

import contextlib
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import ArtifactError
from ..core.params import read_params
from ..core.project import Paths
from ..core.storage import read_json
from ..core.yaml_files import read_yaml
from .remote import open_project

HEADER = ("cohort", "verdict", "CNN cv", "CNN test", "best baseline", "genes", "age", "results")
NONE = "-"
CHANGED = {"modified", "new"}
"""What DVC says of a file with which results would be others; one that is not here is not."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def run(params: Path, root: Path, *, status: bool = True) -> str:
    """A table with a line per cohort; without `status` DVC is not asked what is stale."""
    cohorts = list(read_params(params).cohorts)
    stale = _stale(root, cohorts) if status else dict.fromkeys(cohorts, "?")
    return _table([HEADER, *(_row(Paths(root, name), stale[name]) for name in cohorts)])


def _row(paths: Paths, stale: str) -> Sequence[str]:
    scores, markers = _read(paths, "metrics.json"), _read(paths, "biomarkers.json")
    if not scores:
        return (paths.cohort, "no results", *[NONE] * 6)
    best = _read(paths, "evaluation.json").get("best_baseline")
    cnn, baseline = (scores.get(str(model)) or {} for model in ("cnn", best))
    return (
        paths.cohort,
        str(scores.get("verdict", NONE)),
        _auc(cnn, "cv"),
        _auc(cnn, "test"),
        f"{best} {_auc(baseline, 'cv')}, {_auc(baseline, 'test')}" if best else NONE,
        str((markers.get("list") or {}).get("genes", NONE)),
        _age(paths.report("metrics.json")),
        stale,
    )


def _read(paths: Paths, name: str) -> dict[str, Any]:
    """A report; nothing where there is none, or it is damaged."""
    with contextlib.suppress(ArtifactError):
        found = read_json(paths.report(name))
        return found if isinstance(found, dict) else {}
    return {}


def _auc(scores: Mapping[str, Any], part: str) -> str:
    value = scores.get(f"{part}_roc_auc")
    return f"{value:.3f}" if isinstance(value, float) else NONE


def _age(path: Path) -> str:
    """How long ago the file was written, or, if git has it like this, committed."""
    then = path.stat().st_mtime
    command = ["git", "log", "-1", "--format=%ct", "--", path.name]
    clean = ["git", "diff", "--quiet", "HEAD", "--", path.name]
    with contextlib.suppress(OSError):
        committed = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)  # noqa: S603
        known = committed.stdout.strip()
        if known and subprocess.run(clean, cwd=path.parent, check=False).returncode == 0:  # noqa: S603
            then = float(known)
    passed = max(0.0, time.time() - then)
    length, unit = next((pair for pair in _UNITS if passed >= pair[0]), _UNITS[-1])
    return f"{passed / length:.0f} {unit}"


def _stale(root: Path, cohorts: Iterable[str]) -> dict[str, str]:
    """By cohort the first stage that `dvc repro` would run anew for another input or parameter."""
    try:
        with contextlib.chdir(root), open_project() as repo:
            changed: dict[str, list[Any]] = repo.status()
        stages = list(read_yaml(root / "dvc.yaml")["stages"])
    except Exception:  # DVC has an error for each fault of dvc.yaml; `dvc status` tells them
        return dict.fromkeys(cohorts, "?")
    return {
        name: next(
            (f"stale: {stage}" for stage in stages if _differs(changed.get(f"{stage}@{name}", []))),
            "current",
        )
        for name in cohorts
    }


def _differs(entries: Iterable[Any]) -> bool:
    """Whether what DVC says of a stage is more than that files are not here."""
    for entry in entries:
        if not isinstance(entry, dict):  # the command has changed
            return True
        for files in entry.values():
            if any(isinstance(how, dict) or how in CHANGED for how in files.values()):
                return True
    return False


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
