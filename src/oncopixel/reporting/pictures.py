"""The pictures of the page, with alternative texts: charts drawn here, figures of the stages."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from ..evaluation.parts import CNN, PARTS
from ..pages.texts import cell, words
from . import charts
from .findings import Findings
from .verdict import MODELS


class Figure(NamedTuple):
    """Where a picture of a stage is from, and where it stands."""

    stage: str
    section: str
    caption: str
    of_genes: bool = False
    """Left out when there is no marker list."""
    kind: str = "png"


# Pictures of the stages; what is lines and text alone is drawn anew, as SVG.
FIGURES = {
    "evidence": Figure("biomarkers", "markers",
        "Evidence against effect of every gene and channel, the listed ones in colour", True),
    "class_attribution": Figure("biomarkers", "use",
        "What each pixel contributes to the network's output, mean of each class", True),
    "regions": Figure("biomarkers", "regions",
        "How often each class gains (up) and loses (down) DNA, its first regions named",
        kind="svg"),
}  # fmt: skip
MAIN = (CNN, "linear_path", "panel", "clinical")
"""Models of the first table, with the best baseline."""


@dataclass(frozen=True)
class Picture:
    """A picture on the page: an SVG element, or the address of one with a file in it."""

    caption: str
    alt: str
    svg: Markup | None = None
    address: str = ""
    plain: bool = False
    """Only where no script runs, and on paper."""


def model_name(name: str) -> str:
    """The model as the page calls it."""
    return MODELS.get(name, words(name))


def main_models(evaluation: Mapping[str, Any], panel_size: int | None) -> dict[str, str]:
    """Name in the results -> name on the page of the models that the first screen compares."""
    models, best = evaluation.get("models", {}), evaluation.get("best_baseline")
    keys = {name: name for name in MAIN} | {"panel": f"panel_{panel_size}"}
    wanted = [CNN, *([best] if best else []), *(keys[name] for name in MAIN[1:])]
    found = dict.fromkeys(name for name in wanted if name in models)
    return {name: model_name("panel" if name == keys["panel"] else name) for name in found}


def drawn_figures(found: Findings, figures: Mapping[str, bytes]) -> dict[str, list[Picture]]:
    """Figures of the markers by section, but for those that have nothing to show."""
    listed = bool(found.summary["list"]["selected"])
    drawn: dict[str, list[Picture]] = {of.section: [] for of in FIGURES.values()}
    for name, content in figures.items():
        figure = FIGURES[name]
        idle = name == "regions" and found.regions.empty
        if not idle and (listed or not figure.of_genes):
            kind = {"png": "png", "svg": "svg+xml"}[figure.kind]
            address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
            alt = f"{figure.caption}. {_numbers(name, found)}"
            drawn[figure.section].append(
                Picture(figure.caption, alt, address=address, plain=name == "evidence")
            )
    if listed:
        drawn["use"].insert(0, _top_genes(found.ranking))
    return drawn


def replication_picture(table: pd.DataFrame) -> Picture | None:
    """Effects of the listed markers in the independent cohort against those in this one."""
    if table.empty:
        return None
    caption = "Effects of the listed markers here and in the independent cohort"
    n = int(table["replicated"].sum())
    return Picture(
        caption,
        f"{caption}: {n} of {len(table)} replicate, {int(table['same_sign'].sum())} have the "
        "same sign.",
        Markup(charts.svg(charts.replication(table))),  # noqa: S704 (Vega escapes texts)
    )


def _top_genes(ranking: pd.DataFrame) -> Picture:
    caption = "The genes that the network uses most, listed or not"
    first = ranking.nlargest(3, "score")
    told = (f"{g} {cell(float(s))}" for g, s in zip(first["gene"], first["score"], strict=True))
    return Picture(
        caption,
        f"{caption}; first, in logits: {', '.join(told)}.",
        Markup(charts.svg(charts.top_genes(ranking))),  # noqa: S704
    )


def score_picture(evaluation: Mapping[str, Any], names: Mapping[str, str]) -> Picture | None:
    """AUC with intervals of the models of the first screen."""
    models = evaluation.get("models", {})
    rows = [
        {"name": title, **{part: models[name][part]["roc_auc"] for part in PARTS}}
        for name, title in names.items()
    ]
    if not rows:
        return None
    told = "; ".join(
        f"{r['name']} {cell(r['cv']['value'])}, {cell(r['test']['value'])}" for r in rows
    )
    return Picture(
        "How well held-out patients are told apart: area under the ROC curve, with 95% intervals; "
        "the dashed line is chance",
        f"Area under the curve in cross-validation and on the test set: {told}.",
        Markup(charts.svg(charts.scores(rows))),  # noqa: S704 (Vega escapes texts)
    )


def curve_pictures(
    evaluation: Mapping[str, Any], names: Mapping[str, str], curves: Mapping[str, pd.DataFrame]
) -> list[Picture]:
    """ROC, precision-recall and calibration curves of the models of the first screen."""
    kinds = {
        "roc": ("false_positive_rate", "true_positive_rate", "ROC curves", "roc_auc"),
        "pr": ("recall", "precision", "Precision and recall", "pr_auc"),
        "calibration": ("predicted", "observed", "Predicted probability against observed frequency",
                        "brier"),
    }  # fmt: skip
    drawn = []
    for kind, (x, y, caption, score) in kinds.items():
        table = curves.get(kind)
        if table is None or not table["model"].isin(names).any():
            continue
        known = {name: title for name, title in names.items() if (table["model"] == name).any()}
        if kind == "calibration":
            known = dict(list(known.items())[:2])
        chart = charts.svg(charts.curves(table, x, y, known, points=kind == "calibration"))
        value = {part: evaluation["models"][CNN][part][score]["value"] for part in PARTS}
        several = " of each class against the others, the network's" if "class" in table else ""
        alt = (
            f"{caption}{several}; {words(score)} of the network {cell(value['cv'])} in "
            f"cross-validation, {cell(value['test'])} on the test set."
        )
        drawn.append(Picture(caption + several, alt, Markup(chart)))  # noqa: S704
    return drawn


def _numbers(name: str, found: Findings) -> str:
    """What a figure of a stage shows, in numbers."""
    listed, summary = found.listed, found.summary
    if name == "evidence":
        top = listed.loc[listed["evidence"].idxmax()]
        return (
            f"{summary['list']['selected']} of {summary['tested']} are listed; the most evidence "
            f"is {cell(float(top['evidence']))}, of {top['gene']}, with an effect of "
            f"{cell(float(top['effect']))}."
        )
    if name == "regions":
        return f"Regions that stand out: {len(found.regions)}."
    return f"Genes, one a pixel: {summary['n_genes']}."
