"""The arrays of one fold, everything fitted on its training samples only."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort, read_cohort
from ..core.errors import ArtifactError
from ..core.params import CohortParams, PreprocessParams
from ..core.project import Paths
from ..core.storage import read_npy, read_parquet, remedy
from .layout import Genome
from .preprocessing import features, fit
from .preprocessor import Preprocessor, to_images
from .splits import Fold, assert_disjoint


def read_split_cohort(paths: Paths) -> tuple[Cohort, pd.DataFrame]:
    """The cohort and its splits table; `ArtifactError` when they are not of the same samples."""
    cohort = read_cohort(paths.data("cohort.h5ad"))
    splits, _ = read_parquet(paths.data("splits.parquet"))
    if "sample" not in splits or list(splits["sample"]) != list(cohort.samples.index):
        raise ArtifactError(
            f"{paths.data('splits.parquet')} is not of the samples in "
            f"{paths.data('cohort.h5ad')}. Run `oncopixel preprocess {paths.cohort}` or "
            "`dvc repro`."
        )
    return cohort, splits


def read_images(paths: Paths, cohort: Cohort, shape: tuple[int, int, int]) -> np.ndarray:
    """`(samples, *shape)` float32 images of all samples, memory-mapped; else `ArtifactError`."""
    path = paths.data("images.npy")
    images = read_npy(path)
    expected = (len(cohort.samples), *shape)
    if images.shape != expected or images.dtype != np.float32:
        raise ArtifactError(
            f"{path} holds {images.dtype} numbers of shape {images.shape}, where the cohort has "
            f"float32 images of {expected}. {remedy(path)}"
        )
    return images


@dataclass(frozen=True)
class FoldArrays:
    """What a model sees of one fold; features are `(samples, genes, channels)`, standardised."""

    preprocessor: Preprocessor
    train_features: np.ndarray
    train_y: np.ndarray
    train_patients: np.ndarray
    held_out_features: np.ndarray


def fold_arrays(
    cohort: Cohort, fold: Fold, entry: CohortParams, params: PreprocessParams
) -> FoldArrays:
    """A fold's training and held-out features, by a preprocessor fitted on its training samples."""
    assert_disjoint(cohort.patients, fold.train, fold.held_out)
    train = cohort.take(fold.train)
    preprocessor = fit(train, params, channels=entry.channels, image=entry.shape)
    return FoldArrays(
        preprocessor=preprocessor,
        train_features=features(preprocessor, train),
        train_y=train.y,
        train_patients=train.patients,
        held_out_features=features(preprocessor, cohort.take(fold.held_out)),
    )


class FoldImages(NamedTuple):
    """A fold's images, `(samples, height, width, channels)` float32."""

    train: np.ndarray
    held_out: np.ndarray
    genome: Genome | None


def fold_images(
    cohort: Cohort, fold: Fold, entry: CohortParams, params: PreprocessParams
) -> FoldImages:
    """A fold's training and held-out images, by a preprocessor fitted on its training samples."""
    arrays = fold_arrays(cohort, fold, entry, params)
    pre = arrays.preprocessor
    train, held_out = (
        to_images(pre, part) for part in (arrays.train_features, arrays.held_out_features)
    )
    return FoldImages(train, held_out, pre.genome)


def prediction_rows(
    cohort: Cohort, fold: Fold, model: str, probabilities: np.ndarray
) -> pd.DataFrame:
    """The predictions table of one model on a fold's held-out samples.

    Returns
    -------
    Columns `sample`, `model`, `part` ("cv" or "test"), `repeat`, `fold` (-1 for the test set) and
    `p_0` … `p_{K-1}`, the probability of each class in the order of `cohort.classes`.
    """
    held_out = cohort.samples.index[fold.held_out]
    frame = pd.DataFrame({"sample": held_out.astype(str), "model": model})
    frame["part"] = "test" if fold.repeat < 0 else "cv"
    frame["repeat"], frame["fold"] = fold.repeat, fold.fold
    for k in range(len(cohort.classes)):
        frame[f"p_{k}"] = probabilities[:, k].astype(np.float64)
    return frame
