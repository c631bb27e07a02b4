"""Is this cohort fit to learn from? Every check of it, as an expectation about a tidy table.

The expectations look at the tables of `facts` only, never at the matrix, so 20,000 genes need no
more expectations than 20. A failed check of severity `critical` must stop the pipeline; a failed
`warning` is reported. A check whose column has no value has nothing to check.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from ..cohort.contract import Cohort
from ..core.params import MAX_LOG2, ValidateParams
from .facts import SEPARATES, Table, class_kind
from .limits import SEGMENT_LIMITS

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "module 'sre_", DeprecationWarning)
    import great_expectations
    from great_expectations.expectations.expectation import Expectation

gx: Any = great_expectations
gxe: Any = gx.expectations  # its names are not exported in a way that type checkers follow
Severity = Literal["critical", "warning"]

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

REMEDIES = {
    "log2": (
        "Give log2(x+1) of values that are not standardised.",
        "These values are not logged: declare counts, rsem, tpm or fpkm.",
    ),
    "mutation": ("Encode mutation as 0 (wild type) to 1 (mutated), empty where not measured.",),
    "copy_number": ("Give log2(copies / 2), or GISTIC levels -2 to 2.",),
}
OTHER_REMEDIES = (
    "If the values are logged, declare `scale: log2`; else look for a wrong column.",
    "Look at the declared scale, and for a column that is no expression.",
)
"""What to do about values below these limits, and above."""

MAX_LOST = 0.05
LOST = {
    "samples": "samples of the expression matrix have no row in the sample sheet",
    "expression_genes": "expression rows name no gene, or could be of several",
    "copy_number_samples": "samples of expression or copy number found no partner in the other",
    "copy_number_genes": "genes of expression or copy number found no partner in the other",
    "mutation_samples": "samples of expression or mutation found no partner in the other",
    "mutation_genes": "genes of expression or mutation found no partner in the other",
    "segments": "samples with segments have no row in the sample sheet",
    "case_list": "ids of the case list are of no sample of the study",
}
"""What `uns["losses"]` counts, in words; of two channels' the one that has fewer."""

OUTLYING = "Look at these samples: failed libraries, another protocol or another scale."
DATE = r"^(?i:\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|\d{4}-\d\d-\d\d.*)$"

LIBRARY_LIMITS = {"tpm": 1.05e6, "fpkm": 5e6}
"""Highest sum of one sample; TPM add up to a million by definition."""


@dataclass(frozen=True)
class Check:
    """One expectation about one table, and what it means to people."""

    id: str
    text: str
    """What holds when the check passes."""
    remedy: str
    expectation: Expectation
    table: Table
    severity: Severity

    @property
    def column(self) -> str:
        """Column of the table that the expectation is about."""
        return str(self.expectation.configuration.kwargs["column"])


class Rule(NamedTuple):
    """A check with blanks in its texts, for the facts of a cohort and the limits of params.yaml."""

    severity: Severity
    id: str
    text: str
    remedy: str
    expectation: Callable[[Any], Expectation]
    """By the same facts, as attributes."""
    when: Callable[[Any], Any] = lambda _: True
    """Whether it applies, by the same facts."""


critical, warning = partial(Rule, "critical"), partial(Rule, "warning")


def _between(column: str, low: float | None, high: float | None, **more: Any) -> Any:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, **more)


def _among(column: str, *values: Any, **more: Any) -> Any:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[*values], **more)


def _within(column: str, limit: float, mostly: float) -> Any:
    return _between(column, -limit, limit, mostly=mostly)


def _unique(column: str) -> Any:
    return gxe.ExpectColumnValuesToBeUnique(column=column)


def _like(column: str, regex: str) -> Any:
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=regex)


