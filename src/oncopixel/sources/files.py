"""Cohorts from matrices and a sample sheet, and how values and samples are put together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort import genes
from ..cohort.barcodes import barcode
from ..cohort.contract import OBS_COLUMNS, Cohort, build_cohort
from ..cohort.scales import copies, misfit
from ..core.errors import SourceError, first_few
from ..core.params import MAX_LOG2, FilesSource, Scale
from .gene_rows import unify
from .phenotypes import refuse_phenotypes
from .samples import (
    SheetColumns,
    describe_samples,
    match_notes,
    match_samples,
    share_samples,
    storable_names,
)
from .tables import Matrix, read_matrix, read_sheet
from .variants import read_list


def load_files(source: FilesSource, folder: Path) -> Cohort:
    """The unlabelled cohort in the files that `source` names; `notes` tell what was dropped.

    Raises `SourceError`, with the file, the place and the remedy, for what is not as declared.
    """
    notes: list[str] = []

    def matrix(name: str) -> Matrix:
        return read_matrix(folder / name, source.orientation)

    def mutations(name: str) -> Matrix:
        return read_list(folder / name, notes) or matrix(name)

    return assemble(
        matrix(source.expression),
        read_sheet(folder / source.samples),
        scale=source.scale,
        columns=SheetColumns.of(source),
        sheet_origin=str(folder / source.samples),
        copy_number=matrix(source.copy_number) if source.copy_number else None,
        mutation=mutations(source.mutation) if source.mutation else None,
        origin=f"files {source.expression} and {source.samples}",
        notes=notes,
    )


def assemble(
    expression: Matrix,
    sheet: pd.DataFrame,
    *,
    scale: Scale,
    columns: SheetColumns,
    sheet_origin: str,
    copy_number: Matrix | None,
    mutation: Matrix | None,
    origin: str,
    notes: Sequence[str] = (),
    among: Iterable[str] = (),
    patient_columns: Iterable[str] = (),
) -> Cohort:
    """The unlabelled cohort of the samples that `expression` and `sheet` share.

    Samples are matched by `match_samples`, to a sheet of patients also by their TCGA patient. Gene
    keys become names by `gene_keys.read_keys` and symbols by `genes.reconcile`: those of the
    expression by the names `among`, those of other channels by the expression's. Of several rows of
    one gene the one with the highest mean stays; of mutations the largest value of each sample
    counts, whatever the rows call the gene, unless the expression has that name, too. What further
    channels lack is NaN. `notes` of what was done before come first among the cohort's own;
    `uns["losses"]` has what found no partner, `uns["patient_columns"]` the columns that describe
    patients: the `patient_columns`, and all of a sheet of patients. Raises `SourceError` for what
    `check_matrices` refuses, in the samples that are used, and where samples or genes do not fit.
    """
    for given in filter(None, (expression, copy_number, mutation)):
        refuse_phenotypes(given.frame.columns, sheet.columns, given.origin)
    if columns.patient is not None and columns.patient == sheet.index.name:
        sheet = sheet.assign(patient=sheet.index)
        columns = replace(columns, patient=None)
    rows, lost, sample_notes = share_samples(expression, sheet, sheet_origin)
    expression = _select(expression, rows, rows)
    _check_expression(expression, scale)
    losses = {"samples": lost}
    samples = sheet.loc[list(rows.values())].set_axis(list(rows), axis=0)
    samples, type_notes = describe_samples(samples, columns, sheet_origin)
    values, lost, gene_notes = unify(expression, "expression", among)
    losses["expression_genes"] = lost
    notes = [*notes, *sample_notes, *type_notes, *gene_notes]
    absent = int(np.isnan(values.to_numpy()).sum())
    if absent:
        notes.append(f"expression: {absent} of {values.size} values are missing")
    layers: dict[str, pd.DataFrame] = {}
    for channel, matrix in (("copy_number", copy_number), ("mutation", mutation)):
        if matrix is not None:
            layers[channel], lacking, layer_notes = _align(matrix, values, channel)
            losses |= lacking
            notes += layer_notes
    annotated = genes.annotate(list(values.columns))
    unknown = int((annotated["chromosome"] == "").sum())
    if unknown:
        notes.append(f"{unknown} of {len(annotated)} genes have no known place")
    cohort = build_cohort(
        values,
        samples,
        annotated,
        scale=scale,
        origin=origin,
        notes=notes,
        losses=losses,
        **layers,
    )
    if any(barcode(name) and not barcode(row) for name, row in rows.items()):
        patient_columns = sheet.columns
    known_of_patients(cohort, patient_columns)
    return cohort


def known_of_patients(cohort: Cohort, columns: Iterable[str]) -> None:
    """Sets `uns["patient_columns"]` to those `columns` of a sheet that describe patients."""
    names = [name for name in storable_names(columns).values() if name not in OBS_COLUMNS]
    if names:
        cohort.data.uns["patient_columns"] = np.array(names, dtype=object)


def check_matrices(
    expression: Matrix,
    copy_number: Matrix | None,
    mutation: Matrix | None,
    columns: Iterable[str],
    scale: Scale,
) -> None:
    """`SourceError` for values that a channel cannot have, and for phenotypes among its genes.

    `columns` are those of the sample sheet.
    """
    for given in filter(None, (expression, copy_number, mutation)):
        refuse_phenotypes(given.frame.columns, columns, given.origin)
    _check_expression(expression, scale)
    if copy_number is not None:
        _check_copy_number(copy_number)
    if mutation is not None:
        _check_mutation(mutation)


def _check_expression(matrix: Matrix, scale: Scale) -> None:
    """`SourceError` for values that expression on this scale cannot have, with gene and sample.

    z-scores and log ratios pass as log2, see `scales.relative`.
    """
    values = matrix.frame.to_numpy()
    remedy = "Was it divided by zero? Leave missing values empty."
    _refuse(matrix, np.isinf(values), "infinite", remedy)
    looks = misfit(values, scale)
    if looks:
        raise SourceError(f"{matrix.origin} is taken as `{scale}`, but {looks}")
    if scale == "log2":
        remedy = (
            "Are the values not logged? Set `scale` (of `predict`: --scale) to counts, rsem, tpm "
            "or fpkm."
        )
        _refuse(matrix, values > MAX_LOG2, "too large for log2(x+1)", remedy)
        return
    remedy = "Are the values log-scaled? Then set `scale: log2`."
    _refuse(matrix, values < 0, f"negative, which `scale: {scale}` cannot be", remedy)
    if scale == "counts":
        remedy = "Are the values log-scaled (`scale: log2`) or normalised (`rsem`, `tpm`, `fpkm`)?"
        _refuse(matrix, values % 1 > 0, "not whole, as `scale: counts` must be", remedy)


def _check_copy_number(matrix: Matrix) -> None:
    """`SourceError` for what is neither log2(copies / 2) nor GISTIC levels, or infinite."""
    values = matrix.frame.to_numpy()
    remedy = "Floor log2(copies / 2) of lost genes, such as at -3."
    _refuse(matrix, np.isinf(values), "infinite", remedy)
    looks = copies(values)
    if looks:
        raise SourceError(
            f"{matrix.origin}, taken as copy number: {looks} Give log2(copies / 2), which is "
            "log2(ratio) and 0 for two copies, or GISTIC levels from -2 to 2."
        )


def _check_mutation(matrix: Matrix) -> None:
    """`SourceError` for values that are not from 0 (wild type) to 1 (mutated), or missing."""
    values = matrix.frame.to_numpy()
    remedy = "Write 1 for a mutated gene or a weight below 1, 0 for wild type, NA if not sequenced."
    _refuse(matrix, (values < 0) | (values > 1), "not from 0 to 1", remedy)


def _refuse(matrix: Matrix, wrong: np.ndarray, fact: str, remedy: str) -> None:
    """`SourceError` that names the first wrong value, when there is one."""
    if not wrong.any():
        return
    sample, gene = np.unravel_index(int(wrong.argmax()), wrong.shape)
    frame = matrix.frame
    raise SourceError(
        f"{matrix.origin}: gene {frame.columns[gene]!r}, sample {frame.index[sample]!r} is "
        f"{frame.to_numpy()[sample, gene]:g}: {fact} ({int(wrong.sum())} such values). {remedy}"
    )


def _select(matrix: Matrix, samples: Iterable[str], names: Iterable[str]) -> Matrix:
    """These samples of the matrix, under new names."""
    return Matrix(matrix.origin, matrix.frame.loc[list(samples)].set_axis(list(names), axis=0))


def _align(
    matrix: Matrix, expression: pd.DataFrame, channel: str
) -> tuple[pd.DataFrame, dict[str, float], list[str]]:
    """A further channel on the samples and genes of the expression, NaN where it has none.

    Also the shares of samples and genes, of whichever of the two has fewer, that found no partner.
    """
    rows = match_samples(expression.index, matrix.frame.index, by_patient=False)
    if not rows:
        raise SourceError(
            f"{matrix.origin} shares no sample with the expression matrix. It has: "
            f"{first_few(matrix.frame.index)}; expected: {first_few(expression.index)}. Check the "
            "ids and `orientation`."
        )
    selected = _select(matrix, rows.values(), rows)
    (_check_mutation if channel == "mutation" else _check_copy_number)(selected)
    frame, _, notes = unify(selected, channel, expression.columns)
    shared = frame.columns.intersection(expression.columns)
    if shared.empty:
        raise SourceError(
            f"{matrix.origin} shares no gene with the expression matrix. It has: "
            f"{first_few(frame.columns)}; expected: {first_few(expression.columns)}. Use symbols "
            "or Ensembl ids in both."
        )
    lacking = [
        (len(expression) - len(rows), "samples"),
        (expression.shape[1] - len(shared), "genes"),
    ]
    notes += [f"{channel}: {count} {what} were not measured" for count, what in lacking if count]
    if frame.shape[1] > len(shared):
        notes.append(f"{channel}: {frame.shape[1] - len(shared)} genes dropped: no expression")
    used = len(set(rows.values()))
    losses = {
        f"{channel}_samples": min(1 - len(rows) / len(expression), 1 - used / len(matrix.frame)),
        f"{channel}_genes": 1 - len(shared) / min(expression.shape[1], frame.shape[1]),
    }
    return frame, losses, notes + match_notes(rows, channel)
