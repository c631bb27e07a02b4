"""The biological reading of a cohort: known biology found again, and what it costs.

    PYTHONPATH=src python benchmarks/enrichment.py

Genes of TCGA-LUAD's development patients, the 10,000 that vary most, are ordered by Welch's t: once
tumour against normal tissue, once KEAP1-mutant against other tumours. Needs `dvc repro` first.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from oncopixel.core.storage import read_h5ad
from oncopixel.reading.drivers import driver_overlap
from oncopixel.reading.enrichment import over_representation, preranked
from oncopixel.reading.gene_sets import coverage

GENES, SELECTED = 10_000, 100


def welch(values: pd.DataFrame, positive: np.ndarray) -> pd.Series:
    genes = values.var().nlargest(GENES).index
    kept = values[genes]
    t = ttest_ind(kept[positive], kept[~positive], equal_var=False).statistic
    return pd.Series(t, genes).sort_values(ascending=False)


def show(title: str, scores: pd.Series, full: pd.DataFrame) -> None:
    print(f"\n{title}")
    order = scores.index.tolist()
    top = scores.abs().nlargest(SELECTED).index.tolist()
    for what, call in (
        (f"over_representation, top {SELECTED} by |t|", lambda: over_representation(top, order)),
        ("over_representation, top 100 by t", lambda: over_representation(order[:100], order)),
        ("preranked, Hallmark, 1,000 permutations", lambda: preranked(scores, seed=1)),
    ):
        begin = time.process_time()
        table = call()
        print(f"\n{what}: {time.process_time() - begin:.2f} CPU s, {len(table)} sets")
        print(table.head(6).drop(columns=["genes"], errors="ignore").to_string(max_colwidth=45))
    begin = time.process_time()
    drivers = driver_overlap(top, order, full.mean(), cancer="LUAD")
    print(f"\ndriver_overlap: {time.process_time() - begin:.2f} CPU s")
    print(pd.DataFrame(drivers).T.to_string(max_colwidth=60))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import pandas, scipy.stats"], check=True)
    middle = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import pandas, scipy.stats, gseapy"], check=True)
    print(f"import gseapy: {time.perf_counter() - middle - (middle - begin):.2f} s")

    cohort = read_h5ad(Path("data/tcga-luad/cohort.h5ad"))
    splits = pd.read_parquet("data/tcga-luad/splits.parquet").set_index("sample")
    cohort = cohort[(splits["part"].reindex(cohort.obs_names) == "development").to_numpy()]
    values = pd.DataFrame(cohort.layers["expression"], cohort.obs_names, cohort.var_names)
    print(coverage(values.columns.tolist()).to_string())
    tumour = (cohort.obs["label"] == "tumour").to_numpy()
    print(f"{tumour.sum()} tumour, {(~tumour).sum()} normal samples")
    show("Tumour against normal", welch(values, tumour), values)

    keap1 = cohort[:, "KEAP1"].layers["mutation"]
    keap1 = np.asarray(keap1.todense() if hasattr(keap1, "todense") else keap1).ravel()
    sequenced = tumour & ~np.isnan(keap1)
    mutated = keap1[sequenced] > 0
    print(f"\n{mutated.sum()} KEAP1-mutant, {(~mutated).sum()} other tumours")
    show("KEAP1-mutant against other tumours", welch(values[sequenced], mutated), values[sequenced])


if __name__ == "__main__":
    main()
