"""One HTML page from the results of a cohort: nothing on it is loaded from anywhere else.

The page is tolerant of what the results hold: any nesting of mappings becomes tables. What failed
comes first. Without a signal no gene of the marker list is on the page. Everything from outside is
escaped, and a content security policy on the page forbids scripts and the network.
"""

import base64
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from ..reading.drivers import links

NOTHING = "\N{EN DASH}"
MAX_COLUMNS = 12
ACRONYMS = {
    word.lower(): word
    for word in (
        "AUC",
        "AUPRC",
        "CI",
        "CNN",
        "DNA",
        "ECE",
        "FDP",
        "FDR",
        "ID",
        "L1",
        "L2",
        "PR",
        "ROC",
    )
}
CAPTIONS = {
    "roc": "ROC curves: the CNN and the baselines; of several classes, the CNN only",
    "pr": "Precision and recall: the CNN and the baselines; of several classes, the CNN only",
    "calibration": "Predicted probability against observed frequency",
    "confusion": "Actual and predicted classes of the held-out patients",
    "class_images": "Mean gene image of each class",
    "evidence": "Evidence against effect of every gene and channel, the listed ones in colour",
    "top_genes": "The genes that the CNN uses most, listed or not",
    "class_attribution": "What each pixel contributes to the CNN's output, mean of each class",
    "fdp": "Of this cohort, whose truth is planted: what is false among the selected, and what is "
    "found. q bounds the mean over cohorts, so one cohort may lie above the line",
    "selection_frequency": "How often lists of resampled patients hold the listed rows, and others",
    "stability": "Stability of the lists of the CNN and the baselines",
    "enrichment": "Gene sets of the list",
    "external": "Effects of the listed markers here and in the independent cohort",
}
SECTIONS = {
    "markers": ("evidence", "top_genes", "class_attribution", "fdp"),
    "stability": ("selection_frequency", "stability"),
    "reading": ("enrichment",),
    "external": ("external",),
}
"""Where figures stand; all others stand with the performance."""
OF_GENES = {
    "evidence", "top_genes", "class_attribution", "selection_frequency", "enrichment", "external",
}  # fmt: skip
"""Figures that are left out when there is no marker list."""
CLAIMS = {
    "beyond": "adds information about the label: by expression, beyond the cohort's latent "
    "factors, its module and its own copy number; by copy number or mutation, beyond the sample's "
    "burden of such events",
    "associated": "is associated with the label, alone or through anything else",
}
DISCOVERED_AS = {"two_hits": "two hits", "pair": "pair of modules"}
MOST = 50
"""Markers in the table; 20 rows of any other table of findings."""
LIMITS = (
    "For research. Not a medical device, not for decisions about a patient.",
    "A marker is an association in this cohort. Nothing here shows a cause.",
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


@dataclass(frozen=True, eq=False)
class Findings:
    """The contents of a cohort's marker reports, JSON as mappings and CSV as frames."""

    ranking: pd.DataFrame
    summary: Mapping[str, Any]
    modules: pd.DataFrame
    interactions: pd.DataFrame
    enrichment: pd.DataFrame
    stability: Mapping[str, Any]
    external: Mapping[str, Any]
    replication: pd.DataFrame
    """`external.csv`."""


def render_report(
    cohort_name: str,
    params: Mapping[str, Any],
    validation: Mapping[str, Any],
    metrics: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    found: Findings,
    figures: Mapping[str, bytes],
) -> str:
    """The page as HTML text.

    `validation`, `metrics` and `evaluation` are the contents of the JSON reports;
    `evaluation["verdict"]` is the headline; `evaluation["warnings"]`, when there, stand below it.
    Unless the verdict is "signal" or "inconclusive" no gene of `found` is on the page. `figures`
    are PNG or SVG files by name. Raises `ValueError` for a figure of another kind.
    """
    headline = {key: evaluation[key] for key in ("verdict", "warnings") if key in evaluation}
    detail = {key: value for key, value in evaluation.items() if key not in headline}
    verdict = headline.get("verdict")
    listed = verdict in ("signal", "inconclusive")
    found = found if listed else _without_genes(found)
    without = set() if listed else set(OF_GENES)
    without |= set() if "truth" in found.summary else {"fdp"}
    without |= {"external"} if found.replication.empty else set()
    placed = {name: section for section, names in SECTIONS.items() for name in names}
    drawn: dict[str, list[Figure]] = {name: [] for name in ("performance", *SECTIONS)}
    for name, content in figures.items():
        if name not in without:
            drawn[placed.get(name, "performance")].append(_figure(name, content))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    page: str = environment.get_template("report.html.j2").render(
        name=cohort_name,
        verdict=verdict,
        problems=list(_problems(validation, headline.get("warnings", ()))),
        validation=tabulate("", validation),
        metrics=tabulate("", metrics),
        evaluation=tabulate("", detail),
        figures=drawn,
        listed=listed,
        found=_findings(found, params.get("biomarkers", {})),
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
    """`content` with `x`, `x_low` and `x_high` put together as one value.

    And `value` or `index` with `low` and `high`, when they stand among other entries.
    """
    ends = {
        key: {"value": content[key], "low": content[f"{key}_low"], "high": content[f"{key}_high"]}
        for key in content
        if f"{key}_low" in content and f"{key}_high" in content
    }
    gone = {f"{key}_{end}" for key in ends for end in ("low", "high")}
    if {"low", "high"} < content.keys() and len(content) > 3:
        for key in {"value", "index"} & content.keys():
            ends[key] = {"value": content[key], "low": content["low"], "high": content["high"]}
            gone |= {"low", "high"}
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


def _without_genes(found: Findings) -> Findings:
    """What may be told when there is no marker list: counts, error rates, scores."""
    return replace(
        found,
        **{
            field.name: getattr(found, field.name).head(0)
            for field in fields(found)
            if isinstance(getattr(found, field.name), pd.DataFrame)
        },
        summary={**found.summary, "drivers": {}},
        external={key: value for key, value in found.external.items() if key != "markers"},
    )


def _findings(found: Findings, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the template says of the markers."""
    summary = found.summary
    q = float(summary["q"])
    chosen = found.ranking[found.ranking["selected"].astype(bool)]
    kinds = {DISCOVERED_AS.get(kind, kind): n for kind, n in summary["list"]["by"].items() if n}
    return {
        "rows": [_marker(row, summary["claim"]) for row in _records(chosen.head(MOST))],
        "claim": CLAIMS[summary["claim"]],
        "beyond": summary["claim"] == "beyond",
        "repeated": summary["repeated_samples"],
        "q": f"{q:g}",
        "percent": _percent(q),
        "list": summary["list"],
        "kinds": ", ".join(f"{kind} {n}" for kind, n in kinds.items()),
        "draws": cell(settings.get("draws")),
        "decoys": cell(settings.get("decoys")),
        "null": {key: cell(value) for key, value in summary["null"].items()},
        "least_p": cell(1 / (1 + summary["null"]["permutations"])),
        "truth": tabulate("", {k: summary[k] for k in ("truth", "recovery") if k in summary}),
        "completeness": cell(summary["completeness_error"]["median"]),
        "stability": {key: cell(value) for key, value in summary["stability"].items()},
        "rankings": tabulate("", found.stability),
        "modules": summary["modules"],
        "module_table": _frame(_significant(found.modules, q, 20)),
        "interaction_table": _frame(found.interactions.replace({"kind": DISCOVERED_AS}).head(20)),
        "drivers": tabulate("", summary["drivers"]),
        "enrichment": [
            replace(_frame(_significant(rows.drop(columns="analysis"), q, 10)), title=str(analysis))
            for analysis, rows in found.enrichment.groupby("analysis", sort=False)
        ],
        "confounders": _confounders(summary["confounders"]["confounders"]),
        "notes": [str(note).replace("`", "") for note in summary["confounders"]["notes"]],
        "external": tabulate("", found.external) if found.external.get("scores") else None,
        "replication_table": _frame(found.replication.head(MOST)),
    }


def _significant(table: pd.DataFrame, q: float, most: int) -> pd.DataFrame:
    """The first `most` rows with a q-value up to `q`, without columns that say nothing."""
    return table[table["q_value"] <= q].head(most).dropna(axis="columns", how="all")


def _marker(row: Mapping[str, Any], claim: str) -> dict[str, Any]:
    """A marker as the template shows it: texts, addresses, and `note` texts that explain a flag."""
    joint = row["discovered_as"] in DISCOVERED_AS
    discovered_as = DISCOVERED_AS.get(row["discovered_as"], cell(row["discovered_as"]))
    of_unit = row["discovered_as"] in ("segment", "arm") and row["unit"]
    left = _percent(row["remaining"])
    return {
        "gene": cell(row["gene"]),
        "links": links(str(row["gene"]), row["ensembl_id"] or ""),
        "channel": words(row["channel"]),
        "direction": "no clear shift"
        if row["direction"] == "mixed"
        else f"{row['direction']} in {row['class']}",
        "effect": cell(row["effect"]),
        "level": cell(row["level"]),
        "band": cell(row["band"]),
        "driver": row["driver"],
        "discovered_as": f"{discovered_as} {row['unit']}" if of_unit else discovered_as,
        "q": NOTHING if joint else cell(row["q_value" if claim == "beyond" else "q_associated"]),
        "frequency": _percent(row["selection_frequency"]),
        "confounder": row["confounder"],
        "confounder_note": f"{left} of the label effect is left with it held fixed",
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings, None for what is missing."""
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _confounders(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per known confounder: the label, the model's score and the markers beside it."""
    columns = [
        "confounder", "kind", "samples", "with the label", "p", "with the score", "p",
        "of the score left", "markers that go with it", "markers it explains",
    ]  # fmt: skip
    values = [
        (
            row["confounder"], row["kind"], row["known"],
            row["label"]["strength"], row["label"]["p"],
            row["score"]["strength"], row["score"]["p"], row["score"]["remaining"],
            row["markers"]["related"], row["markers"]["flagged"],
        )
        for row in rows
    ]  # fmt: skip
    return Table("", columns, [list(map(cell, row)) for row in values])


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"


def _problems(
    validation: Mapping[str, Any], warnings: Sequence[Any] | str
) -> Iterator[tuple[str, str]]:
    """Severity and text of everything that failed: critical checks, other checks, warnings."""
    own = {name: content for name, content in validation.items() if name != "external"}
    external = validation.get("external") or {}
    failed = [
        (str(content.get("severity", "critical")), f"{words(name)}{of}", content)
        for of, part in (("", own), (" of the external cohort", external))
        for name, content in _checks(part)
        if content["passed"] is False
    ]
    for severity, name, content in sorted(failed, key=lambda entry: entry[0] != "critical"):
        extent = ""
        if "failed_rows" in content and "rows" in content:
            extent = f": {cell(content['failed_rows'])} of {cell(content['rows'])} rows"
        yield severity, f"data check {name} failed{extent}"
    for text in [warnings] if isinstance(warnings, str) else warnings:
        yield "warning", cell(text)


def _checks(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping at any depth that says whether it passed, or could not be asked."""
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
