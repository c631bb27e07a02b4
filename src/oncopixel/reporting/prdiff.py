"""What a change does to the results: the reports of two revisions, compared as Markdown.

Standard library only, and nothing of the package but `reproduced`: it also runs where nothing is
installed (`PYTHONPATH=src python3 -m oncopixel.reporting.prdiff BASE HEAD`).
Everything it says of a revision comes from files in git: no data, no credentials.

A score is marked better or worse only when the whole 95 % interval of its difference lies beyond
the tolerance of the base revision (`report.tolerance`). Both runs score the same bootstrap draws
of the same patients (`draws.csv`), so the differences are paired; where patients differ, the
interval is that of independent runs and says so.

`parse_numbers` is the gate for numbers that somebody else's code made: it lets numbers, booleans
and plain symbols through and nothing else, so that they can be rendered by trusted code.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .reproduced import param_deviations, read_results, result_deviations

FORMAT = 1
MAX_BYTES = 2 << 20
MAX_MARKDOWN = 60_000
"""GitHub takes 65,536 characters; what wraps the text needs some."""
GENES = 20
"""Length of the compared gene list."""
PARTS = ("cv", "test")

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

FILES = ("dvc.lock", "dvc.yaml", "requirements.lock", "Dockerfile")
"""Files whose change is worth a word."""

RUN_FACTS: dict[str, type] = {
    "cohorts": list,
    "reproduced": bool,
    "dvc_lock_identical": bool,
    "image_bytes": int,
    "seconds": int,
}
"""What is known of the run: `cohorts` are those that ran, and that `reproduced` speaks of."""

Numbers = dict[str, Any]
Read = Callable[[str], "bytes | None"]


class NumbersError(ValueError):
    """Numbers from outside that are not exactly what `collect` makes."""


# --- from a revision ------------------------------------------------------------------------


def collect(root: Path, revision: str | None = None, *, results: bool = False) -> Numbers:
    """Everything that is compared, of a git revision, or of the working tree when it is None.

    `cohorts` by name (`scores`, `draws`, `pairing`, `checks`, `genes`, `params`, `verdict`, with
    `results` also `results`, which stay here), `packages` of the lock and digests of `files`. What
    a revision does not have is left out. Raises `ValueError` when there is no such revision.
    """
    if revision is None:
        names = sorted(path.parent.name for path in root.glob("reports/*/evaluation.json"))

        def read(name: str) -> bytes | None:
            path = root / name
            return path.read_bytes() if path.is_file() else None
    else:
        commit = _git(
            root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        if commit is None:
            raise ValueError(f"there is no revision {revision!r} in {root.resolve()}")
        sha = commit.decode().strip()
        listed = _git(root, "ls-tree", "-r", "-z", "--name-only", sha, "reports/") or b""
        names = sorted(
            line.split("/")[1]
            for line in listed.decode().split("\0")
            if re.fullmatch(r"reports/[^/]+/evaluation\.json", line)
        )

        def read(name: str) -> bytes | None:
            return _git(root, "cat-file", "blob", f"{sha}:./{name}")

    cohorts = {}
    for name in names:
        try:
            if not _COHORT.fullmatch(name):
                raise KeyError(name)
            cohorts[name] = _cohort(read, f"reports/{name}")
            if results:
                cohorts[name]["results"] = read_results(read, f"reports/{name}")
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            where = f"of revision {revision}" if revision else "in the working tree"
            message = (
                f"reports/{printable(name)} {where} was not written by this version of the pipeline"
            )
            raise ValueError(message) from None
    return {
        "format": FORMAT,
        "cohorts": cohorts,
        "packages": _packages(read("requirements.lock") or b""),
        "files": {
            name: hashlib.sha256(content).hexdigest()
            for name in FILES
            if (content := read(name)) is not None
        },
    }


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


def _cohort(read: Read, folder: str) -> Numbers:
    """What is compared of one cohort."""

    def load(name: str) -> Any:
        content = read(f"{folder}/{name}")
        return json.loads(content) if content else {}

    evaluation, biomarkers, validation = map(
        load, ("evaluation.json", "biomarkers.json", "validation.json")
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
    genes = [row["gene"] for row in _rows(read(f"{folder}/biomarkers.csv") or b"")]
    return {
        "scores": {name: scores[name] for name in HIGHER_IS_BETTER if name in scores},
        "draws": {
            name: draws
            for name, draws in _columns(read(f"{folder}/draws.csv") or b"").items()
            if name in HIGHER_IS_BETTER
        },
        "pairing": {
            part: data["pairing"] for part, data in evaluation["data"].items() if "pairing" in data
        },
        "checks": {
            name: {key: check[key] for key in ("passed", "severity", "failed_rows")}
            for name, check in _data_checks(validation).items()
        },
        "genes": [] if evaluation["verdict"] == "no signal" else genes[:GENES],
        "params": load("params.json"),
        "verdict": evaluation["verdict"],
    }


def _data_checks(validation: Any) -> dict[str, Any]:
    """The checks of a cohort and, as `external_…`, of its external one."""
    external = (validation.get("external") or {}).get("checks", {})
    own: dict[str, Any] = validation.get("checks", {})
    return own | {f"external_{name}": check for name, check in external.items()}


def _rows(content: bytes) -> Iterable[dict[str, str]]:
    return csv.DictReader(content.decode().splitlines())


def _columns(content: bytes) -> dict[str, list[float | None]]:
    """A CSV of numbers by column; an empty cell is None."""
    columns: dict[str, list[float | None]] = {}
    for row in _rows(content):
        for name, cell in row.items():
            columns.setdefault(name, []).append(float(cell) if cell else None)
    return columns


def _packages(lock: bytes) -> dict[str, str]:
    """Name -> version in a requirements file with pinned versions."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.decode(), re.MULTILINE))


