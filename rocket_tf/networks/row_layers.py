"""Layers that Keras lacks: from raw values to rows of embedding tables, and on raw values."""

import keras
import tensorflow as tf
from keras import layers

_HOURS, _WEEKDAYS = 24, 7
_HOUR, _DAY = 3600, 86_400  # seconds
_EPOCH_WEEKDAY = 3  # 1970 began with a Thursday; 0 is Monday


@keras.saving.register_keras_serializable(package="rocket_tf")
class MissingRow(layers.Layer):
    """The rows of a category's table, with the last row for missing values.

    It takes raw values and their rows, of the same shape, and gives rows.

    Args:
        mark: the string or integer that means a missing value; blank strings do, too.
        row: the row of such values.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> layer = MissingRow(mark="", row=9)
        >>> layer(tf.constant(["Oslo", ""]), tf.constant([4, 5])).numpy().tolist()
        [4, 9]
    """

    def __init__(self, mark, row, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.mark, self.row = mark, row
        self.supports_jit = False  # XLA knows no strings

    def call(self, values, rows):
        if values.dtype == tf.string:
            values = tf.strings.strip(values)
        missing = tf.equal(values, tf.constant(self.mark, values.dtype))
        return tf.where(missing, tf.constant(self.row, rows.dtype), rows)

    def compute_output_spec(self, values, rows):
        return keras.KerasTensor(rows.shape, dtype=rows.dtype)

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "mark": self.mark, "row": self.row}


@keras.saving.register_keras_serializable(package="rocket_tf")
class IntegersAsRows(layers.Layer):
    """Integers as rows of a table: 0 to `known` - 1 unchanged, all others as row `known`.

    It takes and gives int64 of any shape.

    Args:
        known: number of integers with their own row.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> IntegersAsRows(5)(tf.constant([0, 4, 5, -1], tf.int64)).numpy().tolist()
        [0, 4, 5, 5]
    """

    def __init__(self, known, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.known = known

    def call(self, values):
        known = tf.constant(self.known, values.dtype)
        return tf.where((values >= 0) & (values < known), values, known)

    def compute_output_spec(self, values):
        return keras.KerasTensor(values.shape, dtype=values.dtype)

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "known": self.known}


@keras.saving.register_keras_serializable(package="rocket_tf")
class HourAndWeekday(layers.Layer):
    """Rows of a table for the hour and the weekday of seconds since 1970, UTC.

    It takes int64 of shape (batch,), and gives int64 of shape (batch, 2): 0 to 23 for the hour, 24
    to 30 for the weekday from Monday on; 31 and 32 for a missing time.

    Args:
        mark: the integer that means a missing time; `None`: there is none.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> HourAndWeekday()(tf.constant([0, 1_700_000_000], tf.int64)).numpy().tolist()
        [[0, 27], [22, 25]]
    """

    def __init__(self, mark=None, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.mark = mark

    def call(self, seconds):
        hours = tf.math.floormod(seconds, _DAY) // _HOUR
        weekdays = tf.math.floormod(seconds // _DAY + _EPOCH_WEEKDAY, _WEEKDAYS)
        rows = tf.stack([hours, _HOURS + weekdays], axis=1)
        if self.mark is None:
            return rows
        last = tf.constant([_HOURS + _WEEKDAYS, _HOURS + _WEEKDAYS + 1], rows.dtype)
        return tf.where((seconds == self.mark)[:, None], last, rows)

    def compute_output_spec(self, seconds):
        return keras.KerasTensor((seconds.shape[0], 2), dtype=seconds.dtype)

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "mark": self.mark}


@keras.saving.register_keras_serializable(package="rocket_tf")
class ServedAs(layers.Layer):
    """Returns raw values unchanged; an export has a fixed value in place of this input.

    Args:
        value: a string or a number.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> ServedAs(1)(tf.constant([3, 2])).numpy().tolist()
        [3, 2]
    """

    def __init__(self, value, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.value = value
        self.supports_jit = False  # XLA knows no strings

    def call(self, values):
        return values

    def compute_output_spec(self, values):
        return keras.KerasTensor(values.shape, dtype=values.dtype)

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "value": self.value}
