"""The ensembles of several folds, trained side by side, and what they say of who was held out.

TensorFlow takes seconds to import, so only processes that train or save do.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from .linear_path import LinearPath, fit_path, linear_alone
from .saved import mean_probabilities, predict_logits

if TYPE_CHECKING:
    from .ensemble import Member

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
    """`(held out, classes)` of the model `cnn`, and of `linear_path`, what it would be without
    convolutions, where these could add to it."""


@dataclass(frozen=True)
class Files:
    """What the final fold writes: its ensemble, and in a folder the curves of its first member."""

    ensemble: Path
    curves: Path


def train_folds(
    cohort: Cohort,
    folds: Sequence[Fold],
    load: Load,
    params: TrainParams,
    folder: Path,
    files: Files | None = None,
) -> list[TrainedFold]:
    """What each fold gave: `members` networks on the final one, `cv_members` on the others.

    Parameters
    ----------
    folder
        For temporary files.
    files
        What is written of the final fold.

    Returns
    -------
    In the order of `folds`. They are trained side by side, each on its own threads, so that results
    do not depend on how many run at a time.
    """
    longest_first = sorted(folds, key=lambda fold: fold.repeat >= 0)
    tasks = [(fold, i) for fold in longest_first for i in range(_members(params, fold))]
    jobs = 1 if has_gpu() else min(len(tasks), joblib.cpu_count())  # a GPU serves one at a time
    parts: dict[str, list[Any]] = {fold.name: [] for fold in folds}
    trained: dict[str, TrainedFold] = {}
    with parallel(partial(_fit, cohort, load, params, files), jobs, folder, "network") as run_all:
        for (fold, i), part in zip(tasks, run_all(tasks), strict=True):
            parts[fold.name].append(part)
            if i + 1 < _members(params, fold):
                continue
            trained[fold.name] = _whole(cohort, load, params, files, fold, parts.pop(fold.name))
            for line in describe(trained[fold.name].history):
                log.info("  %s, %s", fold.name, line)
    return [trained[fold.name] for fold in folds]


def _members(params: TrainParams, fold: Fold) -> int:
    return params.members if fold.repeat < 0 else params.cv_members


@dataclass(frozen=True, eq=False)
class _Part:
    """A member of a fold's ensemble, and with the first one its linear path, if it has one."""

    path: LinearPath | None
    member: "Member"


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def _fit(
    cohort: Cohort, load: Load, params: TrainParams, files: Files | None, fold: Fold, i: int
) -> TrainedFold | _Part | None:
    """Member `i` of a fold, fitted on its training samples; runs in a process of its own.

    Returns
    -------
    The whole fold where this is all of it; None where the linear path is, and this is another part.
    """
    images, held_out, genome = load(fold)
    y, patients = cohort.y[fold.train], cohort.patients[fold.train]
    n_classes, path = len(cohort.classes), None
    files = files if fold.repeat < 0 else None
    if params.model == "hybrid" and not genome and i > 0:
        return None
    if params.model == "hybrid" and i == 0:
        path = fit_path(images, y, patients, params, n_classes)
        if not genome:
            kernel, bias, chosen = linear_alone(path, y)
            if files:
                _save_linear(files.ensemble, images.shape[1:], kernel, bias, params)
            p = _linear_probabilities(kernel, bias, held_out)
            return TrainedFold(pd.DataFrame(columns=HISTORY), chosen, {"cnn": p})
    from .ensemble import fit_member
    from .training import set_up

    set_up(params)
    curves = files.curves if files and i == 0 else None
    seed = params.seed + i
    member = fit_member(images, y, patients, params, i, seed, n_classes, genome, curves=curves)
    part = _Part(path, member)
    if _members(params, fold) > 1:
        return part
    return _join(y, held_out, files, [part])


def _whole(
    cohort: Cohort,
    load: Load,
    params: TrainParams,
    files: Files | None,
    fold: Fold,
    parts: list[Any],
) -> TrainedFold:
    """The fold of what `_fit` gave of it."""
    if isinstance(parts[0], TrainedFold):
        return parts[0]
    from .training import set_up

    set_up(params)
    y, held_out = cohort.y[fold.train], load(fold).held_out
    with threadpool_limits(limits=1):
        return _join(y, held_out, files if fold.repeat < 0 else None, parts)


def _join(
    y: np.ndarray, held_out: np.ndarray, files: Files | None, parts: list[_Part]
) -> TrainedFold:
    """The ensemble of its parts, and what it says of the held-out images."""
    from .ensemble import join

    path = parts[0].path
    ensemble, history, chosen = join([part.member for part in parts], y, path)
    if files:
        write_keras(files.ensemble, ensemble)
    p = {"cnn": mean_probabilities(predict_logits(ensemble, held_out))}
    if path:
        kernel, bias, _ = linear_alone(path, y)
        p["linear_path"] = _linear_probabilities(kernel, bias, held_out)
    return TrainedFold(history, chosen, p)


def _linear_probabilities(kernel: np.ndarray, bias: np.ndarray, images: np.ndarray) -> np.ndarray:
    p: np.ndarray = softmax(images.reshape(len(images), -1) @ kernel + bias, axis=-1)
    return p


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
