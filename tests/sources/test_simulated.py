"""The simulator: real-looking layers, markers where the truth says, and nothing else that tells."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway, ttest_ind
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from oncopixel.cohort.contract import Cohort, read_cohort, write_cohort
from oncopixel.cohort.genes import annotate, bands
from oncopixel.core.errors import ParamsError, SourceError
from oncopixel.core.params import SimulatedSource, parse_params
from oncopixel.core.storage import sha256
from oncopixel.sources.simulated import DRIVERS, simulate
from oncopixel.sources.simulated_copies import draw_steps

CHANNELS = ["expression", "copy_number", "mutation"]


def make(**changes) -> Cohort:
    return simulate(SimulatedSource(kind="simulated", **changes))


def small(**changes) -> Cohort:
    return make(**{"n_samples": 120, "n_genes": 300, "n_markers": 30, **changes})


def cases(cohort: Cohort) -> np.ndarray:
    return (cohort.samples["status"] == "case").to_numpy()


def log_cpm(cohort: Cohort) -> np.ndarray:
    counts = cohort.layer("expression")
    return np.log2(counts / counts.sum(axis=1, keepdims=True) * 1e6 + 1)


def standardised(values: np.ndarray) -> np.ndarray:
    sd = values.std(axis=0)
    return np.clip((values - values.mean(axis=0)) / np.where(sd > 0, sd, 1), -6, 6)


def features(cohort: Cohort) -> np.ndarray:
    """`(samples, channels * genes)` of a simple linear model."""
    return standardised(
        np.hstack([log_cpm(cohort), cohort.layer("copy_number"), cohort.layer("mutation")])
    )


def columns_of(cohort: Cohort, rows: pd.DataFrame) -> np.ndarray:
    """Columns of `features` that rows of the truth table stand for."""
    channel = rows["channel"].map(CHANNELS.index).to_numpy(dtype=int)
    return cohort.genes.index.get_indexer(rows["gene"]) + channel * len(cohort.genes)


def welch(x: np.ndarray, case: np.ndarray) -> np.ndarray:
    """p-values; 1 where a class does not vary."""
    p = np.ones(x.shape[1])
    varied = (np.ptp(x[case], axis=0) > 0) & (np.ptp(x[~case], axis=0) > 0)
    p[varied] = ttest_ind(x[case][:, varied], x[~case][:, varied], equal_var=False).pvalue
    return p


def held_out_auc(x: np.ndarray, case: np.ndarray) -> float:
    """AUC of an L1 logistic regression on the last quarter of the samples."""
    cut = len(x) * 3 // 4
    model = LogisticRegression(
        C=0.1, l1_ratio=1, solver="liblinear", class_weight="balanced", tol=1e-3, max_iter=300
    ).fit(x[:cut], case[:cut])
    return float(roc_auc_score(case[cut:], model.decision_function(x[cut:])))


def module_scores(cohort: Cohort) -> list[np.ndarray]:
    """Mean signed z-score of each xor module."""
    xor = cohort.truth[cohort.truth["kind"] == "xor"]
    z = standardised(log_cpm(cohort))
    return [
        (z[:, columns_of(cohort, rows)] * np.sign(rows["effect"].to_numpy())).mean(axis=1)
        for _, rows in xor.groupby("module")
    ]


@pytest.fixture(scope="module")
def default() -> Cohort:
    """A cohort with markers of every kind."""
    return make(seed=1, n_samples=600, n_genes=2500, n_markers=75, nonlinear=True)


@pytest.fixture(scope="module")
def null() -> Cohort:
    return make(n_markers=0, nonlinear=True)


def test_layers_hold_counts_log_ratios_and_calls_in_genome_order(default):
    counts, copies, calls = map(default.layer, CHANNELS)
    assert default.scale == "counts"
    assert counts.shape == (600, 2500)
    assert (counts >= 0).all()
    assert (counts == np.round(counts)).all()
    assert np.isfinite(copies).all()
    assert set(np.unique(calls)) == {0, 1}
    places = annotate(list(default.genes.index)).drop(columns="end")
    pd.testing.assert_frame_equal(default.genes, places, check_names=False)
    order = places.assign(chromosome=places["chromosome"].astype(int))
    assert order.equals(order.sort_values(["chromosome", "start"], kind="stable"))
    assert set(DRIVERS) <= set(default.genes.index)


def test_same_seed_same_bytes_and_another_seed_another_cohort(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_cohort(tmp_path / f"{name}.h5ad", small(seed=seed, nonlinear=True))
    a, b, c = (sha256(tmp_path / f"{name}.h5ad") for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("n_markers", [0, 30])
def test_truth_travels_with_the_file(tmp_path, n_markers):
    cohort = small(n_markers=n_markers, nonlinear=True)
    write_cohort(tmp_path / "cohort.h5ad", cohort)
    read = read_cohort(tmp_path / "cohort.h5ad").truth
    assert list(read.columns) == ["gene", "channel", "kind", "effect", "module"]
    assert read["gene"].nunique() == n_markers
    pd.testing.assert_frame_equal(read, cohort.truth, check_dtype=False, check_index_type=False)


def test_truth_names_each_gene_once_per_channel_and_no_driver(default):
    truth = default.truth
    assert truth["gene"].nunique() == 75
    assert not set(truth["gene"]) & set(DRIVERS)
    joint = truth[truth["kind"] == "loss_and_mutation"]
    assert (joint.groupby("gene")["channel"].agg(set) == {"copy_number", "mutation"}).all()
    assert not truth[truth["kind"] != "loss_and_mutation"]["gene"].duplicated().any()
    assert truth[truth["kind"] == "xor"]["module"].value_counts().to_dict() == {
        "xor a": 10,
        "xor b": 10,
    }
    linear = truth[truth["kind"] == "linear"]
    assert linear["channel"].value_counts().index[0] == "expression"
    assert set(linear["channel"]) == set(CHANNELS)
    folds = linear.loc[linear["channel"] == "expression", "effect"].abs()
    assert folds.median() == pytest.approx(1.0, abs=0.25)


def test_linear_markers_are_shifted_as_the_truth_states():
    cohort = make(n_samples=400, n_genes=600, n_markers=60, penetrance=0.95, effect=2.0)
    rows = cohort.truth
    case = cases(cohort)
    values = np.hstack([log_cpm(cohort), cohort.layer("copy_number"), cohort.layer("mutation")])
    x = values[:, columns_of(cohort, rows)]
    shift = x[case].mean(axis=0) - x[~case].mean(axis=0)
    assert (np.sign(shift) == np.sign(rows["effect"])).all()
    expression = (rows["channel"] == "expression").to_numpy()
    thinned = rows["effect"] * cohort.samples["purity"].mean() * 0.95
    assert shift[expression] == pytest.approx(thinned[expression], abs=0.5)


def test_a_larger_effect_changes_expression_only_and_in_proportion():
    one, three = (small(effect=effect, seed=3) for effect in (1.0, 3.0))
    for channel in ("copy_number", "mutation"):
        np.testing.assert_array_equal(one.layer(channel), three.layer(channel))
    fold = one.truth["channel"] == "expression"
    assert three.truth.loc[fold, "effect"].to_numpy() == pytest.approx(
        3 * one.truth.loc[fold, "effect"].to_numpy()
    )
    assert three.truth[~fold].equals(one.truth[~fold])


def test_nonlinear_markers_tell_in_pairs_and_never_alone():
    silent, product, joint = [], [], []
    for seed in range(1, 5):
        cohort = make(n_genes=600, nonlinear=True, seed=seed)
        case = cases(cohort)
        rows = cohort.truth[cohort.truth["kind"] != "linear"]
        silent.append(welch(features(cohort)[:, columns_of(cohort, rows)], case) < 0.05)
        a, b = module_scores(cohort)
        product.append(roc_auc_score(case, a * b))
        assert abs(roc_auc_score(case, a) - 0.5) < 0.07
        genes = cohort.truth.query("kind == 'loss_and_mutation'")["gene"].unique()
        at = cohort.genes.index.get_indexer(genes)
        lost = cohort.layer("copy_number")[:, at] < -0.1
        joint.append(
            roc_auc_score(case, (lost & (cohort.layer("mutation")[:, at] > 0)).sum(axis=1))
        )
    assert np.mean(silent) <= 0.05
    assert min(product) > 0.7
    assert min(joint) > 0.6


def test_a_model_of_interactions_finds_what_a_linear_one_cannot(default):
    case = cases(default)
    both = standardised((default.layer("copy_number") < -0.1) * default.layer("mutation"))
    linear = default.truth.query("kind == 'linear'")["gene"]
    both[:, default.genes.index.get_indexer(linear)] = 0  # their mutations tell without a loss
    assert held_out_auc(both, case) > 0.6
    single = features(default)
    rows = default.truth[default.truth["kind"] != "linear"]
    assert held_out_auc(single[:, columns_of(default, rows)], case) < 0.6


def test_default_cohort_is_hard_but_learnable_and_the_null_cohort_is_noise(default, null):
    assert 0.75 < held_out_auc(features(default), cases(default)) < 0.95
    assert 0.38 < held_out_auc(features(null), cases(null)) < 0.62
    p = welch(features(null)[:, :2500], cases(null))
    assert 0.01 < (p < 0.05).mean() < 0.12
    assert null.truth.empty


def test_labels_are_independent_of_batch_site_subtype_and_purity():
    samples = make(n_samples=3000, n_genes=100, n_markers=20, nonlinear=True).samples
    case = samples["status"] == "case"
    for column in ("batch", "subtype"):
        assert case.groupby(samples[column]).mean().between(0.34, 0.46).all()
    assert ttest_ind(samples["purity"][case], samples["purity"][~case]).pvalue > 0.01


def test_expression_spreads_and_correlates_as_in_tumours(default):
    """Quantiles of miniACC (198 cancer genes, 79 tumours), on as many samples and genes."""
    rng = np.random.default_rng(0)
    counts = default.layer("expression")
    values = counts / counts.sum(axis=1, keepdims=True) * 20e6 / 20_531 * 2_500
    rows = rng.choice(500, 79, replace=False)
    shown = rng.choice(np.flatnonzero(values.mean(axis=0) > 5), 198, replace=False)
    x = values[np.ix_(rows, shown)].astype(float)
    mean = x.mean(axis=0)
    dispersion = (x.var(axis=0, ddof=1) - mean) / mean**2
    measured = [0.106, 0.216, 0.431, 1.171]
    ratio = np.percentile(dispersion, [5, 25, 50, 75]) / measured
    assert ((ratio > 0.55) & (ratio < 1.6)).all()
    low, high = mean < np.median(mean), mean >= np.median(mean)
    assert np.median(dispersion[low]) > 1.2 * np.median(dispersion[high])
    logged = np.log2(x + 1)
    spread = 1.4826 * np.median(np.abs(logged - np.median(logged, axis=0)), axis=0)
    assert np.percentile(spread, [10, 50, 90]) == pytest.approx([0.46, 0.77, 1.84], rel=0.3)
    r = np.corrcoef(logged.T)[np.triu_indices(198, 1)]
    assert np.percentile(np.abs(r), [50, 90, 99]) == pytest.approx([0.13, 0.32, 0.54], abs=0.07)


def test_copy_number_is_like_that_of_tcga(default):
    copies = default.layer("copy_number")
    share = (np.abs(copies) > 0.2).mean(axis=1)
    assert np.quantile(share, [0.25, 0.5, 0.75]) == pytest.approx([0.07, 0.2, 0.4], abs=0.07)
    assert np.quantile(share, 0.05) < 0.03
    assert np.quantile(share, 0.95) == pytest.approx(0.72, abs=0.12)
    assert (copies > 0.2).mean() == pytest.approx(0.129, abs=0.04)
    assert (copies < -0.2).mean() == pytest.approx(0.133, abs=0.04)
    assert (copies > 0.7).mean() == pytest.approx(0.012, abs=0.008)
    assert np.median(copies.std(axis=1)) == pytest.approx(0.221, abs=0.05)
    genes = default.genes
    arms = pd.Series(bands(genes["chromosome"], genes["start"])).str.extract(r"(\w+[pq])")[0]
    large = [np.flatnonzero(arms == arm) for arm in arms.unique() if (arms == arm).sum() > 15]
    whole = [np.maximum(*((s * copies[:, at] > 0.2).mean(axis=1) for s in (1, -1))) for at in large]
    altered = (np.array(whole) > 0.7).mean(axis=1) * 44
    assert altered.mean() == pytest.approx(8.5, abs=2.5)
    partly = ((np.array(whole) > 0.1) & (np.array(whole) < 0.7)).mean()
    assert partly == pytest.approx(0.118, abs=0.05)


def test_segments_are_as_many_and_as_long_as_those_of_tcga():
    levels, noise = draw_steps(np.random.default_rng(2), np.arange(400), 400)
    ends = np.concatenate([levels.sample, noise.sample])
    assert np.quantile(np.bincount(ends), [0.25, 0.5, 0.75]) == pytest.approx(
        [53, 90, 162], rel=0.35
    )
    half = len(levels.place) // 2
    length = levels.place[half:] - levels.place[:half]
    focal = length[length < 20]
    assert np.median(focal) == pytest.approx(0.32, rel=0.5)
    assert (focal < 3).mean() == pytest.approx(0.81, abs=0.08)


def test_copy_number_follows_the_genome_and_moves_expression(default):
    copies = default.layer("copy_number")
    chromosome = default.genes["chromosome"].to_numpy()
    z = standardised(copies)
    neighbours = (z[:, :-1] * z[:, 1:]).mean(axis=0)
    assert np.median(neighbours[chromosome[:-1] == chromosome[1:]]) > 0.8
    assert np.median(np.abs(neighbours[chromosome[:-1] != chromosome[1:]])) < 0.15
    expressed = default.layer("expression").mean(axis=0) > 10
    cis = (z * standardised(log_cpm(default))).mean(axis=0)[expressed]
    measured = [-0.02, 0.14, 0.28, 0.42, 0.54]
    assert np.percentile(cis, [10, 25, 50, 75, 90]) == pytest.approx(measured, abs=0.12)


def test_mutations_follow_burden_and_drivers(default):
    calls = default.layer("mutation")
    exome = calls.sum(axis=1) * 19_000 / calls.shape[1]
    assert 80 < np.median(exome) < 170  # TCGA-HNSC 106, plus drivers and markers
    assert np.percentile(exome, 90) / np.median(exome) > 2
    rate = pd.Series(calls.mean(axis=0), index=default.genes.index)
    others = rate.drop(default.truth["gene"].unique()).drop(list(DRIVERS))
    assert 0.002 < others.median() < 0.012
    assert rate["TP53"] == pytest.approx(DRIVERS["TP53"], abs=0.07)


def test_library_sizes_and_batches_show(default):
    total = default.layer("expression").sum(axis=1)
    per_gene = np.median(total) / 2_500 * 20_531
    assert 25e6 < per_gene < 60e6
    assert 0.25 < np.log(total).std() < 0.45
    x, batch = log_cpm(default), default.samples["batch"]
    p = f_oneway(*(x[(batch == name).to_numpy()] for name in batch.unique())).pvalue
    assert (p < 0.05).mean() > 0.4
    assert default.samples.groupby("site")["batch"].nunique().max() == 1


def test_normals_belong_to_patients_and_have_no_events():
    cohort = small(normal_fraction=0.25, nonlinear=True, n_genes=1000)
    normal = (cohort.samples["sample_type"] == "11").to_numpy()
    assert normal.sum() == 30
    assert set(cohort.patients[normal]) <= set(cohort.patients[~normal])
    assert cohort.samples.groupby("patient")["status"].nunique().max() == 1
    assert (cohort.samples.loc[normal, "purity"] == 0).all()
    assert (cohort.samples.loc[normal, "subtype"] == "normal").all()
    copies = cohort.layer("copy_number")[normal]
    assert copies.std() < 0.1  # noise
    assert (np.abs(copies) < 0.3).all()
    assert not cohort.layer("mutation")[normal].any()
    assert (welch(log_cpm(cohort), normal) < 0.01).mean() > 0.1


def test_purity_dilutes_copy_number(default):
    purity = default.samples["purity"].to_numpy()
    spread = default.layer("copy_number").std(axis=1)
    pure = purity > np.median(purity)
    assert spread[pure].mean() > 1.2 * spread[~pure].mean()


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_class_imbalance_is_exact(fraction):
    assert cases(small(positive_fraction=fraction)).sum() == 120 * fraction


def test_subtypes_shift_expression_and_are_as_many_as_asked():
    cohort = small(n_subtypes=3, n_samples=300, n_genes=500)
    subtype = cohort.samples["subtype"]
    assert subtype.nunique() == 3
    x = log_cpm(cohort)
    p = f_oneway(*(x[(subtype == name).to_numpy()] for name in subtype.unique())).pvalue
    assert 0.03 < (p < 0.001).mean() < 0.3


def test_moving_modules_go_with_the_label_together_and_are_no_markers():
    cohort = make(n_genes=1000, n_markers=40, moving_modules=2, seed=3)
    moving = list(cohort.data.uns["moving_genes"])
    assert len(moving) == len(set(moving)) == 60
    assert not set(moving) & set(cohort.truth["gene"])
    x, case = log_cpm(cohort), cases(cohort)
    moves = cohort.genes.index.isin(moving)
    p = welch(x, case)
    assert (p[moves] < 0.01).mean() > 0.6
    others = ~moves & ~cohort.genes.index.isin(cohort.truth["gene"])
    assert (p[others] < 0.01).mean() < 0.03
    first = cohort.genes.index.get_indexer(moving[:30])
    within = standardised(np.where(case[:, None], x - x[case].mean(0), x - x[~case].mean(0)))
    r = np.abs(np.corrcoef(within[:, first].T)[np.triu_indices(30, 1)])
    assert 0.2 < np.median(r) < 0.7


def test_moving_modules_leave_the_other_draws_as_they_are():
    still, moved = small(seed=2, nonlinear=True), small(seed=2, nonlinear=True, moving_modules=1)
    pd.testing.assert_frame_equal(still.samples, moved.samples)
    assert still.truth.equals(moved.truth)
    for channel in ("copy_number", "mutation"):
        np.testing.assert_array_equal(still.layer(channel), moved.layer(channel))


def test_a_null_cohort_whose_modules_move_can_be_classified_without_any_marker():
    cohort = make(n_genes=600, n_markers=0, moving_modules=2, normal_fraction=0.2)
    tumour = (cohort.samples["sample_type"] == "01").to_numpy()
    case = cases(cohort)
    x = features(cohort)
    assert cohort.truth.empty
    assert held_out_auc(x[tumour], case[tumour]) > 0.65
    at = cohort.genes.index.get_indexer(cohort.data.uns["moving_genes"])
    assert (welch(x[~tumour][:, at], case[~tumour]) < 0.01).mean() < 0.1  # normals do not move


def test_other_patients_have_the_same_biology():
    one, two = (
        make(n_genes=600, n_markers=60, effect=2.0, moving_modules=1, patients=patients, seed=4)
        for patients in (1, 2)
    )
    assert one.truth.equals(two.truth)
    assert list(one.data.uns["moving_genes"]) == list(two.data.uns["moving_genes"])
    assert not set(one.patients) & set(two.patients)
    assert one.samples["purity"].to_numpy() != pytest.approx(two.samples["purity"].to_numpy())
    x, y = log_cpm(one), log_cpm(two)
    assert np.corrcoef(x.mean(axis=0), y.mean(axis=0))[0, 1] > 0.97
    at = one.genes.index.get_indexer(one.truth.query("channel == 'expression'")["gene"])
    shifts = [
        v[cases(c)][:, at].mean(0) - v[~cases(c)][:, at].mean(0) for v, c in ((x, one), (y, two))
    ]
    assert np.corrcoef(shifts)[0, 1] > 0.8


def test_an_array_measures_the_same_rna_on_another_scale_with_fewer_genes():
    sequenced = make(n_genes=1000, seed=6)
    array = make(n_genes=1000, seed=6, platform="array")
    assert array.channels == ["expression"]
    assert array.scale == "log2"
    assert array.truth.equals(sequenced.truth)
    assert len(array.genes) == 700
    assert list(array.genes.index) != sorted(array.genes.index, key=sequenced.genes.index.get_loc)
    other = make(n_genes=1000, seed=6, platform="array", patients=2)
    assert list(array.genes.index) == list(other.genes.index)

    at = sequenced.genes.index.get_indexer(array.genes.index)
    rna, light = log_cpm(sequenced)[:, at], array.layer("expression")
    assert np.percentile(light, [0, 100]) == pytest.approx([4.5, 14.5], abs=1)
    assert not np.isnan(light).any()
    level = rna.mean(axis=0)
    r = (standardised(rna) * standardised(light)).mean(axis=0)
    usual = (level > 7) & (light.mean(axis=0) < 12)
    assert np.median(r[usual]) > 0.9
    assert np.median(r[light.mean(axis=0) < 5.1]) < 0.5  # nothing but background
    bright = (level > 7) & (light.mean(axis=0) > 13.5)
    slope = [np.median(light[:, rows].std(0) / rna[:, rows].std(0)) for rows in (bright, usual)]
    assert slope[0] < 0.7 * slope[1]
    assert np.corrcoef(level[usual], light.mean(axis=0)[usual])[0, 1] < 0.95  # affinities


def test_more_genes_than_known_is_an_error_that_names_the_limit():
    with pytest.raises(SourceError, match=r"n_genes.*60000.*only 3\d{4}"):
        make(n_genes=60_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_markers": 900}, "more than a fifth"),
        ({"n_markers": 5}, "at least 10"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"normal_fraction": 0.6}, "less than or equal to 0.5"),
        ({"moving_shift": 0.0}, "greater than 0"),
        ({"moving_modules": 9}, "less than or equal to 8"),
        ({"patients": 0}, "greater than or equal to 1"),
        ({"platform": "chip"}, "'rnaseq' or 'array'"),
    ],
)
def test_impossible_requests_are_refused(raw_params, change, message):
    raw = raw_params | {"cohorts": {**raw_params["cohorts"]}}
    entry = raw["cohorts"]["simulated"]
    raw["cohorts"]["simulated"] = entry | {"source": entry["source"] | change}
    with pytest.raises(ParamsError, match=message):
        parse_params(raw)
