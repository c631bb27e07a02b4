"""A comparison as Markdown that fits in one comment."""

import json
from collections.abc import Callable
from typing import Any

from .compare import (
    BETTER,
    EQUAL,
    GONE,
    INCONSISTENT,
    NEW,
    NO_INTERVAL,
    NOISE,
    WORSE,
    Row,
    compare,
    tolerance,
)  # fmt: skip
from .numbers import FILES, GENES, Numbers, printable

MAX_MARKDOWN = 60_000
"""GitHub takes 65,536 characters; what wraps the text needs some."""
PICTURES = ("evaluate/roc", "biomarkers/top_genes")


def render(
    base: Numbers, head: Numbers, *, run: dict[str, Any] | None = None, images: str | None = None
) -> str:
    """One line of verdict, then a table per cohort, then what else changed, folded.

    Parameters
    ----------
    run
        Facts about the run that made `head` (default: `head["run"]`).
    images
        The address below which the head's files are found, such as
        `https://github.com/owner/name/raw/<sha>`; without it there are no pictures.

    Returns
    -------
    At most `MAX_MARKDOWN` characters, none of which is invisible.
    """
    base, head, run = _printable(base), _printable(head), _printable(run)
    run = head.get("run", {}) if run is None else run
    rows = compare(base, head)
    lines = [f"**{_verdict(rows, run)}**", "", *_cohort_changes(base, head)]
    changed = {name: table for name, table in rows.items() if _changed(table)}
    if changed:
        lines += [f"`{name}`: no score changed.\n" for name in rows if name not in changed]
    for cohort, table in changed.items():
        lines += _table(cohort, table, tolerance(base["cohorts"][cohort]))
        if images:
            address = f"{images}/reports/{cohort}/figures"
            lines += _folded(
                f"Curves and first genes of {cohort}",
                [f"![{name.split('/')[1]}]({address}/{name}.png)" for name in PICTURES],
            )
    cohorts = {name: (base["cohorts"][name], head["cohorts"][name]) for name in rows}
    lines += _folded("Data checks", [
        f"- `{cohort}` {line}"
        for cohort, (before, after) in cohorts.items()
        for line in _entries(before["checks"], after["checks"], _check)
    ])  # fmt: skip
    lines += _folded("Parameters", _params(cohorts))
    lines += _folded("Genes", _genes(cohorts))
    lines += _folded("Environment", _environment(base, head))
    return _bounded(lines + _about(run))


def _printable(value: Any) -> Any:
    """`value` with every text in it `printable`, back-ticks replaced."""
    if isinstance(value, str):
        return printable(value).replace("`", "'")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _verdict(rows: dict[str, list[Row]], run: dict[str, Any]) -> str:
    every = [row for table in rows.values() for row in table]
    marks = [row["mark"] for row in every]
    if not every:
        text = "Nothing to compare"
    elif not any(map(_changed, rows.values())):
        text = f"No score changed ({len(every)} compared)"
    else:
        within = marks.count(NOISE) + marks.count(EQUAL)
        text = f"{marks.count(BETTER)} better · {marks.count(WORSE)} worse · {within} within noise"
        unmarked = [row for row in every if row["mark"] == NO_INTERVAL]
        rest = {
            "without interval": sum(row["base"] != row["head"] for row in unmarked),
            "new": marks.count(NEW),
            "GONE": marks.count(GONE),
            "INCONSISTENT": marks.count(INCONSISTENT),
        }
        text += "".join(f" · {count} {what}" for what, count in rest.items() if count)
    if "reproduced" in run:
        text += " · reproduced" if run["reproduced"] else " · NOT reproduced"
        idle = [name for name in rows if name not in run.get("cohorts", rows)]
        text += f" (not run: {', '.join(idle)})" if idle else ""
    return text


def _changed(rows: list[Row]) -> bool:
    return any(row["base"] != row["head"] or row["mark"] == INCONSISTENT for row in rows)


def _cohort_changes(base: Numbers, head: Numbers) -> list[str]:
    lines: list[str] = []
    for cohort in sorted(base["cohorts"].keys() | head["cohorts"].keys()):
        before, after = (side["cohorts"].get(cohort) for side in (base, head))
        if before is None or after is None:
            lines.append(f"- Cohort `{cohort}` {'is new' if before is None else 'is gone'}.")
        elif before["verdict"] != after["verdict"]:
            lines.append(
                f"- `{cohort}`: the verdict was *{before['verdict']}*, now *{after['verdict']}*."
            )
    return [*lines, ""] if lines else []


