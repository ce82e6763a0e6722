"""MixUp and CutMix as functions of given random numbers.

Each example is mixed with another one, its partner. MixUp: Zhang et al. (ICLR 2018); CutMix: Yun et
al. (ICCV 2019).
"""

import tensorflow as tf

DRAWS = 3  # random numbers per example
_HALVINGS = 40


def mixup(images, partners, labels, partner_labels, draws, alpha):
    """Blends each image with its partner.

    Args:
        images: shape (batch, height, width, channels), 0 to 255, any dtype.
        partners: the partners' images, same shape and dtype.
        labels: one-hot, float32, shape (batch, classes).
        partner_labels: the partners' labels, same shape.
        draws: float32, shape (batch, 3), uniform in [0, 1); the first gives the image's own share.
        alpha: the share follows Beta(alpha, alpha); above 0.

    Returns:
        `(images, labels)`, float32.

    Example:
        >>> black, white = tf.zeros((1, 1, 1, 1)), 255 * tf.ones((1, 1, 1, 1))
        >>> one, two = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
        >>> images, labels = mixup(black, white, one, two, tf.constant([[0.25, 0, 0]]), 1.0)
        >>> labels.numpy().round(2).tolist()
        [[0.25, 0.75]]
    """
    share = beta(draws[:, 0], alpha)
    pixel_share = share[:, None, None, None]
    images, partners = tf.cast(images, tf.float32), tf.cast(partners, tf.float32)
    mixed = pixel_share * images + (1 - pixel_share) * partners
    return mixed, share[:, None] * labels + (1 - share[:, None]) * partner_labels


def cutmix(images, partners, labels, partner_labels, draws, alpha):
    """Pastes a box of its partner into each image.

    Args:
        images: as for `mixup`.
        partners: as for `mixup`.
        labels: as for `mixup`.
        partner_labels: as for `mixup`.
        draws: as for `mixup`; the first gives the share of the image that remains, the others the
            vertical and horizontal centre of the box, which is clipped to the image.
        alpha: as for `mixup`.

    Returns:
        As for `mixup`; labels are mixed in proportion to the areas.

    Example:
        >>> black, white = tf.zeros((1, 4, 4, 1)), 255 * tf.ones((1, 4, 4, 1))
        >>> one, two = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
        >>> draws = tf.constant([[0.75, 0.5, 0.5]])
        >>> images, labels = cutmix(black, white, one, two, draws, 1.0)
        >>> labels.numpy().round(2).tolist()
        [[0.75, 0.25]]
    """
    height, width = images.shape[1], images.shape[2]
    side = tf.sqrt(1 - beta(draws[:, 0], alpha))
    rows = _within(height, draws[:, 1], side)
    columns = _within(width, draws[:, 2], side)
    box = rows[:, :, None, None] & columns[:, None, :, None]
    images, partners = tf.cast(images, tf.float32), tf.cast(partners, tf.float32)
    cut = tf.reduce_mean(tf.cast(box[..., 0], tf.float32), axis=(1, 2))[:, None]
    return tf.where(box, partners, images), (1 - cut) * labels + cut * partner_labels


def _within(size, middle, side):
    """Which rows, or columns, of each image are within its box: bool, shape (batch, size)."""
    positions = tf.range(size, dtype=tf.float32)
    middle = tf.floor(middle * size)[:, None]
    half = tf.floor(side * size / 2)[:, None]
    return (positions >= middle - half) & (positions < middle + half)


def beta(draws, alpha):
    """Samples Beta(alpha, alpha) by inverting its distribution function.

    Args:
        draws: float32, uniform in [0, 1).
        alpha: above 0.

    Returns:
        float32, the same shape.

    Example:
        >>> beta(tf.constant([0.25, 0.5]), 1.0).numpy().round(4)
        array([0.25, 0.5 ], dtype=float32)
    """
    low, high = tf.zeros_like(draws), tf.ones_like(draws)
    parameter = tf.fill(tf.shape(draws), tf.cast(alpha, draws.dtype))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_below = tf.math.betainc(parameter, parameter, middle) < draws
        low, high = tf.where(is_below, middle, low), tf.where(is_below, high, middle)
    return (low + high) / 2
