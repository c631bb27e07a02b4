"""Is this cohort fit to learn from? Every check of it, as an expectation about a tidy table.

The expectations look at the tables of `quality` only, never at the matrix, so 20,000 genes need no
more expectations than 20. A failed check of severity `critical` must stop the pipeline; a failed
`warning` is reported. A check whose column has no value has nothing to check.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..cohort.contract import Cohort
from ..core.params import MAX_LOG2, ValidateParams
from .facts import SEPARATES, Table, class_kind

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "module 'sre_", DeprecationWarning)
    import great_expectations
    from great_expectations.expectations.expectation import Expectation

gx: Any = great_expectations
gxe: Any = gx.expectations  # its names are not exported in a way that type checkers follow

VALUE_LIMITS = {
    "counts": (0.0, 1e8),
    "rsem": (0.0, 1e8),
    "tpm": (0.0, 1.05e6),
    "fpkm": (0.0, 1e7),
    "log2": (-10.0, 40.0),
    "copy_number": (-10.0, 10.0),
    "mutation": (0.0, 1.0),
    "z-scores": (-50.0, 50.0),
}
"""Lowest and highest value that an expression scale, or another channel, can hold."""

MAX_LOST = 0.05
LOST = {
    "samples": "samples of the expression matrix have no row in the sample sheet",
    "expression_genes": "expression rows name no gene, or could be of several",
    "copy_number_samples": "samples of expression or copy number found no partner in the other",
    "copy_number_genes": "genes of expression or copy number found no partner in the other",
    "mutation_samples": "samples of expression or mutation found no partner in the other",
    "mutation_genes": "genes of expression or mutation found no partner in the other",
    "case_list": "ids of the case list are of no sample of the study",
}
"""What `uns["losses"]` counts, in words; of two channels' the one that has fewer."""

LIBRARY_LIMITS = {"tpm": 1.05e6, "fpkm": 5e6}
"""Highest sum of one sample; TPM add up to a million by definition."""


@dataclass(frozen=True)
class Check:
    """One expectation about one table, and what it means to people."""

    id: str
    table: Table
    severity: Literal["critical", "warning"]
    text: str
    """What holds when the check passes."""
    remedy: str
    expectation: Expectation

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
        *_gene_checks(cohort, params, channels),
    ]


def make_external_checks(
    external: Cohort, params: ValidateParams, *, channels: list[str], zscored: bool
) -> list[Check]:
    """The checks of an external cohort: those of a cohort, and that it shares no sample with it.

    Nothing is learnt from it, so that it may be small, with a warning, and needs no folds. When it
    is aligned by z-scores (`zscored`), its log2 expression may be standardised already.
    """
    standardised = zscored and external.scale == "log2"
    checks = make_checks(external, params, channels=channels, folds=1)
    if standardised:
        low, high = VALUE_LIMITS["z-scores"]
        limits = {"gene_expression_min": (low, None), "gene_expression_max": (None, high)}
        checks = [
            replace(
                check,
                text=f"Expression as log2(x+1) or standardised is from {low:g} to {high:g}",
                expectation=_between(check.column, *limits[check.id]),
            )
            if check.id in limits
            else check
            for check in checks
            if check.id != "gene_log2_not_negative"
        ]
    small = ("samples_enough", "class_samples_enough")
    return [
        replace(check, severity="warning") if check.id in small else check
        for check in checks
        if check.id != "class_patients_enough"
    ] + list(_independence_checks())


def _between(column: str, low: float | None, high: float | None, **more: Any) -> Expectation:
    expectation: Expectation = gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, **more
    )
    return expectation


def _among(column: str, values: list[Any], **more: Any) -> Expectation:
    expectation: Expectation = gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=values, **more
    )
    return expectation


