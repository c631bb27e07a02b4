"""The scores are those of scikit-learn, the intervals are honest, nothing leaks or goes missing."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from oncopixel.core.errors import ArtifactError
from oncopixel.core.params import EvaluateParams
from oncopixel.evaluation.calibration import calibration_line
from oncopixel.evaluation.evaluate import Evaluation, evaluate
from oncopixel.evaluation.permutation import mean_area as _mean_area
from oncopixel.evaluation.permutation import permutation_p
from oncopixel.evaluation.scores import weighted_scores
from oncopixel.evaluation.verdict import edge_warnings, verdict
from oncopixel.images.splits import LeakageError

PARAMS = EvaluateParams(bootstrap=400, permutations=199, calibration_bins=5, seed=1)


def random_case(n_classes, seed, n=120):
    """Coarse probabilities, so that ties occur, classes that follow them, and integer weights."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_classes), n).round(2) + 1e-3
    p /= p.sum(axis=1, keepdims=True)
    y = np.array([rng.choice(n_classes, p=row) for row in p])
    return p, y, rng.integers(0, 4, (3, n)).astype(float)


def tables(y, p, *, repeats=1, n_test=40, models=("cnn", "logistic_l1"), patients=None):
    """Samples and predictions; the last `n_test` samples are the test set.

    `p` is `(samples, classes)` for all models, or a mapping by model.
    """
    n = len(y)
    ids = [f"s{i:04d}" for i in range(n)]
    test = np.arange(n) >= n - n_test
    samples = pd.DataFrame(
        {
            "sample": ids,
            "patient": ids if patients is None else patients,
            "group": ids if patients is None else patients,
            "part": np.where(test, "test", "development"),
            "y": y,
        }
    )
    rows = []
    for model in models:
        q = p[model] if isinstance(p, dict) else p
        for repeat in [*range(repeats), -1]:
            mine = test if repeat < 0 else ~test
            frame = pd.DataFrame({f"p_{k}": q[mine, k] for k in range(q.shape[1])})
            frame["sample"] = samples["sample"][mine].to_numpy()
            frame["model"], frame["repeat"], frame["fold"] = model, repeat, -1
            frame["part"] = "test" if repeat < 0 else "cv"
            rows.append(frame)
    return samples, pd.concat(rows, ignore_index=True)


def scores_of(p, y, weights, threshold, bins):
    return weighted_scores(p, y, weights, threshold, bins, np.zeros(len(y), int))


def two_columns(score):
    return np.column_stack([1 - score, score])


