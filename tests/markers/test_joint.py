"""Joint discoveries: pairs and two hits that no single test sees, and no false ones."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oncopixel.images.coexpression import find_modules
from oncopixel.markers.joint import (
    MIN_CLASS,
    MIN_MUTATED,
    _slopes_differ,
    module_table,
    pair_table,
    two_hit_table,
)

CLASSES = ["control", "case"]


def labels(n: int = 400) -> np.ndarray:
    return np.arange(n) % 2


def xor(y: np.ndarray, seed: int = 1) -> np.ndarray:
    """`(samples, 6)` activities; 0 and 1 agree in cases and differ in controls."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((len(y), 6))
    z[:, 1] = np.abs(z[:, 1]) * np.sign(z[:, 0]) * np.where(y == 1, 1, -1)
    return z


def test_a_pair_is_found_though_neither_activity_tells_the_class() -> None:
    y = labels()
    table = pair_table(xor(y), y, CLASSES)
    assert len(table) == 15
    found = table[table["q_value"] <= 0.05]
    assert list(zip(found["module"], found["other"], strict=True)) == [("M1", "M2")]
    assert found["class"].item() == "case"
    assert found["effect"].item() > 0.8


def test_two_activities_that_both_move_with_the_label_are_no_pair() -> None:
    y = labels()
    z = np.random.default_rng(2).standard_normal((len(y), 6)) + 1.5 * y[:, None]
    assert (pair_table(z, y, CLASSES)["q_value"] > 0.05).all()


def test_activities_that_move_in_the_same_part_of_a_class_are_no_pair_among_themselves() -> None:
    y = labels()
    z = np.random.default_rng(2).standard_normal((len(y), 6))
    z[:, :2] += 3.0 * (y * (np.arange(len(y)) % 4 == 1))[:, None]
    z[:, 3] = np.where(y == 1, z[:, 0], z[:, 3])  # and one that does not move, but joins in there
    z[y == 1, 3] -= z[y == 1, 3].mean()
    table = pair_table(z, y, CLASSES)
    assert np.corrcoef(z[y == 1, :2].T)[0, 1] > 0.5
    found = table.loc[table["q_value"] <= 0.01, ["module", "other"]]
    assert found.to_numpy().tolist() == [["M1", "M4"], ["M2", "M4"]]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(200, 200), (300, 20), (300, MIN_CLASS)])
def test_labels_that_say_nothing_give_pairs_no_more_often_than_q(n: int, m: int) -> None:
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], [n, m])
    hits = []
    for _ in range(100):
        z = rng.standard_normal((n + m, 1)) + rng.standard_normal((n + m, 100))
        hits.append((pair_table(z, y, CLASSES)["q_value"] <= 0.01).any())
    assert np.mean(hits) <= 0.04  # 0.01 and 3 standard errors


def test_a_class_of_few_samples_gives_no_pair() -> None:
    y = np.repeat([0, 1], [400, MIN_CLASS - 1])
    z = np.random.default_rng(4).standard_normal((len(y), 100))
    z[y == 1] = z[y == 1][:, :1] + 1e-3 * z[y == 1]
    assert (pair_table(z, y, CLASSES)["p_value"] == 1).all()
    z = np.vstack([z, z[-1:]])
    assert (pair_table(z, np.append(y, 1), CLASSES)["p_value"] < 1e-9).all()


def test_heavy_tails_of_a_small_class_make_no_pair() -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [387, 44])
    z = rng.standard_t(3, (431, 20)) * np.where(y == 1, 3, 1)[:, None]
    assert (pair_table(z, y, CLASSES)["q_value"] > 0.01).all()


def share_of_cohorts_with_a_pair(draw: Callable[[np.random.Generator], np.ndarray]) -> float:
    """Of 40 cohorts of 400 samples, for the share of q that pairs get by default."""
    found = [
        (pair_table(draw(np.random.default_rng(seed)), labels(), CLASSES)["q_value"] <= 0.01).any()
        for seed in range(40)
    ]
    return float(np.mean(found))


