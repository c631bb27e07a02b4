"""Results as tables of short texts: any nesting of mappings, and data frames."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from .texts import NOTHING, cell, words

MAX_COLUMNS = 12
GENE_LISTS = {"genes", "leading_genes", "drivers"}
"""Columns of names between spaces."""
SHOWN = 3
"""Names of a list that are always to be seen."""


class Genes(str):
    """Names of which the first are shown, and the others on demand."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """A table with a title, and the tables below it."""

    title: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    children: list["Table"] = field(default_factory=list)
    id: str = ""
    marks: list[Markup] = field(default_factory=list)
    """Attributes of each row."""


def tabulate(title: str, content: Mapping[str, Any]) -> Table:
    """Any nesting of mappings as tables: flat ones are rows of one, deeper ones tables below."""
    merged = {key: _listed(value) for key, value in _with_intervals(content).items()}
    rows = [[words(key), cell(value)] for key, value in merged.items() if not _is_nested(value)]
    nested = {key: _with_intervals(value) for key, value in merged.items() if _is_nested(value)}
    alike = _alike(nested)
    children = [_matrix(alike)] if alike else []
    children += [tabulate(words(k), value) for k, value in nested.items() if k not in alike]
    return Table(title, ["", ""] if rows else [], rows, children)


def _with_intervals(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with every `x`, or `value`, or `index`, and its two ends as one value."""
    ends = {
        key: {"value": content[key], "low": content[f"{key}_low"], "high": content[f"{key}_high"]}
        for key in content
        if f"{key}_low" in content and f"{key}_high" in content
    }
    gone = {f"{key}_{end}" for key in ends for end in ("low", "high")}
    if {"low", "high"} < content.keys() and len(content) > 3:
        for key in {"value", "index"} & content.keys():
            ends[key] = {"value": content[key], "low": content["low"], "high": content["high"]}
            gone |= {"low", "high"}
    return {key: ends.get(key, value) for key, value in content.items() if key not in gone}


def _listed(value: Any) -> Any:
    """A list that holds mappings as a mapping by position, no mapping at all as None."""
    if isinstance(value, (list, tuple)) and any(isinstance(entry, Mapping) for entry in value):
        return {str(i): entry for i, entry in enumerate(value, 1)}
    return None if isinstance(value, Mapping) and not value else value


def _is_nested(value: Any) -> bool:
    """Whether `value` is a mapping other than an interval, which fits in a cell."""
    if not isinstance(value, Mapping):
        return False
    simple = not any(isinstance(entry, Mapping) for entry in value.values())
    return not ({"low", "high"} <= set(value) and len(value) <= 3 and simple)


def _alike(nested: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The mappings that fill one table, a row each: no nesting in them, most keys in common."""
    flat = {
        name: value
        for name, value in nested.items()
        if not any(_is_nested(_listed(entry)) for entry in value.values())
    }
    keys = {key for value in flat.values() for key in value}
    common = len(flat) > 1 and all(2 * len(value) >= len(keys) for value in flat.values())
    return flat if common and len(keys) <= MAX_COLUMNS else {}


def _matrix(content: Mapping[str, Mapping[str, Any]]) -> Table:
    """Mappings of like keys, a row each."""
    keys = list(dict.fromkeys(key for value in content.values() for key in value))
    rows = [
        [words(name), *(cell(value[key]) if key in value else NOTHING for key in keys)]
        for name, value in content.items()
    ]
    return Table("", ["", *map(words, keys)], rows)


def from_frame(frame: pd.DataFrame, title: str = "") -> Table:
    """A data frame, without its index."""
    kinds = [Genes if column in GENE_LISTS else cell for column in frame.columns]
    rows = [
        [NOTHING if pd.isna(value) else kind(value) for kind, value in zip(kinds, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]
    return Table(title, [words(column) for column in frame.columns], rows)


def rich(value: str) -> str:
    """The text as it stands in a cell: a long list of names folded."""
    names = value.split() if isinstance(value, Genes) else []
    if len(names) <= SHOWN + 1:
        return value
    first, rest = " ".join(names[:SHOWN]), " ".join(names[SHOWN:])
    return Markup("<details><summary>{}</summary>{}</details>").format(first, rest)


def order(value: str) -> str:
    """The attribute by which a cell is sorted, where it tells a number."""
    number = getattr(value, "order", None)
    if value == NOTHING:
        number = ""  # or DataTables would take the column's numbers for texts
    return "" if number is None else Markup(' data-order="{}"').format(number)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """`section.key` and value of every parameter; a list is one value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}" if name else key)
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
