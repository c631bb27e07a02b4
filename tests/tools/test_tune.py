"""A search finds better values, goes on where it ended, and never sees the test set."""

import copy
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from oncopixel.cli import main
from oncopixel.cohort.contract import read_cohort, write_cohort
from oncopixel.core.errors import ArtifactError, OncopixelError, ParamsError
from oncopixel.core.params import Params, TrainParams, parse_params, read_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import read_json, write_json
from oncopixel.images.folds import read_split_cohort
from oncopixel.images.splits import final_fold
from oncopixel.stages import ingest, preprocess
from oncopixel.tools.study import open_study, search
from oncopixel.tools.tune import describe, set_by, tuned_parameters

SUBJECT = {"samples": "these", "`tune`": [1, 2]}


@pytest.fixture
def params(raw_params: dict) -> Params:
    return parse_params(raw_params)


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


class Bowl:
    """Losses that are least at dropout 0.3 and learning rate 0.003, and rise with the fold."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.given: list[TrainParams] = []
        self.interrupt_at = interrupt_at

    def __call__(self, train: TrainParams) -> Iterator[float]:
        TrainParams.model_validate(train.model_dump())
        self.given.append(train)
        for fold in range(3):
            if fold and len(self.given) == self.interrupt_at:
                raise KeyboardInterrupt
            yield (
                (train.dropout - 0.3) ** 2
                + np.log10(train.learning_rate / 0.003) ** 2
                + len(train.filters) / 100
                + fold / 10
            )


def found_by(file: Path, params: Params, losses: Any, trials: int, **options: Any) -> dict:
    names = tuned_parameters("simulated", params)
    study = open_study(file, SUBJECT)
    found = search(
        study, losses, Bowl(), params.tune, names, params.train, trials=trials, **options
    )
    return found | {"samples": 450, "space": {"folds": 3}}


def test_better_values_are_found_within_the_space_and_bad_trials_are_stopped(
    tmp_path: Path, params: Params
) -> None:
    bowl = Bowl()
    found = found_by(tmp_path / "study", params, bowl, 30)
    today, best = (float(np.mean(found[which]["losses"])) for which in ("today", "best"))
    assert best < today / 2
    assert found["gain"] == pytest.approx(today - best)
    assert found["gain_se"] == pytest.approx(0, abs=1e-9)  # all folds say the same
    assert len(found["trials"]) == 30
    stopped = [trial for trial in found["trials"] if trial["stopped"]]
    assert 3 <= len(stopped) <= 25
    assert {len(trial["losses"]) for trial in stopped} <= {1, 2}
    for trial in found["trials"]:
        values = trial["values"]
        assert values["filters"] in params.tune.choices.filters
        assert 0.2 <= values["dropout"] <= 0.7
        assert 1e-4 <= values["learning_rate"] <= 1e-2
        assert float(f"{values['learning_rate']:.3g}") == values["learning_rate"]
        assert ("weight_decay" in values) == (values["optimizer"] != "adam")
    assert len({trial["values"]["optimizer"] for trial in found["trials"]}) == 3


def test_a_study_that_was_interrupted_goes_on_as_one_without_a_break(
    tmp_path: Path, params: Params
) -> None:
    whole = found_by(tmp_path / "whole", params, Bowl(), 16)
    with pytest.raises(KeyboardInterrupt):
        found_by(tmp_path / "broken", params, Bowl(interrupt_at=14), 16)
    with (tmp_path / "broken").open("a") as stream:
        stream.write('{"op_code": ')  # and the disk was full
    rest = Bowl()
    assert found_by(tmp_path / "broken", params, rest, 16) == whole
    assert len(rest.given) < 5
    nothing = Bowl()
    assert found_by(tmp_path / "broken", params, nothing, 16) == whole
    assert not nothing.given


def test_no_trial_begins_after_the_time_is_over(tmp_path: Path, params: Params) -> None:
    found = found_by(tmp_path / "study", params, Bowl(), 5, deadline=-np.inf)
    assert found["trials"] == []
    assert found["best"] == found["today"]
    assert "Nothing better than today's values was found." in describe("simulated", found)


def test_trials_that_diverge_are_passed_over(tmp_path: Path, params: Params) -> None:
    def losses(train: TrainParams) -> Iterator[float]:
        yield from Bowl()(train) if train.optimizer == "adamw" else (np.inf,)

    found = found_by(tmp_path / "study", params, losses, 12)
    write_json(tmp_path / "found.json", found)
    diverged = [t for t in found["trials"] if t["values"]["optimizer"] != "adamw"]
    assert diverged
    assert all(trial["stopped"] and trial["losses"] == [None] for trial in diverged)
    assert found["best"]["values"]["optimizer"] == "adamw"


def test_the_best_values_are_told_as_dvc_takes_them(
    tmp_path: Path, params: Params, raw_params: dict
) -> None:
    found = found_by(tmp_path / "study", params, Bowl(), 10)
    *_, said, command = describe("simulated", found).splitlines()
    assert f"lower by {found['gain']:.4f}, standard error 0.0000: better than" in said
    worse = describe("simulated", found | {"gain": -0.02, "gain_se": 0.015}).splitlines()[-2]
    assert "higher by 0.0200, standard error 0.0150: not clearly better than" in worse
    words = shlex.split(command)
    assert words[:4] == ["dvc", "exp", "run", "report@simulated"]
    raw = copy.deepcopy(raw_params)
    for setting in words[5::2]:
        name, _, value = setting.removeprefix("train.").partition("=")
        raw["train"][name] = yaml.safe_load(value)
    changed = parse_params(raw).train
    assert {name: getattr(changed, name) for name in found["best"]["values"]} == found["best"][
        "values"
    ]


def test_the_command_sets_the_values_where_the_cohort_has_them(
    tmp_path: Path, params: Params, raw_params: dict
) -> None:
    assert set_by("luad-keap1", params) == "train."
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"]["train"] = {"dropout": 0.5}
    found = found_by(tmp_path / "study", params, Bowl(), 10)
    said = describe("simulated", found, set_by("simulated", parse_params(raw))).splitlines()[-1]
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(raw))
    apply_overrides(file, shlex.split(said)[5::2])
    changed = read_params(file)
    assert changed.train == params.train
    own = changed.of("simulated").train
    best = found["best"]["values"]
    assert {name: getattr(own, name) for name in best} == best


def test_a_study_of_something_else_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    open_study(tmp_path / "study", SUBJECT)
    open_study(tmp_path / "study", SUBJECT)
    with pytest.raises(ArtifactError, match=r"begun with other samples, so .*--study"):
        open_study(tmp_path / "study", SUBJECT | {"samples": "others"})
    lines = (tmp_path / "study").read_text().splitlines()
    for text in ("one line", "gene\tsample\nTP53\t1", "\n".join([*lines[:1], "{", *lines, ""])):
        (tmp_path / "other").write_text(text)
        with pytest.raises(ArtifactError, match="is no study, or damaged"):
            open_study(tmp_path / "other", SUBJECT)
        assert (tmp_path / "other").read_text() == text


def test_only_what_changes_the_network_is_tuned(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    with pytest.raises(ParamsError, match="the network of luad-keap1 has nothing to tune"):
        tuned_parameters("luad-keap1", parse_params(raw))
    raw["train"]["model"] = "paper"
    names = {"optimizer", "learning_rate", "weight_decay", "mixup"}
    assert tuned_parameters("luad-keap1", parse_params(raw)) == names
    raw["tune"] |= {"uniform": {"dropout": [0.2, 0.5]}, "log_uniform": {}}
    raw["tune"]["choices"] = {"filters": [[8]]}
    with pytest.raises(ParamsError, match=r"names no parameter of `train\.model: paper`"):
        tuned_parameters("luad-keap1", parse_params(raw))


def test_without_optuna_one_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OncopixelError, match=r"pip install 'oncopixel\[tune\]'"):
        open_study(tmp_path / "study", SUBJECT)


def tiny(raw: dict) -> dict:
    """The real parameters for 80 samples of 100 genes."""
    raw = copy.deepcopy(raw)
    entry = raw["cohorts"]["simulated"]
    entry["source"] |= {"n_samples": 80, "n_genes": 100, "n_markers": 10, "n_modules": 4}
    raw["cohorts"] = {"simulated": entry | {"external": None, "image": [10, 10]}}
    raw["train"] |= {"epochs": 2, "patience": 2}
    raw["tune"]["folds"] = 2
    return raw


@pytest.mark.slow
@pytest.mark.filterwarnings(  # Keras 3.15 under NumPy 2
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)
def test_the_command_tunes_and_the_test_set_has_no_part_in_it(
    tmp_path: Path,
    raw_params: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    raw, paths = tiny(raw_params), Paths(tmp_path, "simulated")
    params = parse_params(raw)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    write_json(paths.report("validation.json"), {"failed": {"critical": []}})
    with joblib.parallel_config("sequential"):
        ingest.run(paths, params)
        preprocess.run(paths, params)

    def tune(*options: str) -> dict:
        arguments = ["tune", "simulated", "--trials", "3", *options]
        monkeypatch.setattr(sys, "argv", ["oncopixel", *arguments])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return read_json(paths.report("tuning.json"))

    found = tune()
    assert "3 trials, 0 of them stopped early, in 2 folds of the" in capsys.readouterr().out
    assert len(found["trials"]) == 3
    assert all(np.isfinite(trial["losses"]).all() for trial in found["trials"])
    assert len({json.dumps(trial["losses"]) for trial in found["trials"]}) > 1
    assert paths.data("tune/study.jsonl").is_file()
    assert tune() == found

    cohort, splits = read_split_cohort(paths)
    test = final_fold(splits).held_out
    assert found["samples"] == len(splits) - len(test)
    for layer in cohort.data.layers.values():
        layer[test] = 0
    cohort.data.obs["label"] = pd.Categorical(
        np.where(splits["part"] == "test", cohort.classes[0], cohort.data.obs["label"])
    )
    write_cohort(paths.data("cohort.h5ad"), cohort)
    assert (read_cohort(paths.data("cohort.h5ad")).y[test] == 0).all()
    assert tune("--study", "other.jsonl") == found
