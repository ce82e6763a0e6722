"""Columns with a list of values for each example: histories, tags, their weights, and vectors.

It does not import TensorFlow.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import values
from rocket_tf.data.clicks.values import is_text
from rocket_tf.errors import DamagedDataError


@dataclasses.dataclass(frozen=True)
class Lists:
    """Sequences of different lengths: of row i, `values[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        values: int64 or float32 array, or Arrow array of strings.
        starts: int64, shape (rows,).
        lengths: int64, shape (rows,).
        padding: the value that fills the end of a row of a table.
    """

    values: object
    starts: np.ndarray
    lengths: np.ndarray
    padding: object

    def take(self, places, width):
        """Rows as a NumPy array, shape (batch, width), padded at the end.

        Args:
            places: int64, shape (batch,): which rows; `None`: all.
            width: values in a row.
        """
        starts, lengths = self.starts, self.lengths
        if places is not None:
            starts, lengths = starts[places], lengths[places]
        lengths = np.minimum(lengths, width)
        # Only the values of these rows, one row after the other.
        ends = np.cumsum(lengths)
        indices = np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())
        flat = self.values
        if isinstance(flat, np.ndarray):
            flat = flat[indices]
        else:
            flat = values.as_objects(flat.take(pa.array(indices)))
        return values.padded(flat, ends - lengths, lengths, width, self.padding)


def is_list(kind):
    """Whether an Arrow type is one of lists."""
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def split(texts):
    """Lists of the values between spaces; an empty text is an empty list, or one empty value."""
    lists = compute.utf8_split_whitespace(compute.utf8_trim_whitespace(texts))
    return lists.cast(pa.large_list(pa.large_string()))


def lengths_of(array):
    """The number of values in each list, int64; 0 if the list is missing."""
    lengths = compute.fill_null(compute.list_value_length(array), 0)
    return lengths.cast(pa.int64()).to_numpy(zero_copy_only=False)


def without(flat, lengths, kept):
    """The values to keep, according to an Arrow array of booleans, and the lists' lengths."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    chosen = kept.to_numpy(zero_copy_only=False)
    lengths = np.bincount(rows[chosen], minlength=len(lengths)).astype(np.int64)
    return flat.filter(pa.array(chosen)), lengths


def rows_of(lengths, where):
    """Function from a value's index, among the values of all lists, to where its row is."""
    return lambda index: where(int(np.searchsorted(np.cumsum(lengths), index, "right")))


def numbers(array, column, where, tags=None):
    """Weights or vectors, checked.

    Args:
        array: Arrow array of lists of numbers or strings, or of strings with spaces between.
        column: `examples.ListColumn`.
        where: function from a row of the array to its file, and its line or record.
        tags: for weights: the number of tags in each row; `None`: it is not compared.

    Returns:
        `Lists` of float32.

    Raises:
        DamagedDataError: if a value is not a finite number, a weight is below 0, a vector has the
            wrong length, or a row has more or fewer weights than tags.
    """
    if is_text(array.type):
        array = split(array)
    lengths, flat = lengths_of(array), array.flatten()
    if is_text(flat.type):
        nonempty = compute.not_equal(flat, "")  # an empty text gives one empty value
        if not compute.all(nonempty, min_count=0).as_py():
            flat, lengths = without(flat, lengths, nonempty)
    name, row_of = column.name, rows_of(lengths, where)
    result = values.numbers(flat, name, row_of).astype(np.float32)
    if column.kind == "weights":
        negative = np.flatnonzero(result < 0)
        if len(negative):
            raise DamagedDataError(
                f"{row_of(negative[0])}: {result[negative[0]]} in {name!r}; expected weights of at "
                "least 0"
            )
        if tags is not None:
            _check_lengths(lengths, tags, column, where, f", as {column.of!r} has")
    else:
        expected = np.full(len(lengths), column.length)
        if column.missing:
            expected[lengths == 0] = 0
        _check_lengths(lengths, expected, column, where, "")
    return Lists(result, np.cumsum(lengths) - lengths, lengths, column.padding(is_text=False))


def _check_lengths(lengths, expected, column, where, why):
    other = np.flatnonzero(lengths != expected)
    if len(other):
        row = int(other[0])
        raise DamagedDataError(
            f"{where(row)}: {lengths[row]} values in {column.name!r}; expected {expected[row]}{why}"
        )
