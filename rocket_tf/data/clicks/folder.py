"""Reads the user's own click logs in CSV or TFRecord files into memory.

It imports TensorFlow only for TFRecord files.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from rocket_tf.data.clicks import csv as click_csv
from rocket_tf.data.clicks import lists, values, vocabularies
from rocket_tf.data.clicks import tfrecords as click_tfrecords
from rocket_tf.data.clicks.examples import ClickData, ClickExamples, check_columns
from rocket_tf.data.clicks.files import Listing
from rocket_tf.data.clicks.moments import NumberFacts
from rocket_tf.data.clicks.scan import HistoryFacts, line_of_labels, spelling_lines
from rocket_tf.errors import DamagedDataError, DataUnavailableError


def read(path, columns, tell=print, files=None):
    """Reads a folder with train*.csv and test*.csv, or train*.tfrecord* and test*.tfrecord*.

    The files of a part are read in the order of their names, which should be the order of time.
    `click_csv.read` and `click_tfrecords.read` describe the form of a file. A category becomes
    int64 if all its values, in both parts, are 64-bit integers without leading zeros; otherwise it
    becomes strings. The item and the history are one category. Numbers become float32, or int64 or
    float64 if they would lose digits in float32.

    Args:
        path: the folder.
        columns: `examples.Columns`.
        tell: called with a line about what was read.
        files: its `files.LogFiles`, if these are known.

    Returns:
        `ClickData`.

    Raises:
        DamagedDataError: if a file cannot be read, a label is not 0 or 1, a number is not finite, a
            category is empty or below 0, or a history has another separator than spaces; the
            message names the file, and the line or record.
        DataUnavailableError: if there is no such folder, no file of a part, files of several forms
            or with names that are almost right, if a column is missing, or without examples.
    """
    files = files or Listing(path, tell=tell).both_parts
    folder = files.storage.root
    labels, inputs, lines = _arrays(_read_parts(files, columns), columns, folder)
    counters = vocabularies.counters(columns)
    vocabularies.add(counters, columns, inputs[0])
    vocabulary_of = vocabularies.found(counters, columns, str(folder))
    by_part = dict(zip(("train", "test"), labels, strict=True))
    clicks = {part: part_labels.sum(axis=0) for part, part_labels in by_part.items()}
    examples = {part: len(part_labels) for part, part_labels in by_part.items()}
    tell(line_of_labels(folder, clicks, examples, columns))
    for line in lines:
        tell(line)
    return ClickData(*map(ClickExamples, inputs, labels), vocabulary_of)


def read_test(files, columns, dtypes):
    """Reads the test part alone of a log whose facts are known.

    Args:
        files: its `files.LogFiles`, as `files.Listing.test_part`.
        columns: `examples.Columns`.
        dtypes: dict from columns to the dtypes that `read` has found.

    Returns:
        `ClickExamples`.

    Raises:
        DamagedDataError: as for `read`; or if strings are where whole numbers were.
        DataUnavailableError: if a column is missing, or there are no examples.
    """
    paths = {"test": files.paths("test")}
    by_part, reader = columns_by_part(files.form, paths, columns)
    part = _read_part(paths["test"], by_part["test"], reader)
    (labels,), (inputs,), _ = _arrays([part], columns, files.test_storage.root, dtypes)
    return ClickExamples(inputs, labels)


def _arrays(parts, columns, folder, dtypes=None):
    """The arrays of parts, the training part first.

    Args:
        parts: list of `_Part`.
        columns: `examples.Columns`.
        folder: where they lie.
        dtypes: dict from columns to dtypes; `None`: as the values themselves ask for.

    Returns:
        `(labels, inputs, lines)`: for each part an array, and a dict from columns to arrays in the
        order of `columns`; lines about how ids are spelled.
    """
    labels = [values.all_labels(part.columns, columns.labels, part.where) for part in parts]
    inputs = [{} for _ in parts]
    if columns.weight:
        for part_inputs, part in zip(inputs, parts, strict=True):
            array = part.columns[columns.weight]
            part_inputs[columns.weight] = values.weights(array, columns.weight, part.where)
    for name in columns.numbers:
        parts_with_column = [part for part in parts if name in part.columns]
        arrays = [
            values.numbers(part.columns[name], name, part.where, columns.may_miss(name))
            for part in parts_with_column
        ]
        if any(numbers.dtype.kind == "f" for numbers in arrays):
            arrays = [numbers.astype(np.float64) for numbers in arrays]
        for part_inputs, numbers in zip(inputs, arrays, strict=False):
            part_inputs[name] = numbers.astype(dtypes[name] if dtypes else _dtype_of(arrays[0]))
    for name in columns.times:
        for part_inputs, part in zip(inputs, parts, strict=True):
            if name in part.columns:
                array, may_miss = part.columns[name], columns.may_miss(name)
                part_inputs[name] = values.times(array, name, part.where, may_miss)
    lines = []
    for name in _ids(columns):
        lines += _read_ids(parts, inputs, columns, name, folder, dtypes)
    for column in columns.lists:
        for part_inputs, part in zip(inputs, parts, strict=True):
            if not column.has_ids and column.name in part.columns:
                part_inputs[column.name] = _numbers(part, column)
    # In the order of columns, as they are given.
    inputs = [
        {name: part_inputs[name] for name in columns.all if name in part_inputs}
        for part_inputs in inputs
    ]
    return labels, inputs, lines


def _dtype_of(numbers):
    facts = NumberFacts()
    facts.add(numbers)
    return facts.dtype


def _ids(columns):
    """Names of ids with their own dtype: columns with one value, and tags."""
    return [*columns.ids, *(column.name for column in columns.lists if column.kind == "tags")]


def _read_ids(parts, inputs, columns, name, folder, dtypes):
    """Adds the ids of a column, and of histories of it, to the inputs of the parts.

    Returns:
        Lines about how they are spelled.
    """
    with_lists = [column for column in columns.lists if column.has_ids and column.of == name]
    histories = [column for column in with_lists if column.kind == "history"]
    parts_with_column = [part for part in parts if name in part.columns]
    may_miss = columns.may_miss(name)
    tables = [part.columns[name] for part in parts_with_column]
    if with_lists and not histories:
        tables = [table.flatten() for table in tables]
    for history in histories:
        tables += [part.columns[history.name].flatten() for part in parts]
    present = [values.present(array) for array in tables] if may_miss else tables
    is_whole = all(map(values.is_whole, present))
    if dtypes:
        dtype = next(
            dtypes[key] for key in (name, *(column.name for column in with_lists)) if key in dtypes
        )
        if dtype == "int64" and not is_whole:
            raise DamagedDataError(
                f"{parts[0].files[0]}: {name!r} has other values than whole numbers, which it has "
                "in the training part"
            )
        is_whole = dtype == "int64"
    lines = []
    if not is_whole:
        for history in histories:
            _check_separator(parts, history)
        spellings = {
            part: (len(array), *values.spellings(values.as_texts(array)))
            for part, array in zip(("train", "test"), tables, strict=False)
        }
        lines = spelling_lines(folder, name, spellings)
    for part_inputs, part in zip(inputs, parts_with_column, strict=False):
        if name not in (column.name for column in with_lists):
            part_inputs[name] = _category(part.columns[name], name, part.where, is_whole, may_miss)
        for column in with_lists:
            part_inputs[column.name] = _list_of_ids(part, column, is_whole)
    return lines


@dataclasses.dataclass(frozen=True)
class _Part:
    """The rows of all files of a part.

    Attributes:
        columns: dict from columns to Arrow arrays, with lists for histories and other lists.
        files: the files' paths.
        ends: the total number of rows up to the end of each file.
        location: function from a file and a row in it to "line 2" or "record 1".
    """

    columns: dict
    files: list[str]
    ends: np.ndarray
    location: Callable

    def where(self, row):
        """The file, and the line or record, of a row of the part."""
        file = int(np.searchsorted(self.ends, row, side="right"))
        path = self.files[file]
        return f"{path}: {self.location(path, row - np.append(0, self.ends)[file])}"

    def where_of(self, name):
        """Function from a value's place in a column of lists to the place of its row."""
        return lists.rows_of(lists.lengths_of(self.columns[name]), self.where)


