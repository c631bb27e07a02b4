"""Study folders of the cBioPortal (https://docs.cbioportal.org/file-formats/), by URL or on disk.

All files are tab-separated, without quoting. Matrices have `Hugo_Symbol` and `Entrez_Gene_Id`, one
of which may be absent or blank, and a column per sample; copy number also comes in long form, a row
per gene and sample, or as segments (`data_cna_hg19.seg`). Mutations are a MAF whose columns are
found by name. Clinical files have up to four rows of `#` before their
header. A case list tells which samples were sequenced.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..cohort import genes
from ..cohort.assembly import assemble
from ..cohort.contract import Cohort, Matrix
from ..cohort.gene_keys import is_date
from ..cohort.samples import SheetColumns
from ..core.errors import SourceError, first_few
from ..core.params import CHANNELS, MAX_LOG2, CbioportalSource, Scale
from .cbioportal_samples import TSV, read_clinical, sequenced_samples
from .gene_segments import file_segments
from .http.locations import SourceFile, locate
from .tables import read_columns, read_header, stacked, texts_of
from .variants import Calls, is_somatic, mutation_matrix, sample_ids

SYMBOL, ENTREZ = "Hugo_Symbol", "Entrez_Gene_Id"
SAMPLE, VALUE = "Sample_Id", "Value"
BARCODE, VARIANT, STATUS = "Tumor_Sample_Barcode", "Variant_Classification", "Mutation_Status"
MAX_LIFTED = 0.05
"""Share of negative values above which they are no rare defect."""
ENTREZ_ID = re.compile(r"[1-9]\d*")


def load_cbioportal(
    source: CbioportalSource, folder: Path, listing: pd.DataFrame
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort of a study, and the listing of the downloads.

    Returns
    -------
    tuple
        A gene is mutated (1) in a sample with a somatic variant that `variants.alters` the protein,
        and not (0) in every other sequenced sample; without any row it was not measured.

    Raises
    ------
    SourceError
        When a file cannot be had, or is not as declared.
    """
    files, listing = locate(source, folder, listing)
    for channel in ("copy_number", "mutation", "sequenced", "patients"):
        if channel in files and not files[channel].path.exists():
            raise SourceError(
                f"{files[channel].shown} does not exist. If the study has no such file, set "
                f"`{channel}: null` in the source; if its name is another, give that."
            )
    notes: list[str] = []
    segments = None
    if source.copy_number:
        segments = file_segments(source.copy_number, files["copy_number"], notes)
    tabled = CHANNELS[:1] if segments else CHANNELS[:2]
    tables = {name: _read_values(files[name]) for name in tabled if name in files}
    listed = [_read_calls(files["mutation"])] if "mutation" in files else []
    known = _symbols_by_entrez([*tables.values(), *(rows for rows, _ in listed)])
    notes += _lift_negatives(tables["expression"].values, source.scale)
    matrices: dict[str, Matrix] = {}
    for channel, table in tables.items():
        names = name_rows(table, known, channel, notes)
        frame = pd.DataFrame(table.values, table.samples, names, copy=False)
        matrices[channel] = Matrix(table.origin, frame)
    losses: dict[str, float] = {}
    sheet, patient_columns = read_clinical(files["samples"], files.get("patients"), notes)
    for rows, calls in listed:
        calls = replace(calls, genes=name_rows(rows, known, "mutation", notes))
        sequenced = None
        if "sequenced" in files:
            ids = pd.Series("", [*tables["expression"].samples, *calls.samples])
            patients = pd.concat([sheet["PATIENT_ID"], ids[~ids.index.isin(sheet.index)]])
            sequenced, losses["case_list"] = sequenced_samples(
                files["sequenced"], patients, set(calls.samples), notes
            )
        matrices["mutation"] = mutation_matrix(calls, sequenced, notes)
    cohort = assemble(
        matrices,
        sheet,
        scale=source.scale,
        columns=SheetColumns(
            "PATIENT_ID", source.sample_type_column, source.site_column, source.batch_column
        ),
        sheet_origin=files["samples"].shown,
        origin=f"cBioPortal study {source.url or folder.name}",
        notes=notes,
        patient_columns=patient_columns,
        segments=segments,
    )
    cohort.data.uns["losses"] |= losses
    return cohort, listing


@dataclass(frozen=True)
class _Rows:
    """The genes of a file, row by row, "" for none, and the samples and values of a matrix."""

    origin: str
    symbols: list[str]
    entrez: list[str]
    samples: list[str]
    values: np.ndarray
    """`(samples, rows)` float32, NaN where missing."""


def _read_values(file: SourceFile) -> _Rows:
    """A matrix in wide form, or in long form when it has the columns of that."""
    with file.reading() as path:
        header = read_header(path, TSV)
        if not {SYMBOL, ENTREZ} & set(header):
            raise SourceError(
                f"{path} has neither a column {SYMBOL} nor {ENTREZ}. It has: {first_few(header)}. "
                "Is it another kind of file?"
            )
        if {SAMPLE, VALUE} <= set(header):
            rows = _long(path, file.shown)
        else:
            texts = (SYMBOL, ENTREZ, "Cytoband")
            table = read_columns(path, TSV, kind=pa.float32(), words=texts)
            columns = {name: column for name, column in table.items() if name not in texts}
            length = len(next(iter(table.values())))
            values = stacked(list(columns.values()), length)
            rows = _Rows(file.shown, *_gene_ids(table, length), list(columns), values)
        if not np.isfinite(rows.values).any():
            raise SourceError(f"{path} holds no number: it has no rows or samples, or no values.")
    return rows


