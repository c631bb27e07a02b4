"""Tables on disk: TSV, CSV or Parquet, gzipped or not.

A matrix goes straight to float32: 500 samples of 60,000 genes take seconds, and at most ten times
their size in memory. Only when that fails is the text walked, to name the cell that is wrong.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
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
    *("[Not Available]", "[Not Applicable]", "[Not Evaluated]", "[Unknown]"),
)
"""Cells of a sample sheet that mean "unknown": TCGA and the GDC have their own words for it."""

_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
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
    names: list[str]
    columns: list[pa.ChunkedArray]


def read_matrix(path: Path, orientation: str) -> Matrix:
    """A matrix file as `(samples, genes)`; gene keys as they stand in the file, repeats included.

    Empty cells and NA are NaN. Raises `SourceError` for a file that is missing, empty, damaged or
    no table, a cell that is no number, and a sample without a name or with that of another.
    """
    table = _read(path, pa.float32(), MISSING)
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


def read_sheet(path: Path) -> pd.DataFrame:
    """A sample sheet: one row per sample, index the first column; missing cells are None.

    Text columns that hold nothing but numbers become numbers, unless a zero leads ("01").
    Raises `SourceError` as `read_matrix` does.
    """
    table = _read(path, pa.string(), SHEET_MISSING)
    refuse_repeats(pd.Index(table.names), f"{path}", "column")
    index = pd.Index(table.ids, dtype=object)
    refuse_repeats(index, f"{path}", "sample")
    columns = {
        name: _numbers_if_all(pd.Series(column.to_pandas().to_numpy(), index))
        for name, column in zip(table.names, table.columns, strict=True)
    }
    return pd.DataFrame(columns, index)


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


def _numbers_if_all(column: pd.Series) -> pd.Series:
    """The column as numbers when all its values are plain numbers, else as it is."""
    if column.dtype != object:
        return column
    text = column.dropna().astype(str)
    if text.empty or not text.str.fullmatch(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?").all():
        return column.where(column.notna(), None)
    return pd.to_numeric(column)


def _read(path: Path, kind: pa.DataType, missing: tuple[str, ...]) -> _Table:
    """The table in `path`, its columns of type `kind` where the format leaves a choice."""
    suffix = _suffix(path)
    _refuse_unreadable(path)
    table = _read_parquet(path, kind) if suffix in PARQUET else _read_text(path, kind, missing)
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


def _refuse_unreadable(path: Path) -> None:
    """`SourceError` for a file that is missing, empty, or not what its name says."""
    if not path.exists():
        raise SourceError(
            f"{path} does not exist. (File names in params.yaml start at the cohort's `inputs` "
            "folder.)"
        )
    if not path.is_file():
        raise SourceError(f"{path} is a folder, not a file.")
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}. Change its owner or mode."
        ) from None
    if not start:
        raise SourceError(f"{path} is empty (0 bytes). Copy or download it again.")
    zipped, named = start.startswith(_GZIP), path.name.lower().endswith(".gz")
    if zipped != named:
        fact = (
            "is gzip-compressed but not named .gz"
            if zipped
            else "is named .gz but not gzip-compressed"
        )
        raise SourceError(f"{path} {fact}. Rename it.")
    foreign = next((text for magic, text in _FOREIGN.items() if start.startswith(magic)), None)
    if foreign and not (path.suffix.lower() in PARQUET and start == b"PAR1"):
        raise SourceError(
            f"{path} is {foreign}, not what its name says. Save it as TSV, CSV or Parquet."
        )


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
    return _Table(ids, names, columns)


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


def _read_text(path: Path, kind: pa.DataType, missing: tuple[str, ...]) -> _Table:
    """A TSV or CSV file, gzipped or not."""
    delimiter = DELIMITERS[_suffix(path)]
    header = _header(path, delimiter)
    positions = [str(position) for position in range(len(header))]
    try:
        with _open(path) as stream:
            table = pa.csv.read_csv(
                stream,
                # A block must hold many rows, or a wide matrix falls into millions of small pieces.
                pa.csv.ReadOptions(
                    column_names=positions, skip_rows=1, block_size=max(1 << 24, 2048 * len(header))
                ),
                pa.csv.ParseOptions(delimiter=delimiter),
                pa.csv.ConvertOptions(
                    column_types={"0": pa.string()} | dict.fromkeys(positions[1:], kind),
                    null_values=missing,
                    strings_can_be_null=True,
                ),
            )
    except (pa.ArrowException, OSError) as error:
        _explain(path, delimiter, header, numeric=kind == pa.float32())
        raise SourceError(f"{path} cannot be read: {_one_line(error)}.") from None
    ids = table.column(0).to_pandas().fillna("").astype(str).str.strip().tolist()
    return _Table(ids, header[1:], table.columns[1:])


def _open(path: Path) -> Any:
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    return pa.input_stream(str(path), compression=compression)


def _open_text(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank; `SourceError` for damage."""
    line = 0
    try:
        with _open_text(path) as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            for cells in reader:
                line = reader.line_num
                if cells:
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


def _header(path: Path, delimiter: str) -> list[str]:
    """The column names; `SourceError` when the file does not look split at `delimiter`."""
    _, header = next(_rows(path, delimiter), (0, []))
    if not header:
        raise SourceError(f"{path} holds blank lines only.")
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
    return [name.strip() for name in header]


def _explain(path: Path, delimiter: str, header: list[str], *, numeric: bool) -> None:
    """`SourceError` for the first row or cell that is wrong, found by walking the text."""
    rows = _rows(path, delimiter)
    next(rows)
    for line, cells in rows:
        if len(cells) != len(header):
            raise SourceError(_ragged(path, line, cells, header))
        position = _first_text(cells[1:]) if numeric else None
        if position is not None:
            raise SourceError(_not_a_number(path, line, cells, header, position + 1))


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
