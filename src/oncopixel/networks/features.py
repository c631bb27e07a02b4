"""What the exact paths of `hybrid` may read, found without labels."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from ..images.coexpression import Adjustment, find_adjustment, find_modules, pairs, two_valued

MODULES = 64
"""Co-expression modules whose pairs are offered, at most: each weighs 4 bytes per pixel."""


@dataclass(frozen=True, eq=False)
class Products:
    """Products of images: module by module and channel by channel, of mean 0 and variance 1.

    The activity of a module is a weighted sum of the first channel's pixels.
    """

    weights: np.ndarray
    """`(pixels, modules)` float32."""
    offset: np.ndarray
    """`(modules,)` float32, added to the sums."""
    channels: tuple[tuple[int, int], ...]
    """Pairs of channels that are multiplied gene by gene."""
    center: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0
    """`(products,)`: a feature is (product - center) * scale."""

    def apply(self, images: np.ndarray) -> np.ndarray:
        """`(samples, products)` of `(samples, pixels, channels)`: every two modules, then genes."""
        activity = images[:, :, 0] @ self.weights + self.offset
        first, second = pairs(activity.shape[1])
        hits = [images[:, :, a] * images[:, :, b] for a, b in self.channels]
        products = np.hstack([activity[:, first] * activity[:, second], *hits])
        return np.asarray((products - self.center) * self.scale)

    def standardised(self, images: np.ndarray) -> Self:
        """The same with the mean and the variance of these images; constants become 0."""
        raw = replace(self, center=0.0, scale=1.0).apply(images)
        sd = raw.std(axis=0)
        scale = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 1e-6)
        return replace(self, center=raw.mean(axis=0), scale=scale)

    def fold(self, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The network's kernel and bias for a `kernel` of `(products, classes)`.

        The network multiplies all modules by all, and has the channel pairs of a gene together.
        """
        n_modules, n_classes = self.weights.shape[1], kernel.shape[1]
        scaled = kernel * np.reshape(self.scale, (-1, 1))
        bias = -np.sum(np.reshape(self.center, (-1, 1)) * scaled, axis=0)
        first, second = pairs(n_modules)
        square = np.zeros((n_modules, n_modules, n_classes), np.float32)
        square[first, second] = scaled[: len(first)]
        hits = scaled[len(first) :].reshape(len(self.channels), len(self.weights), n_classes)
        flat = [a.reshape(-1, n_classes) for a in (square, hits.transpose(1, 0, 2))]
        return np.concatenate(flat), bias


@dataclass(frozen=True, eq=False)
class Features:
    """Feature sets of the same samples, each `(samples, features)` float32.

    `adjusted`: the image without its latent factors, and the factors; None without factors.
    `multiplied`: the products; None when there is nothing to multiply.
    """

    raw: np.ndarray
    adjustment: Adjustment | None
    adjusted: np.ndarray | None
    products: Products | None
    multiplied: np.ndarray | None

    def blocks(self, *, adjusted: bool, products: bool) -> list[np.ndarray]:
        """The features of an exact path that reads the chosen ones."""
        chosen = [self.adjusted if adjusted else self.raw, self.multiplied if products else None]
        return [block for block in chosen if block is not None]

    def take(self, part: np.ndarray) -> Self:
        """The same features of some of the samples."""
        return replace(
            self,
            raw=self.raw[part],
            adjusted=None if self.adjusted is None else self.adjusted[part],
            multiplied=None if self.multiplied is None else self.multiplied[part],
        )


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def find_features(
    images: np.ndarray, seed: int, *, adjusted: bool = True, products: bool = True
) -> Features:
    """The feature sets of `(samples, height, width, channels)` images; no label is looked at.

    Beside the image itself: what latent factors leave of it, with the factors (of channels with
    more than two values only); and products, of the activities of every two co-expression modules
    of the first channel and of each two-valued channel (mutation) with each other one, gene by
    gene: a gene hit twice (Knudson 1971).
    """
    x = np.asarray(images, np.float32).reshape(len(images), -1, images.shape[-1])
    adjustment = find_adjustment(x, seed) if adjusted else None
    multiplier = _products(x) if products else None
    return Features(
        raw=x.reshape(len(x), -1),
        adjustment=adjustment,
        adjusted=adjustment.apply(x) if adjustment else None,
        products=multiplier,
        multiplied=multiplier.apply(x) if multiplier else None,
    )


def _products(x: np.ndarray) -> Products | None:
    """The products of `(samples, pixels, channels)`; None when there is nothing to multiply."""
    modules = find_modules(x[:, :, 0], most=MODULES)
    couples = tuple((a, b) for b, binary in enumerate(two_valued(x)) if binary for a in range(b))
    products = Products(modules.weights, -modules.center @ modules.weights, couples)
    found = products.standardised(x)
    return found if np.any(found.scale) else None
