"""The model card: what a model is, for whom, how good, on whom, and what it needs. Markdown.

Mitchell et al. 2019 (doi:10.1145/3287560.3287596); items of TRIPOD+AI (Collins et al. 2024,
doi:10.1136/bmj-2023-078378) that it covers are listed. Everything from outside is escaped.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from ..evaluation.parts import CNN, LINEAR_PATH, PANEL, PARTS
from ..pages.texts import NOTHING, cell, words
from .page import LIMITS

ESTIMATES = {"cv": "cross-validation", "test": "test"}
DECISIONS = ("sensitivity", "specificity", "balanced_accuracy", "pr_auc", "mcc")
CALIBRATION = ("calibration_slope", "calibration_intercept", "ece", "brier")
NAMES = {"mcc": "Matthews correlation", "brier": "Brier score"}
MOST = 12
"""Groups of a kind and part that are shown, the largest."""
ORIGINS = {
    "bundled": "README.md in `{inputs}` says them.",
    "simulated": "None: made from a seed; no patient stands behind it.",
    "gdc": "Open-access tier of the NCI Genomic Data Commons, "
    "https://gdc.cancer.gov/access-data/data-access-policies. Cite Grossman et al. 2016 "
    "(doi:10.1056/NEJMp1607591) and the publications of the projects.",
    "xena": "Those of the studies on the hub. Cite Goldman et al. 2020 "
    "(doi:10.1038/s41587-020-0546-8) and the studies.",
    "cbioportal": "Those of the study. Cite Cerami et al. 2012 "
    "(doi:10.1158/2159-8290.CD-12-0095) and the study.",
}
"""Licence and citation, by kind of source; of files of one's own only their owner knows them."""
COVERED = (
    ("4", "objectives", "What it is"),
    ("5a", "source of the data", "Data"),
    ("7, 9b", "preparation of data, predictors", "How it was fitted; Input"),
    ("8a", "outcome", "What it is"),
    ("11", "missing data", "Input; data checks of the report"),
    ("12a, 12c", "partition, model, tuning, internal validation", "Data; How it was fitted"),
    ("12d, 14, 23b", "heterogeneity, fairness", "Scores by group"),
    ("12e", "measures of performance", "definitions in evaluation.json"),
    ("12g, 15", "how predictions are made, output", "Input"),
    ("13", "class imbalance", "How it was fitted"),
    ("16", "development against evaluation data", "Another cohort"),
    ("18e, 18f", "data and code", "Data; Versions"),
    ("20a, 21", "participants and events", "Data"),
    ("22", "the model itself", "the files beside this card"),
    ("23a", "performance with intervals", "Scores; Scores by group; Calibration"),
    ("26", "limitations", "Limits and confounders"),
    ("27a", "input of poor quality", "Input"),
)
"""Items of TRIPOD+AI, and the part of the card that has them."""
NOT_COVERED = (
    ("1, 2", "title and abstract of a study"),
    ("3a to 3c", "clinical context, place in care, known health inequalities"),
    ("5b, 6a to 6c", "dates, setting, eligibility and treatment of the patients"),
    ("8b, 8c", "who assessed the outcome, and whether blinded"),
    ("10", "why the sample size is enough"),
    ("17, 18a to 18d", "ethical approval, funding, interests, protocol, registration"),
    ("19", "involvement of patients and public"),
    ("20b, 20c", "characteristics of the patients"),
    ("24, 25", "updating of the model, interpretation beside other studies"),
    ("27b, 27c", "skills that users need, next steps"),
)


