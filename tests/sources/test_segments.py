"""Segments: every layout gives the same copy number, and what cannot be told is asked for."""

import gzip
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from oncopixel.cohort.contract import Cohort, read_cohort
from oncopixel.cohort.genome import CHROMOSOMES, bins, genes, lengths, to_hg38
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.errors import LabelError, ParamsError, SourceError
from oncopixel.core.params import LabelledSource, SegmentsSource, parse_params
from oncopixel.core.project import Paths
from oncopixel.sources import load
from oncopixel.sources.pixels import pixel_values
from oncopixel.sources.segments import read_segments
from oncopixel.stages import ingest, preprocess, validate

ONE, TWO = "TCGA-05-4244-01A-01D-1105-01", "TCGA-44-2655-01A-01D-1105-01"
ROWS = [  # sample, chromosome, start, end, markers, log2(copies / 2)
    (ONE, "1", 1_000_001, 121_000_000, 60_000, 1.0),
    (ONE, "1", 145_000_001, 240_000_000, 50_000, 0.0),
    (ONE, "9", 20_000_001, 22_000_000, 900, -1.0),
    (ONE, "X", 3_000_001, 150_000_000, 80_000, -1.0),
    (TWO, "7", 50_000_001, 60_000_000, 4_000, 2.0),
    (TWO, "9", 1_000_001, 130_000_000, 60_000, 0.0),
]
BINS = bins(500)
CBS = "ID chrom loc.start loc.end num.mark seg.mean"
LAYOUTS = {
    "cbs.seg": CBS,
    "gistic.txt": "Sample Chromosome Start Position|End Position|Num markers|Seg.CN",
    "gdc.txt": "GDC_Aliquot Chromosome Start End Num_Probes Segment_Mean",
    "data_cna_hg38.seg": CBS,
    "whitelisted.seg": "Sample Chromosome Start End Num_Probes Segment_Mean",
    "gatk.tsv": "SAMPLE CONTIG START END NUM_POINTS_COPY_RATIO MEAN_LOG2_COPY_RATIO",
    "icgc.csv": "sample_id chr chromosome_start chromosome_end probe_count log2_ratio",
}


def frame(header: str = CBS, rows: list = ROWS) -> pd.DataFrame:
    names = header.replace("Start Position|", "Start_Position ").replace("|", " ").split(" ")
    if "Position|" in header:
        names = ["Sample", "Chromosome", "Start Position", "End Position", "Num markers", "Seg.CN"]
    return pd.DataFrame(rows, columns=names)


def source(name: str = "cbs.seg", **more: object) -> SegmentsSource:
    given = {"build": "hg38", "bins": 500, **more}
    return SegmentsSource.model_validate({"kind": "segments", "segments": name, **given})


def cohort_of(folder: Path, table: pd.DataFrame, name: str = "cbs.seg", **more: object):
    if name.endswith(".parquet"):
        table.to_parquet(folder / name)
    else:
        table.to_csv(folder / name, sep="," if ".csv" in name else "\t", index=False)
    return load(source(name, **more), folder)[0]


def test_pixels_have_the_mean_over_their_covered_bases(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, frame())
    var, values = cohort.genes, cohort.layer("copy_number")
    assert cohort.channels == ["copy_number"]
    assert cohort.samples["patient"].tolist() == ["TCGA-05-4244", "TCGA-44-2655"]
    row = 0
    on_1, on_9 = (var["chromosome"].astype(str) == name for name in ("1", "9"))
    assert values[row, (on_1 & (var["end"] < 121_000_000)).to_numpy()].tolist() == [1.0] * 19
    middle = on_1 & (var["start"] > 121_000_000) & (var["end"] < 145_000_000)
    assert np.isnan(values[row, middle.to_numpy()]).all()
    assert middle.sum() == 3
    assert set(values[row, on_9.to_numpy()][~np.isnan(values[row, on_9.to_numpy()])]) == {-1.0}
    assert np.isnan(values[row, (var["chromosome"].astype(str) == "2").to_numpy()]).all()


