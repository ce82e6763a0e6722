"""Images of any size and format in folders by class. Free of TensorFlow."""

import os
from pathlib import Path

import numpy as np

from rocket_tf.data import fingerprints
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import scanning
from rocket_tf.data.local_files import (
    LocalImages,
    check_class_names,
    check_memory,
    pass_over,
    size_of,
    without_unreadable,
)
from rocket_tf.data.streamed import Source, is_streamed
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_TEST_NAMES = ("test", "val", "validation")


def read(path, image_size, unreadable="refuse", tell=print, streaming="never"):
    """Reads `path/train/<class>/*` and `path/test/<class>/*`, or opens them to be streamed.

    Where there is no `test`, `val` or else `validation` is read in its place. The classes are the
    folders in `train`, in the order of their names. Files below a class's folder count by their
    suffix: .jpg, .jpeg, .png, .bmp, .gif, .webp, .tif, .tiff; others are ignored, and hidden ones.

    Images become RGB squares as `files.decode` describes. Those that are streamed are decoded once
    now, to find what cannot be read and how bright they are; what is found is kept, for the same
    files, in `rocket_tf.system.kept.folder()`.

    Args:
        path: the folder.
        image_size: height and width of the result, in pixels.
        unreadable: "refuse" images that cannot be read, all in one error, or "skip" them.
        tell: function that takes a line about what was skipped.
        streaming: "always" or "never", or "auto": where more than 1 GiB would be in memory.

    Returns:
        `LocalImages`, whose images have the shape (image_size, image_size, 3). Test examples are
        in the order of classes and then of relative paths; training examples in one that is drawn
        at random but always the same for a list of files, so that the first ones have all classes.

    Raises:
        DamagedDataError: if images cannot be read and are not to be skipped, or no image of a
            class can.
        DataUnavailableError: if the folder is not as above, or the images need more memory than
            there is.
    """
    if unreadable not in ("refuse", "skip"):
        raise ValueError(f'unreadable is "refuse" or "skip". Received: {unreadable!r}')
    path = Path(path).expanduser()
    try:
        class_names, folders, train, test = _find_files(path)
    except OSError as error:
        raise DataUnavailableError(f"{error.filename}: {error.strerror}") from error
    order = np.random.default_rng(0).permutation(len(train[0]))
    train = [train[0][place] for place in order], train[1][order]
    return _read_files(
        path, image_size, unreadable, tell, streaming, class_names, folders, (train, test)
    )


def read_test(path, image_size, class_names, unreadable="refuse", tell=print, streaming="never"):
    """Reads the test part alone, or opens it to be streamed; there need be no other.

    Args:
        path: as of `read`.
        image_size: as of `read`.
        class_names: names of the classes, in their order.
        unreadable: as of `read`.
        tell: as of `read`.
        streaming: as of `read`.

    Returns:
        `LocalImages` without training images.

    Raises:
        DamagedDataError, DataUnavailableError: as `read`.
    """
    path = Path(path).expanduser()
    try:
        test_folder = _test_folder(path)
        _check_names(test_folder, class_names, "the run")
        test = _files_of_classes(test_folder, class_names)
    except OSError as error:
        raise DataUnavailableError(f"{error.filename}: {error.strerror}") from error
    parts = ([], np.zeros(0, np.int64)), test
    folders = None, test_folder
    return _read_files(path, image_size, unreadable, tell, streaming, class_names, folders, parts)


