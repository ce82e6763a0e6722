"""Vocabularies of categories and tags, from the counts of values in the training examples.

It does not import TensorFlow.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.errors import DataUnavailableError


class ValueCounts:
    """Counts of values that come in pieces.

    Example:
        >>> counts = ValueCounts()
        >>> for piece in (np.array([7, 5, 5, 9]), np.array([9, 3])):
        ...     counts.add(piece)
        >>> counts.at_least(2), counts.at_least(1)
        ((5, 9), (5, 9, 3, 7))
    """

    def __init__(self):
        self._counts = None

    def add(self, values):
        """Adds values, none of them missing: int64 or strings, or an Arrow array of strings."""
        if isinstance(values, np.ndarray):
            kind = pa.large_string() if values.dtype == object else pa.int64()
            values = pa.array(values.ravel(), kind)
        missing_value = "" if not pa.types.is_integer(values.type) else MISSING
        counts = compute.value_counts(values.filter(compute.not_equal(values, missing_value)))
        table = pa.table({"value": counts.field("values"), "number": counts.field("counts")})
        if self._counts is not None:
            table = pa.concat_tables([self._counts, table])
            table = table.group_by("value").aggregate([("number", "sum")])
            table = table.rename_columns(
                ["number" if name == "number_sum" else name for name in table.column_names]
            )
        self._counts = table

    def at_least(self, number):
        """The values that occur at least so often, a tuple, the most frequent first.

        Equally frequent values are in ascending order.
        """
        table = self._counts.filter(compute.greater_equal(self._counts["number"], number))
        table = table.sort_by([("number", "descending"), ("value", "ascending")])
        return tuple(table["value"].to_pylist())


def counters(columns):
    """Dict from the features with vocabularies from the training examples to `ValueCounts`."""
    return {feature.name: ValueCounts() for feature in columns.features if feature.min_count}


def add(counters, columns, examples):
    """Adds training examples.

    Args:
        counters: as for `counters`.
        columns: `examples.Columns`.
        examples: dict from columns to values: arrays, of lists padded at the end; of ids, also
            Arrow arrays of strings.
    """
    list_columns = {column.name: column for column in columns.lists}
    for name, counter in counters.items():
        values = examples[name]
        if name in list_columns:
            is_text = values.dtype == object
            values = values[values != list_columns[name].padding(is_text)]
        counter.add(values)


def found(counters, columns, name):
    """Dict from features to their vocabularies, tuples.

    Args:
        counters: as for `counters`, of all training examples.
        columns: `examples.Columns`.
        name: the log's.

    Raises:
        DataUnavailableError: if no value is as frequent as it must be.
    """
    min_counts = {column.name: column.min_count for column in columns.features}
    vocabularies = {}
    for feature, counter in counters.items():
        vocabularies[feature] = counter.at_least(min_counts[feature])
        if not vocabularies[feature]:
            raise DataUnavailableError(
                f"{name}: no value of {feature!r} occurs {min_counts[feature]} times in the "
                "training part, as min_count asks; lower it"
            )
    return vocabularies
