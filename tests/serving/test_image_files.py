"""Image files in a SavedModel: pixels as before, and no more memory than their pixels need."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rocket_tf.data.images.files import MOST_PIXELS
from rocket_tf.serving.image_files import decode_images


def encoded(height, width, form, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def resized_whole(content, height, width):
    """The whole image is resized until it covers the shape, and the middle is taken."""
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    scale = max(height / image.shape[0], width / image.shape[1])
    covering = [round(side * scale) for side in image.shape[:2]]
    image = tf.image.resize(image, covering, antialias=True)
    top, left = (covering[0] - height) // 2, (covering[1] - width) // 2
    return image[top : top + height, left : left + width].numpy()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF"])
@pytest.mark.parametrize("size", [(12, 20), (31, 17), (90, 260), (5, 3), (6, 40)], ids=str)
def test_images_are_what_they_were_to_the_bit(size, form):
    content = encoded(*size, form)
    (pixels,) = decode_images(tf.constant([content]), (12, 20, 3))
    np.testing.assert_array_equal(pixels, resized_whole(content, 12, 20))


@pytest.mark.parametrize("size", [(3, 700), (700, 3), (1, 999), (999, 2), (40, 3000)], ids=str)
def test_long_images_are_cut_before_they_are_resized(size):
    """They differ from what they were by the rounding of places of 32 bits."""
    content = encoded(*size, "PNG")
    (pixels,) = decode_images(tf.constant([content]), (12, 20, 3))
    np.testing.assert_allclose(pixels, resized_whole(content, 12, 20), atol=0.05)


def claiming(form, width, height):
    """The beginning of a file that says it has so many pixels."""
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
    with pytest.raises(tf.errors.InvalidArgumentError) as error:  # by the decoder
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
def test_what_is_no_image(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_images(tf.constant([content]), (2, 2, 3))
