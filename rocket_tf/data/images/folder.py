"""Images of any size and format in folders by class. Free of TensorFlow."""

import os
from pathlib import Path

import numpy as np

from rocket_tf.data.images import files as image_files
from rocket_tf.data.local_files import LocalImages, check_class_names
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_TEST_NAMES = ("test", "val", "validation")
_SHOWN = 5  # unreadable images that a message names


def read(path, image_size, unreadable="refuse", tell=print):
    """Reads `path/train/<class>/*` and `path/test/<class>/*` into memory.

    Where there is no `test`, `val` or else `validation` is read in its place. The classes are the
    folders in `train`, in the order of their names. Files below a class's folder count by their
    suffix: .jpg, .jpeg, .png, .bmp, .gif, .webp, .tif, .tiff; others are ignored, and hidden ones.

    Images become RGB squares as `files.decode` describes.

    Args:
        path: the folder.
        image_size: height and width of the result, in pixels.
        unreadable: "refuse" images that cannot be read, all in one error, or "skip" them.
        tell: function that takes a line about what was skipped.

    Returns:
        `LocalImages` with images of shape (examples, image_size, image_size, 3). Test examples are
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
    files = [train[0][place] for place in order] + test[0]
    labels = np.concatenate([train[1][order], test[1]])
    _check_memory(path, len(files), image_size)

    images, reasons = image_files.decode(files, image_size)
    readable = np.array([reason is None for reason in reasons])
    skipped = sorted(
        f"{_shown(file)}: {reason}"
        for file, reason in zip(files, reasons, strict=True)
        if reason is not None
    )
    parts = slice(None, len(order)), slice(len(order), None)
    if skipped:
        if unreadable == "refuse":
            more = f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
            raise DamagedDataError(
                f"{path}: {len(skipped)} of {len(files)} images cannot be read: "
                f"{'; '.join(skipped[:_SHOWN])}{more}. Mend or delete them, or pass them over: "
                "config.unreadable_images=skip"
            )
        for folder, part in zip(folders, parts, strict=True):
            _check_classes(folder, class_names, labels[part], readable[part])
        images = _close_gaps(images, readable)
        tell(
            f"{path}: passed over {len(skipped)} of {len(files)} images, which cannot be read; "
            f"the first: {skipped[0]}"
        )
    number = readable[parts[0]].sum()
    labels = labels[readable]
    return LocalImages(
        train=(images[:number], labels[:number]),
        test=(images[number:], labels[number:]),
        class_names=class_names,
        skipped=skipped,
    )


def _find_files(path):
    """What there is to read.

    Returns:
        `(class_names, folders, train, test)`: a list; the folders of training and test examples;
        of either a list of files, strings, by class and path, and their labels, an int64 array.
    """
    layout = f"expected {path}/train/<class>/<image> and {path}/test/<class>/<image>"
    if not path.is_dir():
        raise DataUnavailableError(f"{path}: no such folder; {layout}")
    if not (path / "train").is_dir():
        raise DataUnavailableError(f"{path}: has no folder train; {layout}")
    test_folder = next((path / name for name in _TEST_NAMES if (path / name).is_dir()), None)
    if test_folder is None:
        raise DataUnavailableError(
            f"{path}: has no folder test (nor val, nor validation); {layout}"
        )
    folders = path / "train", test_folder
    class_names, test_names = (
        sorted(entry.name for entry in folder.iterdir() if _is_class(entry)) for folder in folders
    )
    if not class_names:
        raise DataUnavailableError(f"{folders[0]}: has no folders of classes; {layout}")
    check_class_names(folders[0], class_names)
    unknown = sorted(set(test_names) - set(class_names))
    if unknown:
        raise DataUnavailableError(
            f"{test_folder}: has the class {unknown[0]!a}, which {folders[0]} has not; move its "
            "images, or name it as there"
        )
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


def _is_class(entry):
    return entry.is_dir() and not entry.name.startswith(".")


def _files_of_classes(folder, class_names):
    files, labels = [], []
    for label, name in enumerate(class_names):
        found = image_files.find(folder / name)[0] if (folder / name).is_dir() else []
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, np.int64)


def _check_memory(path, number, image_size):
    needed, available = number * image_size**2 * 3, _available_memory()
    if needed > available:
        raise DataUnavailableError(
            f"{path}: {number} images of {image_size} by {image_size} pixels need "
            f"{needed / 2**30:.2f} GiB of memory, and {available / 2**30:.2f} GiB are available; "
            "lower config.image_size"
        )


def _available_memory():
    """Bytes that can be had: on Linux those that are free or only a cache, elsewhere all."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (kibibytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kibibytes) * 1024
    except (OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_classes(folder, class_names, labels, readable):
    """Checks that of each class that has images one can be read."""
    lost = np.setdiff1d(labels, labels[readable])
    if len(lost):
        raise DamagedDataError(
            f"{folder / class_names[lost[0]]}: none of its {(labels == lost[0]).sum()} images can "
            "be read; mend them, or delete the folder"
        )


def _close_gaps(images, kept):
    """The images that are kept; moved in place, since a copy might not fit into memory."""
    places = np.flatnonzero(kept)
    for place, source in enumerate(places):
        images[place] = images[source]
    return images[: len(places)]


def _shown(file):
    """A file's name as it can be printed, also where it is no Unicode."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
