"""Confounders of the shipped cohorts, and what adjusting leaves: the tables of docs/confounders.md.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/confounders.py --table

After `dvc repro`, whose cohorts and splits it reads. Without `--table` it only prints.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tables import markdown, render

from oncopixel.cohort.contract import Cohort
from oncopixel.core.params import Params, read_params
from oncopixel.core.project import Paths
from oncopixel.images.folds import read_split_cohort
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.splits import final_fold
from oncopixel.reading.confounders import (
    confounding,
    gene_columns,
    known_confounders,
    label_association,
)

ADJUST = {
    "tcga-luad": ["batch", "site", "sex", "age"],
    "simulated": ["purity", "batch", "site"],
}
P = 0.05
DOC = Path("docs/confounders.md")


def expression(
    cohort: Cohort, train: np.ndarray, params: Params, name: str, adjust: list[str]
) -> np.ndarray:
    """Standardised, of all samples, by what was fitted on `train`."""
    settings = params.preprocess.model_copy(update={"adjust": adjust})
    image = params.cohort(name).shape
    pre = fit(cohort.take(train), settings, channels=["expression"], image=image)
    return features(pre, cohort)[:, :, 0]


def label_rows(name: str, cohort: Cohort, values: np.ndarray) -> Iterator[list[str]]:
    """Of the known confounders of some samples: strength with the label, genes flagged."""
    known = known_confounders(cohort)
    flagged = gene_columns(confounding(values, cohort.y, known))["confounder"]
    for row in label_association(cohort.y, known).itertuples():
        count = f"{(flagged == row.confounder).sum()} of {len(flagged)}"
        yield [name, row.confounder, f"{row.strength:.2f}", count]


def with_batch(cohort: Cohort, values: np.ndarray) -> str:
    known = known_confounders(cohort)[["batch"]]
    return f"{(confounding(values, cohort.y, known).p <= P).mean():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help=f"write them into {DOC}, too")
    args = parser.parse_args()
    params = read_params(Path("params.yaml"))
    labels, left = [], []
    for name, adjust in ADJUST.items():
        cohort, splits = read_split_cohort(Paths(Path(), name))
        fold = final_fold(splits)
        plain, adjusted = (
            expression(cohort, fold.train, params, name, columns) for columns in ([], adjust)
        )
        labels += label_rows(name, cohort.take(fold.train), plain[fold.train])
        for samples, rows in (("of the fit", fold.train), ("others", fold.held_out)):
            shares = [with_batch(cohort.take(rows), values[rows]) for values in (plain, adjusted)]
            left.append([name, ", ".join(adjust), samples, *shares])
    tables = (
        markdown(["cohort", "confounder", "strength with the label", "genes flagged"], labels),
        markdown(["cohort", "adjusted for", "samples", "share before", "after"], left),
    )
    print(*tables, sep="\n\n")
    if args.table:
        for i, table in enumerate(tables, 1):
            render(DOC, f"benchmarks/confounders.py --table, {i}", table)


if __name__ == "__main__":
    main()
