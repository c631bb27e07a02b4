"""The ensembles of several folds, trained side by side, and what they say of who was held out.

TensorFlow takes seconds to import, so only the processes that train do.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from scipy.special import softmax

from ..cohort.contract import Cohort
from ..core.executor import has_gpu, parallel
from ..core.params import TrainParams
from ..core.storage import write_keras
from ..images.folds import FoldImages
from ..images.splits import Fold

log = logging.getLogger(__name__)

Load = Callable[[Fold], FoldImages]


@dataclass(frozen=True, eq=False)
class TrainedFold:
    """What training on a fold gave."""

    history: pd.DataFrame
    """See `ensemble.fit_ensemble`."""
    chosen: dict[str, Any]
    """See there, too."""
    probabilities: dict[str, np.ndarray]
    """`(held out, classes)`, mean over the members, of the model `cnn`, and of its linear path
    alone, `linear_path`, where convolutions could add to it."""


def train_folds(
    cohort: Cohort,
    folds: Sequence[Fold],
    load: Load,
    params: TrainParams,
    folder: Path,
    save: Path | None = None,
) -> list[TrainedFold]:
    """What each fold gave: `members` networks on the final one, `cv_members` on the others.

    Parameters
    ----------
    folder
        For temporary files.
    save
        Where the final fold's ensemble goes.

    Returns
    -------
    In the order of `folds`. They are trained side by side, each on its own threads, so that results
    do not depend on how many run at a time.
    """
    jobs = 1 if has_gpu() else min(len(folds), joblib.cpu_count())  # a GPU serves one at a time
    trained: list[TrainedFold] = []
    train = partial(_train, cohort, load, params, save)
    with parallel(train, jobs, folder, "fold") as run_all:
        for fold, result in zip(folds, run_all([(fold,) for fold in folds]), strict=True):
            trained.append(result)
            for line in describe(result.history):
                log.info("  %s, %s", fold.name, line)
    return trained


def _train(
    cohort: Cohort, load: Load, params: TrainParams, save: Path | None, fold: Fold
) -> TrainedFold:
    """One fold, everything fitted on its training samples; runs in a process of its own."""
    from .architectures import linear_path, predict_logits
    from .ensemble import fit_ensemble
    from .training import set_up

    set_up(params)
    images, held_out, genome = load(fold)
    n_members = params.members if fold.repeat < 0 else params.cv_members
    ensemble, history, chosen = fit_ensemble(
        images,
        cohort.y[fold.train],
        cohort.patients[fold.train],
        params,
        seeds=range(params.seed, params.seed + n_members),
        n_classes=len(cohort.classes),
        genome=genome,
    )
    if save and fold.repeat < 0:
        write_keras(save, ensemble)
    models = {"cnn": ensemble, "linear_path": linear_path(ensemble) if genome else None}
    probabilities = {
        name: softmax(predict_logits(model, held_out), axis=-1).mean(axis=1)
        for name, model in models.items()
        if model is not None
    }
    return TrainedFold(history, chosen, probabilities)


def describe(history: pd.DataFrame) -> list[str]:
    """One line per member of an ensemble's history: where it was best, and how good."""
    lines = []
    for member, epochs in history.groupby("member"):
        best = epochs[epochs["best"]].iloc[0]
        lines.append(
            f"member {member + 1}: epoch {best['epoch']:.0f} of {len(epochs) - 1} is best, "
            f"validation loss {best['val_loss']:.4f}, AUC {best['val_auc']:.3f}"
        )
    return lines