def _read_parts(files, columns):
    """The training and the test part."""
    paths = {part: files.paths(part) for part in ("train", "test")}
    by_part, reader = columns_by_part(files.form, paths, columns)
    train, test = (
        _read_part(paths[part], part_columns, reader) for part, part_columns in by_part.items()
    )
    for column in columns.lists:
        if column.kind == "history" and not len(train.columns[column.name].flatten()):
            raise DataUnavailableError(
                f"{train.files[0]}: {column.name!r} is empty in all training examples; check its "
                "name, or leave the history out"
            )
    return train, test


def columns_by_part(form, paths, columns):
    """The columns of each part, and the module that reads its files. Checks headers of CSV files.

    Args:
        form: "CSV" or "TFRecord".
        paths: dict from parts, "train" first, to lists of files.
        columns: `examples.Columns`. All of `booster_only` may be missing from the test part.

    Returns:
        `(by_part, reader)`: a dict from parts to `examples.Columns`, and a module.

    Raises:
        DataUnavailableError: if a column is missing, or CSV files of a part differ.
    """
    reader = click_csv if form == "CSV" else click_tfrecords
    by_part = dict.fromkeys(paths, columns)
    if "test" in paths and columns.booster_only:
        by_part["test"] = columns.of_test(reader.header(paths["test"][0]))
    if form == "CSV":
        file_lists = list(paths.values())
        if by_part.get("test", columns) is columns:
            file_lists = [[path for files in file_lists for path in files]]
        for files, part_columns in zip(file_lists, by_part.values(), strict=False):
            check_headers(files, part_columns)
    return by_part, reader


