"""The source `files`: what it reads, what it merges and drops, and every input that it refuses."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oncopixel.cohort.assembly import assemble
from oncopixel.cohort.contract import Cohort, read_cohort, write_cohort
from oncopixel.cohort.samples import SheetColumns
from oncopixel.core.errors import SourceError
from oncopixel.core.params import FilesSource
from oncopixel.sources import load
from oncopixel.sources.tables import read_matrix, read_sheet

GENES = ["TP53", "KRAS", "EGFR", "STK11"]
SAMPLES = ["S1", "S2", "S3", "S4"]
COUNTS = pd.DataFrame(np.arange(16).reshape(4, 4), GENES, SAMPLES)
"""Genes in rows, samples in columns."""
SHEET = "sample,patient,arm,age\nS1,P1,a,50\nS2,P1,b,61.5\nS3,P2,a,NA\nS4,P3,[Not Available],70\n"


def put(folder: Path, **files: str | bytes | pd.DataFrame) -> None:
    """Files by name, `__` for the dot: text, bytes, or a frame in the format of the name."""
    for key, content in files.items():
        path = folder / key.replace("__", ".")
        if isinstance(content, pd.DataFrame):
            if path.suffix == ".parquet":
                content.to_parquet(path)
            else:
                content.to_csv(path, sep="," if ".csv" in path.name else "\t", index_label="id")
        elif isinstance(content, str) and path.suffix == ".gz":
            path.write_bytes(gzip.compress(content.encode()))
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def read(folder: Path, expression: str = "x.tsv", samples: str = "s.csv", **more: object) -> Cohort:
    entry = {"kind": "files", "scale": "counts", "expression": expression, "samples": samples}
    return load(FilesSource.model_validate(entry | more), folder)[0]


def notes(cohort: Cohort) -> str:
    return "\n".join(cohort.data.uns["notes"])


@pytest.mark.parametrize("name", ["x.tsv", "x.txt", "x.csv", "x.tsv.gz", "x.csv.gz", "x.parquet"])
@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_every_format_and_orientation_gives_the_same_cohort(
    tmp_path: Path, name: str, orientation: str
) -> None:
    frame = COUNTS if orientation == "genes_by_samples" else COUNTS.T
    put(tmp_path, **{name.replace(".", "__"): frame, "s__csv": SHEET})
    cohort = read(tmp_path, name, orientation=orientation)
    assert cohort.samples.index.tolist() == SAMPLES
    assert cohort.genes.index.tolist() == GENES
    assert cohort.genes["chromosome"].tolist() == ["17", "12", "7", "19"]
    assert cohort.patients.tolist() == ["P1", "P1", "P2", "P3"]
    np.testing.assert_array_equal(cohort.layer("expression"), COUNTS.T)
    assert cohort.channels == ["expression"]
    assert cohort.scale == "counts"


def test_parquet_with_the_ids_in_its_first_column(tmp_path: Path) -> None:
    put(tmp_path, x__parquet=COUNTS.rename_axis("gene").reset_index(), s__csv=SHEET)
    np.testing.assert_array_equal(read(tmp_path, "x.parquet").layer("expression"), COUNTS.T)


def test_sheet_in_parquet_and_text_with_bom_quotes_and_windows_line_ends(tmp_path: Path) -> None:
    put(tmp_path, s__parquet=pd.DataFrame({"patient": ["P1", "P2"]}, ["S1", "S2"]))
    put(tmp_path, x__csv='\ufeff"gene","S1","S2"\r\n"TP53","1"," 2"\r\n\r\n"KRAS",3,4e0\r\n')
    cohort = read(tmp_path, "x.csv", "s.parquet")
    np.testing.assert_array_equal(cohort.layer("expression"), [[1, 3], [2, 4]])


def test_sheet_columns_keep_their_kind_and_missing_cells_stay_missing(tmp_path: Path) -> None:
    put(tmp_path, x__tsv=COUNTS, s__csv=SHEET)
    samples = read(tmp_path).samples
    assert samples["age"].tolist()[:2] == [50, 61.5]
    assert np.isnan(samples["age"].iloc[2])
    assert samples["arm"].tolist() == ["a", "b", "a", ""]
    assert samples["batch"].tolist() == [""] * 4


def test_named_columns_and_sample_types_in_words_or_numbers(tmp_path: Path) -> None:
    sheet = "id,who,kind,run,place\nS1,1,Primary Tumor,r1,x\nS2,1,11,r2,x\nS3,2,1,r1,y\nS4,3,,r1,\n"
    put(tmp_path, x__tsv=COUNTS, s__csv=sheet)
    samples = read(
        tmp_path, patient_column="who", sample_type_column="kind", batch_column="run",
        site_column="place",
    ).samples  # fmt: skip
    assert samples["patient"].tolist() == ["1", "1", "2", "3"]
    assert samples["sample_type"].tolist() == ["01", "11", "01", ""]
    assert samples["batch"].tolist() == ["r1", "r2", "r1", "r1"]
    assert samples["site"].tolist() == ["x", "x", "y", ""]


def test_a_sample_type_that_is_not_known_among_others_is_left_out_and_counted(
    tmp_path: Path,
) -> None:
    sheet = "id,patient,sample_type\nS1,P1,Tumour\nS2,P2,biopsy\nS3,P3,11\nS4,P4,Not Reported\n"
    put(tmp_path, x__tsv=COUNTS, s__csv=sheet)
    cohort = read(tmp_path)
    assert cohort.samples["sample_type"].tolist() == ["01", "", "11", ""]
    notes = cohort.data.uns["notes"]
    assert "1 samples have a sample type that is not known (S2 'biopsy')" in notes


def test_genes_are_found_by_other_names_in_every_matrix_and_counted(tmp_path: Path) -> None:
    put(
        tmp_path,
        x__tsv="g\tS1\tS2\nMLL2\t1\t2\nH3C2\t3\t4\nENSG00000141510.9\t5\t6\nmine\t7\t8\n"
        "FAM123B\t9\t9\nWTX\t8\t8\n",
        c__tsv="g\tS1\tS2\nCAGL114\t-1\t1\nTP53\t0\t1\nWTX\t1\t0\nEGFR\t1\t1\n",
        s__csv=SHEET,
    )
    cohort = read(tmp_path, copy_number="c.tsv")
    assert cohort.genes.index.tolist() == ["KMT2D", "HIST1H3B", "TP53", "mine", "AMER1", "WTX"]
    assert cohort.genes.loc["KMT2D", "chromosome"] == "12"
    nan = np.nan
    np.testing.assert_array_equal(
        cohort.layer("copy_number"), [[-1, nan, 0, nan, nan, 1], [1, nan, 1, nan, nan, 0]]
    )
    said = notes(cohort)
    assert (
        "expression: genes found: 1 by Ensembl id, 1 by later symbol, 2 by previous symbol, "
        "1 unknown" in said
    )
    assert (
        "expression: 1 genes keep another name: their symbol or another name of theirs is there too"
    ) in said
    assert "copy_number: genes found: 3 by symbol, 1 by alias" in said
    assert "copy_number: 1 genes dropped: no expression" in said


def test_a_barcode_tells_the_sample_type_only_where_the_sheet_does_not(tmp_path: Path) -> None:
    names = [f"TCGA-05-000{i}-0{i}" for i in (1, 2, 3, 6)]
    sheet = "".join(
        f"{name},{word}\n" for name, word in zip(names, ["", "11", "biopsy", " "], strict=True)
    )
    put(tmp_path, x__tsv=COUNTS.set_axis(names, axis=1), s__csv=f"id,kind\n{sheet}")
    cohort = read(tmp_path, sample_type_column="kind")
    assert cohort.samples["sample_type"].tolist() == ["01", "11", "", "06"]
    assert f"1 samples have a sample type that is not known ({names[2]} 'biopsy')" in notes(cohort)


@pytest.mark.parametrize(
    "names", [["KMT2D", "MLL2"], ["MLL2", "ENSG00000167548"], ["CAGL114", "MLL2"]]
)
@pytest.mark.parametrize("name", ["KMT2D", "MLL2"])
def test_a_mutation_under_any_name_of_a_gene_counts(
    tmp_path: Path, names: list[str], name: str
) -> None:
    calls = pd.DataFrame([[1, 0, 0, np.nan], [0, 0.5, np.nan, np.nan]], names, SAMPLES)
    put(tmp_path, x__tsv=COUNTS.rename(index={"STK11": name}), s__csv=SHEET, m__tsv=calls)
    cohort = read(tmp_path, mutation="m.tsv")
    assert cohort.genes.index[-1] == "KMT2D"
    np.testing.assert_array_equal(cohort.layer("mutation")[:, -1], [1, 0.5, 0, np.nan])
    assert "mutation: 1 entries joined with another of the same gene" in notes(cohort)


def test_other_channels_take_the_best_name_and_say_what_is_left(tmp_path: Path) -> None:
    copies = pd.DataFrame([[1, 1, 1, 1], [-1, 0, 0, 0]], ["MLL2", "KMT2D"], SAMPLES)
    put(tmp_path, x__tsv=COUNTS.rename(index={"STK11": "KMT2D"}), s__csv=SHEET, c__tsv=copies)
    cohort = read(tmp_path, copy_number="c.tsv")
    np.testing.assert_array_equal(cohort.layer("copy_number")[:, -1], [-1, 0, 0, 0])
    assert "copy_number: 1 genes keep another name" in notes(cohort)


def test_the_names_of_a_model_come_first(tmp_path: Path) -> None:
    put(tmp_path, x__tsv="g\tS1\tS2\nKMT2D\t1\t2\nH3C2\t3\t4\n", s__csv=SHEET)
    cohort = assemble(
        {"expression": read_matrix(tmp_path / "x.tsv", "genes_by_samples")},
        read_sheet(tmp_path / "s.csv"), scale="counts", columns=SheetColumns(), sheet_origin="s",
        origin="x", among=["MLL2"],
    )  # fmt: skip
    assert cohort.genes.index.tolist() == ["MLL2", "HIST1H3B"]


def test_missing_values_are_nan_and_counted(tmp_path: Path) -> None:
    put(tmp_path, x__tsv="g\tS1\tS2\nTP53\tNA\t1\nKRAS\t\tnan\nEGFR\t1\t2\n", s__csv=SHEET)
    cohort = read(tmp_path)
    np.testing.assert_array_equal(cohort.layer("expression"), [[np.nan, np.nan, 1], [1, np.nan, 2]])
    assert "3 of 6 values are missing" in notes(cohort)


def test_gene_keys_become_symbols_and_of_repeats_the_highest_mean_stays(tmp_path: Path) -> None:
    rows = {
        "ENSG00000141510.15": [1, 1, 1, 1],  # TP53
        "TP53": [9, 9, 9, 9],
        "KRAS|3845": [5, 5, 5, 5],
        "KRAS": [2, 2, 2, 2],
        "?|100130426": [7, 7, 7, 7],
        "N_unmapped": [7, 7, 7, 7],
        "MYGENE": [3, 3, 3, 3],
    }
    put(tmp_path, x__tsv=pd.DataFrame(rows, SAMPLES).T, s__csv=SHEET)
    cohort = read(tmp_path)
    assert cohort.genes.index.tolist() == ["TP53", "KRAS", "MYGENE"]
    assert cohort.layer("expression")[0].tolist() == [9, 5, 3]
    assert "2 entries without a gene name dropped" in notes(cohort)
    assert "2 entries dropped: another of the same gene symbol has a higher mean" in notes(cohort)
    assert "1 of 3 genes have no known place" in notes(cohort)


def test_samples_in_one_file_only_are_dropped_and_counted(tmp_path: Path) -> None:
    put(tmp_path, x__tsv=COUNTS, s__csv="sample,patient\nS2,P\nS4,Q\nS9,R\n")
    cohort = read(tmp_path)
    assert cohort.samples.index.tolist() == ["S2", "S4"]
    np.testing.assert_array_equal(cohort.layer("expression"), COUNTS[["S2", "S4"]].T)
    assert "2 samples dropped: not in the sample sheet" in notes(cohort)
    assert "1 rows of the sample sheet are of no sample" in notes(cohort)


def test_a_small_study_matches_a_sheet_of_everybody(tmp_path: Path) -> None:
    sheet = SHEET + "".join(f"X{i},Q{i},a,1\n" for i in range(50))
    put(tmp_path, x__tsv=COUNTS, s__csv=sheet)
    assert len(read(tmp_path).samples) == 4


def test_further_channels_are_aligned_and_what_they_lack_is_nan(tmp_path: Path) -> None:
    gistic = pd.DataFrame([[-2, 0, 1], [0, 1, 2]], ["KRAS", "MYC"], ["S4", "S9", "S1"])
    mutation = pd.DataFrame([[1, 0, 1, 0]], ["ENSG00000141510"], SAMPLES)
    put(tmp_path, x__tsv=COUNTS, s__csv=SHEET, cn__csv=gistic, mut__parquet=mutation)
    cohort = read(tmp_path, copy_number="cn.csv", mutation="mut.parquet")
    nan = np.nan
    assert cohort.channels == ["expression", "copy_number", "mutation"]
    np.testing.assert_array_equal(cohort.layer("copy_number")[:, 1], [1, nan, nan, -2])
    np.testing.assert_array_equal(cohort.layer("copy_number")[:, [0, 2, 3]], np.full((4, 3), nan))
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, 0, 1, 0])
    assert "copy_number: 2 samples were not measured" in notes(cohort)
    assert "mutation: 3 genes were not measured" in notes(cohort)


TUMOUR, NORMAL = "TCGA-05-4244-01A-01R-1107-07", "TCGA-05-4244-11A-01R-1107-07"


@pytest.mark.parametrize(
    "ids",
    [
        ["TCGA-05-4244-01", "TCGA-05-4244-11"],
        ["TCGA-05-4244-01A", "TCGA-05-4244-11A"],
        ["TCGA-05-4244-01A-01D-1103-01", "TCGA-05-4244-11A-01D-1103-01"],
        ["TCGA.05.4244.01A.01R.1107.07", "TCGA.05.4244.11A.01R.1107.07"],
    ],
)
def test_tcga_barcodes_of_any_length_match_and_tell_the_rest(tmp_path: Path, ids: list) -> None:
    put(tmp_path, x__tsv=COUNTS[["S1", "S2"]].set_axis([TUMOUR, NORMAL], axis=1))
    put(tmp_path, s__csv=pd.DataFrame({"arm": ["t", "n"]}, ids))
    cohort = read(tmp_path)
    assert cohort.samples.index.tolist() == [TUMOUR, NORMAL]
    assert cohort.samples["arm"].tolist() == ["t", "n"]
    assert cohort.patients.tolist() == ["TCGA-05-4244"] * 2
    assert cohort.samples["sample_type"].tolist() == ["01", "11"]
    assert cohort.samples["site"].tolist() == ["05", "05"]
    assert "sample sheet: 2 samples matched by TCGA barcode" in notes(cohort)


def test_a_clinical_table_of_patients_serves_all_their_samples(tmp_path: Path) -> None:
    put(tmp_path, x__tsv=COUNTS[["S1", "S2"]].set_axis([TUMOUR, NORMAL], axis=1))
    put(tmp_path, s__csv="patient_id,stage\nTCGA-05-4244,II\n")
    assert read(tmp_path).samples["stage"].tolist() == ["II", "II"]


def test_mutations_of_a_tumour_are_never_given_to_its_normal(tmp_path: Path) -> None:
    put(tmp_path, x__tsv=COUNTS[["S1", "S2"]].set_axis([TUMOUR, NORMAL], axis=1))
    put(tmp_path, s__csv="patient_id,stage\nTCGA-05-4244,II\n")
    put(tmp_path, m__csv="gene,TCGA-05-4244-01,TCGA-05-4244\nTP53,1,1\n")
    mutated = read(tmp_path, mutation="m.csv").layer("mutation")
    np.testing.assert_array_equal(mutated[:, 0], [1, np.nan])


def test_awkward_column_names_survive_the_disk(tmp_path: Path) -> None:
    sheet = "id,patient,sample,T/N,_index\nS1,P1,a,1,x\nS2,P2,b,2,y\n"
    put(tmp_path, x__tsv=COUNTS, s__csv=sheet)
    write_cohort(tmp_path / "cohort.h5ad", read(tmp_path))
    samples = read_cohort(tmp_path / "cohort.h5ad").samples
    assert {"sample_column", "T_N", "index_column"} <= set(samples.columns)


@pytest.mark.parametrize("name", ["calls.maf", "calls.tsv"])
def test_mutations_may_be_a_list(tmp_path: Path, name: str) -> None:
    rows = ("KRAS\tmissense_variant\tS1", "EGFR\tSilent\tS2", "KRAS\tIntron\tS2")
    put(tmp_path, x__tsv=COUNTS, s__csv=SHEET)
    (tmp_path / name).write_text(
        "\n".join(["Hugo_Symbol\tVariant_Classification\tTumor_Sample_Barcode", *rows]) + "\n"
    )
    cohort = read(tmp_path, mutation=name)
    found = pd.DataFrame(cohort.layer("mutation"), cohort.samples.index, cohort.genes.index)
    assert found["KRAS"].tolist()[:2] == [1, 0]
    assert found["EGFR"].tolist()[:2] == [0, 0]
    assert found.loc["S3":].isna().all(axis=None)
    assert "2 samples count as sequenced, others are not measured" in notes(cohort)


def with_cell(gene: str, sample: str, value: object) -> pd.DataFrame:
    frame = COUNTS.astype(object)
    frame.loc[gene, sample] = value
    return frame


TSV = COUNTS.to_csv(sep="\t", index_label="gene")
CSV = COUNTS.to_csv(index_label="gene")
GZIPPED = gzip.compress((TSV + TSV.split("\n", 1)[1] * 500).encode(), mtime=0)
COPIES = pd.DataFrame(2, GENES, SAMPLES)

Files = dict[str, str | bytes | pd.DataFrame]
BAD: dict[str, tuple[Files, dict[str, str], list[str]]] = {
    # the file as such
    "missing": ({}, {"expression": "y.tsv"}, ["y.tsv does not exist"]),
    "missing sheet": ({}, {"samples": "y.csv"}, ["y.csv does not exist"]),
    "folder": ({}, {"expression": "folder.tsv"}, ["folder.tsv is a folder"]),
    "empty": ({"x__tsv": b""}, {}, ["x.tsv is empty (0 bytes)"]),
    "empty gzip": ({"x__tsv__gz": ""}, {"expression": "x.tsv.gz"}, ["x.tsv.gz holds blank lines"]),
    "blank lines": ({"x__tsv": "\n\n"}, {}, ["x.tsv holds blank lines only"]),
    "header only": ({"x__tsv": "gene\tS1\tS2\n"}, {}, ["x.tsv has a header but no rows"]),
    "unknown ending": ({}, {"expression": "x.xlsx"}, ["unknown kind of file", ".tsv", ".parquet"]),
    "workbook": ({"x__csv": b"PK\x03\x04rest"}, {"expression": "x.csv"}, ["an Excel workbook"]),
    "truncated gzip": (
        {"x__tsv__gz": GZIPPED[:-60]}, {"expression": "x.tsv.gz"},
        ["x.tsv.gz is cut short", "after line", "download it again"],
    ),
    "damaged gzip": (
        {"x__tsv__gz": GZIPPED[:-8] + b"\0" * 8}, {"expression": "x.tsv.gz"},
        ["x.tsv.gz is damaged", "Copy it again"],
    ),
    "gzip without .gz": ({"x__tsv": GZIPPED}, {}, ["gzip-compressed but not named .gz", "Rename"]),
    "text named .gz": (
        {"x__tsv__gz": TSV.encode()}, {"expression": "x.tsv.gz"},
        ["named .gz but not gzip-compressed"],
    ),
    "damaged parquet": (
        {"x__parquet": b"PAR1 and then nothing"}, {"expression": "x.parquet"},
        ["no readable Parquet file"],
    ),
    "not UTF-8": ({"x__tsv": TSV.encode("utf-16")}, {}, ["x.tsv is not UTF-8", "Save it as UTF-8"]),
    "umlaut of another encoding": (
        {"x__tsv": TSV.replace("KRAS", "KRÄS").encode("latin-1")}, {}, ["x.tsv is not UTF-8"],
    ),
    # the table
    "comma in .tsv": ({"x__tsv": CSV}, {}, ["looks comma-separated", "Rename it to .csv"]),
    "tab in .csv": (
        {"x__csv": TSV}, {"expression": "x.csv"}, ["looks tab-separated", "Rename it to .tsv"],
    ),
    "semicolons": ({"x__tsv": CSV.replace(",", ";")}, {}, ["looks semicolon-separated"]),
    "one column": ({"x__tsv": "gene\nTP53\n"}, {}, ["one column only, 'gene'"]),
    "short row": (
        {"x__tsv": TSV.replace("KRAS\t4\t5\t6\t7", "KRAS\t4\t5")}, {},
        ["line 3 has 3 columns, the header has 5", "cut short"],
    ),
    "header of R": (
        {"x__tsv": TSV.replace("gene\t", "")}, {}, ["line 2 has 5 columns", "col.names=NA"],
    ),
    "text cell": (
        {"x__tsv": with_cell("EGFR", "S3", "high")}, {},
        ["line 4 (EGFR), column 'S3' holds 'high'", "write NA"],
    ),
    "text cell in gzip": (
        {"x__csv__gz": CSV.replace("10", "ten")}, {"expression": "x.csv.gz"},
        ["line 4 (EGFR), column 'S3' holds 'ten'"],
    ),
    "text column in Parquet": (
        {"x__parquet": COUNTS.assign(note="x")}, {"expression": "x.parquet"},
        ["column 'note' holds", "remove the column"],
    ),
    "decimal comma": ({"x__tsv": with_cell("KRAS", "S1", "1,5")}, {}, ["decimals with a point"]),
    "list of mutations": (
        {"m__tsv": "Hugo_Symbol\tChromosome\tVariant_Classification\nTP53\t17\tSilent\n"},
        {"mutation": "m.tsv"}, ["list of mutations (MAF)", "0/1 matrix"],
    ),
    "nothing measured": ({"x__tsv": "g\tS1\nTP53\tNA\n"}, {}, ["x.tsv holds no number"]),
    # names
    "repeated sample": (
        {"x__tsv": COUNTS.set_axis(["S1", "S2", "S2", "S4"], axis=1)}, {},
        ["1 samples occur more than once: S2"],
    ),
    "unnamed sample": (
        {"x__tsv": TSV.replace("S3", "")}, {}, ["sample 3 of 4 has no name"],
    ),
    "repeated sample in the sheet": (
        {"s__csv": SHEET + "S1,P1,a,1\n"}, {}, ["s.csv: 1 samples occur more than once: S1"],
    ),
    "repeated column in the sheet": (
        {"s__csv": "id,patient,arm,arm\nS1,P1,a,b\n"}, {}, ["columns occur more than once: arm"],
    ),
    "no gene names": ({"x__tsv": COUNTS.set_axis(["?"] * 4)}, {}, ["names no gene"]),
    "transposed": (
        {"x__tsv": COUNTS.T}, {}, ["x.tsv is transposed", "Turn `orientation` round"],
    ),
    "other samples": (
        {"s__csv": "id,patient\nA,P1\nB,P2\nC,P3\nS4,P4\n"}, {},
        ["share 1 samples of 4 and 4", "Matrix: S1, S2, S3 and 1 more", "Sheet: A, B, C"],
    ),
    "no patient": (
        {"s__csv": "id,arm\nS1,a\nS2,b\nS3,a\nS4,b\n"}, {},
        ["4 of 4 samples have no patient: S1, S2, S3 and 1 more", "`patient_column`"],
    ),
    "no such patient column": (
        {}, {"patient_column": "Patients"},
        ["no column 'Patients'", "did you mean patient?", "Columns: patient, arm, age"],
    ),
    "patient not filled in": (
        {"s__csv": "id,patient\nS1,P1\nS2,\nS3,P3\nS4,P4\n"}, {},
        ["1 of 4 samples have no patient: S2"],
    ),
    "sample type in own words": (
        {"s__csv": "id,patient,sample_type\nS1,P1,biopsy\nS2,P2,graft\n"}, {},
        ["sample S1 has sample type 'biopsy'", "solid tissue normal"],
    ),
    # values
    "infinite": (
        {"x__tsv": with_cell("KRAS", "S2", "-inf")}, {},
        ["gene 'KRAS', sample 'S2' is -inf: infinite (1 such values)", "divided by zero"],
    ),
    "too large for a number": (
        {"x__tsv": with_cell("KRAS", "S2", "1e99")}, {}, ["is inf: infinite"],
    ),
    "negative counts": (
        {"x__tsv": with_cell("TP53", "S4", -3)}, {},
        ["gene 'TP53', sample 'S4' is -3: negative", "`scale: log2`"],
    ),
    "negative tpm": (
        {"x__tsv": with_cell("TP53", "S4", -0.5)}, {"scale": "tpm"}, ["`scale: tpm` cannot be"],
    ),
    "log-scaled counts": (
        {"x__tsv": np.log2(COUNTS + 1)}, {},
        ["gene 'KRAS', sample 'S1' is 2.32193: not whole", "log-scaled (`scale: log2`)"],
    ),
    "counts as log2": (
        {"x__tsv": COUNTS * 100}, {"scale": "log2"},
        ["too large for log2(x+1)", "to counts, rsem, tpm or fpkm"],
    ),
    "numbers of rows before the ids": (
        {"x__tsv": COUNTS.rename_axis("gene").reset_index()}, {},
        ["line 2 (0), column 'gene'", "Remove the first column"],
    ),
    "a row of text": (
        {"x__tsv": TSV.replace("\n", "\nunit\tx\tx\tx\tx\n", 1)}, {},
        ["line 2 (unit)", "remove rows and columns of text"],
    ),
    "numbers of copies": (
        {"c__tsv": COPIES}, {"copy_number": "c.tsv"}, ["median is 2", "Give log2(copies / 2)"],
    ),
    "minus infinite copy number": (
        {"c__tsv": pd.DataFrame([[0, -np.inf, 1, 1]], ["KRAS"], SAMPLES)}, {"copy_number": "c.tsv"},
        ["gene 'KRAS', sample 'S2' is -inf", "Floor log2(copies / 2)"],
    ),
    "numbers of mutations": (
        {"m__tsv": COPIES}, {"mutation": "m.tsv"},
        ["gene 'TP53', sample 'S1' is 2: not from 0 to 1 (16 such values)"],
    ),
    "mutations of other samples": (
        {"m__tsv": pd.DataFrame(1, GENES, ["A", "B"])}, {"mutation": "m.tsv"},
        ["m.tsv shares no sample", "It has: A, B; expected: S1, S2, S3 and 1 more"],
    ),
    "copy numbers of other genes": (
        {"c__tsv": pd.DataFrame(-1, ["MYC"], SAMPLES)}, {"copy_number": "c.tsv"},
        ["c.tsv shares no gene", "MYC", "symbols or Ensembl ids"],
    ),
}  # fmt: skip


def test_a_column_of_numbers_that_is_no_sample_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, x__tsv=np.log2(COUNTS + 1).assign(Length=1234.5), s__csv=SHEET)
    put(tmp_path, c__tsv=(COUNTS % 5 - 2).assign(**{"Locus ID": [1, 7157, 3845, 999]}))
    cohort = read(tmp_path, scale="log2", copy_number="c.tsv")
    assert cohort.samples.index.tolist() == SAMPLES
    assert "1 samples dropped: not in the sample sheet" in cohort.data.uns["notes"]


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_its_place_and_the_remedy(tmp_path: Path, case: str) -> None:
    files, entry, parts = BAD[case]
    (tmp_path / "folder.tsv").mkdir()
    put(tmp_path, x__tsv=COUNTS, s__csv=SHEET)
    put(tmp_path, **files)
    with pytest.raises(SourceError) as caught:
        read(tmp_path, **entry)
    for part in parts:
        assert part in str(caught.value)
    assert str(tmp_path) in str(caught.value), "every message names the file"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("load_twice", [lambda frame: frame, lambda frame: frame.iloc[::-1]])
def test_the_order_of_the_sheet_has_no_influence(
    tmp_path: Path, load_twice: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    sheet = pd.DataFrame({"patient": ["P1", "P2", "P3", "P4"]}, SAMPLES)
    put(tmp_path, x__tsv=COUNTS, s__csv=load_twice(sheet))
    cohort = read(tmp_path)
    assert cohort.patients.tolist() == ["P1", "P2", "P3", "P4"]
    np.testing.assert_array_equal(cohort.layer("expression"), COUNTS.T)
