"""`split`: which patients are tested, and which fold each other patient is in."""

import logging

from ..cohort.contract import read_cohort
from ..core.errors import DataCheckError
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import read_json, write_parquet
from ..images.splits import make_splits

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes `splits.parquet`; `DataCheckError` for a cohort that failed a critical check."""
    failed = read_json(paths.report("validation.json"))["failed"]["critical"]
    if failed:
        raise DataCheckError(
            f"cohort {paths.cohort} failed {failed} critical data check(s). Mend the data and run "
            f"`oncopixel validate {paths.cohort}` again."
        )
    splits = make_splits(read_cohort(paths.data("cohort.h5ad")), params.split)
    write_parquet(paths.data("splits.parquet"), splits)
    parts = splits["part"].value_counts()
    log.info(
        "%d development samples in %d x %d folds, %d test samples",
        parts["development"],
        params.split.repeats,
        params.split.folds,
        parts["test"],
    )
