"""What a reader of the figures relies on: right numbers, right names, the same bytes every time."""

import subprocess
import sys
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import (
    roc_auc_score,
    roc_curve,
)

from oncopixel.reporting import figures
from oncopixel.reporting.figures.markers import LABELLED, _apart

rng = np.random.default_rng(0)
Y = rng.random(120) < 0.4
P = {
    (part, model): 1 / (1 + np.exp(-(Y * shift + rng.normal(size=120))))
    for part in ("test", "cv")
    for model, shift in (("random_forest", 1.0), ("cnn", 2.0), ("logistic_l1", 1.5))
}


def roc_frame() -> pd.DataFrame:
    rows = []
    for (part, model), p in P.items():
        x, y, _ = roc_curve(Y, p)
        frame = pd.DataFrame({"false_positive_rate": x, "true_positive_rate": y})
        rows.append(frame.assign(model=model, part=part))
    return pd.concat(rows)


def ranking(channels: list[str], classes: list[str]) -> pd.DataFrame:
    n = 40
    return pd.DataFrame(
        {
            "rank": np.arange(1, n + 1),
            "gene": [f"GENE{i}" for i in range(n)],
            "channel": np.resize(channels, n),
            "score": np.linspace(2, 0.1, n),
            "class": np.resize(classes, n),
            "direction": np.resize(["up", "down", "mixed"], n),
            "selection_frequency": np.resize([1.0, 0.4, 0.0], n),
        }
    )


def markers(channels: tuple[str, ...] = ("expression", "copy_number")) -> pd.DataFrame:
    """A ranking of 300 candidates, 20 of them listed; one has no evidence."""
    rng = np.random.default_rng(2)
    n = 300
    table = pd.DataFrame(
        {
            "gene": [f"GENE{i}" for i in range(n)],
            "channel": np.resize(channels, n),
            "effect": rng.normal(size=n),
            "evidence": np.where(np.arange(n) < 20, rng.uniform(0.1, 0.2, n), 0.01),
            "selected": np.arange(n) < 20,
            "discovered_as": np.where(np.arange(n) < 20, "gene", ""),
            "selection_frequency": np.where(np.arange(n) < 20, 0.85, 0.0),
        }
    )
    table.loc[n - 1, "evidence"] = np.nan
    return table


def images(n_classes: int, n_channels: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_classes, 10, 10, n_channels))


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "roc": lambda: figures.roc(roc_frame()),
    "top_genes": lambda: figures.top_genes(ranking(["expression"], ["tumour"])),
    "class_attribution": lambda: figures.class_attribution(images(2, 1), ["cnv"], ["a", "b"]),
    "evidence": lambda: figures.evidence(markers(), "associated"),
}


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("name", DRAWINGS)
def test_same_input_gives_the_same_bytes_whatever_the_readers_settings(name: str) -> None:
    figure = DRAWINGS[name]()
    first = figures.to_png(figure)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert 5_000 < len(first) < 400_000
    assert figures.to_png(figure) == first
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30}):
        assert figures.to_png(DRAWINGS[name]()) == first


def test_regions_of_a_whole_genome_are_a_small_svg_of_stable_bytes() -> None:
    rng = np.random.default_rng(0)
    n = 10_000
    places = {"chromosome": [f"chr{i * 22 // n + 1}" for i in range(n)], "start": np.arange(n)}
    first = {
        "class": "a", "chromosome": "chr7", "kind": "gain", "peak": 3000, "t": 9.0, "band": "7p11",
        "frequency": 0.9, "drivers": "EGFR", "extent": "focal",
    }  # fmt: skip
    drawn = [
        figures.to_svg(
            figures.regions(pd.DataFrame([first]), frequency, pd.DataFrame(places), list("abcdef"))
        )
        for frequency in [rng.random((2, 7, n))] * 2
    ]
    assert drawn[0] == drawn[1]
    assert b"<svg" in drawn[0]
    assert b"<text" not in drawn[0]
    assert len(drawn[0]) < 1_500_000


def test_pyplot_is_never_loaded() -> None:
    program = "import sys, oncopixel.reporting.figures; print('matplotlib.pyplot' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert loaded.stdout.strip() == "False", loaded.stderr


def test_roc_has_a_panel_per_part_and_the_cnn_first_with_true_areas() -> None:
    left, right = figures.roc(roc_frame()).axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == [
        "Cross-validation", "Held-out patients",
    ]  # fmt: skip
    names = {"cnn": "CNN", "logistic_l1": "logistic, L1", "random_forest": "random forest"}
    for axes, part in ((left, "cv"), (right, "test")):
        assert legend(axes) == [
            f"{label}  {roc_auc_score(Y, P[part, model]):.3f}" for model, label in names.items()
        ]


def test_the_cnn_is_drawn_above_its_baselines() -> None:
    lines = {
        line.get_label().split("  ")[0]: line for line in figures.roc(roc_frame()).axes[0].lines
    }
    cnn, forest = lines["CNN"], lines["random forest"]
    assert cnn.get_zorder() > forest.get_zorder()
    assert cnn.get_linewidth() > forest.get_linewidth()