def test_a_bin_that_two_segments_share_has_their_weighted_mean(tmp_path: Path) -> None:
    pixel = bins(500).iloc[10]
    quarter = pixel["start"] + (pixel["end"] - pixel["start"] + 1) // 4
    rows = [
        (ONE, pixel["chromosome"], pixel["start"], quarter - 1, 10, 1.0),
        (ONE, pixel["chromosome"], quarter, pixel["end"], 30, -1.0),
    ]
    cohort = cohort_of(tmp_path, frame(rows=rows))
    assert cohort.layer("copy_number")[0, 10] == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize("name", [*LAYOUTS, "cbs.seg.gz", "cbs.parquet"])
def test_every_layout_gives_the_same(tmp_path: Path, name: str) -> None:
    expected = cohort_of(tmp_path, frame())
    table = frame(LAYOUTS.get(name, CBS))
    for column in table.columns[:2]:
        if name in ("gdc.txt", "cbs.parquet"):
            table[column] = table[column].replace({"1": "chr1", "9": "chr9", "X": "chrX"})
    if name == "gistic.txt":
        table["Chromosome"] = table["Chromosome"].replace("X", "23")
    made = cohort_of(tmp_path, table, name)
    assert made.samples.index.tolist() == expected.samples.index.tolist()
    assert np.array_equal(made.layer("copy_number"), expected.layer("copy_number"), equal_nan=True)


def test_quoted_text_of_r_and_a_track_line_of_igv_are_read(tmp_path: Path) -> None:
    expected = cohort_of(tmp_path, frame()).layer("copy_number")
    text = frame().to_csv(sep=" ", index=False, quoting=2)
    (tmp_path / "r.seg").write_text("#track viewLimits=-3:3\n" + text)
    made = load(source("r.seg"), tmp_path)[0].layer("copy_number")
    assert np.array_equal(made, expected, equal_nan=True)


def test_units_agree(tmp_path: Path) -> None:
    expected = cohort_of(tmp_path, frame()).layer("copy_number")
    ratio = frame().rename(columns={"seg.mean": "copy.ratio"})
    ratio["copy.ratio"] = 2.0 ** ratio["copy.ratio"]
    copies = ratio.rename(columns={"copy.ratio": "Copy_Number"})
    copies["Copy_Number"] *= 2
    alleles = copies.drop(columns="Copy_Number").assign(
        nMajor=copies["Copy_Number"] - 1, nMinor=1.0
    )
    declared = ratio.rename(columns={"copy.ratio": "seg.mean"})
    for table, more in (
        (ratio, {}), (copies, {}), (alleles, {}), (declared, {"scale": "ratio"}),
        (copies.assign(Major_Copy_Number=1, Minor_Copy_Number=1), {}),
    ):  # fmt: skip
        made = cohort_of(tmp_path, table, **more).layer("copy_number")
        np.testing.assert_allclose(made, expected, atol=1e-6)


def test_no_copies_are_a_quarter_and_very_many_256(tmp_path: Path) -> None:
    table = frame().rename(columns={"seg.mean": "cn"})
    table["cn"] = [0, 1_000, 2, 2, 2, 2]
    cohort = cohort_of(tmp_path, table)
    values = cohort.layer("copy_number")
    assert (np.nanmin(values), np.nanmax(values)) == (-3.0, 7.0)
    assert "2 values beyond" in " ".join(cohort.data.uns["notes"])


@drawn(st.data())
def test_splitting_and_shuffling_segments_change_nothing(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(ROWS))))
    cut = data.draw(st.integers(1_000_001, 120_999_999))
    sample, chromosome, _, end, markers, value = ROWS[0]
    split = [
        (sample, chromosome, 1_000_001, cut, markers, value),
        (sample, chromosome, cut + 1, end, markers, value),
        *ROWS[1:],
    ]

    def values(rows: list) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            frame(rows=rows).to_csv(Path(folder, "a.seg"), sep="\t", index=False)
            found = read_segments([Path(folder, "a.seg")], source("a.seg"), [])
        return pixel_values(found, BINS)[0]

    assert np.array_equal(values([ROWS[i] for i in order]), values(ROWS), equal_nan=True)
    np.testing.assert_allclose(values(split), values(ROWS), atol=1e-6)


