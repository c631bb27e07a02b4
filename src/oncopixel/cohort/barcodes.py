"""TCGA barcodes: patients, sample types, and which aliquot stands for a sample.

They are read as `TCGA-05-4244-01A-01R-1107-07`: project, tissue source site, participant, sample
type and vial, portion and analyte, plate, centre
(https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode/).
"""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from .contract import Cohort

TUMOUR_CODES = frozenset(f"{code:02d}" for code in range(1, 10))
NORMAL_CODES = frozenset(f"{code:02d}" for code in range(10, 20))
PROJECTS = (
    "ACC", "BLCA", "BRCA", "CESC", "CHOL", "COAD", "DLBC", "ESCA", "GBM", "HNSC", "KICH", "KIRC",
    "KIRP", "LAML", "LGG", "LIHC", "LUAD", "LUSC", "MESO", "OV", "PAAD", "PCPG", "PRAD", "READ",
    "SARC", "SKCM", "STAD", "TGCT", "THCA", "THYM", "UCEC", "UCS", "UVM",
)  # fmt: skip
"""Codes of the 33 cancers of TCGA."""
_PROJECT = re.compile(rf"(?<![A-Za-z0-9])(TCGA[-.])?({'|'.join(PROJECTS)})(?![A-Za-z0-9])")
_PATIENT = re.compile(r"(TCGA)[-.]([A-Z0-9]{2})[-.]([A-Z0-9]{4})(?![A-Z0-9])", re.IGNORECASE)
_SAMPLE = re.compile(_PATIENT.pattern + r"[-.](\d{2})(?=[A-Z]?(?:[-.]|$))", re.IGNORECASE)
_ALIQUOT = re.compile(
    _SAMPLE.pattern
    + r"(?P<vial>[A-Z]?)(?:[-.](?P<portion>\d{2})(?P<analyte>[A-Z])"
    + r"(?:[-.](?P<plate>[A-Z0-9]{4})[-.]\d{2}$)?)?",
    re.IGNORECASE,
)
_ANALYTES = "HRTDWGX"
"""Better first: RNA by mirVana hybrid, RNA, total RNA; native DNA before amplified DNA."""


def barcode(sample: str) -> tuple[str, str, str] | None:
    """Patient (`TCGA-05-4244`), sample type (`01`) and site (`05`) of a TCGA id, also with dots."""
    found = _SAMPLE.match(sample)
    patient = tcga_patient(sample)
    return (patient, found[4], found[2].upper()) if found and patient else None


def tcga_patient(sample: str) -> str | None:
    """The patient (`TCGA-05-4244`) of a TCGA patient or sample barcode; None for any other id."""
    found = _PATIENT.match(sample)
    return "-".join(found.groups()).upper() if found else None


def project_in(text: str) -> str:
    """The one project of TCGA (`LUAD`) that a text such as a file's name tells; "" for others."""
    found = {code for _, code in _PROJECT.findall(text)}
    return found.pop() if len(found) == 1 else ""


def same_people(cohort: Cohort, other: Cohort) -> np.ndarray:
    """`(samples,)` bool: whether `other` has the patient of each sample, by id or TCGA barcode."""
    there = set().union(*_names_of_people(other))
    return np.array([not there.isdisjoint(names) for names in _names_of_people(cohort)], dtype=bool)


def _names_of_people(cohort: Cohort) -> list[set[str]]:
    return [
        {
            name.strip().casefold()
            for name in (patient, tcga_patient(patient), tcga_patient(sample))
            if name
        }
        for patient, sample in zip(cohort.patients, cohort.samples.index.astype(str), strict=True)
    ]


def plate(sample: str) -> str:
    """The plate, characters 22 to 25 of a TCGA aliquot barcode of 28; "" for any other id."""
    found = _ALIQUOT.match(sample)
    return (found["plate"] or "").upper() if found else ""


def best_aliquot(samples: Iterable[str]) -> str:
    """The TCGA barcode to use where several name the same patient and sample type.

    Returns
    -------
    str
        The earliest vial (later ones are often FFPE material), then analyte H, R, T for RNA and
        native before amplified DNA, then the highest portion and plate.

    References
    ----------
    Firehose's replicate filters, https://gdac.broadinstitute.org/runs/gdc/report_2017_07_22/
    """
    return min(sorted(samples, reverse=True), key=_aliquot_rank)


def _aliquot_rank(sample: str) -> tuple[str, int]:
    found = _ALIQUOT.match(sample)
    if found is None:
        return ("~", len(_ANALYTES))
    position = _ANALYTES.find((found["analyte"] or "?").upper())
    return ((found["vial"] or "A").upper(), position if position >= 0 else len(_ANALYTES))


def pick_aliquots(cohort: Cohort) -> Cohort:
    """The cohort with one TCGA sample per patient and sample type, chosen by `best_aliquot`.

    Returns
    -------
    Cohort
        The barcode tells the type where it is not known. Samples whose id is no TCGA barcode all
        stay: it does not say which is a repeat of which.
    """
    names = cohort.samples.index.to_series()
    types = names.map(lambda name: (barcode(name) or ("", ""))[1])
    coded, told = names[types != ""], types[types != ""]
    own = cohort.samples.loc[coded.index, ["patient", "sample_type"]].astype(str)
    keys = [own["patient"], own["sample_type"].where(own["sample_type"] != "", told), told]
    kept = set(coded.groupby(keys).agg(best_aliquot)) if len(coded) else set()
    dropped = set(coded) - kept
    notes: list[str] = []
    samples = drop_samples(
        cohort.samples,
        ~names.isin(dropped),
        "further aliquots of the same patient and sample type (kept: earliest vial, then analyte "
        "H, R, T, then highest portion and plate)",
        notes,
    )
    return keep_samples(cohort, samples, notes)


def drop_samples(
    samples: pd.DataFrame, keep: pd.Series | np.ndarray, reason: str, notes: list[str]
) -> pd.DataFrame:
    """The samples to keep; `notes` gets how many were dropped and why."""
    mask = np.asarray(keep, dtype=bool)
    if mask.all():
        return samples
    notes.append(f"{(~mask).sum()} samples dropped: {reason}")
    return samples[mask]


def keep_samples(cohort: Cohort, samples: pd.DataFrame, notes: list[str]) -> Cohort:
    """The cohort of these of its samples, with the notes added; itself when they are all."""
    if len(samples) == len(cohort.samples):
        return cohort
    taken = cohort.take(cohort.samples.index.get_indexer(samples.index))
    earlier = [str(note) for note in taken.data.uns.get("notes", [])]
    taken.data.uns["notes"] = np.array([*earlier, *notes], dtype=object)
    return taken
