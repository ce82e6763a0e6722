"""Reads a CSV or Parquet file of labels as Arrow arrays, without importing TensorFlow."""

import bisect
import itertools
import types

import pyarrow as pa

from rocket_tf.data.clicks import csv as click_csv
from rocket_tf.data.clicks.examples import check_columns
from rocket_tf.data.clicks.parquet import ParquetFiles
from rocket_tf.data.clicks.storage import LocalStorage
from rocket_tf.errors import DataUnavailableError

_FORMS = (".csv", ".csv.gz", ".parquet")


def read(path, labels):
    """Reads the columns of a file.

    Args:
        path: a `pathlib.Path`.
        labels: a `labels_file.LabelsFile`, which names the columns.

    Returns:
        `(arrays, where)`: a dict from columns to Arrow arrays of one chunk, and a function that
        names a row by file and line, or by file, row group and row.

    Raises:
        DamagedDataError: if the file cannot be read.
        DataUnavailableError: if the file or a column does not exist, or the file has no rows.
    """
    names = [labels.image_column, labels.class_column, labels.part_column]
    names = [name for name in dict.fromkeys(names) if name]
    if not str(path).lower().endswith(_FORMS):
        raise DataUnavailableError(
            f"{path}: is not a supported file of labels; expected {', '.join(_FORMS)}"
        )
    if not path.is_file():
        raise DataUnavailableError(
            f"{path}: no such file of labels; config.labels_file is relative to config.data_path"
        )
    if path.suffix.lower() == ".parquet":
        arrays, where = _read_parquet(path, names)
    else:
        check_columns(f"{path}: line 1", names, click_csv.header(path))
        arrays = click_csv.read(path, types.SimpleNamespace(all=names, lists=()))

        def where(row):
            return f"{path}: {click_csv.location(path, row)}"

    if not len(arrays[labels.image_column]):
        raise DataUnavailableError(f"{path}: has no rows; expected one row per image")
    return arrays, where


def _read_parquet(path, names):
    file = ParquetFiles(LocalStorage(path), [""], names)
    groups = file.footers[0].groups
    arrays_by_group = [file.read(0, group, names) for group in range(len(groups))]
    ends = list(itertools.accumulate(groups))

    def where(row):
        group = bisect.bisect_right(ends, row)
        return file.where(0, group)(row - (ends[group] - groups[group]))

    arrays = {
        name: pa.concat_arrays([group[name] for group in arrays_by_group])
        if arrays_by_group
        else pa.array([], pa.string())
        for name in names
    }
    return arrays, where
