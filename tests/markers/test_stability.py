"""Resamples keep patients whole and classes in proportion; selections are summed up right."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.markers.stability import (
    frequencies,
    nogueira,
    resamples,
    summary,
    top_candidates,
)


@pytest.fixture
def cohort():
    """60 patients with class 1, 20 with class 0, 10 with both; some have several samples."""
    rows = [(f"a{i:02d}", 1) for i in range(60)] + [(f"b{i:02d}", 0) for i in range(20)]
    rows += [(f"c{i:02d}", k) for i in range(10) for k in (0, 1)] + [("a07", 1), ("b03", 0)]
    table = pd.DataFrame(rows, columns=["patient", "y"]).sample(frac=1, random_state=1)
    return table["patient"].to_numpy(dtype=str), table["y"].to_numpy()


def test_a_draw_keeps_whole_patients_of_every_kind_alike(cohort):
    patients, y = cohort
    draws = resamples(patients, y, 25, 0.8, seed=1)
    assert draws.shape == (25, len(y))
    for kept in draws:
        assert not set(patients[kept]) & set(patients[~kept])
        first = pd.Series(np.unique(patients[kept])).str[0].value_counts()
        assert first.to_dict() == {"a": 48, "b": 16, "c": 8}


def test_draws_differ_and_leave_every_patient_out_at_times(cohort):
    patients, y = cohort
    draws = resamples(patients, y, 80, 0.8, seed=1)
    assert len(np.unique(draws, axis=0)) == 80
    assert not draws.all(axis=0).any()
    assert draws.any(axis=0).all()


def test_draws_are_of_patients_not_of_the_order_of_samples(cohort):
    patients, y = cohort
    draws = resamples(patients, y, 5, 0.8, seed=1)
    assert (resamples(patients, y, 3, 0.8, seed=1) == draws[:3]).all()  # more draws: the same first
    assert (resamples(patients, y, 5, 0.8, seed=2) != draws).any()
    order = np.random.default_rng(0).permutation(len(y))
    assert (resamples(patients[order], y[order], 5, 0.8, seed=1) == draws[:, order]).all()


def test_the_rarest_class_is_in_every_draw():
    y = np.array([0] * 30 + [1] * 2 + [2])
    patients = np.array([f"p{i}" for i in range(33)])
    for kept in resamples(patients, y, 20, 0.3, seed=1):
        assert set(y[kept]) == {0, 1, 2}


def lists(rng, noise, n=20):
    """Selections of ten out of 200 candidates by a fixed signal with this much noise."""
    signal = np.linspace(0, 1, 200)
    scores = [(signal + noise * rng.normal(size=200)).reshape(100, 2).clip(0) for _ in range(n)]
    genes, channels = [f"G{i:03d}" for i in range(100)], ["expression", "mutation"]
    candidates = pd.MultiIndex.from_product([genes, channels], names=["gene", "channel"])
    return top_candidates(pd.DataFrame([s.ravel() for s in scores], columns=candidates), 10)


def test_summary_and_frequencies():
    rng = np.random.default_rng(0)
    selections = {"steady": lists(rng, 0.0), "fair": lists(rng, 0.05), "noise": lists(rng, 100.0)}
    found = summary(selections, 10)
    assert (found["resamples"], found["top"]) == (20, 10)
    index = {name: method["index"] for name, method in found["methods"].items()}
    assert index["steady"] == pytest.approx(1)
    assert 0.3 < index["fair"] < 0.95
    assert found["methods"]["noise"]["low"] < 0.1
    assert index["noise"] < 0.15
    assert found["methods"]["fair"]["mean_size"] == 10
    assert index["fair"] == nogueira(selections["fair"].to_numpy()).index

    table = frequencies(selections)
    assert list(table) == ["gene", "channel", "steady", "fair", "noise"]
    assert len(table) == 200
    assert table["steady"].isin([0, 1]).all()
    assert table[["steady", "fair", "noise"]].sum().to_list() == pytest.approx([10, 10, 10])
    best = table.set_index(["gene", "channel"])["steady"]
    assert best["G099", "mutation"] == 1
    assert best["G000", "mutation"] == 0
