"""A cohort of copy-number segments: samples, pixels of the genome, and mutations for labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.assembly import MIN_SHARED, unify
from ..cohort.barcodes import NORMAL_CODES
from ..cohort.contract import Cohort, Matrix, cohort_of_layers
from ..cohort.genome import CHROMOSOMES, bins, genes
from ..cohort.samples import SheetColumns, describe_samples, match_notes, match_samples
from ..core.errors import SourceError, first_few
from ..core.params import SegmentsSource
from .pixels import pixel_values
from .segments import Segments, read_segments
from .tables import read_sheet
from .variants import read_list

GERMLINE_BASES = 3_000_000
"""Bases up to which a segment may be inherited."""
GERMLINE_LOG2 = 0.2
"""What it differs from two copies, at least."""
GERMLINE_OVERLAP = 0.5
"""Share of each of the two that a segment has in common with one of the patient's normal tissue."""


def load_segments(source: SegmentsSource, folder: Path) -> Cohort:
    """The unlabelled cohort in the segments that `source` names.

    Returns
    -------
    Cohort
        `copy_number` of each pixel. Where there is a list of mutations, genes have the layer
        `mutation`, too, and `obsm` has all genes of the list for labels.

    Raises
    ------
    SourceError
        For what is not as declared, with the file, the place and the remedy.
    """
    notes: list[str] = []
    paths = [folder / name for name in segment_files(source, folder)]
    found = read_segments(paths, source, notes)
    sheet, lost, more = _samples_of(found, source, folder)
    found = _among(found, sheet.index)
    notes += more
    found = _without_germline(found, sheet, notes)
    chromosomes = CHROMOSOMES if source.x_chromosome else CHROMOSOMES[:-1]
    pixels = bins(source.bins, chromosomes) if source.pixels == "bins" else genes(chromosomes)
    values, facts = pixel_values(found, pixels)
    absent = int((~np.isfinite(values).any(axis=0)).sum())
    if absent:
        notes.append(f"copy_number: {absent} of {len(pixels)} {source.pixels} are under no segment")
    layers, mutated = {"copy_number": values}, None
    if source.mutations:
        mutated, more = _mutations(folder / source.mutations, sheet.index, pixels.index)
        notes += more
        if source.pixels == "genes":
            aligned = mutated.reindex(columns=pixels.index)
            layers["mutation"] = aligned.to_numpy(dtype=np.float32)
    cohort = cohort_of_layers(
        layers,
        sheet.drop(columns=facts.columns, errors="ignore").join(facts),
        pixels,
        scale="log2",
        origin=f"segments {first_few(path.name for path in paths)}",
        notes=notes,
    )
    cohort.data.uns["losses"] = {"segments": lost}
    if mutated is not None:
        cohort.data.obsm["mutation"] = mutated.set_axis(cohort.samples.index)
    return cohort


def segment_files(source: SegmentsSource, folder: Path) -> list[str]:
    """The files of segments that `source` names.

    Returns
    -------
    list of str
        Names below `folder`, `*` filled in, each once.

    Raises
    ------
    SourceError
        When no file has such a name.
    """
    names: list[str] = []
    for name in [source.segments] if isinstance(source.segments, str) else source.segments:
        if "*" not in name:
            names.append(name)
            continue
        try:
            met = sorted(folder.glob(name))
        except (ValueError, NotImplementedError):  # such as an absolute path
            met = []
        if not met:
            raise SourceError(f"{folder} has no file that is called like {name!r}.")
        names += [str(path.relative_to(folder)) for path in met]
    return list(dict.fromkeys(names))


