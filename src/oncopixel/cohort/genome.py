"""Pixels of the genome on GRCh38, equal bins or genes, and positions of GRCh37 on it.

Positions of both builds are in `data/assemblies.csv`; its README says how exact they are.
"""

import functools
import gzip
import importlib.resources

import numpy as np
import pandas as pd

from .genes import all_names, bands, table

CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X")
"""Those that have pixels."""
BUILDS = ("hg19", "hg38")
GENE_SETS = ("hallmark.gmt.gz", "reactome.gmt.gz")
BETWEEN = ";"
"""Between the genes of a bin."""


def lengths(build: str = "hg38") -> dict[str, int]:
    """Bases of each of `CHROMOSOMES`."""
    return {name: int(points[BUILDS.index(build)][-1]) for name, points in _assemblies().items()}


def to_hg38(chromosome: str, positions: np.ndarray) -> np.ndarray:
    """Positions of hg19 on hg38, int64: interpolated between positions that both builds share."""
    old, new = _assemblies()[chromosome]
    return np.asarray(np.rint(np.interp(positions, old, new)), dtype=np.int64)


def bins(count: int, chromosomes: tuple[str, ...] = CHROMOSOMES) -> pd.DataFrame:
    """Bins of one length per chromosome, and nearly one in the genome; none spans two.

    Returns
    -------
    pandas.DataFrame
        `count` rows in the order of the genome, index `<chromosome>:<start>-<end>`: `ensembl_id`
        (""), `chromosome`, `start` and `end` (int64, GRCh38, counted from 1), `band` of its middle,
        and by `;` the `genes` of Hallmark, Reactome and the lists of drivers whose middle is in
        it, and which of them are `drivers`.

    Raises
    ------
    ValueError
        When there are fewer bins than chromosomes.
    """
    sizes = {name: lengths()[name] for name in chromosomes}
    shares = _shares(np.array(list(sizes.values())), count)
    parts = []
    for (name, size), n in zip(sizes.items(), shares, strict=True):
        edges = np.rint(np.linspace(0, size, n + 1)).astype(np.int64)
        parts.append(pd.DataFrame({"chromosome": name, "start": edges[:-1] + 1, "end": edges[1:]}))
    made = pd.concat(parts, ignore_index=True)
    made.insert(0, "ensembl_id", "")
    made["band"] = bands(made["chromosome"].tolist(), ((made["start"] + made["end"]) // 2).tolist())
    made["genes"], made["drivers"] = _names_in(made, chromosomes)
    made.index = pd.Index(
        [f"{c}:{a}-{b}" for c, a, b in made[["chromosome", "start", "end"]].itertuples(index=False)]
    )
    return made


def genes(chromosomes: tuple[str, ...] = CHROMOSOMES) -> pd.DataFrame:
    """The genes of Hallmark, Reactome and the lists of drivers, in the order of the genome.

    Returns
    -------
    pandas.DataFrame
        Indexed by symbol: `ensembl_id`, `chromosome`, `start` and `end` (int64, GRCh38, from 1).
    """
    ranks = {name: rank for rank, name in enumerate(chromosomes)}
    known = table().loc[sorted(_known_genes() & set(table().index))]
    known = known[known["chromosome"].isin(chromosomes)].astype({"start": "int64", "end": "int64"})
    order = np.lexsort((known.index, known["start"], known["chromosome"].map(ranks)))
    return known.iloc[order]


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many of the bins each chromosome gets: one at least, the rest by largest remainder."""
    if count < len(sizes):
        raise ValueError(f"{count} bins are too few for {len(sizes)} chromosomes")
    quotas = count * sizes / sizes.sum()
    shares = np.maximum(np.floor(quotas), 1).astype(int)
    while shares.sum() != count:
        rest = quotas - shares
        if shares.sum() < count:
            shares[int(rest.argmax())] += 1
        else:
            shares[int(np.where(shares > 1, rest, np.inf).argmin())] -= 1
    return np.asarray(shares)


def _names_in(made: pd.DataFrame, chromosomes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The names of the genes in each bin, and those of its drivers."""
    found, chosen = [[] for _ in range(len(made))], _drivers()  # type: list[list[str]], frozenset
    known = genes(chromosomes)
    for name in chromosomes:
        rows, at = known[known["chromosome"] == name], np.flatnonzero(made["chromosome"] == name)
        middles = (rows["start"] + rows["end"]) // 2
        places = np.searchsorted(made["start"].to_numpy()[at], middles, side="right") - 1
        for symbol, place in zip(rows.index, at[places], strict=True):
            found[place].append(symbol)
    drivers = [[symbol for symbol in names if symbol in chosen] for names in found]
    return [BETWEEN.join(names) for names in found], [BETWEEN.join(names) for names in drivers]


def _data(name: str) -> bytes:
    return (importlib.resources.files("oncopixel") / "data" / name).read_bytes()


@functools.cache
def _assemblies() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Positions that both builds share, in hg19 and in hg38, by chromosome."""
    with (importlib.resources.files("oncopixel") / "data" / "assemblies.csv").open() as stream:
        read = pd.read_csv(stream, dtype={"chromosome": str})
    return {
        str(name): (rows["grch37"].to_numpy(), rows["grch38"].to_numpy())
        for name, rows in read.groupby("chromosome", sort=False)
    }


@functools.cache
def _drivers() -> frozenset[str]:
    with (importlib.resources.files("oncopixel") / "data" / "drivers.csv").open() as stream:
        return frozenset(pd.read_csv(stream)["gene"])


@functools.cache
def _known_genes() -> frozenset[str]:
    """Symbols of GENCODE v22 of the genes in gene sets and among drivers."""
    rows = (line for name in GENE_SETS for line in gzip.decompress(_data(name)).splitlines())
    named = {gene for line in rows for gene in line.decode().split("\t")[2:]} | _drivers()
    symbols = all_names()
    return frozenset(symbols[name][0] for name in named if name in symbols)
