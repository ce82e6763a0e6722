"""Lists images that are stored in one folder per class, by part.

It does not import TensorFlow.
"""

import os
from pathlib import Path

import numpy as np

from rocket_tf.data.images import files as image_files
from rocket_tf.data.images.listing import TEST_NAMES, Listing, is_test
from rocket_tf.data.local_files import check_class_names
from rocket_tf.errors import DataUnavailableError


def list_images(path, test_fraction=0.0):
    """The images in `path/train/<class>/` and `path/test/<class>/`.

    Args:
        path: the folder, a `pathlib.Path`.
        test_fraction: above 0: the test part is this share of the images in `path/train/<class>/`,
            or, if there is no `path/train`, in `path/<class>/`. A hash of the path below that
            folder chooses them (`listing.is_test`).

    Returns:
        `listing.Listing`, ordered by class, then by relative path.

    Raises:
        DataUnavailableError: if the folder does not have this layout.
        OSError: if a folder cannot be read.
    """
    layout = _layout(path, test_fraction)
    if not path.is_dir():
        raise DataUnavailableError(f"{path}: no such folder; {layout}")
    if test_fraction:
        return _list_by_fraction(path, test_fraction)
    if not (path / "train").is_dir():
        raise DataUnavailableError(f"{path}: has no folder train; {layout}")
    test_folder = _test_folder(path)
    folders = {"train": path / "train", "test": test_folder}
    class_names = _classes_of(folders["train"], layout)
    _check_names(test_folder, class_names, folders["train"])
    parts = {name: _files_of_classes(folder, class_names) for name, folder in folders.items()}
    _check_training(folders["train"], class_names, parts["train"][1])
    if not parts["test"][0]:
        raise DataUnavailableError(f"{test_folder}: has no images; {layout}")
    return _listing(class_names, folders, **parts)


def list_test_images(path, class_names, test_fraction=0.0):
    """Lists the images of the test part alone; there may be no training images.

    Args:
        path: as for `list_images`.
        class_names: names of the classes, in order.
        test_fraction: as for `list_images`.

    Returns:
        `listing.Listing` without training images.

    Raises:
        DataUnavailableError, OSError: as `list_images`.
    """
    if test_fraction:
        _check_has_no_test_folder(path, test_fraction)
        folder = _folder_of_all(path)
        if not folder.is_dir():
            raise DataUnavailableError(f"{path}: no such folder; {_layout(path, test_fraction)}")
    else:
        folder = _test_folder(path)
    _check_names(folder, class_names, "the run")
    examples = _files_of_classes(folder, class_names)
    if test_fraction:
        examples = _split(folder, examples, test_fraction)[1]
    return _listing(class_names, {"test": folder}, ([], np.zeros(0, np.int64)), examples)


def _list_by_fraction(path, test_fraction):
    _check_has_no_test_folder(path, test_fraction)
    folder = _folder_of_all(path)
    class_names = _classes_of(folder, _layout(path, test_fraction))
    examples = _files_of_classes(folder, class_names)
    _check_training(folder, class_names, examples[1])
    train, test = _split(folder, examples, test_fraction)
    for label in np.setdiff1d(examples[1], train[1]):
        raise DataUnavailableError(
            f"{folder / class_names[label]}: with config.test_fraction={test_fraction}, all of its "
            "images are test images; add images or lower the fraction"
        )
    if not test[0]:
        raise DataUnavailableError(
            f"{folder}: with config.test_fraction={test_fraction}, none of its {len(examples[0])} "
            "images is a test image; raise the fraction"
        )
    return _listing(class_names, {"train": folder, "test": folder}, train, test)


def _listing(class_names, folders, train, test):
    def place_of_class(part, name):
        return folders[part] / name

    return Listing(class_names, train, test, place_of_class, "delete the folder")


def _layout(path, test_fraction=0.0):
    if test_fraction:
        return f"expected {path}/<class>/<image>, or {path}/train/<class>/<image>"
    return f"expected {path}/train/<class>/<image> and {path}/test/<class>/<image>"


def _test_folder(path):
    folders = _test_folders(path)
    if not folders:
        raise DataUnavailableError(
            f"{path}: has no folder test, val or validation; {_layout(path)}"
        )
    return folders[0]


def _test_folders(path):
    return [path / name for name in TEST_NAMES if (path / name).is_dir()]


def _folder_of_all(path):
    return path / "train" if (path / "train").is_dir() else path


def _check_has_no_test_folder(path, test_fraction):
    for folder in _test_folders(path):
        raise DataUnavailableError(
            f"{folder}: exists, but config.test_fraction={test_fraction} makes another test part; "
            "set it to 0, or move the folder away"
        )


def _classes_of(folder, layout):
    class_names = _classes_in(folder)
    if not class_names:
        raise DataUnavailableError(f"{folder}: has no class folders; {layout}")
    check_class_names(folder, class_names)
    return class_names


def _classes_in(folder):
    return sorted(entry.name for entry in folder.iterdir() if _is_class(entry))


def _is_class(entry):
    return entry.is_dir() and not entry.name.startswith(".")


def _check_names(folder, class_names, where):
    """Checks that a folder has no classes other than the known ones."""
    unknown = sorted(set(_classes_in(folder)) - set(class_names))
    if unknown:
        raise DataUnavailableError(
            f"{folder}: has the class {unknown[0]!a}, which is not in {where}; rename it, or move "
            "its images"
        )


def _check_training(folder, class_names, labels):
    """Checks that each class has images."""
    for label in np.setdiff1d(np.arange(len(class_names)), labels):
        raise DataUnavailableError(
            f"{folder / class_names[label]}: has no images "
            f"({' '.join(image_files.SUFFIXES)}); add images or delete the folder"
        )


def _files_of_classes(folder, class_names):
    """Paths by class and path, a list of strings, and labels, int64."""
    files, labels = [], []
    for label, name in enumerate(class_names):
        paths = image_files.find(folder / name)[0] if (folder / name).is_dir() else []
        files += paths
        labels += [label] * len(paths)
    return files, np.array(labels, np.int64)


def _split(folder, examples, test_fraction):
    """Divides what was found into training and test part."""
    files, labels = examples
    chosen = np.array(
        [is_test(Path(os.path.relpath(file, folder)).as_posix(), test_fraction) for file in files],
        bool,
    )
    return [
        ([file for file, is_own in zip(files, mask, strict=True) if is_own], labels[mask])
        for mask in (~chosen, chosen)
    ]
