"""Whether a run made the committed marker list, modules and parameters again, a line per deviation.

Standard library only, as `prdiff`, which compares the scores. A result is a row of a table in
`reports/<cohort>`; it is the same when its words are, and its numbers are within the tolerance
(relative to the committed value where that is beyond 1).
"""

import csv
import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Row = dict[str, str]
Results = dict[str, Any]

EDGE = 0.05
"""Share of a cut list at whose end genes may come and go: with other last digits the next one is
cut off. A selected gene may only where the list is cut amid the selected ones."""
SHOWN = 5


class Table(NamedTuple):
    """What names a row, and which of its words and numbers are results."""

    key: tuple[str, ...]
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    cut: bool = False


TABLES = {
    "biomarkers.csv": Table(
        ("gene", "channel"),
        ("class", "direction", "selected", "discovered_as", "unit", "module"),
        ("effect", "q_value", "q_associated"),
        cut=True,
    ),
    "units.csv": Table(("level", "channel", "name"), ("genes",), (), cut=True),
    "modules.csv": Table(
        ("module",), ("class", "leading_genes"), ("n_genes", "effect", "p_value", "q_value")
    ),
    "interactions.csv": Table(
        ("kind", "first", "second"), ("class", "genes"), ("effect", "p_value", "q_value")
    ),
}
COUNTS = ("list", "modules", "n_genes", "q", "claim", "verdict")
"""What is compared of `biomarkers.json`."""


def read_results(read: Callable[[str], bytes | None], folder: str) -> Results:
    """The tables of a report by name, None where there is no such file, and the counts."""
    results: Results = {}
    for name in TABLES:
        content = read(f"{folder}/{name}")
        lines = None if content is None else content.decode().splitlines()
        results[name] = None if lines is None else list(csv.DictReader(lines))
    counts = json.loads(read(f"{folder}/biomarkers.json") or b"{}")
    return results | {"counts": {name: counts.get(name) for name in COUNTS}}


def result_deviations(committed: Results, found: Results, limit: float) -> list[str]:
    """What of the results is not as committed; none is good."""
    lines = []
    for name, table in TABLES.items():
        before, after = committed[name], found[name]
        if before is None or after is None:
            if before is not after:
                lines.append(f"{name} is not {'committed' if before is None else 'made'}")
            continue
        lines += [f"{name}: {line}" for line in _first(_table(table, before, after, limit))]
    lines += [
        f"biomarkers.json: {name} is {_short(now)}, committed {_short(was)}"
        for name, was in committed["counts"].items()
        if not _same(was, now := found["counts"][name], limit)
    ]
    return lines


def param_deviations(committed: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The recorded parameters that are not those committed."""
    names = sorted(committed.keys() | found.keys())
    wrong = [name for name in names if committed.get(name) != found.get(name)]
    return _first([f"parameter {name} is not as committed" for name in wrong])


def _table(table: Table, before: list[Row], after: list[Row], limit: float) -> list[str]:
    was, now = _by_key(table, before), _by_key(table, after)
    lines = [
        f"{_name(key)} stands twice"
        for keyed, rows in ((was, before), (now, after))
        if len(keyed) != len(rows)
        for key in keyed
        if sum(_key(table, row) == key for row in rows) > 1
    ]
    for said, here, there in (("made", was, now), ("committed", now, was)):
        edge = _edge(here) if table.cut else set()
        strange = [_name(key) for key in here if key not in there and key not in edge]
        if strange:
            overlap = len(was.keys() & now.keys()) / len(was.keys() | now.keys())
            lines.append(f"not {said}: {_names(strange)} (overlap {overlap:.3f})")
    for key in was.keys() & now.keys():
        row, other = was[key], now[key]
        lines += [
            f"{_name(key)}: {name} is {other.get(name)}, committed {row.get(name)}"
            for name in (*table.words, *table.numbers)
            if not (_same if name in table.numbers else _same_words)(
                row.get(name), other.get(name), limit
            )
        ]
    return lines


def _key(table: Table, row: Row) -> tuple[str, ...]:
    return tuple(row.get(name) or "" for name in table.key)


def _name(key: tuple[str, ...]) -> str:
    return " ".join(filter(None, key))


def _by_key(table: Table, rows: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    return {_key(table, row): row for row in rows}


def _edge(rows: dict[tuple[str, ...], Row]) -> set[tuple[str, ...]]:
    """The keys at the end of a cut list."""
    keys = list(rows)
    last = keys[len(keys) - math.floor(EDGE * len(keys)) :]
    all_selected = all(row.get("selected", "True") == "True" for row in rows.values())
    return {key for key in last if all_selected or rows[key].get("selected") != "True"}


def _same_words(was: str | None, now: str | None, _: float) -> bool:
    return set((was or "").split()) == set((now or "").split())


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


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _first(lines: list[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return lines[:SHOWN] + ([f"and {rest} more deviations"] if rest > 0 else [])


def _short(value: Any) -> str:
    return json.dumps(value)[:200]
