"""Every method fitted anew on subsamples of the patients, and how it scores the genes there.

What is fitted anew is all that sees labels: weights of the network and of the baselines. What knows
none (genes, scaling, factors, modules) and what tuning chose (penalties, features, epochs) are
those of all development patients. Of a `hybrid` the linear path is fitted, not its convolutions,
and attributed in closed form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from ..baselines.panel import choose_features
from ..baselines.tuning import refit as refit_baseline
from ..core.executor import has_gpu, parallel
from ..core.params import Params
from ..images.preprocessor import Preprocessor, to_features
from ..networks.calibration import class_weights
from ..networks.linear_path import Choice, Features, find_features, solve
from ..networks.saved import Linear
from .attribution import explain
from .effects import t_test

PROCESSES = 2
"""At most; each holds the images."""
LINEAR, WHOLE = "linear path", "whole network"
"""What of the network is refitted."""


@dataclass(frozen=True, eq=False)
class Methods:
    """The methods that are compared, and the development samples that they are fitted on."""

    images: np.ndarray
    y: np.ndarray
    patients: np.ndarray
    pre: Preprocessor
    params: Params
    network: Mapping[str, Any]
    """What training chose, see `networks.ensemble.fit_ensemble`."""
    baselines: Mapping[str, Mapping[str, Any]]
    """What tuning chose, by baseline."""
    panel_size: int

    @cached_property
    def choice(self) -> Choice | None:
        """Features and penalties of the linear path, if there is one."""
        chosen = self.network["linear"]
        return Choice(**chosen) if chosen else None

    @property
    def network_part(self) -> str:
        """`LINEAR` or `WHOLE`: what of the network is refitted."""
        return LINEAR if self.choice else WHOLE


def scores_of_resamples(
    methods: Methods, draws: np.ndarray, folder: Path
) -> list[dict[str, np.ndarray]]:
    """By method `(genes, channels)` scores, on each of `draws`, `(draws, samples)` bool."""
    jobs, choice, features = min(PROCESSES, joblib.cpu_count()), methods.choice, None
    if choice:
        seed = methods.params.train.seed
        features = find_features(methods.images, seed, adjusted=choice.adjusted)
    elif has_gpu():
        jobs = 1  # it serves one at a time
    with parallel(partial(_scores, methods, features), jobs, folder, "resample") as run_all:
        return list(run_all([(draw,) for draw in draws]))


def _scores(methods: Methods, features: Features | None, draw: np.ndarray) -> dict[str, np.ndarray]:
    """Each method's `(genes, channels)` scores on a draw; runs in a process of its own."""
    pre, y = methods.pre, methods.y[draw]
    values = to_features(pre, methods.images[draw])
    flat, shape = values.reshape(len(values), -1), values.shape[1:]
    seed = methods.params.baselines.seed
    panel = np.zeros(flat.shape[1])
    taken = choose_features(flat, y, methods.panel_size)
    panel[taken] = np.arange(len(taken), 0, -1)
    return {
        "cnn": to_features(pre, _network_score(methods, features, draw)[None])[0],
        "panel": panel.reshape(shape),
        "t_test": t_test(values, y, len(pre.classes)),
    } | {
        name: np.abs(refit_baseline(name, flat, y, chosen, seed, shape[-1])).reshape(shape)
        for name, chosen in methods.baselines.items()
    }


def _network_score(methods: Methods, features: Features | None, draw: np.ndarray) -> np.ndarray:
    """`(height, width, channels)` score of the network, or of its linear path, on a draw."""
    images, y, train = methods.images[draw], methods.y[draw], methods.params.train
    n_classes, settings = len(methods.pre.classes), methods.params.biomarkers
    if features and methods.choice:  # not calibrated, which would change no order of genes
        weights = class_weights(y, n_classes, balanced=train.class_weights)
        kernel, bias = solve(features.take(draw), y, weights, methods.choice)
        path = Linear(kernel, bias, images.shape[1:])
        return explain(path, images, y, n_classes).score
    from ..networks.ensemble import refit
    from ..networks.training import set_up

    set_up(train)
    model = refit(images, y, methods.patients[draw], train, n_classes, methods.network["epochs"])
    return explain(
        model, images, y, n_classes, steps=settings.steps, tolerance=settings.tolerance
    ).score
