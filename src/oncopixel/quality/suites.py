"""Is this cohort fit to learn from? Every check of it, as an expectation about a tidy table.

The expectations look at the tables of `facts` only, never at the matrix, so 20,000 genes need no
more expectations than 20. A failed check of severity `critical` must stop the pipeline; a failed
`warning` is reported. A check whose column has no value has nothing to check.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from ..cohort.contract import Cohort
from ..core.params import MAX_LOG2, ValidateParams
from .facts import SEPARATES, Table, class_kind
from .limits import (
    LIBRARY_LIMITS,
    LOST,
    MAX_LOST,
    OTHER_REMEDIES,
    REMEDIES,
    SEGMENT_LIMITS,
    VALUE_LIMITS,
)

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "module 'sre_", DeprecationWarning)
    import great_expectations
    from great_expectations.expectations.expectation import Expectation

gx: Any = great_expectations
gxe: Any = gx.expectations  # its names are not exported in a way that type checkers follow


@dataclass(frozen=True)
class Check:
    """One expectation about one table, and what it means to people."""

    id: str
    text: str
    """What holds when the check passes."""
    remedy: str
    expectation: Expectation
    table: Table
    severity: Literal["critical", "warning"]

    @property
    def column(self) -> str:
        """Column of the table that the expectation is about."""
        return str(self.expectation.configuration.kwargs["column"])


def make_checks(
    cohort: Cohort, params: ValidateParams, *, channels: list[str], folds: int
) -> list[Check]:
    """Every check that applies to this cohort, with the limits of `params` in its words."""
    return [
        *_cohort_checks(cohort, params, channels),
        *_class_checks(params, folds),
        *_sample_checks(cohort, params, channels),
        *_segment_checks(cohort, params),
        *_gene_checks(cohort, params, channels),
    ]


def make_external_checks(
    external: Cohort, params: ValidateParams, *, channels: list[str], zscored: bool
) -> list[Check]:
    """The checks of an external cohort: those of a cohort, and that it shares no sample with it.

    Nothing is learnt from it, so that it may be small, with a warning, and needs no folds. When it
    is aligned by z-scores (`zscored`), its log2 expression may be standardised already.
    """
    changes: dict[str, dict[str, Any]] = {
        name: {"severity": "warning"} for name in ("samples_enough", "class_samples_enough")
    }
    idle = {"class_patients_enough"}
    if zscored and external.scale == "log2":
        low, high = VALUE_LIMITS["z-scores"]
        text = f"Expression as log2(x+1) or standardised is from {low:g} to {high:g}"
        for end, limits in {"min": (low, None), "max": (None, high)}.items():
            expectation = _between(f"expression_{end}", *limits)
            changes[f"gene_expression_{end}"] = {"text": text, "expectation": expectation}
        idle.add("gene_log2_not_negative")
    checks = make_checks(external, params, channels=channels, folds=1)
    own = [replace(check, **changes.get(check.id, {})) for check in checks if check.id not in idle]
    return own + list(_independence_checks())


def _of_table(table: Table) -> tuple[partial[Check], partial[Check]]:
    """Makers of critical checks of this table, and of warnings."""
    make = partial(Check, table=table)
    return partial(make, severity="critical"), partial(make, severity="warning")


def _between(column: str, low: float | None, high: float | None, **more: Any) -> Any:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, **more)


def _among(column: str, values: list[Any], **more: Any) -> Any:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, **more)


# fmt: off
def _cohort_checks(cohort: Cohort, params: ValidateParams, channels: list[str]) -> Iterator[Check]:
    critical, warning = _of_table("cohort")
    yield critical(
        "samples_enough", f"There are at least {params.min_samples} samples",
        "Add samples, or lower validation.min_samples and accept wider intervals.",
        _between("samples", params.min_samples, None),
    )
    yield critical(
        "classes_enough", "At least two classes have samples",
        "Look at the label rule of the cohort: it puts every sample in one class.",
        _between("classes", 2, None),
    )
    kinds = {name: class_kind(name) for name in cohort.classes}
    if len(kinds) == 2 and set(kinds.values()) == {"tumour", "normal"}:
        tumour = next(name for name, kind in kinds.items() if kind == "tumour")
        yield warning(
            "tumour_class_positive", f"The positive class, the last one, is `{tumour}`",
            f"Set `positive: {tumour}`, or read sensitivity and markers the other way round.",
            _among("last_class", [tumour]),
        )
    for channel in channels:
        allowed = f"{params.max_missing_fraction:.0%}"
        yield critical(
            f"{channel}_missing", f"At most {allowed} of the {channel} values are missing",
            f"Take {channel} out of the cohort's channels, drop the samples that lack it, or raise "
            "validation.max_missing_fraction.",
            _between(f"{channel}_missing", None, params.max_missing_fraction),
        )
        yield critical(
            f"{channel}_missing_same_in_classes",
            f"The missing share of {channel} values differs by at most "
            f"{params.max_missing_difference:.0%} between classes",
            f"What is missing would give the label away: drop the samples that lack {channel}, or "
            "take it out of the cohort's channels.",
            _between(f"{channel}_missing_gap", None, params.max_missing_difference),
        )
        if channel != "expression":
            yield critical(
                f"{channel}_varies", f"The {channel} values are not all the same",
                "Look at the words of its variant classes, at its sample ids and gene names: no "
                "mutation was found." if channel == "mutation"
                else f"Give measured values, or take {channel} out of the cohort's channels.",
                _between(f"{channel}_range", 0, None, strict_min=True),
            )
    if "expression" in channels and cohort.scale != "log2":
        yield critical(
            "expression_not_logged", f"Expression declared as {cohort.scale} is not on a log scale",
            f"No value reaches {MAX_LOG2:g} and they are no whole numbers: if they are "
            "log2(x+1), set `scale: log2`.",
            _among("looks_logged", [False]),
        )
    for name in (name for name in LOST if name in cohort.losses):
        yield warning(
            f"{name}_found", f"At most {MAX_LOST:.0%} of the {LOST[name]}",
            "Look at the ids on both sides, and at the notes of `ingest`: these data are lost.",
            _between(f"{name}_lost", None, MAX_LOST),
        )
    for name in ("batch", "site"):
        yield warning(
            f"{name}_label_association",
            f"{name.capitalize()} and label are associated by a Cramér's V of at most "
            f"{params.max_batch_label_association:g}",
            f"The model may learn the {name} instead of the label: "
            + ("compare with `split.group_by: site`, or " if name == "site" else "")
            + f"keep only {'batches' if name == 'batch' else 'sites'} that hold all classes.",
            _between(f"{name}_label_v", None, params.max_batch_label_association),
        )


def _class_checks(params: ValidateParams, folds: int) -> Iterator[Check]:
    critical, _ = _of_table("classes")
    yield critical(
        "class_samples_enough", f"Every class has at least {params.min_class_size} samples",
        "Merge or leave out small classes (`classes`), or lower validation.min_class_size.",
        _between("samples", params.min_class_size, None),
    )
    yield critical(
        "class_patients_enough",
        f"Every class has at least {2 * folds} patients, two for each of the {folds} folds",
        "Lower split.folds, or merge or leave out small classes (`classes`).",
        _between("patients", 2 * folds, None),
    )


def _sample_checks(cohort: Cohort, params: ValidateParams, channels: list[str]) -> Iterator[Check]:
    critical, warning = _of_table("samples")
    tolerated = {"mostly": 1 - params.max_outlier_fraction}
    yield critical(
        "sample_ids_unique", "Sample identifiers are unique",
        "Rename or merge the samples that share a name.",
        gxe.ExpectColumnValuesToBeUnique(column="sample"),
    )
    yield critical(
        "sample_ids_well_formed",
        "Sample identifiers are printable and have no blank at either end",
        "Mend the identifiers in the sample sheet and in the matrix.",
        gxe.ExpectColumnValuesToMatchRegex(column="sample", regex=r"^[^\s](?:[^\t\r\n]*[^\s])?$"),
    )
    yield critical(
        "sample_patient_known", "The patient of every sample is known",
        "Fill in the patient column: without it one patient may end up in training and in test.",
        _among("patient_known", [True]),
    )
    yield critical(
        "sample_patient_agrees_with_barcode",
        "Samples whose TCGA barcodes name one patient have one patient",
        "Correct the patient column: as it is, one patient may end up in training and in test.",
        _between("patients_of_barcode", None, 1),
    )
    yield warning(
        "sample_not_repeated", "A patient has one sample of each type",
        "Keep one aliquot each, or accept that these patients weigh more.",
        gxe.ExpectColumnValuesToBeUnique(column="repeat_of"),
    )
    yield warning(
        "sample_type_known",
        "Sample types are TCGA codes: 01-09 tumour, 10-19 normal, 20-29 control",
        "Translate the sample type column to these codes, or leave it empty.",
        gxe.ExpectColumnValuesToMatchRegex(column="sample_type", regex=r"^(?:0[1-9]|[12][0-9])$"),
    )
    yield critical(
        "sample_type_agrees_with_barcode", "Sample types agree with the TCGA barcodes",
        "Characters 14 and 15 of the barcode are the type; correct the sample sheet.",
        _among("type_agrees_with_barcode", [True]),
    )
    yield critical(
        "sample_label_known", "Every label is one of the classes",
        "Add the class to `classes`, or drop its samples.",
        _among("label", cohort.classes),
    )
    yield critical(
        "sample_label_agrees_with_type",
        "Tumour labels stand on tumour samples and normal labels on normal samples",
        "Tumour and normal are swapped for these samples: correct label or sample type.",
        _among("label_agrees_with_type", [True]),
    )
    for channel in channels:
        needed = channel == "expression"
        yield (critical if needed else warning)(
            f"sample_has_{channel}", f"Every sample has {channel} values",
            "Drop these samples" + ("." if needed else f", or take their {channel} as average."),
            _between(f"{channel}_missing", None, 1, strict_max=True),
        )
    if "expression" in channels:
        yield critical(
            "sample_profile_unique", "No two patients have the same expression values",
            "One sample is here under two names and may end up in training and in test: drop one.",
            _among("shares_profile", [False]),
        )
        for name, words, limit in (
            ("library_size", "Library sizes (log2)", params.library_size_sd),
            ("zero_fraction", "Shares of undetected genes", params.zero_fraction_sd),
        ):
            yield warning(
                f"sample_{name}",
                f"{words} of at least {tolerated['mostly']:.0%} of the samples are within "
                f"{limit:g} robust SD of the median",
                "Look at these samples: failed libraries, another protocol or another scale.",
                _between(f"{name}_deviation", -limit, limit, **tolerated),
            )
        if cohort.scale in LIBRARY_LIMITS:
            yield warning(
                "sample_sum_plausible",
                f"The {cohort.scale.upper()} values of a sample add up to at most "
                f"{LIBRARY_LIMITS[cohort.scale]:,.0f}",
                "Look at the declared scale: these may be counts.",
                _between("expression_library_size", None, LIBRARY_LIMITS[cohort.scale]),
            )


def _segment_checks(cohort: Cohort, params: ValidateParams) -> Iterator[Check]:
    _, warning = _of_table("samples")
    most = 1 - params.max_outlier_fraction
    for name in (name for name in SEGMENT_LIMITS if name in cohort.samples):
        low, high, words, remedy = SEGMENT_LIMITS[name]
        yield warning(
            f"sample_{name}", f"At least {most:.0%} of the samples have {words}", remedy,
            _between(name, low, high, mostly=most),
        )


def _independence_checks() -> Iterator[Check]:
    critical, warning = _of_table("samples")
    yield critical(
        "sample_patient_not_in_cohort", "No patient of the external cohort is in the cohort",
        "It is not independent then: leave them out of one of the two.",
        _among("known_patient", [False]),
    )
    yield critical(
        "sample_profile_not_in_cohort",
        "No sample of the external cohort has the expression of one in the cohort",
        "These are the same samples under other names: leave them out of one of the two.",
        _among("known_profile", [False]),
    )
    yield warning(
        "sample_profile_not_near_cohort",
        "No sample of the external cohort has nearly the expression of one in the cohort",
        "Are these the same samples, processed once more? Then leave them out of one of the two.",
        _among("near_profile", [False]),
    )


def _gene_checks(cohort: Cohort, params: ValidateParams, channels: list[str]) -> Iterator[Check]:
    critical, warning = _of_table("genes")
    yield critical(
        "gene_ids_unique", "Gene identifiers are unique",
        "Merge or rename the genes that share a name.",
        gxe.ExpectColumnValuesToBeUnique(column="gene"),
    )
    yield critical(
        "gene_ids_well_formed", "Gene identifiers begin with a letter or digit and hold no blanks",
        "Drop or name these genes; `?` and empty names come with some TCGA files.",
        gxe.ExpectColumnValuesToMatchRegex(column="gene", regex=r"^[A-Za-z0-9][^\s?]*$"),
    )
    yield warning(
        "gene_ids_no_dates", "No gene identifier is a date",
        "A spreadsheet turned names such as SEPT2 or MARCH1 into dates: use the original file.",
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="gene",
            regex=r"^(?i:\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
            r"|\d{4}-\d\d-\d\d.*)$",
        ),
    )
    yield warning(
        "gene_positions_known", "At least half of the genes have a known place in the human genome",
        "Use human gene symbols or Ensembl ids, or a layout other than `genomic`.",
        _among("has_position", [True], mostly=0.5),
    )
    for channel in channels:
        scale = cohort.scale if channel == "expression" else channel
        low, high = VALUE_LIMITS[scale]
        yield critical(
            f"gene_{channel}_finite", f"No {channel} value is infinite",
            "Replace infinite values; log2 of 0 makes them: use log2(x+1).",
            _between(f"{channel}_infinite", None, 0),
        )
        declared = f"declared as {scale}" if channel == "expression" else "values"
        named = f"{channel.replace('_', ' ').capitalize()} {declared}"
        remedies = REMEDIES.get(scale, OTHER_REMEDIES)
        yield critical(
            f"gene_{channel}_min", f"{named} is never below {low:,g}", remedies[0],
            _between(f"{channel}_min", low, None),
        )
        yield critical(
            f"gene_{channel}_max", f"{named} is never above {high:,g}", remedies[-1],
            _between(f"{channel}_max", None, high),
        )
        yield critical(
            f"gene_{channel}_no_phenotype",
            f"No gene without a known place separates the classes by its {channel} alone "
            f"(AUC of {SEPARATES:g} or more)",
            "This is what the class, or a patient's survival, does among the genes: remove it.",
            _between(f"{channel}_separation", None, SEPARATES, strict_max=True),
        )
    if "expression" in channels:
        varying = 1 - params.max_constant_gene_fraction
        yield warning(
            "gene_varies", f"At least {varying:.0%} of the genes vary between samples",
            "Constant genes carry nothing; many of them hint at a failed join or a filtered table.",
            _between("expression_range", 0, None, strict_min=True, mostly=varying),
        )
        if cohort.scale == "counts":
            yield warning(
                "gene_counts_whole", "Counts are whole numbers",
                "If these are RSEM or normalised values, declare `scale: rsem`.",
                _between("expression_fractional", None, 0),
            )
        if cohort.scale == "log2":
            yield warning(
                "gene_log2_not_negative", "log2(x+1) is never negative",
                "Another offset than 1, or standardised values: give log2(x+1) where you can.",
                _between("expression_min", 0, None, mostly=0.95),
            )
