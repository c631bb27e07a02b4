"""Names as R writes them: `read.table` changes `HLA-A` to `HLA.A`, and `5S` to `X5S`."""

import re
import unicodedata
from collections.abc import Iterable

_RESERVED = frozenset(
    ("if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE",
     "NULL", "Inf", "NaN", "NA", "NA_integer_", "NA_real_", "NA_character_", "NA_complex_")
)  # fmt: skip
_STARTS = re.compile(r"[^\W\d_]|\.(?!\d)")
_INVALID = re.compile(r"[^\w.]")
_REPEAT = re.compile(r"(.+)\.\d+")
_CLONE = re.compile(r"\w+[-.]\d+[A-Z]\d+|[A-Z]{2}\d{5,6}")


def make_names(name: str) -> str:
    """R's `make.names`: `X` before what cannot begin a name, a dot for what cannot stand in one.

    The name of a name is that name. Accents are composed: macOS takes them apart.
    https://stat.ethz.ch/R-manual/R-devel/library/base/html/make.names.html
    """
    name = unicodedata.normalize("NFC", name)
    valid = _INVALID.sub(".", name if _STARTS.match(name) else f"X{name}")
    return f"{valid}." if valid in _RESERVED else valid


def by_r_name(names: Iterable[str]) -> dict[str, set[str]]:
    """Names by what R makes of them."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(make_names(name), set()).add(name)
    return found


def first_of(name: str) -> str | None:
    """The name that `make.unique` gave a number to (`TP53` of `TP53.1`); None for other names.

    Genes named by their clone (`RP11-13G14.4`) have a number of their own.
    """
    found = _REPEAT.fullmatch(name)
    return found[1] if found and not _CLONE.fullmatch(found[1]) else None
