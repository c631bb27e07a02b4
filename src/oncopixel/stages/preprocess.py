"""`preprocess`: who is tested, and gene images by a preprocessor of development samples only."""

import logging

from ..cohort.contract import read_cohort
from ..core.errors import DataCheckError
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import read_json, write_npy, write_parquet
from ..images.covariates import MANY_LEVELS
from ..images.preprocessing import features, fit
from ..images.preprocessor import to_images, write_preprocessor
from ..images.splits import final_fold, make_splits

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes `splits.parquet`, `preprocessor.parquet` and `images.npy`.

    Raises
    ------
    DataCheckError
        The cohort failed a critical check.
    """
    failed = read_json(paths.report("validation.json"))["failed"]["critical"]
    if failed:
        raise DataCheckError(
            f"cohort {paths.cohort} failed {failed} critical data check(s). Mend the data and run "
            f"`oncopixel validate {paths.cohort}` again."
        )
    entry = params.cohort(paths.cohort)
    cohort = read_cohort(paths.data("cohort.h5ad"))
    splits = make_splits(cohort, params.split)
    parts = splits["part"].value_counts()
    log.info(
        "%d development samples in %d x %d folds, %d test samples",
        parts["development"], params.split.repeats, params.split.folds, parts["test"],
    )  # fmt: skip
    development = cohort.take(final_fold(splits).train)
    preprocessor = fit(development, params.preprocess, channels=entry.channels, image=entry.shape)
    for covariate in preprocessor.covariates:
        kind = f"a category of {len(covariate.levels)} levels" if covariate.levels else "a number"
        many = len(covariate.levels) > MANY_LEVELS
        log.log(
            logging.WARNING if many else logging.INFO,
            "%sexpression is adjusted for `%s`, %s", "warning: " * many, covariate.column, kind,
        )  # fmt: skip
    images = to_images(preprocessor, features(preprocessor, cohort))
    write_parquet(paths.data("splits.parquet"), splits)
    write_preprocessor(paths.model("preprocessor.parquet"), preprocessor)
    write_npy(paths.data("images.npy"), images)
    log.info(
        "%d of %d genes on %d x %d x %d images, %s layout",
        len(preprocessor.genes), len(cohort.genes), *images.shape[1:], params.preprocess.layout,
    )  # fmt: skip
