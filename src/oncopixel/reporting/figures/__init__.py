"""Figures of a report: frames and arrays in, Matplotlib figures out; `to_png` makes them files."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .curves import calibration, confusion, pr, roc
from .gene_sets import enrichment
from .images import class_attribution, class_images
from .markers import evidence, external, fdp, top_genes
from .regions import regions
from .resampling import selection_frequency, stability
from .style import to_png

__all__ = [
    "calibration", "class_attribution", "class_images", "confusion", "enrichment", "evidence",
    "external", "fdp", "image_figures", "marker_figures", "pr", "regions", "roc",
    "selection_frequency", "stability", "to_png", "top_genes",
]  # fmt: skip


def marker_figures(
    ranking: pd.DataFrame, gene_sets: pd.DataFrame, realised: pd.DataFrame, claim: str
) -> dict[str, Figure]:
    """The figures of a marker list and its reading, by name."""
    return {
        "top_genes": top_genes(ranking),
        "evidence": evidence(ranking, claim),
        "selection_frequency": selection_frequency(ranking),
        "enrichment": enrichment(gene_sets),
        "fdp": fdp(realised),
    }


def image_figures(
    means: np.ndarray, attribution: np.ndarray, channels: Sequence[str], classes: Sequence[str]
) -> dict[str, Figure]:
    """The figures of `(classes, height, width, channels)` mean images and attributions, by name."""
    return {
        "class_images": class_images(means, channels, classes),
        "class_attribution": class_attribution(attribution, channels, classes),
    }
