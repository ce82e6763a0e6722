"""A click log in Parquet as a data set, in memory or streamed. It does not import TensorFlow."""

import functools
import hashlib

import numpy as np
import pyarrow as pa

from rocket_tf.data.catalog import CLICK_CLASSES, DatasetCard
from rocket_tf.data.clicks import row_groups, scan
from rocket_tf.data.clicks.ordered import OrderedArrays
from rocket_tf.data.clicks.parquet import ParquetFiles, check_schemas, names_in
from rocket_tf.data.clicks.row_groups import Piece, Rows, dtypes_of
from rocket_tf.data.clicks.streamed import StreamedClicks
from rocket_tf.data.clicks.values import is_whole
from rocket_tf.data.in_memory import map_inputs
from rocket_tf.data.interface import DataSet
from rocket_tf.data.streamed import is_streamed
from rocket_tf.errors import DataUnavailableError

_CUT_FIELDS = ("test_column", "test_from", "test_until", "test_fraction")


class ParquetLog:
    """The parts of a log, their facts, and its fingerprint.

    Args:
        settings: dict of fields, with all of `own_data.DEFAULTS`.
        columns: `examples.Columns`.
        files: `files.LogFiles` in Parquet.
        tell: called with lines about the log.

    Attributes:
        parts: dict from "train" and "test" to `(row_groups.Rows, list of row_groups.Piece)`.
        card: its `catalog.DatasetCard`.
        fingerprint: as for `interface.DataSet`.

    Raises:
        DamagedDataError: if a file cannot be read, or has an invalid value.
        DataUnavailableError: if a column is missing, if its type is not allowed or not the same in
            all files, or if a part has no rows.
    """

    def __init__(self, settings, columns, files, tell=print):
        self.name = str(files.storage.root)
        cut = _cut_of(settings)
        names = [*columns.all, *([cut[0]] if cut and cut[0] not in columns.all else [])]
        train = ParquetFiles(files.storage, files.train, names)
        test, of_test = train, columns
        if files.test is not None:
            if columns.booster_only:
                of_test = columns.of_test(names_in(files.test_storage, files.test[0]))
            test_names = [name for name in names if name in of_test.all]
            test = ParquetFiles(files.test_storage, files.test, test_names)
        check_schemas(train, test, may_miss=columns.may_miss)
        dtypes = dtypes_of(train.footers[0].schema, columns, train.path(0))
        file_sets = [train] if files.test is None else [train, test]
        if any(part.keys and any(part.keys) for part in file_sets):
            dtypes |= _dtypes_of_keys(file_sets, columns)
        rows = {
            part: Rows(part_files, part_columns, dtypes, (*cut, part) if cut else None)
            for part, part_files, part_columns in (
                ("train", train, columns),
                ("test", test, of_test),
            )
        }
        identity = [_identity(part_files) for part_files in file_sets]
        key = scan.key_of(
            {
                "files": identity,
                "columns": [repr(columns)],
                "cut": [settings[name] for name in _CUT_FIELDS],
                **({"missing": True} if columns.missing else {}),
                **(_feature_settings(columns) if columns.features else {}),
                **({"weight": columns.weight} if columns.weight else {}),
                **({"labels": columns.outputs} if columns.outputs else {}),
            }
        )
        scanned = scan.kept(key, lambda: self._find(rows, settings["test_fraction"]))
        self.parts = {part: (part_rows, _pieces(scanned[part])) for part, part_rows in rows.items()}
        examples = {part: _rows_of(pieces) for part, (_, pieces) in self.parts.items()}
        facts = scanned["facts"]
        for line in scan.lines(self.name, facts, examples, columns):
            tell(line)
        left_out = sum(
            map(sum, (f.groups for part_files in file_sets for f in part_files.footers))
        ) - sum(examples.values())
        if left_out:
            tell(
                f"{self.name}: {left_out} rows "
                f"({left_out / (left_out + sum(examples.values())):.1%}) from "
                f"{settings['test_until']} on are in no part"
            )
        for part_files in file_sets:
            for number, footer in enumerate(part_files.footers):
                if not sum(footer.groups):
                    tell(f"{part_files.path(number)}: has no rows")
        dtypes |= facts["dtypes"] | dict.fromkeys(columns.times, row_groups.WHOLE)
        dtypes |= {column.name: column.dtype(dtypes) for column in columns.lists}
        self.card = DatasetCard(
            train_examples=examples["train"],
            test_examples=examples["test"],
            num_classes=len(CLICK_CLASSES),
            kind="clicks",
            columns=columns,
            request_columns=tuple(settings["request_columns"]),
            dtypes=dtypes,
            moments={name: tuple(value) for name, value in facts["moments"].items()},
            vocabularies={n: tuple(value) for n, value in facts.get("vocabularies", {}).items()},
            test_lacks=tuple(name for name in columns.all if name not in of_test.all),
        )
        self.fingerprint = {
            "train_examples": examples["train"],
            "test_examples": examples["test"],
            "class_names": list(CLICK_CLASSES),
            # Not the key, which changes with the statistics of a log.
            "checksum": _checksum((identity, cut)),
            **(_test_fingerprint(test) if files.test is not None else {}),
        }

    @property
    def bytes_in_memory(self):
        """The approximate size of the examples as arrays."""
        files = {id(rows.files): rows.files for rows, _ in self.parts.values()}.values()
        examples = self.card.train_examples + self.card.test_examples
        return _bytes_in_memory(self.card, files, examples)

    def _find(self, rows, fraction):
        """The rows of each part, and the facts."""
        pieces = {part: _all_pieces(part_rows) for part, part_rows in rows.items()}
        if fraction:
            total = _rows_of(pieces["train"])
            border = min(max(total - round(total * fraction), 1), total - 1)
            pieces = {
                "train": cut_pieces(pieces["train"], 0, border),
                "test": cut_pieces(pieces["train"], border, total),
            }
        for part, part_pieces in pieces.items():
            if not _rows_of(part_pieces):
                raise DataUnavailableError(
                    f"{self.name}: no {part} examples: "
                    f"{rows[part].files.path(0)} and other files have no such rows; expected at "
                    "least one"
                )
        parts = {part: (rows[part], part_pieces) for part, part_pieces in pieces.items()}
        facts = scan.scan(parts, self.name)
        numbers = {
            part: [[p.file, p.group, p.begin, p.end] for p in part_pieces]
            for part, part_pieces in pieces.items()
        }
        return {**numbers, "facts": facts}


