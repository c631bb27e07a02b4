"""`report`: all results of a cohort on one page."""

from collections.abc import Iterator
from typing import Any

from ..core.params import Params
from ..core.project import Places
from ..core.provenance import verify
from ..core.storage import read_bytes, read_csv, read_json, write_json, write_text
from ..reporting.page import CAPTIONS, Findings, render_report


def run(places: Places, params: Params) -> None:
    """Writes `report.html`, and `params.json`: the parameters that made these results."""
    verify(places)
    settings = params.model_dump(exclude={"cohorts"})
    settings["cohort"] = params.cohort(places.cohort).model_dump()
    page = render_report(
        places.cohort,
        settings,
        read_json(places.report("validation.json")),
        read_json(places.report("metrics.json")),
        read_json(places.report("evaluation.json")),
        Findings(
            ranking=read_csv(places.report("biomarkers.csv")),
            summary=read_json(places.report("biomarkers.json")),
            modules=read_csv(places.report("modules.csv")),
            interactions=read_csv(places.report("interactions.csv")),
            enrichment=read_csv(places.report("enrichment.csv")),
            stability=read_json(places.report("stability.json")),
            external=read_json(places.report("external.json")),
            replication=read_csv(places.report("external.csv")),
        ),
        {name: read_bytes(places.report(f"figures/{name}.png")) for name in CAPTIONS},
    )
    write_text(places.report("report.html"), page)
    write_json(places.report("params.json"), dict(_leaves(settings)))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """`section.key` and value of every parameter; a list is one value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
