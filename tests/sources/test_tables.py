"""How tables are read: what is written is what comes out, or a message says why not."""

import csv
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oncopixel.cohort.contract import Cohort, missing, read_cohort, write_cohort
from oncopixel.cohort.labels import label_cohort
from oncopixel.cohort.sheets import typed
from oncopixel.core.errors import LabelError, SourceError
from oncopixel.core.params import (
    CbioportalSource,
    CohortParams,
    FilesSource,
    H5adSource,
    XenaSource,
)
from oncopixel.sources import load, text
from oncopixel.sources.tables import read_columns, read_matrix, read_rows, read_sheet
from oncopixel.sources.text import Bounds, Dialect

MADE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
GENES = ["TP53", "KRAS", "EGFR"]
SEEN = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=12,
).map(str.strip)
NUMBERLIKE = st.one_of(
    st.from_regex(r"[+-]?0{0,2}[0-9]{1,18}(\.[0-9]{0,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["1E2", "100", "0E8", "0E5", "3.1", "3.10", "007", "7", "+5", "TRUE", "-0"]),
)
IDS = st.lists(
    st.one_of(NUMBERLIKE, SEEN).filter(
        lambda name: not missing(pd.Series([name]))[0] and '"' not in name
    ),
    min_size=2, max_size=8, unique=True,
)  # fmt: skip


def expression(samples: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.arange(3 * len(samples)).reshape(3, -1), GENES, samples) + 1


def put_csv(folder: Path, sheet: pd.DataFrame) -> str:
    sheet.to_csv(folder / "s.csv", index_label="id")
    return "s.csv"


def put_quoted(folder: Path, sheet: pd.DataFrame) -> str:
    content = sheet.to_csv(sep="\t", index_label="id", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    (folder / "s.txt.gz").write_bytes(gzip.compress(content.encode("utf-8-sig")))
    return "s.txt.gz"


def put_parquet(folder: Path, sheet: pd.DataFrame) -> str:
    sheet.to_parquet(folder / "s.parquet")
    return "s.parquet"


def by_files(folder: Path, sheet: pd.DataFrame, put: Callable[[Path, pd.DataFrame], str]) -> Cohort:
    expression(list(sheet.index)).to_parquet(folder / "x.parquet")
    entry = {"kind": "files", "scale": "counts", "expression": "x.parquet"}
    entry["samples"] = put(folder, sheet)
    return load(FilesSource.model_validate(entry), folder)[0]


def by_h5ad(folder: Path, sheet: pd.DataFrame) -> Cohort:
    values = expression(list(sheet.index)).T.astype(np.float32)
    data = anndata.AnnData(values, obs=sheet.copy())
    data.write_h5ad(folder / "c.h5ad")
    entry = {"kind": "h5ad", "path": "c.h5ad", "scale": "log2", "patient_column": "patient"}
    return load(H5adSource.model_validate(entry), folder)[0]


def by_xena(folder: Path, sheet: pd.DataFrame) -> Cohort:
    expression(list(sheet.index)).to_csv(folder / "x", sep="\t", index_label="sample")
    sheet.to_csv(folder / "s", sep="\t", index_label="sampleID", quoting=csv.QUOTE_NONE)
    entry = {"kind": "xena", "expression": "x", "samples": "s", "scale": "log2"}
    entry["patient_column"] = "patient"
    return load(XenaSource.model_validate(entry), folder)[0]


def by_cbioportal(folder: Path, sheet: pd.DataFrame) -> Cohort:
    expression(list(sheet.index)).to_csv(folder / "x.txt", sep="\t", index_label="Hugo_Symbol")
    renamed = sheet.rename(columns={"patient": "PATIENT_ID"})
    rows = renamed.to_csv(sep="\t", index_label="SAMPLE_ID", quoting=csv.QUOTE_NONE)
    (folder / "s.txt").write_text(f"#a\tb\n#a\tb\n{rows}")
    entry = {"kind": "cbioportal", "expression": "x.txt", "samples": "s.txt", "scale": "log2"}
    entry |= {"copy_number": None, "mutation": None, "patients": None}
    entry |= {"batch_column": "batch"} if "batch" in sheet else {}
    return load(CbioportalSource.model_validate(entry), folder)[0]


READERS: dict[str, Callable[[Path, pd.DataFrame], Cohort]] = {
    "CSV": lambda folder, sheet: by_files(folder, sheet, put_csv),
    "quoted TSV": lambda folder, sheet: by_files(folder, sheet, put_quoted),
    "Parquet": lambda folder, sheet: by_files(folder, sheet, put_parquet),
    "h5ad": by_h5ad,
    "Xena": by_xena,
    "cBioPortal": by_cbioportal,
}


@pytest.mark.parametrize("reader", READERS)
@MADE
@given(ids=IDS)
def test_identifiers_stay_distinct_and_as_they_are_written(
    tmp_path: Path, reader: str, ids: list[str]
) -> None:
    names = [f"S{i}" for i in range(len(ids))]
    sheet = pd.DataFrame({"patient": ids, "batch": ids[::-1]}, names)
    cohort = READERS[reader](tmp_path, sheet)
    assert cohort.patients.tolist() == ids
    assert cohort.samples["batch"].tolist() == ids[::-1]


@pytest.mark.parametrize("reader", ["CSV", "quoted TSV", "Parquet"])
@MADE
@given(ids=IDS)
def test_samples_are_matched_as_they_are_written(
    tmp_path: Path, reader: str, ids: list[str]
) -> None:
    sheet = pd.DataFrame({"patient": [f"P{i}" for i in range(len(ids))]}, ids)
    cohort = READERS[reader](tmp_path, sheet)
    assert cohort.samples.index.tolist() == ids
    assert cohort.patients.tolist() == sheet["patient"].tolist()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("word", ["NA", "n/a", "Not Reported", "[Unknown]", "-", "nil", "#N/A"])
def test_no_word_for_what_is_not_known_becomes_a_class(
    tmp_path: Path, reader: str, word: str
) -> None:
    sheet = pd.DataFrame(
        {"patient": list("abcdef"), "arm": ["x", "y", word, "x", "y", word.upper()]},
        [f"S{i}" for i in range(6)],
    )
    cohort = READERS[reader](tmp_path, sheet)
    assert cohort.samples["arm"].tolist() == ["x", "y", "", "x", "y", ""]
    entry = {"source": {"kind": "bundled"}, "inputs": "x", "image": [10, 10], "positive": "y"}
    params = CohortParams.model_validate(entry | {"label": "column:arm", "drop_unlabelled": True})
    assert label_cohort(cohort, params).classes == ["x", "y"]
    if word != "NA":
        assert "cells that count as missing: arm 2" in "\n".join(cohort.data.uns["notes"])


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("float", [100.0, 3.5, 1e-5], ["100", "3.5", "1e-05"]),
        ("float32", np.array([0.1, 7, 8], np.float32), ["0.1", "7", "8"]),
        ("whole", [12345678901234567, 12345678901234568, 3], None),
        ("category", pd.Categorical([1.0, 2.0, 10.0]), ["1", "2", "10"]),
        ("truth", [True, False, True], ["True", "False", "True"]),
    ],
)
@pytest.mark.parametrize("reader", ["Parquet", "h5ad"])
def test_identifiers_that_are_stored_as_numbers(
    tmp_path: Path, reader: str, kind: str, values: object, expected: list[str] | None
) -> None:
    sheet = pd.DataFrame({"patient": values}, ["S1", "S2", "S3"])
    cohort = READERS[reader](tmp_path, sheet)
    assert cohort.patients.tolist() == (expected or [str(value) for value in values])  # type: ignore[attr-defined]


