"""Candidates against decoys: which of them tell the classes apart better than what cannot.

Every candidate, real and decoy, stands on one image as paired channels. A linear network whose
pixels all start alike is solved exactly on that image; the candidate's W is how much more the
network uses the real pixel than the decoys'. `fdr` makes a list of the W of several draws of
decoys.
"""

from collections.abc import Callable
from functools import partial

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from ..core.executor import parallel
from .candidates import Candidates

RIDGE = 0.1
"""Penalty of the weights, in units of the mean squared norm of a sample: light, so that it takes
out what the other pixels explain."""
COLUMNS = 20_000
"""Pixels whose scores are computed at once: bounds memory."""
THREADS = 2
"""Draws at once, at most: each holds an image of all candidates and their decoys."""


def compete(
    found: Candidates,
    labels: np.ndarray,
    n_classes: int,
    *,
    draws: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """W, and the score of each candidate; every labelling meets the same decoys.

    Draws are tasks that run side by side, each on a random stream of its own.

    Parameters
    ----------
    labels
        `(labellings, samples)` class indices, -1 for a sample that takes no part.

    Returns
    -------
    w, scores
        `(labellings, draws, candidates)` float64, in units of the median score, decoys included, of
        the candidate's channel: channels share a list, and are not equally free of what else tells
        the classes apart. |W| is the largest score of a candidate and its decoys minus the median
        of the others; W is positive when the largest is the candidate's own.

    References
    ----------
    Image of paired channels: DeepPINK, Lu et al. 2018. Several decoys: Gimenez & Zou 2019, PMLR
    89:2184. Statistic: He et al. 2021, Nat Commun 12:3152.
    """
    draw = partial(
        _draw, found.real, found.decoys, found.table["channel"].to_numpy(), labels, n_classes
    )
    tasks = [(rng,) for rng in np.random.default_rng(seed).spawn(draws)]
    with parallel(draw, min(THREADS, joblib.cpu_count()), None, "draw of decoys") as run_all:
        w, scores = (np.stack(part, axis=1) for part in zip(*run_all(tasks), strict=True))
    return w, scores


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def _draw(
    real: np.ndarray,
    decoys: Callable[[np.random.Generator], list[np.ndarray]],
    channel: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """W and scores, `(labellings, candidates)` each, of one draw of decoys."""
    scores = ridge_scores(np.hstack([real, *decoys(rng)]), labels, n_classes, RIDGE)
    scores = scores.reshape(len(labels), -1, len(channel))
    for name in np.unique(channel):
        mine = channel == name
        usual = np.median(scores[:, :, mine], axis=(1, 2), keepdims=True)
        scores[:, :, mine] /= np.maximum(usual, 1e-12)
    order = np.sort(scores, axis=1)
    size = order[:, -1] - np.median(order[:, :-1], axis=1)
    return np.where(scores[:, 0] >= order[:, -1], size, -size), scores[:, 0]


def ridge_scores(image: np.ndarray, labels: np.ndarray, n_classes: int, ridge: float) -> np.ndarray:
    """How much the network uses each pixel of an `image`, `(samples, pixels)`, standardised.

    The score of a pixel x is (x'Py)^2 / (x'PPx s^2), where P is the inverse of K + ridge I with the
    mean projected out, K the samples' products over all pixels, 1 on average for a sample with
    itself, and s^2 the variance of the classes y. x'Py is the pixel's weight in the ridge
    regression on y, which is where a linear network ends whose pixels all start alike; x'PPx s^2 is
    that weight's variance when y is permuted, so that the score is 1 on average of all
    permutations, for every pixel alike.

    Returns
    -------
    `(labellings, pixels)`; with several classes, each against the rest, the largest counts.

    References
    ----------
    A score test of a mixed model, as of Kang et al. 2010, Nat Genet 42:348, by permutation.
    """
    gram = (image @ image.T).astype(np.float64)
    best = np.zeros((len(labels), image.shape[1]))
    taking, which = np.unique(labels >= 0, axis=0, return_inverse=True)
    for number, rows in enumerate(taking):
        at = np.flatnonzero(which == number)
        project = _projection(gram[np.ix_(rows, rows)], ridge).astype(np.float32)
        mine = labels[np.ix_(at, rows)]
        for first in range(0, image.shape[1], COLUMNS):
            columns = slice(first, first + COLUMNS)
            weights = project @ (image[:, columns] if rows.all() else image[rows, columns])
            variance = np.maximum(np.einsum("ij,ij->j", weights, weights), 1e-6)
            for target in [1] if n_classes == 2 else range(n_classes):
                y = (mine == target).astype(np.float64)
                size = np.maximum(y.var(axis=1, ddof=1, keepdims=True), 1e-6)
                square = (y.astype(np.float32) @ weights) ** 2
                best[at, columns] = np.maximum(best[at, columns], square / (variance * size))
    return best


def _projection(gram: np.ndarray, ridge: float) -> np.ndarray:
    """`(samples, samples)` P of `ridge_scores`, of the products of all pixels."""
    n = len(gram)
    inverse = np.linalg.inv(gram / (np.trace(gram) / n) + ridge * np.eye(n))
    total = inverse.sum(axis=1)
    projection: np.ndarray = inverse - np.outer(total, total) / total.sum()
    return projection
