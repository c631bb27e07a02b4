"""Every data check: a cohort that passes it, and one that fails it and nothing else."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.core.params import CHANNELS, ValidateParams
from oncopixel.pages.assets import assets
from oncopixel.quality.checks import CheckReport, check_cohort, run_checks
from oncopixel.quality.facts import make_tables
from oncopixel.quality.page import render
from oncopixel.quality.suites import make_checks

PARAMS = ValidateParams(
    min_samples=50,
    min_class_size=20,
    max_missing_fraction=0.2,
    max_missing_difference=0.2,
    max_constant_gene_fraction=0.2,
    library_size_sd=5.0,
    zero_fraction_sd=5.0,
    max_outlier_fraction=0.05,
    max_batch_label_association=0.5,
)
SCALES = ("counts", "rsem", "tpm", "fpkm", "log2")
EXPRESSION = ("expression",)
N, G = 80, 60
"""Rows 0 to 39 are tumours, 40 to 79 the normals of the same 40 patients."""


def make_cohort(
    change: Callable[[dict], object] = lambda _: None, *, scale: str = "rsem"
) -> Cohort:
    """A sound labelled cohort, after `change` has had its way with the parts it is made of."""
    rng = np.random.default_rng(1)
    patients = [f"TCGA-05-{i:04d}" for i in range(N // 2)] * 2
    types = ["01"] * (N // 2) + ["11"] * (N // 2)
    names = [f"{patient}-{code}A" for patient, code in zip(patients, types, strict=True)]
    counts = rng.poisson(rng.lognormal(5, 1, size=G), size=(N, G)).astype(float)
    values = {
        "counts": counts,
        "log2": np.log2(counts + 1),
        "tpm": counts / counts.sum(axis=1, keepdims=True) * 1e6,
    }
    parts = {
        "expression": values.get(scale, counts * 1.01),
        "copy_number": rng.normal(0, 0.5, size=(N, G)),
        "mutation": (rng.random((N, G)) < 0.05).astype(float),
        "obs": pd.DataFrame(
            {
                "patient": patients,
                "sample_type": types,
                "batch": [f"batch {i % 3}" for i in range(N)],
                "site": [f"site {i % 4}" for i in range(N)],
                "label": ["tumour"] * (N // 2) + ["normal"] * (N // 2),
            },
            index=names,
        ),
        "genes": [f"GENE{i}" for i in range(G)],
        "chromosomes": ["1"] * (G - 1) + [""],
        "classes": ["normal", "tumour"],
        "keep": slice(None),
        "notes": ["3 samples dropped", "kept TCGA-05-0001-01A, the first of TCGA-05-0001."],
    }
    change(parts)
    obs = parts["obs"]
    genes = pd.DataFrame(
        {"ensembl_id": "", "chromosome": parts["chromosomes"], "start": 1}, index=parts["genes"]
    )
    frames = {
        channel: None
        if parts[channel] is None
        else pd.DataFrame(parts[channel], index=obs.index, columns=genes.index)
        for channel in CHANNELS
    }
    cohort = build_cohort(
        samples=obs, genes=genes, scale=scale, origin="A test.", notes=parts["notes"], **frames
    )
    cohort.data.uns["classes"] = np.array(parts["classes"], dtype=object)
    return cohort.take(np.arange(N)[parts["keep"]])


def check(cohort: Cohort, channels: Sequence[str] = EXPRESSION) -> CheckReport:
    return check_cohort(cohort, PARAMS, channels=list(channels), folds=5)


def failures(report: CheckReport) -> dict[str, int]:
    return {
        name: outcome["failed_rows"]
        for name, outcome in report.summary["checks"].items()
        if outcome["passed"] is False
    }


# What can be wrong with a cohort. Each returns how many rows must fail which checks for it.


def only_twelve_tumours(parts: dict) -> dict[str, int]:
    parts["keep"] = slice(12)
    return {
        "samples_enough": 1,
        "classes_enough": 1,
        "class_samples_enough": 2,
        "class_patients_enough": 1,
    }


def nine_patients(parts: dict) -> dict[str, int]:
    parts["obs"] = parts["obs"].set_axis([f"S{i}" for i in range(N)])
    parts["obs"]["patient"] = [f"P{i % 9}" for i in range(N)]
    return {"class_patients_enough": 2, "sample_not_repeated": N}


def positive_class_first(parts: dict) -> dict[str, int]:
    parts["classes"] = ["tumour", "normal"]
    return {"tumour_class_positive": 1}


def half_of_the_tumours_empty(parts: dict) -> dict[str, int]:
    for channel in CHANNELS:
        parts[channel][:20] = np.nan
    return (
        {f"{channel}_missing": 1 for channel in CHANNELS}
        | {f"{channel}_missing_same_in_classes": 1 for channel in CHANNELS}
        | {f"sample_has_{channel}": 20 for channel in CHANNELS}
    )


def mutations_of_tumours_only(parts: dict) -> dict[str, int]:
    parts["mutation"][40:] = np.nan
    return {"mutation_missing": 1, "mutation_missing_same_in_classes": 1, "sample_has_mutation": 40}


def copy_number_never_measured(parts: dict) -> dict[str, int]:
    parts["copy_number"] = None
    return {"copy_number_missing": 1, "sample_has_copy_number": N}


def logged_but_declared_rsem(parts: dict) -> dict[str, int]:
    parts["expression"] = np.log2(parts["expression"] + 1)
    return {"expression_not_logged": 1}


def classes_from_different_places(parts: dict) -> dict[str, int]:
    parts["obs"]["batch"] = parts["obs"]["label"] + " batch"
    parts["obs"]["site"] = parts["obs"]["label"] + " site"
    return {"batch_label_association": 1, "site_label_association": 1}


def broken_names(parts: dict) -> dict[str, int]:
    rename(parts, 3, "sample 3 ")
    parts["genes"][:3] = ["?", "1-Mar", "2024-09-02 00:00:00"]
    return {"sample_ids_well_formed": 1, "gene_ids_well_formed": 2, "gene_ids_no_dates": 2}


def genes_of_another_species(parts: dict) -> dict[str, int]:
    parts["chromosomes"] = [""] * 31 + ["1"] * 29
    return {"gene_positions_known": 31}


def patient_left_empty(parts: dict) -> dict[str, int]:
    parts["obs"].iloc[4, 0] = ""
    return {"sample_patient_known": 1, "sample_patient_agrees_with_barcode": 2}


def patient_column_holds_samples(parts: dict) -> dict[str, int]:
    parts["obs"]["patient"] = parts["obs"].index
    return {"sample_patient_agrees_with_barcode": N}


def two_aliquots(parts: dict) -> dict[str, int]:
    rename(parts, 11, "TCGA-05-0010-01B")
    parts["obs"].iloc[11, 0] = "TCGA-05-0010"
    return {"sample_not_repeated": 2}


def odd_sample_types(parts: dict) -> dict[str, int]:
    parts["obs"].iloc[12, 1] = "99"
    parts["obs"].iloc[13, 1] = "02"
    return {"sample_type_known": 1, "sample_type_agrees_with_barcode": 2}


def swapped_pair(parts: dict) -> dict[str, int]:
    parts["obs"].iloc[5, 4] = "normal"
    parts["obs"].iloc[45, 4] = "tumour"
    return {"sample_label_agrees_with_type": 2}


def label_of_no_class(parts: dict) -> dict[str, int]:
    parts["obs"].iloc[6, 4] = "unclear"
    return {"sample_label_known": 1}


def one_profile_twice(parts: dict) -> dict[str, int]:
    parts["expression"][7] = parts["expression"][8]
    return {"sample_profile_unique": 2}


def failed_libraries(parts: dict) -> dict[str, int]:
    parts["expression"][20:26] *= 0.01
    return {"sample_library_size": 6}


def few_failed_libraries(parts: dict) -> dict[str, int]:
    parts["expression"][20:24] *= 0.01
    return {}


def genes_lost(parts: dict) -> dict[str, int]:
    weak = parts["expression"].mean(axis=0).argsort()[:15]
    parts["expression"][26:32, weak] = 0
    return {"sample_zero_fraction": 6}


def counts_declared_tpm(parts: dict) -> dict[str, int]:
    parts["expression"] *= 2
    return {"sample_sum_plausible": N}


def impossible_values(parts: dict) -> dict[str, int]:
    limits = {"expression": (-1, 2e8), "copy_number": (-11, 11), "mutation": (-1, 2)}
    for channel, (low, high) in limits.items():
        for i, value in enumerate((np.inf, low, high)):
            parts[channel][i, i] = value
    return {
        f"gene_{channel}_{what}": 1 for channel in CHANNELS for what in ("finite", "min", "max")
    }


def unlogged_but_declared_log2(parts: dict) -> dict[str, int]:
    parts["expression"] = 100 * 2 ** parts["expression"]
    return {"gene_expression_max": G}


def the_class_among_the_genes(parts: dict) -> dict[str, int]:
    tumour = np.arange(N) < N // 2
    noise = np.random.default_rng(2).random(N)
    for channel in CHANNELS:
        parts[channel][:, G - 1] = tumour + noise * (channel == "expression")
    return {f"gene_{channel}_no_phenotype": 1 for channel in CHANNELS}


def channels_all_alike(parts: dict) -> dict[str, int]:
    parts["copy_number"][:] = 0.25
    parts["mutation"][:] = 0
    parts["mutation"][3, 4] = np.nan
    return {"copy_number_varies": 1, "mutation_varies": 1}


def standardised(parts: dict) -> dict[str, int]:
    parts["expression"] -= parts["expression"].mean(axis=0)
    return {"gene_log2_not_negative": G}


def constant_genes(parts: dict) -> dict[str, int]:
    parts["expression"][:, :13] = 100
    parts["expression"][:, 13] = np.nan
    return {"gene_varies": 14}


def not_whole(parts: dict) -> dict[str, int]:
    parts["expression"][0, :10] += 0.5
    return {"gene_counts_whole": 10}


def rename(parts: dict, row: int, name: str) -> None:
    parts["obs"] = parts["obs"].rename(index={parts["obs"].index[row]: name})


SICK: dict[str, tuple[str, Sequence[str], list[Callable[[dict], dict[str, int]]]]] = {
    "one class": ("rsem", EXPRESSION, [only_twelve_tumours]),
    "few patients": ("rsem", EXPRESSION, [nine_patients, positive_class_first]),
    "empty samples": ("rsem", CHANNELS, [half_of_the_tumours_empty]),
    "empty channels": ("rsem", CHANNELS, [mutations_of_tumours_only, copy_number_never_measured]),
    "logged": ("rsem", EXPRESSION, [logged_but_declared_rsem, classes_from_different_places]),
    "sample sheet": (
        "rsem",
        EXPRESSION,
        [
            broken_names,
            patient_left_empty,
            two_aliquots,
            odd_sample_types,
            swapped_pair,
            label_of_no_class,
        ],
    ),
    "no patients": ("rsem", EXPRESSION, [patient_column_holds_samples, genes_of_another_species]),
    "outliers": (
        "rsem",
        EXPRESSION,
        [one_profile_twice, failed_libraries, genes_lost, constant_genes],
    ),
    "tolerable": ("rsem", EXPRESSION, [few_failed_libraries]),
    "tpm": ("tpm", EXPRESSION, [counts_declared_tpm]),
    "impossible": ("rsem", CHANNELS, [impossible_values]),
    "phenotype": ("log2", CHANNELS, [the_class_among_the_genes]),
    "alike": ("rsem", CHANNELS, [channels_all_alike]),
    "not logged": ("log2", EXPRESSION, [unlogged_but_declared_log2]),
    "standardised": ("log2", EXPRESSION, [standardised]),
    "counts": ("counts", EXPRESSION, [not_whole]),
}
"""Cohorts by what is wrong with them: scale, channels, and changes that do not touch each other."""


@cache
def sick(name: str) -> tuple[Cohort, CheckReport, dict[str, int]]:
    """The cohort, its report, and the failures that it must have."""
    scale, channels, changes = SICK[name]
    expected: dict[str, int] = {}

    def change_all(parts: dict) -> None:
        for change in changes:
            expected.update(change(parts))

    cohort = make_cohort(change_all, scale=scale)
    return cohort, check(cohort, channels), expected


@pytest.mark.parametrize("scale", SCALES)
def test_a_sound_cohort_passes_every_check(scale: str) -> None:
    report = check(make_cohort(scale=scale), CHANNELS if scale == "rsem" else EXPRESSION)
    assert (report.critical, report.warnings) == ([], [])
    assert all(outcome["passed"] for outcome in report.summary["checks"].values())


@pytest.mark.parametrize("name", SICK)
def test_a_problem_fails_its_checks_and_no_other(name: str) -> None:
    _, report, expected = sick(name)
    assert failures(report) == expected


def test_identifiers_that_occur_twice_fail() -> None:
    """A `Cohort` refuses them already, so this looks at the tables."""
    cohort = make_cohort()
    tables = make_tables(cohort, ["expression"])
    tables = {name: tables[name] for name in ("samples", "genes")}
    tables["samples"].loc[1, "sample"] = tables["samples"].loc[0, "sample"]
    tables["genes"].loc[1, "gene"] = tables["genes"].loc[0, "gene"]
    checks = [
        check
        for check in make_checks(cohort, PARAMS, channels=["expression"], folds=5)
        if check.id in ("sample_ids_unique", "gene_ids_unique")
    ]
    findings = run_checks(tables, checks)
    assert {f.check.id: (f.passed, f.failed) for f in findings} == {
        "sample_ids_unique": (False, [0, 1]),
        "gene_ids_unique": (False, [0, 1]),
    }


def test_no_check_is_left_without_a_cohort_that_fails_it() -> None:
    every = {
        check.id
        for scale in SCALES
        for check in make_checks(make_cohort(scale=scale), PARAMS, channels=list(CHANNELS), folds=5)
    }
    failed = {check for name in SICK for check in sick(name)[2]}
    assert every - failed == {"sample_ids_unique", "gene_ids_unique"}


def test_severity_decides_what_stops_the_pipeline() -> None:
    _, report, _ = sick("impossible")
    assert (len(report.critical), len(report.warnings)) == (9, 0)
    _, report, _ = sick("outliers")
    assert (len(report.critical), len(report.warnings)) == (1, 3)
    assert report.summary["failed"] == {"critical": 1, "warning": 3}


def test_a_line_says_what_failed_how_many_rows_and_what_to_do() -> None:
    assert sick("outliers")[1].critical == [
        "No two patients have the same expression values: not so for 2 of 80 samples (rows 8, 9). "
        "One sample is here under two names and may end up in training and in test: drop one."
    ]
    for name, words in (
        ("empty samples", "At most 20% of the expression values are missing: found 25.0%. "),
        ("impossible", "not so for 1 of 60 genes (GENE1: -11). "),
        ("one class", "not so for 2 of 2 classes (normal: 0, tumour: 12). "),
        ("counts", "not so for 10 of 60 genes (GENE0: "),
    ):
        _, report, _ = sick(name)
        assert words in "\n".join(report.critical + report.warnings)


def test_summary_holds_the_sizes() -> None:
    _, report, _ = sick("empty channels")
    summary = report.summary
    assert (summary["n_samples"], summary["n_patients"], summary["n_genes"]) == (N, N // 2, G)
    assert summary["classes"] == {
        "normal": {"samples": 40, "patients": 40},
        "tumour": {"samples": 40, "patients": 40},
    }
    assert summary["missing_fraction"] == {"expression": 0.0, "copy_number": 1.0, "mutation": 0.5}
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("name", SICK)
def test_no_sample_or_patient_is_named(name: str) -> None:
    cohort, report, _ = sick(name)
    shown = "\n".join(
        [json.dumps(report.summary), html(report), *report.critical, *report.warnings]
    )
    names = {*cohort.samples.index, *cohort.patients} - {""}
    assert not [name for name in names if re.search(rf"\b{re.escape(name)}\b", shown)]
    assert report.summary["notes"] == ["3 samples dropped", "kept …, the first of …."]


def test_names_of_several_words_are_not_shown_either() -> None:
    data = make_cohort().data.copy()
    data.obs_names = [f"Ward 7/{i}" for i in range(N)]
    data.obs["patient"] = [f"(P) {i % 40}" for i in range(N)]
    data.uns["notes"] = ["1 cell is odd (Ward 7/3 'x')", "dropped: Ward 7/12, (P) 31, Ward 70"]
    shown = check(Cohort(data)).summary["notes"]
    assert shown == ["1 cell is odd (… 'x')", "dropped: …, …, Ward 70"]


def html(report: CheckReport) -> str:
    """The page without the style and scripts that every page has."""
    page = render("mine", report, simulated=False)
    shared = assets(plots=False)
    for part in (*shared.styles, *shared.scripts):
        assert part in page
        page = page.replace(f"<style>{part}</style>", "")
        page = page.replace(f'<script type="module">{part}</script>', "")
    assert "unsafe" not in shared.policy
    assert str(escape(shared.policy)) in page
    return page


def test_page_loads_nothing_and_runs_nothing_but_its_own() -> None:
    def markup_as_names(parts: dict) -> None:
        parts["obs"]["label"] = parts["obs"]["label"].replace("tumour", "<script>alert(1)</script>")
        parts["classes"] = ["normal", "<script>alert(1)</script>"]
        parts["genes"][1] = "G<script>1"
        parts["expression"][0, 1] = -1

    report = check(make_cohort(markup_as_names))
    assert failures(report) == {"gene_expression_min": 1}
    for page in (html(report), html(sick("impossible")[1])):
        assert not re.findall(r"<script|<link|<img|<iframe|\bsrc=|@import|url\(|https?:|//", page)
    assert "G&lt;script&gt;1" in html(report)


def test_page_has_every_check_of_every_suite() -> None:
    _, report, expected = sick("impossible")
    for title in ("The cohort as a whole", "Classes", "Samples", "Genes"):
        assert f"<h3>{title}</h3>" in html(report)
    body = html(report)
    states = [outcome["state"] for outcome in report.summary["checks"].values()]
    assert body.count('<tr class="failed">') == states.count("failed") == len(expected)
    assert body.count('<tr class="passed">') == states.count("passed")


def fingerprint(report: CheckReport) -> str:
    content = json.dumps(report.summary) + html(report) + "\n".join(report.critical)
    return hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.slow
def test_another_process_writes_the_same_bytes() -> None:
    code = (
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('checks_here', {str(Path(__file__))!r})\n"
        "here = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(here)\n"
        "print(here.fingerprint(here.sick('impossible')[1]))\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert other.stdout.strip() == fingerprint(sick("impossible")[1])


def test_normal_is_no_tissue_when_no_class_is_tumour() -> None:
    """The PAM50 subtype `Normal` is a class of tumours."""

    def pam50(parts: dict) -> None:
        parts["obs"]["label"] = np.random.default_rng(1).permutation(["Normal", "LumA"] * (N // 2))
        parts["classes"] = ["LumA", "Normal"]

    assert failures(check(make_cohort(pam50))) == {}


def without_barcodes(parts: dict) -> None:
    """A sheet of patients and labels only; copy number was never measured, all genes are known."""
    patients = [f"P{i}" for i in range(N)]
    parts["obs"] = (
        parts["obs"]
        .set_axis([f"S{i}" for i in range(N)])
        .assign(patient=patients, sample_type="", batch="same", site=["", "NA"] * (N // 2))
    )
    parts["copy_number"], parts["chromosomes"] = None, ["1"] * G


def test_a_check_with_nothing_to_check_is_not_applicable() -> None:
    report = check(make_cohort(without_barcodes), CHANNELS)
    by_state: dict[str, set[str]] = {}
    for name, outcome in report.summary["checks"].items():
        assert outcome["passed"] is {"passed": True, "failed": False}.get(outcome["state"])
        by_state.setdefault(outcome["state"], set()).add(name)
    assert by_state["not applicable"] == {
        *("batch_label_association", "site_label_association", "sample_type_known"),
        *("sample_type_agrees_with_barcode", "sample_patient_agrees_with_barcode"),
        *("sample_label_agrees_with_type", "copy_number_varies"),
        *("gene_copy_number_min", "gene_copy_number_max"),
        *(f"gene_{channel}_no_phenotype" for channel in CHANNELS),
    }
    assert report.summary["label_association"] == {"batch": None, "site": None}
    words = f"{len(by_state['not applicable'])} not applicable"
    assert words in html(report)
    assert html(report).count(">not applicable<") >= len(by_state["not applicable"])


# The external cohort


def external(change: Callable[[dict], object] = lambda _: None, *, scale: str = "log2") -> Cohort:
    """As `make_cohort`, of other patients."""

    def others(parts: dict) -> None:
        parts["obs"] = parts["obs"].set_axis([f"E{i}" for i in range(N)])
        parts["obs"]["patient"] = [f"D{i % (N // 2)}" for i in range(N)]
        parts["expression"] = parts["expression"][::-1] + 0.5
        change(parts)

    return make_cohort(others, scale=scale)


def check_both(other: Cohort, *, zscored: bool = True) -> CheckReport:
    return check_cohort(
        make_cohort(scale="log2"), PARAMS, channels=["expression", "mutation"], folds=5,
        external=other, zscored=zscored,
    )  # fmt: skip


def external_failures(report: CheckReport) -> dict[str, int]:
    assert failures(report) == {}
    return {
        name: outcome["failed_rows"]
        for name, outcome in report.summary["external"]["checks"].items()
        if outcome["passed"] is False
    }


def test_a_sound_external_cohort_passes_and_has_its_part_of_the_page() -> None:
    report = check_both(external())
    assert external_failures(report) == {}
    assert report.summary["failed"] == {"critical": 0, "warning": 0}
    assert "<h2>External cohort</h2>" in html(report)
    assert html(report).count("<h3>Genes</h3>") == 2
    assert check(make_cohort()).summary["external"] is None


def test_what_is_wrong_with_the_external_cohort_is_counted_and_named() -> None:
    def spoil(parts: dict) -> None:
        parts["expression"][0, 0] = 1e6
        parts["mutation"][:] = 0

    report = check_both(external(spoil))
    assert external_failures(report) == {"gene_expression_max": 1, "mutation_varies": 1}
    assert report.summary["failed"]["critical"] == 2
    assert all(line.startswith("external cohort: ") for line in report.critical)


def test_an_external_cohort_may_be_small_and_lack_a_channel() -> None:
    def small(parts: dict) -> None:
        parts["mutation"] = None
        parts["keep"] = np.r_[:6, 40:46]

    report = check_both(external(small))
    assert external_failures(report) == {"samples_enough": 1, "class_samples_enough": 2}
    assert report.critical == []
    assert list(report.summary["external"]["missing_fraction"]) == ["expression"]


@pytest.mark.parametrize(
    ("zscored", "expected"),
    [(True, {}), (False, {"gene_expression_min": 1, "gene_log2_not_negative": G})],
)
def test_standardised_expression_is_fine_where_it_is_aligned_by_z_scores(
    zscored: bool, expected: dict[str, int]
) -> None:
    def standardise(parts: dict) -> None:
        values = parts["expression"]
        parts["expression"] = (values - values.mean(axis=0)) / values.std(axis=0)
        parts["expression"][0, 0] = -15

    assert external_failures(check_both(external(standardise), zscored=zscored)) == expected


def test_a_sample_of_the_cohort_in_the_external_one_stops_the_pipeline() -> None:
    def copy(parts: dict) -> None:
        parts["expression"][4] = make_cohort(scale="log2").layer("expression")[7]
        parts["obs"].iloc[5, 0] = "tcga-05-0003"
        rename(parts, 6, "TCGA.05.0004.01B")

    report = check_both(external(copy))
    assert external_failures(report) == {
        "sample_patient_not_in_cohort": 2,
        "sample_profile_not_in_cohort": 1,
    }
    assert "(rows 5)" in report.critical[-1]
