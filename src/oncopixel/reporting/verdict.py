"""What a cohort's results say, in sentences for whoever decides what to do next.

Results in, sentences out: the page, and whatever else tells of a cohort, say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..pages.texts import NOTHING, Cell, cell, ends, estimate, words

CNN, LINEAR_PATH, PARTS = "cnn", "linear_path", ("cv", "test")
SIGNAL, NO_SIGNAL = "signal", "no signal"
"""As in `evaluation`, which needs more than the standard library."""
MODELS = {
    CNN: "the network",
    LINEAR_PATH: "the network's linear part",
    "clinical": "clinical data alone",
    "panel": "the panel",
    "logistic_l1": "L1 logistic regression",
    "logistic_l1_adjusted": "L1 logistic regression on adjusted genes",
    "logistic_l2": "L2 logistic regression",
    "elastic_net": "elastic net",
    "random_forest": "random forest",
    "gradient_boosting": "gradient boosting",
}
CHANNELS = {
    "expression": "gene expression", "copy_number": "copy number", "mutation": "mutations",
}  # fmt: skip
CHANCE, SIGNIFICANT = 0.5, 0.05
FIRST = 5
"""Genes that a sentence names."""
FEW_CLASSES = 5
"""Classes that a question names."""
ANSWERS = {SIGNAL: "good", NO_SIGNAL: "bad", "inconclusive": "warn"}
"""Verdict -> how it is coloured."""


@dataclass(frozen=True)
class Verdict:
    """The answer, and what must be known beside it."""

    answer: str
    tone: str
    """`good`, `warn` or `bad`."""
    numbers: str
    """By what it is answered so."""
    told: dict[str, str]
    """Topic -> sentences, in the order in which they are read."""


def judge(
    evaluation: Mapping[str, Any],
    summary: Mapping[str, Any],
    external: Mapping[str, Any],
    genes: Sequence[str] = (),
    *,
    simulated: bool = False,
) -> Verdict:
    """What `evaluation.json`, `biomarkers.json` and `external.json` say; `genes`: the list's."""
    told = {
        "Against simpler models": comparison(evaluation),
        "List": marker_list(summary, genes),
        "Not shown": limits(summary),
        "Confounders": confounders(summary.get("confounders", {})),
        "Another cohort": replication(external),
    }
    if simulated:
        told = {"Simulated": "No patient stands behind these data.", **told}
    tone = ANSWERS.get(str(evaluation.get("verdict")), "warn")
    return Verdict(
        answer(evaluation),
        tone,
        accuracy(evaluation),
        {topic: said for topic, said in told.items() if said},
    )


def question(label: str, channels: Sequence[str], classes: Sequence[str]) -> str:
    """What is asked of the cohort; `label` as in `params.yaml`."""
    kind, _, name = label.partition(":")
    do = "Do" if len(channels) > 1 or list(channels) == ["mutation"] else "Does"
    by = _all_of([CHANNELS.get(channel, words(channel)) for channel in channels]) or "the data"
    if kind == "mutation":
        return f"{do} {by} tell which tumours have a mutated {name}?"
    if kind == "sample_type":
        return f"{do} {by} tell tumour from normal tissue?"
    among = f" ({', '.join(classes)})" if classes else ""
    if len(classes) > FEW_CLASSES:
        among = f" ({len(classes)} classes)"
    return f"{do} {by} tell the {words(name)} of a patient{among}?"


def answer(evaluation: Mapping[str, Any]) -> str:
    """Whether held-out patients are told apart, in one line."""
    scores = evaluation.get("models", {}).get(CNN)
    how_well = f", AUC {estimate(scores['test']['roc_auc']['value'])}" if scores else ""
    return {
        SIGNAL: f"Yes: patients whom the network never saw are told apart{how_well}.",
        NO_SIGNAL: "No signal: that the network does better than chance is not shown.",
        "inconclusive": "Not settled: better than chance in cross-validation, but the test "
        "patients do not confirm it.",
    }.get(str(evaluation.get("verdict")), "No verdict: the model was not evaluated.")


