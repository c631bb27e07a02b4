"""`report`: all results of a cohort on one page."""

import logging
from typing import Any

from ..core.params import Params
from ..core.project import Paths
from ..core.provenance import verify
from ..core.storage import (
    read_bytes,
    read_csv,
    read_json,
    read_parquet,
    write_json,
    write_text,
)
from ..pages.tables import leaves
from ..reporting.card import render_card
from ..reporting.findings import Findings
from ..reporting.page import Results, render_report, tuning_told
from ..reporting.pictures import FIGURES
from ..reporting.summary import summarise
from ..reporting.verdict import answer, marker_list

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes `report.html`, `summary.json`, the parameters in `params.json`, and the card."""
    verify(paths)
    settings = params.model_dump(exclude={"cohorts", "tune"})
    settings["cohort"] = params.cohort(paths.cohort).model_dump()
    tuning, made = paths.report("tuning.json"), paths.report("provenance/biomarkers.json")
    results = Results(
        validation=read_json(paths.report("validation.json")),
        evaluation=read_json(paths.report("evaluation.json")),
        figures={
            name: read_bytes(paths.report(f"figures/{figure.stage}/{name}.{figure.kind}"))
            for name, figure in FIGURES.items()
        },
        curves={
            name: read_csv(paths.report(f"{name}.csv")) for name in ("roc", "pr", "calibration")
        },
        tuning=read_json(tuning) if tuning.is_file() else None,
        code=read_json(made)["inputs"]["src"] if made.is_file() else "",
    )
    found = Findings(
        ranking=read_parquet(paths.data("ranking.parquet"))[0],
        summary=read_json(paths.report("biomarkers.json")),
        modules=read_csv(paths.report("modules.csv")),
        two_hits=read_csv(paths.report("two_hits.csv")),
        regions=read_csv(paths.report("regions.csv")),
        enrichment=read_csv(paths.report("enrichment.csv")),
        stability=read_json(paths.report("stability.json")),
        panel=read_json(paths.model("panel.json")),
        external=read_json(paths.report("external.json")),
        replication=read_csv(paths.report("external.csv")),
    )
    write_text(paths.report("report.html"), render_report(paths.cohort, settings, results, found))
    write_json(paths.report("params.json"), dict(leaves(settings)))
    few = summarise(results.evaluation, found.summary, found.external, found.panel)
    write_json(paths.report("summary.json"), few)
    tuned = bool(results.tuning and tuning_told(results.tuning, settings))
    write_card(paths, settings, tuned=tuned)
    log.info(
        "%s: %s List: %s",
        paths.report("report.html"),
        answer(results.evaluation),
        marker_list(found.summary),
    )


def write_card(paths: Paths, settings: dict[str, Any], *, tuned: bool) -> None:
    """Writes `card.md`, beside the model; `settings` as of `params.json`."""
    card = render_card(
        paths.cohort,
        settings,
        read_json(paths.model("model.json")),
        *(
            read_json(paths.report(f"{name}.json"))
            for name in ("validation", "evaluation", "biomarkers", "external")
        ),
        panel_size=read_json(paths.model("panel.json"))["size"],
        tuned=tuned,
    )
    write_text(paths.model("card.md"), card)
