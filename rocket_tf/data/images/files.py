"""Image files of any size and format to squares of one size. Free of TensorFlow."""

import io
import os
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from tqdm import tqdm

from rocket_tf.system.files import check_regular

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# What the suffixes stand for, and no more: for EPS, say, Pillow would start Ghostscript.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
# What makes images upright, by their EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Of an image, in all: more takes too much memory, for a file that may be of a few bytes.
MOST_PIXELS = 30_000_000
_CHUNK = 16  # images that a thread decodes before it reports
_WITH_PROGRESS = 500  # more take long enough to show how far they are


def find(folder):
    """The image files in a folder and in its folders, in the same order on every machine.

    Files count by their suffix (`SUFFIXES`); hidden files and folders are passed over.

    Args:
        folder: the folder.

    Returns:
        `(images, others)`: lists of paths; `others` are files that are no images by their names,
        and hidden files that are.

    Raises:
        OSError: if a folder cannot be read.
    """

    def refuse(error):
        raise error

    images, others = [], []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(parent, name)
            is_image = name.lower().endswith(SUFFIXES)
            if is_image and not name.startswith("."):
                images.append(path)
            elif is_image or not name.startswith("."):
                others.append(path)
    return tuple(sorted(each, key=lambda path: path.split(os.sep)) for each in (images, others))


def as_png(content):
    """An image file's content, of any of the formats, as that of a PNG file with its pixels."""
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        file = io.BytesIO()
        _to_rgb(_upright(image)).save(file, "PNG", compress_level=1)
        return file.getvalue()


def decode(files, size):
    """Decodes files to RGB squares, in threads.

    Grey becomes RGB, 16 bits lose the lower 8, transparency is dropped (as TensorFlow's decoder
    does it), animations keep their first frame. Images are turned as their EXIF orientation says,
    where it can be read. Their shorter side is resized to `size`, bilinear with antialiasing, and
    the centre of the longer one is kept. A terminal shows how far it is, if there are more than
    500.

    Args:
        files: list of paths.
        size: height and width of the squares, in pixels.

    Returns:
        `(images, reasons)`: uint8, shape (files, size, size, 3); and a list with what is wrong
        with each file, or `None`.
    """
    images = np.zeros((len(files), size, size, 3), np.uint8)
    chunks = [range(len(files))[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]

    def decode_chunk(chunk):
        return [_decode(files[place], images[place]) for place in chunk]

    reasons = []
    Image.init()  # here, since its threads must not do it at once
    progress = tqdm(
        total=len(files),
        unit="image",
        desc="reading images",
        disable=len(files) <= _WITH_PROGRESS or not sys.stderr.isatty(),
        dynamic_ncols=True,
    )
    with progress, warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's, of files that it reads all the same
        for result in pool.map(decode_chunk, chunks):
            reasons += result
            progress.update(len(result))
    return images, reasons


def _decode(file, result):
    """Decodes a file into `result`; returns what is wrong with it, or `None`."""
    try:
        check_regular(file)
        with Image.open(file, formats=_FORMATS) as image:
            check_size(image)
            result[...] = centre(_to_rgb(_upright(image)), len(result), len(result))
    except UnidentifiedImageError:
        return "no image" if os.path.getsize(file) else "empty"
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many kinds
        text = getattr(error, "strerror", None) or str(error)
        return "".join(text.splitlines()[:1]).strip(" .") or type(error).__name__
    return None


def check_size(image):
    """Raises ValueError for an opened image that has more than `MOST_PIXELS`."""
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(
            f"{image.width} by {image.height} pixels, expected at most {MOST_PIXELS} in all; "
            "make it smaller"
        )


def _upright(image):
    """An image turned as its EXIF orientation says, if there is one that can be read."""
    image.load()  # so that what fails below is EXIF alone
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, struct.error, OSError, ValueError, KeyError, TypeError):
        return image
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _to_rgb(image):
    if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, whose range is not known; save it with 8 or 16")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def centre(image, height, width):
    """The middle of an image that is resized until it covers a shape, bilinear with antialiasing.

    Args:
        image: a `PIL.Image.Image`.
        height: of the result, in pixels.
        width: the same.

    Returns:
        A `PIL.Image.Image` of that size.
    """
    scale = max(width / image.width, height / image.height)
    box = []
    for side, wanted in zip(image.size, (width, height), strict=True):
        resized = round(side * scale)
        first = (resized - wanted) // 2
        box.append((first * side / resized, min((first + wanted) * side / resized, side)))
    (left, right), (upper, lower) = box
    # Only the middle is computed, from all pixels that its resized pixels depend on.
    return image.resize((width, height), Image.Resampling.BILINEAR, (left, upper, right, lower))
