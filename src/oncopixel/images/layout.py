"""Where each gene stands in the image: one gene per pixel, never two.

`genomic` puts chromosome neighbours side by side (copy-number segments become patches) and needs
no fitting; `cluster` and `tsne` put co-expressed genes side by side and are fitted on the values
they are given, which must be training values only; `random` is the control that says whether a
layout matters at all. Whatever the layout, the table of pixels is the inverse.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y", "MT")
MAX_SAMPLES = 1_000
"""Samples that a fitted layout needs at most; more make it slower, not better."""
COMPONENTS = 30
CLUSTER_LANDMARKS = 5_000
TSNE_LANDMARKS = 1_000


def assign_pixels(
    genes: pd.DataFrame,
    values: np.ndarray,
    *,
    layout: str,
    image: tuple[int, int],
    seed: int,
) -> np.ndarray:
    """`(genes, 2)` row and column of each gene, all different.

    `genes` is indexed by symbol and has `chromosome` and `start`; `values` is `(samples, genes)`
    float32, standardised, of training samples only (`genomic` and `random` do not look at it).
    `ValueError` when there are more genes than pixels.
    """
    height, width = image
    if len(genes) > height * width:
        raise ValueError(f"{len(genes)} genes do not fit in {height} x {width} pixels")
    if layout == "tsne":
        return _tsne_pixels(values, image, seed)
    pixels = np.empty((len(genes), 2), dtype=np.int64)
    if layout == "genomic":
        pixels[genomic_order(genes)] = hilbert_walk(height, width)[: len(genes)]
    elif layout == "cluster":
        pixels[_cluster_order(values, seed)] = hilbert_walk(height, width)[: len(genes)]
    elif layout == "random":
        drawn = np.random.default_rng(seed).permutation(height * width)[: len(genes)]
        pixels[:] = np.column_stack(np.divmod(drawn, width))
    else:
        raise ValueError(f"no layout {layout!r}")
    return pixels


def genomic_order(genes: pd.DataFrame) -> np.ndarray:
    """Positions of the genes along the genome: chromosomes 1 … 22, X, Y, MT, then the unknown."""
    ranks = {name: rank for rank, name in enumerate(CHROMOSOMES)}
    rank = genes["chromosome"].map(ranks).fillna(len(ranks)).to_numpy(dtype=float)
    return np.lexsort((genes.index.to_numpy(dtype=str), genes["start"].to_numpy(), rank))


def hilbert_walk(height: int, width: int) -> np.ndarray:
    """`(height * width, 2)` rows and columns along a Hilbert curve that fills any rectangle.

    Each step goes to an adjacent pixel; where a side is odd a single step may be diagonal. After
    the generalised Hilbert curve of J. Červený, 2018 (github.com/jakubcerveny/gilbert).
    """
    along, across = (complex(width), 1j * height)
    if height > width:
        along, across = across, along
    walk = np.array(list(_walk(0j, along, across)))
    return np.column_stack((walk.imag, walk.real)).astype(np.int64)


def _walk(start: complex, along: complex, across: complex) -> Iterator[complex]:
    """The pixels (column + row i) of the rectangle that two sides span, beginning at `start`."""
    length, breadth = int(abs(along)), int(abs(across))
    step, side_step = along / length, across / breadth
    if breadth == 1:
        yield from (start + i * step for i in range(length))
    elif length == 1:
        yield from (start + i * side_step for i in range(breadth))
    elif 2 * length > 3 * breadth:  # long: two halves, one after the other
        half = _half(length) * step
        yield from _walk(start, half, across)
        yield from _walk(start + half, along - half, across)
    else:  # up, along, and down again
        half, up = (length // 2) * step, _half(breadth) * side_step
        yield from _walk(start, up, half)
        yield from _walk(start + up, along, across - up)
        yield from _walk(start + along - step + up - side_step, -up, half - along)


def _half(length: int) -> int:
    """Half of a side, made even where it can be, so that the walk leaves at the right corner."""
    half = length // 2
    return half + 1 if half % 2 and length > 2 else half


def _cluster_order(values: np.ndarray, seed: int) -> np.ndarray:
    """Genes in the leaf order of average-linkage clustering on correlation.

    Linkage is quadratic: above `CLUSTER_LANDMARKS` genes a random sample is clustered and every
    other gene follows the sampled gene that it correlates with most.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from threadpoolctl import threadpool_limits

    if values.shape[1] < 3:
        return np.arange(values.shape[1])
    with threadpool_limits(1):  # the last bits, and so ties, depend on the number of threads
        points = _points(values, seed)
        landmarks = _landmarks(len(points), CLUSTER_LANDMARKS, seed)
        leaves = leaves_list(linkage(points[landmarks], "average"))
        distance, nearest = _nearest(points, landmarks, 1)
    place = np.empty(len(leaves), dtype=np.int64)
    place[leaves] = np.arange(len(leaves))
    return np.lexsort((distance[:, 0], place[nearest[:, 0]]))


