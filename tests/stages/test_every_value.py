"""Every documented value of a parameter gives finite results: one is changed at a time."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
import joblib
import numpy as np
import pandas as pd
import pytest
from pydantic.fields import FieldInfo

from oncopixel.core.params import Params, parse_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import (
    read_csv,
    read_npy,
    read_parquet,
    write_csv,
    write_json,
    write_parquet,
)
from oncopixel.images.folds import read_split_cohort
from oncopixel.images.preprocessor import read_preprocessor
from oncopixel.images.splits import final_fold
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.saved import predict_logits
from oncopixel.networks.training import set_up
from oncopixel.stages import (
    baselines,
    biomarkers,
    evaluate,
    ingest,
    preprocess,
    stability,
    train,
)

pytestmark = pytest.mark.slow


def fit_final(paths: Paths, params: Params) -> None:
    """What `train` does in one of its folds, with the same files; the others are alike."""
    cohort, splits = read_split_cohort(paths)
    rows = final_fold(splits).train
    images = read_npy(paths.data("images.npy"))[rows]
    set_up(params.train)
    model, history, _ = fit_ensemble(
        images,
        cohort.y[rows],
        cohort.patients[rows],
        params.train,
        seeds=range(params.train.seed, params.train.seed + params.train.members),
        n_classes=2,
        genome=read_preprocessor(paths.model("preprocessor.parquet")).genome,
    )
    write_csv(paths.report("history.csv"), history)
    logits = predict_logits(model, images)[:, 0]
    write_parquet(paths.data("logits.parquet"), pd.DataFrame(logits, columns=["p_0", "p_1"]))


STAGES = {
    "split": (preprocess.run,),
    "preprocess": (preprocess.run,),
    "baselines": (baselines.run,),
    "train": (fit_final,),
    "evaluate": (evaluate.run,),
    "stability": (stability.run,),
    "biomarkers": (biomarkers.run,),
}
"""The sections of params.yaml, and what is run anew when one of their values is another."""
FIRST = (ingest.run, preprocess.run, baselines.run, train.run, evaluate.run)
"""What the others need."""
TEXTS = {"adjust": [["purity"], ["purity", "batch"]]}
"""What no type tells: columns of the cohort."""
COSTLY = ("evaluate", "stability", "biomarkers")
"""Sections whose lowest numbers are tried all at once: they have no choices."""


def small(raw: dict) -> dict:
    """The real parameters for 60 samples of 100 genes."""
    raw = copy.deepcopy(raw)
    entry = raw["cohorts"]["simulated"]
    entry["source"] |= {"n_samples": 60, "n_genes": 100, "n_markers": 10, "n_modules": 4}
    raw["cohorts"] = {"simulated": entry | {"external": None, "image": [22, 22]}}
    raw["split"]["folds"] = 2
    raw["baselines"]["models"] = ["logistic_l2"]
    raw["train"] |= {"epochs": 2, "patience": 2, "members": 1}
    raw["evaluate"] |= {"bootstrap": 200, "permutations": 199}
    raw["stability"]["resamples"] = 2
    raw["biomarkers"] |= {"permutations": 19}
    return raw


def constraints(metadata: list[Any]) -> list[Any]:
    """The bounds of a parameter, those of the types that its own is made of among them."""
    return [
        constraint
        for part in metadata
        for constraint in (part.metadata if isinstance(part, FieldInfo) else [part])
    ]


def values_of(annotation: Any, bounds: list[Any]) -> list[Any]:
    """Each choice, both booleans, the least number, and the whole of what is a fraction."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) is list:
        return [[choice] for choice in values_of(get_args(annotation)[0], [])]
    if annotation is bool:
        return [False, True]
    lowest = [bound.ge for bound in bounds if isinstance(bound, annotated_types.Ge)]
    highest = [bound.le for bound in bounds if isinstance(bound, annotated_types.Le)]
    ends = [max(lowest)] if lowest else []
    return [*ends, 1] if 1 in highest else ends


def alternatives() -> list[tuple[str, dict[str, Any]]]:
    """A section and what is changed in it, for every value of every parameter."""
    found: list[tuple[str, dict[str, Any]]] = []
    for section in STAGES:
        model: Any = Params.model_fields[section].annotation
        lowest = {}
        for name, field in model.model_fields.items():
            bounds = constraints(field.metadata)
            values = values_of(field.annotation, bounds) + TEXTS.get(name, [])
            assert values or bounds, f"no value of {section}.{name} is known"
            if section in COSTLY and values:
                lowest[name] = values[0]
            else:
                found += [(section, {name: value}) for value in values]
        found += [(section, lowest)] if lowest else []
    return found


def run(stages: tuple[Any, ...], paths: Paths, params: Params) -> None:
    with joblib.parallel_config("sequential"):
        for stage in stages:
            stage(paths, params)


@pytest.fixture(scope="module")
def base(raw_params: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, dict]:
    """A cohort on which the first stages have run, and its parameters."""
    raw = small(raw_params)
    paths = Paths(tmp_path_factory.mktemp("base"), "simulated")
    write_json(paths.report("validation.json"), {"failed": {"critical": []}})
    run(FIRST, paths, parse_params(raw))
    return paths, raw


@pytest.mark.parametrize(("section", "changes"), alternatives(), ids=str)
def test_it_gives_finite_results(
    base: tuple[Paths, dict], tmp_path: Path, section: str, changes: dict[str, Any]
) -> None:
    before, raw = base
    if all(raw[section][name] == value for name, value in changes.items()):
        assert_finite(before)
        return
    shutil.copytree(before.root, tmp_path, dirs_exist_ok=True)
    paths = Paths(tmp_path, before.cohort)
    run(STAGES[section], paths, parse_params(raw | {section: raw[section] | changes}))
    assert_finite(paths)


def assert_finite(paths: Paths) -> None:
    images = read_npy(paths.data("images.npy"))
    assert np.isfinite(images).all()
    assert images.std() > 0
    history = read_csv(paths.report("history.csv"))
    assert np.isfinite(history.loc[history["epoch"] > 0, ["loss", "val_loss"]]).all(axis=None)
    for path in paths.data("").glob("*.parquet"):
        table, _ = read_parquet(path)
        assert np.isfinite(table.filter(regex=r"^p_\d+$|^score$")).all(axis=None), path
    for path in paths.report("").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert np.isfinite(pd.json_normalize(content).select_dtypes("number")).all(axis=None), path