# fmt: off
def _cohort_checks(cohort: Cohort, params: ValidateParams, channels: list[str]) -> Iterator[Check]:
    yield Check(
        "samples_enough", "cohort", "critical",
        f"There are at least {params.min_samples} samples",
        "Add samples, or lower validation.min_samples and accept wider intervals.",
        _between("samples", params.min_samples, None),
    )
    yield Check(
        "classes_enough", "cohort", "critical",
        "At least two classes have samples",
        "Look at the label rule of the cohort: it puts every sample in one class.",
        _between("classes", 2, None),
    )
    kinds = {name: class_kind(name) for name in cohort.classes}
    if len(kinds) == 2 and set(kinds.values()) == {"tumour", "normal"}:
        tumour = next(name for name, kind in kinds.items() if kind == "tumour")
        yield Check(
            "tumour_class_positive", "cohort", "warning",
            f"The positive class, the last one, is `{tumour}`",
            f"Set `positive: {tumour}`, or read sensitivity and markers the other way round.",
            _among("last_class", [tumour]),
        )
    for channel in channels:
        allowed = f"{params.max_missing_fraction:.0%}"
        yield Check(
            f"{channel}_missing", "cohort", "critical",
            f"At most {allowed} of the {channel} values are missing",
            f"Take {channel} out of the cohort's channels, drop the samples that lack it, or raise "
            "validation.max_missing_fraction.",
            _between(f"{channel}_missing", None, params.max_missing_fraction),
        )
        yield Check(
            f"{channel}_missing_same_in_classes", "cohort", "critical",
            f"The missing share of {channel} values differs by at most "
            f"{params.max_missing_difference:.0%} between classes",
            f"What is missing would give the label away: drop the samples that lack {channel}, or "
            "take it out of the cohort's channels.",
            _between(f"{channel}_missing_gap", None, params.max_missing_difference),
        )
        if channel != "expression":
            yield Check(
                f"{channel}_varies", "cohort", "critical",
                f"The {channel} values are not all the same",
                "Look at the words of its variant classes, at its sample ids and gene names: no "
                "mutation was found." if channel == "mutation"
                else f"Give measured values, or take {channel} out of the cohort's channels.",
                _between(f"{channel}_spread", 0, None, strict_min=True),
            )
    if "expression" in channels and cohort.scale != "log2":
        yield Check(
            "expression_not_logged", "cohort", "critical",
            f"Expression declared as {cohort.scale} is not on a log scale",
            f"No value reaches {MAX_LOG2:g} and they are no whole numbers: if they are "
            "log2(x+1), set `scale: log2`.",
            _among("looks_logged", [False]),
        )
    for name in (name for name in LOST if name in cohort.losses):
        yield Check(
            f"{name}_found", "cohort", "warning",
            f"At most {MAX_LOST:.0%} of the {LOST[name]}",
            "Look at the ids on both sides, and at the notes of `ingest`: these data are lost.",
            _between(f"{name}_lost", None, MAX_LOST),
        )
    for name in ("batch", "site"):
        yield Check(
            f"{name}_label_association", "cohort", "warning",
            f"{name.capitalize()} and label are associated by a Cramér's V of at most "
            f"{params.max_batch_label_association:g}",
            f"The model may learn the {name} instead of the label: "
            + ("compare with `split.group_by: site`, or " if name == "site" else "")
            + f"keep only {'batches' if name == 'batch' else 'sites'} that hold all classes.",
            _between(f"{name}_label_v", None, params.max_batch_label_association),
        )


def _class_checks(params: ValidateParams, folds: int) -> Iterator[Check]:
    yield Check(
        "class_samples_enough", "classes", "critical",
        f"Every class has at least {params.min_class_size} samples",
        "Merge or leave out small classes (`classes`), or lower validation.min_class_size.",
        _between("samples", params.min_class_size, None),
    )
    yield Check(
        "class_patients_enough", "classes", "critical",
        f"Every class has at least {2 * folds} patients, two for each of the {folds} folds",
        "Lower split.folds, or merge or leave out small classes (`classes`).",
        _between("patients", 2 * folds, None),
    )


