"""Gene-level copy numbers of ASCAT (`*.gene_level_copy_number.*.tsv`)."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ...cohort import genes
from ...core.errors import SourceError
from ...core.storage import scratch_array
from ..http.cache import cache_folder
from .genes import GenePanel, GeneValues, ensembl_ids, read_side_by_side, refuse_other_genes
from .text import AGAIN, open_text

log = logging.getLogger(__name__)

MIN_COPIES = 0.25
"""What 0 copies count as, so that log2(copies / 2) is -3 and not minus infinity."""


def read_copies(path: Path) -> GeneValues:
    """Copy number of one aliquot as log2(copies / 2), at least -3; NaN where a cell is empty."""
    text = open_text(path, "gene-level copy numbers")
    table = text.read(texts=("gene_id", "gene_name"), numbers=("copy_number",))
    copies = table["copy_number"].to_numpy(zero_copy_only=False)
    wrong = np.isinf(copies) | (copies < 0)
    if wrong.any():
        text.refuse("copy_number", int(wrong.argmax()), "a number of copies, 0 or more, or empty")
    if not len(copies):
        raise SourceError(f"{path} holds no gene. {AGAIN}")
    values = np.log2(np.maximum(copies, np.float32(MIN_COPIES)) / np.float32(2))
    return GeneValues(
        table["gene_id"], table["gene_name"], pa.array([], pa.string()), values, dropped=0
    )


def read_copy_number(found: list[list[Path]], panel: GenePanel) -> tuple[np.ndarray, list[str]]:
    """`(samples, genes)` log2(copies / 2), NaN where not measured, and notes."""
    reference = next(paths[0] for paths in found if paths)
    first = read_copies(reference)
    shared, routes = _rows_of(first, reference, panel)
    how = Counter(routes)
    if not (shared >= 0).any():
        raise SourceError(
            f"{reference} shares no gene with the expression files. Is it of another genome?"
        )
    log.info("reading %d files of copy number", sum(map(bool, found)))
    layer = scratch_array(cache_folder() / "scratch", (len(found), len(panel.ids)))

    def read(row: int) -> bool:
        if not found[row]:
            layer[row] = np.nan
            return False
        values = read_copies(found[row][0])
        other = not values.ids.equals(first.ids)
        at = _rows_of(values, found[row][0], panel)[0] if other else shared
        if other:
            refuse_other_genes(found[row][0], reference, at[shared >= 0])
        layer[row] = np.where(at >= 0, values.numbers[at], np.nan)
        return other

    others = sum(read_side_by_side(read, len(found)))
    facts = [
        (int((shared < 0).sum()), "genes were not measured, and are masked"),
        (how[""], "genes of the first file dropped: not among the cohort's"),
        *((how[route], f"genes found by {route}") for route in genes.ROUTES[1:]),
        (others, "files have other genes than the first; what they lack is masked"),
    ]
    return layer, [f"copy_number: {count} {fact}" for count, fact in facts if count]


def _rows_of(found: GeneValues, path: Path, panel: GenePanel) -> tuple[np.ndarray, list[str]]:
    """Of each gene of the panel the row in the file, by the best route, or -1; each row's route."""
    at, routes = panel.find(ensembl_ids(found, path), found.names.to_pylist())
    rows = np.full(len(panel.ids), -1)
    for route in reversed(genes.ROUTES):
        chosen = np.flatnonzero(np.array(routes) == route)[::-1]
        rows[at[chosen]] = chosen
    return rows, routes
