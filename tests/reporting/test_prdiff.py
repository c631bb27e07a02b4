"""What a change does to the results is said rightly, and nothing hostile gets through."""

import copy
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.reporting.prdiff import (
    MAX_BYTES,
    NumbersError,
    Sources,
    collect,
    compare,
    deviations,
    main,
    parse_numbers,
    portable,
    render,
)
from oncopixel.reporting.prdiff.compare import (
    BETTER,
    EQUAL,
    GONE,
    INCONSISTENT,
    NEW,
    NO_INTERVAL,
    NOISE,
    WORSE,
)
from oncopixel.reporting.prdiff.markdown import MAX_MARKDOWN
from oncopixel.reporting.prdiff.numbers import _checks
from oncopixel.reporting.verdict import PARTS, judge

SOURCE = Path(__file__).parents[2] / "src"


def cohort(auc=0.8, brier=0.2, *, shift=0.0, width=0.03, pairing="ab" * 8, **changes):
    """The numbers of one cohort; draws are the same on every call, moved by `shift`."""
    noise = np.random.default_rng(1).normal(0, width, 500)
    scores = {
        "test_roc_auc": {"value": auc, "low": auc - 0.06, "high": auc + 0.06},
        "test_brier": {"value": brier, "low": brier - 0.03, "high": brier + 0.03},
        "test_ece": {"value": 0.05},
    }
    found = {
        "scores": scores,
        "draws": {
            "test_roc_auc": [round(auc + shift + e, 5) for e in noise],
            "test_brier": [round(brier - shift + e, 5) for e in noise],
        },
        "pairing": {"cv": pairing, "test": pairing},
        "checks": {"ids": {"passed": True, "severity": "critical", "failed_rows": 0}},
        "genes": ["TP53", "HLA-A", "KEAP1"],
        "params": {"train.seed": 1, "train.model": "hybrid", "report.tolerance": 0.01},
        "verdict": "signal",
    }
    return found | changes


def numbers(**cohorts):
    return {
        "format": 1,
        "cohorts": cohorts or {"luad": cohort()},
        "packages": {"numpy": "2.4.6"},
        "files": {"dvc.lock": "0" * 64},
    }


def marks(base, head):
    return {row["score"]: row["mark"] for row in compare(numbers(c=base), numbers(c=head))["c"]}


def test_a_score_is_marked_only_when_its_whole_interval_clears_the_tolerance() -> None:
    assert marks(cohort(0.80), cohort(0.85))["test_roc_auc"] == BETTER
    assert marks(cohort(0.80), cohort(0.75))["test_roc_auc"] == WORSE
    assert marks(cohort(0.80), cohort(0.809))["test_roc_auc"] == NOISE
    assert marks(cohort(0.80), cohort(0.80))["test_roc_auc"] == EQUAL


def test_lower_is_better_for_brier() -> None:
    assert marks(cohort(brier=0.2), cohort(brier=0.1))["test_brier"] == BETTER
    assert marks(cohort(brier=0.1), cohort(brier=0.2))["test_brier"] == WORSE


def test_a_score_without_an_interval_is_never_marked() -> None:
    head = cohort()
    head["scores"]["test_ece"] = {"value": 0.5}
    assert marks(cohort(), head)["test_ece"] == NO_INTERVAL


def test_paired_draws_give_a_narrow_interval_and_other_patients_a_wide_one() -> None:
    paired = compare(numbers(c=cohort(0.80)), numbers(c=cohort(0.83)))["c"][0]
    other = compare(numbers(c=cohort(0.80)), numbers(c=cohort(0.83, pairing="cd" * 8)))["c"][0]
    assert paired["paired"]
    assert paired["interval"] == pytest.approx((0.03, 0.03))
    assert not other["paired"]
    assert other["interval"] == pytest.approx((0.03 - 0.06 * 2**0.5, 0.03 + 0.06 * 2**0.5))
    assert other["mark"] == NOISE
    assert "¹" in render(numbers(c=cohort(0.8)), numbers(c=cohort(0.83, pairing="cd" * 8)))


def test_the_interval_is_the_percentile_interval_of_the_paired_differences() -> None:
    base, head = cohort(), cohort()
    differences = np.random.default_rng(2).normal(0.1, 0.02, 500)
    drawn = np.array(base["draws"]["test_roc_auc"])
    head["draws"]["test_roc_auc"] = list(drawn + differences)
    found = compare(numbers(c=base), numbers(c=head))["c"][0]["interval"]
    assert found == pytest.approx(np.quantile(differences, [0.025, 0.975]))


def test_draws_without_a_value_are_left_out_of_both_sides() -> None:
    base, head = cohort(0.8), cohort(0.9)
    base["draws"]["test_roc_auc"][0] = head["draws"]["test_roc_auc"][1] = None
    assert marks(base, head)["test_roc_auc"] == BETTER


