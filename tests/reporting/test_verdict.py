"""What the sentences of a cohort say, for every outcome that its results can have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oncopixel.evaluation import parts
from oncopixel.evaluation import verdict as of_scores
from oncopixel.reporting import verdict
from oncopixel.reporting.verdict import (
    comparison,
    confounders,
    difference,
    judge,
    question,
)

ROOT = Path(__file__).parents[2]


def score(value: float, half: float = 0.05) -> dict:
    return {"value": value, "low": value - half, "high": value + half}


def evaluation(verdict: str = "signal", cv: float = 0.9, test: float = 0.92, **changes) -> dict:
    minus = {part: {"roc_auc": score(0.0, 0.01)} for part in ("cv", "test")}
    return {
        "verdict": verdict,
        "models": {"cnn": {"cv": {"roc_auc": score(cv)}, "test": {"roc_auc": score(test)}}},
        "data": {
            "cv": {"patients": 300},
            "test": {"patients": 100, "samples_of_class": {"a": 40, "b": 60}},
        },
        "permutation_p": {"cv": 0.0001, "test": 0.002},
        "best_baseline": "logistic_l1",
        "cnn_minus": {"logistic_l1": minus},
    } | changes


def summary(selected: int = 3, claim: str = "associated", **changes) -> dict:
    return {
        "claim": claim,
        "q": 0.1,
        "tested": 1000,
        "list": {"selected": selected, "genes": selected, "by": {"gene": selected}},
        "null": {"observed": selected, "p": 0.01},
        "confounders": {"confounders": [confounder()], "markers": {"flagged": 0}},
    } | changes


def confounder(
    name: str = "batch",
    *,
    score: bool = False,
    markers: int = 0,
    one: bool = False,
    q: float | None = None,
    related: int = 0,
):
    return {
        "confounder": name,
        "label": {"separable": not one},
        "score": {"flagged": score, "q": q},
        "markers": {"flagged": markers, "related": related},
    }


EXTERNAL = {
    "data": {"patients": 240},
    "scores": {"external": {"roc_auc": score(0.8)}},
    "markers": {"selected": 16, "measured": 4, "replication": {"value": 0.5}},
}
NONE = {"external": None}


def whole(said: verdict.Verdict) -> str:
    return " ".join((said.answer, said.numbers, *said.told.values()))


def test_a_signal_is_told_in_pairs_of_patients_with_its_numbers() -> None:
    said = judge(evaluation(), summary(), NONE, ["KRAS", "TP53"])
    assert said.tone == "good"
    assert said.answer == "Yes: patients whom the network never saw are told apart, AUC 0.920."
    assert said.numbers == (
        "Of 100 pairs of patients of different classes it ranks 92 rightly; chance is 50. Test "
        "set of 100 patients: AUC 0.920, 95% interval 0.870 to 0.970, p = 0.002; cross-validation "
        "of 300: AUC 0.900, 95% interval 0.850 to 0.950."
    )
    assert said.told["List"] == (
        "3 genes, at a false-discovery rate of 10%: over many such lists, at most that share "
        "of the genes is false on average. First: KRAS, TP53."
    )


def test_no_signal_comes_first_and_in_plain_words() -> None:
    quiet = evaluation("no signal", 0.52, 0.6)
    quiet["models"]["logistic_l1"] = quiet["models"]["cnn"]
    said = judge(quiet, summary(0), NONE)
    assert said.tone == "bad"
    assert said.answer == "No signal: that the network does better than chance is not shown."
    assert "Of 100 pairs" not in said.numbers
    assert "Make no use of its predictions" in said.numbers
    assert said.told["Not shown"].startswith("That no gene matters")


@pytest.mark.parametrize(("auc", "said"), [(0.52, "not shown to be better"), (0.8, "look there")])
def test_without_a_signal_it_matters_whether_a_simpler_model_has_one(auc: float, said: str) -> None:
    found = evaluation("no signal", 0.5)
    found["models"]["logistic_l1"] = {"cv": {"roc_auc": score(auc)}}
    assert said in comparison(found)


def test_a_test_set_that_does_not_confirm_leaves_it_open() -> None:
    said = judge(evaluation("inconclusive", 0.7, 0.55), summary(), NONE)
    assert (said.tone, said.answer[:12]) == ("warn", "Not settled:")


def test_without_an_evaluation_there_is_no_verdict() -> None:
    said = judge({}, summary(), NONE)
    assert said.answer == "No verdict: the model was not evaluated."
    assert (said.numbers, said.tone) == ("", "warn")


@pytest.mark.parametrize(
    ("middle", "start", "end"),
    [
        (0.05, "Better than L1 logistic regression", "on the test set."),
        (0.0, "Not measurably better than", "So the simpler model is enough."),
        (-0.05, "Worse than", "Use the simpler model."),
    ],
)
def test_the_network_beside_the_best_simpler_model(middle: float, start: str, end: str) -> None:
    minus = {"logistic_l1": {p: {"roc_auc": score(middle, 0.01)} for p in ("cv", "test")}}
    said = comparison(evaluation(cnn_minus=minus))
    assert said.startswith(start)
    assert said.endswith(end)


def test_an_interval_that_no_draw_moved_is_said_to_be_one() -> None:
    perfect = {"value": 1.0, "low": 1.0, "high": 1.0}
    models = {"cnn": {part: {"roc_auc": perfect} for part in ("cv", "test")}}
    said = judge(evaluation(models=models), summary(), NONE).numbers
    assert "AUC 1.00, 95% interval none: no draw moved it" in said
    perfect["low"] = 0.99996
    assert "0.99996 to 1" in judge(evaluation(models=models), summary(), NONE).numbers
    assert difference({"value": 0, "low": 0, "high": 0}) == "+0.000 (none: no draw moved it)"


def test_a_score_that_is_undefined_leaves_a_gap() -> None:
    unknown = dict.fromkeys(("value", "low", "high"))
    found = evaluation(cnn_minus={"logistic_l1": {p: {"roc_auc": unknown} for p in ("cv", "test")}})
    found["models"]["cnn"]["test"]["roc_auc"] = unknown
    said = judge(found, summary(), NONE)
    assert "None" not in whole(said)
    assert "Of 100 pairs" not in said.numbers


def test_an_empty_list_says_why() -> None:
    held_back = summary(0, null={"observed": 7, "p": 0.2})
    assert "as small a q-value (p = 0.2)" in judge(evaluation(), held_back, NONE).told["List"]
    nothing = judge(evaluation(), summary(0), NONE).told["List"]
    assert nothing == "Empty: no gene carries the label at a false-discovery rate of 10%."


@pytest.mark.parametrize("selected", [0, 3])
def test_what_genes_tell_together_follows_the_list(selected: int) -> None:
    one = {"n": 12, "first": [f"T{i}" for i in range(10)], "q": 0.01}
    said = judge(evaluation(), summary(selected, groups=[one]), NONE).told["List"]
    assert " As one, 12 genes that move together (T0, T1, " in said
    assert said.endswith(", …) tell what all others do not.")
    said = judge(evaluation(), summary(selected, groups=[one] * 3), NONE).told["List"]
    assert said.endswith("tell what all others do not; so do 2 other groups.")


def test_a_list_of_more_than_a_fifth_is_called_a_shift() -> None:
    assert "a shift of the whole cohort" in judge(evaluation(), summary(201), NONE).told["List"]
    assert "a shift" not in judge(evaluation(), summary(200), NONE).told["List"]


@pytest.mark.parametrize("claim", ["associated", "beyond"])
def test_no_list_shows_a_cause(claim: str) -> None:
    said = judge(evaluation(), summary(claim=claim), NONE).told["Not shown"]
    assert said.startswith("A cause")


def test_confounders_are_named_when_they_explain() -> None:
    clear = confounders({"confounders": [confounder(), confounder("sex")]})
    assert clear == "Nothing known (batch, sex) explains most of the score or of the list."
    rows = [confounder(score=True, markers=3), confounder("sex")]
    said = confounders({"confounders": rows, "markers": {"flagged": 3}})
    assert said == (
        "May be due to batch instead. The score mostly follows batch. 3 listed rows are mostly "
        "explained by it."
    )
    assert "May be due to purity" in confounders({"confounders": [confounder("purity", one=True)]})
    assert confounders({}) == "Nothing is known of the samples that could be looked at."


def test_what_goes_along_without_explaining_is_told() -> None:
    rows = [confounder(q=0.5), confounder("sex", q=0.001, related=9), confounder("age", q=0.04)]
    said = confounders({"confounders": rows, "markers": {"selected": 12}})
    assert said.endswith(
        " Some goes along: sex and age with the score (q < 0.05) and sex with 9 of 12 listed rows."
    )


def test_another_cohort_confirms_or_not_or_is_not_there() -> None:
    told = [
        judge(evaluation(), summary(), external).told["Another cohort"]
        for external in (
            EXTERNAL,
            EXTERNAL | {"scores": {"external": {"roc_auc": score(0.52)}}},
            EXTERNAL | {"markers": {"selected": 3, "measured": 0}},
            NONE,
        )
    ]
    assert "tells the classes apart there: 240 patients, AUC 0.8" in told[0]
    assert told[0].endswith("Of 16 listed rows 4 are measured there, and 2 replicate.")
    assert "is not shown to tell" in told[1]
    assert told[2].endswith("No listed marker is measured there.")
    assert (
        told[3] == "No other cohort was looked at, so nothing here is confirmed outside this one."
    )


def test_what_is_undefined_or_of_many_classes_is_told_without_a_fault() -> None:
    unknown = dict.fromkeys(("value", "low", "high"))
    quiet = evaluation("no signal", 0.5)
    quiet["models"]["logistic_l1"] = {"cv": {"roc_auc": unknown}}
    assert "not shown" in comparison(quiet)
    external = EXTERNAL | {"scores": {"external": {"roc_auc": unknown}}, "markers": {}}
    said = judge(evaluation(), summary(), external).told["Another cohort"]
    assert "is not shown" in said
    assert "marker" not in said
    many = evaluation()
    many["data"]["test"]["samples_of_class"] = {"a": 30, "b": 30, "c": 40}
    assert "pairs" not in judge(many, summary(), NONE).numbers


def test_segments_are_counted_as_findings() -> None:
    listed = summary(list={"selected": 400, "genes": 400, "by": {"gene": 20, "arm": 1}})
    assert judge(evaluation(), listed, NONE).told["List"].startswith("400 genes in 21 findings, at")


def test_simulated_data_are_called_so() -> None:
    assert "Simulated" in judge(evaluation(), summary(), NONE, simulated=True).told
    assert "Simulated" not in judge(evaluation(), summary(), NONE).told


@pytest.mark.parametrize(
    ("label", "asked"),
    [
        ("mutation:KEAP1", "Does gene expression tell which tumours have a mutated KEAP1?"),
        ("sample_type", "Does gene expression tell tumour from normal tissue?"),
        ("column:er_status", "Does gene expression tell the er status of a patient (a, b)?"),
    ],
)
def test_the_question_in_words(label: str, asked: str) -> None:
    assert question(label, ["expression"], ["a", "b"]) == asked
    assert "(7 classes)" in question("column:stage", ["expression"], list("abcdefg"))


def test_it_needs_the_standard_library_alone_and_says_what_evaluation_says() -> None:
    program = "import sys; sys.path.insert(0, 'src'); import oncopixel.reporting.verdict"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=ROOT, check=True)
    assert (verdict.CNN, verdict.LINEAR_PATH) == (parts.CNN, parts.LINEAR_PATH)
    assert list(verdict.PARTS) == list(parts.PARTS)
    assert verdict.SIGNAL == of_scores.SIGNAL


@pytest.mark.parametrize("cohort", ["luad-keap1", "simulated"])
def test_the_results_in_git_are_told(cohort: str) -> None:
    files = ("evaluation", "biomarkers", "external")
    folder = ROOT / "reports" / cohort
    results = [json.loads((folder / f"{name}.json").read_text()) for name in files]
    said = whole(judge(*results))
    assert "None" not in said
    assert "nan" not in said
