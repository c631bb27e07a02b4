"""Which column of a file of segments is what, by the names that they have in the wild."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import SourceError, did_you_mean
from .text import is_number


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


@dataclass(frozen=True)
class SegmentColumns:
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
    ) -> "SegmentColumns":
        """The columns of a header; `SourceError` for one that is not there, or there twice."""
        known: dict[str, str] = {}
        for name in header:
            known.setdefault(key_of(name), name)

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
        by_name = next((s for s, names in VALUES.items() if key_of(value_column) in names), None)
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


def are_segments(header: Iterable[str]) -> bool:
    """Whether these are the columns of segments: sample, chromosome, start, end and a value."""
    known = {key_of(name) for name in header}
    values = [*((name,) for names in VALUES.values() for name in names), *ALLELES]
    place = (SAMPLE, CHROMOSOME, START, END)
    return all(known.intersection(names) for names in place) and any(
        known.issuperset(names) for names in values
    )


def key_of(name: str) -> str:
    """Its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name.casefold()))
