"""Samples of a cohort: matched between files, described by a sample sheet and by barcodes."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ..core.errors import SourceError, did_you_mean, first_few
from ..core.params import SheetSource
from .barcodes import barcode, best_aliquot, plate, tcga_patient
from .contract import OBS_COLUMNS
from .gene_keys import by_r_name, make_names
from .sheets import refuse_repeats, typed

SAMPLE_TYPE_CODES = {
    **dict.fromkeys(("tumor", "tumour", "primary tumor", "primary solid tumor"), "01"),
    **dict.fromkeys(("recurrent tumor", "recurrent solid tumor"), "02"),
    "primary blood derived cancer - peripheral blood": "03",
    "additional - new primary": "05",
    "metastatic": "06",
    "additional metastatic": "07",
    "primary blood derived cancer - bone marrow": "09",
    "blood derived normal": "10",
    **dict.fromkeys(("normal", "normal tissue", "solid tissue normal"), "11"),
    "bone marrow normal": "14",
}
"""Codes of the sample types that the GDC writes in words, and of plain tumour and normal."""


@dataclass(frozen=True)
class SheetColumns:
    """Columns of a sample sheet; None means the name that `obs` uses."""

    patient: str | None = None
    sample_type: str | None = None
    site: str | None = None
    batch: str | None = None
    one_per_sample: bool = False
    """Every sample is of a patient of its own; TCGA barcodes still tell theirs."""

    @classmethod
    def of(cls, source: SheetSource) -> "SheetColumns":
        """Those that an entry names."""
        return cls(
            source.patient_column,
            source.sample_type_column,
            source.site_column,
            source.batch_column,
            one_per_sample=source.patients == "one_per_sample",
        )


def match_samples(
    wanted: Iterable[str], known: Iterable[str], *, by_patient: bool
) -> dict[str, str]:
    """The known sample that is the same as each wanted one, where there is one.

    Returns
    -------
    dict
        The same id, else the best aliquot of the same TCGA patient and sample type, else, with
        `by_patient`, the patient, else the one id that R makes the same name of.
    """
    wanted, exact = list(wanted), set(known)
    aliquots: dict[tuple[str, str, str], list[str]] = {}
    patients: dict[str, str] = {}
    for name in sorted(exact):
        key, patient = barcode(name), tcga_patient(name)
        if key:
            aliquots.setdefault(key, []).append(name)
        elif by_patient and patient and len(name) == len(patient):
            patients.setdefault(patient, name)
    best = {key: best_aliquot(names) for key, names in aliquots.items()}

    def find(name: str) -> str | None:
        if name in exact:
            return name
        key = barcode(name)
        return (best.get(key) if key else None) or patients.get(tcga_patient(name) or "")

    found = {name: find(name) for name in wanted}
    left = [name for name, match in found.items() if match is None]
    if left:
        ours, theirs = by_r_name(wanted), by_r_name(exact)
        for name in left:
            group = theirs.get(make_names(name), set())
            if len(group) == 1 and len(ours[make_names(name)]) == 1 and not barcode(name):
                found[name] = min(group)
    return {name: match for name, match in found.items() if match is not None}


def match_notes(rows: dict[str, str], what: str) -> list[str]:
    """Notes of how many samples have another id in `what`, and how they were matched."""
    other = [name for name, match in rows.items() if name != match]
    coded = sum(tcga_patient(name) is not None for name in other)
    counts = (
        (coded, "by TCGA barcode, not by the whole id"),
        (len(other) - coded, "whose ids R or macOS had changed"),
    )
    return [f"{what}: {count} samples matched {how}" for count, how in counts if count]


def describe_samples(
    sheet: pd.DataFrame, columns: SheetColumns, origin: str
) -> tuple[pd.DataFrame, list[str]]:
    """The sheet with `patient`, `sample_type`, `site` and `batch` as text, "" where unknown; notes.

    Returns
    -------
    tuple
        What no column tells of a sample is read from its TCGA barcode, the batch (the plate) only
        where no sample has one.

    Raises
    ------
    SourceError
        For a column that is not there, a sample without a patient, and a column of sample types
        none of which is known, unless barcodes tell them.
    """
    codes = [barcode(name) for name in sheet.index]
    fallback = {
        "patient": [
            tcga_patient(name) or (name if columns.one_per_sample else "") for name in sheet.index
        ],
        "sample_type": [code[1] if code else "" for code in codes],
        "site": [code[2] if code else "" for code in codes],
        "batch": [plate(name) for name in sheet.index],
    }
    identifying = {name: getattr(columns, name) or name for name in OBS_COLUMNS}
    sheet, notes = typed(sheet, identifying.values(), origin)
    described = sheet.rename(columns=storable_names(sheet.columns))
    refuse_repeats(described.columns, origin, "column")
    for name in OBS_COLUMNS:
        stated = values = _text(sheet, getattr(columns, name), name, origin)
        if name == "sample_type":
            values, odd = _type_codes(sheet.index, stated, origin)
            notes += odd
        if name == "patient" and columns.one_per_sample and any(stated):
            raise SourceError(
                f"{origin} has a column `patient`, but the source says `patients: one_per_sample`. "
                "Remove one of the two."
            )
        if name == "batch" and any(stated):
            fallback[name] = [""] * len(sheet)
        described[name] = [
            value if text else other
            for text, value, other in zip(stated, values, fallback[name], strict=True)
        ]
    lacking = described.index[described["patient"] == ""]
    if len(lacking):
        raise SourceError(
            f"{origin}: {len(lacking)} of {len(sheet)} samples have no patient: "
            f"{first_few(lacking)}. Name the column as `patient_column` (or call it `patient`) and "
            "fill it in; only TCGA barcodes tell the patient. If every sample is of another "
            "person, set `patients: one_per_sample`."
        )
    return described, notes


def storable_names(names: Iterable[str]) -> dict[str, str]:
    """New names for columns that .h5ad cannot hold under theirs."""
    reserved = {"sample": "sample_column", "_index": "index_column", ".": "dot_column"}
    return {name: reserved.get(name, name.replace("/", "_")) for name in names}


def _text(sheet: pd.DataFrame, asked: str | None, usual: str, origin: str) -> list[str]:
    """A column as text, "" where missing; the usual one may be absent."""
    name = asked or usual
    if name not in sheet:
        if asked is None:
            return [""] * len(sheet)
        raise SourceError(
            f"{origin} has no column {asked!r}, which `{usual}_column` "
            f"names{did_you_mean(asked, sheet.columns)}. Columns: "
            f"{', '.join(map(str, sheet.columns))}."
        )
    return [value or "" for value in sheet[name]]


def _type_codes(samples: pd.Index, values: list[str], origin: str) -> tuple[list[str], list[str]]:
    """TCGA sample type codes of codes (1 is 01) and of the GDC's words, "" for others; a note."""
    codes = [
        code.zfill(2) if code.isdigit() else SAMPLE_TYPE_CODES.get(code.casefold(), "")
        for code in (value.removesuffix(".0") for value in values)
    ]
    odd = [i for i, value in enumerate(values) if value and not codes[i]]
    if any(not barcode(samples[i]) for i in odd) and not any(codes):
        raise SourceError(
            f"{origin}: sample {samples[odd[0]]} has sample type {values[odd[0]]!r}, which is no "
            "TCGA code (01 primary tumour, 06 metastatic, 11 normal, …) and none of the known "
            f"words: {', '.join(sorted(SAMPLE_TYPE_CODES))}; nor is any other sample's. To keep "
            "your own words, give the column another name."
        )
    shown = first_few(f"{samples[i]} {values[i]!r:.40}" for i in odd)
    return codes, [f"{len(odd)} samples have a sample type that is not known ({shown})"] * bool(odd)
