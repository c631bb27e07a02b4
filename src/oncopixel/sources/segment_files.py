"""One file of segments as it stands: which of its columns is what, and its rows as arrays."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..core.errors import SourceError, did_you_mean, one_line
from .tables import read_columns, read_rows
from .text import PARQUET, Dialect, is_number


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SAMPLE = _names(
    "sample sampleid sampleidentifier samplename tumorsamplebarcode tumorsample gdcaliquot aliquot "
    "aliquotid aliquotbarcode barcode profileid modelid depmapid arrayname array id"
)
CHROMOSOME = _names("chromosome chrom chr chromosomename contig seqnames seqname chrs chromno")
START = _names(
    "start locstart startposition startpos startloc startbp startbase chromstart chromosomestart "
    "segmentstart segstart begin physicalstart"
)
END = _names(
    "end locend endposition endpos endloc endbp endbase chromend chromosomeend segmentend segend "
    "stop stopposition stoppos physicalend"
)
MARKERS = _names(
    "numprobes numprobe nummark nummarks nummarkers nprobes nmarkers nprobe nmark numberofprobes "
    "numberofmarkers probes markers probecount markercount numsnps nsnps nsnp numpoints "
    "numpointscopyratio nbrofloci"
)
VALUES = {
    "log2": _names(
        "segmentmean segmean seglogr seglog2 segcn log2 log2ratio logratio log2r log2copyratio "
        "meanlog2copyratio log2meancopyratio log2mean cnlrmedian logr meanlogr mean log2cnratio "
        "value"
    ),
    "copies": _names(
        "copynumber cn tcn tcnem totalcn totalcopynumber totcn cnt cntotal ntotal modaltotalcn "
        "absolutecn absolutecopynumber copies"
    ),
    "ratio": _names(
        "ratio copyratio meancopyratio linearratio linearcopyratio cnratio relativecopynumber "
        "relativecn"
    ),
}
"""Names of the column of values, by scale; letters and digits only, in lower case."""
ALLELES = (
    _names("majorcopynumber minorcopynumber"),
    _names("nmajor nminor"),
    _names("majorcn minorcn"),
    _names("majcn mincn"),
)
"""Names of the copies of both alleles, which add up to all copies."""
PROJECT, BUILD = _names("project projectid"), _names("ncbibuild build genomebuild assembly genome")
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
    """Whether the columns are those of segments: sample, chromosome, start, end and a value."""
    try:
        known = {_key(name) for name in _header(path)[0]}
    except SourceError:
        return False
    values = [*((name,) for names in VALUES.values() for name in names), *ALLELES]
    place = (SAMPLE, CHROMOSOME, START, END)
    return all(known.intersection(names) for names in place) and any(
        known.issuperset(names) for names in values
    )


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
    chosen = _Columns.of(header, path, value_column, scale, alone=alone)
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
    projects: dict[str, str] = {}
    if chosen.project:
        codes, words = _coded(columns[chosen.project])
        first = pd.Series(codes).groupby(sample).first()
        projects = {names[at]: words[code] for at, code in first.items() if code < len(words)}
    builds = _coded(columns[chosen.build])[1] if chosen.build else []
    table = SegmentTable(
        path, name or path.name, names, sample, chromosome, start, end, value, markers,
        chosen.scale, " + ".join(chosen.measured), projects, builds,
        _key(chosen.sample) == "gdcaliquot",
        not chosen.sample, dialect,
    )  # fmt: skip
    _refuse_rows(table)
    whole = {"start": start.astype(np.int64), "end": end.astype(np.int64)}
    return SegmentTable(**(vars(table) | whole))


@dataclass(frozen=True)
class _Columns:
    """The names of the columns of a file; "" for what it lacks."""

    sample: str
    chromosome: str
    start: str
    end: str
    measured: tuple[str, ...]
    scale: str
    markers: str
    project: str
    build: str

    @classmethod
    def of(
        cls,
        header: list[str],
        path: Path,
        value_column: str | None,
        scale: str | None,
        *,
        alone: bool,
    ) -> "_Columns":
        known: dict[str, str] = {}
        for name in header:
            known.setdefault(_key(name), name)

        def find(names: Iterable[str]) -> str:
            found = next((known[name] for name in names if name in known), "")
            if found and header.count(found) > 1:
                raise SourceError(f"{path} has {header.count(found)} columns {found!r}. Keep one.")
            return found

        place = {
            "sample": find(SAMPLE),
            "chromosome": find(CHROMOSOME),
            "start": find(START),
            "end": find(END),
        }
        lacking = [what for what, name in place.items() if not name and (alone or what != "sample")]
        if lacking:
            first = "" if not all(map(is_number, header[2:4])) else " Its first row is no header?"
            raise SourceError(
                f"{path} has no column of the {' and the '.join(lacking)} of its segments, by any "
                f"known name. Columns: {', '.join(header)[:200]}.{first} A header such as Sample, "
                "Chromosome, Start, End, Num_Probes, Segment_Mean is understood."
            )
        values, told = _value_columns(header, path, value_column, scale, find)
        more = [find(names) for names in (MARKERS, PROJECT, BUILD)]
        return cls(
            **place, measured=values, scale=told, markers=more[0], project=more[1], build=more[2]
        )


def _value_columns(
    header: list[str],
    path: Path,
    value_column: str | None,
    scale: str | None,
    find: Callable[[Iterable[str]], str],
) -> tuple[tuple[str, ...], str]:
    """The column or, of alleles, columns of values, and their scale."""
    if value_column:
        if value_column not in header:
            raise SourceError(
                f"{path} has no column {value_column!r}, which `value_column` "
                f"names{did_you_mean(value_column, header)}. Columns: {', '.join(header)[:200]}."
            )
        by_name = next((s for s, names in VALUES.items() if _key(value_column) in names), None)
        if scale is None and by_name is None:
            raise SourceError(
                f"{path}: the name of column {value_column!r} does not tell its scale. Set `scale` "
                "to log2 (0 is normal), ratio (1 is normal) or copies (2 is normal)."
            )
        return (value_column,), scale or str(by_name)
    found = {s: name for s, names in VALUES.items() if (name := find(names))}
    pairs = [
        pair for pair in (tuple(find([name]) for name in pair) for pair in ALLELES) if all(pair)
    ]
    if scale in found:
        return (found[scale],), scale
    if pairs and "copies" not in found and scale in (None, "copies"):
        return pairs[0], "copies"
    if scale is None and len(found) > 1:
        raise SourceError(
            f"{path} has values on several scales: {', '.join(found.values())}. Set `scale` to "
            f"{' or '.join(found)}."
        )
    if found:
        by_name, column = next(iter(found.items()))
        return (column,), scale or by_name
    raise SourceError(
        f"{path} has no column of values by any known name, such as Segment_Mean or Copy_Number. "
        f"Name it as `value_column`, and its `scale`. Columns: {', '.join(header)[:200]}."
    )


def _name_of(path: Path) -> str:
    """The name of a file without its ending."""
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def _key(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


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


def _read(path: Path, dialect: Dialect | None, chosen: _Columns) -> dict[str, pa.ChunkedArray]:
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
