"""The images of a folder, by part, with their classes.

It does not import TensorFlow.
"""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np

# Names of the test part; the first one that exists is read.
TEST_NAMES = ("test", "val", "validation")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images and labels that can be read.

    Attributes:
        class_names: names of the classes, in order.
        train: paths, a list of strings, and labels: int64 of shape (images,); multi-hot, float32 of
            shape (images, classes), if images may have several classes.
        test: the same.
        place_of_class: function from a part, "train" or "test", and a class's name to the place of
            its images, for messages.
        way_out: advice for a class whose images cannot be read, for messages.
        fingerprint: JSON-compatible dict that identifies the labels if paths do not.
    """

    class_names: list[str]
    train: tuple[list[str], np.ndarray]
    test: tuple[list[str], np.ndarray]
    place_of_class: Callable[[str, str], object]
    way_out: str
    fingerprint: dict = dataclasses.field(default_factory=dict)


def is_test(name, fraction):
    """Whether an image belongs to the test part when that is a share of all images.

    It depends only on the name. Adding or deleting images moves no other image between the parts,
    and test images remain test images when the share grows.

    Args:
        name: the image's path in the folder, separated by "/".
        fraction: the share, from 0 to 1.

    Example:
        >>> [is_test(f"cat/{number}.jpg", 0.5) for number in range(6)]
        [True, True, False, True, True, True]
    """
    encoded = name.encode("utf-8", "surrogateescape")
    number = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")
    return number < fraction * 2**64
