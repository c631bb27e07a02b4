"""The source `xena`: files of a hub, by URL or on disk, make the cohort that `files` makes."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import EDITS, assert_nothing_else_changed, damaged, touched
from hub_layouts import (
    XENA,
    assert_same,
    lines,
    notes,
    other_names,
    read_files,
    study,
    write_xena,
)
from oncopixel.cohort.contract import Cohort
from oncopixel.core.errors import SourceError
from oncopixel.core.params import XenaSource
from oncopixel.sources import load, query
from oncopixel.sources.http import cache, client
from oncopixel.sources.http.locations import list_files
from static_server import StaticServer, serve

MADE = study(logged=True)
FIRST = MADE.expression.columns[0]
SMALL = study(logged=True, n_samples=20, n_genes=100)


def source(**options: object) -> XenaSource:
    return XenaSource(kind="xena", **(XENA | options))


def read(folder: Path, **options: object) -> Cohort:
    return load(source(**options), folder)[0]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StaticServer]:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    write_xena(MADE, tmp_path / "hub")
    with serve(tmp_path / "hub") as server:
        yield server


def test_the_cohort_is_the_one_that_files_makes_of_the_same_tables(tmp_path: Path) -> None:
    write_xena(MADE, tmp_path / "xena")
    cohort = read(tmp_path / "xena")
    assert_same(cohort, read_files(MADE, tmp_path / "files", "log2"))
    said = notes(cohort)
    assert "expression: 1 entries without any value dropped" in said
    assert "expression: 2 entries without a gene name dropped" in said
    assert "expression: 1 entries dropped: another of the same gene symbol has a higher" in said
    assert "mutation: 1 entries without any value dropped" in said
    repeated = len(range(0, len(MADE.mutation), 4))
    assert f"mutation: {repeated} entries joined with another of the same gene" in said
    assert "1 rows of the sample sheet are of no sample" in said


@pytest.mark.parametrize("channel", ["expression", "copy_number", "mutation"])
def test_a_matrix_may_have_other_names_of_the_genes(tmp_path: Path, channel: str) -> None:
    frame = getattr(MADE, channel)
    others = other_names(frame.index)
    write_xena(replace(MADE, **{channel: frame.rename(index=others)}), tmp_path / "xena")
    cohort = read(tmp_path / "xena")
    assert_same(cohort, read_files(MADE, tmp_path / "files", "log2"))
    found = next(note for note in cohort.data.uns["notes"] if f"{channel}: genes found" in note)
    counts = [int(n) for n in re.findall(r"(\d+) by (?:later|previous|alias)", found)]
    assert sum(counts) == len(others) > 50


def test_a_mutation_under_any_name_of_a_gene_counts(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("g\tA\tB\tC\nKMT2D\t1\t2\t3\nTP53\t1\t2\t3\n")
    (tmp_path / "m").write_text("g\tA\tB\tC\nMLL2\t0\t1\t0\nKMT2D\t1\t0\t0\nMLL2\t0\t0\t0\n")
    (tmp_path / "s").write_text("sample\tpatient\nA\tA\nB\tB\nC\tC\n")
    cohort = read(tmp_path, expression="x", copy_number=None, mutation="m", samples="s")
    np.testing.assert_array_equal(cohort.layer("mutation")[:, 0], [1, 1, 0])
    assert "mutation: 2 entries joined with another of the same gene" in notes(cohort)


SPELLINGS = [
    ("sample", "chr", "start", "gene", "effect"),
    ("#sample", "chr", "start", "gene", "effect"),
    ("Sample_ID", "chrom", "start", "gene", "effect"),
    (
        "Tumor_Sample_Barcode",
        "Chromosome",
        "Start_Position",
        "Hugo_Symbol",
        "Variant_Classification",
    ),
]


@pytest.mark.parametrize("header", SPELLINGS)
@pytest.mark.parametrize("zipped", [False, True])
def test_mutations_may_be_a_list(tmp_path: Path, header: tuple[str, ...], zipped: bool) -> None:
    write_xena(MADE, tmp_path / "xena")
    name = "PANCAN_mutation.gz" if zipped else "PANCAN_mutation"
    words = ("Silent", "missense_variant;intron_variant")
    rows = [
        [f"{sample}A", "chr1", 5, gene, word]
        for gene in MADE.mutation.index
        for sample in MADE.mutation.columns
        for word in words[: 1 + MADE.mutation.loc[gene, sample]]
    ]  # fmt: skip
    content = lines([header, *rows]).encode()
    (tmp_path / "xena" / name).write_bytes(gzip.compress(content) if zipped else content)
    cohort = read(tmp_path / "xena", mutation=name)
    assert_same(cohort, read_files(MADE, tmp_path / "files", "log2"))
    assert f"{MADE.mutation.shape[1]} samples count as sequenced" in notes(cohort)


def test_a_list_tells_nothing_of_samples_and_genes_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("g\tA\tB\tC\nKRAS\t1\t2\t3\nTP53\t1\t2\t3\nEGFR\t3\t3\t3\n")
    (tmp_path / "m").write_text(
        "sample\tgene\teffect\nA\tTP53\tmissense_variant\nA\tKRAS\tintron_variant\nB\t\t\n"
    )
    (tmp_path / "s").write_text("sample\tpatient\nA\tA\nB\tB\nC\tC\n")
    cohort = read(tmp_path, expression="x", copy_number=None, mutation="m", samples="s")
    np.testing.assert_array_equal(
        cohort.layer("mutation"), [[0, 1, np.nan], [0, 0, np.nan], [np.nan] * 3]
    )


def test_files_are_read_by_content_whatever_their_names(tmp_path: Path) -> None:
    write_xena(MADE, tmp_path)
    names = {}
    for channel, name in XENA.items():
        content = (tmp_path / name).read_bytes()
        content = gzip.decompress(content) if name.endswith(".gz") else gzip.compress(content)
        names[channel] = f"{channel}-no-suffix"
        (tmp_path / names[channel]).write_bytes(content)
    assert_same(read(tmp_path, **names), read(tmp_path))


def test_expression_alone_is_enough(tmp_path: Path) -> None:
    write_xena(MADE, tmp_path)
    assert read(tmp_path, copy_number=None, mutation=None).channels == ["expression"]


def test_continuous_copy_number_and_ensembl_ids(tmp_path: Path) -> None:
    write_xena(MADE, tmp_path)
    (tmp_path / "x").write_text("Ensembl_ID\tA-1\tB-1\nENSG00000141510.16\t1.5\t2\nKRAS\t3\t4\n")
    (tmp_path / "c").write_text("Sample\tA-1\tB-1\nTP53\t-0.731\t0.022\n")
    (tmp_path / "s").write_text("sample\t_PATIENT\tsample_type\nA-1\tA\tMetastatic\nB-1\tB\t\n")
    cohort = read(
        tmp_path, expression="x", copy_number="c", mutation=None, samples="s",
        patient_column="_PATIENT",
    )  # fmt: skip
    assert cohort.genes.index.tolist() == ["TP53", "KRAS"]
    expected = np.array([[-0.731, np.nan], [0.022, np.nan]], np.float32)
    np.testing.assert_array_equal(cohort.layer("copy_number"), expected)
    assert cohort.patients.tolist() == ["A", "B"]
    assert cohort.samples["sample_type"].tolist() == ["06", ""]


def test_from_a_hub_and_again_from_the_cache(tmp_path: Path, hub: StaticServer) -> None:
    asked = source(hub=hub.url + "/")
    cohort, listing = load(asked, tmp_path)
    assert_same(cohort, read_files(MADE, tmp_path / "files", "log2"))
    assert sorted(hub.asked) == sorted(XENA.values())
    assert dict(zip(listing["channel"], listing["name"], strict=True)) == XENA
    for row in listing.itertuples():
        content = (hub.folder / row.name).read_bytes()
        assert row.url == f"{hub.url}/{row.name}"
        assert row.size == len(content)
    hub.asked.clear()
    again, same = load(asked, tmp_path, listing)
    assert hub.asked == []
    assert_same(again, cohort)
    pd.testing.assert_frame_equal(same, listing)


def test_what_would_be_downloaded_is_told_with_its_size(tmp_path: Path, hub: StaticServer) -> None:
    listing = list_files(source(hub=hub.url, mutation=None))
    assert listing["channel"].tolist() == ["expression", "copy_number", "samples"]
    sizes = [(hub.folder / name).stat().st_size for name in listing["name"]]
    assert listing["size"].tolist() == sizes
    assert (listing["md5"] == "").all()
    assert not (tmp_path / "cache").exists()
    assert list_files(source()).empty
    with pytest.raises(SourceError, match=r"no-such-file: 127.0.0.1:\d+ answers 404"):
        list_files(source(hub=hub.url, mutation="no-such-file"))


def test_a_manifest_of_other_addresses_is_refused(tmp_path: Path, hub: StaticServer) -> None:
    _, listing = load(source(hub=hub.url), tmp_path)
    listing["url"] = listing["url"].str.replace("127.0.0.1", "example.org")
    with pytest.raises(SourceError, match=r"manifest.csv does not list the files of http://127"):
        load(source(hub=hub.url), tmp_path, listing)


def test_how_a_file_is_read_is_no_part_of_what_is_downloaded() -> None:
    assert query(source(hub="http://a")) == query(source(hub="http://a", scale="rsem"))
    assert query(source(hub="http://a")) != query(source(hub="http://a", mutation=None))


def test_a_file_that_was_replaced_at_the_hub_is_refused(tmp_path: Path, hub: StaticServer) -> None:
    _, listing = load(source(hub=hub.url), tmp_path)
    path = hub.folder / XENA["samples"]
    path.write_text(path.read_text().replace("type 1", "type 3"))
    for cached in (tmp_path / "cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    with pytest.raises(SourceError, match=r"SIM_clinicalMatrix does not deliver.*`--refresh`"):
        load(source(hub=hub.url), tmp_path, listing)
    cohort, fresh = load(source(hub=hub.url), tmp_path)
    assert "type 3" in set(cohort.samples["SUBTYPE"])
    changed = fresh["md5"] != listing["md5"]
    assert fresh.loc[changed, "channel"].tolist() == ["samples"]


def test_a_download_that_breaks_off_goes_on(tmp_path: Path, hub: StaticServer) -> None:
    hub.broken.add(XENA["expression"])
    cohort, _ = load(source(hub=hub.url), tmp_path)
    assert hub.asked.count(XENA["expression"]) == 2
    assert_same(cohort, read_files(MADE, tmp_path / "files", "log2"))


PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ((404, "text/plain", b"no such key"), ["HiSeqV2.gz", "404", "no such key"]),
        ((200, "text/html; charset=utf-8", PAGE), ["HiSeqV2.gz", "HTML page"]),
        ((200, "text/plain", PAGE), ["/HiSeqV2.gz (cached as", "a web page", "check the address"]),
        ((200, "text/plain", b""), ["/HiSeqV2.gz (cached as", "empty"]),
        (
            (200, "application/gzip", gzip.compress(b"sample\tA\n" + b"TP53\t1\n" * 99)[:-9]),
            ["/HiSeqV2.gz (cached as", "cut short"],
        ),
    ],
)
def test_answers_that_are_no_table(
    tmp_path: Path, hub: StaticServer, answer: tuple[int, str, bytes], parts: list[str]
) -> None:
    hub.instead[XENA["expression"]] = answer
    with pytest.raises(SourceError) as caught:
        load(source(hub=hub.url), tmp_path)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("channel", "rows", "parts"),
    [
        ("expression", [["sample", "S"], ["TP53", "high"]], ["line 2 (TP53)", "'high'"]),
        ("expression", [["sample", "S", "S"], ["TP53", 1, 2]], ["1 samples occur more than once"]),
        ("expression", [["sample", FIRST], ["?", 1]], ["names no gene"]),
        ("expression", [["sample", "S"], ["TP53", "NA"]], ["holds no number"]),
        ("expression", [["sample", FIRST], ["TP53", 4711]], ["too large for log2(x+1)"]),
        ("mutation", [["sample", FIRST], ["TP53", 2]], ["not from 0 to 1"]),
        ("mutation", [["sample", "TCGA-ZZ-ZZZZ-01"], ["TP53", 1]], ["shares no sample"]),
        ("copy_number", [["sample", FIRST, "T"], ["TP53", 2, 3]], ["numbers of copies"]),
        ("samples", [["sampleID", "age"], ["other", 1]], ["share 0 samples"]),
        ("samples", [["sampleID"], ["S"]], ["one column only"]),
    ],
)
def test_bad_files_are_refused_by_name(
    tmp_path: Path, channel: str, rows: list, parts: list[str]
) -> None:
    write_xena(MADE, tmp_path)
    (tmp_path / XENA[channel]).write_text(lines(rows))
    with pytest.raises(SourceError) as caught:
        read(tmp_path)
    for part in (*parts, XENA[channel]):
        assert part in str(caught.value)


def test_a_pointer_of_git_lfs_is_told_from_a_table(tmp_path: Path) -> None:
    write_xena(MADE, tmp_path)
    (tmp_path / XENA["expression"]).write_text("version https://git-lfs.github.com/spec/v1\noid\n")
    with pytest.raises(SourceError, match=r"HiSeqV2.gz is a Git LFS pointer.*git lfs pull"):
        read(tmp_path)


@pytest.fixture(scope="module")
def hub_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], Cohort]:
    """A hub's folder with everything uncompressed, the contents by channel, and the cohort."""
    folder = tmp_path_factory.mktemp("hub")
    write_xena(SMALL, folder)
    contents = {}
    for channel, name in XENA.items():
        content = (folder / name).read_bytes()
        contents[channel] = gzip.decompress(content) if name.endswith(".gz") else content
        (folder / name).write_bytes(contents[channel])
    return folder, contents, read(folder)


