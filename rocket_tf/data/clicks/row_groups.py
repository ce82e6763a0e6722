"""Row groups of a click log as arrays for nets. It does not import TensorFlow."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import lists, values
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
        begin: the first row, among those that the column of the test part selects.
        end: the row after the last one.
    """

    file: int
    group: int
    begin: int
    end: int

    @property
    def rows(self):
        return self.end - self.begin


class Rows:
    """Turns pieces of a part's files into arrays.

    Args:
        files: `parquet.ParquetFiles` of the part.
        columns: `examples.Columns`.
        dtypes: dict from the columns that are read, without label and history, to dtypes.
        cut: `None`, or `(column, low, high, role)`, as for `parquet.filter_of`.
    """

    def __init__(self, files, columns, dtypes, cut=None):
        self.files, self.columns, self.dtypes, self.cut = files, columns, dtypes, cut

    def dtype_of(self, name):
        """The dtype of a column other than the label."""
        return "float32" if name == self.columns.weight else self.dtypes[name]

    def read(self, piece, checked=False):
        """The arrays of a piece.

        Args:
            piece: a `Piece`.
            checked: whether to also check values, and not to cut lists.

        Returns:
            Dict from columns to arrays of `piece.rows` rows: the label int64, several of them side
            by side under the name of the first; the weight float32; categories int64, or Arrow
            arrays of strings; numbers of their dtypes; lists as `lists.Lists`.

        Raises:
            DamagedDataError: if it cannot be read, or a value is invalid.
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
            location = lambda row: where(rows[row])  # noqa: E731
        else:
            table = {name: array.slice(piece.begin, piece.rows) for name, array in table.items()}
            location = lambda row: where(row + piece.begin)  # noqa: E731
        result = {columns.label: values.all_labels(table, columns.labels, location)}
        if columns.weight:
            result[columns.weight] = values.weights(table[columns.weight], columns.weight, location)
        for name in columns.numbers:
            result[name] = self._number(table[name], name, location)
        for name in columns.times:
            result[name] = values.times(table[name], name, location, columns.may_miss(name))
        for name in columns.ids:
            result[name] = self._category(table[name], name, location, checked)
        for column in columns.lists:
            array = table[column.name]
            if column.has_ids:
                result[column.name] = self._ids(array, column, location, checked)
            else:
                tags = result[column.of].lengths if checked and column.of else None
                result[column.name] = lists.numbers(array, column, location, tags)
        return result

    def count(self, file, group):
        """The number of rows of a row group that belong to the part."""
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
        numbers = values.numbers(array, name, where, self.columns.may_miss(name))
        return numbers.astype(self.dtypes.get(name, numbers.dtype), copy=False)

    def _category(self, array, name, where, checked):
        if self.columns.may_miss(name):
            is_whole = self.dtypes[name] == WHOLE
            array = values.marked(array, is_whole, name, where)
            return array.to_numpy(zero_copy_only=False) if is_whole else array
        if self.dtypes[name] == WHOLE:
            array = _to_int64(array, name, where)
        elif not is_text(array.type):
            array = array.cast(pa.large_string())
        if checked:
            values.check_category(array, name, where)
        return array.to_numpy(zero_copy_only=False) if self.dtypes[name] == WHOLE else array

    def _ids(self, array, column, where, checked):
        name, missing = column.name, column.missing
        if is_text(array.type):
            array = lists.split(array)
        if not checked and not missing:
            array = compute.list_slice(array, 0, column.length)
        lengths, flat = lists.lengths_of(array), array.flatten()
        # An empty text gives one empty value.
        if (is_text(flat.type) or missing) and len(lengths):
            if missing:
                present = compute.invert(values.missing_in(flat))
            else:
                present = compute.not_equal(flat, "")
            if not compute.all(present, min_count=0).as_py():
                flat, lengths = lists.without(flat, lengths, present)
        row_of, dtype = lists.rows_of(lengths, where), self.dtypes[column.of]
        flat = self._flat(flat, dtype, column, row_of)
        if missing:
            flat = values.marked(flat, dtype == WHOLE, name, row_of)
        elif checked:
            values.check_category(flat, name, row_of)
        starts = np.cumsum(lengths) - lengths
        flat = flat.to_numpy(zero_copy_only=False) if dtype == WHOLE else flat
        return lists.Lists(flat, starts, lengths, column.padding(dtype == TEXT))

    def _flat(self, flat, dtype, column, where):
        if dtype == WHOLE:
            if is_text(flat.type) and not values.is_whole(flat):
                index = compute.index(
                    compute.match_substring_regex(flat, r"^-?[0-9]{1,18}$"), False
                ).as_py()
                raise DamagedDataError(
                    f"{where(max(index, 0))}: {flat[max(index, 0)].as_py()!r} in "
                    f"{column.name!r}; expected whole numbers, as {column.of!r} "
                    "has, with spaces between"
                )
            return _to_int64(flat, column.name, where)
        return flat if is_text(flat.type) else flat.cast(pa.large_string())


def dtypes_of(schema, columns, path):
    """The dtype of each category, from the types in the files.

    Args:
        schema: dict from columns to Arrow types.
        columns: `examples.Columns`.
        path: path of a file, for messages.

    Returns:
        Dict from the user, the categories and the tags to "int64" or "string".

    Raises:
        DataUnavailableError: if a column has a type that its role does not allow.
    """

    def refuse(name, expected):
        raise DataUnavailableError(
            f"{path}: has {name!r} as {schema[name]}, expected {expected}; cast it"
        )

    types = pa.types

    def is_number(kind):
        return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)

    for name in (*columns.labels, columns.weight or columns.label, *columns.numbers):
        if not is_number(schema[name]) and not types.is_boolean(schema[name]):
            refuse(name, "integers or floats")
    for name in columns.times:
        may_be_float = columns.may_miss(name) and types.is_floating(schema[name])
        if not (types.is_integer(schema[name]) or may_be_float):
            refuse(name, "integers: seconds since 1970")
    dtypes = {}
    for name in columns.ids:
        kind = schema[name]
        is_whole = types.is_integer(kind) or types.is_boolean(kind)
        if not (is_whole or is_text(kind) or (columns.may_miss(name) and types.is_floating(kind))):
            refuse(name, "integers or strings (ids as floats are what pandas makes of gaps)")
        dtypes[name] = TEXT if is_text(kind) else WHOLE
    for column in columns.lists:
        kind = schema[column.name]
        if not is_text(kind) and not lists.is_list(kind):
            contents = "items" if column.kind == "history" else "values"
            refuse(column.name, f"lists, or strings with spaces between the {contents}")
        inner = kind if is_text(kind) else kind.value_type
        inner = inner.value_type if types.is_dictionary(inner) else inner
        if not column.has_ids:
            if not is_text(inner) and not is_number(inner):
                refuse(column.name, "lists of numbers")
        elif column.kind == "tags":
            if not is_text(inner) and not types.is_integer(inner):
                refuse(column.name, "lists of integers or strings")
            dtypes[column.name] = TEXT if is_text(inner) else WHOLE
        elif not is_text(kind):
            expected = "strings" if dtypes[column.of] == TEXT else "integers"
            if not (is_text(inner) if expected == "strings" else types.is_integer(inner)):
                refuse(column.name, f"lists of {expected}, as {column.of!r} has")
    return dtypes


def take(column, places, width):
    """Rows of a column as a NumPy array.

    Args:
        column: an array, an Arrow array of strings, or `lists.Lists`.
        places: int64, shape (batch,): which rows; `None`: all.
        width: of lists: values in a row, padded at the end.
    """
    if isinstance(column, np.ndarray):
        return column if places is None else column[places]
    if isinstance(column, lists.Lists):
        return column.take(places, width)
    if places is None:
        return values.as_objects(column)
    return column.take(pa.array(places)).to_numpy(zero_copy_only=False)


def _to_int64(array, name, where):
    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DamagedDataError(
            f"{where(0).rpartition(',')[0]}: {name!r} has values that are not whole numbers of 64 "
            f"bits: {error}"
        ) from error
