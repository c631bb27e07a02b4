"""What is in files that are to become a cohort: its entry of params.yaml, and why it is so."""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pandas as pd

from ..cohort.barcodes import NORMAL_CODES, TUMOUR_CODES, barcode, tcga_patient
from ..cohort.contract import OBS_COLUMNS, missing
from ..cohort.labels import MAX_NUMERIC_CLASSES
from ..cohort.samples import SheetColumns, describe_samples, match_samples
from ..cohort.sheets import as_text
from ..core.errors import SourceError, first_few, printable
from ..sources.tables import read_sheet
from .cohort_files import (
    Ask,
    Findings,
    Given,
    UnansweredError,
    answer_to,
    find_scale,
    format_of,
    note_further,
    read_expression,
)

log = logging.getLogger(__name__)

SIDES = (10, 100)
"""Of the image that is proposed, least and most, in pixels."""
PATIENT = re.compile(
    r"(patient|subject|donor|case|individual|participant|person)s?([ _.-]?(id|no|nr|number|code))?",
    re.IGNORECASE,
)
"""Names of columns that tell the patient."""
NEGATIVE = frozenset(
    ("0", "no", "n", "false", "f", "control", "controls", "normal", "benign", "healthy", "negative",
     "neg", "wild-type", "wildtype", "wt", "absent", "alive", "living", "censored", "nonresponder",
     "progressor", "resistant", "unaffected")
)  # fmt: skip
"""Words of the class that is not the one to detect."""


def inspect(given: Given, ask: Ask, *, min_class_size: int) -> Findings:
    """What the files tell.

    Returns
    -------
    Findings
        With the reason of each guess.

    Raises
    ------
    SourceError
        A file cannot be read; or questions that the files leave open got no answer: all of them.
    """
    found = Findings()
    questions: list[str] = []
    expression = read_expression(given, found)
    with _noted(questions):
        find_scale(given, expression, found, ask)
    names = expression.frame.index
    for channel in ("copy_number", "mutation"):
        if path := given.files.get(channel):
            note_further(channel, path, names, given, found)
    sheet = _sheet(given, names, found)
    described = sheet
    with _noted(questions):
        described = _patients(given, sheet, found, ask)
    if described is sheet:  # as if no two samples were of one person, to ask what else is open
        columns = SheetColumns(None, given.sample_type_column, one_per_sample=True)
        described, _ = describe_samples(sheet, columns, str(given.samples))
    with _noted(questions):
        _label(given, described, sheet.columns, found, ask, min_class_size)
    if questions:
        raise SourceError("\n".join(questions))
    channels = [name for name in ("expression", "copy_number", "mutation") if name in given.files]
    side = min(max(math.ceil(math.sqrt(expression.frame.shape[1])), SIDES[0]), SIDES[1])
    found.rest |= {"channels": channels, "image": [side, side]}
    if given.cancer:
        found.rest["cancer"] = given.cancer
    return found


@contextmanager
def _noted(questions: list[str]) -> Iterator[None]:
    """Adds a question without an answer to the others."""
    try:
        yield
    except UnansweredError as error:
        questions.append(str(error))


def _sheet(given: Given, names: pd.Index, found: Findings) -> pd.DataFrame:
    """The rows of the sample sheet that are of samples of the matrix; without a sheet, new ones."""
    if given.samples is None:
        codes = [barcode(name) for name in names]
        table = {"sample_type": [code[1] if code else "" for code in codes]}
        found.sheet = pd.DataFrame(table, index=pd.Index(names, name="sample"))
        if not all(codes):
            found.sheet = pd.DataFrame({"patient": [*names]}, index=found.sheet.index)
            if not given.one_per_sample:
                odd = [name for name, code in zip(names, codes, strict=True) if not code]
                raise SourceError(
                    "without a sample sheet only TCGA barcodes tell the patients, and these are "
                    f"none: {first_few(odd)}. Give a sheet with --samples, or say --one-per-sample "
                    "if no two samples are of one person."
                )
        log.info("%s", f"no sample sheet: one is written of the {len(names)} names of samples")
        return found.sheet
    sheet = read_sheet(given.samples)
    rows = match_samples(names, sheet.index, by_patient=True)
    log.info(
        "%s",
        f"{given.samples}: {format_of(given.samples)}, {len(sheet)} rows, columns "
        f"{printable(', '.join(sheet.columns))}; {len(rows)} of {len(names)} samples have a row",
    )
    if not rows:
        better = [name for name in sheet if match_samples(names, sheet[name].dropna().astype(str),
                                                          by_patient=True)]  # fmt: skip
        hint = f"Column {better[0]!r} holds them: make it the first." if better else "Check both."
        raise SourceError(
            f"the first column of {given.samples} ({first_few(sheet.index)}) holds none of the "
            f"names of samples of {given.expression} ({first_few(names)}). {hint}"
        )
    return sheet.loc[list(dict.fromkeys(rows.values()))]


