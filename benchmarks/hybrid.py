"""What the hybrid network gains by its feature spaces, on simulated cohorts.

    PYTHONPATH=src python benchmarks/hybrid.py [--seeds N N …] [--folds N]

Cohorts of 450 samples, 2,500 genes and three channels, with and without a non-linear part; five
patient-grouped folds, everything fitted on their training samples. Prints the area under the ROC
curve, mean over folds: `raw` is the linear path on raw features alone; `hybrid` one member, `exact`
the same without its convolutions; `l1` the tuned L1 baseline, `l1 adjusted` the same on features
without latent factors, `l1 products` with the products, too: what the features alone explain.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from oncopixel.baselines.tuning import fit_predict
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import Params, SimulatedSource, read_params
from oncopixel.images.folds import fold_arrays
from oncopixel.images.preprocessor import to_images
from oncopixel.images.splits import Fold
from oncopixel.networks.architectures import PRODUCTS, WIDE, members
from oncopixel.networks.training import (
    class_targets,
    find_spaces,
    fit_ensemble,
    fit_linear_path,
    predict_logits,
    set_up,
)
from oncopixel.sources import load


def fold_scores(
    train: np.ndarray, y: np.ndarray, patients: np.ndarray, new: np.ndarray, params: Params
) -> tuple[dict[str, np.ndarray], bool]:
    """Each method's score of the new images, and whether the hybrid took products."""
    pixels = [images.reshape(len(images), -1, images.shape[-1]) for images in (train, new)]
    raw = [images.reshape(len(images), -1) for images in (train, new)]
    spaces = find_spaces(train, params.train.seed)
    targets = class_targets(y, 2, weighted=True)
    path = fit_linear_path(raw[:1], None, targets, y, patients, params.train.seed)
    if path is None or spaces.adjustment is None or spaces.products is None:
        raise SystemExit("Without factors, products or enough samples there is nothing to compare.")
    adjusted = [spaces.adjusted, spaces.adjustment.apply(pixels[1])]
    products = (spaces.products.apply(pixels[1]) - spaces.center) * spaces.scale
    both = [np.hstack([adjusted[0], spaces.multiplied]), np.hstack([adjusted[1], products])]
    ensemble, _ = fit_ensemble(
        train, y, patients, params.train, seeds=[params.train.seed], n_classes=2
    )
    (member,) = members(ensemble)
    exact = [layer.output for layer in member.layers if layer.name in (WIDE, PRODUCTS)]
    parts = keras.Model(member.input, exact)(new)
    scores = {
        "raw": softmax(raw[1] @ path.kernels[0] + path.bias, axis=1)[:, 1],
        "hybrid": softmax(predict_logits(ensemble, new)[:, 0], axis=1)[:, 1],
    }
    scores["exact"] = softmax(np.sum([np.asarray(part) for part in parts], axis=0), axis=1)[:, 1]
    for name, (x, held_out) in {"l1": raw, "l1 adjusted": adjusted, "l1 products": both}.items():
        fit = fit_predict("logistic_l1", x, y, patients, held_out, params.baselines)
        scores[name] = fit.probabilities[:, 1]
    return scores, len(exact) == 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 5, 6, 7, 8])
    parser.add_argument("--folds", type=int, default=5, help="of the five, that many are run")
    given = parser.parse_args()
    params = read_params(Path("params.yaml"))
    set_up(params.train)
    entry = params.cohort("simulated")
    for nonlinear in (True, False):
        for seed in given.seeds:
            source = SimulatedSource(
                kind="simulated",
                seed=seed,
                n_samples=450,
                n_genes=2500,
                n_markers=75,
                nonlinear=nonlinear,
            )
            cohort = label_cohort(load(source, Path())[0], entry)
            splitter = StratifiedGroupKFold(5, shuffle=True, random_state=7)
            areas: dict[str, list[float]] = {}
            taken = []
            folds = list(splitter.split(cohort.y, cohort.y, cohort.patients))[: given.folds]
            for i, (train, held_out) in enumerate(folds):
                arrays = fold_arrays(
                    cohort, Fold(f"{i}", 0, i, train, held_out), entry, params.preprocess
                )
                images, new = (
                    to_images(arrays.preprocessor, x)
                    for x in (arrays.train_features, arrays.held_out_features)
                )
                scores, products = fold_scores(
                    images, arrays.train_y, arrays.train_patients, new, params
                )
                taken.append(products)
                for name, score in scores.items():
                    areas.setdefault(name, []).append(roc_auc_score(cohort.y[held_out], score))
            means = "  ".join(f"{name} {np.mean(area):.3f}" for name, area in areas.items())
            kind = "non-linear" if nonlinear else "linear"
            print(f"{kind} {seed}: {means}  products in {sum(taken)} of {len(taken)}", flush=True)


if __name__ == "__main__":
    main()
