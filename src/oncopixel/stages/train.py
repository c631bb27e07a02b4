"""`train`: an ensemble per fold, and the final one on all development patients."""

import shutil
from functools import partial

import pandas as pd

from ..cohort.contract import Cohort
from ..core.disk import alone, scratch_folder
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import write_bytes, write_csv, write_json, write_parquet
from ..images.folds import FoldImages, fold_images, prediction_rows, read_images, read_split_cohort
from ..images.preprocessor import read_preprocessor
from ..images.splits import Fold, cv_folds, final_fold
from ..networks.folds import Files, train_folds


def run(paths: Paths, params: Params) -> None:
    """Writes the final ensemble, held-out predictions of all folds, their histories and choices.

    Nothing but the curves of training is written until all are there.
    """
    with (
        alone(paths.data(""), f"`oncopixel train {paths.cohort}`"),
        scratch_folder(paths.data("")) as scratch,
    ):
        cohort, splits = read_split_cohort(paths)
        folds = [final_fold(splits), *cv_folds(splits)]  # the longest first
        load = partial(_load, paths, params, cohort)
        files = Files(scratch / "ensemble.keras", paths.report("live"))
        shutil.rmtree(files.curves, ignore_errors=True)
        write_json(files.curves / "metrics.json", {})  # DVCLive's, if there are epochs
        trained = train_folds(cohort, folds, load, params.train, paths.data(""), files)
        write_bytes(paths.model("ensemble.keras"), files.ensemble.read_bytes())
        found = list(zip(folds, trained, strict=True))
        predictions = [
            prediction_rows(cohort, fold, model, probabilities)
            for fold, of in found
            for model, probabilities in of.probabilities.items()
        ]
        write_parquet(
            paths.data("cnn_predictions.parquet"), pd.concat(predictions, ignore_index=True)
        )
        histories = [of.history.assign(fold=fold.name) for fold, of in found]
        write_csv(paths.report("history.csv"), pd.concat(histories, ignore_index=True))
        write_json(paths.report("training.json"), {fold.name: of.chosen for fold, of in found})


def _load(paths: Paths, params: Params, cohort: Cohort, fold: Fold) -> FoldImages:
    """The fold's images; the final fold's are those that `preprocess` made."""
    if fold.repeat >= 0:
        return fold_images(cohort, fold, params.cohort(paths.cohort), params.preprocess)
    pre = read_preprocessor(paths.model("preprocessor.parquet"))
    images = read_images(paths, cohort, pre.shape)
    return FoldImages(images[fold.train], images[fold.held_out], pre.genome)
