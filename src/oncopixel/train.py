"""Fitting an ensemble of CNNs on the samples of one training fold.

`hybrid` is fitted in two steps. Its linear path is convex, so it is solved exactly, on all
training samples, with its penalties chosen by cross-validation among them. Its CNN is then
trained on what the linear path leaves unexplained: beside the logits that the linear path gives
each sample when that sample was held out, so the CNN never corrects an over-fitted neighbour.
Everything else, and `hybrid` with `warm_start: false`, is trained from scratch.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from .artifacts import read_keras, read_parquet, write_keras, write_parquet
from .augment import mixup
from .models import DEEP, WIDE, build, combine, members
from .params import TrainParams
from .splits import inner_split

INNER_FOLDS = 5
SHARPNESS = (0, 1, 2, 4)
"""Powers of a gene's univariate relevance that scale its weight: 0 is plain ridge."""
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse penalties, as C in scikit-learn, for features scaled to a mean squared norm of one."""
PREDICT_BATCH = 256


def set_up(params: TrainParams) -> None:
    """TensorFlow made repeatable; call it before anything else has used TensorFlow.

    Results depend on the number of intra-op threads, so that number is a tracked parameter.
    """
    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != params.threads:
        threading.set_intra_op_parallelism_threads(params.threads)
    if threading.get_inter_op_parallelism_threads() != 1:
        threading.set_inter_op_parallelism_threads(1)
    # each model has compiled functions of its own, which TensorFlow warns of as retraced
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def fit_ensemble(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    *,
    seeds: Sequence[int],
    n_classes: int,
    folder: Path | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """The trained ensemble (see `models.combine`), one member per seed, and its history.

    `images` `(samples, height, width, channels)` float32, possibly a read-only memory map; `y`
    `(samples,)` class indices; `patients` `(samples,)`. These are training samples only: each
    member takes its own patient-grouped validation part from them for early stopping.
    With a `folder`, each finished member is kept there, and a later call with the same data,
    parameters and seed takes it from there; a killed run so resumes, to the same bytes.
    History: one row per member and epoch, epoch 0 before training, with `loss` (training, with
    penalties), `val_loss`, `val_auc` (NaN when validation has one class) and `best`.
    """
    digest = _digest(images, y, patients, params, n_classes) if folder else ""
    models, histories = [], []
    for i, seed in enumerate(seeds):
        kept = folder / f"member-{seed}-{digest}.keras" if folder else None
        if kept and kept.is_file():
            model, history = read_keras(kept), read_parquet(kept.with_suffix(".parquet"))[0]
        else:
            own = params.model_copy(update={"seed": seed})
            model, history = _fit_member(images, y, patients, own, n_classes)
            if kept:
                write_parquet(kept.with_suffix(".parquet"), history)
                write_keras(kept, model)
        models.append(model)
        histories.append(history.assign(member=i))
    history = pd.concat(histories, ignore_index=True)
    return combine(models), history[["member", "epoch", "loss", "val_loss", "val_auc", "best"]]


def linear_path(ensemble: keras.Model) -> keras.Model | None:
    """The ensemble without its convolutions: the linear paths of `hybrid`; None for other networks.

    What it scores is what `hybrid` owes to it; the difference is what the CNN adds.
    """
    parts = members(ensemble)
    if WIDE not in {layer.name for layer in parts[0].layers}:
        return None
    return combine([keras.Model(part.input, part.get_layer(WIDE).output) for part in parts])


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


def predict_logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Logits `(samples, members, classes)` float32 of an ensemble that `fit_ensemble` returned.

    Any other model gives its own output, one row per sample.
    """
    parts = [
        np.asarray(model(np.asarray(images[i : i + PREDICT_BATCH], np.float32), training=False))
        for i in range(0, len(images), PREDICT_BATCH)
    ]
    return np.concatenate([np.zeros((0, *model.output_shape[1:]), np.float32), *parts])


def class_targets(y: np.ndarray, n_classes: int, *, weighted: bool) -> np.ndarray:
    """One-hot rows `(samples, classes)` float32; `weighted`: each class present has an equal sum.

    The weights have mean one over the samples, so they do not change the scale of a loss.
    """
    targets: np.ndarray = np.eye(n_classes, dtype=np.float32)[y]
    if weighted:
        counts = targets.sum(axis=0)
        weights = len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        targets = targets * weights.astype(np.float32)
    return targets