@pytest.mark.parametrize("reader", ["Parquet", "h5ad"])
def test_floating_point_identifiers_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, reader: str
) -> None:
    sheet = pd.DataFrame({"patient": [2.0**53 + 2, 1.0]}, ["S1", "S2"])
    with pytest.raises(SourceError, match="too large to tell identifiers apart"):
        READERS[reader](tmp_path, sheet)


def test_whole_numbers_with_gaps_in_parquet_are_exact(tmp_path: Path) -> None:
    large = [12345678901234567, 12345678901234568, None]
    table = pa.table({"id": ["a", "b", "c"], "patient": pa.array(large, pa.int64())})
    pyarrow.parquet.write_table(table, tmp_path / "s.parquet")
    sheet, _ = typed(read_sheet(tmp_path / "s.parquet"), ["patient"], "s")
    assert sheet["patient"].tolist() == ["12345678901234567", "12345678901234568", None]


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70).map(float),
)
FORMATS = ["{!r}", "{:.17g}", "{:.17e}", "{:+.17E}", "{:.30f}", " {!r} "]


@pytest.mark.parametrize("put", ["tsv", "csv"])
@MADE
@given(st.lists(NUMBERS, min_size=1, max_size=5), st.sampled_from(FORMATS))
def test_numbers_are_read_as_they_are_or_kept_as_text(
    tmp_path: Path, put: str, numbers: list[float], form: str
) -> None:
    cells = [form.format(number) for number in numbers]
    comma = "," if put == "csv" else "\t"
    path = tmp_path / f"s.{put}"
    path.write_text("id,x\n".replace(",", comma) + "".join(
        f"S{i}{comma}{cell}\n" for i, cell in enumerate(cells)))  # fmt: skip
    read = typed(read_sheet(path), [], "s")[0]["x"]
    if pd.api.types.is_numeric_dtype(read):
        np.testing.assert_array_equal(read, [float(cell) for cell in cells])
    else:
        assert read.tolist() == [cell.strip() for cell in cells]
    if max(map(abs, numbers)) < 3e38:
        matrix = read_matrix(path, "samples_by_genes").frame["x"]
        written = np.array([float(cell) for cell in cells], np.float32)
        np.testing.assert_allclose(matrix, written, rtol=2e-7, atol=2e-45)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2.5", "NA"], [1, 2.5, np.nan]),
        (["-", "41", "42"], [np.nan, 41, 42]),
        ([".", "--", "1e3"], [np.nan, np.nan, 1000]),
        (["+", "-", "+"], ["+", None, "+"]),
        (["+/-", "E2", "e5"], ["+/-", "E2", "e5"]),
        ([".e1", "1", "2"], [".e1", "1", "2"]),
        (["01", "02", "10"], ["01", "02", "10"]),
        (["1", "1.0", "2"], ["1", "1.0", "2"]),
        (["1e999", "1", "2"], ["1e999", "1", "2"]),
        (
            ["123456789012345678901234567890", "1", "2"],
            ["123456789012345678901234567890", "1", "2"],
        ),
        (["9007199254740993", "1", "2"], ["9007199254740993", "1", "2"]),
        (["1_000", "2", "3"], ["1_000", "2", "3"]),
        (["\uff11", "2", "3"], ["\uff11", "2", "3"]),
        (["inf", "2", "3"], ["inf", "2", "3"]),
        (["TRUE", "FALSE", "NA"], ["TRUE", "FALSE", None]),
        (["8,674", "1", "2"], ["8,674", "1", "2"]),
        ([">89", "45", "60"], [">89", "45", "60"]),
    ],
)
def test_a_column_is_one_of_numbers_when_all_of_it_is(
    tmp_path: Path, cells: list[str], expected: list[object]
) -> None:
    sheet = pd.DataFrame({"patient": list("abc"), "extra": cells}, ["S1", "S2", "S3"])
    cohort = READERS["quoted TSV"](tmp_path, sheet)
    write_cohort(tmp_path / "c.h5ad", cohort)
    read = read_cohort(tmp_path / "c.h5ad").samples["extra"]
    wanted = pd.Series(["" if value is None else value for value in expected], read.index)
    pd.testing.assert_series_equal(read.astype(wanted.dtype), wanted, check_names=False)


