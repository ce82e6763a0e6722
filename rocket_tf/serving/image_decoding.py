"""Decodes image files in TensorFlow's operations, with the same pixels as `data.images.files`.

Training reads files with Pillow. This module computes the same, to the bit, for JPEG and PNG files:
libjpeg's accurate decoding, the EXIF orientation, and Pillow's resizing, which sums integers.
"""

import tensorflow as tf

from rocket_tf.data.images import orientation
from rocket_tf.serving.image_files import check_size

_BITS = 22  # Pillow's weights are whole multiples of 2^-22
_ROWS = 64  # rows of an image that are resized at once, so that large images take little memory


def decode_images(encoded, shape):
    """Images from files, upright, and resized if they have another size.

    It reads JPEG, PNG and GIF files (the first frame), and BMP files without a palette for colours.
    Other files are an error, and so are images with more pixels than
    `data.images.files.MOST_PIXELS`, before they are decoded.

    Args:
        encoded: string tensor, shape (batch,).
        shape: (height, width, channels) of the result; the decoder converts colours to grey, or
            grey to colours. Images are resized, bilinearly with antialiasing, until they cover the
            shape, and cropped to the middle.

    Returns:
        float32 tensor, integers from 0 to 255, shape (batch, *shape). For JPEG and PNG files and 3
        channels, they are the pixels of `rocket_tf.data.images.files.pixels`.
    """
    height, width, channels = shape

    def decode_image(content):
        with tf.control_dependencies([check_size(content)]):
            content = tf.identity(content)
        image = tf.cond(
            tf.strings.substr(content, 0, 2) == b"BM",
            lambda: tf.io.decode_image(content, channels=channels, expand_animations=False),
            lambda: tf.io.decode_jpeg(  # it also decodes PNG and GIF
                content, channels=channels, dct_method="INTEGER_ACCURATE"
            ),
        )
        image = centre(turn(image, read_orientation(content)), height, width)
        return tf.ensure_shape(tf.cast(image, tf.float32), shape)

    return tf.map_fn(decode_image, encoded, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def turn(image, orientation):
    """Turns an image upright by its EXIF orientation.

    Args:
        image: shape (height, width, channels).
        orientation: int32, 1 to 8.
    """

    def is_one_of(*orientations):
        return tf.reduce_any(orientation == tf.constant(orientations))

    for applies, change in (
        (is_one_of(5, 6, 7, 8), lambda image: tf.transpose(image, (1, 0, 2))),
        (is_one_of(2, 3, 6, 7), lambda image: tf.reverse(image, (1,))),
        (is_one_of(3, 4, 7, 8), lambda image: tf.reverse(image, (0,))),
    ):
        image = tf.cond(applies, lambda i=image, c=change: c(i), lambda i=image: i)
    return image


def centre(image, height, width):
    """The middle of an image after resizing it until it covers a shape, like `files.centre`.

    Args:
        image: uint8, shape (height before, width before, channels).
        height: height of the result, in pixels.
        width: width of the result, in pixels.

    Returns:
        float64, whole numbers, shape (height, width, channels).
    """
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scale = tf.reduce_max(tf.constant([height, width], tf.float64) / sides)
    rows, (top, bottom) = _weights(sides[0], scale, height)
    columns, (left, right) = _weights(sides[1], scale, width)
    image = image[top:bottom, left:right]
    # First across, then down, each rounded, like Pillow.
    starts = tf.range(0, bottom - top, _ROWS)
    blocks = tf.TensorArray(tf.float64, tf.size(starts), infer_shape=False)

    def resize_rows(index, blocks):
        block = tf.cast(image[starts[index] : starts[index] + _ROWS], tf.float64)
        resized = _rounded(tf.einsum("rxc,ox->roc", block, columns))
        return index + 1, blocks.write(index, resized)

    _, blocks = tf.while_loop(
        lambda index, _: index < tf.size(starts), resize_rows, (0, blocks), parallel_iterations=1
    )
    return _rounded(tf.einsum("rxc,or->oxc", blocks.concat(), rows))


def _weights(side, scale, target):
    """Pillow's weights for one axis.

    Returns:
        `(weights, (first, end))`: how much each pixel from `first` to `end` - 1 counts in each
        pixel of the result, in units of 2^-22, float64 of shape (target, end - first).
    """
    resized = tf.round(side * scale)
    begin = tf.math.floordiv(resized - target, 2.0)
    # Pillow computes the bounds of the resized region in single precision.
    low = tf.cast(begin * side / resized, tf.float32)
    high = tf.cast(tf.minimum((begin + target) * side / resized, side), tf.float32)
    step = tf.cast(high - low, tf.float64) / target
    reach = tf.maximum(step, 1.0)  # the triangle's, on either side
    centres = tf.cast(low, tf.float64) + (tf.range(target, dtype=tf.float64) + 0.5) * step
    firsts = tf.maximum(tf.floor(centres - reach + 0.5), 0.0)
    ends = tf.minimum(tf.floor(centres + reach + 0.5), side)
    first, end = tf.reduce_min(firsts), tf.reduce_max(ends)
    positions = tf.range(first, end, dtype=tf.float64)
    weights = tf.maximum(1 - tf.abs((positions - centres[:, None] + 0.5) * (1 / reach)), 0)
    weights = tf.where((positions >= firsts[:, None]) & (positions < ends[:, None]), weights, 0)
    # Added one after the other.
    weights /= tf.cumsum(weights, axis=1)[:, -1:]
    return tf.floor(weights * 2**_BITS + 0.5), (tf.cast(first, tf.int32), tf.cast(end, tf.int32))


def _rounded(sums):
    """Rounds exact sums in units of 2^-22 to pixels."""
    return tf.clip_by_value(tf.floor(sums / 2**_BITS + 0.5), 0, 255)


def read_orientation(content):
    """The EXIF orientation in a file, as `rocket_tf.data.images.orientation.read` finds it.

    Args:
        content: string tensor, shape ().

    Returns:
        int32, 1 to 8.
    """
    values = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.uint8)
    is_jpeg = tf.strings.substr(content, 0, 2) == orientation.JPEG
    is_png = tf.strings.substr(content, 0, len(orientation.PNG)) == orientation.PNG
    empty = tf.zeros(0, tf.uint8)
    tiff = tf.cond(
        is_jpeg,
        lambda: _segment(values),
        lambda: tf.cond(is_png, lambda: _chunk(values), lambda: empty),
    )
    order = tiff[:4]
    little = _begins(order, b"II*\0")
    is_tiff = little | _begins(order, b"MM\0*")
    return tf.cond(is_tiff, lambda: _orientation_in_tiff(tiff, little), lambda: orientation.UPRIGHT)