def test_several_files_are_one_cohort_and_their_order_is_no_matter(tmp_path: Path) -> None:
    expected = cohort_of(tmp_path, frame())
    (tmp_path / "aliquots").mkdir()
    for name, rows in frame().groupby("ID"):
        rows.to_csv(tmp_path / f"aliquots/{name}.seg", sep="\t", index=False)
    files = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "aliquots").iterdir())
    for given in ("aliquots/*.seg", files[::-1]):
        made = load(source(given), tmp_path)[0]
        assert np.array_equal(
            made.layer("copy_number"), expected.layer("copy_number"), equal_nan=True
        )


def test_files_of_one_sample_each_may_leave_its_name_to_their_own(tmp_path: Path) -> None:
    expected = cohort_of(tmp_path, frame())
    for name, rows in frame().groupby("ID"):
        rows.drop(columns="ID").to_csv(tmp_path / f"{name}.cns", sep="\t", index=False)
    made = load(source("*.cns"), tmp_path)[0]
    assert made.samples.index.tolist() == expected.samples.index.tolist()
    assert np.array_equal(made.layer("copy_number"), expected.layer("copy_number"), equal_nan=True)
    assert "2 files name no sample" in " ".join(made.data.uns["notes"])
    with pytest.raises(SourceError, match="no column of the sample"):
        load(source(f"{ONE}.cns"), tmp_path)


def test_hg19_is_recognised_and_converted(tmp_path: Path) -> None:
    rows = [*ROWS, (TWO, "10", 1, 135_500_000, 9, 0.5)]  # hg38's ends at 133,797,422
    made = cohort_of(tmp_path, frame(rows=rows), build=None)
    declared = cohort_of(tmp_path, frame(rows=rows), build="hg19")
    named = cohort_of(tmp_path, frame(rows=rows), "data_cna_hg19.seg", build=None)
    for cohort in (declared, named):
        assert np.array_equal(
            made.layer("copy_number"), cohort.layer("copy_number"), equal_nan=True
        )
    assert "taken as hg19 by the ends of chromosomes" in " ".join(made.data.uns["notes"])


@pytest.mark.parametrize(
    ("chromosome", "hg19", "hg38"),
    [  # common variants: dbSNP's positions of both builds
        ("1", 752_566, 817_186),  # rs3094315
        ("7", 55_249_063, 55_181_370),  # rs1050171, in EGFR
        ("17", 7_579_472, 7_676_154),  # rs1042522, in TP53
    ],
)
def test_positions_of_hg19_on_hg38(chromosome: str, hg19: int, hg38: int) -> None:
    assert abs(int(to_hg38(chromosome, np.array([hg19]))[0]) - hg38) <= 50


def test_conversion_keeps_the_order_and_the_ends() -> None:
    for name in CHROMOSOMES:
        size = lengths("hg19")[name]
        moved = to_hg38(name, np.linspace(1, size, 1_000).astype(int))
        assert (np.diff(moved) >= 0).all()
        assert (moved[0], moved[-1]) == (1, lengths("hg38")[name])


def test_bins_tile_the_genome_and_know_what_is_in_them() -> None:
    made = bins(4_096)
    assert len(made) == 4_096
    for name, rows in made.groupby("chromosome", sort=False):
        assert rows["start"].iloc[0] == 1
        assert rows["end"].iloc[-1] == lengths()[name]
        assert (rows["start"].to_numpy()[1:] == rows["end"].to_numpy()[:-1] + 1).all()
    sizes = made["end"] - made["start"] + 1
    assert sizes.max() < 1.02 * sizes.min()
    egfr = made[made["drivers"].str.split(";").map(lambda names: "EGFR" in names)]
    assert egfr["band"].tolist() == ["7p11.2"]
    assert (made["start"][egfr.index] <= 55_181_370).all()
    assert (made["end"][egfr.index] >= 55_181_370).all()
    assert set(bins(22, CHROMOSOMES[:-1])["chromosome"]) == set(CHROMOSOMES[:-1])


def test_genes_are_pixels(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, frame(), pixels="genes")
    values = pd.DataFrame(cohort.layer("copy_number"), cohort.samples.index, cohort.genes.index)
    assert values.loc[ONE, "CDKN2A"] == -1.0
    assert values.loc[TWO, "EGFR"] == 2.0
    assert np.isnan(values.loc[TWO, "KRAS"])
    assert cohort.genes.index.equals(pd.Index(genes().index, name="gene"))


