"""Which sex, age, stage and site each sample is of, as far as the samples tell."""

import re

import numpy as np
import pandas as pd

from ..baselines.clinical import SPELLINGS, clinical_columns
from ..images.covariates import category_texts

KINDS = ("sex", "age", "stage", "site")
_KIND = {name: spellings[0] for spellings in SPELLINGS for name in spellings}
_STAGE = re.compile(r"(?:stage\W*)?(iv|i{1,3}|[0-4])(?:[abc]\d?)?", re.IGNORECASE)
_ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV"}


def group_samples(samples: pd.DataFrame, development: pd.Series, label: str) -> pd.DataFrame:
    """The group of each sample, of every kind of `KINDS` that is known.

    Parameters
    ----------
    development
        `(samples,)` bool: those by whose median ages are divided.
    label
        `label` of the cohort's entry; the column that it is made of makes no groups.

    Returns
    -------
    pandas.DataFrame
        `(samples, kinds)` text, "" where unknown.
    """
    columns = {_KIND[name.lower()]: samples[name] for name in clinical_columns(samples, label)}
    if label != "column:site":
        columns["site"] = samples["site"]
    found = {}
    for kind in KINDS:
        if kind in columns:
            texts = np.char.strip(category_texts(columns[kind]).astype(str))
            if kind == "age":
                texts = _ages(columns[kind], development.to_numpy())
            elif kind == "stage":
                texts = np.array([_stage(text) for text in texts], dtype=str)
            elif kind == "sex":
                texts = np.char.lower(texts)
            if (texts != "").any():
                found[kind] = texts
    return pd.DataFrame(found, index=samples.index)


def _ages(column: pd.Series, development: np.ndarray) -> np.ndarray:
    years = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    known = years[development & np.isfinite(years)]
    if not known.size:
        return np.full(len(years), "")
    median = round(float(np.median(known)), 1)
    sides = np.where(years > median, f"over {median:g}", f"up to {median:g}")
    return np.where(np.isfinite(years), sides, "")


def _stage(text: str) -> str:
    found = _STAGE.fullmatch(text)
    return _ROMAN.get(found[1], found[1].upper()) if found else ""
