"""How well the classes are told apart."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import BLUE, GREEN, GREY, INK, NAMES, ORANGE, PURPLE, styled

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
