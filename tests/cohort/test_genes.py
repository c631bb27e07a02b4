"""Gene names and places: what `annotate` and `symbols` promise, and where the table comes from."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.cohort import genes
from oncopixel.cohort.genes import TAKEN, annotate, reconcile, symbols

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
    assert annotate(["ENSG00000002586.20_PAR_Y"])["ensembl_id"].tolist() == ["ENSG00000002586"]


def test_no_keys_give_an_empty_table() -> None:
    assert annotate([]).empty
    assert symbols([]) == []


def test_symbols_of_ids_are_found_and_all_else_stays() -> None:
    keys = ["ENSG00000141510.16", "ENSG00000133703", "EGFR", "ENSG09999999999.3"]
    assert symbols(keys) == ["TP53", "KRAS", "EGFR", "ENSG09999999999.3"]


@pytest.mark.parametrize(
    ("key", "name", "route"),
    [
        ("ENSG00000167548.14", "KMT2D", "Ensembl id"),
        ("ENSG00000002586.20_PAR_Y", "CD99", "Ensembl id"),
        ("ENSGR0000002586.12", "CD99", "Ensembl id"),
        ("ENSG00000286522.2", "HIST1H3B", "Ensembl id"),  # HGNC's; v22 has another id
        ("KMT2D", "KMT2D", "symbol"),
        ("H3C2", "HIST1H3B", "later symbol"),
        ("SEPTIN7", "SEPT7", "later symbol"),
        ("MLL2", "KMT2D", "previous symbol"),  # which is an alias of KMT2B, too
        ("KIAA1048", "AAK1", "alias"),
        ("MLL4", "MLL4", ""),  # of two genes
        ("mll2", "mll2", ""),
        ("14-3-3", "14-3-3", ""),
        ("not a gene", "not a gene", ""),
        ("", "", ""),
    ],
)
def test_a_key_gets_the_name_of_its_gene(key: str, name: str, route: str) -> None:
    assert reconcile([key]) == ([name], [route])


@pytest.mark.parametrize(
    ("keys", "names", "route"),
    [
        (["KMT2D", "MLL2"], ["KMT2D", "MLL2"], TAKEN),
        (["ENSG00000167548", "MLL2"], ["KMT2D", "MLL2"], TAKEN),
        (["FAM123B", "WTX"], ["AMER1", "WTX"], TAKEN),  # a previous symbol before an alias
        (["WTX", "FAM123B"], ["WTX", "AMER1"], "previous symbol"),
        (["MLL2", "TNRC21"], ["MLL2", "TNRC21"], TAKEN),  # two previous symbols of KMT2D
        (["MLL2", "CAGL114", "TNRC21"], ["MLL2", "CAGL114", "TNRC21"], TAKEN),
        (["MLL2", "MLL2"], ["KMT2D", "KMT2D"], "previous symbol"),
        (["MLL3", "MLL2"], ["KMT2C", "KMT2D"], "previous symbol"),
    ],
)
def test_of_several_names_the_best_becomes_the_genes(
    keys: list[str], names: list[str], route: str
) -> None:
    found, routes = reconcile(keys)
    assert found == names
    assert routes[-1] == route


@pytest.mark.parametrize(
    ("key", "among", "name", "route"),
    [
        ("MLL2", ["MLL2", "KMT2D"], "MLL2", "symbol"),
        ("MLL2", ["KMT2D"], "KMT2D", "previous symbol"),
        ("KMT2D", ["MLL2"], "MLL2", "previous symbol"),
        ("CAGL114", ["MLL2"], "MLL2", "alias"),
        ("ENSG00000167548.9", ["MLL2"], "MLL2", "Ensembl id"),
        ("KMT2D", ["MLL2", "CAGL114"], "KMT2D", TAKEN),  # which of the two?
        ("CAGL114", ["MLL2", "KMT2D"], "KMT2D", "alias"),
        ("mine", ["mine"], "mine", "symbol"),
    ],
)
def test_names_in_use_elsewhere_come_first(
    key: str, among: list[str], name: str, route: str
) -> None:
    assert reconcile([key], among) == ([name], [route])


def test_the_symbol_has_the_best_claim_to_a_name_in_use_elsewhere() -> None:
    keys = ["TNRC21", "ENSG00000167548", "CAGL114"]
    assert reconcile(keys, ["MLL2"]) == (
        ["TNRC21", "MLL2", "CAGL114"],
        [TAKEN, "Ensembl id", TAKEN],
    )


NAMES = st.lists(
    st.sampled_from(
        ["KMT2D", "MLL2", "CAGL114", "TNRC21", "KMT2C", "MLL3", "HIST1H3B", "H3C2", "H3FL", "own"]
    )
)


@given(NAMES, NAMES)
def test_names_are_neither_lost_nor_joined_and_stay_the_second_time(
    keys: list[str], among: list[str]
) -> None:
    names, routes = reconcile(keys, among)
    assert len(names) == len(routes) == len(keys)
    assert len(set(names)) == len(set(keys)) == len(set(zip(keys, names, strict=True)))
    assert reconcile(names, among)[0] == names
    assert dict(zip(keys, names, strict=True)) == dict(
        zip(keys[::-1], reconcile(keys[::-1], among)[0], strict=True)
    )


@given(NAMES, NAMES)
def test_joined_each_name_is_read_as_if_it_stood_alone(keys: list[str], among: list[str]) -> None:
    names, routes = reconcile(keys, among, join=True)
    alone = [reconcile([key], among) for key in keys]
    assert list(zip(names, routes, strict=True)) == [(n[0], r[0]) for n, r in alone]
    assert reconcile(names, among, join=True)[0] == names


def test_joined_a_name_that_the_table_keeps_for_a_gene_of_its_own_stays() -> None:
    assert reconcile(["KMT2D", "MLL2"], join=True)[0] == ["KMT2D", "KMT2D"]
    assert reconcile(["KMT2D", "MLL2"], ["KMT2D", "MLL2"], join=True)[0] == ["KMT2D", "MLL2"]


def test_a_caller_cannot_spoil_the_shipped_table() -> None:
    annotate(["TP53"])["chromosome"] = "1"
    assert annotate(["TP53"])["chromosome"].tolist() == ["17"]


def test_the_table_is_small_and_complete() -> None:
    path = Path(genes.__file__).parents[1] / "data" / "genes.parquet"
    table = pd.read_parquet(path)
    assert path.stat().st_size < 1_500_000
    assert len(table) == 60_483
    assert table["ensembl_id"].is_unique
    assert table["ensembl_id"].is_monotonic_increasing
    assert set(table["chromosome"]) == {*map(str, range(1, 23)), "X", "Y", "MT"}
    assert table.notna().all(axis=None)


def test_every_other_name_is_of_one_gene_and_no_symbol_itself() -> None:
    path = Path(genes.__file__).parents[1] / "data" / "aliases.parquet"
    table = pd.read_parquet(path)
    assert path.stat().st_size < 1_000_000
    assert len(table) == 49_314
    assert table["name"].is_unique
    assert not set(table["name"]) & (set(genes.table().index) | set(genes.table()["ensembl_id"]))
    assert set(table["symbol"]) <= set(genes.table().index)
    assert set(table["kind"]) == set(genes.ROUTES) - {"symbol"}


def script_of(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_table_from_a_probe_map(tmp_path: Path) -> None:
    script = script_of("build_genes")
    source = tmp_path / "genes.probeMap"
    source.write_text(
        "id\tgene\tchrom\tchromStart\tchromEnd\tstrand\n"
        "ENSG00000198804.2\tMT-CO1\tchrM\t5904\t7445\t+\n"
        "ENSG00000141510.14\tTP53\tchr17\t7661779\t7687550\t-\n"
    )
    script.main(source, tmp_path / "a.parquet")
    script.main(source, tmp_path / "b.parquet")
    made = pd.read_parquet(tmp_path / "a.parquet")
    shipped = pd.read_parquet(Path(genes.__file__).parents[1] / "data" / "genes.parquet")
    same = shipped[shipped["ensembl_id"].isin(made["ensembl_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(made, same)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


HGNC = [  # status, approved symbol, aliases, previous symbols, Ensembl id
    ("Approved", "H3C2", "H3/l, H3C", "H3FL, HIST1H3B", "ENSG00000286522"),
    ("Approved", "KMT2D", "ALR, MLL4, KMT2B", "MLL2, TNRC21", "ENSG00000167548"),
    ("Approved", "KMT2B", "MLL4, MLL2", "", "ENSG00000272333"),
    ("Approved", "RENAMED", "", "", "ENSG00000000001"),
    ("Approved", "WRONG", "WRONG1", "", "ENSG00000000002"),  # v22 calls it like KMT2D
    ("Approved", "ABSENT", "TNRC21", "ABSENT1", "ENSG00000000003"),
    ("Entry Withdrawn", "GONE", "GONE1", "", "ENSG00000000001"),
]
V22 = {
    "ENSG00000124693": "HIST1H3B",
    "ENSG00000167548": "KMT2D",
    "ENSG00000272333": "KMT2B",
    "ENSG00000000001": "OLD",
    "ENSG00000000002": "KMT2D",
}


def test_the_script_makes_the_table_of_other_names(tmp_path: Path) -> None:
    script = script_of("build_aliases")
    columns = ["Status", "Approved symbol", "Alias symbols", "Previous symbols", "Ensembl gene ID"]
    source = tmp_path / "hgnc.tsv"
    pd.DataFrame(HGNC, columns=columns).to_csv(source, sep="\t", index=False)
    rows = list(V22.items())
    pd.DataFrame(rows, columns=["ensembl_id", "symbol"]).to_parquet(tmp_path / "genes.parquet")
    script.main(source, tmp_path / "a.parquet")
    script.main(source, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    made = pd.read_parquet(tmp_path / "a.parquet")
    assert list(made.itertuples(index=False, name=None)) == [
        ("ALR", "KMT2D", "alias"),
        ("ENSG00000286522", "HIST1H3B", "Ensembl id"),
        ("H3C", "HIST1H3B", "alias"),
        ("H3C2", "HIST1H3B", "later symbol"),
        ("H3FL", "HIST1H3B", "previous symbol"),
        ("MLL2", "KMT2D", "previous symbol"),
        ("RENAMED", "OLD", "later symbol"),
        ("TNRC21", "KMT2D", "previous symbol"),
    ]


def test_the_script_makes_the_table_of_both_builds(tmp_path: Path) -> None:
    script = script_of("build_assemblies")
    old, new = tmp_path / "hg19.snplist", tmp_path / "hg38.snplist"
    at = [*range(1_000, 1_060, 10), 3_000, *range(5_000, 5_060, 10)]
    moved = [x + 700 if x < 3_000 else x + 1 if x == 3_000 else x + 900 for x in at]
    for path, positions in ((old, at), (new, moved)):
        rows = [
            f"rs{c}{i}\tA\tG\t{c}\t{x}" for c in range(1, 23) for i, x in enumerate(positions, 100)
        ]
        path.write_text("\n".join(["rsid\tA1\tA2\t#CHROM\tPOS", *rows]) + "\n")
    (tmp_path / "cytobands.py").write_text(
        'hg19_cytobands = (("chrX", 0, 4000, "p1", "g"), ("chrX", 4000, 8000, "q1", "g"))\n'
        'hg38_cytobands = (("chrX", 0, 4200, "p1", "g"), ("chrX", 4200, 8200, "q1", "g"))\n'
    )
    (tmp_path / "genomes.py").write_text(
        "names = [f'chr{c}' for c in [*range(1, 23), 'X']]\n"
        "hg19_chr_lengths = dict.fromkeys(names, 8000)\n"
        "hg38_chr_lengths = dict.fromkeys(names, 8200)\n"
    )
    more = (old, new, tmp_path / "cytobands.py", tmp_path / "genomes.py")
    script.main(*more, tmp_path / "made.csv")
    made = pd.read_csv(tmp_path / "made.csv", dtype={"chromosome": str})
    assert list(made.itertuples(index=False, name=None))[:4] == [
        ("1", 1, 1),
        ("1", 1_000, 1_700),
        ("1", 5_000, 5_900),
        ("1", 8_000, 8_200),
    ]
    assert made[made["chromosome"] == "X"]["grch38"].tolist() == [1, 4_201, 8_200]
