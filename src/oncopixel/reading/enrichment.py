"""The biological reading of a marker list: gene sets, known drivers, chromosome bands, links.

Everything is offline, from `data/`; `data/README.md` says where it is from. Genes meet gene sets by
symbol, or by another name of the gene (`genes.reconcile`). A set that is enriched describes the
list: it names no cause. Genes of one set move together in tumours, so p-values that permute genes
(`preranked`) or draw them (`over_representation`, `driver_overlap`) are too small for modules that
are co-expressed; read them as an order.
"""

import functools
import gzip
import importlib.resources
import logging
from collections.abc import Iterable, Sequence
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from ..cohort.genes import bands, reconcile

COLLECTIONS = {"Hallmark": "hallmark.gmt.gz", "Reactome": "reactome.gmt.gz"}
MIN_SIZE, MAX_SIZE = 10, 500
"""Genes of a set that were tested; smaller and larger sets are left out."""


def over_representation(selected: Sequence[str], background: Sequence[str]) -> pd.DataFrame:
    """Every gene set of a fit size, most over-represented first.

    Columns `collection`, `term`, `overlap` (selected genes in the set), `size` (tested genes in the
    set), `expected` overlap, `odds_ratio` (Haldane-Anscombe: 0.5 added to each cell), `p_value`
    (one-sided hypergeometric), `q_value` (Benjamini-Hochberg over the sets of all collections) and
    `genes`, the overlap, with spaces between. The background is the genes that were tested;
    selected genes outside it do not count. p-values and odds ratios are those of `gseapy.enrich`;
    its q-values are smaller, because it leaves sets without overlap out of the correction.
    """
    tested = set(background)
    drawn = tested.intersection(selected)
    total, n = len(tested), len(drawn)
    rows = [
        (collection, term, len(genes & drawn), len(genes), " ".join(sorted(genes & drawn)))
        for collection in COLLECTIONS
        for term, genes in _cut(collection, tested).items()
    ]
    columns = [
        "collection", "term", "overlap", "size", "expected", "odds_ratio", "p_value", "q_value",
        "genes",
    ]  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame(rows, columns=["collection", "term", "overlap", "size", "genes"])
    a, size = table["overlap"], table["size"]
    table["expected"] = size * n / total
    table["odds_ratio"] = (
        (a + 0.5) * (total - size - n + a + 0.5) / (size - a + 0.5) / (n - a + 0.5)
    )
    table["p_value"] = hypergeom.sf(a - 1, total, size, n)
    table["q_value"] = false_discovery_control(table["p_value"])
    order = ["p_value", "overlap", "collection", "term"]
    ascending = [True, False, True, True]
    return table.sort_values(order, ascending=ascending, ignore_index=True)[columns]


def preranked(
    scores: pd.Series,
    seed: int,
    permutations: int = 1000,
    collections: Sequence[str] = ("Hallmark",),
) -> pd.DataFrame:
    """Gene sets whose genes gather at one end of the order by `scores`, strongest first.

    Columns `collection`, `term`, `size` (tested genes in the set), `nes` (normalised enrichment
    score: positive where scores are high), `p_value`, `q_value` (Benjamini-Hochberg over all sets)
    and `leading_edge`, the genes that make the score, with spaces between. `scores` is signed
    evidence, one value per gene symbol; genes without a value are left out, and equal values are
    ordered by the seed.

    p-values count the `permutations` of the genes whose score has the sign of the set's, about half
    of them, with the order as found as one more, so none is 0 (Phipson and Smyth 2010).

    Method: Subramanian et al. 2005, PNAS 102:15545, as in `gseapy.prerank`. Its multilevel
    variant panics on scores that are mostly zero (gseapy 1.3.1), as those of a sparse model are.
    """
    known = scores.dropna().sort_index()
    shuffled = known.iloc[np.random.default_rng(seed).permutation(len(known))]
    ranked = shuffled.sort_values(ascending=False, kind="stable").rename("score")
    sets = {
        (name, term): sorted(genes)
        for name in collections
        for term, genes in _cut(name, set(known.index)).items()
        if len(genes) < len(known)
    }
    columns = ["collection", "term", "size", "nes", "p_value", "q_value", "leading_edge"]
    if not sets or not ranked.any():
        return pd.DataFrame(columns=columns)
    found = _prerank(
        ranked, {"\t".join(key): genes for key, genes in sets.items()}, permutations, seed
    )
    keys = [tuple(key.split("\t")) for key in found["Term"]]
    same_sign = permutations / 2
    p_values = (found["NOM p-val"].astype(float) * same_sign + 1) / (same_sign + 1)
    table = pd.DataFrame(
        {
            "collection": [name for name, _ in keys],
            "term": [term for _, term in keys],
            "size": [len(sets[key]) for key in keys],
            "nes": found["NES"].astype(float),
            "p_value": p_values,
            "q_value": false_discovery_control(p_values),
            "leading_edge": found["Lead_genes"].str.replace(";", " "),
        }
    )
    table["strength"] = -table["nes"].abs()
    order = ["p_value", "strength", "collection", "term"]
    return table.sort_values(order, ignore_index=True)[columns]


