"""The source `cbioportal`: study folders make the cohort that `files` makes of the same tables."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import EDITS, assert_nothing_else_changed, damaged, touched
from hub_layouts import (
    STUDY,
    assert_same,
    entrez_ids,
    lines,
    notes,
    other_names,
    read_files,
    study,
    write_cbioportal,
)
from oncopixel.cohort.contract import Cohort
from oncopixel.core.errors import SourceError
from oncopixel.core.params import CbioportalSource
from oncopixel.sources import load
from oncopixel.sources.http import cache, client
from oncopixel.sources.http.locations import list_files
from static_server import StaticServer, serve

MADE = study(logged=False)
SMALL = study(logged=False, n_samples=20, n_genes=100)


def read(folder: Path, **options: object) -> Cohort:
    return load(CbioportalSource(kind="cbioportal", **options), folder)[0]


@pytest.fixture
def portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StaticServer]:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    write_cbioportal(MADE, tmp_path / "portal" / "public" / "sim")
    with serve(tmp_path / "portal") as server:
        yield server


@pytest.mark.parametrize("long", [False, True])
def test_the_cohort_is_the_one_that_files_makes_of_the_same_tables(
    tmp_path: Path, long: bool
) -> None:
    write_cbioportal(MADE, tmp_path / "sim", long=long)
    cohort = read(tmp_path / "sim")
    assert_same(cohort, read_files(MADE, tmp_path / "files", "rsem"))
    said = notes(cohort)
    named = sum(gene in MADE.copy_number.index for gene in MADE.expression.index[5::5])
    assert f"expression: {named} rows without a symbol named by their Entrez id" in said
    assert "expression: 2 entries without a gene name dropped" in said
    assert "variants do not change a protein: Silent (" in said
    assert f"mutation: {len(MADE.mutation)} variants are not somatic" in said
    assert cohort.data.uns["origin"] == "cBioPortal study sim"


@pytest.mark.parametrize("name", ["data_mutations.txt", "data_cna.txt"])
def test_a_file_may_have_other_names_of_the_genes(tmp_path: Path, name: str) -> None:
    write_cbioportal(MADE, tmp_path / "sim")
    others = other_names(MADE.expression.index)
    assert len(others) > 50
    path = tmp_path / "sim" / name
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    path.write_text(lines([others.get(cells[0], cells[0]), *cells[1:]] for cells in rows))
    cohort = read(tmp_path / "sim")
    assert_same(cohort, read_files(MADE, tmp_path / "files", "rsem"))
    assert re.search(r"(mutation|copy_number): genes found: .* previous symbol", notes(cohort))


def test_from_an_address_and_again_from_the_cache(tmp_path: Path, portal: StaticServer) -> None:
    source = CbioportalSource(kind="cbioportal", url=f"{portal.url}/public/sim")
    expected = {f"{portal.url}/public/sim/{name}" for name in STUDY.values()}
    assert set(list_files(source)["url"]) == expected
    portal.asked.clear()
    cohort, listing = load(source, tmp_path)
    assert_same(cohort, read_files(MADE, tmp_path / "files", "rsem"))
    assert sorted(portal.asked) == sorted(f"public/sim/{name}" for name in STUDY.values())
    portal.asked.clear()
    assert_same(load(source, tmp_path, listing)[0], cohort)
    assert portal.asked == []


def test_a_name_may_be_an_address_of_its_own(tmp_path: Path, portal: StaticServer) -> None:
    elsewhere = portal.folder / "lists.txt"
    (portal.folder / "public" / "sim" / STUDY["sequenced"]).rename(elsewhere)
    source = CbioportalSource(
        kind="cbioportal", url=f"{portal.url}/public/sim", sequenced=f"{portal.url}/lists.txt"
    )
    cohort, _ = load(source, tmp_path)
    assert_same(cohort, read_files(MADE, tmp_path / "files", "rsem"))


def test_an_address_may_lead_elsewhere(tmp_path: Path, portal: StaticServer) -> None:
    study_url, name = f"{portal.url}/public/sim", STUDY["copy_number"]
    (portal.folder / "public" / "sim" / name).rename(portal.folder / "stored")
    portal.instead[f"public/sim/{name}"] = (302, "text/html", f"{portal.url}/stored".encode())
    cohort, listing = load(CbioportalSource(kind="cbioportal", url=study_url), tmp_path)
    assert_same(cohort, read_files(MADE, tmp_path / "files", "rsem"))
    assert f"{study_url}/{name}" in set(listing["url"])


def test_a_study_that_was_changed_at_its_address_is_refused(
    tmp_path: Path, portal: StaticServer
) -> None:
    source = CbioportalSource(kind="cbioportal", url=f"{portal.url}/public/sim")
    _, listing = load(source, tmp_path)
    path = portal.folder / "public" / "sim" / STUDY["mutation"]
    path.write_text(path.read_text().replace("Missense_Mutation", "Silent"))
    for cached in (tmp_path / "cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    with pytest.raises(SourceError, match=r"data_mutations.txt does not deliver.*`--refresh`"):
        load(source, tmp_path, listing)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:5e88921902596680\nsize 656450\n"
PAGE = b"<html><body>404: sorry</body></html>"


@pytest.mark.parametrize(
    ("channel", "answer", "parts"),
    [
        ("copy_number", (404, "text/plain", b"404: Not Found"), ["data_cna.txt", "404"]),
        ("mutation", (200, "text/plain", POINTER), ["data_mutations.txt (cached", "Git LFS"]),
        ("sequenced", (200, "text/plain", PAGE), ["cases_sequenced.txt (cached", "a web page"]),
        ("samples", (200, "text/html", PAGE), ["data_clinical_sample.txt", "HTML page"]),
    ],
)
def test_answers_that_are_no_table(
    tmp_path: Path,
    portal: StaticServer,
    channel: str,
    answer: tuple[int, str, bytes],
    parts: list[str],
) -> None:
    portal.instead[f"public/sim/{STUDY[channel]}"] = answer
    with pytest.raises(SourceError) as caught:
        load(CbioportalSource(kind="cbioportal", url=f"{portal.url}/public/sim"), tmp_path)
    for part in parts:
        assert part in str(caught.value)


HEADER = ("Hugo_Symbol", "Entrez_Gene_Id")
MAF = ("Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode")
TINY = {
    "expression": [[*HEADER, "A-1", "B-1", "C-1"], ["TP53", 7157, 1.5, 2, 3],
                   ["KRAS", 3845, 4, 5, 6], ["EGFR", 1956, 7, 8, 9]],
    "mutation": [MAF, ["TP53", "Missense_Mutation", "A-1"], ["KRAS", "Silent", "B-1"]],
    "samples": [["SAMPLE_ID", "PATIENT_ID", "SAMPLE_TYPE"], ["A-1", "P1", "Metastasis"],
                ["B-1", "P2", "Primary"], ["C-1", "P2", "Primary"]],
    "patients": [["PATIENT_ID", "SEX", "SAMPLE_TYPE"], ["P1", "Female", "x"], ["P3", "Male", "x"]],
    "sequenced": [["case_list_ids: A-1", "B-1"]],
}  # fmt: skip


def write_tiny(folder: Path, **changed: list) -> Path:
    for channel, rows in (TINY | changed).items():
        path = folder / STUDY[channel]
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(lines(rows))
    return folder


NAN = np.nan


def test_who_was_sequenced_and_what_was_covered(tmp_path: Path) -> None:
    cohort = read(write_tiny(tmp_path), copy_number=None)
    expected = [[1, 0, NAN], [0, 0, NAN], [NAN, NAN, NAN]]
    np.testing.assert_array_equal(cohort.layer("mutation"), expected)
    assert cohort.genes.index.tolist() == ["TP53", "KRAS", "EGFR"]


def test_a_mutation_under_any_name_of_a_gene_counts(tmp_path: Path) -> None:
    expression = [*TINY["expression"][:3], ["KMT2D", 8085, 7, 8, 9]]
    calls = [
        [gene, "Missense_Mutation", sample] for gene, sample in (("KMT2D", "A-1"), ("MLL2", "B-1"))
    ]
    folder = write_tiny(tmp_path, expression=expression, mutation=[MAF, *calls])
    cohort = read(folder, copy_number=None)
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 2], [1, 1, NAN])


def test_without_a_case_list_the_samples_with_variants_were_sequenced(tmp_path: Path) -> None:
    cohort = read(write_tiny(tmp_path), copy_number=None, sequenced=None)
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, 0, NAN])


def test_a_mutated_sample_that_the_case_list_lacks_counts_as_sequenced(tmp_path: Path) -> None:
    write_tiny(tmp_path, sequenced=[["case_list_ids:", "B-1"]])
    cohort = read(tmp_path, copy_number=None)
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, 0, NAN])
    assert "1 samples with mutations are not in the case list" in notes(cohort)


@pytest.mark.parametrize(
    "text",
    [
        "case_list_ids: A-1 B-1",
        "case_list_ids:A-1, B-1",
        "case_list_ids:\tA-1;B-1;",
        "Case_List_IDs : \"A-1\"\r\n'B-1'\r\n",
        "stable_id: x\ncase_list_ids:\nA-1\n  B-1\ncase_list_name: C-1\n",
        "case_list_ids: P1 B-1",
        "case_list_ids: P1\tP2 Z-9",
    ],
)
def test_a_case_list_may_be_separated_by_anything_and_name_patients(
    tmp_path: Path, text: str
) -> None:
    write_tiny(tmp_path, mutation=[MAF, ["TP53", "Missense", "A-1"], ["KRAS", "Silent", "B-1"]])
    (tmp_path / STUDY["sequenced"]).write_text(text)
    cohort = read(tmp_path, copy_number=None)
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, 0, NAN])
    strange = "1 of 3 ids of the case list are of no sample of the study (Z-9)"
    assert (strange in notes(cohort)) == ("Z-9" in text)
    assert cohort.losses["case_list"] == (1 / 3 if "Z-9" in text else 0)


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.sampled_from(["\t", " ", ",", ", ", ";", "\n", "\r\n", "\t \t"]), min_size=20),
    form=st.sampled_from(["sample", "patient", "barcode"]),
)
def test_every_form_of_a_case_list_gives_the_same_cohort(
    portal_files: tuple[Path, dict[str, bytes], Cohort], gaps: list[str], form: str
) -> None:
    names = list(SMALL.mutation.columns)
    shown = {"sample": names, "patient": [name[:12] for name in names],
             "barcode": [f"{name}A-11D-1103-08" for name in names]}[form]  # fmt: skip
    text = "".join(name + gaps[i % len(gaps)] for i, name in enumerate(shown))
    found = read_damaged(portal_files, "sequenced", f"case_list_ids: {text}".encode())
    assert found is not None
    assert_same(found, portal_files[2])


def test_a_patient_of_several_tumours_in_a_case_list_says_nothing_of_either(
    tmp_path: Path,
) -> None:
    mutation = [MAF, ["TP53", "Missense_Mutation", "A-1"]]
    cohort = read(
        write_tiny(tmp_path, sequenced=[["case_list_ids: P1 P2"]], mutation=mutation),
        copy_number=None,
    )
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, NAN, NAN])
    assert "1 of 2 ids of the case list are patients with several tumours" in notes(cohort)


@pytest.mark.parametrize("word", ["Missense", "missense_variant", "NONSYNONYMOUS SNV", "stopgain"])
def test_a_class_of_any_vocabulary_counts(tmp_path: Path, word: str) -> None:
    mutation = [MAF, ["TP53", word, "A-1"], ["TP53", "intron_variant", "B-1"]]
    cohort = read(write_tiny(tmp_path, mutation=mutation), copy_number=None)
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, 0, NAN])


def test_other_barcodes_and_patients_of_several_samples(tmp_path: Path) -> None:
    cohort = read(write_tiny(tmp_path), copy_number=None)
    assert cohort.patients.tolist() == ["P1", "P2", "P2"]
    assert cohort.samples["SEX"].tolist() == ["Female", "", ""]
    assert cohort.samples["SAMPLE_TYPE"].tolist() == ["Metastasis", "Primary", "Primary"]
    assert cohort.samples["sample_type"].tolist() == ["", "", ""]
    assert "2 samples are of patients without a row in data_clinical_patient.txt" in notes(cohort)


def test_negative_values_of_batch_correction_become_zero(tmp_path: Path) -> None:
    rows = [[*HEADER, "A-1", "B-1"], ["TP53", 7157, -1.5, 20], ["KRAS", 3845, 4000, "NA"]]
    rows += [[f"G{i}", "", 100.5, 200] for i in range(10)]
    cohort = read(write_tiny(tmp_path, expression=rows), copy_number=None, mutation=None)
    np.testing.assert_array_equal(cohort.layer("expression")[:, :2], [[0, 4000], [20, NAN]])
    assert "expression: 1 of 24 values are negative" in notes(cohort)


def test_many_negative_values_are_no_rare_defect_and_stay_what_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((40, 12)) ** 3 * 20
    samples = [f"S-{i}" for i in range(12)]
    rows = [[*HEADER, *samples], *([f"G{i}", "", *values] for i, values in enumerate(wide))]
    sheet = [["PATIENT_ID", "SAMPLE_ID"], *([name, name] for name in samples)]
    folder = write_tiny(tmp_path, expression=rows, samples=sheet)
    with pytest.raises(SourceError, match="look like z-scores or log ratios"):
        read(folder, copy_number=None, mutation=None)
    few = np.where(wide < np.quantile(wide, 0.92), abs(wide), -abs(wide))
    rows = [[*HEADER, *samples], *([f"G{i}", "", *values] for i, values in enumerate(few))]
    with pytest.raises(SourceError, match="negative, which `scale: rsem` cannot be"):
        read(write_tiny(tmp_path, expression=rows, samples=sheet), copy_number=None, mutation=None)


def test_a_date_is_named_by_its_entrez_id_where_another_file_has_the_symbol(tmp_path: Path) -> None:
    expression = [*TINY["expression"], ["MARCH1", 55016, 1, 2, 3]]
    mutations = [
        [*HEADER, "Variant_Classification", "Tumor_Sample_Barcode"],
        ["1-Mar", 55016, "Missense_Mutation", TINY["expression"][0][-1]],
    ]
    folder = write_tiny(tmp_path, expression=expression, mutation=mutations)
    cohort = read(folder, copy_number=None, sequenced=None)
    assert np.nanmax(cohort.layer("mutation")[:, cohort.genes.index.get_loc("MARCH1")]) == 1
    mutations[1][1] = ""
    with pytest.raises(SourceError, match=r"'1-Mar' is a date.*MARC1 or MARCH1"):
        read(write_tiny(tmp_path, mutation=mutations), copy_number=None, sequenced=None)


@pytest.mark.parametrize("number", [0, -1])
def test_an_entrez_id_that_stands_for_none_names_nothing(tmp_path: Path, number: int) -> None:
    expression = [*TINY["expression"], ["AAA", number, 2, 2, 2], ["", number, 5, 5, 5]]
    cohort = read(write_tiny(tmp_path, expression=expression), copy_number=None)
    assert (cohort.layer("expression")[:, cohort.genes.index.get_loc("AAA")] == 2).all()
    assert "expression: 1 entries without a gene name dropped" in notes(cohort)


def test_an_entrez_id_of_two_symbols_names_neither(tmp_path: Path) -> None:
    expression = [*TINY["expression"], ["", 1, 5, 5, 5], ["", 7157, 9, 9, 9]]
    expression += [["AAA", 1, 2, 2, 2], ["BBB", 1, 3, 3, 3]]
    cohort = read(write_tiny(tmp_path, expression=expression), copy_number=None)
    assert cohort.genes.index.tolist() == ["KRAS", "EGFR", "TP53", "AAA", "BBB"]
    assert cohort.layer("expression")[0].tolist() == [4, 7, 9, 2, 3]
    assert "expression: 1 rows without a symbol named by their Entrez id" in notes(cohort)
    assert "expression: 1 entries without a gene name dropped" in notes(cohort)


def test_pairs_that_the_long_form_lacks_are_not_measured(tmp_path: Path) -> None:
    rows = [
        ["Value", *HEADER, "Sample_Id", "cbp_driver"],
        [-2, "TP53", 7157, "A-1", "x"],
        [1, "KRAS", 3845, "B-1", ""],
        [-2, "TP53", 7157, "A-1", "repeated"],
        ["NA", "EGFR", "", "B-1", ""],
    ]
    (tmp_path / "data_cna.txt").write_text(lines(rows))
    cohort = read(write_tiny(tmp_path))
    expected = [[-2, NAN, NAN], [NAN, 1, NAN], [NAN, NAN, NAN]]
    np.testing.assert_array_equal(cohort.layer("copy_number"), expected)


E, S = TINY["expression"], TINY["samples"]
ONE = [*HEADER, "A-1"]
LONG = [*HEADER, "Sample_Id", "Value"]
CNA = {"copy_number": "data_cna.txt"}
BAD: dict[str, tuple[dict[str, list], dict[str, object], list[str]]] = {
    "no copy number": ({}, CNA, ["data_cna.txt does not exist", "set `copy_number: null`"]),
    "no case list": ({}, {"sequenced": "no.txt"}, ["no.txt does not exist", "`sequenced: null`"]),
    "no expression": ({}, {"expression": "x.txt"}, ["x.txt does not exist"]),
    "no gene column": (
        {"expression": [["gene", "A-1"], ["TP53", 1]]}, {},
        ["neither a column Hugo_Symbol nor Entrez_Gene_Id", "It has: gene, A-1"],
    ),
    "text": (
        {"expression": [ONE, ["TP53", 1, "high"]]}, {},
        ["line 2 (TP53), column 'A-1' holds 'high'"],
    ),
    "foreign first column": (
        {"expression": [["Probe", *ONE], ["p1", "TP53", 1, 2]]}, {},
        ["line 2 (p1), column 'Probe' holds 'p1'"],
    ),
    "short row": ({"expression": [*E, ["MYC", 1, 2]]}, {}, ["line 5 has 3 columns"]),
    "two columns of one sample": (
        {"expression": [[*ONE, "A-1"], ["TP53", 1, 2, 3]]}, {},
        ["1 columns occur more than once: A-1"],
    ),
    "no values": ({"expression": [E[0]]}, {}, ["holds no number"]),
    "no samples": ({"expression": [HEADER, ["TP53", 7157]]}, {}, ["holds no number"]),
    "logged": ({"expression": [ONE, ["TP53", 1, -1.5]]}, {}, ["negative", "`scale: log2`"]),
    "minus infinity": (
        {"expression": [ONE, ["TP53", 1, "-inf"], ["MYC", 2, 999]]}, {}, ["-inf", "infinite"],
    ),
    "two values of a pair": (
        {"copy_number": [LONG, ["MYC", 1, "A-1", 1], ["MYC", 1, "A-1", 2]]}, CNA,
        ["gene MYC, sample A-1 has several values"],
    ),
    "a pair without a sample": (
        {"copy_number": [LONG, ["MYC", 1, "", 1]]}, CNA, ["row 1 names no sample"],
    ),
    "mutations without classes": (
        {"mutation": [("Hugo_Symbol", "Tumor_Sample_Barcode"), ["TP53", "A-1"]]}, {},
        ["has no column Variant_Classification"],
    ),
    "a column twice": (
        {"mutation": [(*MAF, "Hugo_Symbol"), ["TP53", "Silent", "A-1", "KRAS"]]}, {},
        ["has 2 columns Hugo_Symbol"],
    ),
    "a mutation without a sample": (
        {"mutation": [MAF, ["TP53", "Silent", ""]]}, {}, ["mutation 1 of 1 names no sample"],
    ),
    "no mutation": ({"mutation": [MAF]}, {}, ["no mutation of any gene", "`mutation: null`"]),
    "mutations of others": (
        {"mutation": [MAF, ["TP53", "Silent", "X"]], "sequenced": [["case_list_ids: X"]]}, {},
        ["data_mutations.txt shares no sample"],
    ),
    "a case list of others": (
        {"sequenced": [["case_list_ids: X-1 X-2"]]}, {},
        ["cases_sequenced.txt names no sample of the study: X-1, X-2; expected: A-1, B-1"],
    ),
    "unknown classes": (
        {"mutation": [MAF, ["TP53", "odd", "A-1"]]}, {},
        ["data_mutations.txt: 1 of 1 variants are of a class that is not known: 'odd' (1)"],
    ),
    "no class": ({"mutation": [MAF, ["TP53", "", "A-1"]]}, {}, ["is not known: none (1)"]),
    "no case list line": ({"sequenced": [["stable_id: x"]]}, {}, ["no case list", "case_list_ids"]),
    "empty case list": ({"sequenced": [["case_list_ids:"]]}, {}, ["is no case list"]),
    "no sample ids": (
        {"samples": [["PATIENT_ID", "SAMPLE"], ["P1", "A-1"]]}, {},
        ["no column SAMPLE_ID (did you mean SAMPLE?)"],
    ),
    "no patient ids": (
        {"samples": [["SAMPLE_ID", "AGE"], ["A-1", 5]]}, {}, ["no column PATIENT_ID"],
    ),
    "a sample twice": (
        {"samples": [*S, ["A-1", "P1", "x"]]}, {}, ["1 samples occur more than once: A-1"],
    ),
    "a patient twice": (
        {"patients": [*TINY["patients"], ["P1", "Male", "x"]]}, {},
        ["1 patients occur more than once: P1"],
    ),
    "an unknown patient": (
        {"samples": [*S[:3], ["C-1", "", "x"]]}, {}, ["1 of 3 samples have no patient: C-1"],
    ),
    "no rows": ({"samples": [S[0]]}, {}, ["has a header but no rows"]),
    "comments only": ({"samples": [["#a", "b"]]}, {}, ["holds no table"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_the_remedy(tmp_path: Path, case: str) -> None:
    changed, options, parts = BAD[case]
    write_tiny(tmp_path, **changed)
    with pytest.raises(SourceError) as caught:
        read(tmp_path, **({"copy_number": None} | options))
    for part in (*parts, str(tmp_path)):
        assert part in str(caught.value)


@pytest.fixture(scope="module", params=[False, True], ids=["wide", "long"])
def portal_files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes], Cohort]:
    """A study's folder, the contents by channel, and the cohort."""
    folder = tmp_path_factory.mktemp("study")
    write_cbioportal(SMALL, folder, long=request.param)
    contents = {channel: (folder / name).read_bytes() for channel, name in STUDY.items()}
    return folder, contents, read(folder)


