"""Gene sets of the marker list."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .style import DIRECTIONS, GREY, as_rows, sentence, styled


@styled
def enrichment(table: pd.DataFrame, n: int = 15) -> Figure:
    """The `n` clearest gene sets of the list, or, where it touches none, of the whole ranking."""
    if table.empty:
        return sentence("no gene set to show")
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
    as_rows(axes, len(top))
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
    return figure
