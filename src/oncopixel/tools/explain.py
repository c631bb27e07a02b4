"""What moved the score of each sample: genes, and bands by copy number."""

import numpy as np
import pandas as pd

from ..cohort.genes import bands
from ..images.preprocessor import LOCAL, Preprocessor, to_features, to_images
from ..markers.attribution import integrated_gradients
from ..networks.saved import Ensemble, predict_logits

SHOWN = 20
"""Contributions of a sample that are listed; the others are one sum."""
OTHERS, AVERAGE, SCORE = "all others", "average sample", "score"


def explain_samples(
    network: Ensemble,
    pre: Preprocessor,
    values: np.ndarray,
    samples: pd.Index,
    probabilities: np.ndarray,
) -> tuple[pd.DataFrame, float]:
    """What moved each sample's score away from that of the average training sample.

    Parameters
    ----------
    values
        `(samples, genes, channels)` features.
    probabilities
        `(samples, classes)`: of more than two classes the likeliest is explained, of two the last.

    Returns
    -------
    table, error
        Columns sample, class, channel, name (gene; of copy number the band), value (standardised;
        of a band the mean) and contribution (logits of the class against the rest). Of each sample
        the `SHOWN` largest, then the sum of the others, the score of the average sample, and the
        sample's score, which is the sum of all these but for the second result, the largest
        relative error of any sample.
    """
    images, nothing = to_images(pre, values), np.zeros(pre.shape, np.float32)
    two = probabilities.shape[1] == 2
    targets = np.ones(len(values), int) if two else probabilities.argmax(axis=1)
    group, kinds = _units(pre)
    mean = _summed(values, group) / np.bincount(group)
    tables: dict[int, pd.DataFrame] = {}
    error = 0.0
    for target in np.unique(targets):
        rows = np.flatnonzero(targets == target)
        found = integrated_gradients(network, images[rows], nothing, int(target), steps=256)
        parts = _summed(to_features(pre, found.pixels), group)
        scores = _score(network, np.concatenate([images[rows], nothing[None]]), int(target))
        error = max(error, float(found.completeness.max()))
        for row, part, score in zip(rows, parts, scores, strict=False):
            first = np.argsort(-np.abs(part), kind="stable")[:SHOWN]
            named = kinds.iloc[first].assign(value=mean[row, first], contribution=part[first])
            sums = [part.sum() - part[first].sum(), scores[-1], score]
            ends = pd.DataFrame({"name": [OTHERS, AVERAGE, SCORE], "contribution": sums})
            table = pd.concat([named, ends], ignore_index=True)
            table.insert(0, "sample", str(samples[row]))
            table.insert(1, "class", pre.classes[target])
            tables[int(row)] = table
    return pd.concat([tables[row] for row in sorted(tables)], ignore_index=True), error


def _units(pre: Preprocessor) -> tuple[np.ndarray, pd.DataFrame]:
    """`(genes * channels,)` number of what each feature is part of; channel and name of these."""
    genes = pre.genes
    if "band" in genes:
        band = genes["band"].astype(str).to_numpy()
    else:
        band = np.array(bands(genes["chromosome"], genes["start"]), dtype=str)
    gene = genes["gene"].to_numpy(dtype=str)
    names = [np.where(band == "", gene, band) if of in LOCAL else gene for of in pre.channels]
    table = pd.DataFrame(
        {
            "channel": np.tile(np.array(pre.channels, dtype=object), len(genes)),
            "name": np.stack(names, axis=1).ravel(),
        }
    )
    group = table.groupby(["channel", "name"], sort=False).ngroup().to_numpy()
    return group, table.drop_duplicates(ignore_index=True)


def _summed(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """`(samples, groups)` sums of `(samples, genes, channels)`."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    return np.stack([np.bincount(group, row) for row in flat])


def _score(network: Ensemble, images: np.ndarray, target: int) -> np.ndarray:
    """`(samples,)` logit of the class, mean over members, less the mean of the other classes."""
    logits = predict_logits(network, images).mean(axis=1, dtype=np.float64)
    own = logits[:, target]
    others = (logits.sum(axis=1) - own) / (logits.shape[1] - 1)
    difference: np.ndarray = own - others
    return difference
