"""Parquet files of a click log: footers, row groups, and their columns.

It does not import TensorFlow.
"""

import dataclasses
import zlib
from collections import Counter

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet

from rocket_tf.data import fingerprints
from rocket_tf.data.clicks.examples import check_columns
from rocket_tf.data.clicks.lists import is_list
from rocket_tf.data.clicks.values import is_text
from rocket_tf.data.local_files import reason_of
from rocket_tf.errors import DamagedDataError, DataUnavailableError

_FOOTER_END = 8  # bytes: the footer's length, and the mark


@dataclasses.dataclass(frozen=True)
class Footer:
    """The content of a file's footer.

    Attributes:
        schema: Arrow schema of the columns that are read, by name.
        groups: rows in each row group.
        bytes_in_memory: bytes of the columns that are read, not compressed.
        fingerprint: the file's size, and checksums of the footer and of a few places.
    """

    schema: dict
    groups: tuple
    bytes_in_memory: dict
    fingerprint: str


class ParquetFiles:
    """The files of a part, in their order.

    Args:
        storage: their storage.
        names: their names in it.
        columns: names of the columns to read, including those of `key=value` folders.

    Attributes:
        footers: a `Footer` for each file.
    """

    def __init__(self, storage, names, columns):
        self.storage, self.names = storage, list(names)
        self.columns = tuple(columns)
        self.keys = [_keys(name) for name in self.names]
        self.footers = [self._footer(number) for number in range(len(self.names))]

    def path(self, file):
        return self.storage.path(self.names[file])

    def read(self, file, group, columns):
        """Columns of a row group.

        Args:
            file: number of the file.
            group: number of the row group in it.
            columns: names.

        Returns:
            Dict from columns to Arrow arrays of one chunk.

        Raises:
            DamagedDataError: if it cannot be read, or the file has changed.
        """
        path = self.path(file)
        stored = [name for name in columns if name not in self.keys[file]]
        expected = self.footers[file].groups
        try:
            with self._open(file) as (_, parquet):
                metadata = parquet.metadata
                counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
                if tuple(counts) != expected:
                    raise DamagedDataError(f"{path}: has changed since it was opened")
                # Without a column, Arrow gives no rows.
                table = parquet.read_row_group(group, columns=stored or [self._any_column(parquet)])
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            if isinstance(error, DamagedDataError):
                raise
            raise DamagedDataError(
                f"{path}: row group {group + 1} cannot be read: {reason_of(error)}; put the file "
                "back, or write it again"
            ) from error
        return {
            name: pa.repeat(pa.scalar(self.keys[file][name]), expected[group])
            if name in self.keys[file]
            else _one_chunk(table[name])
            for name in columns
        }

    def where(self, file, group):
        """Function from a row of a row group to where it is, for messages."""
        return lambda row: f"{self.path(file)}: row group {group + 1}, row {int(row) + 1}"

    def _any_column(self, parquet):
        return parquet.schema_arrow.names[0]

    def _open(self, file):
        return _Opened(self.storage, self.names[file])

    def _footer(self, number):
        path = self.path(number)
        try:
            with self._open(number) as (raw, parquet):
                metadata, schema = parquet.metadata, parquet.schema_arrow
                counts = Counter(schema.names)
                sizes = _sizes(metadata, self.columns)
                fingerprint = _fingerprint(raw)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(path, error) from error
        twice = [name for name in self.columns if counts[name] > 1]
        if twice:
            raise DataUnavailableError(f"{path}: names {twice[0]!r} twice; give each its own name")
        keys = self.keys[number]
        check_columns(path, self.columns, [*schema.names, *keys])
        kinds = {
            name: pa.string() if name in keys else _plain(schema.field(name).type)
            for name in self.columns
        }
        groups = (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        return Footer(
            kinds,
            tuple(groups),
            {name: sizes.get(name, 0) for name in self.columns},
            fingerprint,
        )


def names_in(storage, name):
    """Names of the columns of a file, also of those that folders give.

    Raises:
        DamagedDataError: if it cannot be read.
    """
    try:
        with _Opened(storage, name) as (_, parquet):
            return [*parquet.schema_arrow.names, *_keys(name)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(storage.path(name), error) from error


def _unreadable(path, error):
    return DamagedDataError(
        f"{path}: cannot be read as a Parquet file: {reason_of(error)}; write it again"
    )


def check_schemas(*parts, may_miss=lambda name: False):
    """Checks that all files of all parts have the same types of the columns that are read.

    Args:
        *parts: `ParquetFiles`.
        may_miss: function from a column to whether values may be missing, so that integers may be
            floats in some files, as pandas writes them.

    Raises:
        DataUnavailableError: for the first file with another type than the first file of all.
    """
    first, first_path = parts[0].footers[0].schema, parts[0].path(0)
    for part in parts:
        for number, footer in enumerate(part.footers):
            for name, kind in footer.schema.items():
                if _family(kind, may_miss(name)) != _family(first[name], may_miss(name)):
                    raise DataUnavailableError(
                        f"{part.path(number)}: has {name!r} as {kind}, but {first_path} as "
                        f"{first[name]}; give all files the same types"
                    )


class _Opened:
    """A Parquet file that is open, as a context: `(raw file, pyarrow.parquet.ParquetFile)`."""

    def __init__(self, storage, name):
        self._storage, self._name = storage, name

    def __enter__(self):
        self._raw = self._storage.open(self._name)
        try:
            return self._raw, pa.parquet.ParquetFile(self._raw, memory_map=False)
        except BaseException:
            self._raw.close()
            raise

    def __exit__(self, *_):
        self._raw.close()


def _keys(name):
    """The columns that the names of folders give, as in date=2024-01-31/part-0.parquet."""
    parts = [part.partition("=") for part in name.split("/")[:-1]]
    return {key: value for key, equals, value in parts if equals}


def _plain(kind):
    """A type without its coding by a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _family(kind, missing=False):
    """The type's family, which must be the same in all files; integers of any width are one."""
    kind = _plain(kind)
    if pa.types.is_integer(kind):
        return "float" if missing else "integer"
    if pa.types.is_floating(kind):
        return "float"
    if is_text(kind):
        return "text"
    if is_list(kind):
        return f"list of {_family(kind.value_type)}"
    return str(kind)


def _one_chunk(column):
    """A column as one array; strings have 64-bit offsets, for any total length."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_string(kind):
        column = column.cast(pa.large_string())
    elif is_list(kind):
        value = _plain(kind.value_type)
        value = pa.large_string() if is_text(value) else value
        column = column.cast(pa.large_list(value))
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    return array


def _sizes(metadata, columns):
    """Bytes by column, not compressed."""
    tops = (
        metadata.schema.column(index).path.split(".")[0] for index in range(metadata.num_columns)
    )
    indexed = [(index, name) for index, name in enumerate(tops) if name in columns]
    sizes = {}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index, name in indexed:
            size = row_group.column(index).total_uncompressed_size
            sizes[name] = sizes.get(name, 0) + size
    return sizes


def _fingerprint(raw):
    """The size, the checksum of the footer, and that of a few places between."""
    size = raw.seek(0, 2)
    raw.seek(size - _FOOTER_END)
    length = int.from_bytes(raw.read(4), "little")
    raw.seek(max(size - _FOOTER_END - length, 0))
    checksum = zlib.crc32(raw.read(length))
    return f"{size}:{fingerprints.of_places(raw, size, checksum):08x}"


def filter_of(array, low, high, role):
    """Which rows belong to a part, by the values of a column.

    Args:
        array: Arrow array of the column.
        low: text: rows from this value on are the test part.
        high: text: up to this value, which is not of the test part; empty: no end.
        role: "train" (all before `low`) or "test".

    Returns:
        Boolean array.

    Raises:
        ValueError: if the strings are not values of the column's type, or a value is missing.
    """
    if array.null_count:
        raise ValueError(f"row {compute.index(compute.is_null(array), True).as_py() + 1} is empty")
    try:
        bounds = [pa.scalar(text).cast(array.type) for text in (low, high) if text]
    except pa.ArrowException as error:
        raise ValueError(f"{low!r} to {high!r}: {reason_of(error)}") from error
    if role == "train":
        chosen = compute.less(array, bounds[0])
    else:
        chosen = compute.greater_equal(array, bounds[0])
        if high:
            chosen = compute.and_(chosen, compute.less(array, bounds[1]))
    return chosen.to_numpy(zero_copy_only=False)
