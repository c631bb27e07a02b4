"""Files of the GDC: what is read from each, how they are joined, and everything that is refused."""

import errno
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gdc_layouts
from hub_layouts import other_names
from oncopixel.cohort.barcodes import pick_aliquots
from oncopixel.cohort.contract import Cohort, read_cohort, write_cohort
from oncopixel.cohort.labels import label_cohort
from oncopixel.core import storage as artifacts
from oncopixel.core.errors import OutputError, SourceError
from oncopixel.core.params import (
    FilesSource,
    GdcSource,
    LabelledSource,
    SimulatedSource,
    read_params,
)
from oncopixel.core.storage import scratch_array
from oncopixel.images.preprocessing import features, fit
from oncopixel.quality.checks import check_cohort
from oncopixel.sources.files import load_files
from oncopixel.sources.gdc import text
from oncopixel.sources.gdc.cohort import build
from oncopixel.sources.gdc.copy_number import read_copies
from oncopixel.sources.gdc.expression import read_star
from oncopixel.sources.gdc.mutations import read_variants
from oncopixel.sources.simulated import simulate
from oncopixel.sources.variants import alters

SIMULATED = simulate(
    SimulatedSource(kind="simulated", n_samples=24, n_genes=120, n_markers=10, normal_fraction=0.25)
)
SOURCE = GdcSource(kind="gdc", projects=["TCGA-LUAD"])


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCOPIXEL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def listing(tmp_path: Path) -> pd.DataFrame:
    return gdc_layouts.write(SIMULATED, tmp_path / "files")


def built(files: pd.DataFrame, clinical: pd.DataFrame | None = None, **options: object) -> Cohort:
    source = GdcSource.model_validate(SOURCE.model_dump() | options)
    known = gdc_layouts.clinical(SIMULATED) if clinical is None else clinical
    return build(files, known, source, origin="simulated")


def notes(cohort: Cohort) -> str:
    return "\n".join(cohort.data.uns["notes"])


# ------------------------------------------------------------------------------ the whole cohort


@pytest.mark.parametrize("mutation", ["binary", "impact"])
def test_the_cohort_that_comes_back_is_the_one_that_went_in(
    listing: pd.DataFrame, mutation: str
) -> None:
    cohort = built(listing.sample(frac=1, random_state=1), mutation=mutation)
    wanted = gdc_layouts.expected(SIMULATED, impact=mutation == "impact")
    pd.testing.assert_frame_equal(cohort.genes, wanted.genes)
    samples = wanted.samples.assign(batch=wanted.samples.index.str[21:25])  # the plate
    pd.testing.assert_frame_equal(
        cohort.samples.sort_index(axis=1), samples.sort_index(axis=1), check_dtype=False
    )
    assert list(cohort.data.uns["patient_columns"]) == ["status", "days_to_birth"]
    assert cohort.channels == ["expression", "copy_number", "mutation"]
    for channel in cohort.channels:
        np.testing.assert_array_equal(cohort.layer(channel), wanted.layer(channel), channel)


def test_it_is_the_cohort_that_the_same_values_give_as_files(
    listing: pd.DataFrame, tmp_path: Path
) -> None:
    cohort = built(listing)
    for channel in cohort.channels:
        frame = pd.DataFrame(cohort.layer(channel), cohort.samples.index, cohort.genes.index)
        frame.T.to_parquet(tmp_path / f"{channel}.parquet")
    sheet = cohort.samples.drop(columns=["patient", "sample_type", "site", "batch"])
    sheet.to_csv(tmp_path / "sheet.csv")
    source = FilesSource(
        kind="files", expression="expression.parquet", samples="sheet.csv", scale="counts",
        copy_number="copy_number.parquet", mutation="mutation.parquet",
    )  # fmt: skip
    same = load_files(source, tmp_path)
    pd.testing.assert_frame_equal(same.genes, cohort.genes)
    pd.testing.assert_frame_equal(
        same.samples[cohort.samples.columns], cohort.samples, check_dtype=False
    )
    for channel in cohort.channels:
        np.testing.assert_array_equal(same.layer(channel), cohort.layer(channel))


