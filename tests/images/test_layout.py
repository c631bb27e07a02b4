"""One gene per pixel, neighbours where a layout promises neighbours, and the same every time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncopixel.images.layout import assign_pixels, genomic_order, hilbert_walk, in_rows

LAYOUTS = ["genomic", "random"]


def gene_table(n_genes: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "chromosome": rng.choice(["1", "2", "10", "X", "MT", ""], n_genes),
            "start": rng.integers(0, 1_000, n_genes),
        },
        index=[f"G{i}" for i in range(n_genes)],
    )


@settings(derandomize=True, deadline=None, max_examples=40)
@given(height=st.integers(1, 24), width=st.integers(1, 24))
def test_hilbert_walk_visits_every_pixel_stepping_to_a_neighbour(height: int, width: int) -> None:
    walk = hilbert_walk(height, width)
    assert {tuple(pixel) for pixel in walk} == {(r, c) for r in range(height) for c in range(width)}
    steps = np.abs(np.diff(walk, axis=0))
    assert (steps.max(axis=1) == 1).all()
    diagonal = (steps.sum(axis=1) == 2).sum()
    assert diagonal <= (0 if height % 2 == 0 and width % 2 == 0 else 1)


def test_hilbert_walk_keeps_segments_compact() -> None:
    """100 genes in a row of the genome lie in a patch, not in a stripe across the image."""
    walk = hilbert_walk(100, 100).reshape(100, 100, 2)
    extents = np.ptp(walk, axis=1).max(axis=1) + 1
    assert extents.mean() < 25


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    name=st.sampled_from(LAYOUTS),
    n_genes=st.integers(1, 40),
    width=st.integers(1, 9),
    spare=st.integers(0, 3),
)
def test_every_gene_has_its_own_pixel(name: str, n_genes: int, width: int, spare: int) -> None:
    height = -(-n_genes // width) + spare
    pixels = assign_pixels(gene_table(n_genes), layout=name, image=(height, width), seed=1)
    assert pixels.shape == (n_genes, 2)
    assert (pixels >= 0).all()
    assert (pixels < [height, width]).all()
    assert len(np.unique(pixels, axis=0)) == n_genes


@pytest.mark.parametrize("name", LAYOUTS)
def test_same_seed_same_pixels(name: str) -> None:
    genes = gene_table(60)
    first, second = (assign_pixels(genes, layout=name, image=(8, 8), seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_genomic_order_is_by_chromosome_then_start_unknown_last() -> None:
    genes = pd.DataFrame(
        {"chromosome": ["", "10", "2", "2", "MT", "X", "2"], "start": [-1, 5, 9, 3, 1, 2, 9]},
        index=["unknown", "ten", "two_b", "two_a", "mito", "x", "two_c"],
    )
    order = genes.index[genomic_order(genes)]
    assert list(order) == ["two_a", "two_b", "two_c", "ten", "x", "mito", "unknown"]
    pixels = assign_pixels(genes, layout="genomic", image=(4, 4), seed=1)
    walked = pixels[genomic_order(genes)]
    np.testing.assert_array_equal(walked, hilbert_walk(4, 4)[:7])


def test_random_layout_depends_on_the_seed() -> None:
    first, second = (
        assign_pixels(gene_table(60), layout="random", image=(8, 8), seed=seed) for seed in (1, 2)
    )
    assert (first != second).any()


def test_more_genes_than_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="10 genes do not fit in 3 x 3 pixels"):
        assign_pixels(gene_table(10), layout="genomic", image=(3, 3), seed=1)


def test_chromosomes_stand_in_one_row_with_gaps_unless_that_is_longer() -> None:
    chromosomes = ((0, 1, 2), (5, 4), (7,))
    assert in_rows(chromosomes, 1, 9).tolist() == [[0, 1, 2, 9, 5, 4, 9, 7]]
    assert in_rows(chromosomes, 0, 9).tolist() == [[0, 1, 2, 5, 4, 7]]
    assert in_rows(chromosomes, 2, 9).tolist() == [[0, 1, 2], [5, 4, 9], [7, 9, 9]]
    assert in_rows(chromosomes[:1], 4, 9).tolist() == [[0, 1, 2]]
