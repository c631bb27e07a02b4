"""Masked copy-number segments (`*.nocnv_grch38.seg.v2.txt`), one file per aliquot.

https://docs.gdc.cancer.gov/Data/Bioinformatics_Pipelines/CNV_Pipeline/
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...core.errors import SourceError, first_few
from ...core.params import SegmentReading
from ...core.storage import scratch_array
from ..gene_segments import GeneSegments
from ..http.cache import cache_folder
from ..segment_files import SegmentTable, read_table
from ..segments import join_tables
from .genes import GenePanel, gene_places, read_side_by_side
from .text import AGAIN

READING = SegmentReading(build="hg38", scale="log2")


def read_segment_files(
    found: list[list[Path]], aliquots: list[str], panel: GenePanel
) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    """Copy number of the panel's genes, NaN where not measured; facts of segments; notes.

    Parameters
    ----------
    found
        The file of each sample, or none.
    aliquots
        Whose it is, whatever UUID stands in it.

    Returns
    -------
    tuple
        `(samples, genes)` log2(copies / 2), and a row per sample as of `pixel_values`.

    Raises
    ------
    SourceError
        For files that are not what they should be.
    """
    rows = [row for row, paths in enumerate(found) if paths]
    tables = read_side_by_side(lambda i: _read(found[rows[i]][0], aliquots[rows[i]]), len(rows))
    notes: list[str] = []
    joined = join_tables(tables, READING, notes)
    segments = GeneSegments("masked segments of the GDC", joined, READING.min_markers)
    names = [aliquots[row] for row in rows]
    values, facts = segments.of_genes(sorted(names), gene_places(panel))
    layer = scratch_array(cache_folder() / "scratch", (len(found), len(panel.ids)))
    layer[:] = np.nan
    at = np.flatnonzero(np.isin(panel.symbols, values.columns))
    for row in rows:
        layer[row, at] = values.loc[aliquots[row]]
    absent = int(np.isnan(layer[:]).all(axis=0).sum())
    if absent:
        notes.append(f"copy_number: {absent} genes were not measured, and are masked")
    return layer, facts.reindex(aliquots), notes


def _read(path: Path, aliquot: str) -> SegmentTable:
    """The segments of one aliquot."""
    table = read_table(path, None, READING.scale, alone=True)
    if len(table.samples) > 1:
        raise SourceError(f"{path} is of several aliquots: {first_few(table.samples)}. {AGAIN}")
    return replace(table, samples=[aliquot])
