"""Gene sets of a marker list and of a ranking, by gseapy, offline.

A set that is enriched describes the list: it names no cause. Genes of one set move together in
tumours, so p-values that draw genes or permute them are too small for co-expressed modules; read
them as an order.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from ..core.params import BiomarkerParams
from .gene_sets import COLLECTIONS, tested_sets

RANKED = "Hallmark"
"""The collection that a whole ranking is tested for."""
READ, SHOWN = 200, 100
"""Listed genes of each direction that are read for gene sets, and gene sets kept of each."""
OVER_REPRESENTED = (
    "collection", "term", "overlap", "size", "expected", "odds_ratio", "p_value", "q_value",
    "genes",
)  # fmt: skip
TABLE = (
    "analysis", "collection", "term", "size", "overlap", "nes", "p_value", "q_value", "genes",
)  # fmt: skip


def read_gene_sets(
    ranking: pd.DataFrame, against_rest: Mapping[str, pd.Series], params: BiomarkerParams
) -> pd.DataFrame:
    """Gene sets of the first listed genes, by class in `against_rest`, and of the whole ranking."""
    parts = []
    first = ranking.sort_values("channel", key=lambda c: c != "expression", kind="stable")
    per_gene = first.drop_duplicates("gene").set_index("gene")
    for name, effect in (against_rest or {"": per_gene["effect"]}).items():
        of_class = ranking["class"] == name if name else True
        for direction in ("up", "down"):
            mine = ranking["selected"] & (ranking["direction"] == direction) & of_class
            genes = ranking.loc[mine, "gene"].unique()[:READ].tolist()
            table = over_representation(genes, per_gene.index.tolist()).head(SHOWN)
            title = f"over-represented, {direction}" + (f" in {name}" if name else "")
            parts.append(table.assign(analysis=title))
        ranked = preranked(effect.reindex(per_gene.index), params.seed)
        title = "ranked" + (f", {name}" if name else "")
        parts.append(ranked.rename(columns={"leading_edge": "genes"}).assign(analysis=title))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or parts[:1], ignore_index=True).reindex(columns=list(TABLE))


def over_representation(selected: Sequence[str], background: Sequence[str]) -> pd.DataFrame:
    """The gene sets that hold a selected gene, most over-represented first.

    Parameters
    ----------
    background
        The genes that were tested; selected genes outside it do not count.

    Returns
    -------
    Columns `collection`, `term`, `overlap` (selected genes in the set), `size` (tested genes in
    it), `expected` overlap, `odds_ratio`, `p_value` (one-sided hypergeometric), `q_value`
    (Benjamini-Hochberg over all tested sets of the collection) and `genes`, the overlap.
    """
    import gseapy

    tested = sorted(set(background))
    drawn = sorted(set(tested).intersection(selected))
    parts = []
    for collection in COLLECTIONS if drawn else ():
        sets = {term: sorted(genes) for term, genes in tested_sets(collection, tested).items()}
        if not set(drawn).intersection(chain(*sets.values())):
            continue
        with _quiet():
            found = gseapy.enrich(
                drawn, sets, background=tested, outdir=None, no_plot=True
            ).results.sort_values("Term", ignore_index=True)
        size = np.array([len(sets[term]) for term in found["Term"]])
        p = found["P-value"].astype(float).to_numpy()
        of_all = false_discovery_control(np.append(p, np.ones(len(sets) - len(p))))
        genes = found["Genes"].str.split(";").map(sorted)
        columns = {
            "collection": collection,
            "term": found["Term"],
            "overlap": genes.map(len),
            "size": size,
            "expected": size * len(drawn) / len(tested),
            "odds_ratio": found["Odds Ratio"].astype(float),
            "p_value": p,
            "q_value": of_all[: len(p)],
            "genes": genes.map(" ".join),
        }
        parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame(columns=list(OVER_REPRESENTED))
    table = pd.concat(parts, ignore_index=True)
    order = ["p_value", "overlap", "collection", "term"]
    return table.sort_values(order, ascending=[True, False, True, True], ignore_index=True)


def preranked(scores: pd.Series, seed: int, permutations: int = 1000) -> pd.DataFrame:
    """Gene sets whose genes gather at one end of the order by `scores`, strongest first.

    Parameters
    ----------
    scores
        Signed evidence, one value per gene symbol; genes without a value are left out, and equal
        values are ordered by the seed.

    Returns
    -------
    Columns `collection`, `term`, `size` (tested genes in the set), `nes` (normalised enrichment
    score: positive where scores are high), `p_value` (over the permutations with the set's sign and
    the order as found, so none is 0), `q_value` (Benjamini-Hochberg over all sets) and
    `leading_edge`, the genes that make the score.

    References
    ----------
    Subramanian et al. 2005, PNAS 102:15545, as in `gseapy.prerank`; its multilevel variant panics
    on scores that are mostly zero (gseapy 1.3.1). Phipson and Smyth 2010 for the p-values.
    """
    import gseapy

    known = scores.dropna().sort_index()
    shuffled = known.iloc[np.random.default_rng(seed).permutation(len(known))]
    ranked = shuffled.sort_values(ascending=False, kind="stable").rename("score")
    sets = {
        term: sorted(genes)
        for term, genes in tested_sets(RANKED, known.index).items()
        if len(genes) < len(known)
    }
    columns = ["collection", "term", "size", "nes", "p_value", "q_value", "leading_edge"]
    if not sets or not ranked.any():
        return pd.DataFrame(columns=columns)
    with _quiet():
        found = gseapy.prerank(
            ranked, sets, outdir=None, no_plot=True, min_size=1, max_size=len(ranked),
            permutation_num=permutations, ascending=None, threads=1, seed=seed,
        ).res2d  # fmt: skip
    same_sign = permutations / 2
    p_values = (found["NOM p-val"].astype(float) * same_sign + 1) / (same_sign + 1)
    table = pd.DataFrame(
        {
            "collection": RANKED,
            "term": found["Term"],
            "size": found["Term"].map(sets).map(len),
            "nes": found["NES"].astype(float),
            "p_value": p_values,
            "q_value": false_discovery_control(p_values),
            "leading_edge": found["Lead_genes"].str.replace(";", " "),
        }
    )
    table["strength"] = -table["nes"].abs()
    order = ["p_value", "strength", "collection", "term"]
    return table.sort_values(order, ignore_index=True)[columns]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Gseapy without its warnings: of equal scores, and of genes that are in no set."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
