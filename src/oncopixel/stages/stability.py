"""`stability`: whether the CNN and the baselines name the same genes when patients are left out."""

import logging

import numpy as np

from ..baselines.clinical import CLINICAL
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import read_json, write_json, write_parquet
from ..images.folds import read_images, read_split_cohort
from ..images.preprocessor import read_preprocessor
from ..images.splits import final_fold
from ..markers.refitting import Methods, scores_of_resamples
from ..markers.stability import frequencies, resamples, select_top, summary

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes selection frequencies and the index of every method; sees no test sample."""
    settings, top = params.stability, params.biomarkers.top
    cohort, splits = read_split_cohort(paths)
    pre = read_preprocessor(paths.model("preprocessor.parquet"))
    fold = final_fold(splits)
    images = np.asarray(read_images(paths, cohort, pre.shape)[fold.train])
    y, patients = cohort.y[fold.train], cohort.patients[fold.train]
    network = read_json(paths.report("training.json"))[fold.name]
    baselines = read_json(paths.report("baselines.json"))
    chosen = {name: fits[fold.name] for name, fits in baselines.items() if name != CLINICAL}

    size = read_json(paths.model("panel.json"))["size"]
    methods = Methods(images, y, patients, pre, params, network, chosen, size)
    draws = resamples(patients, y, settings.resamples, settings.fraction, settings.seed)
    scores = scores_of_resamples(methods, draws, paths.data(""))
    selections = select_top(scores, pre, top)

    found = summary(selections, top) | {
        "fraction": settings.fraction,
        "refitted": {"cnn": methods.network_part},
    }
    write_parquet(paths.data("selection_frequency.parquet"), frequencies(selections))
    write_json(paths.report("stability.json"), found)
    for name, figure in found["methods"].items():
        log.info("  %s: %.2f [%.2f, %.2f]", name, figure["index"], figure["low"], figure["high"])
