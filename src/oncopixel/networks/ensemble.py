"""Fitting an ensemble of networks on the samples of one training fold.

`hybrid` is a sum of parts: a linear path over all channels, solved exactly; and, where channels
have neighbours along the genome, convolutions over them, each member with a seed and a validation
part of its own. The parts are joined by weights that are fitted where both are unseen: the linear
path by its inner folds, convolutions by their validation part. Convolutions that do not clearly
help there are left out.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from ..core.params import TrainParams
from ..images.layout import Genome
from ..images.splits import inner_split
from .architectures import add_up, build, combine, rescale_logits
from .calibration import calibrate, class_weights, log_losses
from .folds import HISTORY
from .linear_path import LinearPath, fit_path, linear_alone
from .saved import predict_logits
from .training import Samples, train

CLEAR = 2.0
"""Standard errors by which convolutions must help."""


def fit_ensemble(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    *,
    seeds: Sequence[int],
    n_classes: int,
    genome: Genome | None = None,
    path: LinearPath | None = None,
    keep: bool = False,
) -> tuple[keras.Model, pd.DataFrame, dict[str, Any]]:
    """The trained ensemble, its history, and what was chosen.

    Parameters
    ----------
    images, y, patients
        `(samples, height, width, channels)` float32, possibly a read-only memory map; `(samples,)`
        class indices; `(samples,)`. Training samples only: each member takes its own
        patient-grouped validation part from them for early stopping.
    seeds
        One per member.
    genome
        Where the image has neighbours along the genome; None: nowhere.
    path
        What `fit_path` gives of these samples, if it is there already.
    keep
        Whether convolutions that do not clearly help are kept all the same.

    Returns
    -------
    ensemble, history, chosen
        Ensemble: see `architectures.combine`. History: a row per `member` and epoch, otherwise as
        of `training.train`. Chosen: `epochs` at which each member was best; `linear`, a `Choice`,
        and `convolutions`, see `_weigh`, which are None where there are none; `members` that are
        left in the ensemble, one where its linear path is all.
    """
    if params.model == "hybrid":
        path = path or fit_path(images, y, patients, params, n_classes)
        if not genome:
            kernel, bias, chosen = linear_alone(path, y)
            ensemble = add_up(images.shape[1:], kernel, bias, [])
            return ensemble, pd.DataFrame(columns=HISTORY), chosen
    members = [
        fit_member(images, y, patients, params, i, seed, n_classes, genome)
        for i, seed in enumerate(seeds)
    ]
    return join(members, y, path, keep=keep)


def join(
    members: Sequence["Member"],
    y: np.ndarray,
    path: LinearPath | None,
    *,
    keep: bool = False,
) -> tuple[keras.Model, pd.DataFrame, dict[str, Any]]:
    """As `fit_ensemble`, of members that were fitted already."""
    networks = [member.network() for member in members]
    history = pd.concat(
        [member.history.assign(member=i) for i, member in enumerate(members)], ignore_index=True
    ).reindex(columns=HISTORY)
    chosen = {
        "epochs": history.loc[history["best"].astype(bool), "epoch"].astype(int).tolist(),
        "linear": None,
        "convolutions": None,
    }
    if path is None:
        for member, network in zip(members, networks, strict=True):
            (slope,), shift = calibrate([member.logits], y[member.unseen], y)
            rescale_logits(network, slope, shift)
        ensemble = combine(networks)
        return ensemble, history, chosen | {"members": len(members)}
    (slope, *others), shift, joined = _weigh(path, members, y, keep=keep)
    for network in networks:
        rescale_logits(network, others[0] if others else np.float32(0), 0 * shift)
    shape, kernel, bias = members[0].shape, slope * path.kernel, slope * path.bias + shift
    ensemble = add_up(shape, kernel, bias, networks if others else [])
    chosen |= {"linear": asdict(path.choice), "convolutions": joined}
    return ensemble, history, chosen | {"members": ensemble.output_shape[1]}


@dataclass(frozen=True, eq=False)
class Member:
    """A trained network by its weights, and its logits of the samples that only stopped it."""

    shape: tuple[int, int, int]
    """Of an image."""
    genome: Genome | None
    params: TrainParams
    """Its own: its seed and shape among them."""
    weights: list[np.ndarray]
    history: pd.DataFrame
    unseen: np.ndarray
    """`(unseen samples,)` positions."""
    logits: np.ndarray
    """`(unseen samples, classes)`."""

    def network(self) -> keras.Model:
        """The network."""
        network = build(self.shape, self.logits.shape[1], self.params, self.genome)
        network.set_weights(self.weights)
        return network


def _weigh(
    path: LinearPath, members: Sequence[Member], y: np.ndarray, *, keep: bool
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Weights of the linear path and of the convolutions, which must gain `CLEAR` standard errors.

    Returns
    -------
    slopes, shift, found
        Slopes of the path and of the convolutions, left out where these do not help. Found: what
        they gave, None without any: `weight`, and the mean `gain` in log loss with its standard
        error `se`, on samples that both have not seen.
    """
    alone = calibrate([path.held_out], y, y)
    unseen = np.concatenate([member.unseen for member in members])
    mine = [path.held_out[unseen], np.concatenate([member.logits for member in members])]
    slopes, shift = calibrate(mine, y[unseen], y)
    (slope,), moved = calibrate(mine[:1], y[unseen], y)
    before = log_losses(slope * mine[0] + moved, y[unseen])
    gain = before - log_losses(np.tensordot(slopes, np.stack(mine), 1) + shift, y[unseen])
    error = float(gain.std() / np.sqrt(len(gain)))
    helps = bool(slopes[1] > 0 and (keep or gain.mean() > CLEAR * error))
    found = {
        "weight": float(slopes[1]) if helps else 0.0,
        "gain": float(gain.mean()),
        "se": error,
    }
    return *((slopes, shift) if helps else alone), found


