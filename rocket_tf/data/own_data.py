"""Reads the user's own data; it imports TensorFlow only for files of records."""

import dataclasses
import functools

import numpy as np

from rocket_tf.data import fingerprints
from rocket_tf.data.catalog import CLICK_CLASSES, DatasetCard
from rocket_tf.data.clicks import folder as click_folder
from rocket_tf.data.clicks import log as click_log
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.data.clicks.feature_sets import read_features
from rocket_tf.data.clicks.moments import moments_of
from rocket_tf.data.images import folder as image_folder
from rocket_tf.data.images import npz as npz_images
from rocket_tf.data.images.labels_file import LabelsFile
from rocket_tf.data.images.scanning import pixel_counts
from rocket_tf.data.in_memory import ArraySplit
from rocket_tf.data.streamed import Source, StreamedSplit

# The fields of a configuration that are read besides the data set's name, with their defaults.
DEFAULTS = {
    "data_path": "",
    "streaming": "auto",
    "data_dir": "",
    "tfds_name": "",
    "tfds_version": "",
    "tfds_train_split": "train",
    "tfds_test_split": "test",
    "image_size": 64,
    "unreadable_images": "refuse",
    "labels_file": "",
    "image_column": "image",
    "class_column": "label",
    "part_column": "",
    "class_separator": "",
    "label_column": "click",
    "label_columns": (),
    "user_column": "user",
    "category_columns": ("user", "item"),
    "number_columns": (),
    "request_columns": ("user",),
    "history_column": "",
    "item_column": "item",
    "history_length": 20,
    "test_path": "",
    "test_column": "",
    "test_from": "",
    "test_until": "",
    "test_fraction": 0.0,
    "shuffle": True,
    "shuffle_row_groups": 8,
    "booster_only": (),
    "missing_values": "refuse",
    "features": (),
    "weight_column": "",
}


@dataclasses.dataclass(frozen=True)
class OwnData:
    """Data that was read.

    Attributes:
        card: its facts.
        train: `(inputs, labels)`; for streamed data, references for the source instead of inputs.
        test: the same.
        class_names: names of the classes.
        files: dict that identifies the files; `None`: the data itself does.
        source: the `streamed.Source` of streamed data; `None`: it is in memory.
    """

    card: DatasetCard
    train: tuple
    test: tuple
    class_names: list[str]
    files: dict | None = None
    source: Source | None = None

    def split(self, inputs, labels):
        """Some of its examples as an `interface.Split`."""
        if self.source is None:
            return ArraySplit(inputs, labels)
        return StreamedSplit(inputs, labels, self.source)

    @functools.cached_property
    def fingerprint(self):
        """The fingerprint that identifies this data, fit for JSON.

        Nets depend on parts of it, such as the pixels' mean, which must not change afterwards.
        """
        return {
            "train_examples": self.card.train_examples,
            "test_examples": self.card.test_examples,
            "class_names": list(self.class_names),
            **(self.files or self._checksums()),
        }

    def _checksums(self):
        test = _checksum(self.test)
        checksums = {"checksum": (_checksum(self.train) + test).text}
        if self.card.kind == "clicks":
            checksums["test_checksum"] = test.text
        return checksums


def read(config):
    """Reads the images of a configuration whose `dataset` is in `catalog.LOCAL_DATASETS`.

    Args:
        config: a mapping from fields to values, with all of `DEFAULTS`.

    Returns:
        `OwnData`.

    Raises:
        DataUnavailableError: if it cannot be read.
    """
    path = config["data_path"]
    match config["dataset"]:
        case "npz":
            return _read_npz(path)
        case "image_folder":
            return _read_folder(config)
        case "tfds":
            return _read_records(config)


def read_test(config, card, class_names, kept, listing):
    """Reads only the test part, if it can be read alone.

    Args:
        config: as for `read`.
        card: the data's `catalog.DatasetCard`.
        class_names: names of the classes.
        kept: the fingerprint of the data that the card describes, a dict.
        listing: the `clicks.files.Listing` of a click log; `None` for other data.

    Returns:
        `(split, fingerprint)`: an `interface.Split` and its part of `OwnData.fingerprint`; or
        `None` if the test part cannot be read alone.

    Raises:
        DataUnavailableError: if it cannot be read.
    """
    if listing is not None:
        return _read_test_of_log(config, card, kept, listing)
    if config["dataset"] != "image_folder":
        return None
    path, size, options = _folder_arguments(config)
    images = image_folder.read_test(path, size, class_names, **options)
    number = len(images.test[1])
    fingerprint = {name: value for name, value in images.fingerprint.items() if "test" in name}
    split = OwnData(None, images.train, images.test, class_names, None, images.source).split
    return split(*images.test), {"test_examples": number, **fingerprint}


