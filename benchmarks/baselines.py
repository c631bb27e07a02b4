"""AUC and time of every tuned baseline, by label, on the development folds of one cohort.

    PYTHONPATH=src python benchmarks/baselines.py [--cohort NAME] [--label LABEL ...] [--model ...]

The test patients stay unseen. Seconds are CPU seconds of one thread per fold, tuning included;
budget: all models on all folds and the final fit of a shipped cohort in 45 s on two cores.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from oncopixel.baselines.tuning import fit_predict
from oncopixel.core.params import read_params
from oncopixel.core.project import Paths
from oncopixel.images.folds import fold_arrays
from oncopixel.images.splits import cv_folds, make_splits
from oncopixel.stages.ingest import ingest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", default="tcga-luad")
    parser.add_argument("--label", nargs="*", help="for example sample_type mutation:TP53")
    parser.add_argument("--model", nargs="*")
    options = parser.parse_args()
    params = read_params(Path("params.yaml"))
    entry = params.cohort(options.cohort)
    for label in options.label or [entry.label]:
        changed = entry.model_copy(update={"label": label})
        if label.startswith("mutation:"):
            changed = changed.model_copy(update={"sample_types": ["01"], "drop_unlabelled": True})
        cohort = ingest(Paths(Path(), options.cohort), changed)
        results: dict[str, list[tuple[float, ...]]] = {}
        for fold in cv_folds(make_splits(cohort, params.split)):
            arrays = fold_arrays(cohort, fold, changed, params.preprocess)
            train = arrays.train_features.reshape(len(fold.train), -1)
            held_out = arrays.held_out_features.reshape(len(fold.held_out), -1)
            truth = cohort.y[fold.held_out]
            for name in options.model or params.baselines.models:
                start = time.process_time()
                fit = fit_predict(
                    name,
                    train,
                    arrays.train_y,
                    arrays.train_patients,
                    held_out,
                    params.baselines,
                    arrays.train_features.shape[2],
                )
                seconds = time.process_time() - start
                p = fit.probabilities
                score = p[:, 1] if p.shape[1] == 2 else p
                auc = roc_auc_score(truth, score, multi_class="ovr")
                loss = log_loss(truth, p, labels=range(p.shape[1]))
                results.setdefault(name, []).append((auc, loss, seconds))
        for name, folds in results.items():
            auc, loss, seconds = np.mean(folds, axis=0)
            print(f"{label:20} {name:18} AUC {auc:.4f}  log loss {loss:.4f}  {seconds:5.2f} s")


if __name__ == "__main__":
    main()
