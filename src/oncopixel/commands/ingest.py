"""`ingest`: from a source to a labelled cohort."""

import logging

import pandas as pd

from ..artifacts import write_csv
from ..cohort import Cohort, write_cohort
from ..labels import label_cohort, pick_aliquots
from ..params import CohortParams, Params
from ..sources import load
from .places import Places

log = logging.getLogger(__name__)

NOTHING_PLANTED = pd.DataFrame(columns=["gene", "channel", "kind", "effect"])


def run(places: Places, params: Params) -> None:
    """Writes `cohort.h5ad`, and `truth.csv`: planted markers, none for a real cohort."""
    entry = params.cohort(places.cohort)
    cohort = ingest(places, entry)
    for note in cohort.data.uns["notes"]:
        log.info("  %s", note)
    write_cohort(places.data("cohort.h5ad"), cohort)
    planted = cohort.truth
    write_csv(places.data("truth.csv"), NOTHING_PLANTED if planted is None else planted)
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
