"""Batch normalization in one kernel."""

from typing import Any

import keras
import tensorflow as tf

from rocket_tf.core import reductions


@keras.saving.register_keras_serializable(package="rocket_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` on TensorFlow's fused kernel.

    Keras runs batch normalization as a chain of element-wise operations. The kernel is one
    operation, takes bfloat16 and float16 inputs with float32 statistics, and can be folded into
    convolutions at export. The moving variance follows the unbiased batch variance, as in PyTorch
    and so in the paper's code; Keras's follows the biased one.

    Under `tf.distribute`, each replica normalizes by the statistics of its own examples. The moving
    statistics follow the mean over the replicas, so they are the same on all. A `RocketModel`
    reduces those of all layers together at the end of a training step. For statistics over the
    examples of all replicas, use `synchronized=True`.

    Arguments, inputs and outputs are those of `keras.layers.BatchNormalization`. If the kernel
    cannot be used, the layer computes as Keras's does: for inputs that are masked, float64 or not
    channels-last, and for `synchronized` and `renorm`.

    Example:
        >>> import numpy as np
        >>> from rocket_tf.networks import FusedBatchNormalization
        >>> layer = FusedBatchNormalization(momentum=0.9)
        >>> layer(np.random.normal(size=(2, 4, 4, 3)).astype("float32"), training=True).shape
        TensorShape([2, 4, 4, 3])
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None or not self._kernel_takes(inputs):
            return super().call(inputs, training=training, mask=mask)
        use_batch_statistics = bool(training) and self.trainable
        replica = tf.distribute.get_replica_context()
        has_replicas = replica is not None and replica.num_replicas_in_sync > 1
        if has_replicas and not use_batch_statistics:
            reductions.catch_up(owner=self)
        (channels,) = self.moving_mean.shape
        gamma = self.gamma.value if self.scale else tf.ones(channels)
        beta = self.beta.value if self.center else tf.zeros(channels)
        is_maps = len(inputs.shape) == 4
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            # To the kernel, vectors are maps of one position.
            inputs if is_maps else tf.reshape(inputs, [-1, 1, 1, channels]),
            scale=tf.cast(gamma, tf.float32),
            offset=tf.cast(beta, tf.float32),
            mean=None if use_batch_statistics else self.moving_mean.value,
            variance=None if use_batch_statistics else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=use_batch_statistics,
        )
        if use_batch_statistics and has_replicas:
            reductions.follow_mean([mean, variance], self._follow, owner=self)
        elif use_batch_statistics:
            self._follow(mean, variance)
        return outputs if is_maps else keras.ops.reshape(outputs, keras.ops.shape(inputs))

    def _kernel_takes(self, inputs):
        return (
            len(inputs.shape) >= 2
            and self.axis in (-1, len(inputs.shape) - 1)
            and keras.backend.standardize_dtype(inputs.dtype) != "float64"
            and not self.synchronized
            and not getattr(self, "renorm", False)  # Keras 3.12 does not have it
        )

    def _follow(self, mean, variance):
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
