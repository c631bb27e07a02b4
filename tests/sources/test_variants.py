"""Classes of variants: every vocabulary counts, and what is not known is never wild type."""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from oncopixel.core.errors import SourceError
from oncopixel.sources.variants import (
    ALTERING,
    NOT_ALTERING,
    NOT_SOMATIC,
    Calls,
    _key,
    alters,
    is_somatic,
    mutation_matrix,
    read_list,
)


def words(text: str) -> list[str]:
    return text.split()


YES = [
    *words(
        """
Missense_Mutation Nonsense_Mutation Nonstop_Mutation Frame_Shift_Del Frame_Shift_Ins
In_Frame_Del In_Frame_Ins Splice_Site Translation_Start_Site Missense missense Nonsense Splice
Frameshift Splice_Site_SNP Splice_Site_Del Splice_Site_Ins Splice_Site_Indel Stop_Codon_Del
Stop_Codon_Ins Start_Codon_SNP Start_Codon_Del Start_Codon_Ins De_novo_Start_OutOfFrame
De_novo_Start_InFrame Frame_Shift Read-through MISSENSE NONSENSE NONSTOP FRAME_SHIFT_DEL
IN_FRAME_INS SPLICE_SITE START_CODON_SNP DE_NOVO_START_OUT_FRAME missense_variant stop_gained
stop_lost start_lost frameshift_variant inframe_insertion inframe_deletion
splice_acceptor_variant splice_donor_variant protein_altering_variant transcript_ablation
initiator_codon_variant disruptive_inframe_deletion conservative_inframe_insertion
exon_loss_variant coding_sequence_variant gene_fusion NON_SYNONYMOUS_CODING STOP_GAINED
STOP_LOST START_LOST FRAME_SHIFT CODON_CHANGE CODON_DELETION CODON_CHANGE_PLUS_CODON_INSERTION
SPLICE_SITE_DONOR SPLICE_SITE_ACCEPTOR RARE_AMINO_ACID splicing exonic;splicing stopgain
stoploss startloss nonsynonymous nonsynonymous_SNV frameshift_deletion nonframeshift_insertion
frameshift_block_substitution stop_gained&splice_region_variant missense_variant,intron_variant
intron_variant;missense_variant missense_variant+splice_region_variant exonic\\x3bsplicing
missense|unheard_of Fusion Structural_Variant DELETION DUPLICATION INVERSION TRANSLOCATION
"""
    ),
    "nonsynonymous SNV",
    "stopgain SNV",
    "Substitution - Missense",
    "Missense Mutation",
    "Deletion - Frameshift",
    "Complex - deletion inframe",
    "Nonstop extension",
    " Missense_Mutation ",
    "stop_gained, splice_region_variant",
]
NO = [
    *words(
        """
Silent Intron RNA IGR 3'UTR 5'UTR 3'Flank 5'Flank Splice_Region lincRNA Non-coding_Transcript
synonymous_variant intron_variant 3_prime_UTR_variant 5_prime_UTR_variant upstream_gene_variant
downstream_gene_variant intergenic_variant splice_region_variant stop_retained_variant
non_coding_transcript_exon_variant mature_miRNA_variant regulatory_region_variant synonymous
intronic UTR3 UTR5 intergenic upstream ncRNA_exonic upstream;downstream SYNONYMOUS_CODING
UTR_3_PRIME INTRON DOWNSTREAM FIVE_PRIME_FLANK THREE_PRIME_UTR SILENT
synonymous_variant&splice_region_variant
"""
    ),
    "synonymous SNV",
    "Substitution - coding silent",
]
UNKNOWN = [
    *words(
        "exonic unknown Unheard_Of Targeted_Region . Mutation SNP COULD_NOT_DETERMINE DEL yes 1 -"
    ),
    *words("intron_variant&unheard_of & p.R1H Silent&:"),
    "",
    " ",
]


@pytest.mark.parametrize(("given", "answer"), [(YES, True), (NO, False), (UNKNOWN, None)])
def test_every_vocabulary_in_use(given: list[str], answer: bool | None) -> None:
    assert {word: alters(word) for word in given} == dict.fromkeys(given, answer)
    assert not ALTERING & NOT_ALTERING


SPELLING = st.tuples(
    st.sampled_from(YES + NO), st.sampled_from(["_", " ", "-", ""]), st.integers(0, 3)
)


@settings(deadline=None)
@drawn(SPELLING)
def test_spelling_does_not_matter(case: tuple[str, str, int]) -> None:
    word, gap, how = case
    kept = word if "\\" in word else re.sub(r"(?<=\w)[_ -](?=\w)", gap, word)
    spelt = [kept, kept.lower(), kept.upper(), kept.title()][how if "\\" not in word else 0]
    assert alters(f" {spelt} ") is (word in YES)


@settings(deadline=None)
@drawn(st.text(max_size=30), st.sampled_from(["&", ",", ";", "|"]), st.sampled_from(NO))
def test_an_unknown_word_is_never_silent(word: str, sign: str, silent: str) -> None:
    parts = [part for part in re.split(r"[&,;|+/]|\\x3b", word) if part.strip()]
    if any(_key(part) in ALTERING | NOT_ALTERING for part in parts):
        return
    assert alters(word) is None
    if parts:
        assert alters(f"{silent}{sign}{word}") is None
        assert alters(f"Missense{sign}{word}") is True


