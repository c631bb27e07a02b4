"""Where each gene stands in the image: one gene per pixel, never two.

`genomic` puts chromosome neighbours side by side, so that copy-number segments become patches;
`random` is the control that says whether neighbourhood matters at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y", "MT")


@dataclass(frozen=True)
class Genome:
    """Where a network finds the genome in an image."""

    channels: tuple[int, ...]
    """Positions of the channels whose values go together along the genome."""
    chromosomes: tuple[tuple[int, ...], ...]
    """See `find_chromosomes`."""


def assign_pixels(
    genes: pd.DataFrame, *, layout: str, image: tuple[int, int], seed: int
) -> np.ndarray:
    """`(genes, 2)` row and column of each, all different; `layout` is `genomic` or `random`."""
    height, width = image
    if len(genes) > height * width:
        raise ValueError(f"{len(genes)} genes do not fit in {height} x {width} pixels")
    pixels = np.empty((len(genes), 2), dtype=np.int64)
    if layout == "genomic":
        pixels[genomic_order(genes)] = hilbert_walk(height, width)[: len(genes)]
    else:
        drawn = np.random.default_rng(seed).permutation(height * width)[: len(genes)]
        pixels[:] = np.column_stack(np.divmod(drawn, width))
    return pixels


def find_chromosomes(genes: pd.DataFrame, image: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """Where the genes of each chromosome stand in the image.

    Parameters
    ----------
    genes
        With `chromosome`, `row` and `col`, in genomic order.

    Returns
    -------
    A row per chromosome: positions in the flat image, in genomic order.
    """
    flat = genes["row"].to_numpy() * image[1] + genes["col"].to_numpy()
    pixels = (flat[(genes["chromosome"] == name).to_numpy()] for name in CHROMOSOMES)
    return tuple(tuple(own.tolist()) for own in pixels if len(own))


def in_rows(chromosomes: Sequence[Sequence[int]], gap: int, filling: int) -> np.ndarray:
    """All chromosomes in one row with `gap` times `filling` between them; or each in its own.

    Returns
    -------
    `(rows, pixels)`, whichever has less filling: a row of its own is filled up to the longest.
    """
    longest = max(map(len, chromosomes))
    own = [[*row, *[filling] * (longest - len(row))] for row in chromosomes]
    joined = [at for row in chromosomes for at in (*row, *[filling] * gap)][: -gap or None]
    return np.array([joined] if len(joined) < len(own) * longest else own)


def genomic_order(genes: pd.DataFrame) -> np.ndarray:
    """Positions of the genes along the genome: chromosomes 1 … 22, X, Y, MT, then the unknown."""
    ranks = {name: rank for rank, name in enumerate(CHROMOSOMES)}
    rank = genes["chromosome"].map(ranks).fillna(len(ranks)).to_numpy(dtype=float)
    return np.lexsort((genes.index.to_numpy(dtype=str), genes["start"].to_numpy(), rank))


def hilbert_walk(height: int, width: int) -> np.ndarray:
    """`(pixels, 2)` rows and columns of a Hilbert curve (github.com/jakubcerveny/gilbert, 2018)."""
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
