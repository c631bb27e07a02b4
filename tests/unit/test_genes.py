"""Gene names and places: what `annotate` and `symbols` promise, and where the table comes from."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from oncopixel import genes
from oncopixel.genes import annotate, symbols

ROOT = Path(__file__).parents[2]


def test_places_of_well_known_genes() -> None:
    table = annotate(["TP53", "KRAS", "EGFR", "MT-CO1", "XIST", "SRY"])
    assert table["ensembl_id"].tolist()[:3] == [
        "ENSG00000141510", "ENSG00000133703", "ENSG00000146648",
    ]  # fmt: skip
    assert table["chromosome"].tolist() == ["17", "12", "7", "MT", "X", "Y"]
    assert table.loc["TP53", "start"] == 7661779
    assert table["start"].dtype == "int64"


def test_order_and_repeats_of_keys_are_kept() -> None:
    keys = ["KRAS", "unknown", "EGFR", "KRAS"]
    assert annotate(keys).index.tolist() == keys


def test_ids_with_and_without_version_mean_the_gene_of_the_symbol() -> None:
    table = annotate(["TP53", "ENSG00000141510", "ENSG00000141510.16"])
    assert (table == table.iloc[0]).all(axis=None)


def test_what_is_unknown_has_no_place_but_keeps_its_id() -> None:
    table = annotate(["not a gene", "ENSG09999999999.3"])
    assert table["ensembl_id"].tolist() == ["", "ENSG09999999999"]
    assert table["chromosome"].tolist() == ["", ""]
    assert table["start"].tolist() == [-1, -1]


def test_a_shared_symbol_means_the_lowest_ensembl_id() -> None:
    table = annotate(["CD99", "CBS"])  # CD99 has a copy on Y, CBS a false duplicate
    assert table["ensembl_id"].tolist() == ["ENSG00000002586", "ENSG00000160200"]
    assert table.loc["CD99", "chromosome"] == "X"
    assert annotate(["ENSGR0000002586.12"])["chromosome"].tolist() == ["Y"]


def test_no_keys_give_an_empty_table() -> None:
    assert annotate([]).empty
    assert symbols([]) == []


def test_symbols_of_ids_are_found_and_all_else_stays() -> None:
    keys = ["ENSG00000141510.16", "ENSG00000133703", "EGFR", "ENSG09999999999.3"]
    assert symbols(keys) == ["TP53", "KRAS", "EGFR", "ENSG09999999999.3"]


def test_a_caller_cannot_spoil_the_shipped_table() -> None:
    annotate(["TP53"])["chromosome"] = "1"
    assert annotate(["TP53"])["chromosome"].tolist() == ["17"]


def test_the_table_is_small_and_complete() -> None:
    path = Path(genes.__file__).parent / "data" / "genes.parquet"
    table = pd.read_parquet(path)
    assert path.stat().st_size < 1_500_000
    assert len(table) == 60_483
    assert table["ensembl_id"].is_unique
    assert table["ensembl_id"].is_monotonic_increasing
    assert set(table["chromosome"]) == {*map(str, range(1, 23)), "X", "Y", "MT"}
    assert table.notna().all(axis=None)


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("build_genes", ROOT / "scripts/build_genes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_table_from_a_probe_map(script, tmp_path: Path) -> None:
    source = tmp_path / "genes.probeMap"
    source.write_text(
        "id\tgene\tchrom\tchromStart\tchromEnd\tstrand\n"
        "ENSG00000198804.2\tMT-CO1\tchrM\t5904\t7445\t+\n"
        "ENSG00000141510.14\tTP53\tchr17\t7661779\t7687550\t-\n"
    )
    script.main(source, tmp_path / "a.parquet")
    script.main(source, tmp_path / "b.parquet")
    made = pd.read_parquet(tmp_path / "a.parquet")
    shipped = pd.read_parquet(Path(genes.__file__).parent / "data" / "genes.parquet")
    same = shipped[shipped["ensembl_id"].isin(made["ensembl_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(made, same)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
