"""Layers from a history's values to one vector: padding, the mean, and attention."""

import keras
import tensorflow as tf
from keras import layers, ops

from rocket_tf.networks.seeds import layer_seed


@keras.saving.register_keras_serializable(package="rocket_tf")
class ValuesPresent(layers.Layer):
    """Which places of raw sequences hold values, not padding: bool, of the shape of the input.

    Args:
        padding: the string or integer that means no value.
        **kwargs: as in `keras.layers.Layer`.
    """

    def __init__(self, padding, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding
        self.supports_jit = False  # XLA cannot handle strings

    def call(self, values):
        return tf.not_equal(values, tf.constant(self.padding, values.dtype))

    def compute_output_spec(self, values):
        return keras.KerasTensor(values.shape, dtype="bool")

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable(package="rocket_tf")
class MaskedMean(layers.Layer):
    """The mean of a sequence's values; zeros if it has none.

    It takes embeddings (batch, length, dimension) and where values are present, bool (batch,
    length), and gives (batch, dimension).
    """

    def call(self, embeddings, present):
        total = ops.sum(ops.where(present[..., None], embeddings, 0), axis=1)
        count = ops.sum(ops.cast(present, embeddings.dtype), axis=1, keepdims=True)
        return total / ops.maximum(count, 1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class ActivationUnit(layers.Layer):
    """The sum of a sequence's values, each weighted by its relation to a candidate.

    A small net computes each value's weight from the value, the candidate, their difference and
    their product (Zhou et al., "Deep Interest Network", KDD 2018, section 4.3). As there, the
    weights do not pass through a softmax, so their sum shows how strong the interest is. Padding is
    ignored; without values, the sum is zeros.

    It takes embeddings (batch, length, dimension), the candidate's (batch, dimension) and where
    values are present, bool (batch, length), and gives (batch, dimension).

    Args:
        units: width of the small net's hidden layer, which ends in a PReLU.
        seed: seed of the initial weights, which follow from it and the layer's name. `None`: other
            weights each time.
        **kwargs: as in `keras.layers.Layer`.
    """

    def __init__(self, units=36, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.seed = seed
        self.hidden = layers.Dense(
            units,
            kernel_initializer=keras.initializers.HeNormal(layer_seed(seed, f"{self.name}_hidden")),
            dtype=self.dtype_policy,
            name="hidden",
        )
        self.activation = layers.PReLU(
            alpha_initializer=keras.initializers.Constant(0.25),
            shared_axes=[1],  # the same at every place of a sequence
            dtype=self.dtype_policy,
            name="activation",
        )
        self.weight = layers.Dense(
            1,
            kernel_initializer=keras.initializers.GlorotUniform(
                layer_seed(seed, f"{self.name}_weight")
            ),
            dtype=self.dtype_policy,
            name="weight",
        )

    def build(self, embeddings_shape, candidate_shape, present_shape):
        *leading, dimension = embeddings_shape
        self.hidden.build((*leading, 4 * dimension))
        self.activation.build((*leading, self.units))
        self.weight.build((*leading, self.units))
        super().build(embeddings_shape)

    def call(self, embeddings, candidate, present):
        candidate = ops.broadcast_to(candidate[:, None, :], ops.shape(embeddings))
        related = ops.concatenate(
            [embeddings, candidate, embeddings - candidate, embeddings * candidate], axis=-1
        )
        weights = self.weight(self.activation(self.hidden(related)))[..., 0]
        weights = ops.where(present, weights, 0)
        return ops.matmul(weights[:, None, :], embeddings)[:, 0]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "seed": self.seed}
