"""What values look like, by their distribution, and which scale they cannot be.

Arrays are `(samples, genes)`, NaN where missing. Statistics are of all samples and of genes taken
at even steps, at most `LOOKED_AT` values. A few values tell nothing: below `LEAST` no distribution
is judged.
"""

import numpy as np

from ..core.errors import SourceError
from ..core.params import MAX_LOG2, Scale
from .contract import Matrix

LOG10_BELOW = ((1_000, 8.0), (0, 6.0))
"""By least number of genes: log10(x+1) stays below it, and the highest log2(x+1) does not."""
LOOKED_AT = 4_000_000
LEAST = 200
LEAST_EACH = 10
"""Samples, and genes, that it takes to compare genes, or samples."""
NEGATIVE = 0.1
"""Share of negative values that no rare defect explains."""
RARE = 0.01
"""Share of negative values that noise leaves among ratios."""
FRACTIONAL = 0.01
"""Share of values that are not whole from which on they are no whole numbers with a few slips."""
MOST = 0.9
"""Share of the genes that must agree."""

_LOG2 = "If they are log2(x + 1), set `scale: log2` (with `predict`, say --scale log2)."
LOOKS = {
    "z-scores": "its values look like z-scores or log ratios. Give the values before those; as an "
    "external cohort with `scale: log2` and `align: zscore` they will do.",
    "logs": f"its values look like logarithms: none is {MAX_LOG2:g}, not all are whole. {_LOG2}",
    "counts": "its values look like counts, as they are whole numbers. Set `scale: counts`.",
    "thousands": "its values look like whole numbers with a point for thousands: 8.674 for 8674. "
    "Write them without it.",
    "ln": "its values look like natural logarithms, ln(x + 1). Multiply them by 1.442695.",
    "log10": "its values look like decadic logarithms, log10(x + 1). Multiply them by 3.321928.",
}
"""What values may be that are no expression on the declared scale, and what to do."""


def check_values(matrix: Matrix, channel: str, scale: Scale = "log2") -> None:
    """Raises `SourceError` for values that a channel cannot have; z-scores pass as log2."""
    values = matrix.frame.to_numpy()
    if channel == "mutation":
        remedy = (
            "Write 1 for a mutated gene or a weight below 1, 0 for wild type, NA if not sequenced."
        )
        _refuse(matrix, (values < 0) | (values > 1), "not from 0 to 1", remedy)
        return
    if channel == "copy_number":
        remedy = "Floor log2(copies / 2) of lost genes, such as at -3."
        _refuse(matrix, np.isinf(values), "infinite", remedy)
        if looks := copies(values):
            raise SourceError(
                f"{matrix.origin}, taken as copy number: {looks} Give log2(copies / 2), which is "
                "log2(ratio) and 0 for two copies, or GISTIC levels from -2 to 2."
            )
        return
    remedy = "Was it divided by zero? Leave missing values empty."
    _refuse(matrix, np.isinf(values), "infinite", remedy)
    if looks := misfit(values, scale):
        raise SourceError(f"{matrix.origin} is taken as `{scale}`, but {looks}")
    if scale == "log2":
        remedy = (
            "Are the values not logged? Set `scale` (of `predict`: --scale) to counts, rsem, tpm "
            "or fpkm."
        )
        _refuse(matrix, values > MAX_LOG2, "too large for log2(x+1)", remedy)
        return
    remedy = "Are the values log-scaled? Then set `scale: log2`."
    _refuse(matrix, values < 0, f"negative, which `scale: {scale}` cannot be", remedy)
    if scale == "counts":
        remedy = "Are the values log-scaled (`scale: log2`) or normalised (`rsem`, `tpm`, `fpkm`)?"
        _refuse(matrix, values % 1 > 0, "not whole, as `scale: counts` must be", remedy)


def _refuse(matrix: Matrix, wrong: np.ndarray, fact: str, remedy: str) -> None:
    """`SourceError` that names the first wrong value, when there is one."""
    if not wrong.any():
        return
    sample, gene = np.unravel_index(int(wrong.argmax()), wrong.shape)
    frame = matrix.frame
    raise SourceError(
        f"{matrix.origin}: gene {frame.columns[gene]!r}, sample {frame.index[sample]!r} is "
        f"{frame.to_numpy()[sample, gene]:g}: {fact} ({int(wrong.sum())} such values). {remedy}"
    )


def misfit(values: np.ndarray, scale: Scale) -> str | None:
    """What the values look like in place of expression on this scale, and what to do, or None."""
    whole, values = values, _some(values)
    below = next(limit for genes, limit in LOG10_BELOW if whole.shape[1] >= genes)
    if np.isfinite(values).sum() < LEAST:
        return None
    limits = _shared_limits(values)
    if limits:
        return (
            f"its values look as if scaled from {limits[0]:g} to {limits[1]:g} (min-max). Give the "
            "values before that."
        )
    if _negative(values) >= NEGATIVE:
        return None if scale == "log2" else LOOKS["z-scores"]
    highest = float(np.nanmax(values))
    if scale == "log2":
        return _other_logarithm(values, low=highest < below) if highest <= MAX_LOG2 else None
    if highest < MAX_LOG2 and _fractional(values) > FRACTIONAL:
        return LOOKS["logs"]
    if _points_for_thousands(values):
        return LOOKS["thousands"]
    if scale in ("tpm", "fpkm") and _fractional(values) == 0:
        sums = np.nansum(values, axis=1) * (whole.size / values.size)
        if scale == "fpkm" or abs(np.median(sums) / 1e6 - 1) > 0.1:  # TPM may be rounded
            return LOOKS["counts"]
    return None


