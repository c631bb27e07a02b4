"""The biological reading: tests against SciPy's, known biology, offline data."""

import importlib.util
import socket
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, hypergeom

from oncopixel.cohort import genes
from oncopixel.core.params import BiomarkerParams, parse_params
from oncopixel.reading import drivers as known_drivers
from oncopixel.reading import gene_sets
from oncopixel.reading.drivers import annotate, driver_overlap
from oncopixel.reading.enrichment import COLUMNS, SHOWN, find_gene_sets
from oncopixel.reading.gene_sets import coverage

ROOT = Path(__file__).parents[2]
DATA = ROOT / "src" / "oncopixel" / "data"
E2F, G2M = "HALLMARK_E2F_TARGETS", "HALLMARK_G2M_CHECKPOINT"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network is not to be used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def tested() -> list[str]:
    rng = np.random.default_rng(0)
    known = sorted(set().union(*gene_sets._gene_sets("Hallmark").values()))
    return [*rng.permutation(known)[:2_500], *(f"OTHER{i}" for i in range(500))]


@pytest.fixture(scope="module")
def e2f(tested: list[str]) -> list[str]:
    return sorted(gene_sets._gene_sets("Hallmark")[E2F] & set(tested))


@pytest.fixture
def settings(raw_params: dict) -> BiomarkerParams:
    return parse_params(raw_params).biomarkers