def test_notes_tell_what_was_joined_and_dropped(listing: pd.DataFrame) -> None:
    line = "ENSG00980000001.1\tLINC\tchr1\t1\t2\t2\t2\t2\n"
    change_all(listing, "copy_number", lambda text: text + line)
    cohort = built(listing, gdc_layouts.clinical(SIMULATED).iloc[1:])
    for fact in (
        "expression: 2 aliquots dropped: another of the same patient and sample type is used "
        "(TCGA-05-1000-01B-01R-A277-07",
        "genes dropped: their type is not protein_coding",
        "expression: 1 genes dropped: pseudoautosomal copies on Y",
        "clinical: 1 patients have no entry (TCGA-05-1000)",
        "copy_number: 8 samples were not measured, and are masked (TCGA-05-1000-01A",
        "copy_number: 2 aliquots dropped: another of the same sample is used",
        "copy_number: 11 genes were not measured, and are masked",
        "copy_number: 1 genes of the first file dropped: not among the cohort's",
        "variants whose gene was found by symbol",
        "variants dropped: their genes are not among the cohort's",
    ):
        assert fact in notes(cohort), notes(cohort)
    status = cohort.samples["status"]
    assert (status[cohort.patients == "TCGA-05-1000"] == "").all()


def test_tpm_and_genes_of_every_type_can_be_asked_for(listing: pd.DataFrame) -> None:
    cohort = built(listing, expression="tpm", genes="all", copy_number=None, mutation=None)
    assert cohort.scale == "tpm"
    assert cohort.channels == ["expression"]
    assert {"LINC0", "LINC110"} <= set(cohort.genes.index)
    assert not cohort.samples.columns.str.contains("aliquot|tmb").any()
    linc = cohort.layer("expression")[:, cohort.genes.index.get_loc("LINC0")]
    np.testing.assert_array_equal(linc, np.full(len(linc), 0.5))


def test_dna_of_another_vial_is_used_where_there_is_no_other(listing: pd.DataFrame) -> None:
    fifth = gdc_layouts.barcodes(SIMULATED)["dna"].iloc[5]
    cohort = built(listing[listing["samples"] != fifth])
    at = cohort.patients.tolist().index(fifth[:12])
    assert cohort.samples["copy_number_aliquot"].iloc[at] == fifth.replace("A-01D", "B-01D")
    assert np.nanmax(cohort.layer("copy_number")[at]) == np.float32(np.log2(4.5))
    assert "copy_number: 1 samples have DNA of another vial than their RNA" in notes(cohort)


@pytest.mark.parametrize(
    ("rna", "other", "used"),
    [
        ("01B-01R", "01B-01D", "01B-01D"),  # the same vial comes before the earliest
        ("01A-01R", "01A-02D", "01A-01D"),  # the same portion before the highest
        ("01A-03R", "01A-02D", "01A-02D"),  # which counts where none is the same
    ],
)
def test_dna_of_the_same_vial_and_portion_is_preferred(
    listing: pd.DataFrame, rna: str, other: str, used: str
) -> None:
    patient = gdc_layouts.barcodes(SIMULATED)["patient"].iloc[6]
    of_patient = listing["patient"] == patient
    renamed = listing["samples"].mask(
        of_patient & (listing["channel"] == "expression"), f"{patient}-{rna}-A277-07"
    )
    later = of_patient & listing["samples"].str.contains("-01B-")
    files = listing.assign(samples=renamed.mask(later, f"{patient}-{other}-A273-01"))
    samples = built(files[(files["channel"] != "mutation")]).samples
    assert (
        samples.loc[f"{patient}-{rna}-A277-07", "copy_number_aliquot"]
        == f"{patient}-{used}-A273-01"
    )


def test_a_channel_without_any_file_is_absent(listing: pd.DataFrame) -> None:
    cohort = built(listing[listing["channel"] != "mutation"])
    assert cohort.channels == ["expression", "copy_number"]
    assert f"mutation: {len(cohort.samples)} samples were not measured" in notes(cohort)


def test_the_same_file_twice_is_one_file(listing: pd.DataFrame, tmp_path: Path) -> None:
    path = listing["path"].iloc[0]
    copied = tmp_path / "copied.tsv"
    copied.write_bytes(path.read_bytes())
    again = listing.iloc[[0]].assign(path=copied, name="copied.tsv")
    twice = built(pd.concat([listing, again]))
    np.testing.assert_array_equal(twice.layer("expression"), built(listing).layer("expression"))


@pytest.mark.parametrize("channel", ["expression", "copy_number"])
def test_of_different_files_of_one_aliquot_the_first_by_name_is_used(
    listing: pd.DataFrame, tmp_path: Path, channel: str
) -> None:
    row = listing[listing["channel"] == channel].iloc[[2]]
    aliquot = row["samples"].item()
    make = gdc_layouts.star if channel == "expression" else gdc_layouts.ascat
    (tmp_path / "other.tsv").write_bytes(make(GENES, np.full(len(GENES), 6.0)))
    before = row.assign(path=tmp_path / "other.tsv", name="!.tsv")
    after = row.assign(path=tmp_path / "other.tsv", name="~.tsv")
    first = built(pd.concat([listing, before, after]))
    at = first.patients.tolist().index(aliquot[:12])
    value = 6 if channel == "expression" else np.float32(np.log2(3))
    assert np.nanmin(first.layer(channel)[at]) == np.nanmax(first.layer(channel)[at]) == value
    fact = f"{channel}: 1 aliquots have several different files; the first by name is used"
    assert f"{fact} ({aliquot})" in notes(first)
    last = built(pd.concat([after, listing]))
    np.testing.assert_array_equal(last.layer(channel), built(listing).layer(channel))
    table = last.data.uns["joined"].set_index("file")
    assert table.loc["~.tsv", "why"] == "another file of this aliquot is used"
    assert table.loc[row["name"].item(), "used"]


