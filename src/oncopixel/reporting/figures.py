"""Figures of a report: frames and arrays in, Matplotlib figures out; `to_png` gives stable bytes.

One style for all, independent of the reader's Matplotlib settings. Colours are those of Okabe & Ito
(2008), which colour-blind readers can tell apart; the CNN stands out, baselines stay muted and
differ in their dashes too.
"""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, GREY, PALE = "#222222", "#7A7A7A", "#E4E4E4"
DIRECTIONS = {"up": ORANGE, "down": BLUE, "mixed": GREY}
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

NAMES = {
    "cnn": "CNN",
    "exact_paths": "CNN, exact paths only",
    "logistic_l1": "logistic, L1",
    "logistic_l1_adjusted": "logistic, L1, adjusted",
    "logistic_l2": "logistic, L2",
    "elastic_net": "elastic net",
    "random_forest": "random forest",
    "gradient_boosting": "gradient boosting",
    "t_test": "Welch's t-test",
    "cv": "Cross-validation",
    "test": "Held-out patients",
}
POOLED = {"cv": ", folds pooled"}
"""What the legend's figures are, where those of metrics.json are means over folds."""

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
}

CHANNEL_LOOKS = [(BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D")]
LABELLED = 12
"""Markers whose names are written into a figure, the first of the ranking."""
MANY = 200
"""Listed markers from which on their points are drawn smaller."""
CNN_ZORDER = 3
Corner = Literal["lower right", "lower left", "upper left"]
_styled = style.context(["default", STYLE])


def to_png(figure: Figure, note: str = "") -> bytes:
    """The figure as PNG, 120 dots per inch; the same figure always gives the same bytes.

    `note` stands below the figure.
    """
    stream = io.BytesIO()
    with style.context(["default", STYLE]):
        if note:
            figure.supxlabel(note, size=10, weight="bold", color=DIRECTIONS["up"])
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # a second layout would start from this one and move it
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


@_styled
def roc(curves: pd.DataFrame) -> Figure:
    """ROC curves, one panel per part.

    Columns model, part, false_positive_rate, true_positive_rate, and `class` for more than two
    classes: then each class against the rest, the CNN only. The legend gives the area under each
    curve as drawn.
    """
    figure, panels = _panels(curves["part"])
    for part, axes in panels.items():
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        for label, look, line in _lines(curves[curves["part"] == part]):
            x, y = line["false_positive_rate"], line["true_positive_rate"]
            axes.plot(x, y, label=f"{label}  {np.trapezoid(y, x):.3f}", **look)
        _unit_square(axes, "false positive rate", "true positive rate")
        _legend(axes, f"area under the curve{POOLED.get(part, '')}", "lower right")
    return figure


@_styled
def pr(curves: pd.DataFrame) -> Figure:
    """Precision-recall curves, one panel per part; columns as in `roc` with recall, precision.

    The legend gives the average precision, the area under the steps as drawn.
    """
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


@_styled
def calibration(curves: pd.DataFrame) -> Figure:
    """Observed frequency against predicted probability, one panel per part.

    Columns model, part, predicted, observed, n, and `class` as in `roc`. The area of the CNN's
    points grows with the number of samples in the bin.
    """
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


@_styled
def confusion(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Samples by actual (row) and predicted (column) class; the shade is the share of the row."""
    counts = np.asarray(counts)
    n, names = len(classes), [_cut(name) for name in classes]
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


@_styled
def top_genes(ranking: pd.DataFrame, n: int = 25) -> Figure:
    """The first `n` rows of `biomarkers.rank_genes`: score, direction, and share of models.

    The channel is named where there is more than one, the class where there are more than two.
    """
    top = ranking.head(n)
    figure = Figure(figsize=(7.4, 1.4 + 0.26 * len(top)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[4, 1])
    height = np.arange(len(top))
    colours = [DIRECTIONS[direction] for direction in top["direction"]]
    left.hlines(height, 0, top["score"], color=colours, linewidth=2.2)
    left.scatter(top["score"], height, color=colours, s=42, zorder=3)
    left.set(xlabel="score (logits)", ylim=(len(top) - 0.4, -0.6))
    left.set_yticks(height, top["gene"], style="italic")
    several = [column for column in ("channel", "class") if len(ranking[column].unique()) > 1]
    for at, (_, row) in enumerate(top.iterrows()):
        left.annotate(
            ", ".join(str(row[column]).replace("_", " ") for column in several),
            (row["score"], at), (8, 0), textcoords="offset points",
            va="center", size=8, color=GREY,
        )  # fmt: skip
    left.set_xlim(0, top["score"].max() * (1.3 if several else 1.05))
    right.barh(height, 1, color=PALE, height=0.5)
    right.barh(height, top["selection_frequency"], color=GREY, height=0.5)
    right.set(xlim=(0, 1), xlabel="resamples that\nlist it")
    right.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    right.tick_params(axis="y", labelleft=False)
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    right.grid(visible=False)
    where = "in the named class" if "class" in several else f"in {top['class'].iloc[0]}"
    used = [d for d in DIRECTIONS if d in set(top["direction"])]
    handles = [Line2D([], [], color=DIRECTIONS[d], marker="o", linewidth=2.2) for d in used]
    labels = [f"{d} {where}" if d != "mixed" else "no clear shift" for d in used]
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure


@_styled
def class_images(means: np.ndarray, channels: Sequence[str], classes: Sequence[str]) -> Figure:
    """Mean gene image of each class, `(classes, height, width, channels)`, as the model sees it.

    One channel: a grid of classes, five in a row. Several: channels are rows and classes columns,
    the other way round for more than five classes. Each channel has one colour scale, symmetric
    about 0, up to the 99.5th percentile of its absolute values other than 0.
    """
    return _class_grid(means, channels, classes, "RdBu_r", "mean of the class")


@_styled
def class_attribution(means: np.ndarray, channels: Sequence[str], classes: Sequence[str]) -> Figure:
    """Mean integrated gradients of each class, `(classes, height, width, channels)`, in logits.

    Laid out and scaled as `class_images`.
    """
    return _class_grid(means, channels, classes, "PuOr_r", "mean contribution (logits)")


@_styled
def evidence(ranking: pd.DataFrame) -> Figure:
    """Evidence (W) of every gene and channel against its effect; the listed ones in colour.

    W, in units of its channel's median, has an axis that is linear up to 1 and logarithmic beyond.
    Rings are listed jointly, by a pair of modules or two hits: they may have no evidence of their
    own. Columns gene, channel, effect (Hedges' g), evidence, selected, discovered_as. Rows without
    evidence are left out. The first `LABELLED` of the list are named.
    """
    known = ranking.dropna(subset=["effect", "evidence"])
    chosen = known["selected"].to_numpy(dtype=bool)
    figure = Figure(figsize=(8.2, 5.6))
    axes = figure.subplots()
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:g}")
    rest, listed = known[~chosen], known[chosen]
    size = 44 if len(listed) < MANY else 12
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.scatter(
        rest["effect"], rest["evidence"], s=9, color="#BDBDBD", linewidth=0, label="others"
    )
    joint = listed["discovered_as"].isin(["pair", "two_hits"])
    for i, channel in enumerate(dict.fromkeys(ranking["channel"])):
        mine = listed[(listed["channel"] == channel) & ~joint]
        colour, marker = CHANNEL_LOOKS[i % len(CHANNEL_LOOKS)]
        axes.scatter(
            mine["effect"], mine["evidence"], s=size, color=colour, marker=marker,
            edgecolor="white", linewidth=0.013 * size, zorder=3,
            label=f"listed, {str(channel).replace('_', ' ')} ({len(mine)})",
        )  # fmt: skip
    if joint.any():
        mine = listed[joint]
        axes.scatter(
            mine["effect"], mine["evidence"], s=size, color="none", edgecolor="black",
            linewidth=0.8, zorder=3, label=f"listed jointly ({len(mine)})",
        )  # fmt: skip
    _name(axes, listed["effect"], listed["evidence"], listed["gene"])
    axes.set(xlabel="effect (Hedges' g)", ylabel="evidence: W")
    figure.legend(loc="outside upper left", ncols=4)
    return figure


@_styled
def selection_frequency(ranking: pd.DataFrame) -> Figure:
    """How often the lists of resampled patients hold the listed rows, and how often all others.

    Columns selection_frequency, 0 to 1, and selected. Bars are shares of either group, with how
    many they are.
    """
    known = ranking.dropna(subset=["selection_frequency"])
    chosen = known["selected"].to_numpy(dtype=bool)
    bins = ["never", "to 20 %", "to 40 %", "to 60 %", "to 80 %", "to 100 %"]
    at = np.ceil(known["selection_frequency"].to_numpy() * 5 - 1e-9).astype(int)
    figure = Figure(figsize=(7.4, 4.2))
    axes = figure.subplots()
    for rows, name, colour, shift in (
        (chosen, "listed", BLUE, -0.2),
        (~chosen, "others", "#BDBDBD", 0.2),
    ):
        counts = np.bincount(at[rows], minlength=len(bins))
        share = counts / max(counts.sum(), 1)
        bars = axes.bar(
            np.arange(len(bins)) + shift, share, 0.38, color=colour,
            label=f"{name} ({counts.sum():,})",
        )  # fmt: skip
        axes.bar_label(bars, [f"{n:,}" for n in counts], size=8, color=GREY, padding=2)
    axes.set_xticks(range(len(bins)), bins)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set(
        xlabel="resamples of patients whose list has it",
        ylabel="share of the group",
        ylim=(0, 1.08),
    )
    axes.grid(visible=False, axis="x")
    axes.tick_params(length=0)
    axes.legend(loc="upper center")
    return figure


@_styled
def fdp(table: pd.DataFrame) -> Figure:
    """Realised false-discovery proportion and power on this cohort against the level asked for.

    Columns q, fdp, power, selected (how many). Without rows nothing was planted, and it says so.
    """
    if table.empty:
        return _says("no planted truth")
    figure = Figure(figsize=(9.4, 4.6))
    left, right = figure.subplots(1, 2)
    most = float(table["q"].max())
    left.plot([0, most], [0, most], color=GREY, linewidth=1, linestyle=":", label="as asked for")
    left.plot(table["q"], table["fdp"], color=ORANGE, marker="o", linewidth=2, label="realised")
    left.set(
        ylabel="false-discovery proportion", ylim=(-0.02, max(most, table["fdp"].max()) + 0.03)
    )
    left.set_title("False among the selected")
    left.legend(loc="upper left")
    right.plot(table["q"], table["power"], color=BLUE, marker="s", linewidth=2)
    for row in table.iloc[:: max(1, len(table) // 5)].itertuples():
        right.annotate(
            f"{row.selected:,}", (row.q, row.power), (0, 8), textcoords="offset points",
            ha="center", size=8, color=GREY,
        )  # fmt: skip
    right.set(ylabel="power: planted markers found", ylim=(-0.02, 1.08))
    right.set_title("Planted found (numbers: selected)")
    for axes in (left, right):
        axes.set(xlabel="q, the rate asked for", xlim=(0, most * 1.04))
    return figure


@_styled
def external(table: pd.DataFrame) -> Figure:
    """Effects of the listed markers in the independent cohort against those in this one.

    Columns as `external.COLUMNS`. Without rows there is nothing to compare, and it says so.
    """
    if table.empty:
        return _says("no marker was measured in an independent cohort")
    x, y = table["effect_internal"], table["effect_external"]
    same = table["same_sign"].to_numpy(dtype=bool)
    replicated = table["replicated"].to_numpy(dtype=bool)
    figure = Figure(figsize=(7.0, 5.8))
    axes = figure.subplots()
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=":")
    for rows, name, fill, edge, marker in (
        (replicated, "replicated", BLUE, "white", "o"),
        (same & ~replicated, "same sign only", "none", BLUE, "o"),
        (~same, "other sign", ORANGE, "white", "X"),
    ):
        axes.scatter(
            x[rows], y[rows], s=46, facecolor=fill, edgecolor=edge, marker=marker, zorder=3,
            label=f"{name} ({rows.sum()})",
        )  # fmt: skip
    _name(axes, x, y, table["gene"])
    axes.set(xlabel="effect here (Hedges' g)", ylabel="effect in the independent cohort")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@_styled
def _class_grid(
    means: np.ndarray, channels: Sequence[str], classes: Sequence[str], colours: str, label: str
) -> Figure:
    n, k = len(channels), len(classes)
    across = n == 1 or k <= 5
    shape = (math.ceil(k / 5), min(k, 5)) if n == 1 else (n, k) if across else (k, n)
    figure = Figure(figsize=(2.5 * shape[1] + 1.1, 2.6 * shape[0] + 0.5))
    grid = figure.subplots(*shape, squeeze=False)
    cells = grid.reshape(1, -1) if n == 1 else grid if across else grid.T
    for c, channel in enumerate(channels):
        size = np.abs(means[..., c])
        high = float(np.percentile(size[size > 0], 99.5)) if size.any() else 1.0
        for axes in cells[c, k:]:
            axes.set_visible(False)
        for name, mean, axes in zip(classes, means[..., c], cells[c], strict=False):
            picture = axes.imshow(
                mean, cmap=colours, vmin=-high, vmax=high, interpolation="nearest"
            )
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set(visible=True, color=PALE)
            top, side = (_cut(name), channel) if across else (channel, _cut(name))
            if n == 1 or axes.get_subplotspec().is_first_row():
                axes.set_title(top.replace("_", " "))
            if axes.get_subplotspec().is_first_col():
                axes.set_ylabel(side.replace("_", " "))
        place = {"location": "right", "shrink": 0.8} if across else {"location": "bottom"}
        bar = figure.colorbar(picture, ax=list(cells[c]), pad=0.02, aspect=22, **place)
        bar.set_label(label, size=9)
        bar.outline.set_visible(False)
    return figure


@_styled
def enrichment(table: pd.DataFrame, n: int = 15) -> Figure:
    """The `n` clearest gene sets of the list, or, where it touches none, of the whole ranking.

    `table` as of `enrichment.csv`. Bars of the list's sets are -log10 of the q-value, with how many
    genes of the set were selected; up and down have their colours. Those of the ranking are the
    normalised enrichment score. Sets with q above 0.1 are pale.
    """
    if table.empty:
        return _says("no gene set to show")
    touched = table[table["overlap"] > 0]
    ranked = touched.empty
    top = (table if ranked else touched).sort_values("q_value", kind="stable").head(n)
    figure = Figure(figsize=(7.4, 1.3 + 0.28 * len(top)))
    axes = figure.subplots()
    height = np.arange(len(top))
    values = top["nes"] if ranked else -np.log10(top["q_value"].clip(lower=1e-300))
    up = values > 0 if ranked else top["analysis"].str.startswith("over-represented, up")
    colours = np.where(up, DIRECTIONS["up"], DIRECTIONS["down"])
    clear = (top["q_value"] <= 0.1).to_numpy()
    shades = [to_rgba(*pair) for pair in zip(colours, np.where(clear, 1.0, 0.3), strict=True)]
    axes.barh(height, values, color=shades, height=0.62)
    terms = top["term"].str.removeprefix("HALLMARK_").str.replace("_", " ")
    several = len(top["collection"].unique()) > 1
    names = [
        textwrap.shorten(f"{term} ({collection})" if several else term, 60, placeholder=" …")
        for term, collection in zip(terms, top["collection"], strict=True)
    ]
    axes.set_yticks(height, names, size=9)
    axes.set(ylim=(len(top) - 0.4, -0.6))
    if ranked:
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set(xlabel="normalised enrichment score")
    else:
        axes.set(xlabel="-log10 of the q-value", xlim=(0, max(float(values.max()) * 1.15, 1.3)))
        named = [
            Patch(color=DIRECTIONS[way], label=f"genes that are {way}") for way in ("up", "down")
        ]
        figure.legend(handles=named, loc="outside upper right", ncols=2)
        axes.axvline(1, color=GREY, linewidth=1, linestyle=":")
        for at, (value, row) in enumerate(zip(values, top.itertuples(), strict=True)):
            axes.annotate(
                f"{row.overlap:.0f} of {row.size:.0f}", (value, at), (5, 0),
                textcoords="offset points", va="center", size=8, color=GREY,
            )  # fmt: skip
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _cut(name: str, most: int = 24) -> str:
    """A class name that fits; of a long one its two ends."""
    return name if len(name) <= most else f"{name[: most - 10]}…{name[-9:]}"


def _says(text: str) -> Figure:
    """A figure of a sentence, where there is nothing to draw."""
    figure = Figure(figsize=(7.4, 1.6))
    axes = figure.subplots()
    axes.text(0.5, 0.5, text, ha="center", va="center", size=12, color=GREY)
    axes.set_axis_off()
    return figure


def _name(axes: Axes, x: pd.Series, y: pd.Series, names: pd.Series) -> None:
    """Writes the first `LABELLED` names beside the panel, none over another, a line to each point.

    Points left of 0 have their names on the left.
    """
    axes.margins(x=0.24, y=0.06)
    axes.autoscale_view()
    place = axes.transData + axes.transAxes.inverted()
    first = pd.DataFrame({"x": x, "y": y, "name": names}).head(LABELLED)
    for side, rows in (("left", first[first["x"] < 0]), ("right", first[first["x"] >= 0])):
        rows = rows.sort_values("y", kind="stable")
        wanted = place.transform(rows[["x", "y"]].to_numpy(dtype=float))[:, 1]
        for at, row in zip(_spread(wanted, 0.065), rows.itertuples(), strict=True):
            axes.annotate(
                str(row.name), (row.x, row.y), (0.01 if side == "left" else 0.99, at),
                textcoords="axes fraction", ha=side, va="center", size=9, style="italic",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkB": 3},
            )  # fmt: skip


def _spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Ascending places from 0 to 1 near the `wanted` ones, neighbours at least `gap` apart."""
    steps = gap * np.arange(len(wanted))
    raised = np.maximum.accumulate(wanted - steps) + steps
    highest = 0.98 - steps[::-1]
    return np.asarray(np.minimum(raised, highest))


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


@_styled
def stability(methods: Mapping[str, Mapping[str, float]]) -> Figure:
    """Nogueira's index of every method as a bar with its interval, the most stable first.

    Each method has `index`, `low` and `high`; one whose index is undefined (NaN) stands last.
    """
    order = sorted(methods, key=lambda name: (-np.nan_to_num(methods[name]["index"], nan=-2), name))
    index, low, high = (
        np.array([methods[name][key] for name in order]) for key in ("index", "low", "high")
    )
    figure = Figure(figsize=(6.4, 1.2 + 0.34 * len(order)))
    axes = figure.subplots()
    height = np.arange(len(order))
    colours = [BLUE if name == "cnn" else "#B5B5B5" for name in order]
    axes.barh(
        height, index, color=colours, height=0.62, xerr=[index - low, high - index],
        error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 3},
    )  # fmt: skip
    axes.set_yticks(height, [NAMES.get(name, name) for name in order])
    axes.set(ylim=(len(order) - 0.4, -0.6), xlim=(min(0.0, float(np.nanmin([0, *low]))), 1))
    axes.set(xlabel="stability (1: the same list every time, 0: chance)")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure
