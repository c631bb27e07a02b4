"""From raw values to gene images; everything that is fitted is fitted on training samples.

Expression: library-size normalisation where the scale asks for it, log2(x + 1), a filter for
expressed genes, the genes of highest variance, the removal of what known confounders explain where
that is asked for (`preprocess.adjust`), and per gene a z-score of the training samples.
Copy number: divided by one number, the root mean square of the training values. Log ratios are on
one scale for all genes and 0 is the neutral state, so centring or scaling each gene would turn the
noise of quiet genes into signal (GISTIC2 scores amplitudes for the same reason: Mermel et al. 2011,
Genome Biol 12:R41). Mutation: 0 or 1 as it is, or a z-score by training frequency. All values are
clipped, and what was not measured is 0: the training mean, the neutral copy number, no mutation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..cohort.contract import BIN_COLUMNS, VAR_COLUMNS, Cohort
from ..core.errors import ParamsError, SourceError
from ..core.params import CHANNELS, PreprocessParams
from .covariates import Covariate, covariate, fit_effects, terms
from .layout import assign_pixels, genomic_order
from .normalisation import CONSTANT, Moments, log2_chunks, method_of, moments
from .preprocessor import Preprocessor, effects_of

PROFILED = 1_000
"""Samples, at most, that the stored distances from the centre are quantiles of."""


@dataclass(frozen=True)
class MatchReport:
    """How much of what a model needs new samples have."""

    matched: int
    total: int
    missing: list[str]
    """Genes of the model that the samples lack; they stand as 0."""
    absent_channels: list[str]
    """Channels of the model that the samples lack; they stand as 0."""


def fit(
    cohort: Cohort, params: PreprocessParams, *, channels: Sequence[str], image: Sequence[int]
) -> Preprocessor:
    """The preprocessor fitted on `cohort`, which must hold training samples only.

    Returns
    -------
    Of the genes that vary most in the first channel, of expression among those expressed. The order
    of samples and genes has no say.

    Raises
    ------
    ParamsError
        The image is too small for all genes, or a column of `adjust` is none or is the label.
    SourceError
        No gene is left.
    """
    ordered = [channel for channel in CHANNELS if channel in channels]
    lacking = [channel for channel in ordered if channel not in cohort.channels]
    if lacking:
        raise ParamsError(
            f"channel `{lacking[0]}` is asked for, but the cohort has {', '.join(cohort.channels)} "
            "only. Change `channels` of the cohort, or give its file in `source`."
        )
    height, width = image
    by_name = np.argsort(cohort.samples.index.to_numpy(dtype=str), kind="stable")
    statistics = {channel: moments(cohort, channel, params, by_name) for channel in ordered}
    chosen = _choose_genes(cohort, statistics[ordered[0]], ordered[0], params, height * width)

    var = cohort.genes.iloc[chosen]
    more = [name for name in BIN_COLUMNS if name in var]
    genes = var[[*VAR_COLUMNS, *more]].reset_index(names="gene")
    for column in ("gene", "ensembl_id", "chromosome", *more[1:]):
        genes[column] = genes[column].astype(str)
    pixels = assign_pixels(var, layout=params.layout, image=(height, width), seed=params.seed)
    genes["row"], genes["col"] = pixels[:, 0], pixels[:, 1]
    for channel in ordered:
        center, scale = _standard(channel, statistics[channel], chosen, params)
        genes[f"{channel}_center"], genes[f"{channel}_scale"] = center, scale
    adjust = params.adjust if "expression" in ordered else []
    covariates = [covariate(cohort, column) for column in adjust]
    if covariates:
        _adjust(genes, cohort, covariates, params, chosen, by_name)
    pre = Preprocessor(
        genes, ordered, (height, width), cohort.scale, cohort.classes, params, covariates
    )

    shown = by_name[np.linspace(0, len(by_name) - 1, min(len(by_name), PROFILED)).astype(int)]
    values = features(pre, cohort.take(shown))[:, :, 0]
    quantiles = np.quantile(np.abs(values).mean(axis=1, dtype=np.float64), np.linspace(0, 1, 21))
    return replace(pre, distances=quantiles.tolist())


def match_genes(
    pre: Preprocessor, keys: Sequence[str], ensembl_ids: Sequence[str] | None = None
) -> np.ndarray:
    """`(genes,)` position in `keys` of each, by symbol, then by Ensembl id; -1 where missing."""
    names = pd.Index(np.asarray(keys, dtype=str))
    positions = _first_positions(names, pre.genes["gene"])
    for ids in (names, pd.Index([] if ensembl_ids is None else np.asarray(ensembl_ids, dtype=str))):
        found = _first_positions(
            ids.str.replace(r"\.\d+$", "", regex=True),
            pre.genes["ensembl_id"].str.replace(r"\.\d+$", "", regex=True),
        )
        usable = (positions < 0) & (found >= 0) & (pre.genes["ensembl_id"] != "").to_numpy()
        usable &= ~np.isin(found, positions) & ~pd.Series(found).duplicated().to_numpy()
        positions[usable] = found[usable]
    return positions


def match_report(pre: Preprocessor, cohort: Cohort) -> MatchReport:
    """How many genes of the model the cohort has, and which genes and channels it lacks."""
    positions = match_genes(pre, cohort.genes.index, cohort.genes["ensembl_id"])
    return MatchReport(
        matched=int((positions >= 0).sum()),
        total=len(positions),
        missing=pre.genes["gene"][positions < 0].tolist(),
        absent_channels=[channel for channel in pre.channels if channel not in cohort.channels],
    )


def features(pre: Preprocessor, cohort: Cohort) -> np.ndarray:
    """Features of the samples, each of which depends on itself alone.

    Parameters
    ----------
    cohort
        With all genes that it has, in any order: library sizes are taken over all of them.

    Returns
    -------
    `(samples, genes, channels)` float32: standardised, clipped, 0 where not measured.

    Raises
    ------
    SourceError
        It has none of the model's genes, is on another scale, or lacks a column to adjust for.
    """
    if cohort.scale not in (pre.scale, "log2"):
        raise SourceError(
            f"these samples are on the scale `{cohort.scale}`, but the model was fitted on "
            f"`{pre.scale}`. Give values on that scale, or log2(x + 1) of it as scale `log2`."
        )
    positions = match_genes(pre, cohort.genes.index, cohort.genes["ensembl_id"])
    found = positions >= 0
    if not found.any():
        raise SourceError(
            f"these samples have none of the model's {len(positions)} genes: theirs are called "
            f"like {cohort.genes.index[0]!r}, the model's like {pre.genes['gene'].iloc[0]!r}. "
            "Use HGNC symbols or Ensembl ids."
        )
    result = np.zeros((len(cohort.samples), len(positions), len(pre.channels)), dtype=np.float32)
    rows = np.arange(len(cohort.samples))
    method = method_of(pre.scale, pre.params)
    design = terms(pre.covariates, cohort.samples).astype(np.float32) if pre.covariates else None
    for index, channel in enumerate(pre.channels):
        if channel not in cohort.channels:
            continue
        center = pre.genes[f"{channel}_center"].to_numpy(dtype=np.float32)[found]
        scale = pre.genes[f"{channel}_scale"].to_numpy(dtype=np.float32)[found]
        effects = effects_of(pre)[:, found] if channel == "expression" else None
        for start, chunk in log2_chunks(cohort, channel, method, rows):
            values = chunk[:, positions[found]]
            if design is not None and effects is not None:
                part = design[start : start + len(chunk)]
                values = values - np.einsum("st,tg->sg", part, effects)  # no BLAS: row by row
            values = (values - center) / scale
            np.clip(values, -pre.params.clip, pre.params.clip, out=values)
            result[start : start + len(chunk), found, index] = np.nan_to_num(values, copy=False)
    return result


def _first_positions(index: pd.Index, wanted: Any) -> np.ndarray:
    """Position in `index` of each wanted key, its first where it occurs twice, -1 for none."""
    first = np.flatnonzero(~index.duplicated())
    found = index[first].get_indexer(pd.Index(wanted))
    return np.where(found >= 0, first[found] if len(first) else -1, -1)


def _adjust(
    genes: pd.DataFrame,
    cohort: Cohort,
    covariates: Sequence[Covariate],
    params: PreprocessParams,
    chosen: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Adds the covariates' effects to `genes`; center and scale become those of what remains."""
    method = method_of(cohort.scale, params)
    chunks = log2_chunks(cohort, "expression", method, rows)
    values = np.vstack([chunk[:, chosen] for _, chunk in chunks])
    effects, center, scale = fit_effects(values, covariates, cohort.samples.iloc[rows])
    genes["expression_center"], genes["expression_scale"] = center, scale
    for term, effect in enumerate(effects):
        genes[f"adjust_{term}"] = effect.astype(np.float32)


