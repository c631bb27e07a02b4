"""Copy-number segments in files as people have them, on one genome and one scale.

Read are the output of DNAcopy and its kin (CBS), the input of GISTIC
(https://broadinstitute.github.io/gistic2/), the segments of the GDC
(https://docs.gdc.cancer.gov/Encyclopedia/pages/Copy_Number_Segment/), also those of ASCAT with
their alleles, those of the cBioPortal (`data_cna_hg19.seg`) and Parquet; columns are found by their
names, whatever their order. What cannot be told from a file is asked for, never guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.genome import BUILDS, CHROMOSOMES, lengths, to_hg38
from ..core.errors import SourceError, first_few
from ..core.params import SegmentReading
from .segment_files import SegmentTable, read_table

MIN_LOG2, MAX_LOG2 = -3.0, 7.0
"""Bounds of log2(copies / 2): 0 copies count as a quarter, and more than 256 as 256."""
MOST = 20.0
"""What no log2 ratio reaches."""
LEAST = 20
"""Segments below which no distribution is judged."""
RANGES = {"log2": (-0.5, 0.5), "ratio": (0.5, 1.4), "copies": (1.4, 8.0)}
"""Where the median over the bases of all samples lies, on each scale."""
_BUILD = re.compile(r"(?<![a-z0-9])(hg19|grch37|b37|hs37d5|hg38|grch38)(?![0-9])", re.IGNORECASE)
_BUILD_WORDS = {"37": "hg19", "19": "hg19", "38": "hg38"}
_OTHER_CONTIG = re.compile(
    r"(y|24|m|mt|25|26|xy|un|gl\d+|ki\d+|jh\d+|kn\d+|kq\d+|nt|nc|hs37d5|ebv)([_.].*)?"
    r"|.+_(random|alt|fix|hap\d*|decoy).*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Segments:
    """Segments of hg38 in the order of samples and of the genome, one array element each."""

    samples: list[str]
    sample: np.ndarray
    """Position in `samples`."""
    chromosome: np.ndarray
    """Position in `genome.CHROMOSOMES`."""
    start: np.ndarray
    end: np.ndarray
    """First and last base, counted from 1."""
    value: np.ndarray
    """log2(copies / 2), from `MIN_LOG2` to `MAX_LOG2`."""
    projects: dict[str, str]
    """Of each sample, where its file tells it."""

    def among(self, names: Sequence[str]) -> "Segments":
        """Those of these samples, which are in order."""
        places = pd.Index(names).get_indexer(self.samples)
        kept = self.take(places[self.sample] >= 0)
        return replace(kept, samples=list(names), sample=places[kept.sample])

    def take(self, keep: np.ndarray) -> "Segments":
        """Those of a mask; samples stay, also without any segment."""
        arrays = {f.name: getattr(self, f.name)[keep] for f in fields(self) if f.type is np.ndarray}
        return replace(self, **arrays)


def read_segments(
    paths: Sequence[Path], reading: SegmentReading, notes: list[str], *, name: str = ""
) -> Segments:
    """The segments of all files together.

    Parameters
    ----------
    notes
        Get what was converted and left out.
    name
        Of the one file, where its path does not tell it.

    Returns
    -------
    Segments
        Sorted, so that the order of files and of their rows is no matter.

    Raises
    ------
    SourceError
        For a file, a row or a value that is not what it should be, a scale or a build that cannot
        be told or contradicts the values, and a sample that two files have.
    """
    alone = len(paths) == 1
    column, scale = reading.value_column, reading.scale
    tables = [read_table(path, column, scale, name, alone=alone) for path in paths]
    return join_tables(tables, reading, notes)


def join_tables(
    tables: Sequence[SegmentTable], reading: SegmentReading, notes: list[str]
) -> Segments:
    """The segments of files that were read already, as `read_segments` gives them."""
    chromosomes = [_chromosomes(table) for table in tables]
    _refuse_repeated(tables)
    unnamed = sum(table.by_name for table in tables)
    if unnamed:
        notes.append(f"copy_number: {unnamed} files name no sample: each is of that in its name")
    build = _build_of(tables, chromosomes, reading.build, notes)
    parts = []
    for table, chromosome in zip(tables, chromosomes, strict=True):
        _refuse_beyond(table, chromosome, build)
        parts.append(_clean(table, chromosome))
    counts = pd.DataFrame([part.pop("counts") for part in parts]).sum()
    joined = _joined(tables, parts)
    if not len(joined.value):
        raise SourceError(
            f"{first_few(table.path for table in tables)}: no segment with a value is on "
            "chromosomes 1 to 22 or X. Is it the right file, and the right column?"
        )
    joined = replace(joined, value=_as_log2(joined, tables, notes))
    if build == "hg19":
        joined = _lifted(joined)
        notes.append("copy_number: positions of hg19 converted to hg38")
    keep = np.concatenate([part["markers"] for part in parts])
    tiny = keep < reading.min_markers  # NaN where there is no number of markers
    facts = [
        (counts["elsewhere"], "segments left out: not on chromosomes 1 to 22 and X"),
        (counts["empty"], "segments without a value left out"),
        (int(tiny.sum()), f"segments of less than {reading.min_markers} markers left out"),
    ]
    notes += [f"copy_number: {int(count)} {fact}" for count, fact in facts if count]
    return _sorted(joined.take(~tiny))


def _refuse_repeated(tables: Sequence[SegmentTable]) -> None:
    """`SourceError` for a sample that two files have."""
    owner: dict[str, Path] = {}
    for table in tables:
        for name in table.samples:
            if name in owner:
                raise SourceError(
                    f"sample {name} has segments in {owner[name]} and in {table.path}. Keep one "
                    "of them."
                )
            owner[name] = table.path


def _chromosomes(table: SegmentTable) -> np.ndarray:
    """Of each row the position in `CHROMOSOMES`; -1 for Y, MT and unplaced sequence."""
    codes, names = table.chromosome
    known = {name.casefold(): at for at, name in enumerate(CHROMOSOMES)} | {"23": 22}
    places: list[int] = []
    for name in names:
        bare = re.sub(r"^chr(omosome)?[ _]?|\.0$", "", name.strip(), flags=re.IGNORECASE).casefold()
        place = known.get(bare.removeprefix("0"), -1)
        if place < 0 and not _OTHER_CONTIG.fullmatch(bare):
            row = int(np.flatnonzero(codes == len(places))[0])
            raise SourceError(
                f"{table.at(row)}: {name!r:.40} is no chromosome. Write 1 to 22 and X (or 23), "
                "with or without chr."
            )
        places.append(place)
    return np.asarray(np.array([*places, -1])[codes])


def _clean(table: SegmentTable, chromosome: np.ndarray) -> dict[str, np.ndarray]:
    """The rows with a value on a chromosome that counts, and how many others there were."""
    placed, measured = chromosome >= 0, ~np.isnan(table.value)
    keep = placed & measured
    found = {
        name: np.asarray(getattr(table, name))[keep]
        for name in ("sample", "start", "end", "value", "markers")
    }
    counts = {"elsewhere": (~placed).sum(), "empty": (placed & ~measured).sum()}
    return found | {"chromosome": chromosome[keep], "counts": counts}


def _joined(tables: Sequence[SegmentTable], parts: Sequence[dict[str, np.ndarray]]) -> Segments:
    before = np.cumsum([0, *(len(table.samples) for table in tables)])
    sample = [part["sample"] + first for part, first in zip(parts, before, strict=False)]
    arrays = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("chromosome", "start", "end", "value")
    }
    names = [name for table in tables for name in table.samples]
    projects = {name: project for table in tables for name, project in table.projects.items()}
    return Segments(names, np.concatenate(sample), **arrays, projects=projects)


def _sorted(found: Segments) -> Segments:
    """By sample name, chromosome, start, end and value, however rows and files were ordered."""
    ranks = np.argsort(np.argsort(found.samples, kind="stable"), kind="stable")
    names = sorted(found.samples)
    found = replace(found, samples=names, sample=ranks[found.sample])
    keys = (found.value, found.end, found.start, found.chromosome, found.sample)
    return found.take(np.lexsort(keys))


def _as_log2(found: Segments, tables: Sequence[SegmentTable], notes: list[str]) -> np.ndarray:
    """The values as bounded log2(copies / 2); `SourceError` when they cannot be on their scale."""
    scales = sorted({table.scale for table in tables})
    if len(scales) > 1:
        raise SourceError(
            f"the files have values on different scales, {' and '.join(scales)}. Give them as "
            "cohorts of their own."
        )
    (scale,), columns = scales, sorted({table.column for table in tables})
    values = found.value.astype(np.float64)
    _refuse_misfit(found, values, scale, f"{tables[0].path}, column {columns[0]!r}")
    notes.append(f"copy_number: column {', '.join(columns)} taken as {scale}")
    if scale != "log2":
        normal = 1 if scale == "ratio" else 2
        with np.errstate(divide="ignore"):  # no copies
            values = np.log2(values / normal)
    outside = int(((values < MIN_LOG2) | (values > MAX_LOG2)).sum())
    if outside:
        notes.append(
            f"copy_number: {outside} values beyond log2(copies / 2) of {MIN_LOG2:g} to "
            f"{MAX_LOG2:g} set to these bounds"
        )
    return np.clip(values, MIN_LOG2, MAX_LOG2)


def _refuse_misfit(found: Segments, values: np.ndarray, scale: str, origin: str) -> None:
    """`SourceError` for values that cannot be on this scale."""
    negative = values < 0
    middle = weighted_median(values, found.end - found.start + 1)
    low, high = RANGES[scale]
    fact = ""
    if scale == "log2":
        if len(values) and np.abs(values).max() >= MOST:
            fact = f"one is {values[np.abs(values).argmax()]:g}"
        elif len(values) >= LEAST and not negative.any() and middle > high:
            fact = f"none is negative and their median is {middle:.3g}"
    elif negative.any():
        fact = f"{int(negative.sum())} are negative, such as {values[negative][0]:g}"
    elif len(values) >= LEAST and not low <= middle <= high:
        fact = f"their median is {middle:.3g}"
    if fact:
        raise SourceError(
            f"{origin}: the values cannot be `{scale}`: {fact}. Set `scale` to log2 (0 is normal), "
            "ratio (1 is normal) or copies (2 is normal), or name another `value_column`."
        )


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value that half of the weight lies below; NaN of none."""
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])


