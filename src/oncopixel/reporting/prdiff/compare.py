"""The scores of two revisions beside each other, with the interval of every difference.

A score is marked better or worse only when the whole 95 % interval of its difference lies beyond
the tolerance of the base revision (`report.tolerance`). Both runs score the same bootstrap draws
of the same patients (`draws.csv`), so the differences are paired; where patients differ, the
interval is that of independent runs and says so.
"""

import math
import statistics
from typing import Any

from .numbers import HIGHER_IS_BETTER, Numbers

BETTER, WORSE, NOISE, EQUAL, NO_INTERVAL = "▲ better", "▼ worse", "within noise", "=", ""
GONE, NEW, INCONSISTENT = "gone", "new", "value and draws disagree"
AGREE = 1e-3
"""How far a value may be from what its draws say, for rounding."""
LEAST_DRAWS = 40

Row = dict[str, Any]


def compare(base: Numbers, head: Numbers) -> dict[str, list[Row]]:
    """Per cohort of both sides one row per score: values, difference, interval and mark."""
    return {
        name: [
            _row(score, cohort, head["cohorts"][name])
            for score in HIGHER_IS_BETTER
            if score in cohort["scores"] or score in head["cohorts"][name]["scores"]
        ]
        for name, cohort in base["cohorts"].items()
        if name in head["cohorts"]
    }


def tolerance(cohort: Numbers) -> float:
    """The difference in a score that still counts as none; 0 where a revision states none."""
    return float(cohort["params"].get("report.tolerance", 0.0))


def _row(score: str, base: Numbers, head: Numbers) -> Row:
    before, after = (side["scores"].get(score, {"value": None}) for side in (base, head))
    row: Row = {"score": score, "base": before["value"], "head": after["value"]}
    row |= {"difference": None, "interval": None, "paired": True, "mark": NO_INTERVAL}
    if before["value"] is None or after["value"] is None:
        if before["value"] is not after["value"]:
            row["mark"] = GONE if after["value"] is None else NEW
        return row
    row["difference"] = after["value"] - before["value"]
    part = score.split("_")[0]
    draws = [side["draws"].get(score) for side in (base, head)]
    pairing = base["pairing"].get(part)
    if all(draws) and pairing is not None and pairing == head["pairing"].get(part):
        row["interval"] = _paired(*draws)
    elif None not in (
        ends := [side.get(end) for side in (before, after) for end in ("low", "high")]
    ):
        row["paired"] = False
        row["interval"] = _independent(row["base"], row["head"], *ends)
    row["mark"] = _mark(row, tolerance(base), before == after)
    return row


def _mark(row: Row, limit: float, equal: bool) -> str:
    if row["interval"] is None:
        return EQUAL if equal else NO_INTERVAL
    low, high = row["interval"]
    if row["paired"]:
        slack = high - low + AGREE
        if not low - slack <= row["difference"] <= high + slack:
            return INCONSISTENT
        if equal:
            return EQUAL
    if not HIGHER_IS_BETTER[row["score"]]:
        low, high = -high, -low
    return BETTER if low > limit else WORSE if high < -limit else NOISE


def _paired(base: list[float | None], head: list[float | None]) -> tuple[float, float] | None:
    """The 2.5 % and 97.5 % quantiles of the differences draw by draw."""
    both = zip(base, head, strict=False)
    differences = [b - a for a, b in both if a is not None and b is not None]
    if len(differences) < LEAST_DRAWS:
        return None
    quantiles = statistics.quantiles(differences, n=40, method="inclusive")
    return quantiles[0], quantiles[-1]


def _independent(
    base: float, head: float, base_low: float, base_high: float, head_low: float, head_high: float
) -> tuple[float, float]:
    """The interval of a difference of two independent estimates (Zou & Donner 2008, MOVER)."""
    difference = head - base
    return (
        difference - math.hypot(head - head_low, base_high - base),
        difference + math.hypot(head_high - head, base - base_low),
    )
