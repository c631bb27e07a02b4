"""`ingest`: from a source to a labelled cohort, and to the one that it is validated by."""

import logging

import numpy as np
import pandas as pd

from ..cohort.barcodes import pick_aliquots
from ..cohort.contract import Cohort, write_cohort
from ..cohort.external import check_external
from ..cohort.labels import label_cohort
from ..cohort.scales import refuse_relative
from ..core.errors import LabelError, SourceError
from ..core.params import CohortParams, ExternalParams, LabelledSource, Params
from ..core.project import Paths
from ..core.storage import write_csv
from ..sources import load
from ..sources.manifest import (
    CLINICAL,
    MANIFEST,
    as_manifest,
    clinical_rows,
    empty_manifest,
    listing_of,
    read_manifest,
    restore_clinical,
)

log = logging.getLogger(__name__)

NOTHING_PLANTED = pd.DataFrame(columns=["gene", "channel", "kind", "effect"])


def run(paths: Paths, params: Params, *, refresh: bool = False) -> None:
    """Writes `manifest.csv`, `clinical.csv`, `cohort.h5ad`, `external.h5ad` and `truth.csv`.

    The manifest lists the files of a source that downloads. If it is there and of the same source
    parameters, the same files are used, unless `refresh` asks the server what it has now;
    `clinical.csv` has no rows for sources other than the GDC.
    `external.h5ad` has no samples when the entry names no external cohort, `truth.csv` no rows when
    the cohort is real and nothing was planted.
    """
    entry = params.cohort(paths.cohort)
    known = empty_manifest() if refresh else read_manifest(paths)
    cohort, manifest, clinical = _part(paths, "cohort", entry, entry.inputs, known)
    external = cohort.take(np.array([], dtype=int))
    if entry.external is not None:
        try:
            external, *more = _part(paths, "external", entry.external, entry.inputs, known)
        except (SourceError, LabelError) as error:
            raise type(error)(f"external cohort: {error}") from error
        manifest, clinical = (
            pd.concat(pair, ignore_index=True)
            for pair in zip((manifest, clinical), more, strict=True)
        )
        check_external(cohort, external)
    # The manifest first: after a kill in between, the next run builds what it lists.
    write_csv(paths.data(MANIFEST), manifest)
    write_csv(paths.data(CLINICAL), clinical)
    write_cohort(paths.data("cohort.h5ad"), cohort)
    write_cohort(paths.data("external.h5ad"), external)
    planted = cohort.truth
    write_csv(paths.data("truth.csv"), NOTHING_PLANTED if planted is None else planted)


def ingest(paths: Paths, entry: CohortParams) -> Cohort:
    """The labelled cohort of one entry, one aliquot per patient and sample type."""
    return _part(paths, "cohort", entry, entry.inputs, read_manifest(paths))[0]


def _part(
    paths: Paths, part: str, entry: LabelledSource, inputs: str, known: pd.DataFrame
) -> tuple[Cohort, pd.DataFrame, pd.DataFrame]:
    """One labelled cohort, and its rows of the manifest and of the clinical table."""
    listed = listing_of(paths, known, part, entry.source)
    restore_clinical(paths, listed, part, entry.source)
    cohort, listed = load(entry.source, paths.root / inputs, listed)
    zscored = isinstance(entry, ExternalParams) and entry.align == "zscore"
    if "expression" in cohort.channels and not zscored:
        refuse_relative(cohort.layer("expression"), cohort.scale, str(cohort.data.uns["origin"]))
    cohort = label_cohort(pick_aliquots(cohort), entry)
    if part == "external":
        log.info("external cohort:")
    _log_cohort(cohort)
    source = entry.source
    return cohort, as_manifest(listed, part, source), clinical_rows(listed, part, source)


def _log_cohort(cohort: Cohort) -> None:
    for note in cohort.data.uns["notes"]:
        log.info("  %s", note)
    log.info(
        "%d samples of %d patients, %d genes, channels %s, classes %s",
        len(cohort.samples),
        len(set(cohort.patients)),
        len(cohort.genes),
        ", ".join(cohort.channels),
        ", ".join(cohort.classes),
    )