def _choose_genes(
    cohort: Cohort, statistics: Moments, channel: str, params: PreprocessParams, pixels: int
) -> np.ndarray:
    """Positions of the genes that get a pixel, in genomic order."""
    usable = statistics.variance > CONSTANT
    if channel == "expression":
        usable &= statistics.expressed >= params.min_expressed_fraction
    positions = np.flatnonzero(usable)
    if not len(positions):
        raise SourceError(
            f"no gene is left: of {len(usable)}, none varies in `{channel}` and is expressed in "
            f"{params.min_expressed_fraction:.0%} of the training samples. Check the declared "
            f"scale (`{cohort.scale}`), or lower preprocess.min_expressed_fraction."
        )
    if params.genes == "all" and len(positions) > pixels:
        side = int(np.ceil(np.sqrt(len(positions))))
        raise ParamsError(
            f"preprocess.genes is all, but {len(positions)} genes do not fit in {pixels} pixels. "
            f"Set the cohort's image to [{side}, {side}], or preprocess.genes to top_variance."
        )
    names = cohort.genes.index.to_numpy(dtype=str)[positions]
    top = positions[np.lexsort((names, -statistics.variance[positions]))][:pixels]
    chosen: np.ndarray = top[genomic_order(cohort.genes.iloc[top])]
    return chosen


def _standard(
    channel: str, statistics: Moments, chosen: np.ndarray, params: PreprocessParams
) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from and what divides the values of each chosen gene."""
    count, mean = statistics.measured[chosen], statistics.mean[chosen]
    variance = statistics.variance[chosen]
    if channel == "expression":
        center, scale = mean, np.sqrt(variance)
    elif channel == "copy_number":
        mean_square = np.sum(count * (mean**2 + variance)) / max(count.sum(), 1)
        center, scale = np.zeros(len(chosen)), np.full(len(chosen), np.sqrt(mean_square) or 1.0)
    elif params.mutation_encoding == "binary":
        center, scale = np.zeros(len(chosen)), np.ones(len(chosen))
    else:  # half a mutated and half an unmutated sample more, so that no frequency is 0 or 1
        center = (count * mean + 0.5) / (count + 1)
        weighted = (mean * (1 - mean) - variance) * count / (count + 1)  # 0 for 0 and 1 alone
        scale = np.sqrt(center * (1 - center) - np.where(weighted > CONSTANT, weighted, 0))
    unmeasured = count == 0
    return np.where(unmeasured, 0, center), np.where(unmeasured, np.inf, scale)