def portable(numbers: Numbers) -> Numbers:
    """`numbers` as `parse_numbers` takes them: text that is no plain symbol becomes its digest."""
    return numbers | {
        "cohorts": {
            name: cohort
            | {
                "genes": [_symbol(_GENE, gene) for gene in cohort["genes"]],
                "params": {
                    key: _symbol(_TEXT, value) if isinstance(value, str) else value
                    for key, value in cohort["params"].items()
                },
            }
            for name, cohort in numbers["cohorts"].items()
        }
    }


def printable(text: str) -> str:
    """`text` with what cannot be seen escaped: control characters, bidirectional overrides."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _printable(value: Any) -> Any:
    """`value` with every text in it `printable`, back-ticks replaced."""
    if isinstance(value, str):
        return printable(value).replace("`", "'")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _symbol(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text):
        return text
    return f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


# --- from outside ---------------------------------------------------------------------------

_COHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_TEXT = re.compile(r"[A-Za-z0-9_.,:;/+=() -]{0,128}")
_GENE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]{0,31}")
_DIGEST = re.compile(r"[0-9a-f]{16,64}")

Check = Callable[[Any], bool]


def parse_numbers(content: bytes) -> Numbers:
    """The content of a `numbers.json` that somebody else's code made, once all of it is harmless.

    Numbers are finite, strings are plain symbols without Markdown, HTML, mentions or links, keys
    are known or plain, and everything is bounded. Raises `NumbersError` for anything else.
    """
    if len(content) > MAX_BYTES:
        raise NumbersError(f"more than {MAX_BYTES} bytes")
    try:
        numbers = json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse,
            parse_int=_bounded_int,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise NumbersError("nested too deeply") from None
    except ValueError as error:
        raise NumbersError(f"no JSON as it should be: {str(error)[:80]!a}") from None
    _keys("file", numbers, {"format", "cohorts", "packages", "files"}, {"run"})
    if numbers["format"] != FORMAT or isinstance(numbers["format"], bool):
        raise NumbersError("made by another version of prdiff")
    _each(
        "cohorts", numbers["cohorts"], 40, _matches(_COHORT), lambda value: isinstance(value, dict)
    )
    for cohort in numbers["cohorts"].values():
        _parse_cohort(cohort)
    _each("packages", numbers["packages"], 2000, _matches(_PACKAGE), _matches(_VERSION))
    _each("files", numbers["files"], len(FILES), FILES.__contains__, _matches(_DIGEST))
    run = numbers.get("run", {})
    _each("run", run, len(RUN_FACTS), RUN_FACTS.__contains__, lambda _: True)
    for name, value in run.items():
        if type(value) is not RUN_FACTS[name] or (type(value) is int and value < 0):
            raise NumbersError(f"run.{name} is not as expected")
    _list("run.cohorts", run.get("cohorts", []), 40, _matches(_COHORT))
    checked: Numbers = numbers
    return checked


def _parse_cohort(cohort: Any) -> None:
    _keys(
        "cohort", cohort,
        {"scores", "draws", "pairing", "checks", "genes", "params", "verdict"}, set(),
    )  # fmt: skip
    scores = HIGHER_IS_BETTER.__contains__
    _each("scores", cohort["scores"], 100, scores, lambda value: isinstance(value, dict))
    for score in cohort["scores"].values():
        _keys("score", score, {"value"}, {"low", "high"})
        _each("score", score, 3, _matches(_KEY), _is_score)
    _each("draws", cohort["draws"], 100, scores, lambda value: isinstance(value, list))
    for draws in cohort["draws"].values():
        _list("draws", draws, 5_000, _is_score)
    _each("pairing", cohort["pairing"], 2, PARTS.__contains__, _matches(_DIGEST))
    _each("checks", cohort["checks"], 500, _matches(_KEY), lambda value: isinstance(value, dict))
    for check in cohort["checks"].values():
        _keys("check", check, {"passed", "severity", "failed_rows"}, set())
        if not (
            (check["passed"] is None or isinstance(check["passed"], bool))
            and check["severity"] in ("critical", "warning", "info")
            and type(check["failed_rows"]) is int
            and check["failed_rows"] >= 0
        ):
            raise NumbersError("a data check is not as expected")
    _list("genes", cohort["genes"], GENES, _matches(_GENE))
    _each("params", cohort["params"], 500, _matches(_KEY), _is_leaf)
    if cohort["verdict"] not in ("signal", "no signal", "inconclusive"):
        raise NumbersError("the verdict is not as expected")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _bounded_int(text: str) -> int:
    if len(text) > 16:
        raise ValueError("an integer is too long")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _keys(what: str, value: Any, needed: set[str], allowed: set[str]) -> None:
    if not isinstance(value, dict) or not needed <= set(value) <= needed | allowed:
        raise NumbersError(f"the keys of a {what} are not as expected")


def _each(what: str, value: Any, most: int, key: Check, item: Check) -> None:
    if not isinstance(value, dict) or len(value) > most:
        raise NumbersError(f"{what} is not a mapping of at most {most}")
    if not all(key(k) and item(v) for k, v in value.items()):
        raise NumbersError(f"{what} holds something that is not as expected")


def _list(what: str, value: Any, most: int, item: Check) -> None:
    if not isinstance(value, list) or len(value) > most or not all(map(item, value)):
        raise NumbersError(f"{what} is not a list of at most {most} as expected")


def _matches(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_number_or_bool(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e15  # False for NaN, too


def _is_score(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) <= 2)


def _is_leaf(value: Any) -> bool:
    return value is None or _is_number_or_bool(value) or _matches(_TEXT)(value)


# --- compared -------------------------------------------------------------------------------

BETTER, WORSE, NOISE, EQUAL, NO_INTERVAL = "▲ better", "▼ worse", "within noise", "=", ""
GONE, NEW, INCONSISTENT = "gone", "new", "value and draws disagree"

AGREE = 1e-3
"""How far a value may be from what its draws say, for rounding."""


def compare(base: Numbers, head: Numbers) -> dict[str, list[dict[str, Any]]]:
    """Per cohort of both sides one row per score: values, difference, interval and mark."""
    return {
        name: [
            _row(score, base["cohorts"][name], head["cohorts"][name])
            for score in HIGHER_IS_BETTER
            if score in base["cohorts"][name]["scores"] or score in head["cohorts"][name]["scores"]
        ]
        for name in base["cohorts"]
        if name in head["cohorts"]
    }


def tolerance(cohort: Numbers) -> float:
    """The difference in a score that still counts as none; 0 where a revision states none."""
    return float(cohort["params"].get("report.tolerance", 0.0))


def _row(score: str, base: Numbers, head: Numbers) -> dict[str, Any]:
    before, after = (side["scores"].get(score, {"value": None}) for side in (base, head))
    row: dict[str, Any] = {"score": score, "base": before["value"], "head": after["value"]}
    row |= {"difference": None, "interval": None, "paired": True, "mark": NO_INTERVAL}
    if before["value"] is None or after["value"] is None:
        if before["value"] is not after["value"]:
            row["mark"] = GONE if after["value"] is None else NEW
        return row
    row["difference"] = after["value"] - before["value"]
    part = score.split("_")[0]
    draws = [side["draws"].get(score) for side in (base, head)]
    if (
        all(draws)
        and base["pairing"].get(part) is not None
        and base["pairing"].get(part) == head["pairing"].get(part)
    ):
        row["interval"] = _paired(*draws)
    elif None not in (values := [side.get(k) for side in (before, after) for k in ("low", "high")]):
        row["paired"] = False
        row["interval"] = _independent(row["base"], row["head"], *values)
    if row["paired"] and row["interval"] and not _agrees(row["difference"], *row["interval"]):
        row["mark"] = INCONSISTENT
    elif before == after and row["paired"]:
        row["mark"] = EQUAL
    elif row["interval"]:
        low, high = row["interval"]
        if not HIGHER_IS_BETTER[score]:
            low, high = -high, -low
        limit = tolerance(base)
        row["mark"] = BETTER if low > limit else WORSE if high < -limit else NOISE
    return row


def _agrees(difference: float, low: float, high: float) -> bool:
    slack = high - low + AGREE
    return low - slack <= difference <= high + slack


def _paired(base: list[float | None], head: list[float | None]) -> tuple[float, float] | None:
    """The 2.5 % and 97.5 % quantiles of the differences draw by draw."""
    both = zip(base, head, strict=False)
    differences = sorted(b - a for a, b in both if a is not None and b is not None)
    if len(differences) < 40:
        return None
    return _quantile(differences, 0.025), _quantile(differences, 0.975)


def _quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between the nearest two."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _independent(
    base: float, head: float, base_low: float, base_high: float, head_low: float, head_high: float
) -> tuple[float, float]:
    """The interval of a difference of two independent estimates (Zou & Donner 2008, MOVER)."""
    difference = head - base
    return (
        difference - math.hypot(head - head_low, base_high - base),
        difference + math.hypot(head_high - head, base - base_low),
    )


# --- as Markdown ----------------------------------------------------------------------------


def render(
    base: Numbers, head: Numbers, *, run: dict[str, Any] | None = None, images: str | None = None
) -> str:
    """Markdown: one line of verdict, then a table per cohort, then what else changed, folded.

    `run` holds facts about the run that made `head` (default: `head["run"]`). `images` is the
    address below which the head's files are found, such as
    `https://github.com/owner/name/raw/<sha>`; without it there are no pictures. At most
    60,000 characters.
    """
    base, head, run = _printable(base), _printable(head), _printable(run)
    run = head.get("run", {}) if run is None else run
    rows = compare(base, head)
    lines = [f"**{_verdict(rows, run)}**", ""]
    lines += _cohort_changes(base, head)
    changed = {name: table for name, table in rows.items() if _changed(table)}
    if changed:
        lines += [f"`{name}`: no score changed.\n" for name in rows if name not in changed]
    for cohort, table in changed.items():
        lines += _table(cohort, table, tolerance(base["cohorts"][cohort]))
        if images:
            lines += _folded(
                f"Curves and first genes of {cohort}",
                [
                    f"![{n}]({images}/reports/{cohort}/figures/{n}.png)"
                    for n in ("roc", "top_genes")
                ],
            )
    both = list(rows)
    lines += _folded("Data checks", _checks(base, head, both))
    lines += _folded("Parameters", _params(base, head, both))
    lines += _folded("Genes", _genes(base, head, both))
    lines += _folded("Environment", _environment(base, head))
    lines += _about(run)
    return _bounded(lines)


def _verdict(rows: dict[str, list[dict[str, Any]]], run: dict[str, Any]) -> str:
    every = [row for table in rows.values() for row in table]
    marks = [row["mark"] for row in every]
    if not every:
        said = "Nothing to compare"
    elif not any(map(_changed, rows.values())):
        said = f"No score changed ({len(every)} compared)"
    else:
        within = marks.count(NOISE) + marks.count(EQUAL)
        said = f"{marks.count(BETTER)} better · {marks.count(WORSE)} worse · {within} within noise"
        unmarked = [row for row in every if row["mark"] == NO_INTERVAL]
        rest = {
            "without interval": sum(row["base"] != row["head"] for row in unmarked),
            "new": marks.count(NEW),
            "GONE": marks.count(GONE),
            "INCONSISTENT": marks.count(INCONSISTENT),
        }
        said += "".join(f" · {count} {what}" for what, count in rest.items() if count)
    if "reproduced" in run:
        said += " · reproduced" if run["reproduced"] else " · NOT reproduced"
        idle = [name for name in rows if name not in run.get("cohorts", rows)]
        said += f" (not run: {', '.join(idle)})" if idle else ""
    return said


def _changed(rows: list[dict[str, Any]]) -> bool:
    return any(row["base"] != row["head"] or row["mark"] == INCONSISTENT for row in rows)


def _cohort_changes(base: Numbers, head: Numbers) -> list[str]:
    lines: list[str] = []
    for cohort in sorted(base["cohorts"].keys() | head["cohorts"].keys()):
        before, after = base["cohorts"].get(cohort), head["cohorts"].get(cohort)
        if before is None or after is None:
            lines.append(f"- Cohort `{cohort}` {'is new' if before is None else 'is gone'}.")
        elif before["verdict"] != after["verdict"]:
            lines.append(
                f"- `{cohort}`: the verdict was *{before['verdict']}*, now *{after['verdict']}*."
            )
    return [*lines, ""] if lines else []


def _table(cohort: str, rows: list[dict[str, Any]], limit: float) -> list[str]:
    lines = [
        f"#### {cohort}",
        "",
        "| metric | base | this change | Δ with 95 % interval | |",
        "|---|---|---|---|---|",
    ]
    notes = []
    for row in rows:
        shown = "n/a"
        if row["difference"] is not None:
            shown = _number(row["difference"], signed=True)
            if row["interval"]:
                low, high = (_number(bound, signed=True) for bound in row["interval"])
                shown += f" [{low}, {high}]" + ("" if row["paired"] else " ¹")
        name = row["score"].replace("_", " ")
        cells = [name, _number(row["base"]), _number(row["head"]), shown, row["mark"]]
        lines.append(f"| {' | '.join(cells)} |")
    if any(row["interval"] and not row["paired"] for row in rows):
        notes.append(
            "¹ Not paired: the two runs' own intervals put together as if they were independent."
        )
    notes.append(
        f"Marked only when the whole interval lies beyond ±{limit:g}. Lower is better for brier "
        "and ece; scores without an interval are not marked."
    )
    return [*lines, "", f"<sub>{' '.join(notes)}</sub>", ""]


def _number(value: float | None, *, signed: bool = False) -> str:
    """Four decimals, or two significant digits of what would vanish in them."""
    if value is None:
        return "n/a"
    if value == 0:
        return "0"
    sign = "+" if signed else ""
    tiny = abs(value) < 0.001
    return f"{value:{sign}.2g}" if tiny else f"{value:{sign}.4f}"


def _checks(base: Numbers, head: Numbers, cohorts: list[str]) -> list[str]:
    lines = []
    for cohort in cohorts:
        before, after = (side["cohorts"][cohort]["checks"] for side in (base, head))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                was, now = (_check(side.get(name)) for side in (before, after))
                lines.append(f"- `{cohort}` `{name}`: {was} → {now}")
    return lines


def _check(check: dict[str, Any] | None) -> str:
    if check is None:
        return "absent"
    if check["passed"] is None:
        return "not applicable"
    if check["passed"]:
        return "passed"
    return f"**failed** ({check['severity']}, {check['failed_rows']} rows)"


def _params(base: Numbers, head: Numbers, cohorts: list[str]) -> list[str]:
    changes: dict[str, list[str]] = {}
    for cohort in cohorts:
        before, after = (side["cohorts"][cohort]["params"] for side in (base, head))
        if not before or not after:
            return ["- One of the revisions does not record its parameters."]
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                was, now = (_leaf(side.get(name)) for side in (before, after))
                changes.setdefault(f"`{name}`: {was} → {now}", []).append(cohort)
    return [
        f"- {change}" + ("" if found == cohorts else f" (`{'`, `'.join(found)}`)")
        for change, found in changes.items()
    ]


def _leaf(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def _genes(base: Numbers, head: Numbers, cohorts: list[str]) -> list[str]:
    lines = []
    for cohort in cohorts:
        before, after = (side["cohorts"][cohort]["genes"] for side in (base, head))
        entered = [gene for gene in after if gene not in before]
        left = [gene for gene in before if gene not in after]
        if entered or left:
            said = ", ".join(f"`{gene}`" for gene in entered) or "none"
            gone = ", ".join(f"`{gene}`" for gene in left) or "none"
            lines.append(f"- `{cohort}`, first {GENES}: entered {said}; left {gone}")
    return lines


def _environment(base: Numbers, head: Numbers) -> list[str]:
    lines = []
    before, after = base["packages"], head["packages"]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            was, now = (_leaf(side.get(name)) for side in (before, after))
            lines.append(f"- `{name}`: {was} → {now}")
    changed = [f for f in FILES if base["files"].get(f) != head["files"].get(f)]
    if changed:
        lines.append(f"- Changed: {', '.join(f'`{name}`' for name in changed)}")
    return lines


def _about(run: dict[str, Any]) -> list[str]:
    """One small line on the run itself."""
    said = []
    if "seconds" in run:
        said.append(f"Ran in {run['seconds']} s.")
    if "image_bytes" in run:
        said.append(f"The image has {run['image_bytes'] / 1e9:.2f} GB.")
    if "dvc_lock_identical" in run:
        said.append(
            "`dvc.lock` came out as committed."
            if run["dvc_lock_identical"]
            else "`dvc.lock` came out differently from the committed one: another kind of "
            "processor can do that, the scores decide."
        )
    return [f"<sub>{' '.join(said)}</sub>"] if said else []


def _folded(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>", ""]


def _bounded(lines: list[str]) -> str:
    """The lines as one text, cut between two of them where GitHub would refuse it."""
    text = "\n".join(lines).rstrip() + "\n"
    if len(text) <= MAX_MARKDOWN:
        return text
    kept, size, open_folds = [], 0, 0
    for line in lines:
        size += len(line) + 1
        if size > MAX_MARKDOWN - 200:
            break
        open_folds += (line == "<details>") - (line == "</details>")
        kept.append(line)
    kept += ["", "</details>"] * open_folds
    return "\n".join([*kept, "", "*Cut here: the rest is too long for a comment.*", ""])


# --- reproduced? ----------------------------------------------------------------------------


def deviations(committed: Numbers, found: Numbers, cohorts: Iterable[str]) -> list[str]:
    """What a reproduction of `cohorts` changed beyond the tolerance, a line each; none is good.

    Compared are all scores, the verdict, the data checks, the parameters, and the `results`.
    """
    lines = []
    for cohort in cohorts:
        before, after = (side["cohorts"].get(cohort) for side in (committed, found))
        if before is None or after is None:
            lines.append(f"{cohort}: no results {'committed' if before is None else 'made'}")
            continue
        limit = tolerance(before)
        for score in HIGHER_IS_BETTER:
            was, now = (side["scores"].get(score, {}).get("value") for side in (before, after))
            same = was is now if was is None or now is None else abs(now - was) <= limit
            if not same:
                lines.append(
                    f"{cohort}: {score} is {_number(now)}, committed {_number(was)} "
                    f"(tolerance {limit:g})"
                )
        lines += [
            f"{cohort}: {what} are not as committed"
            for what in ("verdict", "checks")
            if before[what] != after[what]
        ]
        other = param_deviations(before["params"], after["params"])
        if "results" in before and "results" in after:
            other += result_deviations(before["results"], after["results"], limit)
        lines += [f"{cohort}: {line}" for line in other]
    return [printable(line) for line in lines]


def unproven(root: Path, cohort: str) -> list[str]:
    """Files that `dvc.lock` and the stages' own records give another content, a line each."""
    lock = root / "dvc.lock"
    text = lock.read_text("utf-8") if lock.is_file() else ""
    stages = dict(re.findall(r"(?ms)^  ([\w-]+@[\w-]+):\n(.*?)(?=^  \S|\Z)", text))
    lines = []
    for path in sorted((root / "reports" / cohort / "provenance").glob("*.json")):
        stage = stages.get(f"{path.stem}@{cohort}", "")
        recorded = dict(re.findall(r"- path: (\S+)\n +hash: md5\n +md5: (\w+)\n", stage))
        lines += [
            f"{cohort}: {path.stem} ran on another {name} than dvc.lock says"
            for name, md5 in json.loads(path.read_bytes())["inputs"].items()
            if recorded.get(name, md5) != md5
        ]
    return lines


