"""Scores with intervals: the CNN beside the baselines, out of fold and on the held-out patients.

Every interval is a 95 % percentile interval over bootstrap draws of patients (of sites, when the
split holds out sites): a draw takes as many as there are, with replacement and not stratified, each
with all its samples, and the same draw serves every model, so differences between models are paired
(Efron & Tibshirani 1993, ch. 13).
A draw in which a score is undefined, such as the AUC when one class is missing, is left out of
that score's interval. The models are not refitted, so the chance of training is not in there.

Beside the intervals stands a permutation p-value of the CNN's AUC, which asks the plain question:
would labels that say nothing have scored as well?

`DEFINITIONS` says what each score is; it travels with the results.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.metrics import precision_recall_curve, roc_curve

from ..core.errors import ArtifactError
from ..core.params import EvaluateParams
from ..core.storage import SIGNIFICANT_DIGITS
from ..images.splits import assert_disjoint

CNN, EXACT_PATHS = "cnn", "exact_paths"
PARTS = {"cv": "development", "test": "test"}
"""Part of the predictions -> part of the samples that it must cover."""

DEFINITIONS = {
    "cv": "out-of-fold predictions of the development samples. roc_auc and pr_auc are means over "
    "folds, since pooling would rank samples of different fits together (Forman & Scholz 2010); "
    "the other scores and the curves pool the folds. With several repeats the mean of the repeats' "
    "scores. Scores at a threshold are slightly optimistic here, where the threshold was chosen",
    "test": "held-out patients, predicted once by the model fitted on all development samples",
    "threshold": "of each model, for two classes: the midpoint between neighbouring out-of-fold "
    "probabilities that maximises Youden's J = sensitivity + specificity - 1; of equals the one "
    "nearest to 0.5. With more classes the most probable class is predicted. The CNN's out-of-fold "
    "probabilities come from `train.cv_members` members per fold, those of the test set from "
    "`train.members`",
    "roc_auc": "area under the ROC curve; for more than two classes the mean of one class against "
    "the rest",
    "pr_auc": "average precision, averaged over classes as roc_auc is",
    "sensitivity": "recall of the positive class; for more than two classes the mean over classes",
    "specificity": "recall of the rest, averaged over classes as sensitivity is",
    "balanced_accuracy": "mean recall of the classes",
    "f1": "F1 of the positive class; for more than two classes the mean over classes",
    "mcc": "Matthews correlation; 0 when one class only is present or predicted (Gorodkin 2004)",
    "brier": "mean squared error of the positive class's probability; for more than two classes "
    "the sum over classes (Brier 1950)",
    "ece": "expected calibration error in bins of equal mass, over the positive class's "
    "probability; for more than two classes over that of the predicted class (Guo 2017). Biased "
    "upwards in small samples, and draws are pushed up further: for its interval they are moved so "
    "that their mean is the value, and kept above 0",
    "calibration_slope": "of a logistic regression of the positive class on the log odds of its "
    "probability (Cox 1958): below 1 the probabilities are too extreme, above 1 too timid. "
    "Undefined where the classes do not overlap. For more than two classes the mean over classes",
    "calibration_intercept": "of the same regression with slope 1: above 0 the class occurs more "
    "often than predicted (Van Calster 2019). Mean over classes as calibration_slope. For both, "
    "probabilities are kept 0.0001 away from 0 and 1",
    "exact_paths": "the hybrid network without its convolutions; what `cnn` scores beyond it is "
    "what these add. It is a part of the network, so it is no baseline",
    "logistic_l1_adjusted": "L1 regression on what latent factors leave of the features, and the "
    "factors, found in the same folds: the features that the hybrid network may choose",
    "best_baseline": "the baseline with the highest out-of-fold roc_auc; the test set has no say",
    "pairing": "digest of the patients, groups, classes and seed behind the bootstrap draws: two "
    "runs with the same one scored the same draws, row by row of `draws.csv`",
    "permutation_p": "(1 + b) / (1 + `evaluate.permutations`), b being the draws of permuted "
    "labels on which the CNN's roc_auc is at least what it is (Phipson & Smyth 2010). Patients "
    "with equally many samples trade their labels as a whole, and the samples of a patient trade "
    "theirs; when the split holds out sites, within a site only. On the test set the p-value is "
    "exact, given the model, which saw none of these labels. Out of fold labels move within folds "
    "(with several repeats those of the first), given the folds' models; each was fitted on the "
    "labels of the other folds, so this one is approximate",
    "verdict": "`signal` when the intervals of the CNN's roc_auc lie above 0.5 out of fold and on "
    "the test samples and permutation_p of the test set is at most 0.05, `no signal` when the "
    "out-of-fold interval does not lie above 0.5, else `inconclusive`",
}
SIGNAL = "signal"
SIGNIFICANT = 0.05
"""Largest permutation p-value of the test set that goes with a `signal`."""

CURVE_POINTS = 200
"""Most points kept of one curve."""

FEW_SAMPLES = 20
"""A class with fewer test samples than this gets a warning."""

LEAST_PROBABILITY = 1e-4
"""Probabilities are kept this far from 0 and 1 for the calibration line."""
NEWTON_STEPS = 30

KEPT_DRAWS = 500
"""Bootstrap draws kept, for paired differences between runs."""
DRAW_DECIMALS = 5

BLOCK_VALUES = 1_000_000
"""Bootstrap weights, or permuted labels, worked on together: 8 MB."""

Scores = dict[str, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """How good the predictions are."""

    metrics: dict[str, Any]
    """The few numbers to watch, by model; flat enough for `dvc metrics show`."""
    detail: dict[str, Any]
    """Every score of every model on both parts with its interval, and the verdict; JSON-able."""
    curves: dict[str, pd.DataFrame]
    """`roc`, `pr`, `calibration` and `confusion`, ready to be plotted; no sample ids."""
    draws: pd.DataFrame
    """`(draws, scores)`: the CNN's scores of the first bootstrap draws; NaN where undefined."""