def test_tiny_segments_and_those_of_normal_tissue_are_left_out(tmp_path: Path) -> None:
    normal = ONE.replace("-01A-", "-10A-")
    rows = [
        *ROWS,
        (ONE, "2", 1_000_001, 1_100_000, 4, -3.0),
        (ONE, "3", 10_000_001, 10_100_000, 60, -0.9),
        (normal, "3", 10_010_001, 10_105_000, 60, -0.8),
        (ONE, "4", 10_000_001, 10_100_000, 60, -0.9),
        (normal, "4", 10_010_001, 10_105_000, 60, 0.8),
    ]
    cohort = cohort_of(tmp_path, frame(rows=rows))
    lost = pd.DataFrame(
        np.isfinite(cohort.layer("copy_number")), cohort.samples.index, cohort.genes["chromosome"]
    )
    assert lost.T.groupby(level=0).any().T.loc[ONE, ["2", "3", "4"]].tolist() == [
        False, False, True,
    ]  # fmt: skip
    notes = " ".join(cohort.data.uns["notes"])
    assert "1 segments of less than 5 markers left out" in notes
    assert "1 segments of tumours left out" in notes


def test_facts_of_samples(tmp_path: Path) -> None:
    rows = [
        (ONE, "1", 1, 100_000_000, 10, 0.4),
        (ONE, "1", 50_000_001, 150_000_000, 10, 0.5),
        (ONE, "Y", 1, 1_000_000, 10, 0.4),
    ]
    obs = cohort_of(tmp_path, frame(rows=rows)).samples.iloc[0]
    assert obs["segments"] == 2
    assert obs["segments_covered"] == pytest.approx(150e6 / sum(lengths().values()))
    assert obs["segments_overlap"] == pytest.approx(1 / 3)
    assert obs["segments_baseline"] in (0.4, 0.5)


NO_RATIO = [(ONE, str(1 + i % 22), 1_000 * i + 1, 1_000 * i + 900, 9, 2.0) for i in range(30)]


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"chrom": "banana"}, {}, r"line 2 \(sample TCGA-05.*'banana' is no chromosome"),
        ({"loc.end": 5}, {}, "line 2 .*starts after its end"),
        ({"loc.end": ""}, {}, "line 2 .*start or end is missing"),
        ({"loc.end": 249_200_000}, {}, "line 2 .*ends at 249200000, beyond chromosome 1 of hg38"),
        ({"seg.mean": "high"}, {}, r"line 2 \(TCGA.*column 'seg.mean' holds 'high'"),
        ({"ID": ""}, {}, "line 2: it names no sample"),
        ({"loc.start": -5}, {}, "line 2 .*its start is negative"),
        ({}, {"build": None}, "hg19 or hg38 cannot be told.*Set `build: hg19`"),
        ({"seg.mean": 55.0}, {}, "cannot be `log2`: one is 55"),
        ({}, {"scale": "copies"}, "cannot be `copies`: 2 are negative"),
        ({}, {"value_column": "nothing"}, "no column 'nothing', which `value_column`"),
        ({}, {"value_column": "num.mark"}, "does not tell its scale. Set `scale`"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, change: dict, more: dict, message: str
) -> None:
    table = frame().astype(object)
    for column, value in change.items():
        table.loc[0, column] = value
    with pytest.raises(SourceError, match=message):
        cohort_of(tmp_path, table, **more)


def test_a_place_counts_blank_lines_and_comments(tmp_path: Path) -> None:
    lines = frame().to_csv(sep="\t", index=False).splitlines()
    lines = ["# made by hand", "", lines[0], "", *lines[1:], lines[1].replace("\t1\t", "\tone\t")]
    (tmp_path / "cbs.seg").write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"line 11 .*'one' is no chromosome"):
        load(source(), tmp_path)


def test_segments_of_no_chromosome_that_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no segment with a value is on chromosomes 1 to 22"):
        cohort_of(tmp_path, frame(rows=[(ONE, "Y", 1, 1_000_000, 10, 0.4)]))