def columns_of(config):
    """The roles of the columns of a click log, an `examples.Columns`.

    Raises:
        ValueError: if features are wrong.
    """
    label, *more_labels = config["label_columns"] or (config["label_column"],)
    common = {
        "label": label,
        "more_labels": tuple(more_labels),
        "user": config["user_column"],
        "booster_only": tuple(config["booster_only"]),
        "weight": config["weight_column"],
    }
    if config["features"]:
        return Columns.of_features(tuple(read_features(config["features"]).values()), **common)
    return Columns(
        categories=tuple(config["category_columns"]),
        numbers=tuple(config["number_columns"]),
        history=config["history_column"],
        item=config["item_column"],
        history_length=config["history_length"],
        missing=config["missing_values"] == "own_row",
        **common,
    )


def _read_npz(path):
    return _data_of_images(npz_images.read(path))


def _read_folder(config):
    path, size, options = _folder_arguments(config)
    return _data_of_images(image_folder.read(path, size, **options))


def _folder_arguments(config):
    """Path, image size, and how a folder of images is read, a dict of arguments."""
    labels = None
    if config["labels_file"]:
        fields = ("labels_file", "image_column", "class_column", "part_column", "class_separator")
        labels = LabelsFile(*(config[name] for name in fields))
    options = {
        "unreadable": config["unreadable_images"],
        "streaming": config["streaming"],
        "test_fraction": config["test_fraction"],
        "labels": labels,
    }
    return config["data_path"], config["image_size"], options


def _read_records(config):
    from rocket_tf.data.images import records  # which loads TensorFlow

    return _data_of_images(records.read(config))


def read_clicks(files, columns, config):
    """Reads a click log into memory.

    Args:
        files: its `clicks.files.LogFiles`, CSV or TFRecord.
        columns: as for `columns_of`.
        config: as for `read`.

    Returns:
        `OwnData`.

    Raises:
        DataUnavailableError: if it cannot be read.
    """
    log = click_folder.read(None, columns, files=files)
    inputs = log.train.inputs
    card = DatasetCard(
        train_examples=len(log.train.labels),
        test_examples=len(log.test.labels),
        num_classes=len(CLICK_CLASSES),
        kind="clicks",
        columns=columns,
        request_columns=tuple(config["request_columns"]),
        dtypes={n: _dtype_of(array) for n, array in inputs.items() if n != columns.weight},
        moments={name: moments_of(inputs[name]) for name in columns.numbers},
        vocabularies=log.vocabularies,
        test_lacks=tuple(
            name
            for name in dict.fromkeys((*columns.booster_only, *inputs))
            if name not in log.test.inputs
        ),
    )
    train, test = ((part.inputs, part.labels) for part in (log.train, log.test))
    return OwnData(card, train, test, list(CLICK_CLASSES))


def _read_test_of_log(config, card, kept, listing):
    # A part that is cut from the other files has neither; nor can a log that was turned into
    # Parquet be compared with its test part in CSV.
    if not {"test_files", "test_checksum"} & set(kept):
        return None
    files = listing.test_part
    columns = columns_of(config)
    if files.form == "Parquet":
        return click_log.read_test(config, columns, card, files)
    if "test_checksum" not in kept:
        return None
    test = click_folder.read_test(files, columns, card.dtypes)
    fingerprint = {
        "test_examples": len(test.labels),
        "test_checksum": _checksum((test.inputs, test.labels)).text,
    }
    return ArraySplit(test.inputs, test.labels), fingerprint


def _checksum(part):
    """The `fingerprints.Checksum` of the arrays of `(inputs, labels)`."""
    inputs, labels = part
    arrays = inputs if isinstance(inputs, dict) else {"inputs": inputs}
    checksum = fingerprints.Checksum()
    for array in (*(array for _, array in sorted(arrays.items())), labels):
        if array.dtype == object:
            checksum += fingerprints.Checksum.of("\0".join(map(str, array.flat)).encode())
        else:
            checksum += fingerprints.Checksum.of(np.ascontiguousarray(array).data)
    return checksum


def _data_of_images(images):
    pixels, labels = images.train
    # Computed from the counts of each value, without the pixels as floats in memory.
    counts = pixel_counts(pixels) if images.counts is None else images.counts
    values = np.arange(256)
    mean = [np.average(values, weights=count) for count in counts]
    std = [
        np.average((values - centre) ** 2, weights=count) ** 0.5
        for centre, count in zip(mean, counts, strict=True)
    ]
    card = DatasetCard(
        train_examples=len(labels),
        test_examples=len(images.test[1]),
        num_classes=len(images.class_names),
        image_shape=pixels.shape[1:] if images.source is None else images.source.shape,
        pixel_mean=tuple(map(float, mean)),
        pixel_std=tuple(
            max(float(value), 1.0) for value in std
        ),  # or images of one colour would divide by 0
        multi_label=labels.ndim > 1,
    )
    return OwnData(
        card, images.train, images.test, images.class_names, images.fingerprint, images.source
    )


def _dtype_of(array):
    return "string" if array.dtype == object else array.dtype.name
