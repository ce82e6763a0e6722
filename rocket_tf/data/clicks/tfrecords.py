"""One TFRecord file of a click log, a tf.train.Example in each record."""

import contextlib
import os

import numpy as np
import pyarrow as pa

from rocket_tf.data.clicks.examples import check_columns
from rocket_tf.data.clicks.files import is_gzipped
from rocket_tf.data.local_files import reason_of
from rocket_tf.data.tensorflow_errors import reason
from rocket_tf.errors import DamagedDataError, DataUnavailableError
from rocket_tf.system.files import check_regular

_BATCH = 16_384
_CATEGORIES = ("int64_list", "bytes_list")
_NUMBERS = ("int64_list", "float_list")
_TIMES = ("int64_list",)


def read(path, columns):
    """Reads a file, without changing its values.

    Args:
        path: the file; compressed by gzip if its name ends with ".gz". Every record is a
            tf.train.Example, which has one value of each column: integers or floats of the label,
            the weight and numbers, integers or bytes (UTF-8) of the user and of categories; and any
            number of values of lists: of histories, of their category's type.
        columns: `examples.Columns`.

    Returns:
        Dict from columns to Arrow arrays of as many values as there are records, int64, float or
        strings; of lists, to arrays of lists. Empty if the file has no records.

    Raises:
        DamagedDataError: if a record cannot be read, or does not have one value of a column.
        DataUnavailableError: if the first record lacks a column, or has it with the wrong type.
    """
    parts = list(batches(path, columns))
    if not parts:
        return {}
    return {name: pa.concat_arrays([part[name] for part in parts]) for name in columns.all}


def header(path):
    """Names of the features of the first record; none, if there is no record.

    Raises:
        DamagedDataError: if it cannot be read.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        check_regular(path)
        records = tf.data.TFRecordDataset(path, "GZIP" if is_gzipped(path) else "")
        for record in records.take(1).as_numpy_iterator():
            return list(tf.train.Example.FromString(record).features.feature)
    except (OSError, DecodeError) as error:
        raise DamagedDataError(f"{path}: record 1 cannot be read: {reason_of(error)}") from error
    except tf.errors.OpError as error:
        raise DamagedDataError(f"{path}: record 1 cannot be read: {reason(error)}") from error
    return []


def batches(path, columns, progress=lambda done: None):
    """The same, some records at a time.

    Args:
        path: as for `read`.
        columns: as for `read`.
        progress: called with how many bytes of the file are read: all of them, at its end.

    Yields:
        As `read` returns.

    Raises:
        DamagedDataError, DataUnavailableError: as `read`.
    """
    import tensorflow as tf

    try:
        check_regular(path)
    except OSError as error:
        raise DamagedDataError(f"{path}: {error.strerror}") from error
    records = tf.data.TFRecordDataset(
        str(path), compression_type="GZIP" if is_gzipped(path) else ""
    )
    features, first = {}, 0
    try:
        record = next(records.as_numpy_iterator(), None)
        if record is None:
            return
        features = _features(path, columns, record, records)
        parsed = records.batch(_BATCH).map(
            lambda batch: tf.io.parse_example(batch, features), num_parallel_calls=tf.data.AUTOTUNE
        )
        for part in parsed:
            values = {n: (e.values.numpy(), e.row_lengths().numpy()) for n, e in part.items()}
            yield {name: _array(path, columns, name, *values[name], first) for name in columns.all}
            first += len(values[columns.label][1])
    except tf.errors.OpError as error:
        number, error = _first_damaged(records, features, error)
        raise DamagedDataError(
            f"{path}: {location(path, number)} cannot be read: {reason(error)}; copy the file "
            "again, or write it anew"
        ) from error
    progress(os.path.getsize(path))


def location(path, row):
    """Where a row is, counted from 0: "record 1" of the first."""
    return f"record {row + 1}"


def _features(path, columns, record, records):
    """How records are parsed, by the types of the first; of tags, of the first with any."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        record_features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise DamagedDataError(
            f"{path}: record 1 cannot be read: not a tf.train.Example: {reason_of(error)}"
        ) from error
    kinds = {name: feature.WhichOneof("kind") for name, feature in record_features.items()}
    check_columns(f"{path}: record 1", columns.scalars, list(kinds))
    dtypes = {"int64_list": tf.int64, "float_list": tf.float32, "bytes_list": tf.string}
    features = {}
    by_name = {column.name: column for column in columns.lists}
    for name in columns.all:
        if name in by_name:
            # It may be empty, and then has no type.
            expected, kind = _kinds_of_list(by_name[name], kinds, records)
        else:
            is_number = name in (*columns.labels, columns.weight, *columns.numbers)
            expected, kind = _NUMBERS if is_number else _CATEGORIES, kinds[name]
            expected = _TIMES if name in columns.times else expected
        if kind not in expected:
            raise DataUnavailableError(
                f"{path}: record 1 has {name!r} as {kind or 'a feature without values'}, expected "
                f"{' or '.join(expected)}"
            )
        features[name] = tf.io.RaggedFeature(dtypes[kind], row_splits_dtype=tf.int64)
    return features


def _kinds_of_list(column, kinds, records):
    """The types that a column of lists may have, and the one that it has."""
    kind = kinds.get(column.name)
    if column.kind == "history":
        return (kinds[column.of],), kind or kinds[column.of]
    if not column.has_ids:
        return _NUMBERS, kind or _NUMBERS[-1]
    return _CATEGORIES, kind or _first_kind(column.name, records) or _CATEGORIES[-1]


def _first_kind(name, records):
    """The type of a feature in the first record that has one; `None` without such a record."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    with contextlib.suppress(DecodeError):  # reading all records reports it
        for record in records.as_numpy_iterator():
            kind = tf.train.Example.FromString(record).features.feature[name].WhichOneof("kind")
            if kind is not None:
                return kind
    return None


def _first_damaged(records, features, error):
    """The place of the first record that cannot be read, and why; read one by one."""
    import tensorflow as tf

    def parse(record):
        return tf.io.parse_single_example(record, features) if features else record

    number = 0
    try:
        for _ in records.map(parse, num_parallel_calls=tf.data.AUTOTUNE):
            number += 1
    except tf.errors.OpError as first:
        return number, first
    return number, error


def _array(path, columns, name, values, lengths, first):
    """An Arrow array of a column, of what was parsed from the file's record `first` on."""
    offsets = np.append(0, np.cumsum(lengths))
    is_list = name in (column.name for column in columns.lists)
    if not is_list and (lengths != 1).any():
        row = int(np.argmax(lengths != 1))
        raise DamagedDataError(
            f"{path}: {location(path, first + row)} has {lengths[row]} values of {name!r}, "
            "expected one"
        )
    if values.dtype == object:
        try:
            array = pa.array(values, pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid as error:
            index = next(index for index, value in enumerate(values) if not _is_text(value))
            row = int(np.searchsorted(offsets, index, side="right")) - 1
            raise DamagedDataError(
                f"{path}: {location(path, first + row)} has {values[index]!r} in {name!r}, "
                "which is not UTF-8"
            ) from error
    else:
        array = pa.array(values)
    if is_list:
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), array)
    return array


def _is_text(value):
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
