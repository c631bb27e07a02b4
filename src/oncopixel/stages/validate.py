"""`validate`: the data checks, which stop the pipeline when a critical one fails."""

import logging

from ..cohort.contract import read_cohort
from ..core.errors import DataCheckError
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import write_json, write_text
from ..quality.checks import check_cohort
from ..quality.page import render

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes `validation.json` and `data_docs.html`, of the cohort and its external one.

    Raises
    ------
    DataCheckError
        Either failed a critical check.
    """
    entry = params.cohort(paths.cohort)
    report = check_cohort(
        read_cohort(paths.data("cohort.h5ad")),
        params.validation,
        channels=list(entry.channels),
        folds=params.split.folds,
        external=read_cohort(paths.data("external.h5ad")) if entry.external else None,
        zscored=entry.external is not None and entry.external.align == "zscore",
    )
    simulated = entry.source.kind == "simulated"
    page = render(paths.cohort, report, simulated=simulated)
    write_text(paths.data("data_docs.html"), page)
    write_json(paths.report("validation.json"), report.summary)
    for line in report.warnings:
        log.warning("warning: %s", line)
    if report.critical:
        lines = "\n".join(f"  - {line}" for line in report.critical)
        raise DataCheckError(
            f"cohort {paths.cohort} failed {len(report.critical)} critical data check(s):\n"
            f"{lines}\n  All checks: {paths.data('data_docs.html')}"
        )
    log.info("all critical checks passed, %d warning(s)", len(report.warnings))
