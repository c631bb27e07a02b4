"""ROC, precision-recall and calibration curves, and who is taken for whom."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from .calibration import bins_of
from .parts import CNN, Part
from .scores import decisions, scored_classes

CURVE_POINTS = 200
"""Most points kept of one curve."""


def curves_of(
    parts: dict[str, Part], models: list[str], classes: list[str], bins: int
) -> dict[str, pd.DataFrame]:
    """ROC, precision-recall and calibration curves, repeats pooled; of many classes one each."""
    found: dict[str, list[pd.DataFrame]] = {"roc": [], "pr": [], "calibration": []}
    for model in models:
        for part, data in parts.items():
            repeats = data.probabilities[model]
            for k in scored_classes(len(classes)):
                tags = {"model": model, "part": part}
                if len(classes) > 2:
                    tags["class"] = classes[k]
                p, positive = repeats[:, :, k].ravel(), np.tile(data.y == k, len(repeats))
                for kind, frame in _class_curves(p, positive, bins).items():
                    found[kind].append(frame.assign(**tags)[[*tags, *frame]])
    return {kind: pd.concat(frames, ignore_index=True) for kind, frames in found.items()}


def _class_curves(p: np.ndarray, positive: np.ndarray, bins: int) -> dict[str, pd.DataFrame]:
    """The curves of one class against the rest."""
    bin_ = bins_of(p, bins)
    members = pd.DataFrame({"bin": bin_, "predicted": p, "observed": positive * 1.0, "n": 1})
    how = {"predicted": "mean", "observed": "mean", "n": "sum"}
    curves = {"calibration": members.groupby("bin", as_index=False).agg(how)}
    if positive.any() and not positive.all():
        false_rate, true_rate, _ = roc_curve(positive, p)
        curves["roc"] = _thin(
            pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})
        )
        precision, recall, _ = precision_recall_curve(positive, p, drop_intermediate=True)
        curves["pr"] = _thin(pd.DataFrame({"recall": recall, "precision": precision}))
    return curves


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    """At most `CURVE_POINTS` of the points, evenly spaced, the first and the last among them."""
    if len(curve) <= CURVE_POINTS:
        return curve
    return curve.iloc[np.linspace(0, len(curve) - 1, CURVE_POINTS).round().astype(int)]


def confusion(data: Part, threshold: float | None, classes: list[str]) -> pd.DataFrame:
    """`actual` and `predicted` class by the CNN, a row per sample, in an order that tells none."""
    predicted = decisions(data.probabilities[CNN], threshold)[0]
    order = np.lexsort((predicted, data.y))
    names = np.array(classes, dtype=object)
    return pd.DataFrame({"actual": names[data.y[order]], "predicted": names[predicted[order]]})


def crosstab(
    data: Part, model: str, threshold: float | None, classes: list[str]
) -> dict[str, dict[str, float]]:
    """Samples by actual and by predicted class, the mean over repeats."""
    decided = decisions(data.probabilities[model], threshold)
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (np.tile(data.y, len(decided)), decided.ravel()), 1 / len(decided))
    return {
        actual: dict(zip(classes, row, strict=True))
        for actual, row in zip(classes, counts.round(3).tolist(), strict=True)
    }
