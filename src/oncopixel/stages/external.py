"""`external`: the model and its markers on an independent cohort."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort, read_cohort
from ..core.errors import ArtifactError, SourceError
from ..core.params import CohortParams, Params
from ..core.project import Paths
from ..core.storage import read_json, read_parquet, write_bytes, write_csv, write_json
from ..evaluation.evaluate import evaluate
from ..evaluation.parts import CNN
from ..evaluation.verdict import caution
from ..images.folds import fold_arrays, read_split_cohort
from ..images.preprocessing import features, fit, match_report
from ..images.preprocessor import read_preprocessor, to_images
from ..images.splits import Fold, cv_folds, final_fold
from ..reading.external import COLUMNS, align, image_for, replicate, share_genes
from ..reporting import figures

log = logging.getLogger(__name__)

SCORES = (
    "roc_auc", "pr_auc", "sensitivity", "specificity", "balanced_accuracy", "mcc", "brier",
)  # fmt: skip


def run(paths: Paths, params: Params) -> None:
    """Writes `external.json`, scores and replication, and `external.csv`, a row per marker.

    Without an external cohort the former says null and the latter is header only. Development
    samples only are fitted on; no test sample is read.
    """
    entry = params.cohort(paths.cohort)
    if entry.external is None:
        write_json(paths.report("external.json"), {"external": None})
        _write_table(paths, pd.DataFrame(columns=list(COLUMNS)))
        log.info("no external cohort")
        return
    selected = _selected(paths)
    cohort, splits = read_split_cohort(paths)
    external = read_cohort(paths.data("external.h5ad"))
    match = match_report(read_preprocessor(paths.model("preprocessor.parquet")), external)
    own, other = share_genes(cohort, external)
    shared = _shared_entry(entry, own, match.absent_channels)

    development = own.take(final_fold(splits).train)
    pre = fit(development, params.preprocess, channels=shared.channels, image=shared.shape)
    own_features = features(pre, development)
    other_features = align(pre, development, other, entry.external.align)
    predictions = _predictions(
        own,
        splits,
        shared,
        params,
        train=(to_images(pre, own_features), development),
        external=(to_images(pre, other_features), other),
    )
    detail = _scores(own, splits, other, predictions, params)
    table, markers = replicate(
        pre,
        selected,
        (own_features, development.y),
        (other_features, other.y),
        draws=params.evaluate.bootstrap,
        seed=params.evaluate.seed,
    )
    evaluation = read_json(paths.report("evaluation.json"))
    full = evaluation["models"][CNN]
    content = {
        "origin": str(external.data.uns["origin"]),
        "align": entry.external.align,
        "data": {key: n for key, n in detail["data"]["test"].items() if key != "pairing"},
        "channels_absent": match.absent_channels,
        "genes": {
            "shared": len(own.genes),
            "used": len(pre.genes),
            "of_the_model": match.total,
            "of_the_model_missing": len(match.missing),
        },
        "scores": {
            name: {score: found[score] for score in SCORES}
            for name, found in {
                "external": detail["models"][CNN]["test"],
                "cv_of_shared_genes": detail["models"][CNN]["cv"],
                "cv_of_all_genes": full["cv"],
                "test_of_all_genes": full["test"],
            }.items()
        },
        "markers": markers,
    }
    write_json(paths.report("external.json"), content)
    _write_table(paths, table, caution(evaluation["verdict"]))
    _say(content)


def _write_table(paths: Paths, table: pd.DataFrame, note: str = "") -> None:
    write_csv(paths.report("external.csv"), table)
    drawn = figures.to_png(figures.external(table), note)
    write_bytes(paths.report("figures/external.png"), drawn)


def _selected(paths: Paths) -> pd.DataFrame:
    """The rows of the ranking that are in the final list."""
    path = paths.data("ranking.parquet")
    ranking, _ = read_parquet(path)
    if "selected" not in ranking:
        raise ArtifactError(
            f"{path} does not say which markers are selected: it is of an older version. "
            f"Run `oncopixel biomarkers {paths.cohort}` or `dvc repro`."
        )
    return ranking[ranking["selected"].astype(bool)]


def _shared_entry(entry: CohortParams, cohort: Cohort, absent: list[str]) -> CohortParams:
    """The cohort's entry with the channels that both cohorts have, and an image for their genes."""
    channels = [channel for channel in entry.channels if channel not in absent]
    if not channels:
        raise SourceError(
            f"the external cohort has none of the channels {', '.join(entry.channels)}. Give its "
            "source their files, or change `channels` of the cohort."
        )
    image = image_for(len(cohort.genes), entry.shape)
    return entry.model_copy(update={"channels": channels, "image": list(image)})


