"""Training-time augmentation. Images are never rotated or flipped: a pixel is a gene."""

import tensorflow as tf


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

    keys = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(batches, keys).map(mix)