def read_test(settings, columns, card, files):
    """The test part alone of a log whose facts are known.

    Args:
        settings: as for `ParquetLog`.
        columns: `examples.Columns`.
        card: the log's `catalog.DatasetCard`.
        files: `files.LogFiles` in Parquet, of the test part.

    Returns:
        `(split, fingerprint)`: an `interface.Split`, and what `ParquetLog.fingerprint` has of it.

    Raises:
        DamagedDataError: if a file cannot be read.
        DataUnavailableError: if a column is missing, or has another type than in another file.
    """
    if columns.booster_only:
        columns = columns.of_test(names_in(files.test_storage, files.test[0]))
    test = ParquetFiles(files.test_storage, files.test, columns.all)
    check_schemas(test, may_miss=columns.may_miss)
    rows = Rows(test, columns, card.dtypes)
    pieces = _all_pieces(rows)
    number = _rows_of(pieces)
    is_large = is_streamed(settings["streaming"], _bytes_in_memory(card, [test], number))
    split = (StreamedClicks if is_large else _in_memory)(
        rows, pieces, settings["shuffle_row_groups"], settings["shuffle"]
    )
    return split, {"test_examples": number, **_test_fingerprint(test)}


class ParquetClicks(DataSet):
    """A click log in Parquet.

    Args:
        settings: dict of fields, as for `ParquetLog`, with "train_examples" and
            "validation_examples".
        log: a `ParquetLog`.
        reopened: function from this log and a configuration to the data of that configuration.
    """

    def __init__(self, settings, log, reopened):
        self.settings, self._log, self._reopened = settings, log, reopened

    @property
    def card(self):
        return self._log.card

    @property
    def class_names(self):
        return list(CLICK_CLASSES)

    @property
    def fingerprint(self):
        return self._log.fingerprint

    @property
    def streams(self):
        """Whether examples are read batch by batch."""
        return is_streamed(self.settings["streaming"], self._log.bytes_in_memory)

    @functools.cached_property
    def train(self):
        return self._split("train", 0, self._border)

    @functools.cached_property
    def validation(self):
        return self._split("train", self._border, self._used)

    @functools.cached_property
    def test(self):
        return self._split("test", 0, self.card.test_examples)

    def load(self):
        for split in (self.train, self.validation, self.test):
            split.examples  # noqa: B018 - reads them, if they are in memory

    def reopen(self, mapping):
        return self._reopened(self, mapping)

    def with_settings(self, settings):
        """The same log with other settings, such as other `validation_examples`."""
        return (
            self
            if settings == self.settings
            else ParquetClicks(settings, self._log, self._reopened)
        )

    @property
    def _used(self):
        return self.settings["train_examples"] or self.card.train_examples

    @property
    def _border(self):
        return self._used - self.settings["validation_examples"]

    def _split(self, part, begin, end):
        rows, pieces = self._log.parts[part]
        rows = Rows(rows.files, rows.columns, self.card.dtypes, rows.cut)
        pieces = cut_pieces(pieces, begin, end)
        window, shuffle = self.settings["shuffle_row_groups"], self.settings["shuffle"]
        if self.streams:
            return StreamedClicks(rows, pieces, window, shuffle)
        return _in_memory(rows, pieces, window, shuffle)


