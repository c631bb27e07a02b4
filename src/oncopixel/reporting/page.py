"""One HTML page from the results of a cohort: nothing on it is loaded from anywhere else.

What failed comes first. Where nothing is listed no gene is on the page. Everything from outside
is escaped, and a content security policy on the page forbids scripts and the network.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
import pandas as pd

from ..evaluation.parts import CNN, PANEL, PARTS
from .tables import NOTHING, Table, cell, from_frame, tabulate, words


class Figure(NamedTuple):
    """Where a picture is from, and where it stands."""

    stage: str
    section: str
    caption: str
    of_genes: bool = False
    """Left out when there is no marker list."""


FIGURES = {
    "roc": Figure("evaluate", "performance",
        "ROC curves: the CNN and the baselines; of several classes, the CNN only"),
    "pr": Figure("evaluate", "performance",
        "Precision and recall: the CNN and the baselines; of several classes, the CNN only"),
    "calibration": Figure("evaluate", "performance",
        "Predicted probability against observed frequency"),
    "confusion": Figure("evaluate", "performance",
        "Actual and predicted classes of the held-out patients"),
    "class_images": Figure("biomarkers", "performance", "Mean gene image of each class"),
    "evidence": Figure("biomarkers", "markers",
        "Evidence against effect of every gene and channel, the listed ones in colour", True),
    "top_genes": Figure("biomarkers", "markers",
        "The genes that the CNN uses most, listed or not", True),
    "class_attribution": Figure("biomarkers", "markers",
        "What each pixel contributes to the CNN's output, mean of each class", True),
    "fdp": Figure("biomarkers", "markers",
        "Of this cohort, whose truth is planted: what is false among the selected, and what is "
        "found. q bounds the mean over cohorts, so one cohort may lie above the line"),
    "selection_frequency": Figure("biomarkers", "stability",
        "How often lists of resampled patients hold the listed rows, and others", True),
    "stability": Figure("stability", "stability",
        "Stability of the lists of the CNN and the baselines"),
    "regions": Figure("biomarkers", "regions",
        "How often each class gains (up) and loses (down) DNA, its first regions named"),
    "enrichment": Figure("biomarkers", "reading", "Gene sets that go with the label", True),
    "external": Figure("external", "external",
        "Effects of the listed markers here and in the independent cohort", True),
}  # fmt: skip
CLAIMS = {
    "beyond": "adds information about the label: by expression, beyond the cohort's latent "
    "factors, its module and its own copy number; by copy number or mutation, beyond the sample's "
    "burden of such events",
    "associated": "is associated with the label, alone or through anything else",
}
REGION_COLUMNS = (
    "class", "kind", "bands", "Mb", "extent", "frequency", "frequency_others", "p_value",
    "attribution", "deletion", "drivers",
)  # fmt: skip
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


@dataclass(frozen=True, eq=False)
class Findings:
    """The contents of a cohort's marker reports, JSON as mappings and CSV as frames."""

    ranking: pd.DataFrame
    summary: Mapping[str, Any]
    modules: pd.DataFrame
    two_hits: pd.DataFrame
    regions: pd.DataFrame
    enrichment: pd.DataFrame
    stability: Mapping[str, Any]
    panel: Mapping[str, Any]
    """`panel.json` of the model."""
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
    tuning: Mapping[str, Any] | None = None,
) -> str:
    """The results of a cohort as HTML text; `figures` are PNG files by their names in `FIGURES`."""
    listed = bool(found.summary["list"]["selected"])
    found = found if listed else _without_genes(found)
    drawn: dict[str, list[tuple[str, str]]] = {of.section: [] for of in FIGURES.values()}
    for name, content in figures.items():
        figure = FIGURES[name]
        idle = name == "fdp" and "truth" not in found.summary
        idle |= name == "external" and found.replication.empty
        idle |= name == "regions" and found.regions.empty
        if not idle and (listed or not figure.of_genes):
            drawn[figure.section].append((figure.caption, base64.b64encode(content).decode()))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"cell": cell, "words": words, "percent": percent}
    return environment.get_template("report.html.j2").render(
        name=cohort_name,
        verdict=evaluation.get("verdict"),
        problems=list(_problems(validation, evaluation.get("warnings", ()))),
        validation=tabulate("", validation),
        metrics=tabulate("", metrics),
        tuning=_tuning(tuning, params) if tuning else None,
        evaluation=tabulate(
            "", {key: evaluation[key] for key in evaluation if key not in ("verdict", "warnings")}
        ),
        figures=drawn,
        listed=listed,
        settings=params.get("biomarkers", {}),
        params=tabulate("", params),
        limits=LIMITS,
        links=links,
        panel=_panel(found.panel),
        panel_sizes=_panel_sizes(evaluation.get("models", {})),
        **_findings(found),
    )