def render_card(
    cohort: str,
    params: Mapping[str, Any],
    model: Mapping[str, Any],
    validation: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    summary: Mapping[str, Any],
    external: Mapping[str, Any],
    *,
    panel_size: int | None = None,
    tuned: bool = False,
) -> str:
    """The card as Markdown; the same results give the same bytes.

    Parameters
    ----------
    params
        All sections, and the entry as `cohort`.
    model, validation, evaluation, summary, external
        `model.json`, `validation.json`, `evaluation.json`, `biomarkers.json`, `external.json`.
    tuned
        Whether values of `train` were searched.

    Returns
    -------
    str
        Sections of plain Markdown, without raw HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined, finalize=_markdown,
    )  # fmt: skip
    environment.filters |= {"words": words, "code": _code}
    source = params["cohort"]["source"]
    groups = evaluation.get("groups", {})
    return environment.get_template("card.md.j2").render(
        name=cohort,
        params=params,
        entry=params["cohort"],
        model=model,
        notes=validation.get("notes", ()),
        evaluation=evaluation,
        external=external,
        tuned=tuned,
        simulated=source["kind"] == "simulated",
        licence=_licence(params["cohort"]),
        build=_build(source),
        unit="bins of the genome" if source.get("pixels") == "bins" else "genes",
        command=_safe(_command(cohort, params, model)),
        not_shown=list(_not_shown(groups)),
        limits=LIMITS,
        not_covered=NOT_COVERED,
        counts=_counts(evaluation["data"], model["classes"]),
        compared=_compared(evaluation, panel_size),
        decisions=_of_network(evaluation, DECISIONS),
        groups=_groups(groups),
        calibration=_of_network(evaluation, CALIBRATION),
        elsewhere=_elsewhere(external),
        confounders=_confounders(summary),
        covered=_table(("item", "what", "here"), COVERED),
    )


def _markdown(value: Any) -> Markup:
    """Text of one line that Markdown takes as it stands; what is marked as safe stays as it is."""
    if isinstance(value, Markup):
        return value
    text = "".join(char for char in " ".join(_cell(value).split()) if char.isprintable())
    return _safe(re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", text))


def _safe(text: str) -> Markup:
    """Markdown that is not escaped again."""
    return Markup(text)  # noqa: S704


def _cell(value: Any) -> str:
    """As `cell`; nothing for a score that is undefined."""
    undefined = isinstance(value, Mapping) and value.get("value", 0) is None
    return NOTHING if undefined else cell(value)


def _code(value: Any) -> Markup:
    """Text as code, in which nothing else is Markdown."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return _safe(f"`{text}`")


