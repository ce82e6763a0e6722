"""Exports decode files bit for bit as training reads them with Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import orientation
from rocket_tf.errors import UnreadableImageError
from rocket_tf.serving import image_decoding, prediction

RANDOM = np.random.default_rng(0)
SHAPE = (24, 24, 3)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def served(contents):
    return image_decoding.decode_images(contents, SHAPE)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def oriented(content):
    return image_decoding.read_orientation(content)


def content_of(height, width, form, mode="RGB", turn=None, **options):
    pixels = RANDOM.integers(0, 256, (height, width, 3)).astype(np.uint8)
    if turn is not None:
        exif = Image.Exif()
        exif[0x0112] = turn
        options["exif"] = exif
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


def assert_same(contents):
    for content, image in zip(contents, served(contents).numpy(), strict=True):
        expected = np.asarray(image_files.pixels(content, *SHAPE[:2]))
        np.testing.assert_array_equal(image, expected)


def test_sizes():
    sides = [(24, 24), (24, 31), (47, 24), (25, 23), (3, 5), (1, 300), (300, 1), (97, 131)]
    sides += [(211, 190), (48, 96), (72, 25), (13, 700)]
    assert_same([content_of(*sides, "png") for sides in sides])


@pytest.mark.parametrize("turn", range(1, 9))
def test_rotated_files(turn):
    assert_same(
        [
            content_of(37, 58, "jpeg", turn=turn),
            content_of(58, 37, "jpeg", turn=turn, quality=60),
            content_of(41, 30, "png", turn=turn),
        ]
    )


def test_kinds_of_files():
    jpegs = [
        content_of(37, 58, "jpeg", mode, quality=quality, **options)
        for mode, quality, options in (
            ("RGB", 30, {}),
            ("RGB", 95, {"subsampling": 0}),
            ("RGB", 80, {"subsampling": 1, "progressive": True}),
            ("L", 80, {}),
            ("CMYK", 90, {}),
        )
    ]
    pngs = [content_of(37, 58, "png", mode) for mode in ("L", "LA", "RGBA", "P", "1")]
    deep = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 2**16, (30, 50)).astype(np.uint16)).save(deep, "png")
    assert_same([*jpegs, *pngs, deep.getvalue(), content_of(37, 58, "gif", "P")])
    assert_same([content_of(37, 58, "bmp")])


def test_a_large_image_is_resized_in_blocks_of_rows():
    assert_same([content_of(700, 500, "jpeg"), content_of(65, 64, "png")])


def test_damaged_or_odd_exif_is_read_the_same():
    whole = content_of(6, 9, "jpeg", turn=6)
    contents = [b"", b"\xff", b"\xff\xd8", b"no image", orientation.PNG, whole]
    contents += [content_of(6, 9, form, turn=turn) for form in ("jpeg", "png") for turn in (3, 8)]
    # Before EXIF come fill bytes, a marker without a length, and another segment.
    contents.append(b"\xff\xd8\xff\xff\xff\x01\xff\xe0\0\x04ab" + whole[2:])
    big = b"MM\0*\0\0\0\x08\0\2" + b"\x01\0" + bytes(10) + b"\x01\x12\0\3\0\0\0\1\0\5\0\0"
    size = (len(big) + 8).to_bytes(2, "big")
    contents.append(b"\xff\xd8\xff\xe1" + size + b"Exif\0\0" + big)
    contents.append(b"\xff\xd8\xff\xe1" + size + b"Exif\0\0" + big[:-3])
    contents.append(b"\xff\xd8\xff\xe1" + size + b"Exif\0\0" + big.replace(b"\0\3", b"\0\4"))
    contents.append(b"\xff\xd8\xff\xe1\0\1Exif\0\0" + big)
    contents.append(b"\xff\xd8\xff\xda\0\4ab\xff\xe1" + size + b"Exif\0\0" + big)
    chunk = len(big).to_bytes(4, "big") + b"eXIf" + big + bytes(4)
    contents.append(orientation.PNG + b"\0\0\0\2abcd12" + bytes(4) + chunk)
    expected = [orientation.read(content) or 1 for content in contents]
    assert expected == [1, 1, 1, 1, 1, 6, 3, 8, 3, 8, 6, 5, 1, 1, 1, 1, 5]
    assert [int(oriented(tf.constant(content))) for content in contents] == expected
    for _ in range(60):
        cut = bytearray(whole[: RANDOM.integers(len(whole))])
        for place in RANDOM.integers(0, min(len(cut), 60) or 1, 3):
            if place < len(cut):
                cut[place] = RANDOM.integers(256)
        expected = orientation.read(bytes(cut)) or 1
        assert int(oriented(tf.constant(bytes(cut)))) == expected, bytes(cut)


@pytest.mark.parametrize("content", [b"", b"no image", content_of(30, 30, "webp")])
def test_content_that_an_export_cannot_decode_is_an_error(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served([content])


@pytest.mark.parametrize("shape", [(20, 28, 3), (28, 20, 1)])
def test_predict_decodes_for_exports_without_a_decoder(shape):
    for content in (content_of(37, 58, "jpeg", turn=6), content_of(30, 41, "png", turn=3)):
        image = prediction._decode(content, shape)
        assert image.shape == shape and image.dtype == np.uint8
        if shape[-1] == 3:
            expected = image_decoding.decode_images(tf.constant([content]), shape)[0]
            np.testing.assert_array_equal(image, expected)
    upright = prediction._decode(content_of(20, 28, "png", "L"), shape)
    assert upright.shape == shape
    for content in (b"no image", content_of(30, 30, "webp"), content_of(30, 30, "png")[:80]):
        with pytest.raises(UnreadableImageError, match="cannot be read as a PNG or JPEG image"):
            prediction._decode(content, shape)


def test_predict_finds_what_training_reads(tmp_path):
    names = ["a.webp", "b.JPG", "c/d.bmp", "c/e.gif", ".hidden/f.png", "c/._d.bmp", "g.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, skipped = prediction.find_images([tmp_path])
    assert [str(path.relative_to(tmp_path)) for path in found] == names[:4]
    assert [str(path.relative_to(tmp_path)) for path in skipped] == names[5:]
    # The given folder itself can be inside a hidden one.
    found, _ = prediction.find_images([tmp_path / ".hidden"])
    assert len(found) == 1
