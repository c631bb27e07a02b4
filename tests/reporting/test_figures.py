"""What a reader of the figures relies on: right numbers, right names, the same bytes every time."""

import subprocess
import sys
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from oncopixel.reporting import figures
from oncopixel.reporting.figures.markers import LABELLED, _apart
from oncopixel.reporting.figures.style import BLUE, ORANGE

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


def pr_frame() -> pd.DataFrame:
    rows = []
    for (part, model), p in P.items():
        precision, recall, _ = precision_recall_curve(Y, p)
        frame = pd.DataFrame({"recall": recall, "precision": precision})
        rows.append(frame.assign(model=model, part=part))
    return pd.concat(rows)


def calibration_frame() -> pd.DataFrame:
    middles = np.arange(0.05, 1, 0.1)
    rows = []
    for part, model in P:
        frame = pd.DataFrame({"bin": range(10), "predicted": middles, "observed": middles**2})
        rows.append(frame.assign(model=model, part=part, n=[30, 20, 10, 0, 5, 5, 10, 10, 10, 20]))
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


LEVELS = pd.DataFrame(
    {
        "q": [0.05, 0.1, 0.2],
        "fdp": [0, 0.08, 0.25],
        "power": [0.2, 0.4, 0.5],
        "selected": [3, 9, 14],
    }
)
REPLICATION = pd.DataFrame(
    {
        "gene": ["A", "B", "C"],
        "effect_internal": [2.0, -1.0, 1.5],
        "effect_external": [1.5, -0.1, -0.5],
        "same_sign": [True, True, False],
        "replicated": [True, False, False],
    }
)


def images(n_classes: int, n_channels: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_classes, 10, 10, n_channels))


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "roc": lambda: figures.roc(roc_frame()),
    "pr": lambda: figures.pr(pr_frame()),
    "calibration": lambda: figures.calibration(calibration_frame()),
    "confusion": lambda: figures.confusion(np.array([[50, 3], [0, 7]]), ["normal", "tumour"]),
    "top_genes": lambda: figures.top_genes(ranking(["expression"], ["tumour"])),
    "class_images": lambda: figures.class_images(images(2, 1), ["expression"], ["a", "b"]),
    "class_attribution": lambda: figures.class_attribution(images(2, 1), ["cnv"], ["a", "b"]),
    "evidence": lambda: figures.evidence(markers(), "associated"),
    "selection_frequency": lambda: figures.selection_frequency(markers()),
    "fdp": lambda: figures.fdp(LEVELS),
    "external": lambda: figures.external(REPLICATION),
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


def test_precision_recall_gives_the_average_precision() -> None:
    left = figures.pr(pr_frame()).axes[0]
    assert legend(left)[0] == f"CNN  {average_precision_score(Y, P['cv', 'cnn']):.3f}"


def test_the_cnn_is_drawn_above_its_baselines() -> None:
    lines = {
        line.get_label().split("  ")[0]: line for line in figures.roc(roc_frame()).axes[0].lines
    }
    cnn, forest = lines["CNN"], lines["random forest"]
    assert cnn.get_zorder() > forest.get_zorder()
    assert cnn.get_linewidth() > forest.get_linewidth()


@pytest.mark.parametrize("draw", [figures.roc, figures.pr, figures.calibration])
def test_several_classes_are_drawn_for_the_cnn_only(draw: Callable) -> None:
    frame = {"roc": roc_frame, "pr": pr_frame, "calibration": calibration_frame}[draw.__name__]()
    several = pd.concat([frame.assign(**{"class": name}) for name in ("Basal", "LumA", "LumB")])
    axes = draw(several).axes[0]
    assert [text.split("  ")[0] for text in legend(axes)] == ["Basal", "LumA", "LumB"]


def test_one_part_gives_one_panel() -> None:
    frame = roc_frame()
    assert len(figures.roc(frame[frame["part"] == "test"]).axes) == 1


def test_empty_calibration_bins_are_not_drawn() -> None:
    axes = figures.calibration(calibration_frame()).axes[0]
    cnn = next(line for line in axes.lines if line.get_label() == "CNN")
    assert len(cnn.get_xdata()) == 9


def reading() -> pd.DataFrame:
    """As `enrichment.csv`."""
    rows = [("HALLMARK_B", 1.4, 1e-6, 9), ("C", -0.9, 1e-3, 6), ("HALLMARK_A", 0.3, 0.2, 4)]
    table = pd.DataFrame(rows, columns=["term", "effect", "q_value", "listed"])
    return table.assign(collection="Hallmark", size=40, **{"class": "case"})


