"""`baselines`: the linear and tree models, and small panels, on the folds that the CNN gets."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

from ..baselines.clinical import CLINICAL, clinical_columns, fit_clinical
from ..baselines.panel import cost_of_each, fit_panels, smallest_good, table
from ..baselines.tuning import BaselineFit, fit_predict
from ..cohort.contract import Cohort
from ..core.executor import parallel
from ..core.params import CohortParams, Params
from ..core.project import Paths
from ..core.storage import write_json, write_parquet
from ..evaluation.parts import PANEL
from ..images.folds import fold_arrays, prediction_rows, read_split_cohort
from ..images.splits import Fold, cv_folds, final_fold

log = logging.getLogger(__name__)


class _Fits(NamedTuple):
    """What was fitted on a fold."""

    baselines: dict[str, BaselineFit]
    others: dict[str, np.ndarray]
    """Probabilities of the panels and of the clinical model."""
    chosen: dict[str, dict[str, object]]
    """Of the clinical model, if there is one."""
    tables: dict[int, dict[str, object]]
    """`panel.json` of each size, of the final fold."""


def run(paths: Paths, params: Params) -> None:
    """Writes predictions, final importances, the tuned settings, and the smallest good panel."""
    cohort, splits = read_split_cohort(paths)
    folds = [*cv_folds(splits), final_fold(splits)]
    predictions: list[pd.DataFrame] = []
    chosen: dict[str, dict[str, object]] = {}
    losses: dict[int, list[np.ndarray]] = {size: [] for size in params.baselines.panel_sizes}
    fit_fold = partial(_fit, params, params.cohort(paths.cohort), cohort)
    with parallel(fit_fold, joblib.cpu_count(), paths.data(""), "fold") as run_all:
        fits = run_all([(fold,) for fold in folds])
        for fold, found in zip(folds, fits, strict=True):
            own = {name: fit.probabilities for name, fit in found.baselines.items()} | found.others
            predictions += [prediction_rows(cohort, fold, name, p) for name, p in own.items()]
            settings = {name: fit.chosen for name, fit in found.baselines.items()} | found.chosen
            for name, values in settings.items():
                chosen.setdefault(name, {})[fold.name] = values
                log.info("  fold %s: %s: %s", fold.name, name, _settings(values))
            y = cohort.y[fold.held_out].astype(int)
            for size in losses if fold.repeat >= 0 else ():
                losses[size].append(-np.log(own[f"{PANEL}{size}"][np.arange(len(y)), y] + 1e-9))
    # what the final fold, the last one, gave is kept
    importances = {name: fit.importance for name, fit in found.baselines.items()}
    size = smallest_good({of: np.concatenate(each) for of, each in losses.items()})
    every = pd.concat(predictions, ignore_index=True)
    write_parquet(paths.data("baseline_predictions.parquet"), every)
    write_parquet(paths.data("baseline_importances.parquet"), pd.DataFrame(importances))
    write_json(paths.report("baselines.json"), chosen)
    write_json(paths.model("panel.json"), {"size": size} | found.tables[size])


def _fit(params: Params, entry: CohortParams, cohort: Cohort, fold: Fold) -> _Fits:
    """All models of a fold, tuned and fitted on it; runs in a process of its own."""
    arrays = fold_arrays(cohort, fold, entry, params.preprocess)
    settings, sizes = params.baselines, params.baselines.panel_sizes
    x, held_out = (
        part.reshape(len(part), -1) for part in (arrays.train_features, arrays.held_out_features)
    )
    seen = x, arrays.train_y, arrays.train_patients
    fits: dict[str, BaselineFit] = {
        name: fit_predict(name, *seen, held_out, settings, len(entry.channels))
        for name in settings.models
    }
    panels = dict(zip(sizes, fit_panels(*seen, sizes, settings), strict=True))
    others = {f"{PANEL}{size}": panel.predict_proba(held_out) for size, panel in panels.items()}
    chosen = {}
    if columns := clinical_columns(cohort.samples, entry.label):
        parts = cohort.take(fold.train), cohort.take(fold.held_out)
        others[CLINICAL], chosen[CLINICAL] = fit_clinical(*parts, columns, settings)
    tables = {
        size: table(panel, arrays.preprocessor, cost_of_each(*seen, panel, settings))
        for size, panel in (panels.items() if fold.repeat < 0 else ())
    }
    return _Fits(fits, others, chosen, tables)


def _settings(chosen: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in chosen.items()
    )
