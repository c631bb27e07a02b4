"""The list on simulated cohorts: what is planted is found, what merely moves along is not."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import (
    BiomarkerParams,
    Claim,
    CohortParams,
    PreprocessParams,
    SimulatedSource,
)
from oncopixel.images.preprocessing import features, fit
from oncopixel.markers.fdr import select
from oncopixel.markers.search import (
    Search,
    calibration,
    discover,
    listed,
    q_of_rows,
    realised,
    search,
    spread,
    statistics,
)
from oncopixel.sources.simulated import simulate

PARAMS = BiomarkerParams(
    steps=32, tolerance=0.01, top=20, q=0.1, draws=4, decoys=4, permutations=4,
    repeat_draws=2,
    seed=1,
)  # fmt: skip
PREPROCESS = PreprocessParams(
    normalise="auto", min_expressed_fraction=0.2, genes="top_variance", clip=6.0,
    mutation_encoding="binary", layout="genomic", seed=1,
)  # fmt: skip


@cache
def prepared(**changes: object) -> tuple[Search, np.ndarray, pd.DataFrame]:
    """A cohort's search space, its labels, and its truth."""
    settings = {"n_samples": 400, "n_genes": 800, "n_markers": 60, "penetrance": 0.5} | changes
    source = SimulatedSource(kind="simulated", seed=3, **settings)
    entry = CohortParams(
        source=source, inputs="-", label="column:status", positive="case",
        channels=["expression", "copy_number", "mutation"], image=[30, 30],
    )  # fmt: skip
    cohort = label_cohort(simulate(source), entry)
    assert cohort.truth is not None
    pre = fit(cohort, PREPROCESS, channels=entry.channels, image=entry.shape)
    x = features(pre, cohort)
    space = search(x, pre.genes, pre.channels, cohort.classes, PARAMS)
    return space, cohort.y.astype(int), cohort.truth


def statistic(space: Search, claim: str, y: np.ndarray) -> np.ndarray:
    return statistics(space, claim, y[None], PARAMS.draws, PARAMS)[0]


def test_planted_markers_are_listed_with_few_others() -> None:
    space, y, truth = prepared()
    found = discover(space, y, statistic(space, "beyond", y), PARAMS)
    scores = realised(space, truth, found.found_by != "")
    assert scores["fdp"] <= 0.15
    assert scores["power"] >= 0.5
    assert set(found.found_by) <= {"", "gene", "segment", "pair", "two_hits"}
    assert found.units["selected"].sum() >= 20


def test_joint_markers_that_no_gene_shows_alone_are_listed() -> None:
    space, y, truth = prepared(nonlinear=True)
    found = discover(space, y, statistic(space, "beyond", y), PARAMS)
    scores = realised(space, truth, found.found_by != "")
    assert scores["power_xor"] >= 0.5
    assert scores["power_loss_and_mutation"] >= 0.3
    assert scores["fdp"] <= 0.15
    kinds = found.interactions["kind"].value_counts()
    assert kinds["pair"] == 1


def test_modules_that_move_with_the_label_are_associated_but_nothing_beyond() -> None:
    space, y, truth = prepared(moving_modules=2, moving_shift=1.5)
    planted = truth[truth["channel"] == "expression"]["gene"]
    expression = space.rows.get_level_values("channel") == "expression"
    other = expression & ~space.rows.get_level_values("gene").isin(planted)
    lists = {
        claim: q_of_rows(space, statistic(space, claim, y), PARAMS) <= PARAMS.q
        for claim in ("beyond", "associated")
    }
    assert lists["associated"][other].sum() >= 20
    assert lists["beyond"][other].sum() <= 5
    found = discover(space, y, statistic(space, "beyond", y), PARAMS)
    assert (found.modules["q_value"] <= 0.01).sum() >= 2
    assert realised(space, truth, found.found_by != "")["fdp"] <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["beyond", "associated"])
def test_permuted_labels_seldom_give_a_list_though_modules_move_by_chance(claim: Claim) -> None:
    space, y, _ = prepared(moving_modules=2, moving_shift=1.5)
    rng = np.random.default_rng(1)
    labels = np.array([rng.permutation(y) for _ in range(40)])
    w = statistics(space, claim, labels, 2, PARAMS)
    sizes = [listed(space, *pair, PARAMS).sum() for pair in zip(labels, w, strict=True)]
    assert np.count_nonzero(sizes) <= 6  # 4 of 40 at most are expected, and one standard error


def test_the_quick_list_is_the_full_one_and_ignores_samples_that_take_no_part() -> None:
    space, y, _ = prepared()
    w = statistic(space, "beyond", y)
    full = discover(space, y, w, PARAMS).found_by != ""
    np.testing.assert_array_equal(listed(space, y, w, PARAMS), full)
    some = np.where(np.arange(len(y)) < 300, y, -1)
    mine = statistics(space, "beyond", some[None], 2, PARAMS)[0]
    kept = listed(space, some, mine, PARAMS)
    assert 0 < kept.sum() < len(kept) / 4


