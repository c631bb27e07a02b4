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

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from ..cohort.contract import OBS_COLUMNS, Cohort, missing
from ..core.errors import ArtifactError, ParamsError, SourceError, did_you_mean, first_few, one_line
from ..core.params import CHANNELS, Channel, Positive, PreprocessParams, Scale, Section
from ..core.storage import read_parquet, write_parquet
from .layout import MAX_SAMPLES, assign_pixels, genomic_order

CHUNK = 256
"""Samples that are worked on at a time: memory stays near that of the input and the output."""
EXPRESSED = 1.0
"""log2(x + 1) above which a gene is expressed, that is x > 1."""
CONSTANT = 1e-10
"""Variance up to which a gene is constant; float32 noise of log2 values is below it."""
UPPER_QUARTILE = 1_000.0
"""What the upper quartile of a sample becomes, as in TCGA's RSEM `normalized_count`."""
MANY_LEVELS = 10
"""Numbers among the levels of a category above which it is a measurement with odd cells."""
LEVEL_PRIOR = 2.0
"""Samples without any effect that each level of a category is fitted with: few samples move few."""
FITTED_GENES = 1_024
"""Genes whose covariate effects are fitted at a time, in double precision."""


@dataclass(frozen=True)
class Covariate:
    """A column of the samples whose effect on expression is removed.

    A number has one term, its z-score; a category one for each level of the training samples: 1
    where the sample is of it, else 0, less the level's share. A value that is missing, and a level
    that training did not have, is 0 in all terms: the mean of the training samples.
    """

    column: str
    levels: list[str]
    """Of a category, sorted; a number has none."""
    center: list[float]
    scale: list[float]


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """What turns a cohort into images, fitted once and reusable.

    `genes` has a row per pixel gene, in genomic order: `gene`, `ensembl_id`, `chromosome`, `start`,
    `row`, `col`, and for each channel `<channel>_center` and `<channel>_scale` (infinite where the
    gene was never measured in training, so that it stays 0). With covariates, `adjust_<i>` is the
    effect of term i on log2 expression, and center and scale are of what remains without it.
    `distances`: quantiles, from the least to the greatest and evenly spaced, of the training
    samples' mean absolute standardised value of the first channel.
    """

    genes: pd.DataFrame
    channels: list[str]
    image: tuple[int, int]
    scale: Scale
    classes: list[str]
    params: PreprocessParams
    covariates: list[Covariate] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return (*self.image, len(self.channels))


@dataclass(frozen=True)
class MatchReport:
    """How much of what a model needs new samples have."""

    matched: int
    total: int
    missing: list[str]
    """Genes of the model that the samples lack; they stand as 0."""
    absent_channels: list[str]
    """Channels of the model that the samples lack; they stand as 0."""


@dataclass(frozen=True)
class _Moments:
    """Per gene, over the training samples: number measured, mean, variance, share expressed."""

    measured: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    expressed: np.ndarray