def test_heavy_tails_that_all_activities_share_make_no_pair() -> None:
    def draw(rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((400, 60)) * np.exp(0.7 * rng.standard_normal((400, 1)))

    assert share_of_cohorts_with_a_pair(draw) <= 0.025


def test_heavy_tails_that_all_share_make_a_pair_seldom_in_a_small_class() -> None:
    y = np.repeat([0, 1], [300, MIN_CLASS])
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((len(y), 60)) * np.exp(0.7 * rng.standard_normal((len(y), 1)))
        found += (pair_table(z, y, CLASSES)["q_value"] <= 0.01).any()
    assert found <= 6  # about 20 by slopes alone


def test_a_slope_that_hangs_on_one_sample_is_no_evidence() -> None:
    rng = np.random.default_rng(11)
    p = []
    for _ in range(200):
        inside, outside = rng.standard_normal((20, 2)), rng.standard_normal((100, 2))
        inside[:, 0] = np.arange(20) == rng.integers(20)
        p.append(_slopes_differ(inside, outside)[0, 1])
    assert np.min(p) > 0.99


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("spread", [False, True])
def test_an_activity_that_moves_or_spreads_in_part_of_a_class_makes_no_pair(
    spread: bool, place: int
) -> None:
    def draw(rng: np.random.Generator) -> np.ndarray:
        common, own = rng.standard_normal((400, 1)), rng.standard_normal((400, 12))
        if spread:
            own[labels() == 1, place] *= 2.5
        z = np.sqrt(0.6) * common + np.sqrt(0.4) * own
        if not spread:
            z[:, place] += 3 * labels() * (rng.random(400) < 0.3)
        return z

    assert share_of_cohorts_with_a_pair(draw) <= 0.025


def test_slopes_are_compared_with_the_variances_of_hc3() -> None:
    rng = np.random.default_rng(8)
    parts = [rng.standard_normal((n, 2)) * np.exp(rng.standard_normal((n, 1))) for n in (40, 25)]
    slopes, variances = [], []
    for part in parts:
        design = np.column_stack([np.ones(len(part)), part[:, 0]])
        bread = np.linalg.inv(design.T @ design)
        beta = bread @ design.T @ part[:, 1]
        left = part[:, 1] - design @ beta
        left /= 1 - np.einsum("ij,jk,ik->i", design, bread, design)
        covariance = bread @ (design.T * left**2) @ design @ bread
        slopes.append(beta[1])
        variances.append(covariance[1, 1])
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 38 + variances[1] ** 2 / 23)
    t = abs(slopes[0] - slopes[1]) / np.sqrt(sum(variances))
    p = _slopes_differ(*parts)
    np.testing.assert_allclose(p[0, 1], 2 * stats.t.sf(t, freedom))
    assert p[0, 1] != p[1, 0]


def test_two_hits_are_found_where_loss_and_mutation_meet_in_one_class_only() -> None:
    rng = np.random.default_rng(4)
    y = labels()
    loss, mutated = -1.0 * (rng.random((400, 5)) < 0.3), 1.0 * (rng.random((400, 5)) < 0.3)
    mutated[y == 1, 0] = -loss[y == 1, 0]
    mutated[y == 0, 0] = (loss[y == 0, 0] == 0) & (rng.random((y == 0).sum()) < 0.4)
    mutated[:, 4] = 0
    mutated[:4, 4] = 1
    table = two_hit_table(loss, mutated, y, list("ABCDE"), CLASSES)
    assert table["gene"].tolist() == list("ABCD")  # E is hardly mutated
    assert table.loc[table["q_value"] <= 0.05, "gene"].tolist() == ["A"]


def test_losses_and_mutations_that_are_both_more_frequent_in_a_class_are_no_two_hits() -> None:
    rng = np.random.default_rng(7)
    y = (np.arange(400) % 4 == 1).astype(int)
    copies = rng.standard_normal((400, 5)) - 1.5 * y[:, None]
    mutated = 1.0 * (rng.random((400, 5)) < 0.3 + 0.4 * y[:, None])
    table = two_hit_table(copies, mutated, y, list("ABCDE"), CLASSES)
    assert table["gene"].tolist() == list("ABCDE")
    assert (table["q_value"] > 0.05).all()


def test_a_gene_mutated_more_often_in_a_class_at_the_same_odds_is_no_two_hits() -> None:
    rng = np.random.default_rng(7)
    y = labels()
    copies = rng.standard_normal((400, 200))
    odds = np.where(y == 1, 0.5, 0.1)[:, None] * np.exp(-copies)
    mutated = 1.0 * (rng.random(copies.shape) < odds / (1 + odds))
    table = two_hit_table(copies, mutated, y, [f"G{i}" for i in range(200)], CLASSES)
    assert len(table) == 200
    assert (table["q_value"] > 0.05).all()