def accuracy(evaluation: Mapping[str, Any]) -> str:
    """How well held-out patients are told apart."""
    if CNN not in evaluation.get("models", {}):
        return ""
    cv, test = (evaluation["models"][CNN][part]["roc_auc"] for part in PARTS)
    own, held = (evaluation["data"][part]["patients"] for part in PARTS)
    p = cell(evaluation["permutation_p"]["test"])
    numbers = (
        f"Test set of {held} patients: {_auc(test)}, p = {p}; cross-validation of {own}: "
        f"{_auc(cv)}."
    )
    if evaluation["verdict"] == NO_SIGNAL:
        return f"{numbers} Chance is 0.5. Make no use of its predictions, nor of what it looks at."
    if test["value"] is None or len(evaluation["data"]["test"].get("samples_of_class", ())) != 2:
        return numbers
    pairs = round(100 * test["value"])
    return (
        f"Of 100 pairs of patients of different classes it ranks {pairs} rightly; chance is 50. "
        f"{numbers}"
    )


def comparison(evaluation: Mapping[str, Any]) -> str:
    """The network beside the best of the simpler models, by cross-validation."""
    best = str(evaluation.get("best_baseline"))
    minus = evaluation.get("cnn_minus", {}).get(best)
    if not minus:
        return ""
    name = MODELS.get(best, words(best))
    if evaluation["verdict"] == NO_SIGNAL:
        auc = evaluation["models"][best]["cv"]["roc_auc"]
        found = (
            "better than chance: look there"
            if (auc["low"] or 0) > CHANCE
            else "not shown to be better than chance"
        )
        return f"The best of them, {name}, is {found} ({_auc(auc)} in cross-validation)."
    cv, test = (minus[part]["roc_auc"] for part in PARTS)
    said = {1: "Better than", 0: "Not measurably better than", -1: "Worse than"}[_sign(cv)]
    advice = {1: "", 0: " So the simpler model is enough.", -1: " Use the simpler model."}
    return (
        f"{said} {name}, the best of them: difference in AUC "
        f"{difference(cv)} in cross-validation, {difference(test)} on the test set."
        f"{advice[_sign(cv)]}"
    )


def marker_list(summary: Mapping[str, Any], genes: Sequence[str] = ()) -> str:
    """What is listed, at which error rate, and the first of it; or why nothing is."""
    sizes, null = summary.get("list", {}), summary.get("null", {})
    if not sizes:
        return ""
    q = summary["q"]
    together = groups(summary)
    if not sizes["selected"]:
        if null.get("observed"):
            return (
                "Empty, and no gene that the model uses is a finding: labels dealt out at random "
                f"give as small a q-value (p = {cell(null['p'])}).{together}"
            )
        return f"Empty: no gene carries the label at a false-discovery rate of {q:.0%}.{together}"
    n, units = sizes["genes"], sum(sizes.get("by", {"": sizes["genes"]}).values())
    first = f" First: {', '.join(genes[:FIRST])}." if len(genes) else ""
    long = sizes["selected"] > summary["tested"] / 5
    shift = (
        " More than a fifth of all that was tested: a shift of the whole cohort." if long else ""
    )
    of = "" if units == n else f" in {units:,} finding{'s' * (units != 1)}"
    return (
        f"{n:,} gene{'s' * (n != 1)}{of}, at a false-discovery rate of {q:.0%}: over many such "
        f"lists, at most that share of the {'findings' if of else 'genes'} is false on average."
        f"{first}{shift}{together}"
    )


def groups(summary: Mapping[str, Any]) -> str:
    """The first group of genes that together tell more than all others."""
    found = summary.get("groups", ())
    if not found:
        return ""
    first = found[0]
    others = f"; so do {len(found) - 1} other groups" if len(found) > 1 else ""
    return (
        f" As one, {first['n']} genes that move together ({', '.join(first['first'][:FIRST])}, …) "
        f"tell what all others do not{others}."
    )