def refit(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    n_classes: int,
    epochs: Sequence[int],
) -> keras.Model:
    """An ensemble of `paper`; member i is trained for `epochs[i]`, not stopped early."""
    members = [
        fit_member(images, y, patients, params, i, params.seed + i, n_classes, None, n)
        for i, n in enumerate(epochs)
    ]
    return join(members, y, None)[0]


def _of_member(params: TrainParams, i: int, seed: int) -> TrainParams:
    """The parameters of member `i`, its shape among them."""
    shapes = ("chromosomes", "image") if params.convolve == "both" else (params.convolve,)
    return params.model_copy(update={"seed": seed, "convolve": shapes[i % len(shapes)]})


def fit_member(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    i: int,
    seed: int,
    n_classes: int,
    genome: Genome | None,
    epochs: int | None = None,
    curves: Path | None = None,
) -> Member:
    """Member `i` of an ensemble, trained from `seed`; with `epochs` it is not stopped early.

    Parameters
    ----------
    curves
        See `training.train`.

    Returns
    -------
    Its weights, and its logits of the samples that only stopped it.
    """
    genome = genome if params.model == "hybrid" else None
    params = _of_member(params, i, seed)
    network = build(images.shape[1:], n_classes, params, genome)
    weights = class_weights(y, n_classes, balanced=params.class_weights)
    targets = np.eye(n_classes, dtype=np.float32)[y] * weights
    fit, validation = inner_split(y, patients, params.validation_fraction, params.seed)
    samples = Samples(images, targets)
    unseen = samples.take(validation)
    stopping = unseen if epochs is None else None
    history = train(network, samples.take(fit), stopping, params, genome, epochs, curves)
    return Member(
        images.shape[1:],
        genome,
        params,
        network.get_weights(),
        history,
        validation,
        predict_logits(network, unseen.images),
    )