@dataclass(frozen=True)
class _Part:
    """The samples of one part in a fixed order, and what each model says of them."""

    y: np.ndarray
    """`(samples,)` class index."""
    weights: np.ndarray
    """`(1 + draws, samples)`: ones, then how often each bootstrap draw holds the sample."""
    probabilities: dict[str, np.ndarray]
    """By model, `(repeats, samples, classes)`."""
    folds: dict[str, np.ndarray]
    """By model, `(repeats, samples)`: the fold that predicted the sample."""
    patients: np.ndarray
    """`(samples,)` number of the patient."""
    groups: np.ndarray
    """`(samples,)` number of the group, which is the patient or the site."""
    pairing: str
    """The same for two runs whose bootstrap draws hold the same patients in the same order."""


def evaluate(
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    classes: list[str],
    params: EvaluateParams,
) -> Evaluation:
    """Scores, intervals, differences to the baselines, and curves of all models.

    `predictions` has one row per sample, model and repeat: sample, model ("cnn" or a baseline's
    name), part ("cv" or "test"), repeat, fold, and p_0 … p_{K-1} in the order of `classes`.
    `samples` has sample, patient, group (what the split kept together: the bootstrap draws groups),
    y (class index) and part ("development" or "test"). For two classes the last one is the positive
    one. Raises `LeakageError` when a patient or group is in both parts, `ArtifactError` when the
    predictions are not exactly those of the samples or no probabilities.
    """
    in_test = (samples["part"] == "test").to_numpy()
    for unit in ("patient", "group"):
        assert_disjoint(
            samples[unit].to_numpy(dtype=str), np.flatnonzero(~in_test), np.flatnonzero(in_test)
        )
    models = [CNN, *sorted(set(predictions["model"]) - {CNN})]
    parts = {
        part: _arrange(predictions, samples, part, models, len(classes), params) for part in PARTS
    }
    thresholds = {
        model: _threshold(parts["cv"], model) if len(classes) == 2 else None for model in models
    }
    spoken = [classes[k] for k in _spoken_for(len(classes))]
    scores: dict[str, dict[str, Scores]] = {}
    by_class: dict[str, dict[str, dict[str, Scores]]] = {}
    for model in models:
        scores[model], by_class[model] = {}, {}
        for part, data in parts.items():
            scores[model][part], singles = _repeat_means(data, model, thresholds[model], params)
            by_class[model][part] = dict(zip(spoken, singles, strict=True))

    detail: dict[str, Any] = {
        "definitions": DEFINITIONS,
        "data": {part: _counts(data, classes) for part, data in parts.items()},
        "models": _intervals(scores),
        "confusion": {
            model: {
                part: _crosstab(parts[part], model, thresholds[model], classes) for part in PARTS
            }
            for model in models
        },
    }
    if len(classes) == 2:
        detail["thresholds"] = thresholds
    else:
        detail["per_class"] = _intervals(by_class)
    best = None
    baselines = [model for model in models if model not in (CNN, EXACT_PATHS)]
    if baselines:
        best = max(baselines, key=lambda model: _value(scores[model]["cv"]["roc_auc"]))
        detail["best_baseline"] = best
    if models[1:]:
        detail["cnn_minus"] = _intervals({model: _minus(scores, model) for model in models[1:]})
    detail["permutation_p"] = {
        part: permutation_p(
            data.probabilities[CNN], data.y, data.folds[CNN], data.patients, data.groups,
            draws=params.permutations,
            seed=[params.seed, list(PARTS).index(part), 1],
        )
        for part, data in parts.items()
    }  # fmt: skip
    detail["verdict"] = verdict(detail)
    detail["warnings"] = _warnings(detail)
    curves = _curves(parts, models, classes, params.calibration_bins)
    curves["confusion"] = _confusion(parts["test"], thresholds[CNN], classes)
    metrics = _metrics(detail, best, thresholds[CNN])
    return Evaluation(metrics, detail, curves, _kept_draws(scores, best))