def signal(n=200, strength=1.5, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, 1 / (1 + np.exp(-(strength * (y - 0.5) + rng.normal(size=n))))


def run(y, p, classes=("control", "case"), params=PARAMS, **kwargs) -> Evaluation:
    samples, predictions = tables(y, p, **kwargs)
    return evaluate(predictions, samples, list(classes), params)


@pytest.mark.parametrize("seed", range(3))
def test_two_class_scores_are_those_of_scikit_learn_with_weights(seed):
    p, y, weights = random_case(2, seed)
    mine, _ = scores_of(p, y, weights, 0.4, 10)
    decided = p[:, 1] >= 0.4
    for d, w in enumerate(weights):
        expected = {
            "roc_auc": sk.roc_auc_score(y, p[:, 1], sample_weight=w),
            "pr_auc": sk.average_precision_score(y, p[:, 1], sample_weight=w),
            "sensitivity": sk.recall_score(y, decided, sample_weight=w),
            "specificity": sk.recall_score(y, decided, pos_label=0, sample_weight=w),
            "balanced_accuracy": sk.balanced_accuracy_score(y, decided, sample_weight=w),
            "f1": sk.f1_score(y, decided, sample_weight=w),
            "mcc": sk.matthews_corrcoef(y, decided, sample_weight=w),
            "brier": sk.brier_score_loss(y, p[:, 1], sample_weight=w),
        }
        for name, value in expected.items():
            assert mine[name][d] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("seed", range(3))
def test_multi_class_scores_are_those_of_scikit_learn_with_weights(seed):
    p, y, weights = random_case(4, seed)
    mine, by_class = scores_of(p, y, weights, None, 10)
    decided = p.argmax(axis=1)
    truth = np.eye(4)[y]
    for d, w in enumerate(weights):
        expected = {
            "roc_auc": sk.roc_auc_score(truth, p, sample_weight=w, average="macro"),
            "pr_auc": sk.average_precision_score(truth, p, sample_weight=w, average="macro"),
            "sensitivity": sk.recall_score(y, decided, sample_weight=w, average="macro"),
            "balanced_accuracy": sk.balanced_accuracy_score(y, decided, sample_weight=w),
            "f1": sk.f1_score(y, decided, sample_weight=w, average="macro"),
            "mcc": sk.matthews_corrcoef(y, decided, sample_weight=w),
            "brier": np.average(((p - truth) ** 2).sum(axis=1), weights=w),
        }
        for name, value in expected.items():
            assert mine[name][d] == pytest.approx(value, abs=1e-12), name
        for k in range(4):
            auc = sk.roc_auc_score(y == k, p[:, k], sample_weight=w)
            assert by_class[k]["roc_auc"][d] == pytest.approx(auc, abs=1e-12)
            rest = sk.recall_score(y != k, decided != k, sample_weight=w)
            assert by_class[k]["specificity"][d] == pytest.approx(rest, abs=1e-12)


def test_scores_of_a_case_done_by_hand():
    score = np.array([0.1, 0.4, 0.35, 0.8])
    y = np.array([0, 0, 1, 1])
    one = np.ones((1, 4))
    scores, _ = scores_of(two_columns(score), y, one, 0.5, 1)
    by_hand = {
        "roc_auc": 3 / 4,  # of the four pairs only (0.35, 0.4) is the wrong way round
        "pr_auc": 0.5 * 1 + 0.5 * 2 / 3,
        "sensitivity": 1 / 2,
        "specificity": 1.0,
        "balanced_accuracy": 3 / 4,
        "f1": 2 / 3,
        "mcc": 1 / np.sqrt(3),
        "brier": (0.1**2 + 0.4**2 + 0.65**2 + 0.2**2) / 4,
        "ece": abs(score.mean() - 0.5),  # one bin
    }
    assert {name: scores[name][0] for name in by_hand} == pytest.approx(by_hand)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_calibration_line_is_that_of_an_unpenalised_regression(n_classes):
    p, y, weights = random_case(n_classes, 2, n=150)
    weights[2] = (np.arange(150) % 2) * 3  # a draw without half of the samples
    found, by_class = scores_of(p, y, weights, 0.5 if n_classes == 2 else None, 5)
    spoken = [1] if n_classes == 2 else range(n_classes)
    for d, w in enumerate(weights):
        for k, mine in zip(spoken, by_class, strict=True):
            odds = logit(np.clip(p[:, k], 1e-4, 1 - 1e-4))
            peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
            peer.fit(odds[:, None], y == k, sample_weight=w)
            assert mine["calibration_slope"][d] == pytest.approx(peer.coef_[0, 0], abs=1e-4)
            shift = mine["calibration_intercept"][d]
            assert w @ expit(odds + shift) == pytest.approx(w @ (y == k), abs=1e-4)
    mean = np.mean([one["calibration_slope"] for one in by_class], axis=0)
    assert found["calibration_slope"] == pytest.approx(mean)


@given(st.floats(0.3, 3), st.floats(-1.5, 1.5), st.integers(0, 1000))
def test_what_was_done_to_the_log_odds_is_what_the_calibration_line_says(scale, shift, seed):
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 1.5, 4000)
    y = rng.random(4000) < expit(odds)
    told = expit(scale * odds + shift)
    found = calibration_line(told, y, np.ones((1, 4000)))
    assert found["calibration_slope"][0] == pytest.approx(1 / scale, rel=0.25)
    shifted = calibration_line(expit(odds + shift), y, np.ones((1, 4000)))
    assert shifted["calibration_intercept"][0] == pytest.approx(-shift, abs=0.25)