def test_several_classes_are_drawn_for_the_cnn_only() -> None:
    frame = roc_frame()
    several = pd.concat([frame.assign(**{"class": name}) for name in ("Basal", "LumA", "LumB")])
    axes = figures.roc(several).axes[0]
    assert [text.split("  ")[0] for text in legend(axes)] == ["Basal", "LumA", "LumB"]


def test_one_part_gives_one_panel() -> None:
    frame = roc_frame()
    assert len(figures.roc(frame[frame["part"] == "test"]).axes) == 1


def test_a_note_stands_below_a_figure() -> None:
    figure = figures.roc(roc_frame())
    noted = figures.to_png(figure, "Not findings.")
    assert figure.get_supxlabel() == "Not findings."
    assert noted != figures.to_png(figures.roc(roc_frame()))


@pytest.mark.parametrize("classes", [["$_$", "$x$ and $"], ["Infiltrating ductal carcinoma"] * 2])
def test_any_class_name_can_be_drawn(classes: list[str]) -> None:
    assert figures.to_png(figures.class_attribution(images(2, 1), ["expression"], classes))


def test_of_a_long_class_name_both_ends_are_shown() -> None:
    name = "Infiltrating ductal carcinoma, grade 3"
    drawn = figures.class_attribution(images(2, 1), ["expression"], ["ok", name])
    assert drawn.axes[1].get_title(loc="left") == "Infiltrating d…, grade 3"


def test_top_genes_are_listed_from_the_top_with_their_direction() -> None:
    figure = figures.top_genes(ranking(["expression"], ["tumour"]), n=10)
    left = figure.axes[0]
    assert [tick.get_text() for tick in left.get_yticklabels()] == [f"GENE{i}" for i in range(10)]
    assert left.yaxis_inverted()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "up in tumour", "down in tumour", "no clear shift",
    ]  # fmt: skip
    assert not any(note.get_text() for note in left.texts)


def test_top_genes_name_channel_and_class_where_there_are_several() -> None:
    figure = figures.top_genes(ranking(["expression", "copy_number"], ["a", "b", "c"]), n=3)
    assert [note.get_text() for note in figure.axes[0].texts] == [
        "expression, a", "copy number, b", "expression, c",
    ]  # fmt: skip
    assert figure.legends[0].get_texts()[0].get_text() == "up in the named class"


@pytest.mark.parametrize(("n_classes", "n_channels"), [(2, 1), (7, 1), (3, 3), (7, 3)])
def test_every_class_and_channel_has_its_image_on_one_scale_per_channel(
    n_classes: int, n_channels: int
) -> None:
    means = images(n_classes, n_channels)
    channels = ["expression", "copy_number", "mutation"][:n_channels]
    classes = [f"class{k}" for k in range(n_classes)]
    figure = figures.class_attribution(means, channels, classes)
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(shown) == n_classes * n_channels
    assert len({image.get_clim() for image in shown}) == n_channels
    assert all(low == -high for low, high in (image.get_clim() for image in shown))
    assert {c.replace("_", " ") for c in classes + channels} <= {
        text for axes in figure.axes for text in (axes.get_title(loc="left"), axes.get_ylabel())
    }
    assert figures.to_png(figure)


def test_images_of_a_silent_channel_can_be_drawn() -> None:
    figure = figures.class_attribution(np.zeros((2, 4, 4, 1)), ["mutation"], ["a", "b"])
    assert figures.to_png(figure)


def test_sparse_attributions_are_scaled_by_what_is_not_zero() -> None:
    means = np.zeros((2, 50, 50, 1))
    means[1, 3, 4, 0] = -0.25
    shown = [
        axes.images[0] for axes in figures.class_attribution(means, ["x"], ["a", "b"]).axes[:2]
    ]
    assert {image.get_clim() for image in shown} == {(-0.25, 0.25)}


def names(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_evidence_shows_every_candidate_and_names_the_first_of_the_list() -> None:
    table = markers()
    figure = figures.evidence(table, "beyond")
    axes = figure.axes[0]
    rest, *listed = [len(points.get_offsets()) for points in axes.collections]
    assert (rest, listed) == (279, [10, 10])
    assert sorted(names(axes)) == sorted(table["gene"].head(LABELLED))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "others", "listed, expression (10)", "listed, copy number (10)",
    ]  # fmt: skip


@pytest.mark.parametrize("heights", [[0.1] * 12, [0.0, 0.5, 1.0], [0.9] * 6 + [1.0] * 6])
def test_names_beside_a_panel_keep_their_distance_and_stay_inside(heights: list[float]) -> None:
    places = _apart(np.array(heights), 0.065)
    assert (np.diff(places) >= 0.065 - 1e-9).all()
    assert places.min() >= 0
    assert places.max() <= 1


def test_an_empty_list_has_its_evidence_figure() -> None:
    axes = figures.evidence(markers().assign(selected=False), "associated").axes[0]
    assert names(axes) == []
    assert len(axes.collections[0].get_offsets()) == 299
