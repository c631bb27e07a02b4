"""A cohort of copy-number segments: samples, pixels of the genome, and mutations for labels."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.assembly import MIN_SHARED, unify
from ..cohort.barcodes import NORMAL_CODES, PROJECTS, barcode
from ..cohort.contract import BIN_COLUMNS, Cohort, Matrix, cohort_of_layers, missing
from ..cohort.genome import CHROMOSOMES, bins, genes
from ..cohort.samples import SheetColumns, describe_samples, match_notes, match_samples
from ..core.errors import SourceError, first_few
from ..core.params import SegmentsSource
from .germline import without_germline
from .http.locations import SourceFile, locate
from .pixels import pixel_values
from .segment_files import segment_files
from .segments import Segments, read_segments
from .tables import read_sheet
from .text import Dialect
from .variants import read_list

TSV = Dialect()


def load_segments(
    source: SegmentsSource, folder: Path, listing: pd.DataFrame
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort in the segments that `source` names, and the listing of the downloads.

    Returns
    -------
    tuple
        `copy_number` of each pixel. Where there is a list of mutations, genes have the layer
        `mutation`, too, and `obsm` has all genes of the list for labels.

    Raises
    ------
    SourceError
        For what is not as declared, with the file, the place and the remedy.
    """
    notes: list[str] = []
    files, of_segments, listing = _located(source, folder, listing)
    with ExitStack() as stack:
        paths = [stack.enter_context(file.reading()) for file in of_segments]
        name = of_segments[0].name if source.url else ""
        found = read_segments(paths, source, notes, name=name)
    sheet, lost, more = _samples_of(found, source, files.get("samples"))
    chromosomes = CHROMOSOMES if source.x_chromosome else CHROMOSOMES[:-1]
    pixels = bins(source.bins, chromosomes) if source.pixels == "bins" else genes(chromosomes)
    cohort = segment_cohort(
        found,
        sheet,
        pixels,
        mutations=files.get("mutations"),
        origin=f"segments {first_few(file.name for file in of_segments)}",
        notes=[*notes, *more],
    )
    cohort.data.uns["losses"] = {"segments": lost}
    cohort.data.uns["min_markers"] = source.min_markers
    return cohort, listing


def segment_cohort(
    found: Segments,
    sheet: pd.DataFrame,
    pixels: pd.DataFrame,
    *,
    mutations: SourceFile | None,
    origin: str,
    notes: Sequence[str],
) -> Cohort:
    """The unlabelled cohort of those segments whose samples are in the sheet.

    Parameters
    ----------
    sheet
        As of `describe_samples`, in the order of the segments' samples.
    pixels
        Bins or genes: `var`, with `end`.
    mutations
        A list, for labels and, of genes, for the layer `mutation`.

    Returns
    -------
    Cohort
        `copy_number` is NaN where there is no segment.
    """
    notes = [*notes]
    found = without_germline(found.among(sheet.index), sheet, notes)
    values, facts = pixel_values(found, pixels)
    absent = int((~np.isfinite(values).any(axis=0)).sum())
    if absent:
        notes.append(f"copy_number: {absent} of {len(pixels)} pixels are under no segment")
    layers, mutated = {"copy_number": values}, None
    if mutations:
        mutated, more = _mutations(mutations, sheet.index, pixels.index)
        notes += more
        if not set(BIN_COLUMNS) <= set(pixels):
            aligned = mutated.reindex(columns=pixels.index)
            layers["mutation"] = aligned.to_numpy(dtype=np.float32)
    cohort = cohort_of_layers(
        layers,
        sheet.drop(columns=facts.columns, errors="ignore").join(facts),
        pixels,
        scale="log2",
        origin=origin,
        notes=notes,
    )
    if mutated is not None:
        cohort.data.obsm["mutation"] = mutated.set_axis(cohort.samples.index)
    return cohort