def _table(cohort: str, rows: list[Row], limit: float) -> list[str]:
    lines = [
        f"#### {cohort}",
        "",
        "| metric | base | this change | Δ with 95 % interval | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        shown = "n/a"
        if row["difference"] is not None:
            shown = number(row["difference"], signed=True)
            if row["interval"]:
                low, high = (number(bound, signed=True) for bound in row["interval"])
                shown += f" [{low}, {high}]" + ("" if row["paired"] else " ¹")
        name = row["score"].replace("_", " ")
        cells = [name, number(row["base"]), number(row["head"]), shown, row["mark"]]
        lines.append(f"| {' | '.join(cells)} |")
    unpaired = any(row["interval"] and not row["paired"] for row in rows)
    note = "¹ Not paired: the two runs' own intervals put together as if they were independent. "
    note = note if unpaired else ""
    note += (
        f"Marked only when the whole interval lies beyond ±{limit:g}. Lower is better for brier "
    )
    note += "and ece; scores without an interval are not marked."
    return [*lines, "", f"<sub>{note}</sub>", ""]


def number(value: float | None, *, signed: bool = False) -> str:
    """Four decimals, or two significant digits of what would vanish in them."""
    if value is None:
        return "n/a"
    if value == 0:
        return "0"
    return f"{value:{'+' if signed else ''}{'.2g' if abs(value) < 0.001 else '.4f'}}"


def _entries(before: dict[str, Any], after: dict[str, Any], say: Callable[[Any], str]) -> list[str]:
    """A line for each entry that is another than before."""
    return [
        f"`{name}`: {say(before.get(name))} → {say(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _check(check: dict[str, Any] | None) -> str:
    if check is None:
        return "absent"
    if check["passed"] is None:
        return "not applicable"
    if check["passed"]:
        return "passed"
    return f"**failed** ({check['severity']}, {check['failed_rows']} rows)"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _params(cohorts: dict[str, tuple[Numbers, Numbers]]) -> list[str]:
    changes: dict[str, list[str]] = {}
    for cohort, (before, after) in cohorts.items():
        if not before["params"] or not after["params"]:
            return ["- One of the revisions does not record its parameters."]
        for line in _entries(before["params"], after["params"], _value):
            changes.setdefault(line, []).append(cohort)
    return [
        f"- {change}" + ("" if len(found) == len(cohorts) else f" (`{'`, `'.join(found)}`)")
        for change, found in changes.items()
    ]


def _genes(cohorts: dict[str, tuple[Numbers, Numbers]]) -> list[str]:
    lines = []
    for cohort, sides in cohorts.items():
        before, after = (side["genes"] for side in sides)
        entered, left = (
            ", ".join(f"`{gene}`" for gene in here if gene not in there)
            for here, there in ((after, before), (before, after))
        )
        if entered or left:
            lines.append(
                f"- `{cohort}`, first {GENES}: entered {entered or 'none'}; left {left or 'none'}"
            )
    return lines


def _environment(base: Numbers, head: Numbers) -> list[str]:
    lines = [f"- {line}" for line in _entries(base["packages"], head["packages"], _value)]
    changed = [f"`{f}`" for f in FILES if base["files"].get(f) != head["files"].get(f)]
    return lines + ([f"- Changed: {', '.join(changed)}"] if changed else [])


def _about(run: dict[str, Any]) -> list[str]:
    """One small line on the run itself."""
    text = []
    if "seconds" in run:
        text.append(f"Ran in {run['seconds']} s.")
    if "image_bytes" in run:
        text.append(f"The image has {run['image_bytes'] / 1e9:.2f} GB.")
    if "dvc_lock_identical" in run:
        text.append(
            "`dvc.lock` came out as committed."
            if run["dvc_lock_identical"]
            else "`dvc.lock` came out differently from the committed one: another kind of "
            "processor can do that, the scores decide."
        )
    return [f"<sub>{' '.join(text)}</sub>"] if text else []


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
