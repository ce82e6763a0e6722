"""Builders of TensorFlow Datasets, prepared; or one error that names what is damaged."""

import os
from pathlib import Path

import requests

from rocket_tf.data.tensorflow_errors import reason
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_SECONDS_TO_ANSWER = 10
_INFO = "dataset_info.json"


def prepared_builder(dataset, tfds_name, source, data_dir="", instead="digits", version=""):
    """The builder of a data set that is on this machine, downloaded first where it is missing.

    Args:
        dataset: its name, for messages.
        tfds_name: its name in TensorFlow Datasets.
        source: the address that it is downloaded from.
        data_dir: folder of TensorFlow Datasets; empty: its default.
        instead: the configuration to propose where there is no network.
        version: of the data set; empty: the newest.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        DamagedDataError: if it is there and cannot be read.
        DataUnavailableError: if it can be neither found nor downloaded.
    """
    import tensorflow_datasets as tfds

    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    # The file to name if TFDS fails: it reads this one first, and without it finds no others.
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
    except Exception as error:  # TFDS raises whatever its downloader or reader raises
        if damaged is not None:
            problem = reason(error) if damaged.exists() else "missing"
            raise DamagedDataError(
                f"{dataset}: {damaged}: {problem}. {ways_out_of_damage(damaged.parent)}"
            ) from error
        where = data_dir or "$TFDS_DATA_DIR or ~/tensorflow_datasets"
        raise DataUnavailableError(
            f"{dataset}: neither found in {where} nor downloaded ({type(error).__name__}: "
            f"{error}). Ways out: point --config.data_dir or TFDS_DATA_DIR to a folder that has "
            f"{tfds_name} in TensorFlow Datasets' form; or run once where there is a network, and "
            f"copy that folder; or take data that needs no download: --config={instead}"
        ) from error
    return builder


def error_of_reading(dataset, builder, splits, error, problem_of, decoders=None):
    """The error to raise where a builder's data could not be read.

    It reads record by record, which takes longer than reading them all.

    Args:
        dataset: its name, for messages.
        builder: the builder.
        splits: names of the splits that were read.
        error: what was raised.
        problem_of: function from an example, as NumPy has it, to what is wrong with it, or `None`.
        decoders: of features, as TensorFlow Datasets takes them, or `None`.

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
        f"{dataset}: {builder.data_path} cannot be read, though every record of it can: "
        f"{reason(error)}"
    )


def _damage(dataset, builder, name, problem):
    folder = Path(builder.data_path)
    return DamagedDataError(f"{dataset}: {folder / name}: {problem}. {ways_out_of_damage(folder)}")


def _problem_of_file(builder, path, records, problem_of, decoders):
    """What is wrong with a file of so many records; `None` if nothing is."""
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
        return f"it has {number} records, expected the {records} that {_INFO} tells"
    return None


def ways_out_of_damage(folder):
    """What to do about a damaged data set in a folder."""
    return (
        f"Ways out: delete {folder} and start again where there is a network, so that it is "
        "downloaded anew; or copy that folder again from where it is whole"
    )
