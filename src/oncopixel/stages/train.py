"""`train`: one CNN per fold, and the final ensemble on all development patients."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas as pd
from tqdm import tqdm

from ..cohort.contract import Cohort
from ..core.disk import alone
from ..core.executor import parallel
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import read_keras, write_csv, write_keras, write_parquet
from ..images.folds import fold_arrays, read_images, read_split_cohort
from ..images.preprocessor import to_images
from ..images.splits import Fold, cv_folds, final_fold
from ..networks.architectures import combine, members
from ..networks.predictions import ensemble_rows
from ..networks.training import describe, fit_ensemble, has_gpu, set_up

log = logging.getLogger(__name__)

SCRATCH = ".train"


@dataclass(frozen=True)
class Trained:
    """What one fold gave; its model waits in the scratch folder."""

    history: pd.DataFrame
    predictions: pd.DataFrame
    """Of the fold's held-out samples; empty for the final fold, whose are the test set's."""


def run(paths: Paths, params: Params) -> None:
    """Writes the final ensemble, the folds' models, their out-of-fold predictions and the history.

    Folds are trained side by side, each on its own threads, so that results do not depend on how
    many run at a time. Finished members wait in `data/<cohort>/.train` until all are there.
    """
    with alone(paths.data(""), f"`oncopixel train {paths.cohort}`"):
        cohort, splits = read_split_cohort(paths)
        folds = [final_fold(splits), *cv_folds(splits)]  # the longest first
        trained = _train_all(paths, params, cohort, folds)
        _write(paths, folds, trained)
        shutil.rmtree(paths.data(SCRATCH))


def _train_all(
    paths: Paths, params: Params, cohort: Cohort, folds: list[Fold]
) -> dict[str, Trained]:
    """What each fold gave, by its name."""
    jobs = 1 if has_gpu() else min(len(folds), joblib.cpu_count())  # a GPU serves one at a time
    trained = {}
    silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
    with (
        parallel(jobs, paths.data(""), return_as="generator") as run_all,
        tqdm(total=len(folds), unit="fold", disable=silent, leave=False) as bar,
    ):
        results = run_all(joblib.delayed(_train)(paths, params, cohort, fold) for fold in folds)
        for fold, result in zip(folds, results, strict=True):
            bar.update()
            trained[fold.name] = result
            if bar.disable:
                for line in describe(result.history):
                    log.info("  %s, %s", fold.name, line)
    return trained


def _write(paths: Paths, folds: list[Fold], trained: dict[str, Trained]) -> None:
    models = {fold.name: read_keras(_scratch(paths, fold)) for fold in folds}
    ensemble = models.pop(folds[0].name)
    write_keras(paths.model("ensemble.keras"), ensemble)
    write_keras(
        paths.model("cv.keras"), combine([m for model in models.values() for m in members(model)])
    )
    predictions = [result.predictions for result in trained.values()]
    write_parquet(
        paths.data("cv_predictions.parquet"), pd.concat(predictions[1:], ignore_index=True)
    )
    history = [result.history.assign(fold=name) for name, result in trained.items()]
    write_csv(paths.report("history.csv"), pd.concat(history, ignore_index=True))


def _train(paths: Paths, params: Params, cohort: Cohort, fold: Fold) -> Trained:
    """Trains one fold, everything fitted on its training samples; runs in a process of its own."""
    set_up(params.train)
    entry = params.cohort(paths.cohort)
    final = fold.repeat < 0
    if final:
        images = read_images(paths, cohort, (*entry.shape, len(entry.channels)))[fold.train]
    else:
        arrays = fold_arrays(cohort, fold, entry, params.preprocess)
        images = to_images(arrays.preprocessor, arrays.train_features)
    n_members = params.train.members if final else params.train.cv_members
    model, history = fit_ensemble(
        images,
        cohort.y[fold.train],
        cohort.patients[fold.train],
        params.train,
        seeds=range(params.train.seed, params.train.seed + n_members),
        n_classes=len(cohort.classes),
        folder=paths.data(SCRATCH) / fold.name,
    )
    write_keras(_scratch(paths, fold), model)
    if final:
        return Trained(history, pd.DataFrame())
    held_out = to_images(arrays.preprocessor, arrays.held_out_features)
    return Trained(history, ensemble_rows(cohort, fold, model, held_out))


def _scratch(paths: Paths, fold: Fold) -> Path:
    """Where a fold's finished model waits for the others."""
    return paths.data(SCRATCH) / f"{fold.name}.keras"