def relative(values: np.ndarray) -> bool:
    """Whether values are relative to those of other samples or genes: z-scores, log ratios.

    Returns
    -------
    bool
        A tenth or more are negative, and either genes differ in level no more than samples do in
        one gene, or each sample has a mean of 0; of too few samples: all lie close around 0.
    """
    values = _some(values)
    known = values[np.isfinite(values)]
    if len(known) < LEAST or (known < 0).mean() < NEGATIVE:
        return False
    spread = float(known.std())
    sums = _means(values, axis=1)
    if values.shape[1] >= LEAST_EACH and (np.abs(sums) < 0.02 * spread).all() and len(sums) > 1:
        return True
    if len(values) < LEAST_EACH:
        low, middle, high = np.percentile(known, [25, 50, 75])
        return bool(abs(middle) < 1 and high - low < 3)
    measured = values[:, np.isfinite(values).any(axis=0)]
    levels = np.nanmedian(measured, axis=0)
    within = float(np.median(np.nanstd(measured, axis=0)))
    return bool(abs(np.median(levels)) < within and levels.std() < 1.5 * within)


def refuse_relative(values: np.ndarray, scale: Scale, origin: str) -> None:
    """`SourceError` for `relative` values that are declared as log2(x + 1)."""
    if scale == "log2" and relative(values):
        raise SourceError(f"{origin} is taken as `log2`, but {LOOKS['z-scores']}")


def copies(values: np.ndarray) -> str | None:
    """What copy numbers are that are neither log2(copies / 2) nor GISTIC levels; else None."""
    values = _some(values)
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, middle, high = known.min(), float(np.median(known)), known.max()
    whole = _fractional(known) == 0
    if _negative(known) < RARE and middle >= (1 if whole else 0.5):
        kind = "ratios to normal, or log2(ratio + 1)" if middle < 1.35 else "numbers of copies"
        some = "no value" if low >= 0 else "hardly any value"
        return f"{some} is negative and the median is {middle:.3g}: {kind}?"
    if whole and known.size >= LEAST and (low < -2 or high > 2):
        return f"all are whole numbers, from {low:g} to {high:g}: copies less 2?"
    return None


def _some(values: np.ndarray) -> np.ndarray:
    return values[:, :: max(1, values.size // LOOKED_AT)]


def _points_for_thousands(values: np.ndarray) -> bool:
    """Whether all broken values have three decimals, and none is below 1 or from 1,000 on."""
    broken = values[np.isfinite(values) & (values % 1 != 0)].astype(np.float64)
    if broken.size < LEAST or broken.min() < 1 or np.nanmax(values) >= 1000:
        return False
    whole = np.rint(1000 * broken)
    exact = np.abs(1000 * broken - whole) < 1e-4 * broken
    return bool(exact.all() and (whole % 10 != 0).mean() > 0.5)


def _means(values: np.ndarray, axis: int) -> np.ndarray:
    count = np.isfinite(values).sum(axis=axis)
    return np.asarray(np.nansum(values, axis=axis, dtype=np.float64) / np.maximum(count, 1))


def _negative(values: np.ndarray) -> float:
    return float((values < 0).sum() / max(1, np.isfinite(values).sum()))


def _fractional(values: np.ndarray) -> float:
    """Share of the values that are no whole numbers."""
    known = values[np.isfinite(values)]
    return float((known % 1 != 0).mean()) if known.size else 0.0


def _shared_limits(values: np.ndarray) -> tuple[float, float] | None:
    """Lowest and highest value, where all values are within 0 and 1 or most genes have the same."""
    low, high = (reduce(values, axis=0) for reduce in (np.fmin.reduce, np.fmax.reduce))
    if np.nanmin(low) >= 0 and np.nanmax(high) <= 1 + 1e-6:
        return 0.0, 1.0
    varying = high > low
    if len(values) < LEAST_EACH or varying.sum() < LEAST_EACH:
        return None
    ends = np.round(np.stack([low, high])[:, varying], 4)
    first, last = np.median(ends, axis=1)
    same = (np.abs(ends - [[first], [last]]) <= 1e-3 * (last - first)).all(axis=0)
    return (float(first), float(last)) if same.mean() >= MOST else None


def _other_logarithm(values: np.ndarray, *, low: bool) -> str | None:
    """Counts, or logarithms to another base, in place of log2(x + 1); decadic ones are `low`."""
    if _fractional(values) == 0:
        return LOOKS["counts"]
    for base, looks in ((2.0, None), (np.e, LOOKS["ln"]), (10.0, LOOKS["log10"])):
        if _of_whole_numbers(values, base) or _of_equal_sums(values, base):
            return looks
    return LOOKS["log10"] if low else None


def _of_whole_numbers(values: np.ndarray, base: float) -> bool:
    """Whether values are log(c n + 1) of whole n, c the same in a sample, by n from 2 to 8."""
    linear = np.expm1(np.where(values > 0, values, np.nan).astype(np.float64) * np.log(base))
    numbers = linear / np.fmin.reduce(linear, axis=1, keepdims=True)
    numbers = numbers[(numbers > 1.5) & (numbers < 8.5)]
    return numbers.size >= LEAST and bool((np.abs(numbers - np.rint(numbers)) < 0.06).mean() > 0.95)


def _of_equal_sums(values: np.ndarray, base: float) -> bool:
    """Whether what was logged adds up to the same in all samples, as TPM and CPM do."""
    if min(values.shape) < LEAST_EACH or np.isnan(values).any():
        return False
    sums = np.expm1(values.astype(np.float64) * np.log(base)).sum(axis=1)
    return bool(sums.std() < 1e-3 * sums.mean())