def test_the_quick_list_has_the_joint_discoveries_of_the_full_one() -> None:
    space, y, _ = prepared(nonlinear=True)
    w = statistics(space, "beyond", y[None], 1, PARAMS)[0]
    found_by = discover(space, y, w, PARAMS).found_by
    assert {"pair", "two_hits"} <= set(found_by)
    np.testing.assert_array_equal(listed(space, y, w, PARAMS), found_by != "")


def test_a_segments_value_is_given_to_each_of_its_genes_and_arms_to_none() -> None:
    space, _, _ = prepared()
    found = space.candidates
    values = np.arange(len(found.members), dtype=float)
    rows = pd.Series(spread(space, values, -1.0), space.rows)
    copies = rows.xs("copy_number", level="channel")
    for number, members in enumerate(found.members):
        if found.table["level"].iloc[number] == "segment":
            assert (copies.iloc[members] == number).all()
    arms = values[(found.table["level"] == "arm").to_numpy()]
    assert not set(rows) & set(arms)
    assert (rows.xs("mutation", level="channel") == -1).any()  # rarely mutated: no candidate


def test_realised_counts_a_planted_event_s_neighbours_neither_way() -> None:
    space, _, truth = prepared()
    genes = space.genes.set_index("gene")
    event = next(
        g for g in truth.loc[truth["channel"] == "copy_number", "gene"] if g in genes.index
    )
    near = (genes["chromosome"] == genes.loc[event, "chromosome"]) & (
        (genes["start"] - genes.loc[event, "start"]).abs() <= 5_000_000
    )
    channel = space.rows.get_level_values("channel")
    copies = (channel == "copy_number") & space.rows.get_level_values("gene").isin(near.index[near])
    assert realised(space, truth, copies)["fdp"] == 0
    assert realised(space, truth, np.ones(len(space.rows), dtype=bool))["power"] == 1
    assert not any(realised(space, truth, np.zeros(len(space.rows), dtype=bool)).values())


def test_calibration_has_a_row_per_level_and_none_without_truth() -> None:
    space, y, truth = prepared()
    w = statistic(space, "beyond", y)
    table = calibration(space, truth, w, PARAMS)
    assert table["q"].is_monotonic_increasing
    assert table["power"].is_monotonic_increasing
    at_q = listed(space, y, w, PARAMS.model_copy(update={"q": 0.2})).sum()
    assert table.loc[table["q"] == 0.2, "selected"].item() == at_q
    assert calibration(space, truth.iloc[:0], w, PARAMS).empty


def test_a_row_has_a_q_value_of_at_most_q_when_it_is_selected_and_only_then() -> None:
    space, y, _ = prepared()
    w = statistic(space, "beyond", y)
    for q in (0.05, 0.12):  # also where q is none of the levels that are tried
        params = PARAMS.model_copy(update={"q": q})
        chosen = spread(space, select(w, q, params.decoys), False)
        np.testing.assert_array_equal(q_of_rows(space, w, params) <= q, chosen)


def test_expression_alone_needs_no_other_channel() -> None:
    space, y, _ = prepared()
    alone = search(space.features[:, :, :1], space.genes, ["expression"], space.classes, PARAMS)
    w = statistics(alone, "beyond", y[None], 2, PARAMS)[0]
    found = discover(alone, y, w, PARAMS)
    assert len(found.found_by) == len(space.genes)
    assert "arm" not in set(found.units["level"])


def test_arms_alone_are_candidates_of_no_row() -> None:
    space, y, _ = prepared()
    arm = np.unique(space.genes["chromosome"].astype(str), return_inverse=True)[1]
    calls = np.random.default_rng(1).standard_normal((len(y), arm.max() + 1)).astype(np.float32)
    whole = space.genes.assign(start=1_000_000)
    alone = search(calls[:, arm][:, :, None], whole, ["copy_number"], space.classes, PARAMS)
    w = statistics(alone, "beyond", y[None], 2, PARAMS)[0]
    assert set(alone.candidates.table["level"]) == {"arm"}
    assert not listed(alone, y, w, PARAMS).any()
    assert (q_of_rows(alone, w, PARAMS) == 1).all()


def test_the_order_of_samples_does_not_matter_to_what_is_prepared() -> None:
    space, _, _ = prepared()
    turned = np.random.default_rng(2).permutation(len(space.features))
    other = search(space.features[turned], space.genes, space.channels, space.classes, PARAMS)
    before, after = space.candidates, other.candidates
    assert before.table.equals(after.table)
    difference = np.abs(before.real[turned] - after.real)
    assert np.quantile(difference, 0.99) < 0.35  # the number of factors is by one permutation


def test_several_draws_are_merged_and_agree_with_one() -> None:
    space, y, truth = prepared()
    one = statistics(space, "beyond", y[None], 1, PARAMS)[0]
    four = statistics(space, "beyond", y[None], 4, PARAMS)[0]
    assert (len(one), len(four)) == (1, 4)
    few, many = (listed(space, y, w, PARAMS) for w in (four, one))
    assert realised(space, truth, few)["fdp"] <= 0.15
    assert (few & many).sum() >= 0.8 * few.sum() > 0
