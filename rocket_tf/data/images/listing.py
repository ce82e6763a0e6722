"""Which images of a folder there are, by part, with their classes.

It does not import TensorFlow.
"""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np

# The parts that are read as the test part, the first that is there.
TEST_NAMES = ("test", "val", "validation")


@dataclasses.dataclass(frozen=True)
class Listing:
    """What there is to read.

    Attributes:
        class_names: names of the classes, in their order.
        train: paths, a list of strings, and labels: int64 of shape (images,), or, where images
            may have several classes, multi-hot, float32 of shape (images, classes).
        test: the same.
        place_of_class: function from a part, "train" or "test", and a class's name to where its
            images of that part stand, for messages.
        way_out: what can be done about a class whose images cannot be read, for messages.
        fingerprint: what identifies the labels, where paths do not; a dict that JSON can hold.
    """

    class_names: list[str]
    train: tuple[list[str], np.ndarray]
    test: tuple[list[str], np.ndarray]
    place_of_class: Callable[[str, str], object]
    way_out: str
    fingerprint: dict = dataclasses.field(default_factory=dict)


def is_test(name, fraction):
    """Whether an image is of the test part, where that is a share of all images.

    It depends on the name alone: other images that come or go move no image from one part to the
    other, and with a larger share, test images stay test images.

    Args:
        name: the image's path in the folder, with "/" between its parts.
        fraction: the share, from 0 to 1.

    Example:
        >>> [is_test(f"cat/{number}.jpg", 0.5) for number in range(6)]
        [True, True, False, True, True, True]
    """
    encoded = name.encode("utf-8", "surrogateescape")
    number = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")
    return number < fraction * 2**64