def _predictions(
    cohort: Cohort,
    splits: pd.DataFrame,
    entry: CohortParams,
    params: Params,
    *,
    train: tuple[np.ndarray, Cohort],
    external: tuple[np.ndarray, Cohort],
) -> pd.DataFrame:
    """Rows "cv" of the shared genes' CNN on the folds, and "test" of its ensemble, external.

    `train` and `external` are images with their samples, development and external ones.
    """
    from ..networks.ensemble import fit_ensemble
    from ..networks.predictions import ensemble_rows
    from ..networks.training import set_up

    def ensemble(images: np.ndarray, y: np.ndarray, patients: np.ndarray, members: int) -> Any:
        seeds = range(params.train.seed, params.train.seed + members)
        n_classes = len(cohort.classes)
        return fit_ensemble(images, y, patients, params.train, seeds=seeds, n_classes=n_classes)[0]

    set_up(params.train)
    rows = []
    for fold in cv_folds(splits):
        arrays = fold_arrays(cohort, fold, entry, params.preprocess)
        images, held_out = (
            to_images(arrays.preprocessor, part)
            for part in (arrays.train_features, arrays.held_out_features)
        )
        model = ensemble(images, arrays.train_y, arrays.train_patients, params.train.cv_members)
        rows.append(ensemble_rows(cohort, fold, model, held_out))
    images, samples = train
    model = ensemble(images, samples.y, samples.patients, params.train.members)
    images, samples = external
    every = np.arange(len(images))
    rows.append(ensemble_rows(samples, Fold("external", -1, -1, every[:0], every), model, images))
    found = pd.concat(rows, ignore_index=True)
    return found[found["model"] == CNN]


def _scores(
    cohort: Cohort,
    splits: pd.DataFrame,
    external: Cohort,
    predictions: pd.DataFrame,
    params: Params,
) -> dict[str, Any]:
    """`Evaluation.detail` with the external cohort in the test set's place."""
    inside = splits[["sample", "patient", "group", "part"]].assign(y=cohort.y)
    outside = pd.DataFrame(
        {
            "sample": external.samples.index.astype(str),
            "patient": external.patients,
            "group": external.patients,
            "part": "test",
            "y": external.y,
        }
    )
    samples = pd.concat([inside[inside["part"] == "development"], outside], ignore_index=True)
    return evaluate(predictions, samples, cohort.classes, params.evaluate).detail


def _say(content: dict[str, Any]) -> None:
    score = content["scores"]["external"]["roc_auc"]
    log.info(
        "roc_auc of the external cohort %.3f [%.3f, %.3f]; of the development samples with the "
        "same genes %.3f, with all genes %.3f",
        score["value"],
        score["low"],
        score["high"],
        content["scores"]["cv_of_shared_genes"]["roc_auc"]["value"],
        content["scores"]["cv_of_all_genes"]["roc_auc"]["value"],
    )
    markers = content["markers"]
    log.info(
        "%d markers are selected, %d of them jointly only; %d of the others are measured there",
        markers["selected"],
        markers["joint"],
        markers["measured"],
    )
    if markers["measured"]:
        log.info(
            "%.0f%% of these replicate, and %.0f%% of random genes",
            100 * markers["replication"]["value"],
            100 * markers["replication_of_random"]["value"],
        )
