"""Training-time augmentation. Images are never rotated or flipped: a pixel is a gene."""

import numpy as np


def mixup(
    arrays: tuple[np.ndarray, ...], alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Convex mixtures of pairs of samples, the same pairs and shares in every array.

    `arrays` (images, one-hot targets, …) have the samples on their first axis and keep their
    shapes. Sample `i` becomes `share[i]` of itself and the rest of a random partner, with shares
    drawn from Beta(alpha, alpha) and folded to at least one half, so a sample stays mostly itself.
    `alpha` 0 returns the arrays as they are. Zhang et al. 2018, mixup, equation 1.
    """
    if alpha == 0:
        return arrays
    n = len(arrays[0])
    partner = rng.permutation(n)
    share = rng.beta(alpha, alpha, n)
    share = np.maximum(share, 1 - share).astype(np.float32)
    mixed = []
    for array in arrays:
        own = share.reshape(-1, *[1] * (array.ndim - 1))
        mixed.append(own * array + (1 - own) * array[partner])
    return tuple(mixed)
