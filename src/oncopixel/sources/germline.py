"""Inherited copy number: segments of a tumour that the patient's normal tissue has, too."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..cohort.barcodes import NORMAL_CODES
from .segments import Segments

GERMLINE_BASES = 3_000_000
"""Bases up to which a segment may be inherited."""
GERMLINE_LOG2 = 0.2
"""What it differs from two copies, at least."""
GERMLINE_OVERLAP = 0.5
"""Share of each of the two that a segment has in common with one of the patient's normal tissue."""


def without_germline(found: Segments, sheet: pd.DataFrame, notes: list[str]) -> Segments:
    """The segments less those of tumours that the normal tissue of the same patient has, too.

    Parameters
    ----------
    sheet
        `sample_type` and `patient` of each sample, in the order of the segments' samples.

    Returns
    -------
    Segments
        Of the same samples.
    """
    altered = (np.abs(found.value) >= GERMLINE_LOG2) & (found.end - found.start < GERMLINE_BASES)
    normal = sheet["sample_type"].isin(NORMAL_CODES).to_numpy()[found.sample]
    patient = pd.factorize(sheet["patient"])[0][found.sample]
    inherited = np.zeros(len(found.value), dtype=bool)
    for tumour_rows, normal_rows in _by_patient(patient, altered & ~normal, altered & normal):
        mine, theirs = (
            {name: getattr(found, name)[rows] for name in ("chromosome", "start", "end", "value")}
            for rows in (tumour_rows[:, np.newaxis], normal_rows)
        )
        shared = np.minimum(mine["end"], theirs["end"]) - np.maximum(mine["start"], theirs["start"])
        longer = np.maximum(mine["end"] - mine["start"], theirs["end"] - theirs["start"])
        same = (mine["chromosome"] == theirs["chromosome"]) & (mine["value"] * theirs["value"] > 0)
        same &= shared + 1 >= GERMLINE_OVERLAP * (longer + 1)
        inherited[tumour_rows[same.any(axis=1)]] = True
    if inherited.any():
        notes.append(
            f"copy_number: {int(inherited.sum())} segments of tumours left out: their patients' "
            "normal tissue has them"
        )
    return found.take(~inherited)


def _by_patient(
    patient: np.ndarray, tumour: np.ndarray, normal: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the segments of each patient who has both kinds."""
    groups = [
        pd.Series(np.flatnonzero(rows)).groupby(patient[rows]).indices for rows in (tumour, normal)
    ]
    places = [np.flatnonzero(rows) for rows in (tumour, normal)]
    for key in groups[1].keys() & groups[0].keys():
        yield places[0][groups[0][key]], places[1][groups[1][key]]
