"""Optimizers that update only the batch's rows of embedding tables.

A lookup's gradient is sparse: `tf.IndexedSlices`, a row for each id of the batch. Keras's
optimizers make it dense, and update every row of the table and of its moments. With these, the cost
of a step depends only on the batch.
"""

import keras
import tensorflow as tf

from rocket_tf.core import optimizer_internals


def each_id_once(gradient):
    """A gradient in which each id has one row: the sum of all its rows.

    Args:
        gradient: `tf.IndexedSlices`; others are returned unchanged.

    Returns:
        `tf.IndexedSlices`, its ids in the order of their first occurrence.

    Example:
        >>> import tensorflow as tf
        >>> rows = tf.constant([[1.0], [2.0], [4.0]])
        >>> once = each_id_once(tf.IndexedSlices(rows, tf.constant([7, 3, 7]), tf.constant([9, 1])))
        >>> once.indices.numpy(), once.values.numpy().ravel()
        (array([7, 3], dtype=int32), array([5., 2.], dtype=float32))
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    ids, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(ids))
    return tf.IndexedSlices(values, ids, gradient.dense_shape)


@optimizer_internals.hooks_of_optimizer
class SparseUpdates:
    """The mixin of the sparse optimizers, put before a Keras optimizer's class.

    Dense gradients are handled by the optimizer itself. In a sparse gradient, an id that occurs
    several times counts once, with its gradients summed, also in the norms of `clipnorm` and
    `global_clipnorm`. The rows and moments of absent ids do not change, to the bit, and do not
    decay: rare ids decay rarely.

    A subclass defines `update_rows(ids, gradient, variable, learning_rate)`.
    """

    def apply(self, grads, trainable_variables=None):
        """As in Keras; gradients may be `tf.IndexedSlices`.

        Raises:
            ValueError: if a gradient is sparse and the optimizer accumulates gradients, keeps
                averages of weights or has a fixed loss scale, all of which need whole tables.
        """
        grads = list(grads)
        if any(isinstance(gradient, tf.IndexedSlices) for gradient in grads):
            self._check_options()
            if self.clipnorm or self.global_clipnorm or self.clipvalue:
                grads = [each_id_once(gradient) for gradient in grads]
        return super().apply(grads, trainable_variables)

    def clip_gradients(self, gradients, clip):
        """Clips as Keras does, sparse gradients by their rows.

        Args:
            gradients: list of gradients; in sparse ones, each id occurs once.
            clip: Keras's clipping of a list of dense gradients.
        """
        values = [
            gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
            for gradient in gradients
        ]
        return [
            tf.IndexedSlices(clipped, gradient.indices, gradient.dense_shape)
            if isinstance(gradient, tf.IndexedSlices)
            else clipped
            for gradient, clipped in zip(gradients, clip(values), strict=True)
        ]

    def update_step(self, gradient, variable, learning_rate):
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        gradient = each_id_once(gradient)
        learning_rate = tf.cast(learning_rate, variable.dtype)
        values = tf.cast(gradient.values, variable.dtype)
        if optimizer_internals.decays(self, variable):
            decay = tf.constant(self.weight_decay, variable.dtype) * learning_rate
            rows = rows_of(variable, gradient.indices)
            self.assign_sub(variable, tf.IndexedSlices(rows * decay, gradient.indices))
        self.update_rows(gradient.indices, values, variable, learning_rate)

    def _check_options(self):
        for option in ("gradient_accumulation_steps", "use_ema", "loss_scale_factor"):
            if getattr(self, option):
                raise ValueError(
                    f"{option} goes over whole embedding tables, but a {type(self).__name__} "
                    f"updates only the batch's rows. Received: {option}={getattr(self, option)}; "
                    "leave it out, or use the optimizer of that name in keras.optimizers"
                )


@keras.saving.register_keras_serializable(package="rocket_tf")
class SparseAdam(SparseUpdates, keras.optimizers.Adam):
    """`keras.optimizers.Adam` that updates only the batch's rows of a table.

    It is known as lazy Adam: moments of absent ids do not decay and move no row. Bias correction
    follows the optimizer's steps, not an id's. PyTorch's `SparseAdam` computes the same.

    Dense weights move as in Keras, but in one operation for each weight instead of a dozen.

    Arguments are those of `keras.optimizers.Adam`.

    Example:
        >>> import numpy as np, tensorflow as tf
        >>> table = tf.Variable(np.ones((4, 2), np.float32))
        >>> optimizer = SparseAdam(learning_rate=0.5)
        >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([3, 3]), tf.constant([4, 2]))
        >>> iteration = optimizer.apply_gradients([(gradient, table)])
        >>> table.numpy()[:, 0].round(3)
        array([1. , 1. , 1. , 0.5], dtype=float32)
    """

    def update_step(self, gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices) or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        first, second = self._moments_of(variable)
        powers = self._powers_of_betas(variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle_of(variable),
            m=_handle_of(first),
            v=_handle_of(second),
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.constant(self.beta_1, variable.dtype),
            beta2=tf.constant(self.beta_2, variable.dtype),
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )

    def update_rows(self, ids, gradient, variable, learning_rate):
        first, second = self._moments_of(variable)
        corrections = [1 - power for power in self._powers_of_betas(variable.dtype)]
        rate = learning_rate * tf.sqrt(corrections[1]) / corrections[0]
        mean, square = rows_of(first, ids), rows_of(second, ids)
        mean += (gradient - mean) * (1 - self.beta_1)
        square += (tf.square(gradient) - square) * (1 - self.beta_2)
        self.assign(first, tf.IndexedSlices(mean, ids))
        self.assign(second, tf.IndexedSlices(square, ids))
        if self.amsgrad:
            largest = optimizer_internals.slot_of(self, "velocity_hats", variable)
            square = tf.maximum(rows_of(largest, ids), square)
            self.assign(largest, tf.IndexedSlices(square, ids))
        moves = mean * rate / (tf.sqrt(square) + self.epsilon)
        self.assign_sub(variable, tf.IndexedSlices(moves, ids))

    def _moments_of(self, variable):
        kinds = "momentums", "velocities"
        return [optimizer_internals.slot_of(self, kind, variable) for kind in kinds]

    def _powers_of_betas(self, dtype):
        step = tf.cast(self.iterations + 1, dtype)
        return [tf.constant(beta, dtype) ** step for beta in (self.beta_1, self.beta_2)]


@keras.saving.register_keras_serializable(package="rocket_tf")
class SparseAdagrad(SparseUpdates, keras.optimizers.Adagrad):
    """`keras.optimizers.Adagrad` that updates only the batch's rows of a table.

    Adagrad does nothing for absent ids, so this is Adagrad as published. (Keras's own squares each
    of an id's gradients in a batch separately.)

    Arguments are those of `keras.optimizers.Adagrad`.

    Example:
        >>> import numpy as np, tensorflow as tf
        >>> table = tf.Variable(np.ones((4, 2), np.float32))
        >>> optimizer = SparseAdagrad(learning_rate=0.5, initial_accumulator_value=0.0)
        >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([3, 3]), tf.constant([4, 2]))
        >>> iteration = optimizer.apply_gradients([(gradient, table)])
        >>> table.numpy()[:, 0].round(3)
        array([1. , 1. , 1. , 0.5], dtype=float32)
    """

    def update_rows(self, ids, gradient, variable, learning_rate):
        accumulator = optimizer_internals.slot_of(self, "accumulators", variable)
        total = rows_of(accumulator, ids) + tf.square(gradient)
        self.assign(accumulator, tf.IndexedSlices(total, ids))
        moves = learning_rate * gradient / tf.sqrt(total + self.epsilon)
        self.assign_sub(variable, tf.IndexedSlices(moves, ids))


@keras.saving.register_keras_serializable(package="rocket_tf")
class SparseSGD(SparseUpdates, keras.optimizers.SGD):
    """`keras.optimizers.SGD` that updates only the batch's rows of a table.

    With momentum, an absent id's velocity does not change, and does not move its row.

    Arguments are those of `keras.optimizers.SGD`.

    Example:
        >>> import numpy as np, tensorflow as tf
        >>> table = tf.Variable(np.ones((4, 2), np.float32))
        >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([3, 3]), tf.constant([4, 2]))
        >>> iteration = SparseSGD(learning_rate=0.25).apply_gradients([(gradient, table)])
        >>> table.numpy()[:, 0]
        array([1. , 1. , 1. , 0.5], dtype=float32)
    """

    def update_rows(self, ids, gradient, variable, learning_rate):
        moves = -learning_rate * gradient
        if self.momentum:
            velocity = optimizer_internals.slot_of(self, "momentums", variable)
            momentum = tf.constant(self.momentum, variable.dtype)
            new_velocity = rows_of(velocity, ids) * momentum + moves
            self.assign(velocity, tf.IndexedSlices(new_velocity, ids))
            moves = new_velocity * momentum + moves if self.nesterov else new_velocity
        self.assign_add(variable, tf.IndexedSlices(moves, ids))


def rows_of(variable, ids):
    """Some rows of a table, without reading the rest.

    Args:
        variable: `keras.Variable` or `tf.Variable`, shape (rows, ...).
        ids: whole numbers, shape (ids,).

    Returns:
        Tensor of shape (ids, ...).

    Example:
        >>> import keras
        >>> rows_of(keras.Variable([[1.0], [2.0], [4.0]]), [2, 0]).numpy().ravel()
        array([4., 1.], dtype=float32)
    """
    return tf.gather(_value_of(variable), ids)


def _value_of(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def _handle_of(variable):
    return _value_of(variable).handle
