"""One pass over a large click log, which finds what nets and messages need from its values.

It does not import TensorFlow.
"""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks import values, vocabularies
from rocket_tf.data.clicks.moments import NumberFacts
from rocket_tf.errors import DamagedDataError, DataUnavailableError
from rocket_tf.system import kept as keeping
from rocket_tf.system.transfers import shown

_VERSION = 1
# Separators of values in other formats, instead of spaces.
SEPARATORS = "|,;[]:"


def key_of(content):
    """A key for a value that JSON can hold."""
    text = json.dumps([_VERSION, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def kept(key, find):
    """Facts that were found before under a key, or are found now and kept.

    Args:
        key: the key that `key_of` gives for what they depend on.
        find: function that returns facts that JSON can hold.
    """
    saved = keeping.load("click_log", key)
    if saved is not None:
        return json.loads(str(saved["found"]))
    facts = find()
    keeping.save("click_log", key, found=np.array(json.dumps(facts)))
    return facts


def scan(parts, name):
    """Checks all values, and finds the facts about them.

    Args:
        parts: dict from "train" and "test" to `(row_groups.Rows, list of row_groups.Piece)`.
        name: the log's name, for progress.

    Returns:
        Dict that JSON can hold: "clicks" by part, of several labels a list; "moments" and "dtypes"
        of columns of numbers; "spellings" of categories of text, by part; "vocabularies" of
        features whose values are counted.

    Raises:
        DamagedDataError: for the first invalid value, with file, row group and row.
        DataUnavailableError: if a history is empty in all training examples, or a vocabulary.
    """
    columns = parts["train"][0].columns
    counters = vocabularies.counters(columns)
    numbers = {column: NumberFacts() for column in columns.numbers}
    facts = {"clicks": {}, "spellings": {}}
    done = [0]
    size = sum(
        sum(footer.bytes_in_memory.values())
        for rows, _ in parts.values()
        for footer in rows.files.footers
    )
    total = sum(piece.rows for _, pieces in parts.values() for piece in pieces)
    histories = history_facts(columns)
    with shown(f"Reading {name} once", size, lambda: done[0] * size // max(total, 1)):
        for part, (rows, pieces) in parts.items():
            clicks = []
            for piece in pieces:
                arrays = rows.read(piece, checked=True)
                clicks.append(arrays[columns.label].sum(axis=0))
                if part == "train":
                    for column, number_facts in numbers.items():
                        number_facts.add(arrays[column])
                    counted = {column: arrays[column] for column in counters}
                    for list_column in columns.lists:
                        if list_column.name in counted:
                            counted[list_column.name] = arrays[list_column.name].take(
                                None, list_column.length
                            )
                    vocabularies.add(counters, columns, counted)
                for column, array in arrays.items():
                    if isinstance(array, pa.Array):
                        count_spellings(facts["spellings"].setdefault(column, {}), part, array)
                where = f"{rows.files.path(piece.file)}: row group {piece.group + 1}"
                for column, history in histories.items():
                    lists = arrays[column.name].values
                    history.add(part, lists, arrays[column.of], lambda _, where=where: where)
                done[0] += piece.rows
            facts["clicks"][part] = np.sum(clicks, axis=0, dtype=np.int64).tolist()
    for column, history in histories.items():
        history.check_some(name, column)
    facts["dtypes"] = {column: number_facts.dtype for column, number_facts in numbers.items()}
    facts["moments"] = {
        column: list(number_facts.moments) for column, number_facts in numbers.items()
    }
    facts["vocabularies"] = vocabularies.found(counters, columns, name)
    for column, history in histories.items():
        history.check(column)
    return facts


def history_facts(columns):
    """Dict from the histories among columns, `examples.ListColumn`s, to `HistoryFacts`."""
    return {column: HistoryFacts() for column in columns.lists if column.kind == "history"}


def count_spellings(by_part, part, texts):
    """Adds a part's strings to what `spelling_lines` takes, a dict of lists."""
    earlier = by_part.get(part, [0, 0, 0, None])
    whole, almost, example = values.spellings(texts)
    by_part[part] = [
        earlier[0] + len(texts),
        earlier[1] + whole,
        earlier[2] + almost,
        earlier[3] or example,
    ]


class HistoryFacts:
    """Whether a history's values may be several items with separators other than spaces.

    Attributes:
        values: dict from parts to the number of values in all lists.
    """

    def __init__(self):
        self.values = {}
        self._with, self._in_items, self._example = {}, set(), {}

    def add(self, part, values, items, where):
        """Adds the values of some lists, and the items of the same rows.

        Args:
            part: "train" or "test".
            values: Arrow array of strings, or an array of integers.
            items: the same.
            where: function from a value's index in `values` to its location, for messages.
        """
        self.values[part] = self.values.get(part, 0) + len(values)
        for sign in SEPARATORS:
            if isinstance(items, pa.Array) and _first_with(items, sign) >= 0:
                self._in_items.add(sign)
            if not isinstance(values, pa.Array):
                continue
            contains = compute.match_substring(values, sign)
            number = compute.sum(contains, min_count=0).as_py()
            self._with[sign] = self._with.get(sign, 0) + number
            if number and sign not in self._example:
                index = compute.index(contains, True).as_py()
                self._example[sign] = f"{where(index)}: {values[index].as_py()!r}"

    def check_some(self, source, column):
        """Refuses a history that is empty in all training examples.

        Args:
            source: the log, or one of its files, for the message.
            column: its `examples.ListColumn`.

        Raises:
            DataUnavailableError: if it is.
        """
        if not self.values.get("train"):
            raise DataUnavailableError(
                f"{source}: {column.name!r} is empty in all training examples; check its name, or "
                "leave the history out"
            )

    def check(self, column):
        """Refuses lists most of whose values have a sign that no item has.

        Args:
            column: the history's `examples.ListColumn`.

        Raises:
            DamagedDataError: with the first such value and where it is.
        """
        total = sum(self.values.values())
        for sign, number in self._with.items():
            if sign not in self._in_items and number * 2 > total:
                raise DamagedDataError(
                    f"{self._example[sign]} in {column.name!r} has {sign!r}, as have "
                    f"{number / total:.0%} of its values, and no value of {column.of!r} has; "
                    "expected items with spaces between, or lists: replace the separator"
                )


def _first_with(texts, sign):
    return compute.index(compute.match_substring(texts, sign), True).as_py()


def lines(name, facts, examples, columns):
    """What to say of a log, a list of lines.

    Args:
        name: the log's.
        facts: as for `scan`.
        examples: dict from parts to numbers of examples.
        columns: `examples.Columns`.
    """
    result = [line_of_labels(name, facts["clicks"], examples, columns)]
    for column, by_part in facts["spellings"].items():
        result += spelling_lines(name, column, by_part)
    return result


def line_of_labels(name, clicks, examples, columns):
    """How many examples there are, and how many of them are clicks.

    Args:
        name: the log's.
        clicks: dict from "train" and "test" to the number of clicks, or to that of each label.
        examples: dict from parts to numbers of examples.
        columns: `examples.Columns`.
    """
    train, test = (np.atleast_1d(clicks[part]) / examples[part] for part in ("train", "test"))
    kinds = [f"have {label}=1" for label in columns.outputs] or ["are clicks"]
    shares = [
        f"{train_share:.1%} and {test_share:.1%} {kind}"
        for train_share, test_share, kind in zip(train, test, kinds, strict=True)
    ]
    return (
        f"{name}: {examples['train']} training and {examples['test']} test examples, of which "
        f"{', '.join(shares)}"
    )


def spelling_lines(name, column, by_part):
    """Lines about strings such as 17.0, " 17" and 017 among whole numbers, which are other ids.

    Args:
        name: the log's.
        column: the column's.
        by_part: dict from parts to `(values, whole, almost, example)`, as for `values.spellings`.
    """
    whole_numbers = sum(counts[1] for counts in by_part.values())
    return [
        f"{name}: {column!r}: {almost} of {total} {part} values ({almost / total:.1%}) are whole "
        f"numbers in another spelling, such as {example!r}: texts, and so other ids than without"
        for part, (total, _, almost, example) in by_part.items()
        if almost and whole_numbers
    ]
