"""What moves together, found without looking at labels: latent factors and co-expression modules.

A factor is a direction of the whole cohort, such as purity or a subtype; a module is a group of
genes with one common activity. Both are fitted on training samples and applied to others.
"""

from dataclasses import dataclass

import numpy as np

CORRELATION = 0.5
"""Genes join a module when their |correlation| with its first gene is at least this."""
STRETCH = 10.0
"""What factors leave of a gene is stretched to the gene's own SD, this many times at most."""
SMALLEST = 5
"""Genes in a module at least."""
EXACT, LEADING = 1_500, 512
"""With more samples than the first, only so many eigenvectors of theirs are computed."""
BLOCK = 1_000
"""Genes whose correlations with all others are computed at a time, which bounds the memory."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Directions along which many genes vary together, of highest variance first."""

    center: np.ndarray
    """`(genes,)` float32 training means."""
    axes: np.ndarray
    """`(genes, factors)` float32, orthonormal columns."""

    def scores(self, x: np.ndarray) -> np.ndarray:
        """`(samples, factors)` position of each sample of `x`, `(samples, genes)`."""
        placed: np.ndarray = (x - self.center) @ self.axes
        return placed

    def residual(self, x: np.ndarray) -> np.ndarray:
        """`(samples, genes)` what the factors leave of `x`, centred."""
        centred = x - self.center
        left: np.ndarray = centred - (centred @ self.axes) @ self.axes.T
        return left


