"""Builds gene sets, driver genes and chromosome bands of `src/oncopixel/data` from their sources.

    python scripts/build_gene_sets.py h.all.v2025.1.Hs.symbols.gmt ReactomePathways.gmt \
        oncoref_cancer-driver-genes.csv vogelstein_cancergenes.tsv ucsc-hg38.json.gz

Where each is from: `src/oncopixel/data/README.md`. Both GMT files stay as they are, compressed.
"""

import gzip
import json
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from oncopixel.core.storage import write_bytes, write_csv

RENAMED = {"FAM123B": "AMER1", "MLL2": "KMT2D", "MLL3": "KMT2C"}  # 2013's names of today's genes


def bailey(path: Path) -> pd.DataFrame:
    """One row per gene: `source`, `gene`, `alias`, `cancers` and `role`, its commonest one."""
    raw = pd.read_csv(path, keep_default_na=False)
    rows = [
        {
            "source": "Bailey 2018",
            "gene": gene,
            "alias": rows["Aliases"].iloc[0],
            "cancers": " ".join(sorted(rows["Cancer"])),
            "role": max(rows["Function"].drop_duplicates(), key=rows["Function"].tolist().count),
        }
        for gene, rows in raw.groupby("Symbol")
    ]
    return pd.DataFrame(rows)


def vogelstein(path: Path) -> pd.DataFrame:
    """One row per gene, as in `bailey`, without cancers."""
    raw = pd.read_csv(path, sep="\t").sort_values("Gene Symbol")
    return pd.DataFrame(
        {
            "source": "Vogelstein 2013",
            "gene": raw["Gene Symbol"].replace(RENAMED),
            "alias": raw["Gene Symbol"].where(raw["Gene Symbol"].isin(RENAMED), ""),
            "cancers": "",
            "role": raw["Classification*"].str.lower(),
        }
    )


def bands(path: Path) -> pd.DataFrame:
    """One row per band in the order of the genome: `chromosome`, `start` (from 1), `band`."""
    raw = json.loads(gzip.decompress(path.read_bytes()))
    rows = [
        (chromosome, start + 1, chromosome + band)
        for chromosome in [*map(str, range(1, 23)), "X", "Y"]
        for band, (start, _, _) in sorted(raw[chromosome].items(), key=lambda item: item[1][0])
    ]
    return pd.DataFrame(rows, columns=["chromosome", "start", "band"])


def main(
    hallmark: Annotated[Path, typer.Argument(help="h.all.v2025.1.Hs.symbols.gmt")],
    reactome: Annotated[Path, typer.Argument(help="ReactomePathways.gmt")],
    drivers: Annotated[Path, typer.Argument(help="oncoref_cancer-driver-genes.csv")],
    older_drivers: Annotated[Path, typer.Argument(help="vogelstein_cancergenes.tsv")],
    cytobands: Annotated[Path, typer.Argument(help="ucsc-hg38.json.gz")],
    out: Annotated[Path, typer.Argument()] = Path("src/oncopixel/data"),
) -> None:
    """Build the shipped files of the biological reading."""
    for source, name in ((hallmark, "hallmark"), (reactome, "reactome")):
        write_bytes(out / f"{name}.gmt.gz", gzip.compress(source.read_bytes(), 9, mtime=0))
    write_csv(out / "drivers.csv", pd.concat([bailey(drivers), vogelstein(older_drivers)]))
    write_csv(out / "bands.csv", bands(cytobands))


if __name__ == "__main__":
    typer.run(main)
