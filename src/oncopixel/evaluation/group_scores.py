"""Scores of the CNN by sex, age, stage and site: whether it serves some patients worse."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .intervals import intervals
from .parts import CNN, Part
from .scores import Scores, areas, decisions, scored_classes

LEAST_SAMPLES, LEAST_OF_CLASS = 10, 5
"""Of a group that is scored; the latter of two classes at least."""


def score_groups(
    parts: Mapping[str, Part],
    groups: pd.DataFrame,
    classes: list[str],
    threshold: float | None,
) -> dict[str, Any]:
    """`evaluation.json`'s `groups`; see `DEFINITIONS`.

    Parameters
    ----------
    groups
        Of all samples, as of `groups.group_samples`, in the order of `Part.rows`.

    Returns
    -------
    dict
        By kind and part: `groups` that are scored, by name; how many others have too few samples
        (`fewer_than_10_samples`), or too few of all classes but one (`fewer_than_5_of_a_class`);
        samples whose group is `unknown`.
    """
    content: dict[str, Any] = {kind: {} for kind in groups}
    for part, data in parts.items():
        whole = _scores(data, np.arange(len(data.y)), threshold)["roc_auc"]
        for kind in groups:
            names = groups[kind].to_numpy(dtype=str)[data.rows]
            scored, few, alike = {}, 0, 0
            for name in sorted(set(names) - {""}):
                rows = np.flatnonzero(names == name)
                if len(rows) < LEAST_SAMPLES:
                    few += 1
                elif len(_classes_of(data.y[rows], len(classes))) < 2:
                    alike += 1
                else:
                    scores = _scores(data, rows, threshold)
                    scores["minus_all"] = scores["roc_auc"] - whole
                    if len(np.unique(scores["roc_auc"][~np.isnan(scores["roc_auc"])])) < 2:
                        scores["minus_all"][1:] = np.nan  # the draws do not show its chance
                    counts = np.bincount(data.y[rows], minlength=len(classes)).tolist()
                    scored[name] = {
                        "samples": len(rows),
                        "patients": len(np.unique(data.patients[rows])),
                        "samples_of_class": dict(zip(classes, counts, strict=True)),
                        **intervals(scores),
                    }
            content[kind][part] = {
                "groups": scored,
                f"fewer_than_{LEAST_SAMPLES}_samples": few,
                f"fewer_than_{LEAST_OF_CLASS}_of_a_class": alike,
                "unknown": int((names == "").sum()),
            }
    return content


def _classes_of(y: np.ndarray, n_classes: int) -> list[int]:
    """The classes with enough samples."""
    return np.flatnonzero(np.bincount(y, minlength=n_classes) >= LEAST_OF_CLASS).tolist()


def _scores(data: Part, rows: np.ndarray, threshold: float | None) -> Scores:
    """Scores `(1 + draws,)` of the CNN on some samples, means over repeats and classes."""
    probabilities = data.probabilities[CNN][:, rows]
    y, weights, n_classes = data.y[rows], data.weights[:, rows], probabilities.shape[2]
    known = _classes_of(y, n_classes)
    found: dict[str, list[np.ndarray]] = {"roc_auc": [], "sensitivity": [], "specificity": []}
    with np.errstate(invalid="ignore", divide="ignore"):
        for p, folds in zip(probabilities, data.folds[CNN][:, rows], strict=True):
            decided = decisions(p, threshold)
            for k in (k for k in scored_classes(n_classes) if k in known):
                is_k, said_k = y == k, decided == k
                found["roc_auc"].append(_area_within_folds(p[:, k], is_k, weights, folds))
                found["sensitivity"].append(weights @ (is_k & said_k) / (weights @ is_k))
                found["specificity"].append(weights @ (~is_k & ~said_k) / (weights @ ~is_k))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def _area_within_folds(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """`(draws,)` share of pairs of both classes, within a fold, that are ranked rightly."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(folds):
        rows = folds == fold
        of_fold = weights[:, rows]
        n = (of_fold @ positive[rows]) * (of_fold @ ~positive[rows])
        roc, _ = areas(score[rows], positive[rows], of_fold)
        won += np.where(n > 0, roc * n, 0)
        pairs += n
    share: np.ndarray = won / pairs
    return share