def fit(
    cohort: Cohort,
    params: PreprocessParams,
    *,
    channels: Sequence[str],
    image: Sequence[int],
) -> Preprocessor:
    """The preprocessor fitted on `cohort`, which must hold training samples only.

    Genes are chosen by the first channel: by expression (expressed in enough samples, not constant,
    of highest variance of log2 values) where it is used, otherwise by the variance of that channel.
    The result depends neither on the order of samples nor on that of genes. `ParamsError` when the
    image is too small for all genes or a column of `adjust` is none, or is the label; `SourceError`
    when no gene is left.
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
    moments = {channel: _moments(cohort, channel, params, by_name) for channel in ordered}
    chosen = _choose_genes(cohort, moments[ordered[0]], ordered[0], params, height * width)

    var = cohort.genes.iloc[chosen]
    genes = var[["ensembl_id", "chromosome", "start"]].reset_index(names="gene")
    for column in ("gene", "ensembl_id", "chromosome"):
        genes[column] = genes[column].astype(str)
    genes["row"] = genes["col"] = -1
    for channel in ordered:
        center, scale = _standard(channel, moments[channel], chosen, params)
        genes[f"{channel}_center"], genes[f"{channel}_scale"] = center, scale
    adjust = params.adjust if "expression" in ordered else []
    covariates = [_covariate(cohort, column) for column in adjust]
    if covariates:
        _fit_effects(genes, cohort, covariates, params, chosen, by_name)
    pre = Preprocessor(
        genes, ordered, (height, width), cohort.scale, cohort.classes, params, covariates
    )

    shown = by_name[np.linspace(0, len(by_name) - 1, min(len(by_name), MAX_SAMPLES)).astype(int)]
    values = features(pre, cohort.take(shown))[:, :, 0]
    pixels = assign_pixels(
        var, values, layout=params.layout, image=(height, width), seed=params.seed
    )
    genes["row"], genes["col"] = pixels[:, 0], pixels[:, 1]
    quantiles = np.quantile(np.abs(values).mean(axis=1, dtype=np.float64), np.linspace(0, 1, 21))
    return replace(pre, distances=quantiles.tolist())


def match_genes(
    pre: Preprocessor, keys: Sequence[str], ensembl_ids: Sequence[str] | None = None
) -> np.ndarray:
    """`(genes of the model,)` position in `keys` of each gene, -1 where it is missing.

    Keys are symbols or Ensembl ids, in any order; a gene is found by its symbol, otherwise by its
    Ensembl id (version ignored) among the keys and `ensembl_ids`. No key serves two genes.
    """
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
    """`(samples, genes, channels)` float32: standardised, clipped, 0 where not measured.

    Genes are those of `pre`, in its order; the cohort may have more genes, fewer, and in any order.
    Give it all genes it has: library sizes are taken over all of them, so counts of a few genes
    only are put on a wrong scale. Each sample depends on itself alone. `SourceError` when the
    cohort has none of the genes, its expression is on another scale than the model's, or a column
    that the model adjusts for is lacking.
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
    terms = _terms(pre.covariates, cohort.samples).astype(np.float32) if pre.covariates else None
    for index, channel in enumerate(pre.channels):
        if channel not in cohort.channels:
            continue
        center = pre.genes[f"{channel}_center"].to_numpy(dtype=np.float32)[found]
        scale = pre.genes[f"{channel}_scale"].to_numpy(dtype=np.float32)[found]
        effects = _effects(pre)[:, found] if channel == "expression" else None
        for start, chunk in _chunks(cohort, channel, _method(pre), rows):
            values = chunk[:, positions[found]]
            if terms is not None and effects is not None:
                part = terms[start : start + len(chunk)]
                values = values - np.einsum("st,tg->sg", part, effects)  # no BLAS: row by row
            values = (values - center) / scale
            np.clip(values, -pre.params.clip, pre.params.clip, out=values)
            result[start : start + len(chunk), found, index] = np.nan_to_num(values, copy=False)
    return result


def to_images(pre: Preprocessor, features: np.ndarray) -> np.ndarray:
    """`(samples, height, width, channels)` float32 images; pixels without a gene are 0."""
    images = np.zeros((len(features), *pre.shape), dtype=np.float32)
    images[:, pre.genes["row"].to_numpy(), pre.genes["col"].to_numpy()] = features
    return images


def to_features(pre: Preprocessor, images: np.ndarray) -> np.ndarray:
    """`(samples, genes, channels)` values of the genes' pixels: the inverse of `to_images`."""
    taken: np.ndarray = images[:, pre.genes["row"].to_numpy(), pre.genes["col"].to_numpy()]
    return taken


def write_preprocessor(path: Path, pre: Preprocessor) -> None:
    """The preprocessor as one Parquet file: the gene table, the rest as its metadata."""
    metadata = {
        "kind": "preprocessor",
        "channels": pre.channels,
        "image": list(pre.image),
        "scale": pre.scale,
        "classes": pre.classes,
        "params": pre.params.model_dump(),
        "covariates": [asdict(covariate) for covariate in pre.covariates],
        "distances": pre.distances,
    }
    write_parquet(path, pre.genes, metadata)