# --- command line ---------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 2 for bad input, 3 when `--verify` found a deviation."""
    parser = argparse.ArgumentParser(
        prog="oncopixel prdiff",
        description="Compare the results of two revisions, from their reports in git, as Markdown.",
    )
    parser.add_argument("base", nargs="?", metavar="BASE", help="the revision to compare with")
    parser.add_argument("head", nargs="?", metavar="HEAD", help="default: the working tree")
    for name, about in {
        "--collect": "write what is compared of BASE (default: the working tree) as JSON",
        "--verify": "exit status 3 when the working tree's results are not those committed in BASE:"
        " scores, marker list, modules (numbers within report.tolerance), checks, parameters",
    }.items():
        parser.add_argument(name, action="store_true", help=about)
    about = "with --verify: the cohorts that ran (default: all that have results)"
    parser.add_argument("--cohorts", nargs="+", metavar="NAME", help=about)
    about = "facts about the run as JSON: --verify puts out more of them, the others tell them"
    parser.add_argument("--run", type=Path, metavar="FILE", help=about)
    about = "default, and `-`: standard output"
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help=about)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's root")
    given = parser.parse_args(arguments)
    if not given.collect and given.base is None:
        parser.error("give the revision to compare with, such as main")
    try:
        facts, status = _facts(given.run) if given.run else {}, 0
        if given.verify:
            status = _verify(given, facts)
            text = json.dumps(facts, sort_keys=True) + "\n"
        elif given.collect:
            numbers = portable(collect(given.root, given.base)) | ({"run": facts} if facts else {})
            text = json.dumps(numbers, sort_keys=True, allow_nan=False) + "\n"
        else:
            base, head = collect(given.root, given.base), collect(given.root, given.head)
            text = render(base, head, run=facts)
        _write(given.out, text, given.run)
    except (OSError, ValueError, RecursionError) as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        return 2
    return status


