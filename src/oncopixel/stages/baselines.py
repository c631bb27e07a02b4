"""`baselines`: the linear and tree models on the folds that the CNN gets."""

import logging
from collections.abc import Mapping
from functools import partial

import joblib
import pandas as pd

from ..baselines.tuning import BaselineFit, fit_predict
from ..cohort.contract import Cohort
from ..core.executor import parallel
from ..core.params import CohortParams, Params
from ..core.project import Paths
from ..core.storage import write_json, write_parquet
from ..images.folds import fold_arrays, prediction_rows, read_split_cohort
from ..images.splits import Fold, cv_folds, final_fold

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes out-of-fold and test predictions, the final importances and the tuned settings."""
    cohort, splits = read_split_cohort(paths)
    folds = [*cv_folds(splits), final_fold(splits)]
    predictions: list[pd.DataFrame] = []
    chosen: dict[str, dict[str, object]] = {name: {} for name in params.baselines.models}
    importances = {}
    fit_fold = partial(_fit, params, params.cohort(paths.cohort), cohort)
    with parallel(fit_fold, joblib.cpu_count(), paths.data(""), "fold") as run_all:
        fits = run_all([(fold,) for fold in folds])
        for fold, of_fold in zip(folds, fits, strict=True):
            for name, fit in of_fold.items():
                predictions.append(prediction_rows(cohort, fold, name, fit.probabilities))
                chosen[name][fold.name] = fit.chosen
                importances[name] = fit.importance  # that of the final fold, the last one, stays
                log.info("  fold %s: %s: %s", fold.name, name, _settings(fit.chosen))
    write_parquet(
        paths.data("baseline_predictions.parquet"), pd.concat(predictions, ignore_index=True)
    )
    write_parquet(paths.data("baseline_importances.parquet"), pd.DataFrame(importances))
    write_json(paths.report("baselines.json"), chosen)


def _fit(params: Params, entry: CohortParams, cohort: Cohort, fold: Fold) -> dict[str, BaselineFit]:
    """Every baseline, tuned and fitted on a fold; runs in a process of its own."""
    arrays = fold_arrays(cohort, fold, entry, params.preprocess)
    train, held_out = (
        part.reshape(len(part), -1) for part in (arrays.train_features, arrays.held_out_features)
    )
    seen = train, arrays.train_y, arrays.train_patients, held_out
    return {
        name: fit_predict(name, *seen, params.baselines, len(entry.channels))
        for name in params.baselines.models
    }


def _settings(chosen: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in chosen.items()
    )
