"""`tune`: a search for better values of `train`, on development patients only.

Values are scored by the held-out log loss of networks trained with them, in folds of the
development patients that are drawn for this alone; convolutions take part even where they do not
clearly help, or no value would be better than another. What was best is compared with today's
values in further folds, which chose nothing, in networks as `train` makes them.
"""

import contextlib
import json
import shlex
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..cohort.contract import Cohort
from ..core.disk import alone, output_errors, refuse_special, scratch_folder
from ..core.errors import ParamsError
from ..core.executor import has_gpu, parallel
from ..core.params import CohortParams, Params, PreprocessParams, TuneParams
from ..core.project import Paths
from ..core.storage import sha256, write_json
from ..images.folds import FoldImages, fold_images, read_split_cohort
from ..images.preprocessor import LOCAL
from ..images.splits import Fold, tuning_folds
from ..networks.tuning import FoldLosses, call
from .study import load_optuna, open_study, search

OF_HYBRID = {"filters", "kernel", "pool", "units", "dropout", "purity"}
"""What the network `paper` does not read."""

CLEAR = 2.0
"""Standard errors by which the best values must gain, to be called better."""


def run(
    paths: Paths,
    params: Params,
    *,
    trials: int,
    minutes: float | None = None,
    study_file: Path | None = None,
) -> dict[str, Any]:
    """The content of `tuning.json`, which it writes, once the study has so many trials.

    Parameters
    ----------
    minutes
        No trial begins after these.

    Returns
    -------
    `today` and `best`: tuned `values`, with their log `losses` in each fold that scored the trials
    and in each of the `fresh` ones; best is today's where nothing is better. `gain`: by how much
    the best ones' loss is lower in the fresh folds, the mean, and its standard error `gain_se`.
    `trials`: `values` and `losses`, fewer of a `stopped` one. Numbers of `samples` and `patients`;
    the `space`.
    """
    load_optuna()
    deadline = np.inf if minutes is None else time.monotonic() + 60 * minutes
    names = tuned_parameters(paths.cohort, params)
    cohort, splits = read_split_cohort(paths)
    load = partial(_load, paths, params.cohort(paths.cohort), params.preprocess)
    file = study_file or paths.data("tune/study.jsonl")
    with output_errors(file), contextlib.ExitStack() as stack:
        refuse_special(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        stack.enter_context(alone(file.parent, f"`oncopixel tune {paths.cohort}`"))
        study = open_study(file, _subject(paths, params, names))
        scratch = stack.enter_context(scratch_folder(file.parent))
        run_all = stack.enter_context(parallel(call, 1 if has_gpu() else -1, scratch, "fold"))

        def losses(draw: int, **options: bool) -> FoldLosses:
            folds = tuning_folds(splits, cohort.y, params.tune.folds, params.tune.seed, draw)
            place = scratch / str(draw)
            return FoldLosses(folds, load, params.train, run_all, place, **options)

        found = search(
            study, losses(0, keep=True), losses(1), params.tune, names, params.train,
            trials=trials, deadline=deadline,
        )  # fmt: skip
    development = (splits["part"] == "development").to_numpy()
    found |= {
        "space": _space(params.tune, names),
        "samples": int(development.sum()),
        "patients": len(np.unique(cohort.patients[development])),
    }
    write_json(paths.report("tuning.json"), found)
    return found


def tuned_parameters(cohort: str, params: Params) -> set[str]:
    """Those in the search space that change the cohort's network; `ParamsError` for none."""
    space = _space(params.tune)
    names = {name for kind in ("choices", "uniform", "log_uniform") for name in space[kind]}
    if params.train.model == "paper":
        names -= OF_HYBRID
    elif not set(LOCAL) & set(params.cohort(cohort).channels):
        raise ParamsError(
            f"the network of {cohort} has nothing to tune: without the channel {', '.join(LOCAL)} "
            "`train.model: hybrid` is a linear path, which chooses its penalties itself."
        )
    if not names:
        raise ParamsError(
            f"`tune` names no parameter of `train.model: {params.train.model}`. Add some to "
            "`tune.choices`."
        )
    return names


def set_by(cohort: str, params: Params) -> str:
    """How `dvc exp run -S` calls a value of `train`, up to its name: where the cohort has it."""
    own = "train" in params.cohort(cohort).model_fields_set
    return f"++cohorts.{cohort}.train." if own else "train."  # ++ adds what is not there yet


def describe(cohort: str, found: dict[str, Any], setting: str = "train.") -> str:
    """What was found beside today's values, and the command that tries it, as `set_by` says."""
    today, best, trials = found["today"], found["best"], found["trials"]
    row = "{:<24}{:<14}{}".format
    lines = [
        f"{len(trials)} trials, {sum(trial['stopped'] for trial in trials)} of them stopped early, "
        f"in {found['space']['folds']} folds of the {found['samples']} development samples",
        row("", "today", "best"),
    ]
    for name, value in today["values"].items():
        lines.append(row(f"train.{name}", str(value), best["values"].get(name, "not read")))
    for title, kind in (("log loss", "losses"), ("log loss, fresh folds", "fresh")):
        lines.append(row(title, *(f"{np.mean(of[kind]):.4f}" for of in (today, best))))
    if best["values"] == today["values"]:
        return "\n".join([*lines, "Nothing better than today's values was found."])
    gain, error = found["gain"], found["gain_se"]
    lines.append(
        f"In the fresh folds, which chose nothing, the loss is {'lower' if gain > 0 else 'higher'} "
        f"by {abs(gain):.4f}, standard error {error:.4f}: "
        f"{'better' if gain > CLEAR * error else 'not clearly better'} than today."
    )
    command = ["dvc", "exp", "run", f"report@{cohort}"]
    for name, value in best["values"].items():
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        command += ["-S", f"{setting}{name}={text}"]
    return "\n".join([*lines, shlex.join(command)])


def _load(
    paths: Paths, entry: CohortParams, params: PreprocessParams, fold: Fold
) -> tuple[Cohort, FoldImages]:
    cohort, _ = read_split_cohort(paths)
    return cohort, fold_images(cohort, fold, entry, params)


def _subject(paths: Paths, params: Params, names: set[str]) -> dict[str, Any]:
    """What all trials of a study have in common, as JSON has it."""
    entry = params.cohort(paths.cohort)
    return {
        "`tune`": _space(params.tune, names),
        "`train`": params.train.model_dump(exclude={*names, "members", "cv_members"}),
        "`preprocess`": params.preprocess.model_dump(),
        "`channels`": [*entry.channels],
        "`image`": [*entry.image],
        "samples (cohort.h5ad)": sha256(paths.data("cohort.h5ad")),
        "patients (splits.parquet)": sha256(paths.data("splits.parquet")),
    }


def _space(space: TuneParams, names: set[str] | None = None) -> dict[str, Any]:
    """The section `tune`, of these parameters only."""
    ranges = {
        kind: getattr(space, kind).model_dump(exclude_none=True, include=names)
        for kind in ("choices", "uniform", "log_uniform")
    }
    return ranges | {"folds": space.folds, "seed": space.seed}
