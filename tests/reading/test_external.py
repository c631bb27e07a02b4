"""External validation: other genes and scales, replication of markers, and what is refused."""

import copy

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import false_discovery_control

from hub_layouts import other_names
from oncopixel.cohort.contract import Cohort, read_cohort, write_cohort
from oncopixel.cohort.external import check_external
from oncopixel.core.errors import ArtifactError, LabelError, ParamsError, SourceError
from oncopixel.core.params import Params, parse_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import (
    read_csv,
    read_json,
    read_parquet,
    sha256,
    write_json,
    write_parquet,
)
from oncopixel.images.preprocessing import fit
from oncopixel.images.preprocessor import Preprocessor
from oncopixel.reading.external import _matched, align, image_for, replicate, share_genes
from oncopixel.reading.external_model import SCORES
from oncopixel.stages import external as command
from oncopixel.stages import ingest, preprocess

SOURCE = {
    "kind": "simulated", "n_samples": 200, "n_genes": 300, "n_markers": 30, "effect": 3.0,
}  # fmt: skip
EXTERNAL = {
    "source": SOURCE | {"n_samples": 140, "patients": 2, "platform": "array"},
    "label": "column:status",
    "positive": "case",
}


SCORE = {"value": 0.9, "low": 0.8, "high": 0.95}


def settings(raw_params: dict, external: dict | None = EXTERNAL) -> Params:
    raw = copy.deepcopy(raw_params)
    entry = raw["cohorts"]["simulated"] | {"source": SOURCE, "image": [18, 18]}
    entry["external"] = external
    raw["cohorts"] = {"simulated": entry}
    raw["split"]["folds"] = 3
    raw["train"] |= {"epochs": 2, "members": 1}
    raw["evaluate"]["bootstrap"] = 200
    return parse_params(raw)


@pytest.fixture(scope="module")
def cohorts(raw_params, tmp_path_factory) -> tuple[Cohort, Cohort]:
    """A sequenced cohort, and other patients of it on an array, both labelled."""
    paths = Paths(tmp_path_factory.mktemp("cohorts"), "simulated")
    ingest.run(paths, settings(raw_params))
    return tuple(read_cohort(paths.data(name)) for name in ("cohort.h5ad", "external.h5ad"))


@pytest.fixture(scope="module")
def fitted(raw_params, cohorts) -> tuple[Preprocessor, Cohort, Cohort]:
    """The shared genes' preprocessor, and both cohorts cut to these genes."""
    own, other = share_genes(*cohorts)
    pre = fit(own, settings(raw_params).preprocess, channels=["expression"], image=(18, 18))
    return pre, own, other


def changed(cohort: Cohort, change) -> Cohort:
    data = cohort.data.copy()
    change(data)
    return Cohort(data)


# genes


def test_shared_genes_are_found_by_symbol_then_by_ensembl_id_in_the_first_cohorts_order(cohorts):
    cohort, external = cohorts
    renamed = changed(external, lambda data: setattr(
        data, "var_names", ["OLD1" if i == 3 else name for i, name in enumerate(data.var_names)]
    ))  # fmt: skip
    own, other = share_genes(cohort, renamed)
    known = set(cohort.genes.index) & set(external.genes.index)
    assert list(own.genes.index) == [gene for gene in cohort.genes.index if gene in known]
    assert list(other.genes.index) == list(own.genes.index)
    assert len(own.genes) == 210  # the array's share of 300
    for at in (0, 3, 100):
        gene = external.genes.index[at]
        np.testing.assert_array_equal(
            other.layer("expression")[:, other.genes.index.get_loc(gene)],
            external.layer("expression")[:, at],
        )


def test_a_cohort_that_shares_hardly_a_gene_is_refused(cohorts):
    first, _ = cohorts
    few = first.data.copy()
    n = len(first.genes)
    few.var_names = [first.genes.index[0]] + [f"FOREIGN{i}" for i in range(1, n)]
    few.var["ensembl_id"] = ""
    with pytest.raises(SourceError, match=f"has 1 of the cohort's {n} genes"):
        share_genes(first, Cohort(few))


