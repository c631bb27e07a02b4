"""Known cancer drivers among the markers, and the bands of genes."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from ..cohort import genome
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

    Parameters
    ----------
    matched_on
        One value per gene, such as mean expression: genes are compared inside `bins` of equal size;
        those without a value share one more.
    cancer
        TCGA code, such as LUAD, of one more list, when that cancer has drivers.

    Returns
    -------
    By list `drivers` (tested), `observed`, `expected`, `odds_ratio` (Mantel-Haenszel, None when it
    is infinite or undefined), `p_value` (exact and one-sided, of a sum of hypergeometrics) and
    `genes`.
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
    """`genes` with two more columns, `band` and `driver`.

    Parameters
    ----------
    genes
        With `gene`, `chromosome` and `start` (first base, from 1).

    Returns
    -------
    `band` of GRCh38, such as 17p13.1, empty where the place is unknown. `driver`: the lists that
    hold the gene, with the cancers (PANCAN: all together) and the role (tsg: tumour suppressor
    gene) that they give, such as "Bailey 2018: LUAD, PANCAN (tsg); Vogelstein 2013 (tsg)".
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


def name_genes(regions: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """`regions` of GRCh38 with the genes whose middle is inside, those nearest to `peak` first.

    Returns
    -------
    Three more columns: `n_genes`, of Hallmark, Reactome and the lists of drivers; `genes`, the
    first `most` of them; `drivers`, all of them that a list holds.
    """
    known = genome.genes()
    middle = (known["start"] + known["end"]) // 2
    drivers = set(_drivers_as(known.index)[["gene", "alias"]].to_numpy().ravel())
    rows = []
    for row in regions.itertuples():
        here = (known["chromosome"] == row.chromosome) & middle.between(row.start, row.end)
        names = (middle[here] - row.peak).abs().sort_values(kind="stable").index
        first, chosen = names[:most], [name for name in names if name in drivers]
        rows.append((len(names), ";".join(first), ";".join(chosen)))
    named = pd.DataFrame(rows, columns=["n_genes", "genes", "drivers"], index=regions.index)
    return pd.concat([regions, named], axis=1)


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
