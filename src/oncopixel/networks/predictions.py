"""What an ensemble says of a fold's held-out samples, as rows of the predictions table."""

import keras
import numpy as np
import pandas as pd
from scipy.special import softmax

from ..cohort.contract import Cohort
from ..images.folds import prediction_rows
from ..images.splits import Fold
from .architectures import exact_paths, predict_logits


def ensemble_rows(
    cohort: Cohort, fold: Fold, ensemble: keras.Model, images: np.ndarray
) -> pd.DataFrame:
    """Predictions `cnn`, and `exact_paths` for a network that has them; see `prediction_rows`.

    `images` are those of the fold's held-out samples. A probability is the mean over the members.
    """
    models = {"cnn": ensemble, "exact_paths": exact_paths(ensemble)}
    return pd.concat(
        [
            prediction_rows(
                cohort, fold, name, softmax(predict_logits(model, images), axis=-1).mean(axis=1)
            )
            for name, model in models.items()
            if model is not None
        ],
        ignore_index=True,
    )
