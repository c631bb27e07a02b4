"""The genes that a cohort of the GDC has, and files with a value of each."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from tqdm import tqdm

from ...cohort import genes
from ...core.errors import SourceError
from .text import AGAIN

log = logging.getLogger(__name__)

MIN_SHARED_GENES = 0.5
"""Share of the cohort's genes that every file must have."""
_VERSION = r"\.\d+$"
Result = TypeVar("Result")


@dataclass(frozen=True)
class GeneValues:
    """One file's genes in its order, and a float32 value of each."""

    ids: pa.Array
    """Ensembl ids as the file writes them, with their versions."""
    names: pa.Array
    types: pa.Array
    """Biotypes; empty where the file has none."""
    numbers: np.ndarray
    dropped: int
    """Genes on Y in the pseudoautosomal regions, whose reads are counted on X."""


@dataclass(frozen=True)
class GenePanel:
    """The genes of a cohort, in its order: Ensembl ids, and their symbols there and here."""

    ids: list[str]
    names: list[str]
    """Symbols in the files."""
    symbols: list[str]
    """Symbols in the cohort, which are those of GENCODE v22 where it has the gene."""
    met: frozenset[str]
    """Every Ensembl id in the expression files, of whatever type of gene."""

    @cached_property
    def _positions(self) -> list[dict[str, int]]:
        """Of each Ensembl id, symbol in the files and symbol in the cohort; the first of equals."""
        return [
            {key: at for at, key in reversed(list(enumerate(column))) if key}
            for column in (self.ids, self.names, self.symbols)
        ]

    def find(self, ids: Iterable[str], names: Iterable[str]) -> tuple[np.ndarray, list[str]]:
        """Position of each gene, -1 where it is none of these, and by what it was found, or ""."""
        by_id, by_name, by_symbol = self._positions
        found, routes = [], []
        for key, name in zip(ids, names, strict=True):
            at, route = by_id.get(key, -1), genes.ROUTES[0]
            if at < 0 and key not in self.met:  # with a known id a name may be of another gene
                at, route = by_name.get(name, by_symbol.get(name, -1)), genes.ROUTES[1]
                if at < 0:
                    symbol, route = genes.other_name(name) or ("", "")
                    at = by_symbol.get(symbol, -1)
            found.append(at)
            routes.append(route if at >= 0 else "")
        return np.array(found, dtype=np.int64), routes


def refuse_other_genes(path: Path, reference: Path, at: np.ndarray) -> None:
    """`SourceError` when too few of the wanted genes were found."""
    if (at >= 0).mean() < MIN_SHARED_GENES:
        raise SourceError(
            f"{path} has {int((at >= 0).sum())} of the {len(at)} genes of {reference}: it is cut "
            f"short, or of another release. {AGAIN}"
        )


def ensembl_ids(found: GeneValues, path: Path) -> list[str]:
    """Ensembl ids without versions; `SourceError` for what is none, and for one that repeats."""
    ids: list[str] = pc.replace_substring_regex(found.ids, _VERSION, "").to_pylist()
    for key, count in Counter(ids).items():
        if not genes.ENSEMBL_ID.fullmatch(key):
            raise SourceError(f"{path} has a gene {key!r}, which is no Ensembl id. {AGAIN}")
        if count > 1:
            raise SourceError(f"{path} has gene {key} more than once. {AGAIN}")
    return ids


def gene_places(panel: GenePanel) -> pd.DataFrame:
    """Where each gene lies: by its Ensembl id, else by its symbol; indexed by symbol."""
    by_id = genes.annotate(panel.ids).set_axis(panel.symbols, axis=0)
    unknown = (by_id["chromosome"] == "").to_numpy()
    columns = ["chromosome", "start", "end"]
    by_id.loc[unknown, columns] = genes.annotate(panel.symbols).loc[unknown, columns]
    return by_id


def read_side_by_side(read: Callable[[int], Result], n: int) -> list[Result]:
    """What `read` returns for 0 to n - 1, by threads: Arrow and zlib run side by side."""
    parallel = joblib.Parallel(n_jobs=-1, require="sharedmem", return_as="generator")
    silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
    found = parallel(joblib.delayed(read)(i) for i in range(n))
    return list(tqdm(found, total=n, unit="file", leave=False, disable=silent))