def test_every_file_is_listed_with_what_became_of_it(listing: pd.DataFrame, tmp_path: Path) -> None:
    names = gdc_layouts.barcodes(SIMULATED)
    of_copies = listing["channel"] == "copy_number"
    again = listing[of_copies].iloc[[0]].assign(name="~copy.tsv")
    alone = listing[of_copies].iloc[[1]].assign(name="~alone.tsv", samples="TCGA-99-0000-01A-01D")
    write_cohort(tmp_path / "cohort.h5ad", built(pd.concat([listing, again, alone])))
    cohort = read_cohort(tmp_path / "cohort.h5ad")
    table = cohort.data.uns["joined"]
    assert table.columns.tolist() == ["channel", "file", "aliquot", "sample", "used", "why"]
    assert set(zip(table["channel"], table["file"], table["aliquot"], strict=True)) == set(
        zip(listing["channel"], listing["name"], listing["samples"], strict=True)
    ) | {
        ("copy_number", "~copy.tsv", again["samples"].item()),
        ("copy_number", "~alone.tsv", "TCGA-99-0000-01A-01D"),
    }
    assert (table["used"] == (table["why"] == "")).all()
    used = table[table["used"]].set_index("sample")
    for channel in ("copy_number", "mutation"):
        aliquots = used.loc[used["channel"] == channel, "aliquot"]
        stated = cohort.samples[f"{channel}_aliquot"].reindex(aliquots.index)
        assert aliquots.tolist() == stated.tolist()
    rna = used[used["channel"] == "expression"]
    assert rna["aliquot"].tolist() == rna.index.tolist()
    assert sorted(rna.index) == cohort.samples.index.tolist()
    unused = table[~table["used"]].set_index("file")
    assert unused.loc["~copy.tsv", "why"] == "a copy of another file"
    assert unused.loc["~alone.tsv", "sample"] == ""
    assert unused.loc["~alone.tsv", "why"] == "no expression of this sample"
    later = unused[unused["aliquot"].str.contains("-01B-")]
    assert set(later["why"]) == {"another aliquot of this sample is used"}
    assert set(later["sample"]) == set(names["rna"].iloc[[0, 4, 5, 6]])
    assert len(unused) == len(later) + 2 == 8


def test_variants_of_several_tumour_normal_pairs_are_pooled(
    listing: pd.DataFrame, tmp_path: Path
) -> None:
    weights = np.nan_to_num(gdc_layouts.mutations(SIMULATED))
    row = weights.sum(axis=1).argmax()
    aliquot = gdc_layouts.barcodes(SIMULATED)["dna"].iloc[row]
    of_file = (listing["samples"] == aliquot) & (listing["channel"] == "mutation")
    genes = gdc_layouts._genes(SIMULATED)
    same, new = weights[row].argmax(), weights[row].argmin()
    other = tmp_path / "pair.maf.gz"
    other.write_bytes(gdc_layouts.maf(genes, np.isin(np.arange(len(genes)), [same, new]), aliquot))
    pair = listing[of_file].assign(path=other, name="pair.maf.gz")
    cohort = built(pd.concat([listing, pair]))
    at = cohort.patients.tolist().index(aliquot[:12])
    assert cohort.layer("mutation")[at, [same, new]].tolist() == [1, 1]
    once = gdc_layouts.expected(SIMULATED).samples["tmb"].iloc[at]
    assert cohort.samples["tmb"].iloc[at] == once + 2  # both of the new gene
    assert "mutation: 1 aliquots in several tumour/normal pairs" in notes(cohort)


