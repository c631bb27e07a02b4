"""Cohorts of a UCSC Xena hub (https://xenabrowser.net/datapages/), downloaded or on disk.

Matrices are tab-separated, genes in rows, gzipped or not; the first column holds the genes and is
called `sample`, `Sample`, `Gene Symbol` or otherwise. Mutations may also be a list with a row per
variant: columns `sample` (or `#sample`, `Sample_ID`), `gene`, `effect`. The clinical matrix has a
row per sample. Samples of TCGA have ids of 15 characters.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.barcodes import barcode
from ..cohort.contract import Cohort
from ..core.params import CHANNELS, XenaSource
from .files import assemble
from .http.locations import SourceFile, locate
from .samples import SheetColumns
from .tables import Matrix, read_matrix, read_sheet
from .text import Dialect
from .variants import read_list

TSV = Dialect(quoting=False)


def load_xena(
    source: XenaSource, folder: Path, listing: pd.DataFrame
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort in the files that `source` names, and the listing of the downloads.

    Rows without any value, or without a gene, are dropped. Raises `SourceError` when a file cannot
    be had, or is not as declared.
    """
    files, listing = locate(source, folder, listing)
    notes: list[str] = []
    matrices: dict[str, Matrix] = {}
    for channel in sorted(set(files) & set(CHANNELS), key=CHANNELS.index):
        calls = _read_calls(files[channel], notes) if channel == "mutation" else None
        matrices[channel], dropped = (calls, 0) if calls else _read(files[channel])
        if dropped:
            notes.append(f"{channel}: {dropped} entries without any value dropped")
    cohort = assemble(
        matrices["expression"],
        _sheet(files["samples"], source),
        scale=source.scale,
        columns=SheetColumns.of(source),
        sheet_origin=files["samples"].shown,
        copy_number=matrices.get("copy_number"),
        mutation=matrices.get("mutation"),
        origin=f"UCSC Xena, {source.expression} and {source.samples}"
        + (f" of {source.hub}" if source.hub else ""),
        notes=notes,
    )
    return cohort, listing


def _read_calls(file: SourceFile, notes: list[str]) -> Matrix | None:
    """The matrix of a list of mutations; None for a file that is a matrix itself."""
    with file.reading() as path:
        return read_list(path, notes, shown=file.shown)


def _read(file: SourceFile) -> tuple[Matrix, int]:
    """The matrix less its rows without any value, and how many these were."""
    with file.reading() as path:
        frame = read_matrix(path, "genes_by_samples", TSV).frame
    empty = np.isnan(frame.to_numpy()).all(axis=0)
    return Matrix(file.shown, frame.loc[:, ~empty] if empty.any() else frame), int(empty.sum())


def _sheet(file: SourceFile, source: XenaSource) -> pd.DataFrame:
    """The clinical matrix; TCGA barcodes, not its words, tell the sample type."""
    with file.reading() as path:
        sheet = read_sheet(path, TSV)
    if source.sample_type_column is None and "sample_type" in sheet:
        foreign = [barcode(name) is None for name in sheet.index]
        sheet["sample_type"] = sheet["sample_type"].astype(object).where(foreign, None)
    return sheet
