"""Genes that follow a confounder are flagged, those that follow the label not; adjusting works."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kruskal, mannwhitneyu, spearmanr, ttest_ind

from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.core.errors import ParamsError
from oncopixel.core.params import PreprocessParams
from oncopixel.images.preprocessing import features, fit
from oncopixel.reading.confounders import (
    Confounding,
    confounding,
    gene_columns,
    known_confounders,
    label_association,
    summary,
)

N_SAMPLES, N_GENES, N_PLANTED = 400, 300, 30
PLANTED = np.arange(N_GENES) < N_PLANTED
MOVED = np.arange(N_GENES) >= N_GENES // 2
"""Genes that the confounder moves; none of the planted ones is among them."""


def cohort_of(expression: np.ndarray, label: np.ndarray, scale: str = "log2", **obs) -> Cohort:
    n, m = expression.shape
    index = [f"s{i:04d}" for i in range(n)]
    samples = pd.DataFrame({"patient": index} | obs, index=index)
    genes = pd.DataFrame(
        {"ensembl_id": "", "chromosome": "1", "start": np.arange(m)},
        index=[f"G{i}" for i in range(m)],
    )
    frame = pd.DataFrame(expression, index, genes.index)
    cohort = build_cohort(frame, samples, genes, scale=scale, origin="test")
    cohort.data.obs["label"] = np.where(label, "case", "control")
    cohort.data.uns["classes"] = np.array(["control", "case"], dtype=object)
    return cohort


def confounded(kind: str, seed: int = 0) -> Cohort:
    """A confounder that goes with the label moves half of the genes; the label moves 30 others."""
    rng = np.random.default_rng(seed)
    label = rng.random(N_SAMPLES) < 0.5
    if kind == "batch":
        batch = np.where(rng.random(N_SAMPLES) < 0.5, label, rng.integers(0, 4, N_SAMPLES))
        shift = rng.normal(0, 1.0, (4, N_GENES))[batch]
        obs = {"batch": [f"B{b}" for b in batch]}
    else:
        purity = rng.beta(6, 3, N_SAMPLES) + 0.15 * label
        shift = 4 * (purity - 0.7)[:, None] * rng.normal(0, 1, N_GENES)
        obs = {"purity": purity}
    values = rng.normal(8, 1, (N_SAMPLES, N_GENES)) + shift * MOVED
    return cohort_of(values + 1.2 * label[:, None] * PLANTED, label, **obs)


def params(adjust: list[str]) -> PreprocessParams:
    return PreprocessParams(
        normalise="auto",
        min_expressed_fraction=0.2,
        genes="top_variance",
        clip=6.0,
        mutation_encoding="binary",
        layout="genomic",
        seed=1,
        adjust=adjust,
    )


def standardised(cohort: Cohort, adjust: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features of the development and the held-out half, by a fit on the former."""
    half = np.arange(N_SAMPLES) < N_SAMPLES // 2
    pre = fit(cohort.take(half), params(adjust), channels=["expression"], image=(18, 18))
    assert list(pre.genes["gene"]) == [f"G{i}" for i in range(N_GENES)]
    return features(pre, cohort.take(half))[..., 0], features(pre, cohort.take(~half))[..., 0]


@pytest.mark.parametrize("kind", ["batch", "purity"])
def test_what_follows_the_confounder_is_flagged_and_what_follows_the_label_is_not(
    kind: str,
) -> None:
    cohort = confounded(kind)
    values = np.vstack(standardised(cohort, []))
    table = gene_columns(confounding(values, cohort.y, known_confounders(cohort)))
    flagged = (table["confounder"] == kind).to_numpy()
    associated = ttest_ind(values[cohort.y == 1], values[cohort.y == 0]).pvalue <= 0.001
    assert associated[MOVED].sum() > 50
    assert flagged[MOVED & associated].mean() >= 0.9
    assert not flagged[PLANTED].any()
    assert table["remaining"][PLANTED].mean() > 0.85
    assert (table["confounder"][~MOVED & ~PLANTED] != "").sum() <= 2
    assert (table["remaining"][flagged] < 0.5).all()


@pytest.mark.parametrize("kind", ["batch", "purity"])
def test_adjusting_in_the_fold_frees_the_null_genes_and_keeps_the_planted(kind: str) -> None:
    cohort = confounded(kind)
    half = np.arange(N_SAMPLES) < N_SAMPLES // 2
    for part, before, after in zip(
        (cohort.y[half], cohort.y[~half]),
        standardised(cohort, []),
        standardised(cohort, [kind]),
        strict=True,
    ):
        p_before = ttest_ind(before[part == 1], before[part == 0]).pvalue
        p_after = ttest_ind(after[part == 1], after[part == 0]).pvalue
        assert (p_before[MOVED] <= 0.05).mean() > 0.3
        null = ~PLANTED
        assert (p_after[null] <= 0.05).sum() <= binom.ppf(0.999, null.sum(), 0.05)
        assert (p_after[PLANTED] <= 0.05).mean() >= 0.9
    values, y = np.vstack(standardised(cohort, [kind])), cohort.y
    table = gene_columns(confounding(values, y, known_confounders(cohort)))
    assert (table["confounder"] != "").sum() <= 3