def test_a_class_in_other_words_counts_and_an_unknown_one_is_not_wild_type(
    listing: pd.DataFrame,
) -> None:
    cohort = built(listing)
    wanted = cohort.layer("mutation")
    row, column = map(int, np.argwhere(wanted == 1)[0])
    aliquots = listing.loc[listing["channel"] == "mutation", "samples"].tolist()
    file = aliquots.index(cohort.samples["mutation_aliquot"].iloc[row])
    change_all(
        listing, "mutation", lambda text: text.replace("Missense_Mutation", "missense_variant")
    )
    np.testing.assert_array_equal(built(listing).layer("mutation"), wanted)
    words = rf"^({cohort.genes.index[column]}\t.*\t)(missense_variant|[A-Z]\w+_\w+)(?=\t)"
    change(
        listing,
        "mutation",
        lambda text: re.sub(words, r"\1Unheard_Of", text, flags=re.MULTILINE),
        file,
    )
    cohort = built(listing)
    expected = wanted.copy()
    expected[row, column] = np.nan
    np.testing.assert_array_equal(cohort.layer("mutation"), expected)
    assert "of a class that is not known: 'Unheard_Of' (" in notes(cohort)
    change_all(
        listing, "mutation", lambda text: re.sub("(missense_|Missense_)", "Unheard_Of_", text)
    )
    with pytest.raises(SourceError, match=r"the files of mutations: \d+ of \d+ variants are of"):
        built(listing)


def change(listing: pd.DataFrame, channel: str, edit: Callable[[str], str], file: int = 1) -> Path:
    """One file of a channel, its text edited."""
    path = listing.loc[listing["channel"] == channel, "path"].iloc[file]
    content = path.read_bytes()
    packed = content.startswith(b"\x1f\x8b")
    text = edit((gzip.decompress(content) if packed else content).decode())
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def change_all(listing: pd.DataFrame, channel: str, edit: Callable[[str], str]) -> None:
    for file in range((listing["channel"] == channel).sum()):
        change(listing, channel, edit, file)


def test_genes_that_a_file_lacks_are_masked_and_those_that_no_other_has_dropped(
    listing: pd.DataFrame,
) -> None:
    gene = SIMULATED.genes["ensembl_id"].iloc[10]

    def edit(text: str) -> str:
        line = next(line for line in text.splitlines() if line.startswith(gene))
        return text.replace(line, line.replace(gene, "ENSG00990000999"))

    for channel in ("expression", "copy_number"):
        change(listing, channel, edit)
    cohort = built(listing)
    wanted = gdc_layouts.expected(SIMULATED).layer("expression").copy()
    row = cohort.samples.index.get_loc(
        listing.loc[listing["channel"] == "expression", "samples"].iloc[1]
    )
    wanted[row, 10] = np.nan
    np.testing.assert_array_equal(cohort.layer("expression"), wanted)
    assert "expression: 1 values are missing: 1 files lack genes" in notes(cohort)
    assert "expression: 1 values dropped: their genes are not in" in notes(cohort)
    assert "copy_number: 1 files have other genes than" in notes(cohort)


def test_of_genes_of_one_symbol_the_one_with_the_highest_mean_stays(listing: pd.DataFrame) -> None:
    first, second = SIMULATED.genes["ensembl_id"].iloc[[4, 9]]
    novel = "ENSG00990000777"  # an id that GENCODE v22 lacks, so that the file names it
    symbol = SIMULATED.genes.index[4]
    pattern = rf"{second}\.\d+\t\w+\t"
    change_all(listing, "expression", lambda text: re.sub(pattern, f"{novel}.1\t{symbol}\t", text))
    cohort = built(listing)
    values = SIMULATED.layer("expression")
    better = 4 if values[:, 4].mean() > values[:, 9].mean() else 9
    assert cohort.genes.loc[symbol, "ensembl_id"] == {4: first, 9: novel}[better]
    wanted = gdc_layouts.expected(SIMULATED).layer("expression")
    others = [i for i in range(wanted.shape[1]) if i not in (4, 9)]
    names = SIMULATED.genes.index[others]
    at = cohort.genes.index.get_indexer(names)
    np.testing.assert_array_equal(cohort.layer("expression")[:, at], wanted[:, others])
    np.testing.assert_array_equal(
        cohort.layer("expression")[:, cohort.genes.index.get_loc(symbol)], wanted[:, better]
    )
    assert "expression: 1 entries dropped: another of the same gene symbol" in notes(cohort)


def test_expression_files_may_have_an_unknown_id_and_another_name(listing: pd.DataFrame) -> None:
    others = other_names(SIMULATED.genes.index)
    symbol = next(iter(others))
    known = SIMULATED.genes.loc[symbol, "ensembl_id"]
    pattern, novel = rf"{known}\.\d+\t\w+\t", f"ENSG00990000777.1\t{others[symbol]}\t"
    change_all(listing, "expression", lambda text: re.sub(pattern, novel, text))
    cohort = built(listing)
    pd.testing.assert_index_equal(cohort.genes.index, SIMULATED.genes.index)
    assert cohort.genes.loc[symbol, "start"] == SIMULATED.genes.loc[symbol, "start"]
    np.testing.assert_array_equal(
        cohort.layer("expression"), gdc_layouts.expected(SIMULATED).layer("expression")
    )
    n = len(cohort.genes) - 1
    assert re.search(rf"expression: genes found: {n} by Ensembl id, 1 by \w+", notes(cohort))