def test_a_calibration_line_that_is_not_finite_is_undefined():
    y = np.arange(20) >= 10
    apart, same = np.where(y, 0.9, 0.1), np.full(20, 0.5)
    one = np.ones((1, 20))
    assert np.isnan(calibration_line(apart, y, one)["calibration_slope"][0])
    assert np.isfinite(calibration_line(apart, y, one)["calibration_intercept"][0])
    assert np.isnan(calibration_line(same, y, one)["calibration_slope"][0])
    assert np.isnan(calibration_line(apart, y & False, one)["calibration_intercept"][0])


def test_every_model_has_calibration_with_intervals():
    y, score = signal(strength=1.0)
    same = {"cnn": two_columns(score), "logistic_l1": two_columns(score)}
    models = run(y, same, models=("cnn", "logistic_l1")).detail["models"]
    for name, part in itertools.product(models, ("cv", "test")):
        for what in ("ece", "brier", "calibration_slope", "calibration_intercept"):
            found = models[name][part][what]
            assert found["low"] <= found["value"] <= found["high"], what
        assert models[name][part]["ece"]["low"] >= 0


def test_choices_at_the_edge_of_their_grid_are_warned_of():
    inside, edge = {"at_edge": []}, {"at_edge": ["rate", "rounds"]}
    chosen = {
        "gradient_boosting": {"final": edge, "r0f0": inside, "r0f1": {"at_edge": ["rate"]}},
        "logistic_l2": {"final": inside},
    }
    first, second = edge_warnings(chosen)
    assert "gradient_boosting: rate is at the edge of its grid in 2 of 3 fits" in first
    assert "rounds is at the edge of its grid in 1 of 3" in second


def test_calibration_error_is_zero_when_frequencies_match_and_the_gap_when_not():
    y = np.repeat([0, 1, 0, 1], [8, 2, 2, 8])
    matched = np.repeat([0.2, 0.8], 10)
    one = np.ones((1, 20))
    assert scores_of(two_columns(matched), y, one, 0.5, 2)[0]["ece"][0] == pytest.approx(0)
    sure = np.repeat([0.0, 1.0], 10)
    assert scores_of(two_columns(sure), y, one, 0.5, 2)[0]["ece"][0] == pytest.approx(0.2)


def test_areas_are_means_over_folds_so_that_fits_on_other_scales_do_not_mix():
    y, score = signal(200)
    folds = np.arange(200) % 4
    shifted = (score + folds) / 4
    mine, _ = weighted_scores(two_columns(shifted), y, np.ones((1, 200)), 0.5, 5, folds)
    for name, area in (("roc_auc", sk.roc_auc_score), ("pr_auc", sk.average_precision_score)):
        of_folds = [area(y[folds == f], score[folds == f]) for f in range(4)]
        assert mine[name][0] == pytest.approx(np.mean(of_folds))
    lonely = np.where((folds == 3) & (y == 1), 2, folds)  # fold 3 has no positive sample left
    mine, _ = weighted_scores(two_columns(score), y, np.ones((1, 200)), 0.5, 5, lonely)
    of_folds = [sk.roc_auc_score(y[lonely == f], score[lonely == f]) for f in range(3)]
    assert mine["roc_auc"][0] == pytest.approx(np.mean(of_folds))


def test_a_class_that_is_missing_leaves_scores_undefined_not_wrong():
    score = np.array([0.2, 0.6, 0.7])
    scores, _ = scores_of(two_columns(score), np.array([0, 1, 1]), np.array([[0, 1, 1.0]]), 0.5, 2)
    assert np.isnan(scores["roc_auc"][0])
    assert np.isnan(scores["specificity"][0])
    assert scores["sensitivity"][0] == 1
    assert scores["mcc"][0] == 0


def test_draws_without_the_rare_class_do_not_spoil_the_interval():
    y = np.zeros(60, int)
    y[[0, 1, 40, 41]] = 1  # two in development, two in test: some draws hold none
    score = np.where(y == 1, 0.9, np.linspace(0.1, 0.8, 60))
    result = run(y, two_columns(score), n_test=30)
    for part in ("cv", "test"):
        assert result.detail["models"]["cnn"][part]["roc_auc"] == {"value": 1, "low": 1, "high": 1}


