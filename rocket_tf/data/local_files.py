"""Common parts of the readers of local data. It does not import TensorFlow."""

import dataclasses
import os
from collections import Counter
from pathlib import Path

import numpy as np

from rocket_tf.data.streamed import Source
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_SHOWN = 5  # unreadable images that a message names


@dataclasses.dataclass(frozen=True)
class LocalImages:
    """Images that were read from local files.

    Attributes:
        train: images, uint8 of shape (examples, height, width, channels), or references for
            `source`; and labels, int64 of shape (examples,), or multi-hot, float32 of shape
            (examples, classes).
        test: the same for the test part.
        class_names: names of the classes, in order.
        skipped: a line "path: reason" for each file that was skipped.
        fingerprint: the fingerprint of the files; `None`: their pixels are used.
        source: the `streamed.Source` that reads the images; `None`: they are in memory.
        counts: for streamed images, the number of training pixels with each value, int64 of shape
            (channels, 256).
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    class_names: list[str]
    skipped: list[str] = dataclasses.field(default_factory=list)
    fingerprint: dict | None = None
    source: Source | None = None
    counts: np.ndarray | None = None


def check_class_names(source, class_names):
    """Checks that names can be written to a file of labels, one a line.

    Args:
        source: where the names are from, for the message.
        class_names: list of strings.

    Raises:
        DataUnavailableError: if a name is empty, not Unicode, has several lines, or occurs twice.
    """
    for name, number in Counter(class_names).items():
        if name.splitlines() != [name] or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataUnavailableError(
                f"{source}: {name!a} cannot name a class; expected one line of Unicode, so rename "
                "it"
            )
        if number > 1:
            raise DataUnavailableError(
                f"{source}: {number} classes have the name {name!r}; give them different names"
            )


def reason_of(error):
    """The message of another library's exception, in one line."""
    text = "".join(str(error).splitlines()[:1]).strip(" .")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def pass_over(place, names, reasons, unreadable, tell):
    """Skips unreadable images, or refuses them.

    Args:
        place: where the images are from, for messages.
        names: iterable with each image's name.
        reasons: list with what is wrong with each, or `None`.
        unreadable: "refuse" or "skip".
        tell: function that takes a line about what was skipped.

    Returns:
        `(readable, skipped)`: a boolean for each image; and a sorted list of lines "name: reason".

    Raises:
        DamagedDataError: if some cannot be read and are not to be skipped.
    """
    skipped = sorted(
        f"{name}: {reason}"
        for name, reason in zip(names, reasons, strict=True)
        if reason is not None
    )
    if skipped and unreadable == "refuse":
        more = f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
        raise DamagedDataError(
            f"{place}: {len(skipped)} of {len(reasons)} images cannot be read: "
            f"{'; '.join(skipped[:_SHOWN])}{more}. Repair or delete them, or skip them: "
            "config.unreadable_images=skip"
        )
    if skipped:
        tell(
            f"{place}: skipped {len(skipped)} of {len(reasons)} images, which cannot be read; "
            f"the first: {skipped[0]}"
        )
    return np.array([reason is None for reason in reasons]), skipped


def close_gaps(images, kept):
    """The images that are kept; moved in place, since a copy might not fit into memory."""
    if kept.all():
        return images
    kept_indices = np.flatnonzero(kept)
    for index, source in enumerate(kept_indices):
        images[index] = images[source]
    return images[: len(kept_indices)]


def without_unreadable(images, labels, readable, training):
    """The images that can be read, with their labels, as training and test part.

    Args:
        images: array of images, which may be moved in place, or of references.
        labels: array with a row for each image.
        readable: a boolean for each image.
        training: number of images of the training part.

    Returns:
        `(train, test)`, each a pair of images and labels.
    """
    number = np.count_nonzero(readable[:training])
    images, labels = close_gaps(images, readable), labels[readable]
    return (images[:number], labels[:number]), (images[number:], labels[number:])


def check_memory(path, number, image_size):
    """Checks that images fit into memory.

    Raises:
        DataUnavailableError: if they do not.
    """
    needed, available = size_of(number, image_size), _available_memory()
    if needed > available:
        raise DataUnavailableError(
            f"{path}: {number} images of {image_size} by {image_size} pixels need "
            f"{needed / 2**30:.2f} GiB of memory, but {available / 2**30:.2f} GiB are available; "
            "lower config.image_size, or stream them: config.streaming=always"
        )


def size_of(number, image_size):
    """The bytes that a number of images takes in memory."""
    return number * image_size**2 * 3


def _available_memory():
    """Available bytes of memory: on Linux those that are free or a cache, elsewhere all."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (kibibytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kibibytes) * 1024
    except (OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
