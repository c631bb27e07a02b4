"""New samples for a trained model, in matrices or in segments, as a cohort without labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd

from ..cohort import genes
from ..cohort.assembly import assemble
from ..cohort.contract import BIN_COLUMNS, VAR_COLUMNS, Cohort
from ..cohort.samples import SheetColumns, describe_samples, match_notes, match_samples
from ..cohort.scales import refuse_relative
from ..core.errors import SourceError, first_few
from ..core.params import Scale, SegmentReading
from ..images.preprocessor import Preprocessor
from ..sources.gene_segments import read_gene_segments
from ..sources.http.locations import SourceFile
from ..sources.segment_files import holds_segments
from ..sources.segments import read_segments
from ..sources.segments_cohort import segment_cohort
from ..sources.tables import read_matrix, read_sheet
from ..sources.variants import read_list


@dataclass(frozen=True)
class NewFiles:
    """The files of new samples, and how to read them."""

    main: Path
    """Expression, or segments for a model that reads none."""
    copy_number: Path | None
    mutation: Path | None
    samples: Path | None
    """The sheet."""
    scale: Scale | None
    orientation: str
    build: Literal["hg19", "hg38"] | None

    @cached_property
    def sheet(self) -> pd.DataFrame | None:
        """The sample sheet, where there is one."""
        return read_sheet(self.samples) if self.samples else None


def read_new(files: NewFiles, pre: Preprocessor, min_markers: int) -> Cohort:
    """The samples with all genes that they have, or, of segments, on the model's own pixels.

    Returns
    -------
    Cohort
        All samples, with what the sheet says of each.

    Raises
    ------
    SourceError
        For files that are not as declared, a sample without a row in the sheet, and a matrix for a
        model of bins.
    """
    reading = SegmentReading(build=files.build, min_markers=min_markers)
    if "expression" not in pre.channels and holds_segments(files.main):
        return _of_segments(files, pre, reading)
    if set(BIN_COLUMNS) <= set(pre.genes):
        raise SourceError(
            f"{files.main} holds no segments, and the model's pixels are bins of the genome. Give "
            "a file with columns such as Sample, Chromosome, Start, End, Segment_Mean."
        )
    return _of_matrices(files, pre, reading)


def pixels_of(pre: Preprocessor) -> pd.DataFrame:
    """Where the model's pixels lie: `var` of their cohort, with `end`."""
    if set(BIN_COLUMNS) <= set(pre.genes):
        return pre.genes.set_index("gene")[[*VAR_COLUMNS, *BIN_COLUMNS]]
    return genes.annotate(pre.genes["gene"].tolist())


def _of_segments(files: NewFiles, pre: Preprocessor, reading: SegmentReading) -> Cohort:
    notes: list[str] = []
    found = read_segments([files.main], reading, notes)
    sheet = _sheet_of(found.samples, files, notes)
    columns = SheetColumns(one_per_sample="patient" not in sheet)
    described, more = describe_samples(sheet, columns, str(files.samples or files.main))
    sequenced = "mutation" in pre.channels and files.mutation
    return segment_cohort(
        found,
        described,
        pixels_of(pre),
        mutations=SourceFile.below(Path(), str(sequenced)) if sequenced else None,
        origin=str(files.main),
        notes=[*notes, *more],
    )


def _of_matrices(files: NewFiles, pre: Preprocessor, reading: SegmentReading) -> Cohort:
    notes: list[str] = []
    matrices, segments = {"expression": read_matrix(files.main, files.orientation)}, None
    if files.copy_number and holds_segments(files.copy_number):
        segments = read_gene_segments([files.copy_number], reading, notes)
    elif files.copy_number:
        matrices["copy_number"] = read_matrix(files.copy_number, files.orientation)
    if files.mutation:
        listed = read_list(files.mutation, notes)
        matrices["mutation"] = listed or read_matrix(files.mutation, files.orientation)
    names = matrices["expression"].frame.index
    sheet = _sheet_of(names, files, notes)
    cohort = assemble(
        matrices,
        sheet.assign(patient=names.astype(str)),
        scale=files.scale or pre.scale,
        columns=SheetColumns(),
        sheet_origin=str(files.samples or files.main),
        origin=matrices["expression"].origin,
        notes=notes,
        among=pre.genes["gene"],
        segments=segments,
    )
    refuse_relative(cohort.layer("expression"), cohort.scale, str(files.main))
    return cohort


def _sheet_of(samples: Iterable[str], files: NewFiles, notes: list[str]) -> pd.DataFrame:
    """What the sheet, if there is one, says of each sample."""
    samples = list(samples)
    sheet = files.sheet
    if sheet is None:
        return pd.DataFrame(index=pd.Index(samples, dtype=object))
    rows = match_samples(samples, sheet.index, by_patient=True)
    lacking = [name for name in samples if name not in rows]
    if lacking:
        raise SourceError(
            f"{files.samples} has no row for {len(lacking)} of {len(samples)} samples: "
            f"{first_few(lacking)}. Give every sample a row; leave a cell empty where its value is "
            "not known."
        )
    notes += match_notes(rows, "sample sheet")
    return sheet.loc[list(rows.values())].set_axis(list(rows), axis=0)
