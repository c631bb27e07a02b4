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
        if added["low"] == added["high"] == 0:
            found.append("Convolutions did not help: the network is its linear path alone.")
        elif not added["low"] > 0:
            found.append(
                "Convolutions add nothing measurable to the network's linear path: "
                f"{added['value']:+.3f} ({added['low']:+.3f} to {added['high']:+.3f}) in AUC, in "
                "cross-validation."
            )
    best = detail.get("best_baseline")
    if best and detail["cnn_minus"][best]["cv"]["roc_auc"]["high"] < 0:
        name = best.replace("_", " ")
        found.append(f"The network ranks samples worse than {name} does, in cross-validation.")
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
