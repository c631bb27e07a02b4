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
from oncopixel.markers.discovery import (
    Hypotheses,
    decoy_statistics,
    discover,
    prepare_hypotheses,
    q_of_rows,
    selected_rows,
    to_rows,
)
from oncopixel.markers.fdr import select
from oncopixel.markers.recovery import calibration, realised
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
def prepared(**changes: object) -> tuple[Hypotheses, np.ndarray, pd.DataFrame]:
    """A cohort's hypotheses, its labels, and its truth."""
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
    hypotheses = prepare_hypotheses(x, pre.genes, pre.channels, cohort.classes, PARAMS)
    return hypotheses, cohort.y.astype(int), cohort.truth


def statistic(hypotheses: Hypotheses, claim: str, y: np.ndarray) -> np.ndarray:
    return decoy_statistics(hypotheses, claim, y[None], PARAMS.draws, PARAMS)[0]


def test_planted_markers_are_listed_with_few_others() -> None:
    hypotheses, y, truth = prepared()
    found = discover(hypotheses, y, statistic(hypotheses, "beyond", y), PARAMS)
    scores = realised(hypotheses, truth, found.discovered_as != "")
    assert scores["fdp"] <= 0.15
    assert scores["power"] >= 0.5
    assert set(found.discovered_as) <= {"", "gene", "segment", "pair", "two_hits"}
    assert found.units["selected"].sum() >= 20


def test_joint_markers_that_no_gene_shows_alone_are_listed() -> None:
    hypotheses, y, truth = prepared(nonlinear=True)
    found = discover(hypotheses, y, statistic(hypotheses, "beyond", y), PARAMS)
    scores = realised(hypotheses, truth, found.discovered_as != "")
    assert scores["power_xor"] >= 0.5
    assert scores["power_loss_and_mutation"] >= 0.3
    assert scores["fdp"] <= 0.15
    kinds = found.interactions["kind"].value_counts()
    assert kinds["pair"] == 1


def test_modules_that_move_with_the_label_are_associated_but_nothing_beyond() -> None:
    hypotheses, y, truth = prepared(moving_modules=2, moving_shift=1.5)
    planted = truth[truth["channel"] == "expression"]["gene"]
    expression = hypotheses.rows.get_level_values("channel") == "expression"
    other = expression & ~hypotheses.rows.get_level_values("gene").isin(planted)
    lists = {
        claim: q_of_rows(hypotheses, statistic(hypotheses, claim, y), PARAMS) <= PARAMS.q
        for claim in ("beyond", "associated")
    }
    assert lists["associated"][other].sum() >= 20
    assert lists["beyond"][other].sum() <= 5
    found = discover(hypotheses, y, statistic(hypotheses, "beyond", y), PARAMS)
    assert (found.modules["q_value"] <= 0.01).sum() >= 2
    assert realised(hypotheses, truth, found.discovered_as != "")["fdp"] <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["beyond", "associated"])
def test_permuted_labels_seldom_give_a_list_though_modules_move_by_chance(claim: Claim) -> None:
    hypotheses, y, _ = prepared(moving_modules=2, moving_shift=1.5)
    rng = np.random.default_rng(1)
    labels = np.array([rng.permutation(y) for _ in range(40)])
    w = decoy_statistics(hypotheses, claim, labels, 2, PARAMS)
    sizes = [selected_rows(hypotheses, *pair, PARAMS).sum() for pair in zip(labels, w, strict=True)]
    assert np.count_nonzero(sizes) <= 6  # 4 of 40 at most are expected, and one standard error


def test_the_quick_list_is_the_full_one_and_ignores_samples_that_take_no_part() -> None:
    hypotheses, y, _ = prepared()
    w = statistic(hypotheses, "beyond", y)
    full = discover(hypotheses, y, w, PARAMS).discovered_as != ""
    np.testing.assert_array_equal(selected_rows(hypotheses, y, w, PARAMS), full)
    some = np.where(np.arange(len(y)) < 300, y, -1)
    mine = decoy_statistics(hypotheses, "beyond", some[None], 2, PARAMS)[0]
    kept = selected_rows(hypotheses, some, mine, PARAMS)
    assert 0 < kept.sum() < len(kept) / 4


def test_the_quick_list_has_the_joint_discoveries_of_the_full_one() -> None:
    hypotheses, y, _ = prepared(nonlinear=True)
    w = decoy_statistics(hypotheses, "beyond", y[None], 1, PARAMS)[0]
    discovered_as = discover(hypotheses, y, w, PARAMS).discovered_as
    assert {"pair", "two_hits"} <= set(discovered_as)
    np.testing.assert_array_equal(selected_rows(hypotheses, y, w, PARAMS), discovered_as != "")


