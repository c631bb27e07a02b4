"""Matrices that are to become a cohort: which way they lie, on what scale, and whose samples."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from ..cohort.contract import Matrix
from ..cohort.gene_keys import read_keys
from ..cohort.genes import gene_of
from ..cohort.samples import match_samples
from ..cohort.scales import check_values, refuse_relative
from ..core.errors import SourceError, first_few, printable
from ..core.params import MAX_LOG2, Scale
from ..sources.dialects import DELIMITER_NAMES
from ..sources.gene_segments import reading_of
from ..sources.tables import read_matrix, read_sheet
from ..sources.text import DELIMITERS
from ..sources.variants import read_list

log = logging.getLogger(__name__)

ORIENTATIONS = ("genes_by_samples", "samples_by_genes")
TPM_SUM = 1e6

Ask = Callable[[str, Mapping[str, str]], str | None]
"""A question and its answers, each with what there is to say of it; None where nobody answers."""


@dataclass(frozen=True)
class Given:
    """Files, and what their owner says of them; None is found out."""

    expression: Path
    samples: Path | None = None
    copy_number: Path | None = None
    mutation: Path | None = None
    orientation: str | None = None
    scale: Scale | None = None
    label: str | None = None
    positive: str | None = None
    classes: list[str] | None = None
    sample_types: list[str] | None = None
    patient_column: str | None = None
    sample_type_column: str | None = None
    one_per_sample: bool = False
    build: str | None = None
    cancer: str | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Those that are there, by the keys of the entry."""
        names = ("expression", "copy_number", "mutation", "samples")
        return {name: path for name in names if (path := getattr(self, name)) is not None}


@dataclass
class Findings:
    """What the entry says but for the names of the files, and how it was found."""

    source: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    guesses: dict[str, str] = field(default_factory=dict)
    """Why, by key."""
    sheet: pd.DataFrame | None = None
    """A sample sheet to write, where none was given."""


def format_of(path: Path) -> str:
    """What kind of table the name of a file says that it is."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    separated = DELIMITERS.get(suffix)
    return f"{DELIMITER_NAMES[separated]}-separated" if separated else "Parquet"


def _known_genes(names: pd.Index, origin: str) -> int:
    try:
        return sum(gene_of(name) is not None for name in read_keys(names, origin).names)
    except SourceError:  # numbers, or dates of no gene
        return 0


def _read(path: Path, orientation: str | None) -> Matrix:
    """The matrix; read the other way where the first way, its columns have no names of samples."""
    try:
        return read_matrix(path, orientation or ORIENTATIONS[0])
    except SourceError:
        if orientation:
            raise
        try:
            return read_matrix(path, ORIENTATIONS[1])
        except SourceError:
            pass
        raise


def _turned(sheet: Path | None, frame: pd.DataFrame, rows: int, columns: int) -> bool:
    """Whether genes are in the columns: by a sheet's samples, else by how many names are known."""
    if sheet:
        ids = read_sheet(sheet).index.astype(str)
        there, across = frame.index.isin(ids).sum(), frame.columns.isin(ids).sum()
        if there != across:
            return bool(across > there)
    return columns > rows


def read_expression(given: Given, found: Findings) -> Matrix:
    """The expression matrix, `(samples, genes)`."""
    matrix = _read(given.expression, given.orientation)
    frame, origin = matrix.frame, matrix.origin
    rows, columns = _known_genes(frame.columns, origin), _known_genes(frame.index, origin)
    turned = not given.orientation and _turned(given.samples, frame, rows, columns)
    if turned:
        matrix = read_matrix(given.expression, ORIENTATIONS[1])
    known = max(rows, columns) if not given.orientation else rows
    samples, genes = matrix.frame.shape
    if not known and not given.orientation:
        raise SourceError(
            f"{given.expression}: neither rows nor columns bear names of human genes that are "
            f"known (rows: {first_few(frame.columns)}; columns: {first_few(frame.index)}). Say "
            "which are genes with --orientation."
        )
    orientation = given.orientation or ORIENTATIONS[turned]
    if orientation != ORIENTATIONS[0]:
        found.source["orientation"] = orientation
    reason = f"{known} of {genes} names of genes are known"
    if not given.orientation and turned:
        found.guesses["orientation"] = reason
    log.info(
        "%s",
        f"{given.expression}: {format_of(given.expression)}, {genes} genes of {samples} samples, "
        f"{orientation} ({reason})",
    )
    return matrix


