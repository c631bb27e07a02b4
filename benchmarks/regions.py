"""Copy-number regions of real tumours against those that are known of 20 cancers.

    ONCOPIXEL_DATA=FOLDER PYTHONPATH=src python benchmarks/regions.py [--bins 4096]

Takes the tumours of `tcga-segments/segments.parquet` below the folder that `ONCOPIXEL_DATA` names
(TCGA, 33 projects), those of the development set, each project against the others. A known region
is found when it holds the peak of one of the project's first five regions of that kind. Prints the
table of `docs/tumours.md`; without the folder it says so, and does nothing. `--write FILE` keeps
all regions as CSV.
"""

import argparse
import os
import re
import time
from pathlib import Path

import pandas as pd

from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import parse_params, read_params
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.splits import final_fold, make_splits
from oncopixel.markers.regions import find_regions
from oncopixel.reading.drivers import name_genes
from oncopixel.sources import load

KNOWN = {
    "BLCA": "+6p22",
    "BRCA": "+17q12 +1q",
    "CESC": "+3q +11q22",
    "COAD": "+20q +13q -18q",
    "GBM": "+7p11 -9p21 -10",
    "HNSC": "+11q13 +3q",
    "KICH": "-1 -6 -10 -17",
    "KIRC": "-3p",
    "KIRP": "+7 +17",
    "LGG": "-1p -19q",
    "LIHC": "+1q +8q +11q13",
    "LUAD": "+14q13 +5p15",
    "LUSC": "+3q26 +3q27 +3q28",
    "MESO": "-9p21 -22q",
    "OV": "+19q12 +8q24",
    "PRAD": "-8p -21q22.2 -21q22.3",
    "SARC": "+12q14 +12q15",
    "SKCM": "-9p21 +6p",
    "TGCT": "+12p",
    "UVM": "-3 +8q +6p",
}
"""Gains and losses: VHL, MET, EGFR, CDKN2A, PTEN, SOX2, NKX2-1, TERT, CCND1, ERBB2, CCNE1, MYC,
NKX3-1, TMPRSS2 and ERG, MDM2 and CDK4, FGF19, E2F3, NF2 and YAP1, and whole arms."""
FIRST = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bins", type=int, default=4096)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    folder = Path(os.environ.get("ONCOPIXEL_DATA", "")) / "tcga-segments"
    if not (folder / "segments.parquet").is_file():
        print("skipped: ONCOPIXEL_DATA names no folder with tcga-segments/segments.parquet")
        return
    regions, seconds = find(folder, options.bins)
    if options.write:
        regions.to_csv(options.write, index=False)
    print("| project | first regions | known |\n|---|---|---|")
    hits = 0
    for project, known in KNOWN.items():
        shown = [describe(row, known) for row in first_of(regions, project)]
        hit = any(text.startswith("**") for text in shown)
        hits += hit
        print(f"| {project} | {', '.join(shown)} | {'yes' if hit else 'no'} |")
    others = [
        any(describe(row, known).startswith("**") for row in first_of(regions, other))
        for project, known in KNOWN.items()
        for other in KNOWN
        if other != project
    ]
    print(f"\n{hits} of {len(KNOWN)}; {len(regions)} regions of 33 projects in {seconds:.0f} s")
    print(f"by the regions of another project: {len(KNOWN) * sum(others) / len(others):.1f}")


def first_of(regions: pd.DataFrame, project: str) -> list[dict]:
    """The project's first regions."""
    return regions[regions["class"] == project].head(FIRST).to_dict("records")


def find(folder: Path, bins: int) -> tuple[pd.DataFrame, float]:
    """All regions, and the seconds that the search took."""
    root = Path(__file__).parents[1]
    raw = read_params(root / "params.yaml").model_dump()
    source = {"kind": "segments", "segments": "segments.parquet", "bins": bins, "build": "hg19"}
    raw["cohorts"] = {
        "pan": {
            "source": source, "inputs": str(folder), "label": "column:project",
            "channels": ["copy_number"], "image": [64, 64],
        }
    }  # fmt: skip
    params = parse_params(raw)
    entry = params.cohort("pan")
    cohort = label_cohort(load(entry.source, folder)[0], entry)
    splits = make_splits(cohort, params.split)
    train = final_fold(splits).train
    own = cohort.take(train)
    pre = fit(own, params.preprocess, channels=entry.channels, image=entry.shape)
    values, groups = features(pre, own), splits["group"].to_numpy(dtype=str)[train]
    start = time.perf_counter()
    y = own.y.astype(int)
    regions, _ = find_regions(values, y, own.patients, groups, pre, params.biomarkers)
    return name_genes(regions), time.perf_counter() - start


def describe(row: dict, known: str) -> str:
    """The region with its first driver; bold where it is known."""
    kind = "+" if row["kind"] == "gain" else "-"
    place = f"{kind}{row['band']}"
    is_known = any(
        re.match(re.escape(name) + ("" if name[-1] in "pq" else r"(?![0-9])"), place)
        for name in known.split()
    )
    driver = row["drivers"].split(";")[0] if row["extent"] == "focal" else ""
    text = f"{place} {driver}".strip()
    return f"**{text}**" if is_known else text


if __name__ == "__main__":
    main()
