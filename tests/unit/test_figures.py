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
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from oncopixel import figures

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


def images(n_classes: int, n_channels: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_classes, 10, 10, n_channels))


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "roc": lambda: figures.roc(roc_frame()),
    "pr": lambda: figures.pr(pr_frame()),
    "calibration": lambda: figures.calibration(calibration_frame()),
    "confusion": lambda: figures.confusion(np.array([[50, 3], [0, 7]]), ["normal", "tumour"]),
    "top_genes": lambda: figures.top_genes(ranking(["expression"], ["tumour"])),
    "class_images": lambda: figures.class_images(images(2, 1), ["expression"], ["a", "b"]),
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
    program = "import sys, oncopixel.figures; print('matplotlib.pyplot' in sys.modules)"
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
