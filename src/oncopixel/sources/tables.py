"""Tables on disk: TSV, CSV or Parquet, gzipped or not.

A matrix goes straight to float32: 500 samples of 60,000 genes take seconds, and at most ten times
their size in memory. Only when that fails is the text walked, to name the cell that is wrong.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..cohort.contract import Matrix
from ..cohort.sheets import as_text, refuse_odd_names, refuse_repeats
from ..core.errors import SourceError, did_you_mean, first_few, one_line
from . import text
from .dialects import SERIES, find_table
from .text import Bounds, Dialect, Layout

NO_KEY = ("NA", "N/A", "#N/A", "nan", "NaN", "null", "NULL", "None")
"""Keys of no gene; other words for what is not known are genes, such as UNK."""


@dataclass(frozen=True)
class _Table:
    """A table as it stands in its file: the ids in the first column, and the other columns."""

    ids: list[str]
    id_name: str
    names: list[str]
    columns: list[pa.ChunkedArray]


def read_matrix(path: Path, orientation: str, dialect: Dialect | None = None) -> Matrix:
    """A matrix file as `(samples, genes)`, gene keys as they stand in it, repeats included.

    Returns
    -------
    Matrix
        Empty cells and NA are NaN. Without a `dialect` the file's name and first lines tell it.

    Raises
    ------
    SourceError
        For a file that is missing, empty, damaged or no table, a cell that is no number, and a
        sample without a name or with that of another.
    """
    with _within_memory(path):
        table = _read(path, pa.float32(), dialect)
        values = stacked(table.columns, len(table.ids))
        ids = ["" if name in NO_KEY else name for name in table.ids]
        frame = pd.DataFrame(values, index=table.names, columns=ids)
        if orientation == "samples_by_genes":
            frame = frame.T
        refuse_repeats(frame.index, f"{path}", "sample")
        refuse_odd_names(frame.columns, f"{path}", "gene")
        if not np.isfinite(values).any():
            raise SourceError(f"{path} holds no number: all its cells are empty or NA.")
        return Matrix(str(path), frame)


def read_sheet(path: Path, dialect: Dialect | None = None) -> pd.DataFrame:
    """A sample sheet by its first column, text as it stands: `sheets.typed` tells what it is."""
    with _within_memory(path):
        table = _read(path, pa.string(), dialect)
        refuse_repeats(pd.Index(table.names), f"{path}", "column")
        index = pd.Index(table.ids, dtype=object, name=table.id_name)
        refuse_repeats(index, f"{path}", "sample")
        columns = {
            name: pd.Series(column.to_pandas(integer_object_nulls=True).to_numpy(), index)
            for name, column in zip(table.names, table.columns, strict=True)
        }
        return pd.DataFrame(columns, index)


def read_columns(
    path: Path,
    dialect: Dialect,
    *,
    kind: pa.DataType,
    words: Collection[str] = (),
    needed: Collection[str] = (),
    optional: Collection[str] | None = None,
) -> dict[str, pa.ChunkedArray]:
    """Columns of a text table by name: all, or the `needed` and `optional`; of `kind` or text."""
    wanted = None if optional is None and not needed else {*needed, *(optional or ())}
    header = read_header(path, dialect)
    if wanted is None:
        refuse_repeats(pd.Index(header), str(path), "column")
    for name in wanted or ():
        count = header.count(name)
        if count > 1 or (count == 0 and name in needed):
            raise SourceError(
                f"{path} has {count or 'no'} column{'s' if count else ''} "
                f"{name}{'' if count else did_you_mean(name, header)}. It has: "
                f"{first_few(header)}. Is it another kind of file?"
            )
    with _within_memory(path):
        found = find_table(path, dialect, guess=False, bounds=text.LONG)
        at = [i for i, name in enumerate(found.header) if wanted is None or name in wanted]
        texts = {i for i, name in enumerate(found.header) if name in words}
        columns = _columns(path, dialect, found, kind, texts, at)
        return {found.header[place]: column for place, column in zip(at, columns, strict=True)}


def read_header(path: Path, dialect: Dialect) -> list[str]:
    """The names of the columns of a text table."""
    return [cell.strip() for cell in next((cells for _, cells in read_rows(path, dialect)), [])]


def read_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row but blank lines and leading comments."""
    text.refuse_unreadable(path, named=False)
    return text.rows(path, dialect)


def texts_of(column: pa.ChunkedArray) -> list[str]:
    """The cells of a column of text, "" where missing."""
    return [(cell or "").strip() for cell in column.to_pylist()]


def stacked(columns: list[pa.ChunkedArray], rows: int) -> np.ndarray:
    """`(columns, rows)` float32."""
    values = np.empty((len(columns), rows), dtype=np.float32)
    for row, column in zip(values, columns, strict=True):
        row[:] = column.to_numpy()
    return values


@contextmanager
def _within_memory(path: Path) -> Iterator[None]:
    """`SourceError` for a table that is larger than the memory."""
    try:
        yield
    except MemoryError:
        raise SourceError(
            f"{path} does not fit in the memory of this machine. Use one with more, or leave out "
            "samples and genes that are not needed."
        ) from None


