"""Genes of a matrix: one column each, under the symbols that the whole cohort uses."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from ..cohort import genes
from ..cohort.gene_keys import NO_GENE, read_keys
from ..core.errors import SourceError, first_few
from .tables import Matrix


def unify(matrix: Matrix, what: str, among: Iterable[str]) -> tuple[pd.DataFrame, float, list[str]]:
    """The matrix with one column per gene symbol, what share of its keys names no gene, and notes.

    A key that could name several counts, too. Raises `SourceError` for a matrix without a gene, and
    as `gene_keys.read_keys` does.
    """
    frame, joined = matrix.frame, what == "mutation"
    read = read_keys(frame.columns, matrix.origin, among, join=joined)
    names, routes = genes.reconcile(read.names, among, join=joined)

    def means(positions: np.ndarray) -> np.ndarray:
        return np.asarray(frame.iloc[:, positions].mean())

    kept, notes = unique_genes(names, means, what)
    if kept.empty:
        raise SourceError(
            f"{matrix.origin} names no gene: {first_few(frame.columns)}. "
            "Give symbols or Ensembl ids."
        )
    found = route_notes([routes[at] for at in kept.index], what)
    unique = frame.iloc[:, kept.index].set_axis(kept.tolist(), axis=1)
    if joined:
        named = frame.set_axis(names, axis=1)
        repeated = named.columns.duplicated(keep=False) & named.columns.isin(kept)
        largest = named.loc[:, repeated].T.groupby(level=0).max().T
        unique[largest.columns] = largest
    nameless = sum(NO_GENE.fullmatch(name) is not None for name in names) + read.unclear
    return unique, nameless / len(names), [f"{what}: {note}" for note in read.notes] + notes + found


def route_notes(routes: Iterable[str], what: str) -> list[str]:
    """Notes of how many genes were found by what, of the routes of `genes.reconcile`."""
    counts = Counter(routes)
    parts = [f"{counts[route]} by {route}" for route in genes.ROUTES if counts[route]]
    parts += [f"{counts['']} unknown"] if counts[""] else []
    notes = [f"{what}: genes found: {', '.join(parts)}"] if parts else []
    if counts[genes.TAKEN]:
        notes.append(
            f"{what}: {counts[genes.TAKEN]} genes keep another name: their symbol or another name "
            "of theirs is there too"
        )
    return notes


def unique_genes(
    names: Sequence[str], means: Callable[[np.ndarray], np.ndarray], what: str
) -> tuple[pd.Series, list[str]]:
    """The symbols that stay, each once, indexed by their positions in order, and notes.

    Of several entries of one symbol the one with the highest mean stays, of equal ones the first;
    `means` gives those of the entries at some positions, and is asked for repeated symbols only.
    Entries of mutations are for the caller to join.
    """
    symbols = pd.Series(names, dtype=object)
    named = np.array([not NO_GENE.fullmatch(key) for key in symbols], dtype=bool)
    candidates = symbols[named]
    repeated = candidates[candidates.duplicated(keep=False)]
    rank = pd.Series(np.zeros(len(symbols)))
    rank[repeated.index] = np.nan_to_num(means(repeated.index.to_numpy()), nan=-np.inf)
    order = rank[candidates.index].sort_values(ascending=False, kind="stable").index
    kept = candidates[order].drop_duplicates().sort_index()
    notes = [
        (int((~named).sum()), "entries without a gene name dropped"),
        (
            len(candidates) - len(kept),
            "entries joined with another of the same gene; a mutation in any of them counts"
            if what == "mutation"
            else "entries dropped: another of the same gene symbol has a higher mean",
        ),
    ]
    return kept, [f"{what}: {count} {text}" for count, text in notes if count]