def test_a_score_that_came_or_went_is_counted() -> None:
    without = cohort()
    del without["scores"]["test_roc_auc"]
    assert marks(cohort(), without)["test_roc_auc"] == GONE
    assert marks(without, cohort())["test_roc_auc"] == NEW
    text = render(numbers(c=cohort()), numbers(c=without))
    assert "\n**0 better · 0 worse · 2 within noise · 1 GONE**\n" in text
    assert "| test ROC AUC | 0.8000 | n/a | n/a | gone |" in text
    nothing = numbers(c=cohort(scores={}, draws={}))
    assert render(nothing, nothing).startswith("**Nothing to compare**")


def test_a_change_of_a_score_without_interval_is_counted() -> None:
    head = cohort()
    head["scores"]["test_ece"] = {"value": 0.5}
    text = render(numbers(c=cohort()), numbers(c=head))
    assert "\n**0 better · 0 worse · 2 within noise · 1 without interval**\n" in text


@pytest.mark.parametrize("value", [0.5, 0.8])
def test_a_value_that_its_draws_contradict_is_not_marked_as_good_or_bad(value: float) -> None:
    head = cohort(value, shift=0.9 - value)
    assert marks(cohort(0.8), head)["test_roc_auc"] == INCONSISTENT
    assert "INCONSISTENT" in render(numbers(c=cohort(0.8)), numbers(c=head))


def test_only_what_ran_is_called_reproduced() -> None:
    both = numbers(a=cohort(), b=cohort())
    text = render(both, both, run={"reproduced": True, "cohorts": ["a"]})
    assert text == "**No score changed (6 compared) · reproduced (not run: b)**\n"


def test_verdicts_come_before_counts_and_scores_but_after_an_alarm() -> None:
    base = numbers(a=cohort(), b=cohort())
    head = numbers(a=cohort(0.9), b=cohort(0.7))
    lines = render(base, head, run={"reproduced": True}).splitlines()
    assert lines[0] == "#### a"
    counted = lines.index("**1 better · 1 worse · 4 within noise · reproduced**")
    assert lines.index("#### b") < counted < lines.index("Scores of `a`:")
    alarm = render(base, head, run={"reproduced": False}).splitlines()[0]
    assert alarm == "**NOT reproduced**"


def test_nothing_changed_is_one_line() -> None:
    same = numbers()
    assert render(same, same, run={"reproduced": True}) == (
        "**No score changed (3 compared) · reproduced**\n"
    )


def test_tiny_differences_keep_their_digits() -> None:
    base, head = cohort(), cohort()
    for side, value in ((base, 1e-8), (head, 3e-8)):
        side["scores"]["test_ece"] = {"value": value}
    text = render(numbers(c=base), numbers(c=head))
    assert "| test ECE | 1e-08 | 3e-08 | +2e-08 |" in text


def test_what_else_changed_is_folded_below() -> None:
    after = cohort(0.9, genes=["TP53", "STK11"], verdict="inconclusive")
    after["checks"] = {"ids": {"passed": False, "severity": "critical", "failed_rows": 3}}
    after["params"] = after["params"] | {"train.seed": 2}
    head = numbers(luad=after) | {"packages": {"numpy": "2.5.0"}, "files": {"dvc.lock": "1" * 64}}
    run = {"image_bytes": 2_310_000_000, "dvc_lock_identical": False}
    text = render(numbers(), head, run=run)
    for said in (
        "**Now:** Not settled: better than chance in cross-validation",
        "**Before:** Yes: patients whom the network never saw are told apart.",
        "`ids`: passed → **failed** (critical, 3 rows)",
        "`train.seed`: `1` → `2`",
        "- Listed genes: 3 → 2; came `STK11`; went `HLA-A`, `KEAP1`",
        "`numpy`: `2.4.6` → `2.5.0`",
        "Changed: `dvc.lock`",
        "<sub>The image has 2.31 GB. `dvc.lock` came out differently",
    ):
        assert said in text
    assert text.count("<details>") == text.count("</details>") == 3
    order = ["**Now:**", "Listed genes", "| metric |", "Data checks"]
    assert sorted(order, key=text.index) == order


def test_checks_without_a_question_and_of_the_external_cohort_are_told_apart() -> None:
    idle = {"passed": None, "severity": "critical", "failed_rows": 0}
    good = {"passed": True, "severity": "critical", "failed_rows": 0}
    told = _checks({"checks": {"ids": good}, "external": {"checks": {"ids": idle}}})
    assert told == {"ids": good, "external_ids": idle}
    assert _checks({"checks": {"ids": good}, "external": None}) == {"ids": good}
    assert _checks({}) == {}
    text = render(numbers(c=cohort()), numbers(c=cohort() | {"checks": told}))
    assert "`external_ids`: absent → not applicable" in text


