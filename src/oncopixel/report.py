"""One HTML page from the results of a cohort: nothing on it is loaded from anywhere else.

The page is tolerant of what the results hold: any nesting of mappings becomes tables. What failed
comes first. Everything from outside is escaped, and a content security policy on the page forbids
scripts and the network.
"""

import base64
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import numpy as np
import pandas as pd

NOTHING = "\N{EN DASH}"
MAX_COLUMNS = 12
ACRONYMS = {
    word.lower(): word
    for word in ("AUC", "AUPRC", "CI", "CNN", "DNA", "ECE", "FDR", "ID", "L1", "L2", "PR", "ROC")
}
CAPTIONS = {
    "roc": "ROC curves: the CNN and the baselines; of several classes, the CNN only",
    "pr": "Precision and recall: the CNN and the baselines; of several classes, the CNN only",
    "calibration": "Predicted probability against observed frequency",
    "confusion": "Actual and predicted classes of the held-out patients",
    "top_genes": "The genes that the CNN uses most",
    "class_images": "Mean gene image of each class",
}
LIMITS = (
    "For research. Not a medical device, not for decisions about a patient.",
    "A ranked gene is one that the model uses: association in this cohort, not cause.",
    "Genes that move together can stand in for each other; the selection frequency says how far a "
    "gene depends on the choice of patients.",
    "Intervals describe the sampling of patients of this cohort. They say nothing of other "
    "hospitals, platforms or populations; only an independent cohort does.",
)


@dataclass(frozen=True)
class Table:
    """A table with a title, and the tables below it."""

    title: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    children: list["Table"] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """A picture as a data URI."""

    caption: str
    uri: str


def render_report(
    cohort_name: str,
    params: Mapping[str, Any],
    validation: Mapping[str, Any],
    metrics: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    biomarkers: pd.DataFrame,
    marker_summary: Mapping[str, Any],
    figures: Mapping[str, bytes],
) -> str:
    """The page as HTML text.

    `validation`, `metrics`, `evaluation` and `marker_summary` are the contents of the JSON reports;
    `evaluation["verdict"]` is the headline; `evaluation["warnings"]`, when there, stand below it.
    `figures` are PNG or SVG files by name. Raises `ValueError` for a figure of another kind.
    """
    headline = {key: evaluation[key] for key in ("verdict", "warnings") if key in evaluation}
    detail = {key: value for key, value in evaluation.items() if key not in headline}
    top = int(marker_summary.get("top", 50))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    page: str = environment.get_template("report.html.j2").render(
        name=cohort_name,
        verdict=_verdict(headline.get("verdict")),
        problems=list(_problems(validation, headline.get("warnings", ()))),
        validation=tabulate("", validation),
        metrics=tabulate("", metrics),
        evaluation=tabulate("", detail),
        figures=[_figure(name, content) for name, content in figures.items()],
        genes=_frame(biomarkers.head(top)),
        trusted=headline.get("verdict") == "signal",
        markers=tabulate("", marker_summary),
        params=tabulate("", params),
        limits=LIMITS,
    )
    return page


def tabulate(title: str, content: Mapping[str, Any]) -> Table:
    """Any nesting of mappings as tables.

    Values that fit in a cell become rows of name and value. Mappings that hold such values only
    become one table together, a row each; deeper ones become tables below.
    """
    merged = {key: _listed(value) for key, value in _with_intervals(content).items()}
    rows = [[words(key), cell(value)] for key, value in merged.items() if not _is_nested(value)]
    nested = {key: _with_intervals(value) for key, value in merged.items() if _is_nested(value)}
    alike = _alike(nested)
    children = [_matrix(alike)] if alike else []
    children += [tabulate(words(k), value) for k, value in nested.items() if k not in alike]
    return Table(title, ["", ""] if rows else [], rows, children)


def cell(value: Any) -> str:
    """A single value, or a list of them, as short text; numbers with four significant digits.

    Sentences stand on lines of their own.
    """
    if value is None:
        return NOTHING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value)}"
    if isinstance(value, numbers.Real):
        return f"{float(value):.4g}" if math.isfinite(value) else NOTHING
    if isinstance(value, Mapping):
        low, high = cell(value["low"]), cell(value["high"])
        rest = [cell(item) for key, item in value.items() if key not in ("low", "high")]
        return f"{rest[0]} ({low} to {high})" if rest else f"{low} to {high}"
    if isinstance(value, (list, tuple, np.ndarray)):
        parts = (f"[{cell(x)}]" if isinstance(x, (list, tuple)) else cell(x) for x in value)
        sentences = any(isinstance(x, str) and " " in x for x in value)
        return ("\n" if sentences else ", ").join(parts) or NOTHING
    return str(value) or NOTHING


