"""Fitting an ensemble of CNNs on the samples of one training fold.

`hybrid` is fitted in two steps. What is linear in given features is convex, so it is solved
exactly, on all training samples; cross-validation among them chooses the features (the image as it
is or without its latent factors, with or without products) and the penalties. Its CNN is then
trained on what these paths leave unexplained: beside the logits that they give each sample when
that sample was held out, so the CNN never corrects an over-fitted neighbour.
Everything else, and `hybrid` with `warm_start: false`, is trained from scratch.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from ..core.errors import ArtifactError, OutputError, ParamsError
from ..core.params import TrainParams
from ..core.storage import read_keras, read_parquet, write_keras, write_parquet
from ..images.coexpression import Adjustment, find_adjustment, find_modules, two_valued
from ..images.splits import inner_split
from .architectures import DEEP, PRODUCTS, WIDE, Products, build, combine, members, rescale_logits
from .augmentation import mixup

INNER_FOLDS = 5
SHARPNESS = (0, 1, 2, 4)
"""Powers of a gene's univariate relevance that scale its weight: 0 is plain ridge."""
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse penalties, as C in scikit-learn, for features scaled to a mean squared norm of one."""
MODULES = 64
"""Co-expression modules whose pairs are offered, at most: each weighs 4 bytes per pixel."""
SLOPES = (0.1, 10.0)
"""Bounds of what calibration multiplies logits by; ranks would drown in rounding far below."""
PREDICT_BATCH = 256
HISTORY = ("epoch", "loss", "val_loss", "val_auc", "best")

log = logging.getLogger(__name__)


def set_up(params: TrainParams) -> None:
    """TensorFlow made repeatable; call it before anything else has used TensorFlow.

    Results depend on the number of intra-op threads, so that number is a tracked parameter.
    Raises `OutputError` when the clock stands before 1980: no zip, such as .keras, can be written.
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
    spaces = find_spaces(images, params.seed) if _is_solved(params) else None
    targets = class_targets(y, n_classes, weighted=params.class_weights)
    models, histories = [], []
    for i, seed in enumerate(seeds):
        kept = folder / f"member-{seed}-{digest}.keras" if folder else None
        member = _kept_member(kept) if kept else None
        if member is None:
            own = params.model_copy(update={"seed": seed})
            exact = fit_exact(spaces, targets, y, patients, seed) if spaces else None
            member = _fit_member(images, y, patients, targets, own, exact)
            if kept:
                write_parquet(kept.with_suffix(".parquet"), member[1])
                write_keras(kept, member[0])
        models.append(member[0])
        histories.append(member[1].assign(member=i))
    history = pd.concat(histories, ignore_index=True)
    return combine(models), history[["member", *HISTORY]]


def _kept_member(path: Path) -> tuple[keras.Model, pd.DataFrame] | None:
    """A member that an earlier run finished, or None; what is damaged is trained anew."""
    if not path.exists():
        return None
    try:
        model, history = read_keras(path), read_parquet(path.with_suffix(".parquet"))[0]
    except ArtifactError as error:
        log.warning("warning: %s is trained anew: %s", path.stem, str(error).partition(". ")[0])
        return None
    return (model, history) if set(HISTORY) <= set(history) else None


@dataclass(frozen=True, eq=False)
class Tuned:
    """What `refit` takes over from all samples.

    `epochs`: how long each member is trained; `spaces` and `choice` are of the exact paths, if any.
    """

    epochs: Sequence[int]
    spaces: "Spaces | None" = None
    choice: "LinearPath | None" = None


def tune(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    params: TrainParams,
    n_classes: int,
    epochs: Sequence[int],
) -> Tuned:
    """Feature spaces of the samples, and what cross-validation among them chooses.

    `epochs` are those that were best for the members of the ensemble of all samples.
    """
    if not _is_solved(params):
        return Tuned(epochs)
    spaces = find_spaces(images, params.seed)
    targets = class_targets(y, n_classes, weighted=params.class_weights)
    exact = fit_exact(spaces, targets, y, patients, params.seed)
    return Tuned(epochs, spaces, exact.path if exact else None)