def cohort(tested: list[str], moved: list[str], n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Values and labels: all genes share a factor, and those `moved` go with the label."""
    rng = np.random.default_rng(1)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, len(tested))) + rng.standard_normal((n, 1))
    x[:, np.isin(tested, moved)] += 0.8 * y[:, None]
    return x.astype(np.float32), y


def found(x, y, tested, settings, listed=(), classes=("control", "case")):
    nothing = np.zeros((len(y), 0))
    return find_gene_sets(x, tested, y, classes, listed, nothing, settings)


def test_the_set_whose_genes_move_is_found_with_its_listed_genes(tested, e2f, settings) -> None:
    x, y = cohort(tested, e2f)
    table = found(x, y, tested, settings, [*e2f[:30], tested[0]])
    assert tuple(table) == COLUMNS
    top = table.iloc[0]
    assert (top["collection"], top["term"], top["class"]) == ("Hallmark", E2F, "case")
    assert (top["listed"], top["size"]) == (30, len(e2f))
    assert top["genes"].split() == e2f[:SHOWN]
    assert top["effect"] > 1
    assert table["p_value"].is_monotonic_increasing
    np.testing.assert_allclose(table["q_value"], false_discovery_control(table["p_value"]))
    other = found(x, 1 - y, tested, settings).iloc[0]
    assert (other["term"], other["effect"]) == (E2F, pytest.approx(-top["effect"]))


def test_a_shift_of_all_genes_enriches_none(tested, settings) -> None:
    x, y = cohort(tested, tested)
    assert (found(x, y, tested, settings)["q_value"] > 0.1).all()


def test_p_values_are_those_of_permuted_labels(tested, e2f, settings) -> None:
    x, y = cohort(tested, [])
    rng = np.random.default_rng(2)
    p = [found(x, rng.permutation(y), tested, settings)["p_value"] for _ in range(20)]
    assert 0.03 < (np.concatenate(p) < 0.05).mean() < 0.08


def test_of_several_classes_the_one_that_differs_is_named(tested, e2f, settings) -> None:
    x, y = cohort(tested, e2f)
    y = np.where(y == 1, 2, np.arange(len(y)) % 4 // 2)
    top = found(x, y, tested, settings, classes=("a", "b", "c")).iloc[0]
    assert (top["term"], top["class"]) == (E2F, "c")


def test_sets_are_cut_to_the_tested_genes_and_kept_only_when_of_a_fit_size(
    tested, settings
) -> None:
    table = found(*cohort(tested, []), tested, settings)
    assert table["size"].between(gene_sets.MIN_SIZE, gene_sets.MAX_SIZE).all()
    assert not table.duplicated(["collection", "term"]).any()


def test_genes_of_no_set_give_an_empty_table(settings) -> None:
    x, y = cohort(["A", "B"], [])
    assert found(x, y, ["A", "B"], settings).empty


def test_driver_overlap_is_the_law_of_all_draws_within_bins() -> None:
    tested = ["TP53", "KRAS", "A", "B", "C", "EGFR", "D", "E", "F", "G"]
    expression = pd.Series(range(10), tested, dtype=float)
    selected = ["TP53", "A", "EGFR", "D"]
    found = driver_overlap(selected, tested, expression, bins=2)["Bailey 2018"]
    assert found["genes"] == ["EGFR", "TP53"]
    drivers = {"TP53", "KRAS", "EGFR"}
    draws = [
        len(drivers & {*low, *high})
        for low in combinations(tested[:5], 2)
        for high in combinations(tested[5:], 2)
    ]
    assert found["observed"] == 2
    assert found["drivers"] == 3
    assert found["expected"] == pytest.approx(np.mean(draws))
    assert found["p_value"] == pytest.approx(np.mean(np.array(draws) >= 2))
    # bins of 5: (a d + a d) / n over (b c + b c) / n
    assert found["odds_ratio"] == pytest.approx((1 * 2 + 1 * 3) / (1 * 1 + 0 * 1))


def test_without_bins_the_driver_overlap_is_hypergeometric(tested) -> None:
    drivers = sorted(set(known_drivers._drivers()["gene"]) & set(tested))
    selected = [*drivers[:6], *tested[-60:]]
    found = driver_overlap(selected, tested, pd.Series(dtype=float))["Bailey 2018"]
    bailey = (
        known_drivers._drivers()
        .query("source == 'Bailey 2018'")
        .melt(value_vars=["gene", "alias"])["value"]
    )
    k, observed = len(set(bailey) & set(tested)), len(set(bailey) & set(selected))
    assert found["observed"] == observed
    assert found["p_value"] == pytest.approx(hypergeom.sf(observed - 1, 3_000, k, 66))


def test_matching_takes_away_what_expression_alone_explains() -> None:
    """Drivers and selected genes are highly expressed, and have nothing else in common."""
    rng = np.random.default_rng(0)
    drivers = known_drivers._drivers().query("source == 'Bailey 2018'")["gene"].tolist()
    tested = [*drivers, *(f"OTHER{i}" for i in range(5_000))]
    expression = pd.Series(rng.normal(size=len(tested)), tested)
    expression[drivers] += 1.5
    likely = np.exp(2 * expression)
    selected = rng.choice(tested, 300, replace=False, p=likely / likely.sum()).tolist()
    matched = driver_overlap(selected, tested, expression, bins=50)["Bailey 2018"]
    unmatched = driver_overlap(selected, tested, expression, bins=1)["Bailey 2018"]
    assert unmatched["p_value"] < 1e-6
    assert matched["p_value"] > 0.01


def test_drivers_of_a_cancer_are_their_own_list_and_old_symbols_count() -> None:
    tested = ["KEAP1", "NSD2", "MLL2", "APC", "A", "B"]
    found = driver_overlap(["KEAP1"], tested, pd.Series(dtype=float), cancer="LUAD")
    assert list(found) == ["Bailey 2018", "Bailey 2018, LUAD", "Vogelstein 2013"]
    assert found["Bailey 2018, LUAD"]["genes"] == ["KEAP1"]
    assert found["Bailey 2018"]["drivers"] == 4  # NSD2 by its list's other symbol, MLL2 by HGNC
    assert found["Vogelstein 2013"]["drivers"] == 2  # MLL2, APC
    assert found["Vogelstein 2013"]["odds_ratio"] == 0
    assert found["Bailey 2018, LUAD"]["odds_ratio"] is None
    assert len(driver_overlap(["APC"], tested, pd.Series(dtype=float), cancer="none")) == 2


def test_genes_get_their_band_and_what_is_known_of_them() -> None:
    names = ["TP53", "KEAP1", "EGFR", "KRAS", "STK11", "C10orf54", "unknown gene"]
    table = genes.annotate(names).rename_axis("gene").reset_index()
    found = annotate(table).set_index("gene")
    assert found["band"].tolist() == [
        "17p13.1", "19p13.2", "7p11.2", "12p12.1", "19p13.3", "10q22.1", "",
    ]  # fmt: skip
    assert found.loc["KEAP1", "driver"] == (
        "Bailey 2018: HNSC, LIHC, LUAD, LUSC, PANCAN (possible tsg)"
    )
    assert found.loc["STK11", "driver"].endswith("; Vogelstein 2013 (tsg)")
    assert found.loc["KRAS", "driver"].endswith("; Vogelstein 2013 (oncogene)")
    assert found.loc[["C10orf54", "unknown gene"], "driver"].tolist() == ["", ""]
    assert list(annotate(table).columns) == [*table.columns, "band", "driver"]


def test_every_shipped_gene_of_a_nuclear_chromosome_has_a_band() -> None:
    table = genes.table().rename_axis("gene").reset_index()
    band = annotate(table)["band"]
    nuclear = table["chromosome"] != "MT"
    assert (band[nuclear] != "").all()
    assert (band[~nuclear] == "").all()


def test_sets_and_drivers_are_found_by_the_names_of_the_tested_genes() -> None:
    tested = ["ATP5B", "MLL2", "ELTD1"]  # in the sets and lists: ATP5F1B, KMT2D, ADGRL4
    table = coverage(tested).set_index("collection")
    assert table.loc["Hallmark", ["genes", "found"]].tolist() == [4384, 3]
    found = annotate(genes.annotate(tested).rename_axis("gene").reset_index())
    assert found["driver"].str.contains("Bailey 2018").tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["KMT2D", "MLL2", "TNRC21"])
def test_a_driver_of_two_names_is_found_by_either_in_both_places(name: str) -> None:
    """Vogelstein's list has KMT2D with the alias MLL2; TNRC21 is a third name of it."""
    overlap = driver_overlap([name], [name, "APC", "A"], pd.Series(dtype=float))
    assert overlap["Vogelstein 2013"]["genes"] == [name]
    table = annotate(genes.annotate([name, "A"]).rename_axis("gene").reset_index())
    assert table["driver"].str.contains("Vogelstein 2013").tolist() == [True, False]


def test_lists_may_call_a_driver_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "source": ["a", "b"],
        "gene": ["KMT2D", "MLL2"],
        "alias": "",
        "cancers": "",
        "role": "",
    }
    monkeypatch.setattr(known_drivers, "_drivers", lambda: pd.DataFrame(known))
    overlap = driver_overlap(["TNRC21"], ["TNRC21", "A"], pd.Series(dtype=float))
    assert [found["genes"] for found in overlap.values()] == [["TNRC21"], ["TNRC21"]]


