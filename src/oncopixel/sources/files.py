"""Cohorts from matrices and a sample sheet, and how values and samples are put together."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import genes
from ..cohort import OBS_COLUMNS, Cohort, build_cohort
from ..errors import SourceError, did_you_mean, first_few
from ..labels import barcode, best_aliquot, tcga_patient
from ..params import FilesSource, Scale
from .phenotypes import refuse_phenotypes
from .sheets import typed
from .tables import Matrix, read_matrix, read_sheet, refuse_repeats
from .variants import read_list

MAX_LOG2 = 50.0
"""log2(x+1) cannot come near it: no sequencer gives 2^50 reads."""
MIN_SHARED = 0.5
"""Share of the samples of the smaller of matrix and sheet that must be in both."""
SAMPLE_TYPE_CODES = {
    "tumor": "01",
    "tumour": "01",
    "primary tumor": "01",
    "primary solid tumor": "01",
    "recurrent tumor": "02",
    "recurrent solid tumor": "02",
    "primary blood derived cancer - peripheral blood": "03",
    "additional - new primary": "05",
    "metastatic": "06",
    "additional metastatic": "07",
    "primary blood derived cancer - bone marrow": "09",
    "blood derived normal": "10",
    "normal": "11",
    "solid tissue normal": "11",
    "bone marrow normal": "14",
}
"""Codes of the sample types that the GDC writes in words, and of plain tumour and normal."""

NO_GENE = re.compile(r"|\?|nan|None|N_(unmapped|multimapping|noFeature|ambiguous)|__\w+")
"""Keys that name no gene: empty, `?` as TCGA writes it, and the counters of STAR and HTSeq."""
_DATE = re.compile(r"\d{1,2}-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)", re.IGNORECASE)


@dataclass(frozen=True)
class SheetColumns:
    """Columns of a sample sheet under names of its own; None means the name that `obs` uses."""

    patient: str | None = None
    sample_type: str | None = None
    site: str | None = None
    batch: str | None = None


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
        columns=SheetColumns(
            source.patient_column,
            source.sample_type_column,
            source.site_column,
            source.batch_column,
        ),
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

    Sample ids are matched exactly, else by TCGA patient and sample type, whatever the length of the
    barcodes, else by TCGA patient to a sheet of patients. Gene keys become symbols by
    `genes.reconcile`: those of the expression by the names `among`, those of other channels by the
    expression's. Of several rows of one gene the one with the highest mean stays; of mutations the
    largest value of each sample counts, whatever the rows call the gene, unless the expression has
    that name, too. What further channels lack is NaN. `notes` of what was done before come first
    among the cohort's own. `uns["patient_columns"]` names the columns that describe patients: the
    `patient_columns`, and all of a sheet of patients. Phenotypes among the genes are refused.
    """
    for given in filter(None, (expression, copy_number, mutation)):
        refuse_phenotypes(_bare_keys(given.frame.columns), sheet.columns, given.origin)
    check_expression(expression, scale)
    if copy_number is not None:
        check_copy_number(copy_number)
    if mutation is not None:
        check_mutation(mutation)
    rows, sample_notes = _share_samples(expression, sheet, sheet_origin)
    samples = sheet.loc[list(rows.values())].set_axis(list(rows), axis=0)
    samples, type_notes = describe_samples(samples, columns, sheet_origin)
    values, gene_notes = _unique_genes(_select(expression, rows, rows), "expression", among)
    notes = [*notes, *sample_notes, *type_notes, *gene_notes, *_missing_note(values)]
    layers: dict[str, pd.DataFrame] = {}
    for channel, matrix in (("copy_number", copy_number), ("mutation", mutation)):
        if matrix is not None:
            layers[channel], layer_notes = _align(matrix, values, channel)
            notes += layer_notes
    annotated = genes.annotate(list(values.columns))
    unknown = int((annotated["chromosome"] == "").sum())
    if unknown:
        notes.append(f"{unknown} of {len(annotated)} genes have no known place")
    cohort = build_cohort(
        values, samples, annotated, scale=scale, origin=origin, notes=notes, **layers
    )
    if any(barcode(name) and not barcode(row) for name, row in rows.items()):
        patient_columns = sheet.columns
    known_of_patients(cohort, patient_columns)
    return cohort


def known_of_patients(cohort: Cohort, columns: Iterable[str]) -> None:
    """Sets `uns["patient_columns"]` to those `columns` of a sheet that describe patients."""
    names = [name for name in _storable_names(columns).values() if name not in OBS_COLUMNS]
    if names:
        cohort.data.uns["patient_columns"] = np.array(names, dtype=object)