def test_a_cohort_that_came_or_went_is_said() -> None:
    text = render(numbers(old=cohort()), numbers(new=cohort()))
    assert "`old` is gone" in text
    assert "`new` is new" in text


def test_links_and_pictures_only_where_the_files_are_known() -> None:
    base, head = numbers(c=cohort()), numbers(c=cohort(0.9))
    assert "](" not in render(base, head)
    page, before, after = "https://git.example.org/o/r", "b" * 40, "a" * 40
    text = render(base, head, sources=Sources(page, before, after, f"{page}/runs/7"))
    assert f"[before]({page}/tree/{before}/reports/c)" in text
    assert f"[this change]({page}/tree/{after}/reports/c)" in text
    assert f"artifact `reports` of its [run]({page}/runs/7)." in text
    assert f"![roc]({page}/raw/{after}/reports/c/figures/evaluate/roc.png)" in text
    fork = render(base, head, sources=Sources(page, before, None))
    assert f"[before]({page}/tree/{before}/reports/c)" in fork
    assert after not in fork
    assert "![" not in fork


def evaluated(auc: float = 0.9, low: float = 0.8) -> dict:
    """What sentences are made of."""

    def area(value: float, low: float, high: float) -> dict:
        return {part: {"roc_auc": {"value": value, "low": low, "high": high}} for part in PARTS}

    return {
        "best_baseline": "random_forest",
        "models": {"cnn": area(auc, low, 0.95), "random_forest": area(0.8, 0.7, 0.9)},
        "cnn_minus": {"random_forest": area(auc - 0.8, min(auc - 0.8, 0.02), 0.2)},
        "data": {"cv": {"patients": 300}, "test": {"patients": 100}},
        "permutation_p": {"test": 0.001},
    }


def test_the_verdict_is_told_as_the_report_has_it() -> None:
    head = cohort(0.9, evaluation=evaluated())
    text = render(numbers(c=cohort()), numbers(c=head))
    told = judge(head["evaluation"] | {"verdict": "signal"}, {}, {})
    sentences = f"{told.answer} {told.numbers} {told.told['Against simpler models']}"
    assert f"#### c\n\n{sentences}\n" in text
    assert "**Before:**" not in text


def test_markers_alone_are_a_change() -> None:
    base = cohort(regions=["loss 13q12.3"], panel=["TP53"], listed=900)
    head = cohort(regions=["loss 13q12.3", "gain 8q24"], panel=["KRAS"], listed=901)
    text = render(numbers(c=base, d=cohort()), numbers(c=head, d=cohort()))
    assert "- Listed genes: 900 → 901\n" in text
    assert "- Regions: 1 → 2; came `gain 8q24`\n" in text
    assert "- Panel: 1; came `KRAS`; went `TP53`\n" in text
    assert "No score changed.\n" in text
    assert "`d`: nothing changed." in text


def test_of_many_markers_the_first_are_named() -> None:
    head = cohort(genes=[f"G{i}" for i in range(500)], listed=700)
    text = render(numbers(c=cohort()), numbers(c=head))
    assert "3 → 700, the first 500; came `G0`, `G1`" in text
    assert "`G7` and 492 more; went `TP53`" in text


def test_the_picture_has_what_is_better_on_the_right() -> None:
    text = render(numbers(c=cohort(0.8, 0.2)), numbers(c=cohort(0.9, 0.15)))
    rows = {
        line.split(" | ")[0]: line.split("`")[1::2] for line in text.splitlines() if "●" in line
    }
    assert rows == {"| test ROC AUC": ["·" * 10 + "│" + "·" * 9 + "●"],
                    "| test brier": ["·" * 10 + "│····●·····"]}  # fmt: skip


def test_a_long_text_is_cut_between_lines_with_its_folds_closed() -> None:
    head = numbers()
    head["packages"] = {f"package-{i}": "1.0" for i in range(2000)}
    text = render(numbers(), head)
    assert len(text) <= MAX_MARKDOWN
    assert text.count("<details>") == text.count("</details>")
    assert "Cut here" in text


# --- what comes from outside ---------------------------------------------------------------


def test_own_numbers_pass_the_gate_unchanged() -> None:
    markers = {"regions": ["gain 8q24.21-8q24.3"], "panel": ["TP53"], "listed": 3}
    mine = numbers(luad=cohort(evaluation=evaluated(), **markers))
    mine |= {"run": {"reproduced": True, "image_bytes": 5}}
    assert parse_numbers(json.dumps(mine).encode()) == mine