def test_a_gene_that_only_another_name_tells_is_shared(cohorts):
    cohort, external = cohorts
    others = other_names(external.genes.index)
    symbol = next(name for name in external.genes.index if name in others)
    at = external.genes.index.get_loc(symbol)

    def rename(data: AnnData) -> None:
        data.var_names = [others.get(name, name) if i == at else name
                          for i, name in enumerate(data.var_names)]  # fmt: skip
        data.var.iloc[at, data.var.columns.get_loc("ensembl_id")] = ""

    own, other = share_genes(cohort, changed(external, rename))
    assert len(own.genes) == 210
    np.testing.assert_array_equal(
        other.layer("expression")[:, other.genes.index.get_loc(symbol)],
        external.layer("expression")[:, at],
    )


def test_a_gene_without_symbol_and_id_in_the_other_cohort_is_not_shared(cohorts):
    cohort, external = cohorts

    def forget(data: AnnData) -> None:
        data.var_names = ["OLD1", *data.var_names[1:]]
        data.var.loc["OLD1", "ensembl_id"] = ""

    own, _ = share_genes(cohort, changed(external, forget))
    assert external.genes.index[0] not in own.genes.index
    assert len(own.genes) == 209


def test_cohorts_without_a_common_gene_are_refused(cohorts):
    cohort, external = cohorts

    def forget(data: AnnData) -> None:
        data.var_names = [f"probe {i}" for i in range(data.n_vars)]
        data.var["ensembl_id"] = ""

    with pytest.raises(SourceError, match=r"has 0 of the cohort's 300 genes.*'probe 0'"):
        share_genes(cohort, changed(external, forget))


@pytest.mark.parametrize(
    ("n_genes", "image"), [(210, (15, 15)), (225, (15, 15)), (226, (16, 16)), (400, (18, 18))]
)
def test_the_image_is_no_larger_than_the_shared_genes_need(n_genes, image):
    assert image_for(n_genes, (18, 18)) == image


# scale


@pytest.mark.parametrize("how", ["zscore", "ranks"])
def test_external_labels_have_no_say_in_the_features(fitted, how):
    pre, own, other = fitted

    def shuffle(data: AnnData) -> None:
        data.obs["label"] = np.random.default_rng(0).permutation(data.obs["label"])

    shuffled = changed(other, shuffle)
    assert (shuffled.y != other.y).any()
    np.testing.assert_array_equal(
        align(pre, own, shuffled, how), align(pre, own, other, how), strict=True
    )


def test_zscores_do_not_depend_on_what_a_platform_does_to_a_gene(fitted):
    pre, own, other = fitted
    rng = np.random.default_rng(0)

    def distort(data: AnnData) -> None:
        data.layers["expression"] *= rng.uniform(0.5, 2, data.n_vars).astype(np.float32)
        data.layers["expression"] += rng.uniform(0, 5, data.n_vars).astype(np.float32)

    plain = align(pre, own, other, "zscore")
    assert plain.mean(axis=0) == pytest.approx(0, abs=0.05)
    assert align(pre, own, changed(other, distort), "zscore") == pytest.approx(plain, abs=1e-3)


def test_zscores_of_the_external_samples_lose_no_gene(fitted):
    pre, own, other = fitted

    def standardise(data: AnnData) -> None:
        values = data.layers["expression"]
        data.layers["expression"] = ((values - values.mean(0)) / values.std(0)).astype(np.float32)

    plain = align(pre, own, other, "zscore")
    relative = align(pre, own, changed(other, standardise), "zscore")
    assert relative[:, plain.any(axis=(0, 2))] == pytest.approx(
        plain[:, plain.any(axis=(0, 2))], abs=1e-3
    )
    assert relative.any(axis=(0, 2)).all()


def test_ranks_depend_on_the_sample_alone_and_not_on_its_scale(fitted):
    pre, own, other = fitted

    def stretch(data: AnnData) -> None:
        data.layers["expression"] *= np.linspace(0.5, 2, data.n_obs)[:, None].astype(np.float32)

    plain = align(pre, own, other, "ranks")
    assert align(pre, own, changed(other, stretch), "ranks") == pytest.approx(plain, abs=1e-5)
    some = np.arange(5, 60)
    np.testing.assert_array_equal(align(pre, own, other.take(some), "ranks"), plain[some])


