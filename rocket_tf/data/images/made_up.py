"""Writes a folder with any number of images from a seed, in bounded memory, to test large data.

It does not import TensorFlow.
"""

import functools
import os
import shutil
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

from rocket_tf.data.images.files import in_threads
from rocket_tf.errors import ConfigError

_GRID = 8  # height and width of a class's pattern, which is enlarged to the image's size
_COARSE = 40  # standard deviation of the noise in the pattern
_FINE = 12  # largest absolute value of the noise in the pixels


def write(folder, images, size=256, classes=10, quality=90, seed=0, test_images=0):
    """Writes `folder/train/<class>/<number>.jpg` and `folder/test/<class>/<number>.jpg`.

    An image shows the pattern of its class, a few patches of colour, and noise. Classes take turns.
    Image i of a part depends only on (seed, classes, i), so a larger set begins with the images of
    a smaller one. The bytes are the same for the same version of Pillow.

    Args:
        folder: a new folder; it gets this name once everything is written.
        images: number of training images, at least `classes`.
        size: height and width, in pixels.
        classes: number of classes.
        quality: quality of the JPEG files, 1 to 95.
        seed: a non-negative integer.
        test_images: number of test images; 0: a tenth of `images`.

    Raises:
        ConfigError: if the folder exists.
        OSError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "big"
        >>> write(folder, images=12, size=16, classes=3)
        >>> [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.jpg"))][:2]
        ['test/class_0/0000000.jpg', 'train/class_0/0000000.jpg']
    """
    folder = Path(folder)
    if os.path.lexists(folder):
        raise ConfigError(f"{folder}: exists already; name a new folder")
    numbers = {"train": images, "test": test_images or max(images // 10, 1)}
    names = [f"class_{label:0{len(str(classes - 1))}}" for label in range(classes)]
    partial = folder.with_name(f".{uuid.uuid4().hex}.partial")

    items = ((part, number) for part, count in numbers.items() for number in range(count))

    def write_images(chunk):
        for part, number in chunk:
            label = number % classes
            picture = _picture([seed, 1 + (part == "test"), number], _pattern(seed, label), size)
            picture.save(partial / part / names[label] / f"{number:07}.jpg", quality=quality)

    try:
        for part, number in numbers.items():
            for name in names[:number]:
                (partial / part / name).mkdir(parents=True)
        for _ in in_threads(write_images, items, sum(numbers.values()), f"making {folder}"):
            pass
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _picture(seed, pattern, size):
    random = np.random.default_rng(seed)
    coarse = pattern + random.normal(0, _COARSE, pattern.shape)
    patches = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
    pixels = np.asarray(patches.resize((size, size), Image.Resampling.BILINEAR), np.int16)
    pixels = pixels + random.integers(-_FINE, _FINE + 1, pixels.shape, np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@functools.lru_cache(maxsize=2**14)
def _pattern(seed, label):
    return np.random.default_rng([seed, 0, label]).uniform(60, 196, (_GRID, _GRID, 3))
