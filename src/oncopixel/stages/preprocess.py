"""`preprocess`: gene images by a preprocessor that was fitted on development samples only."""

import logging

from ..core.params import Params
from ..core.project import Paths
from ..core.storage import write_npy
from ..images.folds import read_split_cohort
from ..images.preprocessing import MANY_LEVELS, features, fit, to_images, write_preprocessor
from ..images.splits import final_fold

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes `images.npy` and `preprocessor.parquet`."""
    entry = params.cohort(paths.cohort)
    cohort, splits = read_split_cohort(paths)
    fold = final_fold(splits)
    preprocessor = fit(
        cohort.take(fold.train), params.preprocess, channels=entry.channels, image=entry.shape
    )
    for covariate in preprocessor.covariates:
        kind = f"a category of {len(covariate.levels)} levels" if covariate.levels else "a number"
        many = len(covariate.levels) > MANY_LEVELS
        log.log(
            logging.WARNING if many else logging.INFO,
            "%sexpression is adjusted for `%s`, %s",
            "warning: " * many,
            covariate.column,
            kind,
        )
    images = to_images(preprocessor, features(preprocessor, cohort))
    write_preprocessor(paths.model("preprocessor.parquet"), preprocessor)
    write_npy(paths.data("images.npy"), images)
    log.info(
        "%d of %d genes on %d x %d x %d images, %s layout",
        len(preprocessor.genes),
        len(cohort.genes),
        *images.shape[1:],
        params.preprocess.layout,
    )
