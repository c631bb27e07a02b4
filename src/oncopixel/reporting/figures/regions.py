"""Copy-number regions along the genome."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import BLUE, GREY, INK, ORANGE, PALE, sentence, shortened, styled

MOST_CLASSES = 6
LABELLED = 6
"""Regions of a class whose names are written, the first of the table."""
STEPS = 1000
"""Along the genome, at most: each is as high as its highest pixel."""
KINDS = {"gain": (1, ORANGE), "loss": (-1, BLUE)}


@styled
def regions(
    table: pd.DataFrame,
    frequency: np.ndarray,
    genes: pd.DataFrame,
    classes: Sequence[str],
    shown: Sequence[str] | None = None,
) -> Figure:
    """Gains and losses along the genome.

    Parameters
    ----------
    table
        As `regions.csv`.
    frequency
        `(kinds, classes + 1, genes)`, the last class being all samples: the grey line.
    shown
        The classes with a row, at most six; else those with the strongest regions.

    Returns
    -------
    A row per class: how often it gains (up) and loses (down), its first regions named.
    """
    if not frequency.size:
        return sentence("no copy number")
    strongest = table.groupby("class")["t"].max().reindex(list(classes), fill_value=0)
    shown = shown or strongest.sort_values(ascending=False, kind="stable").index[:MOST_CLASSES]
    rows = [name for name in classes if name in set(shown)][:MOST_CLASSES]
    placed = (genes["start"] >= 0).to_numpy()
    chromosome = genes["chromosome"].to_numpy(dtype=str)[placed]
    edges = np.flatnonzero(np.append(chromosome[1:] != chromosome[:-1], True)) + 1
    starts = np.insert(edges[:-1], 0, 0)
    figure = Figure(figsize=(11, 0.9 + 1.7 * len(rows)))
    panels = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, rows, strict=True):
        _profile(axes, frequency[:, [list(classes).index(name), -1]][:, :, placed])
        axes.vlines(edges[:-1], -1, 1, color=PALE, linewidth=0.8)
        named = table[table["class"] == name].head(LABELLED).to_dict("records")
        at = [_pixel(row, chromosome, genes["start"].to_numpy()[placed]) for row in named]
        for kind in KINDS:
            of_kind = sorted((x, n) for n, x in enumerate(at) if named[n]["kind"] == kind)
            before, level, reach = -len(chromosome), 0, 0.0
            for x, n in of_kind:
                near = x - before < len(chromosome) / 8
                level = (level + 1) % 3 if near else 0
                reach = max(named[n]["frequency"], reach * near)
                before = x
                _name(axes, x, named[n], reach, level)
        axes.set_ylabel(shortened(name, 14))
    panels[0].set(ylim=(-1.25, 1.25), xlim=(0, len(chromosome)), yticks=[-1, 0, 1])
    panels[0].set_yticklabels(["100 % lose", "0", "100 % gain"])
    names = [of if end - first > len(chromosome) / 60 else "" for of, first, end in zip(
        chromosome[starts], starts, edges, strict=True)]  # fmt: skip
    panels[-1].set_xticks((starts + edges) / 2, names)
    panels[-1].tick_params(axis="x", length=0)
    panels[-1].set_xlabel("chromosome (grey line: all samples)")
    return figure


def _profile(axes: Axes, frequency: np.ndarray) -> None:
    """Of `(kinds, 2, genes)` the class in colour, everyone in grey."""
    pixels = frequency.shape[2]
    starts = np.arange(0, pixels, -(-pixels // STEPS))
    most = np.maximum.reduceat(frequency, starts, axis=2)
    edges = np.append(starts, pixels)
    for (sign, colour), (own, everyone) in zip(KINDS.values(), most, strict=True):
        axes.stairs(sign * own, edges, fill=True, color=colour, linewidth=0, alpha=0.75)
        axes.stairs(sign * everyone, edges, color=GREY, linewidth=0.8)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.grid(visible=False)


def _pixel(row: dict[str, Any], chromosome: np.ndarray, starts: np.ndarray) -> int:
    """The last placed pixel that starts before the region's peak."""
    on = (chromosome == str(row["chromosome"])) & (starts <= row["peak"])
    return int(np.flatnonzero(on)[-1])


def _name(axes: Axes, at: int, row: dict[str, Any], reach: float, level: int) -> None:
    """The band, and of a focal region the nearest driver, lines beyond its peak and `reach`."""
    (sign, colour), driver = KINDS[row["kind"]], row["drivers"].split(";")[0]
    axes.plot([at], [sign * row["frequency"]], marker="v" if sign > 0 else "^", color=colour,
              markeredgecolor="white", markersize=7)  # fmt: skip
    axes.annotate(
        f"{row['band']} {driver if row['extent'] == 'focal' else ''}".strip(),
        (at, sign * reach), (0, sign * (7 + 9 * level)),
        textcoords="offset points", ha="center", va="bottom" if sign > 0 else "top", size=7.5,
    )  # fmt: skip
