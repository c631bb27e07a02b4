"""Tables on disk: TSV, CSV or Parquet, gzipped or not.

A matrix goes straight to float32: 500 samples of 60,000 genes take seconds, and at most ten times
their size in memory. Only when that fails is the text walked, to name the cell that is wrong.
"""

import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from ..cohort.contract import missing
from ..core.errors import SourceError, first_few, one_line, printable
from .dialects import SERIES, find_table
from .parquet import as_float, as_plain, id_column, read_parquet
from .sheets import as_text, misnamed
from .text import (
    DELIMITERS,
    END,
    GZIP,
    LONG,
    MATRIX,
    MISSING,
    SHEET,
    Bounds,
    Dialect,
    Layout,
    explain,
    is_gzip,
    rows,
)

PARQUET = (".parquet", ".pq")
NO_KEY = ("NA", "N/A", "#N/A", "nan", "NaN", "null", "NULL", "None")
"""Keys of no gene; other words for what is not known are genes, such as UNK."""

_PARQUET = b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    _PARQUET: "a Parquet file",
    b"\x89HDF": "an HDF5 file",
}
_IN_PLACE_OF_A_TABLE = {
    b"version https://git-lfs": "a Git LFS pointer, not the table itself. Run `git lfs pull` where "
    "it was cloned, or take the file from an address that serves its content",
    b"^database": "a GEO SOFT file. Take the series matrix of the series",
    b"##fileformat=vcf": "a VCF file, not a table of genes and samples",
    b"%%matrixmarket": "a Matrix Market file without names. Write a table, or .h5ad",
    b"<!doctype html": "a web page, not a table. Open it in a browser to see what it says, and "
    "check the address",
    b"<html": "a web page, not a table. Open it in a browser to see what it says, and check the "
    "address",
}


@dataclass(frozen=True)
class Matrix:
    """Measured values, `(samples, genes)` float32, NaN where missing, and where they come from."""

    origin: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class _Table:
    """A table as it stands in its file: the ids in the first column, and the other columns."""

    ids: list[str]
    id_name: str
    names: list[str]
    columns: list[pa.ChunkedArray]


def read_matrix(path: Path, orientation: str, dialect: Dialect | None = None) -> Matrix:
    """A matrix file as `(samples, genes)`; gene keys as they stand in the file, repeats included.

    Empty cells and NA are NaN. Without a `dialect` the file's name and first lines tell its format.
    Raises `SourceError` for a file that is missing, empty, damaged or no table, a cell that is no
    number, and a sample without a name or with that of another.
    """
    with _within_memory(path):
        table = _read(path, pa.float32(), dialect)
        values = np.empty((len(table.names), len(table.ids)), dtype=np.float32)
        for row, column in zip(values, table.columns, strict=True):
            row[:] = column.to_numpy()
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
    """A sample sheet: one row per sample, index the first column; cells of text as they stand.

    Which cells are missing, and which columns numbers, is for `sheets.typed` to tell. Raises
    `SourceError` as `read_matrix` does.
    """
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
    text: Collection[str] = (),
    only: Collection[str] | None = None,
) -> tuple[list[str], list[pa.ChunkedArray]]:
    """Names and columns of a text table as they stand in it; it may have no rows.

    Columns are of type `kind`, those named in `text` strings; `only` reads no others. Raises
    `SourceError` as `read_matrix` does.
    """
    _refuse_unreadable(path, named=False)
    with _within_memory(path):
        found = find_table(path, dialect, guess=False, bounds=LONG)
        wanted = [i for i, name in enumerate(found.header) if only is None or name in only]
        words = {i for i, name in enumerate(found.header) if name in text}
        columns = _columns(path, dialect, found, kind, words, wanted)
        return [found.header[place] for place in wanted], columns