def check_expression(matrix: Matrix, scale: Scale) -> None:
    """`SourceError` for values that expression on this scale cannot have, with gene and sample."""
    values = matrix.frame.to_numpy()
    remedy = "Was it divided by zero? Leave missing values empty."
    _refuse(matrix, np.isinf(values), "infinite", remedy)
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


def check_copy_number(matrix: Matrix) -> None:
    """`SourceError` for infinite values, and for numbers of copies in place of log2 ratios."""
    values = matrix.frame.to_numpy()
    remedy = "Floor log2(copies / 2) of lost genes, such as at -3."
    _refuse(matrix, np.isinf(values), "infinite", remedy)
    if np.nanmin(values) >= 0 and np.nanmedian(values) >= 1:
        raise SourceError(
            f"{matrix.origin} holds no negative value and its median is {np.nanmedian(values):g}: "
            "numbers of copies? Give log2(copies / 2), or GISTIC levels from -2 to 2."
        )


def check_mutation(matrix: Matrix) -> None:
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


def match_samples(
    wanted: Iterable[str], known: Iterable[str], *, by_patient: bool
) -> dict[str, str]:
    """For each wanted sample the known one that is the same, where there is one.

    The same id, else the same TCGA patient and sample type (where several are: `best_aliquot`),
    else, `by_patient`, the known id that is the sample's TCGA patient.
    """
    exact = set(known)
    aliquots: dict[tuple[str, str, str], list[str]] = {}
    for name in exact:
        key = barcode(name)
        if key:
            aliquots.setdefault(key, []).append(name)
    best = {key: best_aliquot(names) for key, names in aliquots.items()}

    def find(name: str) -> str | None:
        if name in exact:
            return name
        key = barcode(name)
        if key in best:
            return best[key]
        patient = tcga_patient(name)
        return patient if by_patient and patient in exact else None

    found = {name: find(name) for name in wanted}
    return {name: match for name, match in found.items() if match is not None}


def _share_samples(
    matrix: Matrix, sheet: pd.DataFrame, sheet_origin: str
) -> tuple[dict[str, str], list[str]]:
    """Row of the sheet for each sample that has one; `SourceError` when they are few."""
    frame = matrix.frame
    rows = match_samples(frame.index, sheet.index, by_patient=True)
    used = set(rows.values())
    needed = MIN_SHARED * min(len(frame), len(sheet))
    if not rows or len(rows) < needed:
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
    notes = []
    if len(rows) < len(frame):
        notes.append(f"{len(frame) - len(rows)} samples dropped: not in the sample sheet")
    if len(used) < len(sheet):
        notes.append(
            f"{len(sheet) - len(used)} rows of the sample sheet are of no sample in the expression "
            "matrix"
        )
    return rows, notes + _barcode_note(rows, "sample sheet")


def _barcode_note(rows: dict[str, str], what: str) -> list[str]:
    count = sum(name != match for name, match in rows.items())
    return (
        [f"{what}: {count} samples matched by TCGA barcode, not by the whole id"] if count else []
    )


def describe_samples(
    sheet: pd.DataFrame, columns: SheetColumns, origin: str
) -> tuple[pd.DataFrame, list[str]]:
    """The sheet with `patient`, `sample_type`, `site` and `batch` as text, "" where unknown; notes.

    What no column tells of a sample is read from its TCGA barcode. A sample type that is neither a
    code nor known words counts as unknown, whatever the barcode says. Raises `SourceError` for a
    column that is not there, a sample without a patient, and a column of sample types none of which
    is known.
    """
    codes = [barcode(name) for name in sheet.index]
    fallback = {
        "patient": [tcga_patient(name) or "" for name in sheet.index],
        "sample_type": [code[1] if code else "" for code in codes],
        "site": [code[2] if code else "" for code in codes],
        "batch": [""] * len(sheet),
    }
    identifying = {name: getattr(columns, name) or name for name in OBS_COLUMNS}
    sheet, notes = typed(sheet, identifying.values(), origin)
    described = sheet.rename(columns=_storable_names(sheet.columns))
    refuse_repeats(described.columns, origin, "column")
    for name in OBS_COLUMNS:
        stated = values = _text(sheet, getattr(columns, name), name, origin)
        if name == "sample_type":
            values, odd = _type_codes(sheet.index, stated, origin)
            notes += odd
        described[name] = [
            value if text else other
            for text, value, other in zip(stated, values, fallback[name], strict=True)
        ]
    lacking = described.index[described["patient"] == ""]
    if len(lacking):
        raise SourceError(
            f"{origin}: {len(lacking)} of {len(sheet)} samples have no patient: "
            f"{first_few(lacking)}. Name the column as `patient_column` (or call it `patient`) and "
            "fill it in; only TCGA barcodes tell the patient."
        )
    return described, notes


