"""One file of segments as it stands: which of its columns is what, and its rows as arrays."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..cohort.barcodes import project_in
from ..core.errors import SourceError, one_line
from .segment_columns import SegmentColumns, are_segments, key_of
from .tables import read_columns, read_rows
from .text import PARQUET, Dialect

DELIMITERS = ("\t", ",", ";", " ")


@dataclass(frozen=True)
class SegmentTable:
    """The rows of a file as they stand, and what its columns tell."""

    path: Path
    name: str
    """Of the file, where it was before it came into a cache."""
    samples: list[str]
    sample: np.ndarray
    """Position in `samples` of each row."""
    chromosome: tuple[np.ndarray, list[str]]
    """Position in the list of names of each row."""
    start: np.ndarray
    end: np.ndarray
    value: np.ndarray
    """NaN where missing."""
    markers: np.ndarray
    """NaN where the file does not have their number."""
    scale: str
    column: str
    """The name of the column of values."""
    projects: dict[str, str]
    """By a column, else by the name of the file or its folder."""
    builds: list[str]
    of_gdc: bool
    by_name: bool
    """Whether the file's name is the sample's, as no column is."""
    dialect: Dialect | None
    """How the text is written; None of Parquet."""

    def at(self, row: int) -> str:
        """Where a row stands, for messages."""
        place = f"row {row + 1}"
        if self.dialect is not None:
            lines = (line for line, _ in read_rows(self.path, self.dialect))
            place = f"line {next(islice(lines, row + 1, None))}"
        named = self.sample[row] < len(self.samples)
        of = f" (sample {self.samples[self.sample[row]]})" if named else ""
        return f"{self.path}, {place}{of}"


def segment_files(given: str | list[str], folder: Path) -> list[str]:
    """The files of segments that an entry names.

    Returns
    -------
    list of str
        Names below `folder`, `*` filled in, each once.

    Raises
    ------
    SourceError
        When no file has such a name.
    """
    names: list[str] = []
    for name in [given] if isinstance(given, str) else given:
        if "*" not in name:
            names.append(name)
            continue
        try:
            met = sorted(folder.glob(name))
        except (ValueError, NotImplementedError):  # such as an absolute path
            met = []
        if not met:
            raise SourceError(f"{folder} has no file that is called like {name!r}.")
        names += [str(path.relative_to(folder)) for path in met]
    return list(dict.fromkeys(names))


def holds_segments(path: Path) -> bool:
    """Whether the columns of a file are those of segments."""
    try:
        return are_segments(_header(path)[0])
    except SourceError:
        return False


def read_table(
    path: Path, value_column: str | None, scale: str | None, name: str = "", *, alone: bool
) -> SegmentTable:
    """The segments of one file; one of several that names no samples is of the sample in its name.

    Parameters
    ----------
    name
        Of the file, where its path does not tell it.

    Returns
    -------
    SegmentTable
        Its rows in their order, values and positions as they stand.

    Raises
    ------
    SourceError
        For a file that cannot be read, a column that is not there or there twice, values whose
        scale no name tells, and rows without a sample or with positions that are none.
    """
    header, dialect = _header(path)
    chosen = SegmentColumns.of(header, path, value_column, scale, alone=alone)
    columns = _read(path, dialect, chosen)
    chromosome = _coded(columns[chosen.chromosome])
    if not len(chromosome[0]):
        raise SourceError(f"{path} has a header but no segments.")
    if chosen.sample:
        sample, names = _coded(columns[chosen.sample])
    else:
        sample, names = np.zeros(len(chromosome[0]), dtype=int), [_name_of(path)]
    start, end = (_numbers(path, each, columns[each]) for each in (chosen.start, chosen.end))
    value = np.sum([_numbers(path, each, columns[each]) for each in chosen.measured], axis=0)
    markers = np.full(len(start), np.nan)
    if chosen.markers:
        markers = _numbers(path, chosen.markers, columns[chosen.markers])
    told = project_in(f"{path.parent.name} {name or path.name}")
    projects = dict.fromkeys(names, told) if told else {}
    if chosen.project:
        codes, words = _coded(columns[chosen.project])
        first = pd.Series(codes).groupby(sample).first()
        projects = {names[at]: words[code] for at, code in first.items() if code < len(words)}
    builds = _coded(columns[chosen.build])[1] if chosen.build else []
    table = SegmentTable(
        path, name or path.name, names, sample, chromosome, start, end, value, markers,
        chosen.scale, " + ".join(chosen.measured), projects, builds,
        key_of(chosen.sample) == "gdcaliquot",
        not chosen.sample, dialect,
    )  # fmt: skip
    _refuse_rows(table)
    whole = {"start": start.astype(np.int64), "end": end.astype(np.int64)}
    return SegmentTable(**(vars(table) | whole))


def _name_of(path: Path) -> str:
    """The name of a file without its ending."""
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def _header(path: Path) -> tuple[list[str], Dialect | None]:
    """The names of the columns, and how the text is written (None: Parquet)."""
    if path.suffix.lower() in PARQUET:
        try:
            return pa.parquet.read_schema(path).names, None
        except FileNotFoundError:
            raise SourceError(f"{path} does not exist.") from None
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path} is no readable Parquet file: {one_line(error)}.") from None
    found = []
    for delimiter in DELIMITERS:
        dialect = Dialect(delimiter, comment="#")
        _, header = next(read_rows(path, dialect), (0, []))
        found.append(([name.strip() for name in header], dialect))
    return max(found, key=lambda each: len(each[0]))


def _read(
    path: Path, dialect: Dialect | None, chosen: SegmentColumns
) -> dict[str, pa.ChunkedArray]:
    """The chosen columns: positions, values and numbers of markers as float64, others as text."""
    text = {chosen.sample, chosen.chromosome, chosen.project, chosen.build} - {""}
    numbers = {chosen.start, chosen.end, chosen.markers, *chosen.measured} - {""}
    if dialect is not None:
        return read_columns(path, dialect, kind=pa.float64(), words=text, needed=text | numbers)
    try:
        table = pa.parquet.read_table(path, columns=[*text, *numbers])
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} is no readable Parquet file: {one_line(error)}.") from None
    found = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        try:
            if name in text and pa.types.is_floating(column.type):
                column = column.cast(pa.int64())
            found[name] = column.cast(pa.string() if name in text else pa.float64())
        except pa.ArrowException:
            raise SourceError(
                f"{path}: column {name!r} holds {column.type}, not "
                f"{'names' if name in text else 'numbers'}. Convert it."
            ) from None
    return found


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Codes and names in the order in which they appear; a missing name has the last code."""
    trimmed = pc.utf8_trim_whitespace(column)
    encoded = pc.if_else(pc.equal(trimmed, ""), None, trimmed).combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    return encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False), names


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = column.to_numpy().astype(np.float64)
    if np.isinf(values).any():
        raise SourceError(
            f"{path}, row {int(np.isinf(values).argmax()) + 1} of the segments: column {name!r} is "
            "infinite. Leave missing values empty; log2 of 0 copies may be -3."
        )
    return values


def _refuse_rows(table: SegmentTable) -> None:
    """`SourceError` for the first row without a sample or chromosome, or with odd positions."""
    start, end = table.start, table.end
    codes, names = table.chromosome
    with np.errstate(invalid="ignore"):
        wrong = {
            "it names no sample": table.sample == len(table.samples),
            "it names no chromosome": codes == len(names),
            "its start or end is missing": np.isnan(start) | np.isnan(end),
            "its start or end is no whole number of bases": (start % 1 != 0) | (end % 1 != 0),
            "its start is negative": start < 0,
            "it starts after its end": start > end,
        }
    for fact, rows in wrong.items():
        if rows.any():
            raise SourceError(
                f"{table.at(int(rows.argmax()))}: {fact} ({int(rows.sum())} such segments). "
                "Correct or remove it."
            )