# fmt: off
RULES: dict[tuple[Table, str], list[Rule]] = {
    ("cohort", "once"): [
        critical("samples_enough", "There are at least {min_samples} samples",
            "Add samples, or lower validation.min_samples and accept wider intervals.",
            lambda f: _between("samples", f.min_samples, None)),
        critical("classes_enough", "At least two classes have samples",
            "Look at the label rule of the cohort: it puts every sample in one class.",
            lambda _: _between("classes", 2, None)),
        warning("tumour_class_positive", "The positive class, the last one, is `{tumour}`",
            "Set `positive: {tumour}`, or read sensitivity and markers the other way round.",
            lambda f: _among("last_class", f.tumour), lambda f: f.tumour),
    ],
    ("cohort", "channel"): [
        critical("{channel}_missing",
            "At most {max_missing_fraction:.0%} of the {channel} values are missing",
            "Take {channel} out of the cohort's channels, drop the samples that lack it, or raise "
            "validation.max_missing_fraction.",
            lambda f: _between(f"{f.channel}_missing", None, f.max_missing_fraction)),
        critical("{channel}_missing_same_in_classes",
            "The missing share of {channel} values differs by at most "
            "{max_missing_difference:.0%} between classes",
            "What is missing would give the label away: drop the samples that lack {channel}, or "
            "take it out of the cohort's channels.",
            lambda f: _between(f"{f.channel}_missing_gap", None, f.max_missing_difference)),
        critical("{channel}_varies", "The {channel} values are not all the same", "{all_alike}",
            lambda f: _between(f"{f.channel}_range", 0, None, strict_min=True),
            lambda f: f.channel != "expression"),
    ],
    ("cohort", "expression"): [
        critical("expression_not_logged", "Expression declared as {scale} is not on a log scale",
            "No value reaches {max_log2:g} and they are no whole numbers: if they are "
            "log2(x+1), set `scale: log2`.",
            lambda _: _among("looks_logged", False), lambda f: f.scale != "log2"),
    ],
    ("cohort", "loss"): [
        warning("{loss}_found", "At most {max_lost:.0%} of the {lost}",
            "Look at the ids on both sides, and at the notes of `ingest`: these data are lost.",
            lambda f: _between(f"{f.loss}_lost", None, f.max_lost)),
    ],
    ("cohort", "group"): [
        warning("{group}_label_association",
            "{title} and label are associated by a Cramér's V of at most "
            "{max_batch_label_association:g}",
            "The model may learn the {group} instead of the label: {other}keep only {groups} that "
            "hold all classes.",
            lambda f: _between(f"{f.group}_label_v", None, f.max_batch_label_association)),
    ],
    ("classes", "once"): [
        critical("class_samples_enough", "Every class has at least {min_class_size} samples",
            "Merge or leave out small classes (`classes`), or lower validation.min_class_size.",
            lambda f: _between("samples", f.min_class_size, None)),
        critical("class_patients_enough",
            "Every class has at least {two_each} patients, two for each of the {folds} folds",
            "Lower split.folds, or merge or leave out small classes (`classes`).",
            lambda f: _between("patients", f.two_each, None)),
    ],
    ("samples", "once"): [
        critical("sample_ids_unique", "Sample identifiers are unique",
            "Rename or merge the samples that share a name.", lambda _: _unique("sample")),
        critical("sample_ids_well_formed",
            "Sample identifiers are printable and have no blank at either end",
            "Mend the identifiers in the sample sheet and in the matrix.",
            lambda _: _like("sample", r"^[^\s](?:[^\t\r\n]*[^\s])?$")),
        critical("sample_patient_known", "The patient of every sample is known",
            "Fill in the patient column: without it one patient may end up in training and in "
            "test.",
            lambda _: _among("patient_known", True)),
        critical("sample_patient_agrees_with_barcode",
            "Samples whose TCGA barcodes name one patient have one patient",
            "Correct the patient column: as it is, one patient may end up in training and in test.",
            lambda _: _between("patients_of_barcode", None, 1)),
        warning("sample_not_repeated", "A patient has one sample of each type",
            "Keep one aliquot each, or accept that these patients weigh more.",
            lambda _: _unique("repeat_of")),
        warning("sample_type_known",
            "Sample types are TCGA codes: 01-09 tumour, 10-19 normal, 20-29 control",
            "Translate the sample type column to these codes, or leave it empty.",
            lambda _: _like("sample_type", r"^(?:0[1-9]|[12][0-9])$")),
        critical("sample_type_agrees_with_barcode", "Sample types agree with the TCGA barcodes",
            "Characters 14 and 15 of the barcode are the type; correct the sample sheet.",
            lambda _: _among("type_agrees_with_barcode", True)),
        critical("sample_label_known", "Every label is one of the classes",
            "Add the class to `classes`, or drop its samples.",
            lambda f: _among("label", *f.names)),
        critical("sample_label_agrees_with_type",
            "Tumour labels stand on tumour samples and normal labels on normal samples",
            "Tumour and normal are swapped for these samples: correct label or sample type.",
            lambda _: _among("label_agrees_with_type", True)),
    ],
    ("samples", "channel"): [
        critical("sample_has_{channel}", "Every sample has {channel} values",
            "Drop these samples.",
            lambda f: _between(f"{f.channel}_missing", None, 1, strict_max=True),
            lambda f: f.channel == "expression"),
        warning("sample_has_{channel}", "Every sample has {channel} values",
            "Drop these samples, or take their {channel} as average.",
            lambda f: _between(f"{f.channel}_missing", None, 1, strict_max=True),
            lambda f: f.channel != "expression"),
    ],
    ("samples", "expression"): [
        critical("sample_profile_unique", "No two patients have the same expression values",
            "One sample is here under two names and may end up in training and in test: drop one.",
            lambda _: _among("shares_profile", False)),
        warning("sample_library_size",
            "Library sizes (log2) of at least {inlying:.0%} of the samples are within "
            "{library_size_sd:g} robust SD of the median", OUTLYING,
            lambda f: _within("library_size_deviation", f.library_size_sd, f.inlying)),
        warning("sample_zero_fraction",
            "Shares of undetected genes of at least {inlying:.0%} of the samples are within "
            "{zero_fraction_sd:g} robust SD of the median", OUTLYING,
            lambda f: _within("zero_fraction_deviation", f.zero_fraction_sd, f.inlying)),
        warning("sample_sum_plausible",
            "The {capitals} values of a sample add up to at most {sum:,.0f}",
            "Look at the declared scale: these may be counts.",
            lambda f: _between("expression_library_size", None, f.sum), lambda f: f.sum),
    ],
    ("samples", "segments"): [
        warning("sample_{fact}", "At least {inlying:.0%} of the samples have {words}", "{remedy}",
            lambda f: _between(f.fact, f.lowest, f.highest, mostly=f.inlying)),
    ],
    ("genes", "once"): [
        critical("gene_ids_unique", "Gene identifiers are unique",
            "Merge or rename the genes that share a name.", lambda _: _unique("gene")),
        critical("gene_ids_well_formed",
            "Gene identifiers begin with a letter or digit and hold no blanks",
            "Drop or name these genes; `?` and empty names come with some TCGA files.",
            lambda _: _like("gene", r"^[A-Za-z0-9][^\s?]*$")),
        warning("gene_ids_no_dates", "No gene identifier is a date",
            "A spreadsheet turned names such as SEPT2 or MARCH1 into dates: use the original file.",
            lambda _: gxe.ExpectColumnValuesToNotMatchRegex(column="gene", regex=DATE)),
        warning("gene_positions_known",
            "At least half of the genes have a known place in the human genome",
            "Use human gene symbols or Ensembl ids, or a layout other than `genomic`.",
            lambda _: _among("has_position", True, mostly=0.5)),
    ],
    ("genes", "channel"): [
        critical("gene_{channel}_finite", "No {channel} value is infinite",
            "Replace infinite values; log2 of 0 makes them: use log2(x+1).",
            lambda f: _between(f"{f.channel}_infinite", None, 0)),
        critical("gene_{channel}_min", "No {channel} value is below {low:,g}", "{below}",
            lambda f: _between(f"{f.channel}_min", f.low, None)),
        critical("gene_{channel}_max", "No {channel} value is above {high:,g}", "{above}",
            lambda f: _between(f"{f.channel}_max", None, f.high)),
        critical("gene_{channel}_no_phenotype",
            "No gene without a known place separates the classes by its {channel} alone "
            "(AUC of {separates:g} or more)",
            "This is what the class, or a patient's survival, does among the genes: remove it.",
            lambda f: _between(f"{f.channel}_separation", None, f.separates, strict_max=True)),
    ],
    ("genes", "expression"): [
        warning("gene_varies", "At least {varying:.0%} of the genes vary between samples",
            "Constant genes carry nothing; many of them hint at a failed join or a filtered table.",
            lambda f: _between("expression_range", 0, None, strict_min=True, mostly=f.varying)),
        warning("gene_counts_whole", "Counts are whole numbers",
            "If these are RSEM or normalised values, declare `scale: rsem`.",
            lambda _: _between("expression_fractional", None, 0), lambda f: f.scale == "counts"),
        warning("gene_log2_not_negative", "log2(x+1) is never negative",
            "Another offset than 1, or standardised values: give log2(x+1) where you can.",
            lambda _: _between("expression_min", 0, None, mostly=0.95),
            lambda f: f.scale == "log2"),
    ],
}
"""By the table that they look at and what they are repeated for, see `_repeats`."""

