"""A table in memory to which batches are appended, also on replicas."""

import tensorflow as tf

_FIRST_CAPACITY = 1024


class GrowingRows:
    """Rows of int64, appended in constant time on average; each replica has its own.

    It must be made under the scope of the strategy that calls `append` on its replicas.

    Args:
        width: numbers in a row.

    Example:
        >>> import tensorflow as tf
        >>> rows = GrowingRows(2)
        >>> rows.append(tf.constant([[1, 2], [3, 4]], tf.int64))
        >>> rows.numpy().tolist()
        [[1, 2], [3, 4]]
    """

    def __init__(self, width):
        # All replicas append the same rows, so reading one is enough.
        per_replica = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self._width = width
        # In the host's memory, which is larger; a strategy would place it on its devices.
        with tf.device("CPU:0"):
            self._rows = tf.Variable(
                tf.zeros([_FIRST_CAPACITY, width], tf.int64), shape=[None, width], **per_replica
            )
            self._size = tf.Variable(0, dtype=tf.int64, **per_replica)

    def append(self, rows):
        """Appends a tensor of rows, in a replica's context."""
        start = self._size.read_value()
        end = start + tf.shape(rows, tf.int64)[0]
        # If the rows were read for their shape, the next assignment would copy them.
        capacity = tf.raw_ops.VariableShape(input=self._rows.handle, out_type=tf.int64)[0]

        def grow():
            added_rows = tf.maximum(capacity, end - capacity)
            free = tf.zeros(tf.stack([added_rows, self._width]), tf.int64)
            self._rows.assign(tf.concat([self._rows.read_value(), free], axis=0))
            return end

        tf.cond(end > capacity, grow, lambda: end)
        tf.raw_ops.ResourceStridedSliceAssign(
            ref=self._rows.handle,
            begin=tf.stack([start]),
            end=tf.stack([end]),
            strides=tf.constant([1], tf.int64),
            value=rows,
        )
        self._size.assign(end)

    def clear(self):
        self._size.assign(0)

    def numpy(self):
        """All rows, an array of shape (rows, width)."""
        return self._rows.numpy()[: self._size.numpy()]