def test_a_minus_beside_plus_is_missing_and_told(tmp_path: Path) -> None:
    sheet = pd.DataFrame({"patient": list("abc"), "her2": ["+", "-", "++"]}, ["S1", "S2", "S3"])
    cohort = READERS["CSV"](tmp_path, sheet)
    assert cohort.samples["her2"].tolist() == ["+", "", "++"]
    assert "'her2' holds + and -, and - counts as missing" in "\n".join(cohort.data.uns["notes"])


@pytest.mark.parametrize("cells", [["8.674,5", "1,5"], ["8 674", "12 000"], ["8,674", "9,999"]])
def test_numbers_in_other_notations_are_text_and_told(tmp_path: Path, cells: list[str]) -> None:
    sheet = pd.DataFrame({"patient": list("ab"), "dose": cells}, ["S1", "S2"])
    cohort = READERS["quoted TSV"](tmp_path, sheet)
    assert cohort.samples["dose"].tolist() == cells
    assert "column 'dose' holds numbers in another notation" in "\n".join(cohort.data.uns["notes"])


def test_odd_cells_among_numbers_are_named(tmp_path: Path) -> None:
    ages = ["49", ">89", "61", "45 (est.)", "70", "NA"]
    sheet = pd.DataFrame({"patient": list("abcdef"), "age": ages}, [f"S{i}" for i in range(6)])
    notes = "\n".join(READERS["CSV"](tmp_path, sheet).data.uns["notes"])
    assert "column 'age' holds numbers but for 2 cells (S1 '>89', S3 '45 (est.)')" in notes