def _prerank(
    ranked: pd.Series, sets: dict[str, list[str]], permutations: int, seed: int
) -> pd.DataFrame:
    """The table of `gseapy.prerank`, without its warning about equal scores."""
    import gseapy

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        found: pd.DataFrame = gseapy.prerank(
            ranked, sets, outdir=None, no_plot=True, min_size=1, max_size=len(ranked),
            permutation_num=permutations, ascending=None, threads=1, seed=seed,
        ).res2d  # fmt: skip
    finally:
        logging.disable(before)
    return found


def driver_overlap(
    selected: Sequence[str],
    tested: Sequence[str],
    matched_on: pd.Series,
    cancer: str | None = None,
    bins: int = 10,
) -> dict[str, dict[str, Any]]:
    """What the selected genes share with each list of driver genes, against matched tested genes.

    Keyed by list: `Bailey 2018`, `Bailey 2018, <cancer>` when a TCGA code such as LUAD is given and
    that cancer has drivers, `Vogelstein 2013`. Each: `drivers` (tested), `observed`, `expected`,
    `odds_ratio` (Mantel-Haenszel, None when it is infinite or undefined), `p_value` and `genes`.

    Genes are compared inside bins of equal size by `matched_on`, one value per gene (mean
    expression, say); genes without a value share one more bin. Given each bin's numbers of drivers
    and of selected genes, the total overlap is a sum of hypergeometrics: its upper tail, by
    convolution, is the exact one-sided p-value of the stratified table.
    """
    genes = pd.Index(tested).unique()
    values = matched_on.reindex(genes)
    strata = pd.qcut(values, bins, labels=False, duplicates="drop").fillna(-1).to_numpy()
    chosen = genes.isin(list(selected))
    known = _drivers_as(genes)
    lists = dict(list(known.groupby("source")))
    of_cancer = known[[cancer in row.split() for row in known["cancers"]]]
    if len(of_cancer):
        lists[f"Bailey 2018, {cancer}"] = of_cancer
    return {
        name: _stratified(genes, genes.isin([*rows["gene"], *rows["alias"]]), chosen, strata)
        for name, rows in sorted(lists.items())
    }


def _stratified(
    genes: pd.Index, driver: np.ndarray, chosen: np.ndarray, strata: np.ndarray
) -> dict[str, Any]:
    law, expected, concordant, discordant = np.ones(1), 0.0, 0.0, 0.0
    for stratum in np.unique(strata):
        here = strata == stratum
        n, k, m = int(here.sum()), int((driver & here).sum()), int((chosen & here).sum())
        a = int((driver & chosen & here).sum())
        law = np.convolve(law, hypergeom.pmf(np.arange(min(k, m) + 1), n, k, m))
        expected += k * m / n
        concordant += a * (n - k - m + a) / n
        discordant += (k - a) * (m - a) / n
    observed = int((driver & chosen).sum())
    return {
        "drivers": int(driver.sum()),
        "observed": observed,
        "expected": expected,
        "odds_ratio": concordant / discordant if discordant else None,
        "p_value": min(1.0, float(law[observed:].sum())),
        "genes": sorted(genes[driver & chosen]),
    }


