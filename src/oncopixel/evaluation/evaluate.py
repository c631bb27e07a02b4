"""The CNN beside the baselines: scores with intervals, out of fold and on held-out patients.

Beside the intervals stands a permutation p-value of the CNN's AUC.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..core.executor import progress
from ..core.params import EvaluateParams
from ..images.splits import assert_disjoint
from .curves import confusion, crosstab, curves_of
from .definitions import DEFINITIONS
from .group_scores import score_groups
from .intervals import intervals, kept_draws, minus, repeat_means
from .parts import CNN, LINEAR_PATH, PANEL, PARTS, Part, arrange
from .permutation import permutation_p
from .scores import Scores, scored_classes, youden_threshold
from .verdict import verdict, warnings_of


@dataclass(frozen=True)
class Evaluation:
    """How good the predictions are."""

    metrics: dict[str, Any]
    """The few numbers to watch, by model; flat enough for `dvc metrics show`."""
    detail: dict[str, Any]
    """Every score of every model on both parts with its interval, and the verdict; JSON-able."""
    curves: dict[str, pd.DataFrame]
    """`roc`, `pr`, `calibration` and `confusion`, ready to be plotted; no sample ids."""
    draws: pd.DataFrame
    """`(draws, scores)`: the CNN's scores of the first bootstrap draws; NaN where undefined."""


def evaluate(
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    classes: list[str],
    params: EvaluateParams,
    panel_size: int | None = None,
    groups: pd.DataFrame | None = None,
) -> Evaluation:
    """All models scored.

    Parameters
    ----------
    predictions, samples
        Rows as of `prediction_rows`, and as of `make_splits` with `y`.
    panel_size
        Of the panel whose scores are among the metrics.
    groups
        A row for each of `samples`, as of `groups.group_samples`.

    Returns
    -------
    Scores, curves, and the verdict.
    """
    in_test = (samples["part"] == "test").to_numpy()
    for unit in ("patient", "group"):
        assert_disjoint(
            samples[unit].to_numpy(dtype=str), np.flatnonzero(~in_test), np.flatnonzero(in_test)
        )
    models = [CNN, *sorted(set(predictions["model"]) - {CNN})]
    parts = {
        part: arrange(predictions, samples, part, models, len(classes), params) for part in PARTS
    }
    p, y, two = parts["cv"].probabilities, parts["cv"].y, len(classes) == 2
    thresholds = {model: youden_threshold(p[model], y) if two else None for model in models}
    names = [classes[k] for k in scored_classes(len(classes))]
    scores: dict[str, dict[str, Scores]] = {model: {} for model in models}
    by_class: dict[str, dict[str, dict[str, Scores]]] = {model: {} for model in models}
    for model, threshold in progress(thresholds.items(), len(thresholds), "model"):
        for part, data in parts.items():
            scores[model][part], singles = repeat_means(data, model, threshold, params)
            by_class[model][part] = dict(zip(names, singles, strict=True))
    whole = [model for model in models if not model.startswith(PANEL)]
    auc = {m: scores[m]["cv"]["roc_auc"][0] for m in whole if m not in (CNN, LINEAR_PATH)}
    best = max(auc, key=lambda model: np.nan_to_num(auc[model], nan=-1.0), default=None)
    detail: dict[str, Any] = {
        "definitions": DEFINITIONS,
        "data": {part: _counts(data, classes) for part, data in parts.items()},
        "confusion": {
            model: {part: crosstab(data, model, threshold, classes) for part, data in parts.items()}
            for model, threshold in thresholds.items()
        },
        "permutation_p": {
            part: permutation_p(
                data.probabilities[CNN], data.y, data.folds[CNN], data.patients, data.groups,
                draws=params.permutations,
                seed=[params.seed, list(PARTS).index(part), 1],
            )
            for part, data in parts.items()
        },
        "models": intervals(scores),
    }  # fmt: skip
    if two:
        detail["thresholds"] = thresholds
    else:
        detail["per_class"] = intervals(by_class)
    if best:
        detail["best_baseline"] = best
    if models[1:]:
        others = {model: minus(scores[CNN], scores[model]) for model in models[1:]}
        detail["cnn_minus"] = intervals(others)
    if groups is not None:
        detail["groups"] = score_groups(parts, groups, classes, thresholds[CNN])
    detail |= {"verdict": verdict(detail), "warnings": warnings_of(detail)}
    curves = curves_of(parts, whole, classes, params.calibration_bins)
    curves["confusion"] = confusion(parts["test"], thresholds[CNN], classes)
    metrics = _metrics(detail, best, thresholds[CNN], panel_size)
    return Evaluation(metrics, detail, curves, kept_draws(scores, best))


def _counts(data: Part, classes: list[str]) -> dict[str, Any]:
    per_class = np.bincount(data.y, minlength=len(classes)).tolist()
    return {
        "samples": len(data.y),
        "patients": len(np.unique(data.patients)),
        "pairing": data.pairing,
        "samples_of_class": dict(zip(classes, per_class, strict=True)),
    }


def _metrics(
    detail: dict[str, Any], best: str | None, threshold: float | None, panel_size: int | None
) -> dict[str, Any]:
    """The few numbers to watch."""
    flat: dict[str, Any] = {
        "verdict": detail["verdict"],
        "n_test_samples": detail["data"]["test"]["samples"],
        "n_test_patients": detail["data"]["test"]["patients"],
    }
    if threshold is not None:
        flat["threshold"] = threshold
    for model, by_part in detail["models"].items():
        if model.startswith(PANEL) and model != f"{PANEL}{panel_size}":
            continue
        areas = {f"{part}_roc_auc": by_part[part]["roc_auc"]["value"] for part in PARTS}
        flat["panel" if model.startswith(PANEL) else model] = areas
    for part in PARTS:
        flat[CNN] |= _bounds(f"{part}_roc_auc", detail["models"][CNN][part]["roc_auc"])
        flat[CNN][f"{part}_permutation_p"] = detail["permutation_p"][part]
    for score, interval in detail["models"][CNN]["test"].items():
        flat[CNN][f"test_{score}"] = interval["value"]
    if best:
        flat["cnn_minus_best_baseline"] = {}
        for part in PARTS:
            difference = detail["cnn_minus"][best][part]["roc_auc"]
            flat["cnn_minus_best_baseline"] |= {part: difference["value"]}
            flat["cnn_minus_best_baseline"] |= _bounds(part, difference)
    return flat


def _bounds(name: str, interval: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{side}": interval[side] for side in ("low", "high")}
