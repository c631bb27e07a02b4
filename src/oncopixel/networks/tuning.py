"""Held-out losses of networks that differ in their parameters, on the same folds.

What no parameter of the network changes, a fold's images and its linear path, is fitted once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from ..cohort.contract import Cohort
from ..core.errors import DivergenceError
from ..core.executor import Run, has_gpu
from ..core.params import TrainParams
from ..images.folds import FoldImages
from ..images.splits import Fold
from .linear_path import LinearPath, fit_path
from .saved import predict_logits

Load = Callable[[Fold], tuple[Cohort, FoldImages]]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A fold's images, classes and patients; the linear path of `hybrid`."""

    images: FoldImages
    y: np.ndarray
    patients: np.ndarray
    held_out_y: np.ndarray
    n_classes: int
    path: LinearPath | None


@dataclass(frozen=True)
class FoldLosses:
    """The held-out log loss of networks in each of some folds; prepared folds lie in `folder`."""

    folds: Sequence[Fold]
    load: Load
    params: TrainParams
    run_all: Run
    """Of `call`."""
    folder: Path
    keep: bool = False
    """See `ensemble.fit_ensemble`."""

    def __call__(self, params: TrainParams) -> Iterator[float]:
        """Mean log loss of each fold's held-out samples; infinite where training diverges."""
        # as many folds at a time as there are processors: the caller may not want the rest
        jobs = 1 if has_gpu() else joblib.cpu_count()
        for i in range(0, len(self._files), jobs):
            files = self._files[i : i + jobs]
            yield from self.run_all([(_held_out_loss, file, params, self.keep) for file in files])

    @cached_property
    def _files(self) -> list[Path]:
        self.folder.mkdir()
        files = [self.folder / f"{fold.name}.joblib" for fold in self.folds]
        tasks = [
            (_prepare, fold, self.load, self.params, file)
            for fold, file in zip(self.folds, files, strict=True)
        ]
        list(self.run_all(tasks))
        return files


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns: a task that may be any."""
    return function(*arguments)


def _prepare(fold: Fold, load: Load, params: TrainParams, file: Path) -> None:
    cohort, images = load(fold)
    y, patients, n_classes = cohort.y[fold.train], cohort.patients[fold.train], len(cohort.classes)
    is_hybrid = params.model == "hybrid"
    path = fit_path(images.train, y, patients, params, n_classes) if is_hybrid else None
    joblib.dump(_Prepared(images, y, patients, cohort.y[fold.held_out], n_classes, path), file)


def _held_out_loss(file: Path, params: TrainParams, keep: bool) -> float:
    from .calibration import log_losses
    from .ensemble import fit_ensemble
    from .training import set_up

    set_up(params)
    fold: _Prepared = joblib.load(file, mmap_mode="r")
    try:
        ensemble, _, _ = fit_ensemble(
            fold.images.train,
            fold.y,
            fold.patients,
            params,
            seeds=[params.seed],
            n_classes=fold.n_classes,
            genome=fold.images.genome,
            path=fold.path,
            keep=keep,
        )
    except DivergenceError:
        return np.inf
    logits = predict_logits(ensemble, fold.images.held_out)[:, 0]
    return float(log_losses(logits, fold.held_out_y).mean())
