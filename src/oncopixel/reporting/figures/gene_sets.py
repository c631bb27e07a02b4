"""Gene sets that go with the label."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from .style import DIRECTIONS, GREY, as_rows, sentence, styled


@styled
def enrichment(table: pd.DataFrame, n: int = 15) -> Figure:
    """The `n` clearest gene sets, by effect; pale where q is above 0.1."""
    if table.empty:
        return sentence("no gene set to show")
    top = table.head(n)
    figure = Figure(figsize=(7.4, 1.3 + 0.28 * len(top)))
    axes = figure.subplots()
    height = np.arange(len(top))
    colours = np.where(top["effect"] > 0, DIRECTIONS["up"], DIRECTIONS["down"])
    clear = np.where(top["q_value"] <= 0.1, 1.0, 0.3)
    shades = [to_rgba(*pair) for pair in zip(colours, clear, strict=True)]
    axes.barh(height, top["effect"], color=shades, height=0.62)
    several = len(table["class"].unique()) > 1
    terms = top["term"].str.removeprefix("HALLMARK_").str.replace("_", " ")
    names = [
        textwrap.shorten(f"{term} ({of})" if several else term, 60, placeholder=" …")
        for term, of in zip(terms, top["class"], strict=True)
    ]
    axes.set_yticks(height, names, size=9)
    as_rows(axes, len(top))
    axes.axvline(0, color=GREY, linewidth=0.8)
    where = "that class" if several else str(top["class"].iloc[0])
    axes.set(xlabel=f"effect of the set's activity in {where} (Hedges' g)")
    for at, row in enumerate(top.itertuples()):
        side = 1 if row.effect > 0 else -1
        axes.annotate(
            f"{row.listed:.0f} of {row.size:.0f} listed", (row.effect, at), (5 * side, 0),
            textcoords="offset points", va="center", ha="left" if side > 0 else "right",
            size=8, color=GREY,
        )  # fmt: skip
    axes.margins(x=0.22)
    return figure
