"""What the scores say: signal or none, and what a reader must know before believing them."""

from collections.abc import Mapping
from typing import Any

from .parts import CNN, LINEAR_PATH, PARTS

SIGNAL = "signal"
SIGNIFICANT = 0.05
"""Largest permutation p-value of the test set that goes with a `signal`."""
FEW_SAMPLES = 20
"""A class with fewer test samples than this gets a warning."""


def verdict(detail: dict[str, Any]) -> str:
    """One of "signal", "no signal" and "inconclusive", by the rule in `DEFINITIONS`."""
    lows = {part: detail["models"][CNN][part]["roc_auc"]["low"] for part in PARTS}
    if not lows["cv"] > 0.5:
        return "no signal"
    clear = lows["test"] > 0.5 and detail["permutation_p"]["test"] <= SIGNIFICANT
    return SIGNAL if clear else "inconclusive"


def describe(detail: dict[str, Any]) -> str:
    """The verdict and the CNN's AUC in one line."""
    scores = detail["models"][CNN]
    areas = ", ".join(
        "{} {value:.3f} [{low:.3f}, {high:.3f}]".format(part, **scores[part]["roc_auc"])
        for part in PARTS
    )
    p = detail["permutation_p"]["test"]
    return f"verdict: {detail['verdict']}; roc_auc of the CNN: {areas}, permutation p {p:.2g}"


def warnings_of(detail: dict[str, Any]) -> list[str]:
    """What a reader must know before believing the scores."""
    counts = detail["data"]["test"]["samples_of_class"]
    found = [
        f"Only {n} test samples are {name}: the test scores are rough."
        for name, n in counts.items()
        if n < FEW_SAMPLES
    ]
    if LINEAR_PATH in detail["models"]:
        added = detail["cnn_minus"][LINEAR_PATH]["cv"]["roc_auc"]
        if not added["low"] > 0:
            found.append(
                "The CNN's convolutions add nothing measurable to its linear path, out of "
                f"fold: {added['value']:+.4f} [{added['low']:+.4f}, {added['high']:+.4f}] "
                "in roc_auc."
            )
    best = detail.get("best_baseline")
    if best and detail["cnn_minus"][best]["cv"]["roc_auc"]["high"] < 0:
        found.append(f"The CNN ranks samples worse than {best} does, out of fold.")
    return found


def edge_warnings(chosen: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """A line for each value chosen at the end of its grid; `chosen` is by model and fold."""
    found = []
    for model, fits in chosen.items():
        names = [name for fit in fits.values() for name in fit["at_edge"]]
        found += [
            f"{model}: {name} is at the edge of its grid in {names.count(name)} of {len(fits)} "
            "fits, so the model may be better than its scores."
            for name in dict.fromkeys(names)
        ]
    return found
