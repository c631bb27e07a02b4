"""How often labels that say nothing give a marker list: real features, permuted labels.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/null_lists.py [--permutations 60] [--seed 11]

For each label of `tcga-luad` the search of the pipeline on its development samples, by as few draws
as the pipeline's own permutations have. Prints how many permutations give a list, of how many rows
and by what; and P(W > 0), which is 1 / (1 + decoys) where nothing is wrong, of all candidates and
of those whose |W| is among the largest 1 %.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from oncopixel.cohort.barcodes import pick_aliquots
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import read_params
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.splits import final_fold, make_splits
from oncopixel.markers.discovery import decoy_statistics, discover, prepare_hypotheses
from oncopixel.sources import load

GENES = ("TP53", "KRAS", "EGFR", "STK11", "KEAP1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    params = read_params(root / "params.yaml")
    entry, settings = params.cohort("tcga-luad"), params.biomarkers
    whole = pick_aliquots(load(entry.source, root / entry.inputs)[0])
    for label in ("sample_type", *(f"mutation:{gene}" for gene in GENES)):
        cohort = label_cohort(whole, entry.model_copy(update={"label": label}))
        own = cohort.take(final_fold(make_splits(cohort, params.split)).train)
        pre = fit(own, params.preprocess, channels=entry.channels, image=entry.shape)
        hypotheses = prepare_hypotheses(
            features(pre, own), pre.genes, entry.channels, own.classes, settings
        )
        rng = np.random.default_rng(options.seed)
        labels = np.array([rng.permutation(own.y) for _ in range(options.permutations)])
        w = decoy_statistics(hypotheses, entry.claim, labels, settings.repeat_draws, settings)
        found = [
            discover(hypotheses, *each, settings).discovered_as
            for each in zip(labels, w, strict=True)
        ]
        rows = [sum(by != "") for by in found]
        kinds = Counter(np.concatenate(found).tolist())
        strong = np.abs(w) >= np.quantile(np.abs(w), 0.99)
        print(
            f"{label}: {np.count_nonzero(rows)} of {len(rows)} give a list;",
            f"rows {sorted(filter(None, rows))}, by {dict(kinds - Counter({'': kinds['']}))};",
            f"P(W > 0) {np.mean(w > 0):.3f}, of the largest 1 % {np.mean(w[strong] > 0):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
