"""Reads images of TensorFlow Datasets by record number from ArrayRecord or TFRecord files."""

import os
import threading

import numpy as np
import PIL

from rocket_tf.data import fingerprints
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import scanning
from rocket_tf.data.local_files import (
    LocalImages,
    check_memory,
    pass_over,
    size_of,
    without_unreadable,
)
from rocket_tf.data.streamed import Source, is_streamed
from rocket_tf.data.tensorflow_errors import reason
from rocket_tf.data.tfds_builder import prepared_builder, ways_out_of_damage
from rocket_tf.errors import DamagedDataError, DataUnavailableError
from rocket_tf.system import kept

_ADDRESS = "https://storage.googleapis.com"  # where TensorFlow Datasets stores its metadata
_HEADER = 12  # bytes before a TFRecord's content: the length and its checksum
_AROUND = 16  # plus the checksum after the content
_AT_ONCE = 64  # records read from an ArrayRecord file at once
_VERSION = 1  # version of what is kept


def read(config, tell=print):
    """Reads an image classification set in TensorFlow Datasets' form, or opens it to be streamed.

    Every record is read and decoded once, to find damaged ones, the labels, the offsets of
    TFRecords, and the brightness of the images. The result is cached for the same files in
    `rocket_tf.system.kept.folder()`. Afterwards, records are read by number.

    Args:
        config: mapping with the fields of `own_data.DEFAULTS`.
        tell: called with a line about what was skipped.

    Returns:
        `LocalImages`, with images decoded like `files.decode`, in the order of the records.

    Raises:
        DamagedDataError: if the data is damaged.
        DataUnavailableError: if the data set can be neither found nor downloaded, lacks the split,
            does not consist of images with classes, or needs more memory than there is.
    """
    size, splits = (
        config["image_size"],
        [config["tfds_train_split"], config["tfds_test_split"]],
    )
    name, version = config["tfds_name"], config["tfds_version"]
    builder = prepared_builder("tfds", name, _ADDRESS, config["data_dir"], version=version)
    image, label = _features(builder)
    names = list(builder.info.features[label].names)
    parts = [_pieces(builder, split) for split in splits]
    files = _files(builder, [piece.filename for part in parts for piece in part])
    fingerprint = fingerprints.of_files(files.paths, [os.path.basename(f) for f in files.paths])
    fingerprint["splits"] = splits
    numbers = [sum(piece.take for piece in part) for part in parts]

    key = [_VERSION, PIL.__version__, fingerprint, size]
    scanned = kept.load("records", key)
    if scanned is None:
        pieces = [piece for part in parts for piece in part]
        scanned = _scan(files, pieces, numbers[0], (image, label), size)
        kept.save("records", key, **scanned)
    references, labels = scanned["references"], scanned["labels"]
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise DataUnavailableError(
            f"tfds: {files.shown(references[wrong[0]])} has label {labels[wrong[0]]}, expected 0 "
            f"to {len(names) - 1}; if the split has no labels, name another: "
            "config.tfds_test_split"
        )
    reasons = scanning.reasons_of(scanned, len(labels))
    shown = map(files.shown, references)
    folder = builder.data_path
    readable, skipped = pass_over(folder, shown, reasons, config["unreadable_images"], tell)
    train, test = without_unreadable(references, labels, readable, numbers[0])
    source, number = RecordSource(files, image, size), np.count_nonzero(readable)
    streams = is_streamed(config["streaming"], size_of(number, size))
    if not streams:
        check_memory(folder, number, size)
        train, test = (
            (source.read(records), part_labels) for records, part_labels in (train, test)
        )
    return LocalImages(
        train=train,
        test=test,
        class_names=names,
        skipped=skipped,
        fingerprint=fingerprint,
        source=source if streams else None,
        counts=scanned["counts"],
    )


class RecordSource(Source):
    """Images in records, decoded like `files.decode`.

    References are int64 of shape (images, 3): the file's number, the record's number in it, and the
    byte where it begins (unused for ArrayRecord).

    Args:
        files: the `TFRecordFiles` or `ArrayRecordFiles`.
        image: the name of the feature that holds the image file.
        image_size: height and width of the images, in pixels.
    """

    def __init__(self, files, image, image_size):
        self.shape = (image_size, image_size, 3)
        self._files = files
        self._image = image

    def read(self, references):
        shown = self._files.shown
        return image_files.decode_again(references, self.shape[0], shown, self._content)

    def _content(self, reference):
        return _parsed(self._files.read(*map(int, reference)), self._image)[0]


class TFRecordFiles:
    """TFRecord files, in which records are found by the byte where they begin.

    Args:
        paths: list of paths.
    """

    def __init__(self, paths):
        self.paths = paths

    def shown(self, reference):
        """A record's name in messages."""
        return f"{self.paths[reference[0]]}: record {reference[1] + 1}"

    def records(self, file):
        """Yields the first byte of each record of a file, and the checked record."""
        import tensorflow as tf

        begin = 0
        for record in tf.data.TFRecordDataset(self.paths[file]).as_numpy_iterator():
            yield begin, record
            begin += len(record) + _AROUND

    def read(self, file, number, begin):
        """A record."""
        with open(self.paths[file], "rb") as opened:
            opened.seek(begin)
            length = int.from_bytes(opened.read(_HEADER)[:8], "little")
            return opened.read(length)


