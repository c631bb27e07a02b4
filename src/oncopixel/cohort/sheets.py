"""Columns of a sample sheet: identifiers, numbers, or text; and names that are none."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from ..core.errors import SourceError, first_few, hidden, printable
from .contract import missing
from .labels import MAX_NUMERIC_CLASSES

GROUPED = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+\s*")
DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}([. '\u2019\u00a0\u202f]\d{3})+),\d+\s*")
SPACED = re.compile(r"\s*[+-]?\d{1,3}([, '\u2019\u00a0\u202f]\d{3})+(\.\d+)?\s*")
"""Numbers with a comma for thousands, for decimals, and with other marks for thousands."""
_PLAIN = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_EXACT = 2**53
"""Below which double precision tells all whole numbers apart."""
MAX_NAME = 500
"""Characters of a name of a sample, a patient, a gene or a column."""
_UNSEEN = "holds characters that cannot be seen"
_USUAL = {"", "NA", "NaN", "nan"}
"""Missing values that need no word."""


def typed(
    sheet: pd.DataFrame, identifying: Collection[str], origin: str
) -> tuple[pd.DataFrame, list[str]]:
    """The sheet with text, None where missing, or plain numbers in its columns; and notes.

    Returns
    -------
    tuple
        Columns that are `identifying` are text as it is written. Others are numbers where all
        values are: without leading zeros, finite, and told apart by double precision.

    Raises
    ------
    SourceError
        For identifiers that cannot be told apart or seen, and for NUL characters.
    """
    columns, notes, words = {}, [], []
    for name in sheet:
        column, gone = sheet[name], missing(sheet[name])
        stated = {str(value).strip() for value in column[gone & column.notna()]} - _USUAL
        if stated:
            words.append(f"{name} {int(gone.sum())} ({first_few(sorted(stated))})")
        if "-" in stated and column.astype(str).str.fullmatch(r"\s*\++\s*").any():
            notes.append(
                f"sample sheet: column {name!r} holds + and -, and - counts as missing. If it "
                "means negative, write so"
            )
        if name not in identifying and pd.api.types.is_numeric_dtype(column):
            columns[name] = column
            continue
        text = pd.Series(as_text(column, f"{origin}, column {name!r}"), sheet.index, dtype=object)
        for sample, value in text.items():
            fact = misnamed(value) if name in identifying else _UNSEEN * ("\0" in value)
            if fact:
                raise SourceError(
                    f"{origin}, column {name!r}, sample {sample}: '{printable(value)[:80]}' "
                    f"{fact}. Change it."
                )
        text[gone] = None
        columns[name] = text
        if name not in identifying:
            columns[name], fact = _number(text)
            notes += [f"sample sheet: column {name!r} {fact}"] * bool(fact)
    if words:
        notes.append(f"sample sheet: cells that count as missing: {'; '.join(words)}")
    return pd.DataFrame(columns, sheet.index), notes


def as_text(column: pd.Series, origin: str) -> list[str]:
    """The values as text, "" where missing; whole numbers without a point, if exact."""
    kind = getattr(column.dtype, "numpy_dtype", column.dtype)
    digits = np.finfo(kind).nmant if kind.kind == "f" else 52

    def text(value: object) -> str:
        if isinstance(value, float | np.floating) and float(value).is_integer():
            if abs(value) >= 2 ** (digits + 1):
                raise SourceError(
                    f"{origin} holds {value!r}, a floating-point number too large to tell "
                    "identifiers apart. Store it as text."
                )
            return str(int(value))
        return str(value).strip()

    gone = missing(column)
    return ["" if none else text(value) for value, none in zip(column.array, gone, strict=True)]


def misnamed(name: str) -> str:
    """Why a name identifies nothing to a reader; "" when it does."""
    if hidden(name):
        return _UNSEEN
    return f"has more than {MAX_NAME} characters" if len(name) > MAX_NAME else ""


def refuse_repeats(names: pd.Index, origin: str, what: str) -> None:
    """Raises `SourceError` for an empty or odd name, and for names that occur more than once."""
    nameless = names == "" if what == "column" else missing(names.to_series())
    if nameless.any():
        position = int(np.flatnonzero(nameless)[0])
        stated = f" ({names[position]!r})" if names[position] else ""
        raise SourceError(
            f"{origin}: {what} {position + 1} of {len(names)} has no name{stated}. Name it, or "
            "remove it."
        )
    refuse_odd_names(names, origin, what)
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise SourceError(
            f"{origin}: {len(repeated)} {what}s occur more than once: {first_few(repeated)}. "
            f"Every {what} needs a name of its own; keep one of each."
        )


def refuse_odd_names(names: pd.Index, origin: str, what: str) -> None:
    """Raises `SourceError` for a name with characters that cannot be seen, and one without end."""
    for position, name in enumerate(names):
        if fact := misnamed(name):
            raise SourceError(
                f"{origin}: the name of {what} {position + 1} of {len(names)} {fact}: "
                f"'{printable(name)[:80]}'. Change it."
            )


def _number(text: pd.Series) -> tuple[pd.Series, str]:
    """A column of text as numbers, if it is one, and what is odd in it."""
    known = text.dropna()
    plain = known.map(lambda value: bool(_PLAIN.fullmatch(value))).astype(bool)
    if known.empty or not plain.all():
        foreign = known[[_in_other_notation(value) for value in known]]
        if len(foreign) > len(known) / 2:
            return text, (
                f"holds numbers in another notation ({_cells(foreign)}): it is kept as text. Write "
                "decimals with a point, and thousands without separators"
            )
        nearly = plain.mean() > 0.5
        odd = known[~plain]
        fact = f"holds numbers but for {len(odd)} cells ({_cells(odd)}): it is kept as text"
        return text, fact * bool(nearly)
    numbers = known.astype(float)
    whole = known.map(lambda value: bool(_WHOLE.fullmatch(value))).astype(bool)
    large = known[(~np.isfinite(numbers)) | (whole & (numbers.abs() >= _EXACT))]
    if len(large):
        return text, f"holds numbers too large to be exact ({_cells(large)}): it is kept as text"
    if numbers.nunique() < known.nunique() <= MAX_NUMERIC_CLASSES:
        return text, (
            f"writes the same numbers in several ways ({first_few(sorted(known.unique()))}): it is "
            "kept as text"
        )
    filled = pd.to_numeric(text.where(text.notna(), None).map(float, na_action="ignore"))
    return (filled.astype("int64") if whole.all() and len(known) == len(text) else filled), ""


def _in_other_notation(cell: str) -> bool:
    return any(kind.fullmatch(cell) for kind in (GROUPED, SPACED, DECIMAL_COMMA))


def _cells(values: pd.Series) -> str:
    return first_few(f"{sample} {value!r}" for sample, value in values.items())
