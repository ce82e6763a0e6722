"""One's own data, as it is read; free of TensorFlow but for its files of records."""

import dataclasses
import functools
import zlib

import numpy as np

from rocket_tf.data.catalog import CLICK_CLASSES, DatasetCard
from rocket_tf.data.clicks import folder as click_folder
from rocket_tf.data.clicks.examples import Columns
from rocket_tf.data.clicks.feature_sets import read_features
from rocket_tf.data.clicks.moments import moments_of
from rocket_tf.data.images import folder as image_folder
from rocket_tf.data.images import npz as npz_images
from rocket_tf.data.images.labels_file import LabelsFile
from rocket_tf.data.images.scanning import pixel_counts
from rocket_tf.data.in_memory import ArraySplit
from rocket_tf.data.streamed import Source, StreamedSplit

# What is read of a configuration beside the data set's name, and what holds where it is not given.
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
    """What was read.

    Attributes:
        card: its facts.
        train: `(inputs, labels)`; of streamed data, what their source reads in place of inputs.
        test: the same.
        class_names: names of the classes.
        files: what identifies the files, a dict; `None`: what was read does.
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
        """What identifies this data, as JSON can hold it.

        Nets are built by some of it, such as the pixels' mean, which must not change afterwards.
        """
        return {
            "train_examples": self.card.train_examples,
            "test_examples": self.card.test_examples,
            "class_names": list(self.class_names),
            **(self.files or {"checksum": self._checksum()}),
        }

    def _checksum(self):
        checksum = 0
        for inputs, labels in (self.train, self.test):
            arrays = inputs if isinstance(inputs, dict) else {"inputs": inputs}
            for _, array in sorted(arrays.items()):
                if array.dtype == object:
                    content = "\0".join(map(str, array.flat)).encode()
                else:
                    content = np.ascontiguousarray(array).data
                checksum = zlib.crc32(content, checksum)
            checksum = zlib.crc32(np.ascontiguousarray(labels).data, checksum)
        return f"{checksum:08x}"


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


def read_test(config, class_names):
    """Reads the test part alone, of data whose test part can be read so.

    Args:
        config: as of `read`.
        class_names: names of the classes.

    Returns:
        `(split, fingerprint)`: an `interface.Split`, and what `OwnData.fingerprint` has of it; or
        `None` where the test part cannot be read alone.

    Raises:
        DataUnavailableError: if it cannot be read.
    """
    if config["dataset"] != "image_folder":
        return None
    path, size, how = _of_folder(config)
    images = image_folder.read_test(path, size, class_names, **how)
    number = len(images.test[1])
    fingerprint = {name: own for name, own in images.fingerprint.items() if "test" in name}
    split = OwnData(None, images.train, images.test, class_names, None, images.source).split
    return split(*images.test), {"test_examples": number, **fingerprint}


def columns_of(config):
    """Which columns of a click log play which part, a `examples.Columns`.

    Raises:
        ValueError: if features are wrong.
    """
    label, *more_labels = config["label_columns"] or (config["label_column"],)
    both = {
        "label": label,
        "more_labels": tuple(more_labels),
        "user": config["user_column"],
        "booster_only": tuple(config["booster_only"]),
        "weight": config["weight_column"],
    }
    if config["features"]:
        return Columns.of_features(tuple(read_features(config["features"]).values()), **both)
    return Columns(
        categories=tuple(config["category_columns"]),
        numbers=tuple(config["number_columns"]),
        history=config["history_column"],
        item=config["item_column"],
        history_length=config["history_length"],
        missing=config["missing_values"] == "own_row",
        **both,
    )


def _read_npz(path):
    return _of_images(npz_images.read(path))


def _read_folder(config):
    path, size, how = _of_folder(config)
    return _of_images(image_folder.read(path, size, **how))


def _of_folder(config):
    """Path, image size, and how a folder of images is read, a dict of arguments."""
    labels = None
    if config["labels_file"]:
        fields = ("labels_file", "image_column", "class_column", "part_column", "class_separator")
        labels = LabelsFile(*(config[name] for name in fields))
    how = {
        "unreadable": config["unreadable_images"],
        "streaming": config["streaming"],
        "test_fraction": config["test_fraction"],
        "labels": labels,
    }
    return config["data_path"], config["image_size"], how


def _read_records(config):
    from rocket_tf.data.images import records  # which loads TensorFlow

    return _of_images(records.read(config))


def read_clicks(files, columns, config):
    """Reads a click log into memory.

    Args:
        files: its `clicks.files.LogFiles`, CSV or TFRecord.
        columns: as of `columns_of`.
        config: as of `read`.

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


def _of_images(images):
    pixels, labels = images.train
    # From how often each value is there, which takes no memory for the pixels as floats.
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
        ),  # or images of one colour divide by 0
        multi_label=labels.ndim > 1,
    )
    return OwnData(
        card, images.train, images.test, images.class_names, images.fingerprint, images.source
    )


def _dtype_of(array):
    return "string" if array.dtype == object else array.dtype.name
