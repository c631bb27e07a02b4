"""How well the classes are told apart: curves, and counts of the classes."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import BLUE, GREEN, GREY, INK, NAMES, ORANGE, PURPLE, shortened, styled

CLASS_COLOURS = [BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", INK, "#A6761D"]
MUTED = [
    ("#8A8A8A", "-"),
    ("#B08D57", (0, (5, 2))),
    ("#7D9A83", (0, (1, 1.2))),
    ("#9C7FA0", "-."),
    ("#5B7C99", (0, (4, 1, 1, 1))),
    ("#A8705C", (0, (8, 2))),
    ("#75804A", (0, (3, 1, 1, 1, 1, 1))),
]
POOLED = {"cv": ", folds pooled"}
"""What the legend's figures are, where those of metrics.json are means over folds."""
CNN_ZORDER = 3
Corner = Literal["lower right", "lower left", "upper left"]


@styled
def roc(curves: pd.DataFrame) -> Figure:
    """ROC curves, a panel per part: of several classes, the CNN's of each; areas are as drawn."""
    figure, panels = _panels(curves["part"])
    for part, axes in panels.items():
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        for label, look, line in _lines(curves[curves["part"] == part]):
            x, y = line["false_positive_rate"], line["true_positive_rate"]
            axes.plot(x, y, label=f"{label}  {np.trapezoid(y, x):.3f}", **look)
        _unit_square(axes, "false positive rate", "true positive rate")
        _legend(axes, f"area under the curve{POOLED.get(part, '')}", "lower right")
    return figure


@styled
def pr(curves: pd.DataFrame) -> Figure:
    """Precision-recall curves as in `roc`; the legend gives the average precision as drawn."""
    figure, panels = _panels(curves["part"])
    for part, axes in panels.items():
        for label, look, line in _lines(curves[curves["part"] == part]):
            line = line.sort_values(["recall", "precision"], ascending=[True, False], kind="stable")
            x, y = line["recall"].to_numpy(), line["precision"].to_numpy()
            area = float(np.sum(np.diff(x) * y[1:]))
            axes.plot(x, y, label=f"{label}  {area:.3f}", drawstyle="steps-pre", **look)
        _unit_square(axes, "recall", "precision")
        _legend(axes, "average precision", "lower left")
    return figure


@styled
def calibration(curves: pd.DataFrame) -> Figure:
    """Observed against predicted frequency, a panel per part; the CNN's points are sized by `n`."""
    figure, panels = _panels(curves["part"])
    for part, axes in panels.items():
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        mine = curves[(curves["part"] == part) & (curves["n"] > 0)]
        for label, look, line in _lines(mine):
            axes.plot(line["predicted"], line["observed"], label=label, **look)
            if look["zorder"] == CNN_ZORDER:
                size = 10 + 150 * line["n"] / mine["n"].max()
                axes.scatter(
                    line["predicted"], line["observed"], s=size, color=look["color"],
                    edgecolor="white", linewidth=0.8, zorder=CNN_ZORDER + 1,
                )  # fmt: skip
        _unit_square(axes, "predicted probability", "observed frequency")
        _legend(axes, None, "upper left")
    return figure


@styled
def confusion(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Samples by actual (row) and predicted (column) class; the shade is the share of the row."""
    counts = np.asarray(counts)
    n, names = len(classes), [shortened(name) for name in classes]
    longest = max(map(len, names))
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    side = 2.4 + 0.62 * n
    beside = 0.09 * max(longest - 8, 0)
    figure = Figure(figsize=(side + 0.8 + beside, side + (0.7 * beside if n > 2 else 0)))
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.15)
    for (i, j), count in np.ndenumerate(counts):
        colour = "white" if share[i, j] > 0.6 else INK
        for text, up, size in ((f"{count:,}", 6, 12), (f"{share[i, j]:.0%}", -8, 8)):
            axes.annotate(
                text, (j, i), (0, up), textcoords="offset points",
                ha="center", va="center", size=size, color=colour,
            )  # fmt: skip
    axes.set_xticks(range(n), names)
    if longest > (7 if n > 2 else 9):
        axes.tick_params(axis="x", rotation=40)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def _panels(parts: pd.Series) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one square panel for each part: cross-validation, then held-out patients."""
    names = sorted(parts.unique())
    figure = Figure(figsize=(4.9 * len(names), 5.0))
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(grid, names, strict=True):
        axes.set_title(NAMES.get(name, name))
    return figure, dict(zip(names, grid, strict=True))


def _lines(frame: pd.DataFrame) -> list[tuple[str, dict[str, Any], pd.DataFrame]]:
    """Label, look and rows of every curve of one panel, the CNN last, which is on top."""
    strong = {"linewidth": 2.4, "zorder": CNN_ZORDER}
    if "class" in frame and len(frame["class"].unique()) > 2:
        frame = frame[frame["model"] == "cnn"]
        looks = {
            name: {"color": CLASS_COLOURS[i % 8], "linestyle": "-" if i < 8 else "--", **strong}
            for i, name in enumerate(frame["class"].unique())
        }
        groups = frame.groupby("class", sort=False)
        return [(str(name), looks[name], rows) for name, rows in groups]
    models = sorted(frame["model"].unique(), key=lambda name: (name == "cnn", name))
    lines = []
    for i, model in enumerate(models):
        colour, dash = MUTED[i % len(MUTED)]
        muted = {"color": colour, "linestyle": dash, "linewidth": 1.4, "zorder": 2}
        look = {"color": BLUE, "linestyle": "-", **strong} if model == "cnn" else muted
        lines.append((NAMES.get(model, model), look, frame[frame["model"] == model]))
    return lines


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), xlabel=x, ylabel=y, aspect="equal")


def _legend(axes: Axes, title: str | None, place: Corner) -> None:
    """A legend with the CNN first: it is drawn last."""
    pairs = list(zip(*axes.get_legend_handles_labels(), strict=True))
    pairs.sort(key=lambda pair: pair[1].split("  ")[0] != NAMES["cnn"])
    axes.legend(
        [handle for handle, _ in pairs], [label for _, label in pairs],
        title=title, loc=place, alignment="left", title_fontsize=9, frameon=True, framealpha=0.9,
        edgecolor="none",
    )  # fmt: skip
