"""Which patients are tested, and which fold every other patient is in.

A patient is never on two sides. With `group_by: site` a whole tissue source site is never on two
sides either, which shows how a model fares at a hospital that it has not seen.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort
from ..core.errors import LabelError
from ..core.params import SplitParams

FINEST = 10
"""A held-out fraction is met as m of n equal parts, with n at most this many."""
ATTEMPTS = 20
"""Shuffles tried for a balanced split; sites differ in size, so the first is often poor."""
BALANCED = 0.02
"""A class's share of a part may be off by this much before another shuffle is tried."""
FINAL_FOLD = "final"
TUNING = 2**20
"""No repeat has this number, so tuning draws folds of its own."""


class LeakageError(AssertionError):
    """A patient is in the training and in the held-out samples: a bug, never a user's mistake."""


@dataclass(frozen=True)
class Fold:
    """Row positions of one training set and of the samples that it must not see."""

    name: str
    repeat: int
    fold: int
    train: np.ndarray
    held_out: np.ndarray


def make_splits(cohort: Cohort, params: SplitParams) -> pd.DataFrame:
    """A row per sample, in cohort order, which has no say: the split depends on the seed.

    Returns
    -------
    Columns `sample`, `patient`, `group` (the patient or the site: what is never on two sides),
    `part` ("development" or "test") and `repeat_<r>`, the fold index, -1 for test samples. Test set
    and folds are stratified by label.

    Raises
    ------
    LabelError
        A class has too few patients (or sites) to be in every part.
    """
    y, patients = cohort.y, cohort.patients
    groups = patients if params.group_by == "patient" else _sites(cohort)
    unit = "patients" if params.group_by == "patient" else "sites"
    folds = f"{params.folds} folds"
    _require(y, groups, params.folds + 1, f"a test set and {folds}", unit, cohort.classes)
    development, test = _hold_out(y, groups, params.test_fraction, params.seed, unit)
    y_left, groups_left = y[development], groups[development]
    _require(
        y_left, groups_left, params.folds, f"{folds} beside the test set", unit, cohort.classes
    )

    splits = pd.DataFrame({"sample": cohort.samples.index.astype(str), "patient": patients})
    splits["group"] = groups
    splits["part"] = np.where(np.isin(np.arange(len(y)), test), "test", "development")
    for repeat in range(params.repeats):
        fold = np.full(len(y), -1, dtype=np.int64)
        seeds = [params.seed, repeat + 1]
        fold[development] = _folds(y_left, groups_left, params.folds, seeds, unit)
        splits[f"repeat_{repeat}"] = fold
    for split in [*cv_folds(splits), final_fold(splits)]:
        for units in (patients, groups):
            assert_disjoint(units, split.train, split.held_out)
    return splits


def cv_folds(splits: pd.DataFrame) -> list[Fold]:
    """Every fold of every repeat, named "r0f0", "r0f1", …; test samples are on neither side."""
    development = (splits["part"] == "development").to_numpy()
    return [
        Fold(
            name=f"r{repeat}f{fold}",
            repeat=repeat,
            fold=fold,
            train=np.flatnonzero(development & (of_sample != fold)),
            held_out=np.flatnonzero(development & (of_sample == fold)),
        )
        for repeat, of_sample in _repeats(splits)
        for fold in range(of_sample.max() + 1)
    ]


def final_fold(splits: pd.DataFrame) -> Fold:
    """The fold named "final": all development samples against the test set."""
    test = (splits["part"] == "test").to_numpy()
    return Fold(FINAL_FOLD, -1, -1, np.flatnonzero(~test), np.flatnonzero(test))


def tuning_folds(
    splits: pd.DataFrame, y: np.ndarray, n_folds: int, seed: int, draw: int
) -> list[Fold]:
    """Folds of the development samples drawn anew, groups whole; test samples are in none.

    Parameters
    ----------
    draw
        Another number gives other folds.

    Returns
    -------
    All of one repeat; their union is the development samples.

    Raises
    ------
    LabelError
        A class has too few groups to be in every fold.
    """
    rows = np.flatnonzero(splits["part"] == "development")
    groups = splits["group"].to_numpy()
    _require(y[rows], groups[rows], n_folds, f"{n_folds} folds", "groups", setting="tune.folds")
    fold = np.full(len(splits), -1, dtype=np.int64)
    fold[rows] = _folds(y[rows], groups[rows], n_folds, [seed, TUNING, draw], "groups")
    folds = cv_folds(splits[["part"]].assign(repeat_0=fold))
    for one in folds:
        for units in (groups, splits["patient"].to_numpy()):
            assert_disjoint(units, one.train, one.held_out)
    return folds


