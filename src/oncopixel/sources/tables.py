"""Tables on disk: TSV, CSV or Parquet, gzipped or not.

A matrix goes straight to float32: 500 samples of 60,000 genes take seconds, and at most ten times
their size in memory. Only when that fails is the text walked, to name the cell that is wrong.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..errors import SourceError, first_few

DELIMITERS = {".tsv": "\t", ".txt": "\t", ".tab": "\t", ".csv": ","}
DELIMITER_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}
PARQUET = (".parquet", ".pq")
MISSING = ("", "NA", "N/A", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "None")
"""Cells that mean "not measured"."""
SHEET_MISSING = (
    *MISSING,
    *("--", "'--", "not reported", "Not Reported"),
    *("[Not Available]", "[Not Applicable]", "[Not Evaluated]", "[Unknown]", "[Discrepancy]"),
)
"""Cells of a sample sheet that mean "unknown": TCGA and the GDC have their own words for it."""

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    _PARQUET: "a Parquet file",
    b"\x89HDF": "an HDF5 file",
}
_IN_PLACE_OF_A_TABLE = {
    b"version https://git-lfs": "a Git LFS pointer, not the table itself. Run `git lfs pull` where "
    "it was cloned, or take the file from an address that serves its content",
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
class Dialect:
    """How a text table is written whose name does not tell; gzipped or not is seen in its bytes."""

    delimiter: str = "\t"
    comment: str = ""
    """What the lines before the header start with that are no part of the table."""
    quoting: bool = True

    @property
    def quote(self) -> str | bool:
        """The quote character, or False."""
        return '"' if self.quoting else False


@dataclass(frozen=True)
class _Table:
    """A table as it stands in its file: the ids in the first column, and the other columns."""

    ids: list[str]
    id_name: str
    names: list[str]
    columns: list[pa.ChunkedArray]


def read_matrix(path: Path, orientation: str, dialect: Dialect | None = None) -> Matrix:
    """A matrix file as `(samples, genes)`; gene keys as they stand in the file, repeats included.

    Empty cells and NA are NaN. Without a `dialect` the file's name tells its format. Raises
    `SourceError` for a file that is missing, empty, damaged or no table, a cell that is no number,
    and a sample without a name or with that of another.
    """
    table = _read(path, pa.float32(), MISSING, dialect)
    values = np.empty((len(table.names), len(table.ids)), dtype=np.float32)
    for row, column in zip(values, table.columns, strict=True):
        row[:] = column.to_numpy()
    frame = pd.DataFrame(values, index=table.names, columns=table.ids)
    if orientation == "samples_by_genes":
        frame = frame.T
    refuse_repeats(frame.index, f"{path}", "sample")
    if not np.isfinite(values).any():
        raise SourceError(f"{path} holds no number: all its cells are empty or NA.")
    return Matrix(str(path), frame)


def read_sheet(path: Path, dialect: Dialect | None = None) -> pd.DataFrame:
    """A sample sheet: one row per sample, index the first column; missing cells are None.

    Text columns that hold nothing but numbers become numbers, unless a zero leads ("01").
    Raises `SourceError` as `read_matrix` does.
    """
    table = _read(path, pa.string(), SHEET_MISSING, dialect)
    refuse_repeats(pd.Index(table.names), f"{path}", "column")
    index = pd.Index(table.ids, dtype=object, name=table.id_name)
    refuse_repeats(index, f"{path}", "sample")
    columns = {
        name: numbers_if_all(pd.Series(column.to_pandas().to_numpy(), index))
        for name, column in zip(table.names, table.columns, strict=True)
    }
    return pd.DataFrame(columns, index)


def read_columns(
    path: Path,
    dialect: Dialect,
    *,
    kind: pa.DataType,
    missing: tuple[str, ...] = MISSING,
    text: Collection[str] = (),
    only: Collection[str] | None = None,
) -> tuple[list[str], list[pa.ChunkedArray]]:
    """Names and columns of a text table as they stand in it; it may have no rows.

    Columns are of type `kind`, those named in `text` strings; `only` reads no others. Raises
    `SourceError` as `read_matrix` does.
    """
    _refuse_unreadable(path, named=False)
    return _columns(path, dialect, kind, missing, text, only)


def read_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row but blank lines and leading comments.

    For what is no table of equal rows, and to see a header. Raises `SourceError` as `read_matrix`.
    """
    _refuse_unreadable(path, named=False)
    return _rows(path, dialect)


