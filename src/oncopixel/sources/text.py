"""The lines and rows of delimited text, and what is wrong in them."""

import csv
import gzip
import re
import stat
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..cohort.contract import NOT_KNOWN
from ..cohort.sheets import DECIMAL_COMMA, GROUPED, SPACED
from ..core.errors import SourceError, one_line, printable
from ..core.hdf5 import memory_bytes

PARQUET = (".parquet", ".pq")
DELIMITERS = {".tsv": "\t", ".txt": "\t", ".tab": "\t", ".gct": "\t", ".csv": ","}
BYTES_PER_CELL = 10
MAX_LINE, MAX_TEXT = 1 << 26, 1 << 34
"""Bytes of a line, and of a whole file once unpacked."""
MISSING = frozenset(
    around.format(case(word))
    for word in (*NOT_KNOWN, "NaN", "-", "--", ".", "?")
    for case in (str, str.upper, str.title, str.capitalize)
    for around in ("{}", "[{}]", "<{}>", " {}", "{} ")
)
"""Cells of a matrix that mean "not measured", in every way of writing that Arrow is to know."""
END = "!series_matrix_table_end"
"""The last line of a GEO series matrix."""
GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    _PARQUET: "a Parquet file",
    b"\x89HDF": "an HDF5 file",
}
_PAGE = "a web page, not a table. Open it in a browser to see what it says, and check the address"
_IN_PLACE_OF_A_TABLE = {
    b"version https://git-lfs": "a Git LFS pointer, not the table itself. Run `git lfs pull` where "
    "it was cloned, or take the file from an address that serves its content",
    b"^database": "a GEO SOFT file. Take the series matrix of the series",
    b"##fileformat=vcf": "a VCF file, not a table of genes and samples",
    b"%%matrixmarket": "a Matrix Market file without names. Write a table, or .h5ad",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
}
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_NUMBER = re.compile(
    r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|infinity|nan)\s*", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class Dialect:
    """How a text table is written whose name does not tell; gzipped or not is seen in its bytes."""

    delimiter: str = "\t"
    comment: str = ""
    """What the lines before the header start with that are no part of the table."""
    quoting: bool = True


@dataclass(frozen=True)
class Layout:
    """Where the table of a text file stands, and how it is quoted."""

    line: int
    """Of the header."""
    header: list[str]
    form: str = ""
    """What the file is, where it is no plain table."""
    apart: frozenset[int] = frozenset()
    """Columns that describe the rows, and hold no values."""
    above: int = 0
    """Lines below the header that describe the columns."""
    rows: int | None = None
    """As many as the file says that it has."""
    quoting: bool = False
    breaks: bool = False
    """Whether a quoted cell holds the end of a line."""
    longest: int = 0
    """Characters of the longest line."""


@dataclass(frozen=True)
class Bounds:
    """How large a table may be that is read, so that no file fills the memory."""

    rows: int
    columns: int
    cells: int

    def refuse_larger(self, path: Path, rows: int, columns: int) -> None:
        """Raises `SourceError` for a larger table, `MemoryError` for one beyond the memory."""
        if rows > self.rows or columns > self.columns or rows * columns > self.cells:
            raise SourceError(
                f"{path} has {columns:,} columns{f' and {rows:,} or more rows' if rows else ''}: "
                f"more than is read ({self.columns:,} columns, {self.rows:,} rows, {self.cells:,} "
                "cells). Is it another kind of file?"
            )
        if rows * columns * BYTES_PER_CELL > memory_bytes():
            raise MemoryError


MATRIX = Bounds(1_000_000, 100_000, 1_000_000_000)
"""60,000 genes of 16,000 samples; 4 GB of float32."""
SHEET = Bounds(1_000_000, 10_000, 50_000_000)
LONG = Bounds(1_000_000_000, 100_000, 1_000_000_000)
"""Tables with a row per gene and sample, or per variant."""


