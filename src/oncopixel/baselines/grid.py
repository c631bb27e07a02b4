"""Grids that grow until the best value is inside, and the loss by which values are compared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

FLAT = 1e-3
"""A grid grows while its last step improves the inner log loss by this much or more."""
FORGIVEN = 0.005
"""Probabilities are kept this far from 0 and 1 in the log loss, so that no sample decides alone."""

Folds = list[tuple[np.ndarray, np.ndarray]]
"""Positions to fit on and to check on."""
Chosen = dict[str, Any]
"""See `tuning.BaselineFit.chosen`."""
Fitted = tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]
"""Features to probabilities `(samples, classes)`, and the importances of the features."""


@dataclass(frozen=True)
class Optimum:
    """The best step of a grid, its loss, and whether it lies at the end of all that is allowed."""

    step: int
    loss: float
    at_edge: bool


def search(
    loss: Callable[[int], float], first: int, last: int, lowest: int, highest: int
) -> Optimum:
    """The step of the lowest `loss` on a grid of whole numbers that grows until it is inside."""
    losses = {step: loss(step) for step in range(first, last + 1)}
    while True:
        best, low, high = min(losses, key=losses.__getitem__), min(losses), max(losses)
        if low < best < high:
            return Optimum(best, losses[best], False)
        outwards = -1 if best == low else 1
        if losses[best - outwards] - losses[best] < FLAT:
            return Optimum(best - outwards, losses[best - outwards], False)
        if best in (lowest, highest):
            return Optimum(best, losses[best], True)
        losses[best + outwards] = loss(best + outwards)


def log_loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean log loss; `probabilities` is `(samples, classes)`."""
    of_truth = np.clip(probabilities, FORGIVEN, 1 - FORGIVEN)[np.arange(len(y)), y]
    return float(-np.log(of_truth).mean())


def mean_loss(fitted: Iterator[tuple[Any, np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """Mean log loss over folds of (model, features, classes, positions to check)."""
    losses = [log_loss(model.predict_proba(x[check]), y[check]) for model, x, y, check in fitted]
    return float(np.mean(losses))


def summary(loss: float, **at_edge: bool) -> dict[str, Any]:
    """The end of `chosen`: the loss, and which values lie at an edge."""
    return {"inner_log_loss": loss, "at_edge": [name for name, there in at_edge.items() if there]}