def _minus(scores: dict[str, dict[str, Scores]], model: str) -> dict[str, Scores]:
    """The CNN's areas less those of another model, by part."""
    return {
        part: {
            score: scores[CNN][part][score] - scores[model][part][score]
            for score in ("roc_auc", "pr_auc")
        }
        for part in PARTS
    }


def _confusion(data: _Part, threshold: float | None, classes: list[str]) -> pd.DataFrame:
    """`actual` and `predicted` class by the CNN, a row per sample, in an order that tells none."""
    predicted = _decide(data, CNN, threshold)[0]
    order = np.lexsort((predicted, data.y))
    names = np.array(classes, dtype=object)
    return pd.DataFrame({"actual": names[data.y[order]], "predicted": names[predicted[order]]})


def _kept_draws(scores: dict[str, dict[str, Scores]], best: str | None) -> pd.DataFrame:
    """`Evaluation.draws`; the ECE's are left out, since its interval is not that of its draws."""
    kept = {
        f"{part}_{score}": values
        for part, by_score in scores[CNN].items()
        for score, values in by_score.items()
        if score != "ece"
    }
    if best:
        kept |= {
            f"{part}_minus_best_baseline": of_part["roc_auc"]
            for part, of_part in _minus(scores, best).items()
        }
    draws = {name: values[1 : KEPT_DRAWS + 1] for name, values in kept.items()}
    return pd.DataFrame(draws).round(DRAW_DECIMALS)


