"""RandAugment as a function of given random numbers (Cubuk et al., "RandAugment", 2020).

Each image passes through two operations, each drawn from fourteen, of the same magnitude. Their
ranges are those of AutoAugment (Cubuk et al., 2019, Table 6), from no effect at magnitude 0 to the
full range at 1.
"""

import math

import tensorflow as tf

OPERATIONS_AN_IMAGE = 2
DRAWS = 2 * OPERATIONS_AN_IMAGE  # random numbers per image
_GREY = 128.0  # value of pixels that a geometric operation moves into the image
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R 601, as in Pillow
_SHARPENED = ((1.0, 1.0, 1.0), (1.0, 5.0, 1.0), (1.0, 1.0, 1.0))  # Pillow's ImageFilter.SMOOTH


def rand_augment(images, draws, magnitude):
    """Applies two operations to each image.

    Args:
        images: shape (batch, height, width, 3), 0 to 255, any dtype.
        draws: float32, shape (batch, 4), uniform in [0, 1): for each of the two operations, which
            one it is, and its sign if it has one.
        magnitude: from 0 to 1.

    Returns:
        float32, the same shape, integral values from 0 to 255.
    """

    def augment(element):
        image, own = element
        for place in range(OPERATIONS_AN_IMAGE):
            chosen = tf.cast(own[2 * place] * len(OPERATIONS), tf.int32)
            signed = tf.where(own[2 * place + 1] < 0.5, -magnitude, magnitude)
            branches = [_branch(operation, image, signed) for operation in OPERATIONS.values()]
            image = tf.switch_case(chosen, branches)
            image = tf.ensure_shape(tf.round(tf.clip_by_value(image, 0.0, 255.0)), images.shape[1:])
        return image

    images = tf.cast(images, tf.float32)
    augmented = tf.map_fn(augment, (images, draws), fn_output_signature=tf.float32)
    return tf.reshape(augmented, tf.shape(images))  # an empty batch would have no shape


def _branch(operation, image, signed):
    return lambda: operation(image, signed)


def identity(image, signed):
    """Leaves the image unchanged."""
    return image


def autocontrast(image, signed):
    """Stretches each channel to 0 to 255."""
    low = tf.reduce_min(image, axis=(0, 1))
    high = tf.reduce_max(image, axis=(0, 1))
    stretched = (image - low) * (255.0 / tf.maximum(high - low, 1.0))
    return tf.where(high > low, tf.floor(stretched + 1e-3), image)


def equalize(image, signed):
    """Makes all values of a channel about as frequent, as Pillow's `ImageOps.equalize` does."""
    return tf.stack([_equalize_channel(image[..., each]) for each in range(3)], axis=-1)


def _equalize_channel(channel):
    values = tf.cast(channel, tf.int32)
    counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
    present = tf.boolean_mask(counts, counts > 0)
    step = (tf.reduce_sum(present) - present[-1]) // 255
    below = tf.cumsum(counts, exclusive=True)
    table = tf.clip_by_value((below + step // 2) // tf.maximum(step, 1), 0, 255)
    return tf.where(step > 0, tf.cast(tf.gather(table, values), tf.float32), channel)


def solarize(image, signed):
    """Inverts values of at least a threshold, which falls from 256 to 0."""
    threshold = 256.0 * (1.0 - tf.abs(signed))
    return tf.where(image < threshold, image, 255.0 - image)


def posterize(image, signed):
    """Keeps the upper bits of each value, from 8 down to 4."""
    lost = tf.round(4.0 * tf.abs(signed))
    size = tf.pow(2.0, lost)
    return tf.floor(image / size) * size


def color(image, signed):
    """Moves the image towards its grey version, or away from it."""
    return _blend(_grey(image)[..., None], image, signed)


def contrast(image, signed):
    """Moves the image towards its mean grey, or away from it."""
    mean = tf.floor(tf.reduce_mean(_grey(image)) + 0.5)
    return _blend(mean, image, signed)


def brightness(image, signed):
    """Moves the image towards black, or away from it."""
    return _blend(0.0, image, signed)


def sharpness(image, signed):
    """Moves the image towards a smoothed version, or away from it; the border is unchanged."""
    kernel = tf.constant(_SHARPENED)[..., None, None] / sum(map(sum, _SHARPENED))
    kernel = tf.tile(kernel, [1, 1, 3, 1])
    smooth = tf.nn.depthwise_conv2d(image[None], kernel, [1, 1, 1, 1], "VALID")[0]
    smooth = tf.floor(smooth + 0.5)
    inner = tf.pad(tf.ones_like(smooth), [[1, 1], [1, 1], [0, 0]])
    smooth = tf.where(inner > 0, tf.pad(smooth, [[1, 1], [1, 1], [0, 0]]), image)
    return _blend(smooth, image, signed)


def rotate(image, signed):
    """Rotates the image about its centre by up to 30 degrees."""
    angle = signed * math.radians(30)
    cos, sin = tf.cos(angle), tf.sin(angle)
    height, width = _middle(image)
    across = width - cos * width + sin * height
    down = height - sin * width - cos * height
    return _transform(image, [cos, -sin, across, sin, cos, down])


def shear_x(image, signed):
    """Shifts each row by up to 0.3 of its distance from the top."""
    return _transform(image, [1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0])


def shear_y(image, signed):
    """Shifts each column by up to 0.3 of its distance from the left."""
    return _transform(image, [1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0])


def translate_x(image, signed):
    """Shifts the image by up to 0.45 of its width."""
    return _transform(image, [1.0, 0.0, 0.45 * signed * image.shape[1], 0.0, 1.0, 0.0])


def translate_y(image, signed):
    """Shifts the image by up to 0.45 of its height."""
    return _transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, 0.45 * signed * image.shape[0]])


OPERATIONS = {
    function.__name__: function
    for function in (
        identity,
        autocontrast,
        equalize,
        rotate,
        solarize,
        color,
        posterize,
        contrast,
        brightness,
        sharpness,
        shear_x,
        shear_y,
        translate_x,
        translate_y,
    )
}


def _grey(image):
    return tf.floor(tf.reduce_sum(image * tf.constant(_LUMA), axis=-1) + 0.5)


def _blend(other, image, signed):
    """Blends two images with a factor of 1 ± up to 0.9; 1 is the image, 0 the other."""
    return other + (1.0 + 0.9 * signed) * (image - other)


def _middle(image):
    return (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2


def _transform(image, matrix):
    """The image whose pixel (x, y) is the bilinear value of `image` at `matrix` · (x, y, 1)."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([*map(tf.convert_to_tensor, matrix), 0.0, 0.0])[None],
        output_shape=tf.shape(image)[:2],
        fill_value=_GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
