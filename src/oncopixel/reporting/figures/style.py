"""The look of all figures, whatever the reader's Matplotlib settings, and as files of stable bytes.

Colours are those of Okabe & Ito (2008), which colour-blind readers can tell apart; the CNN stands
out, baselines stay muted and differ in their dashes too.
"""

import io
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, GREY, PALE = "#222222", "#7A7A7A", "#E4E4E4"
OTHERS = "#BDBDBD"
DIRECTIONS = {"up": ORANGE, "down": BLUE, "mixed": GREY}

NAMES = {
    "cnn": "CNN",
    "linear_path": "CNN, linear path only",
    "logistic_l1": "logistic, L1",
    "logistic_l1_adjusted": "logistic, L1, adjusted",
    "logistic_l2": "logistic, L2",
    "elastic_net": "elastic net",
    "random_forest": "random forest",
    "gradient_boosting": "gradient boosting",
    "clinical": "clinical only",
    "panel": "panel",
    "t_test": "Welch's t-test",
    "cv": "Cross-validation",
    "test": "Held-out patients",
}

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.parse_math": False,  # names of classes and genes may hold a $
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 120,
    "svg.hashsalt": "",  # ids of parts are the same in every run
}

styled = style.context(["default", STYLE])


def to_png(figure: Figure, note: str = "") -> bytes:
    """The figure as PNG, 120 dots per inch, always of the same bytes; `note` stands below it."""
    return _saved(figure, note, format="png", metadata={"Software": None})


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG, its letters as paths, always of the same bytes."""
    return _saved(figure, "", format="svg", metadata={"Date": None, "Creator": None})


def _saved(figure: Figure, note: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    with style.context(["default", STYLE]):
        if note:
            figure.supxlabel(note, size=10, weight="bold", color=DIRECTIONS["up"])
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # a second layout would start from this one and move it
        figure.savefig(stream, **options)
    return stream.getvalue()


def shortened(name: str, most: int = 24) -> str:
    """A class name that fits; of a long one its two ends."""
    return name if len(name) <= most else f"{name[: most - 10]}…{name[-9:]}"


def sentence(text: str) -> Figure:
    """A figure of a sentence, where there is nothing to draw."""
    figure = Figure(figsize=(7.4, 1.6))
    axes = figure.subplots()
    axes.text(0.5, 0.5, text, ha="center", va="center", size=12, color=GREY)
    axes.set_axis_off()
    return figure


def as_rows(axes: Axes, n: int) -> None:
    """Makes the panel a list of `n` rows from the top, without lines between them."""
    axes.set_ylim(n - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
