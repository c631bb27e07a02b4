"""A study of Optuna's in a file: proposals by TPE, and trials that are scored fold after fold."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ArtifactError, OncopixelError, one_line
from ..core.params import TrainParams, TuneParams

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

Losses = Callable[[TrainParams], Iterable[float]]
"""The held-out log loss in each fold."""
DIGITS = 3
"""Significant ones of a value from a range."""
RANDOM_TRIALS = 10
"""Before the first that TPE proposes; half as many before the first that may be stopped."""


def open_study(file: Path, subject: dict[str, Any]) -> "optuna.Study":
    """The study in a file, begun there if it is new.

    Parameters
    ----------
    subject
        What its trials have in common, as JSON has it.

    Returns
    -------
    No trial of it is running; one that was interrupted has failed.

    Raises
    ------
    ArtifactError
        The file holds something else, or the study of another subject.
    """
    library = load_optuna()
    try:
        _drop_half_a_line(file)
        backend = library.storages.journal.JournalFileBackend(str(file))
        study: optuna.Study = library.create_study(
            storage=library.storages.JournalStorage(backend),
            pruner=library.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS // 2),
            study_name="tune",
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{file} is no study, or damaged ({one_line(error)}). Delete it, or name another with "
            "--study."
        ) from error
    known = study.user_attrs.get("subject", subject)
    other = [key for key in subject if known.get(key) != subject[key]]
    if other:
        raise ArtifactError(
            f"{file} was begun with other {', '.join(other)}, so its trials do not compare with "
            "new ones. Delete it, or name another with --study."
        )
    study.set_user_attr("subject", subject)
    for trial in study.get_trials(states=[library.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=library.trial.TrialState.FAIL)
    return study


def search(
    study: "optuna.Study",
    losses: Losses,
    fresh: Losses,
    space: TuneParams,
    names: set[str],
    train: TrainParams,
    *,
    trials: int,
    deadline: float = np.inf,
) -> dict[str, Any]:
    """`today`, `best`, `gain`, `gain_se` and `trials` of `tuning.json`; see `tune.run`.

    Parameters
    ----------
    losses, fresh
        In the folds that score trials, and in others.
    names
        The parameters of the space that are tuned.
    train
        Today's values.
    deadline
        Of `time.monotonic`: no trial begins after it.

    Returns
    -------
    The same as if the study had never been interrupted.
    """
    today = {name: getattr(train, name) for name in sorted(names)}

    def remembered(kind: str, compute: Losses, values: dict[str, Any]) -> list[float]:
        key = f"{kind} {json.dumps(values, sort_keys=True)}"
        if key not in study.user_attrs:
            study.set_user_attr(key, list(compute(train.model_copy(update=values))))
        return list(study.user_attrs[key])

    before = remembered("losses", losses, today)
    log.info("today's values: log loss %.4f", np.mean(before))
    while len(ended := _ended(study)) < trials and time.monotonic() < deadline:
        trial, values = _ask(study, len(ended), space, train, names)
        said = _try(trial, losses(train.model_copy(update=values)), space.folds)
        log.info("trial %d of %d: %s", len(ended) + 1, trials, said)
    whole = [trial.user_attrs for trial in ended if not _was_stopped(trial)]
    candidates = [(today, before), *((of["values"], of["losses"]) for of in whole)]
    scores = [
        {"values": values, "losses": found, "fresh": remembered("fresh", fresh, values)}
        for values, found in (candidates[0], min(candidates, key=lambda one: np.mean(one[1])))
    ]
    gain = np.subtract(*(np.array(score["fresh"]) for score in scores))
    return {
        "today": scores[0],
        "best": scores[1],
        "gain": float(gain.mean()),
        "gain_se": float(gain.std(ddof=1) / np.sqrt(len(gain))),
        "trials": [
            {
                "values": trial.user_attrs["values"],
                "losses": trial.user_attrs["losses"],
                "stopped": _was_stopped(trial),
            }
            for trial in ended
        ],
    }


def load_optuna() -> Any:
    """Optuna, which is an extra; `OncopixelError` without it."""
    try:
        import optuna
    except ImportError:
        raise OncopixelError(
            "`oncopixel tune` needs Optuna. Install it: pip install 'oncopixel[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _drop_half_a_line(file: Path) -> None:
    """Removes what a full disk left of the last entry; `ValueError` for another kind of file."""
    content = file.read_bytes() if file.exists() else b""
    if content and not content.startswith(b'{"op_code":'):
        raise ValueError("it does not begin as one")
    if not content.endswith(b"\n"):
        file.write_bytes(content[: content.rfind(b"\n") + 1])


def _ask(
    study: "optuna.Study", number: int, space: TuneParams, train: TrainParams, names: set[str]
) -> tuple["optuna.Trial", dict[str, Any]]:
    """A trial and its values; the seed is its own, so that a study may go on where it ended."""
    seed = int(np.random.default_rng([space.seed, number]).integers(2**31))
    sampler = load_optuna().samplers.TPESampler
    study.sampler = sampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
    trial = study.ask()
    values = suggest(trial, space, train, names)
    trial.set_user_attr("values", values)
    return trial, values


def suggest(
    trial: "optuna.Trial", space: TuneParams, train: TrainParams, names: set[str]
) -> dict[str, Any]:
    """A trial's values of the parameters `names`; no weight decay where the optimiser has none."""
    values: dict[str, Any] = {}
    for name, options in space.choices.model_dump(exclude_none=True, include=names).items():
        texts = [json.dumps(option) for option in options]
        values[name] = json.loads(trial.suggest_categorical(name, texts))
    for ranges, log_scale in ((space.uniform, False), (space.log_uniform, True)):
        for name, (low, high) in ranges.model_dump(exclude_none=True, include=names).items():
            if isinstance(low, int):
                values[name] = trial.suggest_int(name, low, high, log=log_scale)
            else:
                exact = trial.suggest_float(name, low, high, log=log_scale)
                values[name] = min(max(float(f"{exact:.{DIGITS}g}"), low), high)
    if values.get("optimizer", train.optimizer) == "adam":
        values.pop("weight_decay", None)
    return values


def _try(trial: "optuna.Trial", losses: Iterable[float], folds: int) -> str:
    """Tells Optuna how a trial goes, which ends when it is worse than most; in words."""
    found: list[float] = []
    for fold, loss in enumerate(losses):
        found.append(loss)
        if np.isfinite(loss):
            trial.report(float(np.mean(found)), fold)
        if not np.isfinite(loss) or (fold + 1 < folds and trial.should_prune()):
            trial.set_user_attr("losses", [one if np.isfinite(one) else None for one in found])
            trial.study.tell(trial.number, state=load_optuna().trial.TrialState.PRUNED)
            return f"stopped after {fold + 1} of {folds} folds"
    trial.set_user_attr("losses", found)
    trial.study.tell(trial.number, float(np.mean(found)))
    return f"log loss {np.mean(found):.4f}"


def _was_stopped(trial: "optuna.trial.FrozenTrial") -> bool:
    return bool(trial.state == load_optuna().trial.TrialState.PRUNED)


def _ended(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    state = load_optuna().trial.TrialState
    return study.get_trials(deepcopy=False, states=[state.COMPLETE, state.PRUNED])