def _storable_names(names: Iterable[str]) -> dict[str, str]:
    """New names for columns that .h5ad cannot hold under theirs."""
    reserved = {"sample": "sample_column", "_index": "index_column", ".": "dot_column"}
    return {name: reserved.get(name, name.replace("/", "_")) for name in names}


def _text(sheet: pd.DataFrame, asked: str | None, usual: str, origin: str) -> list[str]:
    """A column as text, "" where missing; the usual one may be absent, one asked for may not."""
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
    if odd and not any(codes):
        raise SourceError(
            f"{origin}: sample {samples[odd[0]]} has sample type {values[odd[0]]!r}, which is no "
            "TCGA code (01 primary tumour, 06 metastatic, 11 normal, …) and none of the known "
            f"words: {', '.join(sorted(SAMPLE_TYPE_CODES))}; nor is any other sample's. To keep "
            "your own words, give the column another name."
        )
    shown = first_few(f"{samples[i]} {values[i]!r:.40}" for i in odd)
    return codes, [f"{len(odd)} samples have a sample type that is not known ({shown})"] * bool(odd)


def _bare_keys(keys: Iterable[object]) -> list[str]:
    """Gene keys such as `TP53|7157` without what follows the name."""
    return [str(key).split("|")[0].strip() for key in keys]


def _unique_genes(
    matrix: Matrix, what: str, among: Iterable[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The matrix with one column per gene symbol, and notes of what was found and dropped."""
    frame, joined = matrix.frame, what == "mutation"
    names, routes = genes.reconcile(_bare_keys(frame.columns), among, join=joined)

    def means(positions: np.ndarray) -> np.ndarray:
        return np.asarray(frame.iloc[:, positions].mean())

    kept, notes = unique_genes(names, means, what)
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
    return unique, notes + found


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
    """The symbols that stay, each once, indexed by their positions in order, and notes.

    Of several entries of one symbol the one with the highest mean stays, of equal ones the first;
    `means` gives those of the entries at some positions, and is asked for repeated symbols only.
    Entries of mutations are for the caller to join.
    """
    symbols = pd.Series(names, dtype=object)
    named = np.array([not NO_GENE.fullmatch(key) for key in symbols], dtype=bool)
    candidates = symbols[named]
    repeated = candidates[candidates.duplicated(keep=False)]
    rank = pd.Series(np.zeros(len(symbols)))
    rank[repeated.index] = np.nan_to_num(means(repeated.index.to_numpy()), nan=-np.inf)
    order = rank[candidates.index].sort_values(ascending=False, kind="stable").index
    kept = candidates[order].drop_duplicates().sort_index()
    notes = [
        (int((~named).sum()), "entries without a gene name dropped"),
        (
            len(candidates) - len(kept),
            "entries joined with another of the same gene; a mutation in any of them counts"
            if what == "mutation"
            else "entries dropped: another of the same gene symbol has a higher mean",
        ),
        (
            sum(bool(_DATE.fullmatch(name)) for name in kept),
            "gene names look like dates (changed by a spreadsheet?)",
        ),
    ]
    return kept, [f"{what}: {count} {text}" for count, text in notes if count]


def _select(matrix: Matrix, samples: Iterable[str], names: Iterable[str]) -> Matrix:
    """These samples of the matrix, under new names."""
    return Matrix(matrix.origin, matrix.frame.loc[list(samples)].set_axis(list(names), axis=0))


def _missing_note(values: pd.DataFrame) -> list[str]:
    count = int(np.isnan(values.to_numpy()).sum())
    return [f"expression: {count} of {values.size} values are missing"] if count else []


def _align(
    matrix: Matrix, expression: pd.DataFrame, channel: str
) -> tuple[pd.DataFrame, list[str]]:
    """A further channel on the samples and genes of the expression, NaN where it has none."""
    rows = match_samples(expression.index, matrix.frame.index, by_patient=False)
    if not rows:
        raise SourceError(
            f"{matrix.origin} shares no sample with the expression matrix. It has: "
            f"{first_few(matrix.frame.index)}; expected: {first_few(expression.index)}. Check the "
            "ids and `orientation`."
        )
    frame, notes = _unique_genes(_select(matrix, rows.values(), rows), channel, expression.columns)
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
    return frame, notes + _barcode_note(rows, channel)
