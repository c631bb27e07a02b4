"""`stability`: whether the CNN and the baselines name the same genes when patients are left out."""

import logging
from typing import Any

import joblib
import numpy as np

from ..baselines.tuning import refit as refit_baseline
from ..core.executor import parallel
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import read_csv, read_json, write_bytes, write_json, write_parquet
from ..images.folds import read_images, read_split_cohort
from ..images.preprocessor import Preprocessor, read_preprocessor, to_features
from ..images.splits import final_fold
from ..markers.ranking import explain, score_table, select, t_test
from ..markers.stability import frequencies, resamples, summary
from ..networks.ensemble import Hyperparameters, refit, tune
from ..networks.training import has_gpu, set_up
from ..reporting import figures

log = logging.getLogger(__name__)

PROCESSES = 2
"""At most; each holds TensorFlow and the images."""


def run(paths: Paths, params: Params) -> None:
    """Writes selection frequencies and the index of every method; sees no test sample.

    Fitted anew on each draw is all that sees labels. What knows none (genes, scaling, factors and
    modules) and what tuning chose (penalties, features, how long a member is trained) are those of
    all development patients.
    """
    settings, top = params.stability, params.biomarkers.top
    cohort, splits = read_split_cohort(paths)
    pre = read_preprocessor(paths.model("preprocessor.parquet"))
    fold = final_fold(splits)
    rows = fold.train
    images, y = np.asarray(read_images(paths, cohort, pre.shape)[rows]), cohort.y[rows]
    patients = cohort.patients[rows]
    draws = resamples(patients, y, settings.resamples, settings.fraction, settings.seed)
    history = read_csv(paths.report("history.csv"))
    epochs = history.loc[history["best"] & (history["fold"] == fold.name), "epoch"].tolist()
    tuned = tune(images, y, patients, params.train, len(cohort.classes), epochs)
    chosen = {
        name: fits[fold.name] for name, fits in read_json(paths.report("baselines.json")).items()
    }

    jobs = 1 if has_gpu() else min(PROCESSES, joblib.cpu_count())  # a GPU serves one at a time
    with parallel(jobs, paths.data("")) as run_all:
        scored = run_all(
            joblib.delayed(_scores)(images, y, patients, draw, pre, params, tuned, chosen)
            for draw in draws
        )
    selections = {
        name: select(
            [score_table(scores[name], pre.genes["gene"], pre.channels) for scores in scored], top
        )
        for name in scored[0]
    }
    found = summary(selections, top) | {"fraction": settings.fraction}
    write_parquet(paths.data("selection_frequency.parquet"), frequencies(selections))
    write_json(paths.report("stability.json"), found)
    write_bytes(
        paths.report("figures/stability.png"), figures.to_png(figures.stability(found["methods"]))
    )
    for name, figure in found["methods"].items():
        log.info("  %s: %.2f [%.2f, %.2f]", name, figure["index"], figure["low"], figure["high"])


def _scores(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    draw: np.ndarray,
    pre: Preprocessor,
    params: Params,
    tuned: Hyperparameters,
    chosen: dict[str, dict[str, Any]],
) -> dict[str, np.ndarray]:
    """Each method's `(genes, channels)` scores on a draw; runs in a process of its own."""
    set_up(params.train)
    n_classes = len(pre.classes)
    model = refit(images, y, patients, draw, params.train, n_classes, tuned)
    images, y = images[draw], y[draw]
    settings = params.biomarkers
    found = explain(model, images, y, n_classes, steps=settings.steps, tolerance=settings.tolerance)
    features = to_features(pre, images)
    flat, shape = features.reshape(len(features), -1), features.shape[1:]
    return {
        "cnn": to_features(pre, found.score[None])[0],
        "t_test": t_test(features, y, n_classes),
    } | {
        name: np.abs(refit_baseline(name, flat, y, fit, params.baselines.seed, shape[-1])).reshape(
            shape
        )
        for name, fit in chosen.items()
    }
