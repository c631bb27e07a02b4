"""Figures of a report: frames and arrays in, Matplotlib figures and their bytes out."""

from .curves import roc
from .images import class_attribution
from .markers import evidence, top_genes
from .regions import regions
from .style import to_png, to_svg

__all__ = ["class_attribution", "evidence", "regions", "roc", "to_png", "to_svg", "top_genes"]