def test_the_threshold_comes_from_out_of_fold_predictions_and_maximises_youdens_j():
    y, score = signal(300)
    result = run(y, two_columns(score), n_test=100)
    chosen = result.metrics["threshold"]
    development = slice(0, 200)

    def youden(threshold):
        called = score[development] >= threshold
        truth = y[development] == 1
        return called[truth].mean() - called[~truth].mean()

    assert youden(chosen) == pytest.approx(max(youden(t) for t in np.linspace(0, 1, 2001)))
    other = score.copy()
    other[200:] = 1 - other[200:]
    assert run(y, two_columns(other), n_test=100).metrics["threshold"] == chosen
    test = slice(200, 300)
    matched = sk.recall_score(y[test], score[test] >= chosen)
    assert result.metrics["cnn"]["test_sensitivity"] == pytest.approx(matched)


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    y = np.array([0, 1] * 40)
    perfect = np.where(y == 1, 0.7, 0.2)
    assert run(y, two_columns(perfect)).metrics["threshold"] == pytest.approx(0.45)
    constant = np.full(80, 0.3)
    assert run(y, two_columns(constant)).metrics["threshold"] == 0.5


@pytest.mark.slow
def test_intervals_cover_the_true_auc():
    """Many cohorts from one population, AUC = Phi(d / sqrt 2): 95 % within the play of chance."""
    truth = norm.cdf(1.2 / np.sqrt(2))
    params = EvaluateParams(bootstrap=200, permutations=199, calibration_bins=2, seed=1)
    hits = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 100)
        score = norm.cdf(rng.normal(size=100) + 1.2 * y)
        result = run(y, two_columns(score), params=params, n_test=10, models=("cnn",))
        interval = result.detail["models"]["cnn"]["cv"]["roc_auc"]
        hits += interval["low"] <= truth <= interval["high"]
    assert 0.88 <= hits / 120 <= 0.99


def test_samples_of_one_patient_are_drawn_together():
    """Every patient four times over: no information is gained, so no interval may get narrower."""
    y, score = signal(100)
    alone = run(y, two_columns(score), n_test=40)
    four = run(
        np.repeat(y, 4), two_columns(np.repeat(score, 4)), n_test=160,
        patients=np.repeat([f"p{i:03d}" for i in range(100)], 4),
    )  # fmt: skip
    assert four.metrics["n_test_patients"] == 40
    assert four.metrics["n_test_samples"] == 160
    one, other = (r.detail["models"]["cnn"]["cv"]["roc_auc"] for r in (alone, four))
    assert other == pytest.approx(one)


def test_identical_models_differ_by_exactly_nothing():
    y, score = signal()
    result = run(y, two_columns(score), models=("cnn", "logistic_l1", "random_forest"))
    assert set(result.metrics["cnn_minus_best_baseline"].values()) == {0.0}
    assert result.detail["cnn_minus"]["random_forest"]["test"]["pr_auc"] == {
        "value": 0, "low": 0, "high": 0,
    }  # fmt: skip


def test_differences_are_paired():
    """Two nearly equal models: their difference is far more certain than either score."""
    y, score = signal()
    noisy = np.clip(score + np.random.default_rng(5).normal(0, 0.02, len(y)), 0.001, 0.999)
    result = run(y, {"cnn": two_columns(score), "logistic_l1": two_columns(noisy)})
    width = {name: v["high"] - v["low"] for name, v in {
        "score": result.detail["models"]["cnn"]["cv"]["roc_auc"],
        "difference": result.detail["cnn_minus"]["logistic_l1"]["cv"]["roc_auc"],
    }.items()}  # fmt: skip
    assert width["difference"] < width["score"] / 5


def test_the_best_baseline_is_chosen_out_of_fold_not_on_the_test_set():
    y, score = signal(200)
    good_out_of_fold, good_in_test = score.copy(), score.copy()
    good_out_of_fold[160:] = 0.5
    good_in_test[:160] = 0.5
    result = run(
        y,
        {
            "cnn": two_columns(score),
            "logistic_l1": two_columns(good_in_test),
            "random_forest": two_columns(good_out_of_fold),
        },
        models=("cnn", "logistic_l1", "random_forest"),
    )
    assert result.detail["best_baseline"] == "random_forest"
    assert result.metrics["cnn_minus_best_baseline"]["cv"] == 0
    assert result.metrics["cnn_minus_best_baseline"]["test"] > 0


