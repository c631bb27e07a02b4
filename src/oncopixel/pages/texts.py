"""Values as people read them; of the standard library alone, like the comment on pull requests."""

import math
import numbers
from collections.abc import Mapping
from typing import Any

NOTHING = "\N{EN DASH}"
_IN_CAPITALS = "AUC AUPRC CI CNN DNA ECE F1 FDP FDR ID L1 L2 MCC PR ROC"
ACRONYMS = {word.lower(): word for word in _IN_CAPITALS.split()}


class Cell(str):
    """A text that sorts as the number that it tells."""

    order: str

    def __new__(cls, text: str, order: float) -> "Cell":
        """`text`, with its number."""
        made = super().__new__(cls, text)
        made.order = f"{order:.6g}"
        return made


def short(value: float) -> str:
    """Three significant digits, no decimals from 1,000 on; nothing where it is no number."""
    if not math.isfinite(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def cell(value: Any) -> str:
    """A value or a list as text, numbers with three significant digits, sentences a line each."""
    if hasattr(value, "tolist"):  # NumPy's
        value = value.tolist()
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return Cell(f"{int(value)}", int(value))
    if isinstance(value, numbers.Real):
        return Cell(short(float(value)), float(value)) if math.isfinite(value) else NOTHING
    if isinstance(value, Mapping):
        return _interval(value)
    if isinstance(value, list | tuple):
        parts = (f"[{cell(x)}]" if isinstance(x, list | tuple) else cell(x) for x in value)
        sentences = any(isinstance(x, str) and " " in x for x in value)
        return ("\n" if sentences else ", ").join(parts) or NOTHING
    return str(value) or NOTHING


def _interval(value: Mapping[str, Any]) -> str:
    """A number with the interval between `low` and `high`, or these alone; a fixed one is named."""
    middle = next((item for key, item in value.items() if key not in ("low", "high")), None)
    if middle is None:
        return ends(value)
    text, around = estimate(middle), ends(value)
    known = isinstance(text, Cell) and around != NOTHING
    return Cell(f"{text} ({around})", middle) if known else text


def estimate(value: Any) -> str:
    """As `cell`, but that the zeros at the end of a measured number stay."""
    text = cell(value)
    if not isinstance(value, float) or text == NOTHING or not 0 < abs(value) < 1000:
        return text
    return Cell(f"{value:#.3g}".rstrip("."), value)


def ends(value: Mapping[str, Any]) -> str:
    """The interval between `low` and `high`; of one that no draw moved it is said so."""
    low, high = value["low"], value["high"]
    if NOTHING in (cell(low), cell(high)):
        return NOTHING
    if low == high:
        return "none: no draw moved it"
    if cell(low) == cell(high):  # near to one another, or to 1
        return f"{low:.6g} to {high:.6g}"
    return f"{estimate(low)} to {estimate(high)}"


def words(name: object) -> str:
    """A key of ours as people write it: spaces for underscores, acronyms in capitals."""
    return " ".join(ACRONYMS.get(word.lower(), word) for word in str(name).split("_"))
