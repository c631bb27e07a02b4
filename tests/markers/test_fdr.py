"""Knockoff+, e-values and q-values: known cases, and the promise on data that say nothing."""

import numpy as np
import pytest

from oncopixel.markers.fdr import (
    LEVELS,
    benjamini_hochberg,
    e_bh,
    e_values,
    knockoff_threshold,
    q_values,
    select,
)


def test_threshold_is_the_least_that_keeps_the_estimate_below_q() -> None:
    w = np.array([9.0, 8, 7, 6, 5, 4, 3, 2, 1, -0.5])
    assert knockoff_threshold(w, 0.2) == 1  # (1 + 0) / 9 there, (1 + 1) / 9 at 0.5
    assert knockoff_threshold(np.append(w, -5.5), 0.2) == np.inf  # (1 + 0) / 4 at 6
    assert knockoff_threshold(np.append(w, -5.5), 0.3) == 1  # (1 + 1) / 9
    assert knockoff_threshold(np.append(w, -5.5), 0.25) == 1
    assert knockoff_threshold(np.append(w, [-5.5, -1.5]), 0.25) == 2  # (1 + 1) / 8


def test_a_list_needs_one_over_q_candidates_and_fewer_with_more_decoys() -> None:
    w = np.arange(1.0, 10)
    assert knockoff_threshold(w, 0.1) == np.inf
    assert knockoff_threshold(np.arange(1.0, 11), 0.1) == 1
    assert knockoff_threshold(np.arange(1.0, 4), 0.1, decoys=4) == 1
    assert knockoff_threshold(np.arange(1.0, 3), 0.1, decoys=4) == np.inf


def test_zeros_and_empty_input_select_nothing() -> None:
    assert knockoff_threshold(np.zeros(50), 0.1) == np.inf
    assert not select(np.zeros((3, 50)), 0.1).any()
    assert not e_bh(np.zeros(0), 0.1).any()


def test_e_values_are_those_of_the_paper() -> None:
    w = np.array([5.0, 4, 3, 2, 1, -1, -2])  # t = 2: (1 + 1) / 4 there, (1 + 2) / 5 at 1
    np.testing.assert_allclose(e_values(w, 0.5), [3.5, 3.5, 3.5, 3.5, 0, 0, 0])  # 7 / (1 + 1)
    np.testing.assert_allclose(e_values(w, 0.25, decoys=2), [7, 7, 7, 7, 0, 0, 0])


def test_e_values_sum_to_at_most_their_number_on_average_under_the_null() -> None:
    rng = np.random.default_rng(1)
    sums = [e_values(rng.standard_normal(200), 0.3).sum() / 200 for _ in range(2_000)]
    assert np.mean(sums) <= 1 + 3 * np.std(sums) / np.sqrt(len(sums))


@pytest.mark.parametrize("decoys", [1, 4])
def test_false_discoveries_are_controlled_and_signals_found(decoys: int) -> None:
    rng = np.random.default_rng(2)
    proportions, found = [], []
    for _ in range(200):
        scores = np.abs(rng.standard_normal((3, 1 + decoys, 300)))
        scores[:, 0, :40] += 3
        order = np.sort(scores, axis=1)
        w = np.where(scores[:, 0] >= order[:, -1], 1, -1) * (
            order[:, -1] - np.median(order[:, :-1], axis=1)
        )
        chosen = select(w, 0.2, decoys)
        proportions.append(chosen[40:].sum() / max(1, chosen.sum()))
        found.append(chosen[:40].mean())
    assert np.mean(proportions) <= 0.2
    assert np.mean(found) > 0.5


def test_q_values_are_the_first_level_that_selects() -> None:
    rng = np.random.default_rng(3)
    w = rng.standard_normal((4, 100))
    w[:, :30] += 6
    q = q_values(w, 0.07)
    assert set(q) <= {*LEVELS, 0.07, 1.0}
    for level in (*LEVELS, 0.07):
        assert not (select(w, level) & (q > level)).any()
    assert (q[:30] < 0.2).mean() > 0.9
    assert np.median(q[30:]) == 1


def test_one_draw_is_knockoff_plus_and_order_does_not_matter() -> None:
    w = np.random.default_rng(4).standard_normal((1, 80)) + 0.8
    assert (select(w, 0.3) == (w[0] >= knockoff_threshold(w[0], 0.3))).all()
    turned = np.random.default_rng(5).permutation(80)
    assert (select(w[:, turned], 0.3) == select(w, 0.3)[turned]).all()


def test_benjamini_hochberg_leaves_untested_out() -> None:
    q = benjamini_hochberg(np.array([0.01, np.nan, 0.04, 0.5]))
    assert q[0] == pytest.approx(0.03)
    assert np.isnan(q[1])
    assert q[2] == pytest.approx(0.06)
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
