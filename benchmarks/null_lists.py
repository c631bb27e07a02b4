"""How often labels that say nothing give a marker list: real features, permuted labels.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/null_lists.py [--permutations 60] [--seed 11]

For each label the search of the pipeline on the development samples of TCGA-LUAD, by as few draws
as its own permutations have. Prints how many give a list, and how long.
"""

import argparse
from pathlib import Path

import numpy as np

from oncopixel.cohort.barcodes import pick_aliquots
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import read_params
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.splits import final_fold, make_splits
from oncopixel.markers.discovery import CLAIMS, discover, prepare_hypotheses, rows_of
from oncopixel.sources import load

GENES = ("TP53", "KRAS", "EGFR", "STK11", "KEAP1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    params = read_params(root / "params.yaml")
    entry, settings = params.cohort("luad-keap1"), params.biomarkers
    whole = pick_aliquots(load(entry.source, root / entry.inputs)[0])
    for label in ("sample_type", *(f"mutation:{gene}" for gene in GENES)):
        changes = {"label": label, "sample_types": None}
        cohort = label_cohort(whole, entry.model_copy(update=changes))
        own = cohort.take(final_fold(make_splits(cohort, params.split)).train)
        pre = fit(own, params.preprocess, channels=entry.channels, image=entry.shape)
        hypotheses = prepare_hypotheses(
            features(pre, own), pre.genes, entry.channels, own.classes, settings
        )
        rng = np.random.default_rng(options.seed)
        labels = np.array([rng.permutation(own.y) for _ in range(options.permutations)])
        for claim in CLAIMS:
            found = discover(hypotheses, claim, labels, settings, settings.repeat_draws)
            sizes = rows_of(hypotheses, found).sum(axis=1)
            some = sorted(sizes[sizes > 0].tolist())
            print(f"{label}, {claim}: {len(some)} of {len(sizes)} give a list, rows {some}")


if __name__ == "__main__":
    main()
