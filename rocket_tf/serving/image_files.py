"""Limits the size of image files that a SavedModel decodes, by their headers."""

import tensorflow as tf

from rocket_tf.data.images.files import MOST_PIXELS


def check_size(content):
    """An operation that fails for a file with too many pixels, or in an unknown format.

    It reads only the file's header.

    Args:
        content: string tensor, shape ().
    """
    # A shorter file lacks these fields, and is left to the decoder.
    padded = tf.strings.join([content, b"\0" * 32])

    def of_jpeg():
        height, width, _ = tf.unstack(tf.cast(tf.image.extract_jpeg_shape(content), tf.int64))
        return height * width

    def number(first, size, big_endian=False):
        field = tf.io.decode_raw(tf.strings.substr(padded, first, size), tf.uint8)
        exponents = range(size)[::-1] if big_endian else range(size)
        return tf.reduce_sum(
            tf.cast(field, tf.int64)
            * tf.constant([256**exponent for exponent in exponents], tf.int64)
        )

    def begins(text, first=0):
        return tf.equal(tf.strings.substr(padded, first, len(text)), text)

    def of_png():
        return number(16, 4, big_endian=True) * number(20, 4, big_endian=True)

    def of_gif():
        return number(6, 2) * number(8, 2)

    def of_bmp():
        width, height = (
            number(18, 4),
            number(22, 4),
        )  # the height is negative if rows are stored from the top
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