def find_scale(given: Given, matrix: Matrix, found: Findings, ask: Ask) -> None:
    """The scale that values can be of, and no other that is likelier; else it is asked for."""
    values = matrix.frame.to_numpy()
    if given.scale:
        check_values(matrix, "expression", given.scale)
        found.source["scale"] = given.scale
        return
    whole = not np.any(values % 1 > 0)
    refused: dict[str, SourceError] = {}
    for scale in get_args(Scale):
        try:
            check_values(matrix, "expression", scale)
            refuse_relative(values, scale, matrix.origin)
        except SourceError as error:
            refused[scale] = error
    possible = [scale for scale in get_args(Scale) if scale not in refused]
    if not possible:
        negative = bool((values < 0).any())
        raise refused["log2" if negative or float(np.nanmax(values)) <= MAX_LOG2 else "rsem"]
    sums = np.nansum(values, axis=1, dtype=np.float64)
    if "counts" in possible and whole:
        scale, reason = "counts", "whole numbers"
    elif "log2" in possible:
        scale, reason = "log2", f"none is above {np.nanmax(values):.3g}, and not all are whole"
    elif "tpm" in possible and abs(float(np.median(sums)) / TPM_SUM - 1) < 0.1:
        scale, reason = "tpm", "the values of a sample add up to a million"
    else:
        about = {
            "rsem": "expected counts of RSEM or others, normalised or not",
            "tpm": "transcripts per million, of a part of the genes",
            "fpkm": "FPKM or RPKM",
        }
        scale = answer_to(
            f"{given.expression}: the values are not logged and not whole. What are they?",
            {name: about[name] for name in possible if name in about},
            "--scale", ask,
        )  # fmt: skip
        reason = ""
    found.source["scale"] = scale
    if reason:
        found.guesses["scale"] = reason
    log.info("%s", f"  scale {scale}" + (f" ({reason})" if reason else ""))


def note_further(channel: str, path: Path, names: pd.Index, given: Given, found: Findings) -> None:
    """Notes of a further channel's file; its source's part where the name alone is not enough."""
    notes: list[str] = []
    if channel == "copy_number" and reading_of(path.name, path):
        if given.build:
            found.source["copy_number"] = {"build": given.build}
        log.info("%s", f"{path}: copy-number segments")
        return
    matrix = read_list(path, notes) if channel == "mutation" else None
    form = "a list of variants" if matrix else format_of(path)
    matrix = matrix or read_matrix(path, found.source.get("orientation", ORIENTATIONS[0]))
    check_values(matrix, channel)
    shared = len(match_samples(names, matrix.frame.index, by_patient=False))
    log.info(
        "%s",
        f"{path}: {form}, {matrix.frame.shape[1]} genes; {shared} of {len(names)} samples found",
    )
    if not shared:
        raise SourceError(
            f"{path} shares no sample with {given.expression}. It has: "
            f"{first_few(matrix.frame.index)}; expected: {first_few(names)}."
        )


class UnansweredError(SourceError):
    """Something that the files leave open, and nobody was there to say."""


def answer_to(question: str, answers: Mapping[str, str], option: str, ask: Ask) -> str:
    """The chosen one; `UnansweredError` with all of them where nobody chooses."""
    answer = ask(question, answers) if answers else None
    if answer is None:
        listed = "".join(f"\n  {printable(name)}: {about}" for name, about in answers.items())
        raise UnansweredError(f"{question}{listed}\nSay so with {option}.")
    return answer