def annotate(genes: pd.DataFrame) -> pd.DataFrame:
    """`genes` with two more columns: `band`, such as 17p13.1, and `driver`.

    `driver` names each list that holds the gene, with the cancers and the role that it gives:
    "Bailey 2018: LUAD, PANCAN (tsg); Vogelstein 2013 (tsg)"; empty for none. PANCAN is the analysis
    of all cancers together, tsg a tumour suppressor gene. Bands are those of GRCh38; empty where
    the place is unknown. Needs the columns `gene`, `chromosome` and `start` (first base, from 1).
    """
    notes: dict[str, list[str]] = {}
    for row in _drivers_as(genes["gene"]).itertuples():
        cancers = f": {', '.join(row.cancers.split())}" if row.cancers else ""
        note = f"{row.source}{cancers}" + (f" ({row.role})" if row.role else "")
        for name in {row.gene, row.alias} - {""}:
            notes.setdefault(name, []).append(note)
    return genes.assign(
        band=bands(genes["chromosome"], genes["start"]),
        driver=["; ".join(notes.get(gene, [])) for gene in genes["gene"]],
    )


def links(symbol: str, ensembl_id: str = "") -> dict[str, str]:
    """Pages about the gene, title to address, built from the symbol and, where known, the id."""
    name = quote(symbol, safe="")
    found = {
        "NCBI Gene": f"https://www.ncbi.nlm.nih.gov/gene/?term={name}%5Bsym%5D+AND+human%5Borgn%5D",
        "PubMed": f"https://pubmed.ncbi.nlm.nih.gov/?term=%22{name}%22%5Btiab%5D+AND+neoplasms%5Bmh%5D",
        "COSMIC": f"https://cancer.sanger.ac.uk/cosmic/gene/analysis?ln={name}",
        "Open Targets": f"https://platform.opentargets.org/search?q={name}",
    }
    if ensembl_id:
        key = quote(ensembl_id, safe="")
        found["Open Targets"] = f"https://platform.opentargets.org/target/{key}"
        found["Ensembl"] = f"https://www.ensembl.org/Homo_sapiens/Gene/Summary?g={key}"
    return found


def coverage(tested: Sequence[str]) -> pd.DataFrame:
    """How many genes of each collection are among the tested ones.

    Columns `collection`, `genes` (different symbols in the collection), `found`, `sets` and `used`
    (sets of a size that is tested).
    """
    names = set(tested)
    rows = []
    for collection in COLLECTIONS:
        sets = _named(collection, names)
        genes = frozenset[str]().union(*sets.values())
        used = _cut(collection, names)
        rows.append((collection, len(genes), len(genes & names), len(sets), len(used)))
    return pd.DataFrame(rows, columns=["collection", "genes", "found", "sets", "used"])


def _cut(collection: str, tested: set[str]) -> dict[str, frozenset[str]]:
    """The sets of the collection, cut to the tested genes; only those of a fit size."""
    cut = {term: genes & tested for term, genes in _named(collection, tested).items()}
    return {term: genes for term, genes in cut.items() if MIN_SIZE <= len(genes) <= MAX_SIZE}


def _named(collection: str, tested: set[str]) -> dict[str, frozenset[str]]:
    """The sets of the collection, their genes under the names of the tested ones."""
    sets = _gene_sets(collection)
    genes = sorted(frozenset[str]().union(*sets.values()))
    names = dict(zip(genes, reconcile(genes, among=tested)[0], strict=True))
    return {term: frozenset(names[gene] for gene in genes) for term, genes in sets.items()}


@functools.cache
def _gene_sets(collection: str) -> dict[str, frozenset[str]]:
    """Genes by term; a GMT line holds the term, a description and the genes."""
    text = gzip.decompress(_data(COLLECTIONS[collection]).read_bytes()).decode()
    lines = (line.split("\t") for line in text.splitlines())
    return {term: frozenset(genes) for term, _, *genes in lines}


def _drivers_as(tested: Iterable[str]) -> pd.DataFrame:
    """`_drivers`, `gene` and `alias` under the names of the tested genes."""
    known, names = _drivers(), set(tested)
    found = {
        column: reconcile(known[column], among=names, join=True)[0] for column in ("gene", "alias")
    }
    return known.assign(**found)


@functools.cache
def _drivers() -> pd.DataFrame:
    """Columns `source`, `gene`, `alias`, `cancers` (with spaces between) and `role`."""
    with _data("drivers.csv").open() as stream:
        return pd.read_csv(stream, keep_default_na=False)


def _data(name: str) -> Traversable:
    return importlib.resources.files("oncopixel") / "data" / name
