"""Cohorts from matrices and a sample sheet of one's own."""

from pathlib import Path

from ..cohort.assembly import assemble
from ..cohort.contract import Cohort
from ..cohort.samples import SheetColumns
from ..core.params import FilesSource, SegmentFiles
from .gene_segments import GeneSegments, read_gene_segments, reading_of
from .segment_files import segment_files
from .tables import read_matrix, read_sheet
from .variants import read_list


def load_files(source: FilesSource, folder: Path) -> Cohort:
    """The unlabelled cohort in the files that `source` names; `notes` tell what was dropped."""
    notes: list[str] = []
    matrices = {"expression": read_matrix(folder / source.expression, source.orientation)}
    segments = None
    if source.copy_number:
        segments = _segments(source.copy_number, folder, notes)
    if isinstance(source.copy_number, str) and not segments:
        path = folder / source.copy_number
        matrices["copy_number"] = read_matrix(path, source.orientation)
    if source.mutation:
        path = folder / source.mutation
        matrices["mutation"] = read_list(path, notes) or read_matrix(path, source.orientation)
    return assemble(
        matrices,
        read_sheet(folder / source.samples),
        scale=source.scale,
        columns=SheetColumns.of(source),
        sheet_origin=str(folder / source.samples),
        origin=f"files {source.expression} and {source.samples}",
        notes=notes,
        segments=segments,
    )


def _segments(given: str | SegmentFiles, folder: Path, notes: list[str]) -> GeneSegments | None:
    """The segments that an entry names; None when it names a matrix."""
    names = [given] if isinstance(given, str) else segment_files(given.segments, folder)
    paths = [folder / name for name in names]
    reading = reading_of(given, paths[0])
    return read_gene_segments(paths, reading, notes) if reading else None
