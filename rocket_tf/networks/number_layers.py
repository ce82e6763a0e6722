"""Numbers that float32 would blur: centred before they become float32."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="rocket_tf")
class CentredNumber(layers.Layer):
    """Numbers less their mean, divided by their standard deviation, in float64; then float32.

    Takes int64 or float64 of shape (batch,); gives float32 of shape (batch, 1). Whole numbers are
    centred as such, so that any of 63 bits keep their last digit.

    Args:
        mean: what is subtracted.
        variance: by whose root it is divided, above 0.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> seconds = tf.constant([1_700_000_000, 1_700_000_004], tf.int64)
        >>> CentredNumber(mean=1_700_000_002.0, variance=4.0)(seconds).numpy().tolist()
        [[-1.0], [1.0]]
    """

    def __init__(self, mean, variance, **kwargs):
        # Or Keras would make float32 of the inputs.
        super().__init__(**{"dtype": "float32", **kwargs, "autocast": False})
        self.mean, self.variance = mean, float(variance)

    def call(self, numbers):
        mean = self.mean
        if numbers.dtype == tf.int64:
            whole = int(mean)
            numbers, mean = numbers - tf.constant(whole, tf.int64), mean - whole
        centred = tf.cast(numbers, tf.float64) - tf.constant(mean, tf.float64)
        scaled = centred / tf.constant(self.variance**0.5, tf.float64)
        return tf.cast(scaled, tf.float32)[:, None]

    def compute_output_spec(self, numbers):
        return keras.KerasTensor((numbers.shape[0], 1), dtype="float32")

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "mean": self.mean, "variance": self.variance}