def _located(
    source: SegmentsSource, folder: Path, listing: pd.DataFrame
) -> tuple[dict[str, SourceFile], list[SourceFile], pd.DataFrame]:
    """The sheet and the list of mutations by role, the files of segments, and the listing."""
    if source.url:
        files, listing = locate(source, folder, listing)
        return files, [files["segments"]], listing
    names = {"samples": source.samples, "mutations": source.mutations}
    files = {role: SourceFile.below(folder, name) for role, name in names.items() if name}
    paths = segment_files(source.segments, folder)
    return files, [SourceFile.below(folder, name) for name in paths], listing


def _samples_of(
    found: Segments, source: SegmentsSource, file: SourceFile | None
) -> tuple[pd.DataFrame, float, list[str]]:
    """What is known of the samples that stay, which share has no row in the sheet, and notes."""
    names, columns = found.samples, SheetColumns.of(source)
    if file is None:
        sheet = _with_project(pd.DataFrame(index=pd.Index(names, dtype=object)), found.projects)
        described, notes = describe_samples(sheet, columns, "the file of segments")
        return described, 0.0, notes
    origin = file.shown
    with file.reading() as path:
        sheet = read_sheet(path, TSV if source.url else None)
    rows = match_samples(names, sheet.index, by_patient=True)
    if len(rows) < max(1, MIN_SHARED * min(len(names), len(sheet))):
        raise SourceError(
            f"the segments and {origin} share {len(rows)} samples of {len(names)} and "
            f"{len(sheet)}. Segments: {first_few(names)}. Sheet: {first_few(sheet.index)}. The ids "
            "must be the same (the first column of the sheet)."
        )
    notes = []
    if len(rows) < len(names):
        notes.append(f"{len(names) - len(rows)} samples dropped: not in the sample sheet")
    if len(unused := set(sheet.index) - set(rows.values())):
        notes.append(f"{len(unused)} rows of the sample sheet are of no sample with segments")
    samples = sheet.loc[list(rows.values())].set_axis(list(rows), axis=0)
    samples = _with_project(samples, found.projects)
    described, more = describe_samples(samples, columns, origin)
    tumours = [name for name in names if (barcode(name) or ("", ""))[1] not in NORMAL_CODES]
    lost = 1 - sum(name in rows for name in tumours) / max(len(tumours), 1)
    return described, lost, notes + match_notes(rows, "sample sheet") + more


def _with_project(samples: pd.DataFrame, told: dict[str, str]) -> pd.DataFrame:
    """With a `project` where files, or else a column of nothing but codes of TCGA's, tell it."""
    if "project" in samples:
        return samples
    if told:
        return samples.assign(project=pd.Series(told, dtype=object).reindex(samples.index))
    for name in samples:
        values = samples[name][~missing(samples[name])].astype(str)
        if len(values) and values.str.strip().str.removeprefix("TCGA-").isin(PROJECTS).all():
            return samples.assign(project=samples[name])
    return samples


def _mutations(
    file: SourceFile, samples: pd.Index, among: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """`(samples, genes)` float16: 1 mutated, 0 not, NaN in samples that the list does not have."""
    notes: list[str] = []
    with file.reading() as path:
        matrix = read_list(path, notes, shown=file.shown)
    if matrix is None:
        raise SourceError(
            f"{file.shown} is no list of mutations: it lacks columns of samples, genes and classes "
            "such as Tumor_Sample_Barcode, Hugo_Symbol and Variant_Classification."
        )
    rows = match_samples(samples, matrix.frame.index, by_patient=False)
    if not rows:
        raise SourceError(
            f"{file.shown} shares no sample with the segments. It has: "
            f"{first_few(matrix.frame.index)}; expected: {first_few(samples)}."
        )
    at = matrix.frame.index.get_indexer(list(rows.values()))
    selected = Matrix(matrix.origin, matrix.frame.iloc[at].set_axis(list(rows), axis=0))
    del matrix  # each of these may be a gigabyte
    frame, _, more = unify(selected, "mutation", among)
    del selected
    if len(rows) < len(samples):
        more.append(f"mutation: {len(samples) - len(rows)} samples were not sequenced")
    return frame.astype(np.float16).reindex(samples), notes + more + match_notes(rows, "mutation")
