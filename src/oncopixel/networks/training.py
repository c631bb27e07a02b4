"""Training one network by gradient descent, repeatably."""

import logging
import math
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score

from ..core.errors import DivergenceError, OutputError
from ..core.params import TrainParams
from ..images.layout import Genome
from .architectures import build
from .augmentation import mixup, vary_purity
from .saved import predict_logits

STEPS_PER_CALL = 16
"""Steps of the optimiser in one call of TensorFlow: the small networks take less than the call."""


def set_up(params: TrainParams) -> None:
    """TensorFlow made repeatable; call it before anything else has used TensorFlow.

    Results depend on the number of intra-op threads, so that number is a tracked parameter.

    Raises
    ------
    OutputError
        The clock stands before 1980: no zip, such as .keras, can be written.
    """
    if time.localtime().tm_year < 1980:
        raise OutputError(
            f"this system's clock says {time.localtime().tm_year}, before which no model can be "
            "stored (.keras files are zip files, which begin in 1980). Set the clock."
        )
    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != params.threads:
        threading.set_intra_op_parallelism_threads(params.threads)
    if threading.get_inter_op_parallelism_threads() != 1:
        threading.set_inter_op_parallelism_threads(1)
    # each model has compiled functions of its own, which TensorFlow warns of as retraced
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()


@dataclass(frozen=True, eq=False)
class Samples:
    """Training samples: images and weighted one-hot rows.

    `images` `(samples, height, width, channels)`, possibly a memory map; `targets`
    `(samples, classes)` float32.
    """

    images: np.ndarray
    targets: np.ndarray

    def take(self, rows: np.ndarray) -> "Samples":
        """Some of them."""
        return Samples(np.asarray(self.images[rows], np.float32), self.targets[rows])


def train(
    network: keras.Model,
    fit: Samples,
    validation: Samples | None,
    params: TrainParams,
    genome: Genome | None,
    epochs: int | None = None,
    curves: Path | None = None,
) -> pd.DataFrame:
    """The history of training; `network`, from `build`, is left with its best weights.

    Parameters
    ----------
    validation
        Stops training early; without it the last weights, after `epochs`, are the best.
    curves
        Where DVCLive writes losses and AUC after each epoch: the VS Code extension and DVC Studio
        show them while training runs.

    Returns
    -------
    Columns `epoch` (0: before training), `loss`, `val_loss`, `val_auc` (NaN when validation has one
    class) and `best`.

    Raises
    ------
    ParamsError
        A loss is no longer a finite number.
    """
    trainer = _trainer(network.input_shape[1:], fit.targets.shape[1], _shared(params), genome)
    trainer.start_from(network)
    stop = _EarlyStopping(trainer.model, validation, params.patience) if validation else None
    epochs = params.epochs if epochs is None else epochs
    after = [_dvclive(curves)] if curves else []
    rates = [_cosine(params)] if params.schedule == "cosine" else []
    history = trainer.model.fit(
        _batches(fit, params, genome),
        epochs=epochs,
        callbacks=[*([stop] if stop else []), *after, *rates],
        shuffle=False,
        verbose=0,
    ).history
    losses = history.get("loss", [])
    for epoch, loss in enumerate(losses, start=1):
        _refuse_divergence(epoch, loss)
    network.set_weights(trainer.model.get_weights())
    rows = pd.DataFrame({"epoch": range(len(losses) + 1), "loss": [np.nan, *losses]})
    best = len(losses)
    if stop:
        rows = rows.join(pd.DataFrame(stop.scores))
        best = stop.best_epoch + 1
    return rows.assign(best=rows["epoch"] == best)