def _read(path: Path, kind: pa.DataType, dialect: Dialect | None) -> _Table:
    """The table in `path`, its columns of type `kind` where the format leaves a choice."""
    suffix = _suffix(path) if dialect is None else ""
    text.refuse_unreadable(path, named=dialect is None)
    if suffix in text.PARQUET:
        table = _read_parquet(path, kind)
    else:
        known = dialect or Dialect(text.DELIMITERS[suffix], comment="#")
        table = _read_text(path, known, kind, guess=dialect is None)
    if not table.ids:
        raise SourceError(f"{path} has a header but no rows.")
    if not table.names:
        raise SourceError(
            f"{path} has one column only. The first column holds ids; values must follow."
        )
    return table


def _suffix(path: Path) -> str:
    """The ending that tells the format, without `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in text.DELIMITERS and suffix not in text.PARQUET:
        known = ", ".join((*text.DELIMITERS, text.PARQUET[0]))
        raise SourceError(
            f"{path}: unknown kind of file. Use one that ends in {known}, with or without .gz."
        )
    return suffix


def _bounds(kind: pa.DataType) -> Bounds:
    return text.MATRIX if kind == pa.float32() else text.SHEET


def _read_parquet(path: Path, kind: pa.DataType) -> _Table:
    """A Parquet file; ids are its index when pandas stored one, else its first column."""
    try:
        with pa.OSFile(str(path)) as stream:
            file = pyarrow.parquet.ParquetFile(stream)
            _bounds(kind).refuse_larger(path, file.metadata.num_rows, file.metadata.num_columns)
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
    try:
        stored = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        index = [name for name in stored if name in table.column_names]
    except (ValueError, KeyError, TypeError, RecursionError):
        index = []
    if len(index) > 1:
        raise SourceError(
            f"{path} has an index of {len(index)} columns, {first_few(index)}. Make it one."
        )
    id_name = str((index or table.column_names)[0])
    at = table.column_names.index(id_name)
    ids = _plain(path, id_name, table.column(at)).to_pandas(integer_object_nulls=True)
    rest = table.remove_column(at)
    as_asked = _floats if kind == pa.float32() else _plain
    columns = [
        as_asked(path, *column) for column in zip(rest.column_names, rest.columns, strict=True)
    ]
    texts = as_text(ids, f"{path}, column {id_name!r}")
    return _Table(texts, id_name, rest.column_names, columns)


def _plain(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
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


def _floats(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column of numbers or truth values as float32."""
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


def _read_text(path: Path, dialect: Dialect, kind: pa.DataType, *, guess: bool) -> _Table:
    """A TSV or CSV file, gzipped or not; its ids are its first column."""
    found = find_table(path, dialect, guess=guess, bounds=_bounds(kind))
    if kind == pa.string() and found.form:
        raise SourceError(
            f"{path} is a {found.form}, not a sample sheet. Write a table with a row per sample: "
            "its id, its patient, and what else is known."
        )
    at = [i for i in range(len(found.header)) if i not in found.apart]
    columns = _columns(path, dialect, found, kind, {0}, at)
    if found.rows is not None and len(columns[0]) != found.rows:
        raise SourceError(
            f"{path} says that it has {found.rows} rows, and has {len(columns[0])}: it is cut "
            "short, or damaged. Copy or download it again."
        )
    if found.form == SERIES and not len(columns[0]):
        raise SourceError(
            f"{path} is a {SERIES} without values. Those of sequenced series are among the "
            "supplementary files of the series: download these."
        )
    names = [found.header[i] for i in at[1:]]
    return _Table(texts_of(columns[0]), found.header[0], names, columns[1:])


def _columns(
    path: Path,
    dialect: Dialect,
    found: Layout,
    kind: pa.DataType,
    words: Collection[int],
    wanted: list[int],
) -> list[pa.ChunkedArray]:
    """The columns `wanted` of a text table, those in `words` as text, the others of type `kind`."""
    n_columns = len(found.header)
    kinds = {str(place): pa.string() if place in words else kind for place in range(n_columns)}

    def odd(row: pyarrow.csv.InvalidRow) -> str:
        end = found.form == SERIES and row.text.strip('" \r').casefold() == text.END
        return "skip" if end else "error"

    try:
        compression = "gzip" if text.is_gzip(path) else None
        with pa.input_stream(str(path), compression=compression) as stream:
            table = pa.csv.read_csv(
                stream,
                # A block must hold many rows, or a wide matrix falls into millions of small pieces.
                pa.csv.ReadOptions(
                    column_names=list(kinds),
                    skip_rows=found.line + found.above,
                    block_size=max(1 << 24, 2048 * n_columns, 4 * found.longest),
                ),
                pa.csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char='"' if found.quoting else False,
                    newlines_in_values=found.breaks,
                    invalid_row_handler=odd,
                ),
                pa.csv.ConvertOptions(
                    column_types=kinds,
                    null_values=sorted(text.MISSING),
                    strings_can_be_null=False,
                    include_columns=[str(place) for place in wanted],
                ),
            )
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        numbers = set(wanted) - set(words) if kind == pa.float32() else set()
        text.explain(path, dialect, found, numbers)
        raise SourceError(f"{path} cannot be read: {one_line(error)}.") from None
    return list(table.columns)
