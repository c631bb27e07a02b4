"""`train`: an ensemble per fold, and the final one on all development patients."""

import logging
from typing import TYPE_CHECKING

import joblib
import pandas as pd
from tqdm import tqdm

from ..cohort.contract import Cohort
from ..core.disk import alone
from ..core.executor import parallel
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import write_csv, write_keras, write_parquet
from ..images.folds import fold_arrays, read_images, read_split_cohort
from ..images.preprocessor import to_images
from ..images.splits import Fold, cv_folds, final_fold
from ..networks.architectures import combine, members
from ..networks.ensemble import describe, fit_ensemble
from ..networks.predictions import ensemble_rows
from ..networks.training import has_gpu, set_up

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes the final ensemble, the folds' models, their held-out predictions and the history.

    Folds are trained side by side, each on its own threads, so that results do not depend on how
    many run at a time. Nothing is written until all are there.
    """
    with alone(paths.data(""), f"`oncopixel train {paths.cohort}`"):
        cohort, splits = read_split_cohort(paths)
        folds = [final_fold(splits), *cv_folds(splits)]  # the longest first
        ensembles, histories, predictions = zip(
            *_train_all(paths, params, cohort, folds), strict=True
        )
        of_folds = [member for ensemble in ensembles[1:] for member in members(ensemble)]
        write_keras(paths.model("ensemble.keras"), ensembles[0])
        write_keras(paths.model("cv.keras"), combine(of_folds))
        write_parquet(
            paths.data("cnn_predictions.parquet"), pd.concat(predictions, ignore_index=True)
        )
        write_csv(paths.report("history.csv"), pd.concat(histories, ignore_index=True))


def _train_all(
    paths: Paths, params: Params, cohort: Cohort, folds: list[Fold]
) -> "list[tuple[keras.Model, pd.DataFrame, pd.DataFrame]]":
    """The ensemble, history and predictions of each fold."""
    jobs = 1 if has_gpu() else min(len(folds), joblib.cpu_count())  # a GPU serves one at a time
    trained = []
    silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
    with (
        parallel(jobs, paths.data(""), return_as="generator") as run_all,
        tqdm(total=len(folds), unit="fold", disable=silent, leave=False) as bar,
    ):
        results = run_all(joblib.delayed(_train)(paths, params, cohort, fold) for fold in folds)
        for fold, (ensemble, history, predictions) in zip(folds, results, strict=True):
            bar.update()
            trained.append((ensemble, history.assign(fold=fold.name), predictions))
            if bar.disable:
                for line in describe(history):
                    log.info("  %s, %s", fold.name, line)
    return trained


def _train(
    paths: Paths, params: Params, cohort: Cohort, fold: Fold
) -> "tuple[keras.Model, pd.DataFrame, pd.DataFrame]":
    """One fold, everything fitted on its training samples; runs in a process of its own."""
    set_up(params.train)
    entry = params.cohort(paths.cohort)
    final = fold.repeat < 0
    if final:
        every = read_images(paths, cohort, (*entry.shape, len(entry.channels)))
        images, held_out = every[fold.train], every[fold.held_out]
    else:
        arrays = fold_arrays(cohort, fold, entry, params.preprocess)
        images, held_out = (
            to_images(arrays.preprocessor, features)
            for features in (arrays.train_features, arrays.held_out_features)
        )
    n_members = params.train.members if final else params.train.cv_members
    ensemble, history = fit_ensemble(
        images,
        cohort.y[fold.train],
        cohort.patients[fold.train],
        params.train,
        seeds=range(params.train.seed, params.train.seed + n_members),
        n_classes=len(cohort.classes),
    )
    return ensemble, history, ensemble_rows(cohort, fold, ensemble, held_out)
