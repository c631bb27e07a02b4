"""Builds `src/oncopixel/data/genes.parquet` from the GENCODE v22 table in `xena_gdc_etl` 0.2.0.

    python scripts/build_genes.py gencode.v22.annotation.gene.probeMap

Each gene keeps its Ensembl id without version, symbol, chromosome, start and end. The rule for
symbols that several genes share is applied when the table is read, in `oncopixel.cohort.genes`.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from oncopixel.core.storage import write_parquet


def gene_table(path: Path) -> pd.DataFrame:
    """One row per gene, sorted by Ensembl id.

    Columns `ensembl_id`, `symbol`, `chromosome`, `start` and `end` (first and last base, from 1).
    """
    raw = pd.read_csv(path, sep="\t")
    table = pd.DataFrame(
        {
            "ensembl_id": raw["id"].str.partition(".")[0],
            "symbol": raw["gene"],
            "chromosome": raw["chrom"].str.removeprefix("chr").replace("M", "MT"),
            "start": raw["chromStart"].astype("int32"),
            "end": raw["chromEnd"].astype("int32"),
        }
    )
    return table.sort_values("ensembl_id", ignore_index=True)


def main(
    source: Annotated[Path, typer.Argument(help="gencode.v22.annotation.gene.probeMap")],
    out: Annotated[Path, typer.Argument()] = Path("src/oncopixel/data/genes.parquet"),
) -> None:
    """Build the shipped gene table."""
    table = gene_table(source)
    write_parquet(out, table, {"origin": "GENCODE v22, GRCh38, by way of xena_gdc_etl 0.2.0"})
    typer.echo(f"{len(table)} genes, {table['symbol'].nunique()} symbols")


if __name__ == "__main__":
    typer.run(main)
