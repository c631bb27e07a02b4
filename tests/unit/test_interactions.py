"""Joint discoveries: pairs and two hits that no single test sees, and no false ones."""

import numpy as np
import pytest

from oncopixel.interactions import MIN_CLASS, module_table, pair_table, two_hit_table
from oncopixel.modules import find_modules

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
