"""Copy-number regions: planted ones are found once, where they are, and chance is not."""

import re

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from oncopixel.cohort import genome
from oncopixel.core.params import BiomarkerParams, parse_params
from oncopixel.images.preprocessor import Preprocessor, to_images
from oncopixel.markers.attribution import explain
from oncopixel.markers.regions import (
    COLUMNS,
    PERMUTATIONS,
    explain_regions,
    find_regions,
    to_bed,
    to_seg,
)
from oncopixel.reading.drivers import name_genes
from oncopixel.reporting import figures

BINS = 620
SIDE = 25
SCALE = 0.25


@pytest.fixture(scope="module")
def bins() -> pd.DataFrame:
    made = genome.bins(BINS).reset_index(names="gene")
    at = np.arange(BINS)
    return made.assign(
        row=at // SIDE, col=at % SIDE, copy_number_center=0.0, copy_number_scale=SCALE
    )


@pytest.fixture
def settings(raw_params: dict) -> BiomarkerParams:
    return parse_params(raw_params).biomarkers


@pytest.fixture
def make(raw_params: dict):  # type: ignore[no-untyped-def]
    def preprocessor(genes: pd.DataFrame, classes: list[str]) -> Preprocessor:
        settings = parse_params(raw_params).preprocess
        return Preprocessor(genes, ["copy_number"], (SIDE, SIDE), "log2", classes, settings)

    return preprocessor


def noise(n: int, seed: int = 0) -> np.ndarray:
    """`(samples, bins)` log2: chromosomes of a third of the samples gained or lost by chance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=0.03, size=(n, BINS))
    for block in np.array_split(np.arange(BINS), 23):
        x[:, block] += rng.choice([0, 0.5, -0.5], p=[0.7, 0.15, 0.15], size=n)[:, None]
    return x


def at(bins: pd.DataFrame, arm: str) -> np.ndarray:
    return np.flatnonzero([band.startswith(arm) for band in bins["band"]])


def planted(bins: pd.DataFrame, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Class 0 gains 5p; class 1 amplifies ERBB2, on a 17 that everyone may gain; 2 loses 3p."""
    y, rng = np.repeat(np.arange(3), n), np.random.default_rng(1)
    x = noise(3 * n)
    x[np.ix_((y == 0) & (rng.random(3 * n) < 0.6), at(bins, "5p"))] += 0.6
    x[np.ix_(rng.random(3 * n) < 0.3, np.flatnonzero(bins["chromosome"] == "17"))] += 0.5
    erbb2 = bins["drivers"].str.split(";").map(lambda names: "ERBB2" in names).to_numpy()
    assert erbb2.sum() == 1
    x[np.ix_((y == 1) & (rng.random(3 * n) < 0.3), np.flatnonzero(erbb2))] += 3
    x[np.ix_((y == 2) & (rng.random(3 * n) < 0.5), at(bins, "3p"))] -= 0.6
    return np.clip(x / SCALE, -6, 6).astype(np.float32)[:, :, None], y


def test_planted_regions_are_found_once_where_they_are(bins, make, settings) -> None:
    x, y = planted(bins)
    pre, patients = make(bins, ["A", "B", "C"]), np.arange(len(y)).astype(str)
    regions, frequency = find_regions(x, y, patients, patients, pre, settings)
    named = name_genes(regions).set_index("class")
    assert list(regions) == [*COLUMNS]
    assert named["kind"].to_dict() == {"A": "gain", "B": "gain", "C": "loss"}
    assert named["extent"].to_dict() == {"A": "broad", "B": "focal", "C": "broad"}
    assert [re.split(r"(?<=[pq])", band)[0] for band in named["band"]] == ["5p", "17q", "3p"]
    assert "ERBB2" in named.loc["B", "drivers"].split(";")
    assert named.loc["B", "size"] < 12e6
    assert named.loc["B", "start"] <= named.loc["B", "peak"] <= named.loc["B", "end"]
    assert "VHL" in named.loc["C", "drivers"].split(";")
    assert (named["n_genes"] >= named["genes"].str.split(";").map(len)).all()
    assert (named["p_value"] == 1 / (PERMUTATIONS + 1)).all()
    gained = (x[:, :, 0] * SCALE > 0.2).astype(float)
    peak = np.flatnonzero(bins["start"] <= named.loc["A", "peak"])
    peak = peak[bins["chromosome"][peak] == "5"][-1]
    assert named.loc["A", "frequency"] == pytest.approx(gained[y == 0, peak].mean())
    assert named.loc["A", "frequency_others"] == pytest.approx(gained[y != 0, peak].mean())
    assert frequency.shape == (2, 4, BINS)
    assert frequency[0, -1, peak] == pytest.approx(gained[:, peak].mean())
    again, _ = find_regions(x, y, patients, patients, pre, settings)
    pd.testing.assert_frame_equal(regions, again, check_exact=True)