def cut_pieces(pieces, begin, end):
    """The pieces with the rows from `begin` to `end` - 1 of other pieces."""
    cut, start = [], 0
    for piece in pieces:
        first, last = max(begin - start, 0), min(end - start, piece.rows)
        if first < last:
            cut.append(Piece(piece.file, piece.group, piece.begin + first, piece.begin + last))
        start += piece.rows
    return cut


def _in_memory(rows, pieces, window, shuffle):
    """The same split in memory, in the same order."""
    columns = rows.columns
    names = columns.inputs
    parts = []
    for piece in pieces:
        values = rows.read(piece)
        labels = values.pop(columns.label)
        widths = {column.name: column.length for column in columns.lists}
        arrays = {n: row_groups.take(values[n], None, widths.get(n)) for n in names}
        parts.append((arrays, labels))
    if not parts:
        shape = (0, len(columns.outputs)) if columns.outputs else 0
        parts = [({name: _empty(name, rows) for name in names}, np.zeros(shape, np.int64))]
    inputs = map_inputs(lambda *arrays: np.concatenate(arrays), *(inputs for inputs, _ in parts))
    labels = np.concatenate([labels for _, labels in parts])
    sizes = tuple(piece.rows for piece in pieces)
    return OrderedArrays(inputs, labels, sizes, window, shuffle)


def _empty(name, rows):
    widths = {column.name: (column.length,) for column in rows.columns.lists}
    dtype = rows.dtype_of(name)
    shape = (0, *widths.get(name, ()))
    return np.zeros(shape, object if dtype == row_groups.TEXT else dtype)


def _bytes_in_memory(card, files, examples):
    """The approximate size in bytes of examples in `ParquetFiles` as arrays."""
    columns = card.columns
    lists = sum((8 if column.has_ids else 4) * column.length for column in columns.lists)
    bytes_per_row = 8 * len(columns.scalars) + lists
    texts = {name for name in columns.all if card.dtypes.get(name) == row_groups.TEXT}
    sizes = (footer.bytes_in_memory.get(n, 0) for f in files for footer in f.footers for n in texts)
    return bytes_per_row * examples + 2 * sum(sizes)


def _test_fingerprint(files):
    return {"test_files": _checksum(_identity(files))}


def _identity(files):
    return [files.names, [footer.fingerprint for footer in files.footers]]


def _checksum(identity):
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:16]


def _feature_settings(columns):
    """The settings of features that decide the facts of a log, fit for JSON."""
    min_counts = [feature.min_count for feature in columns.features]
    return {"features": columns.of_features_in_files, "min_count": min_counts}


def _cut_of(settings):
    """The column that decides which rows are the test part, and the bounds of its values."""
    if not settings["test_from"]:
        return None
    return settings["test_column"], settings["test_from"], settings["test_until"]


def _dtypes_of_keys(parts, columns):
    """The values of a column that folders give: integers if all folders have them."""
    dtypes = {}
    for name in columns.ids:
        keys_of_column = [
            keys.get(name) for part in parts for keys in part.keys if name in part.columns
        ]
        if all(value is not None for value in keys_of_column):
            is_int = is_whole(pa.array(keys_of_column, pa.string()))
            dtypes[name] = row_groups.WHOLE if is_int else row_groups.TEXT
    return dtypes


def _all_pieces(rows):
    pieces = []
    for file, footer in enumerate(rows.files.footers):
        for group in range(len(footer.groups)):
            number = rows.count(file, group)
            if number:
                pieces.append(Piece(file, group, 0, number))
    return pieces


def _pieces(saved):
    return [Piece(*numbers) for numbers in saved]


def _rows_of(pieces):
    return sum(piece.rows for piece in pieces)