def _write(out: Path | None, text: str, run: Path | None) -> None:
    """Puts `text` in a plain file that is not `run`, or on standard output."""
    if out is None or str(out) == "-":
        sys.stdout.write(text)
        return
    if out.exists() and (not out.is_file() or (run and out.samefile(run))):
        raise ValueError(f"{out} is no file to be written over. Name another one with --out")
    out.write_text(text, encoding="utf-8")


def _facts(path: Path) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"{path} holds no JSON object")
    return facts


def _verify(given: argparse.Namespace, facts: dict[str, Any]) -> int:
    """Adds to `facts` whether the run reproduced the results; the exit status."""
    committed, found = (collect(given.root, side, results=True) for side in (given.base, None))
    cohorts = given.cohorts or sorted(committed["cohorts"].keys() | found["cohorts"].keys())
    if not cohorts:
        raise ValueError("there are no results to verify: run `dvc repro` first")
    wrong = deviations(committed, found, cohorts)
    wrong += [line for cohort in cohorts for line in unproven(given.root, cohort)]
    locks = [side["files"].get("dvc.lock") for side in (committed, found)]
    facts |= {"reproduced": not wrong, "cohorts": cohorts}
    facts["dvc_lock_identical"] = locks[0] == locks[1]
    for line in wrong:
        sys.stderr.write(f"not reproduced: {line}\n")
    if not wrong:
        sys.stderr.write(f"reproduced: {', '.join(cohorts)}\n")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
