"""Matrices and a sample sheet, put together to one cohort."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from ..core.errors import SourceError, first_few
from ..core.params import CHANNELS, Scale
from . import genes
from .barcodes import barcode
from .contract import OBS_COLUMNS, Cohort, Matrix, build_cohort
from .gene_keys import NO_GENE, read_keys
from .phenotypes import refuse_phenotypes
from .samples import SheetColumns, describe_samples, match_notes, match_samples, storable_names
from .scales import check_values

MIN_SHARED = 0.5
"""Share of the samples of the smaller of matrix and sheet that must be in both."""


class AlongGenome(Protocol):
    """Copy number along the genome, of which every gene that has a place has a value."""

    @property
    def origin(self) -> str:
        """Where it comes from."""

    @property
    def samples(self) -> Sequence[str]:
        """Their ids."""

    @property
    def min_markers(self) -> int:
        """The fewest markers of a segment that counts."""

    def of_genes(
        self, samples: Sequence[str], places: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """`(samples, genes)` values of the genes with a place, and further columns of samples."""


def assemble(
    matrices: Mapping[str, Matrix],
    sheet: pd.DataFrame,
    *,
    scale: Scale,
    columns: SheetColumns,
    sheet_origin: str,
    origin: str,
    notes: Sequence[str] = (),
    among: Iterable[str] = (),
    patient_columns: Iterable[str] = (),
    segments: AlongGenome | None = None,
) -> Cohort:
    """The unlabelled cohort of the samples that the expression and the sheet share.

    Parameters
    ----------
    matrices
        By channel. Of several rows of one gene the one with the highest mean stays; of mutations
        the largest value of each sample. What further channels lack is NaN.
    among
        Names that genes of the expression keep.
    patient_columns
        Columns that describe patients rather than samples.
    segments
        The copy number, in place of a matrix.

    Returns
    -------
    Cohort
        `uns["losses"]` has the shares of samples and genes that found no partner.

    Raises
    ------
    SourceError
        For values that a channel cannot have, phenotypes among genes, and what does not fit.
    """
    for given in matrices.values():
        refuse_phenotypes(given.frame.columns, sheet.columns, given.origin)
    if columns.patient is not None and columns.patient == sheet.index.name:
        sheet, columns = sheet.assign(patient=sheet.index), replace(columns, patient=None)
    rows, lost, sample_notes = _share_samples(matrices["expression"], sheet, sheet_origin)
    samples = sheet.loc[list(rows.values())].set_axis(list(rows), axis=0)
    expression = _select(matrices["expression"], {name: name for name in rows})
    check_values(expression, "expression", scale)
    samples, type_notes = describe_samples(samples, columns, sheet_origin)
    values, lost_genes, gene_notes = unify(expression, "expression", among)
    notes = [*notes, *sample_notes, *type_notes, *gene_notes]
    if absent := int(np.isnan(values.to_numpy()).sum()):
        notes.append(f"expression: {absent} of {values.size} values are missing")
    losses = {"samples": lost, "expression_genes": lost_genes}
    layers: dict[str, pd.DataFrame] = {}
    places = genes.annotate(list(values.columns))
    further: dict[str, Matrix | AlongGenome] = {**matrices}
    if segments is not None:
        further["copy_number"] = segments
    for channel in CHANNELS[1:]:
        if channel in further:
            aligned = _align(further[channel], values, channel, places)
            layers[channel] = aligned.frame
            samples = samples.drop(columns=aligned.facts.columns, errors="ignore")
            samples = samples.join(aligned.facts)
            losses |= aligned.losses
            notes += aligned.notes
    if unknown := int((places["chromosome"] == "").sum()):
        notes.append(f"{unknown} of {len(places)} genes have no known place")
    cohort = build_cohort(
        values, samples, places, scale=scale, origin=origin, notes=notes, losses=losses, **layers
    )
    if segments is not None:
        cohort.data.uns["min_markers"] = segments.min_markers
    of_patients = any(barcode(name) and not barcode(row) for name, row in rows.items())
    set_patient_columns(cohort, sheet.columns if of_patients else patient_columns)
    return cohort


def set_patient_columns(cohort: Cohort, columns: Iterable[str]) -> None:
    """Sets `uns["patient_columns"]` to those `columns` of a sheet that describe patients."""
    names = [name for name in storable_names(columns).values() if name not in OBS_COLUMNS]
    if names:
        cohort.data.uns["patient_columns"] = np.array(names, dtype=object)


def unify(matrix: Matrix, what: str, among: Iterable[str]) -> tuple[pd.DataFrame, float, list[str]]:
    """The matrix with one column per gene symbol, what share of its keys is of no gene, notes."""
    frame, joined = matrix.frame, what == "mutation"
    read = read_keys(frame.columns, matrix.origin, among, join=joined)
    names, routes = genes.reconcile(read.names, among, join=joined)
    kept, notes = unique_genes(names, lambda at: frame.iloc[:, at].mean().to_numpy(), what)
    if kept.empty:
        raise SourceError(
            f"{matrix.origin} names no gene: {first_few(frame.columns)}. "
            "Give symbols or Ensembl ids."
        )
    found = route_notes([routes[at] for at in kept.index], what)
    unique = frame.iloc[:, kept.index].set_axis(kept.tolist(), axis=1)
    if joined:
        named = frame.set_axis(names, axis=1)
        repeated = named.columns.duplicated(keep=False) & named.columns.isin(kept)
        largest = named.loc[:, repeated].T.groupby(level=0).max().T
        unique[largest.columns] = largest
    nameless = sum(NO_GENE.fullmatch(name) is not None for name in names) + read.unclear
    return unique, nameless / len(names), [f"{what}: {note}" for note in read.notes] + notes + found


def route_notes(routes: Iterable[str], what: str) -> list[str]:
    """Notes of how many genes were found by what, of the routes of `genes.reconcile`."""
    counts = Counter(routes)
    parts = [f"{counts[route]} by {route}" for route in genes.ROUTES if counts[route]]
    parts += [f"{counts['']} unknown"] if counts[""] else []
    notes = [f"{what}: genes found: {', '.join(parts)}"] if parts else []
    if counts[genes.TAKEN]:
        notes.append(
            f"{what}: {counts[genes.TAKEN]} genes keep another name: their symbol or another name "
            "of theirs is there too"
        )
    return notes


def unique_genes(
    names: Sequence[str], means: Callable[[np.ndarray], np.ndarray], what: str
) -> tuple[pd.Series, list[str]]:
    """The symbols that stay by position, of several the one of the highest mean; notes."""
    symbols = pd.Series(names, dtype=object)
    named = np.array([not NO_GENE.fullmatch(key) for key in symbols], dtype=bool)
    candidates = symbols[named]
    repeated = candidates[candidates.duplicated(keep=False)]
    rank = pd.Series(np.zeros(len(symbols)))
    rank[repeated.index] = np.nan_to_num(means(repeated.index.to_numpy()), nan=-np.inf)
    order = rank[candidates.index].sort_values(ascending=False, kind="stable").index
    kept = candidates[order].drop_duplicates().sort_index()
    joined = (
        "entries joined with another of the same gene; a mutation in any of them counts"
        if what == "mutation"
        else "entries dropped: another of the same gene symbol has a higher mean"
    )
    notes = [
        (int((~named).sum()), "entries without a gene name dropped"),
        (len(candidates) - len(kept), joined),
    ]
    return kept, [f"{what}: {count} {text}" for count, text in notes if count]


def _share_samples(
    matrix: Matrix, sheet: pd.DataFrame, sheet_origin: str
) -> tuple[dict[str, str], float, list[str]]:
    """Row of the sheet for each sample that has one, the share of those without one, and notes."""
    frame = matrix.frame
    rows = match_samples(frame.index, sheet.index, by_patient=True)
    if not rows or len(rows) < MIN_SHARED * min(len(frame), len(sheet)):
        if len(match_samples(frame.columns, sheet.index, by_patient=True)) > len(rows):
            raise SourceError(
                f"{matrix.origin} is transposed: the samples of {sheet_origin} stand where its "
                "genes should. Turn `orientation` round (genes_by_samples, samples_by_genes)."
            )
        raise SourceError(
            f"{matrix.origin} and {sheet_origin} share {len(rows)} samples of {len(frame)} and "
            f"{len(sheet)}. Matrix: {first_few(frame.index)}. Sheet: {first_few(sheet.index)}. The "
            "ids must be the same (the first column of the sheet), and `orientation` right."
        )
    counts = (
        (len(frame) - len(rows), "samples dropped: not in the sample sheet"),
        (
            len(sheet) - len(set(rows.values())),
            "rows of the sample sheet are of no sample in the expression matrix",
        ),
    )
    notes = [f"{count} {fact}" for count, fact in counts if count]
    return rows, 1 - len(rows) / len(frame), notes + match_notes(rows, "sample sheet")


def _select(matrix: Matrix, names: Mapping[str, str]) -> Matrix:
    """Samples of the matrix under new names, which are given with the old."""
    return Matrix(matrix.origin, matrix.frame.loc[list(names.values())].set_axis(list(names)))


@dataclass(frozen=True)
class _Aligned:
    """A further channel by the samples and genes of the expression."""

    frame: pd.DataFrame
    facts: pd.DataFrame
    """Further columns of the samples that it has."""
    losses: dict[str, float]
    notes: list[str]


def _align(
    given: Matrix | AlongGenome, expression: pd.DataFrame, channel: str, places: pd.DataFrame
) -> _Aligned:
    known = given.frame.index if isinstance(given, Matrix) else given.samples
    rows = match_samples(expression.index, known, by_patient=False)
    if not rows:
        raise SourceError(
            f"{given.origin} shares no sample with the expression matrix. It has: "
            f"{first_few(known)}; expected: {first_few(expression.index)}. Check the ids"
            f"{' and `orientation`' if isinstance(given, Matrix) else ''}."
        )
    facts, notes = pd.DataFrame(index=list(rows)), list[str]()
    if isinstance(given, Matrix):
        selected = _select(given, rows)
        check_values(selected, channel)
        frame, _, notes = unify(selected, channel, expression.columns)
    else:
        frame, found = given.of_genes(sorted(set(rows.values())), places)
        frame = frame.loc[list(rows.values())].set_axis(list(rows))
        facts = found.loc[list(rows.values())].set_axis(list(rows))
    shared = frame.columns.intersection(expression.columns)
    if shared.empty:
        raise SourceError(
            f"{given.origin} shares no gene with the expression matrix. It has: "
            f"{first_few(frame.columns)}; expected: {first_few(expression.columns)}. Use symbols "
            "or Ensembl ids in both."
        )
    counts = (
        (len(expression) - len(rows), "samples were not measured"),
        (expression.shape[1] - len(shared), "genes were not measured"),
        (frame.shape[1] - len(shared), "genes dropped: no expression"),
    )
    notes += [f"{channel}: {count} {fact}" for count, fact in counts if count]
    used = len(set(rows.values()))
    losses = {
        f"{channel}_samples": min(1 - len(rows) / len(expression), 1 - used / len(known)),
        f"{channel}_genes": 1 - len(shared) / min(expression.shape[1], frame.shape[1]),
    }
    return _Aligned(frame, facts, losses, notes + match_notes(rows, channel))