def test_verdicts():
    y, score = signal(300)
    shuffled = np.random.default_rng(3).permutation(score)
    assert run(y, two_columns(score), n_test=100).detail["verdict"] == "signal"
    null = run(y, two_columns(shuffled), n_test=100)
    auc = null.detail["models"]["cnn"]["cv"]["roc_auc"]
    assert auc["low"] < 0.5 < auc["high"]
    assert null.detail["verdict"] == "no signal"
    only_out_of_fold = np.concatenate([score[:200], shuffled[200:]])
    doubtful = run(y, two_columns(only_out_of_fold), n_test=100)
    assert doubtful.detail["verdict"] == "inconclusive"
    assert doubtful.metrics["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("cv_low", "test_low", "p", "expected"),
    [
        (0.6, 0.6, 0.05, "signal"),
        (0.6, 0.6, 0.051, "inconclusive"),
        (0.6, 0.5, 0.001, "inconclusive"),
        (0.5, 0.6, 0.001, "no signal"),
        (np.nan, 0.6, 0.001, "no signal"),
        (0.6, np.nan, 0.001, "inconclusive"),
    ],
)
def test_the_verdict_takes_both_intervals_and_the_permutation_test(cv_low, test_low, p, expected):
    lows = {"cv": {"roc_auc": {"low": cv_low}}, "test": {"roc_auc": {"low": test_low}}}
    assert verdict({"models": {"cnn": lows}, "permutation_p": {"test": p}}) == expected


def p_value(score, y, patients, groups=None, folds=None, draws=199, seed=1):
    """Of one repeat's two-class scores."""
    folds = np.zeros(len(y), int) if folds is None else folds
    groups = patients if groups is None else groups
    return permutation_p(
        two_columns(score)[None], y, folds[None], patients, groups, draws=draws, seed=[seed]
    )


def test_the_permutation_p_is_the_share_of_all_permutations_that_reach_the_score():
    """Three patients with two samples, two with one: 3! x 2^3 x 2! labellings, enumerated."""
    score = np.array([0.9, 0.2, 0.8, 0.4, 0.3, 0.7, 0.6, 0.5])
    y = np.array([1, 0, 1, 0, 0, 1, 1, 0])
    patients = np.array([0, 0, 1, 1, 2, 2, 3, 4])
    reached = []
    for pairs in itertools.permutations([(1, 0), (1, 0), (0, 1)]):
        for flips in itertools.product([1, -1], repeat=3):
            for singles in itertools.permutations([1, 0]):
                inside = [pair[::flip] for pair, flip in zip(pairs, flips, strict=True)]
                labels = [*itertools.chain(*inside), *singles]
                reached.append(sk.roc_auc_score(labels, score) >= sk.roc_auc_score(y, score))
    assert p_value(score, y, patients, draws=9_999) == pytest.approx(np.mean(reached), abs=0.02)


def null_case(rng, kind):
    """Scores, labels, patients and groups that have nothing to do with each other."""
    if kind == "pairs":  # tumour and normal of 30 patients, the score is mostly the patient's
        patients = np.arange(90) % 60
        y = np.where(np.arange(90) < 60, 0, 1)
        score = rng.normal(size=60)[patients] + rng.normal(0, 0.3, 90)
    elif kind == "copies":  # four samples of a patient share their label, and nearly their score
        patients = np.repeat(np.arange(30), 4)
        y = rng.integers(0, 2, 30)[patients]
        score = rng.normal(size=30)[patients] + rng.normal(0, 0.1, 120)
    else:  # sites with other prevalences and other scores: a confounder
        patients = np.arange(120)
        site = patients // 30
        effect = rng.normal(0, 1.5, 4)[site]
        y = (rng.uniform(size=120) < 1 / (1 + np.exp(-effect))).astype(int)
        return norm.cdf(effect + rng.normal(size=120)), y, patients, site
    return norm.cdf(score), y, patients, patients