def _samples_of(
    found: Segments, source: SegmentsSource, folder: Path
) -> tuple[pd.DataFrame, float, list[str]]:
    """What is known of the samples that stay, which share has no row in the sheet, and notes."""
    names, projects = found.samples, pd.Series(found.projects, dtype=object)
    columns = SheetColumns.of(source)
    if source.samples is None:
        sheet = pd.DataFrame(index=pd.Index(names, dtype=object))
        if len(projects):
            sheet["project"] = projects.reindex(names)
        described, notes = describe_samples(sheet, columns, "the file of segments")
        return described, 0.0, notes
    origin = folder / source.samples
    sheet = read_sheet(origin)
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
    if len(projects) and "project" not in samples:
        samples["project"] = projects.reindex(samples.index)
    described, more = describe_samples(samples, columns, str(origin))
    lost = 1 - len(rows) / len(names)
    return described, lost, notes + match_notes(rows, "sample sheet") + more


def _among(found: Segments, names: pd.Index) -> Segments:
    """The segments of these samples, which are in order."""
    places = names.get_indexer(found.samples)
    kept = found.take(places[found.sample] >= 0)
    return Segments(**(vars(kept) | {"samples": list(names), "sample": places[kept.sample]}))


def _without_germline(found: Segments, sheet: pd.DataFrame, notes: list[str]) -> Segments:
    """The segments without those of tumours that the patient's normal tissue has, too."""
    altered = (np.abs(found.value) >= GERMLINE_LOG2) & (found.end - found.start < GERMLINE_BASES)
    normal = sheet["sample_type"].isin(NORMAL_CODES).to_numpy()[found.sample]
    patient = pd.factorize(sheet["patient"])[0][found.sample]
    inherited = np.zeros(len(found.value), dtype=bool)
    for tumour_rows, normal_rows in _by_patient(patient, altered & ~normal, altered & normal):
        mine, theirs = (
            {name: getattr(found, name)[rows] for name in ("chromosome", "start", "end", "value")}
            for rows in (tumour_rows[:, np.newaxis], normal_rows)
        )
        shared = np.minimum(mine["end"], theirs["end"]) - np.maximum(mine["start"], theirs["start"])
        longer = np.maximum(mine["end"] - mine["start"], theirs["end"] - theirs["start"])
        same = (mine["chromosome"] == theirs["chromosome"]) & (mine["value"] * theirs["value"] > 0)
        same &= shared + 1 >= GERMLINE_OVERLAP * (longer + 1)
        inherited[tumour_rows[same.any(axis=1)]] = True
    if inherited.any():
        notes.append(
            f"copy_number: {int(inherited.sum())} segments of tumours left out: their patients' "
            "normal tissue has them"
        )
    return found.take(~inherited)


def _by_patient(
    patient: np.ndarray, tumour: np.ndarray, normal: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the segments of each patient who has both kinds."""
    groups = [
        pd.Series(np.flatnonzero(rows)).groupby(patient[rows]).indices for rows in (tumour, normal)
    ]
    places = [np.flatnonzero(rows) for rows in (tumour, normal)]
    for key in groups[1].keys() & groups[0].keys():
        yield places[0][groups[0][key]], places[1][groups[1][key]]


def _mutations(
    path: Path, samples: pd.Index, among: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """`(samples, genes)` float16: 1 mutated, 0 not, NaN in samples that the list does not have."""
    notes: list[str] = []
    matrix = read_list(path, notes)
    if matrix is None:
        raise SourceError(
            f"{path} is no list of mutations: it lacks columns of samples, genes and classes such "
            "as Tumor_Sample_Barcode, Hugo_Symbol and Variant_Classification."
        )
    rows = match_samples(samples, matrix.frame.index, by_patient=False)
    if not rows:
        raise SourceError(
            f"{path} shares no sample with the segments. It has: {first_few(matrix.frame.index)}; "
            f"expected: {first_few(samples)}."
        )
    at = matrix.frame.index.get_indexer(list(rows.values()))
    selected = Matrix(matrix.origin, matrix.frame.iloc[at].set_axis(list(rows), axis=0))
    del matrix  # each of these may be a gigabyte
    frame, _, more = unify(selected, "mutation", among)
    del selected
    if len(rows) < len(samples):
        more.append(f"mutation: {len(samples) - len(rows)} samples were not sequenced")
    return frame.astype(np.float16).reindex(samples), notes + more + match_notes(rows, "mutation")