def refit(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    part: np.ndarray,
    params: TrainParams,
    n_classes: int,
    tuned: Tuned,
) -> keras.Model:
    """The ensemble, every weight fitted on a part of the samples that were tuned on.

    `part` `(samples,)` bool; the other arrays are of all samples. All members have the exact paths
    that the first seed gives, and none is stopped early.
    """
    images, y, patients = images[part], y[part], patients[part]
    targets = class_targets(y, n_classes, weighted=params.class_weights)
    exact = None
    if tuned.spaces:
        spaces = tuned.spaces.take(part)
        exact = fit_exact(spaces, targets, y, patients, params.seed, tuned.choice)
    models = []
    for seed, epochs in enumerate(tuned.epochs, start=params.seed):
        own = params.model_copy(update={"seed": seed})
        models.append(_fit_member(images, y, patients, targets, own, exact, epochs)[0])
    return combine(models)


def _is_solved(params: TrainParams) -> bool:
    return params.model == "hybrid" and params.warm_start


def exact_paths(ensemble: keras.Model) -> keras.Model | None:
    """The exact paths of `hybrid` alone, without its convolutions; None for other networks.

    The difference from `hybrid` is what the convolutions add.
    """
    parts = members(ensemble)
    if WIDE not in {layer.name for layer in parts[0].layers}:
        return None
    return combine([_without_convolutions(part) for part in parts])


def _without_convolutions(member: keras.Model) -> keras.Model:
    outputs = [layer.output for layer in member.layers if layer.name in (WIDE, PRODUCTS)]
    add = keras.layers.Add(dtype="float32", name="logits")
    return keras.Model(member.input, add(outputs) if len(outputs) > 1 else outputs[0])


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


def weights_of_classes(targets: np.ndarray) -> np.ndarray:
    """`(classes,)` float32 weight of a sample of each class in `class_targets`; 1 without any.

    What is fitted to weighted samples has the odds of classes times the ratio of their weights;
    subtracting the weights' logarithms from its logits gives the odds of the data.
    """
    largest: np.ndarray = targets.max(axis=0)
    return np.where(largest > 0, largest, np.float32(1))


# --- feature spaces, found without labels ------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Spaces:
    """What the exact paths may read, all `(samples, features)` float32; see `find_spaces`."""

    raw: np.ndarray
    adjustment: Adjustment | None
    """None when no channel has a factor."""
    adjusted: np.ndarray
    products: Products | None
    """None when there is nothing to multiply."""
    multiplied: np.ndarray
    """The products, of mean 0 and variance 1."""
    center: np.ndarray
    scale: np.ndarray
    """`(products,)`: `multiplied` is (product - center) * scale."""

    def take(self, part: np.ndarray) -> "Spaces":
        """The same features of some of the samples."""
        arrays = {name: getattr(self, name)[part] for name in ("raw", "adjusted", "multiplied")}
        return replace(self, **arrays)


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def find_spaces(images: np.ndarray, seed: int) -> Spaces:
    """The features that the exact paths of `hybrid` may choose from; they know no label.

    Beside the image itself: what latent factors leave of it, with the factors (of channels with
    more than two values only); and products, of the activities of every two co-expression modules
    of the first channel and of each two-valued channel (mutation) with each other one, gene by
    gene: a gene hit twice (Knudson 1971). `images` are `(samples, height, width, channels)`.
    """
    x = np.asarray(images, np.float32).reshape(len(images), -1, images.shape[-1])
    binary = two_valued(x)
    adjustment = find_adjustment(x, seed)
    modules = find_modules(x[:, :, 0], most=MODULES)
    couples = tuple((a, b) for b, is_binary in enumerate(binary) if is_binary for a in range(b))
    products = Products(modules.weights, -modules.center @ modules.weights, couples)
    multiplied = products.apply(x)
    center, sd = multiplied.mean(axis=0), multiplied.std(axis=0)
    scale = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 1e-6)
    return Spaces(
        raw=x.reshape(len(x), -1),
        adjustment=adjustment,
        adjusted=adjustment.apply(x) if adjustment else x[:, :0, 0],
        products=products if scale.any() else None,
        multiplied=(multiplied - center) * scale,
        center=center,
        scale=scale,
    )