def refuse_repeats(names: pd.Index, origin: str, what: str) -> None:
    """`SourceError` for an empty name, and for names that occur more than once."""
    if (names == "").any():
        position = int(np.flatnonzero(names == "")[0]) + 1
        raise SourceError(
            f"{origin}: {what} {position} of {len(names)} has no name. Name it, or remove it."
        )
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise SourceError(
            f"{origin}: {len(repeated)} {what}s occur more than once: {first_few(repeated)}. "
            f"Every {what} needs a name of its own; keep one of each."
        )


def numbers_if_all(column: pd.Series) -> pd.Series:
    """The column as numbers when all its values are plain numbers, else as it is."""
    if column.dtype != object:
        return column
    text = column.dropna().astype(str)
    if text.empty or not text.str.fullmatch(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?").all():
        return column.where(column.notna(), None)
    return pd.to_numeric(column)


def _read(
    path: Path, kind: pa.DataType, missing: tuple[str, ...], dialect: Dialect | None
) -> _Table:
    """The table in `path`, its columns of type `kind` where the format leaves a choice."""
    suffix = _suffix(path) if dialect is None else ""
    _refuse_unreadable(path, named=dialect is None)
    if suffix in PARQUET:
        table = _read_parquet(path, kind)
    else:
        table = _read_text(path, dialect or Dialect(DELIMITERS[suffix]), kind, missing)
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
    if not path.exists():
        raise SourceError(
            f"{path} does not exist. (File names in params.yaml start at the cohort's `inputs` "
            "folder.)"
        )
    if not path.is_file():
        raise SourceError(f"{path} is a folder, not a file.")
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}. Change its owner or mode."
        ) from None
    if not start:
        raise SourceError(f"{path} is empty (0 bytes). Copy or download it again.")
    zipped = start.startswith(_GZIP)
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


def _read_parquet(path: Path, kind: pa.DataType) -> _Table:
    """A Parquet file; ids are its index when pandas stored one, else its first column."""
    try:
        with _open(path) as stream:
            table = pa.parquet.read_table(stream)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path} is no readable Parquet file: {_one_line(error)}. Copy it again."
        ) from None
    pandas_metadata = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [name for name in pandas_metadata.get("index_columns", []) if isinstance(name, str)]
    id_name = index[0] if len(index) == 1 else table.column_names[0]
    ids = table.column(id_name).to_pandas().fillna("").astype(str).str.strip().tolist()
    names = [name for name in table.column_names if name != id_name]
    columns = [table.column(name) for name in names]
    if kind == pa.float32():
        columns = [
            _as_float(path, name, column) for name, column in zip(names, columns, strict=True)
        ]
    return _Table(ids, id_name, names, columns)


