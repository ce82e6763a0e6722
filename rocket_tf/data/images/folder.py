"""Images of any size and format in one folder, with their classes.

It does not import TensorFlow.
"""

import contextlib
import dataclasses
import os
from pathlib import Path

import numpy as np

from rocket_tf.data import fingerprints
from rocket_tf.data.images import class_folders, labels_file, scanning
from rocket_tf.data.images import files as image_files
from rocket_tf.data.local_files import (
    LocalImages,
    check_memory,
    pass_over,
    size_of,
    without_unreadable,
)
from rocket_tf.data.streamed import Source, is_streamed
from rocket_tf.errors import DamagedDataError, DataUnavailableError


def read(
    path,
    image_size,
    unreadable="refuse",
    tell=print,
    streaming="never",
    test_fraction=0.0,
    labels=None,
):
    """Reads `path/train/<class>/*` and `path/test/<class>/*`, or opens them to be streamed.

    If there is no `test`, then `val`, or else `validation`, is read instead. The classes are the
    folders in `train`, ordered by name. Files below a class's folder are images if they have one of
    these suffixes: .jpg, .jpeg, .png, .bmp, .gif, .webp, .tif, .tiff. Other and hidden files are
    ignored.

    Images become RGB squares as `files.decode` describes. Streamed images are decoded once now, to
    find those that cannot be read and the counts of pixel values. These are kept, for the same
    files, in `rocket_tf.system.kept.folder()`.

    Args:
        path: the folder.
        image_size: height and width of the result, in pixels.
        unreadable: "refuse" images that cannot be read, all in one error, or "skip" them.
        tell: called with a line about skipped images.
        streaming: "always", "never", or "auto": if more than 1 GiB would be in memory.
        test_fraction: as for `class_folders.list_images` and `labels_file.list_images`.
        labels: a `labels_file.LabelsFile` with the images and their classes; `None`: folders.

    Returns:
        `LocalImages` of shape (image_size, image_size, 3). Test examples are ordered by class and
        then by relative path, or with a file of labels by path. Training examples have a random but
        fixed order for a list of files, so that the first ones have all classes.

    Raises:
        DamagedDataError: if images cannot be read and are not to be skipped, if no image of a class
            can be read, or if a row of the file of labels is wrong.
        DataUnavailableError: if the folder is not as above, or if there is too little memory.
    """
    if unreadable not in ("refuse", "skip"):
        raise ValueError(f'unreadable is "refuse" or "skip". Received: {unreadable!r}')
    path = Path(path).expanduser()
    with _folders_that_can_be_read():
        if labels is None:
            listing = class_folders.list_images(path, test_fraction)
        else:
            listing = labels_file.list_images(path, labels, test_fraction, tell)
    files, file_labels = listing.train
    order = np.random.default_rng(0).permutation(len(files))
    train = [files[index] for index in order], file_labels[order]
    listing = dataclasses.replace(listing, train=train)
    return _read_files(path, image_size, unreadable, tell, streaming, listing)


def read_test(
    path,
    image_size,
    class_names,
    unreadable="refuse",
    tell=print,
    streaming="never",
    test_fraction=0.0,
    labels=None,
):
    """Reads only the test part, or opens it to be streamed; it needs no training part.

    Args:
        path: as for `read`.
        image_size: as for `read`.
        class_names: names of the classes, in order.
        unreadable: as for `read`.
        tell: as for `read`.
        streaming: as for `read`.
        test_fraction: as for `read`.
        labels: as for `read`.

    Returns:
        `LocalImages` without training images.

    Raises:
        DamagedDataError, DataUnavailableError: like `read`.
    """
    path = Path(path).expanduser()
    with _folders_that_can_be_read():
        if labels is None:
            listing = class_folders.list_test_images(path, class_names, test_fraction)
        else:
            listing = labels_file.list_test_images(path, labels, class_names, test_fraction, tell)
    return _read_files(path, image_size, unreadable, tell, streaming, listing)


@contextlib.contextmanager
def _folders_that_can_be_read():
    try:
        yield
    except OSError as error:
        raise DataUnavailableError(f"{error.filename}: {error.strerror}") from error


def _read_files(path, image_size, unreadable, tell, streaming, listing):
    """Like `read`, for files and labels of both parts."""
    parts = {"train": listing.train, "test": listing.test}
    (train_files, _), (test_files, _) = parts.values()
    number, files = len(train_files), train_files + test_files
    labels = np.concatenate([part_labels for _, part_labels in parts.values()])
    fingerprint = {}
    for part, (part_files, _) in parts.items():
        part_fingerprint = fingerprints.of_files(
            part_files, [os.path.relpath(file, path) for file in part_files]
        )
        fingerprint |= {f"{part}_{name}": value for name, value in part_fingerprint.items()}
    source = counts = None
    if is_streamed(streaming, size_of(len(files), image_size)):
        source = FileSource(image_size)
        reasons, counts = scanning.scan_files(files, number, image_size, fingerprint)
        images = np.array(files, object)
    else:
        check_memory(path, len(files), image_size)
        images, reasons = image_files.decode(files, image_size)
    readable, skipped = pass_over(path, map(_shown, files), reasons, unreadable, tell)
    if skipped:
        for part, part_slice in (("train", slice(None, number)), ("test", slice(number, None))):
            _check_classes(listing, part, labels[part_slice], readable[part_slice])
    not_served = [
        os.path.splitext(file)[1].lower()
        for file, is_readable in zip(files, readable, strict=True)
        if is_readable and not file.lower().endswith(image_files.SERVED_SUFFIXES)
    ]
    if not_served:
        tell(
            f"{path}: {len(not_served)} of {len(files)} images are "
            f"{', '.join(sorted(set(not_served)))}; an export's serve_bytes reads "
            f"only {', '.join(image_files.SERVED_SUFFIXES)}"
        )
    train, test = without_unreadable(images, labels, readable, number)
    return LocalImages(
        train=train,
        test=test,
        class_names=listing.class_names,
        skipped=skipped,
        fingerprint=fingerprint | listing.fingerprint,
        source=source,
        counts=counts,
    )


class FileSource(Source):
    """Images in files, decoded by `files.decode`; references are paths."""

    def __init__(self, image_size):
        self.shape = (image_size, image_size, 3)

    def read(self, references):
        return image_files.decode_again(list(references), self.shape[0], _shown)


def _check_classes(listing, part, labels, readable):
    """Checks that at least one image of each class that has images can be read."""
    for label, name in enumerate(listing.class_names):
        in_class = labels[:, label] > 0 if labels.ndim > 1 else labels == label
        if in_class.any() and not in_class[readable].any():
            raise DamagedDataError(
                f"{listing.place_of_class(part, name)}: none of its {in_class.sum()} images can be "
                f"read; repair them, or {listing.way_out}"
            )


def _shown(file):
    """A file's name in a form that can be printed, even if it is not Unicode."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
