"""`evaluate`: the CNN beside the baselines, with intervals; no other step scores the test set."""

import logging

import numpy as np
import pandas as pd

from ..core.params import Params
from ..core.project import Paths, version
from ..core.provenance import verify
from ..core.storage import (
    read_json,
    read_parquet,
    sha256,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
)
from ..evaluation.scores import edge_warnings, evaluate
from ..images.folds import read_split_cohort
from ..images.preprocessing import read_preprocessor
from ..images.splits import assert_disjoint, final_fold
from ..reporting import figures

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes metrics, curves, figures, all predictions, and `model.json`, the model's contract."""
    verify(paths)
    cohort, splits = read_split_cohort(paths)
    fold = final_fold(splits)
    assert_disjoint(cohort.patients, fold.train, fold.held_out)

    preprocessor = read_preprocessor(paths.model("preprocessor.parquet"))
    predictions = pd.concat(
        [
            read_parquet(paths.data("cnn_predictions.parquet"))[0],
            read_parquet(paths.data("baseline_predictions.parquet"))[0],
        ],
        ignore_index=True,
    )
    samples = splits[["sample", "patient", "group", "part"]].assign(y=cohort.y)
    result = evaluate(predictions, samples, cohort.classes, params.evaluate)
    result.detail["warnings"] += edge_warnings(read_json(paths.report("baselines.json")))

    write_parquet(paths.data("predictions.parquet"), predictions)
    write_json(paths.report("metrics.json"), result.metrics)
    write_json(paths.report("evaluation.json"), result.detail)
    write_csv(paths.report("draws.csv"), result.draws)
    for name in ("roc", "pr", "calibration", "confusion"):
        write_csv(paths.report(f"{name}.csv"), result.curves[name])
    pairs = result.curves["confusion"]
    counts = pd.crosstab(pairs["actual"], pairs["predicted"]).reindex(
        index=cohort.classes, columns=cohort.classes, fill_value=0
    )
    for name, drawn in {
        "roc": figures.roc(result.curves["roc"]),
        "pr": figures.pr(result.curves["pr"]),
        "calibration": figures.calibration(result.curves["calibration"]),
        "confusion": figures.confusion(counts.to_numpy(), cohort.classes),
    }.items():
        write_bytes(paths.report(f"figures/{name}.png"), figures.to_png(drawn))
    contract = {
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
        "members": params.train.members,
        "trained_on": {
            "samples": len(fold.train),
            "patients": len(np.unique(cohort.patients[fold.train])),
        },
        "sha256": {
            name: sha256(paths.model(name)) for name in ("ensemble.keras", "preprocessor.parquet")
        },
    }
    write_json(paths.model("model.json"), contract)
    for warning in result.detail["warnings"]:
        log.warning("warning: %s", warning)
    scores = result.detail["models"]["cnn"]
    said = [
        f"{part} {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
        for part, score in ((part, scores[part]["roc_auc"]) for part in ("cv", "test"))
    ]
    log.info(
        "verdict: %s; roc_auc of the CNN: %s, permutation p %.2g",
        result.detail["verdict"],
        ", ".join(said),
        result.detail["permutation_p"]["test"],
    )
