"""Clinical files and case lists of the cBioPortal: its samples, and which were sequenced."""

import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ..cohort.barcodes import NORMAL_CODES, barcode
from ..cohort.sheets import refuse_repeats
from ..core.errors import SourceError, did_you_mean, first_few
from .http.locations import SourceFile
from .tables import read_columns, read_rows, texts_of
from .text import Dialect
from .variants import sample_id

TSV = Dialect(comment="#", quoting=False)
IDS = re.compile(r"\s*case_list_ids\s*:", re.IGNORECASE)
_OTHER_LINE = re.compile(r"\s*\w+\s*:")


def sequenced_samples(
    file: SourceFile, patients: pd.Series, called: set[str], notes: list[str]
) -> tuple[list[str], float]:
    """The samples of a case list, also by their patients, and the share of ids that are neither."""
    known = {name: [name] for name in patients.index}
    known |= {sample_id(name): [name] for name in patients.index if sample_id(name) not in known}
    found: list[str] = []
    unknown, unclear = [], []
    tumours = [name for name in patients.index if (barcode(name) or "--")[1] not in NORMAL_CODES]
    of_patient: dict[str, list[str]] = {}
    for name in tumours:
        of_patient.setdefault(str(patients[name]), []).append(name)
    listed = _case_list(file, {*known, *of_patient} - {""})
    for name in listed:
        own = of_patient.get(name, [])
        if len(own) > 1:
            own = [sample for sample in own if sample in called]
            unclear += [] if own else [name]
        samples = known.get(name) or known.get(sample_id(name)) or own
        found += samples
        unknown += [] if samples or name in of_patient else [name]
    if not found:
        raise SourceError(
            f"{file.shown} names no sample of the study: {first_few(listed)}; expected: "
            f"{first_few(patients.index)}. Give the ids of the samples or of their patients, or "
            "set `sequenced: null`."
        )
    for names, fact in (
        (unknown, "are of no sample of the study"),
        (unclear, "are patients with several tumours and no mutation: not measured"),
    ):
        if names:
            notes.append(
                f"mutation: {len(names)} of {len(listed)} ids of the case list {fact} "
                f"({first_few(names)})"
            )
    return found, len(unknown) / len(listed)


def _case_list(file: SourceFile, known: Collection[str]) -> list[str]:
    """The ids of a case list, between tabs, blanks, commas; `known` ids may hold such."""
    with file.reading() as path:
        cells: list[str] = []
        begun = False
        for _, row in read_rows(path, TSV):
            if IDS.match(row[0]):
                begun, row[0] = True, IDS.sub("", row[0])
            elif _OTHER_LINE.match(row[0]):
                begun = False
            if begun:
                cells += row
        names: list[str] = []
        for cell in cells:
            whole = cell.strip(" \"'")
            names += [whole] if whole in known else re.split(r"[\s,;\"']+", cell)
        found = list(dict.fromkeys(filter(None, names)))
        if not found:
            raise SourceError(
                f"{path} is no case list: it has no line `case_list_ids:` with sample ids."
            )
        return found


def read_clinical(
    samples: SourceFile, patients: SourceFile | None, notes: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The clinical data of samples and, in columns that are named second, of their patients."""
    sheet = _clinical(samples, "SAMPLE_ID")
    if "PATIENT_ID" not in sheet:
        raise SourceError(
            f"{samples.shown} has no column PATIENT_ID. It has: {first_few(sheet.columns)}."
        )
    if patients is None:
        return sheet, []
    others = _clinical(patients, "PATIENT_ID")
    unknown = int((~sheet["PATIENT_ID"].isin(others.index)).sum())
    if unknown:
        notes.append(
            f"{unknown} samples are of patients without a row in {Path(patients.shown).name}"
        )
    further = others[others.columns.difference(sheet.columns, sort=False)]
    return sheet.join(further, on="PATIENT_ID"), list(further.columns)


def _clinical(file: SourceFile, index: str) -> pd.DataFrame:
    """A clinical file by its ids, all of it text."""
    with file.reading() as path:
        table = read_columns(path, TSV, kind=pa.string())
        if index not in table:
            raise SourceError(
                f"{path} has no column {index}{did_you_mean(index, table)}. It has: "
                f"{first_few(table)}."
            )
        ids = pd.Index(texts_of(table.pop(index)), dtype=object, name=index)
        refuse_repeats(ids, str(path), "patient" if index == "PATIENT_ID" else "sample")
        if ids.empty:
            raise SourceError(f"{path} has a header but no rows.")
    return pd.DataFrame({name: texts_of(column) for name, column in table.items()}, ids)
