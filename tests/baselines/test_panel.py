"""Panels: few features, none redundant, and a score that can be computed by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from oncopixel.baselines.panel import (
    REDUNDANT,
    choose_features,
    cost_of_each,
    fit_panels,
    smallest_good,
    table,
)
from oncopixel.core.params import BaselineParams, PreprocessParams
from oncopixel.images.preprocessor import Preprocessor

PARAMS = BaselineParams(models=["logistic_l2"], panel_sizes=[3, 8], inner_folds=3, seed=1)


def draw(n: int = 240, p: int = 60, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of which 0, 1, 2 … tell the classes ever less; 1 nearly repeats 0."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, p)).astype(np.float32)
    x[:, :6] += np.linspace(1.4, 0.6, 6) * y[:, None]
    x[:, 1] = x[:, 0] + 0.1 * rng.standard_normal(n)
    return x, y, np.array([f"P{i}" for i in range(n)])


def test_the_most_associated_come_first_and_none_repeats_another() -> None:
    x, y, _ = draw()
    chosen = choose_features(x, y, 10)
    assert len(chosen) == len(set(chosen)) == 10
    assert chosen[0] in (0, 1)
    assert not {0, 1} <= set(chosen.tolist())
    r = np.abs(np.corrcoef(x[:, chosen].T) - np.eye(10))
    assert r.max() <= REDUNDANT
    assert set(chosen[:5].tolist()) >= {2, 3, 4}


def test_features_that_never_differ_are_no_panel() -> None:
    x, y, patients = draw()
    assert choose_features(np.ones_like(x), y, 5).size == 0
    (panel, _) = fit_panels(np.ones_like(x), y, patients, [3, 8], PARAMS)
    np.testing.assert_allclose(panel.predict_proba(x[:2]), 0.5)
    assert cost_of_each(x, y, patients, panel, PARAMS).size == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_table_says_all_that_is_needed_to_compute_the_score(n_classes: int) -> None:
    rng = np.random.default_rng(3)
    y = np.arange(240) % n_classes
    raw = rng.normal(6, 2, (240, 20))
    raw[:, :n_classes] += 2.0 * np.eye(n_classes)[y]
    center, scale = raw.mean(axis=0), raw.std(axis=0)
    genes = pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(20)], "ensembl_id": "", "row": 0, "col": range(20),
            "expression_center": center, "expression_scale": scale,
        }
    )  # fmt: skip
    settings = PreprocessParams(
        normalise="auto", min_expressed_fraction=0.2, genes="all", clip=2.0,
        mutation_encoding="binary", layout="genomic", seed=1,
    )  # fmt: skip
    classes = ["a", "b", "c"][:n_classes]
    pre = Preprocessor(genes, ["expression"], (1, 20), "log2", classes, settings)
    x = np.clip((raw - center) / scale, -2, 2)
    patients = np.arange(240).astype(str)
    (panel,) = fit_panels(x, y, patients, [4], PARAMS)
    found = table(panel, pre, cost_of_each(x, y, patients, panel, PARAMS))
    logits = np.tile(found["intercepts"], (240, 1))
    for feature in found["features"]:
        value = raw[:, int(feature["gene"][1:])]
        z = np.clip((value - feature["center"]) / feature["scale"], -found["clip"], found["clip"])
        logits += z[:, None] * feature["weights"]
    np.testing.assert_allclose(softmax(logits, axis=1), panel.predict_proba(x))
    assert found["classes"] == classes
    assert max(feature["cost"] for feature in found["features"]) > 0


def test_what_carries_the_label_alone_costs_most() -> None:
    x, y, patients = draw()
    (panel,) = fit_panels(x, y, patients, [3], PARAMS)
    costs = cost_of_each(x, y, patients, panel, PARAMS)
    assert panel.features[costs.argmax()] in (0, 1)


def test_labels_that_say_nothing_give_a_panel_that_says_nothing_of_others() -> None:
    areas = []
    for seed in range(12):
        x, y, patients = draw(seed=seed)
        y = np.random.default_rng(seed).permutation(y)
        train, other = np.arange(240) < 160, np.arange(240) >= 160
        (panel,) = fit_panels(x[train], y[train], patients[train], [8], PARAMS)
        areas.append(roc_auc_score(y[other], panel.predict_proba(x[other])[:, 1]))
    assert 0.45 < np.mean(areas) < 0.55


def test_the_smallest_size_within_one_standard_error_is_taken() -> None:
    noise = np.random.default_rng(4).standard_normal(100)
    losses = {5: 1.0 + 0 * noise, 10: 0.6 + 0.05 * noise, 20: 0.599 + 0 * noise}
    assert smallest_good(losses) == 10
    assert smallest_good(losses | {3: 0.6 + 0.05 * noise}) == 3
    assert smallest_good({50: noise}) == 50