def test_files_that_do_not_say_what_they_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be `log2`: none is negative and their median"):
        cohort_of(tmp_path, frame(rows=NO_RATIO))
    both = frame().assign(Copy_Number=2)
    with pytest.raises(SourceError, match=r"several scales: seg\.mean, Copy_Number\. Set `scale`"):
        cohort_of(tmp_path, both)
    with pytest.raises(SourceError, match="no column of the sample"):
        cohort_of(tmp_path, frame().rename(columns={"ID": "who"}))
    frame().to_csv(tmp_path / "bare.seg", sep="\t", index=False, header=False)
    with pytest.raises(SourceError, match="Its first row is no header"):
        load(source("bare.seg"), tmp_path)
    for name in ("cbs.seg", "again.seg"):
        frame().to_csv(tmp_path / name, sep="\t", index=False)
    with pytest.raises(SourceError, match=r"has segments in .*cbs\.seg and in .*again\.seg"):
        load(source(["cbs.seg", "again.seg"]), tmp_path)
    with pytest.raises(SourceError, match="no file that is called like"):
        load(source("*.nothing"), tmp_path)
    (tmp_path / "cut.seg.gz").write_bytes(gzip.compress(frame().to_csv(sep="\t").encode())[:-9])
    with pytest.raises(SourceError, match=r"cut short|damaged"):
        load(source("cut.seg.gz"), tmp_path)


N = 60


def study(folder: Path) -> None:
    """Sixty tumours of hg19; of those with TP53 mutated most have lost 17p."""
    rng = np.random.default_rng(1)
    rows, variants, sheet = [], [], []
    for i in range(N):
        name = f"P{i:02d}-T"
        mutated = i % 2 == 0
        sheet.append((name, f"P{i:02d}", "01", "LUAD" if i % 3 else "LUSC"))
        for chromosome in CHROMOSOMES:
            size = lengths("hg19")[chromosome]
            cuts = np.sort(rng.integers(1, size, 3))
            ends = [0, *cuts, size]
            for start, end in pairwise(ends):
                value = rng.normal(0, 0.3)
                rows.append((name, f"chr{chromosome}", start + 1, end, 500, round(value, 4)))
        if mutated:
            rows.append((name, "17", 1, 20_000_000, 900, -1.0))
            variants.append((name, "TP53", "Missense_Mutation"))
        variants.append((name, "KRAS", "Missense_Mutation" if i % 4 else "Silent"))
    frame(rows=rows).to_csv(folder / "tumours_hg19.seg", sep="\t", index=False)
    columns = ["Tumor_Sample_Barcode", "Hugo_Symbol", "Variant_Classification"]
    pd.DataFrame(variants, columns=columns).to_csv(folder / "a.maf", sep="\t", index=False)
    columns = ["sample", "patient", "sample_type", "project"]
    pd.DataFrame(sheet, columns=columns).to_csv(folder / "samples.csv", index=False)


def entry(raw: dict, source: dict, **more: object) -> dict:
    made = {
        "source": {"kind": "segments", "segments": "tumours_hg19.seg", "samples": "samples.csv"}
        | source,
        "inputs": "inputs", "channels": ["copy_number"], "image": [64, 64],
        "label": "mutation:TP53",
    }  # fmt: skip
    return raw | {"cohorts": {"tumours": made | more}}