def _sample_checks(cohort: Cohort, params: ValidateParams, channels: list[str]) -> Iterator[Check]:
    tolerated = {"mostly": 1 - params.max_outlier_fraction}
    yield Check(
        "sample_ids_unique", "samples", "critical",
        "Sample identifiers are unique",
        "Rename or merge the samples that share a name.",
        gxe.ExpectColumnValuesToBeUnique(column="sample"),
    )
    yield Check(
        "sample_ids_well_formed", "samples", "critical",
        "Sample identifiers are printable and have no blank at either end",
        "Mend the identifiers in the sample sheet and in the matrix.",
        gxe.ExpectColumnValuesToMatchRegex(column="sample", regex=r"^[^\s](?:[^\t\r\n]*[^\s])?$"),
    )
    yield Check(
        "sample_patient_known", "samples", "critical",
        "The patient of every sample is known",
        "Fill in the patient column: without it one patient may end up in training and in test.",
        _among("patient_known", [True]),
    )
    yield Check(
        "sample_patient_agrees_with_barcode", "samples", "critical",
        "Samples whose TCGA barcodes name one patient have one patient",
        "Correct the patient column: as it is, one patient may end up in training and in test.",
        _between("patients_of_barcode", None, 1),
    )
    yield Check(
        "sample_not_repeated", "samples", "warning",
        "A patient has one sample of each type",
        "Keep one aliquot each, or accept that these patients weigh more.",
        gxe.ExpectColumnValuesToBeUnique(column="repeat_of"),
    )
    yield Check(
        "sample_type_known", "samples", "warning",
        "Sample types are TCGA codes: 01-09 tumour, 10-19 normal, 20-29 control",
        "Translate the sample type column to these codes, or leave it empty.",
        gxe.ExpectColumnValuesToMatchRegex(column="sample_type", regex=r"^(?:0[1-9]|[12][0-9])$"),
    )
    yield Check(
        "sample_type_agrees_with_barcode", "samples", "critical",
        "Sample types agree with the TCGA barcodes",
        "Characters 14 and 15 of the barcode are the type; correct the sample sheet.",
        _among("type_agrees_with_barcode", [True]),
    )
    yield Check(
        "sample_label_known", "samples", "critical",
        "Every label is one of the classes",
        "Add the class to `classes`, or drop its samples.",
        _among("label", cohort.classes),
    )
    yield Check(
        "sample_label_agrees_with_type", "samples", "critical",
        "Tumour labels stand on tumour samples and normal labels on normal samples",
        "Tumour and normal are swapped for these samples: correct label or sample type.",
        _among("label_agrees_with_type", [True]),
    )
    for channel in channels:
        yield Check(
            f"sample_has_{channel}", "samples",
            "critical" if channel == "expression" else "warning",
            f"Every sample has {channel} values",
            "Drop these samples."
            if channel == "expression"
            else f"Drop these samples, or accept that their {channel} counts as average.",
            _between(f"{channel}_missing", None, 1, strict_max=True),
        )
    if "expression" in channels:
        yield Check(
            "sample_profile_unique", "samples", "critical",
            "No two patients have the same expression values",
            "One sample is here under two names and may end up in training and in test: drop one.",
            _among("shares_profile", [False]),
        )
        for name, words, limit in (
            ("library_size", "Library sizes (log2)", params.library_size_sd),
            ("zero_fraction", "Shares of undetected genes", params.zero_fraction_sd),
        ):
            yield Check(
                f"sample_{name}", "samples", "warning",
                f"{words} of at least {tolerated['mostly']:.0%} of the samples are within "
                f"{limit:g} robust SD of the median",
                "Look at these samples: failed libraries, another protocol or another scale.",
                _between(f"{name}_deviation", -limit, limit, **tolerated),
            )
        if cohort.scale in LIBRARY_LIMITS:
            yield Check(
                "sample_sum_plausible", "samples", "warning",
                f"The {cohort.scale.upper()} values of a sample add up to at most "
                f"{LIBRARY_LIMITS[cohort.scale]:,.0f}",
                "Look at the declared scale: these may be counts.",
                _between("expression_library_size", None, LIBRARY_LIMITS[cohort.scale]),
            )


def _independence_checks() -> Iterator[Check]:
    yield Check(
        "sample_patient_not_in_cohort", "samples", "critical",
        "No patient of the external cohort is in the cohort",
        "It is not independent then: leave them out of one of the two.",
        _among("known_patient", [False]),
    )
    yield Check(
        "sample_profile_not_in_cohort", "samples", "critical",
        "No sample of the external cohort has the expression of one in the cohort",
        "These are the same samples under other names: leave them out of one of the two.",
        _among("known_profile", [False]),
    )
    yield Check(
        "sample_profile_not_near_cohort", "samples", "warning",
        "No sample of the external cohort has nearly the expression of one in the cohort",
        "Are these the same samples, processed once more? Then leave them out of one of the two.",
        _among("near_profile", [False]),
    )