def _build_of(
    tables: Sequence[SegmentTable],
    chromosomes: Sequence[np.ndarray],
    declared: str | None,
    notes: list[str],
) -> str:
    """The build that is declared, or that all files tell: by column, name, source or positions."""
    if declared:
        return declared
    told = []
    for table, chromosome in zip(tables, chromosomes, strict=True):
        build, how = _build_told(table)
        told.append((build, how) if build else _build_by_ends(table, chromosome))
    builds = {build for build, _ in told}
    if len(builds) > 1:
        pairs = zip(tables, told, strict=True)
        shown = first_few(f"{table.name} {build or 'unknown'}" for table, (build, _) in pairs)
        if builds - {""} == set(BUILDS):
            raise SourceError(f"the files are of different builds: {shown}. Convert one of them.")
        known = next(iter(builds - {""}))  # a small file may end before any position that tells
        told = [(known, how) for _, how in told]
    build, how = told[0]
    if not build:
        raise SourceError(
            f"{tables[0].path}: whether positions are of hg19 or hg38 cannot be told by its name, "
            "its columns or its longest segments. Set `build: hg19` or `build: hg38`."
        )
    notes.append(f"copy_number: positions taken as {build} {how}".rstrip())
    return build


def _build_told(table: SegmentTable) -> tuple[str, str]:
    """The build by a column, by the file's name, or by the GDC's own column."""
    words = sorted({_build_word(word) for word in table.builds} - {""})
    if len(words) > 1:
        raise SourceError(f"{table.path} has rows of hg19 and of hg38. Convert one of them.")
    if words:
        return words[0], "by a column"
    name = _BUILD.search(re.sub(r"[_.\-]", " ", table.name))
    if name:
        return _build_word(name[1]), "by the name of the file"
    return ("hg38", "by its column GDC_Aliquot") if table.of_gdc else ("", "")