INDEPENDENCE = [
    critical("sample_patient_not_in_cohort", "No patient of the external cohort is in the cohort",
        "It is not independent then: leave them out of one of the two.",
        lambda _: _among("known_patient", False)),
    critical("sample_profile_not_in_cohort",
        "No sample of the external cohort has the expression of one in the cohort",
        "These are the same samples under other names: leave them out of one of the two.",
        lambda _: _among("known_profile", False)),
    warning("sample_profile_not_near_cohort",
        "No sample of the external cohort has nearly the expression of one in the cohort",
        "Are these the same samples, processed once more? Then leave them out of one of the two.",
        lambda _: _among("near_profile", False)),
]
"""About the table `samples` of an external cohort."""
# fmt: on


def make_checks(
    cohort: Cohort, params: ValidateParams, *, channels: list[str], folds: int
) -> list[Check]:
    """Every check that applies to this cohort, with the limits of `params` in its words."""
    kinds = {class_kind(name): name for name in cohort.classes}
    both = len(cohort.classes) == 2 and kinds.keys() == {"tumour", "normal"}
    facts = params.model_dump() | {
        "names": cohort.classes, "tumour": kinds["tumour"] if both else "", "scale": cohort.scale,
        "capitals": cohort.scale.upper(), "sum": LIBRARY_LIMITS.get(cohort.scale), "folds": folds,
        "two_each": 2 * folds, "inlying": 1 - params.max_outlier_fraction,
        "varying": 1 - params.max_constant_gene_fraction, "max_lost": MAX_LOST,
        "max_log2": MAX_LOG2, "separates": SEPARATES,
    }  # fmt: skip
    repeats = _repeats(cohort, channels)
    return [
        check
        for (table, over), rules in RULES.items()
        for own in repeats[over]
        for check in _filled(table, rules, facts | own)
    ]


