"""A comparison as Markdown that fits in one comment."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from ...pages.texts import words
from ..verdict import accuracy, answer, comparison
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
from .numbers import FILES, HIGHER_IS_BETTER, LISTS, NAMES, Numbers, printable

MAX_MARKDOWN = 60_000
"""GitHub takes 65,536 characters; what wraps the text needs some."""
PICTURES = ("evaluate/roc", "biomarkers/top_genes")
NAMED = 8
"""Names that came or went that are told, of each list."""
STRIP = 10
"""Characters on each side of zero."""


class Sources(NamedTuple):
    """Where the files of both sides are found."""

    page: str
    """The repository's, such as `https://github.com/owner/name`."""
    base: str
    """Commit."""
    head: str | None
    """Commit; None for that of a fork, to whose files nothing of ours links."""
    run: str = ""
    """Page of the run, whose artifact `reports` holds the head's."""
    base_run: str = ""
    """The same of the base."""


def render(
    base: Numbers,
    head: Numbers,
    *,
    run: dict[str, Any] | None = None,
    sources: Sources | None = None,
) -> str:
    """Verdict and markers of what changed, a line that counts, the scores, and the rest, folded.

    Parameters
    ----------
    run
        Facts about the run that made `head` (default: `head["run"]`).
    sources
        Without them there are no links and no pictures.

    Returns
    -------
    At most `MAX_MARKDOWN` characters, none of which is invisible.
    """
    base, head, run = _printable(base), _printable(head), _printable(run)
    run = head.get("run", {}) if run is None else run
    rows = compare(base, head)
    cohorts = {name: (base["cohorts"][name], head["cohorts"][name]) for name in rows}
    markers = {name: _markers(*sides) for name, sides in cohorts.items()}
    changed = [
        name
        for name, (before, after) in cohorts.items()
        if markers[name] or _changed(rows[name]) or before["verdict"] != after["verdict"]
    ]
    lines = ["**NOT reproduced**", ""] if run.get("reproduced") is False and changed else []
    for name in changed:
        lines += [f"#### {name}", "", *_sentences(*cohorts[name]), *markers[name], ""]
    lines += [f"**{_counts(rows, run)}**", "", *_came_and_went(base, head)]
    if changed:
        lines += [f"`{name}`: nothing changed.\n" for name in rows if name not in changed]
    for name in changed:
        lines += [f"Scores of `{name}`:", ""] if len(changed) > 1 else []
        lines += _table(rows[name], tolerance(base["cohorts"][name]))
        lines += _links(name, sources)
    lines += _folded("Data checks", [
        f"- `{cohort}` {line}"
        for cohort, (before, after) in cohorts.items()
        for line in _entries(before["checks"], after["checks"], _check)
    ])  # fmt: skip
    lines += _folded("Parameters", _params(cohorts))
    lines += _folded("Environment", _environment(base, head))
    return _bounded(lines + _about(run))


def _printable(value: Any) -> Any:
    """`value` with every text in it `printable`, back-ticks replaced."""
    if isinstance(value, str):
        return printable(value).replace("`", "'")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _counts(rows: dict[str, list[Row]], run: dict[str, Any]) -> str:
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


def _came_and_went(base: Numbers, head: Numbers) -> list[str]:
    lines = [
        f"- Cohort `{cohort}` is {'new' if cohort in head['cohorts'] else 'gone'}."
        for cohort in sorted(base["cohorts"].keys() ^ head["cohorts"].keys())
    ]
    return [*lines, ""] if lines else []


def _sentences(before: Numbers, after: Numbers) -> list[str]:
    """The verdict as the report has it; the one before, too, where the answer is another."""

    def told(cohort: Numbers) -> str:
        found = cohort.get("evaluation", {}) | {"verdict": cohort["verdict"]}
        return " ".join(filter(None, (answer(found), accuracy(found), comparison(found))))

    lines = [told(after)]
    if before["verdict"] != after["verdict"]:
        lines = [f"**Now:** {lines[0]}", "", f"**Before:** {told(before)}"]
    return [*lines, ""]


