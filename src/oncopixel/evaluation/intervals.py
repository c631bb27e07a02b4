"""Scores with 95 % percentile intervals over bootstrap draws of patients.

Draws are of sites when the split holds out sites. A draw takes as many as there are, with
replacement and not stratified, each with all its samples, and the same draw serves every model, so
differences between models are paired (Efron & Tibshirani 1993, ch. 13). A draw in which a score is
undefined, such as the AUC when one class is missing, is left out of that score's interval. The
models are not refitted, so the chance of training is not in there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.params import EvaluateParams
from .parts import CNN, PARTS, Part
from .scores import Scores, by_name, weighted_scores

KEPT_DRAWS = 500
"""Bootstrap draws kept, for paired differences between runs."""
DRAW_DECIMALS = 5
BLOCK_VALUES = 1_000_000
"""Bootstrap weights worked on together: 8 MB."""


def repeat_means(
    data: Part, model: str, threshold: float | None, params: EvaluateParams
) -> tuple[Scores, list[Scores]]:
    """Scores `(1 + draws,)`, and those of each class against the rest, averaged over repeats."""
    blocks = np.array_split(data.weights, max(1, data.weights.size // BLOCK_VALUES))
    blocks = [np.asfortranarray(block) for block in blocks]
    bins = params.calibration_bins
    runs = []
    for p, folds in zip(data.probabilities[model], data.folds[model], strict=True):
        pieces = [weighted_scores(p, data.y, block, threshold, bins, folds) for block in blocks]
        runs.append(_combine(pieces, np.concatenate))
    return _combine(runs, lambda repeats: np.mean(repeats, axis=0))


def _combine(
    pieces: Sequence[tuple[Scores, list[Scores]]], by: Callable[[list[np.ndarray]], np.ndarray]
) -> tuple[Scores, list[Scores]]:
    """Scores of several pieces put together, each name by itself."""
    overall, singles = zip(*pieces, strict=True)
    by_class = [by_name(same, by) for same in zip(*singles, strict=True)]
    return by_name(overall, by), by_class


def minus(cnn: dict[str, Scores], other: dict[str, Scores]) -> dict[str, Scores]:
    """The CNN's areas less those of another model, by part."""
    return {
        part: {score: cnn[part][score] - other[part][score] for score in ("roc_auc", "pr_auc")}
        for part in PARTS
    }


def intervals(tree: dict[str, Any]) -> dict[str, Any]:
    """The nested scores with `(1 + draws,)` replaced by value, low and high."""
    return {
        name: intervals(node)
        if isinstance(node, dict)
        else _interval(_centred(node) if name == "ece" else node)
        for name, node in tree.items()
    }


def _centred(draws: np.ndarray) -> np.ndarray:
    """The score, and its draws moved so that their mean is the score, none of them below 0."""
    moved: np.ndarray = np.maximum(draws - (np.nanmean(draws[1:]) - draws[0]), 0)
    return np.append(draws[:1], moved[1:])


def _interval(draws: np.ndarray) -> dict[str, float]:
    """The score and the 2.5 % and 97.5 % quantiles of its defined draws."""
    defined = draws[1:][~np.isnan(draws[1:])]
    low, high = np.quantile(defined, [0.025, 0.975]) if defined.size else (np.nan, np.nan)
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}


def kept_draws(scores: dict[str, dict[str, Scores]], best: str | None) -> pd.DataFrame:
    """`Evaluation.draws`; the ECE's are left out, since its interval is not that of its draws."""
    kept = {
        f"{part}_{score}": values
        for part, by_score in scores[CNN].items()
        for score, values in by_score.items()
        if score != "ece"
    }
    if best:
        kept |= {
            f"{part}_minus_best_baseline": of_part["roc_auc"]
            for part, of_part in minus(scores[CNN], scores[best]).items()
        }
    draws = {name: values[1 : KEPT_DRAWS + 1] for name, values in kept.items()}
    return pd.DataFrame(draws).round(DRAW_DECIMALS)
