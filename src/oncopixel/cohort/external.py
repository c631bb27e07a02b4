"""Whether a second cohort can validate what a first one teaches."""

import numpy as np

from ..core.errors import LabelError, SourceError, first_few
from .barcodes import same_people
from .contract import Cohort


def check_external(cohort: Cohort, external: Cohort) -> None:
    """Raises an error that says why `external` cannot validate what `cohort` teaches, if so."""
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
    both = sorted(set(external.patients[same_people(external, cohort)]))
    if both:
        raise SourceError(
            f"{len(both)} patients of the external cohort are in the cohort itself: "
            f"{first_few(both)}. It is not independent then. Leave them out of one of the two, or, "
            "if they are other people, give them other ids in `patient_column`."
        )
