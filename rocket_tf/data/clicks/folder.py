"""One's own click logs, in CSV or TFRecord files. Free of TensorFlow but for the latter."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import csv as click_csv
from rocket_tf.data.clicks import tfrecords as click_tfrecords
from rocket_tf.data.clicks.examples import ClickData, ClickExamples, check_columns, padding_of
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_EXPECTED = "train*.csv and test*.csv, or train*.tfrecord* and test*.tfrecord*"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WHOLE = r"^(0|-?[1-9][0-9]*)$"


def read(path, columns, tell=print):
    """Reads a folder with train*.csv and test*.csv, or train*.tfrecord* and test*.tfrecord*.

    Files of a part follow each other in the order of their names, and should be in the order of
    time. `click_csv.read` and `click_tfrecords.read` tell the form of a file. A category becomes
    int64 if all its values, of both parts, are whole numbers of 64 bits without leading zeros;
    strings if not. The item and the history are one category.

    Args:
        path: the folder.
        columns: `examples.Columns`.
        tell: function that is called with a line on what was read.

    Returns:
        `ClickData`.

    Raises:
        DamagedDataError: if a file cannot be read, a label is not 0 or 1, a number is not finite, a
            category is empty or below 0; the message names the file, and the line or record.
        DataUnavailableError: if there is no such folder, no file of a part, files of both forms, a
            column is missing, or there are no examples.
    """
    folder = Path(path).expanduser()
    train, test = _read_parts(folder, columns)
    both = train, test
    labels = [_labels(part, columns.label) for part in both]
    inputs = [{name: _numbers(part, name) for name in columns.numbers} for part in both]
    for name in dict.fromkeys((columns.user, *columns.categories)):
        with_history = bool(columns.history) and name == columns.item
        tables = [part.columns[name] for part in both]
        if with_history:
            lists = [part.columns[columns.history] for part in both]
            tables += [each.flatten() for each in lists]
        is_whole = all(map(_is_whole, tables))
        for mine, part in zip(inputs, both, strict=True):
            rows = np.arange(part.examples)
            mine[name] = _category(part, name, part.columns[name], rows, is_whole)
            if with_history:
                mine[columns.history] = _history(part, columns, is_whole)
    tell(
        f"{folder}: {len(labels[0])} training and {len(labels[1])} test examples, of which "
        f"{labels[0].mean():.1%} and {labels[1].mean():.1%} are clicks"
    )
    return ClickData(*map(ClickExamples, inputs, labels))


@dataclasses.dataclass(frozen=True)
class _Part:
    """The rows of all files of a part.

    Attributes:
        columns: dict from columns to Arrow arrays; the history's, a ListArray.
        files: the files.
        ends: after how many rows of all files each of them ends.
        location: function from a file and a row in it to "line 2" or "record 1".
    """

    columns: dict
    files: list[Path]
    ends: np.ndarray
    location: Callable

    @property
    def examples(self):
        return int(self.ends[-1])

    def where(self, row):
        """The file, and the line or record, of a row of the part."""
        file = int(np.searchsorted(self.ends, row, side="right"))
        path = self.files[file]
        return f"{path}: {self.location(path, row - np.append(0, self.ends)[file])}"


def _read_parts(folder, columns):
    """The training and the test part."""
    if not folder.is_dir():
        raise DataUnavailableError(f"{folder}: no such folder; expected one with {_EXPECTED}")
    found = {
        form: {part: sorted(folder.glob(part + pattern)) for part in ("train", "test")}
        for form, pattern in (("CSV", "*.csv"), ("TFRecord", "*.tfrecord*"))
    }
    forms = [form for form, parts in found.items() if any(parts.values())]
    if len(forms) == 2:
        raise DataUnavailableError(
            f"{folder}: has both CSV and TFRecord files; expected {_EXPECTED}, so move one form "
            "elsewhere"
        )
    for part in ("train", "test"):
        if not forms or not found[forms[0]][part]:
            names = sorted(path.name for path in folder.iterdir())
            there = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "none"
            raise DataUnavailableError(
                f"{folder}: no files of {part} examples; expected {_EXPECTED}, there are: {there}"
            )
    (form,) = forms
    if form == "CSV":
        _check_headers([*found[form]["train"], *found[form]["test"]], columns)
    reader = click_csv if form == "CSV" else click_tfrecords
    train, test = (_read_part(files, columns, reader) for files in found[form].values())
    if columns.history and not len(train.columns[columns.history].flatten()):
        raise DataUnavailableError(
            f"{train.files[0]}: {columns.history!r} is empty in all training examples; check its "
            "name, or leave the history out"
        )
    return train, test


def _check_headers(files, columns):
    first = click_csv.header(files[0])
    check_columns(f"{files[0]}: line 1", columns.all, first)
    for path in files[1:]:
        names = click_csv.header(path)
        if names != first:
            odd = [name for name in (*names, *first) if name not in names or name not in first]
            raise DataUnavailableError(
                f"{path}: line 1 names other columns than {files[0]}: "
                f"{', '.join(map(repr, odd)) if odd else 'in another order'}; give all files the "
                "same header"
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
        text = pa.list_(pa.string()) if pa.types.is_list(arrays[0].type) else pa.string()
        arrays = [array.cast(text) for array in arrays]
    return pa.concat_arrays(arrays)


def _labels(part, name):
    values = _to_numbers(part.columns[name])
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DamagedDataError(
            f"{part.where(row)}: label {_shown(part, name, row)} in {name!r}; expected 0 or 1"
        )
    return values.astype(np.int64)


def _numbers(part, name):
    with np.errstate(over="ignore"):
        values = _to_numbers(part.columns[name]).astype(np.float32)
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DamagedDataError(
            f"{part.where(row)}: {_shown(part, name, row)} in {name!r}; expected a finite number "
            "of 32 bits"
        )
    return values


def _to_numbers(array):
    """As float64; NaN for a text that is no number."""
    if pa.types.is_string(array.type):
        is_number = compute.match_substring_regex(array, _NUMBER)
        array = compute.if_else(is_number, array, "nan")
    return array.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _shown(part, name, row):
    return repr(part.columns[name][row].as_py())


def _is_whole(array):
    if not pa.types.is_string(array.type):
        return True
    if not compute.all(compute.match_substring_regex(array, _WHOLE), min_count=0).as_py():
        return False
    try:
        array.cast(pa.int64())
    except pa.ArrowInvalid:  # too large
        return False
    return True


def _category(part, name, array, rows, is_whole):
    """The values as NumPy has them; `rows` are those that they are from."""
    if is_whole:
        values = array.cast(pa.int64()).to_numpy(zero_copy_only=False)
        wrong, expected = values < 0, "a number from 0 on, or text"
    else:
        # Each text once in memory, however often it is there.
        encoded = array.cast(pa.string()).dictionary_encode()
        texts = np.array([*encoded.dictionary.to_pylist(), ""], object)[:-1]
        empty = np.array([not text.strip() for text in texts], bool)
        places = encoded.indices.to_numpy(zero_copy_only=False)
        values, wrong, expected = texts[places], empty[places], "a value that is not empty"
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DamagedDataError(
            f"{part.where(rows[place])}: {array[place].as_py()!r} in {name!r}; expected {expected}"
        )
    return values


def _history(part, columns, is_whole):
    """The first values of each list, shape (examples, history_length), padded at the end."""
    lists = part.columns[columns.history]
    starts = lists.offsets.to_numpy()
    lengths = np.diff(starts)
    rows = np.repeat(np.arange(part.examples), lengths)
    values = _category(part, columns.history, lists.flatten(), rows, is_whole)
    padded = np.append(values, np.array([padding_of(values)], values.dtype))
    places = np.arange(columns.history_length)
    return padded[np.where(places < lengths[:, None], starts[:-1, None] + places, len(values))]
