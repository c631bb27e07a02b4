"""Training-time augmentation. Images are never rotated or flipped: a pixel is a gene."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def vary_purity(
    batches: tf.data.Dataset, channels: Sequence[int], share: float, seed: int
) -> tf.data.Dataset:
    """Batches of (images, targets) as of tumours with more or fewer normal cells among their own.

    Returns
    -------
    `channels` of each image are multiplied by one number, drawn between 1 - `share` and 1 +
    `share`: log2 ratios of copies shrink about so with the share of tumour cells. With `share` 0
    the batches as they are.
    """
    if share == 0 or not channels:
        return batches

    def vary(batch: tuple[tf.Tensor, tf.Tensor], key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, targets = batch
        change = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), key, -share, share)
        chosen = np.isin(np.arange(images.shape[-1]), channels).astype(np.float32)
        return images * (1 + change * chosen), targets

    return tf.data.Dataset.zip(batches, _keys(seed)).map(vary)


def mixup(batches: tf.data.Dataset, alpha: float, seed: int) -> tf.data.Dataset:
    """Batches of convex mixtures of pairs of samples, the same pairs and shares in every tensor.

    Returns
    -------
    Sample `i` of a batch of n becomes `share[i]` of itself and the rest of sample n - 1 - i, with
    shares drawn from Beta(alpha, alpha) and folded to at least one half, so a sample stays mostly
    itself. With `alpha` 0 the batches as they are.

    References
    ----------
    Zhang et al. 2018, mixup, equation 1.
    """
    if alpha == 0:
        return batches

    def mix(batch: tuple[tf.Tensor, ...], key: tf.Tensor) -> tuple[tf.Tensor, ...]:
        n = tf.shape(tf.nest.flatten(batch)[0])[0]
        gamma = tf.random.stateless_gamma((2, n), key, alpha)
        share = tf.math.divide_no_nan(gamma[0], gamma[0] + gamma[1])
        share = tf.maximum(share, 1 - share)

        def mixed(tensor: tf.Tensor) -> tf.Tensor:
            own = tf.reshape(share, (-1, *[1] * (tensor.shape.rank - 1)))
            return own * tensor + (1 - own) * tf.reverse(tensor, [0])

        together: tuple[tf.Tensor, ...] = tf.nest.map_structure(mixed, batch)
        return together

    return tf.data.Dataset.zip(batches, _keys(seed + 1)).map(mix)  # not those of `vary_purity`


def _keys(seed: int) -> tf.data.Dataset:
    """A key per batch, others in each epoch."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
