"""Volcano and genome plots of every gene, which a reader can hover over, zoom, select and search.

One Vega-Lite specification of two plots; `page.js` ties them to the table of the list.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .charts import CONFIG, INK, LISTED, OTHERS, SCHEMA, Spec

MOST_POINTS, NAMED = 10_000, 5
"""Genes in the plots, the first by evidence, and listed ones that are named before any search."""
CHROMOSOMES = {**{str(n): n for n in range(1, 23)}, "X": 23, "Y": 24}
EVIDENCE = {
    "associated": "evidence (-log10 p)",
    "beyond": "evidence, all else held fixed (-log10 p)",
}
SEARCH = "length(query) > 1"
ASKED = f"{SEARCH} && indexof(upper(datum.gene), upper(query)) == 0"
"""Whether the gene is one that the reader searches for."""


def evidence_plots(ranking: pd.DataFrame, summary: Mapping[str, Any]) -> Spec | None:
    """Evidence against effect and along the genome; None where no gene has either.

    Returns
    -------
    dict
        A specification whose data are columns, which are short; `page.js` makes rows of them.
    """
    claim, listed = summary["claim"], summary["list"]["selected"]
    position, ends = along_genome(ranking)
    known = ranking.assign(position=position).dropna(subset=["effect", "evidence"])
    known = known.nlargest(MOST_POINTS, "evidence")
    if known.empty:
        return None
    columns = {
        "gene": known["gene"].tolist(),
        **{name: _digits(known[name]) for name in ("effect", "evidence")},
        "position": _digits(known["position"], 6),
        "q": _digits(known[f"q_{claim}"]),
        "listed": known["selected"].astype(int).tolist(),
    }
    first = known.index.isin(known.index[known["selected"].astype(bool)][:NAMED])
    columns["named"] = first.astype(int).tolist()
    channels = known["channel"].str.replace("_", " ")
    if len(set(channels)) > 1:
        columns["channel"] = channels.tolist()
    y = {
        "field": "evidence", "type": "quantitative", "title": EVIDENCE[claim],
        "scale": {"padding": 12, "nice": False},
    }  # fmt: skip
    effect = {"field": "effect", "type": "quantitative", "title": "effect (Hedges' g)"}
    shown = [name for name in columns if name not in ("position", "listed", "named")]
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "description": f"Evidence against effect and along the genome of {len(known)} genes and "
        f"channels, {listed} of them listed; the table of the markers has their numbers.",
        "data": {"columns": columns},
        "params": [{"name": "query", "value": ""}],
        "vconcat": [
            {"height": 300, **_plot("volcano", effect, y, shown)},
            {"height": 180, **_plot("genome", _genome(ends), y, shown)},
        ],
    }


def along_genome(ranking: pd.DataFrame) -> tuple[pd.Series, dict[str, tuple[float, float]]]:
    """Position of every row in Mb along the whole genome; each chromosome's first and last Mb."""
    chromosome = ranking["chromosome"].astype(str).str.removeprefix("chr")
    placed = ranking["start"].where(chromosome.isin(CHROMOSOMES)) / 1e6
    longest = placed.groupby(chromosome).max().dropna()
    longest = longest[sorted(longest.index, key=CHROMOSOMES.__getitem__)]
    ends = longest.cumsum()
    starts = ends - longest
    position = placed + chromosome.map(starts)
    return position, {str(k): (float(starts[k]), float(ends[k])) for k in longest.index}


def _digits(values: pd.Series, n: int = 3) -> list[float | None]:
    """JSON numbers of `n` digits."""
    return [float(f"{value:.{n}g}") if np.isfinite(value) else None for value in values]


def _genome(ends: dict[str, tuple[float, float]]) -> Spec:
    """The axis along the chromosomes, each named at its middle."""
    names = {str(round(sum(span) / 2)): name for name, span in ends.items()}
    end = max((end for _, end in ends.values()), default=1)
    return {
        "field": "position",
        "type": "quantitative",
        "title": "chromosome",
        "scale": {"domain": [0, 1.03 * end], "nice": False},
        "axis": {
            "values": [int(at) for at in names], "grid": False, "ticks": False,
            "labelExpr": f"({names})[format(datum.value, 'd')]", "labelOverlap": "greedy",
        },
    }  # fmt: skip


def _plot(name: str, x: Spec, y: Spec, shown: list[str]) -> Spec:
    """One plot of all genes: drag selects, Ctrl and wheel or pinch zoom, Shift and drag move."""
    drag = "[pointerdown[{}event.shiftKey], window:pointerup] > window:pointermove!"
    select, move = drag.format("!"), drag.format("")
    listed = "datum.listed == 1"
    looks = {
        name: {"condition": {"test": listed, "value": value}, "value": other}
        for name, value, other in (
            ("color", LISTED, OTHERS), ("size", 28, 12), ("opacity", 0.9, 0.5),
        )
    }  # fmt: skip
    brush = {"type": "interval", "zoom": False, "on": select, "translate": select}
    zoom = {"type": "interval", "zoom": "wheel![event.ctrlKey]", "translate": move}
    found = {"transform": [{"filter": ASKED}]}
    label = {
        "type": "text", "dx": 10, "baseline": "middle", "align": "left", "clip": True,
        "color": INK, "fontSize": 12, "fontWeight": "bold",
    }  # fmt: skip
    return {
        "encoding": {"x": x, "y": y},
        "layer": [
            {
                "params": [
                    {"name": f"brush_{name}", "select": brush},
                    {"name": f"zoom_{name}", "bind": "scales", "select": zoom},
                ],
                "mark": {"type": "point", "filled": True, "clip": True, "cursor": "pointer"},
                "encoding": {**looks, "tooltip": [{"field": field} for field in shown]},
            },
            {
                **found,
                "mark": {
                    "type": "point", "size": 120, "strokeWidth": 2, "color": INK, "clip": True,
                },
            },
            {
                "transform": [{"filter": f"{SEARCH} ? {ASKED} : datum.named == 1"}],
                "mark": label,
                "encoding": {"text": {"field": "gene"}},
            },
        ],
    }  # fmt: skip
