"""Figures of a report: frames and arrays in, Matplotlib figures out; `to_png` makes them files."""

from .curves import calibration, confusion, pr, roc
from .gene_sets import enrichment
from .images import class_attribution, class_images
from .markers import evidence, external, fdp, top_genes
from .resampling import selection_frequency, stability
from .style import to_png

__all__ = [
    "calibration", "class_attribution", "class_images", "confusion", "enrichment", "evidence",
    "external", "fdp", "pr", "roc", "selection_frequency", "stability", "to_png", "top_genes",
]  # fmt: skip
