"""The samples of cross-validation and test, and what each model says of them."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.errors import ArtifactError
from ..core.params import EvaluateParams

CNN, LINEAR_PATH = "cnn", "linear_path"
PANEL = "panel_"
"""How the names of small linear scores begin, before their size."""
PARTS = {"cv": "development", "test": "test"}
"""Part of the predictions -> part of the samples that it must cover."""


@dataclass(frozen=True)
class Part:
    """The samples of one part in a fixed order, and what each model says of them."""

    y: np.ndarray
    """`(samples,)` class index."""
    weights: np.ndarray
    """`(1 + draws, samples)`: ones, then how often each bootstrap draw holds the sample."""
    probabilities: dict[str, np.ndarray]
    """By model, `(repeats, samples, classes)`."""
    folds: dict[str, np.ndarray]
    """By model, `(repeats, samples)`: the fold that predicted the sample."""
    patients: np.ndarray
    """`(samples,)` number of the patient."""
    groups: np.ndarray
    """`(samples,)` number of the group, which is the patient or the site."""
    rows: np.ndarray
    """`(samples,)` position in the table of all samples."""
    pairing: str
    """The same for two runs whose bootstrap draws hold the same patients in the same order."""


def arrange(
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    part: str,
    models: list[str],
    n_classes: int,
    params: EvaluateParams,
) -> Part:
    """One part's predictions as arrays; `ArtifactError` when they are not what they should be."""
    rows = np.flatnonzero(samples["part"] == PARTS[part])
    rows = rows[np.argsort(samples["sample"].to_numpy(dtype=str)[rows], kind="stable")]
    wanted = samples.iloc[rows]
    mine = predictions[predictions["part"] == part].sort_values(["model", "repeat", "sample"])
    columns = [f"p_{k}" for k in range(n_classes)]
    if [name for name in predictions if str(name).startswith("p_")] != columns:
        raise ArtifactError(f"the predictions are not of {n_classes} classes. Run `dvc repro`.")
    raw = mine[columns].to_numpy(dtype=np.float64)
    if not np.all((raw >= 0) & (raw <= 1)) or not np.allclose(raw.sum(axis=1), 1, atol=1e-4):
        raise ArtifactError(
            f"the {part} predictions are no probabilities: some are not in [0, 1] or do not sum to "
            "1. The model diverged, or the file was changed; train again with `dvc repro`."
        )
    raw /= raw.sum(axis=1, keepdims=True)
    repeats = sorted(set(mine["repeat"]))
    probabilities, folds = {}, {}
    for model in models:
        own = (mine["model"] == model).to_numpy()
        expected = np.tile(wanted["sample"].to_numpy(), len(repeats))
        if not own.any() or not np.array_equal(mine["sample"].to_numpy()[own], expected):
            raise ArtifactError(
                f"the {part} predictions of {model} are not one per {PARTS[part]} sample and "
                "repeat: they come from another split. Run `dvc repro`."
            )
        probabilities[model] = raw[own].reshape(len(repeats), len(wanted), n_classes)
        folds[model] = mine["fold"].to_numpy()[own].reshape(len(repeats), len(wanted))
    patient, group = (
        np.unique(wanted[unit].to_numpy(dtype=str), return_inverse=True)[1]
        for unit in ("patient", "group")
    )
    n = int(group.max()) + 1
    rng = np.random.default_rng([params.seed, list(PARTS).index(part)])
    draws = rng.multinomial(n, np.full(n, 1 / n), size=params.bootstrap)[:, group]
    weights = np.vstack([np.ones(len(wanted)), draws])
    y = wanted["y"].to_numpy(dtype=np.intp)
    who = wanted[["sample", "patient", "group", "y"]].to_csv(index=False)
    pairing = hashlib.sha256(f"{params.seed}\n{who}".encode()).hexdigest()[:16]
    return Part(y, weights, probabilities, folds, patient, group, rows, pairing)
