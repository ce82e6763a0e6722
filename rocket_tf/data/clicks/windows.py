"""The columns of a window of row groups, joined in memory that is mapped for them.

A long training reads one window after the other. On the heap, they would leave more gaps between
smaller objects the longer the log is. So each array is mapped separately, and unmapped as soon as
neither the window nor a batch that is a view of it refers to it. It is filled while row groups are
read, so that no row is in memory twice.

It does not import TensorFlow.
"""

import math
import mmap

import numpy as np
import pyarrow as pa

from rocket_tf.data.clicks.lists import Lists

_SPARE = 1.125  # memory that is not written to is not taken


def joined(pieces, rows):
    """The columns of some pieces, one piece after the other.

    Args:
        pieces: iterable of dicts from columns to NumPy arrays, Arrow arrays of strings, or
            `lists.Lists`, as `row_groups.Rows.read` gives them; at least one.
        rows: number of rows of all pieces together.

    Returns:
        Dict from columns to the joined values; strings are an Arrow array of large strings.

    Raises:
        TypeError: if a column has different dtypes.
        ValueError: if a string is missing.
    """
    columns = {}
    for piece in pieces:
        for name in list(piece):
            if name not in columns:
                columns[name] = _joint(piece[name], rows)
            columns[name].add(piece.pop(name))
    return {name: column.result for name, column in columns.items()}


def _joint(column, rows):
    if isinstance(column, Lists):
        return _JointLists(column, rows)
    if isinstance(column, np.ndarray):
        return _JointArrays(column, rows)
    return _JointTexts(column, rows, rows / max(len(column), 1))


class _JointArrays:
    """Arrays along their first axis.

    Args:
        first: an array with the dtype and the other axes of all.
        capacity: about their total length.
    """

    def __init__(self, first, capacity):
        self._length, self._array = 0, _mapped(capacity, first)

    def add(self, array):
        end = self._length + len(array)
        if end > len(self._array):
            grown = _mapped(math.ceil(end * _SPARE), array)
            grown[: self._length] = self.result
            self._array = grown
        np.copyto(self._array[self._length : end], array, casting="equiv")
        self._length = end

    @property
    def result(self):
        return self._array[: self._length]


class _JointTexts:
    """Arrow arrays of strings.

    Args:
        first: the first of them.
        capacity: about their total number of strings.
        times: about their total length, divided by that of the first.
    """

    def __init__(self, first, capacity, times):
        bounds, content = _parts_of(first)
        self._content = _JointArrays(content, _with_spare(len(content), times))
        self._bounds = _JointArrays(bounds, capacity + 1)
        self._bounds.add(np.zeros(1, np.int64))

    def add(self, array):
        bounds, content = _parts_of(array)
        self._bounds.add(bounds[1:] + (len(self._content.result) - bounds[0]))
        self._content.add(content)

    @property
    def result(self):
        bounds, content = self._bounds.result, self._content.result
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(content)]
        return pa.Array.from_buffers(pa.large_string(), len(bounds) - 1, buffers)


class _JointLists:
    def __init__(self, first, rows):
        times = rows / max(len(first.lengths), 1)
        number = _with_spare(len(first.values), times)
        is_array = isinstance(first.values, np.ndarray)
        arguments = () if is_array else (times,)
        self._values = (_JointArrays if is_array else _JointTexts)(first.values, number, *arguments)
        self._starts, self._lengths = (
            _JointArrays(array, rows) for array in (first.starts, first.lengths)
        )
        self._padding = first.padding

    def add(self, lists):
        self._starts.add(lists.starts + len(self._values.result))
        self._lengths.add(lists.lengths)
        self._values.add(lists.values)

    @property
    def result(self):
        parts = (self._values, self._starts, self._lengths)
        return Lists(*(part.result for part in parts), self._padding)


def _with_spare(length, times):
    return math.ceil(length * times * _SPARE)


def _mapped(length, like):
    """An array in newly mapped memory, with the dtype and the other axes of `like`."""
    shape = (max(length, 1), *like.shape[1:])
    size = math.prod(shape) * like.dtype.itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, max(size, 1), flags)
    return np.frombuffer(memory, like.dtype, math.prod(shape)).reshape(shape)


def _parts_of(array):
    """`(bounds, content)` of strings: int64, where each begins and the last ends; and bytes."""
    if array.null_count:
        raise ValueError(f"{array.null_count} texts are missing")
    array = array.cast(pa.large_string())
    _, bounds, content = array.buffers()
    if not len(array):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    bounds = np.frombuffer(bounds, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.zeros(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    return bounds, content[bounds[0] : bounds[-1]]