@pytest.mark.parametrize(
    ("gene_id", "found"),
    [("ENSG00990000000", False), ("ENSG00770000001", True), ("", True)],
    ids=["of another gene in the expression files", "unknown to them", "empty"],
)
@pytest.mark.parametrize("other", [False, True], ids=["its symbol", "another name"])
def test_a_name_counts_only_where_the_ensembl_id_is_unknown(
    listing: pd.DataFrame, gene_id: str, found: bool, other: bool
) -> None:
    wanted = gdc_layouts.mutations(SIMULATED)
    sample = int(np.flatnonzero(np.nansum(wanted, axis=1) > 0)[0])
    others = other_names(SIMULATED.genes.index)
    known = SIMULATED.genes.index.isin(list(others))
    gene = int(np.flatnonzero((wanted[sample] == 0) & known)[0])
    symbol = SIMULATED.genes.index[gene]
    aliquot = gdc_layouts.barcodes(SIMULATED)["dna"].iloc[sample]

    def edit(text: str) -> str:
        row = next(line for line in text.splitlines() if line.startswith("Unknown\t"))
        cells = row.split("\t")
        cells[0] = others[symbol] if other else symbol
        cells[gdc_layouts.MAF_COLUMNS.index("Gene")] = gene_id
        return text + "\t".join(cells) + "\n"

    def dropped(cohort: Cohort) -> int:
        return int(re.findall(r"mutation: (\d+) variants dropped", notes(cohort))[0])

    before = dropped(built(listing))
    change(listing[listing["samples"] == aliquot], "mutation", edit, file=0)
    cohort = built(listing)
    at = cohort.patients.tolist().index(aliquot[:12])
    assert cohort.layer("mutation")[at, gene] == found
    assert dropped(cohort) == before + (not found)


def test_labels_and_the_disk_leave_the_layers_as_they_are(
    listing: pd.DataFrame, tmp_path: Path
) -> None:
    cohort = built(listing)
    gene = "TP53"
    before = cohort.layer("mutation").copy()
    entry = LabelledSource(source=SOURCE, label=f"mutation:{gene}")
    labelled = label_cohort(pick_aliquots(cohort), entry)
    np.testing.assert_array_equal(cohort.layer("mutation"), before)
    write_cohort(tmp_path / "cohort.h5ad", labelled)
    stored = read_cohort(tmp_path / "cohort.h5ad")
    rows = cohort.samples.index.get_indexer(labelled.samples.index)
    masked = before[rows]
    masked[:, cohort.genes.index.get_loc(gene)] = np.nan
    np.testing.assert_array_equal(stored.layer("mutation"), masked)
    np.testing.assert_array_equal(stored.layer("expression"), cohort.layer("expression")[rows])
    assert all(isinstance(layer, np.memmap) for layer in labelled.data.layers.values())