# --- the linear path ---------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearPath:
    """An exact multinomial fit: `kernel` `(features, classes)`, `bias` `(classes,)`.

    `held_out` `(samples, classes)`: logits of each training sample from the inner fit that did not
    see its patient. `sharpness`, `strength`: what cross-validation chose.
    """

    kernel: np.ndarray
    bias: np.ndarray
    held_out: np.ndarray
    sharpness: float
    strength: float


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def fit_linear_path(
    features: np.ndarray, targets: np.ndarray, y: np.ndarray, patients: np.ndarray, seed: int
) -> LinearPath | None:
    """The linear path that predicts held-out patients best, or None when too few can be held out.

    `features` `(samples, features)`, `targets` as of `class_targets`. An adaptive ridge (Zou 2006,
    with a ridge in place of the lasso): feature j is scaled by the power `sharpness` of its
    univariate relevance, the root of its one-way F statistic in the samples that are fitted, and
    the scaled features enter an L2 multinomial logistic regression of inverse penalty `strength`.
    Both are chosen by log loss over patient-grouped folds. Solved in the samples' dimension
    (Hastie & Tibshirani 2004), so its cost hardly depends on the number of features.
    """
    per_class = [len(np.unique(patients[y == k])) for k in np.unique(y)]
    n_folds = min(INNER_FOLDS, *per_class)
    if len(per_class) < 2 or n_folds < 2:
        return None
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    held_out = np.zeros((len(SHARPNESS), len(STRENGTHS), *targets.shape))
    for fit, rest in folds.split(features, y, patients):
        relevance = _relevance(features[fit], y[fit])
        for s, sharpness in enumerate(SHARPNESS):
            gate = relevance**sharpness
            scaled = features[fit] * gate
            gram = (features[rest] * gate) @ scaled.T
            for c, (dual, bias) in enumerate(_ridge_path(scaled, targets[fit])):
                held_out[s, c, rest] = gram @ dual + bias
    losses = -(targets * log_softmax(held_out, axis=-1)).sum(axis=(-2, -1))
    s, c = divmod(int(np.argmin(losses)), len(STRENGTHS))
    gate = _relevance(features, y) ** SHARPNESS[s]
    dual, bias = list(_ridge_path(features * gate, targets))[c]
    kernel = gate[:, None] ** 2 * (features.T @ dual)
    return LinearPath(kernel, bias, held_out[s, c].astype(np.float32), SHARPNESS[s], STRENGTHS[c])


def _ridge_path(x: np.ndarray, targets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each strength `(samples, classes)` dual weights and `(classes,)` bias, float32.

    The logits of other samples `z` are `z @ x.T @ dual + bias`.
    """
    gram = (x @ x.T).astype(np.float64)
    scale = max(float(np.trace(gram)) / len(x), 1e-30)
    values, vectors = np.linalg.eigh(gram / scale)
    kept = values > 1e-8
    root, vectors = np.sqrt(values[kept]), vectors[:, kept]
    weights = np.zeros((len(root) + 1, targets.shape[1]))
    for strength in STRENGTHS:
        weights = _logistic(vectors * root, targets, strength, weights)
        dual = vectors / root @ weights[:-1] / scale
        yield dual.astype(np.float32), weights[-1].astype(np.float32)


def _relevance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`(features,)` float32: root of the one-way F statistic, of root mean square one."""
    groups = [x[y == k] for k in np.unique(y)]
    centre = x.mean(axis=0)
    between = sum(len(g) * (g.mean(axis=0) - centre) ** 2 for g in groups) / (len(groups) - 1)
    within = sum(len(g) * g.var(axis=0) for g in groups) / max(len(x) - len(groups), 1)
    f = between / (within + 1e-3 * max(float(within.mean()), 1e-30))
    return np.asarray(np.sqrt(f / max(float(f.mean()), 1e-30)), dtype=np.float32)


def _logistic(x: np.ndarray, targets: np.ndarray, strength: float, start: np.ndarray) -> np.ndarray:
    """Weights `(columns + 1, classes)`, bias last, of an L2 multinomial logistic regression."""
    design = np.column_stack([x, np.ones(len(x))])
    total = targets.sum(axis=1, keepdims=True)
    penalty = np.append(np.ones(x.shape[1]), 1e-3)[:, None]  # the bias is all but free

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:  # scipy's softmax is far slower here
        weights = flat.reshape(start.shape)
        logits = design @ weights
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        norm = odds.sum(axis=1, keepdims=True)
        value = -np.sum(targets * (logits - np.log(norm)))
        slope = design.T @ (total * odds / norm - targets)
        value = strength * value + 0.5 * np.sum(penalty * weights**2)
        return float(value), (strength * slope + penalty * weights).ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x).reshape(start.shape)


# --- one member --------------------------------------------------------------------------------


