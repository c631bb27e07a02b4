"""`beyond`: a candidate's own is tested, all else is held fixed, and chance is no finding."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from oncopixel.markers import conditional, held_fixed
from oncopixel.markers.conditional import conditional_p_values
from oncopixel.markers.fdr import benjamini_hochberg
from oncopixel.markers.held_fixed import Channel, saddlepoint


def alone(x: np.ndarray) -> Channel:
    return Channel(x.astype(np.float32), np.zeros((len(x), 0)))


def p_of(
    channels: list[Channel], y: np.ndarray, n_classes: int = 2, held: np.ndarray | None = None
) -> np.ndarray:
    held = np.zeros((len(y), 0)) if held is None else held
    return conditional_p_values(channels, y[None], n_classes, held)[0]


def listed(p: np.ndarray) -> np.ndarray:
    return benjamini_hochberg(p) <= 0.1


def test_what_a_factor_shares_is_no_evidence_beyond_it() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(400) % 2
    factor = rng.standard_normal(400) + 1.5 * y
    x = rng.standard_normal((400, 300))
    x[:, :60] += factor[:, None]  # sixty genes follow a factor that follows the label
    x[:, 60:75] += 0.8 * y[:, None]  # fifteen genes follow the label themselves
    beyond = listed(p_of([alone(x)], y))
    assert beyond[:60].mean() < 0.1
    assert beyond[60:75].mean() > 0.6
    assert beyond[75:].mean() < 0.02


def test_a_strong_gene_is_found_and_not_those_that_only_follow_it() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 200))
    x[:, 1:20] = 0.7 * x[:, :1] + 0.7 * x[:, 1:20]
    y = (rng.random(400) < 1 / (1 + np.exp(-3 * x[:, 0]))).astype(int)
    assert np.flatnonzero(listed(p_of([alone(x)], y))).tolist() == [0]


def test_neither_of_two_that_cannot_be_told_apart_says_more_than_the_other() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 100))
    y = (x[:, 0] + 0.5 * rng.standard_normal(300) > 0).astype(int)
    assert listed(p_of([alone(x)], y))[0]
    x[:, 1] = x[:, 0] + 0.05 * rng.standard_normal(300)
    p = p_of([alone(x)], y)
    assert p[:2].min() > 1e-3
    assert not listed(p).any()


@pytest.mark.parametrize("flipped", [0.02, 0.1, 0.2])
def test_genes_that_follow_the_mutation_that_makes_the_label_are_not_beyond_it(
    flipped: float,
) -> None:
    rng = np.random.default_rng(16)
    events = (rng.random((400, 60)) < 0.2).astype(float)
    x = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 800))
    x += rng.standard_normal((400, 800))
    x[:, :5] += 3 * events[:, :1]  # its targets
    y = np.where(rng.random(400) < flipped, 1 - events[:, 0], events[:, 0]).astype(int)
    found = np.flatnonzero(listed(p_of([alone(x), alone(events)], y)))
    assert 800 in found
    assert not set(range(5)) & set(found)
    assert len(found) <= 2


def test_expression_is_judged_beyond_its_own_copy_number() -> None:
    rng = np.random.default_rng(4)
    copies = rng.standard_normal((300, 80)).astype(np.float32)
    x = (2 * copies + rng.standard_normal((300, 80))).astype(np.float32)
    y = (copies[:, :5].sum(axis=1) > 0).astype(int)
    nothing = np.zeros((300, 0))
    assert listed(p_of([Channel(x, nothing)], y))[:5].all()
    assert not listed(p_of([Channel(x, nothing, copies)], y)).any()


def test_the_burden_is_held_fixed_and_so_are_covariates() -> None:
    rng = np.random.default_rng(15)
    burden = rng.integers(0, 2, 400)
    x = (rng.random((400, 60)) < np.where(burden, 0.5, 0.1)[:, None]).astype(float)
    y = np.where(rng.random(400) < 0.9, burden, 1 - burden)
    fixed = Channel(x.astype(np.float32), burden[:, None].astype(float))
    assert not listed(p_of([fixed], y)).any()
    assert not listed(p_of([alone(x)], y, held=burden[:, None].astype(float))).any()
    x[:, 0] = np.where(rng.random(400) < 0.9, y, x[:, 0])
    assert np.flatnonzero(listed(p_of([alone(x)], y, held=burden[:, None]))).tolist() == [0]


def test_permuted_labels_give_uniform_p_values_in_every_channel_and_no_list() -> None:
    rng = np.random.default_rng(6)
    factors = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 400))
    runs = rng.standard_normal((200, 40)).repeat(5, axis=1) + 0.5 * rng.standard_normal((200, 200))
    events = (rng.random((200, 100)) < 0.15).astype(float)
    channels = [alone(factors + rng.standard_normal((200, 400))), alone(runs), alone(events)]
    y = np.arange(200) % 2
    labels = np.array([rng.permutation(y) for _ in range(40)])
    p = conditional_p_values(channels, labels, 2, np.zeros((200, 0)))
    for part in np.split(p, [400, 600], axis=1):
        assert 0.03 < (part < 0.05).mean() < 0.07
        assert (part < 0.001).mean() < 0.002
    assert sum(listed(one).any() for one in p) <= 8  # 4 of 40 are expected, and two standard errors


def test_rare_events_in_a_small_class_are_not_called_too_often() -> None:
    rng = np.random.default_rng(7)
    x = (rng.random((300, 2_000)) < 0.015).astype(float)
    x = x[:, x.sum(axis=0) >= 3]
    labels = np.array([rng.permutation(np.arange(300) < 30) for _ in range(10)]).astype(int)
    p = conditional_p_values([alone(x)], labels, 2, np.zeros((300, 0)))
    assert (p < 1e-2).mean() < 1.5e-2
    assert (p < 1e-3).mean() < 2e-3
    assert (p < 1e-4).mean() < 4e-4


@pytest.mark.parametrize(("size", "rate"), [(5, 0.05), (10, 0.1), (30, 0.05)])
def test_a_small_class_gives_no_list_by_chance(size: int, rate: float) -> None:
    rng = np.random.default_rng(17)
    events = (rng.random((300, 1_000)) < rate).astype(float)
    heavy = rng.standard_t(3, (300, 300))
    labels = np.array([rng.permutation(np.arange(300) < size) for _ in range(8)]).astype(int)
    p = conditional_p_values([alone(heavy), alone(events)], labels, 2, np.zeros((300, 0)))
    assert np.nanmean(p < 1e-3) < 2e-3
    assert sum(listed(one).any() for one in p) <= 3


def test_several_classes_pay_for_their_number() -> None:
    rng = np.random.default_rng(18)
    x = rng.standard_normal((150, 400))
    labels = np.array([rng.permutation(np.arange(150) % 3) for _ in range(6)])
    p = conditional_p_values([alone(x)], labels, 3, np.zeros((150, 0)))
    assert 0.03 < (p < 0.05).mean() < 0.06
    assert (p >= 0.999).mean() > 0.05


@pytest.mark.parametrize("n_genes", [1, 3, 20])
def test_a_channel_of_few_candidates_is_not_taken_for_an_inflated_one(n_genes: int) -> None:
    rng = np.random.default_rng(19)
    x = rng.standard_normal((400, 300))
    events = (rng.random((400, n_genes)) < 0.3).astype(float)
    y = (rng.random(400) < np.where(events[:, 0], 0.8, 0.4)).astype(int)
    found = np.flatnonzero(listed(p_of([alone(x), alone(events)], y)))
    assert 300 in found
    assert len(found) <= 2
    assert p_of([alone(events)], y)[0] < 1e-4


def test_what_never_varies_does_not_hide_that_scores_are_inflated() -> None:
    z = np.concatenate([np.full(600, np.nan), 1.5 * np.random.default_rng(20).standard_normal(400)])
    p = 2 * norm.sf(np.abs(z))
    found = held_fixed.control(z, p, [slice(0, 1000)])
    assert np.isnan(found[:600]).all()
    assert (found[600:] < 0.05).mean() < 0.09 < (p[600:] < 0.05).mean()


def test_the_saddlepoint_is_the_exact_tail_of_events_and_the_normal_of_values() -> None:
    rng = np.random.default_rng(8)
    n, chance = 500, 0.1
    event = (np.arange(n) < 20).astype(float)
    x = np.column_stack([event, rng.standard_normal(n)])
    y = np.zeros(n)
    y[:9] = 1  # nine of the twenty where two are expected
    y[rng.choice(np.arange(20, n), 41, replace=False)] = 1
    one = np.ones((n, 1))
    p = saddlepoint(x, one, np.full(n, chance), y)
    exact = binom(20, chance)
    assert exact.sf(9) < p[0] < exact.sf(8)  # it knows no steps
    x -= x.mean(axis=0)
    z = (y - chance) @ x / np.sqrt(chance * (1 - chance) * (x**2).sum(axis=0))
    assert p[0] > 100 * 2 * norm.sf(abs(z[0]))
    assert p[1] == pytest.approx(2 * norm.sf(abs(z[1])), rel=0.05)


@pytest.mark.parametrize(("n", "m"), [(80, 30), (40, 200), (1_000, 5)])
@pytest.mark.parametrize("firmly", [[], [1]])
def test_leaving_a_candidate_out_is_as_if_it_had_never_been_there(
    n: int, m: int, firmly: list[int]
) -> None:
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((n, m)), (np.arange(n) % 2).astype(float)
    prepared = held_fixed.prepare([alone(x)], np.zeros((n, 0)), np.ones(n, dtype=bool))
    z, broad = conditional._by_all(prepared, y, slice(None), firmly)
    assert broad.all() or n < 100
    free, own = prepared.free.astype(float), prepared.own.astype(float)
    basis = np.linalg.qr(np.column_stack([np.ones(n), prepared.values[:, firmly]]))[0]
    without = np.eye(n) - basis @ basis.T
    for j in (0, 3, m - 1):
        others = np.delete(free, j, axis=1)
        precision = np.linalg.inv(others @ others.T + held_fixed.RIDGE * np.eye(n))
        residual = precision @ free[:, j]
        assert abs(np.corrcoef(residual, own[:, j])[0, 1]) == pytest.approx(1, abs=1e-4)
        left = np.linalg.inv(without @ others @ others.T @ without + np.eye(n)) @ (without @ y)
        mine = without @ own[:, j]
        size = mine @ mine * (left @ left) / (n - basis.shape[1])
        assert z[j] == pytest.approx(mine @ left / np.sqrt(size), rel=2e-2)


def test_a_labelling_has_the_same_p_values_alone_and_among_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(10)
    channels = [alone(rng.standard_normal((120, 60)))]
    labels = np.array([rng.permutation(np.arange(120) % 2) for _ in range(5)])
    labels[3:, :20] = -1
    nothing = np.zeros((120, 0))
    together = conditional_p_values(channels, labels, 2, nothing)
    monkeypatch.setattr(conditional, "LABELLINGS", 1)
    monkeypatch.setattr(conditional, "THREADS", 1)
    np.testing.assert_array_equal(together, conditional_p_values(channels, labels, 2, nothing))
    one_by_one = [p_of(channels, label) for label in labels]
    np.testing.assert_array_equal(together, one_by_one)


def test_samples_that_take_no_part_change_nothing_nor_does_the_order_of_the_others() -> None:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((240, 50)).astype(np.float32)
    y = np.where(np.arange(240) < 180, np.arange(240) % 2, -1)
    x[:, 0] += y
    before = p_of([alone(x)], y)
    turned = rng.permutation(240)
    np.testing.assert_allclose(p_of([alone(x[turned])], y[turned]), before, rtol=1e-2)
    x[180:] = 99
    np.testing.assert_array_equal(p_of([alone(x)], y), before)


@pytest.mark.parametrize("marked", [0, 1, 2])
def test_every_class_is_set_against_the_rest(marked: int) -> None:
    rng = np.random.default_rng(12)
    y = np.arange(150) % 3
    x = rng.standard_normal((150, 40))
    x[:, 7] += 2 * (y == marked)
    assert np.flatnonzero(listed(p_of([alone(x)], y, 3))).tolist() == [7]


def test_nothing_is_found_where_one_class_is_missing_or_nothing_varies() -> None:
    x = np.random.default_rng(13).standard_normal((60, 30))
    assert np.isnan(p_of([alone(x)], np.zeros(60, dtype=int))).all()
    x[:, 3] = 5
    p = p_of([alone(x)], np.arange(60) % 2)
    assert np.flatnonzero(np.isnan(p)).tolist() == [3]


def test_p_values_are_combined_without_loss_at_either_end() -> None:
    p = np.array([1e-250, 1e-20, 1e-3, 0.5])
    np.testing.assert_allclose(held_fixed.combined(p, p), p, rtol=1e-6)
    np.testing.assert_allclose(held_fixed.combined(p, np.ones(4))[:3], 2 * p[:3], rtol=0.2)