@pytest.mark.parametrize(
    ("given", "more", "classes"),
    [
        ({"mutations": "a.maf"}, {}, ["wild-type", "mutated"]),
        ({}, {"label": "column:project", "positive": "LUSC"}, ["LUAD", "LUSC"]),
        (
            {"mutations": "a.maf", "pixels": "genes"},
            {"channels": ["copy_number", "mutation"]},
            ["wild-type", "mutated"],
        ),
    ],
)
def test_from_files_to_images(
    tmp_path: Path, raw_params: dict, given: dict, more: dict, classes: list[str]
) -> None:
    (tmp_path / "inputs").mkdir()
    study(tmp_path / "inputs")
    params = parse_params(entry(raw_params, given, **more))
    paths = Paths(tmp_path, "tumours")
    ingest.run(paths, params)
    cohort = read_cohort(paths.data("cohort.h5ad"))
    assert cohort.classes == classes
    assert len(cohort.samples) == N
    before = paths.data("cohort.h5ad").read_bytes()
    ingest.run(paths, params)
    assert paths.data("cohort.h5ad").read_bytes() == before
    validate.run(paths, params)
    preprocess.run(paths, params)
    images = np.load(paths.data("images.npy"))
    assert images.shape == (N, 64, 64, len(params.cohort("tumours").channels))
    assert np.isfinite(images).all()
    if "pixels" not in given:
        stored = pd.read_parquet(paths.model("preprocessor.parquet"))
        order = stored["chromosome"].map({name: i for i, name in enumerate(CHROMOSOMES)})
        assert len(stored) == 4_096
        assert stored.loc[stored["drivers"] == "EGFR", "band"].tolist() == ["7p11.2"]
        assert order.is_monotonic_increasing
        tp53 = (cohort.genes["drivers"].str.contains("TP53;|TP53$")).to_numpy()
        if classes[0] == "wild-type":
            values = cohort.layer("copy_number")[:, tp53]
            assert values[cohort.y == 1].mean() < values[cohort.y == 0].mean() - 0.3
    else:
        at = cohort.genes.index.get_loc("TP53")
        assert np.isnan(cohort.layer("mutation")[:, at]).all()


def projects(cohort: Cohort) -> list[str]:
    return label_cohort(cohort, LABELLED).samples["label"].tolist()


LABELLED = LabelledSource.model_validate(
    {"source": source().model_dump(exclude_none=True), "label": "column:project",
     "classes": ["LUAD", "LUSC"]}
)  # fmt: skip


def test_the_project_is_told_by_a_column_a_file_or_a_column_of_the_sheet(tmp_path: Path) -> None:
    wanted = ["LUSC", "LUAD"]
    told = {ONE: "LUSC", TWO: "LUAD"}
    table = frame()
    assert projects(cohort_of(tmp_path, table.assign(project=table["ID"].map(told)))) == wanted
    for name, rows in table.groupby("ID"):
        rows.to_csv(tmp_path / f"{told[name]}.snp_6.seg.txt", sep="\t", index=False)
        (tmp_path / f"TCGA-{told[name]}").mkdir()
        rows.to_csv(tmp_path / f"TCGA-{told[name]}" / "all.seg", sep="\t", index=False)
    for given in ("*.seg.txt", "TCGA-*/all.seg"):
        assert projects(load(source(given), tmp_path)[0]) == wanted
    sheet = pd.DataFrame(
        {"sample": [ONE[:15], TWO[:15]], "stage": ["I", ""], "cancer type abbreviation": wanted}
    )
    sheet.to_csv(tmp_path / "cdr.tsv", sep="\t", index=False)
    assert projects(cohort_of(tmp_path, table, samples="cdr.tsv")) == wanted


def test_what_lacks_the_project_is_told(tmp_path: Path, raw_params: dict) -> None:
    with pytest.raises(LabelError, match="TCGA barcodes do not tell the project: a sample sheet"):
        projects(cohort_of(tmp_path, frame()))
    with pytest.raises(
        ParamsError, match=r"label 'project' is not .*\(did you mean column:project"
    ):
        parse_params(entry(raw_params, {}, label="project"))


def test_normal_tissue_without_a_row_in_the_sheet_is_no_loss(tmp_path: Path) -> None:
    blood = [(ONE.replace("-01A-", "-10A-"), *row[1:]) for row in ROWS[:4]]
    (tmp_path / "s.csv").write_text(f"sample,stage\n{ONE[:15]},I\n{TWO[:15]},II\n")
    cohort = cohort_of(tmp_path, frame(rows=[*ROWS, *blood]), samples="s.csv")
    assert cohort.losses == {"segments": 0.0}


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ({}, {"channels": ["expression"]}, "segments have no expression"),
        ({}, {"channels": ["copy_number", "mutation"]}, "bins have no mutations"),
        ({"bins": 5_000}, {}, "5000 bins do not fit in an image of 64 x 64"),
    ],
)
def test_entries_that_cannot_be_are_refused(
    raw_params: dict, given: dict, more: dict, message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_params(entry(raw_params, given, **more))
