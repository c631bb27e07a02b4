"""Attribution, ranking, stability and recovery, against values worked out by hand."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from sklearn.metrics import average_precision_score

from oncopixel.core.params import parse_params
from oncopixel.images.preprocessor import Preprocessor
from oncopixel.markers.attribution import Explanation, explain, integrated_gradients
from oncopixel.markers.effects import contrast, t_test, welch
from oncopixel.markers.ranking import COLUMNS, rank_genes, score_table
from oncopixel.markers.recovery import marker_recovery, recovery
from oncopixel.markers.stability import nogueira, top_candidates
from oncopixel.networks.saved import Linear

SHAPE = (3, 4, 2)


def ensemble(members: list) -> keras.Model:
    """Members `images -> (classes,)` as one model, `images -> (members, classes)`."""
    images = keras.Input(SHAPE)
    rows = [layers.Reshape((1, -1))(member(images)) for member in members]
    return keras.Model(images, layers.Concatenate(axis=1)(rows) if len(rows) > 1 else rows[0])


def linear(n_classes: int, seed: int) -> keras.Model:
    images = keras.Input(SHAPE)
    dense = layers.Dense(n_classes, kernel_initializer=keras.initializers.GlorotUniform(seed))
    return keras.Model(images, dense(layers.Flatten()(images)))


def weights(model: keras.Model) -> np.ndarray:
    """`(height, width, channels, classes)` weights of a `linear` model."""
    return model.get_weights()[0].reshape(*SHAPE, -1)


def curved(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    images = keras.Input(SHAPE)
    x = layers.Conv2D(4, 2, activation="relu")(images)
    x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(2)(x))


def draw(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(np.float32)


def test_linear_model_gets_weight_times_change() -> None:
    members = [linear(2, 1), linear(2, 2)]
    images, baseline = draw(5), draw(1, seed=9)[0]
    found = integrated_gradients(ensemble(members), images, baseline, 1)
    weight = np.mean([weights(m)[..., 1] - weights(m)[..., 0] for m in members], axis=0)
    np.testing.assert_allclose(found.pixels, weight * (images - baseline), atol=1e-6)
    assert found.pixels.dtype == np.float32
    assert found.completeness.max() < 1e-5


def test_class_is_set_against_the_mean_of_the_others() -> None:
    model = linear(3, 1)
    images, baseline = draw(4), np.zeros(SHAPE, np.float32)
    found = integrated_gradients(ensemble([model]), images, baseline, 0)
    w = weights(model)
    weight = w[..., 0] - (w[..., 1] + w[..., 2]) / 2
    np.testing.assert_allclose(found.pixels, weight * images, atol=1e-6)


def test_product_of_two_pixels_is_shared_equally() -> None:
    images = keras.Input(SHAPE)
    flat = layers.Flatten()(images)
    product = layers.Multiply()([flat[:, :1], flat[:, 1:2]])
    model = keras.Model(images, layers.Concatenate()([product * 0.0, product]))
    x = draw(6)
    found = integrated_gradients(ensemble([model]), x, np.zeros(SHAPE, np.float32), 1)
    half = (x[:, 0, 0, 0] * x[:, 0, 0, 1]) / 2
    np.testing.assert_allclose(found.pixels[:, 0, 0], np.stack([half, half], axis=1), atol=1e-6)
    assert not found.pixels[:, 1:].any()


def test_attributions_of_a_curved_model_add_up() -> None:
    model, images = ensemble([curved(1), curved(2)]), draw(40)
    baseline = images.mean(axis=0)
    found = integrated_gradients(model, images, baseline, 1, steps=256)
    logits = np.asarray(model(np.concatenate([images, baseline[None]]))).mean(axis=1)
    change = (logits[:-1, 1] - logits[:-1, 0]) - (logits[-1, 1] - logits[-1, 0])
    total = found.pixels.sum(axis=(1, 2, 3))
    expected = np.abs(total - change) / np.maximum(np.abs(change), 0.1)
    np.testing.assert_allclose(found.completeness, expected, atol=1e-4)
    assert found.completeness.max() <= 0.01


def test_more_points_are_used_only_where_they_are_needed() -> None:
    model, images = ensemble([curved(1)]), draw(40)
    four, many = (
        integrated_gradients(model, images, images.mean(axis=0), 1, steps=steps)
        for steps in (4, 256)
    )
    enough = four.completeness <= 0.01
    assert 0 < enough.sum() < len(images)
    np.testing.assert_array_equal(four.pixels[enough], many.pixels[enough])
    assert (many.completeness[~enough] < four.completeness[~enough]).all()


def test_attribution_of_a_sample_does_not_depend_on_its_company() -> None:
    model, images = ensemble([curved(1)]), draw(150)
    baseline = images.mean(axis=0)
    together = integrated_gradients(model, images, baseline, 1)
    alone = integrated_gradients(model, images[[140, 3]], baseline, 1)
    np.testing.assert_allclose(alone.pixels, together.pixels[[140, 3]], atol=1e-5)


def test_score_is_the_difference_of_class_means() -> None:
    model, images = linear(2, 1), draw(30)
    y = np.arange(30) % 2
    images[y == 1, 0, 0, 0] += 3
    found = explain(ensemble([model]), images, y, 2)
    weight = weights(model)[..., 1] - weights(model)[..., 0]
    shift = images[y == 1].mean(axis=0) - images[y == 0].mean(axis=0)
    np.testing.assert_allclose(found.score, np.abs(weight * shift), atol=1e-5)
    assert (found.target == 1).all()
    assert found.completeness.shape == (30,)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_linear_path_is_attributed_in_closed_form(n_classes: int) -> None:
    model = linear(n_classes, 3)
    images, y = draw(12), np.arange(12) % n_classes
    numerical = explain(ensemble([model]), images, y, n_classes)
    exact = explain(Linear(*model.get_weights(), SHAPE), images, y, n_classes)
    np.testing.assert_allclose(exact.score, numerical.score, atol=1e-4)
    np.testing.assert_allclose(exact.by_class, numerical.by_class, atol=1e-4)
    np.testing.assert_array_equal(exact.target, numerical.target)


def test_models_of_one_architecture_share_a_gradient_but_not_their_weights() -> None:
    images, baseline = draw(5), np.zeros(SHAPE, np.float32)
    model = ensemble([linear(2, 1)])
    before = integrated_gradients(model, images, baseline, 1).pixels
    model.set_weights([2 * weight for weight in model.get_weights()])
    after = integrated_gradients(model, images, baseline, 1).pixels
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5)


def test_several_classes_name_the_one_that_a_pixel_tells_apart() -> None:
    images = keras.Input(SHAPE)
    flat = layers.Flatten()(images)
    model = keras.Model(images, layers.Concatenate()([flat[:, 0:1], flat[:, 1:2], flat[:, 2:3]]))
    y = np.arange(60) % 3
    x = draw(60) * 0.1
    for k in range(3):
        x[y == k, 0, k // 2, k % 2] += 2
    found = explain(ensemble([model]), x, y, 3)
    assert found.target.reshape(-1)[:3].tolist() == [0, 1, 2]
    assert found.score.reshape(-1)[:3].min() > 1
    assert not found.score.reshape(-1)[3:].any()
    assert found.completeness.shape == (180,)


def test_equal_selections_are_perfectly_stable() -> None:
    chosen = np.tile(np.arange(20) < 5, (4, 1))
    found = nogueira(chosen)
    assert (found.index, found.low, found.high) == (1.0, 1.0, 1.0)


def test_stability_worked_out_by_hand() -> None:
    # p = 1, 2/3, 1/3, 0; spread = 3/2 * (2/9 + 2/9) / 4 = 1/6; chance = 1/4; index = 1/3.
    # Influences 10/3, 10/3, 8/3 have variance 8/81; half width 1.95996 * sqrt(8/81 / 3).
    chosen = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]], dtype=bool)
    found = nogueira(chosen)
    half = 1.959964 * np.sqrt(8 / 243)
    assert (found.index, found.low, found.high) == pytest.approx(
        (1 / 3, 1 / 3 - half, 1 / 3 + half)
    )
    assert nogueira(np.array([[1, 1, 0, 0], [1, 0, 1, 0]])).index == pytest.approx(0)


def test_stability_of_sets_of_different_size_equals_the_published_formula() -> None:
    chosen = np.array(
        [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 1, 1]]
    )
    n, d = chosen.shape
    p, k = chosen.mean(axis=0), chosen.sum(axis=1)
    mean = p.sum()
    chance = mean / d * (1 - mean / d)
    index = 1 - n / (n - 1) * np.mean(p * (1 - p)) / chance
    phi = [
        (np.mean(row * p) - size * mean / d**2
         + index / 2 * (2 * size * mean / d**2 - size / d - mean / d + 1)) / chance
        for row, size in zip(chosen, k, strict=True)
    ]  # fmt: skip
    half = 1.959964 * np.sqrt(4 / n**2 * np.sum((phi - np.mean(phi)) ** 2))
    found = nogueira(chosen)
    assert (found.index, found.low, found.high) == pytest.approx(
        (index, index - half, index + half)
    )


def test_random_selections_have_no_stability_and_the_interval_covers() -> None:
    rng = np.random.default_rng(0)
    share = np.where(np.arange(50) < 10, 0.7, 0.05)
    truth = 1 - np.mean(share * (1 - share)) / (share.mean() * (1 - share.mean()))
    found = [nogueira(rng.random((30, 50)) < share) for _ in range(300)]
    assert np.mean([s.low <= truth <= s.high for s in found]) > 0.9
    assert np.mean([s.index for s in found]) == pytest.approx(truth, abs=0.02)
    chance = [nogueira(rng.random((5, 200)) < 0.1).index for _ in range(200)]
    assert np.mean(chance) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("chosen", [np.zeros((3, 5)), np.ones((3, 5)), np.eye(1, 5)])
def test_undefined_stability_is_nan(chosen: np.ndarray) -> None:
    found = nogueira(chosen)
    assert np.isnan([found.index, found.low, found.high]).all()


def table_of(scores: list[list[float]], genes: str) -> pd.DataFrame:
    return pd.DataFrame(scores, columns=pd.MultiIndex.from_product([list(genes), ["expression"]]))


def test_each_model_selects_its_best_but_nothing_that_it_scores_zero() -> None:
    chosen = top_candidates(table_of([[3, 2, 1, 0], [0, 0, 0, 5]], "ABCD"), 2)
    assert chosen.to_numpy().tolist() == [[True, True, False, False], [False, False, False, True]]


def test_ties_are_broken_by_name_not_by_order() -> None:
    for genes in ("BDAC", "CADB"):
        chosen = top_candidates(table_of([[1, 1, 1, 1]], genes), 2).iloc[0]
        assert [gene for gene, _ in chosen[chosen].index] == ["A", "B"]


def test_effects_equal_scipys() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    y = (np.arange(40) < 13).astype(int)
    features = rng.normal(size=(40, 6, 2)).astype(np.float32)
    features[y == 1, 0] += 1.5
    difference, g, error, t = contrast(features, y, 1)
    a, b = features[y == 1].astype(float), features[y == 0].astype(float)
    np.testing.assert_allclose(t, ttest_ind(a, b, equal_var=False).statistic, rtol=1e-6)
    pooled = np.sqrt((12 * a.var(axis=0, ddof=1) + 26 * b.var(axis=0, ddof=1)) / 38)
    np.testing.assert_allclose(difference, a.mean(axis=0) - b.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(g, difference / pooled * (1 - 3 / 151), rtol=1e-6)
    np.testing.assert_allclose(error, np.sqrt(40 / (13 * 27) + g**2 / 80), rtol=1e-6)
    np.testing.assert_array_equal(t_test(features, y, 2), np.abs(t))


def test_constant_features_have_no_effect() -> None:
    y = np.arange(10) % 2
    _, g, _, t = contrast(np.ones((10, 3), np.float32), y, 1)
    assert not g.any()
    assert not t.any()


@pytest.fixture
def pre(raw_params: dict) -> Preprocessor:
    genes = pd.DataFrame(
        {
            "gene": ["EGFR", "KRAS", "TP53"],
            "ensembl_id": ["ENSG1", "ENSG2", "ENSG3"],
            "chromosome": ["7", "12", "17"],
            "start": [1, 2, 3],
            "row": [0, 1, 1],
            "col": [1, 0, 1],
            "expression_center": [5.0, 6.0, 7.0],
            "expression_scale": [2.0, 0.5, np.inf],
            "mutation_center": 0.0,
            "mutation_scale": 1.0,
        }
    )
    return Preprocessor(
        genes, ["expression", "mutation"], (2, 2), "rsem", ["normal", "tumour"],
        parse_params(raw_params).preprocess,
    )  # fmt: skip


def ranked(pre: Preprocessor) -> pd.DataFrame:
    """KRAS expression lower in tumours, EGFR expression higher, TP53 mutation not shifted."""
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    features = rng.normal(size=(80, 3, 2)).astype(np.float32)
    features[:, 2, 0] = 0
    features[y == 1, 1, 0] -= 4
    features[y == 1, 0, 0] += 2
    features[:, 2, 1] = np.tile([0, 0, 1, 1], 20)
    score = np.zeros((2, 2, 2), np.float32)
    score[1, 0, 0], score[0, 1, 0], score[1, 1, 1] = 3, 1, 2
    by_class = np.zeros((2, 2, 2, 2), np.float32)
    found = Explanation(score, np.ones((2, 2, 2), np.int32), by_class, np.zeros(80))
    return rank_genes(pre, found, features, y)


def test_ranking_says_what_is_known_of_each_gene(pre: Preprocessor) -> None:
    table = ranked(pre)
    assert tuple(table) == COLUMNS
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert list(zip(table["gene"], table["channel"], strict=True))[:3] == [
        ("KRAS", "expression"), ("TP53", "mutation"), ("EGFR", "expression"),
    ]  # fmt: skip
    assert table["direction"].tolist()[:3] == ["down", "mixed", "up"]
    assert table["score"].tolist()[:3] == [3, 2, 1]
    level = dict(zip(pre.genes["gene"], pre.genes["expression_center"], strict=True))
    assert table["level"].tolist() == [level[gene] for gene in table["gene"]]
    assert table.loc[0, ["ensembl_id", "chromosome", "row", "col"]].tolist() == [
        "ENSG2",
        "12",
        1,
        0,
    ]
    assert (table["class"] == "tumour").all()


def test_fold_change_is_in_log2_units_of_expression(pre: Preprocessor) -> None:
    table = ranked(pre).set_index(["gene", "channel"])["log2_fold_change"]
    assert table["KRAS", "expression"] == pytest.approx(-4 * 0.5, abs=0.2)
    assert table["EGFR", "expression"] == pytest.approx(2 * 2, abs=0.8)
    assert table[[("TP53", "expression"), ("KRAS", "mutation")]].isna().all()


def test_ties_of_the_ranking_stand_in_the_order_of_names(pre: Preprocessor) -> None:
    tail = ranked(pre).iloc[3:]
    assert list(zip(tail["gene"], tail["channel"], strict=True)) == [
        ("EGFR", "mutation"), ("KRAS", "mutation"), ("TP53", "expression"),
    ]  # fmt: skip


def test_effect_speaks_of_the_class_that_the_score_names(pre: Preprocessor) -> None:
    from dataclasses import replace

    pre = replace(pre, classes=["a", "b", "c"])
    y = np.arange(90) % 3
    features = np.random.default_rng(0).normal(size=(90, 3, 2)).astype(np.float32)
    features[y == 2, 0, 0] += 3
    target = np.zeros((2, 2, 2), np.int32)
    target[0, 1, 0] = 2
    score = np.zeros((2, 2, 2), np.float32)
    score[0, 1, 0] = 1
    found = Explanation(score, target, np.zeros((3, 2, 2, 2), np.float32), np.zeros(270))
    first = rank_genes(pre, found, features, y)
    assert first.loc[0, ["gene", "class", "direction"]].tolist() == ["EGFR", "c", "up"]
    assert first.loc[0, "effect"] == pytest.approx(contrast(features, y, 2)[1][0, 0])


def test_recovery_equals_sklearn_and_counts_hits() -> None:
    rng = np.random.default_rng(0)
    scores, marker = rng.random(100), rng.random(100) < 0.2
    found = recovery(scores, marker, 10)
    assert found.auprc == pytest.approx(average_precision_score(marker, scores))
    assert found.precision_at_k == marker[np.argsort(-scores)[:10]].mean()
    assert (found.n_markers, found.chance) == (marker.sum(), marker.mean())


def test_ties_at_the_border_count_by_their_share_in_any_order() -> None:
    scores = np.array([9.0, 1, 1, 1, 1, 0])
    for marker in ([1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0]):
        assert recovery(scores, np.array(marker), 3).precision_at_k == pytest.approx(
            (1 + 2 / 4) / 3
        )


def test_recovery_without_markers_is_undefined() -> None:
    found = recovery(np.arange(5.0), np.zeros(5), 2)
    assert np.isnan([found.auprc, found.precision_at_k]).all()
    assert found.n_markers == 0


def test_each_method_and_kind_is_scored_on_its_own_markers() -> None:
    genes, channels = ["A", "B", "C", "D"], ["expression", "mutation"]
    truth = pd.DataFrame(
        {
            "gene": ["A", "B", "Z"],
            "channel": ["expression", "mutation", "expression"],
            "kind": ["linear", "xor", "linear"],
        }
    )
    perfect = np.zeros((4, 2))
    perfect[0, 0], perfect[1, 1] = 2, 1
    half = np.zeros((4, 2))
    half[0, 0] = 1
    table = marker_recovery(
        {
            "cnn": score_table(perfect, genes, channels),
            "t_test": score_table(half, genes, channels),
        },
        truth,
        2,
    ).set_index(["method", "kind"])
    assert table["auprc"]["cnn"].tolist() == [1, 1, 1]
    assert table["n_markers"]["cnn"].tolist() == [2, 1, 1]
    assert table.loc[("t_test", "linear"), "auprc"] == 1
    assert table.loc[("t_test", "xor"), "auprc"] == pytest.approx(1 / 7)
    assert table.loc[("cnn", "all"), "precision_at_k"] == 1
    assert table.loc[("t_test", "all"), "precision_at_k"] == pytest.approx((1 + 1 / 7) / 2)


def test_without_planted_markers_nothing_is_recovered() -> None:
    table = score_table(np.array([2.0, 1.0]), ["A", "B"], ["expression"])
    truth = pd.DataFrame({"gene": [], "channel": [], "kind": []})
    nothing = marker_recovery({"cnn": table}, truth, 1)
    assert nothing.empty
    assert list(nothing) == ["method", "kind", "auprc", "precision_at_k", "n_markers", "chance"]


def test_welch_is_scipys_and_equal_means_give_one() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(1)
    x, z = rng.standard_normal((30, 5)), 3 * rng.standard_normal((12, 5)) + 1
    np.testing.assert_allclose(welch(x, z), ttest_ind(x, z, equal_var=False).pvalue, rtol=1e-6)
    assert (welch(np.ones((4, 2)), np.ones((3, 2))) == 1).all()


def test_attribution_of_each_class_is_the_mean_of_its_samples() -> None:
    model, images = ensemble([linear(2, 1)]), draw(20)
    y = np.arange(20) % 2
    found = explain(model, images, y, 2)
    whole = integrated_gradients(model, images, images.mean(axis=0), 1).pixels
    for label in (0, 1):
        expected = whole[y == label].mean(axis=0)
        np.testing.assert_allclose(found.by_class[label], expected, atol=1e-5)
