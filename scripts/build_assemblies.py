"""Builds `src/oncopixel/data/assemblies.csv`: which base of GRCh38 a base of GRCh37 is.

    python scripts/build_assemblies.py hapmap3_db150_hg19.snplist.gz hapmap3_db151_hg38.snplist.gz \
        cytobands.py genomes.py

Where each is from: `src/oncopixel/data/README.md`. Autosomes are cut where the distance between the
two positions of common variants changes, X at its chromosome bands.
"""

import runpy
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from oncopixel.core.storage import write_csv

LEAST = 5
"""Variants in a row, at least, that have moved by the same number of bases."""
TOLERANCE = 50
"""Bases that a left-out position may lie from the line between its neighbours."""


def variants(path: Path) -> pd.DataFrame:
    """Chromosome and position of each variant that is listed once, indexed by rsid."""
    raw = pd.read_csv(path, sep="\t", dtype={"#CHROM": str}).drop_duplicates("rsid", keep=False)
    return raw.set_index("rsid")[["#CHROM", "POS"]].set_axis(["chromosome", "at"], axis=1)


def blocks(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, np.ndarray]:
    """Of each chromosome `(points, 2)`: first and last position of each block, in both builds."""
    both = old.join(new, rsuffix="_new", how="inner")
    both = both[both["chromosome"] == both["chromosome_new"]].sort_values(["chromosome", "at"])
    found = {}
    for chromosome, rows in both.groupby("chromosome"):
        points = rows[["at", "at_new"]].to_numpy()
        moved = np.diff(points @ [-1, 1], prepend=np.nan) != 0
        runs = np.split(points, np.flatnonzero(moved)[1:])
        found[str(chromosome)] = np.vstack([run[[0, -1]] for run in runs if len(run) >= LEAST])
    return found


def band_starts(old: tuple[tuple, ...], new: tuple[tuple, ...], chromosome: str) -> np.ndarray:
    """`(bands, 2)` first base of each band that both builds have."""
    starts = [
        {band: start + 1 for name, start, _, band, _ in bands if name == chromosome}
        for bands in (old, new)
    ]
    return np.array([(start, starts[1][band]) for band, start in starts[0].items()])


def rising(points: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    """The points from 1 to the chromosome's ends that follow each other in both builds."""
    kept = [(1, 1)]
    for point in map(tuple, points):
        if all(low < at < end for low, at, end in zip(kept[-1], point, ends, strict=True)):
            kept.append(point)
    return np.array([*kept, ends])


def thinned(points: np.ndarray) -> np.ndarray:
    """As few of the points as tell the others to within `TOLERANCE` (Ramer, Douglas, Peucker)."""
    kept, spans = {0, len(points) - 1}, [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        inside = points[first : last + 1]
        told = np.interp(inside[:, 0], *inside[[0, -1]].T)
        off = np.abs(told - inside[:, 1])
        if off.max() > TOLERANCE:
            at = first + int(off.argmax())
            kept.add(at)
            spans += [(first, at), (at, last)]
    return points[sorted(kept)]


def main(hg19: Path, hg38: Path, cytobands: Path, genomes: Path,
         out: Annotated[Path, typer.Argument()] = Path("src/oncopixel/data/assemblies.csv"),
) -> None:  # fmt: skip
    """Build the shipped table of positions in both builds."""
    points = blocks(variants(hg19), variants(hg38))
    bands, lengths = runpy.run_path(str(cytobands)), runpy.run_path(str(genomes))
    points["X"] = band_starts(bands["hg19_cytobands"], bands["hg38_cytobands"], "chrX")
    parts = []
    for chromosome in [*map(str, range(1, 23)), "X"]:
        ends = tuple(
            lengths[f"{build}_chr_lengths"][f"chr{chromosome}"] for build in ("hg19", "hg38")
        )
        rows = pd.DataFrame(thinned(rising(points[chromosome], ends)), columns=["grch37", "grch38"])
        parts.append(rows.assign(chromosome=chromosome))
    table = pd.concat(parts)[["chromosome", "grch37", "grch38"]]
    write_csv(out, table)
    typer.echo(f"{len(table)} points")


if __name__ == "__main__":
    typer.run(main)
