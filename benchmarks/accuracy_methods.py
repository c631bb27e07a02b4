"""The methods of accuracy.py. Each fits a fold and gives, by name, functions that predict it.

Whatever is chosen is chosen inside the fold's training samples. The package's own methods run as
the pipeline runs them; what the peers choose among stands here.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from accuracy_tasks import Data
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from oncopixel.baselines.tuning import fit_predict
from oncopixel.images.splits import inner_split
from oncopixel.networks.saved import mean_probabilities, predict_logits

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
Predictors = dict[str, Callable[[], np.ndarray]]
"""Probabilities `(held out, classes)`, by the method's name or that of a part of it."""


def hybrid(data: Data) -> Predictors:
    """The package's network; its linear path by itself; its convolutions, as they enter the sum."""
    from oncopixel.networks.architectures import add_up, linear_path
    from oncopixel.networks.linear_path import fit_path, linear_alone

    params = data.params.train
    path = fit_path(data.images, data.y, data.patients, params, data.n_classes)
    ensemble = _ensemble(data, "hybrid", path)
    kernel, bias, _ = linear_alone(path, data.y)
    alone = add_up(data.images.shape[1:], kernel, bias, [])

    def probability(model: Any) -> np.ndarray:
        return mean_probabilities(predict_logits(model, data.held_out_images))

    def convolutions() -> np.ndarray:
        own = predict_logits(linear_path(ensemble), data.held_out_images)
        return mean_probabilities(predict_logits(ensemble, data.held_out_images) - own)

    found: Predictors = {
        "hybrid": lambda: probability(ensemble),
        "linear path": lambda: probability(alone),
    }
    has_convolutions = any(layer.name.startswith("member_") for layer in ensemble.layers)
    return found | ({"convolutions": convolutions} if has_convolutions else {})


def paper(data: Data) -> Predictors:
    ensemble = _ensemble(data, "paper")
    return {"paper": lambda: mean_probabilities(predict_logits(ensemble, data.held_out_images))}


def _ensemble(data: Data, model: str, path: Any = None) -> Any:
    from oncopixel.networks.ensemble import fit_ensemble
    from oncopixel.networks.training import set_up

    params = data.params.train.model_copy(update={"model": model})
    set_up(params)
    return fit_ensemble(
        data.images, data.y, data.patients, params,
        seeds=range(params.seed, params.seed + params.members),
        n_classes=data.n_classes, genome=data.genome, path=path,
    )[0]  # fmt: skip


def baseline(name: str, data: Data) -> Predictors:
    """A baseline of the package; it predicts as it fits."""
    params = data.params.baselines.model_copy(update={"seed": data.seed})
    arrays = data.x, data.y, data.patients, data.held_out_x
    fitted = fit_predict(name, *arrays, params, data.channels)
    return {name: lambda: fitted.probabilities}


def lightgbm(data: Data) -> Predictors:
    from lightgbm import LGBMClassifier, early_stopping

    def make(leaves: int, trees: int) -> Any:
        return LGBMClassifier(
            n_estimators=trees, num_leaves=leaves, learning_rate=0.1, colsample_bytree=0.1,
            min_child_samples=10, max_bin=63, n_jobs=THREADS, random_state=data.seed, verbose=-1,
        )  # fmt: skip

    def stopped(leaves: int, fit: np.ndarray, check: np.ndarray) -> tuple[float, int]:
        model = make(leaves, 600).fit(
            data.x[fit],
            data.y[fit],
            eval_X=data.x[check],
            eval_y=data.y[check],
            callbacks=[early_stopping(20, verbose=False)],
        )
        return next(iter(model.best_score_["valid_0"].values())), model.best_iteration_

    return _boosted(data, "LightGBM", (7, 31), stopped, make)


def xgboost(data: Data) -> Predictors:
    """On early stopping, where the package's `gradient_boosting` has a grid of rounds."""
    from xgboost import XGBClassifier

    def make(depth: int, trees: int, **more: Any) -> Any:
        return XGBClassifier(
            n_estimators=trees, max_depth=depth, learning_rate=0.15, colsample_bytree=0.1,
            subsample=0.7, max_bin=64, tree_method="hist", n_jobs=THREADS, random_state=data.seed,
            **more,
        )  # fmt: skip

    def stopped(depth: int, fit: np.ndarray, check: np.ndarray) -> tuple[float, int]:
        model = make(depth, 600, early_stopping_rounds=20)
        model.fit(
            data.x[fit], data.y[fit], eval_set=[(data.x[check], data.y[check])], verbose=False
        )
        return model.best_score, model.best_iteration + 1

    return _boosted(data, "XGBoost", (3, 6), stopped, make)