def _table(columns: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Markup:
    """A table of escaped cells; nothing without rows."""
    lines = [" | ".join(map(_markdown, row)) for row in rows]
    head = [_markdown(column) for column in columns]
    rule = "|" + "---|" * len(head)
    lines = [f"| {' | '.join(head)} |", rule, *(f"| {line} |" for line in lines)] if lines else []
    return _safe("\n".join(lines))


def _counts(data: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    """Samples and patients of both parts."""
    rows = [
        [
            "test" if part == "test" else "development", data[part]["samples"],
            data[part]["patients"], *(data[part]["samples_of_class"][name] for name in classes),
        ]
        for part in PARTS
    ]  # fmt: skip
    return _table(("part", "samples", "patients", *classes), rows)


def _of_network(evaluation: Mapping[str, Any], scores: Sequence[str]) -> Markup:
    """Some scores of the CNN."""
    own = evaluation["models"][CNN]
    rows = [
        [NAMES.get(score, words(score)), *(own[part].get(score) for part in PARTS)]
        for score in scores
    ]
    return _table(("score", *ESTIMATES.values()), rows)


def _elsewhere(external: Mapping[str, Any]) -> Markup:
    """The AUC in the external cohort, beside those here."""
    scores = external.get("scores") or {}
    rows = [[words(part), of_part["roc_auc"]] for part, of_part in scores.items()]
    return _table(("predictions", "AUC"), rows)


def _confounders(summary: Mapping[str, Any]) -> Markup:
    """How what is known of the development samples goes with label and score."""
    columns = (
        "known of samples", "of how many", "goes with the label", "goes with the score",
        "of the score left with it held fixed",
    )  # fmt: skip
    rows = [
        [
            words(one["confounder"]), one["known"], one["label"]["strength"],
            one["score"]["strength"], one["score"]["remaining"],
        ]
        for one in summary.get("confounders", {}).get("confounders", ())
    ]  # fmt: skip
    return _table(columns, rows)


def _licence(entry: Mapping[str, Any]) -> Markup:
    own = "Not known to the pipeline: whoever made the files says them."
    return _safe(ORIGINS.get(entry["source"]["kind"], own).format(inputs=entry["inputs"]))


def _build(source: Mapping[str, Any]) -> str:
    copies = source.get("copy_number")
    told = source.get("build") or (copies.get("build") if isinstance(copies, Mapping) else None)
    if told:
        return f"{told} (positions of the segments); genes by name"
    return "genes by name; their positions are those of GENCODE v22 (GRCh38)"


def _command(cohort: str, params: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """How `predict` is called for samples laid out as those of training."""
    command = f"oncopixel predict models/{cohort} "
    if "expression" not in model["channels"]:
        return command + "segments.seg"
    command += f"expression.tsv --scale {model['scale']}"
    for channel in ("copy_number", "mutation"):
        if channel in model["channels"]:
            command += f" --{channel.replace('_', '-')} {channel}.tsv"
    return command + " --samples samples.csv" * bool(params["preprocess"]["adjust"])


def _compared(evaluation: Mapping[str, Any], panel_size: int | None) -> Markup:
    """The AUC of the CNN and of what it is compared with."""
    models, best = evaluation["models"], evaluation.get("best_baseline")
    names = {
        CNN: "the network",
        LINEAR_PATH: "its linear path alone",
        f"{PANEL}{panel_size}": f"panel of {panel_size} features",
        "clinical": "clinical data, no gene",
        best: f"{words(best)}, the best simple model",
    }
    rows = [
        [told, *(models[name][part]["roc_auc"] for part in PARTS)]
        for name, told in names.items()
        if name in models
    ]
    return _table(("model", *ESTIMATES.values()), rows)


def _groups(found: Mapping[str, Any]) -> Markup:
    """A row per group and part, and whether it is served worse or better than all are."""
    rows = []
    for kind, by_part in found.items():
        for part in PARTS:
            scored = by_part[part]["groups"]
            for name in sorted(_largest(scored)):
                scores = scored[name]
                low, high = (scores["minus_all"][end] or 0 for end in ("low", "high"))
                of_class = " / ".join(map(str, scores["samples_of_class"].values()))
                beside = "lower" if high < 0 else "higher" if low > 0 else ""
                rows.append(
                    [kind, name, ESTIMATES[part], scores["samples"], of_class]
                    + [scores[score] for score in ("roc_auc", "sensitivity", "specificity")]
                    + [beside]
                )
    columns = (
        "kind",
        "group",
        "part",
        "samples",
        "of each class",
        "AUC",
        "sensitivity",
        "specificity",
    )
    return _table((*columns, "AUC beside all"), rows)


def _largest(scored: Mapping[str, Any]) -> list[str]:
    return sorted(scored, key=lambda name: -scored[name]["samples"])[:MOST]


def _not_shown(found: Mapping[str, Any]) -> Iterator[str]:
    """What is counted only, a sentence per kind and part."""
    for kind, by_part in found.items():
        for part in PARTS:
            counts = {f"with {words(k)}": n for k, n in by_part[part].items() if k != "groups"}
            unknown = counts.pop("with unknown", 0)
            scored = by_part[part]["groups"]
            counts["in evaluation.json"] = len(scored) - len(_largest(scored))
            told = [f"{n} group{'s' * (n != 1)} {what}" for what, n in counts.items() if n]
            told += [f"{unknown} samples of unknown {kind}"] if unknown else []
            if told:
                yield f"{kind}, {ESTIMATES[part]}: {', '.join(told)}"
