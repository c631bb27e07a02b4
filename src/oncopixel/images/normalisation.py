"""Expression on one scale: library sizes, log2(x + 1), and its moments over samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..cohort.contract import Cohort
from ..core.errors import SourceError
from ..core.params import PreprocessParams

CHUNK = 256
"""Samples that are worked on at a time: memory stays near that of the input and the output."""
EXPRESSED = 1.0
"""log2(x + 1) above which a gene is expressed, that is x > 1."""
CONSTANT = 1e-10
"""Variance up to which a gene is constant; float32 noise of log2 values is below it."""
UPPER_QUARTILE = 1_000.0
"""What the upper quartile of a sample becomes, as in TCGA's RSEM `normalized_count`."""


@dataclass(frozen=True)
class Moments:
    """Per gene, over the training samples: number measured, mean, variance, share expressed."""

    measured: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    expressed: np.ndarray


def method_of(scale: str, params: PreprocessParams) -> str:
    """`none`, `cpm` or `upper_quartile`; the scale of the training cohort decides `auto`."""
    if params.normalise == "auto":
        return "cpm" if scale == "counts" else "none"
    return params.normalise


def log2_chunks(
    cohort: Cohort, channel: str, method: str, rows: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Offset and values `(<= CHUNK, genes)` of these rows; expression as normalised log2(x + 1)."""
    layer = cohort.layer(channel)
    for start in range(0, len(rows), CHUNK):
        chunk = layer[rows[start : start + CHUNK]]
        if channel != "expression":
            yield start, chunk
            continue
        if cohort.scale != "log2" and (chunk < 0).any():
            row, gene = np.argwhere(chunk < 0)[0]
            raise SourceError(
                f"expression of gene {cohort.genes.index[gene]} in sample "
                f"{cohort.samples.index[rows[start + row]]} is {chunk[row, gene]:g}, but the scale "
                f"`{cohort.scale}` has no negative values. Declare `log2` if they are logged."
            )
        yield start, to_log2(chunk, cohort.scale, method)


def to_log2(values: np.ndarray, scale: str, method: str) -> np.ndarray:
    """`(samples, genes)` float32 log2(x + 1) of normalised x; a sample without any count is NaN."""
    if scale == "log2" and method == "none":
        return values
    linear = np.exp2(values) - 1 if scale == "log2" else values
    if method != "none":
        size = _library_sizes(linear, method)
        factor = np.divide(1, size, out=np.full(len(size), np.nan), where=size > 0)
        linear = linear * factor[:, np.newaxis].astype(np.float32)
    logged: np.ndarray = np.log2(linear + 1)
    return logged


def _library_sizes(linear: np.ndarray, method: str) -> np.ndarray:
    """`(samples,)` number that each sample is divided by."""
    if method == "cpm":
        return np.asarray(np.nansum(linear, axis=1, dtype=np.float64) / 1e6)
    # Of the genes that the sample expresses: Bullard et al. 2010, BMC Bioinformatics 11:94.
    quartiles = [np.percentile(x[x > 0], 75) if (x > 0).any() else 0.0 for x in linear]
    return np.array(quartiles) / UPPER_QUARTILE


def moments(cohort: Cohort, channel: str, params: PreprocessParams, rows: np.ndarray) -> Moments:
    """Moments of one channel, merged chunk by chunk (Chan, Golub & LeVeque 1983)."""
    method = method_of(cohort.scale, params)
    count, mean, squares, expressed = (np.zeros(len(cohort.genes)) for _ in range(4))
    for _, chunk in log2_chunks(cohort, channel, method, rows):
        measured = ~np.isnan(chunk)
        more = measured.sum(axis=0)
        total = np.where(measured, chunk, 0).sum(axis=0, dtype=np.float64)
        chunk_mean = total / np.maximum(more, 1)
        deviation = np.where(measured, chunk - chunk_mean, 0)
        shift, share = chunk_mean - mean, more / np.maximum(count + more, 1)
        squares += np.square(deviation).sum(axis=0) + shift**2 * count * share
        mean += shift * share
        count += more
        expressed += (chunk > EXPRESSED).sum(axis=0)
    return Moments(count, mean, squares / np.maximum(count, 1), expressed / len(rows))
