"""Reads images and labels from one NumPy archive, like those of Keras's data sets.

It does not import TensorFlow.
"""

import zipfile
from pathlib import Path

import numpy as np

from rocket_tf.data.local_files import LocalImages, check_class_names, reason_of
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_EXAMPLE = "np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)"


def read(path):
    """Reads an .npz file with the keys x_train, y_train, x_test, y_test.

    Args:
        path: the file. x_train and x_test: pixels of 0 to 255, uint8 or integral values of another
            dtype, shape (examples, height, width) or (examples, height, width, channels). y_train
            and y_test: integers from 0 to classes - 1, shape (examples,) or (examples, 1), each
            class at least once in y_train. Optionally class_names, strings of shape (classes,);
            without them, classes are named by their numbers.

    Returns:
        `LocalImages`, in the file's order.

    Raises:
        DamagedDataError: if the file, or an array in it, cannot be read.
        DataUnavailableError: if the file does not exist, or its arrays are not as above; the
            message names the key.
    """
    path = Path(path).expanduser()
    arrays = _read_arrays(path)
    x_train, x_test = (_images(f"{path}: {key}", arrays[key]) for key in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataUnavailableError(
            f"{path}: x_test has images of shape {x_test.shape[1:]}, but x_train of "
            f"{x_train.shape[1:]}; expected equal shapes"
        )
    y_train, y_test = (_labels(f"{path}: {key}", arrays[key]) for key in ("y_train", "y_test"))
    for part, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(images) != len(labels):
            raise DataUnavailableError(
                f"{path}: x_{part} has {len(images)} examples, but y_{part} has {len(labels)}; "
                "expected equally many"
            )
    names_in_file = _class_names(path, arrays["class_names"]) if "class_names" in arrays else None
    classes = len(names_in_file) if names_in_file else max(int(y_train.max()), 0) + 1
    _check_range(f"{path}: y_train", y_train, classes)
    _check_range(f"{path}: y_test", y_test, classes)
    present = np.unique(y_train)
    if len(present) < classes:
        absent = int(np.argmin(np.append(present, -1) == np.arange(len(present) + 1)))
        raise DataUnavailableError(
            f"{path}: y_train has no example of class {absent}, though there are {classes} "
            "classes; number them without gaps"
        )
    class_names = names_in_file or [str(label) for label in range(classes)]
    train, test = (x_train, y_train.astype(np.int64)), (x_test, y_test.astype(np.int64))
    return LocalImages(train=train, test=test, class_names=class_names)


def _read_arrays(path):
    if not path.is_file():
        raise DataUnavailableError(f"{path}: no such file; expected one by {_EXAMPLE}")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            truncated = file.read(2) == b"PK"
        raise DamagedDataError(
            f"{path}: {'its end is missing; copy it again' if truncated else 'not an .npz file'}; "
            f"expected one by {_EXAMPLE}"
        )
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # zipfile and NumPy raise many kinds of errors
        raise DamagedDataError(f"{path}: {reason_of(error)}; copy it again") from error
    with archive:
        missing = [key for key in _KEYS if key not in archive]
        if missing:
            raise DataUnavailableError(
                f"{path}: has no {', '.join(missing)}; there are "
                f"{archive.files or 'no arrays'}; expected one by {_EXAMPLE}"
            )
        wanted = [*_KEYS, *(["class_names"] if "class_names" in archive else [])]
        return {key: _read_array(path, archive, key) for key in wanted}


def _read_array(path, archive, key):
    try:
        array = archive[key]
    except Exception as error:  # as above
        if "allow_pickle" in str(error):
            problem = "an array of Python objects, which is not read; save numbers or strings"
        else:
            problem = f"{reason_of(error)}; copy the file again"
        raise DamagedDataError(f"{path}: {key}: {problem}") from error
    if not isinstance(array, np.ndarray):  # for other files in the archive, NumPy returns bytes
        raise DamagedDataError(f"{path}: {key}: not a NumPy array")
    return array


def _images(source, images):
    """Converts the archive's images to uint8 with channels."""
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataUnavailableError(
            f"{source}: shape {images.shape}; expected (examples, height, width) or (examples, "
            "height, width, channels), with no dimension 0"
        )
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise DataUnavailableError(
            f"{source}: shape {images.shape}; expected channels last: x.transpose(0, 2, 3, 1)"
        )
    if images.dtype != np.uint8:
        images = _to_uint8(source, images)
    return images[..., None] if images.ndim == 3 else images


def _to_uint8(source, images):
    description, is_whole = f"dtype {images.dtype}", False
    if images.dtype.kind in "biuf":
        smallest, largest = images.min(), images.max()
        description += f" with values from {smallest} to {largest}"
        # False for NaN, too.
        if smallest >= 0 and largest <= 255:
            converted = images.astype(np.uint8)
            is_whole = np.array_equal(converted, images)
    if not is_whole:
        raise DataUnavailableError(
            f"{source}: {description}, not all integers from 0 to 255; expected pixels of 0 to "
            "255, such as np.round(255 * x).astype(np.uint8) for x in [0, 1]"
        )
    return converted


def _labels(source, labels):
    """Labels of shape (examples,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) == 0 or labels.dtype.kind not in "iu":
        raise DataUnavailableError(
            f"{source}: dtype {labels.dtype} and shape {labels.shape}; expected integers of shape "
            "(examples,) or (examples, 1), not empty; for one-hot labels, save y.argmax(-1)"
        )
    return labels


def _class_names(path, names):
    if names.ndim != 1 or names.dtype.kind not in "US" or len(names) == 0:
        raise DataUnavailableError(
            f"{path}: class_names: dtype {names.dtype} and shape {names.shape}; expected strings "
            "of shape (classes,)"
        )
    if names.dtype.kind == "S":
        names = [name.decode("utf-8", "surrogateescape") for name in names.tolist()]
    names = [str(name) for name in names]
    check_class_names(f"{path}: class_names", names)
    return names


def _check_range(source, labels, classes):
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise DataUnavailableError(
            f"{source}: example {outside[0] + 1} of {len(labels)} has label {labels[outside[0]]}, "
            f"expected 0 to {classes - 1}"
        )
