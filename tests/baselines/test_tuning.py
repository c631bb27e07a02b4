"""Baselines are tuned on training patients only, find what is there, and are reproducible."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from oncopixel.baselines import grid, linear, trees, tuning
from oncopixel.baselines.grid import Optimum, search
from oncopixel.baselines.linear import row_space
from oncopixel.baselines.trees import screen
from oncopixel.baselines.tuning import fit_predict, refit
from oncopixel.core.errors import LabelError
from oncopixel.core.params import BaselineParams

NAMES = [
    "logistic_l1", "logistic_l1_adjusted", "logistic_l2", "elastic_net", "random_forest",
    "gradient_boosting",
]  # fmt: skip
PARAMS = BaselineParams(models=NAMES, panel_sizes=[5], inner_folds=3, seed=1)
PLANTED = [3, 40, 77]


@pytest.fixture(autouse=True)
def _small_trees(monkeypatch):
    monkeypatch.setattr(trees, "FORESTS", {"extra-trees": 30, "random forest": None})
    monkeypatch.setattr(trees, "BOOSTED_FEATURES", (30,))
    monkeypatch.setattr(trees, "FOREST_TREES", 40)
    monkeypatch.setattr(trees, "TUNING_TREES", 10)


def planted(n=160, n_features=120, n_classes=2, seed=0):
    """Feature 3 rises, 40 falls with the class; 77 rises. `(samples, features)` float32."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    x = rng.normal(size=(n, n_features))
    for feature, sign in zip(PLANTED, (1, -1, 1), strict=True):
        x[:, feature] += sign * 1.5 * (y - (n_classes - 1) / 2)
    return x.astype(np.float32), y, np.array([f"p{i:03d}" for i in range(n)])


def split(n_classes=2, seed=0):
    x, y, patients = planted(n=240, n_classes=n_classes, seed=seed)
    return (x[:160], y[:160], patients[:160], x[160:]), y[160:]


@pytest.mark.parametrize("name", NAMES)
def test_planted_features_are_found_and_held_out_samples_told_apart(name):
    arguments, y_held_out = split()
    fit = fit_predict(name, *arguments, PARAMS)
    assert fit.probabilities.shape == (80, 2)
    assert fit.probabilities.dtype == np.float64
    assert fit.probabilities.sum(axis=1) == pytest.approx(1)
    assert roc_auc_score(y_held_out, fit.probabilities[:, 1]) > 0.9
    assert fit.importance.shape == (120,)
    assert sorted(np.argsort(-np.abs(fit.importance))[:3]) == PLANTED


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith(("logistic", "elastic"))])
def test_logistic_importance_has_the_sign_of_the_effect_on_the_positive_class(name):
    fit = fit_predict(name, *split()[0], PARAMS)
    assert np.sign(fit.importance[PLANTED]).tolist() == [1, -1, 1]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_refit_with_what_was_chosen_is_the_fit_that_chose_it(name, n_classes):
    (x, y, patients, held_out), _ = split(n_classes=n_classes)
    fit = fit_predict(name, x, y, patients, held_out, PARAMS)
    again = refit(name, x, y, json.loads(json.dumps(fit.chosen)), PARAMS.seed)
    assert again == pytest.approx(fit.importance, abs=2e-3 * np.abs(fit.importance).max())


@pytest.mark.parametrize("name", NAMES)
def test_a_refit_sees_the_labels_that_it_is_given(name):
    (x, y, patients, held_out), _ = split()
    chosen = fit_predict(name, x, y, patients, held_out, PARAMS).chosen
    shuffled = np.random.default_rng(3).permutation(y)
    found = np.abs(refit(name, x, shuffled, chosen, PARAMS.seed))
    assert sorted(np.argsort(-found, kind="stable")[:3]) != PLANTED


@pytest.mark.parametrize("name", NAMES)
def test_more_than_two_classes(name):
    arguments, y_held_out = split(n_classes=3)
    fit = fit_predict(name, *arguments, PARAMS)
    assert fit.probabilities.shape == (80, 3)
    assert fit.probabilities.sum(axis=1) == pytest.approx(1)
    assert (fit.probabilities.argmax(axis=1) == y_held_out).mean() > 0.55
    if name != "logistic_l1_adjusted":  # three classes in a row are a factor of the cohort
        assert sorted(np.argsort(-np.abs(fit.importance))[:3]) == PLANTED


