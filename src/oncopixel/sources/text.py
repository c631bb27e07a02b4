"""Delimited text as people have it: where its table stands, how it is quoted, what is wrong in it.

Besides plain tables with `#` lines above: GCT 1.2 and 1.3
(https://software.broadinstitute.org/cancer/software/gsea/wiki/index.php/Data_formats), the series
matrix of the Gene Expression Omnibus (https://www.ncbi.nlm.nih.gov/geo/info/soft.html) and the
counts of featureCounts (https://subread.sourceforge.net/featureCounts.html).
"""

import csv
import gzip
import itertools
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ..cohort import NOT_KNOWN
from ..errors import SourceError, escaped

DELIMITERS = {".tsv": "\t", ".txt": "\t", ".tab": "\t", ".gct": "\t", ".csv": ","}
DELIMITER_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}
MAX_ROWS, MAX_COLUMNS = 1_000_000, 100_000
MAX_CELLS = 1_000_000_000
"""60,000 genes of 16,000 samples; 4 GB of float32."""
MAX_LINE, MAX_TEXT = 1 << 26, 1 << 34
"""Characters of a line, and of a whole file once unpacked."""
MISSING = sorted(
    around.format(case(word))
    for word in (*NOT_KNOWN, "NaN", "-", "--", ".", "?")
    for case in (str, str.upper, str.title, str.capitalize)
    for around in ("{}", "[{}]", "<{}>", " {}", "{} ")
)
"""Cells of a matrix that mean "not measured", in every way of writing that Arrow is to know."""
BEGIN, END = "!series_matrix_table_begin", "!series_matrix_table_end"
FEATURE = ["Geneid", "Chr", "Start", "End", "Strand", "Length"]
SERIES, COUNTS = "GEO series matrix", "featureCounts table"
_GZIP = b"\x1f\x8b"
_NUMBER = re.compile(
    r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|infinity|nan)\s*", re.ASCII | re.IGNORECASE
)
_GROUPED = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+\s*")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}([. '\u2019\u00a0\u202f]\d{3})+),\d+\s*")
_SPACED = re.compile(r"\s*[+-]?\d{1,3}([, '\u2019\u00a0\u202f]\d{3})+(\.\d+)?\s*")
_PEEK = 20


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


def find_table(path: Path, dialect: Dialect, *, guess: bool, max_rows: int) -> Layout:
    """The layout of the one table in a text file, which is read once for it from end to end.

    With `guess` also of the formats that a file may have whose name does not tell. `SourceError`
    for a file without a table or with more than one may hold, with NUL characters, or in which a
    quote opens that is not closed where its cell ends: such a cell swallows rows. In tab-separated
    text with an unquoted header quotes are characters like others then.
    """
    found = (guess and _known_format(path, dialect)) or _plain(path, dialect, guess=guess)
    if len(found.header) > MAX_COLUMNS:
        raise SourceError(
            f"{path} has {len(found.header):,} columns; at most {MAX_COLUMNS:,} are read. Is it "
            "another kind of file?"
        )
    return _surveyed(path, dialect, found, max_rows)


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their ends; `SourceError` for damage and lines without end."""
    line = size = 0
    try:
        with _open_text(path) as stream:
            while text := stream.readline(MAX_LINE + 1):
                line += 1
                size += len(text)
                if len(text) > MAX_LINE or size > MAX_TEXT:
                    fact = (
                        f"line {line} has more than {MAX_LINE:,} characters"
                        if len(text) > MAX_LINE
                        else f"it holds more than {MAX_TEXT:,} characters"
                    )
                    raise SourceError(f"{path} is no table that can be read: {fact}.")
                if "\0" in text:
                    raise SourceError(
                        f"{path} is not text: line {line} holds a NUL character. Save it as UTF-8."
                    )
                yield text
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
    """`SourceError` for the first row or cell that is wrong, found by walking the text.

    `numbers` are the positions of the columns that must hold numbers.
    """
    places = sorted(numbers)
    for line, cells in rows(path, Dialect(dialect.delimiter, quoting=found.quoting)):
        if line <= found.line + found.above or cells[0].strip('" ').casefold() == END:
            continue
        if len(cells) != len(found.header):
            raise SourceError(_ragged(path, line, cells, found))
        position = _first_text([cells[place] for place in places])
        if position is not None:
            raise SourceError(_not_a_number(path, line, cells, found.header, places[position]))


def is_gzip(path: Path) -> bool:
    """Whether the file starts as gzip data do."""
    with path.open("rb") as stream:
        return stream.read(2) == _GZIP


def one_line(error: Exception) -> str:
    """An error's message without line ends, and not too long."""
    return " ".join(str(error).split())[:200]


