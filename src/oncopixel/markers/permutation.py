"""The list of resampled patients and of permuted labels."""

import numpy as np
import pandas as pd

from ..core.params import BiomarkerParams, Claim, StabilityParams
from ..evaluation.permutation import permuted_labels
from .discovery import Hypotheses, discover, rows_of
from .stability import resamples


def repeated_lists(
    hypotheses: Hypotheses,
    claim: Claim,
    y: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    params: BiomarkerParams,
    resampling: StabilityParams,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The list of each resample of patients, and of each permutation of labels.

    Returns
    -------
    resampled, permuted, permuted_q
        `(resamples, rows)` and `(permutations, rows)` bool; `(permutations,)` least q-values.
    """
    n = resampling.resamples
    kept = resamples(patients, y, n, resampling.fraction, resampling.seed)
    permuted = permute_labels(y, patients, groups, params)
    labels = np.vstack([np.where(kept, y, -1), permuted])
    found = discover(hypotheses, claim, labels, params)
    lists = rows_of(hypotheses, found)
    return lists[:n], lists[n:], np.array([one.q.min() for one in found[n:]])


def permute_labels(
    y: np.ndarray, patients: np.ndarray, groups: np.ndarray, params: BiomarkerParams
) -> np.ndarray:
    """Labels that say nothing.

    Returns
    -------
    `(permutations, samples)`. The samples of a patient in one class move together, and change
    places with as many of another patient, within the site when the split holds out sites. So a
    patient's tumour and normal sample move apart: were their labels to stay within the patient,
    those with one sample would keep theirs, and with it the signal.
    """
    patient, group = (np.unique(unit, return_inverse=True)[1] for unit in (patients, groups))
    unit = np.unique(patient * (y.max() + 1) + y, return_inverse=True)[1]
    nested = not np.array_equal(patients, groups)
    everywhere = np.zeros_like(unit)
    return permuted_labels(
        y,
        everywhere,
        unit,
        group if nested else unit,
        params.permutations,
        np.random.default_rng(params.seed),
    )


def repeated_samples(patients: np.ndarray, y: np.ndarray) -> int:
    """How many samples are a further one of their patient in the same class."""
    return int(pd.DataFrame({"patient": patients, "y": y}).duplicated().sum())