class _Stored(Section):
    """The metadata of a stored preprocessor."""

    kind: Literal["preprocessor"]
    channels: Annotated[list[Channel], Field(min_length=1)]
    image: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    scale: Scale
    classes: list[str]
    params: PreprocessParams
    covariates: list[dict[str, Any]]
    distances: Annotated[list[FiniteFloat], Field(min_length=1)]


def read_preprocessor(path: Path) -> Preprocessor:
    """The preprocessor that `write_preprocessor` stored, exactly; `ArtifactError` when unusable."""
    genes, metadata = read_parquet(path)
    try:
        stored = _Stored.model_validate(metadata)
        pre = Preprocessor(
            genes=genes,
            channels=list(stored.channels),
            image=(stored.image[0], stored.image[1]),
            scale=stored.scale,
            classes=stored.classes,
            params=stored.params,
            covariates=[_COVARIATE.validate_python(entry) for entry in stored.covariates],
            distances=stored.distances,
        )
        _check_table(pre)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else first_problem(error)
        raise ArtifactError(
            f"{path} is not a preprocessor of this version ({reason}). "
            "Run `dvc repro`, or take the preprocessor that was stored with the model."
        ) from None
    return pre


_COVARIATE = TypeAdapter(Covariate)


def first_problem(error: Exception) -> str:
    """What is wrong, in one line; of a failed validation the first key that is."""
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, detail['loc'])) or 'all of it'}: {detail['msg']}"
    return one_line(error)


def _check_table(pre: Preprocessor) -> None:
    """Nothing, or ValueError or KeyError when the gene table is not one that `fit` makes."""
    height, width = pre.image
    rows, columns = pre.genes["row"], pre.genes["col"]
    for column in ("row", "col"):
        if not pd.api.types.is_integer_dtype(pre.genes[column]):
            raise ValueError(f"`{column}` holds what is no whole number")
    if pre.genes["gene"].map(type).ne(str).any() or pre.genes["ensembl_id"].map(type).ne(str).any():
        raise ValueError("a gene's name is no text")
    if len(set(pre.channels)) < len(pre.channels):
        raise ValueError("a channel occurs twice")
    if not np.isfinite(pre.params.clip):
        raise ValueError("`clip` is no finite number")
    if not (rows.between(0, height - 1) & columns.between(0, width - 1)).all():
        raise ValueError(f"a gene lies outside the image of {height} x {width} pixels")
    if pre.genes[["row", "col"]].duplicated().any() or pre.genes["gene"].duplicated().any():
        raise ValueError("a gene or a pixel occurs twice")
    for channel in pre.channels:
        if not np.isfinite(pre.genes[f"{channel}_center"].to_numpy(dtype=float)).all():
            raise ValueError(f"`{channel}_center` holds a value that is no number")
        if not (pre.genes[f"{channel}_scale"].to_numpy(dtype=float) > 0).all():
            raise ValueError(f"`{channel}_scale` holds a value that is not positive")
    for covariate in pre.covariates:
        if not np.isfinite([*covariate.center, *covariate.scale]).all():
            raise ValueError(f"what it knows of `{covariate.column}` is no number")
    if "expression" in pre.channels:
        if [covariate.column for covariate in pre.covariates] != pre.params.adjust:
            raise ValueError("what it adjusts for is not what its parameters say")
        if not np.isfinite(_effects(pre)).all():
            raise ValueError("an effect of `preprocess.adjust` is no number")


def _first_positions(index: pd.Index, wanted: Any) -> np.ndarray:
    """Position in `index` of each wanted key, its first where it occurs twice, -1 for none."""
    first = np.flatnonzero(~index.duplicated())
    found = index[first].get_indexer(pd.Index(wanted))
    return np.where(found >= 0, first[found] if len(first) else -1, -1)


def missing_values(column: pd.Series) -> np.ndarray:
    """`(samples,)` bool: where a column of the samples says nothing (see `cohort.missing`).

    In the columns of the contract this is "": NA is a tissue source site of TCGA.
    """
    if column.name in OBS_COLUMNS:
        return np.asarray(column.isna() | (column.astype(str) == ""))
    return missing(column)


def unknown_values(covariate: Covariate, column: pd.Series) -> np.ndarray:
    """`(samples,)` bool: where the value is missing, no number, or a level new since training."""
    if covariate.levels:
        return np.asarray(~np.isin(_texts(column), covariate.levels))
    return np.asarray(~np.isfinite(_numbers(column)))