def _fit_member(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    n_classes: int,
) -> tuple[keras.Model, pd.DataFrame]:
    """One trained model from `params.seed`, and its history."""
    model = build(params.model, images.shape[1:], n_classes, params)
    targets = class_targets(y, n_classes, weighted=params.class_weights)
    linear = None
    if params.model == "hybrid" and params.warm_start:
        flat = np.asarray(images, np.float32).reshape(len(images), -1)
        linear = fit_linear_path(flat, targets, y, patients, params.seed)
    if linear is None:
        trained, offset = model, np.zeros_like(targets)
    else:
        trained = keras.Model(model.input, model.get_layer(DEEP).output)
        offset = linear.held_out
    fit, validation = inner_split(y, patients, params.validation_fraction, params.seed)
    history = _train(trained, images, targets, offset, fit, validation, params)
    if linear is not None:
        model.get_layer(WIDE).set_weights([linear.kernel, linear.bias])
    return model, history


def _train(
    model: keras.Model,
    images: np.ndarray,
    targets: np.ndarray,
    offset: np.ndarray,
    fit: np.ndarray,
    validation: np.ndarray,
    params: TrainParams,
) -> pd.DataFrame:
    """`model` is left with the weights of its best epoch by validation loss; returns the history.

    The loss is the cross-entropy of the model's logits plus `offset`, plus the penalties.
    """
    rng = np.random.default_rng(params.seed)
    step = _train_step(model, _optimizer(params))
    validation_images = np.asarray(images[validation], np.float32)
    rows: list[dict[str, float]] = []
    best: list[np.ndarray] = []
    best_epoch = 0
    for epoch in range(params.epochs + 1):
        losses = []
        order = rng.permutation(fit) if epoch else fit[:0]
        for i in range(0, len(order), params.batch_size):
            batch = np.sort(order[i : i + params.batch_size])
            arrays = (np.asarray(images[batch], np.float32), targets[batch], offset[batch])
            losses.append(float(step(*mixup(arrays, params.mixup, rng))))
        logits = predict_logits(model, validation_images) + offset[validation]
        row = {"epoch": epoch, "loss": float(np.mean(losses)) if losses else np.nan}
        row["val_loss"] = _cross_entropy(logits, targets[validation])
        row["val_auc"] = _auc(logits, targets[validation])
        rows.append(row)
        if not best or row["val_loss"] < rows[best_epoch]["val_loss"]:
            best, best_epoch = model.get_weights(), epoch
        if epoch - best_epoch >= params.patience:
            break
    model.set_weights(best)
    history = pd.DataFrame(rows)
    return history.assign(best=history["epoch"] == best_epoch)


def _train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> tf.types.experimental.GenericFunction:
    """A compiled step: images, targets and offsets of a batch in, its loss out."""
    weights = model.trainable_variables
    optimizer.build(weights)
    rows = tf.TensorSpec((None, model.output_shape[-1]), tf.float32)

    signature = [tf.TensorSpec(model.input_shape, tf.float32), rows, rows]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def step(images: tf.Tensor, targets: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True) + offset
            loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=-1))
            loss += sum(model.losses)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [v.value for v in weights])
        optimizer.apply(gradients, weights)
        return loss

    return step


def _optimizer(params: TrainParams) -> keras.optimizers.Optimizer:
    rate, decay = params.learning_rate, params.weight_decay or None
    optimizer = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "adamw": lambda: keras.optimizers.AdamW(rate, weight_decay=decay),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay),
    }[params.optimizer]()
    return keras.optimizers.LossScaleOptimizer(optimizer) if params.mixed_precision else optimizer


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float(-(targets * log_softmax(logits, axis=-1)).sum(axis=-1).mean())


def _auc(logits: np.ndarray, targets: np.ndarray) -> float:
    """Area under the ROC curve, mean over classes against the rest; NaN without two classes."""
    areas = [
        roc_auc_score(targets[:, k] > 0, softmax(logits, axis=-1)[:, k])
        for k in range(targets.shape[1])
        if 0 < np.count_nonzero(targets[:, k]) < len(targets)
    ]
    return float(np.mean(areas)) if areas else np.nan


def _digest(
    images: np.ndarray, y: np.ndarray, patients: np.ndarray, params: TrainParams, n_classes: int
) -> str:
    """Of everything but the seed that decides what a member becomes, this code included."""
    said = params.model_dump(exclude={"seed", "members", "cv_members"})
    said |= {"shape": images.shape, "classes": n_classes}
    said |= {library: version(library) for library in ("keras", "numpy", "scikit-learn", "scipy")}
    said |= {"tensorflow": tf.__version__}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in ("augment", "models", "splits", "train"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    digest.update(np.ascontiguousarray(images, np.float32).data)
    digest.update(np.ascontiguousarray(y, np.int64).data)
    digest.update("\n".join(map(str, patients)).encode())
    return digest.hexdigest()[:16]