def put(path, value):
    """Own numbers with one place changed; a path part `+x` adds or renames a key."""
    made = copy.deepcopy(numbers() | {"run": {"reproduced": True}})
    spot = made
    for part in path[:-1]:
        spot = spot[part]
    spot[path[-1]] = value
    return json.dumps(made).encode()


LUAD = ("cohorts", "luad")
HOSTILE = {
    "html in a gene": put((*LUAD, "genes"), ["<img src=x onerror=alert(1)>"]),
    "mention in a gene": put((*LUAD, "genes"), ["@everyone"]),
    "link in a gene": put((*LUAD, "genes"), ["[x](https://evil.example)"]),
    "too many genes": put((*LUAD, "genes"), ["A"] * 501),
    "mention as a region": put((*LUAD, "regions"), ["gain @all"]),
    "text as a region": put((*LUAD, "regions"), ["gain of function"]),
    "link in a panel": put((*LUAD, "panel"), ["[x](https://evil.example)"]),
    "text as the number of genes": put((*LUAD, "listed"), "many"),
    "sentence as a model": put((*LUAD, "evaluation"), evaluated() | {"best_baseline": "@all"}),
    "model without scores": put((*LUAD, "evaluation"), evaluated() | {"best_baseline": "panel"}),
    "verdict of one's own": put((*LUAD, "evaluation"), evaluated() | {"verdict": "signal"}),
    "text as patients": put(
        (*LUAD, "evaluation"), evaluated() | {"data": {p: {"patients": "all"} for p in PARTS}}
    ),
    "no number as an area": put((*LUAD, "evaluation"), evaluated(auc=math.nan)),
    "area above 1": put((*LUAD, "evaluation"), evaluated(auc=2)),
    "area outside its interval": put((*LUAD, "evaluation"), evaluated(low=0.94)),
    "network as the best baseline": put(
        (*LUAD, "evaluation"), evaluated() | {"best_baseline": "cnn"}
    ),
    "newline in a gene": put((*LUAD, "genes"), ["TP53\n# owned"]),
    "trailing newline in a gene": put((*LUAD, "genes"), ["TP53\n"]),
    "markdown in a parameter's name": put((*LUAD, "params"), {"a|b": 1}),
    "back-tick in a parameter": put((*LUAD, "params"), {"a": "`</code>"}),
    "mention in a parameter": put((*LUAD, "params"), {"a": "@maintainer"}),
    "issue reference in a parameter": put((*LUAD, "params"), {"a": "fixes #1"}),
    "a list in a parameter": put((*LUAD, "params"), {"a": [1]}),
    "cohort named by a path": put(("cohorts", "../../etc"), cohort()),
    "unknown score": put((*LUAD, "scores", "test_vibes"), {"value": 1}),
    "text as a score": put((*LUAD, "scores", "test_ece"), {"value": "good"}),
    "true as a score": put((*LUAD, "scores", "test_ece"), {"value": True}),
    "score without value": put((*LUAD, "scores", "test_ece"), {}),
    "unknown key at the top": put(("markdown",), "# hi"),
    "unknown key in a cohort": put((*LUAD, "html"), "x"),
    "unknown run fact": put(("run", "comment"), "x"),
    "mention as a cohort that ran": put(("run", "cohorts"), ["@all"]),
    "negative seconds": put(("run", "seconds"), -1),
    "score beyond any scale": put((*LUAD, "scores", "test_ece"), {"value": 2.5}),
    "negative failed rows": put(
        (*LUAD, "checks", "ids"), {"passed": True, "severity": "info", "failed_rows": -1}
    ),
    "text as a run fact": put(("run", "reproduced"), "yes"),
    "number as a boolean": put(("run", "reproduced"), 1),
    "unknown severity": put(
        (*LUAD, "checks", "ids"), {"passed": True, "severity": "<b>", "failed_rows": 0}
    ),
    "number as whether a check passed": put(
        (*LUAD, "checks", "ids"), {"passed": 1, "severity": "info", "failed_rows": 0}
    ),
    "text as failed rows": put(
        (*LUAD, "checks", "ids"), {"passed": True, "severity": "info", "failed_rows": "1"}
    ),
    "unknown verdict": put((*LUAD, "verdict"), "approved by the maintainers"),
    "digest of other letters": put((*LUAD, "pairing", "cv"), "z" * 16),
    "unknown file": put(("files", "../secret"), "0" * 64),
    "markdown in a version": put(("packages", "numpy"), "[1](x)"),
    "another format": put(("format",), 2),
    "format true": put(("format",), True),
    "scores of 10 MB": put((*LUAD, "params"), {"a" * 10_000_000: 1}),
    "one long key": put((*LUAD, "params"), {"a" * 65: 1}),
    "one long text": put((*LUAD, "params"), {"a": "b" * 129}),
    "too many draws": put((*LUAD, "draws", "test_ece"), [0.5] * 5001),
    "NaN": put((*LUAD, "scores", "test_ece"), {"value": math.nan}),
    "infinity": put((*LUAD, "draws", "test_roc_auc"), [math.inf]),
    "1e999": put(("format",), 1).replace(b'"value": 0.05', b'"value": 1e999'),
    "a number of 300 digits": put((*LUAD, "scores", "test_ece"), {"value": 1e300}),
    "endless integer": put(("format",), 1).replace(b'"value": 0.05', b'"value": ' + b"9" * 5000),
    "duplicate key": put(("format",), 1).replace(b'"format": 1', b'"format": 1, "format": 1'),
    "deep nesting": b"[" * 100_000,
    "a list": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "nothing": b"",
    "no UTF-8": b"\xff\xfe{}",
    "no JSON": b"<html></html>",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_hostile_gets_through(what: str) -> None:
    with pytest.raises(NumbersError) as refused:
        parse_numbers(HOSTILE[what])
    assert len(str(refused.value)) < 200
    assert not re.search(r"[<>@`#\n]", str(refused.value))


def test_more_bytes_than_allowed_are_not_even_parsed() -> None:
    with pytest.raises(NumbersError, match="bytes"):
        parse_numbers(b" " * (MAX_BYTES + 1))


def test_whatever_passes_the_gate_is_rendered() -> None:
    for value, low in ((0.95, 0.95), (0, 0), (0.9, 0.9), (5e-324, 0)):
        for verdict in ("signal", "no signal", "inconclusive"):
            odd = numbers(c=cohort(evaluation=evaluated(value, low), verdict=verdict, listed=None))
            assert "#### c" in render(
                numbers(c=cohort(0.9)), parse_numbers(json.dumps(odd).encode())
            )


def test_unusual_names_pass_the_gate_as_digests() -> None:
    made = numbers(
        luad=cohort(
            genes=["TP53", "größe|x"], regions=["gain weird`"], panel=["größe|x"],
            params={"label": "column:`Größe`", "a": 1},
        )
    )  # fmt: skip
    passed = parse_numbers(json.dumps(portable(made)).encode())["cohorts"]["luad"]
    assert passed["genes"][0] == "TP53"
    for odd in (passed["genes"][1], passed["regions"][0], passed["panel"][0]):
        assert odd.startswith("sha256-")
    assert passed["params"]["label"].startswith("sha256-")
    assert passed["params"]["a"] == 1


# --- reproduced? ---------------------------------------------------------------------------


def test_scores_within_the_tolerance_are_reproduced() -> None:
    assert deviations(numbers(c=cohort(0.8)), numbers(c=cohort(0.8095)), ["c"]) == []


def test_each_deviation_is_named() -> None:
    found = cohort(0.82, verdict="inconclusive", checks={})
    committed, made = numbers(c=cohort(0.8), d=cohort(), f=cohort()), numbers(c=found, e=cohort())
    lines = deviations(committed, made, "cde")
    text = "\n".join(lines)
    assert "c: test_roc_auc is 0.8200, committed 0.8000 (tolerance 0.01)" in text
    assert "c: verdict" in text
    assert "c: checks" in text
    assert "d: no results made" in text
    assert "e: no results committed" in text
    assert len(lines) == 5


def listed(**changes):
    """A marker list of 100 genes of which the first 30 are selected; `changes` by gene."""
    rows = [
        {
            "rank": str(i), "gene": f"G{i}", "channel": "expression", "class": "case",
            "direction": "up", "effect": str(1 - i / 100), "q_beyond": "0.03",
            "q_associated": "0.05", "selected": str(i < 30), "discovered_as": "gene",
            "unit": f"G{i}", "module": "M1",
        }
        for i in range(100)
    ]  # fmt: skip
    kept = [row | changes.pop(row["gene"], {}) for row in rows if changes.get(row["gene"]) != ""]
    return kept + [rows[0] | {"gene": gene} | row for gene, row in changes.items() if row != ""]


def results(markers=None, modules=None, **counts):
    return {
        "biomarkers.csv": listed() if markers is None else markers,
        "units.csv": [
            {"level": "gene", "channel": "expression", "name": "A", "genes": "A B"}
            | {"q_value": "0.01"}
        ],
        "modules.csv": modules or [
            {"module": "M1", "class": "case", "leading_genes": "A B", "effect": "0.3"},
        ],
        "two_hits.csv": None,
        "regions.csv": None,
        "counts": {"list": {"selected": 30, "by": {"gene": 30}}, "modules": {"n": 1}} | counts,
    }  # fmt: skip


SAME = {
    "all": results(),
    "a number within the tolerance": results(listed(G3={"effect": "0.975", "q_beyond": "0.035"})),
    "a gene cut off at the end": results(listed(G99="", H1={"selected": "False"})),
    "leading genes in another order": results(
        modules=[{"module": "M1", "class": "case", "leading_genes": "B A", "effect": "0.3"}]
    ),
    "a count within 1 %": results(list={"selected": 30.2, "by": {"gene": 30}}),
}
OTHER = {
    "an invented gene": (results(listed(FAKE1={"rank": "5"})), "not committed: FAKE1 expression"),
    "a gene less": (results(listed(G7="")), "not made: G7 expression"),
    "a gene in another's place": (
        results([row | {"gene": row["gene"].replace("G5", "H5")} for row in listed()]),
        "not committed: H5 expression, H50 expression, H51 expression, H52 expression, "
        "H53 expression and 6 more (overlap 0.802)",
    ),
    "a gene twice": (results([*listed(), listed()[0]]), "G0 expression stands twice"),
    "a selected gene at the end": (
        results(listed(G99={"selected": "True"})), "expression: selected is",
    ),
    "another effect": (
        results(listed(G3={"effect": "0.9"})), "expression: effect is 0.9, committed 0.97",
    ),
    "another q": (results(listed(G3={"q_beyond": "0.06"})), "G3 expression: q_beyond is 0.06"),
    "a q that is none": (results(listed(G3={"q_beyond": "nan"})), "G3 expression: q_beyond is nan"),
    "no q": (
        results(listed(G3={"q_associated": ""})), "expression: q_associated is , committed 0.05",
    ),
    "another channel": (
        results(listed(G3={"channel": "mutation"})), "not committed: G3 mutation",
    ),
    "another direction": (
        results(listed(G3={"direction": "down"})), "expression: direction is down",
    ),
    "another module": (results(listed(G3={"module": "M2"})), "G3 expression: module is M2"),
    "a module's gene": (
        results(modules=[results()["modules.csv"][0] | {"leading_genes": "A C"}]),
        "modules.csv: M1: leading_genes is A C",
    ),
    "a module less": (results(modules=[{"module": "M2"}]), "modules.csv: not made: M1"),
    "no list": (results([]), "and 90 more (overlap 0.000)"),
    "no table": (results() | {"units.csv": None}, "units.csv is not made"),
    "a new table": (results() | {"two_hits.csv": []}, "two_hits.csv is not committed"),
    "another count": (
        results(list={"selected": 31, "by": {"gene": 30}}), "biomarkers.json: list is",
    ),
    "another summary of modules": (results(modules=None) | {
        "counts": {"list": {"selected": 30, "by": {"gene": 30}}, "modules": {"n": 2}}
    }, "biomarkers.json: modules is"),
}  # fmt: skip


def told(found) -> list[str]:
    sides = (numbers(c=cohort(results=one)) for one in (results(), found))
    return deviations(*sides, ["c"])


@pytest.mark.parametrize("what", SAME)
def test_results_within_the_tolerance_are_reproduced(what: str) -> None:
    assert told(SAME[what]) == []


@pytest.mark.parametrize("what", OTHER)
def test_other_results_are_not_reproduced(what: str) -> None:
    found, said = OTHER[what]
    lines = told(found)
    assert said in "\n".join(lines)
    assert len(lines) < 10


def test_where_every_gene_is_selected_the_cut_is_amid_the_selected() -> None:
    every = [row | {"selected": "True"} for row in listed()]
    sides = (numbers(c=cohort(results=results(rows))) for rows in (every, every[:-2]))
    assert deviations(*sides, ["c"]) == []


@given(at=st.integers(0, 94), name=st.text("ABCDEFGH", min_size=2))
def test_no_invented_gene_is_reproduced(at: int, name: str) -> None:
    rows = listed()
    for after in (rows[at:], rows[at + 1 :]):
        changed = [*rows[:at], rows[at] | {"gene": name}, *after]
        assert any(f"not committed: {name}" in line for line in told(results(changed)))


def test_what_is_committed_reproduces_itself() -> None:
    ours = collect(SOURCE.parent, results=True)
    assert len(ours["cohorts"]) > 1
    assert all(cohort["results"]["biomarkers.csv"] for cohort in ours["cohorts"].values())
    assert deviations(ours, ours, ours["cohorts"]) == []


def test_other_parameters_are_not_reproduced() -> None:
    other = cohort(params=cohort()["params"] | {"train.seed": 2, "train.new": 1})
    assert deviations(numbers(c=cohort()), numbers(c=other), ["c"]) == [
        "c: parameter train.new is not as committed", "c: parameter train.seed is not as committed"
    ]  # fmt: skip


def test_a_score_that_was_not_committed_is_a_deviation() -> None:
    found = cohort()
    found["scores"]["test_mcc"] = {"value": 0.5}
    (line,) = deviations(numbers(c=cohort()), numbers(c=found), ["c"])
    assert "test_mcc is 0.5000, committed n/a" in line


# --- from git ------------------------------------------------------------------------------


def report(folder: Path, auc: float) -> None:
    """The reports of one cohort, as the pipeline writes them, with one test AUC."""
    score = {"value": auc, "low": auc - 0.05, "high": auc + 0.05}
    part = {"roc_auc": score, "ece": {"value": 0.1}}
    place = folder / "reports/luad"
    place.mkdir(parents=True, exist_ok=True)
    contents = {
        "evaluation.json": {
            "models": {"cnn": {"cv": part, "test": part}},
            "best_baseline": "logistic_l1",
            "cnn_minus": {"logistic_l1": {"cv": {"roc_auc": score}, "test": {"roc_auc": score}}},
            "data": {"cv": {"pairing": "a" * 16}, "test": {"pairing": "b" * 16}},
            "verdict": "signal",
        },
        "validation.json": {
            "checks": {"x": {"passed": True, "severity": "info", "failed_rows": 0, "rows": 4}}
        },
        "biomarkers.json": {"stability": {"index": 0.5, "low": 0.4, "high": 0.6}},
        "params.json": {"report.tolerance": 0.01},
    }
    for name, content in contents.items():
        (place / name).write_text(json.dumps(content))
    (place / "biomarkers.csv").write_text("rank,gene\n1,TP53\n2,KRAS\n")
    draws = "\n".join(f"{auc + i / 1e4}," for i in range(100))
    (place / "draws.csv").write_text(f"test_roc_auc,test_mcc\n{draws}\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    git("init", "-q", "-b", "main")
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6 \\\n    --hash=sha256:00\n")
    report(tmp_path, 0.8)
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    report(tmp_path, 0.9)
    return tmp_path


def test_a_revision_and_the_working_tree_are_compared(repository: Path, capsys) -> None:
    assert main(["--root", str(repository), "main"]) == 0
    text = capsys.readouterr().out
    assert "| test ROC AUC | 0.8000 | 0.9000 | +0.1000 [+0.1000, +0.1000] | ▲ better |" in text
    assert "| stability | 0.5000 | 0.5000 |" in text


def test_what_is_collected_passes_the_gate(repository: Path) -> None:
    made = collect(repository, "main")
    assert made["packages"] == {"numpy": "2.4.6"}
    assert made["cohorts"]["luad"]["genes"] == ["TP53", "KRAS"]
    assert parse_numbers(json.dumps(made).encode()) == made


def test_verify_tells_and_writes_whether_the_run_reproduced(repository: Path, capsys) -> None:
    run, told = repository / "run.json", repository / "told.json"
    run.write_text('{"seconds": 9}')
    verify = ["--root", str(repository), "--verify", "--run", str(run), "main"]
    assert main([*verify, "--out", str(told)]) == 3
    assert "luad: test_roc_auc is 0.9000, committed 0.8000" in capsys.readouterr().err
    assert json.loads(told.read_text())["reproduced"] is False
    assert main(["--root", str(repository), "--run", str(told), "main"]) == 0
    assert "NOT reproduced" in capsys.readouterr().out.splitlines()[0]
    report(repository, 0.805)
    assert main(verify) == 0
    assert json.loads(capsys.readouterr().out) == {
        "seconds": 9, "reproduced": True, "cohorts": ["luad"], "dvc_lock_identical": True
    }  # fmt: skip
    assert run.read_text() == '{"seconds": 9}'


@pytest.mark.parametrize("out", ["run.json", "folder", "pipe"])
def test_nothing_but_a_plain_file_is_written_over(repository: Path, capsys, out: str) -> None:
    run = repository / "run.json"
    run.write_text("{}")
    (repository / "folder").mkdir()
    os.mkfifo(repository / "pipe")
    command = ["--root", str(repository), "main", "--run", str(run), "--out", str(repository / out)]
    assert main(command) == 2
    assert "is no file to be written over" in capsys.readouterr().err
    assert run.read_text() == "{}"


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "main:reports", ""])
def test_a_revision_that_is_none_is_an_error(repository: Path, capsys, revision: str) -> None:
    assert main(["--root", str(repository), "--", revision]) == 2
    assert "no revision" in capsys.readouterr().err


