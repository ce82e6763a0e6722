"""Augmentation as a function of given random numbers: mirror, and shift by reflect-padded crop."""

import tensorflow as tf

DRAWS = 3  # random numbers that an image needs


def mirror_and_shift(images, draws, flip, crop_padding):
    """Mirrors half of the images, then reflect-pads and crops each at its own place.

    Both are index arithmetic: one gather of rows and one of columns for the whole batch.

    Args:
        images: shape (batch, height, width, channels), any dtype.
        draws: float32, shape (batch, 3), uniform in [0, 1): whether an image is mirrored, and the
            place of its crop, down and across.
        flip: whether to mirror images whose first draw is below one half.
        crop_padding: pixels of padding on each side, less than height and width; 0: no crop.

    Returns:
        Images of the same shape and dtype.
    """
    if flip or crop_padding:
        mirrored = draws[:, 0] < 0.5 if flip else tf.zeros(tf.shape(draws)[:1], tf.bool)
        rows = _source_indices(images.shape[1], draws[:, 1], crop_padding)
        columns = _source_indices(images.shape[2], draws[:, 2], crop_padding)
        columns = tf.where(mirrored[:, None], images.shape[2] - 1 - columns, columns)
        images = tf.gather(images, rows, axis=1, batch_dims=1)
        images = tf.gather(images, columns, axis=2, batch_dims=1)
    return images


def _source_indices(size, draws, padding):
    """For each image, where each row (or column) of its crop lies in the unpadded image."""
    offsets = tf.cast(tf.floor(draws * (2 * padding + 1)), tf.int32) - padding
    indices = tf.abs(tf.range(size) + offsets[:, None])
    return size - 1 - tf.abs(size - 1 - indices)
