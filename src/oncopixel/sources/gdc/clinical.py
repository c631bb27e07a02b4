"""The clinical table of the GDC: a row per patient, from its records."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ...cohort.contract import says_not_known
from ...core.errors import SourceError, first_few
from ...core.params import GdcSource
from ..http.cache import RemoteFile, cached, keep
from ..http.client import Client
from .query import as_object, as_objects, search, unexpected

CASE_FIELDS = (
    *("case_id", "submitter_id", "project.project_id", "tissue_source_site.name"),
    *(
        f"demographic.{name}"
        for name in ("sex_at_birth", "race", "ethnicity", "vital_status", "days_to_death")
    ),
    *(
        f"diagnoses.{name}"
        for name in (
            "submitter_id",
            "diagnosis_is_primary_disease",
            "primary_diagnosis",
            "ajcc_pathologic_stage",
            "age_at_diagnosis",
            "days_to_last_follow_up",
        )
    ),
    "follow_ups.days_to_follow_up",
)
DAYS = ("age_at_diagnosis_days", "days_to_death", "days_to_last_follow_up")
"""Numeric columns of the clinical table."""
MAX_DAYS = 1e6
CLINICAL_COLUMNS = (
    *("project", "tissue_source_site", "sex_at_birth", "race", "ethnicity", "vital_status"),
    *("primary_diagnosis", "ajcc_stage", *DAYS),
)


def clinical_table(
    client: Client, source: GdcSource, listed: RemoteFile, patients: set[str], release: str
) -> tuple[Path, RemoteFile]:
    """The clinical table in the cache: that of the listing, or that of now when it has none."""
    path = cached(listed)
    if path is not None:
        return path, listed
    conditions = {"project.project_id": source.projects}
    hits = search(client, listed.url, conditions, CASE_FIELDS, release)
    content = clinical_csv(hit for hit in hits if str(hit.get("submitter_id")) in patients)
    kept = keep(content, listed.name, listed.url, only=listed.md5)
    if kept is None:
        raise SourceError(
            "the clinical data of the GDC have changed since the manifest was written, and the "
            "cache no longer holds those that it lists. To build the earlier cohort, bring them "
            "back with `dvc pull data/<cohort>/clinical.csv`; `--refresh` takes what the GDC has "
            "now."
        )
    return kept


def clinical_csv(cases: Iterable[dict[str, Any]]) -> bytes:
    """The clinical table of the GDC's cases: a row per patient, the same bytes for the same facts.

    Returns
    -------
    bytes
        Ages and times are in days. Of several diagnoses that of the primary disease counts, of
        follow-ups the latest. What is not known or not reported is empty.
    """
    rows = dict(map(_clinical_row, cases))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(CLINICAL_COLUMNS))
    text: str = frame.sort_index().to_csv(index_label="patient", lineterminator="\n")
    return text.encode()


def _clinical_row(case: Any) -> tuple[str, dict[str, Any]]:
    """The patient, and what is known of them."""
    case = as_object(case, "a case")
    patient = _text(case.get("submitter_id"))
    if not isinstance(case.get("submitter_id"), str) or not patient:
        raise unexpected(case.get("submitter_id"), "submitter_id of a case", "a name")

    def inner(name: str) -> dict[str, Any]:
        return as_object(case.get(name), f"{name} of {patient}")

    person = inner("demographic")
    diagnoses = sorted(
        as_objects(case.get("diagnoses"), f"diagnoses of {patient}"),
        key=lambda one: (
            str(one.get("diagnosis_is_primary_disease")).lower() != "true",
            str(one.get("submitter_id")),
        ),
    )
    diagnosis = diagnoses[0] if diagnoses else {}
    follow_ups = as_objects(case.get("follow_ups"), f"follow_ups of {patient}")
    ends = [_text(one.get("days_to_last_follow_up")) for one in diagnoses]
    ends += [_text(one.get("days_to_follow_up")) for one in follow_ups]
    return patient, {
        "project": _text(inner("project").get("project_id")),
        "tissue_source_site": _text(inner("tissue_source_site").get("name")),
        **{
            name: _text(person.get(name))
            for name in ("sex_at_birth", "race", "ethnicity", "vital_status")
        },
        "days_to_death": _text(person.get("days_to_death")),
        "primary_diagnosis": _text(diagnosis.get("primary_diagnosis")),
        "ajcc_stage": _text(diagnosis.get("ajcc_pathologic_stage")),
        "age_at_diagnosis_days": _text(diagnosis.get("age_at_diagnosis")),
        "days_to_last_follow_up": max(filter(None, ends), key=_when, default=None),
    }


def _text(value: Any) -> str | None:
    """One line of printable characters, JSON of records, or None for what means "not known"."""
    if isinstance(value, float):
        value = f"{value:.15g}"
    if isinstance(value, dict | list):
        value = json.dumps(value, sort_keys=True)
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return None if says_not_known(text) else text


def _days(text: str) -> float:
    """A number of days; NaN for any other text."""
    try:
        days = float(text)
    except ValueError:
        return math.nan
    return days if abs(days) < MAX_DAYS else math.nan


def _when(text: str) -> tuple[float, str]:
    """By which days are put in order, texts that are none first."""
    days = _days(text)
    return (-math.inf if math.isnan(days) else days), text


def read_clinical(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table that `clinical_csv` wrote, days as numbers; notes of what is no such thing."""
    table = pd.read_csv(path, index_col="patient", dtype=object, keep_default_na=False)
    notes = []
    for name, given in table.items():
        if name in DAYS:
            table[name] = given.map(_days).astype(float)
            odd, wanted = table[name].isna() & (given != ""), "number of days"
        else:
            odd, wanted = given.str.startswith(("[", "{")), "text"
            table[name] = given.mask(odd, "")
        if odd.any():
            shown = first_few(f"{patient} {value[:40]!r}" for patient, value in given[odd].items())
            notes.append(
                f"clinical: {odd.sum()} values of {name} are no {wanted}: left out ({shown})"
            )
    return table, notes