def limits(summary: Mapping[str, Any]) -> str:
    """What a list of this claim leaves open."""
    if not summary.get("list", {}).get("selected"):
        return "That no gene matters: this cohort may be too small to show it."
    if summary["claim"] == "beyond":
        return (
            "A cause. A listed gene, or one that moves with it, tells of the label what all "
            "others do not, in patients like these."
        )
    return (
        "A cause, nor that a gene matters by itself: listed genes may only go along with "
        "others that do."
    )


def confounders(found: Mapping[str, Any]) -> str:
    """What else could explain score or markers, of what is known of the samples."""
    rows = found.get("confounders", ())
    if not rows:
        return "Nothing is known of the samples that could be looked at."
    names = [words(row["confounder"]) for row in rows]
    explaining = [
        words(row["confounder"])
        for row in rows
        if row["score"]["flagged"] or row["markers"]["flagged"] or not row["label"]["separable"]
    ]
    if not explaining:
        return (
            f"Nothing known ({', '.join(names)}) explains most of the score or of the list."
            f"{_along(rows, found.get('markers', {}).get('selected', 0))}"
        )
    flagged = found.get("markers", {}).get("flagged", 0)
    listed = f" {flagged} listed rows are mostly explained by it." if flagged else ""
    score = [words(row["confounder"]) for row in rows if row["score"]["flagged"]]
    of_score = f" The score mostly follows {_all_of(score)}." if score else ""
    return f"May be due to {_all_of(explaining)} instead.{of_score}{listed}"


def _along(rows: Sequence[Mapping[str, Any]], listed: int) -> str:
    """Confounders that go with the score, or with most of the list, without explaining it."""
    score = [words(row["confounder"]) for row in rows if (row["score"].get("q") or 1) < SIGNIFICANT]
    said = [f"{_all_of(score)} with the score (q < {SIGNIFICANT})"] if score else []
    said += [
        f"{words(row['confounder'])} with {row['markers']['related']} of {listed} listed rows"
        for row in rows
        if 2 * row["markers"]["related"] > listed
    ]
    return f" Some goes along: {_all_of(said)}." if said else ""


def replication(external: Mapping[str, Any]) -> str:
    """Whether an independent cohort confirms the network and the list."""
    scores = external.get("scores")
    if not scores:
        return "No other cohort was looked at, so nothing here is confirmed outside this one."
    auc = scores["external"]["roc_auc"]
    n = external.get("data", {}).get("patients")
    of = f"{n} patients, " if n else ""
    better = "tells" if (auc["low"] or 0) > CHANCE else "is not shown to tell"
    said = f"The network, fitted anew on what both measure, {better} the classes apart there"
    markers = external.get("markers", {})
    if not markers.get("selected"):
        return f"{said}: {of}{_auc(auc)}."
    if not markers.get("measured") or "replication" not in markers:
        return f"{said}: {of}{_auc(auc)}. No listed marker is measured there."
    measured = markers["measured"]
    share = round(markers["replication"]["value"] * measured)
    return (
        f"{said}: {of}{_auc(auc)}. Of {markers['selected']} listed rows {measured} are measured "
        f"there, and {share} replicate."
    )


def difference(value: Mapping[str, float] | None) -> str:
    """A difference in AUC with its interval, in thousandths."""
    if not value or None in value.values():
        return NOTHING
    middle, low, high = (f"{value[key]:+.3f}" for key in ("value", "low", "high"))
    around = "none: no draw moved it" if low == high else f"{low} to {high}"
    return Cell(f"{middle} ({around})", value["value"])


def _auc(value: Mapping[str, float]) -> str:
    """Area under the curve with its interval, as a clause."""
    return f"AUC {estimate(value['value'])}, 95% interval {ends(value)}"


def _sign(difference: Mapping[str, float]) -> int:
    """Of a difference whose interval lies on one side of zero, else 0."""
    return int((difference["low"] or 0) > 0) - int((difference["high"] or 0) < 0)


def _all_of(names: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
