"""Image files of any size and format to squares of one size. It does not import TensorFlow."""

import collections
import io
import itertools
import os
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from tqdm import tqdm

from rocket_tf.data.images import orientation
from rocket_tf.errors import DamagedDataError
from rocket_tf.system import files as system_files

# Those that an export's serve_bytes reads, and those that training reads beside them.
SERVED_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
SUFFIXES = (*SERVED_SUFFIXES, ".webp", ".tif", ".tiff")
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
_WAITING = 32  # chunks that wait for threads at once
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
        _of_8_bits(_upright(image, content)).convert("RGB").save(file, "PNG", compress_level=1)
        return file.getvalue()


def decode(files, size, read=None):
    """Decodes files to RGB squares, in threads.

    Grey becomes RGB, 16 bits lose the lower 8, transparency is dropped (as TensorFlow's decoder
    does it), animations keep their first frame. Images are turned as their EXIF orientation says,
    where it can be read. Their shorter side is resized to `size`, bilinear with antialiasing, and
    the centre of the longer one is kept. A terminal shows how far it is, if there are more than
    500.

    Args:
        files: sequence of paths, or of what `read` takes.
        size: height and width of the squares, in pixels.
        read: function from one of `files` to a file's content; `None`: they are paths.

    Returns:
        `(images, reasons)`: uint8, shape (files, size, size, 3); and a list with what is wrong
        with each file, or `None`.
    """
    images = np.zeros((len(files), size, size, 3), np.uint8)

    def decode_chunk(places):
        return [decode_one(files[place], images[place], read) for place in places]

    places = range(len(files))
    reasons = [reason for chunk in in_threads(decode_chunk, places, len(files)) for reason in chunk]
    return images, reasons


def decode_again(files, size, shown, read=None):
    """Decodes files, as `decode`, of which it is known that they can be decoded.

    Args:
        files: as of `decode`.
        size: as of `decode`.
        shown: function from one of `files` to its name in messages.
        read: as of `decode`.

    Returns:
        The images.

    Raises:
        DamagedDataError: for the first file that can no longer be decoded.
    """
    images, reasons = decode(files, size, read)
    for file, reason in zip(files, reasons, strict=True):
        if reason is not None:
            raise DamagedDataError(
                f"{shown(file)}: {reason}; it could be read before. Put the file back, and start "
                "the same command again"
            )
    return images


def in_threads(function, items, number, activity="reading images"):
    """What a function gives for some items, a few at a time, in their order.

    Args:
        function: called in several threads at once with a list of consecutive items.
        items: iterable, whose items are taken when they are needed.
        number: of all items.
        activity: what a terminal shows to be going on.

    Yields:
        What the function returns.
    """
    Image.init()  # here, since threads must not do it at once
    items = iter(items)
    progress = tqdm(
        total=number,
        unit="image",
        desc=activity,
        disable=number <= _WITH_PROGRESS or not sys.stderr.isatty(),
        dynamic_ncols=True,
    )
    with progress, warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's, of files that it reads all the same
        waiting = collections.deque()
        while True:
            chunk = list(itertools.islice(items, _CHUNK))
            if chunk:
                waiting.append((len(chunk), pool.submit(function, chunk)))
            if not waiting:
                return
            if not chunk or len(waiting) == _WAITING:
                length, result = waiting.popleft()
                yield result.result()
                progress.update(length)


def decode_one(file, result, read=None):
    """Decodes a file as `decode`.

    Args:
        file: path, or what `read` takes.
        result: where its pixels go, uint8, shape (height, width, 3).
        read: as of `decode`.

    Returns:
        What is wrong with the file, or `None`.
    """
    content = b""
    try:
        content = (read or system_files.read_bytes)(file)
        result[...] = pixels(content, *result.shape[:2])
    except UnidentifiedImageError:
        return "no image" if content else "empty"
    except (MemoryError, DamagedDataError):
        raise
    except Exception as error:  # Pillow's decoders raise errors of many kinds
        text = getattr(error, "strerror", None) or str(error)
        return "".join(text.splitlines()[:1]).strip(" .") or type(error).__name__
    return None


def pixels(content, height, width, mode="RGB"):
    """A file's content as an upright image of a size, as `decode` describes.

    Args:
        content: the file's, bytes.
        height: of the result, in pixels.
        width: the same.
        mode: Pillow's, "RGB" or "L" for grey.

    Returns:
        A `PIL.Image.Image`.
    """
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        check_size(image)
        image = _of_8_bits(_upright(image, content))
        image = image if image.mode == mode else image.convert(mode)  # which would copy it
        return centre(image, height, width)


def check_size(image):
    """Raises ValueError for an opened image that has more than `MOST_PIXELS`."""
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(
            f"{image.width} by {image.height} pixels, expected at most {MOST_PIXELS} in all; "
            "make it smaller"
        )


def _upright(image, content):
    """An image turned as its EXIF orientation says, if there is one that can be read."""
    image.load()  # so that what fails below is EXIF alone
    turn = orientation.read(content)
    if turn is None:
        try:
            turn = image.getexif().get(ExifTags.Base.Orientation)
        except (SyntaxError, struct.error, OSError, ValueError, KeyError, TypeError):
            return image
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _of_8_bits(image):
    if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, whose range is not known; save it with 8 or 16")
    return image


def centre(image, height, width):
    """The middle of an image that is resized until it covers a shape, bilinear with antialiasing.

    `rocket_tf.serving.image_decoding.centre` computes the same in TensorFlow's operations.

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
    # Only the middle is computed, from all pixels that its resized pixels depend on. First across,
    # then down, each rounded: left to itself, Pillow takes an order that differs by version.
    before = (width, image.height)
    image = image.resize(before, Image.Resampling.BILINEAR, (left, 0, right, image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR, (0, upper, width, lower))