def test_reports_of_another_version_are_an_error(repository: Path, capsys) -> None:
    (repository / "reports/luad/evaluation.json").write_text('{"auc": 1}')
    assert main(["--root", str(repository), "main"]) == 2
    assert "reports/luad in the working tree" in capsys.readouterr().err


def test_a_run_that_invents_genes_is_not_reproduced(repository: Path, capsys) -> None:
    report(repository, 0.8)
    assert main(["--root", str(repository), "--verify", "main"]) == 0
    (repository / "reports/luad/biomarkers.csv").write_text("rank,gene\n1,TP53\n2,FAKE\n")
    assert main(["--root", str(repository), "--verify", "main"]) == 3
    assert "luad: biomarkers.csv: not committed: FAKE" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "x\u202ey", "a`b", "@all", "a\nb"])
def test_a_report_folder_of_an_odd_name_is_an_error(repository: Path, capsys, name: str) -> None:
    (repository / "reports/luad").rename(repository / "reports" / name)
    assert main(["--root", str(repository), "main"]) == 2
    said = capsys.readouterr().err
    assert "in the working tree was not written by" in said
    assert said.strip().isprintable()


HIDDEN = ("\u202e", "\x1b[31m", "\u2066", "\x00", "\r", "\u200b", "\n")


@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_cannot_be_seen_reaches_no_markdown(hidden: str) -> None:
    odd = f"a{hidden}b`c"
    check = {"passed": False, "severity": "critical", "failed_rows": 3}
    head = numbers(c=cohort(0.9, genes=[odd], checks={odd: check}, params={odd: odd}))
    head["packages"] = {odd: odd}
    text = render(numbers(c=cohort()), head)
    assert all(line.isprintable() for line in text.splitlines())
    assert "\r" not in text
    assert f"a\\u{ord(hidden[0]):04x}" in text
    assert "b'c" in text


