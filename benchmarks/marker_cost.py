"""Time and memory of the whole marker search on a cohort with all genes.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/marker_cost.py [--genes 21500]

Candidates, the lists of both claims, 20 resamples of the patients and 20 permutations of the
labels, by the settings of `params.yaml`, on one simulated cohort with expression alone.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import read_params
from oncopixel.images.preprocessing import features, fit
from oncopixel.markers.discovery import decoy_statistics, prepare_hypotheses, selected_rows
from oncopixel.markers.stability import resamples
from oncopixel.sources.simulated import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=576)
    parser.add_argument("--genes", type=int, default=21_500)
    options = parser.parse_args()
    params = read_params(Path(__file__).parents[1] / "params.yaml")
    entry, settings = params.cohort("simulated"), params.biomarkers
    changes = {"seed": 5, "n_samples": options.samples, "n_genes": options.genes, "n_markers": 200}
    cohort = label_cohort(simulate(entry.source.model_copy(update=changes)), entry)
    side = int(np.ceil(np.sqrt(options.genes)))
    everything = params.preprocess.model_copy(update={"min_expressed_fraction": 0.0})
    pre = fit(cohort, everything, channels=["expression"], image=(side, side))
    x, y = features(pre, cohort), cohort.y.astype(int)
    print("samples, genes, channels:", x.shape)

    wall, cpu = time.time(), time.process_time()
    hypotheses = prepare_hypotheses(x, pre.genes, pre.channels, cohort.classes, settings)
    kept = resamples(cohort.patients, y, 20, params.stability.fraction, 1)
    rng = np.random.default_rng(1)
    again = np.array([np.where(rows, y, -1) for rows in kept] + [rng.permutation(y) for _ in kept])
    for claim in ("beyond", "associated"):
        (w,) = decoy_statistics(hypotheses, claim, y[None], settings.draws, settings)
        print(f"{claim}: {selected_rows(hypotheses, y, w, settings).sum()} rows listed")
    found = decoy_statistics(hypotheses, "beyond", again, settings.repeat_draws, settings)
    sizes = [
        int(selected_rows(hypotheses, *pair, settings).sum())
        for pair in zip(again, found, strict=True)
    ]
    print("resamples:", sizes[:20], "permutations:", sizes[20:])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    cpu, wall = time.process_time() - cpu, time.time() - wall
    print(f"{cpu:.0f} s of processor time, {wall:.0f} s of wall time, {memory:.2f} GB at most")


if __name__ == "__main__":
    main()