def _segment(values):
    """As `orientation._segment`, of a file's bytes."""
    length = tf.size(values, tf.int64)
    without_length = tf.constant(orientation.WITHOUT_LENGTH, tf.int64)
    last = tf.constant(orientation.LAST, tf.int64)

    def goes_on(offset, begin, end):
        return (end == 0) & (offset + 4 <= length) & (_number(values, offset, 1) == 0xFF)

    def look(offset, begin, end):
        marker, size = _number(values, offset + 1, 1), _number(values, offset + 2, 2)
        step = tf.where(tf.reduce_any(marker == without_length), tf.constant(2, tf.int64), 2 + size)
        step = tf.where(marker == 0xFF, tf.constant(1, tf.int64), step)
        is_last = tf.reduce_any(marker == last) | ((step == 2 + size) & (size < 2))
        stop = tf.minimum(offset + 2 + size, length)
        begins = offset + 4
        is_exif = (marker == 0xE1) & _begins(values[begins:stop], orientation.EXIF)
        begin = tf.where(is_exif, begins + len(orientation.EXIF), begin)
        end = tf.where(is_exif, stop, end)
        return tf.where(is_last, length, offset + step), begin, end

    zero = tf.constant(0, tf.int64)
    _, begin, end = tf.while_loop(goes_on, look, (zero + 2, zero, zero))
    return values[begin:end]


def _chunk(values):
    """As `orientation._chunk`, of a file's bytes."""
    length, exif = tf.size(values, tf.int64), orientation.EXIF

    def goes_on(offset, begin, end):
        return (end == 0) & (offset + 8 <= length)

    def look(offset, begin, end):
        size = _number(values, offset, 4)
        is_exif = _begins(values[offset + 4 : offset + 8], b"eXIf")
        begin = tf.where(is_exif, offset + 8, begin)
        end = tf.where(is_exif, tf.minimum(offset + 8 + size, length), end)
        return offset + 12 + size, begin, end

    zero = tf.constant(0, tf.int64)
    start = zero + len(orientation.PNG)
    _, begin, end = tf.while_loop(goes_on, look, (start, zero, zero))
    begin += tf.where(_begins(values[begin:end], exif), tf.constant(len(exif), tf.int64), 0)
    return values[begin:end]


def _orientation_in_tiff(tiff, little):
    """As `orientation._orientation_in_tiff`, for a header in one byte order."""
    first = _number(tiff, tf.constant(4, tf.int64), 4, little)
    entries = _number(tiff, first, 2, little)
    offsets = tf.minimum((tf.size(tiff, tf.int64) - first - 2) // 12, entries)
    offsets = first + 2 + 12 * tf.range(tf.maximum(offsets, 0))
    tags = _number(tiff, offsets, 2, little)
    offset = offsets[tags == orientation.ORIENTATION][:1]
    value = _number(tiff, offset + 8, 2, little)
    is_right = _number(tiff, offset + 2, 2, little) == orientation.SHORT
    is_right &= (value >= 1) & (value <= 8)
    valid = tf.boolean_mask(value, is_right)
    return tf.cast(tf.concat([valid, [orientation.UPRIGHT]], 0)[0], tf.int32)


def _number(values, offsets, size, little=False):
    """Reads whole numbers of several bytes each, as int64; 0 beyond the end of the file."""
    steps = tf.range(size, dtype=tf.int64)
    powers = 256 ** tf.where(little, steps, steps[::-1])
    inside = offsets + size <= tf.size(values, tf.int64)
    safe = tf.where(inside, offsets, 0)[..., None] + steps
    # The gather reads at least this many bytes, even if there are none inside.
    digits = tf.cast(tf.gather(tf.pad(values, [[0, size]]), safe), tf.int64)
    return tf.where(inside, tf.reduce_sum(digits * powers, -1), 0)


def _begins(values, text):
    """Whether bytes begin with a text."""
    expected = tf.constant(list(text), tf.uint8)
    begin = values[: len(text)]
    return tf.cond(
        tf.size(begin) == len(text), lambda: tf.reduce_all(begin == expected), lambda: False
    )