def check_headers(files, columns):
    """Checks that CSV files name the same columns, and all that are wanted.

    Args:
        files: their paths.
        columns: `examples.Columns`.

    Raises:
        DataUnavailableError: for the first file that does not.
    """
    first = click_csv.header(files[0])
    check_columns(f"{files[0]}: line 1", columns.all, first)
    for path in files[1:]:
        names = click_csv.header(path)
        if names != first:
            differing = [
                name for name in (*names, *first) if name not in names or name not in first
            ]
            raise DataUnavailableError(
                f"{path}: line 1 names other columns than {files[0]}: "
                f"{', '.join(map(repr, differing)) if differing else 'in another order'}; give all "
                "files the same header"
            )


def _read_part(files, columns, reader):
    tables = [reader.read(path, columns) for path in files]
    ends = np.cumsum([len(table[columns.label]) if table else 0 for table in tables])
    if not ends[-1]:
        raise DataUnavailableError(
            f"{files[0]}: no examples, nor in any other file of this part; expected at least one"
        )
    tables = [table for table in tables if table]
    joined = {name: _join([table[name] for table in tables]) for name in columns.all}
    return _Part(joined, files, ends, reader.location)


def _join(arrays):
    """One array of those of several files."""
    if len({array.type for array in arrays}) > 1:
        arrays = [values.as_texts(array) for array in arrays]
    return pa.concat_arrays(arrays)


def _category(array, name, where, is_whole, missing):
    """The values as a NumPy array."""
    if missing:
        array = values.marked(array, is_whole, name, where)
        return array.to_numpy(zero_copy_only=False) if is_whole else values.as_objects(array)
    written, array = array, array.cast(pa.int64()) if is_whole else values.as_texts(array)
    values.check_category(array, name, where, written)
    return array.to_numpy(zero_copy_only=False) if is_whole else values.as_objects(array)


def _list_of_ids(part, column, is_whole):
    """The first values of each list, shape (examples, length), padded at the end."""
    name, array = column.name, part.columns[column.name]
    ids = _category(array.flatten(), name, part.where_of(name), is_whole, column.missing)
    lengths = lists.lengths_of(array)
    padding = column.padding(is_text=not is_whole)
    return values.padded(ids, np.cumsum(lengths) - lengths, lengths, column.length, padding)


def _numbers(part, column):
    """Weights or vectors, float32, shape (examples, length)."""
    tags = lists.lengths_of(part.columns[column.of]) if column.of else None
    numbers = lists.numbers(part.columns[column.name], column, part.where, tags)
    return numbers.take(None, column.length)


def _check_separator(parts, column):
    facts = HistoryFacts()
    for number, part in enumerate(parts):
        flat = part.columns[column.name].flatten()
        items = part.columns[column.of]
        facts.add(
            number,
            values.as_texts(flat),
            items if values.is_whole(items) is False else np.zeros(0, np.int64),
            part.where_of(column.name),
        )
    facts.check(column)