@pytest.mark.parametrize("kind", ["pairs", "copies", "sites"])
def test_without_a_signal_the_permutation_p_is_uniform(kind):
    rng = np.random.default_rng(4)
    found = np.array([p_value(*null_case(rng, kind), draws=99, seed=i) for i in range(500)])
    for level in (0.05, 0.2, 0.5):
        assert abs((found <= level).mean() - level) < 3.3 * np.sqrt(level * (1 - level) / 500)


def test_copies_as_patients_of_their_own_would_be_taken_for_a_signal():
    rng = np.random.default_rng(4)
    cases = [null_case(rng, "copies") for _ in range(200)]
    naive = [p_value(score, y, np.arange(len(y))) <= 0.05 for score, y, *_ in cases]
    assert np.mean(naive) > 0.2


def test_a_signal_within_patients_is_found():
    """Every patient has a tumour and a normal sample: only the labels within a patient can move."""
    rng = np.random.default_rng(0)
    patients, y = np.repeat(np.arange(40), 2), np.tile([0, 1], 40)
    score = norm.cdf(3 * rng.normal(size=40)[patients] + 0.7 * y + rng.normal(0, 0.3, 80))
    assert p_value(score, y, patients) == 1 / 200
    assert p_value(score, y, np.arange(80)) > 0.05


def test_labels_move_within_folds_only():
    """Folds of other prevalence and other scores: pooled they look like a signal, inside not."""
    rng = np.random.default_rng(0)
    folds = np.repeat([0, 1], 100)
    inside, pooled = [], []
    for seed in range(100):
        y = (rng.uniform(size=200) < np.where(folds, 0.9, 0.1)).astype(int)
        score = norm.cdf(rng.normal(size=200) + 2 * folds)
        inside.append(p_value(score, y, np.arange(200), folds=folds, draws=99, seed=seed))
        pooled.append(p_value(score, y, np.arange(200), draws=99, seed=seed))
    assert np.mean(np.array(inside) <= 0.2) < 0.33
    assert max(pooled) == 1 / 100


def test_an_auc_that_is_undefined_or_constant_has_a_p_of_one():
    score = np.linspace(0.1, 0.9, 20)
    assert p_value(score, np.ones(20, int), np.arange(20)) == 1
    assert p_value(np.full(20, 0.5), np.arange(20) % 2, np.arange(20)) == 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_permutation_test_is_of_the_auc_that_is_reported(n_classes):
    p, y, _ = random_case(n_classes, 3, n=240)
    samples, predictions = tables(y, p, repeats=2)
    cv = predictions["part"] == "cv"
    number = predictions.groupby(["model", "part", "repeat"]).cumcount()
    predictions["fold"] = np.where(cv, number % 3, -1)
    again = cv & (predictions["repeat"] == 1)  # another repeat, other folds, other scores
    predictions.loc[again, "fold"] = number[again] % 2
    predictions.loc[again, "p_1"] = predictions.loc[again, "p_1"].to_numpy() ** 2
    parts = [f"p_{k}" for k in range(n_classes)]
    predictions[parts] = predictions[parts].div(predictions[parts].sum(axis=1), axis=0)
    result = evaluate(predictions, samples, list("abc")[:n_classes], PARAMS)
    mine = predictions[(predictions["model"] == "cnn") & cv]
    stacked = mine[parts].to_numpy().reshape(2, -1, n_classes)
    stacked /= stacked.sum(axis=2, keepdims=True)  # as `evaluate` does, which decides ties
    folds = mine["fold"].to_numpy().reshape(2, -1)
    area = _mean_area(stacked, y[None, : stacked.shape[1]], folds)[0]
    assert area == pytest.approx(result.metrics["cnn"]["cv_roc_auc"], abs=1e-12)
    assert result.metrics["cnn"]["cv_permutation_p"] == result.detail["permutation_p"]["cv"]
    assert result.metrics["cnn"]["test_permutation_p"] < 0.05