CONFIGURED = {
    "core.fsmonitor": "{}", "core.hooksPath": "hooks", "diff.external": "{}", "core.pager": "{}",
    "core.sshCommand": "{}", "diff.x.textconv": "{}", "diff.x.command": "{}",
    "filter.x.smudge": "{}", "filter.x.clean": "{}", "core.attributesFile": "attributes",
    "core.editor": "{}", "gpg.program": "{}", "extensions.partialClone": "origin",
    "remote.origin.url": "ext::{}", "remote.origin.promisor": "true",
    "protocol.ext.allow": "always",
}  # fmt: skip


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "an object is missing"])
def test_nothing_that_the_repository_configures_is_run(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, missing: bool
) -> None:
    out = tmp_path_factory.mktemp("out")
    program = out / "program"
    program.write_text(f"#!/bin/sh\ntouch {out}/owned\ncat\n")
    program.chmod(0o755)
    git = ["git", "-C", str(repository)]
    if missing:
        where = ["rev-parse", "main:reports/luad/biomarkers.csv"]
        blob = subprocess.run([*git, *where], capture_output=True, text=True, check=True).stdout
        (repository / ".git/objects" / blob[:2] / blob[2:].strip()).unlink()
    (repository / "hooks").mkdir()
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        (repository / "hooks" / hook).symlink_to(program)
    (repository / "attributes").write_text("* diff=x filter=x\n")
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/attributes").write_text("* diff=x filter=x\n")
    for key, value in CONFIGURED.items():
        subprocess.run([*git, "config", key, value.format(program)], check=True)
    for mode in ([], ["--verify"], ["--collect"]):
        main(["--root", str(repository), *mode, "main"])
    assert not (out / "owned").exists()
    subprocess.run([*git, "status"], capture_output=True, check=False)
    assert (out / "owned").exists(), "the trap is none"