def test_the_order_of_samples_changes_nothing() -> None:
    cohort = confounded("batch")
    order = np.random.default_rng(3).permutation(N_SAMPLES)
    values, confounders = cohort.layer("expression"), known_confounders(cohort)
    one = confounding(values, cohort.y, confounders)
    other = confounding(values[order], cohort.y[order], confounders.iloc[order])
    for name in ("strength", "p", "q", "remaining"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)
    pd.testing.assert_frame_equal(gene_columns(one), gene_columns(other))


def test_figures_are_those_of_scipy_and_of_a_regression_on_known_values_only() -> None:
    rng = np.random.default_rng(1)
    n = 80
    y = rng.integers(0, 2, n)
    age = rng.normal(60, 10, n) + 5 * y
    age[:7] = np.nan
    sex = pd.Series(rng.choice(["f", "m", "x"], n), dtype=object)
    sex[70:] = None
    values = rng.normal(0, 1, (n, 3)) + y[:, None] + np.nan_to_num(age)[:, None] / 40
    values[:, 1] = np.round(values[:, 1])  # ties
    found = confounding(values, y, pd.DataFrame({"age": age, "sex": sex}))
    assert found.names == ["age", "sex"]
    old, told = ~np.isnan(age), sex.notna().to_numpy()
    for j in range(3):
        by_age = spearmanr(values[old, j], age[old])
        assert (found.strength[j, 0], found.p[j, 0]) == pytest.approx(tuple(by_age))
        by_sex = kruskal(*(values[told & (sex == s), j] for s in "fmx"))
        assert found.p[j, 1] == pytest.approx(by_sex.pvalue)
        assert found.strength[j, 1] == pytest.approx(by_sex.statistic / (told.sum() - 1))

        def slope(rows: np.ndarray, *others: np.ndarray, column: int = j) -> float:
            design = np.column_stack([y[rows], np.ones(rows.sum()), *others])
            return float(np.linalg.lstsq(design, values[rows, column])[0][0])

        dummies = (sex[told] == "f").to_numpy(float), (sex[told] == "m").to_numpy(float)
        expected = [slope(old, age[old]) / slope(old), slope(told, *dummies) / slope(told)]
        np.testing.assert_allclose(found.remaining[j], np.clip(expected, 0, 1))


def test_a_value_without_label_effect_has_no_share_and_a_constant_goes_with_nothing() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 50)
    batch = pd.DataFrame({"batch": np.tile(["a", "b"], 50).astype(object)})
    values = np.column_stack(
        [
            np.tile([0.0, 5.0], 50) + rng.normal(0, 0.1, 100),
            y + rng.normal(0, 0.5, 100),
            np.ones(100),
        ]
    )
    found = confounding(values, y, batch)
    table = gene_columns(found)
    assert list(table["confounder"]) == ["", "", ""]
    assert found.q[0, 0] < 1e-9
    assert np.isnan(found.remaining[0, 0])
    assert table["remaining"][1] == 1
    assert (found.strength[2, 0], found.p[2, 0]) == (0, 1)
    assert np.isnan(table["remaining"][2])


def test_a_share_that_is_small_by_chance_flags_nothing() -> None:
    rng = np.random.default_rng(11)
    y = np.repeat([0, 1], 30)
    values = rng.normal(0, 1, (60, 300))
    found = confounding(values, y, pd.DataFrame({"purity": y + rng.normal(0, 0.4, 60)}))
    assert (found.remaining < 0.5).any()
    assert (found.q > 0.05).all()
    assert not found.flagged.any()
    table = gene_columns(found)
    assert (table["confounder"] == "").all()
    assert (table["remaining"].dropna() == 1).all()


def test_of_several_classes_the_one_that_differs_most_is_asked() -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1, 2], 60)
    batch = np.where(rng.random(180) < 0.8, y == 2, rng.random(180) < 0.3)
    values = rng.normal(0, 1, (180, 2))
    values[:, 0] += 2 * (y == 2)
    values[:, 1] += 2 * batch
    confounders = pd.DataFrame({"batch": np.where(batch, "b", "a").astype(object)})
    table = gene_columns(confounding(values, y, confounders))
    assert list(table["confounder"]) == ["", "batch"]
    assert table["remaining"][0] > 0.75


