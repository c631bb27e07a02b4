"""`split`: which patients are tested, and which fold each other patient is in."""

import logging

from ..artifacts import read_json, write_parquet
from ..cohort import read_cohort
from ..errors import DataCheckError
from ..params import Params
from ..splits import make_splits
from .places import Places

log = logging.getLogger(__name__)


def run(places: Places, params: Params) -> None:
    """Writes `splits.parquet`; `DataCheckError` for a cohort that failed a critical check."""
    failed = read_json(places.report("validation.json"))["failed"]["critical"]
    if failed:
        raise DataCheckError(
            f"cohort {places.cohort} failed {failed} critical data check(s). Mend the data and run "
            f"`oncopixel validate {places.cohort}` again."
        )
    splits = make_splits(read_cohort(places.data("cohort.h5ad")), params.split)
    write_parquet(places.data("splits.parquet"), splits)
    parts = splits["part"].value_counts()
    log.info(
        "%d development samples in %d x %d folds, %d test samples",
        parts["development"],
        params.split.repeats,
        params.split.folds,
        parts["test"],
    )