def _long(path: Path, origin: str) -> _Rows:
    """A matrix from rows of gene, sample and value; NaN for pairs without a row."""
    table = read_columns(
        path,
        TSV,
        kind=pa.float32(),
        words=(SYMBOL, ENTREZ, SAMPLE),
        needed=(SAMPLE, VALUE),
        optional=(SYMBOL, ENTREZ),
    )
    given = table[VALUE].to_numpy()
    none = pa.chunked_array([pa.nulls(len(given), pa.string())])
    at, samples = _coded(table[SAMPLE])
    if "" in samples:
        row = int((at == samples.index("")).argmax()) + 1
        raise SourceError(f"{path}: row {row} names no sample ({SAMPLE}). Remove or mend it.")
    symbol, symbols = _coded(table.get(SYMBOL, none))
    number, entrez = _coded(table.get(ENTREZ, none))
    genes, rows = np.unique(symbol * len(entrez) + number, return_inverse=True)
    values = np.full((len(samples), len(genes)), np.nan, dtype=np.float32)
    values[at, rows] = given
    kept = values[at, rows]
    differ = (kept != given) & ~(np.isnan(kept) & np.isnan(given))
    if differ.any():
        row = int(differ.argmax())
        raise SourceError(
            f"{path}: gene {symbols[symbol[row]] or entrez[number[row]]}, sample "
            f"{samples[at[row]]} has several values, {given[row]:g} and {kept[row]:g} "
            f"({int(differ.sum())} such rows). Keep one row per gene and sample."
        )
    names = [symbols[code // len(entrez)] for code in genes]
    return _Rows(origin, names, [entrez[code % len(entrez)] for code in genes], samples, values)


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """For each cell its position among the different texts, and these, "" for a missing one."""
    codes = pc.fill_null(pc.utf8_trim_whitespace(column), "").combine_chunks().dictionary_encode()
    return codes.indices.to_numpy().astype(np.int64), codes.dictionary.to_pylist()


def _read_calls(file: SourceFile) -> tuple[_Rows, Calls]:
    """The genes of a MAF, and its variants of whatever class under the symbols that it has."""
    with file.reading() as path:
        table = read_columns(
            path,
            TSV,
            kind=pa.string(),
            needed=(SYMBOL, BARCODE, VARIANT),
            optional=(ENTREZ, STATUS),
        )
        samples = sample_ids(texts_of(table[BARCODE]), str(path), f" ({BARCODE})")
    symbols, entrez = _gene_ids(table, len(samples))
    somatic = is_somatic(texts_of(table[STATUS]) if STATUS in table else [""] * len(samples))
    calls = Calls(file.shown, samples, symbols, texts_of(table[VARIANT]), somatic)
    return _Rows(file.shown, symbols, entrez, [], np.empty(0)), calls


def _symbols_by_entrez(tables: Iterable[_Rows]) -> dict[str, str]:
    """The symbol of each Entrez id on which all rows with both agree, also by other names."""
    known: dict[str, set[str]] = {}
    for table in tables:
        for symbol, number in zip(table.symbols, table.entrez, strict=True):
            if symbol and ENTREZ_ID.fullmatch(number) and not is_date(symbol):
                same = genes.other_name(symbol)
                known.setdefault(number, set()).add(same[0] if same else symbol)
    return {number: min(names) for number, names in known.items() if len(names) == 1}


def name_rows(table: _Rows, known: dict[str, str], channel: str, notes: list[str]) -> list[str]:
    """The symbol of each row, by its Entrez id where it has none or a date; a note counts these."""
    lacking = [not symbol or is_date(symbol) for symbol in table.symbols]
    names = [
        known.get(number, symbol) if lacks else symbol
        for symbol, number, lacks in zip(table.symbols, table.entrez, lacking, strict=True)
    ]
    found = sum(name != symbol for symbol, name in zip(table.symbols, names, strict=True))
    if found:
        notes.append(f"{channel}: {found} rows without a symbol named by their Entrez id")
    return names


def _lift_negatives(values: np.ndarray, scale: Scale) -> list[str]:
    """A note when a few negative values became 0, as the cBioPortal takes them (issue 4186)."""
    negative = (values < 0) & np.isfinite(values)
    few = 0 < negative.sum() <= MAX_LIFTED * np.isfinite(values).sum()
    if scale not in ("rsem", "tpm", "fpkm") or not few or np.nanmax(values) <= MAX_LOG2:
        return []
    values[negative] = 0
    return [
        f"expression: {int(negative.sum())} of {values.size} values are negative (as batch "
        "correction leaves some) and set to 0"
    ]


def _gene_ids(table: dict[str, pa.ChunkedArray], rows: int) -> tuple[list[str], list[str]]:
    """Symbols and Entrez ids of the rows."""
    symbols, entrez = (
        texts_of(table[name]) if name in table else [""] * rows for name in (SYMBOL, ENTREZ)
    )
    return symbols, entrez
