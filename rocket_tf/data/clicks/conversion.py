"""Converts click logs in CSV and TFRecord files to Parquet, in bounded memory.

It imports TensorFlow only for TFRecord files.
"""

import contextlib
import dataclasses
import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet

from rocket_tf.data import fingerprints
from rocket_tf.data.clicks import lists, scan, values
from rocket_tf.data.clicks.files import LogFiles
from rocket_tf.data.clicks.folder import columns_by_part
from rocket_tf.data.clicks.storage import LocalStorage
from rocket_tf.errors import DataUnavailableError
from rocket_tf.system.transfers import shown

ROWS = 131_072  # in a row group
_PARTS = ("train", "test")
_FOLDER = ".rocket_tf"


def converted(files, columns, settings, tell=print):
    """A log in Parquet, made on first use, in the hidden folder .rocket_tf beside it.

    Args:
        files: `files.LogFiles`, CSV or TFRecord.
        columns: `examples.Columns`.
        settings: dict of fields; "test_column" is also kept.
        tell: called with a line about the new files.

    Returns:
        `files.LogFiles` in Parquet.

    Raises:
        DamagedDataError, DataUnavailableError: like `convert`.
    """
    root = Path(files.storage.root)
    folder = (root.parent if files.storage.is_file else root) / _FOLDER
    paths = [path for part in _PARTS for path in files.paths(part)]
    names = files.train, files.test, [_fingerprint(path) for path in paths]
    key = [names, columns.all, columns.item, settings["test_column"]]
    if columns.features:
        key.append(columns.of_features_in_files)
    key += ["missing"] if columns.missing else []
    key += [{"weight": columns.weight}] if columns.weight else []
    key += [{"labels": columns.outputs}] if columns.outputs else []
    target = folder / scan.key_of(key)
    if not target.exists():
        convert(files, columns, target, settings["test_column"], tell)
    return _files_in(target, files.test is not None)


