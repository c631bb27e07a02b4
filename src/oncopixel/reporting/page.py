"""One HTML page from the results of a cohort: nothing on it is loaded from anywhere else.

The answer comes first, and what failed. Where nothing is listed no gene is on the page. Everything
from outside is escaped; a content security policy lets no script run but the page's own, by hash.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..core.project import version
from ..evaluation.parts import CNN, PANEL, PARTS
from ..pages.assets import assets, environment
from ..pages.tables import Table, tabulate
from ..pages.texts import cell, words
from . import charts
from .findings import Findings, panel_sizes, tables_of
from .glossary import explained
from .pictures import (
    curve_pictures,
    drawn_figures,
    main_models,
    model_name,
    replication_picture,
    score_picture,
)
from .plots import evidence_plots
from .verdict import FEW_CLASSES, difference, judge, question

CLAIMS = {
    "beyond": "adds information about the label beyond all others, or moves with one that does: by "
    "expression, beyond its own copy number, too; by copy number or mutation, beyond the sample's "
    "burden of such events",
    "associated": "is associated with the label, alone or through anything else",
}
TOLD = {"verdict", "warnings", "definitions", "models", "data", "confusion"}
"""Parts of the evaluation that have a place of their own on the page."""
LIMITS = (
    "For research. Not a medical device, not for decisions about a patient.",
    "A marker is an association in this cohort. Nothing here shows a cause.",
    "Genes that move together can stand in for each other; “chosen by” says how far a "
    "gene depends on the choice of patients.",
    "Intervals describe the sampling of patients of this cohort. They say nothing of other "
    "hospitals, platforms or populations; only an independent cohort does.",
)


@dataclass(frozen=True, eq=False)
class Results:
    """What the stages left of a cohort, beside the markers."""

    validation: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files by their names in `FIGURES`."""
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """`roc`, `pr` and `calibration`."""
    tuning: Mapping[str, Any] | None = None
    code: str = ""
    """Digest of the code that made the results."""


def render_report(
    cohort_name: str, params: Mapping[str, Any], results: Results, found: Findings
) -> str:
    """The results of a cohort as HTML text."""
    cohort = params.get("cohort", {})
    simulated = cohort.get("source", {}).get("kind") == "simulated"
    listed = bool(found.summary["list"]["selected"])
    found = found if listed else found.without_genes()
    evaluation, validation = results.evaluation, results.validation
    names = main_models(evaluation, found.panel.get("size"))
    verdict = judge(evaluation, found.summary, found.external, _genes(found), simulated=simulated)
    plots = evidence_plots(found.ranking, found.summary) if listed else None
    return environment(__package__, explained).get_template("report.html.j2").render(
        name=cohort_name,
        simulated=simulated,
        has_copies="copy_number" in (cohort.get("channels") or ()),
        assets=assets(plots=plots is not None),
        question=_question(cohort, validation),
        facts=_facts(cohort, validation, evaluation, found.summary, results.code),
        code=results.code,
        verdict=verdict,
        problems=list(_problems(validation, evaluation.get("warnings", ()))),
        scores=_scores(evaluation, names),
        score_picture=score_picture(evaluation, names),
        plots=_json(plots) if plots else None,
        plotted=len(plots["data"]["columns"]["gene"]) if plots else 0,
        curves=curve_pictures(evaluation, names, results.curves),
        figures=drawn_figures(found, results.figures),
        replicated=replication_picture(found.replication),
        classes=_classes(validation, evaluation),
        models=_models(evaluation),
        confusion=_confusion(evaluation.get("confusion", {}).get(CNN, {})),
        evaluation=tabulate("", {k: v for k, v in evaluation.items() if k not in TOLD}),
        validation=tabulate("", validation),
        tuning=tuning_told(results.tuning, params) if results.tuning else None,
        definitions=tabulate("", evaluation.get("definitions", {})),
        listed=listed,
        claim=CLAIMS[found.summary["claim"]],
        settings=params.get("biomarkers", {}),
        params=tabulate("", params),
        limits=LIMITS,
        panel_sizes=panel_sizes(evaluation.get("models", {})),
        explained=explained,
        **tables_of(found, outside=not simulated),
    )  # fmt: skip


