"""Decodes image files of any size to squares of one size, without importing TensorFlow."""

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

# Formats that an export's serve_bytes reads, and formats that only training reads.
SERVED_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
SUFFIXES = (*SERVED_SUFFIXES, ".webp", ".tif", ".tiff")
# Only the formats of these suffixes: for EPS, for example, Pillow would start Ghostscript.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
# The transposition that makes an image upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Height times width. A file of a few bytes may declare more and take too much memory.
MOST_PIXELS = 30_000_000
_CHUNK = 16  # images that a thread decodes in one chunk
_WAITING = 32  # chunks that are queued for threads at once
_WITH_PROGRESS = 500  # with more images, progress is shown


def find(folder):
    """Finds the image files in a folder and its subfolders, in the same order on every machine.

    Files are recognized by their suffix (`SUFFIXES`); hidden files and folders are skipped.

    Args:
        folder: the folder.

    Returns:
        `(images, others)`: lists of paths; `others` are files without an image's suffix, and hidden
        files with one.

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
    return tuple(sorted(paths, key=lambda path: path.split(os.sep)) for paths in (images, others))


def as_png(content):
    """Converts the content of an image file in any supported format to that of a PNG file."""
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        file = io.BytesIO()
        _to_8_bits(_upright(image, content)).convert("RGB").save(file, "PNG", compress_level=1)
        return file.getvalue()


def decode(files, size, read=None):
    """Decodes files to RGB squares in several threads.

    Grey becomes RGB, 16 bits lose the lower 8, transparency is dropped (as TensorFlow's decoder
    does), and animations keep their first frame. Images are rotated by their EXIF orientation if it
    can be read. The shorter side is resized to `size`, bilinear with antialiasing, and the centre
    of the longer side is kept. With more than 500 images, a terminal shows the progress.

    Args:
        files: sequence of paths, or of items for `read`.
        size: height and width of the squares, in pixels.
        read: function from one of `files` to the content of an image file; `None`: `files` are
            paths.

    Returns:
        `(images, reasons)`: uint8, shape (files, size, size, 3); and a list that says for each file
        why it cannot be read, or `None`.
    """
    images = np.zeros((len(files), size, size, 3), np.uint8)

    def decode_chunk(indices):
        return [decode_one(files[index], images[index], read) for index in indices]

    indices = range(len(files))
    reasons = [
        reason for chunk in in_threads(decode_chunk, indices, len(files)) for reason in chunk
    ]
    return images, reasons


def decode_again(files, size, shown, read=None):
    """Decodes files again that `decode` could decode before.

    Args:
        files: as for `decode`.
        size: as for `decode`.
        shown: function from one of `files` to its name in messages.
        read: as for `decode`.

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
    """Applies a function to chunks of items in several threads and yields its results in order.

    Args:
        function: called concurrently with lists of consecutive items.
        items: iterable, consumed as needed.
        number: number of items.
        activity: description of the work, shown in a terminal.

    Yields:
        What the function returns.
    """
    Image.init()  # here, since it is not safe in several threads
    items = iter(items)
    progress = tqdm(
        total=number,
        unit="image",
        desc=activity,
        disable=number <= _WITH_PROGRESS or not sys.stderr.isatty(),
        dynamic_ncols=True,
    )
    with progress, warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's warnings about files that it can read
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
    """Decodes one file like `decode`.

    Args:
        file: path, or an item for `read`.
        result: array that receives the pixels, uint8, shape (height, width, 3).
        read: as for `decode`.

    Returns:
        Why the file cannot be read, or `None`.
    """
    content = b""
    try:
        content = (read or system_files.read_bytes)(file)
        result[...] = pixels(content, *result.shape[:2])
    except UnidentifiedImageError:
        return "no image" if content else "empty"
    except (MemoryError, DamagedDataError):
        raise
    except Exception as error:  # Pillow's decoders raise many kinds of errors
        text = getattr(error, "strerror", None) or str(error)
        return "".join(text.splitlines()[:1]).strip(" .") or type(error).__name__
    return None


def pixels(content, height, width, mode="RGB"):
    """Decodes a file's content to an upright image of a given size, as `decode` describes.

    Args:
        content: content of the file, bytes.
        height: of the result, in pixels.
        width: the same.
        mode: Pillow's, "RGB" or "L" for grey.

    Returns:
        A `PIL.Image.Image`.
    """
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        check_size(image)
        image = _to_8_bits(_upright(image, content))
        image = image if image.mode == mode else image.convert(mode)  # which would copy it
        return centre(image, height, width)


def check_size(image):
    """Raises ValueError for an opened image that has more than `MOST_PIXELS`."""
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(
            f"{image.width} by {image.height} pixels, expected at most {MOST_PIXELS} altogether; "
            "make it smaller"
        )


def _upright(image, content):
    """Rotates an image by its EXIF orientation, if it has one that can be read."""
    image.load()  # so that only EXIF can fail below
    turn = orientation.read(content)
    if turn is None:
        try:
            turn = image.getexif().get(ExifTags.Base.Orientation)
        except (SyntaxError, struct.error, OSError, ValueError, KeyError, TypeError):
            return image
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _to_8_bits(image):
    if image.mode.startswith("I;16"):  # Pillow would clip it at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, whose range is unknown; save it with 8 or 16 bits")
    return image


def centre(image, height, width):
    """Resizes an image to cover a shape and crops its centre; bilinear with antialiasing.

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
    for side, target in zip(image.size, (width, height), strict=True):
        resized = round(side * scale)
        first = (resized - target) // 2
        box.append((first * side / resized, min((first + target) * side / resized, side)))
    (left, right), (upper, lower) = box
    # Only the centre is computed, from all pixels that it depends on. It is resized horizontally,
    # then vertically, and rounded each time: Pillow's own order differs between versions.
    intermediate = (width, image.height)
    image = image.resize(intermediate, Image.Resampling.BILINEAR, (left, 0, right, image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR, (0, upper, width, lower))