def read_damaged(
    files: tuple[Path, dict[str, bytes], Cohort], channel: str, content: bytes
) -> Cohort | None:
    """The cohort with another content of one file, or None when it is refused."""
    folder, contents, _ = files
    path = folder / XENA[channel]
    path.write_bytes(content)
    try:
        return read(folder)
    except SourceError:
        return None
    finally:
        path.write_bytes(contents[channel])


@settings(max_examples=80, deadline=None)
@given(channel=st.sampled_from(sorted(XENA)), edits=EDITS)
def test_damage_is_refused_or_changes_nothing_but_its_own_lines(
    hub_files: tuple[Path, dict[str, bytes], Cohort], channel: str, edits: list
) -> None:
    _, contents, whole = hub_files
    content = damaged(contents[channel], edits)
    found = read_damaged(hub_files, channel, content)
    if found is not None:
        assert_nothing_else_changed(found, whole, touched(contents[channel], content))


@settings(max_examples=50, deadline=None)
@given(channel=st.sampled_from(sorted(XENA)), content=st.binary(max_size=200), zipped=st.booleans())
def test_arbitrary_bytes_are_refused(
    hub_files: tuple[Path, dict[str, bytes], Cohort], channel: str, content: bytes, zipped: bool
) -> None:
    content = gzip.compress(content) if zipped else content
    assert read_damaged(hub_files, channel, content) is None


@settings(max_examples=50, deadline=None)
@given(edits=EDITS)
def test_damaged_gzip_data_are_refused(
    hub_files: tuple[Path, dict[str, bytes], Cohort], edits: list
) -> None:
    _, contents, whole = hub_files
    content = gzip.compress(contents["expression"], mtime=0)
    found = read_damaged(hub_files, "expression", damaged(content, edits))
    if found is not None:  # the damage was in the name or time that gzip notes
        np.testing.assert_array_equal(found.layer("expression"), whole.layer("expression"))
