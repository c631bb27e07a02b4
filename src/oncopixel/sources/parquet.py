"""Parquet files, and what their columns may hold."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ..core.errors import SourceError, first_few, one_line
from .text import Bounds


def read_parquet(path: Path, bounds: Bounds) -> pa.Table:
    """The table of a Parquet file; `SourceError` when it is damaged, or larger than any table."""
    try:
        with pa.OSFile(str(path)) as stream:
            file = pyarrow.parquet.ParquetFile(stream)
            bounds.refuse_larger(path, file.metadata.num_rows, file.metadata.num_columns)
            table = file.read()
            table.validate(full=True)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(
            f"{path} is no readable Parquet file: {one_line(error)}. Copy it again."
        ) from None
    if not table.column_names:
        raise SourceError(f"{path} has no columns.")
    return table


def id_column(path: Path, table: pa.Table) -> str:
    """The column of ids: the index that pandas stored, else the first one."""
    try:
        stored = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        index = [name for name in stored if name in table.column_names]
    except (ValueError, KeyError, TypeError, RecursionError):
        index = []
    if len(index) > 1:
        raise SourceError(
            f"{path} has an index of {len(index)} columns, {first_few(index)}. Make it one."
        )
    return index[0] if index else str(table.column_names[0])


def as_plain(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as numbers, truth values or text."""
    types = pa.types
    try:
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        return column if plain else column.cast(pa.string())
    except pa.ArrowException:
        raise SourceError(
            f"{path}: column {name!r} holds {column.type}. Make it text or numbers."
        ) from None


def as_float(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as float32; `SourceError` when it holds anything but numbers or truth values."""
    try:
        numeric = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raise pa.ArrowInvalid("text")
        return numeric.cast(pa.float32(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise SourceError(
            f"{path}: column {name!r} holds {column.type}, not numbers. Apart from the ids in the "
            "first column, a matrix holds numbers only: remove the column, or convert it."
        ) from None
