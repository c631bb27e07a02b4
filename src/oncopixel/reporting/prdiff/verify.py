"""Whether a run made the committed results again: scores, marker list, modules, parameters.

A result is a row of a table in `reports/<cohort>`; it is the same when its words are, and its
numbers are within the tolerance (relative to the committed value where that is beyond 1).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .compare import tolerance
from .markdown import number
from .numbers import HIGHER_IS_BETTER, Numbers, printable

Row = dict[str, str]
Key = tuple[str, ...]

EDGE = 0.05
"""Share of a cut list at whose end genes may come and go: with other last digits the next one is
cut off. A selected gene may only where the list is cut amid the selected ones."""
SHOWN = 5


class Table(NamedTuple):
    """What names a row, and which of its words and numbers are results."""

    key: Key
    words: Key
    numbers: Key
    cut: bool = False


TABLES = {
    "biomarkers.csv": Table(
        ("gene", "channel"),
        ("class", "direction", "selected", "discovered_as", "unit", "module"),
        ("effect", "q_beyond", "q_associated"),
        cut=True,
    ),
    "units.csv": Table(("level", "channel", "name"), ("genes",), ("q_value",), cut=True),
    "modules.csv": Table(
        ("module",), ("class", "leading_genes"), ("n_genes", "effect", "p_value", "q_value")
    ),
    "regions.csv": Table(
        ("class", "kind", "chromosome", "start", "end"),
        ("band", "drivers"),
        ("frequency", "p_value"),
    ),
    "two_hits.csv": Table(("gene",), ("class",), ("effect", "p_value", "q_value"), cut=True),
}


def deviations(committed: Numbers, found: Numbers, cohorts: Iterable[str]) -> list[str]:
    """What a reproduction of `cohorts` changed beyond the tolerance, a line each; none is good."""
    lines = []
    for cohort in cohorts:
        before, after = (side["cohorts"].get(cohort) for side in (committed, found))
        if before is None or after is None:
            lines.append(f"{cohort}: no results {'committed' if before is None else 'made'}")
        else:
            lines += [f"{cohort}: {line}" for line in _cohort(before, after)]
    return [printable(line) for line in lines]


def _cohort(before: Numbers, after: Numbers) -> list[str]:
    limit = tolerance(before)
    lines = []
    for score in HIGHER_IS_BETTER:
        was, now = (side["scores"].get(score, {}).get("value") for side in (before, after))
        same = was is now if was is None or now is None else abs(now - was) <= limit
        if not same:
            lines.append(f"{score} is {number(now)}, committed {number(was)} (tolerance {limit:g})")
    lines += [
        f"{what} are not as committed"
        for what in ("verdict", "checks")
        if before[what] != after[what]
    ]
    old, new = before["params"], after["params"]
    lines += _first([
        f"parameter {name} is not as committed"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ])  # fmt: skip
    if "results" in before and "results" in after:
        lines += _results(before["results"], after["results"], limit)
    return lines


def _results(committed: Numbers, found: Numbers, limit: float) -> list[str]:
    lines = []
    for name, table in TABLES.items():
        before, after = committed[name], found[name]
        if before is not None and after is not None:
            lines += [f"{name}: {line}" for line in _first(_table(table, before, after, limit))]
        elif before is not after:
            lines.append(f"{name} is not {'committed' if before is None else 'made'}")
    return lines + [
        f"biomarkers.json: {name} is {json.dumps(now)[:200]}, committed {json.dumps(was)[:200]}"
        for name, was in committed["counts"].items()
        if not _same(was, now := found["counts"][name], limit)
    ]


def _table(table: Table, before: list[Row], after: list[Row], limit: float) -> list[str]:
    was, now = ({_key(table, row): row for row in rows} for rows in (before, after))
    lines = [
        f"{_name(key)} stands twice"
        for rows in (before, after)
        for key, times in Counter(_key(table, row) for row in rows).items()
        if times > 1
    ]
    for state, here, there in (("made", was, now), ("committed", now, was)):
        edge = _edge(here) if table.cut else set()
        strange = [_name(key) for key in here if key not in there and key not in edge]
        if strange:
            overlap = len(was.keys() & now.keys()) / len(was.keys() | now.keys())
            more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
            lines.append(f"not {state}: {', '.join(strange[:SHOWN])}{more} (overlap {overlap:.3f})")
    for key, row in was.items():
        other = now.get(key, row)
        lines += [
            f"{_name(key)}: {name} is {other.get(name)}, committed {row.get(name)}"
            for name in (*table.words, *table.numbers)
            if not (
                _same(row.get(name), other.get(name), limit)
                if name in table.numbers
                else set((row.get(name) or "").split()) == set((other.get(name) or "").split())
            )
        ]
    return lines


def _key(table: Table, row: Row) -> Key:
    return tuple(row.get(name) or "" for name in table.key)


def _name(key: Key) -> str:
    return " ".join(filter(None, key))


def _edge(rows: dict[Key, Row]) -> set[Key]:
    """The keys at the end of a cut list."""
    keys = list(rows)
    last = keys[len(keys) - math.floor(EDGE * len(keys)) :]
    all_selected = all(row.get("selected", "True") == "True" for row in rows.values())
    return {key for key in last if all_selected or rows[key].get("selected") != "True"}


def _same(was: Any, now: Any, limit: float) -> bool:
    """Whether two values, with all that is in them, are the same within the tolerance."""
    if isinstance(was, dict) and isinstance(now, dict):
        return was.keys() == now.keys() and all(_same(was[k], now[k], limit) for k in was)
    if was == now:
        return True
    try:
        first, second = float(was), float(now)
    except (TypeError, ValueError):
        return False
    return abs(first - second) <= limit * max(1.0, abs(first))  # never of a NaN


def _first(lines: list[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {rest} more deviations"] if rest > 0 else [])


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