def refuse_unreadable(path: Path, *, named: bool) -> None:
    """`SourceError` for what is no table, or, where it is `named`, not what its name says."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"{path} does not exist.") from None
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
        fact = ("named .gz but not gzip-compressed", "gzip-compressed but not named .gz")[zipped]
        raise SourceError(f"{path} is {fact}. Rename it.")
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


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their ends; `SourceError` for damage and lines without end."""
    line = size = 0
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as stream:
            while raw := stream.readline(MAX_LINE + 1):
                size += len(raw)
                if len(raw) > MAX_LINE or size > MAX_TEXT:
                    fact = f"it holds more than {MAX_TEXT:,}"
                    if len(raw) > MAX_LINE:
                        fact = f"line {line + 1} has more than {MAX_LINE:,}"
                    raise SourceError(f"{path} is no table that can be read: {fact} bytes.")
                text = raw.decode("utf-8" if line else "utf-8-sig")
                bare = text.count("\r") > text.endswith(("\r\n", "\r"))  # as old Macs end lines
                for part in _LINE.findall(text) if bare else [text]:
                    line += 1
                    if "\0" in part:
                        raise SourceError(
                            f"{path} is not text: line {line} holds a NUL character. Save it as "
                            "UTF-8."
                        )
                    yield part
    except EOFError:
        raise SourceError(
            f"{path} is cut short: its gzip data ends after line {line}. Copy or download it again."
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8 text (after line {line}: {error.reason}). Save it as UTF-8."
        ) from None
    except (OSError, zlib.error) as error:
        raise SourceError(
            f"{path} is damaged after line {line}: {one_line(error)}. Copy it again."
        ) from None


def rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row but blank lines and leading comments."""
    leading = True
    reader = csv.reader(
        lines(path),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
    )
    try:
        for cells in reader:
            comment = dialect.comment and cells and cells[0].startswith(dialect.comment)
            if cells and not (leading and comment):
                leading = False
                yield reader.line_num, cells
    except csv.Error as error:
        raise SourceError(
            f"{path}, line {reader.line_num}: {one_line(error)}. Is it a table?"
        ) from None


def explain(path: Path, dialect: Dialect, found: Layout, numbers: Collection[int]) -> None:
    """`SourceError` for the first row, or cell of the columns of `numbers`, that is wrong."""
    columns = sorted(numbers)
    for line, cells in rows(path, Dialect(dialect.delimiter, quoting=found.quoting)):
        if line <= found.line + found.above or cells[0].strip('" ').casefold() == END:
            continue
        if len(cells) != len(found.header):
            raise SourceError(_ragged(path, line, cells, found, dialect.delimiter))
        position = _first_text([cells[column] for column in columns])
        if position is not None:
            raise SourceError(_not_a_number(path, line, cells, found.header, columns[position]))


def is_gzip(path: Path) -> bool:
    """Whether the file starts as gzip data do."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP


def _first_text(cells: list[str]) -> int | None:
    """Position of the first cell that is neither a number nor missing."""
    try:
        list(map(float, cells))  # nearly all rows are in order: look at single cells in the others
        if "_" not in (joined := "".join(cells)) and joined.isascii():
            return None
    except ValueError:
        pass
    return next((i for i, cell in enumerate(cells) if not is_number(cell)), None)


def is_number(cell: str) -> bool:
    """Whether a cell of a matrix is a number or missing."""
    return bool(_NUMBER.fullmatch(cell)) or cell in MISSING


def _ragged(path: Path, line: int, cells: list[str], found: Layout, delimiter: str) -> str:
    header = found.header
    fact = f"{path}: line {line} has {len(cells)} columns, the header has {len(header)}. "
    if line == found.line + 1 and len(cells) == len(header) + 1:
        return (
            fact + "The column of ids has no name: write the table with one (in R: col.names=NA)."
        )
    example = ", as 8,674 does" if delimiter == "," else ""
    return fact + f"The file may be cut short, or a cell may hold the delimiter unquoted{example}."


def _not_a_number(path: Path, line: int, cells: list[str], header: list[str], position: int) -> str:
    cell = cells[position]
    fact = (
        f"{path}: line {line} ({printable(cells[0])[:60]}), column {header[position]!r:.60} holds "
        f"{cell[:40]!r}, which is not a number. "
    )
    if "Variant_Classification" in header:
        return fact + "This is a list of mutations (MAF): make a 0/1 matrix of genes and samples."
    bare = re.sub(r"[^\d.,+-]", "", cell)
    if GROUPED.fullmatch(cell) and cell.count(",") == 1:
        return fact + (
            f"With a comma for thousands it is {bare.replace(',', '')}, with a decimal comma "
            f"{bare.replace(',', '.')}: write numbers without the first, and decimals with a point."
        )
    if SPACED.fullmatch(cell):
        return fact + f"Write thousands without separators: {bare.replace(',', '')}."
    if DECIMAL_COMMA.fullmatch(cell):
        plain = bare.replace(".", "").replace(",", ".")
        return fact + f"Write decimals with a point, and thousands without separators: {plain}."
    if position == 1 and _NUMBER.fullmatch(cells[0]):
        return fact + "Do numbers of rows stand before the ids? Remove the first column."
    return fact + "Leave a missing value empty or write NA, and remove rows and columns of text."