def _markers(before: Numbers, after: Numbers) -> list[str]:
    """What came into the list, the regions and the panel, and what went."""
    lines = []
    for what in LISTS:
        was, now = (side.get(what) for side in (before, after))
        if was is None or now is None:
            continue
        came, went = _names(now, was), _names(was, now)
        sizes = [len(was), len(now)]
        if what == "genes":
            sizes = [side.get("listed") or len(side[what]) for side in (before, after)]
        if came or went or sizes[0] != sizes[1]:
            moved = "".join(f"; {verb} {names}" for verb, names in
                            (("came", came), ("went", went)) if names)  # fmt: skip
            of = f", the first {NAMES}" if max(sizes) > NAMES and moved else ""
            title = {"genes": "Listed genes", "regions": "Regions", "panel": "Panel"}[what]
            size = f"{sizes[0]} → {sizes[1]}" if sizes[0] != sizes[1] else f"{sizes[1]}"
            lines.append(f"- {title}: {size}{of}{moved}")
    return lines


def _names(here: list[str], there: list[str]) -> str:
    """Those that are only `here`."""
    known = set(there)
    only = [f"`{name}`" for name in here if name not in known]
    more = f" and {len(only) - NAMED} more" if len(only) > NAMED else ""
    return ", ".join(only[:NAMED]) + more


def _table(rows: list[Row], limit: float) -> list[str]:
    """The scores, with a picture of each interval; nothing where none changed."""
    if not _changed(rows):
        return ["No score changed.", ""]
    widest = max(
        (abs(end) for row in rows for end in row["interval"] or () if row["base"] != row["head"]),
        default=0,
    )
    lines = [
        "| metric | base | this change | Δ with 95 % interval | | worse · 0 · better |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = "n/a"
        if row["difference"] is not None:
            shown = number(row["difference"], signed=True)
            if row["interval"]:
                low, high = (number(bound, signed=True) for bound in row["interval"])
                shown += f" [{low}, {high}]" + ("" if row["paired"] else " ¹")
        name = words(row["score"])
        cells = [name, number(row["base"]), number(row["head"]), shown, row["mark"]]
        lines.append(f"| {' | '.join([*cells, _strip(row, widest)])} |")
    unpaired = any(row["interval"] and not row["paired"] for row in rows)
    note = "¹ Not paired: the two runs' own intervals put together as if they were independent. "
    note = note if unpaired else ""
    note += (
        f"Marked only when the whole interval lies beyond ±{limit:g}. Lower is better for Brier, "
        f"ECE and marker FDP; scores without an interval are not marked. Ends of the picture: "
        f"±{widest:.2g}."
    )
    return [*lines, "", f"<sub>{note}</sub>", ""]


def _strip(row: Row, widest: float) -> str:
    """The interval of the difference as a picture, what is better to the right."""
    if not row["interval"] or row["base"] == row["head"] or not widest:
        return ""
    sign = 1 if HIGHER_IS_BETTER[row["score"]] else -1

    def at(value: float) -> int:
        return STRIP + round(STRIP * max(-1, min(1, sign * value / widest)))

    marks = ["·"] * (2 * STRIP + 1)
    first, last = sorted(map(at, row["interval"]))
    marks[first : last + 1] = "━" * (last - first + 1)
    marks[STRIP] = "┃" if first <= STRIP <= last else "│"
    marks[at(row["difference"])] = "●"
    return f"`{''.join(marks)}`"


def _links(cohort: str, sources: Sources | None) -> list[str]:
    """The results of both sides, and the head's figures."""
    if sources is None:
        return []
    page, base, head, run, base_run = sources
    lines = [f"[before]({page}/tree/{base}/reports/{cohort})"]
    if head:
        lines.append(f"[this change]({page}/tree/{head}/reports/{cohort})")
    told = f"Results: {', '.join(lines)}."
    if run:
        before = f"; before: of [that of its base]({base_run})" if base_run else ""
        told += f" `report.html` of this change: artifact `reports` of its [run]({run}){before}."
    figures = f"{page}/raw/{head}/reports/{cohort}/figures"
    pictures = [f"![{name.split('/')[1]}]({figures}/{name}.png)" for name in PICTURES]
    return [told, "", *_folded(f"Curves and first genes of {cohort}", pictures if head else [])]


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
    return f"`{value if value and isinstance(value, str) else json.dumps(value)}`"


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
