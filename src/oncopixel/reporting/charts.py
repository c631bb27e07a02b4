"""Vega-Lite charts of results: as SVG in the page, and as what a reader can move and search.

Colours are variables of the page's style sheet, so one chart serves light, dark and print.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.parts import PARTS

Spec = dict[str, Any]
PART_TITLES = {"cv": "cross-validation", "test": "test"}
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
LISTED, OTHERS, INK, SOFT, LINE, SECOND = (
    f"var(--{name})" for name in ("listed", "others", "ink", "soft", "line", "second")
)
CONFIG = {
    "background": None,
    "padding": {"left": 24, "top": 5, "right": 8, "bottom": 5},  # for wider fonts than those here
    "aria": False,  # the alternative text of the picture says what is in it
    "font": "Arial, 'Liberation Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": INK, "gridColor": LINE, "domainColor": SOFT,
        "tickColor": SOFT, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "labelLimit": 240, "titlePadding": 8,
    },
    "legend": {
        "labelColor": INK, "labelFontSize": 12, "title": None, "orient": "top", "labelLimit": 260,
    },
    "title": {"color": INK, "fontSize": 13, "anchor": "start"},
}  # fmt: skip
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]


def svg(spec: Spec) -> str:
    """The chart as an SVG element that scripts and styles of the page can reach."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg({"$schema": SCHEMA, "config": CONFIG, **spec})
    # A hundredth of a pixel is enough; texts between tags stay as they are.
    drawn = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), drawn)
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def scores(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """AUC and its interval of each of `rows`: `name`, and a score per part."""
    values = [
        {"model": row["name"], "part": PART_TITLES[part], "x": row[part]["value"],
         "low": row[part]["low"], "high": row[part]["high"]}
        for row in rows for part in PARTS
    ]  # fmt: skip
    low = min([0.5, *(value["low"] for value in values if value["low"] is not None)])
    x = {
        "type": "quantitative", "scale": {"domain": [low, 1], "nice": True},
        "axis": {"tickCount": 6, "format": ".1f"},
    }  # fmt: skip
    colour = {
        "field": "part", "type": "nominal",
        "scale": {"domain": list(PART_TITLES.values()), "range": [SECOND, LISTED]},
    }  # fmt: skip
    chance = {
        "x": {"datum": 0.5, **x}, "y": None, "yOffset": None, "color": {"value": SOFT},
    }  # fmt: skip
    title = "AUC with 95% interval (0.5 is chance)"
    return {
        "width": 250,
        "height": {"step": 15},
        "data": {"values": values},
        "encoding": {
            "y": {"field": "model", "type": "nominal", "sort": None, "title": None},
            "yOffset": {"field": "part", "type": "nominal", "sort": None},
            "color": colour,
        },
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": chance},
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"x": {"field": "low", "title": title, **x}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"x": {"field": "x", **x}},
            },
        ],
    }


def curves(
    table: pd.DataFrame, x: str, y: str, models: Mapping[str, str], *, points: bool = False
) -> Spec:
    """Curves of cross-validation and test side by side, one per model; of several classes, one."""
    several = "class" in table
    mine = table[table["model"].isin(models)]
    if several:
        mine = mine[mine["model"] == next(iter(models))]
    line = mine["class"] if several else mine["model"].map(models)
    known = pd.DataFrame({"line": line, "part": mine["part"], "x": mine[x], "y": mine[y]})
    known["at"] = range(len(known))
    order = [name for name in models.values() if name in set(line)] or sorted(set(line))
    axes = {
        axis: {
            "field": axis, "type": "quantitative", "title": name.replace("_", " "),
            "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5},
        }
        for axis, name in (("x", x), ("y", y))
    }  # fmt: skip
    nominal = {"field": "line", "type": "nominal", "sort": order}
    looks: Spec = {
        "color": {**nominal, "scale": {"range": [LISTED, SECOND, INK, SOFT, OTHERS]}},
        "strokeDash": {**nominal, "scale": {"range": DASHES}, "legend": None},
    }
    if len(order) > len(DASHES) + 1:  # too many to be told apart
        looks = {"color": {"value": LISTED}, "opacity": {"value": 0.4}, "detail": nominal}
    looks["order"] = {"field": "at"}
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 30} if points else False}
    return {
        "hconcat": [
            {
                "title": title, "width": 230, "height": 230,
                "data": {"values": known[known["part"] == part].round(4).to_dict("records")},
                "mark": mark,
                "encoding": axes | looks,
            }
            for part, title in PART_TITLES.items()
        ],
    }  # fmt: skip


def top_genes(ranking: pd.DataFrame, n: int = 25) -> Spec:
    """The `n` genes that the network uses most, with the direction of their effect."""
    top = ranking.nlargest(n, "score")
    several = len(set(ranking["channel"])) > 1
    channel = ", " + top["channel"].str.replace("_", " ") if several else ""
    table = pd.DataFrame(
        {
            "gene": top["gene"] + channel,
            "score": top["score"].round(4),
            "direction": top["direction"].replace("mixed", "no clear shift"),
        }
    )
    colour = {
        "field": "direction", "type": "nominal",
        "scale": {"domain": ["up", "down", "no clear shift"], "range": [SECOND, LISTED, OTHERS]},
    }  # fmt: skip
    return {
        "width": 380,
        "height": {"step": 17},
        "data": {"values": table.to_dict("records")},
        "mark": {"type": "bar", "height": 6},
        "encoding": {
            "y": {"field": "gene", "type": "nominal", "sort": None, "title": None},
            "x": {"field": "score", "type": "quantitative", "title": "score (logits)"},
            "color": colour,
        },
    }


def replication(table: pd.DataFrame, named: int = 15) -> Spec:
    """Effects of the listed markers in either cohort; the first `named` with their names."""
    kinds = {"replicated": LISTED, "same sign only": OTHERS, "other sign": SECOND}
    same, again = table["same_sign"].astype(bool), table["replicated"].astype(bool)
    kind = same.map({True: "same sign only", False: "other sign"}).mask(again, "replicated")
    points = pd.DataFrame(
        {
            "x": table["effect_internal"].round(4),
            "y": table["effect_external"].round(4),
            "kind": kind,
            "name": table["gene"].where(np.arange(len(table)) < named, ""),
        }
    )
    x, y = (
        {"field": axis, "type": "quantitative", "title": f"effect (Hedges' g) {where}"}
        for axis, where in (("x", "here"), ("y", "in the independent cohort"))
    )
    line = {"type": "rule", "color": SOFT}
    return {
        "width": 380,
        "height": 320,
        "data": {"values": points.to_dict("records")},
        "layer": [
            {"mark": line, "encoding": {"x": {"datum": 0, "type": "quantitative"}}},
            {"mark": line, "encoding": {"y": {"datum": 0, "type": "quantitative"}}},
            {
                "mark": {"type": "point", "filled": True, "size": 50, "opacity": 0.9},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": {
                        "field": "kind", "type": "nominal",
                        "scale": {"domain": list(kinds), "range": list(kinds.values())},
                    },
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "dy": -5, "color": INK},
                "encoding": {"x": x, "y": y, "text": {"field": "name"}},
            },
        ],
    }  # fmt: skip
