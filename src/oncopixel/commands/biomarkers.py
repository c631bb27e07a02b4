"""`biomarkers`: which genes the CNN decides by, and how reliably it finds them."""

import logging

import numpy as np
import pandas as pd

from .. import figures
from ..artifacts import (
    read_csv,
    read_keras,
    read_npy,
    read_parquet,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
)
from ..biomarkers import (
    explain,
    marker_recovery,
    rank_genes,
    score_table,
    select,
    summary,
    t_test,
)
from ..cohort import Cohort
from ..models import combine, members
from ..params import Params
from ..preprocess import Preprocessor, read_preprocessor, to_features, to_images
from ..splits import cv_folds, final_fold
from ..train import set_up
from .folds import fold_arrays, read_split_cohort
from .places import Places

log = logging.getLogger(__name__)

LISTED = 500
"""Rows of `biomarkers.csv`, which is in git; `ranking.parquet` has every gene and channel."""


def run(places: Places, params: Params) -> None:
    """Writes the ranking, its figures and the recovery of planted markers; sees no test sample."""
    settings = params.biomarkers
    cohort, splits = read_split_cohort(places)
    pre = read_preprocessor(places.model("preprocessor.parquet"))
    train = final_fold(splits).train
    images, y = read_npy(places.data("images.npy"))[train], cohort.y[train]

    set_up(params.train)
    found = explain(
        read_keras(places.model("ensemble.keras")), images, y, len(cohort.classes),
        steps=settings.steps,
        tolerance=settings.tolerance,
    )  # fmt: skip
    selections = select(_fold_scores(places, params, cohort, splits), settings.top)
    features = to_features(pre, images)
    ranking = rank_genes(pre, found, features, y, frequency=selections.mean())

    scores = {
        "cnn": _table(pre, to_features(pre, found.score[None])[0]),
        "t_test": _table(pre, t_test(features, y, len(cohort.classes))),
        **_baseline_scores(places, pre),
    }
    recovered = marker_recovery(scores, read_csv(places.data("truth.csv")), settings.top)

    figure = summary(found.completeness, selections, len(pre.genes), settings.top, recovered)
    write_parquet(places.data("ranking.parquet"), ranking)
    write_csv(places.report("biomarkers.csv"), ranking.head(LISTED))
    write_json(places.report("biomarkers.json"), figure)
    write_csv(places.report("recovery.csv"), recovered)
    means = np.stack([images[y == k].mean(axis=0) for k in range(len(cohort.classes))])
    for name, drawn in {
        "top_genes": figures.top_genes(ranking),
        "class_images": figures.class_images(means, pre.channels, cohort.classes),
    }.items():
        write_bytes(places.report(f"figures/{name}.png"), figures.to_png(drawn))
    log.info(
        "first genes: %s; stability %.2f [%.2f, %.2f]",
        ", ".join(ranking["gene"].head(8)),
        *(figure["stability"][key] for key in ("index", "low", "high")),
    )


def _fold_scores(
    places: Places, params: Params, cohort: Cohort, splits: pd.DataFrame
) -> list[pd.Series]:
    """The score table of every cross-validation fold's own model, on its own training samples."""
    models = members(read_keras(places.model("cv.keras")))
    folds = cv_folds(splits)
    per_fold = len(models) // len(folds)
    tables = []
    for i, fold in enumerate(folds):
        arrays = fold_arrays(cohort, fold, params.cohort(places.cohort), params.preprocess)
        pre = arrays.preprocessor
        found = explain(
            combine(models[i * per_fold : (i + 1) * per_fold]),
            to_images(pre, arrays.train_features),
            arrays.train_y,
            len(cohort.classes),
            steps=params.biomarkers.steps,
            tolerance=params.biomarkers.tolerance,
        )
        tables.append(_table(pre, to_features(pre, found.score[None])[0]))
    return tables


def _baseline_scores(places: Places, pre: Preprocessor) -> dict[str, pd.Series]:
    """The baselines' absolute importances on the development patients, as score tables."""
    table, _ = read_parquet(places.data("baseline_importances.parquet"))
    shape = len(pre.genes), len(pre.channels)
    return {str(name): _table(pre, table[name].abs().to_numpy().reshape(shape)) for name in table}


def _table(pre: Preprocessor, scores: np.ndarray) -> pd.Series:
    """`(genes, channels)` scores of the preprocessor's genes as a score table."""
    return score_table(scores, pre.genes["gene"], pre.channels)
