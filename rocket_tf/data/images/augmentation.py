"""Augmentation as a function of given random numbers: mirror, pad by reflection, and crop."""

import tensorflow as tf

DRAWS = 3  # random numbers per image


def mirror_and_shift(images, draws, flip, crop_padding, crop_padding_mode="symmetric"):
    """Mirrors half of the images, then pads by reflection and crops each at a random place.

    Both are index arithmetic: one gather of rows and one of columns for the whole batch.

    Args:
        images: shape (batch, height, width, channels), any dtype.
        draws: float32, shape (batch, 3), uniform in [0, 1): whether an image is mirrored, and the
            vertical and horizontal offset of its crop.
        flip: whether to mirror images whose first draw is below one half.
        crop_padding: pixels of padding on each side; 0: no crop. At most the height and the width;
            for `crop_padding_mode` "reflect", less than both.
        crop_padding_mode: "symmetric": the reflection repeats the edge pixel (3 2 1 | 1 2 3), as in
            the authors' release, which uses OpenCV's `BORDER_REFLECT`. "reflect": the edge pixel is
            not repeated (3 2 | 1 2 3). Both work as in `numpy.pad`.

    Returns:
        Images of the same shape and dtype.

    Example:
        >>> image = tf.reshape([1, 2, 3], (1, 1, 3, 1))
        >>> mirrored = mirror_and_shift(image, tf.constant([[0.1, 0.0, 0.0]]), True, 0)
        >>> mirrored[0, 0, :, 0].numpy().tolist()
        [3, 2, 1]
    """
    if flip or crop_padding:
        mirrored = draws[:, 0] < 0.5 if flip else tf.zeros(tf.shape(draws)[:1], tf.bool)
        rows = _source_indices(images.shape[1], draws[:, 1], crop_padding, crop_padding_mode)
        columns = _source_indices(images.shape[2], draws[:, 2], crop_padding, crop_padding_mode)
        columns = tf.where(mirrored[:, None], images.shape[2] - 1 - columns, columns)
        images = tf.gather(images, rows, axis=1, batch_dims=1)
        images = tf.gather(images, columns, axis=2, batch_dims=1)
    return images


def _source_indices(size, draws, padding, mode):
    """For each image, where each row (or column) of its crop lies in the unpadded image."""
    offsets = tf.cast(tf.floor(draws * (2 * padding + 1)), tf.int32) - padding
    indices = tf.range(size) + offsets[:, None]
    repeated = 1 if mode == "symmetric" else 0  # edge pixels on each side
    indices = tf.where(indices < 0, -indices - repeated, indices)
    return tf.where(indices >= size, 2 * (size - 1) + repeated - indices, indices)