def _filled(table: Table, rules: Iterable[Rule], facts: Mapping[str, Any]) -> Iterator[Check]:
    """The checks of those rules that apply, the blanks in their words filled."""
    attributes = SimpleNamespace(**facts)
    for rule in rules:
        if rule.when(attributes):
            name, text, remedy = (part.format(**facts) for part in rule[1:4])
            yield Check(name, text, remedy, rule.expectation(attributes), table, rule.severity)


def _repeats(cohort: Cohort, channels: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What rules are repeated for, and the facts of each time."""
    return {
        "once": [{}],
        "expression": [{}] * ("expression" in channels),
        "channel": [_channel_facts(cohort, channel) for channel in channels],
        "loss": [{"loss": name, "lost": LOST[name]} for name in LOST if name in cohort.losses],
        "segments": [
            dict(zip(("fact", "lowest", "highest", "words", "remedy"), (name, *told), strict=True))
            for name, told in SEGMENT_LIMITS.items() if name in cohort.samples
        ],
        "group": [
            {"group": "batch", "title": "Batch", "groups": "batches", "other": ""},
            {
                "group": "site", "title": "Site", "groups": "sites",
                "other": "compare with `split.group_by: site`, or ",
            },
        ],
    }  # fmt: skip


def _channel_facts(cohort: Cohort, channel: str) -> dict[str, Any]:
    kind = cohort.scale if channel == "expression" else channel
    low, high = VALUE_LIMITS[kind]
    remedies = REMEDIES.get(kind, OTHER_REMEDIES)
    declared = f"declared as {kind}" if channel == "expression" else "values"
    return {
        "channel": channel, "low": low, "high": high, "below": remedies[0], "above": remedies[-1],
        "values": f"{channel.replace('_', ' ').capitalize()} {declared}",
        "all_alike": "Look at the words of its variant classes, at its sample ids and gene names: "
        "no mutation was found." if channel == "mutation"
        else f"Give measured values, or take {channel} out of the cohort's channels.",
    }  # fmt: skip


def make_external_checks(
    external: Cohort, params: ValidateParams, *, channels: list[str], zscored: bool
) -> list[Check]:
    """The checks of an external cohort: those of a cohort, and that it shares no sample with it."""
    # nothing is learnt from it: it may be small, with a warning, and needs no folds
    changes: dict[str, dict[str, Any]] = {
        name: {"severity": "warning"} for name in ("samples_enough", "class_samples_enough")
    }
    idle = {"class_patients_enough"}
    if zscored and external.scale == "log2":  # it may be standardised already
        low, high = VALUE_LIMITS["z-scores"]
        text = f"Expression as log2(x+1) or standardised is from {low:g} to {high:g}"
        for end, limits in {"min": (low, None), "max": (None, high)}.items():
            expectation = _between(f"expression_{end}", *limits)
            changes[f"gene_expression_{end}"] = {"text": text, "expectation": expectation}
        idle.add("gene_log2_not_negative")
    checks = make_checks(external, params, channels=channels, folds=1)
    own = [replace(check, **changes.get(check.id, {})) for check in checks if check.id not in idle]
    return own + list(_filled("samples", INDEPENDENCE, {}))
