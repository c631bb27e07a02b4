"""Fitted on training samples only, the same whatever the order, and exactly invertible."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.core.errors import ArtifactError, ParamsError, SourceError
from oncopixel.core.params import CohortParams, PreprocessParams
from oncopixel.core.storage import read_parquet, sha256, write_parquet
from oncopixel.images import normalisation
from oncopixel.images.covariates import missing_values
from oncopixel.images.folds import fold_arrays
from oncopixel.images.preprocessing import features, fit, match_genes, match_report
from oncopixel.images.preprocessor import (
    Preprocessor,
    read_preprocessor,
    to_features,
    to_images,
    write_preprocessor,
)
from oncopixel.images.splits import Fold

CHANNELS = ["expression", "copy_number", "mutation"]


def params(**changes: object) -> PreprocessParams:
    values = {
        "normalise": "auto",
        "min_expressed_fraction": 0.2,
        "genes": "top_variance",
        "clip": 6.0,
        "mutation_encoding": "binary",
        "layout": "genomic",
        "seed": 1,
    }
    return PreprocessParams.model_validate(values | changes)


def cohort_of(
    expression: np.ndarray,
    scale: str = "log2",
    copy_number: np.ndarray | None = None,
    mutation: np.ndarray | None = None,
) -> Cohort:
    n_samples, n_genes = expression.shape
    samples = pd.DataFrame(
        {"patient": [f"p{i}" for i in range(n_samples)]}, index=[f"s{i}" for i in range(n_samples)]
    )
    genes = pd.DataFrame(
        {
            "ensembl_id": [f"ENSG{i:011d}" for i in range(n_genes)],
            "chromosome": [str(1 + i % 22) for i in range(n_genes)],
            "start": np.arange(n_genes) * 10,
        },
        index=[f"G{i}" for i in range(n_genes)],
    )

    def frame(values: np.ndarray | None) -> pd.DataFrame | None:
        return None if values is None else pd.DataFrame(values, samples.index, genes.index)

    cohort = build_cohort(
        frame(expression),
        samples,
        genes,
        scale=scale,
        origin="test",
        copy_number=frame(copy_number),
        mutation=frame(mutation),
    )
    cohort.data.obs["label"] = np.where(np.arange(n_samples) % 2, "tumour", "normal")
    cohort.data.uns["classes"] = np.array(["normal", "tumour"], dtype=object)
    return cohort


def random_cohort(n_samples: int = 30, n_genes: int = 20, seed: int = 0) -> Cohort:
    """Counts in three channels, some not measured; library sizes differ by a factor of four."""
    rng = np.random.default_rng(seed)
    means = rng.gamma(1.0, 300.0, n_genes) * rng.uniform(0.5, 2.0, (n_samples, 1))
    copies = rng.normal(0, 0.4, (n_samples, n_genes))
    copies[rng.random(copies.shape) < 0.1] = np.nan
    mutated = (rng.random((n_samples, n_genes)) < 0.2).astype(float)
    mutated[:3] = np.nan
    return cohort_of(rng.poisson(means).astype(float), "counts", copies, mutated)


def permuted_genes(cohort: Cohort, order: np.ndarray) -> Cohort:
    return Cohort(cohort.data[:, order].copy())


def fitted(cohort: Cohort, image: tuple[int, int] = (4, 4), **changes: object) -> Preprocessor:
    return fit(cohort, params(**changes), channels=cohort.channels, image=image)


def test_counts_become_standardised_log2_cpm_by_hand() -> None:
    counts = np.array([[10, 30, 60], [40, 40, 120], [5, 0, 95]], dtype=float)
    pre = fit(cohort_of(counts, "counts"), params(), channels=["expression"], image=(2, 2))
    log2_cpm = np.log2(counts / counts.sum(axis=1, keepdims=True) * 1e6 + 1)
    expected = (log2_cpm - log2_cpm.mean(axis=0)) / log2_cpm.std(axis=0)
    result = features(pre, cohort_of(counts, "counts"))
    assert list(pre.genes["gene"]) == ["G0", "G1", "G2"]
    np.testing.assert_allclose(result[:, :, 0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(pre.genes["expression_center"], log2_cpm.mean(axis=0), rtol=1e-6)


def test_upper_quartile_is_of_expressed_genes_and_becomes_1000() -> None:
    values = np.array([[0, 1, 2, 3, 4, 8], [0, 0, 1, 2, 9, 0]], dtype=float)
    logged = normalisation.to_log2(values.astype(np.float32), "rsem", "upper_quartile")
    expected = values * 1000 / np.array([[4.0], [5.5]])
    np.testing.assert_allclose(logged, np.log2(expected + 1), rtol=1e-5)


@pytest.mark.parametrize("scale", ["rsem", "tpm", "fpkm"])
def test_normalised_values_are_logged_and_no_more(scale: str) -> None:
    values = np.random.default_rng(1).gamma(2.0, 50.0, (12, 5))
    pre = fitted(cohort_of(values, scale))
    logged = fitted(cohort_of(np.log2(values + 1), "log2"))
    np.testing.assert_allclose(
        features(pre, cohort_of(values, scale)),
        features(logged, cohort_of(np.log2(values + 1), "log2")),
        atol=1e-4,
    )


def test_only_expressed_varying_genes_stay() -> None:
    values = np.tile([5.0, 5.0, 0.2, 5.0], (10, 1))
    values[:, 0] += np.arange(10)  # stays
    values[:2, 2] = 7  # expressed in 20 %: stays
    values[0, 3] = np.nan  # constant where measured: goes
    assert list(fitted(cohort_of(values)).genes["gene"]) == ["G0", "G2"]
    assert list(fitted(cohort_of(values), min_expressed_fraction=0.3).genes["gene"]) == ["G0"]


def test_the_most_variable_genes_get_the_pixels() -> None:
    rng = np.random.default_rng(0)
    values = 8 + rng.normal(size=(40, 9)) * np.array([1, 5, 2, 9, 3, 8, 4, 7, 6]) / 5
    pre = fitted(cohort_of(values), image=(2, 2))
    assert sorted(pre.genes["gene"]) == ["G3", "G5", "G7", "G8"]


def test_all_genes_need_an_image_that_holds_them() -> None:
    cohort = random_cohort()
    assert len(fitted(cohort, image=(5, 5), genes="all").genes) == 20
    with pytest.raises(ParamsError, match=r"20 genes do not fit in 16 pixels.*image to \[5, 5\]"):
        fitted(cohort, genes="all")


def test_held_out_values_change_nothing() -> None:
    cohort = random_cohort(40)
    train = np.arange(0, 40, 2)
    changed = random_cohort(40)
    for channel in CHANNELS:
        changed.data.layers[channel][1::2] = 1_000
    for layout in ("genomic", "random"):
        before = fitted(cohort.take(train), layout=layout)
        after = fitted(changed.take(train), layout=layout)
        pd.testing.assert_frame_equal(before.genes, after.genes, check_exact=True)


@settings(derandomize=True, deadline=None, max_examples=8)
@given(seed=st.integers(0, 1_000), layout=st.sampled_from(["genomic", "random"]))
def test_the_order_of_samples_does_not_matter(seed: int, layout: str) -> None:
    cohort = random_cohort(seed=seed)
    order = np.random.default_rng(seed).permutation(30)
    pre, shuffled = fitted(cohort, layout=layout), fitted(cohort.take(order), layout=layout)
    pd.testing.assert_frame_equal(pre.genes, shuffled.genes, check_exact=True)
    np.testing.assert_array_equal(features(pre, cohort)[order], features(pre, cohort.take(order)))


@settings(derandomize=True, deadline=None, max_examples=8)
@given(seed=st.integers(0, 1_000))
def test_the_order_of_genes_does_not_matter(seed: int) -> None:
    cohort = random_cohort(seed=seed)
    shuffled = permuted_genes(cohort, np.random.default_rng(seed).permutation(20))
    pre = fitted(cohort)
    pd.testing.assert_frame_equal(pre.genes, fitted(shuffled).genes, rtol=1e-6)
    np.testing.assert_allclose(features(pre, cohort), features(pre, shuffled), atol=1e-5)


def test_a_sample_is_treated_alone_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = random_cohort()
    pre = fitted(cohort)
    together = features(pre, cohort)
    alone = np.concatenate([features(pre, cohort.take([i])) for i in range(30)])
    np.testing.assert_array_equal(together, alone)
    monkeypatch.setattr(normalisation, "CHUNK", 7)
    np.testing.assert_array_equal(together, features(pre, cohort))
    in_chunks = fitted(cohort).genes
    pd.testing.assert_frame_equal(in_chunks, pre.genes, rtol=1e-6)


def test_expression_is_centred_scaled_and_clipped() -> None:
    values = np.random.default_rng(0).normal(8, 2, (200, 6))
    values[0, 0] = 500
    pre = fitted(cohort_of(values), clip=3.0)
    result = features(pre, cohort_of(values))[:, :, 0]
    assert result.dtype == np.float32
    assert np.abs(result).max() == 3.0
    others = result[:, pre.genes["gene"] != "G0"]
    np.testing.assert_allclose(others.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(others.std(axis=0), 1, atol=0.05)


def test_copy_number_keeps_zero_and_the_ratios_between_genes() -> None:
    rng = np.random.default_rng(0)
    copies = rng.normal(0, [0.1, 1.0], (50, 2))
    copies[0] = 0
    copies[1, 1] = np.nan
    cohort = cohort_of(rng.normal(8, 2, (50, 2)), copy_number=copies)
    result = features(fitted(cohort, clip=100.0), cohort)[:, :, 1]
    assert (result[0] == 0).all()
    assert result[1, 1] == 0
    rms = np.sqrt(np.nanmean(copies**2))
    np.testing.assert_allclose(result[2:], copies[2:] / rms, rtol=1e-4)


def test_mutations_are_zero_or_one_or_scaled_by_frequency() -> None:
    mutation = np.zeros((20, 3))
    mutation[:10, 0] = 1
    mutation[0, 1] = 1
    mutation[5, :2] = np.nan
    cohort = cohort_of(np.random.default_rng(0).normal(8, 2, (20, 3)), mutation=mutation)
    binary = features(fitted(cohort), cohort)[:, :, 1]
    np.testing.assert_array_equal(binary, np.nan_to_num(mutation))
    scaled = features(fitted(cohort, mutation_encoding="scaled"), cohort)[:, :, 1]
    assert scaled[5, 0] == 0  # not measured
    assert scaled[0, 1] > scaled[0, 0] > 0 > scaled[-1, 0]  # the rarer, the more it says
    np.testing.assert_allclose(scaled[:, 2], scaled[0, 2])  # never mutated: finite and constant
    assert np.isfinite(scaled).all()


def test_a_gene_that_was_never_measured_in_training_stays_zero() -> None:
    copies = np.random.default_rng(1).normal(size=(20, 3))
    copies[:, 1] = np.nan
    expression = np.random.default_rng(0).normal(8, 2, (20, 3))
    pre = fitted(cohort_of(expression, copy_number=copies))
    later = cohort_of(expression, copy_number=np.full((20, 3), 2.0))
    result = features(pre, later)[:, :, 1]
    assert (result[:, 1] == 0).all()
    assert (result[:, [0, 2]] > 0).all()


@pytest.mark.parametrize("channels", [["mutation"], ["copy_number", "mutation"]])
def test_cohorts_are_imaged_without_expression_too(channels: list[str]) -> None:
    cohort = random_cohort()
    pre = fit(cohort, params(), channels=channels, image=(3, 3))
    ranked = np.nanvar(cohort.layer(channels[0]), axis=0)
    expected = {f"G{i}" for i in np.argsort(-ranked)[:9]}
    assert set(pre.genes["gene"]) == expected
    assert features(pre, cohort).shape == (30, 9, len(channels))


def test_channels_are_in_image_order() -> None:
    pre = fit(random_cohort(), params(), channels=["mutation", "expression"], image=(4, 4))
    assert pre.channels == ["expression", "mutation"]
    assert pre.shape == (4, 4, 2)


@settings(derandomize=True, deadline=None, max_examples=10)
@given(
    layout=st.sampled_from(["genomic", "random"]),
    image=st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
def test_images_are_invertible(layout: str, image: tuple[int, int]) -> None:
    cohort = random_cohort()
    pre = fitted(cohort, image=image, layout=layout)
    values = features(pre, cohort)
    images = to_images(pre, values)
    assert images.shape == (30, *image, 3)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(to_features(pre, images), values)
    empty = np.ones(image, dtype=bool)
    empty[pre.genes["row"], pre.genes["col"]] = False
    assert (images[:, empty] == 0).all()


def test_genes_are_matched_by_symbol_then_by_ensembl_id() -> None:
    pre = fitted(random_cohort(n_genes=4), image=(2, 2))
    genes = list(pre.genes["gene"])
    ids = dict(zip(genes, pre.genes["ensembl_id"], strict=True))
    assert genes == ["G0", "G1", "G2", "G3"]
    np.testing.assert_array_equal(match_genes(pre, ["G2", "other", "G0"]), [2, -1, 0, -1])
    by_id = match_genes(pre, [f"{ids['G1']}.12", "G0", ids["G3"]])
    np.testing.assert_array_equal(by_id, [1, 0, -1, 2])
    renamed = match_genes(pre, ["NEW1", "G0", "G0"], [ids["G1"], ids["G3"], ""])
    np.testing.assert_array_equal(renamed, [1, 0, -1, -1])  # G0's column does not serve G3 too


def test_new_samples_may_lack_genes_and_channels() -> None:
    cohort = random_cohort()
    pre = fitted(cohort)
    log2_cpm = normalisation.to_log2(cohort.layer("expression"), "counts", "cpm")
    fewer = permuted_genes(cohort_of(log2_cpm, "log2"), np.array([7, 3, 11, 0]))
    report = match_report(pre, fewer)
    present = pre.genes["gene"].isin(["G0", "G3", "G7", "G11"]).to_numpy()
    assert (report.matched, report.total) == (present.sum(), 16)
    assert report.missing == list(pre.genes["gene"][~present])
    assert report.absent_channels == ["copy_number", "mutation"]
    assert (features(pre, fewer)[:, ~present] == 0).all()
    assert (features(pre, fewer)[:, :, 1:] == 0).all()


def test_log2_values_of_the_training_scale_are_accepted() -> None:
    values = np.random.default_rng(1).gamma(2.0, 50.0, (12, 5))
    pre = fitted(cohort_of(values, "rsem"))
    np.testing.assert_allclose(
        features(pre, cohort_of(np.log2(values + 1), "log2")),
        features(pre, cohort_of(values, "rsem")),
        atol=1e-4,
    )


def test_unusable_input_says_what_is_wrong() -> None:
    values = np.random.default_rng(1).gamma(2.0, 50.0, (12, 5))
    pre = fitted(cohort_of(values, "rsem"))
    with pytest.raises(SourceError, match=r"scale `tpm`, but the model was fitted on `rsem`"):
        features(pre, cohort_of(values, "tpm"))
    stranger = cohort_of(values, "rsem")
    stranger.data.var_names = [f"probe{i}" for i in range(5)]
    stranger.data.var["ensembl_id"] = ""
    with pytest.raises(SourceError, match=r"none of the model's 5 genes.*'probe0'.*'G0'"):
        features(pre, stranger)
    negative = values.copy()
    negative[1, 2] = -3
    with pytest.raises(SourceError, match=r"gene G2 in sample s1 is -3, but the scale `counts`"):
        fitted(cohort_of(negative, "counts"))
    with pytest.raises(SourceError, match=r"no gene is left: of 5, none varies"):
        fitted(cohort_of(np.full((12, 5), 0.5)))
    with pytest.raises(ParamsError, match="channel `mutation` is asked for"):
        fit(cohort_of(values, "rsem"), params(), channels=["mutation"], image=(3, 3))


def test_a_sample_without_counts_is_not_measured() -> None:
    cohort = random_cohort()
    cohort.data.layers["expression"][4] = 0
    assert (features(fitted(cohort), cohort)[4, :, 0] == 0).all()


def test_the_file_gives_back_the_same_preprocessor(tmp_path: Path) -> None:
    cohort = random_cohort()
    cohort.data.layers["copy_number"][:, 5] = np.nan  # an infinite scale
    pre = fitted(cohort, image=(5, 5), mutation_encoding="scaled")
    for name in ("one.parquet", "two.parquet"):
        write_preprocessor(tmp_path / name, pre)
    assert sha256(tmp_path / "one.parquet") == sha256(tmp_path / "two.parquet")
    back = read_preprocessor(tmp_path / "one.parquet")
    pd.testing.assert_frame_equal(back.genes, pre.genes, check_exact=True)
    assert np.isinf(back.genes["copy_number_scale"]).sum() == 1
    assert (back.channels, back.image, back.scale, back.classes, back.params) == (
        pre.channels,
        pre.image,
        pre.scale,
        pre.classes,
        pre.params,
    )
    np.testing.assert_array_equal(features(back, cohort), features(pre, cohort))


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    pre = fitted(random_cohort())
    path = tmp_path / "pre.parquet"
    with pytest.raises(ArtifactError, match="does not exist"):
        read_preprocessor(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ArtifactError, match="damaged"):
        read_preprocessor(path)
    write_parquet(path, pre.genes)
    with pytest.raises(
        ArtifactError, match=r"not a preprocessor of this version \(kind: Field required\)"
    ):
        read_preprocessor(path)

    write_preprocessor(path, pre)
    for changes, message in [
        ({"row": 0, "col": 0}, "occurs twice"),
        ({"row": 99}, "outside the image of 4 x 4 pixels"),
        ({"expression_scale": 0.0}, "`expression_scale` holds a value that is not positive"),
        ({"mutation_center": np.nan}, "`mutation_center` holds a value that is no number"),
    ]:
        write_preprocessor(path, replace(pre, genes=pre.genes.assign(**changes)))
        with pytest.raises(ArtifactError, match=message):
            read_preprocessor(path)
    write_preprocessor(
        path,
        replace(pre, genes=pre.genes.drop(columns="mutation_scale")),
    )
    with pytest.raises(ArtifactError, match="lacks 'mutation_scale'"):
        read_preprocessor(path)


def described(cohort: Cohort, **columns: object) -> Cohort:
    """The cohort with more columns in its sample sheet."""
    data = cohort.data.copy()
    for name, values in columns.items():
        data.obs[name] = values
    return Cohort(data)


def confounded_cohort(n: int = 60, seed: int = 4) -> Cohort:
    """log2 values of 12 genes that move with purity and with batch, two purities unknown."""
    rng = np.random.default_rng(seed)
    purity, batch = rng.uniform(0.2, 0.9, n), rng.integers(0, 3, n)
    values = rng.normal(8, 1, (n, 12)) + 5 * purity[:, None] + rng.normal(0, 2, (3, 12))[batch]
    purity[:2] = np.nan
    return described(cohort_of(values), purity=purity, batch=[f"B{b}" for b in batch])


def test_nothing_to_adjust_for_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    pre = fitted(random_cohort())
    write_preprocessor(tmp_path / "pre.parquet", pre)
    table, metadata = read_parquet(tmp_path / "pre.parquet")
    assert not [name for name in table if name.startswith("adjust")]
    assert metadata["covariates"] == []
    del metadata["params"]["adjust"]  # as older versions wrote it
    write_parquet(tmp_path / "old.parquet", table, metadata)
    assert read_preprocessor(tmp_path / "old.parquet").covariates == []


def test_adjusted_features_are_residuals_of_a_ridge_regression_by_hand() -> None:
    cohort = confounded_cohort()
    pre = fit(cohort, params(adjust=["purity", "batch"]), channels=["expression"], image=(4, 4))
    purity = cohort.samples["purity"].to_numpy()
    known = ~np.isnan(purity)
    z = np.where(known, (purity - purity[known].mean()) / purity[known].std(), 0)
    one_hot = (cohort.samples["batch"].to_numpy()[:, None] == ["B0", "B1", "B2"]).astype(float)
    x = np.column_stack([z - z.mean(), one_hot - one_hot.mean(axis=0)])
    y = cohort.layer("expression").astype(float)
    prior = np.sqrt(np.diag([0, 2.0, 2.0, 2.0]))  # a ridge is so many samples more
    stacked = np.vstack([x, prior]), np.vstack([y - y.mean(axis=0), np.zeros((4, 12))])
    residual = y - x @ np.linalg.lstsq(*stacked)[0]
    expected = (residual - residual.mean(axis=0)) / residual.std(axis=0)
    np.testing.assert_allclose(features(pre, cohort)[..., 0], expected, atol=1e-4)
    correlation = np.corrcoef(z, features(pre, cohort)[..., 0].T)[0, 1:]
    assert np.abs(correlation).max() < 0.02
    plain = fit(cohort, params(), channels=["expression"], image=(4, 4))
    assert np.abs(np.corrcoef(z, features(plain, cohort)[..., 0].T)[0, 1:]).min() > 0.2


def test_adjusting_neither_sees_the_label_nor_the_order_nor_other_samples(tmp_path: Path) -> None:
    cohort = confounded_cohort()
    settings_ = params(adjust=["batch", "purity"])
    pre = fit(cohort, settings_, channels=["expression"], image=(4, 4))
    write_preprocessor(tmp_path / "a.parquet", pre)
    order = np.random.default_rng(0).permutation(60)
    labels = described(cohort, label=np.random.default_rng(1).permutation(cohort.samples["label"]))
    for i, same in enumerate((cohort.take(order), labels)):
        again = fit(same, settings_, channels=["expression"], image=(4, 4))
        write_preprocessor(tmp_path / f"{i}.parquet", again)
        assert sha256(tmp_path / f"{i}.parquet") == sha256(tmp_path / "a.parquet")
    whole = features(pre, cohort)
    np.testing.assert_array_equal(features(pre, cohort.take(order)), whole[order])
    np.testing.assert_array_equal(features(pre, cohort.take([7])), whole[[7]])
    back = read_preprocessor(tmp_path / "a.parquet")
    np.testing.assert_array_equal(features(back, cohort), whole)
    assert back.covariates == pre.covariates


def test_a_value_that_training_did_not_have_is_the_training_mean() -> None:
    cohort = confounded_cohort()
    pre = fit(cohort, params(adjust=["purity", "batch"]), channels=["expression"], image=(4, 4))
    unknown = described(cohort, purity=np.nan, batch="")
    unseen = described(cohort, purity=[None, "high"] * 30, batch="B9")
    values = (cohort.layer("expression") - pre.genes["expression_center"].to_numpy()) / pre.genes[
        "expression_scale"
    ].to_numpy()
    np.testing.assert_allclose(features(pre, unknown)[..., 0], values.clip(-6, 6), atol=1e-4)
    np.testing.assert_array_equal(features(pre, unseen), features(pre, unknown))
    del unknown.data.obs["purity"]
    with pytest.raises(SourceError, match=r"no column `purity`.*--samples"):
        features(pre, unknown)


def test_few_samples_of_a_level_move_little_and_missing_values_are_left_out() -> None:
    values = np.random.default_rng(5).normal(8, 0.01, (43, 3))
    site = np.array(["A"] * 20 + ["B"] * 20 + ["C"] * 3)
    values[20:] += 1.0  # B and C alike
    values[:5, 0] = np.nan
    pre = fit(
        described(cohort_of(values), site=site), params(adjust=["site"]),
        channels=["expression"], image=(2, 2),
    )  # fmt: skip
    effects = pre.genes[["adjust_0", "adjust_1", "adjust_2"]].to_numpy()
    assert (effects[:, 2] < effects[:, 1]).all()
    assert (effects[:, 2] > 0).all()
    assert (effects[:, 1] - effects[:, 0]) == pytest.approx(np.full(3, 0.9), abs=0.08)


def test_a_gene_is_fitted_on_the_samples_in_which_it_is_measured() -> None:
    cohort = confounded_cohort()
    age = np.linspace(40, 80, 60)
    cohort = described(cohort, age=age)
    cohort.data.layers["expression"][30:, 0] = np.nan
    pre = fit(cohort, params(adjust=["age"]), channels=["expression"], image=(4, 4))
    y = cohort.layer("expression")[:30, 0].astype(float)
    slope = np.polyfit(age[:30], y, 1)[0] * age.std()
    gene = pre.genes.set_index("gene").loc["G0"]
    assert gene["adjust_0"] == pytest.approx(slope, rel=1e-5)
    assert features(pre, cohort)[:30, pre.genes["gene"] == "G0", 0].mean() == pytest.approx(
        0, abs=1e-5
    )
    assert (features(pre, cohort)[30:, pre.genes["gene"] == "G0", 0] == 0).all()


def test_other_channels_are_not_adjusted() -> None:
    cohort = described(random_cohort(), batch=["a", "b", "c"] * 10)
    adjusted, plain = fitted(cohort, adjust=["batch"]), fitted(cohort)
    one, other = features(adjusted, cohort), features(plain, cohort)
    np.testing.assert_array_equal(one[..., 1:], other[..., 1:])
    assert not np.allclose(one[..., 0], other[..., 0])
    dna = ["copy_number", "mutation"]
    pre = fit(cohort, params(adjust=["batch"]), channels=dna, image=(4, 4))
    assert features(pre, random_cohort()).shape == (30, 16, 2)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("purty", None, r"'purty', which is no column .*did you mean purity"),
        ("label", None, r"'label', which is no column"),
        ("status", ["control", "case"] * 30, "of one class"),
        ("barcode", [f"x{i}" for i in range(60)], "60 values in 60 samples"),
        ("age", [">89", *map(str, range(18))] * 3 + [">89"] * 3, r"numbers but for 6 of 60 .* >89"),
        ("empty", ["NA", "unknown"] * 30, "no training sample has a value"),
        ("empty", [""] * 60, "no training sample has a value"),
    ],
)
def test_columns_that_cannot_be_adjusted_for(
    column: str, values: list[str] | None, message: str
) -> None:
    cohort = confounded_cohort()
    if values:
        cohort = described(cohort, **{column: values})
    with pytest.raises(ParamsError, match=message):
        fit(cohort, params(adjust=[column]), channels=["expression"], image=(4, 4))


def test_a_preprocessor_without_its_effects_is_refused(tmp_path: Path) -> None:
    cohort = confounded_cohort()
    pre = fit(cohort, params(adjust=["batch"]), channels=["expression"], image=(4, 4))
    write_preprocessor(tmp_path / "pre.parquet", pre)
    table, metadata = read_parquet(tmp_path / "pre.parquet")
    for broken, told in [
        ((table.drop(columns="adjust_1"), metadata), "adjust_1"),
        (
            (table.assign(adjust_1=np.nan), metadata),
            "an effect of `preprocess.adjust` is no number",
        ),
        ((table, metadata | {"covariates": []}), "is not what its parameters say"),
    ]:
        write_parquet(tmp_path / "broken.parquet", *broken)
        with pytest.raises(ArtifactError, match=told):
            read_preprocessor(tmp_path / "broken.parquet")


def test_held_out_samples_do_not_move_what_is_adjusted_for() -> None:
    cohort = confounded_cohort()
    spoilt = described(cohort, purity=cohort.samples["purity"], batch=cohort.samples["batch"])
    fold = Fold("f", 0, 0, train=np.arange(30), held_out=np.arange(30, 60))
    spoilt.data.layers["expression"][fold.held_out] = 30.0
    spoilt.data.obs.loc[spoilt.samples.index[fold.held_out], ["purity", "batch"]] = [99.0, "B7"]
    entry = CohortParams.model_validate(
        {"source": {"kind": "bundled"}, "inputs": "x", "label": "sample_type", "image": [4, 4]}
    )
    one, other = (
        fold_arrays(c, fold, entry, params(adjust=["purity", "batch"])) for c in (cohort, spoilt)
    )
    pd.testing.assert_frame_equal(
        one.preprocessor.genes, other.preprocessor.genes, check_exact=True
    )
    assert one.preprocessor.covariates == other.preprocessor.covariates
    np.testing.assert_array_equal(one.train_features, other.train_features)
    assert not np.array_equal(one.held_out_features, other.held_out_features)


def test_na_is_a_site_and_no_missing_value() -> None:
    for name, expected in (("site", [False, True]), ("stage", [True, True])):
        assert missing_values(pd.Series(["NA", ""], name=name)).tolist() == expected