def test_labels_that_say_nothing_give_regions_as_seldom_as_promised(bins, make, settings) -> None:
    pre, patients = make(bins, ["A", "B"]), np.arange(60).astype(str)
    found = 0
    for seed in range(20):
        x = np.clip(noise(60, seed) / SCALE, -6, 6).astype(np.float32)[:, :, None]
        y = np.random.default_rng(seed).permutation(np.arange(60) % 2)
        found += len(find_regions(x, y, patients, patients, pre, settings)[0]) > 0
    assert found <= 4  # more has a probability of 0.003


def test_the_samples_of_a_patient_are_one_observation(bins, make, settings) -> None:
    own = noise(24, 3)
    own[:3, at(bins, "5p")] = 0.6
    own[3:, at(bins, "5p")] = 0
    x = np.repeat(np.clip(own / SCALE, -6, 6), 8, axis=0).astype(np.float32)[:, :, None]
    y, pre = np.repeat(np.arange(24) < 12, 8).astype(int), make(bins, ["A", "B"])
    patients, samples = np.repeat(np.arange(24), 8).astype(str), np.arange(192).astype(str)
    assert find_regions(x, y, patients, patients, pre, settings)[0].empty
    assert len(find_regions(x, y, samples, samples, pre, settings)[0])


def test_genes_as_pixels_have_their_ends_and_those_of_no_known_place_no_region(
    make, settings
) -> None:
    table = genome.genes(("7", "17")).iloc[: SIDE**2 - 1].reset_index(names="gene")
    lost = pd.DataFrame({"gene": ["LOST"], "ensembl_id": "", "chromosome": "", "start": -1})
    genes = pd.concat([table.drop(columns="end"), lost], ignore_index=True)
    genes = genes.assign(
        row=np.arange(len(genes)) // SIDE, col=np.arange(len(genes)) % SIDE,
        copy_number_center=0.0, copy_number_scale=1.0,
    )  # fmt: skip
    y, patients = np.arange(80) % 2, np.arange(80).astype(str)
    x = np.zeros((80, len(genes), 1), np.float32)
    egfr = int(np.flatnonzero(genes["gene"] == "EGFR")[0])
    x[y == 1, egfr], x[y == 1, -1] = 2, 2
    regions, _ = find_regions(x, y, patients, patients, make(genes, ["a", "b"]), settings)
    (row,) = regions.to_dict("records")
    assert (row["start"], row["end"]) == tuple(table.loc[egfr, ["start", "end"]])
    assert (row["chromosome"], row["band"], row["frequency"]) == ("7", "7p11.2", 1)
    assert name_genes(regions)["drivers"].tolist() == ["EGFR"]


def test_without_copy_number_there_is_nothing(make, bins, settings) -> None:
    pre = make(bins.rename(columns=lambda name: name.replace("copy_number", "expression")), ["a"])
    pre = Preprocessor(pre.genes, ["expression"], pre.image, "log2", ["a", "b"], pre.params)
    y = np.arange(8) % 2
    patients = y.astype(str)
    regions, frequency = find_regions(
        np.zeros((8, BINS, 1), np.float32), y, patients, patients, pre, settings
    )
    named = name_genes(explain_regions(regions, pre, None, None, np.zeros((8, 1, 1, 1)), y))
    assert named.empty
    assert {*COLUMNS, "attribution", "deletion", "drivers"} <= set(named)
    assert to_bed(named).startswith("#chrom")
    assert to_bed(named).count("\n") == 1
    assert to_seg(frequency, pre.genes, pre.classes).count("\n") == 1
    assert figures.to_svg(figures.regions(named, frequency, pre.genes, pre.classes))


