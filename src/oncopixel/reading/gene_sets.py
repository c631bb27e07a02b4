"""The gene sets of `data/` (see `data/README.md`), under the names of the tested genes."""

import functools
import gzip
import importlib.resources
from collections.abc import Iterable, Sequence
from importlib.resources.abc import Traversable

import pandas as pd

from ..cohort.genes import reconcile

COLLECTIONS = {"Hallmark": "hallmark.gmt.gz", "Reactome": "reactome.gmt.gz"}
MIN_SIZE, MAX_SIZE = 10, 500
"""Genes of a set that were tested; smaller and larger sets are left out."""


def coverage(tested: Sequence[str]) -> pd.DataFrame:
    """How many genes and sets each collection has, and how many of them are `found` and `used`."""
    names = set(tested)
    rows = []
    for collection in COLLECTIONS:
        sets = _renamed_sets(collection, names)
        genes = frozenset[str]().union(*sets.values())
        used = tested_sets(collection, names)
        rows.append((collection, len(genes), len(genes & names), len(sets), len(used)))
    return pd.DataFrame(rows, columns=["collection", "genes", "found", "sets", "used"])


def tested_sets(collection: str, tested: Iterable[str]) -> dict[str, frozenset[str]]:
    """The sets of the collection, cut to the tested genes; only those of a fit size."""
    tested = set(tested)
    cut = {term: genes & tested for term, genes in _renamed_sets(collection, tested).items()}
    return {term: genes for term, genes in cut.items() if MIN_SIZE <= len(genes) <= MAX_SIZE}


def _renamed_sets(collection: str, tested: Iterable[str]) -> dict[str, frozenset[str]]:
    """The sets of the collection, their genes under the names of the tested ones."""
    sets = _gene_sets(collection)
    genes = sorted(frozenset[str]().union(*sets.values()))
    names = dict(zip(genes, reconcile(genes, among=tested)[0], strict=True))
    return {term: frozenset(names[gene] for gene in genes) for term, genes in sets.items()}


@functools.cache
def _gene_sets(collection: str) -> dict[str, frozenset[str]]:
    """Genes by term; a GMT line holds the term, a description and the genes."""
    text = gzip.decompress(bundled(COLLECTIONS[collection]).read_bytes()).decode()
    lines = (line.split("\t") for line in text.splitlines())
    return {term: frozenset(genes) for term, _, *genes in lines}


def bundled(name: str) -> Traversable:
    """A file of the package's `data/`."""
    return importlib.resources.files("oncopixel") / "data" / name