def _as_float(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        numeric = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raise pa.ArrowInvalid("text")
        return numeric.cast(pa.float32(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise SourceError(
            f"{path}: column {name!r} holds {column.type}, not numbers. Apart from the ids in the "
            "first column, a matrix holds numbers only: remove the column, or convert it."
        ) from None


def _read_text(path: Path, dialect: Dialect, kind: pa.DataType, missing: tuple[str, ...]) -> _Table:
    """A TSV or CSV file, gzipped or not; its ids are its first column."""
    names, columns = _columns(path, dialect, kind, missing, None, None)
    ids = columns[0].to_pandas().fillna("").astype(str).str.strip().tolist()
    return _Table(ids, names[0], names[1:], columns[1:])


def _columns(
    path: Path,
    dialect: Dialect,
    kind: pa.DataType,
    missing: tuple[str, ...],
    text: Collection[str] | None,
    only: Collection[str] | None,
) -> tuple[list[str], list[pa.ChunkedArray]]:
    """Names and columns of a text table; those in `text` are strings, without it the first one."""
    line, header = _header(path, dialect)
    words = {0} if text is None else {i for i, name in enumerate(header) if name in text}
    kinds = {str(place): pa.string() if place in words else kind for place in range(len(header))}
    wanted = [place for place, name in enumerate(header) if only is None or name in only]
    try:
        with _open(path) as stream:
            table = pa.csv.read_csv(
                stream,
                # A block must hold many rows, or a wide matrix falls into millions of small pieces.
                pa.csv.ReadOptions(
                    column_names=list(kinds),
                    skip_rows=line,
                    block_size=max(1 << 24, 2048 * len(header)),
                ),
                pa.csv.ParseOptions(delimiter=dialect.delimiter, quote_char=dialect.quote),
                pa.csv.ConvertOptions(
                    column_types=kinds,
                    null_values=missing,
                    strings_can_be_null=True,
                    include_columns=[str(place) for place in wanted],
                ),
            )
    except (pa.ArrowException, OSError) as error:
        numbers = set(range(len(header))) - words if kind == pa.float32() else set()
        _explain(path, dialect, header, numbers & set(wanted))
        raise SourceError(f"{path} cannot be read: {_one_line(error)}.") from None
    return [header[place] for place in wanted], table.columns


def _open(path: Path) -> Any:
    return pa.input_stream(str(path), compression="gzip" if _is_gzip(path) else None)


def _open_text(path: Path) -> TextIO:
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == _GZIP


def _rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row but blank lines and comments; `SourceError` for damage."""
    line = 0
    leading = True
    try:
        with _open_text(path) as stream:
            reader = csv.reader(
                stream,
                delimiter=dialect.delimiter,
                quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
            )
            for cells in reader:
                line = reader.line_num
                comment = dialect.comment and cells and cells[0].startswith(dialect.comment)
                if cells and not (leading and comment):
                    leading = False
                    yield line, cells
    except EOFError:
        raise SourceError(
            f"{path} is cut short: its gzip data ends after line {line}. Copy or download it again."
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8 text (after line {line}: {error.reason}). Save it as UTF-8."
        ) from None
    except (OSError, zlib.error, csv.Error) as error:
        raise SourceError(
            f"{path} is damaged after line {line}: {_one_line(error)}. Copy it again."
        ) from None


def _header(path: Path, dialect: Dialect) -> tuple[int, list[str]]:
    """Line number and column names; `SourceError` when the file is not split as `dialect` says."""
    delimiter = dialect.delimiter
    line, header = next(_rows(path, dialect), (0, []))
    if not header:
        fact = (
            "no table: its lines are comments or blank" if dialect.comment else "blank lines only"
        )
        raise SourceError(f"{path} holds {fact}.")
    if len(header) == 1:
        used = next((d for d in DELIMITER_NAMES if d != delimiter and d in header[0]), None)
        if used is None:
            raise SourceError(
                f"{path} has one column only, {header[0]!r}. It must have ids and values."
            )
        raise SourceError(
            f"{path} looks {DELIMITER_NAMES[used]}-separated, but a file of its name is read as "
            f"{DELIMITER_NAMES[delimiter]}-separated: it has one column, {header[0][:40]!r}. "
            + (
                "Rename it to .csv."
                if used == ","
                else "Rename it to .tsv."
                if used == "\t"
                else "Save it as TSV."
            )
        )
    return line, [name.strip() for name in header]


def _explain(path: Path, dialect: Dialect, header: list[str], numbers: Collection[int]) -> None:
    """`SourceError` for the first row or cell that is wrong, found by walking the text.

    `numbers` are the positions of the columns that must hold numbers.
    """
    rows = _rows(path, dialect)
    next(rows)
    places = sorted(numbers)
    for line, cells in rows:
        if len(cells) != len(header):
            raise SourceError(_ragged(path, line, cells, header))
        position = _first_text([cells[place] for place in places])
        if position is not None:
            raise SourceError(_not_a_number(path, line, cells, header, places[position]))


def _first_text(cells: list[str]) -> int | None:
    """Position of the first cell that is neither a number nor missing."""
    try:
        list(map(float, cells))  # nearly all rows are in order: look at single cells in the others
        return None
    except ValueError:
        return next((i for i, cell in enumerate(cells) if not _is_number(cell)), None)


def _ragged(path: Path, line: int, cells: list[str], header: list[str]) -> str:
    fact = f"{path}: line {line} has {len(cells)} columns, the header has {len(header)}. "
    if line == 2 and len(cells) == len(header) + 1:
        return (
            fact + "The column of ids has no name: write the table with one (in R: col.names=NA)."
        )
    return fact + "The file may be cut short, or a cell may hold the delimiter unquoted."


def _not_a_number(path: Path, line: int, cells: list[str], header: list[str], position: int) -> str:
    cell = cells[position]
    fact = (
        f"{path}: line {line} ({cells[0]}), column {header[position]!r} holds {cell[:40]!r}, which "
        "is not a number. "
    )
    if "Variant_Classification" in header:
        return fact + "This is a list of mutations (MAF): make a 0/1 matrix of genes and samples."
    if cell.count(",") == 1 and _is_number(cell.replace(",", ".")):
        return fact + "Write decimals with a point."
    return fact + "Leave a missing value empty or write NA, and remove columns of text."


def _is_number(cell: str) -> bool:
    if cell.strip() in MISSING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
