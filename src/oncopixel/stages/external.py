"""`external`: the model and its markers on an independent cohort."""

import logging

import pandas as pd

from ..cohort.contract import read_cohort
from ..core.errors import ArtifactError
from ..core.params import Params
from ..core.project import Paths
from ..core.storage import read_json, read_parquet, write_csv, write_json
from ..evaluation.parts import CNN
from ..images.folds import read_split_cohort
from ..images.preprocessing import match_report
from ..images.preprocessor import read_preprocessor
from ..reading.external import COLUMNS, replicate, share_genes
from ..reading.external_model import (
    describe,
    predict_external,
    score_external,
    score_table,
    share_features,
)

log = logging.getLogger(__name__)


def run(paths: Paths, params: Params) -> None:
    """Writes `external.json`, scores and replication, and `external.csv`, a row per marker.

    Without an external cohort the former says null and the latter is header only. Development
    samples only are fitted on; no test sample is read.
    """
    entry = params.cohort(paths.cohort)
    if entry.external is None:
        write_json(paths.report("external.json"), {"external": None})
        write_csv(paths.report("external.csv"), pd.DataFrame(columns=list(COLUMNS)))
        log.info("no external cohort")
        return
    selected = _selected(paths)
    cohort, splits = read_split_cohort(paths)
    external = read_cohort(paths.data("external.h5ad"))
    evaluation = read_json(paths.report("evaluation.json"))
    match = match_report(read_preprocessor(paths.model("preprocessor.parquet")), external)

    own, other = share_genes(cohort, external)
    shared = share_features(
        own, splits, other, entry, match.absent_channels, entry.external.align, params
    )
    detail = score_external(shared, predict_external(shared, params, paths.data("")), params)
    table, markers = replicate(
        shared.pre,
        selected,
        (shared.features, shared.development.y),
        (shared.external_features, other.y),
        draws=params.evaluate.bootstrap,
        seed=params.evaluate.seed,
    )
    content = {
        "origin": str(external.data.uns["origin"]),
        "align": entry.external.align,
        "data": {key: n for key, n in detail["data"]["test"].items() if key != "pairing"},
        "channels_absent": match.absent_channels,
        "genes": {
            "shared": len(own.genes),
            "used": len(shared.pre.genes),
            "of_the_model": match.total,
            "of_the_model_missing": len(match.missing),
        },
        "scores": score_table(detail, evaluation["models"][CNN]),
        "markers": markers,
    }
    write_json(paths.report("external.json"), content)
    write_csv(paths.report("external.csv"), table)
    for line in describe(content):
        log.info("%s", line)


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