# --- the exact paths ---------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearPath:
    """An exact multinomial fit on the features that predict best.

    `base`: which of the bases was chosen; `kernels`: `(features, classes)` of it and, when they
    join, of the extra features; `bias` `(classes,)`. `held_out` `(samples, classes)`: logits of
    each training sample from the inner fit that did not see its patient. `sharpness`, `strength`:
    what cross-validation chose, and its mean log `loss`.
    """

    base: int
    kernels: list[np.ndarray]
    bias: np.ndarray
    held_out: np.ndarray
    sharpness: float
    strength: float
    loss: float

    @property
    def joined(self) -> bool:
        """Whether the extra features entered."""
        return len(self.kernels) == 2


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def fit_linear_path(
    bases: Sequence[np.ndarray],
    extra: np.ndarray | None,
    targets: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    seed: int,
    choice: LinearPath | None = None,
) -> LinearPath | None:
    """The linear path that predicts held-out patients best, or None when too few can be held out.

    One of `bases`, `(samples, features)` each, enters, then `extra`, `(samples, features)`, joins
    if that helps; `targets` as of `class_targets`. An adaptive ridge (Zou 2006, with a ridge in
    place of the lasso): feature j is scaled by the power `sharpness` of its univariate relevance,
    the root of its one-way F statistic in the samples that are fitted, and the scaled features
    enter an L2 multinomial logistic regression of inverse penalty `strength`. All is chosen by log
    loss over patient-grouped folds; the extra features, thousands more, must win by more than the
    standard error of the paired difference (Breiman et al. 1984). Solved in the samples' dimension
    (Hastie & Tibshirani 2004), so its cost hardly depends on the number of features.
    With a `choice`, features and penalties are those that it names.
    """
    per_class = [len(np.unique(patients[y == k])) for k in np.unique(y)]
    n_folds = min(INNER_FOLDS, *per_class)
    if len(per_class) < 2 or n_folds < 2:
        return None
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = list(splitter.split(y, y, patients))
    grid = ((choice.sharpness,), (choice.strength,)) if choice else (SHARPNESS, STRENGTHS)
    base = choice.base if choice else 0
    blocks = [bases[base]]
    if choice and choice.joined and extra is not None:
        blocks.append(extra)
    best = _validate(blocks, targets, y, folds, grid)
    for i, x in enumerate([] if choice else bases[1:], start=1):
        found = _validate([x], targets, y, folds, grid)
        if found[-1].mean() < best[-1].mean():
            base, blocks, best = i, [x], found
    if extra is not None and not choice:
        found = _validate([*blocks, extra], targets, y, folds, grid)
        gain = best[-1] - found[-1]
        if gain.mean() > gain.std() / np.sqrt(len(gain)):
            blocks, best = [*blocks, extra], found
    s, c, held_out, losses = best
    gates = [r ** grid[0][s] for r in _relevance(blocks, y)]
    dual, bias = list(_ridge_path(_gram(blocks, gates), targets, grid[1]))[c]
    return LinearPath(
        base=base,
        kernels=[gate[:, None] ** 2 * (x.T @ dual) for x, gate in zip(blocks, gates, strict=True)],
        bias=bias,
        held_out=held_out,
        sharpness=grid[0][s],
        strength=grid[1][c],
        loss=float(losses.mean()),
    )