class _EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Stops on the validation samples; the weights before training may be the best ones."""

    def __init__(self, network: keras.Model, validation: Samples, patience: int) -> None:
        super().__init__("val_loss", patience=patience, mode="min", restore_best_weights=True)
        self._network, self._validation = network, validation
        self.scores: list[dict[str, float]] = []

    def _score(self) -> dict[str, float]:
        logits = predict_logits(self._network, self._validation.images)
        _refuse_divergence(len(self.scores), logits)
        targets = self._validation.targets
        loss = -(targets * log_softmax(logits, axis=-1)).sum(axis=-1).mean()
        self.scores.append({"val_loss": float(loss), "val_auc": _auc(logits, targets)})
        return self.scores[-1]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self.best = self._score()["val_loss"]
        self.best_epoch, self.best_weights = -1, self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        logs |= self._score()  # callbacks after this one read them
        super().on_epoch_end(epoch, logs)


class _Trainer:
    """A compiled network whose weights, seeds and optimiser can be set anew.

    Compiling takes longer than training, so networks of one kind share it in a process.
    """

    def __init__(self, model: keras.Model, params: TrainParams) -> None:
        self.model = model
        optimizer = _optimizer(params)
        optimizer.build(model.trainable_variables)
        self._start = [np.asarray(variable) for variable in optimizer.variables]
        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        steps = 1 if several else STEPS_PER_CALL  # Keras 3.15 fails with several of both
        model.compile(optimizer, _cross_entropy, jit_compile=False, steps_per_execution=steps)

    def start_from(self, network: keras.Model) -> None:
        """Takes over the state of a network of the same kind, with a fresh optimiser."""
        for own, given in zip(self.model.variables, network.variables, strict=True):
            own.assign(given)
        for own, start in zip(self.model.optimizer.variables, self._start, strict=True):
            own.assign(start)


@lru_cache(maxsize=4)
def _trainer(
    shape: tuple[int, int, int], n_classes: int, shared: str, genome: Genome | None
) -> _Trainer:
    params = TrainParams.model_validate_json(shared)
    with _strategy().scope():
        return _Trainer(build(shape, n_classes, params, genome), params)


def _strategy() -> tf.distribute.Strategy:
    """Of several GPUs each computes a share of every batch, which is drawn otherwise then."""
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    return tf.distribute.MirroredStrategy(gpus) if len(gpus) > 1 else tf.distribute.get_strategy()


def _shared(params: TrainParams) -> str:
    """The parameters as JSON, without what may differ between networks of one kind."""
    return params.model_copy(
        update={"seed": 0, "epochs": 1, "members": 1, "cv_members": 1}
    ).model_dump_json()


def _batches(samples: Samples, params: TrainParams, genome: Genome | None) -> tf.data.Dataset:
    """Batches of (images, targets), in another order in each epoch."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    targets = _smoothed(samples.targets, params.label_smoothing)
    batches = (
        tf.data.Dataset.from_tensor_slices((samples.images, targets))
        .shuffle(len(samples.images), params.seed)
        .batch(params.batch_size)
    )
    batches = vary_purity(batches, genome.channels if genome else (), params.purity, params.seed)
    return mixup(batches, params.mixup, params.seed).with_options(options)


def _smoothed(targets: np.ndarray, share: float) -> np.ndarray:
    """Targets that keep their sums (Szegedy et al. 2016, section 7)."""
    smoothed: np.ndarray = (1 - share) * targets + share * targets.mean(axis=1, keepdims=True)
    return smoothed.astype(np.float32)


def _cosine(params: TrainParams) -> keras.callbacks.Callback:
    """The learning rate of each epoch (Loshchilov & Hutter 2017, without restarts)."""

    def rate(epoch: int) -> float:
        return params.learning_rate * (1 + math.cos(math.pi * epoch / params.epochs)) / 2

    return keras.callbacks.LearningRateScheduler(rate)


def _dvclive(folder: Path) -> keras.callbacks.Callback:
    from dvclive.keras import DVCLiveCallback
    from dvclive.live import Live

    return DVCLiveCallback(live=Live(str(folder), save_dvc_exp=False, dvcyaml=None))


def _optimizer(params: TrainParams) -> keras.optimizers.Optimizer:
    rate, decay = params.learning_rate, params.weight_decay
    optimizer = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "adamw": lambda: keras.optimizers.AdamW(rate, weight_decay=decay),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay),
    }[params.optimizer]()
    return keras.optimizers.LossScaleOptimizer(optimizer) if params.mixed_precision else optimizer


def _cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Of weighted targets, for which Keras's own has another gradient."""
    return -keras.ops.sum(targets * keras.ops.log_softmax(logits), axis=-1)


def _refuse_divergence(epoch: int, values: npt.ArrayLike) -> None:
    if not np.isfinite(values).all():
        raise DivergenceError(
            f"training diverged in epoch {epoch}: a loss or a prediction is no finite number. "
            "Lower `train.learning_rate` or `train.weight_decay`."
        )


def _auc(logits: np.ndarray, targets: np.ndarray) -> float:
    """Area under the ROC curve, mean over classes against the rest; NaN without two classes."""
    areas = [
        roc_auc_score(targets[:, k] > 0, softmax(logits, axis=-1)[:, k])
        for k in range(targets.shape[1])
        if 0 < np.count_nonzero(targets[:, k]) < len(targets)
    ]
    return float(np.mean(areas)) if areas else np.nan
