"""Gene names and places: GENCODE v22 on GRCh38, shipped in `data/genes.parquet`.

A symbol that several GENCODE genes share means the one with the lowest Ensembl id; the
pseudoautosomal copies on Y (ENSGR…) come after all others. `data/aliases.parquet` holds the other
names of these genes by HGNC: the symbols that they got later, or had before, and aliases.
"""

import functools
import importlib.resources
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

ENSEMBL_ID = re.compile(r"(ENSG[0R]\d{10})(\.\d+)?(_PAR_Y)?")
"""An Ensembl id of a human gene, with or without its version; the copy on Y may have a suffix."""
ROUTES = ("Ensembl id", "symbol", "later symbol", "previous symbol", "alias")
"""By what a gene may be found, best first."""
TAKEN = "taken"
"""Route of a name whose gene is there, too, under its symbol or another name."""


def annotate(keys: Sequence[str]) -> pd.DataFrame:
    """Place of each gene, indexed by `keys`: symbols or Ensembl ids, whose version is ignored.

    Returns
    -------
    DataFrame
        `ensembl_id` and `chromosome` ("1" … "22", "X", "Y", "MT"), "" when unknown, and `start`
        and `end` (int64, first and last base on GRCh38 counted from 1, -1 when unknown).
    """
    bare = [_without_version(key) for key in keys]
    known = table()["ensembl_id"].reindex(bare).fillna("")
    ids = [key if ENSEMBL_ID.fullmatch(key) else found for key, found in known.items()]
    places = _by_id().reindex(ids)
    return pd.DataFrame(
        {
            "ensembl_id": pd.Series(ids, dtype=str).to_numpy(),
            "chromosome": places["chromosome"].fillna("").to_numpy(),
            "start": places["start"].fillna(-1).to_numpy(dtype="int64"),
            "end": places["end"].fillna(-1).to_numpy(dtype="int64"),
        },
        index=pd.Index(list(keys), dtype=str),
    )


def symbols(keys: Sequence[str]) -> list[str]:
    """The symbol of each Ensembl id that GENCODE or HGNC knows; every other key as it is."""
    known = _symbol_of_id()
    return [known.get(_without_version(key), key) for key in keys]


def other_name(name: str) -> tuple[str, str] | None:
    """The symbol of GENCODE v22 that `name` stands for, and its route; None when it is none."""
    return _other_names().get(name)


def gene_of(name: str) -> str | None:
    """The symbol of GENCODE v22 of the gene that a symbol, another name or an Ensembl id means."""
    if name in _known_symbols():
        return name
    other = other_name(name)
    return other[0] if other else _symbol_of_id().get(_without_version(name))


def all_names() -> dict[str, tuple[str, str]]:
    """Symbol and route (of `ROUTES`) of every name of a gene, Ensembl ids left out."""
    return _other_names() | {symbol: (symbol, ROUTES[1]) for symbol in _known_symbols()}


def reconcile(
    keys: Sequence[str], among: Iterable[str] = (), *, join: bool = False
) -> tuple[list[str], list[str]]:
    """The name of each key's gene, and by what it was found: of `ROUTES`, `TAKEN` or "" (unknown).

    Returns
    -------
    tuple
        Names are symbols of GENCODE v22, or of `among` where it calls the gene otherwise. Of
        several names of one gene the one of the best route takes it, none of equal ones, and the
        others stay, so that none is lost; with `join` all become the same, but for those that
        `among` has as genes of their own.
    """
    in_use = set(among)
    used: dict[str, str] = {}
    for name in in_use & _other_names().keys():
        symbol = _other_names()[name][0]
        used[symbol] = symbol if symbol in used else name

    def asked(name: str) -> str:
        if name in in_use:
            return name
        symbol = _other_names().get(name, (name, ""))[0]
        return symbol if symbol in in_use else used.get(symbol, symbol)

    names = [
        key if key in in_use else symbol for key, symbol in zip(keys, symbols(keys), strict=True)
    ]
    wanted = {name: asked(name) for name in names}
    claimants: dict[str, list[str]] = {}
    for name, target in wanted.items():
        claimants.setdefault(target, []).append(name)
    known = in_use | _known_symbols()

    def claim(name: str) -> int:
        """Its route to the name that it asks for; 0 for that name itself."""
        return name != wanted[name] and ROUTES.index(_other_names().get(name, ("", ROUTES[1]))[1])

    def wins(name: str) -> bool:
        others = (other for other in claimants[wanted[name]] if other != name)
        return join or all(claim(name) < claim(other) for other in others)

    def route(key: str, name: str) -> str:
        target = wanted[name]
        if not wins(name) or (target not in in_use and used.get(target) == target):
            return TAKEN
        if key != name:
            return ROUTES[0]
        if target == name:
            return ROUTES[1] if name in known else ""
        return (_other_names().get(name) or _other_names()[target])[1]

    return (
        [wanted[name] if wins(name) else name for name in names],
        [route(key, name) for key, name in zip(keys, names, strict=True)],
    )


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
def _shipped(name: str) -> pd.DataFrame:
    with (importlib.resources.files("oncopixel") / "data" / name).open("rb") as stream:
        if name.endswith(".parquet"):
            return pd.read_parquet(stream)
        return pd.read_csv(stream, dtype={"chromosome": str})


@functools.cache
def _by_id() -> pd.DataFrame:
    """The genes by Ensembl id, in its order."""
    return _shipped("genes.parquet").set_index("ensembl_id")


def _aliases() -> pd.DataFrame:
    """Other names: `name`, `symbol` and `kind`."""
    return _shipped("aliases.parquet")


@functools.cache
def _symbol_of_id() -> dict[str, str]:
    """Symbols by Ensembl id, those included that HGNC has instead of GENCODE v22's."""
    rows = _aliases()[_aliases()["kind"] == ROUTES[0]]
    known: dict[str, str] = _by_id()["symbol"].to_dict()
    return dict(zip(rows["name"], rows["symbol"], strict=True)) | known


@functools.cache
def _known_symbols() -> frozenset[str]:
    return frozenset(_by_id()["symbol"])


@functools.cache
def _other_names() -> dict[str, tuple[str, str]]:
    """Symbol and route of every other name."""
    rows = _aliases()[_aliases()["kind"] != ROUTES[0]]
    return dict(zip(rows["name"], zip(rows["symbol"], rows["kind"], strict=True), strict=True))


@functools.cache
def _bands() -> dict[str, tuple[np.ndarray, list[str]]]:
    """First bases and names of each chromosome's bands, in order (UCSC cytoBand)."""
    return {
        str(chromosome): (rows["start"].to_numpy(), rows["band"].tolist())
        for chromosome, rows in _shipped("bands.csv").groupby("chromosome")
    }


@functools.cache
def table() -> pd.DataFrame:
    """`ensembl_id`, `chromosome`, `start`, `end` by symbol, the first of several; not to change."""
    return _by_id().reset_index().drop_duplicates("symbol").set_index("symbol")
