"""`ingest`: from a source to a labelled cohort."""

import logging

from ..cohort import Cohort, write_cohort
from ..labels import label_cohort, pick_aliquots
from ..params import CohortParams, Params
from ..sources import load
from .places import Places

log = logging.getLogger(__name__)


def run(places: Places, params: Params) -> None:
    """Writes `cohort.h5ad`."""
    entry = params.cohort(places.cohort)
    cohort = ingest(places, entry)
    for note in cohort.data.uns["notes"]:
        log.info("  %s", note)
    write_cohort(places.data("cohort.h5ad"), cohort)
    log.info(
        "%d samples of %d patients, %d genes, channels %s, classes %s",
        len(cohort.samples),
        len(set(cohort.patients)),
        len(cohort.genes),
        ", ".join(cohort.channels),
        ", ".join(cohort.classes),
    )


def ingest(places: Places, entry: CohortParams) -> Cohort:
    """The labelled cohort of one entry, one aliquot per patient and sample type."""
    cohort = load(entry.source, places.root / entry.inputs)
    return label_cohort(pick_aliquots(cohort), entry)
