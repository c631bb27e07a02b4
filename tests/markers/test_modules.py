"""Modules: which go with the label, and what they are called by."""

import numpy as np

from oncopixel.images.coexpression import find_modules
from oncopixel.markers.modules import alike, module_table


def test_modules_are_tested_for_association_and_named_by_their_genes() -> None:
    rng = np.random.default_rng(5)
    y = np.arange(400) % 2
    x = 0.5 * rng.standard_normal((400, 20))
    x[:, :10] += rng.standard_normal((400, 1)) + 0.8 * y[:, None]
    x[:, 10:] += rng.standard_normal((400, 1))
    modules = find_modules(x)
    table = module_table(
        modules, modules.activity(x), y, [f"G{i}" for i in range(20)], ["control", "case"]
    )
    assert table["n_genes"].tolist() == [10, 10]
    moved = table[table["q_value"] <= 0.01]
    assert len(moved) == 1
    assert set(moved["leading_genes"].item().split()) == {f"G{i}" for i in range(10)}
    assert moved["effect"].item() > 0.4


def test_what_a_gene_is_hardly_told_from() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((200, 12, 2))
    noise = 0.1 * np.arange(8) * rng.standard_normal((200, 8))
    x[:, :8, 0] = x[:, :1, 0] * [1, 1, -1, 1, 1, 1, 1, 1] + noise
    listed = np.zeros((12, 2), bool)
    listed[[0, 10], 0] = listed[0, 1] = True
    table = alike(5 + 3 * x, listed.ravel(), [f"G{i}" for i in range(12)])
    assert table["n_alike"].tolist() == [7, *[0] * 23]
    assert table["alike"].tolist() == ["G1 G2 G3 G4 G5", *[""] * 23]
    nothing = alike(x, np.zeros(24, bool), [f"G{i}" for i in range(12)])
    assert not nothing["n_alike"].any()
