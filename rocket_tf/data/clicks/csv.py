"""One CSV file of a click log, by Apache Arrow. Free of TensorFlow."""

import csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from rocket_tf.data.local_files import reason_of
from rocket_tf.errors import DamagedDataError
from rocket_tf.system.files import check_regular


def header(path):
    """Names of the columns, from the first line.

    Raises:
        DamagedDataError: if there is none, it cannot be read, or a name is there twice.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            line = file.readline().decode("utf-8-sig").rstrip("\r\n")
        names = next(csv.reader([line]))
    except (OSError, UnicodeError, csv.Error) as error:
        raise DamagedDataError(f"{path}: line 1 cannot be read: {reason_of(error)}") from error
    if not names:
        raise DamagedDataError(f"{path}: line 1 is empty; expected the names of the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DamagedDataError(f"{path}: line 1 names {twice[0]!r} twice; give each its own name")
    return names


def read(path, columns):
    """Reads a file as it is.

    Args:
        path: the file: UTF-8, with commas, one header line, and quotes (doubled within quotes)
            where a value has a comma. The values of the history are separated by spaces.
        columns: `examples.Columns`, all of which the header has.

    Returns:
        Dict from columns to Arrow arrays of as many strings as there are lines after the header; of
        the history, to one of lists of strings.

    Raises:
        DamagedDataError: if a line has another number of values than the header, is no UTF-8, or a
            value has several lines.
    """
    try:
        table = pa.csv.read_csv(
            path,
            # Threads would lose the numbers of rows.
            pa.csv.ReadOptions(use_threads=False),
            pa.csv.ParseOptions(
                newlines_in_values=True,
                # An empty line is a row without values, so that it has a number and an error.
                ignore_empty_lines=False,
            ),
            pa.csv.ConvertOptions(
                include_columns=columns.all,
                column_types=dict.fromkeys(columns.all, pa.string()),
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DamagedDataError(f"{path}: {_problem(path, error)}") from error
    arrays = {name: table[name].combine_chunks() for name in columns.all}
    for name, array in arrays.items():
        broken = pa.compute.index(pa.compute.match_substring_regex(array, "[\r\n]"), True).as_py()
        if broken >= 0:
            raise DamagedDataError(
                f"{path}: {location(path, broken)}: the value of {name!r} goes on over several "
                "lines; is there a quote without its end?"
            )
    if columns.history:
        items = arrays[columns.item]
        spaced = pa.compute.index(pa.compute.match_substring_regex(items, r"\S\s+\S"), True).as_py()
        if spaced >= 0:
            raise DamagedDataError(
                f"{path}: {location(path, spaced)}: {items[spaced].as_py()!r} in {columns.item!r} "
                f"has a space, at which the values of {columns.history!r} are separated; replace "
                "it in both columns"
            )
        arrays[columns.history] = _split(arrays[columns.history])
    return arrays


def location(path, row):
    """Where a row starts, counted from 0 after the header: "line 2" of the first.

    Values may have several lines in columns that are not read, so that lines are not rows.
    """
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(file)
        for _ in range(row + 1):
            next(lines)
        return f"line {lines.line_num + 1}"


def _problem(path, error):
    """What is wrong with a file that Arrow does not read, and in which line.

    Arrow counts the header as row 1. It would also call a function with the row, but prints an
    exception of its own for one that is no UTF-8.
    """
    told = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
    if told:
        row, expected, actual = map(int, told.groups())
        return (
            f"{location(path, row - 2)} has {actual} values, expected the {expected} that the "
            "header names"
        )
    told = re.search(r"Row #(\d+): (.*)", str(error))
    if told:
        return f"{location(path, int(told[1]) - 2)} cannot be read: {told[2]}"
    return f"cannot be read: {reason_of(error)}"


def _split(texts):
    """Lists of the values between spaces; of an empty text, an empty list."""
    lists = pa.compute.utf8_split_whitespace(texts)
    values = lists.flatten()
    # Of an empty text, and of spaces at an end, there are empty values.
    kept = pa.compute.not_equal(values, "")
    offsets = np.append(0, np.cumsum(kept.to_numpy(zero_copy_only=False)))[lists.offsets]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values.filter(kept))
