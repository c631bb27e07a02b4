"""`baselines`: the linear and tree models on the folds that the CNN gets."""

import itertools
import logging
from collections.abc import Iterator

import joblib
import numpy as np
import pandas as pd

from ..baselines.tuning import fit_predict
from ..cohort.contract import Cohort
from ..core.executor import parallel
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import write_json, write_parquet
from ..images.folds import fold_arrays, prediction_rows, read_split_cohort
from ..images.splits import Fold, cv_folds, final_fold

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes out-of-fold and test predictions, the final importances and the tuned settings."""
    cohort, splits = read_split_cohort(paths)
    folds = [*cv_folds(splits), final_fold(splits)]
    names = params.baselines.models
    channels = len(params.cohort(paths.cohort).channels)
    predictions: list[pd.DataFrame] = []
    chosen: dict[str, dict[str, object]] = {name: {} for name in names}
    importances = {}
    with parallel(joblib.cpu_count(), paths.data(""), return_as="generator") as run_all:
        fits = run_all(
            joblib.delayed(fit_predict)(name, *arrays, params.baselines, channels)
            for arrays in _arrays(paths, params, cohort, folds)
            for name in names
        )
        for (fold, name), fit in zip(itertools.product(folds, names), fits, strict=True):
            predictions.append(prediction_rows(cohort, fold, name, fit.probabilities))
            chosen[name][fold.name] = fit.chosen
            importances[name] = fit.importance  # that of the final fold, the last one, stays
            settings = ", ".join(
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in fit.chosen.items()
            )
            log.info("  fold %s: %s: %s", fold.name, name, settings)
    write_parquet(
        paths.data("baseline_predictions.parquet"), pd.concat(predictions, ignore_index=True)
    )
    write_parquet(paths.data("baseline_importances.parquet"), pd.DataFrame(importances))
    write_json(paths.report("baselines.json"), chosen)


def _arrays(
    paths: Paths, params: Params, cohort: Cohort, folds: list[Fold]
) -> Iterator[tuple[np.ndarray, ...]]:
    """Training features, classes and patients, and held-out features, of one fold after another.

    Yields
    ------
    Features are `(samples, genes x channels)`, the channels of a gene side by side.
    """
    for fold in folds:
        arrays = fold_arrays(cohort, fold, params.cohort(paths.cohort), params.preprocess)
        yield (
            arrays.train_features.reshape(len(fold.train), -1),
            arrays.train_y,
            arrays.train_patients,
            arrays.held_out_features.reshape(len(fold.held_out), -1),
        )