# quotes


@pytest.mark.parametrize("put", ["tsv", "csv"])
@MADE
@given(
    st.lists(st.lists(st.text('"a ,', max_size=4), min_size=2, max_size=2), min_size=1, max_size=6),
    st.booleans(),
)
def test_no_quote_swallows_a_row(
    tmp_path: Path, put: str, cells: list[list[str]], quoted: bool
) -> None:
    comma = "," if put == "csv" else "\t"
    head = ["id", '"patient"' if quoted else "patient", "note"]
    lines = [head, *([f"S{i}", *row] for i, row in enumerate(cells))]
    path = tmp_path / f"s.{put}"
    path.write_text("".join(comma.join(row) + "\n" for row in lines))
    try:
        sheet = read_sheet(path)
    except SourceError:
        return
    assert sheet.index.tolist() == [f"S{i}" for i in range(len(cells))]
    if put == "tsv":
        unquoted = [[cell.replace('"', "") for cell in row] for row in cells]
        assert [[c.replace('"', "") for c in row] for row in sheet.to_numpy()] == unquoted


OPEN = 'id,patient,note,arm\nS1,P1,ok,a\nS2,P2,"never closes,b\nS3,P3,ok,a\nS4,P4,"nor this,b\n'


def test_a_quote_that_is_not_closed(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(OPEN)
    with pytest.raises(SourceError, match=r"s.csv, line 3: a cell starts with a quote"):
        read_sheet(tmp_path / "s.csv")
    (tmp_path / "s.tsv").write_text(OPEN.replace(",", "\t"))
    sheet = read_sheet(tmp_path / "s.tsv")
    assert sheet["arm"].tolist() == ["a", "b", "a", "b"]
    assert sheet.loc["S2", "note"] == '"never closes'
    (tmp_path / "r.tsv").write_text(OPEN.replace(",", "\t").replace("id", '"id"'))
    with pytest.raises(SourceError, match="line 3"):
        read_sheet(tmp_path / "r.tsv")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_quoted_cells_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path, ending: str) -> None:
    rows = [["id", "patient", "note"], ["S1", "P1", 'said "no", then\n\nleft'], ["S2", "P2", "a,b"]]
    stream = io.StringIO()
    csv.writer(stream, lineterminator=ending).writerows(rows)
    (tmp_path / "s.csv").write_bytes(stream.getvalue().encode())
    assert read_sheet(tmp_path / "s.csv")["note"].tolist() == ['said "no", then\n\nleft', "a,b"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "#made by hand\n"])