def _gene_checks(cohort: Cohort, params: ValidateParams, channels: list[str]) -> Iterator[Check]:
    yield Check(
        "gene_ids_unique", "genes", "critical",
        "Gene identifiers are unique",
        "Merge or rename the genes that share a name.",
        gxe.ExpectColumnValuesToBeUnique(column="gene"),
    )
    yield Check(
        "gene_ids_well_formed", "genes", "critical",
        "Gene identifiers begin with a letter or digit and hold no blanks",
        "Drop or name these genes; `?` and empty names come with some TCGA files.",
        gxe.ExpectColumnValuesToMatchRegex(column="gene", regex=r"^[A-Za-z0-9][^\s?]*$"),
    )
    yield Check(
        "gene_ids_no_dates", "genes", "warning",
        "No gene identifier is a date",
        "A spreadsheet turned names such as SEPT2 or MARCH1 into dates: use the original file.",
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="gene",
            regex=r"^(?i:\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
            r"|\d{4}-\d\d-\d\d.*)$",
        ),
    )
    yield Check(
        "gene_positions_known", "genes", "warning",
        "At least half of the genes have a known place in the human genome",
        "Use human gene symbols or Ensembl ids, or a layout other than `genomic`.",
        _among("has_position", [True], mostly=0.5),
    )
    for channel in channels:
        scale = cohort.scale if channel == "expression" else channel
        low, high = VALUE_LIMITS[scale]
        yield Check(
            f"gene_{channel}_finite", "genes", "critical",
            f"No {channel} value is infinite",
            "Replace infinite values; log2 of 0 makes them: use log2(x+1).",
            _between(f"{channel}_infinite", None, 0),
        )
        declared = f"declared as {scale}" if channel == "expression" else "values"
        yield Check(
            f"gene_{channel}_min", "genes", "critical",
            f"{channel.replace('_', ' ').capitalize()} {declared} is never below {low:,g}",
            _scale_remedy(scale, "low"),
            _between(f"{channel}_min", low, None),
        )
        yield Check(
            f"gene_{channel}_max", "genes", "critical",
            f"{channel.replace('_', ' ').capitalize()} {declared} is never above {high:,g}",
            _scale_remedy(scale, "high"),
            _between(f"{channel}_max", None, high),
        )
        yield Check(
            f"gene_{channel}_no_phenotype", "genes", "critical",
            f"No gene without a known place separates the classes by its {channel} alone "
            f"(AUC of {SEPARATES:g} or more)",
            "This is what the class, or a patient's survival, does among the genes: remove it.",
            _between(f"{channel}_separation", None, SEPARATES, strict_max=True),
        )
    if "expression" in channels:
        varying = 1 - params.max_constant_gene_fraction
        yield Check(
            "gene_varies", "genes", "warning",
            f"At least {varying:.0%} of the genes vary between samples",
            "Constant genes carry nothing; many of them hint at a failed join or a filtered table.",
            _between("expression_spread", 0, None, strict_min=True, mostly=varying),
        )
        if cohort.scale == "counts":
            yield Check(
                "gene_counts_whole", "genes", "warning",
                "Counts are whole numbers",
                "If these are RSEM or normalised values, declare `scale: rsem`.",
                _between("expression_fractional", None, 0),
            )
        if cohort.scale == "log2":
            yield Check(
                "gene_log2_not_negative", "genes", "warning",
                "log2(x+1) is never negative",
                "Another offset than 1, or standardised values: give log2(x+1) where you can.",
                _between("expression_min", 0, None, mostly=0.95),
            )


# fmt: on
def _scale_remedy(scale: str, side: Literal["low", "high"]) -> str:
    if scale == "log2":
        return {
            "low": "Give log2(x+1) of values that are not standardised.",
            "high": "These values are not logged: declare counts, rsem, tpm or fpkm.",
        }[side]
    if scale == "mutation":
        return "Encode mutation as 0 (wild type) to 1 (mutated), empty where not measured."
    if scale == "copy_number":
        return "Give log2(copies / 2), or GISTIC levels -2 to 2."
    return {
        "low": "If the values are logged, declare `scale: log2`; else look for a wrong column.",
        "high": "Look at the declared scale, and for a column that is no expression.",
    }[side]