def _validate(
    blocks: Sequence[np.ndarray],
    targets: np.ndarray,
    y: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    grid: tuple[Sequence[float], Sequence[float]],
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Positions of the best sharpness and strength, held-out logits, and each sample's log loss."""
    held_out = np.zeros((*map(len, grid), *targets.shape))
    for fit, rest in folds:
        relevance = _relevance([x[fit] for x in blocks], y[fit])
        for s, sharpness in enumerate(grid[0]):
            gram = _gram(blocks, [r**sharpness for r in relevance])
            path = _ridge_path(gram[np.ix_(fit, fit)], targets[fit], grid[1])
            for c, (dual, bias) in enumerate(path):
                held_out[s, c, rest] = gram[np.ix_(rest, fit)] @ dual + bias
    losses = -(targets * log_softmax(held_out, axis=-1)).sum(axis=-1)
    s, c = divmod(int(np.argmin(losses.sum(axis=-1))), len(grid[1]))
    return s, c, held_out[s, c].astype(np.float32), losses[s, c]


def _gram(blocks: Sequence[np.ndarray], gates: Sequence[np.ndarray]) -> np.ndarray:
    """`(samples, samples)` inner products of the features of all blocks, each times its gate."""
    total = np.zeros((len(blocks[0]),) * 2, np.float32)
    for x, gate in zip(blocks, gates, strict=True):
        scaled = x * gate
        total += scaled @ scaled.T
    return total


def _ridge_path(
    gram: np.ndarray, targets: np.ndarray, strengths: Sequence[float]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each strength `(samples, classes)` dual weights and `(classes,)` bias, float32.

    `gram` holds the inner products of the samples; the logits of others are theirs with the
    samples @ dual + bias.
    """
    gram = gram.astype(np.float64)
    scale = max(float(np.trace(gram)) / len(gram), 1e-30)
    values, vectors = np.linalg.eigh(gram / scale)
    kept = values > 1e-8
    root, vectors = np.sqrt(values[kept]), vectors[:, kept]
    weights = np.zeros((len(root) + 1, targets.shape[1]))
    for strength in strengths:
        weights = _logistic(vectors * root, targets, strength, weights)
        dual = vectors / root @ weights[:-1] / scale
        yield dual.astype(np.float32), weights[-1].astype(np.float32)


def _relevance(blocks: Sequence[np.ndarray], y: np.ndarray) -> list[np.ndarray]:
    """`(features,)` float32 each: root of the one-way F statistic.

    In units of the first block's root mean square, so that blocks can be compared.
    """
    found = []
    for x in blocks:
        groups = [x[y == k] for k in np.unique(y)]
        centre = x.mean(axis=0)
        between = sum(len(g) * (g.mean(axis=0) - centre) ** 2 for g in groups) / (len(groups) - 1)
        within = sum(len(g) * g.var(axis=0) for g in groups) / max(len(x) - len(groups), 1)
        found.append(between / (within + 1e-3 * max(float(within.mean()), 1e-30)))
    unit = max(float(found[0].mean()), 1e-30)
    return [np.asarray(np.sqrt(f / unit), dtype=np.float32) for f in found]


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


@dataclass(frozen=True, eq=False)
class ExactPaths:
    """The exact paths of a `hybrid`.

    `path`: as solved; `weights`: of its layers by name, on raw images; `products`: what it is to
    multiply, None when cross-validation chose to do without; `held_out`: as of `LinearPath`. The
    last three are calibrated, see `calibration`.
    """

    path: LinearPath
    weights: dict[str, list[np.ndarray]]
    products: Products | None
    held_out: np.ndarray


def fit_exact(
    spaces: Spaces,
    targets: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    seed: int,
    choice: LinearPath | None = None,
) -> ExactPaths | None:
    """The exact paths in the feature spaces that predict held-out patients best; see above."""
    bases = [spaces.raw] if spaces.adjustment is None else [spaces.raw, spaces.adjusted]
    extra = None if spaces.products is None else spaces.multiplied
    path = fit_linear_path(bases, extra, targets, y, patients, seed, choice)
    if path is None:
        return None
    slope, shift = calibration(path.held_out, y, y)
    kernel, bias = slope * path.kernels[0], slope * path.bias + shift
    if path.base == 1 and spaces.adjustment is not None:
        kernel, moved = spaces.adjustment.fold(kernel)
        bias = bias + moved
    weights, products = {WIDE: [kernel, bias]}, None
    if path.joined and spaces.products is not None:
        products = spaces.products
        scaled = slope * path.kernels[1] * spaces.scale[:, None]
        weights[PRODUCTS] = [products.expand(scaled), -spaces.center @ scaled]
    return ExactPaths(path, weights, products, slope * path.held_out + shift)


def calibration(
    logits: np.ndarray, y: np.ndarray, everyone: np.ndarray
) -> tuple[np.float32, np.ndarray]:
    """The slope and `(classes,)` shift, float32, with which `logits` say how often classes occur.

    They maximise the likelihood of the classes `y`, of samples that `logits`, `(samples, classes)`,
    were not fitted to, and so take class weights out again; `slope` stays within `SLOPES`.
    Probabilities of one are aimed at (n + 1) / (n + classes), n the samples of the class, as Platt
    (1999) does, so that classes which are told apart without error have a finite slope. Where these
    are part of a larger sample with the classes `everyone`, the odds are those of its shares.
    """
    n_classes = logits.shape[1]
    targets = _smoothed(y, n_classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = np.exp(flat[0]) * logits
        said = log_softmax(scaled + flat[1:], axis=-1)
        slope = np.exp(said) - targets
        return float(-np.sum(targets * said)), np.append(np.sum(slope * scaled), slope.sum(axis=0))

    bounds = [tuple(np.log(SLOPES)), *[(None, None)] * n_classes]
    start = np.zeros(1 + n_classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    shares = _smoothed(everyone, n_classes).mean(axis=0) / targets.mean(axis=0)
    return np.float32(np.exp(found[0])), (found[1:] + np.log(shares)).astype(np.float32)


def _smoothed(y: np.ndarray, n_classes: int) -> np.ndarray:
    """`(samples, classes)` Platt's targets; see `calibration`."""
    counts = np.bincount(y, minlength=n_classes)[y][:, None]
    smoothed: np.ndarray = (np.eye(n_classes)[y] * counts + 1) / (counts + n_classes)
    return smoothed


# --- one member --------------------------------------------------------------------------------


def _fit_member(
    images: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    targets: np.ndarray,
    params: TrainParams,
    exact: ExactPaths | None,
    epochs: int | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """One trained model from `params.seed`, beside exact paths if there are any, and its history.

    Without these it is calibrated on its validation samples; they are calibrated themselves.
    With `epochs` it is trained for so many, and the history has their losses only.
    """
    products = exact.products if exact else None
    model = build(params.model, images.shape[1:], targets.shape[1], params, products)
    if exact is None:
        trained, offset = model, np.zeros_like(targets)
    else:
        trained = keras.Model(model.input, model.get_layer(DEEP).output)
        offset = exact.held_out + np.log(weights_of_classes(targets))
    fit, validation = inner_split(y, patients, params.validation_fraction, params.seed)
    unseen = np.asarray(images[validation], np.float32)
    passes = _passes(trained, images, targets, offset, fit, params)
    if epochs is None:
        known = targets[validation], offset[validation]
        history = _stop_early(trained, passes, unseen, *known, params.patience)
    else:
        history = pd.DataFrame({"loss": list(islice(passes, epochs))})
    for name, weights in (exact.weights if exact else {}).items():
        model.get_layer(name).set_weights(weights)
    if exact is None:
        rescale_logits(model, *calibration(predict_logits(model, unseen), y[validation], y))
    return model, history


def _passes(
    model: keras.Model,
    images: np.ndarray,
    targets: np.ndarray,
    offset: np.ndarray,
    fit: np.ndarray,
    params: TrainParams,
) -> Iterator[float]:
    """The mean loss of one epoch after the other; each is trained when it is asked for.

    The loss is the cross-entropy of the model's logits plus `offset`, plus the penalties.
    """
    rng = np.random.default_rng(params.seed)
    step = _train_step(model, _optimizer(params))
    for epoch in range(1, params.epochs + 1):
        order, losses = rng.permutation(fit), []
        for i in range(0, len(order), params.batch_size):
            batch = np.sort(order[i : i + params.batch_size])
            arrays = (np.asarray(images[batch], np.float32), targets[batch], offset[batch])
            losses.append(float(step(*mixup(arrays, params.mixup, rng))))
        _refuse_divergence(epoch, losses, *model.get_weights())
        yield float(np.mean(losses))


def _refuse_divergence(epoch: int, *values: npt.ArrayLike) -> None:
    """`ParamsError` when a loss, a weight or a prediction is no longer a finite number."""
    if not all(np.isfinite(value).all() for value in values):
        raise ParamsError(
            f"training diverged in epoch {epoch}: a loss or a weight is no finite number. Lower "
            "`train.learning_rate`, or the penalties `train.l1`, `train.l2` and "
            "`train.weight_decay`."
        )


def _stop_early(
    model: keras.Model,
    passes: Iterator[float],
    images: np.ndarray,
    targets: np.ndarray,
    offset: np.ndarray,
    patience: int,
) -> pd.DataFrame:
    """`model` is left with the weights of its best epoch by validation loss; returns the history.

    The images, targets and offsets are those of the validation samples.
    """
    rows: list[dict[str, float]] = []
    best: list[np.ndarray] = []
    best_epoch = 0
    for epoch, loss in enumerate(chain([np.nan], passes)):
        logits = predict_logits(model, images) + offset
        _refuse_divergence(epoch, logits)
        row = {"epoch": epoch, "loss": loss, "val_loss": _cross_entropy(logits, targets)}
        row["val_auc"] = _auc(logits, targets)
        rows.append(row)
        if not best or row["val_loss"] < rows[best_epoch]["val_loss"]:
            best, best_epoch = model.get_weights(), epoch
        if epoch - best_epoch >= patience:
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
    rate, decay = params.learning_rate, params.weight_decay
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
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(np.ascontiguousarray(images, np.float32).data)
    digest.update(np.ascontiguousarray(y, np.int64).data)
    digest.update("\n".join(map(str, patients)).encode())
    return digest.hexdigest()[:16]
