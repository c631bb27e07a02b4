"""Tab-separated files of the GDC: gzip or not is seen in their bytes, columns go by their names."""

import gzip
import io
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from ...core.errors import SourceError, did_you_mean, first_few, one_line
from ..text import GZIP, Dialect, Layout, explain, rows

MAX_UNPACKED = 1 << 28
"""Bytes that a gzip-compressed file may unpack to; the largest real ones have about 100 MB."""
AGAIN = "Download it again."
_BLOCK = 1 << 26
_TSV = Dialect(comment="#", quoting=False)
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class TextTable:
    """A tab-separated file in memory: its column names, and the rows from line `first` on."""

    path: Path
    what: str
    header: list[str]
    first: int
    body: pa.Buffer

    def read(self, *, texts: Iterable[str], numbers: Iterable[str] = ()) -> dict[str, pa.Array]:
        """These columns, text as string and numbers as float32, null where a cell is empty."""
        texts, numbers = list(texts), list(numbers)
        at = {name: str(self._position(name)) for name in (*texts, *numbers)}
        if not self.body.size:
            return {name: pa.array([], pa.string()) for name in texts} | {
                name: pa.array([], pa.float32()) for name in numbers
            }
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(self.body),
                pa.csv.ReadOptions(
                    column_names=[str(i) for i in range(len(self.header))],
                    block_size=min(self.body.size, _BLOCK),
                    use_threads=False,  # files are read side by side
                ),
                pa.csv.ParseOptions(delimiter="\t", quote_char=False),
                pa.csv.ConvertOptions(
                    include_columns=list(at.values()),
                    column_types={at[name]: pa.string() for name in texts}
                    | {at[name]: pa.float32() for name in numbers},
                    null_values=["", "NA"],
                ),
            )
        except pa.ArrowException as error:
            layout = Layout(self.first - 1, self.header)
            explain(self.path, _TSV, layout, [self._position(name) for name in numbers])
            raise SourceError(
                f"{self.path} cannot be read as {self.what}: {one_line(error)}. " + AGAIN
            ) from None
        return {name: _joined(table.column(position)) for name, position in at.items()}

    def refuse(self, column: str, row: int, wanted: str) -> None:
        """`SourceError` for the cell of a row, counted from 0."""
        position = self._position(column)
        line, cells = next(islice(rows(self.path, _TSV), row + 1, None))
        raise SourceError(
            f"{self.path}: line {line} ({cells[0]}), column {column} holds "
            f"{cells[position][:40]!r}, which is not {wanted}. {AGAIN}"
        )

    def _position(self, name: str) -> int:
        found = [i for i, other in enumerate(self.header) if other == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise SourceError(f"{self.path} has {len(found)} columns {name}. {AGAIN}")
        raise SourceError(
            f"{self.path} has no column {name}{did_you_mean(name, self.header)}, which "
            f"{self.what} must have. It has: {first_few(self.header)}. Is it another kind of file?"
        )


def _joined(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def open_text(path: Path, what: str) -> TextTable:
    """The file after its comment lines (`#`) and header."""
    content = _content(path)
    start = line = 0
    while True:
        end = _LINE_END.search(content, start)
        stop, after = end.span() if end else (len(content), len(content))
        line += 1
        if stop == start and end is None:
            raise SourceError(f"{path} has no header, so it is no {what}. {AGAIN}")
        if stop > start and content[start : start + 1] != b"#":
            break
        start = after
    try:
        header = content[start:stop].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path} is not UTF-8 text, so it is no {what}. {AGAIN}") from None
    body = pa.py_buffer(content).slice(after)
    return TextTable(path, what, header.split("\t"), line + 1, body)


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked when they are gzip's; `SourceError` beyond `MAX_UNPACKED`."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_UNPACKED + 1)
            if len(content) > MAX_UNPACKED:
                raise SourceError(
                    f"{path} unpacks to more than {MAX_UNPACKED >> 20} MB, as no such file does. "
                    + AGAIN
                )
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist. {AGAIN}") from None
    except EOFError:
        raise SourceError(f"{path} is cut short: its gzip data has no end. {AGAIN}") from None
    except (OSError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read: {one_line(error)}. {AGAIN}") from None
    return content