def test_gene_sets_are_drawn_clearest_first_in_the_colour_of_their_direction() -> None:
    axes = figures.enrichment(reading()).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["B", "C", "A"]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [1.4, -0.9, 0.3])
    shades = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert shades == [ORANGE, BLUE, ORANGE]
    assert [bar.get_alpha() or bar.get_facecolor()[3] for bar in axes.patches] == [1, 1, 0.3]
    assert "9 of 40 listed" in names(axes)
    assert "in case" in axes.get_xlabel()


def test_of_several_classes_each_set_names_its_own() -> None:
    axes = figures.enrichment(reading().assign(**{"class": ["a", "b", "a"]})).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["B (a)", "C (b)", "A (a)"]


def test_a_note_stands_below_a_figure() -> None:
    figure = figures.enrichment(reading())
    noted = figures.to_png(figure, "Not findings.")
    assert figure.get_supxlabel() == "Not findings."
    assert noted != figures.to_png(figures.enrichment(reading()))


@pytest.mark.parametrize("classes", [["$_$", "$x$ and $"], ["Infiltrating ductal carcinoma"] * 2])
def test_any_class_name_can_be_drawn(classes: list[str]) -> None:
    counts = np.array([[50, 3], [4, 7]])
    drawn = figures.confusion(counts, classes)
    assert figures.to_png(drawn)
    axes = drawn.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert boxes[0].y1 < axes.get_window_extent().y0 + 1
    assert axes.get_window_extent().width > 100
    images = np.random.default_rng(1).normal(size=(2, 6, 6, 1))
    assert figures.to_png(figures.class_images(images, ["expression"], classes))


def test_of_a_long_class_name_both_ends_are_shown() -> None:
    name = "Infiltrating ductal carcinoma, grade 3"
    drawn = figures.confusion(np.eye(2, dtype=int), ["ok", name])
    assert drawn.axes[0].get_yticklabels()[1].get_text() == "Infiltrating d…, grade 3"


def test_confusion_writes_every_count_and_the_share_of_its_row() -> None:
    figure = figures.confusion(np.array([[50, 3, 0], [1200, 6, 0], [0, 0, 0]]), ["a", "b", "c"])
    text = [note.get_text() for note in figure.axes[0].texts]
    assert text[:4] == ["50", "94%", "3", "6%"]
    assert text[6] == "1,200"
    assert text[-6:] == ["0", "0%"] * 3


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
    figure = figures.class_images(means, channels, classes)
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(shown) == n_classes * n_channels
    assert len({image.get_clim() for image in shown}) == n_channels
    assert all(low == -high for low, high in (image.get_clim() for image in shown))
    assert {c.replace("_", " ") for c in classes + channels} <= {
        text for axes in figure.axes for text in (axes.get_title(loc="left"), axes.get_ylabel())
    }
    assert figures.to_png(figure)


def test_images_of_a_silent_channel_can_be_drawn() -> None:
    figure = figures.class_images(np.zeros((2, 4, 4, 1)), ["mutation"], ["a", "b"])
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


def test_selection_frequency_compares_the_list_with_all_others() -> None:
    table = markers().assign(selection_frequency=0.0)
    table.loc[:19, "selection_frequency"] = [1.0] * 9 + [0.2] * 6 + [0.25] * 5
    axes = figures.selection_frequency(table).axes[0]
    listed, others = axes.containers
    assert [bar.get_height() for bar in listed] == pytest.approx([0, 0.3, 0.25, 0, 0, 0.45])
    assert [bar.get_height() for bar in others] == [1, 0, 0, 0, 0, 0]
    assert legend(axes) == ["listed (20)", "others (280)"]
    assert figures.to_png(figures.selection_frequency(table.assign(selected=False)))


def test_realised_errors_are_drawn_against_the_level_asked_for() -> None:
    left, right = figures.fdp(LEVELS).axes
    diagonal, realised = left.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert list(realised.get_ydata()) == [0, 0.08, 0.25]
    assert left.get_ylim()[1] > 0.25
    assert names(right) == ["3", "9", "14"]


def test_replicated_markers_stand_apart_from_others() -> None:
    figure = figures.external(REPLICATION)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "replicated (1)", "same sign only (1)", "other sign (1)",
    ]  # fmt: skip
    assert sorted(names(figure.axes[0])) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (lambda: figures.fdp(LEVELS.head(0)), "no planted truth"),
        (lambda: figures.external(REPLICATION.head(0)), "independent cohort"),
        (lambda: figures.enrichment(pd.DataFrame(columns=["overlap"])), "no gene set"),
    ],
)
def test_where_there_is_nothing_to_draw_the_figure_says_so(figure: Callable, text: str) -> None:
    drawn = figure()
    assert text in names(drawn.axes[0])[0]
    assert figures.to_png(drawn)