def _build_word(word: str) -> str:
    digits = re.sub(r"\D.*", "", re.sub(r"^\D+", "", word))
    return _BUILD_WORDS.get(digits, "")


def _build_by_ends(table: SegmentTable, chromosome: np.ndarray) -> tuple[str, str]:
    """The one build on whose chromosomes all segments fit."""
    ends = pd.Series(table.end).groupby(chromosome).max()
    fits = [
        build
        for build in BUILDS
        if all(end <= lengths(build)[CHROMOSOMES[at]] for at, end in ends.items() if at >= 0)
    ]
    if len(fits) == 1:
        return fits[0], "by the ends of chromosomes"
    if not fits:
        raise SourceError(
            f"{table.path} has segments that end beyond their chromosomes, of hg19 and of hg38. Is "
            "it of another build, or species? Convert it to hg38."
        )
    return "", ""


def _refuse_beyond(table: SegmentTable, chromosome: np.ndarray, build: str) -> None:
    """`SourceError` for a segment that ends beyond its chromosome."""
    limits = np.array([*lengths(build).values(), np.iinfo(np.int64).max])  # the last one is -1's
    beyond = table.end > limits[chromosome]
    if beyond.any():
        row = int(beyond.argmax())
        name = CHROMOSOMES[chromosome[row]]
        raise SourceError(
            f"{table.at(row)}: the segment ends at {int(table.end[row])}, beyond chromosome {name} "
            f"of {build} ({limits[chromosome[row]]} bases; {int(beyond.sum())} such segments). Set "
            f"`build` to the other one of {' and '.join(BUILDS)}, or correct the file."
        )


def _lifted(found: Segments) -> Segments:
    """Positions of hg19 on hg38."""
    start, end = np.empty_like(found.start), np.empty_like(found.end)
    for at, name in enumerate(CHROMOSOMES):
        rows = found.chromosome == at
        start[rows], end[rows] = (to_hg38(name, x[rows]) for x in (found.start, found.end))
    return replace(found, start=start, end=end)
