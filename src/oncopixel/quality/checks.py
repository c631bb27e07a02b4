"""The checks of a cohort, run by Great Expectations, and what they found."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..cohort.barcodes import tcga_patient
from ..cohort.contract import Cohort
from ..core.params import ValidateParams
from ..pages.texts import NOTHING, Cell
from .facts import Table, likeness, make_tables
from .suites import Check, gx, make_checks, make_external_checks

RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "partial_unexpected_count": 0,
    "exclude_unexpected_values": True,
}
"""Positions of failing rows, but no values: those of the sample table are identifiers."""

_WORD = re.compile(r"\w[\w.-]*\w")


@dataclass(frozen=True)
class Finding:
    """How one check came out."""

    check: Check
    passed: bool | None
    """None: there was nothing to check, the check is not applicable."""
    rows: int
    failed: list[int]
    """Position of every row outside the limits, tolerated or not."""
    found: str
    """The value of the cohort, or the number of rows outside the limits."""
    line: str
    """In words: what, how many rows, which genes or classes (samples by row only), what to do."""

    @property
    def state(self) -> str:
        """`passed`, `failed` or `not applicable`."""
        return {True: "passed", False: "failed", None: "not applicable"}[self.passed]


@dataclass(frozen=True)
class Part:
    """What the checks found of one cohort."""

    title: str
    origin: str
    scale: str
    summary: dict[str, Any]
    findings: list[Finding]

    def failed(self, severity: str) -> list[str]:
        """A line per failed check of this severity."""
        start = f"{self.title}: " if self.title else ""
        return [
            f"{start}{finding.line}"
            for finding in self.findings
            if finding.passed is False and finding.check.severity == severity
        ]


@dataclass(frozen=True)
class CheckReport:
    """What the checks found, without any sample or patient identifier."""

    summary: dict[str, Any]
    """Counts, class sizes, missing fractions and one entry per check; `external` has the same of
    the external cohort, or is None; `failed` counts both."""
    parts: list[Part]
    """The cohort, and the external one."""
    critical: list[str]
    """What must be mended: one line per failed check of severity critical."""
    warnings: list[str]
    """What should be looked at: one line per failed check of severity warning."""


def check_cohort(
    cohort: Cohort,
    params: ValidateParams,
    *,
    channels: list[str],
    folds: int,
    external: Cohort | None = None,
    zscored: bool = True,
) -> CheckReport:
    """The report on a cohort of which `channels` are to be learnt, and on its `external` one."""
    checks = make_checks(cohort, params, channels=channels, folds=folds)
    parts = [_check("", cohort, make_tables(cohort, channels), checks, channels)]
    if external is not None:
        shared = [channel for channel in channels if channel in external.channels]
        tables = make_tables(external, shared)
        tables["samples"] = tables["samples"].join(likeness(external, cohort))
        checks = make_external_checks(external, params, channels=shared, zscored=zscored)
        parts.append(_check("external cohort", external, tables, checks, shared))
    critical, warned = (
        [line for part in parts for line in part.failed(severity)]
        for severity in ("critical", "warning")
    )
    summary = {
        **parts[0].summary,
        "failed": {"critical": len(critical), "warning": len(warned)},
        "external": parts[1].summary if external is not None else None,
    }
    return CheckReport(summary, parts, critical, warned)


def _check(
    title: str,
    cohort: Cohort,
    tables: dict[Table, pd.DataFrame],
    checks: list[Check],
    channels: list[str],
) -> Part:
    findings = run_checks(tables, checks)
    facts = tables["cohort"].iloc[0]
    association = {name: float(facts[f"{name}_label_v"]) for name in ("batch", "site")}
    summary = {
        "n_samples": int(facts["samples"]),
        "n_patients": int(facts["patients"]),
        "n_genes": int(facts["genes"]),
        "classes": {
            str(row["class"]): {"samples": int(row["samples"]), "patients": int(row["patients"])}
            for _, row in tables["classes"].iterrows()
        },
        "missing_fraction": {c: float(facts[f"{c}_missing"]) for c in channels},
        "label_association": {
            name: None if pd.isna(value) else value for name, value in association.items()
        },
        "checks": {
            f.check.id: {
                "state": f.state,
                "passed": f.passed,
                "severity": f.check.severity,
                "failed_rows": len(f.failed),
                "rows": f.rows,
            }
            for f in findings
        },
        "notes": _anonymous_notes(cohort),
    }
    origin = str(cohort.data.uns["origin"])
    scale = cohort.scale if "expression" in cohort.channels else "none"
    return Part(title, origin, scale, summary, findings)


def _anonymous_notes(cohort: Cohort) -> list[str]:
    """What ingest dropped or merged, with "…" for every sample and patient that is named."""
    named = {name for name in (*cohort.samples.index, *cohort.patients) if not name.isdigit()}
    of_several_words = [name for name in named if len(name) > 1 and not _WORD.fullmatch(name)]

    def masked(word: re.Match[str]) -> str:
        return "…" if word[0] in named or tcga_patient(word[0]) else word[0]

    notes = [str(note) for note in cohort.data.uns.get("notes", [])]
    for name in sorted(of_several_words, key=lambda name: (-len(name), name)):
        notes = [
            re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", note) if name in note else note
            for note in notes
        ]
    return [_WORD.sub(masked, note) for note in notes]


def run_checks(tables: dict[Table, pd.DataFrame], checks: list[Check]) -> list[Finding]:
    """One finding per check, in their order; a suite of Great Expectations per table."""
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    found: dict[str, Finding] = {}
    for table, frame in tables.items():
        own = {check.id: check for check in checks if check.table == table}
        suite = gx.ExpectationSuite(name=table)
        for check in own.values():
            suite.add_expectation(check.expectation.copy(update={"meta": {"id": check.id}}))
        batch = context.data_sources.pandas_default.read_dataframe(frame)
        for result in batch.validate(suite, result_format=RESULT_FORMAT).results:
            check = own[result.expectation_config.meta["id"]]
            found[check.id] = _finding(check, result, frame)
    return [found[check.id] for check in checks if check.id in found]


def _finding(check: Check, result: Any, frame: pd.DataFrame) -> Finding:
    if "unexpected_index_list" not in result.result:
        raise RuntimeError(f"check {check.id} could not be computed: {result.exception_info}")
    failed = [int(row) for row in result.result["unexpected_index_list"]]
    passed = bool(result.success) if frame[check.column].notna().any() else None
    found: str = Cell(f"{len(failed):,} of {len(frame):,} {check.table}", len(failed))
    if check.table == "cohort":
        found = _readable(frame[check.column].iloc[0], "%" in check.text)
    line = f"{check.text}: {_extent(check, failed, frame)}. {check.remedy}"
    return Finding(check, passed, len(frame), failed, NOTHING if passed is None else found, line)


def _extent(check: Check, failed: list[int], frame: pd.DataFrame) -> str:
    """How far a check is from true: the value found, or how many rows and which."""
    values = frame[check.column].iloc[failed[:5]]
    if check.table == "cohort":
        return "found " + ", ".join(_readable(value, "%" in check.text) for value in values)
    if check.table == "samples":  # by position, never by name
        named = "rows " + ", ".join(str(row + 1) for row in values.index)
    else:
        names = frame.iloc[:, 0]
        named = ", ".join(f"{names[row]}: {_readable(value)}" for row, value in values.items())
    more = ", …" if len(failed) > len(values) else ""
    return f"not so for {len(failed):,} of {len(frame):,} {check.table} ({named}{more})"


def _readable(value: Any, percent: bool = False) -> str:
    if isinstance(value, float):
        return f"{value:.1%}" if percent else f"{value:.3g}"
    return str(value)