def inner_split(
    y: np.ndarray, patients: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions to fit on and, about `fraction`, to validate on: whole patients, classes alike."""
    _require(y, patients, 2, "a training and a validation set", "patients")
    fit, validation = _hold_out(y, patients, fraction, seed, "patients")
    assert_disjoint(patients, fit, validation)
    return fit, validation


def assert_disjoint(patients: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> None:
    """Nothing, or `LeakageError` that names the patients on both sides."""
    both = np.intersect1d(patients[train], patients[held_out])
    if len(both):
        named = ", ".join(both[:5]) + (", …" if len(both) > 5 else "")
        raise LeakageError(f"{len(both)} patients are both in training and held out: {named}")


def _repeats(splits: pd.DataFrame) -> Iterator[tuple[int, np.ndarray]]:
    """Number and `(samples,)` fold index of each repeat."""
    for repeat in range(sum(column.startswith("repeat_") for column in splits.columns)):
        yield repeat, splits[f"repeat_{repeat}"].to_numpy()


def _sites(cohort: Cohort) -> np.ndarray:
    """`(samples,)` tissue source site; `LabelError` when sites cannot be held out whole."""
    sites: np.ndarray = cohort.samples["site"].to_numpy(dtype=str)
    remedy = "Give the sites in the sample sheet (`site_column`), or set split.group_by to patient."
    if (sites == "").any():
        first = cohort.samples.index[sites == ""][0]
        raise LabelError(
            f"split.group_by is site, but {(sites == '').sum()} of {len(sites)} samples have no "
            f"site (the first is {first}). {remedy}"
        )
    pairs = pd.DataFrame({"patient": cohort.patients, "site": sites}).drop_duplicates()
    moved = sorted(pairs["patient"][pairs["patient"].duplicated()])
    if moved:
        raise LabelError(
            f"split.group_by is site, but patient {moved[0]} has samples from more than one site "
            f"({len(moved)} such patients). {remedy}"
        )
    return sites


def _require(
    y: np.ndarray,
    groups: np.ndarray,
    needed: int,
    purpose: str,
    unit: str,
    classes: list[str] | None = None,
    setting: str = "split.folds",
) -> None:
    """Nothing, or `LabelError` for the first class that fewer than `needed` groups have."""
    for label in range(len(classes) if classes else int(y.max()) + 1):
        found = len(np.unique(groups[y == label]))
        if found < needed:
            name = repr(classes[label]) if classes else f"number {label}"
            raise LabelError(
                f"class {name} has {found} {unit}, but {purpose} need at least {needed}. "
                f"Add samples, drop the class (`classes` of the cohort), or lower {setting}."
            )


def _hold_out(
    y: np.ndarray, groups: np.ndarray, fraction: float, seed: int, unit: str
) -> tuple[np.ndarray, np.ndarray]:
    """Positions that stay and positions held out: m of n equal parts, m / n near `fraction`."""
    rarest = min(len(np.unique(groups[y == label])) for label in np.unique(y))
    finest = min(FINEST, rarest)
    share = Fraction(fraction).limit_denominator(finest)
    share = min(max(share, Fraction(1, finest)), Fraction(finest - 1, finest))
    runs = (
        (parts - first) % share.denominator < share.numerator
        for parts in _shuffles(y, groups, share.denominator, [seed, 0])
        for first in range(share.denominator)
    )
    held_out = _pick(runs, lambda run: _imbalance(y, run, float(share)))
    if held_out is None:
        raise _no_split(
            groups, unit, f"about {fraction:.0%} held out and every class on both sides"
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _folds(
    y: np.ndarray, groups: np.ndarray, n_folds: int, seeds: list[int], unit: str
) -> np.ndarray:
    """`(samples,)` fold index, whole groups, every class in every fold."""

    def imbalance(parts: np.ndarray) -> float:
        return max(_imbalance(y, parts == fold, 1 / n_folds) for fold in range(n_folds))

    folds = _pick(_shuffles(y, groups, n_folds, seeds), imbalance)
    if folds is None:
        raise _no_split(groups, unit, f"{n_folds} folds and every class in each")
    return folds


def _no_split(groups: np.ndarray, unit: str, wish: str) -> LabelError:
    return LabelError(
        f"no split of {len(np.unique(groups))} {unit} was found with {wish}. "
        "Lower split.folds, or set split.group_by to patient."
    )


def _shuffles(
    y: np.ndarray, groups: np.ndarray, n_parts: int, seeds: list[int]
) -> Iterator[np.ndarray]:
    """`(samples,)` part 0 … n - 1, whole groups and stratified, from one shuffle after another."""
    from sklearn.model_selection import StratifiedGroupKFold

    for attempt in range(ATTEMPTS):
        state = int(np.random.default_rng([*seeds, attempt]).integers(2**31))
        folds = StratifiedGroupKFold(n_splits=n_parts, shuffle=True, random_state=state)
        parts = np.empty(len(y), dtype=np.int64)
        for part, (_, held_out) in enumerate(folds.split(y, y, groups)):
            parts[held_out] = part
        yield parts


def _pick(
    candidates: Iterable[np.ndarray], cost: Callable[[np.ndarray], float]
) -> np.ndarray | None:
    """The first candidate that is balanced well enough, otherwise the best; None without any."""
    best, lowest = None, np.inf
    for candidate in candidates:
        value = cost(candidate)
        if value < lowest:
            best, lowest = candidate, value
        if lowest <= BALANCED:
            break
    return best


def _imbalance(y: np.ndarray, held_out: np.ndarray, share: float) -> float:
    """Most by which a class's held-out share is off, one sample forgiven; infinite if one-sided."""
    size = np.bincount(y)
    present = size > 0
    held, size = np.bincount(y, weights=held_out)[present], size[present]
    if (held == 0).any() or (held == size).any():
        return np.inf
    return float(np.maximum((np.abs(held - share * size) - 1) / size, 0).max())
