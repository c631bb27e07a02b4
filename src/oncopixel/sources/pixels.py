"""Copy number of bins or genes from segments, and what the segments of a sample are like."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from ..cohort.genome import CHROMOSOMES, lengths
from .segments import Segments, weighted_median


@dataclass(frozen=True)
class _Coverage:
    """Of one sample's segments along the whole genome: their number and their sum at each base.

    Both are constant between `at` (positions in order), and known with their integrals from 0.
    """

    at: np.ndarray
    depth: np.ndarray
    level: np.ndarray
    bases: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, start: np.ndarray, end: np.ndarray, value: np.ndarray) -> "_Coverage":
        """Of half-open segments."""
        at = np.concatenate([[0], start, end])
        order = np.argsort(at, kind="stable")
        steps = np.concatenate([[0], np.ones(len(start)), -np.ones(len(end))])[order]
        heights = np.concatenate([[0.0], value, -value])[order]
        at, depth, level = at[order], np.cumsum(steps), np.cumsum(heights)
        level[depth == 0] = 0.0  # without the rounding of the sums
        widths = np.diff(at)
        bases = np.concatenate([[0], np.cumsum(depth[:-1] * widths)])
        area = np.concatenate([[0.0], np.cumsum(level[:-1] * widths)])
        return cls(at, depth, level, bases, area)

    def sums(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bases covered, and their sum of values, from 0 to each edge."""
        before = np.searchsorted(self.at, edges, side="right") - 1
        beyond = edges - self.at[before]
        return (
            self.bases[before] + self.depth[before] * beyond,
            self.area[before] + self.level[before] * beyond,
        )

    def bases_of(self, depth: int) -> float:
        """Bases that so many segments, or more, cover."""
        return float(np.diff(self.at)[self.depth[:-1] >= depth].sum())


def pixel_values(found: Segments, pixels: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Copy number of each pixel, and what the segments of each sample are like.

    Parameters
    ----------
    found
        Segments on hg38 in the order of their samples.
    pixels
        With `chromosome`, `start` and `end`: bins or genes, which may overlap.

    Returns
    -------
    numpy.ndarray
        `(samples, pixels)` float32, the mean of log2(copies / 2) over the bases of the pixel that
        segments cover, NaN where they cover none. Where segments overlap, each counts.
    pandas.DataFrame
        A row per sample: `segments` (their number), `segments_covered` (share of the genome's bases
        under any of them), `segments_overlap` (share of these under several) and
        `segments_baseline` (median over the bases of the autosomes).
    """
    sizes = np.array([lengths()[name] for name in CHROMOSOMES])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ranks = {name: rank for rank, name in enumerate(CHROMOSOMES)}
    first = offsets[pixels["chromosome"].map(ranks).to_numpy()]
    ends = np.stack([pixels["start"].to_numpy() - 1, pixels["end"].to_numpy()]) + first
    edges, where = np.unique(ends, return_inverse=True)
    low, high = where.reshape(ends.shape)
    start = np.maximum(found.start, 1) - 1 + offsets[found.chromosome]
    end = found.end + offsets[found.chromosome]
    limits = np.searchsorted(found.sample, np.arange(len(found.samples) + 1))
    values = np.empty((len(found.samples), len(pixels)), dtype=np.float32)
    facts = []
    for sample, (a, b) in enumerate(pairwise(limits)):
        coverage = _Coverage.of(start[a:b], end[a:b], found.value[a:b])
        bases, area = coverage.sums(edges)
        covered = bases[high] - bases[low]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (area[high] - area[low]) / covered
        values[sample] = np.where(covered > 0, means, np.nan)
        under = coverage.bases_of(1)
        autosomal = found.chromosome[a:b] < CHROMOSOMES.index("X")
        baseline = weighted_median(found.value[a:b][autosomal], (end - start)[a:b][autosomal])
        overlap = coverage.bases_of(2) / under if under else 0.0
        facts.append((int(b - a), under / offsets[-1], overlap, baseline))
    columns = ["segments", "segments_covered", "segments_overlap", "segments_baseline"]
    return values, pd.DataFrame(facts, index=found.samples, columns=columns)
