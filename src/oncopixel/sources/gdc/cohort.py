"""The cohort that files of the NCI Genomic Data Commons make."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...cohort.assembly import set_patient_columns
from ...cohort.contract import Cohort, cohort_of_layers
from ...cohort.samples import SheetColumns, describe_samples
from ...cohort.sheets import refuse_repeats
from ...core.errors import SourceError
from ...core.params import GdcSource
from ..http.cache import seems_cached
from ..http.client import Client
from ..http.download import fetch_with
from ..listing import remote_files
from .aliquots import choose_dna, choose_rna, counted, files_of_aliquots, joined_files, sample_key
from .bundles import fetch_bundles
from .clinical import clinical_table, read_clinical
from .copy_number import read_copy_number
from .expression import read_expression
from .genes import GenePanel, gene_places
from .listing import CLINICAL, list_with, refuse_other_server
from .mutations import read_mutations
from .query import read_token
from .segments import READING, read_segment_files

log = logging.getLogger(__name__)


def load_gdc(source: GdcSource, listing: pd.DataFrame) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort of the listed files, else of those of now, and their listing."""
    with Client(source.minutes, read_token()) as client:
        listed = list_with(client, source) if listing.empty else listing.copy()
        refuse_other_server(source, listed)
        is_clinical = listed["channel"] == CLINICAL
        data = listed[~is_clinical]
        _log_sizes(data)
        release = listed["release"].iloc[0]
        patients = {name[:12] for name in data["samples"]}
        clinical_file = remote_files(listed[is_clinical])[0]
        path, table = clinical_table(client, source, clinical_file, patients, release)
        fetch_bundles(client, source, data)
        fetched = fetch_with(client, remote_files(data), source.connections)
    listed.loc[is_clinical, ["md5", "size"]] = table.md5, table.size
    files = data[["channel", "name", "samples"]].assign(path=[local for local, _ in fetched])
    origin = f"GDC data release {release}: {', '.join(source.projects)}"
    clinical, notes = read_clinical(path)
    return build(files, clinical, source, origin=origin, notes=notes), listed


def _log_sizes(data: pd.DataFrame) -> None:
    missing = [file.size for file in remote_files(data) if not seems_cached(file)]
    counts = ", ".join(f"{count} {name}" for name, count in data["channel"].value_counts().items())
    log.info(
        "  %s files, %.1f MB; %d of them, %.1f MB, are not in the cache",
        counts,
        data["size"].sum() / 1e6,
        len(missing),
        sum(missing) / 1e6,
    )


def build(
    files: pd.DataFrame,
    clinical: pd.DataFrame,
    source: GdcSource,
    *,
    origin: str,
    notes: Sequence[str] = (),
) -> Cohort:
    """The unlabelled cohort in files of the GDC; its layers lie on disk (`scratch_array`).

    Parameters
    ----------
    files
        Columns `channel`, `name`, `path` and `samples`, the aliquot that a file is of.
    clinical
        By patient.

    Returns
    -------
    Cohort
        A sample is a TCGA patient and sample type with expression; DNA is of the nearest aliquot of
        it. One without is NaN in the whole channel. Of several variants in a gene the one of
        largest weight counts. `uns["joined"]` lists every file, whether it was used, and why not.

    Raises
    ------
    SourceError
        For files that are not what they should be.
    """
    rna, joined, of_files = files_of_aliquots(files, "expression")
    if not rna:
        raise SourceError("no file holds expression. Check `projects` and `sample_types`.")
    samples, of_choice = choose_rna(rna)
    used, tables = set(samples), [joined]
    expression, panel, of_expression = read_expression(
        [rna[name][0] for name in samples], source.expression, source.genes
    )
    layers = {"expression": expression}
    sheet, of_clinical = _clinical_of(samples, clinical)
    notes = [*notes, *of_files, *of_choice, *of_expression, *of_clinical]
    for channel, wanted in (("copy_number", source.copy_number), ("mutation", source.mutation)):
        if wanted is not None:
            joined, chosen, more = _add_dna(files, channel, wanted, layers, sheet, panel)
            tables.append(joined)
            used |= chosen
            notes += more
    cohort = cohort_of_layers(
        layers,
        sheet,
        gene_places(panel),
        scale=source.expression,
        origin=origin,
        notes=notes,
    )
    every_file = pd.concat(tables, ignore_index=True)
    cohort.data.uns["joined"] = joined_files(every_file, samples, used)
    if source.copy_number == "masked_segments":
        cohort.data.uns["min_markers"] = READING.min_markers
    set_patient_columns(cohort, clinical.columns)
    return cohort


def _add_dna(
    files: pd.DataFrame,
    channel: str,
    wanted: str,
    layers: dict[str, np.ndarray],
    sheet: pd.DataFrame,
    panel: GenePanel,
) -> tuple[pd.DataFrame, set[str], list[str]]:
    """Adds a channel to the layers and its columns to the sheet; its files, aliquots, and notes."""
    samples = list(sheet.index)
    dna, joined, notes = files_of_aliquots(files, channel)
    chosen, more = choose_dna(samples, dna, channel)
    notes += more
    if chosen:
        names = [chosen.get(name, "") for name in samples]
        sheet[f"{channel}_aliquot"] = names
        found = [dna[name] if name else [] for name in names]
        if wanted == "masked_segments":
            layers[channel], facts, more = read_segment_files(found, names, panel)
            sheet[facts.columns] = facts.to_numpy()
        elif channel == "copy_number":
            layers[channel], more = read_copy_number(found, panel)
        else:
            layers[channel], sheet["tmb"], more = read_mutations(
                found, names, panel, impact=wanted == "impact"
            )
        notes += more
    return joined, set(chosen.values()), notes


def _clinical_of(samples: list[str], clinical: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The sample sheet: clinical columns by patient, and what barcodes tell."""
    refuse_repeats(clinical.index, "the clinical table", "patient")
    patients = [sample_key(name)[0] for name in samples]
    sheet = clinical.reindex(patients).set_axis(samples, axis=0)
    lacking = sorted(set(patients) - set(clinical.index))
    described, notes = describe_samples(sheet, SheetColumns(), "the clinical table")
    return described, [*counted(lacking, "clinical: {} patients have no entry ({})"), *notes]