def test_the_profile_for_igv_joins_equal_neighbours() -> None:
    genes = pd.DataFrame(
        {"chromosome": ["2", "1", "1", "1", ""], "start": [7, 30, 10, 50, -1]}
    ).assign(end=lambda of: of["start"] + 5)
    gains = np.array([[0.5, 0.2, 0.2, 0, 1], [0, 0, 0, 0, 1]])
    losses = np.array([[0, 0, 0, 0.25, 0], [0, 0, 0, 0, 0]])
    lines = to_seg(np.stack([gains, losses]), genes, ["A"]).splitlines()
    assert lines[0].split("\t")[-1] == "seg.mean"
    assert lines[1:] == [
        "A\tchr1\t10\t35\t2\t0.2",
        "A\tchr1\t50\t55\t1\t-0.25",
        "A\tchr2\t7\t12\t1\t0.5",
        "all samples\tchr1\t10\t55\t3\t0.0",
        "all samples\tchr2\t7\t12\t1\t0.0",
    ]


@pytest.mark.parametrize(("n_classes", "curved"), [(2, True), (3, False)])
def test_deleting_a_region_takes_what_was_attributed_to_it(
    bins, make, settings, n_classes: int, *, curved: bool
) -> None:
    x, y = planted(bins)
    x, y = x[y < n_classes], y[y < n_classes]
    pre, patients = make(bins, ["A", "B", "C"][:n_classes]), np.arange(len(y)).astype(str)
    regions, _ = find_regions(x, y, patients, patients, pre, settings)
    pixels, keys = to_images(pre, x), keras.utils.to_categorical(y, n_classes)
    keras.utils.set_random_seed(1)
    images = keras.Input(pre.shape)
    inner = layers.Conv2D(4, 3, activation="relu")(images) if curved else images
    logits = layers.Dense(n_classes)(layers.Flatten()(inner))
    model = keras.Model(images, layers.Reshape((1, n_classes))(logits))
    fit = keras.Model(images, logits)
    fit.compile(
        keras.optimizers.Adam(0.003), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    fit.fit(pixels, keys, epochs=8, batch_size=32, verbose=0)
    explained = explain(model, pixels, y, n_classes)
    table = explain_regions(regions, pre, explained, model, pixels, y)
    assert len(table) >= n_classes
    assert (table["attribution"] > 0).all()
    assert table["attribution_share"].between(0, 1).all()
    tolerance = 0.3 if curved else 1e-4
    np.testing.assert_allclose(table["deletion"], table["attribution"], rtol=tolerance)


def test_bed_counts_from_0_without_the_end(bins, make, settings) -> None:
    x, y = planted(bins)
    pre, patients = make(bins, ["of A", "B", "C"]), np.arange(len(y)).astype(str)
    regions, _ = find_regions(x, y, patients, patients, pre, settings)
    lines = [line.split("\t") for line in to_bed(regions).splitlines()[1:]]
    assert all(len(line) == 9 for line in lines)
    first, row = lines[0], regions.iloc[0]
    assert first[:3] == ["chr5", str(row["start"] - 1), str(row["end"])]
    assert first[3] == f"of_A:gain:{row['band']}"
    assert 0 <= int(first[4]) <= 1000


def test_the_figure_has_six_classes_and_names_what_they_have(bins) -> None:
    classes = [f"K{i}" for i in range(8)]
    row = {"kind": "gain", "chromosome": "17", "peak": 39_700_000, "band": "17q12", "bands": "x"}
    table = pd.DataFrame(
        [
            row | {"class": name, "t": 10 - i, "frequency": 0.4, "extent": extent, "drivers": of}
            for i, (name, extent, of) in enumerate(
                [("K7", "focal", "ERBB2;CDK12;NF1"), ("K1", "broad", "NF1"), ("K2", "focal", "")]
            )
        ]
    )
    frequency = np.random.default_rng(0).random((2, 9, BINS))
    figure = figures.regions(table, frequency, bins, classes)
    assert [axes.get_ylabel() for axes in figure.axes] == ["K0", "K1", "K2", "K3", "K4", "K7"]
    names = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert names == [[], ["17q12"], ["17q12"], [], [], ["17q12 ERBB2"]]
    two = figures.regions(table, frequency, bins, classes, shown=["K5", "K2"])
    assert [axes.get_ylabel() for axes in two.axes] == ["K2", "K5"]
    assert figures.to_png(two) == figures.to_png(
        figures.regions(table, frequency, bins, classes, shown=["K5", "K2"])
    )
