"""Gene counts of the STAR workflow (`*.rna_seq.augmented_star_gene_counts.tsv`)."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from ...cohort import genes
from ...cohort.assembly import route_notes, unique_genes
from ...core.errors import SourceError
from ...core.storage import scratch_array
from ..http.cache import cache_folder
from .genes import (
    MIN_SHARED_GENES,
    GenePanel,
    GeneValues,
    ensembl_ids,
    read_side_by_side,
    refuse_other_genes,
)
from .text import AGAIN, open_text

log = logging.getLogger(__name__)

COLUMNS = {"counts": "unstranded", "tpm": "tpm_unstranded"}


def read_star(path: Path, scale: str = "counts") -> GeneValues:
    """Expression of one aliquot, less the counters of unmapped reads and the genes `*_PAR_Y`."""
    column = COLUMNS[scale]
    text = open_text(path, "STAR gene counts")
    table = text.read(texts=("gene_id", "gene_name", "gene_type"), numbers=(column,))
    ids = table["gene_id"]
    par = pc.ends_with(ids, "_PAR_Y")
    keep = pc.invert(pc.or_(pc.starts_with(ids, "N_"), par))
    values = table[column].filter(keep).to_numpy(zero_copy_only=False)
    wrong, wanted = ~np.isfinite(values) | (values < 0), "a number, 0 or more"
    if scale == "counts":
        wrong, wanted = wrong | (values != np.floor(values)), "a whole number, 0 or more"
    if wrong.any():
        rows = np.flatnonzero(keep.to_numpy(zero_copy_only=False))
        text.refuse(column, int(rows[wrong.argmax()]), wanted)
    if not len(values):
        raise SourceError(f"{path} holds no gene. {AGAIN}")
    return GeneValues(
        ids.filter(keep),
        table["gene_name"].filter(keep),
        table["gene_type"].filter(keep),
        values,
        pc.sum(par).as_py() or 0,
    )


def read_expression(
    paths: list[Path], scale: str, wanted: str
) -> tuple[np.ndarray, GenePanel, list[str]]:
    """`(samples, genes)` expression of the genes of type `wanted`, these genes, and notes."""
    first = read_star(paths[0], scale)
    ids = np.array(ensembl_ids(first, paths[0]), dtype=object)
    types = np.array(first.types.to_pylist(), dtype=object)
    keep = np.flatnonzero((types == wanted) | (wanted == "all"))
    if not len(keep):
        raise SourceError(f"{paths[0]} has no gene of type {wanted}. Set `genes: all`.")
    raw, met, facts = _read_all(paths, scale, first, ids, keep)
    names = np.array(first.names.to_pylist(), dtype=object)[keep]
    kept, notes = _symbols(ids[keep], names, raw)
    at = kept.index.to_numpy()
    values = raw.reshape(-1)[: len(raw) * len(at)].reshape(len(raw), len(at))
    if len(at) < raw.shape[1]:
        for row in range(len(raw)):  # within the same file: a row never reaches one yet to be read
            values[row] = raw[row, at]
    facts = [
        (len(ids) - len(keep), f"genes dropped: their type is not {wanted}"),
        (first.dropped, "genes dropped: pseudoautosomal copies on Y"),
        *facts,
    ]
    notes = [f"expression: {count} {fact}" for count, fact in facts if count] + notes
    return values, GenePanel(list(ids[keep][at]), list(names[at]), kept.tolist(), met), notes


def _read_all(
    paths: list[Path], scale: str, first: GeneValues, ids: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, frozenset[str], list[tuple[int, str]]]:
    """`(samples, genes to keep)` values of all files, every Ensembl id in them, and counts."""
    log.info("reading %d files of expression", len(paths))
    raw = scratch_array(cache_folder() / "scratch", (len(paths), len(keep)))
    of_first, met = set(ids), set(ids)

    def read(row: int) -> tuple[int, int]:
        found = read_star(paths[row], scale) if row else first
        if found.ids.equals(first.ids):
            raw[row] = found.numbers[keep]
            return 0, 0
        own = ensembl_ids(found, paths[row])
        if len(ids) < MIN_SHARED_GENES * len(own):
            raise SourceError(
                f"{paths[0]} has {len(ids)} genes, {paths[row]} has {len(own)}: the first of them "
                f"is cut short, or they are of different releases. {AGAIN}"
            )
        met.update(own)
        at = pd.Index(own).get_indexer(pd.Index(ids[keep]))
        refuse_other_genes(paths[row], paths[0], at)
        raw[row] = np.where(at >= 0, found.numbers[at], np.nan)
        return int((at < 0).sum()), len(set(own) - of_first)

    counts = np.array(read_side_by_side(read, len(paths)))
    lacking, extra = counts.sum(axis=0)
    return (
        raw,
        frozenset(met),
        [
            (int(lacking), f"values are missing: {int((counts[:, 0] > 0).sum())} files lack genes"),
            (int(extra), "values dropped: their genes are not in the first file"),
        ],
    )


def _symbols(ids: np.ndarray, names: np.ndarray, values: np.ndarray) -> tuple[pd.Series, list[str]]:
    """The symbols that stay, by position: that of the id, else that of the file, as v22 has it."""

    def means(positions: np.ndarray) -> np.ndarray:
        total, measured = np.zeros(len(positions)), np.zeros(len(positions))
        for row in values:
            own = np.asarray(row[positions], dtype=np.float64)
            total += np.nan_to_num(own)
            measured += ~np.isnan(own)
        return np.where(measured > 0, total / np.maximum(measured, 1), np.nan)

    known = np.array(genes.symbols(list(ids)), dtype=object)
    by_id = ids != known
    symbols, routes = genes.reconcile(list(np.where(by_id | (names == ""), known, names)))
    kept, notes = unique_genes(symbols, means, "expression")
    found = [genes.ROUTES[0] if by_id[i] else routes[i] for i in kept.index]
    return kept, notes + route_notes(found, "expression")
