"""Which statistic of the network ranks planted markers best; which gives the best honest list.

    PYTHONPATH=src python benchmarks/marker_statistics.py [--seeds 5] [--samples 450]

Prints two tables, means over cohorts. Ranking: average precision of planted markers among all genes
and channels, by statistics of one trained `hybrid` and by two that need no network. List: real
false-discovery proportion and power of expression markers at q = 0.1, one draw of one decoy, by
what competes. The simulated cohorts are those of `params.yaml`, from other seeds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import Params, read_params
from oncopixel.images.coexpression import find_modules
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.preprocessor import Preprocessor, to_features, to_images
from oncopixel.markers.attribution import explain
from oncopixel.markers.candidates import candidates
from oncopixel.markers.competition import compete, ridge_scores
from oncopixel.markers.effects import contrast, t_test
from oncopixel.markers.fdr import select
from oncopixel.networks.architectures import WIDE, members
from oncopixel.networks.training import fit_ensemble, predict_logits, set_up
from oncopixel.sources.simulated import simulate

Q = 0.1
REFERENCES = 8
"""Random samples of the other class that expected gradients start from, per sample."""


def cohort(
    params: Params, seed: int, samples: int, nonlinear: bool
) -> tuple[Preprocessor, np.ndarray, np.ndarray, np.ndarray]:
    """Preprocessor, `(samples, genes, channels)` features, labels, and which are planted."""
    entry = params.cohort("simulated")
    changes = {"seed": seed, "n_samples": samples, "nonlinear": nonlinear}
    made = label_cohort(simulate(entry.source.model_copy(update=changes)), entry)
    pre = fit(made, params.preprocess, channels=entry.channels, image=entry.shape)
    rows = pd.MultiIndex.from_product([pre.genes["gene"], pre.channels])
    planted = rows.isin(pd.MultiIndex.from_frame(made.truth[["gene", "channel"]]))
    x = features(pre, made)
    return pre, x, made.y.astype(int), planted.reshape(x.shape[1:])


def rankings(
    params: Params, pre: Preprocessor, x: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """`(genes, channels)` of every statistic."""
    images, patients = to_images(pre, x), np.arange(len(y))
    settings = params.biomarkers
    model, _ = fit_ensemble(images, y, patients, params.train, seeds=[1], n_classes=2)
    found = explain(model, images, y, 2, steps=settings.steps, tolerance=settings.tolerance)
    kernel = members(model)[0].get_layer(WIDE).get_weights()[0]
    weight = np.abs(kernel[:, 1] - kernel[:, 0]).reshape(images.shape[1:])
    fought = candidates(x, pre.genes, pre.channels, settings.decoys, 1)
    _, use = compete(fought, "beyond", y[None], 2, draws=settings.draws, seed=1)
    paired = np.zeros(x.shape[1:])
    for level, channel, members_, value in zip(
        fought.table["level"], fought.table["channel"], fought.members, use[0].mean(axis=0),
        strict=True,
    ):  # fmt: skip
        if level != "arm":
            paired[members_, pre.channels.index(channel)] = value
    return {
        "integrated gradients, mean as baseline": to_features(pre, found.score[None])[0],
        "expected gradients": expected_gradients(model, pre, images, y),
        "gradient x (input - mean), DeepLIFT-style": gradient_times_input(model, pre, images, y),
        "gate: weight of the linear path": to_features(pre, weight[None])[0] * x.std(axis=0),
        "correlation with the held-out logit (Haufe)": haufe(params, pre, x, y),
        "occlusion by module": occlusion(model, pre, x, y),
        "use in the paired network": paired,
        "Welch's t": t_test(x, y, 2),
    }


def _gradient(model: tf.keras.Model, points: np.ndarray) -> np.ndarray:
    """Gradient of the logit difference at each image."""
    parts = []
    for start in range(0, len(points), 64):
        batch = tf.constant(points[start : start + 64], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(batch)
            logits = tf.reduce_mean(model(batch, training=False), axis=1)
            output = logits[:, 1] - logits[:, 0]
        parts.append(tape.gradient(output, batch).numpy())
    return np.concatenate(parts)


def _by_class(pre: Preprocessor, pixels: np.ndarray, y: np.ndarray) -> np.ndarray:
    score = np.abs(pixels[y == 1].mean(axis=0) - pixels[y == 0].mean(axis=0))
    return to_features(pre, score[None])[0]


def gradient_times_input(
    model: tf.keras.Model, pre: Preprocessor, images: np.ndarray, y: np.ndarray
) -> np.ndarray:
    return _by_class(pre, _gradient(model, images) * (images - images.mean(axis=0)), y)


def expected_gradients(
    model: tf.keras.Model, pre: Preprocessor, images: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Erion et al. 2021: references from the data, points at random on the way from them."""
    rng = np.random.default_rng(1)
    total = np.zeros(images.shape)
    for _ in range(REFERENCES):
        reference = images[[rng.choice(np.flatnonzero(y != label)) for label in y]]
        step = rng.random((len(images), 1, 1, 1))
        total += _gradient(model, reference + step * (images - reference)) * (images - reference)
    return _by_class(pre, total / REFERENCES, y)


