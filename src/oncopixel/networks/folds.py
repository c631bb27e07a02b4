"""The ensembles of several folds, trained side by side, and what they say of who was held out.

TensorFlow takes seconds to import, so only processes that train or save do.
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
from threadpoolctl import threadpool_limits

from ..cohort.contract import Cohort
from ..core.executor import has_gpu, parallel
from ..core.params import TrainParams
from ..core.storage import write_keras
from ..images.folds import FoldImages
from ..images.splits import Fold
from .linear_path import fit_path, linear_alone
from .saved import predict_logits

log = logging.getLogger(__name__)

HISTORY = ["member", "epoch", "loss", "val_loss", "val_auc", "best"]
"""Columns of a history."""

Load = Callable[[Fold], FoldImages]


@dataclass(frozen=True, eq=False)
class TrainedFold:
    """What training on a fold gave."""

    history: pd.DataFrame
    """See `ensemble.fit_ensemble`."""
    chosen: dict[str, Any]
    """See there, too."""
    probabilities: dict[str, np.ndarray]
    """`(held out, classes)`, mean over the members, of the model `cnn`, and of `linear_path`, what
    it would be without convolutions, where these could add to it."""


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
    trained: dict[str, TrainedFold] = {}
    longest_first = sorted(folds, key=lambda fold: fold.repeat >= 0)
    train = partial(_train, cohort, load, params, save)
    with parallel(train, jobs, folder, "fold") as run_all:
        results = run_all([(fold,) for fold in longest_first])
        for fold, result in zip(longest_first, results, strict=True):
            trained[fold.name] = result
            for line in describe(result.history):
                log.info("  %s, %s", fold.name, line)
    return [trained[fold.name] for fold in folds]


def _train(
    cohort: Cohort, load: Load, params: TrainParams, save: Path | None, fold: Fold
) -> TrainedFold:
    """One fold, everything fitted on its training samples; runs in a process of its own."""
    images, held_out, genome = load(fold)
    y, patients = cohort.y[fold.train], cohort.patients[fold.train]
    n_classes, save = len(cohort.classes), save if fold.repeat < 0 else None
    path, alone = None, {}
    if params.model == "hybrid":
        with threadpool_limits(limits=1):  # same bytes on any cores
            path = fit_path(images, y, patients, params, n_classes)
            kernel, bias, chosen = linear_alone(path, y)
            p = softmax(held_out.reshape(len(held_out), -1) @ kernel + bias, axis=-1)
        if not genome:
            if save:
                _save_linear(save, images.shape[1:], kernel, bias, params)
            return TrainedFold(pd.DataFrame(columns=HISTORY), chosen, {"cnn": p})
        alone["linear_path"] = p
    from .ensemble import fit_ensemble
    from .training import set_up

    set_up(params)
    n_members = params.members if fold.repeat < 0 else params.cv_members
    seeds = range(params.seed, params.seed + n_members)
    ensemble, history, chosen = fit_ensemble(
        images, y, patients, params, seeds=seeds, n_classes=n_classes, genome=genome, path=path
    )
    if save:
        write_keras(save, ensemble)
    p = softmax(predict_logits(ensemble, held_out), axis=-1).mean(axis=1)
    return TrainedFold(history, chosen, {"cnn": p} | alone)


def _save_linear(
    save: Path,
    shape: tuple[int, int, int],
    kernel: np.ndarray,
    bias: np.ndarray,
    params: TrainParams,
) -> None:
    """A network that is its linear path; TensorFlow is needed for the file only."""
    from .architectures import add_up
    from .training import set_up

    set_up(params)
    write_keras(save, add_up(shape, kernel, bias, []))


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
