"""What the clinic knows without any gene: age, sex, stage and smoking, where they are given."""

from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ..cohort.contract import Cohort
from ..core.params import BaselineParams
from ..images.covariates import encode, missing_values, terms
from .panel import tuned_logistic
from .tuning import inner_folds

CLINICAL = "clinical"
SPELLINGS = (
    (
        "age",
        "age_at_diagnosis",
        "age_at_index",
        "age_at_initial_pathologic_diagnosis",
        "age_at_diagnosis_days",
    ),
    ("sex", "gender", "sex_at_birth"),
    (
        "stage",
        "ajcc_stage",
        "ajcc_pathologic_stage",
        "ajcc_pathologic_tumor_stage",
        "pathologic_stage",
        "tumor_stage",
    ),
    ("smoking", "tobacco_smoking_history", "smoking_history", "smoking_status"),
    ("pack_years", "pack_years_smoked"),
)
"""Recognised columns of the samples, in lower case, of each the first that is there."""


def clinical_columns(samples: pd.DataFrame, label: str) -> list[str]:
    """The recognised columns that vary; the one that the label is made of is none."""
    names = {str(name).lower(): str(name) for name in reversed(samples.columns)}
    own = label.removeprefix("column:").lower()
    found = []
    for spellings in SPELLINGS:
        there = (names[one] for one in spellings if one in names and one != own)
        column = next(there, None)
        if column and len(samples[column][~missing_values(samples[column])].unique()) > 1:
            found.append(column)
    return found


def fit_clinical(
    train: Cohort, held_out: Cohort, columns: list[str], params: BaselineParams
) -> tuple[np.ndarray, dict[str, Any]]:
    """Logistic regression on columns of the samples, its penalty tuned in inner folds.

    Returns
    -------
    probabilities, chosen
        `(held out, classes)`; the columns and the inverse strength of the penalty.
    """
    encoded = [encode(train.samples[column]) for column in columns]
    x, new = terms(encoded, train.samples), terms(encoded, held_out.samples)
    y = train.y.astype(int)
    with threadpool_limits(limits=1):
        model = tuned_logistic(x, y, inner_folds(y, train.patients, params))
    return model.predict_proba(new), {"columns": columns, "C": model.C, "at_edge": []}