@pytest.mark.parametrize("of_copies", [False, True])
def test_copies_that_spread_more_widely_in_a_class_are_no_two_hits(of_copies: bool) -> None:
    """Whether the odds of a mutation go with the copies or with their place in their class."""
    rng = np.random.default_rng(12)
    y = labels()
    place = rng.standard_normal((400, 200))
    copies = place * np.where(y == 1, 2, 1)[:, None]
    odds = 0.25 * np.exp(-(copies if of_copies else place))
    mutated = 1.0 * (rng.random(copies.shape) < odds / (1 + odds))
    table = two_hit_table(copies, mutated, y, [f"G{i}" for i in range(200)], CLASSES)
    assert len(table) == 200
    assert (table["q_value"] > 0.01).all()


def test_a_gene_with_too_few_mutated_or_other_samples_in_a_class_is_not_tested() -> None:
    y = np.repeat([0, 1, 2], 60)
    place = np.arange(180) % 60
    rows = {"few": place < 4, "enough": place < 5, "most": place < 55, "nearly all": place < 56}
    rows |= {"few in one class": np.where(y == 1, place < 4, place < 20)}
    mutated = np.array(list(rows.values())).T.astype(float)
    copies = np.random.default_rng(13).standard_normal(mutated.shape)
    table = two_hit_table(copies, mutated, y, list(rows), ["a", "b", "c"])
    assert table["gene"].tolist() == ["enough", "most"]
    scaled = (mutated - mutated.mean(axis=0)) / mutated.std(axis=0)
    again = two_hit_table(copies, scaled, y, list(rows), ["a", "b", "c"])
    pd.testing.assert_frame_equal(table, again)


def test_copies_that_are_the_same_in_all_of_a_small_group_are_no_evidence() -> None:
    rng = np.random.default_rng(9)
    y = np.repeat([0, 1], [300, 60])
    copies = 1.0 * (rng.random((360, 100)) < 0.1)
    mutated = np.zeros((360, 100))
    mutated[::12] = 1  # 25 and 5 samples: in the small class often all without a gain
    small = (y == 1) & (mutated[:, 0] == 1)
    assert small.sum() == MIN_MUTATED
    assert (copies[small].std(axis=0) == 0).sum() > 20
    table = two_hit_table(copies, mutated, y, [f"G{i}" for i in range(100)], CLASSES)
    assert len(table) == 100
    assert (table["p_value"] > 0.001).all()
    same = two_hit_table(0 * copies, mutated, y, [f"G{i}" for i in range(100)], CLASSES)
    assert (same["p_value"] == 1).all()


def test_the_effect_of_two_hits_is_in_sds_whatever_the_rate_of_mutations() -> None:
    rng = np.random.default_rng(10)
    y = np.arange(40_000) % 2
    mutated = 1.0 * (rng.random((40_000, 2)) < [0.1, 0.5])
    copies = 3 * (rng.standard_normal((40_000, 2)) - 0.8 * mutated * y[:, None] + 0.2 * mutated)
    table = two_hit_table(copies, mutated, y, ["A", "B"], CLASSES)
    np.testing.assert_allclose(table["effect"], -0.8, atol=0.08)


def test_modules_are_tested_for_association_and_named_by_their_genes() -> None:
    rng = np.random.default_rng(5)
    y = labels()
    x = 0.5 * rng.standard_normal((400, 20))
    x[:, :10] += rng.standard_normal((400, 1)) + 0.8 * y[:, None]
    x[:, 10:] += rng.standard_normal((400, 1))
    modules = find_modules(x)
    table = module_table(modules, modules.activity(x), y, [f"G{i}" for i in range(20)], CLASSES)
    assert table["n_genes"].tolist() == [10, 10]
    moved = table[table["q_value"] <= 0.01]
    assert len(moved) == 1
    assert set(moved["leading_genes"].item().split()) == {f"G{i}" for i in range(10)}
    assert moved["effect"].item() > 0.4


def test_of_several_classes_each_is_set_against_the_rest() -> None:
    y = np.arange(450) % 3
    z = np.random.default_rng(6).standard_normal((450, 3))
    z[y == 2, 1] = z[y == 2, 0]
    table = pair_table(z, y, ["a", "b", "c"])
    best = table.loc[table["p_value"].idxmin()]
    assert (best["module"], best["other"], best["class"]) == ("M1", "M2", "c")
    each = [pair_table(z, (y == k).astype(int), ["rest", "one"])["p_value"] for k in range(3)]
    np.testing.assert_allclose(table["p_value"], np.minimum(1, 3 * np.min(each, axis=0)))


def test_nothing_to_test_gives_empty_tables() -> None:
    y = labels()
    assert pair_table(np.zeros((400, 1)), y, CLASSES).empty
    assert two_hit_table(np.zeros((400, 2)), np.zeros((400, 2)), y, ["A", "B"], CLASSES).empty
