"""Gene keys: one gene however it is written, and never another gene."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncopixel.cohort import genes
from oncopixel.cohort.gene_keys import is_date, make_names, read_keys
from oncopixel.core.errors import SourceError

OTHERS = ["KRAS", "EGFR"]
SYMBOLS = sorted(genes.table().index)


def named(key: str, *others: str) -> str:
    """The symbol under which a key ends up among others."""
    read = read_keys([key, *(others or OTHERS)], "x.tsv")
    return genes.reconcile(read.names)[0][0]


@pytest.mark.parametrize(
    "key",
    [
        "TP53", " TP53 ", '"TP53"', "'TP53'", "TP53\u00a0", "\ufeffTP53", "TP53|7157",
        "TP53 (7157)",
        "TP53(7157)", "TP53 [7157]", "TP53_7157", "TP53:7157", "TP53 7157", "TP53..7157.",
        "TP53.7157", "ENSG00000141510", "ENSG00000141510.12", "ENSG00000141510.12|TP53",
        "TP53_ENSG00000141510", "TP53_ENSG00000141510.12", "ENSG00000141510.12_TP53",
        "TP53 (ENSG00000141510)", "TP53|ENSG00000141510.12", "gene:ENSG00000141510", "TP53 | 7157",
        "ENST00000269305.8|ENSG00000141510.16|OTTHUMG1|-|TP53-201|TP53|2512|protein_coding|",
        "7157|TP53", "TP53 (nan)", "hgnc:TP53", "ensg00000141510",
    ],
)  # fmt: skip
def test_every_way_to_write_a_gene_is_that_gene(key: str) -> None:
    assert named(key) == "TP53"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("LOC728715|728715", "LOC728715"),
        ("MYGENE (7000)", "MYGENE"),
        ("hsa-mir-21|MIMAT0000076", "hsa-mir-21"),
        ("5S_rRNA", "5S_rRNA"),
        ("RP11-34P13.7", "RP11-34P13.7"),
        ("MYGENE.1", "MYGENE.1"),
        ("EML4/ALK", "EML4/ALK"),
        ("BCR|ABL1", "BCR|ABL1"),
        ("HLA-A /// HLA-B", "HLA-A /// HLA-B"),
        ("KRAS_G12D", "KRAS_G12D"),
        ("EGFR_pY1068", "EGFR_pY1068"),
        ("ENSG99999999999_AB", "ENSG99999999999_AB"),
    ],
)
def test_what_is_no_one_gene_stays(key: str, name: str) -> None:
    assert named(key, "BRAF", "PTEN") == name


@pytest.mark.parametrize("keys", [["7157", "3845"], ["X7157", "X3845", "TP53"], ["7157.0", '"1"']])
def test_numbers_in_place_of_names_are_refused(keys: list[str]) -> None:
    with pytest.raises(SourceError, match=r"x\.tsv: . of . gene keys are numbers.*Entrez"):
        read_keys(keys, "x.tsv")


# R


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("HLA-A", "HLA.A"), ("22RV1", "X22RV1"), ("5S_rRNA", "X5S_rRNA"), ("_a", "X_a"),
        (".1a", "X.1a"), (".a", ".a"), ("a b", "a.b"), ("-A", "X.A"), ("TRUE", "TRUE."),
        ("if", "if."), ("", "X"), ("TP53 (7157)", "TP53..7157."), ("é1", "é1"),
    ],
)  # fmt: skip
def test_make_names_is_that_of_r(name: str, changed: str) -> None:
    assert make_names(name) == changed


@given(st.text(max_size=12))
def test_names_that_r_has_changed_it_leaves(name: str) -> None:
    assert make_names(make_names(name)) == make_names(name)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("HLA.A", "HLA-A"), ("X5S_rRNA", "5S_rRNA"), ("NKX2.1", "NKX2-1"), ("ERVV.1", "ERVV-1"),
        ("MT.CO1", "MT-CO1"), ("KRAS.1", "KRAS"), ("HLA.DRA..3122.", "HLA-DRA"),
    ],
)  # fmt: skip
def test_names_that_r_changed_are_matched_and_said(key: str, name: str) -> None:
    assert named(key) == name


def test_the_notes_say_what_was_matched_and_what_was_not() -> None:
    read = read_keys(["HLA.A", "HLA-B", "HLA.B", "TP53"], "x.tsv")
    assert read.names == ["HLA-A", "HLA-B", "HLA.B", "TP53"]
    assert read.unclear == 1
    assert read.notes == [
        "1 genes matched whose names R had changed: HLA.A is HLA-A",
        "1 names that R changed could be several genes and stay as they are: HLA.B",
    ]
    joined = read_keys(["HLA.A", "HLA-B", "HLA.B", "TP53"], "x.tsv", join=True)
    assert joined.names == ["HLA-A", "HLA-B", "HLA-B", "TP53"]


@pytest.mark.parametrize(
    ("key", "among", "name"),
    [
        ("MY-GENE", ["MY.GENE"], "MY.GENE"),
        ("MY.GENE", ["MY-GENE"], "MY-GENE"),
        ("MY.GENE", ["MY-GENE", "MY GENE"], "MY.GENE"),
        ("MYGENE", ["MYGENE.1"], "MYGENE.1"),
        ("HLA.A", ["HLA.A"], "HLA.A"),
    ],
)
def test_the_names_of_the_expression_come_first(key: str, among: list[str], name: str) -> None:
    assert read_keys([key, "TP53"], "x.tsv", [*among, "TP53"]).names == [name, "TP53"]


NAMES = st.lists(
    st.one_of(
        st.sampled_from(SYMBOLS),
        st.sampled_from(SYMBOLS).map(make_names),
        st.text("AB1-. _", min_size=1, max_size=4),
    ).filter(lambda name: not re.fullmatch(r"[\s?.-]*|N/?A|X?\d+(\.0)?", name.strip())),
    min_size=3, max_size=25, unique=True,
)  # fmt: skip


def ours(keys: list[str]) -> list[str]:
    return [key for key in keys if not is_date(key)]


@settings(deadline=None, max_examples=150)
@given(NAMES, NAMES)
def test_genes_that_are_distinct_stay_distinct(keys: list[str], among: list[str]) -> None:
    """No two keys become one name unless one repeats the other, with a number or blanks."""
    keys = ours(keys)
    read = read_keys(keys, "x.tsv", among)
    by_name: dict[str, set[str]] = {}
    for key, name in zip(keys, read.names, strict=True):
        by_name.setdefault(name, set()).add(re.sub(r"\.\d+$", "", key.strip().strip("_")))
    for same in by_name.values():
        assert len({genes.gene_of(key) or make_names(key) for key in same}) == 1, same


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SYMBOLS), st.integers(1, 10**6))
def test_a_number_beside_a_symbol_changes_nothing(symbol: str, number: int) -> None:
    for key in (f"{symbol}|{number}", f"{symbol} ({number})", f'"{symbol}"', f" {symbol} "):
        assert read_keys([key, "A", "B"], "x.tsv").names[0] == symbol


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(SYMBOLS), min_size=2, max_size=30, unique=True))
def test_a_table_that_went_through_r_gets_its_genes_back(symbols: list[str]) -> None:
    read = read_keys(list(map(make_names, symbols)), "x.tsv")
    for symbol, name in zip(symbols, read.names, strict=True):
        assert name in (symbol, make_names(symbol))
        if len(symbols) == len(set(map(make_names, symbols))) and name != symbol:
            assert genes.gene_of(name) or read.unclear


# Dates


@pytest.mark.parametrize(
    "key",
    [
        "2-Sep", "2-Sept", "02-Sep", "Sep-02", "Sept-2", "02.Sep", "2. Sep", "2/Sep", "2 Sep",
        "02-Sep-21", "2-Sep-2021", "2021-09-02", "2001-09-02 00:00:00", "2001-09-02T00:00:00",
        "44441", "44441.0", "X44441", "X2.Sep", "Sep.02", "X2021.09.02", '"2-Sep"', " 2-SEP ",
        "02-sept.", "2-set", "2-Sep|55964", "2021/09/02", "2021-Sep-02", "Sep-2002", "2-Sep.1",
    ],
)  # fmt: skip
def test_a_date_is_the_gene_that_it_was(key: str) -> None:
    read = read_keys([key, *OTHERS], "x.tsv")
    assert read.names[0] == "SEPT2"
    assert "1 genes that a spreadsheet had made dates" in read.notes[0]


@pytest.mark.parametrize(
    ("key", "others", "gene"),
    [
        ("1-Dec", OTHERS, "DEC1"), ("15-Sep", OTHERS, "SEP15"), ("10/3/2021", OTHERS, "MARCH10"),
        ("03-Mrz", OTHERS, "MARCH3"), ("1-Mar", ["KRAS", "MARC1"], "MARCH1"),
        ("Mar-01", ["KRAS", "MTARC1"], "MARCH1"), ("44256", ["KRAS", "MARCHF1"], "MARC1"),
        ("2-Sep", ["2-Sep", "KRAS"], "SEPT2"),
    ],
)  # fmt: skip
def test_a_date_is_mended_where_one_gene_only_is_left(
    key: str, others: list[str], gene: str
) -> None:
    assert read_keys([key, *others], "x.tsv").names[0] == gene


@pytest.mark.parametrize(
    ("key", "others", "words"),
    [
        ("1-Mar", OTHERS, "MARC1 or MARCH1"), ("Mar-01", OTHERS, "MARC1 or MARCH1"),
        ("44256", OTHERS, "MARC1 or MARCH1"), ("2001-03-01", OTHERS, "MARC1 or MARCH1"),
        ("2-Mar", ["2-Mar"], "MARC2 or MARCH2"), ("3/9/2021", OTHERS, "MARCH9 or SEPT3"),
        ("2-Sep", ["SEPT2", "KRAS"], "SEPT2 is there as well"), ("X1.Mar.1", OTHERS, "MARCH1"),
        ("5-May", OTHERS, "No gene is known"), ("1-Mar", ["MARC1", "MARCH1"], "there as well"),
    ],
)  # fmt: skip
def test_a_date_of_several_genes_or_none_is_refused(
    key: str, others: list[str], words: str
) -> None:
    with pytest.raises(SourceError, match=re.escape(key)) as caught:
        read_keys([key, *others], "x.tsv")
    assert words in str(caught.value)
    assert "x.tsv" in str(caught.value)


def test_no_symbol_is_a_date_and_the_names_of_a_model_stay() -> None:
    assert not [name for name in genes.all_names() if is_date(name)]
    assert read_keys(["1-Mar", "44256"], "x.tsv", ["1-Mar", "44256"]).names == ["1-Mar", "44256"]
    assert read_keys(["44300", *OTHERS], "x.tsv").names[0] == "44300"


def test_the_number_of_a_clone_is_part_of_its_name() -> None:
    names = ["RP11-13G14", "RP11-13G14.4", "AC093838.1", "AC093838"]
    assert read_keys(names, "x.tsv", join=True).names == names
