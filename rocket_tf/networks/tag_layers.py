"""Turns the embeddings of several tags into one vector."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="rocket_tf")
class TagsPool(layers.Layer):
    """The mean or the sum of an example's tags; zeros if it has none.

    It takes embeddings (batch, length, dimension), where tags are present, bool (batch, length),
    and, if they are weighted, weights (batch, length). It gives (batch, dimension). A weighted mean
    is the weighted sum divided by the sum of the weights, or zeros if that is 0.

    Args:
        pooling: "mean" or "sum".
        missing: whether an example without tags gets the embedding at its first position, that of a
            missing tag, instead of zeros.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> embeddings = tf.constant([[[1.0], [5.0], [9.0]]])
        >>> present, weights = tf.constant([[True, True, False]]), tf.constant([[3.0, 1.0, 0.0]])
        >>> TagsPool("mean")(embeddings, present, weights).numpy().tolist()
        [[2.0]]
    """

    def __init__(self, pooling, missing=False, **kwargs):
        super().__init__(**kwargs)
        self.pooling, self.missing = pooling, missing

    def call(self, embeddings, present, weights=None):
        shares = ops.cast(present, embeddings.dtype)
        if weights is not None:
            shares = shares * ops.cast(weights, embeddings.dtype)
        if self.missing:
            first = ops.one_hot(ops.zeros_like(present[:, 0], "int32"), present.shape[1])
            is_empty = ops.logical_not(ops.any(present, axis=1, keepdims=True))
            shares = ops.where(is_empty, ops.cast(first, shares.dtype), shares)
        total = ops.sum(
            ops.where(shares[..., None] != 0, embeddings * shares[..., None], 0), axis=1
        )
        if self.pooling == "sum":
            return total
        count = ops.sum(shares, axis=1, keepdims=True)
        return total / ops.where(count > 0, count, 1)

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling, "missing": self.missing}