def convert(files, columns, target, more_column="", tell=print):
    """Writes a log as Parquet: one file for each file, in the order of the rows.

    All files are read twice: to find the columns with integers, and to write. Values are checked as
    when a log is read into memory.

    Args:
        files: `files.LogFiles`, CSV or TFRecord.
        columns: `examples.Columns`, the columns to write.
        target: a new folder, which appears when all is written; it has folders train and test, or
            all.
        more_column: another column to write.
        tell: called with lines about the log.

    Raises:
        DamagedDataError: if a file cannot be read, or a value is invalid; with the file, and the
            line or record.
        DataUnavailableError: if the folder cannot be written, a column is missing, or a part has no
            rows.
    """
    if more_column and more_column not in columns.all:
        columns = dataclasses.replace(columns, categories=(*columns.categories, more_column))
    paths = {part: files.paths(part) for part in _PARTS if files.paths(part)}
    by_part, reader = columns_by_part(files.form, paths, columns)
    partial = target.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        facts = _Facts(by_part, columns)
        for part, row, path, batch in _batches(paths, reader, by_part, "Checking"):
            facts.add(part, batch, _where(reader, path, row))
        for part in paths:
            if not facts.rows.get(part):
                raise DataUnavailableError(
                    f"{paths[part][0]}: no examples, nor in any other file of this part; expected "
                    "at least one"
                )
        for column, history in facts.histories.items():
            history.check(column)
        for line in facts.lines(str(files.storage.root)):
            tell(line)
        folders = {part: part if files.test is not None else "all" for part in paths}
        schemas = {part: facts.schema(part) for part in paths}
        _write(partial, folders, paths, reader, by_part, schemas)
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            if not target.exists():
                os.rename(partial, target)
    except OSError as error:
        if isinstance(error, DataUnavailableError):
            raise
        raise DataUnavailableError(
            f"{files.storage.root}: is first converted to Parquet in {target.parent}, which cannot "
            f"be written ({error.strerror}); convert it into another folder with `python -m "
            "tools.convert_clicks`, and pass that as config.data_path"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    size = sum(path.stat().st_size for path in target.rglob("*.parquet"))
    rows = sum(facts.rows.values())
    tell(f"{target}: {rows} rows in Parquet, {size / 1e6:.1f} MB")


class _Facts:
    """How to write the columns, found from all values."""

    def __init__(self, by_part, columns):
        self._by_part = by_part  # the columns
        self._is_whole = {}
        self._spellings = {}
        self.rows = {}
        self.histories = scan.history_facts(columns)

    def add(self, part, batch, where):
        columns = self._by_part[part]
        self.rows[part] = self.rows.get(part, 0) + len(batch[columns.label])
        values.all_labels(batch, columns.labels, where)
        if columns.weight:
            values.weights(batch[columns.weight], columns.weight, where)
        for name in columns.numbers:
            numbers = values.numbers(batch[name], name, where, columns.may_miss(name))
            self._is_whole[name] = self._is_whole.get(name, True) and numbers.dtype.kind == "i"
        for name in columns.times:
            values.times(batch[name], name, where, columns.may_miss(name))
        for name in columns.ids:
            self._add_ids(part, batch[name], name, where, columns.may_miss(name))
        for column in columns.lists:
            array = batch[column.name]
            row_of = lists.rows_of(lists.lengths_of(array), where)
            if column.kind == "tags":
                self._add_ids(part, array.flatten(), column.name, row_of, column.missing)
            elif column.has_ids:
                self._add_history(part, array.flatten(), batch[column.of], column, row_of)
            else:
                tags = lists.lengths_of(batch[column.of]) if column.of else None
                lists.numbers(array, column, where, tags)

    def _add_ids(self, part, array, name, where, may_miss):
        is_whole = values.is_whole(values.present(array) if may_miss else array)
        self._is_whole[name] = self._is_whole.get(name, True) and is_whole
        if may_miss:
            values.marked(array, is_whole, name, where)
        else:
            self._check(array, is_whole, name, where)
        if values.is_text(array.type):
            scan.count_spellings(self._spellings.setdefault(name, {}), part, array)

    @staticmethod
    def _check(array, is_whole, name, where):
        values.check_category(array.cast(pa.int64()) if is_whole else array, name, where, array)

    def _add_history(self, part, flat, items, column, where):
        is_whole = values.is_whole(flat)
        self._is_whole[column.of] &= is_whole
        check = values.marked if column.missing else self._check
        check(flat, is_whole, column.name, where)
        texts = np.zeros(0) if values.is_whole(items) else items
        self.histories[column].add(part, values.as_texts(flat), texts, where)

    def lines(self, name):
        lines = []
        for column, by_part in self._spellings.items():
            if not self._is_whole[column]:
                lines += scan.spelling_lines(name, column, by_part)
        return lines

    def schema(self, part):
        """The Arrow schema of a part's files."""
        columns = self._by_part[part]
        kinds = dict.fromkeys(columns.labels, pa.int64())
        if columns.weight:
            kinds[columns.weight] = pa.float64()
        for name in columns.numbers:
            kinds[name] = pa.int64() if self._is_whole[name] else pa.float64()
        for name in columns.times:
            kinds[name] = pa.int64()
        for name in columns.ids:
            kinds[name] = self._kind_of_ids(name)
        for column in columns.lists:
            kind = self._kind_of_ids(column.of) if column.has_ids else pa.float32()
            kinds[column.name] = pa.list_(kind)
        return pa.schema(kinds.items())

    def _kind_of_ids(self, name):
        return pa.int64() if self._is_whole[name] else pa.string()


def _batches(paths, reader, by_part, text):
    """All rows, some at a time: `(part, rows before it in its file, path, batch)`."""
    size = sum(os.path.getsize(path) for part_paths in paths.values() for path in part_paths)
    done, done_in_file = [0], [0]
    name = os.path.dirname(next(iter(paths.values()))[0])
    with shown(f"{text} {name}", size, lambda: done[0] + done_in_file[0]):
        for part, part_paths in paths.items():
            for path in part_paths:
                first, columns = 0, by_part[part]
                for batch in reader.batches(
                    path, columns, lambda b: done_in_file.__setitem__(0, b)
                ):
                    yield part, first, path, batch
                    first += len(batch[columns.label])
                done[0] += os.path.getsize(path)
                done_in_file[0] = 0


def _write(folder, folders, paths, reader, by_part, schemas):
    writers, waiting = {}, {}
    with contextlib.ExitStack() as stack:
        for part, _, path, batch in _batches(paths, reader, by_part, "Writing Parquet of"):
            schema = schemas[part]
            if path not in writers:
                for earlier in list(waiting):
                    _flush(writers[earlier], waiting.pop(earlier))
                    writers[earlier].close()
                number = paths[part].index(path)
                file = folder / folders[part] / f"{number:05}.parquet"
                file.parent.mkdir(exist_ok=True)
                writer = pa.parquet.ParquetWriter(file, schema, compression="zstd")
                writers[path] = stack.enter_context(writer)
            may_miss = by_part[part].may_miss
            arrays = [
                _cast(batch[field.name], field.type, may_miss(field.name)) for field in schema
            ]
            rows = [*waiting.get(path, []), pa.Table.from_arrays(arrays, schema=schema)]
            if sum(map(len, rows)) >= ROWS:
                table = pa.concat_tables(rows)
                full_rows = len(table) // ROWS * ROWS
                writers[path].write_table(table.slice(0, full_rows), row_group_size=ROWS)
                rows = [table.slice(full_rows)]
            waiting[path] = rows
        for path, rows in waiting.items():
            _flush(writers[path], rows)


def _flush(writer, rows):
    table = pa.concat_tables(rows)
    if len(table):
        writer.write_table(table, row_group_size=ROWS)


def _cast(array, kind, may_miss):
    """Values of a file as the column's type; of strings, numbers; null where they are missing."""
    if may_miss and not pa.types.is_list(kind):
        missing = values.missing_in(array, pa.types.is_floating(kind))
        array = compute.if_else(missing, pa.scalar(None, array.type), array)
    if values.is_text(array.type) and pa.types.is_floating(kind):
        return array.cast(pa.float64())
    if pa.types.is_integer(kind) and pa.types.is_floating(array.type):
        return array.cast(pa.int64(), safe=True)
    return array.cast(kind)


def _files_in(folder, has_parts):
    storage = LocalStorage(folder)
    by_part = {
        part: [name for name in storage.names() if name.startswith(f"{part}/")]
        for part in (*_PARTS, "all")
    }
    train = by_part["train"] if has_parts else by_part["all"]
    return LogFiles("Parquet", storage, train, storage, by_part["test"] if has_parts else None)


def _where(reader, path, first):
    return lambda row: f"{path}: {reader.location(path, first + row)}"


def _fingerprint(path):
    """The size of a file and a checksum of a few places in it."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        return f"{size}:{fingerprints.of_places(file, size):08x}"