def test_a_cnn_that_is_clearly_worse_and_a_tiny_test_class_are_warned_about():
    y, score = signal(200, strength=3)
    fuzzy = 0.5 + 0.1 * (score - 0.5) + np.random.default_rng(2).uniform(-0.4, 0.4, 200)
    result = run(y, {"cnn": two_columns(fuzzy), "logistic_l1": two_columns(score)}, n_test=20)
    text = " ".join(result.detail["warnings"])
    assert "worse than logistic l1" in text
    assert "test samples are case" in text
    assert run(y, two_columns(score), n_test=100).detail["warnings"] == []


def test_repeats_are_averaged():
    y, score = signal(200)
    samples, once = tables(y, two_columns(score))
    second = once[once["part"] == "cv"].assign(repeat=1)
    second["p_1"] = np.random.default_rng(1).uniform(size=len(second))
    second["p_0"] = 1 - second["p_1"]
    values = [
        evaluate(frame, samples, ["a", "b"], PARAMS).metrics["cnn"]["cv_roc_auc"]
        for frame in (
            once,
            pd.concat([once[once["part"] == "test"], second.assign(repeat=0)]),
            pd.concat([once, second]),
        )
    ]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2)


def test_more_than_two_classes():
    p, y, _ = random_case(3, 7, n=240)
    result = run(y, p, classes=("a", "b", "c"), n_test=90)
    assert "threshold" not in result.metrics
    each = result.detail["per_class"]["cnn"]["test"]
    assert list(each) == ["a", "b", "c"]
    mean = np.mean([each[name]["roc_auc"]["value"] for name in each])
    assert result.metrics["cnn"]["test_roc_auc"] == pytest.approx(mean)
    assert set(result.curves["roc"]["class"]) == {"a", "b", "c"}
    assert len(result.curves["confusion"]) == 90
    counted = pd.crosstab(*(result.curves["confusion"][c] for c in ("actual", "predicted")))
    table = pd.DataFrame(result.detail["confusion"]["cnn"]["test"]).T
    assert (counted.to_numpy() == table.to_numpy()).all()


def test_curves_hold_what_is_drawn_and_no_sample():
    y, score = signal(1500)
    result = run(y, two_columns(score), n_test=700)
    roc = result.curves["roc"].query("model == 'cnn' and part == 'test'")
    assert len(roc) <= 200
    drawn = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert drawn == pytest.approx(result.metrics["cnn"]["test_roc_auc"], abs=0.003)
    assert "class" not in roc
    pr = result.curves["pr"].query("model == 'cnn' and part == 'test'")
    assert pr["recall"].min() == 0
    assert pr["recall"].max() == 1
    bins = result.curves["calibration"].query("model == 'cnn' and part == 'test'")
    assert bins["n"].tolist() == [140] * 5
    assert bins["predicted"].is_monotonic_increasing
    text = json.dumps(result.detail) + json.dumps(result.metrics)
    text += "".join(frame.to_csv() for frame in result.curves.values())
    assert "s0001" not in text


def test_the_same_input_in_any_order_gives_the_same_numbers():
    y, score = signal()
    samples, predictions = tables(y, two_columns(score))
    first = evaluate(predictions, samples, ["a", "b"], PARAMS)
    shuffled = samples.sample(frac=1, random_state=2)
    again = evaluate(predictions.sample(frac=1, random_state=1), shuffled, ["a", "b"], PARAMS)
    assert json.dumps(first.detail) == json.dumps(again.detail)
    assert json.dumps(first.metrics) == json.dumps(again.metrics)
    for name, frame in first.curves.items():
        pd.testing.assert_frame_equal(frame, again.curves[name])


def test_a_patient_in_both_parts_is_refused_by_name():
    y, score = signal(100)
    patients = [f"p{i:03d}" for i in range(100)]
    patients[99] = "p007"
    samples, predictions = tables(y, two_columns(score), patients=patients)
    with pytest.raises(LeakageError, match="p007"):
        evaluate(predictions, samples, ["a", "b"], PARAMS)


def drop_one(frame):
    return frame.iloc[1:]


def twice(frame):
    return pd.concat([frame, frame.iloc[:1]])


def swap_parts(frame):
    return frame.assign(part=frame["part"].map({"cv": "test", "test": "cv"}))


