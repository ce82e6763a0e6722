"""Prepares builders of TensorFlow Datasets, or reports what is damaged."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import requests

from rocket_tf.data.tensorflow_errors import reason
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_SECONDS_TO_ANSWER = 10
_INFO = "dataset_info.json"


def prepared_builder(dataset, tfds_name, source, data_dir="", instead="digits", version=""):
    """The builder of a data set on this machine, downloaded first if it is missing.

    Args:
        dataset: name of the data set, for messages.
        tfds_name: its name in TensorFlow Datasets.
        source: the address of its download.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        instead: the configuration to propose if there is no network.
        version: version of the data set; empty: the newest.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        DamagedDataError: if the data set exists but cannot be read.
        DataUnavailableError: if it can be neither found nor downloaded.
    """
    import tensorflow_datasets as tfds

    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    # The file to name if TFDS fails: TFDS reads it first, and finds the others through it.
    damaged = max(root.expanduser().glob(f"{tfds_name}/*/{_INFO}"), default=None)
    try:
        builder = tfds.builder(
            f"{tfds_name}:{version}" if version else tfds_name, data_dir=data_dir or None
        )
        if not builder.is_prepared():
            folder = Path(builder.data_path)
            damaged = folder / _INFO if any(folder.glob("*.tfrecord*")) else None
            # The downloader itself takes minutes to give up.
            requests.head(source, timeout=_SECONDS_TO_ANSWER)
            builder.download_and_prepare()
    except Exception as error:  # TFDS passes on any error of its downloader or reader
        if damaged is not None:
            problem = reason(error) if damaged.exists() else "missing"
            raise DamagedDataError(
                f"{dataset}: {damaged}: {problem}. {ways_out_of_damage(damaged.parent)}"
            ) from error
        where = data_dir or "$TFDS_DATA_DIR or ~/tensorflow_datasets"
        # The text of these errors is a long chain of causes.
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            cause = f"{urlsplit(source).netloc} cannot be reached"
        else:
            cause = f"{type(error).__name__}: {error}"
        raise DataUnavailableError(
            f"{dataset}: neither found in {where} nor downloaded ({cause}). Ways out: set "
            "--config.data_dir or TFDS_DATA_DIR to a folder that has "
            f"{tfds_name} in TensorFlow Datasets' form; or run once on a machine with a network, "
            f"and copy that folder; or use data that needs no download: --config={instead}"
        ) from error
    return builder


def error_of_reading(dataset, builder, splits, error, problem_of, decoders=None):
    """The error to raise if a builder's data could not be read.

    To find the damage, it reads record by record, which is slower than a normal reading.

    Args:
        dataset: its name, for messages.
        builder: the builder.
        splits: names of the splits that were read.
        error: the exception that was raised.
        problem_of: function that says what is wrong with an example of NumPy arrays, or returns
            `None`.
        decoders: decoders of features for TensorFlow Datasets, or `None`.

    Returns:
        `DamagedDataError` with the first damaged file and record, or `DataUnavailableError`.
    """
    for split in splits:
        if split not in builder.info.splits:
            return _damage(dataset, builder, _INFO, f"it has no split {split!r}")
        info = builder.info.splits[split]
        for path, records in zip(info.filepaths, info.shard_lengths, strict=True):
            problem = _problem_of_file(builder, Path(path), records, problem_of, decoders)
            if problem:
                return _damage(dataset, builder, Path(path).name, problem)
    return DataUnavailableError(
        f"{dataset}: {builder.data_path} cannot be read, although every record of it can: "
        f"{reason(error)}"
    )


def _damage(dataset, builder, name, problem):
    folder = Path(builder.data_path)
    return DamagedDataError(f"{dataset}: {folder / name}: {problem}. {ways_out_of_damage(folder)}")


def _problem_of_file(builder, path, records, problem_of, decoders):
    """What is wrong with a file of `records` records, or `None`."""
    import tensorflow as tf

    if not path.exists():
        return "missing"
    examples = tf.data.TFRecordDataset(str(path)).map(
        lambda record: builder.info.features.deserialize_example(record, decoders=decoders),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    number = 0
    try:
        for example in examples.as_numpy_iterator():
            number += 1
            problem = problem_of(example)
            if problem:
                return f"record {number} of {records} has {problem}"
    except tf.errors.OpError as error:
        return f"record {number + 1} of {records} cannot be read: {reason(error)}"
    if number != records:
        return f"it has {number} records, expected {records} according to {_INFO}"
    return None


def ways_out_of_damage(folder):
    """What to do about a damaged data set in a folder."""
    return (
        f"Ways out: delete {folder} and start again with a network, to download it again; or copy "
        "that folder again from a complete one"
    )
