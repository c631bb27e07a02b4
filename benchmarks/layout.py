"""One gene per pixel for 10,000 genes: time, peak memory, neighbours, and an exact peer.

    PYTHONPATH=src python benchmarks/layout.py [--genes N] [--peer N]

The peer is what DeepInsight-like tools do: t-SNE of all genes and an optimal assignment to pixels
(scipy `linear_sum_assignment`, cubic), here on fewer genes. Budget: 10 s for every layout.
"neighbours" is the mean correlation of genes in touching pixels; `random` shows chance.
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd

from oncopixel.images.layout import assign_pixels


def make_genes(n_genes: int, n_samples: int = 1_000) -> tuple[pd.DataFrame, np.ndarray]:
    """Genes of 40 co-expressed modules, scattered over the genome."""
    rng = np.random.default_rng(1)
    modules = rng.normal(size=(n_samples, 40))[:, rng.integers(0, 40, n_genes)]
    values = modules + rng.normal(size=(n_samples, n_genes))
    genes = pd.DataFrame(
        {
            "chromosome": rng.integers(1, 23, n_genes).astype(str),
            "start": rng.integers(0, 10**8, n_genes),
        },
        index=[f"G{i:05d}" for i in range(n_genes)],
    )
    return genes, (values / values.std(axis=0)).astype(np.float32)


def neighbours(values: np.ndarray, pixels: np.ndarray, side: int) -> float:
    unit = values - values.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=0)
    image = np.full((side, side), -1)
    image[pixels[:, 0], pixels[:, 1]] = np.arange(len(pixels))
    first = np.concatenate([image[1:].ravel(), image[:, 1:].ravel()])
    second = np.concatenate([image[:-1].ravel(), image[:, :-1].ravel()])
    both = (first >= 0) & (second >= 0)
    return float(np.einsum("ij,ij->j", unit[:, first[both]], unit[:, second[both]]).mean())


def peer(values: np.ndarray, side: int) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist
    from sklearn.manifold import TSNE

    flat = TSNE(init="pca", random_state=1).fit_transform(values.T)
    flat = (flat - flat.min(axis=0)) / np.ptp(flat, axis=0) * (side - 1)
    grid = np.stack(np.mgrid[:side, :side], axis=-1).reshape(-1, 2)
    return grid[linear_sum_assignment(cdist(flat, grid, "sqeuclidean"))[1]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--genes", type=int, default=10_000)
    parser.add_argument("--peer", type=int, default=2_500, help="genes of the exact peer")
    size = parser.parse_args()

    for n_genes in sorted({size.peer, size.genes}):
        side = int(np.ceil(np.sqrt(n_genes)))
        genes, values = make_genes(n_genes)
        assign_pixels(genes[:50], values[:, :50], layout="tsne", image=(8, 8), seed=1)  # imports
        print(f"{n_genes} genes on {side} x {side} pixels")
        seconds = {}
        for layout in ("genomic", "cluster", "tsne", "random"):
            start = time.perf_counter()
            pixels = assign_pixels(genes, values, layout=layout, image=(side, side), seed=1)
            seconds[layout] = time.perf_counter() - start
            near = neighbours(values, pixels, side)
            print(f"  {layout:8} {seconds[layout]:7.2f} s   neighbours {near:.3f}")
        if n_genes == size.peer:
            start = time.perf_counter()
            pixels = peer(values, side)
            taken = time.perf_counter() - start
            ratio = taken / seconds["tsne"]
            near = neighbours(values, pixels, side)
            print(f"  exact    {taken:7.2f} s   neighbours {near:.3f}   {ratio:.1f} x our tsne")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"  peak memory so far {peak:.2f} GB")


if __name__ == "__main__":
    main()