def test_a_confounder_that_is_the_label_flags_nothing_and_says_why() -> None:
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], [40, 160])
    confounders = pd.DataFrame(
        {"purity": np.where(y == 1, rng.uniform(0.3, 0.9, 200), 0), "sex": np.tile(["f", "m"], 100)}
    )
    values = rng.normal(0, 1, (200, 5)) + 2 * y[:, None]
    label = label_association(y, confounders)
    assert list(label["separable"]) == [False, True]
    assert label["strength"][0] == pytest.approx(1)
    found = confounding(values, y, confounders)
    assert np.isnan(found.remaining[:, 0]).all()
    told = summary(label, confounding(values[:, :1], y, confounders), found, np.ones(5, bool))
    assert told["markers"] == {"selected": 5, "flagged": 0}
    assert len(told["notes"]) == 1
    assert "cannot tell whether a marker follows" in told["notes"][0]
    assert "`purity`" in told["notes"][0]


def test_label_association_is_that_of_auc_and_cramer() -> None:
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, 100)
    age = rng.normal(0, 1, 100) + y
    age[3] = np.nan
    same = np.where(y == 1, "x", "y").astype(object)
    table = label_association(y, pd.DataFrame({"age": age, "same": same, "one": "a"}))
    table = table.set_index("confounder")
    known = ~np.isnan(age)
    u = mannwhitneyu(age[known & (y == 1)], age[known & (y == 0)]).statistic
    auc = u / (known & (y == 1)).sum() / (known & (y == 0)).sum()
    assert table.loc["age", "strength"] == pytest.approx(abs(2 * auc - 1))
    assert table.loc["age", "known"] == 99
    assert table.loc["same", "strength"] == pytest.approx(1)
    assert tuple(table.loc["one", ["strength", "p", "separable"]]) == (0, 1, True)


def test_confounders_are_recognised_by_name_and_take_their_kind_from_it() -> None:
    rng = np.random.default_rng(7)
    expression = rng.normal(8, 1, (6, 40))
    cohort = cohort_of(
        expression, np.arange(6) % 2 == 1,
        Gender=["f", "m", "", "f", "m", "m"],
        age_at_diagnosis=[50, "60", "", "unknown", 70, 55],
        plate=[1, 1, 2, 2, 3, 3],
        age=["old", "old", "old", "old", "old", "old"],
        site=["05"] * 6,
        dose=[0.1, 0.2, 0.3, np.nan, 0.5, 0.6],
    )  # fmt: skip
    found = known_confounders(cohort)
    assert list(found) == ["age_at_diagnosis", "plate", "Gender", "library_size"]
    np.testing.assert_array_equal(found["age_at_diagnosis"], [50, 60, np.nan, np.nan, 70, 55])
    assert list(found["plate"]) == ["1", "1", "2", "2", "3", "3"]
    assert found["Gender"].isna().sum() == 1
    linear = np.log2((2 ** cohort.layer("expression").astype(float) - 1).sum(axis=1) + 1)
    np.testing.assert_allclose(found["library_size"], linear, rtol=1e-6)
    assert list(known_confounders(cohort, ["dose"]))[-2:] == ["dose", "library_size"]
    with pytest.raises(ParamsError, match=r"'dos' is no column .*did you mean dose"):
        known_confounders(cohort, ["dos"])


def test_equal_sums_are_no_library_size() -> None:
    values = np.random.default_rng(8).gamma(1, 10, (6, 50))
    values *= 1e6 / values.sum(axis=1, keepdims=True)
    assert known_confounders(cohort_of(values, np.arange(6) < 3, "tpm")).empty


def test_summary_is_json_and_counts_the_selected_only() -> None:
    cohort = confounded("batch")
    confounders, y = known_confounders(cohort), cohort.y
    values = cohort.layer("expression")
    found = confounding(values, y, confounders)
    score = confounding(values[:, MOVED].mean(axis=1, keepdims=True), y, confounders)
    label = label_association(y, confounders)
    told = summary(label, score, found, MOVED)
    told = json.loads(json.dumps(told, default=float))
    flagged = int((gene_columns(found)["confounder"] != "")[MOVED].sum())
    assert told["markers"] == {"selected": int(MOVED.sum()), "flagged": flagged}
    assert [row["confounder"] for row in told["confounders"]] == ["batch", "library_size"]
    assert told["confounders"][0]["markers"]["flagged"] > 50
    assert any("markers are explained mostly by `batch`" in note for note in told["notes"])
    assert summary(label, score, found, PLANTED)["markers"]["flagged"] == 0


def test_without_any_confounder_it_says_so() -> None:
    values, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    nothing = pd.DataFrame(index=range(4))
    found = confounding(values, y, nothing)
    assert isinstance(found, Confounding)
    assert list(gene_columns(found)["confounder"]) == ["", ""]
    told = summary(label_association(y, nothing), found, found, np.ones(2, bool))
    assert told["confounders"] == []
    assert "No confounder is known" in told["notes"][0]