def test_lines_may_end_as_on_any_system(tmp_path: Path, start: str, ending: str) -> None:
    content = (start + TABLE).replace("\n", ending)
    (tmp_path / "x.tsv").write_bytes(content.encode())
    (tmp_path / "plain.tsv").write_text(TABLE)
    read, plain = (read_matrix(tmp_path / n, "genes_by_samples") for n in ("x.tsv", "plain.tsv"))
    pd.testing.assert_frame_equal(read.frame, plain.frame)
    (tmp_path / "x.tsv").write_bytes(content.encode() + f"z\tword\t1{ending}".encode())
    with pytest.raises(SourceError, match=f"line {content.count(ending) + 1} .z"):
        read_matrix(tmp_path / "x.tsv", "genes_by_samples")


def test_a_header_over_two_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text('id,"patient\n(code)"\nS1,P1\n')
    with pytest.raises(SourceError, match="line 1"):
        read_sheet(tmp_path / "s.csv")


# what stands above a table

TABLE = "gene\tS1\tS2\nTP53\t1\t2\nKRAS\t3\tNA\n"
GCT = "#1.2\n2\t2\nName\tDescription\tS1\tS2\nTP53\tp 53\t1\t2\nKRAS\tna\t3\t\n"
GCT13 = (
    "#1.3\n2\t2\t1\t2\nid\tsymbol\tS1\tS2\narm\tna\ta\tb\nage\tna\t1\t2\n"
    "TP53\tx\t1\t2\nKRAS\ty\t3\tNA\n"
)
SERIES = (
    '!Series_title\t"A study of "what" and\t more"\n!Series_geo\t"GSE1"\n\n'
    '!Sample_title\t"a"\t"b"\n!series_matrix_table_begin\n'
    '"ID_REF"\t"S1"\t"S2"\n"TP53"\t1\t2\n"KRAS"\t3\tnull\n!series_matrix_table_end\n'
)
COUNTED = (
    '# Program:featureCounts v2.0.3; Command:"featureCounts" "-o" "c.txt" "a.bam"\n'
    "Geneid\tChr\tStart\tEnd\tStrand\tLength\tS1\tS2\n"
    "TP53\tchr17;chr17\t1;5\t2;9\t-;-\t90\t1\t2\nKRAS\tchr12\t1\t2\t-\t10\t3\t\n"
)
ABOVE = {
    "gct": GCT,
    "gct 1.3": GCT13,
    "series": SERIES,
    "series with Windows line ends": SERIES.replace("\n", "\r\n"),
    "series quoted": SERIES.replace("!series_matrix_table_begin", '"!series_matrix_table_begin"'),
    "featureCounts": COUNTED,
    "comments": f"# made by us\n#  on\ta day\twith\ttabs\n\n{TABLE}",
    "marked header": f"# made by us\n#{TABLE}",
    "blank lines": f"\n\n{TABLE}\n\n",
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", ABOVE)
def test_what_stands_above_a_table_is_no_part_of_it(
    tmp_path: Path, case: str, zipped: bool
) -> None:
    path = tmp_path / ("x.txt.gz" if zipped else "x.tsv")
    content = ABOVE[case].encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    frame = read_matrix(path, "genes_by_samples").frame
    assert frame.index.tolist() == ["S1", "S2"]
    assert frame.columns.tolist() == ["TP53", "KRAS"]
    np.testing.assert_array_equal(frame, [[1, 3], [2, np.nan]])


REFUSED = {
    "cut GCT": (GCT[: GCT.index("KRAS")], "says that it has 2 rows, and has 1"),
    "GCT of other samples": (GCT.replace("2\t2", "2\t3"), "says that it has 3 samples"),
    "GCT without sizes": (GCT.replace("2\t2\n", "a\tb\n"), "second line must hold 2 numbers"),
    "cut series": (SERIES[: SERIES.index("!series_matrix_table_end")], "is cut short"),
    "empty series": (
        "!Series_title\tx\n!series_matrix_table_begin\n!series_matrix_table_end\n",
        "supplementary files",
    ),
    "series of sequences": (
        '!Series_title\tx\n!series_matrix_table_begin\n"ID_REF"\t"S1"\n!series_matrix_table_end\n',
        "supplementary files",
    ),
    "SOFT": ("^DATABASE = GeoMiame\n!Database_name = x\n", "GEO SOFT file"),
    "title": (f"Table S1. Values\n\n{TABLE}", "from line 3 on there are 3"),
    "two cells": (f"Created\t2020\n{TABLE}", "what stands above the header"),
    "VCF": ("##fileformat=VCFv4.2\n#CHROM\tPOS\n", "VCF"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_things_above_a_table_are_refused_by_name(tmp_path: Path, case: str) -> None:
    content, part = REFUSED[case]
    (tmp_path / "x.tsv").write_text(content)
    with pytest.raises(SourceError, match=part):
        read_matrix(tmp_path / "x.tsv", "genes_by_samples")


@pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.parquet"])
def test_genes_in_columns_may_have_any_name_and_repeat(tmp_path: Path, name: str) -> None:
    genes = ["UNK", "unknown", "TP53", "TP53"]
    cells = [["sample", *genes], ["A", 0, 1, 2, 3], ["B", 9, 9, 9, 9]]
    if name == "x.parquet":
        columns = [pa.array(["A", "B"]), *(pa.array([i, 9]) for i in range(4))]
        pa.parquet.write_table(pa.table(columns, cells[0]), tmp_path / name)
    else:
        mark = "," if name == "x.csv" else "\t"
        (tmp_path / name).write_text("".join(mark.join(map(str, row)) + "\n" for row in cells))
    frame = read_matrix(tmp_path / name, "samples_by_genes").frame
    assert (frame.index.tolist(), frame.columns.tolist()) == (["A", "B"], genes)
    np.testing.assert_array_equal(frame.to_numpy(), [[0, 1, 2, 3], [9, 9, 9, 9]])


@pytest.mark.parametrize("case", ["gct", "gct 1.3", "series", "featureCounts"])
def test_a_matrix_is_no_sample_sheet(tmp_path: Path, case: str) -> None:
    (tmp_path / "s.txt").write_text(ABOVE[case])
    with pytest.raises(SourceError, match="not a sample sheet"):
        read_sheet(tmp_path / "s.txt")


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("8,674", ["thousands it is 8674", "decimal comma 8.674"]),
        ("-8,674", ["-8674", "-8.674"]),
        ("1,234,567", ["1234567"]),
        ("8 674", ["8674"]),
        ("8\u00a0674", ["8674"]),
        ("8'674", ["8674"]),
        ("3,14", ["decimals with a point", "3.14"]),
        ("8.674,5", ["8674.5"]),
        ("1,234.5", ["1234.5"]),
        ("1_000", ["not a number"]),
        ("\uff11", ["not a number"]),
        ("1,5e3", ["not a number"]),
        ("12%", ["not a number"]),
    ],
)
@pytest.mark.parametrize("name", ["x.tsv", "x.csv"])
def test_numbers_in_other_notations_are_refused_with_what_they_may_mean(
    tmp_path: Path, name: str, cell: str, parts: list[str]
) -> None:
    frame = pd.DataFrame({"S1": ["1", cell], "S2": ["2", "3"]}, ["TP53", "KRAS"])
    frame.to_csv(tmp_path / name, sep="," if name == "x.csv" else "\t", index_label="g")
    with pytest.raises(SourceError) as caught:
        read_matrix(tmp_path / name, "genes_by_samples")
    for part in ("line 3 (KRAS), column 'S1'", *parts):
        assert part in str(caught.value)


# faults


@pytest.mark.parametrize("name", ["x.tsv", "x.parquet"])
def test_what_is_no_file_is_never_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    os.mkfifo(tmp_path / "pipe")
    path.symlink_to("pipe")
    with pytest.raises(SourceError, match="is a pipe or device, not a file"):
        read_matrix(path, "genes_by_samples")
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="is a pipe or device, not a file"):
        read_sheet(path)
    path.unlink()
    path.symlink_to(name)
    with pytest.raises(SourceError, match="cannot be read"):
        read_sheet(path)


