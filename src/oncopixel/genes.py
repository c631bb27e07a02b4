"""Gene names and places: GENCODE v22 on GRCh38, shipped in `data/genes.parquet`.

A symbol that several GENCODE genes share means the one with the lowest Ensembl id; the
pseudoautosomal copies on Y (ENSGR…) come after all others.
"""

import functools
import importlib.resources
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

ENSEMBL_ID = re.compile(r"(ENSG[0R]\d{10})(\.\d+)?")
"""An Ensembl id of a human gene, with or without its version."""


def annotate(keys: Sequence[str]) -> pd.DataFrame:
    """Place of each gene: a frame indexed by `keys`, in their order.

    `keys` are symbols or Ensembl ids, a version suffix is allowed. Columns: `ensembl_id` (without
    version) and `chromosome` ("1" … "22", "X", "Y", "MT"), "" when unknown, and `start` (int64,
    first base on GRCh38 counted from 1, -1 when unknown). An Ensembl id that the table lacks stays
    as `ensembl_id`.
    """
    bare = [_without_version(key) for key in keys]
    by_symbol = table()["ensembl_id"]
    ids = by_symbol.reindex(bare).fillna("").tolist()
    ids = [
        key if ENSEMBL_ID.fullmatch(key) else found for key, found in zip(bare, ids, strict=True)
    ]
    places = _by_id().reindex(ids)
    return pd.DataFrame(
        {
            "ensembl_id": pd.Series(ids, dtype=str).to_numpy(),
            "chromosome": places["chromosome"].fillna("").to_numpy(),
            "start": places["start"].fillna(-1).to_numpy(dtype="int64"),
        },
        index=pd.Index(list(keys), dtype=str),
    )


def symbols(keys: Sequence[str]) -> list[str]:
    """The symbol of each Ensembl id that GENCODE knows; every other key as it is."""
    known = _by_id()["symbol"]
    found = known.reindex([_without_version(key) for key in keys])
    return [
        key if pd.isna(symbol) else str(symbol) for key, symbol in zip(keys, found, strict=True)
    ]


def bands(chromosomes: Sequence[str], starts: Sequence[int]) -> list[str]:
    """The chromosome band of each place on GRCh38, such as 17p13.1; "" where it is unknown."""
    found = []
    for chromosome, start in zip(chromosomes, starts, strict=True):
        first, names = _bands().get(str(chromosome), ((), ()))
        at = int(np.searchsorted(first, start, side="right")) - 1
        found.append(names[at] if at >= 0 else "")
    return found


def arms(chromosomes: Sequence[str], starts: Sequence[int]) -> list[str]:
    """The chromosome arm of each place on GRCh38, such as 17p; "" where it is unknown."""
    return [re.split(r"(?<=[pq])", band)[0] for band in bands(chromosomes, starts)]


def _without_version(key: str) -> str:
    match = ENSEMBL_ID.fullmatch(key)
    return match.group(1) if match else key


@functools.cache
def _by_id() -> pd.DataFrame:
    """The shipped table, indexed by Ensembl id and sorted by it."""
    with (importlib.resources.files("oncopixel") / "data" / "genes.parquet").open("rb") as stream:
        return pd.read_parquet(stream).set_index("ensembl_id")


@functools.cache
def _bands() -> dict[str, tuple[np.ndarray, list[str]]]:
    """First bases and names of each chromosome's bands, in order (UCSC cytoBand)."""
    with (importlib.resources.files("oncopixel") / "data" / "bands.csv").open() as stream:
        table = pd.read_csv(stream, dtype={"chromosome": str})
    return {
        str(chromosome): (rows["start"].to_numpy(), rows["band"].tolist())
        for chromosome, rows in table.groupby("chromosome")
    }


@functools.cache
def table() -> pd.DataFrame:
    """Every gene once, indexed by symbol: of several with one symbol the first Ensembl id stays.

    Columns `ensembl_id`, `chromosome`, `start`; not to be changed in place, it is shared.
    """
    return _by_id().reset_index().drop_duplicates("symbol").set_index("symbol")