def haufe(params: Params, pre: Preprocessor, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|correlation| of each feature with the logit of a network that did not see the sample."""
    logit = np.zeros(len(y))
    images = to_images(pre, x)
    for train, held_out in StratifiedKFold(3, shuffle=True, random_state=1).split(x, y):
        model, _ = fit_ensemble(
            images[train], y[train], train, params.train, seeds=[1], n_classes=2
        )
        logits = predict_logits(model, images[held_out]).mean(axis=1)
        logit[held_out] = logits[:, 1] - logits[:, 0]
    centred = logit - logit.mean()
    covariance = np.einsum("s,sgc->gc", centred, x - x.mean(axis=0))
    return np.abs(covariance) / np.maximum(x.std(axis=0), 1e-6)


def occlusion(model: tf.keras.Model, pre: Preprocessor, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Change of the class difference in logits when a module, or a lone gene, is set to its mean.

    A module's change goes to all its genes; lone genes, and other channels, are left at 0.
    """

    def difference(values: np.ndarray) -> float:
        logits = predict_logits(model, to_images(pre, values)).mean(axis=1)
        margin = logits[:, 1] - logits[:, 0]
        return float(margin[y == 1].mean() - margin[y == 0].mean())

    score, whole = np.zeros(x.shape[1:]), difference(x)
    for genes in find_modules(x[:, :, 0]).members():
        without = x.copy()
        without[:, genes, 0] = x[:, genes, 0].mean(axis=0)
        score[genes, 0] = abs(whole - difference(without))
    return score


def lists(pre: Preprocessor, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """`(genes,)` bool of expression: the list of each statistic, one draw of one decoy."""
    found = candidates(x, pre.genes, pre.channels, 1, 1)
    expression = (found.table["channel"] == "expression").to_numpy()
    decoy = found.decoys("beyond", np.random.default_rng(1).spawn(1)[0])[0]
    t, u = (np.abs(contrast(values, y, 1)[3]) for values in (found.real, decoy))
    named = {"difference of |t|": t - u}
    image = np.hstack([found.real, decoy])
    for ridge in (0.01, 0.1, 1.0, 10.0):
        used = ridge_scores(image, y[None], 2, ridge).reshape(2, -1)
        named[f"difference of use, penalty {ridge:g}"] = used[0] - used[1]
    return {name: select(w[None], Q)[expression] for name, w in named.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=450)
    options = parser.parse_args()
    params = read_params(Path(__file__).parents[1] / "params.yaml")
    set_up(params.train)
    ranked, listed = [], []
    for nonlinear in (False, True):
        arm = "non-linear" if nonlinear else "linear"
        for seed in range(101, 101 + options.seeds):
            pre, x, y, planted = cohort(params, seed, options.samples, nonlinear)
            for name, score in rankings(params, pre, x, y).items():
                auprc = average_precision_score(planted.ravel(), score.ravel())
                ranked.append({"statistic": name, "arm": arm, "AUPRC": auprc})
            true = planted[:, 0]
            for name, chosen in lists(pre, x, y).items():
                fdp = (chosen & ~true).sum() / max(1, chosen.sum())
                power = (chosen & true).sum() / true.sum()
                listed.append({"statistic": name, "arm": arm, "FDP": fdp, "power": power})
            print(f"{arm}, seed {seed} done", flush=True)
    pd.set_option("display.width", 200)
    print(pd.DataFrame(ranked).pivot_table("AUPRC", "statistic", "arm", sort=False).round(3))
    print(pd.DataFrame(listed).pivot_table(["FDP", "power"], "statistic", "arm").round(3))


if __name__ == "__main__":
    main()