@pytest.mark.parametrize("name", ["x" * 5000 + ".tsv", "a\0b.tsv"])
def test_paths_that_no_system_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_matrix(tmp_path / name, "genes_by_samples")


ODD = ["a\u202eb", "a\x1b[31m", "a\u200bb", "a\x07", "n" * 501]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", ["sample", "patient", "column", "gene", "batch"])
def test_names_that_cannot_be_seen_are_refused_and_shown(
    tmp_path: Path, odd: str, place: str
) -> None:
    sheet = pd.DataFrame({"patient": ["a", "b"], "batch": ["x", "y"]}, ["S1", "S2"])
    values = expression(["S1", "S2"])
    if place == "sample":
        sheet.index = pd.Index(["S1", odd])
    elif place == "column":
        sheet[odd] = "x"
    elif place == "gene":
        values = values.rename(index={"KRAS": odd})
    else:
        sheet[place] = ["a", odd]
    values.to_csv(tmp_path / "x.tsv", sep="\t", index_label="g")
    put_csv(tmp_path, sheet)
    entry = {"kind": "files", "scale": "counts", "expression": "x.tsv", "samples": "s.csv"}
    with pytest.raises(SourceError) as caught:
        load(FilesSource.model_validate(entry), tmp_path)
    assert odd not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", ["header", "id", "cell"])
