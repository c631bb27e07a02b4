"""Figures of a report: frames and arrays in, Matplotlib figures out; `to_png` makes them files."""

from .curves import roc
from .images import class_attribution
from .markers import evidence, top_genes
from .regions import regions
from .style import to_png

__all__ = ["class_attribution", "evidence", "regions", "roc", "to_png", "top_genes"]
