"""Whether new samples are such as a model was trained on: on its scale, and how far away they are.

What a model's preprocessor stored of its training samples is all that is known of them here.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..cohort.contract import Cohort
from ..core.errors import SourceError
from ..core.params import MAX_LOG2
from .preprocessing import features, match_genes
from .preprocessor import Preprocessor

PROBED = 200
"""Samples whose scale is looked at, at most."""
DOUBTED, SHIFTED = 0.3, 1.0
"""Shift of the typical gene, in SDs of the training samples, from which another reading is looked
for, and from which the scale is in doubt."""
IMPOSSIBLE = 4.0
"""Such a shift that no other cohort, platform or tissue has."""
EXPLAINED = 0.5
"""Share of the shift that a reading may leave, and `SHIFTED` at most, to be what the values are."""
BEYOND = 1.2
"""How many times the greatest distance of a training sample is clearly beyond it."""
CLIPPED = 0.05
"""Share of values beyond the clipping limit that is worth a warning."""

Reading = Callable[[np.ndarray], np.ndarray]
LOGARITHMS: dict[str, tuple[Reading, str]] = {
    "log2(x + 1)": (lambda x: x, "Say `--scale log2`"),
    "natural logarithms": (lambda x: x / np.log(2), "Divide them by ln 2 = 0.693"),
    "decadic logarithms": (lambda x: x * np.log2(10), "Multiply them by log2(10) = 3.322"),
}
"""What values may be, what makes them log2(x + 1), and what to do then."""


def check_scale(pre: Preprocessor, cohort: Cohort, origin: str) -> list[str]:
    """Warnings, a sentence each, on far-off values; `SourceError` when the scale is another one."""
    if "expression" not in pre.channels:
        return []
    rows = np.linspace(0, len(cohort.samples) - 1, min(len(cohort.samples), PROBED)).astype(int)
    probe = cohort.take(np.unique(rows))
    at = match_genes(pre, probe.genes.index, probe.genes["ensembl_id"])
    values = probe.layer("expression")
    used = (at >= 0) & ~np.isnan(values[:, at]).all(axis=0)
    if not used.any():
        return []
    raw, z = values[:, at[used]], _unclipped(pre, probe)[:, used]
    shift = _shift(z)
    what = f"{origin} cannot be expression on the scale `{cohort.scale}`"
    if shift >= SHIFTED and np.nanmin(raw) >= 0 and np.nanmax(raw) <= 1:
        raise SourceError(
            f"{what}: all values lie from 0 to 1. Were they scaled? Give them as they were before."
        )
    far = f"the typical gene lies {shift:.1f} SD away from the training samples"
    limit = min(EXPLAINED * shift, SHIFTED)
    left, name, remedy = np.inf, "", ""
    certain = DOUBTED
    if shift >= DOUBTED:
        left, name, remedy = min(_readings(pre, probe, raw, used))
        if left > limit:
            left, name, remedy = _unit(pre, probe, raw, used)
            certain = SHIFTED
    if left <= limit:
        line = f"{far}, and would not if they were {name}. {remedy}"
        if shift >= certain:
            raise SourceError(f"{what}: {line}.")
        return [line]
    if shift >= IMPOSSIBLE:
        raise SourceError(
            f"{what}: {far}. Give values of the scale and unit that the model was trained on."
        )
    if shift >= SHIFTED:
        return [f"{far}: another platform, tissue or unit? Probabilities may be off"]
    clipped = float((np.abs(z) > pre.params.clip).mean())
    if clipped > CLIPPED:
        return [f"{clipped:.0%} of the values lie beyond {pre.params.clip:g} SD and are clipped"]
    return []


def _readings(
    pre: Preprocessor, probe: Cohort, raw: np.ndarray, used: np.ndarray
) -> Iterator[tuple[float, str, str]]:
    """The shift that each other reading of the values leaves, its name, and what to do then."""
    for name, (reading, remedy) in LOGARITHMS.items():
        if not (name == "log2(x + 1)" and probe.scale == "log2"):
            yield _shift(_unclipped(pre, _as_log2(probe, reading))[:, used]), name, remedy
    yield _shift(np.nan_to_num(raw)), "z-scores", "Give the values that they were made of"


def _unit(
    pre: Preprocessor, probe: Cohort, raw: np.ndarray, used: np.ndarray
) -> tuple[float, str, str]:
    """The same for values that are so many times as large."""
    logged: Reading = (lambda x: x) if probe.scale == "log2" else (lambda x: np.log2(x + 1))
    center = pre.genes["expression_center"].to_numpy()[used]
    here = np.nanmedian(logged(raw), axis=0)
    shown = (center > 1) & (here > 0)
    if not shown.any():
        return np.inf, "", ""
    factor = np.median((np.exp2(center[shown]) - 1) / (np.exp2(here[shown]) - 1))
    rescaled = _as_log2(
        probe, lambda x: np.log2(np.maximum(factor * (np.exp2(logged(x)) - 1) + 1, 1e-3))
    )
    remedy = "Give values of the unit and normalisation that the model was trained on"
    left = _shift(_unclipped(pre, rescaled)[:, used])
    return left, f"{factor:.2g} times as large", remedy


def _as_log2(cohort: Cohort, reading: Reading) -> Cohort:
    """The cohort whose expression is this reading of its values, as log2(x + 1)."""
    data = cohort.tables()
    data.layers["expression"] = np.minimum(
        reading(cohort.layer("expression")), MAX_LOG2, dtype=np.float32
    )
    data.uns["scale"] = "log2"
    return Cohort(data)


def _unclipped(pre: Preprocessor, cohort: Cohort) -> np.ndarray:
    """`(samples, genes)` standardised expression."""
    free = replace(pre, params=pre.params.model_copy(update={"clip": np.inf}))
    return features(free, cohort)[:, :, pre.channels.index("expression")]


def _shift(z: np.ndarray) -> float:
    """How far the median of the typical gene is from 0, less what chance gives so few samples."""
    chance = 0.6745 * min(1.0, np.sqrt(np.pi / 2 / len(z)))
    typical = float(np.median(np.abs(np.median(z, axis=0))))
    return float(np.sqrt(max(typical**2 - chance**2, 0)))


def distances(pre: Preprocessor, cohort: Cohort, values: np.ndarray) -> np.ndarray:
    """`(samples,)` mean |feature| of the first channel, 1 for a typical training sample; or NaN."""
    if pre.channels[0] not in cohort.channels:
        return np.full(len(values), np.nan)
    found = match_genes(pre, cohort.genes.index, cohort.genes["ensembl_id"]) >= 0
    typical = pre.distances[len(pre.distances) // 2]
    return np.asarray(np.abs(values[:, found, 0]).mean(axis=1) / (typical or 1.0))


def farthest(pre: Preprocessor) -> float:
    """The distance that is clearly greater than that of any training sample."""
    return BEYOND * pre.distances[-1] / (pre.distances[len(pre.distances) // 2] or 1.0)