@pytest.mark.parametrize("encoding", ["binary", "scaled"])
def test_weights_of_variants_come_through_to_the_images(
    listing: pd.DataFrame, tmp_path: Path, encoding: str
) -> None:
    unlabelled = built(listing, mutation="impact")
    gene = unlabelled.genes.index[np.nansum(unlabelled.layer("mutation") > 0, axis=0).argmax()]
    entry = LabelledSource(source=SOURCE, label=f"mutation:{gene}")
    write_cohort(tmp_path / "cohort.h5ad", label_cohort(unlabelled, entry))
    cohort = read_cohort(tmp_path / "cohort.h5ad")
    params = read_params(Path("params.yaml"))
    few = params.validation.model_copy(
        update={"min_samples": 4, "min_class_size": 2, "max_constant_gene_fraction": 1.0}
    )
    assert check_cohort(cohort, few, channels=["mutation"], folds=2).critical == []
    weights = cohort.layer("mutation").astype(float)
    np.testing.assert_allclose(np.unique(weights[weights > 0]), [1 / 3, 2 / 3, 1], rtol=1e-6)

    preprocessing = params.preprocess.model_copy(update={"mutation_encoding": encoding})
    pre = fit(cohort, preprocessing, channels=["mutation"], image=(12, 12))
    found = features(pre, cohort)[:, :, 0]
    mine = weights[:, cohort.genes.index.get_indexer(pre.genes["gene"])]
    if encoding == "scaled":  # half a mutated and half an unmutated sample more
        measured = mine[~np.isnan(mine).any(axis=1)]
        more = np.vstack([measured, np.zeros(mine.shape[1]), np.ones(mine.shape[1])])
        times = np.r_[np.ones(len(measured)), 0.5, 0.5]
        center = np.average(more, axis=0, weights=times)
        spread = np.sqrt(np.average((more - center) ** 2, axis=0, weights=times))
        mine = (mine - center) / spread
    wanted = np.clip(np.nan_to_num(mine), -preprocessing.clip, preprocessing.clip)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_cohort_larger_than_the_memory_is_read_like_any_other(
    listing: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cohort(tmp_path / "cohort.h5ad", built(listing))
    plain = read_cohort(tmp_path / "cohort.h5ad")
    monkeypatch.setattr(artifacts, "LARGE", 0)
    mapped = read_cohort(tmp_path / "cohort.h5ad")
    pd.testing.assert_frame_equal(mapped.samples, plain.samples)
    pd.testing.assert_frame_equal(mapped.genes, plain.genes)
    for channel, layer in mapped.data.layers.items():
        assert isinstance(layer, np.memmap)
        np.testing.assert_array_equal(layer, plain.layer(channel))
    some = mapped.take([3, 1])
    assert isinstance(some.data.layers["expression"], np.memmap)
    np.testing.assert_array_equal(some.layer("mutation"), plain.layer("mutation")[[3, 1]])
    write_cohort(tmp_path / "again.h5ad", mapped)
    same = (tmp_path / "again.h5ad").read_bytes() == (tmp_path / "cohort.h5ad").read_bytes()
    assert same


def test_nothing_is_left_on_disk(listing: pd.DataFrame, tmp_path: Path) -> None:
    built(listing)
    change(listing, "mutation", lambda text: text.replace("Hugo_Symbol", "Symbol"))
    with pytest.raises(SourceError):
        built(listing)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_no_room_for_the_layers_is_said_before_they_are_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match=r"0\.4 GB of working space: the disk is full"):
        scratch_array(tmp_path, (10_000, 10_000))


# ------------------------------------------------------------------------------ what is refused

GENES = gdc_layouts._genes(SIMULATED)
STAR = gdc_layouts.star(GENES, np.arange(120.0)).decode()
COPIES = gdc_layouts.ascat(GENES, np.where(np.arange(120) % 5, 2.0, np.nan)).decode()
MAF = gzip.decompress(gdc_layouts.maf(GENES, np.arange(120) % 7 == 1, "TCGA-05-1000-01A")).decode()
BASE = {"star": STAR, "copies": COPIES, "variants": MAF}
PARSERS = {
    "star": read_star,
    "copies": read_copies,
    "variants": lambda path: read_variants(path, impact=True),
}


def edited(text: str, column: str, value: str, line: int) -> str:
    """The text with another cell in a line, counted from 1."""
    lines = text.split("\n")
    header = next(row.split("\t") for row in lines if row and not row.startswith("#"))
    cells = lines[line - 1].split("\t")
    cells[header.index(column)] = value
    lines[line - 1] = "\t".join(cells)
    return "\n".join(lines)