def test_nothing_to_verify_is_an_error(tmp_path: Path, repository: Path, capsys) -> None:
    shutil.rmtree(repository / "reports")
    assert main(["--root", str(repository), "--verify", "main", "--cohorts", "luad"]) == 3
    assert "luad: no results made" in capsys.readouterr().err
    (repository / "run.json").write_text("1")
    assert main(["--root", str(repository), "--run", str(repository / "run.json"), "main"]) == 2
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "commit", "-qam", "none"], cwd=repository, check=True)
    assert main(["--root", str(repository), "--verify", "HEAD"]) == 2
    assert "no results to verify" in capsys.readouterr().err


def test_a_project_below_the_root_of_its_repository(tmp_path: Path, repository: Path) -> None:
    below = tmp_path / "outer"
    below.mkdir()
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
        if command[0] == "add":
            shutil.copytree(repository / "reports", below / "project/reports")
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run([*git, *command], cwd=below, check=True)
    assert list(collect(below / "project", "main")["cohorts"]) == ["luad"]


def test_it_runs_where_nothing_is_installed(repository: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c",
               f"import sys; sys.path.insert(0, {str(SOURCE)!r}); "
               "from oncopixel.reporting.prdiff import main; sys.exit(main(['main']))"]  # fmt: skip
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert "**4 better · 0 worse" in done.stdout
