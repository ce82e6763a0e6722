"""Image files decoded in a SavedModel: what they may take of memory is bounded by their headers."""

import tensorflow as tf

from rocket_tf.data.images.files import MOST_PIXELS

# Images whose resized form has at most so many times the pixels of its middle are resized whole.
_MOST_AROUND = 16


def decode_images(encoded, shape):
    """Images from PNG or JPEG files, resized where they have another size.

    An image of more than `MOST_PIXELS` is refused before it is decoded. What an image takes of
    memory is otherwise a few bytes for each of its pixels, however long and narrow it is.

    Args:
        encoded: string tensor, shape (batch,).
        shape: (height, width, channels) to give; colours become grey, or grey colours, as the
            decoder does it. Images are resized, bilinear with antialiasing, until they cover the
            shape, and the middle is taken, as `data.images.files` does it for training.

    Returns:
        float32 tensor, 0 to 255, shape (batch, *shape).
    """
    height, width, channels = shape

    def decode_image(content):
        with tf.control_dependencies([check_size(content)]):
            content = tf.identity(content)
        image = tf.io.decode_image(content, channels=channels, expand_animations=False)
        return tf.ensure_shape(_middle(image, height, width), shape)

    return tf.map_fn(decode_image, encoded, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def _middle(image, height, width):
    """The middle, (height, width, channels), of an image that is resized until it covers that."""
    # The identity on images that have the size.
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scale = tf.reduce_max(tf.constant([height, width], tf.float64) / sides)
    covering = tf.cast(tf.round(sides * scale), tf.int64)
    first = (covering - [height, width]) // 2

    def of_whole():
        resized = tf.image.resize(image, tf.cast(covering, tf.int32), antialias=True)
        return resized[first[0] : first[0] + height, first[1] : first[1] + width]

    def of_middle():
        # Cut out before, with all pixels that the middle depends on, and two more.
        per_pixel = tf.cast(covering, tf.float64) / sides
        reach = tf.maximum(1 / per_pixel, 1) + 2
        begin = tf.maximum(tf.floor(tf.cast(first, tf.float64) / per_pixel - reach), 0)
        last = tf.cast(first, tf.float64) + tf.constant([height, width], tf.float64)
        end = last / per_pixel + reach
        end = tf.minimum(tf.math.ceil(end), sides)
        (top, left), (bottom, right) = (
            tf.unstack(tf.cast(each, tf.int32)) for each in (begin, end)
        )
        resized = tf.raw_ops.ScaleAndTranslate(
            images=image[None, top:bottom, left:right],
            size=[height, width],
            scale=tf.cast(per_pixel, tf.float32),
            translation=tf.cast(begin * per_pixel - tf.cast(first, tf.float64), tf.float32),
            kernel_type="triangle",
            antialias=True,
        )
        return resized[0]

    is_short = tf.reduce_prod(covering) <= _MOST_AROUND * height * width
    return tf.cond(is_short, of_whole, of_middle)


def check_size(content):
    """An operation that fails for a file of too many pixels, or of a format that is not known.

    It reads the file's header alone.

    Args:
        content: string tensor, shape ().
    """
    # A shorter file has no such fields, and is left to the decoder.
    padded = tf.strings.join([content, b"\0" * 32])

    def of_jpeg():
        height, width, _ = tf.unstack(tf.cast(tf.image.extract_jpeg_shape(content), tf.int64))
        return height * width

    def number(first, size, big_endian=False):
        field = tf.io.decode_raw(tf.strings.substr(padded, first, size), tf.uint8)
        places = range(size)[::-1] if big_endian else range(size)
        return tf.reduce_sum(
            tf.cast(field, tf.int64) * tf.constant([256**place for place in places], tf.int64)
        )

    def begins(text, first=0):
        return tf.equal(tf.strings.substr(padded, first, len(text)), text)

    def of_png():
        return number(16, 4, big_endian=True) * number(20, 4, big_endian=True)

    def of_gif():
        return number(6, 2) * number(8, 2)

    def of_bmp():
        width, height = number(18, 4), number(22, 4)  # which is negative for rows from the top
        return width * tf.minimum(height, 2**32 - height)

    def of_webp():
        return tf.case(
            [
                (begins(b"VP8X", 12), lambda: (number(24, 3) + 1) * (number(27, 3) + 1)),
                (begins(b"VP8L", 12), lambda: _fields_of_14_bits(number(21, 4))),
            ],
            default=lambda: (number(26, 2) % 2**14) * (number(28, 2) % 2**14),
        )

    pixels = tf.case(
        [
            (begins(b"\x89PNG"), of_png),
            (begins(b"\xff\xd8\xff"), of_jpeg),
            (begins(b"GIF8"), of_gif),
            (begins(b"BM"), of_bmp),
            (begins(b"RIFF"), of_webp),
        ],
        default=lambda: tf.constant(2**62, tf.int64),
    )
    return tf.debugging.Assert(
        pixels <= MOST_PIXELS,
        [f"an image of more than {MOST_PIXELS} pixels, or in a format that is not read"],
    )


def _fields_of_14_bits(number):
    return (number % 2**14 + 1) * (number // 2**14 % 2**14 + 1)
