"""Covariates whose effect on expression is removed: which they are, and how it is fitted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..cohort.contract import OBS_COLUMNS, Cohort, missing
from ..core.errors import ParamsError, SourceError, did_you_mean, first_few
from .normalisation import CONSTANT

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


def missing_values(column: pd.Series) -> np.ndarray:
    """`(samples,)` bool: where a column says nothing; NA is a site in the contract's columns."""
    if column.name in OBS_COLUMNS:
        return np.asarray(column.isna() | (column.astype(str) == ""))
    return missing(column)


def unknown_values(covariate: Covariate, column: pd.Series) -> np.ndarray:
    """`(samples,)` bool: where the value is missing, no number, or a level new since training."""
    if covariate.levels:
        return np.asarray(~np.isin(category_texts(column), covariate.levels))
    return np.asarray(~np.isfinite(_numbers(column)))


def is_number(column: pd.Series) -> bool:
    """Whether a column of the samples holds a number, and not a category."""
    types = pd.api.types
    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def _numbers(column: pd.Series) -> np.ndarray:
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def category_texts(column: pd.Series) -> np.ndarray:
    """`(samples,)` a category's values, whole numbers without a point; "" where missing."""
    if is_number(column):
        return np.array(
            ["" if pd.isna(value) else _number_text(value) for value in column], dtype=str
        )
    return np.where(missing_values(column), "", column.astype(str))


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def covariate(cohort: Cohort, column: str, parameter: str = "preprocess.adjust") -> Covariate:
    """How a column of the training samples enters; `ParamsError` when it cannot be adjusted for."""
    samples = cohort.samples
    known = [name for name in samples if name not in ("patient", "label")]
    if column not in known:
        raise ParamsError(
            f"`{parameter}` names {column!r}, which is no column of the samples to adjust "
            f"for{did_you_mean(column, known)}. They have: {', '.join(map(str, known))}."
        )
    values, missing = samples[column], missing_values(samples[column])
    if missing.all():
        raise ParamsError(
            f"`{parameter}` names {column!r}, but no training sample has a value there. "
            "Take it out, or fill in the sample sheet."
        )
    by_value = samples["label"][~missing].groupby(category_texts(values)[~missing]).nunique()
    if len(by_value) <= (~missing).sum() / 2 and (by_value == 1).all():
        raise ParamsError(
            f"`{parameter}` names {column!r}, but all training samples with the same value "
            "there are of one class: without its effect nothing of the label is left. Take it out."
        )
    if not is_number(values):
        levels, counts = np.unique(category_texts(values)[~missing], return_counts=True)
        _refuse_unlikely_category(column, levels, counts, parameter)
    return encode(values)


def encode(column: pd.Series) -> Covariate:
    """How a column of the training samples, which says something, becomes terms."""
    name = str(column.name)
    if is_number(column):
        numbers = np.sort(_numbers(column)[np.isfinite(_numbers(column))])
        return Covariate(name, [], [float(numbers.mean())], [float(numbers.std()) or 1.0])
    known = category_texts(column)[~missing_values(column)]
    levels, counts = np.unique(known, return_counts=True)
    return Covariate(name, levels.tolist(), (counts / counts.sum()).tolist(), [1.0] * len(levels))


def _refuse_unlikely_category(
    column: str, levels: np.ndarray, counts: np.ndarray, parameter: str
) -> None:
    """`ParamsError` for numbers with text among them, and for levels that few samples share."""
    numbers = np.isfinite(_numbers(pd.Series(levels)))
    if column not in OBS_COLUMNS and MANY_LEVELS < numbers.sum() < len(levels):
        raise ParamsError(
            f"`{parameter}` names {column!r}, which holds numbers but for "
            f"{counts[~numbers].sum()} of {counts.sum()} training samples: "
            f"{first_few(levels[~numbers])}. In the sample sheet, make these numbers, too (such as "
            "90 for >89), or leave them empty."
        )
    if 2 * len(levels) > counts.sum():
        raise ParamsError(
            f"`{parameter}` names {column!r}, which has {len(levels)} values in "
            f"{counts.sum()} samples: a category needs samples that share a value. Take it out, or "
            "give it as numbers."
        )


def terms(covariates: Sequence[Covariate], samples: pd.DataFrame) -> np.ndarray:
    """`(samples, terms)` float64: the covariates as `Covariate` describes them."""
    parts = [np.zeros((len(samples), 0))]
    for covariate in covariates:
        if covariate.column not in samples:
            raise SourceError(
                f"these samples have no column `{covariate.column}`, for which the model adjusts "
                "expression. Give a sample sheet with that column (`oncopixel predict --samples`)."
            )
        values = samples[covariate.column]
        if covariate.levels:
            part = category_texts(values)[:, np.newaxis] == np.array(covariate.levels)
        else:
            part = _numbers(values)[:, np.newaxis]
        part = (part - np.array(covariate.center)) / np.array(covariate.scale)
        part[unknown_values(covariate, values)] = 0
        parts.append(part)
    return np.hstack(parts)


def own_terms(cohort: Cohort, columns: Iterable[str], parameter: str) -> np.ndarray:
    """`(samples, terms)` of these columns of the cohort, as `parameter` asks for them."""
    covariates = [covariate(cohort, column, parameter) for column in columns]
    return terms(covariates, cohort.samples)


def fit_effects(
    values: np.ndarray, covariates: Sequence[Covariate], samples: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects of the covariates on expression, by least squares, all at once and without the label.

    Parameters
    ----------
    values
        `(samples, genes)` log2(x + 1), NaN where not measured.

    Returns
    -------
    effects, center, scale
        `(terms, genes)`, and `(genes,)` of what remains; the scale of a constant gene is infinite.
        A ridge of `LEVEL_PRIOR` shrinks levels towards no effect.
    """
    design = terms(covariates, samples)
    ridge = np.diag(
        np.concatenate(
            [np.full(len(c.center), LEVEL_PRIOR if c.levels else 1e-6) for c in covariates]
        )
    )
    n_genes = values.shape[1]
    effects = np.zeros((design.shape[1], n_genes))
    center, scale = np.zeros(n_genes), np.full(n_genes, np.inf)
    for genes, measured, block in _by_pattern(values):
        x = design[measured]
        centred = x - x.mean(axis=0)
        slopes = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (block - block.mean(0)))
        residual = block - x @ slopes
        variance = residual.var(axis=0)
        effects[:, genes], center[genes] = slopes, residual.mean(axis=0)
        scale[genes] = np.where(variance > CONSTANT, np.sqrt(variance), np.inf)
    return effects, center, scale


def _by_pattern(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Genes measured in the same samples: their positions, these samples, and float64 values."""
    for start in range(0, values.shape[1], FITTED_GENES):
        block = values[:, start : start + FITTED_GENES].astype(np.float64)
        patterns, which = np.unique(np.isnan(block), axis=1, return_inverse=True)
        for pattern in np.flatnonzero(~patterns.all(axis=0)):
            mine, measured = np.flatnonzero(which == pattern), ~patterns[:, pattern]
            yield start + mine, measured, block[np.ix_(measured, mine)]
