"""Cohorts of a UCSC Xena hub (https://xenabrowser.net/datapages/), downloaded or on disk.

Matrices are tab-separated, genes in rows, gzipped or not; the first column holds the genes and is
called `sample`, `Sample`, `Gene Symbol` or otherwise. Mutations may also be a list with a row per
variant: columns `sample` (or `#sample`, `Sample_ID`), `gene`, `effect`. Copy number may
be segments: `sample`, `chr`, `start`, `end`, `value`. The clinical matrix has a row per sample.
Samples of TCGA have ids of 15 characters.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.assembly import assemble
from ..cohort.barcodes import barcode
from ..cohort.contract import Cohort, Matrix
from ..cohort.samples import SheetColumns
from ..core.params import CHANNELS, XenaSource
from .gene_segments import file_segments
from .http.locations import SourceFile, locate
from .tables import read_matrix, read_sheet
from .text import Dialect
from .variants import read_list

TSV = Dialect(quoting=False)


def load_xena(
    source: XenaSource, folder: Path, listing: pd.DataFrame
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort in the files that `source` names, and the listing of the downloads."""
    files, listing = locate(source, folder, listing)
    notes: list[str] = []
    segments = None
    if source.copy_number:
        segments = file_segments(source.copy_number, files["copy_number"], notes)
    matrices = {
        channel: _matrix(files[channel], channel, notes)
        for channel in CHANNELS
        if channel in files and not (segments and channel == "copy_number")
    }
    origin = f"UCSC Xena, {source.expression} and {source.samples}"
    cohort = assemble(
        matrices,
        _sheet(files["samples"], source),
        scale=source.scale,
        columns=SheetColumns.of(source),
        sheet_origin=files["samples"].shown,
        origin=f"{origin} of {source.hub}" if source.hub else origin,
        notes=notes,
        segments=segments,
    )
    return cohort, listing


def _matrix(file: SourceFile, channel: str, notes: list[str]) -> Matrix:
    """The matrix less its rows without any value, or that of a list of mutations."""
    with file.reading() as path:
        listed = read_list(path, notes, shown=file.shown) if channel == "mutation" else None
        if listed is not None:
            return listed
        frame = read_matrix(path, "genes_by_samples", TSV).frame
    empty = np.isnan(frame.to_numpy()).all(axis=0)
    if empty.any():
        notes.append(f"{channel}: {int(empty.sum())} entries without any value dropped")
        frame = frame.loc[:, ~empty]
    return Matrix(file.shown, frame)


def _sheet(file: SourceFile, source: XenaSource) -> pd.DataFrame:
    """The clinical matrix; TCGA barcodes, not its words, tell the sample type."""
    with file.reading() as path:
        sheet = read_sheet(path, TSV)
    if source.sample_type_column is None and "sample_type" in sheet:
        foreign = [barcode(name) is None for name in sheet.index]
        sheet["sample_type"] = sheet["sample_type"].astype(object).where(foreign, None)
    return sheet
