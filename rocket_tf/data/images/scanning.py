"""Decodes all images once before they are streamed, to find unreadable ones and the brightness."""

import numpy as np
import PIL

from rocket_tf.data.images import files as image_files
from rocket_tf.system import files as system_files
from rocket_tf.system import kept

_VERSION = 1  # version of what is kept


def scan_files(files, training, image_size, fingerprint):
    """Decodes every image once, in threads, or loads the cached result of an earlier scan.

    Args:
        files: list of paths, training images first.
        training: number of training images.
        image_size: height and width of decoded images, in pixels.
        fingerprint: JSON-compatible value that identifies the files; key of the cached result.

    Returns:
        `(reasons, counts)`: a list that says for each file why it cannot be read, or `None`; and
        the number of pixels of readable training images with each value, int64, shape (3, 256).
    """
    key = [_VERSION, PIL.__version__, fingerprint, training, image_size]
    result = kept.load("images", key)
    if result is None:
        result = scan(files, len(files), training, image_size, system_files.read_bytes)
        kept.save("images", key, **result)
    return reasons_of(result, len(files)), result["counts"]


def scan(items, number, training, image_size, read):
    """Decodes every image once, in threads, without keeping them.

    Args:
        items: iterable of items for `read`, training images first.
        number: number of items.
        training: as for `scan_files`.
        image_size: as for `scan_files`.
        read: function from an item to the content of an image file.

    Returns:
        Dict of arrays: "unreadable", the indices of images that cannot be read; "reasons", why each
        of them cannot; "counts", as for `scan_files`.
    """

    def scan_chunk(chunk):
        images = np.zeros((len(chunk), image_size, image_size, 3), np.uint8)
        reasons = {
            index: image_files.decode_one(item, image, read)
            for image, (index, item) in zip(images, chunk, strict=True)
        }
        counted = [index < training and reason is None for index, reason in reasons.items()]
        return reasons, pixel_counts(images[counted])

    counts, unreadable = np.zeros((3, 256), np.int64), {}
    for reasons, chunk_counts in image_files.in_threads(
        scan_chunk, enumerate(items), number, "checking images"
    ):
        counts += chunk_counts
        unreadable |= {index: reason for index, reason in reasons.items() if reason}
    return {
        "unreadable": np.array(list(unreadable), np.int64),
        "reasons": np.array(list(unreadable.values()), str),
        "counts": counts,
    }


def reasons_of(found, number):
    """A list with the reason for each of `number` images, or `None`, from the result of `scan`."""
    reasons = [None] * number
    for index, reason in zip(found["unreadable"], found["reasons"], strict=True):
        reasons[index] = str(reason)
    return reasons


def pixel_counts(images):
    """Counts the pixels with each value.

    Args:
        images: uint8, shape (examples, height, width, channels).

    Returns:
        int64, shape (channels, 256).

    Example:
        >>> pixel_counts(np.zeros((2, 4, 4, 3), np.uint8))[:, 0].tolist()
        [32, 32, 32]
    """
    return np.stack(
        [np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(images, -1, 0)]
    )
