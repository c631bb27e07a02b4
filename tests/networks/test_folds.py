"""Members of an ensemble are trained side by side, and are what one process would have made."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from oncopixel.core.params import read_params
from oncopixel.core.storage import sha256, write_keras
from oncopixel.images.folds import FoldImages
from oncopixel.images.layout import Genome
from oncopixel.images.splits import Fold
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.folds import Files, train_folds
from oncopixel.networks.training import set_up

N, SHAPE = 120, (10, 10, 1)
GENOME = Genome((0,), tuple(tuple(range(k, k + 20)) for k in range(0, 100, 20)))
COHORT = SimpleNamespace(
    y=np.arange(N) % 2, patients=np.array([f"P{i}" for i in range(N)]), classes=["a", "b"]
)
EVERY = np.arange(N)
FOLDS = [Fold("r0f0", 0, 0, EVERY[20:], EVERY[:20]), Fold("final", -1, -1, EVERY[:90], EVERY[90:])]


def draw() -> np.ndarray:
    """Images of which class 1 has a gain somewhere on the first chromosome."""
    rng = np.random.default_rng(4)
    flat = rng.normal(scale=0.3, size=(N, 100)).astype(np.float32)
    for i, start in enumerate(rng.integers(0, 14, N)):
        flat[i, start : start + 6] += 3 * COHORT.y[i]
    return flat.reshape(N, *SHAPE)


def load(genome: Genome | None, fold: Fold) -> FoldImages:
    images = draw()
    return FoldImages(images[fold.train], images[fold.held_out], genome)


def train_both_ways(folder: Path) -> tuple[list, pd.DataFrame, dict, bool]:
    """What `train_folds` and `fit_ensemble` give, and whether their networks are the same bytes."""
    changes = {"members": 3, "cv_members": 1, "epochs": 4, "patience": 4}
    params = read_params(Path("params.yaml")).train.model_copy(update=changes)
    files = Files(folder / "ensemble.keras", folder / "live")
    found = train_folds(COHORT, FOLDS, partial(load, GENOME), params, folder, files)
    get_reusable_executor().shutdown()  # its workers keep this process for five minutes
    set_up(params)
    images, _, _ = load(GENOME, FOLDS[1])
    ensemble, history, chosen = fit_ensemble(
        images, COHORT.y[:90], COHORT.patients[:90], params,
        seeds=range(params.seed, params.seed + 3), n_classes=2, genome=GENOME,
    )  # fmt: skip
    write_keras(folder / "alone.keras", ensemble)
    same = sha256(files.ensemble) == sha256(folder / "alone.keras")
    return found, history, chosen, same


@pytest.mark.parametrize("processes", [1, 2])
def test_members_in_several_processes_are_the_ensemble_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", str(processes))
    # of the same seeds; TensorFlow's mean of an epoch may end in another digit after other tests
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        (fold, final), history, chosen, same = fresh.submit(train_both_ways, tmp_path).result()
    assert same
    assert final.chosen == chosen
    pd.testing.assert_frame_equal(final.history, history, check_exact=True)
    assert (fold.history["member"].nunique(), final.history["member"].nunique()) == (1, 3)
    assert {*final.probabilities} == {*fold.probabilities} == {"cnn", "linear_path"}
    assert final.probabilities["cnn"].shape == (30, 2)
    first = final.history[(final.history["member"] == 0) & (final.history["epoch"] > 0)]
    for column, file in {
        "loss": "train/loss",
        "val_loss": "eval/loss",
        "val_auc": "eval/auc",
    }.items():
        curve = pd.read_csv(
            tmp_path / "live/plots/metrics" / f"{file}.tsv", sep="\t", float_precision="round_trip"
        )
        assert curve.iloc[:, 1].tolist() == first[column].tolist()


def test_a_linear_path_has_no_members(tmp_path: Path) -> None:
    params = read_params(Path("params.yaml")).train
    assert params.members > 1
    files = Files(tmp_path / "ensemble.keras", tmp_path / "live")
    (final,) = train_folds(COHORT, FOLDS[1:], partial(load, None), params, tmp_path, files)
    assert (final.chosen["members"], final.chosen["convolutions"]) == (1, None)
    assert final.history.empty
    assert {*final.probabilities} == {"cnn"}
    assert files.ensemble.is_file()