def _json(content: Mapping[str, Any]) -> Markup:
    """`content` as it may stand in a script element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def _genes(found: Findings) -> list[str]:
    return list(dict.fromkeys(map(str, found.listed["gene"])))


def _question(cohort: Mapping[str, Any], validation: Mapping[str, Any]) -> str:
    if "label" not in cohort:
        return ""
    return question(cohort["label"], cohort.get("channels") or (), [*validation.get("classes", ())])


def _facts(
    cohort: Mapping[str, Any],
    validation: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    summary: Mapping[str, Any],
    code: str,
) -> dict[str, str]:
    """What the first screen says of the cohort and of the software."""
    sizes = {str(k): size["samples"] for k, size in validation.get("classes", {}).items()}
    facts = {name: f"{n:,} samples" for name, n in sizes.items()}
    if len(sizes) > FEW_CLASSES:
        least, most = min(sizes.values()), max(sizes.values())
        facts = {"classes": f"{len(sizes)}, of {least:,} to {most:,} samples"}
    if "n_patients" in validation:
        facts["patients"] = f"{validation['n_patients']:,}"
    data = evaluation.get("data", {})
    if data:
        own, held = (data[part]["patients"] for part in PARTS)
        facts["patients"] = f"{own + held:,}: {own:,} to develop, {held:,} held out for the test"
    several = len(cohort.get("channels") or ()) > 1
    facts["tested"] = f"{summary['tested']:,} genes{' and channels' * several}"
    facts["oncopixel"] = f"{version()}{f', code {code[:8]}' if code else ''}"
    return facts


def _scores(evaluation: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    """The models of the first screen: cross-validation, test, and the network minus the model."""
    models = evaluation.get("models", {})
    data = evaluation.get("data", {})
    heads = [
        f"{title} (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{data[part]['samples']:,})"
        if part in data
        else title
        for part, title in charts.PART_TITLES.items()
    ]
    rows = []
    for name, title in names.items():
        minus = evaluation.get("cnn_minus", {}).get(name, {}).get("cv", {}).get("roc_auc")
        rows.append(
            [title, *(cell(models[name][part]["roc_auc"]) for part in PARTS), difference(minus)]
        )
    return Table("", ["model", *heads, "network minus model"], rows)


def _models(evaluation: Mapping[str, Any]) -> Table:
    """Every model with every score, a table for cross-validation and one for the test set."""
    models = evaluation.get("models", {})
    whole = {name: scores for name, scores in models.items() if not name.startswith(PANEL)}
    parts = {
        title: {model_name(name): scores[part] for name, scores in whole.items()}
        for part, title in charts.PART_TITLES.items()
    }
    return tabulate("", parts if whole else {})


def _confusion(counts: Mapping[str, Any]) -> list[Table]:
    """Actual (rows) and predicted classes of either part."""
    return [
        Table(
            charts.PART_TITLES[part],
            ["actual", *(f"predicted {name}" for name in rows)],
            [[name, *(cell(round(n)) for n in row.values())] for name, row in rows.items()],
        )
        for part, rows in counts.items()
    ]


def _classes(validation: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Table:
    """Samples of each class, those of development and of the test set."""
    data = evaluation.get("data", {})
    rows = [
        [
            str(name), cell(size["samples"]), cell(size.get("patients")),
            *(cell(data[part]["samples_of_class"].get(name, 0)) for part in PARTS if part in data),
        ]
        for name, size in validation.get("classes", {}).items()
    ]  # fmt: skip
    heads = ["samples to develop", "samples of the test"] if data else []
    return Table("", ["class", "samples", "patients", *heads], rows)


def tuning_told(tuning: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any] | None:
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


def _problems(validation: Mapping[str, Any], warnings: Any) -> Iterator[tuple[str, str]]:
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
