"""The checks of a cohort as a page that loads nothing from anywhere."""

import re

from markupsafe import Markup, escape

from ..pages.assets import assets, environment
from ..pages.tables import Table
from .checks import CheckReport, Finding, Part

SUITE_TITLES = {
    "cohort": "The cohort as a whole",
    "classes": "Classes",
    "samples": "Samples",
    "genes": "Genes",
}


def render(name: str, report: CheckReport, *, simulated: bool) -> str:
    """The page as HTML text: what failed, sizes, and every check of the cohort called `name`."""
    page = environment(__package__).get_template("checks.html.j2")
    return page.render(
        assets=assets(plots=False),
        name=name,
        parts=[
            (part, _problems(part), _facts(part), [*_suites(part.findings)])
            for part in report.parts
        ],
        simulated=simulated,
    )


def _suites(findings: list[Finding]) -> list[Table]:
    """A table per suite, a row per check."""
    tables = []
    for suite, title in SUITE_TITLES.items():
        own = [finding for finding in findings if finding.check.table == suite]
        rows = [[_words(f.check.text), f.state, f.check.severity, f.found] for f in own]
        marks = [Markup(' class="{}"').format(f.state.replace(" ", "-")) for f in own]
        found = "found" if suite == "cohort" else "outside the limits"
        heads = ["check", "status", "severity", found]
        tables.append(Table(title, heads, rows, marks=marks))
    return tables


def _problems(part: Part) -> list[tuple[str, Markup]]:
    """Severity and text of every check that failed."""
    return [
        (finding.check.severity, _words(finding.line))
        for severity in ("critical", "warning")
        for finding in part.findings
        if finding.state == "failed" and finding.check.severity == severity
    ]


def _words(text: str) -> Markup:
    """`text` as HTML, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _facts(part: Part) -> dict[str, str]:
    """Sizes, by what they are called on the page."""
    summary = part.summary
    return {
        "samples": f"{summary['n_samples']:,}",
        "patients": f"{summary['n_patients']:,}",
        "genes": f"{summary['n_genes']:,}",
        "expression scale": part.scale,
        **{f"class {name}": f"{size['samples']:,}" for name, size in summary["classes"].items()},
        **{f"{name} missing": f"{x:.1%}" for name, x in summary["missing_fraction"].items()},
    }