@pytest.mark.parametrize("name", ["s.csv", "s.tsv", "s.parquet"])
def test_nul_characters_are_refused(tmp_path: Path, name: str, place: str) -> None:
    sheet = pd.DataFrame({"patient": ["a", "b"], "note": ["x", "y"]}, ["S1", "S2"])
    if place == "header":
        sheet = sheet.rename(columns={"note": "no\0te"})
    elif place == "id":
        sheet.index = pd.Index(["S1", "S\x002"])
    else:
        sheet.iloc[1, 1] = "y\0"
    if name == "s.parquet":
        sheet.to_parquet(tmp_path / name)
    else:
        sheet.to_csv(tmp_path / name, sep="," if name == "s.csv" else "\t", index_label="id")
    with pytest.raises(SourceError, match=r"NUL|\\x00"):
        typed(read_sheet(tmp_path / name), ["patient"], "s")


def test_a_column_of_any_name_is_kept(tmp_path: Path) -> None:
    sheet = pd.DataFrame({"patient": ["a", "b"], ".": ["x", "y"], "..": [1, 2]}, ["S1", "S2"])
    write_cohort(tmp_path / "c.h5ad", READERS["CSV"](tmp_path, sheet))
    assert "x" in read_cohort(tmp_path / "c.h5ad").samples["dot_column"].tolist()


LIMITS = {
    "columns": ({"MATRIX": Bounds(9, 3, 99)}, "g\ta\tb\tc\nTP53\t1\t2\t3\n", "has 4 columns"),
    "rows": ({"MATRIX": Bounds(3, 9, 99)}, "g\ta\n" + "x\t1\n" * 4, "4 or more rows"),
    "cells": ({"MATRIX": Bounds(9, 9, 9)}, "g\ta\n" + "x\t1\n" * 5, "5 or more rows"),
    "line": ({"MAX_LINE": 99}, "g\ta\n" + "x\t1\n" + "1" * 100, "line 3 has more than 99"),
    "text": ({"MAX_TEXT": 99}, "g\ta\n" + "x\t1\n" * 30, "more than 99 bytes"),
}


@pytest.mark.parametrize("case", LIMITS)
@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz"])
def test_tables_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, name: str
) -> None:
    bounds, content, part = LIMITS[case]
    for bound, value in bounds.items():
        monkeypatch.setattr(text, bound, value)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if ".gz" in name else content.encode())
    with pytest.raises(SourceError, match=part):
        read_matrix(path, "genes_by_samples")


def test_a_sheet_of_very_many_columns_is_refused(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(10_001))
    (tmp_path / "s.csv").write_text(f"id,{names}\nS1{',1' * 10_001}\n")
    with pytest.raises(SourceError, match="10,002 columns"):
        read_sheet(tmp_path / "s.csv")