def read_damaged(
    files: tuple[Path, dict[str, bytes], Cohort], channel: str, content: bytes
) -> Cohort | None:
    """The cohort with another content of one file, or None when it is refused."""
    folder, contents, _ = files
    path = folder / STUDY[channel]
    path.write_bytes(content)
    try:
        return read(folder)
    except SourceError:
        return None
    finally:
        path.write_bytes(contents[channel])


@settings(max_examples=40, deadline=None)
@given(channel=st.sampled_from(["expression", "copy_number", "mutation"]), edits=EDITS)
def test_damage_is_refused_or_changes_nothing_but_its_own_lines(
    portal_files: tuple[Path, dict[str, bytes], Cohort], channel: str, edits: list
) -> None:
    _, contents, whole = portal_files
    content = damaged(contents[channel], edits)
    found = read_damaged(portal_files, channel, content)
    changed = touched(contents[channel], content)
    changed += "".join(gene for gene, number in entrez_ids(SMALL).items() if str(number) in changed)
    renamed = "Mutation_Status" in changed  # a list without this column holds somatic mutations
    if found is not None and not renamed:
        assert_nothing_else_changed(found, whole, changed)


@settings(max_examples=40, deadline=None)
@given(channel=st.sampled_from(["samples", "patients", "sequenced"]), edits=EDITS)
def test_damage_of_clinical_files_and_case_lists_changes_no_measured_value(
    portal_files: tuple[Path, dict[str, bytes], Cohort], channel: str, edits: list
) -> None:
    _, contents, whole = portal_files
    found = read_damaged(portal_files, channel, damaged(contents[channel], edits))
    if found is None:
        return
    rows = whole.samples.index.get_indexer(found.samples.index)
    assert (rows >= 0).all()
    columns = whole.genes.index.get_indexer(found.genes.index)
    for layer in found.channels:
        before, after = whole.layer(layer)[np.ix_(rows, columns)], found.layer(layer)
        both = ~np.isnan(before) & ~np.isnan(after)
        np.testing.assert_array_equal(before[both], after[both])
        if layer != "mutation":
            np.testing.assert_array_equal(before, after)


@settings(max_examples=40, deadline=None)
@given(
    channel=st.sampled_from(sorted(STUDY)), content=st.binary(max_size=200), zipped=st.booleans()
)
def test_arbitrary_bytes_are_refused(
    portal_files: tuple[Path, dict[str, bytes], Cohort], channel: str, content: bytes, zipped: bool
) -> None:
    content = gzip.compress(content) if zipped else content
    assert read_damaged(portal_files, channel, content) is None