def test_a_segments_value_is_given_to_each_of_its_genes_and_arms_to_none() -> None:
    hypotheses, _, _ = prepared()
    found = hypotheses.candidates
    values = np.arange(len(found.members), dtype=float)
    rows = pd.Series(to_rows(hypotheses, values, -1.0), hypotheses.rows)
    copies = rows.xs("copy_number", level="channel")
    for number, members in enumerate(found.members):
        if found.table["level"].iloc[number] == "segment":
            assert (copies.iloc[members] == number).all()
    arms = values[(found.table["level"] == "arm").to_numpy()]
    assert not set(rows) & set(arms)
    assert (rows.xs("mutation", level="channel") == -1).any()  # rarely mutated: no candidate


def test_realised_counts_a_planted_event_s_neighbours_neither_way() -> None:
    hypotheses, _, truth = prepared()
    genes = hypotheses.genes.set_index("gene")
    event = next(
        g for g in truth.loc[truth["channel"] == "copy_number", "gene"] if g in genes.index
    )
    near = (genes["chromosome"] == genes.loc[event, "chromosome"]) & (
        (genes["start"] - genes.loc[event, "start"]).abs() <= 5_000_000
    )
    channel = hypotheses.rows.get_level_values("channel")
    copies = (channel == "copy_number") & hypotheses.rows.get_level_values("gene").isin(
        near.index[near]
    )
    assert realised(hypotheses, truth, copies)["fdp"] == 0
    assert realised(hypotheses, truth, np.ones(len(hypotheses.rows), dtype=bool))["power"] == 1
    assert not any(realised(hypotheses, truth, np.zeros(len(hypotheses.rows), dtype=bool)).values())


def test_calibration_has_a_row_per_level_and_none_without_truth() -> None:
    hypotheses, y, truth = prepared()
    w = statistic(hypotheses, "beyond", y)
    table = calibration(hypotheses, truth, w, PARAMS)
    assert table["q"].is_monotonic_increasing
    assert table["power"].is_monotonic_increasing
    at_q = selected_rows(hypotheses, y, w, PARAMS.model_copy(update={"q": 0.2})).sum()
    assert table.loc[table["q"] == 0.2, "selected"].item() == at_q
    assert calibration(hypotheses, truth.iloc[:0], w, PARAMS).empty


def test_a_row_has_a_q_value_of_at_most_q_when_it_is_selected_and_only_then() -> None:
    hypotheses, y, _ = prepared()
    w = statistic(hypotheses, "beyond", y)
    for q in (0.05, 0.12):  # also where q is none of the levels that are tried
        params = PARAMS.model_copy(update={"q": q})
        chosen = to_rows(hypotheses, select(w, q, params.decoys), False)
        np.testing.assert_array_equal(q_of_rows(hypotheses, w, params) <= q, chosen)


def test_expression_alone_needs_no_other_channel() -> None:
    hypotheses, y, _ = prepared()
    alone = prepare_hypotheses(
        hypotheses.features[:, :, :1], hypotheses.genes, ["expression"], hypotheses.classes, PARAMS
    )
    w = decoy_statistics(alone, "beyond", y[None], 2, PARAMS)[0]
    found = discover(alone, y, w, PARAMS)
    assert len(found.discovered_as) == len(hypotheses.genes)
    assert "arm" not in set(found.units["level"])


def test_arms_alone_are_candidates_of_no_row() -> None:
    hypotheses, y, _ = prepared()
    arm = np.unique(hypotheses.genes["chromosome"].astype(str), return_inverse=True)[1]
    calls = np.random.default_rng(1).standard_normal((len(y), arm.max() + 1)).astype(np.float32)
    whole = hypotheses.genes.assign(start=1_000_000)
    alone = prepare_hypotheses(
        calls[:, arm][:, :, None], whole, ["copy_number"], hypotheses.classes, PARAMS
    )
    w = decoy_statistics(alone, "beyond", y[None], 2, PARAMS)[0]
    assert set(alone.candidates.table["level"]) == {"arm"}
    assert not selected_rows(alone, y, w, PARAMS).any()
    assert (q_of_rows(alone, w, PARAMS) == 1).all()


def test_the_order_of_samples_does_not_matter_to_what_is_prepared() -> None:
    hypotheses, _, _ = prepared()
    turned = np.random.default_rng(2).permutation(len(hypotheses.features))
    other = prepare_hypotheses(
        hypotheses.features[turned],
        hypotheses.genes,
        hypotheses.channels,
        hypotheses.classes,
        PARAMS,
    )
    before, after = hypotheses.candidates, other.candidates
    assert before.table.equals(after.table)
    difference = np.abs(before.real[turned] - after.real)
    assert np.quantile(difference, 0.99) < 0.35  # the number of factors is by one permutation


def test_several_draws_are_merged_and_agree_with_one() -> None:
    hypotheses, y, truth = prepared()
    one = decoy_statistics(hypotheses, "beyond", y[None], 1, PARAMS)[0]
    four = decoy_statistics(hypotheses, "beyond", y[None], 4, PARAMS)[0]
    assert (len(one), len(four)) == (1, 4)
    few, many = (selected_rows(hypotheses, y, w, PARAMS) for w in (four, one))
    assert realised(hypotheses, truth, few)["fdp"] <= 0.15
    assert (few & many).sum() >= 0.8 * few.sum() > 0