def _patients(given: Given, sheet: pd.DataFrame, found: Findings, ask: Ask) -> pd.DataFrame:
    """The sheet as the pipeline sees it; who is whose patient is asked for, never supposed."""
    column, alone = given.patient_column, given.one_per_sample and given.samples is not None
    told = "patient" in sheet or all(tcga_patient(name) for name in sheet.index)
    if not told and not column and not given.one_per_sample:
        like = [
            name for name in sheet
            if PATIENT.fullmatch(name) and not missing(sheet[name]).any()
        ]  # fmt: skip
        if len(like) == 1:
            column = like[0]
            found.guesses["patient_column"] = "by its name"
        else:
            one = "no two samples are of one person"
            answer = answer_to(
                f"{given.samples} does not say which samples are of one patient.",
                {name: f"{sheet[name].nunique()} patients" for name in like}
                | {"one_per_sample": one},
                "--patient-column, or --one-per-sample",
                ask,
            )
            column, alone = (None, True) if answer == "one_per_sample" else (answer, False)
    if column:
        found.source["patient_column"] = column
        log.info("%s", f"  patients by column {column}")
    if alone:
        found.source["patients"] = "one_per_sample"
    if given.sample_type_column:
        found.source["sample_type_column"] = given.sample_type_column
    columns = SheetColumns(column, given.sample_type_column, one_per_sample=alone)
    described, _ = describe_samples(sheet, columns, str(given.samples or "the sample names"))
    return described


def _label(
    given: Given, samples: pd.DataFrame, columns: pd.Index, found: Findings, ask: Ask, least: int
) -> None:
    """`label`, and what it needs beside it."""
    if given.sample_types:
        samples = samples[samples["sample_type"].isin(given.sample_types)]
        found.rest["sample_types"] = given.sample_types
    counted = {f"column:{name}": _classes(samples[name], name) for name in columns
               if name in samples and name not in OBS_COLUMNS
               and name != found.source.get("patient_column")}  # fmt: skip
    counted = {name: counts for name, counts in counted.items()
               if 2 <= len(counts) <= MAX_NUMERIC_CLASSES}  # fmt: skip
    tissue = {
        kind: int(samples["sample_type"].isin(codes).sum())
        for kind, codes in (("normal", NORMAL_CODES), ("tumour", TUMOUR_CODES))
    }
    if all(tissue.values()):
        counted["sample_type"] = Counter(tissue)
    label = given.label
    if label is None:
        large = [name for name, counts in counted.items() if min(counts.values()) >= least]
        if len(large) == 1:
            label = large[0]
            found.guesses["label"] = f"the only column with classes of {least} samples or more"
        else:
            label = answer_to(
                "What is to be predicted?" + " No column has 2 to 10 classes." * (not counted),
                {name: _shown(counted[name], least) for name in large}
                | {name: _shown(counts, least) for name, counts in counted.items()},
                "--label" + ", or give --label mutation:GENE" * ("mutation" in given.files),
                ask,
            )
    counts = counted.get(label, Counter())
    found.rest["label"] = label
    if counts:
        log.info("%s", f"  label {label}: {_shown(counts, least)}")
    if given.classes:
        counts = Counter({name: counts[name] for name in given.classes})
        found.rest["classes"] = given.classes
    if label.startswith("column:"):
        _positive(given, label, counts, found, ask)
        name = label.removeprefix("column:")
        if name in samples and (gone := int(missing(samples[name]).sum())):
            found.rest["drop_unlabelled"] = True
            found.guesses["drop_unlabelled"] = f"{gone} samples have no {name}"
    elif given.positive:
        found.rest["positive"] = given.positive


def _positive(given: Given, label: str, counts: Counter[str], found: Findings, ask: Ask) -> None:
    """The class to detect, of two."""
    positive = given.positive
    if positive is None and len(counts) == 2 and not given.classes:
        others = [name for name in counts if not _negative(name)]
        if len(others) == 1:
            positive = others[0]
            found.guesses["positive"] = "the other class reads like its absence"
        else:
            positive = answer_to(
                f"Which class of {label} is the one to detect?",
                {name: f"{count} samples" for name, count in counts.items()},
                "--positive", ask,
            )  # fmt: skip
    if positive is not None:
        found.rest["positive"] = positive


def _negative(name: str) -> bool:
    word = name.casefold().strip()
    return word in NEGATIVE or word.startswith(("non-", "non ", "not ", "no "))


def _classes(column: pd.Series, name: str) -> Counter[str]:
    """How many samples have each value, those without one left out."""
    return Counter(text for text in as_text(column, f"column {name!r}") if text)


def _shown(counts: Mapping[str, int], least: int) -> str:
    """Classes with their numbers of samples, and a warning where one is too small."""
    listed = ", ".join(f"{printable(name)} {count}" for name, count in sorted(counts.items()))
    small = f" (a class has fewer than {least} samples)" * (min(counts.values()) < least)
    return listed + small