def _boosted(
    data: Data,
    name: str,
    sizes: Sequence[int],
    stopped: Callable[[int, np.ndarray, np.ndarray], tuple[float, int]],
    make: Callable[[int, int], Any],
) -> Predictors:
    """The size of a tree and the number of trees of the lowest loss, fitted to all."""
    parts = inner_split(data.y, data.patients, 0.15, data.seed)
    _, trees, size = min((*stopped(size, *parts), size) for size in sizes)
    model = make(size, trees).fit(data.x, data.y)
    return {name: lambda: model.predict_proba(data.held_out_x)}


def svm(data: Data) -> Predictors:
    """A linear SVM, its scores made probabilities by Platt's method in three inner folds."""
    scale = 1 / float(np.mean(np.sum(data.x**2, axis=1)))

    def make(step: int, rows: np.ndarray) -> Any:
        folds = list(GroupKFold(3).split(rows, groups=data.patients[rows]))
        model = LinearSVC(C=scale * 10.0**step, random_state=data.seed)
        return CalibratedClassifierCV(model, cv=folds, ensemble=False)

    return _tuned(data, "linear SVM", (-1, 0, 1), make)


def mlp(data: Data) -> Predictors:
    def make(alpha: float, _rows: np.ndarray) -> Any:
        return MLPClassifier(
            (256,), alpha=alpha, early_stopping=True, n_iter_no_change=5, max_iter=60,
            random_state=data.seed,
        )  # fmt: skip

    return _tuned(data, "MLP", (1e-3, 1e-1, 1e1), make)


def _tuned(
    data: Data, name: str, grid: Sequence[float], make: Callable[[Any, np.ndarray], Any]
) -> Predictors:
    """The value of the lowest log loss in a fifth of the patients, fitted to all."""
    fit, check = inner_split(data.y, data.patients, 0.2, data.seed)

    def loss(value: float) -> float:
        p = make(value, fit).fit(data.x[fit], data.y[fit]).predict_proba(data.x[check])
        return log_loss(data.y[check], p, labels=range(data.n_classes))

    best = min(grid, key=loss)
    model = make(best, np.arange(len(data.y))).fit(data.x, data.y)
    return {name: lambda: model.predict_proba(data.held_out_x)}


def mostavi(data: Data) -> Predictors:
    """The 1D-CNN of Mostavi et al. 2020, BMC Med Genomics 13:44: windows of 71 values, 32 filters.

    Dense 128, Adam, batches of 128, up to 50 epochs, stopped on the training accuracy as there.
    """
    import keras

    from oncopixel.networks.training import set_up

    set_up(data.params.train.model_copy(update={"seed": data.seed}))
    layers = keras.layers
    width = -(-data.x.shape[1] // 71) * 71
    model = keras.Sequential([
        keras.Input((data.x.shape[1], 1)),
        layers.ZeroPadding1D((0, width - data.x.shape[1])),
        layers.Conv1D(32, 71, strides=71, activation="relu"),
        layers.MaxPooling1D(1, 2),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(data.n_classes, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping("accuracy", patience=3)
    model.fit(data.x[..., None], data.y, 128, 50, verbose=0, callbacks=[stop])
    return {"Mostavi 1D-CNN": lambda: model.predict(data.held_out_x[..., None], verbose=0)}


PACKAGE = ("logistic_l1", "logistic_l2", "elastic_net", "random_forest", "gradient_boosting")
METHODS: dict[str, Callable[[Data], Predictors]] = {
    "hybrid": hybrid,
    "paper": paper,
    "LightGBM": lightgbm,
    "XGBoost": xgboost,
    "linear SVM": svm,
    "MLP": mlp,
    "Mostavi 1D-CNN": mostavi,
    **{name: partial(baseline, name) for name in PACKAGE},
}
SLOW_FOR_MANY = {"logistic_l1", "elastic_net", "gradient_boosting"}
"""Hours with `MANY` classes, one model for each: XGBoost stands for the last."""
MANY = 10
