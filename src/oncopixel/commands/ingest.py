"""`ingest`: from a source to a labelled cohort, and to the one that it is validated by."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts import write_csv
from ..cohort import Cohort, write_cohort
from ..errors import LabelError, SourceError, first_few
from ..labels import label_cohort, pick_aliquots
from ..params import CohortParams, LabelledSource, Params
from ..sources import load
from .places import Places

log = logging.getLogger(__name__)

NOTHING_PLANTED = pd.DataFrame(columns=["gene", "channel", "kind", "effect"])


def run(places: Places, params: Params) -> None:
    """Writes `cohort.h5ad`, `external.h5ad` and `truth.csv`.

    `external.h5ad` has no samples when the entry names no external cohort, `truth.csv` no rows when
    the cohort is real and nothing was planted.
    """
    entry = params.cohort(places.cohort)
    cohort = ingest(places, entry)
    _report(cohort)
    if entry.external is None:
        external = cohort.take(np.array([], dtype=int))
    else:
        external = _labelled(entry.external, places.root / entry.inputs)
        log.info("external cohort:")
        _report(external)
        check_external(cohort, external)
    write_cohort(places.data("cohort.h5ad"), cohort)
    write_cohort(places.data("external.h5ad"), external)
    planted = cohort.truth
    write_csv(places.data("truth.csv"), NOTHING_PLANTED if planted is None else planted)


def ingest(places: Places, entry: CohortParams) -> Cohort:
    """The labelled cohort of one entry, one aliquot per patient and sample type."""
    return _labelled(entry, places.root / entry.inputs)


def _labelled(entry: LabelledSource, folder: Path) -> Cohort:
    return label_cohort(pick_aliquots(load(entry.source, folder)), entry)


def check_external(cohort: Cohort, external: Cohort) -> None:
    """Nothing, or an error that says why `external` cannot validate what `cohort` teaches.

    `LabelError` when its classes are others or one has a single sample, `SourceError` when patients
    are in both.
    """
    if external.classes != cohort.classes:
        raise LabelError(
            f"the external cohort has the classes {', '.join(external.classes)}, but the cohort "
            f"has {', '.join(cohort.classes)}. They must have the same names and order: set "
            "`label`, `positive` or `classes` of `external`, or rename them in its sample sheet."
        )
    counts = np.bincount(external.y)
    if counts.min() < 2:
        raise LabelError(
            f"the external cohort has one sample of class {external.classes[counts.argmin()]}: too "
            "few to compare the classes. Add samples, or leave `external` out."
        )
    both = sorted(set(cohort.patients) & set(external.patients))
    if both:
        raise SourceError(
            f"{len(both)} patients of the external cohort are in the cohort itself: "
            f"{first_few(both)}. It is not independent then. Leave them out of one of the two, or, "
            "if they are other people, give them other ids in `patient_column`."
        )


def _report(cohort: Cohort) -> None:
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
