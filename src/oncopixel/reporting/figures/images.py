"""Gene images: what the network uses of each class."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import PALE, shortened, styled


@styled
def class_attribution(means: np.ndarray, channels: Sequence[str], classes: Sequence[str]) -> Figure:
    """Mean integrated gradients of each class, `(classes, height, width, channels)`, in logits."""
    n, k = len(channels), len(classes)
    across = n == 1 or k <= 5
    shape = (math.ceil(k / 5), min(k, 5)) if n == 1 else (n, k) if across else (k, n)
    figure = Figure(figsize=(2.5 * shape[1] + 1.1, 2.6 * shape[0] + 0.5))
    grid = figure.subplots(*shape, squeeze=False)
    cells = grid.reshape(1, -1) if n == 1 else grid if across else grid.T
    for c, channel in enumerate(channels):
        size = np.abs(means[..., c])
        high = float(np.percentile(size[size > 0], 99.5)) if size.any() else 1.0
        for axes in cells[c, k:]:
            axes.set_visible(False)
        for name, mean, axes in zip(classes, means[..., c], cells[c], strict=False):
            picture = axes.imshow(
                mean, cmap="PuOr_r", vmin=-high, vmax=high, interpolation="nearest"
            )
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set(visible=True, color=PALE)
            top, side = (shortened(name), channel) if across else (channel, shortened(name))
            if n == 1 or axes.get_subplotspec().is_first_row():
                axes.set_title(top.replace("_", " "))
            if axes.get_subplotspec().is_first_col():
                axes.set_ylabel(side.replace("_", " "))
        place = {"location": "right", "shrink": 0.8} if across else {"location": "bottom"}
        bar = figure.colorbar(picture, ax=list(cells[c]), pad=0.02, aspect=22, **place)
        bar.set_label("mean contribution (logits)", size=9)
        bar.outline.set_visible(False)
    return figure