def test_ranks_of_the_training_samples_themselves_are_standardised(fitted):
    pre, own, _ = fitted
    same = align(pre, own, own, "ranks")
    assert same.mean(axis=0) == pytest.approx(0, abs=0.1)
    assert np.median(same.std(axis=0)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("how", ["zscore", "ranks"])
def test_what_was_not_measured_is_zero(fitted, how):
    pre, own, other = fitted
    gene = pre.genes["gene"].iloc[7]

    def lose(data: AnnData) -> None:
        data.layers["expression"][:40, data.var_names.get_loc(gene)] = np.nan

    aligned = align(pre, own, changed(other, lose), how)
    assert not aligned[:40, 7].any()
    assert aligned[40:, 7].any()
    assert np.isfinite(aligned).all()


# markers


def arrays(seed: int, shift: np.ndarray, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Features `(samples, genes, 1)`, those of class 1 shifted, and classes."""
    y = np.arange(n) % 2
    x = np.random.default_rng(seed).normal(size=(n, len(shift), 1))
    return x + (y[:, None] * shift)[:, :, None], y


def panel(pre: Preprocessor, n: int) -> Preprocessor:
    """A preprocessor of one channel and the first `n` genes."""
    return Preprocessor(
        pre.genes.head(n), ["expression"], pre.image, pre.scale, pre.classes, pre.params
    )


def markers_of(pre: Preprocessor, rows) -> pd.DataFrame:
    genes = pre.genes["gene"].iloc[list(rows)]
    return pd.DataFrame({"gene": genes, "channel": "expression", "class": "case"})


def test_markers_that_hold_replicate_and_those_that_turn_around_do_not(fitted):
    pre = panel(fitted[0], 150)
    here, there = np.zeros(150), np.zeros(150)
    here[:10] = 2.0
    there[:6], there[6:8] = 2.0, -2.0  # six hold, two turn around, two are gone
    table, summary = replicate(
        pre, markers_of(pre, range(10)), arrays(1, here), arrays(2, there), draws=300, seed=1
    )
    assert table["replicated"].tolist() == [True] * 6 + [False] * 4
    assert table["same_sign"].tolist()[:8] == [True] * 6 + [False] * 2
    assert table["effect_internal"].between(1, 3).all()
    assert (table["q_external"][6:8] < 0.01).all()  # significant, the other way round
    np.testing.assert_allclose(
        table["q_external"], false_discovery_control(table["p_external"]), rtol=0
    )
    assert summary["selected"] == summary["measured"] == 10
    assert summary["replication"]["value"] == 0.6
    assert summary["replication"]["low"] == pytest.approx(0.3127, abs=1e-3)  # Wilson, 6 of 10
    assert summary["replication"]["high"] == pytest.approx(0.8318, abs=1e-3)
    assert summary["replication_of_random"]["value"] < 0.05
    assert summary["replication_of_random"]["p_value"] == pytest.approx(1 / 301)
    assert 0.4 < summary["direction_agreement_of_random"]["value"] < 0.6


def test_markers_no_better_than_any_gene_do_not_stand_out(fitted):
    pre = panel(fitted[0], 150)
    everywhere = np.random.default_rng(0).normal(0, 1.5, 150)
    _, summary = replicate(
        pre,
        markers_of(pre, range(0, 150, 10)),
        arrays(1, everywhere),
        arrays(2, everywhere),
        draws=300,
        seed=1,
    )
    assert summary["replication"]["value"] > 0.5
    assert summary["replication_of_random"]["p_value"] > 0.05


def test_random_candidates_that_turn_around_do_not_replicate(fitted):
    pre = panel(fitted[0], 150)
    here, there = np.full(150, 2.0), np.full(150, -2.0)
    there[:10] = 2.0
    _, summary = replicate(
        pre, markers_of(pre, range(10)), arrays(1, here), arrays(2, there), draws=100, seed=1
    )
    for name in ("direction_agreement", "replication"):
        assert summary[name]["value"] == 1
        assert summary[f"{name}_of_random"]["value"] == 0
        assert summary[f"{name}_of_random"]["p_value"] == pytest.approx(1 / 101)


def test_markers_that_are_not_measured_are_counted_and_an_empty_list_is_no_error(fitted):
    pre = panel(fitted[0], 60)
    data = arrays(1, np.zeros(60)), arrays(2, np.zeros(60))
    away = pd.concat([markers_of(pre, [1]), markers_of(pre, [2]).assign(channel="mutation")])
    table, summary = replicate(pre, away, *data, draws=100, seed=1)
    assert len(table) == 1
    assert (summary["selected"], summary["measured"]) == (2, 1)
    table, summary = replicate(pre, away.head(0), *data, draws=100, seed=1)
    assert table.empty
    assert summary == {"selected": 0, "measured": 0}


def test_a_marker_that_is_constant_in_one_class_replicates(fitted):
    pre = panel(fitted[0], 60)
    x, y = arrays(1, np.zeros(60))
    x[:, 0] = np.where((y == 1) & (np.arange(len(y)) % 5 < 2), 1, 0)[:, None]
    x[:, 1] = 0
    table, _ = replicate(pre, markers_of(pre, [0, 1]), (x, y), (x, y), draws=100, seed=1)
    assert table["replicated"].tolist() == [True, False]
    assert table["p_external"].iloc[0] < 1e-3
    assert table["p_external"].iloc[1] == 1


def test_random_candidates_are_of_the_markers_channel_and_level_and_no_markers(fitted):
    pre = fitted[0]
    at = np.array([0, 5, 40, 41])
    drawn = _matched(pre, at, 400, 1)
    assert drawn.shape == (400, 4)
    assert not set(at) & set(drawn.ravel())
    mean = pre.genes["expression_center"].to_numpy()
    level = np.digitize(mean, np.quantile(mean, np.arange(1, 10) / 10))
    assert (level[drawn] == level[at]).all()
    assert min(len(set(column)) for column in drawn.T) > 5
    np.testing.assert_array_equal(drawn, _matched(pre, at, 400, 1))


def test_each_of_several_classes_is_compared_with_the_rest(fitted):
    pre = panel(fitted[0], 40)
    pre = Preprocessor(pre.genes, pre.channels, pre.image, pre.scale, ["a", "b", "c"], pre.params)

    def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(90) % 3
        x = np.random.default_rng(seed).normal(size=(90, 40, 1))
        x[y == 2, 0] += 2  # gene 0 is up in c, gene 1 down in a
        x[y == 0, 1] -= 2
        return x, y

    markers = markers_of(pre, [0, 1, 2]).assign(**{"class": ["c", "a", "b"]})
    table, _ = replicate(pre, markers, draw(1), draw(2), draws=100, seed=1)
    assert table["effect_external"].iloc[0] > 1
    assert table["effect_external"].iloc[1] < -1
    assert table["replicated"].tolist()[:2] == [True, True]


# ingest


def test_a_class_of_one_sample_is_refused(cohorts):
    cohort, external = cohorts
    rows = np.r_[np.flatnonzero(external.y == 0), np.flatnonzero(external.y == 1)[:1]]
    with pytest.raises(LabelError, match="one sample of class case"):
        check_external(cohort, external.take(rows))


def test_a_patient_of_the_cohort_under_another_spelling_is_refused(cohorts):
    cohort, external = (part.take(np.arange(len(part.samples))) for part in cohorts)
    cohort.data.obs["patient"] = ["TCGA-05-0001", *cohort.patients[1:]]
    check_external(cohort, external)
    external.data.obs.index = ["tcga.05.0001.11a", *external.samples.index[1:]]
    with pytest.raises(SourceError, match=f"1 patients .* itself: {external.patients[0]}"):
        check_external(cohort, external)


def ingested(tmp_path, raw_params, external) -> Paths:
    paths = Paths(tmp_path, "simulated")
    ingest.run(paths, settings(raw_params, external))
    return paths


def test_without_an_external_cohort_there_are_no_samples_and_no_results(tmp_path, raw_params):
    paths = ingested(tmp_path, raw_params, None)
    assert read_cohort(paths.data("external.h5ad")).samples.empty
    command.run(paths, settings(raw_params, None))
    assert read_json(paths.report("external.json")) == {"external": None}
    header = paths.report("external.csv").read_text(encoding="utf-8")
    assert header.startswith("gene,channel,class,effect_internal,effect_external,same_sign,")
    assert header.count("\n") == 1


def test_patients_in_both_cohorts_are_refused(tmp_path, raw_params):
    same = EXTERNAL | {"source": SOURCE | {"platform": "array"}}
    with pytest.raises(SourceError, match=r"200 patients .* SIM-00001, .* not independent"):
        ingested(tmp_path, raw_params, same)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("change", [{"positive": "control"}, {"label": "column:batch"}])
def test_other_classes_or_another_order_are_refused(tmp_path, raw_params, change):
    external = EXTERNAL | change
    if change.get("label"):
        del external["positive"]
    with pytest.raises(LabelError, match=r"has the classes .* has control, case\. They must"):
        ingested(tmp_path, raw_params, external)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lable": "x"}, r"`cohorts.simulated.external.lable` \(did you mean label\?\)"),
        ({"align": "quantile"}, "`cohorts.simulated.external.align`"),
        ({"label": "status"}, "label 'status' is not"),
        ({"source": SOURCE | {"patient": 2}}, r"source.patient` \(did you mean patients"),
    ],
)
def test_a_wrong_external_entry_is_named(raw_params, change, message):
    with pytest.raises(ParamsError, match=message):
        settings(raw_params, EXTERNAL | change)


# the command


@pytest.fixture(scope="module")
def project(raw_params, tmp_path_factory) -> tuple[Paths, Params]:
    """What `external` reads, with the full model's scores made up; `external` has run."""
    params = settings(raw_params)
    paths = Paths(tmp_path_factory.mktemp("project"), "simulated")
    ingest.run(paths, params)
    write_json(paths.report("validation.json"), {"failed": {"critical": 0}})
    preprocess.run(paths, params)
    full = dict.fromkeys(SCORES, SCORE)
    evaluation = {"models": {"cnn": {"cv": full, "test": full}}, "verdict": "signal"}
    write_json(paths.report("evaluation.json"), evaluation)
    planted = read_csv(paths.data("truth.csv"))[["gene", "channel"]]
    selected = planted["channel"] == "expression"
    listed = planted.assign(**{"class": "case", "selected": selected})
    write_parquet(paths.data("ranking.parquet"), listed)
    command.run(paths, params)
    return paths, params


def test_planted_markers_replicate_on_other_patients_and_another_platform(project):
    found = read_json(project[0].report("external.json"))
    assert found["channels_absent"] == ["copy_number", "mutation"]
    assert found["genes"]["shared"] == 210
    assert found["data"]["samples"] == found["data"]["patients"] == 140
    assert found["data"]["samples_of_class"] == {"case": 56, "control": 84}
    assert found["scores"]["test_of_all_genes"]["roc_auc"] == SCORE
    assert found["scores"]["external"]["roc_auc"]["low"] > 0.6
    assert found["scores"]["cv_of_shared_genes"]["roc_auc"]["low"] > 0.6
    markers = found["markers"]
    assert 5 < markers["measured"] < markers["selected"] == 15
    assert markers["replication"]["value"] > 0.6
    assert markers["replication_of_random"]["p_value"] < 0.05
    table = read_csv(project[0].report("external.csv"))
    assert len(table) == markers["measured"]
    assert table["replicated"].mean() == pytest.approx(markers["replication"]["value"], abs=1e-5)


def results(paths: Paths) -> list[str]:
    return [sha256(paths.report(f"external.{kind}")) for kind in ("json", "csv")]


def test_the_order_of_the_external_genes_changes_nothing(project):
    paths, params = project
    before = results(paths)
    path = paths.data("external.h5ad")
    external = read_cohort(path)
    order = np.random.default_rng(0).permutation(len(external.genes))
    write_cohort(path, Cohort(external.data[:, order].copy()))
    command.run(paths, params)
    assert results(paths) == before


def test_a_list_that_does_not_say_what_is_selected_is_refused(project):
    paths, params = project
    path = paths.data("ranking.parquet")
    kept = path.read_bytes()
    write_parquet(path, read_parquet(path)[0].drop(columns="selected"))
    with pytest.raises(ArtifactError, match="does not say which markers are selected"):
        command.run(paths, params)
    path.write_bytes(kept)
