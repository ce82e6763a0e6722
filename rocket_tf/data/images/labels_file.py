"""Reads images' classes from a CSV or Parquet file beside them, without importing TensorFlow."""

import dataclasses
import hashlib
import os
import posixpath
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import values
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import labels_table
from rocket_tf.data.images.listing import TEST_NAMES, Listing, is_test
from rocket_tf.data.local_files import check_class_names
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_WHOLE = r"0|-?[1-9][0-9]*"


@dataclasses.dataclass(frozen=True)
class LabelsFile:
    """A file with a row for each image.

    Attributes:
        path: a .csv, .csv.gz or .parquet file; a relative path is in the images' folder.
        image_column: column of image paths, relative to the images' folder, separated by "/".
        class_column: column of classes, strings or integers. Images may have several classes, or
            none, if it is a column of lists (Parquet), or with a `separator`.
        part_column: column of "train" and "test" (or "val", or "validation"); empty: a fraction
            decides.
        separator: separates the classes of a row; empty: a row has one class.
    """

    path: str
    image_column: str = "image"
    class_column: str = "label"
    part_column: str = ""
    separator: str = ""


def list_images(path, labels, test_fraction, tell):
    """Lists the images that a file of labels names.

    Args:
        path: the images' folder, a `pathlib.Path`.
        labels: a `LabelsFile`.
        test_fraction: the share of test images, chosen by a hash of their paths
            (`listing.is_test`), if the file has no column of parts.
        tell: called with a line about images that are not read.

    Returns:
        `listing.Listing`. Classes are those of the training images, sorted by name, or as numbers
        if all are integers. Images are sorted by path. If images may have several classes, labels
        are multi-hot, float32 of shape (images, classes).

    Raises:
        DamagedDataError: if a row is invalid.
        DataUnavailableError: if the file, a column or the folder does not exist, or a part has no
            images.
        OSError: if a folder cannot be read.
    """
    rows = _Rows(path, labels, test_fraction, tell)
    train, test = rows.of_part("train"), rows.of_part("test")
    for name, part_rows in (("train", train), ("test", test)):
        if not part_rows:
            raise DataUnavailableError(rows.without_images(name))
    class_names = _in_order({name for row in train for name in rows.classes[row]})
    check_class_names(rows.path, class_names)
    if rows.are_multi_label and len(class_names) < 2:
        raise DataUnavailableError(
            f"{rows.path}: training images have {len(class_names)} classes in "
            f"{labels.class_column!r}; images with several classes need at least two"
        )
    rows.check_images([*train, *test])
    return rows.listing(class_names, train, test, "no training image has that class")


def list_test_images(path, labels, class_names, test_fraction, tell):
    """Lists the images of the test part alone; the training images may be missing.

    Args:
        path: as for `list_images`.
        labels: as for `list_images`.
        class_names: names of the classes, in order.
        test_fraction: as for `list_images`.
        tell: as for `list_images`.

    Returns:
        `listing.Listing` without training images.

    Raises:
        DamagedDataError, DataUnavailableError, OSError: as `list_images`.
    """
    rows = _Rows(path, labels, test_fraction, tell)
    test = rows.of_part("test")
    if not test:
        raise DataUnavailableError(rows.without_images("test"))
    rows.check_images(test)
    return rows.listing(class_names, [], test, "the run has no such class")


