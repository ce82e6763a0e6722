"""Image files in a SavedModel: decoding needs little memory, and too large images are refused."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rocket_tf.data.images import files as image_files
from rocket_tf.data.images.files import MOST_PIXELS
from rocket_tf.serving.image_decoding import decode_images


def encoded(height, width, form, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("size", [(3, 700), (700, 3), (1, 999), (999, 2), (40, 3000)], ids=str)
def test_long_images_are_read_as_training_reads_them(size):
    content = encoded(*size, "PNG")
    (pixels,) = decode_images(tf.constant([content]), (12, 20, 3))
    np.testing.assert_array_equal(pixels, image_files.pixels(content, 12, 20))


def claiming(form, width, height):
    """The start of a file whose header claims a width and a height."""
    if form == "PNG":
        sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sizes
    if form == "GIF":
        return b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little")
    if form == "BMP":
        sizes = width.to_bytes(4, "little") + (2**32 - height).to_bytes(4, "little")
        return b"BM" + b"\0" * 16 + sizes
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + sizes


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "WEBP"])
def test_too_many_pixels_are_refused_by_the_header(form):
    most = 2**13, MOST_PIXELS // 2**13
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        decode_images(tf.constant([claiming(form, most[0], most[1] + 1)]), (2, 2, 3))
    assert f"more than {MOST_PIXELS} pixels" in str(error.value)
    with pytest.raises(
        tf.errors.InvalidArgumentError
    ) as error:  # the decoder refuses it, not the header check
        decode_images(tf.constant([claiming(form, *most)]), (2, 2, 3))
    assert f"more than {MOST_PIXELS} pixels" not in str(error.value)


def test_a_large_jpeg_is_refused_by_the_header(monkeypatch):
    content = encoded(9, 11, "JPEG")
    monkeypatch.setattr("rocket_tf.serving.image_files.MOST_PIXELS", 98)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 98 pixels"):
        decode_images(tf.constant([content]), (2, 2, 3))
    monkeypatch.setattr("rocket_tf.serving.image_files.MOST_PIXELS", 99)
    decode_images(tf.constant([content]), (2, 2, 3))


@pytest.mark.parametrize("content", [b"", b"GIF8", b"BM", b"\x89PNG", b"no image at all" * 9])
def test_files_that_are_not_images(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_images(tf.constant([content]), (2, 2, 3))
