"""Fitting an ensemble of networks on the samples of one training fold.

`hybrid` is fitted in two steps: its exact paths on all training samples, once for all members; then
each member's convolutions on what these paths leave unexplained, beside the logits that they give
each sample when that sample was held out, so they never correct an over-fitted neighbour.
Everything else, and `hybrid` with `warm_start: false`, is trained from scratch.
"""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

from ..core.params import TrainParams
from ..images.splits import inner_split
from .architectures import build, combine, predict_logits, rescale_logits
from .calibration import calibrate, class_weights
from .features import find_features
from .linear_path import Choice, ExactPaths, fit_exact, is_solved
from .training import Samples, train


def fit_ensemble(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    *,
    seeds: Sequence[int],
    n_classes: int,
) -> tuple[keras.Model, pd.DataFrame, Choice | None]:
    """The trained ensemble (see `combine`), one member per seed, its history and its choice.

    Parameters
    ----------
    images, y, patients
        `(samples, height, width, channels)` float32, possibly a read-only memory map; `(samples,)`
        class indices; `(samples,)`. Training samples only: each member takes its own
        patient-grouped validation part from them for early stopping.

    Returns
    -------
    ensemble, history, choice
        History: a row per `member` and epoch, otherwise as of `training.train`. Choice: features
        and penalties of the exact paths; None without these.
    """
    weights = class_weights(y, n_classes, balanced=params.class_weights)
    exact = None
    if is_solved(params):
        features = find_features(images, params.seed)
        exact = fit_exact(features, y, patients, weights, params.seed)
    fitted = [
        _fit_member(images, y, patients, weights, _with_seed(params, seed), exact) for seed in seeds
    ]
    history = pd.concat([rows.assign(member=i) for i, (_, rows) in enumerate(fitted)])
    columns = ["member", "epoch", "loss", "val_loss", "val_auc", "best"]
    ensemble = combine([network for network, _ in fitted])
    return ensemble, history[columns].reset_index(drop=True), exact.choice if exact else None


def refit(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    n_classes: int,
    epochs: Sequence[int],
) -> keras.Model:
    """The ensemble without exact paths; member i is trained for `epochs[i]`, not stopped early."""
    weights = class_weights(y, n_classes, balanced=params.class_weights)
    networks = [
        _fit_member(images, y, patients, weights, _with_seed(params, seed), None, n_epochs)[0]
        for seed, n_epochs in enumerate(epochs, start=params.seed)
    ]
    return combine(networks)


def _with_seed(params: TrainParams, seed: int) -> TrainParams:
    return params.model_copy(update={"seed": seed})


def _fit_member(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    weights: np.ndarray,
    params: TrainParams,
    exact: ExactPaths | None,
    epochs: int | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """One trained network from `params.seed`, beside exact paths if there are any, and its history.

    Without these it is calibrated on its validation samples; they are calibrated themselves.
    """
    n_classes = len(weights)
    network = build(
        params.model, images.shape[1:], n_classes, params, exact.products if exact else None
    )
    targets = np.eye(n_classes, dtype=np.float32)[y] * weights
    # what is fitted to weighted samples has the odds of classes times the ratio of their weights
    offset = exact.held_out + np.log(weights) if exact else np.zeros_like(targets)
    fit, validation = inner_split(y, patients, params.validation_fraction, params.seed)
    samples = Samples(images, targets, offset)
    unseen = samples.take(validation)
    history = train(
        network,
        samples.take(fit),
        unseen if epochs is None else None,
        params,
        only_convolutions=exact is not None,
        epochs=epochs,
    )
    for name, layer_weights in (exact.weights if exact else {}).items():
        network.get_layer(name).set_weights(layer_weights)
    if exact is None:
        logits = predict_logits(network, unseen.images)
        rescale_logits(network, *calibrate(logits, y[validation], y))
    return network, history