def test_a_status_may_be_spelt_in_any_way() -> None:
    words = [
        "Germline",
        "GERMLINE",
        "Wild-Type",
        "wild type",
        "LOH",
        "None",
        "Redacted",
        "UNCALLED",
    ]
    assert not is_somatic(words).any()
    assert is_somatic(["", "Somatic", "SOMATIC", "Unknown", "Valid"]).all()
    assert all(word.isalpha() for word in NOT_SOMATIC)


def called(rows: list[tuple[str, str, str]], notes: list[str]) -> pd.DataFrame:
    samples, genes, classes = map(list, zip(*rows, strict=True))
    calls = Calls("x.maf", samples, genes, classes, np.ones(len(rows), dtype=bool))
    return mutation_matrix(calls, None, notes).frame


MANY = [(f"S{i}", "EGFR", "Missense") for i in range(200)]


def test_a_rare_unknown_class_is_not_measured_and_told() -> None:
    notes: list[str] = []
    rows = [("S1", "TP53", "odd"), ("S2", "TP53", "odd"), ("S2", "TP53", "Nonsense"),
            ("S3", "TP53", "odd"), ("S3", "TP53", "Silent"), ("S4", "", "odd")]  # fmt: skip
    frame = called([*rows, *MANY], notes)
    np.testing.assert_array_equal(
        frame.loc[["S1", "S2", "S3", "S4", "S5"], "TP53"], [np.nan, 1, np.nan, 0, 0]
    )
    assert any("3 of 205 variants are of a class that is not known: 'odd' (3)" in n for n in notes)


def test_many_unknown_classes_are_refused_with_the_words() -> None:
    rows = [(f"T{i}", "TP53", "odd" if i % 2 else "") for i in range(10)]
    with pytest.raises(SourceError, match=r"x\.maf: 10 of 210 variants .*none \(5\), 'odd' \(5\)"):
        called([*rows, *MANY], [])


MAF = ("Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode", "Mutation_Status")
ROWS = [("TP53", "Missense_Mutation", "A", "Somatic"), ("KRAS", "Silent", "B", ""),
        ("KRAS", "Missense", "B", "Germline"), ("", "", "C", "")]  # fmt: skip
WANTED = pd.DataFrame([[0, 1], [0, 0], [0, 0]], list("ABC"), ["KRAS", "TP53"], np.float32)


def table(header: tuple[str, ...], sign: str, before: str = "") -> bytes:
    return (before + "".join(sign.join(row) + "\r\n" for row in (header, *ROWS))).encode()


@pytest.mark.parametrize("name", ["x.maf", "x.tsv", "x.txt.gz", "x.maf.gz", "x.csv", "x.parquet"])
@pytest.mark.parametrize(
    "header",
    [
        MAF,
        ("gene", "effect", "#sample", "Mutation_Status"),
        ("gene", "effect", "Sample_ID", "mutation status"),
        ("HugoSymbol", "VariantInfo", "ModelID", "Mutation_Status"),
        ("gene", "class", "sample", "Mutation_Status"),
    ],
)
def test_a_list_is_read_whatever_it_is_called(
    tmp_path: Path, name: str, header: tuple[str, ...]
) -> None:
    path, notes = tmp_path / name, []
    content = table(
        header, "," if ".csv" in name else "\t", "#version 2.4\n" * ("#" not in header[2])
    )
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    if name == "x.parquet":
        pd.DataFrame(ROWS, columns=header).astype("category").to_parquet(path)
    found = read_list(path, notes)
    assert found is not None
    pd.testing.assert_frame_equal(found.frame, WANTED)
    assert "a list of 4 variants; its 3 samples count as sequenced" in notes[0]


@pytest.mark.parametrize("sign", ["\t", ",", ";"])
@pytest.mark.parametrize("first", ["", "\ufeff", "#version 2.4\n"])
def test_a_list_may_be_quoted_and_separated_as_people_have_it(
    tmp_path: Path, sign: str, first: str
) -> None:
    path = tmp_path / "x.tsv"
    header = ("sample" if first.startswith("#") else "#sample", "gene", "effect")
    rows = [[f'"{cell}"' for cell in row] for row in (header, *LIST)]
    path.write_text(first + "".join(sign.join(row) + "\n" for row in rows))
    found = read_list(path, [])
    assert found is not None
    pd.testing.assert_frame_equal(found.frame, WANTED.loc[["A", "B"]])


LIST = (("A", "TP53", "missense_variant, intron_variant"), ("B", "KRAS", "Silent"))


def test_what_is_no_list_is_left_to_others_and_a_list_of_no_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    for content in ("gene\tA\tB\nTP53\t1\t0\n", "sample\tTP53\tgene\nA\t1\t0\n"):
        path.write_text(content)
        assert read_list(path, []) is None
    for content, said in (
        ("sample\tgene\tchr\tstart\nA\tTP53\t1\t5\n", "without their classes"),
        ("sample\tgene\teffect\tgene\nA\tTP53\tSilent\tX\n", "has 2 columns gene"),
        ("sample\tgene\teffect\n\tTP53\tSilent\n", "mutation 1 of 1 names no sample"),
        ("sample\tgene\teffect\nA\t\t\n", "no mutation of any gene"),
    ):
        path.write_text(content)
        with pytest.raises(SourceError, match=said):
            read_list(path, [])
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    assert read_list(tmp_path / "x.parquet", []) is None