def test_a_table_larger_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.tsv").write_text(TABLE)
    monkeypatch.setattr(text, "memory_bytes", lambda: 50)
    with pytest.raises(SourceError, match="does not fit in the memory"):
        read_matrix(tmp_path / "x.tsv", "genes_by_samples")


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.tsv.gz", "wb", compresslevel=1) as stream:
        for _ in range(80):
            stream.write(b"1\t" * (1 << 19))
    for read in (
        lambda path: read_matrix(path, "genes_by_samples"),
        lambda path: list(read_rows(path, Dialect(quoting=False))),
        lambda path: read_columns(path, Dialect(), kind=pa.string()),
    ):
        with pytest.raises(SourceError, match="line 1 has more than"):
            read(tmp_path / "x.tsv.gz")


def test_parquet_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expression(["S1", "S2"]).to_parquet(tmp_path / "x.parquet")
    monkeypatch.setattr(text, "MATRIX", Bounds(9, 9, 5))
    with pytest.raises(SourceError, match="3 columns and 3 or more rows: more than is read"):
        read_matrix(tmp_path / "x.parquet", "genes_by_samples")


@pytest.mark.parametrize("name", ["x.tsv", "x.parquet"])
@pytest.mark.parametrize("error", [MemoryError, pa.ArrowMemoryError])
def test_memory_that_does_not_suffice_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error("no")

    (tmp_path / "x.tsv").write_text(TABLE)
    expression(["S1"]).to_parquet(tmp_path / "x.parquet")
    monkeypatch.setattr("pyarrow.csv.read_csv", fail)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", fail)
    with pytest.raises(SourceError, match="does not fit in the memory"):
        read_matrix(tmp_path / name, "genes_by_samples")


@pytest.mark.parametrize(
    "metadata", [b"", b"null", b"[]", b"{", b'{"index_columns": [[]]}', b'{"index_columns": "id"}',
                 b'{"index_columns": ["gone"]}', b"[" * 100_000, b"\xff"]
)  # fmt: skip
def test_parquet_with_odd_metadata_and_categories(tmp_path: Path, metadata: bytes) -> None:
    genes = pa.array(["TP53", "KRAS"]).dictionary_encode()
    table = pa.table({"gene": genes, "S1": [1, 2], "S2": pa.array([3, None], pa.float64())})
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"pandas": metadata}), path)
    frame = read_matrix(path, "genes_by_samples").frame
    np.testing.assert_array_equal(frame, [[1, 2], [3, np.nan]])
    assert frame.columns.tolist() == ["TP53", "KRAS"]


@pytest.mark.parametrize(
    ("table", "part"),
    [
        (pa.table({}), "has no columns"),
        (pa.table([["a"], [1], [2]], ["id", "S1", "S1"]), "occur more than once: S1"),
        (pa.table({"id": ["a"], "S1": [[1]]}), "not numbers"),
        (pa.table({"id": [[1]], "S1": [1]}), "Make it text or numbers"),
    ],
)
def test_parquet_that_is_no_matrix(tmp_path: Path, table: pa.Table, part: str) -> None:
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=part):
        read_matrix(tmp_path / "x.parquet", "genes_by_samples")


def test_an_index_of_several_columns_is_refused(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")], names=["one", "two"])
    pd.DataFrame({"S1": [1, 2]}, index).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="index of 2 columns"):
        read_matrix(tmp_path / "x.parquet", "genes_by_samples")


def test_classes_that_are_one_number_are_not_merged(tmp_path: Path) -> None:
    sheet = pd.DataFrame(
        {"patient": list("abcd"), "grade": ["1", "1.0", "2", "1"]}, [f"S{i}" for i in range(4)]
    )
    cohort = READERS["CSV"](tmp_path, sheet)
    assert cohort.samples["grade"].tolist() == ["1", "1.0", "2", "1"]
    entry = {"source": {"kind": "bundled"}, "inputs": "x", "image": [10, 10], "positive": "2"}
    with pytest.raises(LabelError):
        label_cohort(cohort, CohortParams.model_validate(entry | {"label": "column:grade"}))