@dataclass(frozen=True, eq=False)
class Adjustment:
    """An image without the latent factors of each channel, the factors' scores beside it."""

    factors: tuple[Factors, ...]
    """One per channel, over its pixels."""
    stretch: np.ndarray
    """`(pixels, channels)` float32: gives what is left of a gene the gene's own SD."""
    score_sd: np.ndarray
    """`(factors of all channels,)` float32 SD of the scores."""

    def apply(self, images: np.ndarray) -> np.ndarray:
        """`(samples, pixels * channels + factors)` features of `(samples, pixels, channels)`."""
        parts = [f.residual(images[:, :, c]) for c, f in enumerate(self.factors)]
        left = (np.stack(parts, axis=2) * self.stretch).reshape(len(images), -1)
        scores = [f.scores(images[:, :, c]) for c, f in enumerate(self.factors)]
        return np.hstack([left, np.hstack(scores) / self.score_sd])

    def fold(self, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias on raw images that do what `kernel` does on the features of `apply`."""
        n_pixels, n_channels = self.stretch.shape
        pixels = kernel[: n_pixels * n_channels].reshape(n_pixels, n_channels, -1)
        pixels = pixels * self.stretch[:, :, None]
        scores = kernel[n_pixels * n_channels :] / self.score_sd[:, None]
        raw, bias, start = np.empty_like(pixels), np.zeros(kernel.shape[1]), 0
        for c, found in enumerate(self.factors):
            mine = scores[start : start + found.axes.shape[1]]
            raw[:, c] = pixels[:, c] + found.axes @ (mine - found.axes.T @ pixels[:, c])
            bias -= found.center.astype(np.float64) @ raw[:, c]
            start += len(mine)
        return raw.reshape(-1, kernel.shape[1]), bias.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Modules:
    """Groups of genes with a common activity; a gene is in one module at most."""

    center: np.ndarray
    """`(genes,)` float32 training means."""
    weights: np.ndarray
    """`(genes, modules)` float32; 0 for genes outside the module."""

    def members(self) -> list[np.ndarray]:
        """Positions of each module's genes."""
        return [np.flatnonzero(column) for column in self.weights.T]

    def activity(self, x: np.ndarray) -> np.ndarray:
        """`(samples, modules)` float32 activities of `x`: mean 0, variance 1 in training."""
        active: np.ndarray = (x - self.center) @ self.weights
        return active


def standardised(x: np.ndarray) -> np.ndarray:
    """`(samples, columns)` float32 of mean 0 and variance 1; a constant column is 0."""
    x = np.asarray(x, dtype=np.float32) - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    sd = x.std(axis=0)
    scaled: np.ndarray = np.divide(x, sd, out=np.zeros_like(x), where=sd > 1e-6)
    return scaled


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """`(samples, rank)` basis of what the columns span."""
    basis, singular, _ = np.linalg.svd(columns, full_matrices=False)
    spanned: np.ndarray = basis[:, singular > 1e-9 * singular[0]]
    return spanned


def leading_vectors(gram: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, rising, and eigenvectors of a Gram matrix: all, or the first of many samples.

    Of more than `EXACT` samples the `LEADING` largest ones, by random projection.

    Returns
    -------
    values, vectors
        `(rank,)` and `(samples, rank)` float64.

    References
    ----------
    Halko, Martinsson & Tropp 2011, Finding structure with randomness.
    """
    if len(gram) <= EXACT:
        values, vectors = np.linalg.eigh(gram.astype(np.float64))
        return values, vectors
    from sklearn.utils.extmath import randomized_svd

    vectors, values, _ = randomized_svd(gram, LEADING, random_state=seed)
    return values[::-1].astype(np.float64), vectors[:, ::-1].astype(np.float64)


def find_factors(x: np.ndarray, seed: int) -> Factors:
    """The factors of `(samples, genes)` values beyond chance: parallel analysis (Horn 1965)."""
    x = np.asarray(x, dtype=np.float32)
    center = x.mean(axis=0)
    centred = x - center
    values, vectors = leading_vectors(centred @ centred.T, seed)
    shuffled = np.random.default_rng(seed).permuted(centred, axis=0)
    chance = leading_vectors(shuffled @ shuffled.T, seed)[0][-1]
    kept = np.flatnonzero(values > max(chance, 1e-9))[::-1]
    axes = centred.T @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    return Factors(center, axes)


def two_valued(x: np.ndarray) -> list[bool]:
    """Whether each channel of `(samples, genes, channels)` has two values at most, gene by gene."""
    return [bool(np.all((v == v.min(axis=0)) | (v == v.max(axis=0)))) for v in np.moveaxis(x, 2, 0)]


def find_adjustment(x: np.ndarray, seed: int) -> Adjustment | None:
    """The adjustment of `(samples, genes, channels)`; None when no channel has a factor."""
    factors, stretch, score_sd = [], [], []
    for values, binary in zip(np.moveaxis(x, 2, 0), two_valued(x), strict=True):
        found = find_factors(values, seed)
        if binary:
            found = Factors(found.center, found.axes[:, :0])
        own, left = values.std(axis=0), found.residual(values).std(axis=0)
        stretched = np.divide(own, left, out=np.zeros_like(own), where=left > 0)
        factors.append(found)
        stretch.append(np.minimum(stretched, STRETCH))
        score_sd.append(found.scores(values).std(axis=0))
    if not sum(map(len, score_sd)):
        return None
    return Adjustment(tuple(factors), np.stack(stretch, axis=1), np.concatenate(score_sd))


def find_modules(
    x: np.ndarray,
    *,
    correlation: float = CORRELATION,
    smallest: int = SMALLEST,
    most: int | None = None,
) -> Modules:
    """The modules of `(samples, genes)` values, found greedily, the largest first."""
    x = np.asarray(x, dtype=np.float32)
    center, sd = x.mean(axis=0), x.std(axis=0)
    scale = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 0)
    unit = (x - center) * (scale / np.float32(np.sqrt(len(x))))
    linked = _linked(unit, correlation)
    degree = linked.sum(axis=1)
    free = np.ones(x.shape[1], dtype=bool)
    columns: list[np.ndarray] = []
    while most is None or len(columns) < most:
        leader = int(np.argmax(np.where(free, degree, -1)))
        if not free[leader] or degree[leader] + 1 < smallest:
            break
        members = np.flatnonzero(linked[leader] & free)
        members = np.sort(np.append(members, leader))
        free[members] = False
        degree -= linked[members].sum(axis=0)
        columns.append(_component(unit[:, members], members, scale))
    weights = np.stack(columns, axis=1) if columns else np.zeros((x.shape[1], 0), dtype=np.float32)
    return Modules(center, weights)


def _linked(unit: np.ndarray, correlation: float) -> np.ndarray:
    """`(genes, genes)` bool: which pairs of different genes are correlated enough."""
    linked = np.empty((unit.shape[1], unit.shape[1]), dtype=bool)
    for start in range(0, unit.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        rows = np.abs(unit[:, block].T @ unit[:, start:]) >= correlation
        linked[block, start:], linked[start:, block] = rows, rows.T
    np.fill_diagonal(linked, False)
    return linked


def _component(unit: np.ndarray, members: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """`(genes,)` float32 weights of the first principal component, with which most of them rise."""
    wide = unit.shape[1] > unit.shape[0]  # the smaller of the two products has the same values
    values, vectors = np.linalg.eigh((unit @ unit.T if wide else unit.T @ unit).astype(np.float64))
    axis = vectors[:, -1] / np.sqrt(values[-1])
    if wide:
        axis = axis @ unit / np.sqrt(values[-1])
    axis *= np.sign(np.median(axis)) or 1.0
    column = np.zeros(len(scale), dtype=np.float32)
    column[members] = axis * scale[members]
    return column
