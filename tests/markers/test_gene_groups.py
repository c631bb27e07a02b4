"""Groups of genes: together they tell what none of them tells alone, and chance is no finding."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.core.params import BiomarkerParams
from oncopixel.markers import held_fixed
from oncopixel.markers.discovery import Hypotheses, discover, prepare_hypotheses
from oncopixel.markers.groups import _own_of_group, find_groups, group_table
from oncopixel.markers.held_fixed import Channel

PARAMS = BiomarkerParams(
    steps=32, tolerance=0.01, top=20, q=0.1, test="moderated_t", minimum_effect=0.0,
    permutations=19, seed=1,
)  # fmt: skip


def cohort(seed: int, *, strength: float) -> tuple[Hypotheses, np.ndarray]:
    """Ten programmes of eight genes each, of which the first makes the label, and other genes."""
    rng = np.random.default_rng(seed)
    programmes = rng.standard_normal((300, 10))
    x = rng.standard_normal((300, 300))
    x[:, :80] = 0.6 * x[:, :80] + programmes.repeat(8, axis=1)
    y = (rng.random(300) < 1 / (1 + np.exp(-strength * programmes[:, 0]))).astype(int)
    place = np.arange(300)
    genes = pd.DataFrame(
        {"gene": [f"G{i}" for i in place], "chromosome": "1", "start": 10_000 * place}
    )
    features = x[:, :, None].astype(np.float32)
    classes = ["control", "case"]
    return prepare_hypotheses(features, genes, ["expression"], classes, PARAMS), y


def test_genes_that_tell_nothing_alone_are_found_together() -> None:
    hypotheses, y = cohort(1, strength=2)
    (alone,) = discover(hypotheses, "beyond", y[None], PARAMS)
    assert not alone.selected[8:].any()
    table = group_table(hypotheses, y)
    assert table["n_genes"].iloc[0] == 8
    assert len(table) <= 2
    assert set(table.loc[0, "genes"].split()) == {f"G{i}" for i in range(8)}
    assert table.loc[0, "group"] == f"{table.loc[0, 'genes'].split()[0]}+7"
    assert table.loc[0, "q_value"] < 1e-4


def test_labels_that_say_nothing_give_no_group() -> None:
    tables = [group_table(*cohort(seed, strength=0)) for seed in range(12)]
    assert sum(len(table) > 0 for table in tables) <= 2


def test_groups_are_those_of_average_linkage_and_lone_genes_are_none() -> None:
    hypotheses, _ = cohort(2, strength=0)
    groups = find_groups(hypotheses.features[:, :, 0])
    assert [group.tolist() for group in groups if len(group) > 2] == [
        list(range(first, first + 8)) for first in range(0, 80, 8)
    ]
    assert min(map(len, groups)) >= 2
    assert find_groups(np.ones((5, 1))) == []


@pytest.mark.parametrize("copies", [False, True])
def test_what_is_a_group_s_own_is_what_a_ridge_regression_on_the_others_leaves(
    copies: bool,
) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((60, 90)).astype(np.float32)
    held = rng.standard_normal((60, 90)).astype(np.float32) if copies else None
    channel, group = Channel(x, np.zeros((60, 0)), held), np.array([4, 50, 51])
    prepared = held_fixed.prepare([channel], np.zeros((60, 0)), np.ones(60, dtype=bool))
    own = _own_of_group(prepared, channel, group)
    mine, others = prepared.first[:, group], np.delete(prepared.first, group, axis=1)
    component = mine @ np.linalg.svd(mine, full_matrices=False)[2][0]
    left = np.linalg.solve(others @ others.T + held_fixed.RIDGE * np.eye(60), component)
    assert abs(np.corrcoef(left, own)[0, 1]) > (0.9 if copies else 0.9999)


def test_without_expression_there_are_no_groups() -> None:
    hypotheses, y = cohort(4, strength=2)
    alone = prepare_hypotheses(
        hypotheses.features, hypotheses.genes, ["copy_number"], hypotheses.classes, PARAMS
    )
    assert group_table(alone, y).empty
