"""The marker list: what speaks for it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import (
    BLUE,
    DIRECTIONS,
    GREEN,
    GREY,
    ORANGE,
    OTHERS,
    PALE,
    PURPLE,
    as_rows,
    styled,
)

CHANNEL_LOOKS = [(BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D")]
LABELLED = 12
"""Markers whose names are written into a figure, the first of the ranking."""
EVIDENCE = {"associated": "-log10 p", "beyond": "-log10 p, all else held fixed"}
MANY = 200
"""Listed markers from which on their points are drawn smaller."""


@styled
def top_genes(ranking: pd.DataFrame, n: int = 25) -> Figure:
    """The first `n` rows of `biomarkers.rank_genes`: score, direction, and share of models."""
    top = ranking.head(n)
    figure = Figure(figsize=(7.4, 1.4 + 0.26 * len(top)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[4, 1])
    height = np.arange(len(top))
    colours = [DIRECTIONS[direction] for direction in top["direction"]]
    left.hlines(height, 0, top["score"], color=colours, linewidth=2.2)
    left.scatter(top["score"], height, color=colours, s=42, zorder=3)
    left.set_xlabel("score (logits)")
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
        as_rows(axes, len(top))
    right.grid(visible=False)
    where = "in the named class" if "class" in several else f"in {top['class'].iloc[0]}"
    used = [d for d in DIRECTIONS if d in set(top["direction"])]
    handles = [Line2D([], [], color=DIRECTIONS[d], marker="o", linewidth=2.2) for d in used]
    labels = [f"{d} {where}" if d != "mixed" else "no clear shift" for d in used]
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure


@styled
def evidence(ranking: pd.DataFrame, claim: str) -> Figure:
    """Evidence of every gene and channel against its effect; the listed ones in colour."""
    known = ranking.dropna(subset=["effect", "evidence"])
    chosen = known["selected"].to_numpy(dtype=bool)
    rest, listed = known[~chosen], known[chosen]
    size = 44 if len(listed) < MANY else 12
    figure = Figure(figsize=(8.2, 5.6))
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.scatter(rest["effect"], rest["evidence"], s=9, color=OTHERS, linewidth=0, label="others")
    for i, channel in enumerate(dict.fromkeys(ranking["channel"])):
        mine = listed[listed["channel"] == channel]
        colour, marker = CHANNEL_LOOKS[i % len(CHANNEL_LOOKS)]
        axes.scatter(
            mine["effect"], mine["evidence"], s=size, color=colour, marker=marker,
            edgecolor="white", linewidth=0.013 * size, zorder=3,
            label=f"listed, {str(channel).replace('_', ' ')} ({len(mine)})",
        )  # fmt: skip
    name_points(axes, listed["effect"], listed["evidence"], listed["gene"])
    axes.set(xlabel="effect (Hedges' g)", ylabel=EVIDENCE[claim])
    figure.legend(loc="outside upper left", ncols=4)
    return figure


def name_points(axes: Axes, x: pd.Series, y: pd.Series, names: pd.Series) -> None:
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
        for at, row in zip(_apart(wanted, 0.065), rows.itertuples(), strict=True):
            axes.annotate(
                str(row.name), (row.x, row.y), (0.01 if side == "left" else 0.99, at),
                textcoords="axes fraction", ha=side, va="center", size=9, style="italic",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkB": 3},
            )  # fmt: skip


def _apart(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Ascending places from 0 to 1 near the `wanted` ones, neighbours at least `gap` apart."""
    steps = gap * np.arange(len(wanted))
    raised = np.maximum.accumulate(wanted - steps) + steps
    highest = 0.98 - steps[::-1]
    return np.asarray(np.minimum(raised, highest))
