"""The numbers of a revision that are compared, from its files in git."""

import csv
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..verdict import CNN, MODELS, PARTS

FORMAT = 1
NAMES = 500
"""Length of the compared lists of names; no longer than `biomarkers.csv`."""
LISTS = ("genes", "regions", "panel")
"""What carries the label, by name."""
ENDS = ("value", "low", "high")

HIGHER_IS_BETTER = {
    "cv_roc_auc": True,
    "cv_pr_auc": True,
    "cv_minus_best_baseline": True,
    "test_roc_auc": True,
    "test_pr_auc": True,
    "test_sensitivity": True,
    "test_specificity": True,
    "test_balanced_accuracy": True,
    "test_f1": True,
    "test_mcc": True,
    "test_brier": False,
    "test_ece": False,
    "test_minus_best_baseline": True,
    "marker_auprc": True,
    "marker_fdp": False,
    "marker_power": True,
    "stability": True,
}
"""The compared scores of the CNN, in the order of the table."""

COHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
FILES = ("dvc.lock", "dvc.yaml", "requirements.lock", "Dockerfile")
"""Files whose change is worth a word."""

TABLES = ("biomarkers.csv", "units.csv", "modules.csv", "two_hits.csv", "regions.csv")
COUNTS = ("list", "modules", "two_hits", "n_genes", "q", "claim")
"""The tables, and the entries of `biomarkers.json`, that a reproduction must make again."""

Numbers = dict[str, Any]
Read = Callable[[str], "bytes | None"]


def collect(root: Path, revision: str | None = None, *, results: bool = False) -> Numbers:
    """Everything that is compared, of a git revision, or of the working tree when it is None.

    Returns
    -------
    `cohorts` by name (`scores`, `draws`, `pairing`, `checks`, `genes`, `regions`, `panel`,
    `listed`, `params`, `verdict`, `evaluation`; with `results` also `results`, which stay here),
    `packages` of the lock and digests of `files`. What a revision does not have is left out.

    Raises
    ------
    ValueError
        There is no such revision, or its reports are of another version of the pipeline.
    """
    names, read = _working_tree(root) if revision is None else _revision(root, revision)
    cohorts = {}
    for name in names:
        try:
            if not COHORT.fullmatch(name):
                raise ValueError(name)
            cohorts[name] = _cohort(read, name)
            if results:
                cohorts[name]["results"] = _results(read, f"reports/{name}")
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            where = f"of revision {revision}" if revision else "in the working tree"
            raise ValueError(
                f"reports/{printable(name)} {where} was not written by this version of the pipeline"
            ) from None
    lock = (read("requirements.lock") or b"").decode()
    contents = {name: read(name) for name in FILES}
    return {
        "format": FORMAT,
        "cohorts": cohorts,
        "packages": dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)),
        "files": {
            name: hashlib.sha256(content).hexdigest()
            for name, content in contents.items()
            if content is not None
        },
    }


def _working_tree(root: Path) -> tuple[list[str], Read]:
    """The cohorts that have results, and a reader of files."""

    def read(name: str) -> bytes | None:
        path = root / name
        return path.read_bytes() if path.is_file() else None

    return sorted(path.parent.name for path in root.glob("reports/*/evaluation.json")), read


def _revision(root: Path, revision: str) -> tuple[list[str], Read]:
    """As `_working_tree`, of a commit."""
    commit = _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if commit is None:
        raise ValueError(f"there is no revision {revision!r} in {root.resolve()}")
    sha = commit.decode().strip()
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", sha, "reports/") or b""
    found = re.findall(r"(?:^|\0)reports/([^/\0]+)/evaluation\.json(?=\0)", listed.decode())
    return sorted(found), lambda name: _git(root, "cat-file", "blob", f"{sha}:./{name}")


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git says, None when it fails; nothing that the repository configures is run for it."""
    inert = [
        "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null",
        "protocol.allow=never",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        ["git", *(word for one in inert for word in ("-c", one)), "-C", str(root), *arguments],  # noqa: S607
        capture_output=True, check=False,
        env=os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"},
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else None


def _cohort(read: Read, name: str) -> Numbers:
    """What is compared of one cohort."""
    folder = f"reports/{name}"
    evaluation, biomarkers, validation, params = (
        json.loads(read(f"{folder}/{name}.json") or b"{}")
        for name in ("evaluation", "biomarkers", "validation", "params")
    )
    cnn = evaluation["models"]["cnn"]
    scores = {f"{part}_{score}": cnn[part][score] for part in PARTS for score in cnn[part]}
    if best := evaluation.get("best_baseline"):
        for part in PARTS:
            scores[f"{part}_minus_best_baseline"] = evaluation["cnn_minus"][best][part]["roc_auc"]
    if recovery := biomarkers.get("recovery"):
        scores["marker_auprc"] = {"value": recovery["cnn"]["auprc"]}
    if truth := biomarkers.get("truth"):
        scores |= {f"marker_{name}": {"value": truth[name]} for name in ("fdp", "power")}
    stability = biomarkers.get("stability", {})
    if stability.get("index") is not None:
        scores["stability"] = {
            "value": stability["index"], "low": stability["low"], "high": stability["high"]
        }  # fmt: skip
    draws: dict[str, list[float | None]] = {}
    for row in _rows(read(f"{folder}/draws.csv")) or ():
        for name in (name for name in HIGHER_IS_BETTER if name in row):
            draws.setdefault(name, []).append(float(row[name]) if row[name] else None)
    ranking = _rows(read(f"{folder}/biomarkers.csv")) or ()
    regions = _rows(read(f"{folder}/regions.csv")) or ()
    panel = json.loads(read(f"models/{name}/panel.json") or b"{}").get("features", ())
    names = {
        "genes": [row["gene"] for row in ranking if row.get("selected", "True") == "True"],
        "regions": [f"{row['kind']} {row['bands']}" for row in regions],
        "panel": [feature["gene"] for feature in panel],
    }
    found = {
        "scores": {name: scores[name] for name in HIGHER_IS_BETTER if name in scores},
        "draws": draws,
        "pairing": {
            part: data["pairing"] for part, data in evaluation["data"].items() if "pairing" in data
        },
        "checks": _checks(validation),
        "params": params,
        "verdict": evaluation["verdict"],
        "listed": biomarkers.get("list", {}).get("genes"),
    }
    return (
        found | {key: list(dict.fromkeys(names[key]))[:NAMES] for key in LISTS} | _told(evaluation)
    )


def _told(evaluation: Any) -> dict[str, Numbers]:
    """What `reporting.verdict` makes sentences of, in the shape of `evaluation.json`."""
    best = evaluation.get("best_baseline")
    if best not in MODELS:
        return {}
    try:
        told = {
            "best_baseline": best,
            "models": _areas(evaluation["models"], CNN, best),
            "cnn_minus": _areas(evaluation["cnn_minus"], best),
            "data": {part: {"patients": evaluation["data"][part]["patients"]} for part in PARTS},
            "permutation_p": {"test": float(evaluation["permutation_p"]["test"])},
        }
    except (KeyError, TypeError):  # a part of it is undefined
        return {}
    return {"evaluation": told}


def _areas(scores: Any, *models: str) -> Numbers:
    def area(model: str, part: str) -> Numbers:
        return {end: float(scores[model][part]["roc_auc"][end]) for end in ENDS}

    return {m: {part: {"roc_auc": area(m, part)} for part in PARTS} for m in models}


def _checks(validation: Any) -> dict[str, Any]:
    """The data checks of a cohort and, as `external_…`, of its external one."""
    parts = {"": validation, "external_": validation.get("external") or {}}
    return {
        f"{start}{name}": {key: check[key] for key in ("passed", "severity", "failed_rows")}
        for start, part in parts.items()
        for name, check in part.get("checks", {}).items()
    }


def _results(read: Read, folder: str) -> Numbers:
    """The tables of a report by name, None where there is no such file, and the counts."""
    counts = json.loads(read(f"{folder}/biomarkers.json") or b"{}")
    tables = {name: _rows(read(f"{folder}/{name}")) for name in TABLES}
    return tables | {"counts": {name: counts.get(name) for name in COUNTS}}


def _rows(content: bytes | None) -> list[dict[str, str]] | None:
    return None if content is None else list(csv.DictReader(content.decode().splitlines()))


def printable(text: str) -> str:
    """`text` with what cannot be seen escaped: control characters, bidirectional overrides."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