class _Rows:
    """The rows of a file, checked as far as possible without the images.

    Attributes:
        path: path of the file.
        classes: the classes of each row, a list of tuples of strings.
        are_multi_label: whether a row may have several, or none.
    """

    def __init__(self, folder, labels, test_fraction, tell):
        if not folder.is_dir():
            raise DataUnavailableError(
                f"{folder}: no such folder; expected the folder of the images"
            )
        self._folder, self._columns, self._tell = folder, labels, tell
        self._fraction = test_fraction
        self.path = folder / Path(labels.path).expanduser()
        if bool(labels.part_column) == bool(test_fraction):
            raise DataUnavailableError(
                f"{self.path}: got part_column={labels.part_column!r} and "
                f"test_fraction={test_fraction}, expected exactly one of the two, to choose the "
                "test images"
            )
        arrays, self.where = labels_table.read(self.path, labels)
        kind = arrays[labels.class_column].type
        self.are_multi_label = bool(labels.separator) or pa.types.is_large_list(kind)
        self.classes = self._classes(arrays[labels.class_column])
        self._names = self._paths(arrays[labels.image_column])
        self._parts = self._parts_of_rows(arrays)
        self._rows = self._first_rows()  # the first row of each image

    def of_part(self, part):
        """The rows of a part's images, sorted by path."""
        rows = [row for row in self._rows if self._parts[row] == part]
        return sorted(rows, key=lambda row: self._names[row].split("/"))

    def without_images(self, part):
        """The message for a part without images."""
        if self._columns.part_column:
            return (
                f"{self.path}: no row has {part!r} in {self._columns.part_column!r}; expected "
                "training and test images"
            )
        return (
            f"{self.path}: with config.test_fraction={self._fraction}, none of its "
            f"{len(self._rows)} images is in the part {part!r}; "
            f"{'lower' if part == 'train' else 'raise'} the fraction"
        )

    def check_images(self, rows):
        """Checks that the images of rows exist, and reports how many others there are."""
        images, _ = image_files.find(self._folder)
        present = {Path(os.path.relpath(image, self._folder)).as_posix() for image in images}
        # Images in linked folders, for example, are found only by name.
        missing = [row for row in rows if self._names[row] not in present and self._is_missing(row)]
        if missing:
            row = min(missing)
            raise DamagedDataError(
                f"{self._cell(row)}: no such file in {self._folder} ({len(missing)} of {len(rows)} "
                "images are missing); put it there, or delete the row"
            )
        for row in rows:
            if not self._names[row].lower().endswith(image_files.SUFFIXES):
                raise DamagedDataError(
                    f"{self._cell(row)}: does not have an image's suffix; expected one of "
                    f"{' '.join(image_files.SUFFIXES)}"
                )
        unnamed = len(present.difference(self._names))
        if unnamed:
            self._tell(
                f"{self.path}: names {len(present) - unnamed} of the {len(present)} images in "
                f"{self._folder}; the other {unnamed} are not read"
            )

    def listing(self, class_names, train, test, otherwise):
        """A `Listing` of rows; `otherwise` is the message for a test image of another class."""
        fingerprint, parts = {}, {}
        for part, rows in (("train", train), ("test", test)):
            labels = self._labels(rows, class_names, otherwise)
            checksum = hashlib.sha256()
            for row in rows:
                texts = (self._names[row], *sorted(self.classes[row]), "\0")
                checksum.update("\0".join(texts).encode("utf-8", "surrogateescape"))
            fingerprint[f"{part}_labels"] = checksum.hexdigest()[:16]
            parts[part] = [str(self._folder / self._names[row]) for row in rows], labels

        def place_of_class(part, name):
            return f"{self.path}: class {name!r} in {part}"

        return Listing(
            class_names,
            **parts,
            place_of_class=place_of_class,
            way_out="delete their rows",
            fingerprint=fingerprint,
        )

    def _labels(self, rows, class_names, otherwise):
        indices = {name: index for index, name in enumerate(class_names)}
        for row in rows:
            for name in self.classes[row]:
                if name not in indices:
                    raise DamagedDataError(
                        f"{self.where(row)}: {name!r} in {self._columns.class_column!r}: "
                        f"{otherwise}; name another class, or delete the row"
                    )
        if not self.are_multi_label:
            return np.array([indices[self.classes[row][0]] for row in rows], np.int64)
        labels = np.zeros((len(rows), len(class_names)), np.float32)
        for index, row in enumerate(rows):
            labels[index, [indices[name] for name in self.classes[row]]] = 1
        return labels

    def _classes(self, array):
        """The classes of each row."""
        column, separator = self._columns.class_column, self._columns.separator
        if not self.are_multi_label:
            return [(text,) for text in self._texts(array, column)]
        if pa.types.is_large_list(array.type):
            if separator:
                raise DataUnavailableError(
                    f"{self.path}: {column!r} is a column of lists, and class_separator="
                    f"{separator!r} is for strings; leave it out"
                )
            self._check_type(array.type.value_type, column)
            cells = array.to_pylist()
        else:
            self._check_type(array.type, column)
            texts = array.cast(pa.large_string()).to_pylist()
            cells = [text and text.split(separator) for text in texts]
        without = 0
        for row, cell in enumerate(cells):
            names = [] if cell == "" else cell
            without += names == []
            problem = _problem_of(names)
            if problem:
                raise DamagedDataError(f"{self.where(row)}: {cell!r} in {column!r}: {problem}")
            cells[row] = tuple(map(str, names))
        if without:
            self._tell(f"{self.path}: {without} of {len(cells)} rows have no class in {column!r}")
        return cells

    def _check_type(self, kind, column):
        if not (values.is_text(kind) or pa.types.is_integer(kind)):
            raise DataUnavailableError(
                f"{self.path}: {column!r} is a column of {kind}, expected strings or whole numbers"
            )

    def _texts(self, array, column):
        """Values as a list of strings, checked to be without spaces at either end."""
        self._check_type(array.type, column)
        values.check_category(array, column, self.where)
        texts = array.cast(pa.large_string())
        spaced = compute.index(compute.match_substring_regex(texts, r"^\s|\s$"), True).as_py()
        if spaced >= 0:
            raise DamagedDataError(
                f"{self.where(spaced)}: {texts[spaced].as_py()!r} in {column!r} starts or ends "
                "with a space; remove it"
            )
        return texts.to_pylist()

    def _paths(self, array):
        """Normalized paths in the folder."""
        column = self._columns.image_column
        if not values.is_text(array.type):
            raise DataUnavailableError(
                f"{self.path}: {column!r} is a column of {array.type}, expected paths"
            )
        values.check_category(array, column, self.where)
        names = [posixpath.normpath(name) for name in array.to_pylist()]
        for row, name in enumerate(names):
            if name.startswith("/") or name.split("/")[0] in ("..", "."):
                raise DamagedDataError(
                    f"{self.where(row)}: {name!r} in {column!r}; expected a path relative to "
                    f"{self._folder}"
                )
        return names

    def _parts_of_rows(self, arrays):
        """The part of each row, a list: "train", "test", or another that is not read."""
        column = self._columns.part_column
        if not column:
            return ["test" if is_test(name, self._fraction) else "train" for name in self._names]
        parts = self._texts(arrays[column], column)
        expected = ("train", *TEST_NAMES)
        for row, part in enumerate(parts):
            if part not in expected:
                raise DamagedDataError(
                    f"{self.where(row)}: {part!r} in {column!r}; expected one of "
                    f"{', '.join(expected)}"
                )
        test_name = next((name for name in TEST_NAMES if name in parts), "test")
        for other in sorted({*parts} - {"train", test_name}):
            self._tell(
                f"{self.path}: {parts.count(other)} of {len(parts)} rows have {other!r} in "
                f"{column!r} in addition to {test_name!r}, and are not read"
            )
        return [
            "test" if part == test_name else "train" if part == "train" else "" for part in parts
        ]

    def _first_rows(self):
        """The first row of each image."""
        first, repeated = {}, 0
        for row, name in enumerate(self._names):
            earlier = first.setdefault(name, row)
            if earlier == row:
                continue
            repeated += 1
            for column, one, other in (
                (self._columns.class_column, *(self.classes[each] for each in (row, earlier))),
                (self._columns.part_column, *([self._parts[each]] for each in (row, earlier))),
            ):
                if set(one) != set(other):
                    raise DamagedDataError(
                        f"{self._cell(row)}: has {_listed(one)} in {column!r}, but "
                        f"{_listed(other)} in {self.where(earlier)}; delete one of the two rows"
                    )
        if repeated:
            self._tell(
                f"{self.path}: {repeated} of {len(self._names)} rows repeat an image with the same "
                f"{'classes' if self.are_multi_label else 'class'}; each image is read once"
            )
        return list(first.values())

    def _is_missing(self, row):
        return not os.path.isfile(self._folder / self._names[row])

    def _cell(self, row):
        return f"{self.where(row)}: {self._names[row]!r} in {self._columns.image_column!r}"


def _problem_of(names):
    """What is wrong with the classes of a row with several, or `None`."""
    if names is None or any(name is None or not str(name).strip() for name in names):
        return "expected non-empty classes"
    if any(isinstance(name, int) and name < 0 for name in names):
        return "expected non-negative integers or strings"
    if any(str(name) != str(name).strip() for name in names):
        return "a class starts or ends with a space; remove it"
    if len({*names}) < len(names):
        return "a class appears twice; name each once"
    return None


def _listed(names):
    return ", ".join(map(repr, names)) or "no class"


def _in_order(class_names):
    """Sorts classes by name, or as numbers if all are integers."""
    are_whole = all(re.fullmatch(_WHOLE, name) for name in class_names)
    return sorted(class_names, key=int if are_whole else None)