def is_number(column: pd.Series) -> bool:
    """Whether a column of the samples holds a number, and not a category."""
    types = pd.api.types
    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def _numbers(column: pd.Series) -> np.ndarray:
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def _texts(column: pd.Series) -> np.ndarray:
    """A category's values as text, whole numbers without a point; "" where missing."""
    if is_number(column):
        return np.array(
            ["" if pd.isna(value) else _number_text(value) for value in column], dtype=str
        )
    return np.where(missing_values(column), "", column.astype(str))


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _covariate(cohort: Cohort, column: str) -> Covariate:
    """How a column of the training samples enters; `ParamsError` when it cannot be adjusted for."""
    samples = cohort.samples
    known = [name for name in samples if name not in ("patient", "label")]
    if column not in known:
        raise ParamsError(
            f"`preprocess.adjust` names {column!r}, which is no column of the samples to adjust "
            f"for{did_you_mean(column, known)}. They have: {', '.join(map(str, known))}."
        )
    values, missing = samples[column], missing_values(samples[column])
    if missing.all():
        raise ParamsError(
            f"`preprocess.adjust` names {column!r}, but no training sample has a value there. "
            "Take it out, or fill in the sample sheet."
        )
    by_value = samples["label"][~missing].groupby(_texts(values)[~missing]).nunique()
    if len(by_value) <= (~missing).sum() / 2 and (by_value == 1).all():
        raise ParamsError(
            f"`preprocess.adjust` names {column!r}, but all training samples with the same value "
            "there are of one class: without its effect nothing of the label is left. Take it out."
        )
    if is_number(values):
        numbers = np.sort(_numbers(values)[np.isfinite(_numbers(values))])
        return Covariate(column, [], [float(numbers.mean())], [float(numbers.std()) or 1.0])
    levels, counts = np.unique(_texts(values)[~missing], return_counts=True)
    _refuse_unlikely_category(column, levels, counts)
    return Covariate(column, levels.tolist(), (counts / counts.sum()).tolist(), [1.0] * len(levels))


def _refuse_unlikely_category(column: str, levels: np.ndarray, counts: np.ndarray) -> None:
    """`ParamsError` for numbers with text among them, and for levels that few samples share."""
    numbers = np.isfinite(_numbers(pd.Series(levels)))
    if column not in OBS_COLUMNS and MANY_LEVELS < numbers.sum() < len(levels):
        raise ParamsError(
            f"`preprocess.adjust` names {column!r}, which holds numbers but for "
            f"{counts[~numbers].sum()} of {counts.sum()} training samples: "
            f"{first_few(levels[~numbers])}. In the sample sheet, make these numbers, too (such as "
            "90 for >89), or leave them empty."
        )
    if 2 * len(levels) > counts.sum():
        raise ParamsError(
            f"`preprocess.adjust` names {column!r}, which has {len(levels)} values in "
            f"{counts.sum()} samples: a category needs samples that share a value. Take it out, or "
            "give it as numbers."
        )


def _terms(covariates: Sequence[Covariate], samples: pd.DataFrame) -> np.ndarray:
    """`(samples, terms)` float64: the covariates as `Covariate` describes them."""
    parts = []
    for covariate in covariates:
        if covariate.column not in samples:
            raise SourceError(
                f"these samples have no column `{covariate.column}`, for which the model adjusts "
                "expression. Give a sample sheet with that column (`oncopixel predict --samples`)."
            )
        values = samples[covariate.column]
        if covariate.levels:
            part = _texts(values)[:, np.newaxis] == np.array(covariate.levels)
        else:
            part = _numbers(values)[:, np.newaxis]
        part = (part - np.array(covariate.center)) / np.array(covariate.scale)
        part[unknown_values(covariate, values)] = 0
        parts.append(part)
    return np.hstack(parts)