def edge_warnings(chosen: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """A line for each hyperparameter that a fit could only choose at the end of its grid.

    `chosen` is that of `baselines.BaselineFit`, by model and fold.
    """
    found = []
    for model, fits in chosen.items():
        names = [name for fit in fits.values() for name in fit["at_edge"]]
        found += [
            f"{model}: {name} is at the edge of its grid in {names.count(name)} of {len(fits)} "
            "fits, so the model may be better than its scores."
            for name in dict.fromkeys(names)
        ]
    return found


def verdict(detail: dict[str, Any]) -> str:
    """One of "signal", "no signal" and "inconclusive", by the rule in `DEFINITIONS`."""
    lows = {part: detail["models"][CNN][part]["roc_auc"]["low"] for part in PARTS}
    if not lows["cv"] > 0.5:
        return "no signal"
    clear = lows["test"] > 0.5 and detail["permutation_p"]["test"] <= SIGNIFICANT
    return SIGNAL if clear else "inconclusive"


def caution(verdict: str) -> str:
    """What is to stand beside anything that names genes; nothing when there is a signal."""
    return "" if verdict == SIGNAL else f"The verdict is: {verdict}. Not findings."


def permutation_p(
    p: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    *,
    draws: int,
    seed: Sequence[int],
) -> float:
    """The p-value of one model's AUC against labels that say nothing; see `DEFINITIONS`.

    `p` is `(repeats, samples, classes)`, `folds` `(repeats, samples)`, the others `(samples,)`,
    `patients` and `groups` as numbers. 1 when the AUC is undefined. The labels are drawn from a
    group of permutations that holds the identity, under which the test is exact in finite samples
    (Hemerik & Goeman 2018).
    """
    rng = np.random.default_rng(seed)
    observed = _mean_area(p, y[None], folds)[0]
    size = max(1, BLOCK_VALUES // len(y))
    reached = 0
    for start in range(0, draws, size):
        n = min(size, draws - start)
        drawn = _mean_area(p, permuted_labels(y, folds[0], patients, groups, n, rng), folds)
        reached += int((~(drawn < observed - 1e-12)).sum())
    return (1 + reached) / (1 + draws)


def permuted_labels(
    y: np.ndarray,
    folds: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """`(n, samples)` labels: permuted among like patients of a fold, and within each patient.

    `folds`, `patients` and `groups` are `(samples,)` numbers. Patients are alike when they have
    equally many samples and, where groups hold several patients, are of one group.
    """
    nested = len(np.unique(groups)) < len(np.unique(patients))
    size = np.bincount(patients)[patients]
    keys = np.column_stack([folds, groups if nested else np.zeros_like(groups), size])
    order = np.argsort(patients, kind="stable")
    permuted = np.empty((n, len(y)), dtype=y.dtype)
    for key in np.unique(keys, axis=0):
        alike = order[(keys[order] == key).all(axis=1)].reshape(-1, key[-1])  # patients, samples
        others = rng.permuted(np.tile(np.arange(len(alike)), (n, 1)), axis=1)
        permuted[:, alike] = rng.permuted(y[alike][others], axis=2)
    return permuted


def _mean_area(p: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """`(labellings,)` AUC as `roc_auc` is defined, of the labellings `y` `(labellings, samples)`.

    From ranks (Mann & Whitney 1947), since here labels change and not weights.
    """
    repeats = []
    for scores, fold_of in zip(p, folds, strict=True):
        of_classes = []
        for k in _spoken_for(p.shape[2]):
            of_folds = []
            for fold in np.unique(fold_of):
                rows = fold_of == fold
                positive = y[:, rows] == k
                n_positive = positive.sum(axis=1)
                wins = positive @ rankdata(scores[rows, k]) - n_positive * (n_positive + 1) / 2
                with np.errstate(invalid="ignore", divide="ignore"):
                    of_folds.append(wins / (n_positive * (rows.sum() - n_positive)))
            of_classes.append(_defined_mean(np.array(of_folds)))
        repeats.append(np.mean(of_classes, axis=0))
    mean: np.ndarray = np.mean(repeats, axis=0)
    return mean


def _arrange(
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    part: str,
    models: list[str],
    n_classes: int,
    params: EvaluateParams,
) -> _Part:
    """One part's predictions as arrays; `ArtifactError` when they are not what they should be."""
    wanted = samples[samples["part"] == PARTS[part]].sort_values("sample")
    mine = predictions[predictions["part"] == part].sort_values(["model", "repeat", "sample"])
    columns = [f"p_{k}" for k in range(n_classes)]
    if [name for name in predictions if str(name).startswith("p_")] != columns:
        raise ArtifactError(f"the predictions are not of {n_classes} classes. Run `dvc repro`.")
    raw = mine[columns].to_numpy(dtype=np.float64)
    if not np.all((raw >= 0) & (raw <= 1)) or not np.allclose(raw.sum(axis=1), 1, atol=1e-4):
        raise ArtifactError(
            f"the {part} predictions are no probabilities: some are not in [0, 1] or do not sum to "
            "1. The model diverged, or the file was changed; train again with `dvc repro`."
        )
    raw /= raw.sum(axis=1, keepdims=True)
    repeats = sorted(set(mine["repeat"]))
    probabilities, folds = {}, {}
    for model in models:
        rows = (mine["model"] == model).to_numpy()
        expected = np.tile(wanted["sample"].to_numpy(), len(repeats))
        if not rows.any() or not np.array_equal(mine["sample"].to_numpy()[rows], expected):
            raise ArtifactError(
                f"the {part} predictions of {model} are not one per {PARTS[part]} sample and "
                "repeat: they come from another split. Run `dvc repro`."
            )
        probabilities[model] = raw[rows].reshape(len(repeats), len(wanted), n_classes)
        folds[model] = mine["fold"].to_numpy()[rows].reshape(len(repeats), len(wanted))
    patient, group = (
        np.unique(wanted[unit].to_numpy(dtype=str), return_inverse=True)[1]
        for unit in ("patient", "group")
    )
    n = int(group.max()) + 1
    rng = np.random.default_rng([params.seed, list(PARTS).index(part)])
    draws = rng.multinomial(n, np.full(n, 1 / n), size=params.bootstrap)[:, group]
    weights = np.vstack([np.ones(len(wanted)), draws])
    y = wanted["y"].to_numpy(dtype=np.intp)
    who = wanted[["sample", "patient", "group", "y"]].to_csv(index=False)
    pairing = hashlib.sha256(f"{params.seed}\n{who}".encode()).hexdigest()[:16]
    return _Part(y, weights, probabilities, folds, patient, group, pairing)


def _threshold(data: _Part, model: str) -> float:
    """The probability of the positive class from which on it is predicted; see `DEFINITIONS`."""
    p = data.probabilities[model][:, :, 1].ravel()
    y = np.tile(data.y, len(data.probabilities[model]))
    levels, level = np.unique(p, return_inverse=True)
    if len(levels) == 1:
        return 0.5
    positives = np.bincount(level[y == 1], minlength=len(levels)).cumsum()[:-1]
    negatives = np.bincount(level[y == 0], minlength=len(levels)).cumsum()[:-1]
    youden = negatives / max((y == 0).sum(), 1) - positives / max((y == 1).sum(), 1)
    middles = (levels[:-1] + levels[1:]) / 2
    middles = np.where(middles > levels[:-1], middles, levels[1:])  # neighbours as close as floats
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    threshold = float(middles[best[np.argmin(np.abs(middles[best] - 0.5))]])
    return float(f"{threshold:.{SIGNIFICANT_DIGITS}g}")  # as it is stored, for predict


def _decide(data: _Part, model: str, threshold: float | None) -> np.ndarray:
    """`(repeats, samples)` predicted class."""
    return _decisions(data.probabilities[model], threshold)


def _decisions(p: np.ndarray, threshold: float | None) -> np.ndarray:
    """Predicted class of `(…, classes)` probabilities: by threshold, or the most probable one."""
    decided: np.ndarray = p.argmax(-1) if threshold is None else (p[..., 1] >= threshold) * 1
    return decided


def _repeat_means(
    data: _Part, model: str, threshold: float | None, params: EvaluateParams
) -> tuple[Scores, list[Scores]]:
    """Scores `(1 + draws,)`, and those of each class against the rest, averaged over repeats."""
    blocks = np.array_split(data.weights, max(1, data.weights.size // BLOCK_VALUES))
    blocks = [np.asfortranarray(block) for block in blocks]
    bins = params.calibration_bins
    runs = []
    for p, folds in zip(data.probabilities[model], data.folds[model], strict=True):
        pieces = [weighted_scores(p, data.y, block, threshold, bins, folds) for block in blocks]
        runs.append(_combine(pieces, np.concatenate))
    return _combine(runs, lambda repeats: np.mean(repeats, axis=0))


def _combine(
    pieces: Sequence[tuple[Scores, list[Scores]]], by: Callable[[list[np.ndarray]], np.ndarray]
) -> tuple[Scores, list[Scores]]:
    """Scores of several pieces put together, each name by itself."""
    overall, singles = zip(*pieces, strict=True)
    by_class = [_by_name(same, by) for same in zip(*singles, strict=True)]
    return _by_name(overall, by), by_class


def _by_name(pieces: Sequence[Scores], by: Callable[[list[np.ndarray]], np.ndarray]) -> Scores:
    return {name: by([piece[name] for piece in pieces]) for name in pieces[0]}


def weighted_scores(
    p: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    threshold: float | None,
    bins: int,
    folds: np.ndarray,
) -> tuple[Scores, list[Scores]]:
    """All scores `(draws,)` of one set of predictions, and some of each class against the rest.

    `p` is `(samples, classes)`, `y` and `folds` `(samples,)`, `weights` `(draws, samples)`. Areas
    are means over folds. A score that a draw leaves undefined is NaN there.
    """
    n_classes = p.shape[1]
    spoken = _spoken_for(n_classes)
    decided = _decisions(p, threshold)
    cells = np.zeros((len(y), n_classes * n_classes))
    cells[np.arange(len(y)), y * n_classes + decided] = 1
    confusion = (weights @ cells).reshape(-1, n_classes, n_classes)  # draws, actual, predicted
    total = weights.sum(axis=1)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / actual
        rest = (total[:, None] - actual - predicted + hits) / (total[:, None] - actual)
        f1 = 2 * hits / (actual + predicted)
        singles = []
        for k in spoken:
            roc, pr = _fold_mean_areas(p[:, k], y == k, weights, folds)
            singles.append(
                {
                    "roc_auc": roc,
                    "pr_auc": pr,
                    "sensitivity": recall[:, k],
                    "specificity": rest[:, k],
                    "f1": f1[:, k],
                    **calibration_line(p[:, k], y == k, weights),
                }
            )
        spread = (total**2 - (predicted**2).sum(1)) * (total**2 - (actual**2).sum(1))
        covariance = hits.sum(1) * total - (actual * predicted).sum(1)
        mcc = np.where(spread > 0, covariance / np.sqrt(spread), 0.0)
    scores = _by_name(singles, lambda each: np.mean(each, axis=0))
    errors = ((p - np.eye(n_classes)[y]) ** 2).sum(axis=1) / (2 if n_classes == 2 else 1)
    certain = p[:, 1] if n_classes == 2 else p.max(axis=1)
    right = y == 1 if n_classes == 2 else y == p.argmax(axis=1)
    scores = scores | {
        "balanced_accuracy": recall.mean(axis=1),
        "mcc": mcc,
        "brier": weights @ errors / total,
        "ece": calibration_error(certain, right, weights, bins),
    }
    return scores, singles


def _spoken_for(n_classes: int) -> Sequence[int]:
    """The classes that are scored against the rest: the positive one of two, else each."""
    return [1] if n_classes == 2 else range(n_classes)


def _fold_mean_areas(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """`(2, draws)` areas, means over folds; a fold where an area is undefined does not count."""
    of_folds = np.array(
        [
            areas(score[rows], positive[rows], weights[:, rows])
            for rows in (folds == fold for fold in np.unique(folds))
        ]
    )
    return _defined_mean(of_folds)


def _defined_mean(of_folds: np.ndarray) -> np.ndarray:
    """The mean over folds, the first axis; NaN where no fold has a value."""
    defined = ~np.isnan(of_folds)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.where(defined, of_folds, 0).sum(axis=0) / defined.sum(axis=0)
    return mean


def areas(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted areas under the ROC and the precision-recall curve, `(draws,)` each.

    The first is the probability that a positive ranks above a negative, ties counting half; the
    second is average precision, the sum of precision x gain of recall from the top down.
    """
    order = np.argsort(-score, kind="stable")
    _, starts = np.unique(-score[order], return_index=True)
    every = weights.T[order]
    pos = every * positive[order, None]
    if len(starts) < len(order):  # samples of one score enter the curves together
        every, pos = (np.add.reduceat(side, starts, axis=0) for side in (every, pos))
    found, called = pos.cumsum(axis=0), every.cumsum(axis=0)
    positives, negatives = found[-1], called[-1] - found[-1]
    above = called - found - (every - pos) / 2  # negatives that rank higher, ties half
    roc = 1 - (pos * above).sum(axis=0) / (positives * negatives)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return roc, (pos * precision).sum(axis=0) / positives


def calibration_error(
    p: np.ndarray, happened: np.ndarray, weights: np.ndarray, bins: int
) -> np.ndarray:
    """`(draws,)` mean absolute gap between predicted and observed frequency, weighted by bin."""
    members = np.eye(bins)[_bins(p, bins)]
    gaps = (weights * (p - happened)) @ members
    error: np.ndarray = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def calibration_line(p: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> Scores:
    """`calibration_slope` and `calibration_intercept`, `(draws,)` each; see `DEFINITIONS`.

    By Newton's method. NaN where there is no finite one.
    """
    odds = logit(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    design = np.column_stack([np.ones_like(odds), odds])
    free = _weighted_logistic(design, happened, weights, np.zeros_like(odds))
    fixed = _weighted_logistic(design[:, :1], happened, weights, odds)
    return {"calibration_slope": free[:, 1], "calibration_intercept": fixed[:, 0]}


def _weighted_logistic(
    design: np.ndarray, happened: np.ndarray, weights: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """`(draws, columns)` coefficients of a logistic regression, NaN where it has no finite ones.

    `design` is `(samples, columns)`, `weights` `(draws, samples)`, the others `(samples,)`.
    """
    n_columns = design.shape[1]
    squares = np.einsum("ij,ik->ijk", design, design).reshape(len(design), -1)
    found = np.full((len(weights), n_columns), np.nan)
    left, beta = np.arange(len(weights)), np.zeros((len(weights), n_columns))
    for _ in range(NEWTON_STEPS):
        p = expit(beta @ design.T + offset)
        mine = weights[left]
        slope = (mine * (happened - p)) @ design
        curvature = ((mine * p * (1 - p)) @ squares).reshape(-1, n_columns, n_columns)
        sound = np.linalg.det(curvature) > 1e-9
        left, beta, slope, curvature = (a[sound] for a in (left, beta, slope, curvature))
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        beta = beta + np.clip(step, -2, 2)
        done = np.abs(step).max(axis=1, initial=0) < 1e-6
        found[left[done]] = beta[done]
        left, beta = left[~done], beta[~done]
        if not len(left):
            break
    return found


def _bins(p: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each probability; bins hold about equally many, equal values share one."""
    edges = np.quantile(p, np.arange(1, bins) / bins)
    return np.searchsorted(edges, p, side="left")


def _value(draws: np.ndarray) -> float:
    """The score itself, -1 when it is undefined."""
    return float(np.nan_to_num(draws[0], nan=-1.0))


def _intervals(tree: dict[str, Any]) -> dict[str, Any]:
    """The nested scores with `(1 + draws,)` replaced by value, low and high."""
    return {
        name: _intervals(node)
        if isinstance(node, dict)
        else _interval(_centred(node) if name == "ece" else node)
        for name, node in tree.items()
    }


def _centred(draws: np.ndarray) -> np.ndarray:
    """The score, and its draws moved so that their mean is the score, none of them below 0."""
    moved: np.ndarray = np.maximum(draws - (np.nanmean(draws[1:]) - draws[0]), 0)
    return np.append(draws[:1], moved[1:])


def _interval(draws: np.ndarray) -> dict[str, float]:
    """The score and the 2.5 % and 97.5 % quantiles of its defined draws."""
    defined = draws[1:][~np.isnan(draws[1:])]
    low, high = np.quantile(defined, [0.025, 0.975]) if defined.size else (np.nan, np.nan)
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}


def _counts(data: _Part, classes: list[str]) -> dict[str, Any]:
    per_class = np.bincount(data.y, minlength=len(classes)).tolist()
    return {
        "samples": len(data.y),
        "patients": len(np.unique(data.patients)),
        "pairing": data.pairing,
        "samples_of_class": dict(zip(classes, per_class, strict=True)),
    }


def _crosstab(
    data: _Part, model: str, threshold: float | None, classes: list[str]
) -> dict[str, dict[str, float]]:
    """Samples by actual and by predicted class, the mean over repeats."""
    decided = _decide(data, model, threshold)
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (np.tile(data.y, len(decided)), decided.ravel()), 1 / len(decided))
    return {
        actual: dict(zip(classes, row, strict=True))
        for actual, row in zip(classes, counts.round(3).tolist(), strict=True)
    }


def _warnings(detail: dict[str, Any]) -> list[str]:
    """What a reader must know before believing the scores."""
    counts = detail["data"]["test"]["samples_of_class"]
    found = [
        f"Only {n} test samples are {name}: the test scores are rough."
        for name, n in counts.items()
        if n < FEW_SAMPLES
    ]
    if EXACT_PATHS in detail["models"]:
        added = detail["cnn_minus"][EXACT_PATHS]["cv"]["roc_auc"]
        if not added["low"] > 0:
            found.append(
                "The CNN's convolutions add nothing measurable to its exact paths, out of "
                f"fold: {added['value']:+.4f} [{added['low']:+.4f}, {added['high']:+.4f}] "
                "in roc_auc."
            )
    best = detail.get("best_baseline")
    if best and detail["cnn_minus"][best]["cv"]["roc_auc"]["high"] < 0:
        found.append(f"The CNN ranks samples worse than {best} does, out of fold.")
    return found


def _metrics(detail: dict[str, Any], best: str | None, threshold: float | None) -> dict[str, Any]:
    """The few numbers to watch."""
    flat: dict[str, Any] = {
        "verdict": detail["verdict"],
        "n_test_samples": detail["data"]["test"]["samples"],
        "n_test_patients": detail["data"]["test"]["patients"],
    }
    if threshold is not None:
        flat["threshold"] = threshold
    for model, by_part in detail["models"].items():
        flat[model] = {f"{part}_roc_auc": by_part[part]["roc_auc"]["value"] for part in PARTS}
    for part in PARTS:
        flat[CNN] |= _bounds(f"{part}_roc_auc", detail["models"][CNN][part]["roc_auc"])
        flat[CNN][f"{part}_permutation_p"] = detail["permutation_p"][part]
    for score, interval in detail["models"][CNN]["test"].items():
        flat[CNN][f"test_{score}"] = interval["value"]
    if best:
        flat["cnn_minus_best_baseline"] = {}
        for part in PARTS:
            difference = detail["cnn_minus"][best][part]["roc_auc"]
            flat["cnn_minus_best_baseline"] |= {part: difference["value"]}
            flat["cnn_minus_best_baseline"] |= _bounds(part, difference)
    return flat


def _bounds(name: str, interval: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{side}": interval[side] for side in ("low", "high")}


def _curves(
    parts: dict[str, _Part], models: list[str], classes: list[str], bins: int
) -> dict[str, pd.DataFrame]:
    """ROC, precision-recall and calibration; repeats pooled; for over two classes one per class.

    A class that a part does not hold, or holds alone, has no ROC or precision-recall curve there.
    """
    found: dict[str, list[pd.DataFrame]] = {"roc": [], "pr": [], "calibration": []}
    for model in models:
        for part, data in parts.items():
            repeats = data.probabilities[model]
            for k in _spoken_for(len(classes)):
                tags = {"model": model, "part": part}
                if len(classes) > 2:
                    tags["class"] = classes[k]
                p, positive = repeats[:, :, k].ravel(), np.tile(data.y == k, len(repeats))
                for kind, frame in _class_curves(p, positive, bins).items():
                    found[kind].append(frame.assign(**tags)[[*tags, *frame]])
    return {kind: pd.concat(frames, ignore_index=True) for kind, frames in found.items()}


def _class_curves(p: np.ndarray, positive: np.ndarray, bins: int) -> dict[str, pd.DataFrame]:
    """The curves of one class against the rest."""
    bin_ = _bins(p, bins)
    members = pd.DataFrame({"bin": bin_, "predicted": p, "observed": positive * 1.0, "n": 1})
    how = {"predicted": "mean", "observed": "mean", "n": "sum"}
    curves = {"calibration": members.groupby("bin", as_index=False).agg(how)}
    if positive.any() and not positive.all():
        false_rate, true_rate, _ = roc_curve(positive, p)
        curves["roc"] = _thin(
            pd.DataFrame({"false_positive_rate": false_rate, "true_positive_rate": true_rate})
        )
        precision, recall, _ = precision_recall_curve(positive, p, drop_intermediate=True)
        curves["pr"] = _thin(pd.DataFrame({"recall": recall, "precision": precision}))
    return curves


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    """At most `CURVE_POINTS` of the points, evenly spaced, the first and the last among them."""
    if len(curve) <= CURVE_POINTS:
        return curve
    return curve.iloc[np.linspace(0, len(curve) - 1, CURVE_POINTS).round().astype(int)]
