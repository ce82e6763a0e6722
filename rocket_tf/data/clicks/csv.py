"""Reads one CSV file of a click log with Apache Arrow. It does not import TensorFlow."""

import contextlib
import csv
import gzip
import re
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from rocket_tf.data.clicks.files import is_gzipped
from rocket_tf.data.local_files import reason_of
from rocket_tf.errors import DamagedDataError
from rocket_tf.system.files import check_regular

_BLOCK = 2**24  # bytes that are parsed at once, which a row must not exceed


def header(path):
    """Names of the columns, from the first line.

    Raises:
        DamagedDataError: if there is none, if it cannot be read, or if a name occurs twice.
    """
    try:
        check_regular(path)
        with _opened(path, "rb") as file, _long_values():
            line = file.readline().decode("utf-8-sig").rstrip("\r\n")
            names = next(csv.reader([line]))
    except (OSError, EOFError, UnicodeError, csv.Error) as error:
        raise DamagedDataError(f"{path}: line 1 cannot be read: {reason_of(error)}") from error
    if not names:
        raise DamagedDataError(f"{path}: line 1 is empty; expected the names of the columns")
    twice = sorted(name for name, number in Counter(names).items() if number > 1)
    if twice:
        raise DamagedDataError(f"{path}: line 1 names {twice[0]!r} twice; give each its own name")
    return names


def read(path, columns):
    """Reads a file, without changing its values.

    Args:
        path: the file, compressed by gzip if its name ends with ".gz": UTF-8, with commas, one
            header line, and quotes (doubled within quotes) where a value has a comma. The values
            of lists are separated by spaces.
        columns: `examples.Columns`, all of which the header has.

    Returns:
        Dict from columns to Arrow arrays of as many strings as there are lines after the header; of
        histories, tags, weights and vectors, to one of lists of strings.

    Raises:
        DamagedDataError: if a line has another number of values than the header, is no UTF-8, or a
            value has several lines.
    """
    try:
        table = pa.csv.read_csv(
            path,
            # Threads would lose the numbers of rows.
            pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            *_options(columns),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedDataError(f"{path}: {_problem(path, error)}") from error
    return _arrays(path, table, columns, 0)


def batches(path, columns, progress=lambda done: None):
    """The same, some rows at a time.

    Args:
        path: as for `read`.
        columns: as for `read`.
        progress: called with the number of bytes read so far.

    Yields:
        Like the result of `read`, with a few thousand rows or more.

    Raises:
        DamagedDataError: like `read`.
    """
    first = 0
    try:
        check_regular(path)
        with open(path, "rb") as file:
            stream = pa.CompressedInputStream(file, "gzip") if is_gzipped(path) else file
            reader = pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
                *_options(columns),
            )
            for batch in reader:
                yield _arrays(path, pa.Table.from_batches([batch]), columns, first)
                first += len(batch)
                progress(file.tell())
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedDataError(f"{path}: {_problem(path, error)}") from error


def _options(columns):
    """How Arrow parses and converts."""
    return (
        pa.csv.ParseOptions(
            newlines_in_values=True,
            # An empty line is a row without values, so it has a number and an error.
            ignore_empty_lines=False,
        ),
        pa.csv.ConvertOptions(
            include_columns=columns.all,
            column_types=dict.fromkeys(columns.all, pa.string()),
        ),
    )


def _arrays(path, table, columns, first):
    """The columns of a table that begins at this row of the file."""
    # With 64-bit offsets, for strings of more than 2 GiB.
    arrays = {name: table[name].cast(pa.large_string()).combine_chunks() for name in columns.all}
    for name, array in arrays.items():
        broken = pa.compute.index(pa.compute.match_substring_regex(array, "[\r\n]"), True).as_py()
        if broken >= 0:
            raise DamagedDataError(
                f"{path}: {location(path, first + broken)}: the value of {name!r} goes on over "
                "several lines; is there a quote without its end?"
            )
    for column in columns.lists:
        if column.kind == "history":
            _check_spaces(path, arrays[column.of], column, first)
        arrays[column.name] = _split(arrays[column.name])
    return arrays


def _check_spaces(path, items, column, first):
    """Refuses values with spaces in the category of a history."""
    spaced = pa.compute.index(pa.compute.match_substring_regex(items, r"\S\s+\S"), True).as_py()
    if spaced >= 0:
        raise DamagedDataError(
            f"{path}: {location(path, first + spaced)}: {items[spaced].as_py()!r} in "
            f"{column.of!r} has a space, at which the values of {column.name!r} are "
            "separated; replace it in both columns"
        )


def location(path, row):
    """Where a row starts, counted from 0 after the header: "line 2" of the first.

    Values in columns that are not read may have several lines, so lines are not rows.
    """
    text = {"encoding": "utf-8-sig", "errors": "replace", "newline": ""}
    with _opened(path, "rt", **text) as file, _long_values():
        lines = csv.reader(file)
        for _ in range(row + 1):
            next(lines)
        return f"line {lines.line_num + 1}"


def _opened(path, mode, **text):
    return gzip.open(path, mode, **text) if is_gzipped(path) else open(path, mode, **text)


@contextlib.contextmanager
def _long_values():
    """Lets Python's reader, which only finds the lines of errors, read values of any length."""
    previous = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(previous)


def _problem(path, error):
    """What is wrong with a file that Arrow does not read, and in which line.

    Arrow counts the header as row 1. It could also call a function with the row, but prints its own
    exception for rows that are not UTF-8.
    """
    match = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
    if match:
        row, expected, actual = map(int, match.groups())
        return (
            f"{location(path, row - 2)} has {actual} values, expected the {expected} that the "
            "header names"
        )
    match = re.search(r"Row #(\d+): (.*)", str(error))
    if match:
        return f"{location(path, int(match[1]) - 2)} cannot be read: {match[2]}"
    return f"cannot be read: {reason_of(error)}"


def _split(texts):
    """Lists of the values between spaces; an empty text is an empty list."""
    lists = pa.compute.utf8_split_whitespace(texts)
    values = lists.flatten()
    # An empty text, and spaces at an end, give empty values.
    nonempty = pa.compute.not_equal(values, "")
    offsets = np.append(0, np.cumsum(nonempty.to_numpy(zero_copy_only=False)))[lists.offsets]
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values.filter(nonempty))
