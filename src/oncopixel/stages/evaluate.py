"""`evaluate`: the CNN beside the baselines, with intervals; no other step scores the test set."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort
from ..core import storage
from ..core.params import Params
from ..core.project import Paths, version
from ..core.provenance import verify
from ..evaluation.evaluate import Evaluation, evaluate
from ..evaluation.groups import group_samples
from ..evaluation.verdict import describe, edge_warnings
from ..images.folds import read_split_cohort
from ..images.preprocessor import read_preprocessor
from ..images.splits import assert_disjoint, final_fold
from ..reporting import figures

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes metrics, curves, figures, all predictions, and `model.json`, the model's contract."""
    verify(paths)
    cohort, splits = read_split_cohort(paths)
    fold = final_fold(splits)
    assert_disjoint(cohort.patients, fold.train, fold.held_out)
    names = ("cnn_predictions", "baseline_predictions")
    predictions = pd.concat(
        [storage.read_parquet(paths.data(f"{name}.parquet"))[0] for name in names],
        ignore_index=True,
    )
    samples = splits[["sample", "patient", "group", "part"]].assign(y=cohort.y)
    size = storage.read_json(paths.model("panel.json"))["size"]
    label = params.cohort(paths.cohort).label
    groups = group_samples(cohort.samples, splits["part"] == "development", label)
    result = evaluate(predictions, samples, cohort.classes, params.evaluate, size, groups)
    result.detail["warnings"] += edge_warnings(storage.read_json(paths.report("baselines.json")))

    storage.write_parquet(paths.data("predictions.parquet"), predictions)
    storage.write_json(paths.report("metrics.json"), result.metrics)
    storage.write_json(paths.report("evaluation.json"), result.detail)
    storage.write_csv(paths.report("draws.csv"), result.draws)
    for name, curve in result.curves.items():
        storage.write_csv(paths.report(f"{name}.csv"), curve)
    drawn = figures.to_png(figures.roc(result.curves["roc"]))
    storage.write_bytes(paths.report("figures/evaluate/roc.png"), drawn)
    trained = storage.read_json(paths.report("training.json"))[fold.name]
    storage.write_json(
        paths.model("model.json"),
        _contract(paths, cohort, result, trained["members"], cohort.patients[fold.train]),
    )
    for warning in result.detail["warnings"]:
        log.warning("warning: %s", warning)
    log.info("%s", describe(result.detail))


def _contract(
    paths: Paths, cohort: Cohort, result: Evaluation, members: int, patients: np.ndarray
) -> dict[str, Any]:
    """What the model is, what it was trained on, and the digests of its files."""
    preprocessor = read_preprocessor(paths.model("preprocessor.parquet"))
    files = ("ensemble.keras", "preprocessor.parquet")
    fewest = cohort.min_markers
    return {
        "oncopixel": version(),
        "cohort": paths.cohort,
        "origin": str(cohort.data.uns["origin"]),
        "label": str(cohort.data.uns["label_rule"]),
        "classes": cohort.classes,
        "threshold": result.metrics.get("threshold"),
        "verdict": result.detail["verdict"],
        "channels": list(preprocessor.channels),
        "scale": preprocessor.scale,
        "image": list(preprocessor.image),
        "genes": len(preprocessor.genes),
        "members": members,
        **({} if fewest is None else {"min_markers": fewest}),
        "trained_on": {"samples": len(patients), "patients": len(np.unique(patients))},
        "sha256": {name: storage.sha256(paths.model(name)) for name in files},
    }
