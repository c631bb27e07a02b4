"""Every method fitted anew on subsamples of the patients, and how it scores the genes there.

What is fitted anew is all that sees labels: weights of the network and of the baselines. What knows
none (genes, scaling, factors, modules) and what tuning chose (penalties, features, epochs) are
those of all development patients. Of a `hybrid` the exact paths are fitted, not its convolutions,
and attributed in closed form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from ..baselines.tuning import refit as refit_baseline
from ..core.executor import parallel
from ..core.params import Params
from ..images.preprocessor import Preprocessor, to_features
from ..networks.calibration import class_weights
from ..networks.linear_path import Hyperparameters, fit_exact, tune
from .attribution import explain, explain_exact
from .effects import t_test

PROCESSES = 2
"""At most; each holds the images."""
EXACT, WHOLE = "exact paths", "whole network"
"""What of the network is refitted."""


@dataclass(frozen=True, eq=False)
class Methods:
    """The methods that are compared, and the development samples that they are fitted on."""

    images: np.ndarray
    y: np.ndarray
    patients: np.ndarray
    pre: Preprocessor
    params: Params
    tuned: Hyperparameters
    """What the network takes over from all samples."""
    baselines: Mapping[str, Mapping[str, Any]]
    """What tuning chose, by baseline."""

    @property
    def network_part(self) -> str:
        """`EXACT` or `WHOLE`: what of the network is refitted."""
        return EXACT if self.tuned.choice else WHOLE


def tuned_methods(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    pre: Preprocessor,
    params: Params,
    epochs: list[int],
    baselines: Mapping[str, Mapping[str, Any]],
) -> Methods:
    """The methods with what tuning chose; `epochs`: how long each member was trained."""
    tuned = tune(images, y, patients, params.train, len(pre.classes), epochs)
    return Methods(images, y, patients, pre, params, tuned, baselines)


def scores_of_resamples(
    methods: Methods, draws: np.ndarray, folder: Path
) -> list[dict[str, np.ndarray]]:
    """Of each of `draws`, `(draws, samples)` bool, every method's `(genes, channels)` scores.

    Draws run side by side, in processes whose temporary files lie in `folder`.
    """
    jobs = min(PROCESSES, joblib.cpu_count())
    if methods.network_part == WHOLE:
        from ..networks.training import has_gpu

        jobs = 1 if has_gpu() else jobs  # a GPU serves one at a time
    with parallel(jobs, folder) as run_all:
        scored: list[dict[str, np.ndarray]] = run_all(
            joblib.delayed(_scores)(methods, draw) for draw in draws
        )
    return scored


def _scores(methods: Methods, draw: np.ndarray) -> dict[str, np.ndarray]:
    """Each method's `(genes, channels)` scores on a draw; runs in a process of its own."""
    pre, y = methods.pre, methods.y[draw]
    features = to_features(pre, methods.images[draw])
    flat, shape = features.reshape(len(features), -1), features.shape[1:]
    seed = methods.params.baselines.seed
    return {
        "cnn": to_features(pre, _network_score(methods, draw)[None])[0],
        "t_test": t_test(features, y, len(pre.classes)),
    } | {
        name: np.abs(refit_baseline(name, flat, y, chosen, seed, shape[-1])).reshape(shape)
        for name, chosen in methods.baselines.items()
    }


def _network_score(methods: Methods, draw: np.ndarray) -> np.ndarray:
    """`(height, width, channels)` score of the network, or of its exact paths, on a draw."""
    images, y, patients, params = methods.images, methods.y, methods.patients, methods.params
    n_classes, tuned, settings = len(methods.pre.classes), methods.tuned, params.biomarkers
    if tuned.features and tuned.choice:
        weights = class_weights(y[draw], n_classes, balanced=params.train.class_weights)
        paths = fit_exact(
            tuned.features.take(draw), y[draw], patients[draw], weights, params.train.seed,
            tuned.choice,
        )  # fmt: skip
        if paths:
            return explain_exact(paths, images[draw], y[draw], n_classes).score
    from ..networks.ensemble import refit
    from ..networks.training import set_up

    set_up(params.train)
    model = refit(images, y, patients, draw, params.train, n_classes, tuned)
    return explain(
        model, images[draw], y[draw], n_classes,
        steps=settings.steps,
        tolerance=settings.tolerance,
    ).score  # fmt: skip
