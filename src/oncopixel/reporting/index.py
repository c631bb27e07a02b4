"""`reports/index.html`: the cohorts of a project, and its experiments, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ..evaluation.parts import PARTS
from ..pages.assets import assets, environment
from ..pages.tables import Table
from ..pages.texts import NOTHING, cell
from .charts import PART_TITLES
from .glossary import explained
from .verdict import difference, judge, question

SCORES = {f"{part}_roc_auc": f"AUC, {title}" for part, title in PART_TITLES.items()}
"""Scores of the network, and what they are called."""


@dataclass(frozen=True)
class CohortResults:
    """What the index says of a cohort; results that are not there are empty."""

    name: str
    entry: Mapping[str, Any]
    """Of `params.yaml`."""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    external: Mapping[str, Any] = field(default_factory=dict)
    made: str = ""
    """Day and commit of the results."""
    state: str = ""


@dataclass(frozen=True)
class Experiment:
    """A row of `dvc exp show`."""

    name: str
    made: str
    changes: Mapping[str, Any]
    """Parameters that are not those of the commit that it started from."""
    metrics: Mapping[str, float]
    """`<cohort>/<metric>`."""


def render_index(cohorts: Sequence[CohortResults], experiments: Sequence[Experiment]) -> str:
    """The page as HTML text."""
    return (
        environment(__package__, explained)
        .get_template("index.html.j2")
        .render(
            assets=assets(plots=False),
            simulated=False,
            cohorts=_cohorts(cohorts),
            told=[
                (
                    cohort.name,
                    question(cohort.entry["label"], cohort.entry["channels"], ()),
                    judge(
                        cohort.evaluation,
                        cohort.summary,
                        cohort.external,
                        simulated=_simulated(cohort),
                    ),
                    _experiments(cohort.name, experiments),
                )
                for cohort in cohorts
                if cohort.evaluation and cohort.summary
            ],
        )
    )


def _cohorts(cohorts: Sequence[CohortResults]) -> Table:
    """A row per cohort: what came out, when, and whether it still holds."""
    heads = [
        "cohort", "verdict", "patients", *SCORES.values(), "minus best simple model",
        "genes listed", "results of", "up to date",
    ]  # fmt: skip
    return Table("", heads, [_cohort(cohort) for cohort in cohorts])


def _cohort(cohort: CohortResults) -> list[str]:
    evaluation = cohort.evaluation
    if not evaluation:
        return [cohort.name, "no results", *[NOTHING] * 6, cohort.state]
    link = Markup('<a href="{}/report.html">{}</a>').format(quote(cohort.name), cohort.name)
    is_told = "simulated" in cohort.name
    simulated = " (simulated)" if _simulated(cohort) and not is_told else ""
    minus = evaluation.get("cnn_minus", {}).get(evaluation.get("best_baseline"), {})
    return [
        link + simulated,
        evaluation["verdict"],
        cell(sum(evaluation["data"][part]["patients"] for part in PARTS)),
        *(cell(evaluation["models"]["cnn"][part]["roc_auc"]) for part in PARTS),
        difference(minus.get("cv", {}).get("roc_auc")),
        cell(cohort.summary.get("list", {}).get("genes")),
        Markup('<span class="whole">{}</span>').format(cohort.made or NOTHING),
        cohort.state,
    ]


def _simulated(cohort: CohortResults) -> bool:
    return bool(cohort.entry.get("source", {}).get("kind") == "simulated")


def _experiments(cohort: str, experiments: Sequence[Experiment]) -> Table:
    """A row per experiment that has scores of the cohort; the first is what they began with."""
    rows = []
    for experiment in experiments:
        found = {name: experiment.metrics.get(f"{cohort}/{name}") for name in (*SCORES, "genes")}
        if any(value is not None for value in found.values()):
            changes = [f"{name} = {value}" for name, value in experiment.changes.items()]
            rows.append(
                [experiment.name, cell(changes), *map(cell, found.values()), experiment.made]
            )
    heads = ["experiment", "changed parameters", *SCORES.values(), "genes listed", "made"]
    return Table("", heads, rows)