def test_coverage_counts_symbols(tested) -> None:
    table = coverage(tested).set_index("collection")
    assert table.loc["Hallmark"].tolist() == [4384, 2500, 50, 50]
    assert table.loc["Reactome", "sets"] == 2484


def test_the_shipped_files_are_small_and_complete() -> None:
    names = ["hallmark.gmt.gz", "reactome.gmt.gz", "drivers.csv", "bands.csv"]
    assert sum((DATA / name).stat().st_size for name in names) < 400_000
    assert {name: len(gene_sets._gene_sets(name)) for name in gene_sets.COLLECTIONS} == {
        "Hallmark": 50, "Reactome": 2484,
    }  # fmt: skip
    drivers = known_drivers._drivers()
    assert drivers["source"].value_counts().to_dict() == {
        "Bailey 2018": 299, "Vogelstein 2013": 125,
    }  # fmt: skip
    assert not drivers.duplicated(["source", "gene"]).any()
    assert set(drivers["gene"]) <= set(genes.table().index)
    assert len(pd.read_csv(DATA / "bands.csv")) == 862


def test_the_script_makes_the_files_from_their_sources(tmp_path: Path) -> None:
    import gzip
    import json

    spec = importlib.util.spec_from_file_location("sets", ROOT / "scripts/build_gene_sets.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    sets = tmp_path / "sets.gmt"
    sets.write_text("SET\tabout\tTP53\tKRAS\n")
    bailey = tmp_path / "bailey.csv"
    bailey.write_text(
        "Symbol,Aliases,Cancer,KEY,Function\n"
        "WHSC1,NSD2,LIHC,WHSC1_LIHC,oncogene\n"
        "APC,,PANCAN,APC_PANCAN,tsg\nAPC,,COADREAD,APC_COADREAD,tsg\nAPC,,STAD,APC_STAD,\n"
    )
    vogelstein = tmp_path / "vogelstein.tsv"
    vogelstein.write_text("Gene Symbol\tClassification*\nMLL2\tTSG\nKRAS\tOncogene\n")
    bands = tmp_path / "bands.json.gz"
    places = {
        name: {"p1": [0, 10, "gneg"]} for name in [*map(str, range(1, 23)), "X", "Y", "1_alt"]
    }
    places["1"] = {"q1": [10, 20, "gneg"], "p1": [0, 10, "gneg"]}
    bands.write_bytes(gzip.compress(json.dumps(places).encode()))
    for name in ("a", "b"):
        script.main(sets, sets, bailey, vogelstein, bands, tmp_path / name)
    for made in sorted((tmp_path / "a").iterdir()):
        assert made.read_bytes() == (tmp_path / "b" / made.name).read_bytes()
    assert gzip.decompress((tmp_path / "a/reactome.gmt.gz").read_bytes()) == sets.read_bytes()
    assert (tmp_path / "a/drivers.csv").read_text().splitlines() == [
        "source,gene,alias,cancers,role",
        "Bailey 2018,APC,,COADREAD PANCAN STAD,tsg",
        "Bailey 2018,WHSC1,NSD2,LIHC,oncogene",
        "Vogelstein 2013,KRAS,,,oncogene",
        "Vogelstein 2013,KMT2D,MLL2,,tsg",
    ]
    assert (tmp_path / "a/bands.csv").read_text().splitlines()[:4] == [
        "chromosome,start,band", "1,1,1p1", "1,11,1q1", "2,1,2p1",
    ]  # fmt: skip
