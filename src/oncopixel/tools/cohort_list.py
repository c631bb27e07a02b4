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
from ..core.storage import read_json, write_text
from ..core.yaml_files import read_yaml
from ..pages.tables import leaves
from ..reporting.index import CohortResults, Experiment, render_index
from .remote import open_project

HEADER = ("cohort", "verdict", "CNN cv", "CNN test", "best baseline", "genes", "age", "results")
NONE = "-"
CHANGED = {"modified", "new"}
"""What DVC says of a file with which results would be others; one that is not here is not."""
METRICS = {"cv_roc_auc": "cv", "test_roc_auc": "test", "genes": "genes"}
"""What the page says of an experiment, and what `summary.json` calls it."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def run(params: Path, root: Path, *, status: bool = True, html: Path | None = None) -> str:
    """A table with a line per cohort, as a page, too, where `html` says.

    Returns
    -------
    str
        The table; without `status` DVC is not asked what is stale.
    """
    entries = read_params(params).cohorts
    cohorts = list(entries)
    stale = _stale(root, cohorts) if status else dict.fromkeys(cohorts, "?")
    if html is not None:
        found = [
            _results(Paths(root, name), entry.model_dump(), stale[name])
            for name, entry in entries.items()
        ]
        write_text(html, render_index(found, _experiments(root, cohorts)))
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


def _results(paths: Paths, entry: Mapping[str, Any], state: str) -> CohortResults:
    path = paths.report("metrics.json")
    made = _git(path, "log", "-1", "--format=%cs, %h", "--", path.name)
    return CohortResults(
        paths.cohort,
        entry,
        evaluation=_read(paths, "evaluation.json"),
        summary=_read(paths, "biomarkers.json"),
        external=_read(paths, "external.json"),
        made=made if _is_committed(path) else "not committed",
        state=state,
    )


def _experiments(root: Path, cohorts: Sequence[str]) -> list[Experiment]:
    """The last commit, then the experiments that began there; none where DVC cannot tell."""
    try:
        with contextlib.chdir(root), open_project() as repo:
            head = repo.experiments.show()[1]  # the first is what is in the folder
    except Exception:  # as above
        return []
    states = [head, *(state for kept in head.experiments or () for state in kept.revs)]
    known = [state for state in states if state.data is not None]
    settings = [_leaves(state.data.params.get("params.yaml")) for state in known]
    return [
        Experiment(
            str(state.name or state.rev[:7]),
            f"{state.data.timestamp:%Y-%m-%d %H:%M}" if state.data.timestamp else NONE,
            {key: own[key] for key in own if own[key] != settings[0].get(key)},
            {
                f"{cohort}/{name}": value
                for cohort in cohorts
                for found in [_leaves(state.data.metrics.get(f"reports/{cohort}/summary.json"))]
                for name, key in METRICS.items()
                if isinstance(value := found.get(key), int | float)
            },
        )
        for state, own in zip(known, settings, strict=True)
    ]


def _leaves(file: Mapping[str, Any] | None) -> dict[str, Any]:
    """What DVC read of a file, flat."""
    return dict(leaves((file or {}).get("data") or {}))


def _is_committed(path: Path) -> bool:
    """Whether git has the file as it is."""
    return bool(_git(path, "log", "-1", "--format=%h", "--", path.name)) and not _git(
        path, "status", "--porcelain", "--", path.name
    )


def _git(path: Path, *command: str) -> str:
    """What git says in the folder of the file; nothing where it cannot."""
    with contextlib.suppress(OSError):
        told = subprocess.run(  # noqa: S603
            ["git", *command],  # noqa: S607
            cwd=path.parent, capture_output=True, check=False, text=True,
        )  # fmt: skip
        return told.stdout.strip()
    return ""


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
    committed = _is_committed(path)
    told = _git(path, "log", "-1", "--format=%ct", "--", path.name) if committed else ""
    then = float(told) if told else path.stat().st_mtime
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
