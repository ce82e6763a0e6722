"""RandAugment as a function of given random numbers (Cubuk et al., "RandAugment", 2020).

Each image passes through two operations, each drawn from fourteen, of the same magnitude. Their
ranges are those of AutoAugment (Cubuk et al., 2019, Table 6), from no effect at magnitude 0 to the
full range at 1.

Every start of a pipeline traces its graph anew. So the graph is small: it treats the images of a
batch together, by operation, without loops or branches, and what depends on the magnitude alone is
computed before.
"""

import math

import numpy as np
import tensorflow as tf

OPERATIONS_AN_IMAGE = 2
DRAWS = 2 * OPERATIONS_AN_IMAGE  # random numbers that an image needs
_GREY = 128.0  # the value of pixels from outside the image
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R 601, as in Pillow


def rand_augment(images, draws, magnitude):
    """Applies two operations to each image.

    Args:
        images: shape (batch, height, width, 3), 0 to 255, any dtype.
        draws: float32, shape (batch, 4), uniform in [0, 1): for each of the two operations, which
            one it is, and its direction if it has two.
        magnitude: from 0 to 1.

    Returns:
        float32, the same shape, whole numbers from 0 to 255.
    """
    images = tf.cast(images, tf.float32)
    which, direction = tf.unstack(tf.reshape(draws, [-1, OPERATIONS_AN_IMAGE, 2]), axis=-1)
    chosen = tf.cast(which * len(OPERATIONS), tf.int32)
    kinds = tf.gather([_kind_of(name) for name in OPERATIONS], chosen)
    rows = 2 * chosen + tf.cast(direction >= 0.5, tf.int32)
    tables = (tf.gather(table, rows) for table in _tables(magnitude, *images.shape[1:3]))
    for arguments in zip(*(tf.unstack(values, axis=1) for values in (kinds, *tables)), strict=True):
        images = _operated(images, *arguments)
    return images


def _kind_of(name):
    return list(COLORS).index(name) if name in COLORS else len(COLORS)


def _tables(magnitude, height, width):
    """The arguments of all operations, each in both directions.

    Returns:
        `(strengths, matrices)`, float32: strengths for COLORS, shape (28, 1, 1, 1), and matrices
        for MOVES, shape (28, 8), each padded with two zeros.
    """
    strengths, matrices = [], []
    with tf.init_scope(), tf.device("CPU:0"):  # now, not in a graph
        for name in OPERATIONS:
            for signed in (tf.constant(-magnitude), tf.constant(magnitude)):
                is_color = name in COLORS
                strengths.append(COLORS[name][1](signed) if is_color else 0.0)
                matrix = [0.0] * 6 if is_color else MOVES[name](signed, height, width)
                matrices.append(tf.stack([*matrix, 0.0, 0.0]))
        return tf.reshape(strengths, [-1, 1, 1, 1]).numpy(), tf.stack(matrices).numpy()


@tf.function(autograph=False)
def _operated(images, kinds, strengths, matrices):
    """Applies one operation to each image: one of COLORS or, as the last kind, any of MOVES."""
    by_kind, strengths, indices = (
        tf.dynamic_partition(values, kinds, len(COLORS) + 1)
        for values in (images, strengths, tf.range(tf.size(kinds)))
    )
    *colored, moving = by_kind
    results = [
        function(group, strength)
        for (function, _), group, strength in zip(COLORS.values(), colored, strengths, strict=False)
    ]
    results.append(moved(moving, tf.gather(matrices, indices[-1])))
    images = tf.ensure_shape(tf.dynamic_stitch(indices, results), images.shape)
    return tf.round(tf.clip_by_value(images, 0.0, 255.0))


