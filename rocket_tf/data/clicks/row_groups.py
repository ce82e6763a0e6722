"""Row groups of a click log as arrays that nets take. Free of TensorFlow."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import values
from rocket_tf.data.clicks.parquet import filter_of
from rocket_tf.data.clicks.values import is_text
from rocket_tf.errors import DamagedDataError, DataUnavailableError

WHOLE, TEXT = "int64", "string"


@dataclasses.dataclass(frozen=True)
class Piece:
    """Rows of a row group that belong to a split.

    Attributes:
        file: number of the file in its part.
        group: number of the row group in the file.
        begin: the first row, of those that the column of the test part leaves.
        end: the row after the last one.
    """

    file: int
    group: int
    begin: int
    end: int

    @property
    def rows(self):
        return self.end - self.begin


@dataclasses.dataclass(frozen=True)
class Lists:
    """Sequences of different lengths: of row i, `values[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        values: int64 array, or Arrow array of texts.
        starts: int64, shape (rows,).
        lengths: int64, shape (rows,).
        missing: as of `examples.Columns`.
    """

    values: object
    starts: np.ndarray
    lengths: np.ndarray
    missing: bool = False


class Rows:
    """What turns pieces of a part's files into arrays.

    Args:
        files: `parquet.ParquetFiles` of the part.
        columns: `examples.Columns`.
        dtypes: dict from the columns that are read, without label and history, to dtypes.
        cut: `None`, or `(column, low, high, role)`, as of `parquet.filter_of`.
    """

    def __init__(self, files, columns, dtypes, cut=None):
        self.files, self.columns, self.dtypes, self.cut = files, columns, dtypes, cut

    def read(self, piece, checked=False):
        """The arrays of a piece.

        Args:
            piece: a `Piece`.
            checked: whether values are checked, too, and nothing is cut from lists.

        Returns:
            Dict from columns to arrays of `piece.rows` rows: the label int64; the weight float32;
            categories int64, or Arrow arrays of texts; numbers of their dtypes; the history
            `Lists`.

        Raises:
            DamagedDataError: if it cannot be read, or a value is none that its column may have.
        """
        columns, names = self.columns, list(self.columns.all)
        if self.cut is not None and self.cut[0] not in names:
            names.append(self.cut[0])
        table = self.files.read(piece.file, piece.group, names)
        where = self.files.where(piece.file, piece.group)
        if self.cut is not None:
            chosen = self._chosen(table[self.cut[0]], where)
            rows = np.flatnonzero(chosen)[piece.begin : piece.end]
            table = {name: array.take(pa.array(rows)) for name, array in table.items()}
            found = lambda row: where(rows[row])  # noqa: E731
        else:
            table = {name: array.slice(piece.begin, piece.rows) for name, array in table.items()}
            found = lambda row: where(row + piece.begin)  # noqa: E731
        result = {columns.label: values.labels(table[columns.label], columns.label, found)}
        if columns.weight:
            result[columns.weight] = values.weights(table[columns.weight], columns.weight, found)
        for name in columns.numbers:
            result[name] = self._number(table[name], name, found)
        for name in columns.ids:
            result[name] = self._category(table[name], name, found, checked)
        if columns.history:
            result[columns.history] = self._history(table[columns.history], found, checked)
        return result

    def count(self, file, group):
        """How many rows of a row group the part has."""
        if self.cut is None:
            return self.files.footers[file].groups[group]
        column = self.cut[0]
        array = self.files.read(file, group, [column])[column]
        return int(self._chosen(array, self.files.where(file, group)).sum())

    def _chosen(self, array, where):
        column, low, high, role = self.cut
        try:
            return filter_of(array, low, high, role)
        except ValueError as error:
            raise DamagedDataError(
                f"{where(0).rpartition(',')[0]}: {column!r} cannot say which rows are the test "
                f"part: {error}"
            ) from error

    def _number(self, array, name, where):
        numbers = values.numbers(array, name, where, self.columns.missing)
        return numbers.astype(self.dtypes.get(name, numbers.dtype), copy=False)

    def _category(self, array, name, where, checked):
        if self.columns.missing:
            whole = self.dtypes[name] == WHOLE
            array = values.marked(array, whole, name, where)
            return array.to_numpy(zero_copy_only=False) if whole else array
        if self.dtypes[name] == WHOLE:
            array = _to_int64(array, name, where)
        elif not is_text(array.type):
            array = array.cast(pa.large_string())
        if checked:
            values.check_category(array, name, where)
        return array.to_numpy(zero_copy_only=False) if self.dtypes[name] == WHOLE else array

    def _history(self, array, where, checked):
        columns = self.columns
        if is_text(array.type):
            array = compute.utf8_split_whitespace(compute.utf8_trim_whitespace(array))
            array = array.cast(pa.large_list(pa.large_string()))
        if not checked and not columns.missing:
            array = compute.list_slice(array, 0, columns.history_length)
        lengths = compute.fill_null(compute.list_value_length(array), 0)
        lengths = lengths.cast(pa.int64()).to_numpy(zero_copy_only=False)
        flat = array.flatten()
        # Of an empty text, there is one empty value.
        if (is_text(flat.type) or columns.missing) and len(lengths):
            if columns.missing:
                kept = compute.invert(values.missing_in(flat))
            else:
                kept = compute.not_equal(flat, "")
            if not compute.all(kept, min_count=0).as_py():
                rows = np.repeat(np.arange(len(lengths)), lengths)
                kept = kept.to_numpy(zero_copy_only=False)
                lengths = np.bincount(rows[kept], minlength=len(lengths)).astype(np.int64)
                flat = flat.filter(pa.array(kept))
        row_of = lambda place: where(np.searchsorted(np.cumsum(lengths), place, "right"))  # noqa: E731
        dtype = self.dtypes[columns.item]
        flat = self._flat(flat, dtype, row_of)
        if columns.missing:
            flat = values.marked(flat, dtype == WHOLE, columns.history, row_of)
        elif checked:
            values.check_category(flat, columns.history, row_of)
        starts = np.cumsum(lengths) - lengths
        flat = flat.to_numpy(zero_copy_only=False) if dtype == WHOLE else flat
        return Lists(flat, starts, lengths, columns.missing)

    def _flat(self, flat, dtype, where):
        if dtype == WHOLE:
            if is_text(flat.type) and not values.is_whole(flat):
                place = compute.index(
                    compute.match_substring_regex(flat, r"^-?[0-9]{1,18}$"), False
                ).as_py()
                raise DamagedDataError(
                    f"{where(max(place, 0))}: {flat[max(place, 0)].as_py()!r} in "
                    f"{self.columns.history!r}; expected whole numbers, as {self.columns.item!r} "
                    "has, with spaces between"
                )
            return _to_int64(flat, self.columns.history, where)
        return flat if is_text(flat.type) else flat.cast(pa.large_string())


def dtypes_of(schema, columns, path):
    """Which dtype each category has, by the types in the files.

    Args:
        schema: dict from columns to Arrow types.
        columns: `examples.Columns`.
        path: of a file, for messages.

    Returns:
        Dict from the user and the categories to "int64" or "string".

    Raises:
        DataUnavailableError: if a column has a type that its part cannot have.
    """

    def refuse(name, expected):
        raise DataUnavailableError(
            f"{path}: has {name!r} as {schema[name]}, expected {expected}; cast it"
        )

    types = pa.types
    for name in (columns.label, columns.weight or columns.label, *columns.numbers):
        kind = schema[name]
        is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        if not is_number and not (types.is_boolean(kind)):
            refuse(name, "integers or floats")
    dtypes = {}
    for name in columns.ids:
        kind = schema[name]
        whole = types.is_integer(kind) or types.is_boolean(kind)
        if not (whole or is_text(kind) or (columns.missing and types.is_floating(kind))):
            refuse(name, "integers or texts (ids as floats are what pandas makes of gaps)")
        dtypes[name] = TEXT if is_text(kind) else WHOLE
    if columns.history:
        kind = schema[columns.history]
        if not is_text(kind):
            if not (types.is_list(kind) or types.is_large_list(kind)):
                refuse(columns.history, "lists, or texts with spaces between the items")
            inner = kind.value_type
            inner = inner.value_type if types.is_dictionary(inner) else inner
            expected = "texts" if dtypes[columns.item] == TEXT else "integers"
            if not (is_text(inner) if expected == "texts" else types.is_integer(inner)):
                refuse(columns.history, f"lists of {expected}, as {columns.item!r} has")
    return dtypes


def concatenate(parts):
    """Arrays of a column of several pieces as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Lists):
        sizes = np.cumsum([0, *(len(part.values) for part in parts)])
        return Lists(
            concatenate([part.values for part in parts]),
            np.concatenate([p.starts + s for p, s in zip(parts, sizes[:-1], strict=True)]),
            np.concatenate([part.lengths for part in parts]),
            first.missing,
        )
    return np.concatenate(parts) if isinstance(first, np.ndarray) else pa.concat_arrays(parts)


def take(column, places, width):
    """Rows of a column as NumPy has them.

    Args:
        column: an array, an Arrow array of texts, or `Lists`.
        places: int64, shape (batch,): which rows; `None`: all.
        width: of `Lists`: values in a row, padded at the end.
    """
    if isinstance(column, np.ndarray):
        return column if places is None else column[places]
    if not isinstance(column, Lists):
        if places is None:
            return values.as_objects(column)
        return column.take(pa.array(places)).to_numpy(zero_copy_only=False)
    starts, lengths = column.starts, column.lengths
    if places is not None:
        starts, lengths = starts[places], lengths[places]
    lengths = np.minimum(lengths, width)
    # The values of these rows alone, one row after the other.
    ends = np.cumsum(lengths)
    own = np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())
    flat = column.values
    if isinstance(flat, np.ndarray):
        flat = flat[own]
    else:
        flat = values.as_objects(flat.take(pa.array(own)))
    return values.padded(flat, ends - lengths, lengths, width, column.missing)


def _to_int64(array, name, where):
    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DamagedDataError(
            f"{where(0).rpartition(',')[0]}: {name!r} has values that are no whole numbers of 64 "
            f"bits: {error}"
        ) from error