def links(symbol: str, ensembl_id: str | None = None) -> dict[str, str]:
    """Pages about the gene, title to address, built from the symbol and, where known, the id."""
    name = quote(symbol, safe="")
    found = {
        "NCBI Gene": f"https://www.ncbi.nlm.nih.gov/gene/?term={name}%5Bsym%5D+AND+human%5Borgn%5D",
        "PubMed": f"https://pubmed.ncbi.nlm.nih.gov/?term=%22{name}%22%5Btiab%5D+AND+neoplasms%5Bmh%5D",
        "COSMIC": f"https://cancer.sanger.ac.uk/cosmic/gene/analysis?ln={name}",
        "Open Targets": f"https://platform.opentargets.org/search?q={name}",
    }
    if ensembl_id:
        key = quote(ensembl_id, safe="")
        found["Open Targets"] = f"https://platform.opentargets.org/target/{key}"
        found["Ensembl"] = f"https://www.ensembl.org/Homo_sapiens/Gene/Summary?g={key}"
    return found


def percent(share: float | None) -> str:
    """`share` in whole percent."""
    return NOTHING if share is None else f"{share:.0%}"


def _tuning(tuning: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the template says of a tuning, None when other values than its best were run."""
    best = tuning["best"]["values"]
    if any(params["train"][name] != value for name, value in best.items()):
        return None
    return {
        "names": ", ".join(map(words, best)),
        "trials": len(tuning["trials"]),
        "folds": tuning["space"]["folds"],
        "samples": tuning["samples"],
    }


def _without_genes(found: Findings) -> Findings:
    """What may be told when there is no marker list: counts, error rates, scores, regions."""
    return replace(
        found,
        **{
            field.name: getattr(found, field.name).head(0)
            for field in fields(found)
            if isinstance(getattr(found, field.name), pd.DataFrame) and field.name != "regions"
        },
        summary={**found.summary, "drivers": {}},
        panel={},
        external={key: value for key, value in found.external.items() if key != "markers"},
    )


def _panel(panel: Mapping[str, Any]) -> Table:
    """A row per feature of the panel."""
    several = len(panel.get("classes", ())) > 2
    weights = [f"weight of {name}" for name in panel["classes"]] if several else ["weight"]
    rows = [
        [
            feature["gene"], words(feature["channel"]), cell(feature["center"]),
            cell(feature["scale"]), *map(cell, feature["weights"][0 if several else 1 :]),
            cell(feature["cost"]),
        ]
        for feature in panel.get("features", ())
    ]  # fmt: skip
    columns = ["gene", "channel", "center", "scale", *weights, "cost of leaving it out (log loss)"]
    return Table("", columns, rows)


def _panel_sizes(models: Mapping[str, Any]) -> Table:
    """Area under the curve against the size of the panel, and of the whole network."""
    sizes = sorted(int(name.removeprefix(PANEL)) for name in models if name.startswith(PANEL))
    scored = {str(size): models[f"{PANEL}{size}"] for size in sizes}
    if scored:
        scored["the network"] = models[CNN]
    rows = [
        [name, *(cell(scores[part]["roc_auc"]) for part in PARTS)]
        for name, scores in scored.items()
    ]
    return Table("", ["features", "AUC, cross-validation", "AUC, test"], rows)


def _findings(found: Findings) -> dict[str, Any]:
    """What the template says of the markers."""
    summary = found.summary
    q = float(summary["q"])
    chosen = found.ranking[found.ranking["selected"].astype(bool)].head(MOST)
    kinds = {kind: n for kind, n in summary["list"]["by"].items() if n}
    return {
        "summary": summary,
        "claim": CLAIMS[summary["claim"]],
        "kinds": ", ".join(f"{kind} {n}" for kind, n in kinds.items()),
        "rows": [
            {str(key): None if pd.isna(value) else value for key, value in row.items()}
            for row in chosen.to_dict("records")
        ],
        "truth": tabulate("", {k: summary[k] for k in ("truth", "recovery") if k in summary}),
        "rankings": tabulate("", found.stability),
        "modules": from_frame(_significant(found.modules, q, 20)),
        "two_hits": from_frame(_significant(found.two_hits, q, 20)),
        "regions": _regions(found.regions),
        "drivers": tabulate("", summary["drivers"]),
        "enrichment": from_frame(_significant(found.enrichment, q, 20)),
        "confounders": _confounders(summary["confounders"]["confounders"]),
        "external": tabulate("", found.external) if found.external.get("scores") else None,
        "replication": from_frame(found.replication.head(MOST)),
    }


def _regions(regions: pd.DataFrame) -> Table:
    """The first five regions of each class, with three drivers."""
    first = regions.groupby("class", sort=False).head(5)
    drivers = first["drivers"].astype(object).fillna("").str.split(";").str[:3].str.join(" ")
    return from_frame(first.assign(Mb=first["size"] / 1e6, drivers=drivers)[[*REGION_COLUMNS]])


def _significant(table: pd.DataFrame, q: float, most: int) -> pd.DataFrame:
    """The first `most` rows with a q-value up to `q`, without columns that say nothing."""
    return table[table["q_value"] <= q].head(most).dropna(axis="columns", how="all")


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