def _read_files(path, image_size, unreadable, tell, streaming, class_names, folders, parts):
    """As `read`, of files and labels of both parts."""
    (train_files, train_labels), (test_files, test_labels) = parts
    number, files = len(train_files), train_files + test_files
    labels = np.concatenate([train_labels, test_labels])
    fingerprint = {}
    for part, own in (("train", train_files), ("test", test_files)):
        found = fingerprints.of_files(own, [os.path.relpath(file, path) for file in own])
        fingerprint |= {f"{part}_{name}": value for name, value in found.items()}
    source = counts = None
    if is_streamed(streaming, size_of(len(files), image_size)):
        source = FileSource(image_size)
        reasons, counts = scanning.scan_files(files, number, image_size, fingerprint)
        images = np.array(files, object)
    else:
        check_memory(path, len(files), image_size)
        images, reasons = image_files.decode(files, image_size)
    readable, skipped = pass_over(path, map(_shown, files), reasons, unreadable, tell)
    parts = slice(None, number), slice(number, None)
    if skipped:
        for folder, part in zip(folders, parts, strict=True):
            _check_classes(folder, class_names, labels[part], readable[part])
    others = [
        os.path.splitext(file)[1].lower()
        for file, is_readable in zip(files, readable, strict=True)
        if is_readable and not file.lower().endswith(image_files.SERVED_SUFFIXES)
    ]
    if others:
        tell(
            f"{path}: {len(others)} of {len(files)} images are {', '.join(sorted(set(others)))}; "
            "an export's serve_bytes reads "
            f"{', '.join(image_files.SERVED_SUFFIXES)} alone"
        )
    train, test = without_unreadable(images, labels, readable, number)
    return LocalImages(
        train=train,
        test=test,
        class_names=class_names,
        skipped=skipped,
        fingerprint=fingerprint,
        source=source,
        counts=counts,
    )


class FileSource(Source):
    """Images in files, decoded as `files.decode` does it; references are paths."""

    def __init__(self, image_size):
        self.shape = (image_size, image_size, 3)

    def read(self, references):
        images, reasons = image_files.decode(list(references), self.shape[0])
        for file, reason in zip(references, reasons, strict=True):
            if reason is not None:
                raise DamagedDataError(
                    f"{_shown(file)}: {reason}; it could be read before. Put it back, and start "
                    "the same command again"
                )
        return images


def _find_files(path):
    """What there is to read.

    Returns:
        `(class_names, folders, train, test)`: a list; the folders of training and test examples;
        of either a list of files, strings, by class and path, and their labels, an int64 array.
    """
    layout = _layout(path)
    if not path.is_dir():
        raise DataUnavailableError(f"{path}: no such folder; {layout}")
    if not (path / "train").is_dir():
        raise DataUnavailableError(f"{path}: has no folder train; {layout}")
    test_folder = _test_folder(path)
    folders = path / "train", test_folder
    class_names = _classes_in(folders[0])
    if not class_names:
        raise DataUnavailableError(f"{folders[0]}: has no folders of classes; {layout}")
    check_class_names(folders[0], class_names)
    _check_names(test_folder, class_names, folders[0])
    train, test = (_files_of_classes(folder, class_names) for folder in folders)
    empty = np.setdiff1d(np.arange(len(class_names)), train[1])
    if len(empty):
        raise DataUnavailableError(
            f"{folders[0] / class_names[empty[0]]}: has no images "
            f"({' '.join(image_files.SUFFIXES)}); add some, or delete the folder"
        )
    if not test[0]:
        raise DataUnavailableError(f"{test_folder}: has no images; {layout}")
    return class_names, folders, train, test


def _layout(path):
    return f"expected {path}/train/<class>/<image> and {path}/test/<class>/<image>"


def _test_folder(path):
    found = next((path / name for name in _TEST_NAMES if (path / name).is_dir()), None)
    if found is None:
        raise DataUnavailableError(
            f"{path}: has no folder test (nor val, nor validation); {_layout(path)}"
        )
    return found


def _classes_in(folder):
    return sorted(entry.name for entry in folder.iterdir() if _is_class(entry))


def _check_names(test_folder, class_names, where):
    """Checks that a test folder has no classes but those that there are elsewhere."""
    unknown = sorted(set(_classes_in(test_folder)) - set(class_names))
    if unknown:
        raise DataUnavailableError(
            f"{test_folder}: has the class {unknown[0]!a}, which {where} has not; move its "
            "images, or name it as there"
        )


def _is_class(entry):
    return entry.is_dir() and not entry.name.startswith(".")


def _files_of_classes(folder, class_names):
    files, labels = [], []
    for label, name in enumerate(class_names):
        found = image_files.find(folder / name)[0] if (folder / name).is_dir() else []
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, np.int64)


def _check_classes(folder, class_names, labels, readable):
    """Checks that of each class that has images one can be read."""
    lost = np.setdiff1d(labels, labels[readable])
    if len(lost):
        raise DamagedDataError(
            f"{folder / class_names[lost[0]]}: none of its {(labels == lost[0]).sum()} images can "
            "be read; mend them, or delete the folder"
        )


def _shown(file):
    """A file's name as it can be printed, also where it is no Unicode."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
