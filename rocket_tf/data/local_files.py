"""What the readers of data on one's own disk have in common. Free of TensorFlow."""

import dataclasses
from collections import Counter

import numpy as np

from rocket_tf.data.streamed import Source
from rocket_tf.errors import DataUnavailableError


@dataclasses.dataclass(frozen=True)
class LocalImages:
    """Images that were read from one's own files.

    Attributes:
        train: images, uint8 of shape (examples, height, width, channels), or what `source` reads
            them by; and labels, int64 of shape (examples,).
        test: the same for the test part.
        class_names: names of the classes, in their order.
        skipped: a line "path: reason" for each file that was passed over.
        fingerprint: what identifies the files; `None`: their pixels do.
        source: the `streamed.Source` that reads the images; `None`: they are in memory.
        counts: of streamed images, how many training pixels have each value, int64 of shape
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
        DataUnavailableError: if a name is empty, not Unicode or of several lines, or there twice.
    """
    for name, number in Counter(class_names).items():
        if name.splitlines() != [name] or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataUnavailableError(
                f"{source}: {name!a} cannot name a class; expected a line of Unicode, so rename it"
            )
        if number > 1:
            raise DataUnavailableError(
                f"{source}: {number} classes have the name {name!r}; give each its own"
            )


def reason_of(error):
    """What an exception of another library says, in one line."""
    text = "".join(str(error).splitlines()[:1]).strip(" .")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