def moved(images, matrices):
    """Moves pixels, with bilinear interpolation.

    Args:
        images: float32, shape (batch, height, width, 3).
        matrices: float32, shape (batch, 8): the result of one of MOVES, and two zeros.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrices,
        output_shape=images.shape[1:3],
        fill_value=_GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def identity(images, strengths):
    """Leaves the images unchanged."""
    return images


def autocontrast(images, strengths):
    """Stretches each channel to 0 to 255."""
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2), keepdims=True)
    stretched = (images - low) * (255.0 / tf.maximum(high - low, 1.0))
    return tf.where(high > low, tf.floor(stretched + 1e-3), images)


def equalize(images, strengths):
    """Makes all values of a channel about as frequent, as Pillow's `ImageOps.equalize` does."""
    _, height, width, channels = images.shape
    # Each channel of each image has 256 counts of its own.
    size = 256 * channels * tf.size(strengths)
    first = tf.reshape(tf.range(0, size, 256), [-1, 1, 1, channels])
    bins = tf.cast(images, tf.int32) + first
    counts = tf.raw_ops.DenseBincount(
        input=tf.reshape(bins, [-1]), size=size, weights=tf.constant([], tf.int32)
    )
    brightest_counts = tf.gather(counts, tf.reduce_max(bins, axis=(1, 2), keepdims=True))
    step = (height * width - brightest_counts) // 255
    steps = tf.reshape(step, [-1, 1])
    counts_below = tf.cumsum(tf.reshape(counts, [-1, 256]), axis=-1, exclusive=True)
    table = tf.minimum((counts_below + steps // 2) // tf.maximum(steps, 1), 255)
    changed = tf.gather(tf.reshape(tf.cast(table, tf.float32), [-1]), bins)
    return tf.where(step > 0, changed, images)


def solarize(images, thresholds):
    """Inverts values of at least a threshold, which falls from 256 to 0."""
    return tf.where(images < thresholds, images, 255.0 - images)


def posterize(images, sizes):
    """Keeps the upper bits of each value, from 8 down to 4."""
    return tf.floor(images / sizes) * sizes


def color(images, factors):
    """Moves the images towards their grey versions, or away from them."""
    return _blend(_grey(images), images, factors)


def contrast(images, factors):
    """Moves each image towards its mean grey, or away from it."""
    # The sum of integers does not depend on their order.
    total = tf.reduce_sum(tf.cast(_grey(images), tf.int32), axis=(1, 2, 3), keepdims=True)
    mean = tf.cast(total, tf.float32) / math.prod(images.shape[1:3])
    return _blend(tf.floor(mean + 0.5), images, factors)


def brightness(images, factors):
    """Moves the images towards black, or away from it."""
    return _blend(0.0, images, factors)


def sharpness(images, factors):
    """Moves each image towards a smoothed version, or away from it; the border is unchanged.

    It is smoothed as by Pillow's `ImageFilter.SMOOTH`.
    """
    # Rounding errors do not show: no multiple of 1/13 is near the middle of two whole numbers.
    sums = 9.0 * tf.nn.avg_pool2d(images, 3, 1, "VALID") + 4.0 * images[:, 1:-1, 1:-1]
    smooth = tf.pad(tf.floor(sums / 13.0 + 0.5), [[0, 0], [1, 1], [1, 1], [0, 0]])
    height, width = images.shape[1:3]
    inner = np.pad(np.ones((height - 2, width - 2, 1), bool), [[1, 1], [1, 1], [0, 0]])
    return _blend(tf.where(inner, smooth, images), images, factors)


def rotate(signed, height, width):
    """Rotates by up to 30 degrees about the centre."""
    angle = signed * math.radians(30)
    cos, sin = tf.cos(angle), tf.sin(angle)
    down, across = (height - 1) / 2, (width - 1) / 2
    to_middle = across - cos * across + sin * down, down - sin * across - cos * down
    return [cos, -sin, to_middle[0], sin, cos, to_middle[1]]


def shear_x(signed, height, width):
    """Shifts each row by up to 0.3 of its distance from the top."""
    return [1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0]


def shear_y(signed, height, width):
    """Shifts each column by up to 0.3 of its distance from the left."""
    return [1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0]


def translate_x(signed, height, width):
    """Shifts by up to 0.45 of the width."""
    return [1.0, 0.0, 0.45 * signed * width, 0.0, 1.0, 0.0]


def translate_y(signed, height, width):
    """Shifts by up to 0.45 of the height."""
    return [1.0, 0.0, 0.0, 0.0, 1.0, 0.45 * signed * height]


def _none(signed):
    return 0.0


def _threshold(signed):
    return 256.0 * (1.0 - tf.abs(signed))


def _size(signed):
    return tf.pow(2.0, tf.round(4.0 * tf.abs(signed)))


def _factor(signed):
    """The weight of the image itself: 1, and up to 0.9 more or less."""
    return 1.0 + 0.9 * signed


# Functions of images and strengths, shape (batch, 1, 1, 1); and functions that turn the signed
# magnitude into a strength.
COLORS = {
    function.__name__: (function, strength)
    for function, strength in (
        (identity, _none),
        (autocontrast, _none),
        (equalize, _none),
        (solarize, _threshold),
        (color, _factor),
        (posterize, _size),
        (contrast, _factor),
        (brightness, _factor),
        (sharpness, _factor),
    )
}
# Functions of the signed magnitude, height and width. They return a to f: the pixel at (x, y) is
# taken from (ax + by + c, dx + ey + f).
MOVES = {
    function.__name__: function for function in (rotate, shear_x, shear_y, translate_x, translate_y)
}
# Random draws choose from them in this order.
OPERATIONS = (
    "identity",
    "autocontrast",
    "equalize",
    "rotate",
    "solarize",
    "color",
    "posterize",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)


def _grey(images):
    grey = tf.reduce_sum(images * tf.constant(_LUMA), axis=-1, keepdims=True)
    return tf.floor(grey + 0.5)


def _blend(others, images, factors):
    """The images at factor 1, the others at 0."""
    return others + factors * (images - others)
