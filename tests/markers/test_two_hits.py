"""Two hits: found where no single test sees them, and nowhere else."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.markers.two_hits import MIN_MUTATED, two_hit_table

CLASSES = ["control", "case"]


def labels(n: int = 400) -> np.ndarray:
    return np.arange(n) % 2


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


def test_of_several_classes_each_is_set_against_the_rest() -> None:
    rng = np.random.default_rng(6)
    y = np.arange(600) % 3
    copies, mutated = rng.standard_normal((600, 3)), 1.0 * (rng.random((600, 3)) < 0.4)
    mutated[y == 2, 1] = copies[y == 2, 1] < 0
    table = two_hit_table(copies, mutated, y, list("ABC"), ["a", "b", "c"])
    best = table.loc[table["p_value"].idxmin()]
    assert (best["gene"], best["class"]) == ("B", "c")
    each = [
        two_hit_table(copies, mutated, (y == k).astype(int), list("ABC"), ["rest", "one"])
        for k in range(3)
    ]
    smallest = np.min([one["p_value"] for one in each], axis=0)
    np.testing.assert_allclose(table["p_value"], np.minimum(1, 3 * smallest))


def test_nothing_to_test_gives_an_empty_table() -> None:
    zeros = np.zeros((400, 2))
    assert two_hit_table(zeros, zeros, labels(), ["A", "B"], CLASSES).empty