class ArrayRecordFiles(TFRecordFiles):
    """ArrayRecord files, in which records are found by their numbers."""

    def __init__(self, paths):
        super().__init__(paths)
        self._readers = {}
        self._opening = threading.Lock()

    def records(self, file):
        reader = self._reader(file)
        for begin in range(0, reader.num_records(), _AT_ONCE):
            for record in reader.read(begin, min(begin + _AT_ONCE, reader.num_records())):
                yield 0, record

    def read(self, file, number, begin):
        return self._reader(file).read([number])[0]

    def _reader(self, file):
        from array_record.python import array_record_module

        with self._opening:
            if file not in self._readers:
                self._readers[file] = array_record_module.ArrayRecordReader(
                    self.paths[file], options="readahead_buffer_size:0"
                )
            return self._readers[file]


_FILES = {"tfrecord": TFRecordFiles, "array_record": ArrayRecordFiles}


def _files(builder, paths):
    form = builder.info.file_format.value
    if form not in _FILES:
        raise DataUnavailableError(
            f"tfds: {builder.data_path} has the format {form}, expected {' or '.join(_FILES)}; "
            "prepare it again in one of them"
        )
    return _FILES[form](list(dict.fromkeys(paths)))


def _features(builder):
    """The names of the features that hold the image and the class."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    chosen = builder.info.supervised_keys or list(features)
    candidates = [
        [name for name in chosen if isinstance(features.get(name), kind)]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    ]
    if list(map(len, candidates)) != [1, 1]:
        description = ", ".join(
            f"{name} ({type(feature).__name__})" for name, feature in features.items()
        )
        raise DataUnavailableError(
            f"tfds: {builder.info.full_name} has {description}; expected one Image and one "
            "ClassLabel; name another data set: config.tfds_name"
        )
    (image,), (label,) = candidates
    if features[image].np_dtype not in (np.uint8, np.uint16):
        raise DataUnavailableError(
            f"tfds: {builder.info.full_name} has images of {np.dtype(features[image].np_dtype)}, "
            "expected uint8 or uint16; name another data set: config.tfds_name"
        )
    return image, label


def _pieces(builder, split):
    """The files of a split, such as "train" or "train[:80%]", and its records in each of them."""
    try:
        pieces = builder.info.splits[split].file_instructions
    except Exception as error:  # the type of TensorFlow Datasets' error depends on the mistake
        raise DataUnavailableError(
            f"tfds: {builder.info.full_name} has no split {split!r} ({reason(error)}), expected "
            f"one of {', '.join(builder.info.splits)}, or a part such as train[:80%]; set "
            "config.tfds_train_split and config.tfds_test_split"
        ) from error
    if not pieces:
        raise DataUnavailableError(
            f"tfds: the split {split!r} of {builder.info.full_name} is empty; set "
            "config.tfds_train_split and config.tfds_test_split"
        )
    return pieces


def _scan(files, pieces, training, features, size):
    """Reads and decodes every record in some pieces of files once.

    Returns:
        Dict of arrays: as for `scanning.scan`, plus "references" and "labels" of the records.
    """
    number = sum(piece.take for piece in pieces)
    references, labels = np.zeros((number, 3), np.int64), np.zeros(number, np.int64)

    def images():
        index = 0
        for piece in pieces:
            file = files.paths.index(piece.filename)
            for record, begin, content in _records(files, file, piece):
                references[index] = file, record, begin
                encoded, labels[index] = _checked(files, references[index], content, features)
                index += 1
                yield encoded

    scanned = scanning.scan(images(), number, training, size, read=lambda encoded: encoded)
    return {**scanned, "references": references, "labels": labels}


def _records(files, file, piece):
    """Yields the number, first byte and content of each record in a piece of a file.

    Raises:
        DamagedDataError: if records are missing or cannot be read.
    """
    end, number, problem = piece.skip + piece.take, 0, None
    try:
        for begin, content in files.records(file):
            if number >= piece.skip:
                yield number, begin, content
            number += 1
            if number == end:
                return
    except GeneratorExit:
        raise
    except Exception as error:  # readers raise many kinds of errors
        problem = reason(error)
    path = files.paths[file]
    if not os.path.exists(path):
        problem = "missing"
    raise DamagedDataError(
        f"tfds: {path}: {problem or 'it ends'} after {number} of {piece.examples_in_shard} "
        f"records. {ways_out_of_damage(os.path.dirname(path))}"
    )


def _checked(files, reference, content, features):
    try:
        return _parsed(content, *features)
    except Exception as error:  # from protocol buffers, or for a missing feature
        raise DamagedDataError(
            f"tfds: {files.shown(reference)} is not an example ({reason(error)}). "
            f"{ways_out_of_damage(os.path.dirname(files.paths[0]))}"
        ) from error


def _parsed(content, image, label=None):
    """The image file in a record, and its class if requested."""
    import tensorflow as tf

    features = tf.train.Example.FromString(content).features.feature
    encoded = features[image].bytes_list.value[0]
    return encoded, None if label is None else features[label].int64_list.value[0]