@pytest.mark.parametrize("name", NAMES)
def test_held_out_samples_have_no_say_in_tuning_and_fitting(name):
    x, y, patients, held_out = split()[0]
    first = fit_predict(name, x, y, patients, held_out, PARAMS)
    other = fit_predict(name, x, y, patients, np.vstack([held_out[:5], 100 - held_out]), PARAMS)
    assert first.chosen == other.chosen
    assert first.importance.tobytes() == other.importance.tobytes()
    assert first.probabilities[:5] == pytest.approx(other.probabilities[:5], abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_bytes(name):
    arguments = split()[0]
    first, again = (fit_predict(name, *arguments, PARAMS) for _ in range(2))
    assert first.probabilities.tobytes() == again.probabilities.tobytes()
    assert first.importance.tobytes() == again.importance.tobytes()
    assert first.chosen == again.chosen


def test_inner_folds_keep_patients_together_and_every_class_in_sight():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 40, 150).astype(str)
    y = (rng.uniform(size=150) < 0.2).astype(int)
    folds = tuning.inner_folds(y, patients, PARAMS)
    assert len(folds) == 3
    for fit, check in folds:
        assert not set(patients[fit]) & set(patients[check])
        assert set(y[fit]) == {0, 1}
    assert sorted(np.concatenate([check for _, check in folds])) == list(range(150))


def test_tuning_is_not_fooled_by_a_patients_other_samples():
    """Pure noise, each patient four times over: ungrouped folds would see near-perfect scores."""
    rng = np.random.default_rng(1)
    x = np.repeat(rng.normal(size=(40, 100)), 4, axis=0)
    y = np.repeat(np.arange(40) % 2, 4)
    patients = np.repeat([f"p{i}" for i in range(40)], 4)
    chance = -np.log(0.5)
    grouped = fit_predict("logistic_l2", x, y, patients, x, PARAMS)
    ungrouped = fit_predict("logistic_l2", x, y, np.arange(160).astype(str), x, PARAMS)
    assert grouped.chosen["inner_log_loss"] > 0.9 * chance
    assert ungrouped.chosen["inner_log_loss"] < 0.5 * chance


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ridge_in_row_space_is_plain_ridge(n_classes):
    (x, y, patients, held_out), _ = split(n_classes=n_classes)
    x, held_out = np.hstack([x, x[:, :80] ** 2]), np.hstack([held_out, held_out[:, :80] ** 2])
    fit = fit_predict("logistic_l2", x, y, patients, held_out, PARAMS)
    plain = LogisticRegression(C=fit.chosen["C"], max_iter=10_000, tol=1e-8)
    plain.fit(x.astype(np.float64), y)
    assert fit.probabilities == pytest.approx(plain.predict_proba(held_out), abs=1e-4)
    weights = plain.coef_[0] if n_classes == 2 else np.abs(plain.coef_).max(axis=0)
    assert fit.importance == pytest.approx(weights, abs=1e-3 * np.abs(weights).max())


def test_row_space_loses_nothing_of_more_features_than_samples():
    x = planted(n=30, n_features=200)[0]
    rows, axes = row_space(np.vstack([x, x[:3]]))  # repeated samples: rank 30 of 33
    assert rows.shape == (33, 30)
    assert rows @ axes.T == pytest.approx(np.vstack([x, x[:3]]), abs=1e-5)
    assert axes.T @ axes == pytest.approx(np.eye(30), abs=1e-6)


@pytest.mark.parametrize("step", [2, 5])
@pytest.mark.parametrize("mixing", [0.3, 1.0])
def test_a_penalised_fit_on_a_working_set_is_that_of_all_features(mixing, step):
    """Optimality of the whole problem: |gradient| is the penalty at coefficients, else below it."""
    x, y, _ = planted(n=80, n_features=600)
    x = x.astype(np.float64)
    coefficients, intercept = next(
        itertools.islice(linear.binary_path(x, y == 1, mixing), step - 1, None)
    )
    p = 1 / (1 + np.exp(-(x @ coefficients + intercept)))
    penalty = linear.FALL**step * np.abs(x.T @ (y - y.mean())).max() / mixing
    gradient = x.T @ (p - y) + penalty * (1 - mixing) * coefficients
    active = coefficients != 0
    assert 1 <= active.sum() < 300
    expected = -mixing * penalty * np.sign(coefficients[active])
    assert gradient[active] == pytest.approx(expected, rel=0.02)
    assert np.abs(gradient).max() <= 1.02 * mixing * penalty
    assert p.mean() == pytest.approx(y.mean(), abs=2e-3)  # the intercept is free


@given(best=st.integers(-30, 30), slope=st.floats(0.002, 5))
def test_a_grid_grows_until_the_best_is_inside_or_the_end_is_reached(best, slope):
    asked = []

    def loss(step):
        asked.append(step)
        return slope * abs(step - best)

    found = search(loss, -1, 2, -8, 9)
    assert found.step == np.clip(best, -8, 9)
    assert found.at_edge == (best <= -8 or best >= 9)
    assert found.at_edge or min(asked) < found.step < max(asked)
    assert len(asked) == len(set(asked))
    assert found.loss == loss(found.step)


