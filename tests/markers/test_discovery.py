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
    Discoveries,
    Hypotheses,
    discover,
    prepare_hypotheses,
    rows_of,
    to_rows,
    units,
)
from oncopixel.markers.modules import module_table
from oncopixel.markers.recovery import JOINT, calibration, realised
from oncopixel.sources.simulated import simulate

PARAMS = BiomarkerParams(
    steps=32, tolerance=0.01, top=20, q=0.1, test="moderated_t", minimum_effect=0.0,
    permutations=19, seed=1,
)  # fmt: skip
PREPROCESS = PreprocessParams(
    normalise="auto", min_expressed_fraction=0.2, genes="top_variance", clip=6.0,
    mutation_encoding="binary", layout="genomic", seed=1,
)  # fmt: skip


@cache
def prepared(**changes: object) -> tuple[Hypotheses, np.ndarray, pd.DataFrame]:
    """A cohort's hypotheses, its labels, and its truth."""
    settings = {
        "seed": 3,
        "n_samples": 400,
        "n_genes": 800,
        "n_markers": 60,
        "penetrance": 0.5,
    } | changes
    source = SimulatedSource(kind="simulated", **settings)
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


def found(hypotheses: Hypotheses, claim: Claim, y: np.ndarray) -> Discoveries:
    return discover(hypotheses, claim, y[None], PARAMS)[0]


def listed(hypotheses: Hypotheses, claim: Claim, y: np.ndarray) -> np.ndarray:
    return rows_of(hypotheses, [found(hypotheses, claim, y)])[0]


def test_planted_markers_are_listed_with_few_others() -> None:
    cohorts = [prepared(seed=seed) for seed in (3, 4, 5)]
    scores = [realised(of, truth, listed(of, "beyond", y)) for of, y, truth in cohorts]
    assert np.mean([score["fdp"] for score in scores]) <= 0.15
    assert np.mean([score["power"] for score in scores]) >= 0.3
    hypotheses, y, _ = cohorts[0]
    table = units(hypotheses, found(hypotheses, "beyond", y))
    assert set(table["level"]) == {"gene", "segment", "arm"}
    assert table["selected"].sum() >= 15


def test_what_shows_jointly_only_is_neither_true_nor_false_of_a_list() -> None:
    hypotheses, _, truth = prepared(nonlinear=True)
    joint = truth[truth["kind"].isin(JOINT)]
    assert len(joint)
    rows = hypotheses.rows.isin(pd.MultiIndex.from_frame(joint[["gene", "channel"]]))
    scores = realised(hypotheses, truth, rows)
    assert (scores["fdp"], scores["power"]) == (0, 0)
    assert not {f"power_{kind}" for kind in JOINT} & set(scores)


def test_modules_that_move_with_the_label_are_associated_but_nothing_beyond() -> None:
    hypotheses, y, truth = prepared(moving_modules=2, moving_shift=1.5)
    planted = truth[truth["channel"] == "expression"]["gene"]
    expression = hypotheses.rows.get_level_values("channel") == "expression"
    other = expression & ~hypotheses.rows.get_level_values("gene").isin(planted)
    assert listed(hypotheses, "associated", y)[other].sum() >= 20
    assert listed(hypotheses, "beyond", y)[other].sum() <= 5
    names, classes = hypotheses.genes["gene"].tolist(), hypotheses.classes
    modules = module_table(hypotheses.modules, hypotheses.activity, y, names, classes)
    assert (modules["q_value"] <= 0.01).sum() >= 2
    assert realised(hypotheses, truth, listed(hypotheses, "beyond", y))["fdp"] <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["beyond", "associated"])
def test_permuted_labels_seldom_give_a_list_though_modules_move_by_chance(claim: Claim) -> None:
    hypotheses, y, _ = prepared(moving_modules=2, moving_shift=1.5)
    rng = np.random.default_rng(1)
    labels = np.array([rng.permutation(y) for _ in range(40)])
    sizes = rows_of(hypotheses, discover(hypotheses, claim, labels, PARAMS)).sum(axis=1)
    assert np.count_nonzero(sizes) <= 6  # 4 of 40 at most are expected, and one standard error


@pytest.mark.parametrize("claim", ["beyond", "associated"])
def test_samples_that_take_no_part_are_not_needed(claim: Claim) -> None:
    hypotheses, y, _ = prepared()
    some = np.where(np.arange(len(y)) < 300, y, -1)
    kept = listed(hypotheses, claim, some)
    assert 0 < kept.sum() < len(kept) / 4


def test_a_segments_value_is_given_to_each_of_its_genes_and_arms_to_none() -> None:
    hypotheses, _, _ = prepared()
    tested = hypotheses.candidates
    values = np.arange(len(tested.members), dtype=float)
    rows = pd.Series(to_rows(hypotheses, values, -1.0), hypotheses.rows)
    copies = rows.xs("copy_number", level="channel")
    for number, members in enumerate(tested.members):
        if tested.table["level"].iloc[number] == "segment":
            assert (copies.iloc[members] == number).all()
    arms = values[(tested.table["level"] == "arm").to_numpy()]
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
    nothing = realised(hypotheses, truth, np.zeros(len(hypotheses.rows), dtype=bool))
    assert not any(value for name, value in nothing.items() if name != "planted")


@pytest.mark.parametrize("claim", ["beyond", "associated"])
def test_calibration_has_a_row_per_level_and_none_without_truth(claim: Claim) -> None:
    hypotheses, y, truth = prepared()
    own = found(hypotheses, claim, y)
    table = calibration(hypotheses, truth, own)
    assert table["q"].is_monotonic_increasing
    assert table["power"].is_monotonic_increasing
    assert table.loc[table["q"] == PARAMS.q, "selected"].item() == rows_of(hypotheses, [own]).sum()
    assert calibration(hypotheses, truth.iloc[:0], own).empty


@pytest.mark.parametrize("claim", ["beyond", "associated"])
@pytest.mark.parametrize("q", [0.05, 0.12])
def test_what_has_a_q_value_of_at_most_q_is_selected(claim: Claim, q: float) -> None:
    hypotheses, y, _ = prepared()
    (own,) = discover(hypotheses, claim, y[None], PARAMS.model_copy(update={"q": q}))
    np.testing.assert_array_equal(own.q <= q, own.selected)
    assert 0 < own.selected.sum() < len(own.q)


def test_expression_alone_needs_no_other_channel() -> None:
    hypotheses, y, _ = prepared()
    alone = prepare_hypotheses(
        hypotheses.features[:, :, :1], hypotheses.genes, ["expression"], hypotheses.classes, PARAMS
    )
    assert listed(alone, "beyond", y).shape == (len(hypotheses.genes),)
    assert set(units(alone, found(alone, "beyond", y))["level"]) == {"gene"}


def test_arms_alone_are_candidates_of_no_row() -> None:
    hypotheses, y, _ = prepared()
    arm = np.unique(hypotheses.genes["chromosome"].astype(str), return_inverse=True)[1]
    calls = np.random.default_rng(1).standard_normal((len(y), arm.max() + 1)).astype(np.float32)
    whole = hypotheses.genes.assign(start=1_000_000)
    alone = prepare_hypotheses(
        calls[:, arm][:, :, None], whole, ["copy_number"], hypotheses.classes, PARAMS
    )
    assert set(alone.candidates.table["level"]) == {"arm"}
    assert not listed(alone, "beyond", y).any()
    assert not listed(alone, "associated", y).any()


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
    for one, other_channel in zip(before.channels, after.channels, strict=True):
        np.testing.assert_allclose(one.measured[turned], other_channel.measured, atol=1e-5)