def _tsne_pixels(values: np.ndarray, image: tuple[int, int], seed: int) -> np.ndarray:
    """Pixels that keep the neighbourhoods of a t-SNE map of the genes.

    PCA-initialised t-SNE (Kobak & Berens 2019, Nat Commun 10:5416) of at most `TSNE_LANDMARKS`
    genes; the others stand between their three nearest. Pixels are then dealt by rank: genes are
    cut into columns by x, and each column is sorted by y. An optimal assignment is cubic in genes.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n_genes = values.shape[1]
    with threadpool_limits(1):
        points = _points(values, seed)
        landmarks = _landmarks(n_genes, TSNE_LANDMARKS, seed)
        start = points[landmarks, :2]
        flat = start * (1e-4 / max(float(start[:, 0].std()), 1e-12))
        if len(landmarks) > 3:
            perplexity = min(30.0, (len(landmarks) - 1) / 3)
            model = TSNE(perplexity=perplexity, init=flat, max_iter=500, random_state=seed)
            flat = model.fit_transform(points[landmarks])
        _, nearest = _nearest(points, landmarks, min(3, len(landmarks)))
    placed = flat[nearest].mean(axis=1)
    placed[landmarks] = flat
    return _deal(placed, image)


def _deal(points: np.ndarray, image: tuple[int, int]) -> np.ndarray:
    """`(points, 2)` pixels by rank: columns of equal size by x, evenly spaced rows by y."""
    height, width = image
    pixels = np.empty((len(points), 2), dtype=np.int64)
    by_x = np.argsort(points[:, 0], kind="stable")
    for column, members in enumerate(np.array_split(by_x, width)):
        by_y = members[np.argsort(points[members, 1], kind="stable")]
        pixels[by_y, 0] = np.arange(len(by_y)) * height // max(len(by_y), 1)
        pixels[by_y, 1] = column
    return pixels


def _points(values: np.ndarray, seed: int) -> np.ndarray:
    """`(genes, components)` principal coordinates: squared distance is 2 - 2 r, r correlation."""
    from sklearn.utils.extmath import randomized_svd

    centred = values - values.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    centred /= np.where(length > 0, length, 1)
    wanted = min(COMPONENTS, *centred.shape)
    left, sizes, _ = randomized_svd(centred.T, wanted, n_iter=4, random_state=seed)
    points = np.zeros((values.shape[1], max(wanted, 2)))
    points[:, :wanted] = left * sizes
    return points


def _landmarks(n_genes: int, wanted: int, seed: int) -> np.ndarray:
    """Sorted positions of a random sample of genes, or of all where there are few."""
    drawn = np.random.default_rng(seed).permutation(n_genes)[:wanted]
    return np.sort(drawn)


def _nearest(points: np.ndarray, landmarks: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance to and number of the `k` nearest landmarks, each `(points, k)`."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points[landmarks])
    distance, number = search.kneighbors(points)
    return distance, number
