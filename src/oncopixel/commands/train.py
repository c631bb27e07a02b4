"""`train`: one CNN per fold, and the final ensemble on all development patients."""

import logging
import shutil

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..artifacts import read_npy, write_csv, write_keras, write_parquet
from ..models import combine, members
from ..params import Params
from ..preprocess import to_images
from ..splits import cv_folds, final_fold
from ..train import fit_ensemble, predict_logits, set_up
from .folds import fold_arrays, prediction_rows, read_split_cohort
from .places import Places

log = logging.getLogger(__name__)


def run(places: Places, params: Params) -> None:
    """Writes the final ensemble, the folds' models, their out-of-fold predictions and the history.

    Finished members wait in `data/<cohort>/.train` until all are there.
    """
    set_up(params.train)
    entry = params.cohort(places.cohort)
    cohort, splits = read_split_cohort(places)
    scratch = places.data(".train")
    seeds = params.train.seed + np.arange(max(params.train.members, params.train.cv_members))
    n_classes = len(cohort.classes)

    models, predictions, histories = [], [], []
    for fold in cv_folds(splits):
        arrays = fold_arrays(cohort, fold, entry, params.preprocess)
        log.info("fold %s: %d training samples", fold.name, len(fold.train))
        model, history = fit_ensemble(
            to_images(arrays.preprocessor, arrays.train_features),
            arrays.train_y,
            arrays.train_patients,
            params.train,
            seeds=seeds[: params.train.cv_members].tolist(),
            n_classes=n_classes,
            folder=scratch / fold.name,
            progress=True,
        )
        held_out = to_images(arrays.preprocessor, arrays.held_out_features)
        probabilities = softmax(predict_logits(model, held_out), axis=-1).mean(axis=1)
        predictions.append(prediction_rows(cohort, fold, "cnn", probabilities))
        histories.append(history.assign(fold=fold.name))
        models += members(model)

    fold = final_fold(splits)
    log.info("final: %d training samples", len(fold.train))
    ensemble, history = fit_ensemble(
        read_npy(places.data("images.npy"))[fold.train],
        cohort.y[fold.train],
        cohort.patients[fold.train],
        params.train,
        seeds=seeds[: params.train.members].tolist(),
        n_classes=n_classes,
        folder=scratch / fold.name,
        progress=True,
    )
    histories.append(history.assign(fold=fold.name))

    write_keras(places.model("ensemble.keras"), ensemble)
    write_keras(places.model("cv.keras"), combine(models))
    write_parquet(places.data("cv_predictions.parquet"), pd.concat(predictions, ignore_index=True))
    write_csv(places.report("history.csv"), pd.concat(histories, ignore_index=True))
    shutil.rmtree(scratch, ignore_errors=True)
