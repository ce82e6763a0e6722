"""Layers for numbers: they centre them before float32 would lose digits, and mark missing ones."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="rocket_tf")
class CentredNumber(layers.Layer):
    """Subtracts the mean and divides by the standard deviation in float64, then casts to float32.

    It takes int64 or float64 of shape (batch,), and gives float32 of shape (batch, 1). Integers are
    centred as integers, so those of up to 63 bits keep their last digit.

    Args:
        mean: the mean.
        variance: the variance, above 0.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> seconds = tf.constant([1_700_000_000, 1_700_000_004], tf.int64)
        >>> CentredNumber(mean=1_700_000_002.0, variance=4.0)(seconds).numpy().tolist()
        [[-1.0], [1.0]]
    """

    def __init__(self, mean, variance, **kwargs):
        # Otherwise Keras would cast the inputs to float32.
        super().__init__(**{"dtype": "float32", **kwargs, "autocast": False})
        self.mean, self.variance = mean, float(variance)

    def call(self, numbers):
        mean = self.mean
        if numbers.dtype == tf.int64:
            integer_part = int(mean)
            numbers, mean = numbers - tf.constant(integer_part, tf.int64), mean - integer_part
        centred = tf.cast(numbers, tf.float64) - tf.constant(mean, tf.float64)
        scaled = centred / tf.constant(self.variance**0.5, tf.float64)
        return tf.cast(scaled, tf.float32)[:, None]

    def compute_output_spec(self, numbers):
        return keras.KerasTensor((numbers.shape[0], 1), dtype="float32")

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "mean": self.mean, "variance": self.variance}


@keras.saving.register_keras_serializable(package="rocket_tf")
class NumberOrMissing(CentredNumber):
    """`CentredNumber` for numbers with NaN, which become 0 with 1 in a second column.

    It takes float32 or float64 of shape (batch,), and gives float32 of shape (batch, 2).

    Example:
        >>> import tensorflow as tf
        >>> layer = NumberOrMissing(mean=5.0, variance=4.0)
        >>> layer(tf.constant([9.0, float("nan")])).numpy().tolist()
        [[2.0, 0.0], [0.0, 1.0]]
    """

    def call(self, numbers):
        missing = tf.math.is_nan(numbers)
        scaled = super().call(tf.where(missing, tf.zeros_like(numbers), numbers))[:, 0]
        return tf.stack([tf.where(missing, 0.0, scaled), tf.cast(missing, tf.float32)], axis=1)

    def compute_output_spec(self, numbers):
        return keras.KerasTensor((numbers.shape[0], 2), dtype="float32")


@keras.saving.register_keras_serializable(package="rocket_tf")
class VectorOrMissing(layers.Layer):
    """Vectors with a further column: vectors of NaN become zeros with 1 there, others have 0.

    It takes float32 of shape (batch, length), and gives float32 of shape (batch, length + 1).

    Example:
        >>> import tensorflow as tf
        >>> nan = float("nan")
        >>> VectorOrMissing()(tf.constant([[2.0, 3.0], [nan, nan]])).numpy().tolist()
        [[2.0, 3.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, vectors):
        missing = tf.math.is_nan(vectors)
        vectors = tf.where(missing, tf.zeros_like(vectors), vectors)
        indicator = tf.reduce_all(missing, axis=1, keepdims=True)
        return tf.concat([vectors, tf.cast(indicator, vectors.dtype)], axis=1)

    def compute_output_spec(self, vectors):
        batch, length = vectors.shape
        return keras.KerasTensor((batch, length + 1), dtype=self.compute_dtype)