def read_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row but blank lines and leading comments.

    For what is no table of equal rows, and to see a header. Raises `SourceError` as `read_matrix`.
    """
    _refuse_unreadable(path, named=False)
    return rows(path, dialect)


def refuse_repeats(names: pd.Index, origin: str, what: str) -> None:
    """`SourceError` for an empty or odd name, and for names that occur more than once."""
    nameless = names == "" if what == "column" else missing(names.to_series())
    if nameless.any():
        position = int(np.flatnonzero(nameless)[0])
        said = f" ({names[position]!r})" if names[position] else ""
        raise SourceError(
            f"{origin}: {what} {position + 1} of {len(names)} has no name{said}. Name it, or "
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
    """`SourceError` for a name with characters that cannot be seen, and one without end."""
    for position, name in enumerate(names):
        if fact := misnamed(name):
            raise SourceError(
                f"{origin}: the name of {what} {position + 1} of {len(names)} {fact}: "
                f"'{printable(name)[:80]}'. Change it."
            )


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
    _refuse_unreadable(path, named=dialect is None)
    if suffix in PARQUET:
        table = _read_parquet(path, kind)
    else:
        known = dialect or Dialect(DELIMITERS[suffix], comment="#")
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
    if suffix not in DELIMITERS and suffix not in PARQUET:
        known = ", ".join((*DELIMITERS, PARQUET[0]))
        raise SourceError(
            f"{path}: unknown kind of file. Use one that ends in {known}, with or without .gz."
        )
    return suffix


def _refuse_unreadable(path: Path, *, named: bool) -> None:
    """`SourceError` for a file that is missing, empty or no table.

    When it is `named` also for one that is not what its name says.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(
            f"{path} does not exist. (File names in params.yaml start at the cohort's `inputs` "
            "folder.)"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise SourceError(
            f"{printable(str(path))[:300]} cannot be read: {one_line(error)}."
        ) from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise SourceError(f"{path} is {kind}, not a file.")
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}. Change its owner or mode."
        ) from None
    if not start:
        raise SourceError(f"{path} is empty (0 bytes). Copy or download it again.")
    zipped = start.startswith(GZIP)
    if named and zipped != path.name.lower().endswith(".gz"):
        fact = (
            "is gzip-compressed but not named .gz"
            if zipped
            else "is named .gz but not gzip-compressed"
        )
        raise SourceError(f"{path} {fact}. Rename it.")
    foreign = next((text for magic, text in _FOREIGN.items() if start.startswith(magic)), None)
    if foreign and not (path.suffix.lower() in PARQUET and start.startswith(_PARQUET)):
        raise SourceError(
            f"{path} is {foreign}, not what its name says. Save it as TSV, CSV or Parquet."
        )
    begins = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    other = next(
        (fact for sign, fact in _IN_PLACE_OF_A_TABLE.items() if begins.startswith(sign)), None
    )
    if other:
        raise SourceError(f"{path} is {other}.")


def _bounds(kind: pa.DataType) -> Bounds:
    return MATRIX if kind == pa.float32() else SHEET


def _read_parquet(path: Path, kind: pa.DataType) -> _Table:
    """A Parquet file; ids are its index when pandas stored one, else its first column."""
    table = read_parquet(path, _bounds(kind))
    id_name = id_column(path, table)
    at = table.column_names.index(id_name)
    ids = as_plain(path, id_name, table.column(at)).to_pandas(integer_object_nulls=True)
    rest = table.remove_column(at)
    names = rest.column_names
    as_asked = as_float if kind == pa.float32() else as_plain
    columns = [as_asked(path, *column) for column in zip(names, rest.columns, strict=True)]
    texts = as_text(ids, f"{path}, column {id_name!r}")
    return _Table(texts, id_name, names, columns)


def _read_text(path: Path, dialect: Dialect, kind: pa.DataType, *, guess: bool) -> _Table:
    """A TSV or CSV file, gzipped or not; its ids are its first column."""
    found = find_table(path, dialect, guess=guess, bounds=_bounds(kind))
    if kind == pa.string() and found.form:
        raise SourceError(
            f"{path} is a {found.form}, not a sample sheet. Write a table with a row per sample: "
            "its id, its patient, and what else is known."
        )
    places = [place for place in range(len(found.header)) if place not in found.apart]
    columns = _columns(path, dialect, found, kind, {0}, places)
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
    ids = [(cell or "").strip() for cell in columns[0].to_pylist()]
    return _Table(ids, found.header[0], [found.header[place] for place in places[1:]], columns[1:])


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
        end = found.form == SERIES and row.text.strip('" \r').casefold() == END
        return "skip" if end else "error"

    try:
        compression = "gzip" if is_gzip(path) else None
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
                    null_values=sorted(MISSING),
                    strings_can_be_null=False,
                    include_columns=[str(place) for place in wanted],
                ),
            )
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        numbers = set(wanted) - set(words) if pa.types.is_floating(kind) else set()
        explain(path, dialect, found, numbers)
        raise SourceError(f"{path} cannot be read: {one_line(error)}.") from None
    return list(table.columns)
