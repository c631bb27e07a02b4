"""The cohort that files of the NCI Genomic Data Commons make."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...cohort.assembly import known_of_patients
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
from .expression import Column, read_expression
from .genes import gene_places
from .listing import CLINICAL, list_with, refuse_other_server
from .mutations import read_mutations
from .query import read_token

log = logging.getLogger(__name__)


def load_gdc(source: GdcSource, listed: pd.DataFrame) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort of the listed files, or of those that the server has now.

    The listing comes back with the MD5 of the clinical table. Raises `SourceError` when something
    cannot be had, and when the clinical data are no longer those of the listing.
    """
    with Client(source.minutes, read_token()) as client:
        listed = list_with(client, source) if listed.empty else listed.copy()
        refuse_other_server(source, listed)
        is_clinical = listed["channel"] == CLINICAL
        data = listed[~is_clinical]
        _log_sizes(data)
        release = listed["release"].iloc[0]
        path, table = clinical_table(
            client, source, remote_files(listed[is_clinical])[0], _patients(data), release
        )
        fetch_bundles(client, source, data)
        fetched = fetch_with(client, remote_files(data), source.connections)
    listed.loc[is_clinical, ["md5", "size"]] = table.md5, table.size
    files = data[["channel", "name", "samples"]].assign(path=[local for local, _ in fetched])
    origin = f"GDC data release {release}: {', '.join(source.projects)}"
    clinical, notes = read_clinical(path)
    return build(files, clinical, source, origin=origin, notes=notes), listed


def _patients(data: pd.DataFrame) -> set[str]:
    return {name[:12] for name in data["samples"]}


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

    `files` has the columns `channel`, `name`, `path` and `samples` (the aliquot that a file is of),
    `clinical` is indexed by patient. They are joined so:

    - A sample is a TCGA patient and sample type with expression; of several RNA aliquots it has the
      one that `barcodes.best_aliquot` prefers. Samples stand in the order of their barcodes.
    - Copy number and mutations are of a DNA aliquot of the same patient and sample type: of the
      same vial and portion if there is one, else of the same vial, else the one that
      `best_aliquot` prefers; `obs` names it as `copy_number_aliquot` and `mutation_aliquot`. A
      sample without one is NaN in the whole channel; one that was sequenced is 0 where it has no
      variant. `obs["tmb"]` is the number of distinct non-silent variants, in any gene.
    - Genes are those of the first expression file, of the type that `source.genes` asks for, under
      the symbols of GENCODE v22 where it knows their Ensembl ids, else under the file's, which
      `genes.reconcile` may know otherwise. In the other channels a gene is found by Ensembl id or,
      where the expression files lack its id, by their symbol, else by that of GENCODE v22, else by
      another name. Of several variants in a gene the one of largest weight counts.

    Of different files of one aliquot the first by name is used, but all that hold mutations.
    `uns["joined"]` lists every file with its aliquot, whether it was used and why not;
    `uns["notes"]` counts what was joined, how, and what was dropped, after the `notes` of what was
    done before. Raises `SourceError` for files that are not what they should be.
    """
    rna, joined, more = files_of_aliquots(files, "expression")
    notes = [*notes, *more]
    if not rna:
        raise SourceError("no file holds expression. Check `projects` and `sample_types`.")
    samples, more = choose_rna(rna)
    notes += more
    used, tables = set(samples), [joined]
    column: Column = "unstranded" if source.expression == "counts" else "tpm_unstranded"
    layers: dict[str, np.ndarray] = {}
    paths = [rna[name][0] for name in samples]
    layers["expression"], panel, more = read_expression(paths, column, source.genes)
    notes += more
    sheet, more = _clinical_of(samples, clinical)
    notes += more
    for channel, wanted in (("copy_number", source.copy_number), ("mutation", source.mutation)):
        if wanted is None:
            continue
        dna, joined, more = files_of_aliquots(files, channel)
        notes += more
        chosen, more = choose_dna(samples, dna, channel)
        notes += more
        used |= set(chosen.values())
        tables.append(joined)
        if not chosen:
            continue
        sheet[f"{channel}_aliquot"] = [chosen.get(name, "") for name in samples]
        found = [dna[chosen[name]] if name in chosen else [] for name in samples]
        if channel == "copy_number":
            layers[channel], more = read_copy_number(found, panel)
        else:
            names = [chosen.get(name, "") for name in samples]
            layers[channel], sheet["tmb"], more = read_mutations(
                found, names, panel, impact=wanted == "impact"
            )
        notes += more
    cohort = cohort_of_layers(
        layers,
        sheet,
        gene_places(panel),
        scale=source.expression,
        origin=origin,
        notes=notes,
        joined=joined_files(pd.concat(tables, ignore_index=True), samples, used),
    )
    known_of_patients(cohort, clinical.columns)
    return cohort


def _clinical_of(samples: list[str], clinical: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The sample sheet: clinical columns by patient, and what barcodes tell."""
    refuse_repeats(clinical.index, "the clinical table", "patient")
    patients = [sample_key(name)[0] for name in samples]
    sheet = clinical.reindex(patients).set_axis(samples, axis=0)
    lacking = sorted(set(patients) - set(clinical.index))
    described, notes = describe_samples(sheet, SheetColumns(), "the clinical table")
    return described, [*counted(lacking, "clinical: {} patients have no entry ({})"), *notes]
