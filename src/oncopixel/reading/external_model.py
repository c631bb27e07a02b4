"""The network fitted anew on what both cohorts measure, and its scores on the external samples."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort
from ..core.errors import SourceError
from ..core.params import CohortParams, Params
from ..evaluation.evaluate import evaluate
from ..evaluation.parts import CNN
from ..images.folds import FoldImages, fold_images, prediction_rows
from ..images.preprocessing import features, fit
from ..images.preprocessor import Preprocessor, to_images
from ..images.splits import Fold, cv_folds, final_fold
from ..networks.folds import train_folds
from .external import align, image_for

SCORES = (
    "roc_auc", "pr_auc", "sensitivity", "specificity", "balanced_accuracy", "mcc", "brier",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SharedGenes:
    """Development and external samples with the genes and channels that both cohorts have."""

    entry: CohortParams
    """The cohort's, with these channels and an image for these genes."""
    cohort: Cohort
    splits: pd.DataFrame
    external: Cohort
    pre: Preprocessor
    """Fitted on the development samples."""
    features: np.ndarray
    """`(samples, genes, channels)` of the development samples."""
    external_features: np.ndarray

    @property
    def development(self) -> Cohort:
        """The samples that are fitted on."""
        return self.cohort.take(final_fold(self.splits).train)


def share_features(
    cohort: Cohort,
    splits: pd.DataFrame,
    external: Cohort,
    entry: CohortParams,
    absent_channels: list[str],
    how: Literal["zscore", "ranks"],
    params: Params,
) -> SharedGenes:
    """Features of two cohorts of the same genes; `SourceError` when they share no channel."""
    channels = [channel for channel in entry.channels if channel not in absent_channels]
    if not channels:
        raise SourceError(
            f"the external cohort has none of the channels {', '.join(entry.channels)}. Give its "
            "source their files, or change `channels` of the cohort."
        )
    image = image_for(len(cohort.genes), entry.shape)
    shared = entry.model_copy(update={"channels": channels, "image": list(image)})
    development = cohort.take(final_fold(splits).train)
    pre = fit(development, params.preprocess, channels=channels, image=shared.shape)
    aligned = align(pre, development, external, how)
    own = features(pre, development)
    return SharedGenes(shared, cohort, splits, external, pre, own, aligned)


def predict_external(shared: SharedGenes, params: Params, folder: Path) -> pd.DataFrame:
    """Rows "cv" of the shared genes' CNN on the folds, and "test" of its ensemble, external."""
    cohort, external = shared.cohort, shared.external
    folds = [final_fold(shared.splits), *cv_folds(shared.splits)]
    load = partial(_load, shared, params)
    trained = train_folds(cohort, folds, load, params.train, folder)
    every = np.arange(len(external.y))
    unseen = Fold("external", -1, -1, every[:0], every)
    rows = [prediction_rows(external, unseen, CNN, trained[0].probabilities[CNN])] + [
        prediction_rows(cohort, fold, CNN, of.probabilities[CNN])
        for fold, of in zip(folds[1:], trained[1:], strict=True)
    ]
    return pd.concat(rows, ignore_index=True)


def _load(shared: SharedGenes, params: Params, fold: Fold) -> FoldImages:
    """A fold's images; those that the final fold holds out are the external cohort's."""
    if fold.repeat >= 0:
        return fold_images(shared.cohort, fold, shared.entry, params.preprocess)
    own, other = (
        to_images(shared.pre, part) for part in (shared.features, shared.external_features)
    )
    return FoldImages(own, other, shared.pre.genome)


def score_external(
    shared: SharedGenes, predictions: pd.DataFrame, params: Params
) -> dict[str, Any]:
    """`Evaluation.detail` with the external cohort in the test set's place."""
    splits, external = shared.splits, shared.external
    inside = splits[["sample", "patient", "group", "part"]].assign(y=shared.cohort.y)
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
    return evaluate(predictions, samples, shared.cohort.classes, params.evaluate).detail


def score_table(detail: dict[str, Any], full: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`SCORES` of the shared genes' model, external and out of fold, beside the `full` model's."""
    own = detail["models"][CNN]
    return {
        name: {score: found[score] for score in SCORES}
        for name, found in {
            "external": own["test"],
            "cv_of_shared_genes": own["cv"],
            "cv_of_all_genes": full["cv"],
            "test_of_all_genes": full["test"],
        }.items()
    }


def describe(content: dict[str, Any]) -> list[str]:
    """What `external.json` says, in up to three lines."""
    scores, markers = content["scores"], content["markers"]
    auc = {name: found["roc_auc"]["value"] for name, found in scores.items()}
    interval = "[{low:.3f}, {high:.3f}]".format(**scores["external"]["roc_auc"])
    lines = [
        f"roc_auc of the external cohort {auc['external']:.3f} {interval}; of the development "
        f"samples with the same genes {auc['cv_of_shared_genes']:.3f}, with all genes "
        f"{auc['cv_of_all_genes']:.3f}",
        f"{markers['selected']} markers are selected, {markers['measured']} are measured there",
    ]
    if markers["measured"]:
        lines.append(
            f"{markers['replication']['value']:.0%} of these replicate, and "
            f"{markers['replication_of_random']['value']:.0%} of random genes"
        )
    return lines
