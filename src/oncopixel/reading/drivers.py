"""Known cancer drivers among the markers, the bands of genes, and pages about them."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from ..cohort.genes import bands, reconcile
from .gene_sets import bundled


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


def drivers_of_list(
    ranking: pd.DataFrame, tested: Sequence[str], cancer: str | None
) -> dict[str, dict[str, Any]]:
    """`driver_overlap` of the list's genes, matched on their mean expression."""
    selected = ranking.loc[ranking["selected"], "gene"].unique().tolist()
    level = ranking.drop_duplicates("gene").set_index("gene")["level"]
    return driver_overlap(selected, tested, level, cancer=cancer)


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
    with bundled("drivers.csv").open() as stream:
        return pd.read_csv(stream, keep_default_na=False)
