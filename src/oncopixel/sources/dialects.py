"""Where the table of a text file stands, and how it is quoted.

Besides plain tables with `#` lines above: GCT 1.2 and 1.3
(https://software.broadinstitute.org/cancer/software/gsea/wiki/index.php/Data_formats), the series
matrix of the Gene Expression Omnibus (https://www.ncbi.nlm.nih.gov/geo/info/soft.html) and the
counts of featureCounts (https://subread.sourceforge.net/featureCounts.html).
"""

import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..core.errors import SourceError, one_line
from .text import END, Bounds, Dialect, Layout, is_number, lines

DELIMITER_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}
BEGIN = "!series_matrix_table_begin"
FEATURE = ["Geneid", "Chr", "Start", "End", "Strand", "Length"]
SERIES, COUNTS = "GEO series matrix", "featureCounts table"
_PEEK = 20


def find_table(path: Path, dialect: Dialect, *, guess: bool, bounds: Bounds) -> Layout:
    """The layout of the one table in a text file, which is read once for it from end to end.

    Returns
    -------
    Layout
        Unquoted where quotes do not close in tab-separated text with an unquoted header.

    Raises
    ------
    SourceError
        For a file without a table, or with more than `bounds`, and one in which a quote opens that
        is not closed where its cell ends: such a cell swallows rows.
    """
    found = (guess and _known_format(path, dialect)) or _plain(path, dialect, guess=guess)
    bounds.refuse_larger(path, 0, len(found.header))
    return _surveyed(path, dialect, found, bounds)


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
    return ((line, text) for line, text in enumerate(lines(path), 1) if not text.isspace())


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
    below = {at: _cells(path, text, dialect) for at, text in itertools.islice(rest, _PEEK)}
    widths = [len(cells) for cells in below.values()]
    table = widths[-1] if widths and widths[-2:-1] == widths[-1:] else 0
    start = next((at for at, cells in below.items() if len(cells) == table), 0)
    if table > len(header) and not any(map(is_number, below[start][1:])):
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


def _surveyed(path: Path, dialect: Dialect, found: Layout, bounds: Bounds) -> Layout:
    """The layout once all lines are seen: how it is quoted, and its longest line."""
    record: list[str] = []
    longest, last, line, breaks, quoting = 0, "", 0, False, dialect.quoting
    first_quoted = False

    def quoted() -> Iterator[str]:
        """The lines of rows with a quote, and those that it joins."""
        nonlocal line, longest, last, first_quoted
        for line, text in enumerate(lines(path), 1):
            if line < found.line or (text.isspace() and not record):
                continue
            longest, last = max(longest, len(text)), text
            bounds.refuse_larger(path, line - found.line, len(found.header))
            if line == found.line:
                first_quoted = '"' in text
            if quoting and (record or '"' in text):
                record.append(text)
                yield text

    rest = quoted()
    try:
        for _ in csv.reader(rest, delimiter=dialect.delimiter, strict=True):
            whole = sum(text.count(dialect.delimiter) >= len(found.header) - 1 for text in record)
            breaks |= len(record) > 1
            if len(record) > 1 and (whole > 1 or line - len(record) < found.line):
                raise csv.Error
            record.clear()
    except csv.Error:
        if dialect.delimiter != "\t" or first_quoted:
            raise SourceError(
                f'{path}, line {line - len(record) + 1}: a cell starts with a quote (") that is '
                "not closed where the cell ends, so that it would swallow what follows. Close it, "
                "double the quotes within the cell, or remove them."
            ) from None
        quoting = breaks = False
        for _ in rest:
            pass
    if found.form == SERIES and last.strip('" \r\n\t').casefold() != END:
        raise SourceError(f"{path} is cut short: it has no last line {END}. Download it again.")
    return replace(found, quoting=quoting, breaks=breaks, longest=longest)
