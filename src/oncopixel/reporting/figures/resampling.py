"""How the lists of resampled patients agree."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .style import BLUE, GREY, INK, NAMES, OTHERS, as_rows, styled


@styled
def selection_frequency(ranking: pd.DataFrame) -> Figure:
    """How often lists of resampled patients hold the listed rows, and others, as shares of each."""
    known = ranking.dropna(subset=["selection_frequency"])
    chosen = known["selected"].to_numpy(dtype=bool)
    bins = ["never", "to 20 %", "to 40 %", "to 60 %", "to 80 %", "to 100 %"]
    at = np.ceil(known["selection_frequency"].to_numpy() * 5 - 1e-9).astype(int)
    figure = Figure(figsize=(7.4, 4.2))
    axes = figure.subplots()
    for rows, name, colour, shift in (
        (chosen, "listed", BLUE, -0.2),
        (~chosen, "others", OTHERS, 0.2),
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


@styled
def stability(methods: Mapping[str, Mapping[str, float]]) -> Figure:
    """Nogueira's index of every method, with its interval; the most stable first, NaN last."""
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
    axes.set_xlim(min(0.0, float(np.nanmin([0, *low]))), 1)
    axes.set_xlabel("stability (1: the same list every time, 0: chance)")
    as_rows(axes, len(order))
    return figure