def one_model_without_test(frame):
    return frame[(frame["model"] == "cnn") | (frame["part"] == "cv")]


@pytest.mark.parametrize("spoil", [drop_one, twice, swap_parts, one_model_without_test])
def test_predictions_that_are_not_those_of_the_samples_are_refused(spoil):
    y, score = signal(100)
    samples, predictions = tables(y, two_columns(score))
    with pytest.raises(ArtifactError, match="another split"):
        evaluate(spoil(predictions), samples, ["a", "b"], PARAMS)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.7, 0.9])
def test_what_is_no_probability_is_refused(value):
    y, score = signal(100)
    samples, predictions = tables(y, two_columns(np.minimum(score, 0.5)))
    predictions.loc[3, "p_1"] = value
    with pytest.raises(ArtifactError, match="probabilities"):
        evaluate(predictions, samples, ["a", "b"], PARAMS)


def test_predictions_of_another_number_of_classes_are_refused():
    y, score = signal(100)
    samples, predictions = tables(y, two_columns(score))
    with pytest.raises(ArtifactError, match="3 classes"):
        evaluate(predictions, samples, ["a", "b", "c"], PARAMS)


def test_the_linear_path_is_compared_but_is_no_baseline():
    y, good = signal(strength=3.0)
    weak = two_columns(signal(strength=1.0)[1])
    models = ("cnn", "linear_path", "logistic_l1")
    same = {"cnn": two_columns(good), "linear_path": two_columns(good), "logistic_l1": weak}
    found = run(y, same, models=models)
    assert found.detail["best_baseline"] == "logistic_l1"
    assert found.detail["cnn_minus"]["linear_path"]["cv"]["roc_auc"]["value"] == 0
    assert any("its linear path alone" in line for line in found.detail["warnings"])
    alone = run(y, same, models=models[:2])
    assert "best_baseline" not in alone.detail
    assert "cnn_minus_best_baseline" not in alone.metrics
    assert alone.detail["cnn_minus"]["linear_path"]["test"]["roc_auc"]["value"] == 0
    helped = run(y, same | {"linear_path": weak}, models=models)
    assert not any("its linear path alone" in line for line in helped.detail["warnings"])


def test_the_threshold_is_stored_as_it_is_used():
    y, p = signal()
    threshold = run(y, two_columns(p)).metrics["threshold"]
    assert threshold == float(f"{threshold:.6g}")


def test_kept_draws_are_those_behind_the_interval_and_pair_two_runs() -> None:
    p, y, _ = random_case(2, 5)
    samples, predictions = tables(y, p)
    first = evaluate(predictions, samples, ["a", "b"], PARAMS)
    interval = first.detail["models"]["cnn"]["test"]["roc_auc"]
    assert len(first.draws) == PARAMS.bootstrap
    quantiles = np.nanquantile(first.draws["test_roc_auc"], [0.025, 0.975])
    assert quantiles == pytest.approx([interval["low"], interval["high"]], abs=1e-4)

    other_model = tables(y, p[:, ::-1])[1]
    second = evaluate(other_model, samples, ["a", "b"], PARAMS)
    assert second.detail["data"]["test"]["pairing"] == first.detail["data"]["test"]["pairing"]
    assert second.draws["test_roc_auc"].to_numpy() == pytest.approx(
        1 - first.draws["test_roc_auc"].to_numpy(), abs=1e-4
    )


def test_other_patients_classes_or_seed_do_not_pair() -> None:
    p, y, _ = random_case(2, 6)

    def pairing(y, seed=1, **changes):
        samples, predictions = tables(y, p, **changes)
        params = EvaluateParams(bootstrap=100, permutations=199, calibration_bins=5, seed=seed)
        data = evaluate(predictions, samples, ["a", "b"], params).detail["data"]
        return data["test"]["pairing"]

    flipped = y.copy()
    flipped[-1] = 1 - flipped[-1]
    found = {
        pairing(y), pairing(flipped), pairing(y, seed=2), pairing(y, n_test=41),
        pairing(y, patients=[f"p{i}" for i in range(len(y))]),
    }  # fmt: skip
    assert len(found) == 5
    assert pairing(y) in found