def _effects(pre: Preprocessor) -> np.ndarray:
    """`(terms, genes)` float32 effect of each term on log2 expression."""
    n_terms = sum(len(covariate.center) for covariate in pre.covariates)
    stored = pre.genes[[f"adjust_{i}" for i in range(n_terms)]]
    return np.asarray(stored.to_numpy(dtype=np.float32).T)


def _fit_effects(
    genes: pd.DataFrame,
    cohort: Cohort,
    covariates: Sequence[Covariate],
    params: PreprocessParams,
    chosen: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Adds the terms' effects to `genes`, and makes center and scale those of the residuals.

    Least squares on the training samples in which the gene is measured, all covariates at once and
    without the label. Levels of a category are shrunk towards no effect by a ridge of
    `LEVEL_PRIOR`: with n samples and nothing else in the model an effect counts n / (n + 2).
    """
    method = _normalisation(cohort.scale, params)
    values = np.vstack([c[:, chosen] for _, c in _chunks(cohort, "expression", method, rows)])
    terms = _terms(covariates, cohort.samples.iloc[rows])
    ridge = np.concatenate(
        [np.full(len(c.center), LEVEL_PRIOR if c.levels else 1e-6) for c in covariates]
    )
    effects = np.zeros((terms.shape[1], len(chosen)))
    center, scale = np.zeros(len(chosen)), np.full(len(chosen), np.inf)
    for start in range(0, len(chosen), FITTED_GENES):
        block = values[:, start : start + FITTED_GENES].astype(np.float64)
        patterns, which = np.unique(np.isnan(block), axis=1, return_inverse=True)
        for pattern in np.flatnonzero(~patterns.all(axis=0)):
            mine, measured = np.flatnonzero(which == pattern), ~patterns[:, pattern]
            x, y = terms[measured], block[np.ix_(measured, mine)]
            centred = x - x.mean(axis=0)
            slopes = np.linalg.solve(
                centred.T @ centred + np.diag(ridge), centred.T @ (y - y.mean(axis=0))
            )
            residual = y - x @ slopes
            at = start + mine
            effects[:, at], center[at] = slopes, residual.mean(axis=0)
            variance = residual.var(axis=0)
            scale[at] = np.where(variance > CONSTANT, np.sqrt(variance), np.inf)
    genes["expression_center"], genes["expression_scale"] = center, scale
    for term, effect in enumerate(effects):
        genes[f"adjust_{term}"] = effect.astype(np.float32)


def _method(pre: Preprocessor) -> str:
    return _normalisation(pre.scale, pre.params)


def _normalisation(scale: str, params: PreprocessParams) -> str:
    """`none`, `cpm` or `upper_quartile`; the scale of the training cohort decides `auto`."""
    if params.normalise == "auto":
        return "cpm" if scale == "counts" else "none"
    return params.normalise


def _chunks(
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
        yield start, _log2(chunk, cohort.scale, method)


def _log2(values: np.ndarray, scale: str, method: str) -> np.ndarray:
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


def _moments(cohort: Cohort, channel: str, params: PreprocessParams, rows: np.ndarray) -> _Moments:
    """Moments of one channel, merged chunk by chunk (Chan, Golub & LeVeque 1983)."""
    method = _normalisation(cohort.scale, params)
    count, mean, squares, expressed = (np.zeros(len(cohort.genes)) for _ in range(4))
    for _, chunk in _chunks(cohort, channel, method, rows):
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
    return _Moments(count, mean, squares / np.maximum(count, 1), expressed / len(rows))


def _choose_genes(
    cohort: Cohort, moments: _Moments, channel: str, params: PreprocessParams, pixels: int
) -> np.ndarray:
    """Positions of the genes that get a pixel, in genomic order."""
    usable = moments.variance > CONSTANT
    if channel == "expression":
        usable &= moments.expressed >= params.min_expressed_fraction
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
    top = positions[np.lexsort((names, -moments.variance[positions]))][:pixels]
    chosen: np.ndarray = top[genomic_order(cohort.genes.iloc[top])]
    return chosen


def _standard(
    channel: str, moments: _Moments, chosen: np.ndarray, params: PreprocessParams
) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from and what divides the values of each chosen gene."""
    count, mean = moments.measured[chosen], moments.mean[chosen]
    variance = moments.variance[chosen]
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