def _open_text(path: Path) -> TextIO:
    if is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _cells(path: Path, text: str, dialect: Dialect) -> list[str]:
    """The cells of one line, whatever follows it."""
    if not dialect.quoting:
        return [cell.strip() for cell in text.split(dialect.delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=dialect.delimiter), [])]
    except csv.Error as error:
        raise SourceError(f"{path}: {one_line(error)}. Is it a table?") from None


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are not blank."""
    return ((line, text) for line, text in enumerate(lines(path), 1) if text.strip())


def _known_format(path: Path, dialect: Dialect) -> Layout | None:
    """The layout of a file in a format that its first line names."""
    numbered = _numbered(path)
    first = next(numbered, (0, ""))[1].strip('" \r\n\t')
    if first in ("#1.2", "#1.3"):
        return _gct(path, dialect, numbered, first)
    if not first.casefold().startswith(("!series_", "!sample_")):
        return None
    for _, text in itertools.chain([(1, first)], numbered):
        if text.strip('" \r\n\t').casefold() == BEGIN:
            line, header = next(numbered, (0, END))
            if header.strip('" \r\n\t').casefold() == END:
                break
            return Layout(line, _cells(path, header, dialect), SERIES)
    raise SourceError(
        f"{path} is a {SERIES} without a table of values. Those of sequenced series are among the "
        "supplementary files of the series: download these."
    )


def _gct(path: Path, dialect: Dialect, numbered: Iterator[tuple[int, str]], version: str) -> Layout:
    """The layout of a GCT file, from the lines after its first."""
    sizes = _cells(path, next(numbered, (0, ""))[1], dialect)
    sizes = [cell for cell in sizes if cell]
    wanted = 2 if version == "#1.2" else 4
    if len(sizes) != wanted or not all(re.fullmatch(r"\d{1,9}", cell) for cell in sizes):
        raise SourceError(
            f"{path} is no GCT file: its second line must hold {wanted} numbers, and holds "
            f"{' '.join(sizes)[:40]!r}. Write it again, or as a plain table."
        )
    n_rows, n_samples, n_texts, n_above = [int(cell) for cell in (*sizes, "1", "0")][:4]
    line, text = next(numbered, (0, ""))
    header = _cells(path, text, dialect)
    if len(header) != 1 + n_texts + n_samples:
        raise SourceError(
            f"{path} says that it has {n_samples} samples, but its header has {len(header)} "
            f"columns in place of {1 + n_texts + n_samples}. Copy or write it again."
        )
    apart = frozenset(range(1, 1 + n_texts))
    return Layout(line, header, f"GCT {version[1:]} file", apart, n_above, n_rows)


def _plain(path: Path, dialect: Dialect, *, guess: bool) -> Layout:
    """The layout of an ordinary table; `SourceError` when its first line cannot be the header."""
    numbered = _numbered(path)
    comments = []
    for line, text in numbered:
        if not (dialect.comment and text.lstrip('"').startswith(dialect.comment)):
            break
        comments.append((line, text))
    else:
        fact = "no table: its lines are comments or blank" if comments else "blank lines only"
        raise SourceError(f"{path} holds {fact}.")
    header = _cells(path, text, dialect)
    marked = [(at, _cells(path, comment, dialect)) for at, comment in comments]
    marked = [(at, cells) for at, cells in marked if len(cells) == len(header) > 1]
    if guess and len(marked) == 1 and marked[0][0] == comments[-1][0]:
        line, header = marked[0]
        header = [header[0].lstrip("# "), *header[1:]]
    else:
        _refuse_preamble(path, dialect, line, header, numbered)
    if header[:6] == FEATURE:
        return Layout(line, header, COUNTS, frozenset(range(1, 6)))
    return Layout(line, header)


def _refuse_preamble(
    path: Path, dialect: Dialect, line: int, header: list[str], rest: Iterator[tuple[int, str]]
) -> None:
    """`SourceError` for a first line of fewer columns than the table below it has, or of one."""
    below = [(at, len(_cells(path, text, dialect))) for at, text in itertools.islice(rest, _PEEK)]
    widths = [width for _, width in below]
    table = widths[-1] if widths and widths[-2:-1] == widths[-1:] else 0
    if table > len(header) and (table > len(header) + 1 or len(set(widths)) > 1):
        start = next(at for at, width in below if width == table)
        raise SourceError(
            f"{path}: line {line} has {len(header)} column{'s' * (len(header) > 1)} "
            f"({header[0][:40]!r}), and from line {start} on there are {table}: what stands above "
            "the header is no part of the table. Remove those lines, or begin them with #."
        )
    if len(header) > 1:
        return
    used = next((d for d in DELIMITER_NAMES if d != dialect.delimiter and d in header[0]), None)
    if used is None:
        raise SourceError(
            f"{path} has one column only, {header[0][:40]!r}. It must have ids and values."
        )
    raise SourceError(
        f"{path} looks {DELIMITER_NAMES[used]}-separated, but a file of its name is read as "
        f"{DELIMITER_NAMES[dialect.delimiter]}-separated: it has one column, {header[0][:40]!r}. "
        + {",": "Rename it to .csv.", "\t": "Rename it to .tsv."}.get(used, "Save it as TSV.")
    )


def _surveyed(path: Path, dialect: Dialect, found: Layout, max_rows: int) -> Layout:
    """The layout once all lines are seen: how it is quoted, and its longest line."""
    quotes = _Quotes(dialect.delimiter, len(found.header)) if dialect.quoting else None
    first_quoted, longest, last = False, 0, ""
    for line, text in enumerate(lines(path), 1):
        inside = quotes is not None and quotes.record != ""
        if line < found.line or not (text.strip() or inside):
            continue
        longest, last = max(longest, len(text)), text
        n_rows = line - found.line
        if n_rows > max_rows or n_rows * len(found.header) > MAX_CELLS:
            raise SourceError(
                f"{path} has more than {n_rows - 1:,} rows of {len(found.header)} columns: more "
                "than is read. Is it another kind of file?"
            )
        if line == found.line:
            first_quoted = '"' in text
        if quotes is None or (quotes.follow(text) and not (quotes.record and line == found.line)):
            continue
        if dialect.delimiter == "\t" and not first_quoted:
            quotes = None
            continue
        raise SourceError(_open_quote(path, line - quotes.behind + 1))
    if quotes is not None and quotes.record:
        if dialect.delimiter != "\t" or first_quoted:
            raise SourceError(_open_quote(path, line - quotes.behind + 1))
        quotes = None
    if found.form == SERIES and last.strip('" \r\n\t').casefold() != END:
        raise SourceError(f"{path} is cut short: it has no last line {END}. Download it again.")
    return Layout(
        **{name: getattr(found, name) for name in ("line", "header", "form", "apart", "above")},
        rows=found.rows,
        quoting=quotes is not None,
        breaks=quotes is not None and quotes.breaks,
        longest=longest,
    )


class _Quotes:
    """Follows the quotes of a table line by line."""

    def __init__(self, delimiter: str, columns: int) -> None:
        cell = rf'(?:"(?:[^"]++|"")*+"|(?!")[^{delimiter}\r\n]*+)'
        self._whole = re.compile(rf"{cell}(?:{delimiter}{cell})*+[\r\n]*")
        self._open = re.compile(rf'(?:{cell}{delimiter})*+"(?:[^"]++|"")*+')
        self._delimiter, self._columns = delimiter, columns
        self.record = ""
        """The lines of a row that has not ended."""
        self.behind = 0
        """How many these are."""
        self._complete = 0
        self.breaks = False

    def follow(self, text: str) -> bool:
        """Whether all quotes are in order up to this line.

        Lines that are joined by a quote must not look like several rows.
        """
        if not self.record and '"' not in text:
            return True
        self.record += text
        self.behind += 1
        self._complete += text.count(self._delimiter) >= self._columns - 1
        if self.behind > 1 and self._complete > 1:
            return False
        if self._whole.fullmatch(self.record):
            self.breaks |= self.behind > 1
            self.record, self.behind, self._complete = "", 0, 0
            return True
        return len(self.record) < csv.field_size_limit() and bool(self._open.fullmatch(self.record))


def _open_quote(path: Path, line: int) -> str:
    return (
        f'{path}, line {line}: a cell starts with a quote (") that is not closed where the cell '
        "ends, so that it would swallow what follows. Close it, double the quotes within the cell, "
        "or remove them."
    )


def _first_text(cells: list[str]) -> int | None:
    """Position of the first cell that is neither a number nor missing."""
    try:
        list(map(float, cells))  # nearly all rows are in order: look at single cells in the others
        if "_" not in (joined := "".join(cells)) and joined.isascii():
            return None
    except ValueError:
        pass
    return next((i for i, cell in enumerate(cells) if not _is_number(cell)), None)


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell)) or cell in MISSING


def _ragged(path: Path, line: int, cells: list[str], found: Layout) -> str:
    header = found.header
    fact = f"{path}: line {line} has {len(cells)} columns, the header has {len(header)}. "
    if line == found.line + 1 and len(cells) == len(header) + 1:
        return (
            fact + "The column of ids has no name: write the table with one (in R: col.names=NA)."
        )
    return fact + "The file may be cut short, or a cell may hold the delimiter unquoted."


def _not_a_number(path: Path, line: int, cells: list[str], header: list[str], position: int) -> str:
    cell = cells[position]
    fact = (
        f"{path}: line {line} ({escaped(cells[0])[:60]}), column {header[position]!r:.60} holds "
        f"{cell[:40]!r}, which is not a number. "
    )
    if "Variant_Classification" in header:
        return fact + "This is a list of mutations (MAF): make a 0/1 matrix of genes and samples."
    bare = re.sub(r"[^\d.,+-]", "", cell)
    if _GROUPED.fullmatch(cell) and cell.count(",") == 1:
        return fact + (
            f"With a comma for thousands it is {bare.replace(',', '')}, with a decimal comma "
            f"{bare.replace(',', '.')}: write numbers without the first, and decimals with a point."
        )
    if _SPACED.fullmatch(cell):
        return fact + f"Write thousands without separators: {bare.replace(',', '')}."
    if _DECIMAL_COMMA.fullmatch(cell):
        plain = bare.replace(".", "").replace(",", ".")
        return fact + f"Write decimals with a point, and thousands without separators: {plain}."
    return fact + "Leave a missing value empty or write NA, and remove columns of text."
