"""The classes of images from a CSV or Parquet file beside them. Free of TensorFlow."""

import bisect
import dataclasses
import hashlib
import itertools
import os
import posixpath
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import csv as click_csv
from rocket_tf.data.clicks import values
from rocket_tf.data.clicks.examples import check_columns
from rocket_tf.data.clicks.parquet import ParquetFiles
from rocket_tf.data.clicks.storage import LocalStorage
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images.listing import TEST_NAMES, Listing, is_test
from rocket_tf.data.local_files import check_class_names
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_FORMS = (".csv", ".csv.gz", ".parquet")


@dataclasses.dataclass(frozen=True)
class LabelsFile:
    """A file with a row for each image.

    Attributes:
        path: of the file, .csv, .csv.gz or .parquet; where it is relative, in the images' folder.
        image_column: its column of paths, relative to the images' folder, with "/" between parts.
        class_column: its column of classes, texts or whole numbers.
        part_column: its column of "train" and "test" (or "val", or "validation"); empty: a
            fraction decides.
    """

    path: str
    image_column: str = "image"
    class_column: str = "label"
    part_column: str = ""


def list_images(path, labels, test_fraction, tell):
    """The images that a file of labels names.

    Args:
        path: the images' folder, a `pathlib.Path`.
        labels: a `LabelsFile`.
        test_fraction: the share of test images, chosen by a hash of their paths
            (`listing.is_test`), where the file has no column of parts.
        tell: function that takes a line about images that are not read.

    Returns:
        `listing.Listing`. The classes are those of training images, in the order of their names,
        or as numbers where all are whole numbers. Images are in the order of their paths.

    Raises:
        DamagedDataError: for a row that is wrong.
        DataUnavailableError: if there is no such file, column or folder, or a part has no images.
        OSError: if a folder cannot be read.
    """
    rows = _Rows(path, labels, test_fraction, tell)
    train, test = rows.of_part("train"), rows.of_part("test")
    for name, own in (("train", train), ("test", test)):
        if not own:
            raise DataUnavailableError(rows.without_images(name))
    class_names = sorted({rows.classes[row] for row in train}, key=rows.order_of_class)
    check_class_names(rows.path, class_names)
    rows.check_images([*train, *test])
    return rows.listing(class_names, train, test, "no training image has that class")


