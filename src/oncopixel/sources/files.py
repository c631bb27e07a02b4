"""Cohorts from matrices and a sample sheet of one's own."""

from pathlib import Path

from ..cohort.assembly import assemble
from ..cohort.contract import Cohort, Matrix
from ..cohort.samples import SheetColumns
from ..core.params import CHANNELS, FilesSource
from .tables import read_matrix, read_sheet
from .variants import read_list


def load_files(source: FilesSource, folder: Path) -> Cohort:
    """The unlabelled cohort in the files that `source` names; `notes` tell what was dropped."""
    notes: list[str] = []
    paths = {name: folder / getattr(source, name) for name in CHANNELS if getattr(source, name)}

    def matrix(name: str) -> Matrix:
        listed = read_list(paths[name], notes) if name == "mutation" else None
        return listed or read_matrix(paths[name], source.orientation)

    return assemble(
        {name: matrix(name) for name in paths},
        read_sheet(folder / source.samples),
        scale=source.scale,
        columns=SheetColumns.of(source),
        sheet_origin=str(folder / source.samples),
        origin=f"files {source.expression} and {source.samples}",
        notes=notes,
    )