def test_a_grid_ends_where_it_is_flat():
    found = search(lambda step: np.exp(-step), 0, 2, 0, 50)
    assert not found.at_edge
    assert np.exp(-found.step) < 2 * grid.FLAT / (np.e - 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_chosen_says_whether_it_is_at_an_edge(name, monkeypatch):
    (x, y, patients, held_out), _ = split()
    assert fit_predict(name, x, y, patients, held_out, PARAMS).chosen["at_edge"] == []
    for module in (linear, trees):
        monkeypatch.setattr(
            module, "search", lambda loss, _first, last, *_: Optimum(last, loss(last), True)
        )
    edges = {
        "logistic_l1": ["penalty_ratio"], "logistic_l1_adjusted": ["penalty_ratio"],
        "logistic_l2": ["C"], "elastic_net": ["penalty_ratio", "mixing"], "random_forest": [],
        "gradient_boosting": ["depth", "rate", "rounds"],
    }  # fmt: skip
    assert fit_predict(name, x, y, patients, held_out, PARAMS).chosen["at_edge"] == edges[name]


def test_the_adjusted_lasso_sees_what_factors_drown():
    """Two channels under a strong factor; the class shifts six genes of the first."""
    rng = np.random.default_rng(5)
    y = np.arange(200) % 2
    x = rng.normal(size=(200, 60, 2))
    x[:, :6, 0] += 1.2 * y[:, None]
    x[..., 0] += 4 * np.outer(rng.normal(size=200), rng.normal(size=60))
    x = x.reshape(200, -1).astype(np.float32)
    patients = np.array([f"p{i}" for i in range(120)])
    areas = []
    for name in ("logistic_l1", "logistic_l1_adjusted"):
        fit = fit_predict(name, x[:120], y[:120], patients, x[120:], PARAMS, channels=2)
        assert fit.importance.shape == (120,)
        areas.append(roc_auc_score(y[120:], fit.probabilities[:, 1]))
        again = refit(name, x[:120], y[:120], fit.chosen, PARAMS.seed, channels=2)
        assert again == pytest.approx(fit.importance, abs=1e-6)
    assert areas[1] > areas[0] + 0.02
    assert set(np.argsort(-np.abs(fit.importance))[:4]) <= set(range(0, 12, 2))


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_say_how_often_a_rare_class_occurs(name):
    rng = np.random.default_rng(7)
    y = (np.arange(600) % 25 < 3).astype(int)  # 12 %
    x = rng.normal(size=(600, 150)).astype(np.float32)
    x[:, :5] += y[:, None]
    patients = np.arange(600).astype(str)
    fit = fit_predict(name, x[:400], y[:400], patients[:400], x[400:], PARAMS)
    assert fit.probabilities[:, 1].mean() == pytest.approx(0.12, abs=0.03)


def test_the_screen_ranks_as_the_f_test_does_and_skips_constant_features():
    x, y, _ = planted(n_classes=3)
    x[:, 5] = 1.0
    f, _ = f_classif(np.delete(x, 5, axis=1), y)
    ranked = np.insert(f, 5, 0.0)
    assert screen(x, y, 10).tolist() == sorted(np.argsort(-ranked)[:10])
    assert screen(x, y, None).tolist() == screen(x, y, 500).tolist() == list(range(120))


@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting"])
def test_screening_is_tuned_inside_the_training_folds(name):
    """Noise with far more features than samples: screened outside, the inner loss would be low."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(60, 2_000)), np.arange(60) % 2
    fit = fit_predict(name, x, y, np.arange(60).astype(str), x[:1], PARAMS)
    assert fit.chosen["inner_log_loss"] > 0.9 * -np.log(0.5)


def test_a_class_too_small_to_tune_for_is_an_error_that_says_what_to_do():
    x, y, patients = planted(n=40)
    y = np.where(np.arange(40) == 5, 2, y)
    with pytest.raises(LabelError, match=r"class 2 has 1 patient.*split\.folds"):
        fit_predict("logistic_l2", x, y, patients, x, PARAMS)


@pytest.mark.parametrize("name", NAMES)
def test_features_that_never_vary_do_no_harm(name):
    x, y, patients, held_out = split()[0]
    x[:, :2], held_out[:, :2] = 0, 0
    fit = fit_predict(name, x, y, patients, held_out, PARAMS)
    assert np.isfinite(fit.probabilities).all()
    assert fit.importance[:2].tolist() == [0, 0]