def list_test_images(path, labels, class_names, test_fraction, tell):
    """The images of the test part alone; those of the training part need not be there.

    Args:
        path: as of `list_images`.
        labels: as of `list_images`.
        class_names: names of the classes, in their order.
        test_fraction: as of `list_images`.
        tell: as of `list_images`.

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
    """The rows of a file, checked as far as can be without the images.

    Attributes:
        path: of the file.
        classes: the class of each row, a list of strings.
    """

    def __init__(self, folder, labels, test_fraction, tell):
        if not folder.is_dir():
            raise DataUnavailableError(f"{folder}: no such folder; expected that of the images")
        self._folder, self._columns, self._tell = folder, labels, tell
        self._fraction = test_fraction
        self.path = folder / Path(labels.path).expanduser()
        if bool(labels.part_column) == bool(test_fraction):
            raise DataUnavailableError(
                f"{self.path}: got part_column={labels.part_column!r} and "
                f"test_fraction={test_fraction}, expected one of the two, to say which images are "
                "the test part"
            )
        arrays, self.where = _read(self.path, labels)
        self.classes = self._texts(arrays[labels.class_column], labels.class_column)
        self._are_whole = values.is_whole(arrays[labels.class_column])
        self._names = self._paths(arrays[labels.image_column])
        self._parts = self._parts_of_rows(arrays)
        self._rows = self._each_once()  # of each image the first

    def of_part(self, part):
        """The rows of images of a part, in the order of their paths."""
        own = [row for row in self._rows if self._parts[row] == part]
        return sorted(own, key=lambda row: self._names[row].split("/"))

    def without_images(self, part):
        """What to say of a part of which there are none."""
        if self._columns.part_column:
            return (
                f"{self.path}: no row has {part!r} in {self._columns.part_column!r}; expected "
                "training and test images"
            )
        return (
            f"{self.path}: of its {len(self._rows)} images none is of the part {part!r} by "
            f"config.test_fraction={self._fraction}; {'lower' if part == 'train' else 'raise'} it"
        )

    def order_of_class(self, name):
        """A key to sort classes by: as numbers, where all are whole numbers."""
        return (int(name), name) if self._are_whole else name

    def check_images(self, rows):
        """Checks that the images of rows are there, and says how many others are."""
        images, _ = image_files.find(self._folder)
        there = {Path(os.path.relpath(image, self._folder)).as_posix() for image in images}
        # Those in linked folders, say, are found by name alone.
        missing = [row for row in rows if self._names[row] not in there and self._is_missing(row)]
        if missing:
            row = min(missing)
            raise DamagedDataError(
                f"{self._cell(row)}: no such file in {self._folder} (so it is of {len(missing)} of "
                f"{len(rows)} images); put it there, or delete the row"
            )
        for row in rows:
            if not self._names[row].lower().endswith(image_files.SUFFIXES):
                raise DamagedDataError(
                    f"{self._cell(row)}: is no image by its name; expected one of "
                    f"{' '.join(image_files.SUFFIXES)}"
                )
        unnamed = len(there.difference(self._names))
        if unnamed:
            self._tell(
                f"{self.path}: names {len(there) - unnamed} of the {len(there)} images in "
                f"{self._folder}; the other {unnamed} are not read"
            )

    def listing(self, class_names, train, test, otherwise):
        """A `Listing` of rows; `otherwise` is what to say of a test image of another class."""
        places = {name: place for place, name in enumerate(class_names)}
        fingerprint, parts = {}, {}
        for part, rows in (("train", train), ("test", test)):
            checksum = hashlib.sha256()
            for row in rows:
                if self.classes[row] not in places:
                    raise DamagedDataError(
                        f"{self.where(row)}: {self.classes[row]!r} in "
                        f"{self._columns.class_column!r}: {otherwise}; name one that there is, or "
                        "delete the row"
                    )
                texts = (self._names[row], self.classes[row])
                checksum.update("\0".join(texts).encode("utf-8", "surrogateescape") + b"\0")
            fingerprint[f"{part}_labels"] = checksum.hexdigest()[:16]
            parts[part] = (
                [str(self._folder / self._names[row]) for row in rows],
                np.array([places[self.classes[row]] for row in rows], np.int64),
            )

        def place_of_class(part, name):
            return f"{self.path}: class {name!r} in {part}"

        return Listing(
            class_names,
            **parts,
            place_of_class=place_of_class,
            way_out="delete their rows",
            fingerprint=fingerprint,
        )

    def _texts(self, array, column):
        """Values as a list of strings, none of them empty or with spaces around."""
        if not (values.is_text(array.type) or pa.types.is_integer(array.type)):
            raise DataUnavailableError(
                f"{self.path}: {column!r} is a column of {array.type}, expected texts or whole "
                "numbers"
            )
        values.check_category(array, column, self.where)
        texts = array.cast(pa.large_string())
        spaced = compute.index(compute.match_substring_regex(texts, r"^\s|\s$"), True).as_py()
        if spaced >= 0:
            raise DamagedDataError(
                f"{self.where(spaced)}: {texts[spaced].as_py()!r} in {column!r} has a space at an "
                "end, which makes it another value; take it away"
            )
        return texts.to_pylist()

    def _paths(self, array):
        """Paths in the folder, in one spelling."""
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
                    f"{self.where(row)}: {name!r} in {column!r}; expected a path in "
                    f"{self._folder}, relative to it"
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
        read = next((name for name in TEST_NAMES if name in parts), "test")
        for other in sorted({*parts} - {"train", read}):
            self._tell(
                f"{self.path}: {parts.count(other)} of {len(parts)} rows have {other!r} in "
                f"{column!r}, beside {read!r}, and are not read"
            )
        return ["test" if part == read else "train" if part == "train" else "" for part in parts]

    def _each_once(self):
        """The first row of each image."""
        first, again = {}, 0
        for row, name in enumerate(self._names):
            earlier = first.setdefault(name, row)
            if earlier == row:
                continue
            again += 1
            for what, column in (
                (self.classes, self._columns.class_column),
                (self._parts, self._columns.part_column),
            ):
                if what[earlier] != what[row]:
                    raise DamagedDataError(
                        f"{self._cell(row)}: is {what[row]!r} in {column!r}, and "
                        f"{what[earlier]!r} in {self.where(earlier)}; leave one of the two rows"
                    )
        if again:
            self._tell(
                f"{self.path}: {again} of {len(self._names)} rows name an image again, with the "
                "same class; each is read once"
            )
        return list(first.values())

    def _is_missing(self, row):
        return not os.path.isfile(self._folder / self._names[row])

    def _cell(self, row):
        return f"{self.where(row)}: {self._names[row]!r} in {self._columns.image_column!r}"


def _read(path, labels):
    """The columns of a file.

    Returns:
        `(arrays, where)`: dict from columns to Arrow arrays of one chunk; and a function from a row
        to the file and its line, or its row group and row.
    """
    names = [labels.image_column, labels.class_column, labels.part_column]
    names = [name for name in dict.fromkeys(names) if name]
    if not str(path).lower().endswith(_FORMS):
        raise DataUnavailableError(f"{path}: is no file of labels; expected {', '.join(_FORMS)}")
    if not path.is_file():
        raise DataUnavailableError(
            f"{path}: no such file of labels; config.labels_file is a path in config.data_path"
        )
    if path.suffix.lower() == ".parquet":
        arrays, where = _read_parquet(path, names)
    else:
        check_columns(f"{path}: line 1", names, click_csv.header(path))
        arrays = click_csv.read(path, types.SimpleNamespace(all=names, history=""))

        def where(row):
            return f"{path}: {click_csv.location(path, row)}"

    if not len(arrays[labels.image_column]):
        raise DataUnavailableError(f"{path}: has no rows; expected one for each image")
    return arrays, where


def _read_parquet(path, names):
    file = ParquetFiles(LocalStorage(path), [""], names)
    groups = file.footers[0].groups
    read = [file.read(0, group, names) for group in range(len(groups))]
    ends = list(itertools.accumulate(groups))

    def where(row):
        group = bisect.bisect_right(ends, row)
        return file.where(0, group)(row - (ends[group] - groups[group]))

    arrays = {
        name: pa.concat_arrays([own[name] for own in read]) if read else pa.array([], pa.string())
        for name in names
    }
    return arrays, where
