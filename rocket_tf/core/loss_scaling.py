"""Loss scaling for float16, on any number of replicas."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rocket_tf")
class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scaling, where all replicas skip a step that overflows on any of them.

    Keras asks one replica whether its gradients are finite, before they are summed over all.
    """

    def check_finite(self, grads):
        finite = super().check_finite(grads)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return finite
        overflows = tf.cast(tf.logical_not(finite), tf.float32)
        return tf.equal(replica.all_reduce("SUM", overflows), 0)


def with_loss_scaling(optimizer):
    """An optimizer, its name or configuration, in `LossScaling` unless it scales losses itself."""
    optimizer = keras.optimizers.get(optimizer)
    if optimizer is None or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return LossScaling(optimizer, name="loss_scale_optimizer")  # Keras's own name