PACKED = gzip.compress(MAF.encode())
BAD: dict[str, tuple[str, str | bytes, list[str]]] = {
    "empty": ("star", "", ["has no header, so it is no STAR gene counts"]),
    "comments only": ("variants", "#version 2.4\n", ["has no header"]),
    "no genes": ("star", "\n".join(STAR.split("\n")[:6]) + "\n", ["holds no gene"]),
    "no copies": ("copies", COPIES.split("\n")[0], ["holds no gene"]),
    "cut gzip": ("variants", PACKED[:-20], ["is cut short", "Download it again"]),
    "damaged gzip": ("variants", PACKED[:-8] + bytes(8), ["cannot be read", "CRC"]),
    "cut in a line": (
        "star", STAR[: STAR.index("NEW1\t") + 9],
        ["line 9 has 3 columns, the header has 9", "cut short"],
    ),
    "no UTF-8": ("star", b"\xff\xfe" + STAR.encode("utf-16-le"), ["is not UTF-8 text"]),
    "a web page": (
        "copies", "<!DOCTYPE html>\n<html></html>\n",
        ["has no column gene_id", "gene-level copy numbers", "another kind of file"],
    ),
    "another kind": ("star", COPIES, ["has no column gene_type", "STAR gene counts"]),
    "renamed column": (
        "variants", MAF.replace("Tumor_Sample_Barcode", "Tumor_Sample_Barcodes", 1),
        ["has no column Tumor_Sample_Barcode (did you mean Tumor_Sample_Barcodes"],
    ),
    "repeated column": (
        "star", STAR.replace("stranded_first", "unstranded", 1), ["has 2 columns unstranded"],
    ),
    "text in counts": (
        "star", edited(STAR, "unstranded", "many", 9),
        ["line 9 (ENSG", "column 'unstranded' holds 'many', which is not a number"],
    ),
    "negative counts": (
        "star", edited(STAR, "unstranded", "-3", 9),
        ["line 9 (", "column unstranded holds '-3'", "a whole number, 0 or more"],
    ),
    "part of a read": ("star", edited(STAR, "unstranded", "1.5", 9), ["holds '1.5'", "whole"]),
    "no count": ("star", edited(STAR, "unstranded", "", 9), ["holds ''", "whole number"]),
    "endless counts": ("star", edited(STAR, "unstranded", "inf", 9), ["holds 'inf'"]),
    "negative copies": (
        "copies", edited(COPIES, "copy_number", "-1", 4),
        ["line 4 (ENSG", "column copy_number holds '-1'", "0 or more, or empty"],
    ),
    "copies in words": ("copies", edited(COPIES, "copy_number", "two", 4), ["line 4", "'two'"]),
    "variant without a sample": (
        "variants", edited(MAF, "Tumor_Sample_Barcode", "", 9),
        ["line 9 (", "column Tumor_Sample_Barcode holds ''", "a sample's barcode"],
    ),
    "unknown impact": (
        "variants", edited(MAF, "IMPACT", "HUGE", 9),
        ["column IMPACT holds 'HUGE'", "one of HIGH, MODERATE, LOW"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    kind, content, parts = BAD[case]
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError) as caught:
        PARSERS[kind](path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", PARSERS)
def test_a_gzip_bomb_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(BASE[kind].encode() + b"#" * (3 << 20)))
    monkeypatch.setattr(text, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(SourceError, match="unpacks to more than 1 MB"):
        PARSERS[kind](path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.tsv does not exist"):
        read_star(tmp_path / "nothing.tsv")


def repeat_a_gene(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines, next(line for line in lines if line.startswith("ENSG"))]) + "\n"


def a_third(text: str) -> str:
    return text[: len(text) // 3].rpartition("\n")[0]


def of_another_genome(text: str) -> str:
    return re.sub(r"ENSG00\d(\d+)(\.\d+)\t\S+", r"ENSG009\1\2\tother", text)


JOINED: dict[str, tuple[Callable[[pd.DataFrame], object], list[str]]] = {
    "no expression": (
        lambda files: files.__setitem__("channel", "mutation"),
        ["no file holds expression", "`projects`"],
    ),
    "other programmes": (
        lambda files: files.__setitem__("samples", "CPT0001230009"),
        ["CPT0001230009, which is no TCGA barcode", "`projects`"],
    ),
    "no aliquot": (lambda files: files.__setitem__("samples", ""), ["is of no aliquot"]),
    "repeated gene": (
        lambda files: change_all(files, "expression", repeat_a_gene),
        ["has gene ENSG", "more than once"],
    ),
    "repeated gene in one file": (
        lambda files: change(files, "copy_number", repeat_a_gene), ["has gene ENSG"],
    ),
    "other ids": (
        lambda files: change(files, "expression", lambda text: text.replace("ENSG", "ENSMUSG")),
        ["has a gene 'ENSMUSG", "which is no Ensembl id"],
    ),
    "few genes": (
        lambda files: change(files, "expression", a_third), ["of the 120 genes of", "cut short"],
    ),
    "few genes in the first": (
        lambda files: change(files.sort_values("samples"), "expression", a_third, file=0),
        ["genes, ", "has 132: the first of them is cut short"],
    ),
    "copy number of other genes": (
        lambda files: change_all(files, "copy_number", of_another_genome),
        ["shares no gene with the expression files"],
    ),
    "variants of another aliquot": (
        lambda files: change_all(files, "mutation", lambda text: text.replace("-01A-", "-02A-")),
        ["holds variants of TCGA-", "but should be of TCGA-"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JOINED)
def test_files_that_do_not_fit_together_are_refused(listing: pd.DataFrame, case: str) -> None:
    spoil, parts = JOINED[case]
    spoil(listing)
    with pytest.raises(SourceError) as caught:
        built(listing)
    for part in parts:
        assert part in str(caught.value)


# ------------------------------------------------------------------------------ any bytes at all


def naive_rows(content: bytes) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table, read in the plainest way."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    lines = re.split(rb"\r\n|\n|\r", content)
    while not lines[0] or lines[0].startswith(b"#"):
        lines.pop(0)
    bom = "\ufeff".encode()  # without a meaning, before the header and before the first row
    lines[:2] = [line.removeprefix(bom) for line in lines[:2]]
    header, *rows = [line.decode("utf-8", "surrogateescape").split("\t") for line in lines if line]
    assert all(len(row) == len(header) for row in rows)
    return header, rows


def naive(kind: str, content: bytes) -> list[tuple]:
    """What a parser must give, or an exception when the content is not in order."""
    header, rows = naive_rows(content)
    records = [dict(zip(header, row, strict=True)) for row in rows]
    if kind == "star":
        genes = [r for r in records if not r["gene_id"].startswith("N_")]
        genes = [r for r in genes if not r["gene_id"].endswith("_PAR_Y")]
        return [(r["gene_id"], np.float32(r["unstranded"])) for r in genes]
    if kind == "copies":
        amounts = [np.float32(r["copy_number"].replace("NA", "") or "nan") for r in records]
        logs = [np.log2(np.maximum(a, np.float32(0.25)) / np.float32(2)) for a in amounts]
        return [(r["gene_id"], value) for r, value in zip(records, logs, strict=True)]
    weight = {"HIGH": 1.0, "MODERATE": 2 / 3, "LOW": 1 / 3, "MODIFIER": 1 / 3}
    place = ("Chromosome", "Start_Position", "Reference_Allele", "Tumor_Seq_Allele2")
    found = {}
    for i, r in enumerate(r for r in records if alters(r["Variant_Classification"])):
        gene = (r["Tumor_Sample_Barcode"], r["Hugo_Symbol"], r.get("Gene", ""))
        at = [r[column] for column in place] if set(place) <= set(r) else [i]
        found[(*gene, r["IMPACT"], *at)] = (*gene, weight[r["IMPACT"]])
    return list(found.values())


def parsed(kind: str, path: Path) -> list[tuple]:
    found = PARSERS[kind](path)
    if isinstance(found, pd.DataFrame):
        known = found[found["unknown"].isna()].drop(columns=["variant", "unknown"])
        return list(known.itertuples(index=False, name=None))
    return list(zip(found.ids.to_pylist(), found.numbers, strict=True))


def check(kind: str, content: bytes, folder: Path) -> None:
    path = folder / "fuzzed"
    path.write_bytes(content)
    try:
        found = parsed(kind, path)
    except SourceError:
        return
    for mine, other in zip(found, naive(kind, content), strict=True):
        assert all(a == b or (a != a and b != b) for a, b in zip(mine, other, strict=True))


EXAMPLES = 150
fuzzed = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KINDS = st.sampled_from(sorted(PARSERS))
SHORT = {kind: "\n".join(text.split("\n")[:20]) + "\n" for kind, text in BASE.items()}
CELLS = st.sampled_from(
    ["", "0", "-0", "-1", "1e3", "0x1F", "1_0", "+5", " 5", "5 ", "nan", "NA", "inf", "-inf", "1.5",
     "1e99", "9" * 30, "\u0661", '"', "'", "#", "N_x", "a_PAR_Y", "\x00", "HIGH", "Silent",
     "Missense_Mutation", "\t", "\n", "\r"]
)  # fmt: skip


@fuzzed
@given(kind=KINDS, content=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(kind: str, content: bytes, tmp_path: Path) -> None:
    check(kind, content, tmp_path)


@fuzzed
@given(
    kind=KINDS,
    content=st.text(alphabet="\t\n\r\"'#,ENSG019.-_aN\ufeff", max_size=200),
    data=st.data(),
)
def test_arbitrary_rows_are_read_rightly_or_refused(
    kind: str, content: str, data: st.DataObject, tmp_path: Path
) -> None:
    lines = SHORT[kind].split("\n")
    at = data.draw(st.integers(0, len(lines)))
    check(kind, "\n".join([*lines[:at], content, *lines[at:]]).encode(), tmp_path)


@fuzzed
@given(kind=KINDS, data=st.data())
def test_changed_cells_are_read_rightly_or_refused(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    rows = [line.split("\t") for line in SHORT[kind].split("\n")]
    for _ in range(data.draw(st.integers(1, 4))):
        row = rows[data.draw(st.integers(0, len(rows) - 1))]
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(CELLS)
    if data.draw(st.booleans()):
        rows.insert(data.draw(st.integers(0, len(rows))), data.draw(st.sampled_from(rows)))
    check(kind, "\n".join("\t".join(row) for row in rows).encode(), tmp_path)


@fuzzed
@given(kind=KINDS, data=st.data())
def test_damaged_files_are_read_rightly_or_refused(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    content = SHORT[kind].encode()
    if data.draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    check(kind, bytes(changed[: data.draw(st.integers(0, len(changed)))]), tmp_path)