def words(name: object) -> str:
    """A key of ours as people write it: spaces for underscores, acronyms in capitals."""
    return " ".join(ACRONYMS.get(word.lower(), word) for word in str(name).split("_"))


def _with_intervals(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with `x`, `x_low` and `x_high` put together as one value."""
    ends = {
        key: {"value": content[key], "low": content[f"{key}_low"], "high": content[f"{key}_high"]}
        for key in content
        if f"{key}_low" in content and f"{key}_high" in content
    }
    gone = {f"{key}_{end}" for key in ends for end in ("low", "high")}
    return {key: ends.get(key, value) for key, value in content.items() if key not in gone}


def _listed(value: Any) -> Any:
    """A list that holds mappings as a mapping by position, no mapping at all as None."""
    if isinstance(value, (list, tuple)) and any(isinstance(entry, Mapping) for entry in value):
        return {str(i): entry for i, entry in enumerate(value, 1)}
    return None if isinstance(value, Mapping) and not value else value


def _is_nested(value: Any) -> bool:
    """Whether `value` is a mapping other than an interval, which fits in a cell."""
    if not isinstance(value, Mapping):
        return False
    simple = not any(isinstance(entry, Mapping) for entry in value.values())
    return not ({"low", "high"} <= set(value) and len(value) <= 3 and simple)


def _alike(nested: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The mappings that fill one table, a row each: no nesting in them, most keys in common."""
    flat = {
        name: value
        for name, value in nested.items()
        if not any(_is_nested(_listed(entry)) for entry in value.values())
    }
    keys = {key for value in flat.values() for key in value}
    common = len(flat) > 1 and all(2 * len(value) >= len(keys) for value in flat.values())
    return flat if common and len(keys) <= MAX_COLUMNS else {}


def _matrix(content: Mapping[str, Mapping[str, Any]]) -> Table:
    """Mappings of like keys, a row each."""
    keys = list(dict.fromkeys(key for value in content.values() for key in value))
    rows = [
        [words(name), *(cell(value[key]) if key in value else NOTHING for key in keys)]
        for name, value in content.items()
    ]
    return Table("", ["", *map(words, keys)], rows)


def _frame(frame: pd.DataFrame) -> Table:
    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return Table("", [words(column) for column in frame.columns], rows)


def _verdict(verdict: Any) -> Table | str:
    if verdict is None:
        return "No verdict: the model was not evaluated."
    return tabulate("", verdict) if isinstance(verdict, Mapping) else f"CNN: {verdict}"


def _problems(
    validation: Mapping[str, Any], warnings: Sequence[Any] | str
) -> Iterator[tuple[str, str]]:
    """Severity and text of everything that failed: critical checks, other checks, warnings."""
    failed = [
        (str(content.get("severity", "critical")), name, content)
        for name, content in _checks(validation)
        if not content["passed"]
    ]
    for severity, name, content in sorted(failed, key=lambda entry: entry[0] != "critical"):
        extent = ""
        if "failed_rows" in content and "rows" in content:
            extent = f": {cell(content['failed_rows'])} of {cell(content['rows'])} rows"
        yield severity, f"data check {words(name)} failed{extent}"
    for text in [warnings] if isinstance(warnings, str) else warnings:
        yield "warning", cell(text)


def _checks(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping at any depth that says whether it passed."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            if "passed" in value:
                yield key, value
            else:
                yield from _checks(value)


def _figure(name: str, content: bytes) -> Figure:
    if content.startswith(b"\x89PNG\r\n"):
        kind = "image/png"
    elif content.lstrip().startswith((b"<?xml", b"<svg")):
        kind = "image/svg+xml"
    else:
        raise ValueError(f"figure {name!r} is neither PNG nor SVG")
    encoded = base64.b64encode(content).decode("ascii")
    return Figure(CAPTIONS.get(name, words(name)), f"data:{kind};base64,{encoded}")
