"""The base class of metrics that need all examples of an evaluation at once."""

import keras
import tensorflow as tf

from rocket_tf.metrics.growing_rows import GrowingRows


class MetricOfAllExamples(keras.metrics.Metric):
    """A metric that keeps a row of each example of an evaluation, on every replica.

    A subclass calls `append_rows` in `update_state` and `kept_rows` in `result`. `update_state`
    also works in a `tf.function` and in `strategy.run`, even if replicas have different numbers of
    examples, or none. A row of zeros must have no effect.

    Args:
        width: 64-bit integers in a row.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Example:
        >>> class LargestLabel(MetricOfAllExamples):
        ...     def update_state(self, y_true, y_pred, sample_weight=None, groups=None):
        ...         self.append_rows(tf.constant(y_true, tf.int64)[:, None])
        ...     def result(self):
        ...         return int(self.kept_rows().max())
        >>> metric = LargestLabel(width=1)
        >>> metric.update_state([3, 7], y_pred=None)
        >>> metric.update_state([5], y_pred=None)
        >>> metric.result()
        7
    """

    ranks_all_examples = True  # so that a RocketModel computes its result once per evaluation

    def __init__(self, width, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self._strategy = tf.distribute.get_strategy()
        self._kept = GrowingRows(width)

    def reset_state(self):
        self._kept.clear()

    def append_rows(self, rows):
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.strategy is not self._strategy:
            raise ValueError(
                f"{type(self).__name__} must be made under the scope of the strategy that runs "
                f"update_state on its replicas. Received: made under "
                f"{type(self._strategy).__name__}, now "
                f"{type(tf.distribute.get_strategy()).__name__}; make it under `with "
                "strategy.scope():`, and update it in `strategy.run`"
            )
        if replica.num_replicas_in_sync > 1:
            # If all replicas are empty, all_gather crashes.
            missing = tf.maximum(1 - tf.shape(rows)[0], 0)
            rows = replica.all_gather(tf.pad(rows, [[0, missing], [0, 0]]), axis=0)
        self._store(rows)

    def _store(self, rows):
        """Keeps the parts of rows that the result needs; every replica gets the same rows."""
        self._kept.append(rows)

    def kept_rows(self):
        """All rows, an int64 array."""
        if not tf.executing_eagerly():
            raise RuntimeError(
                f"{type(self).__name__}.result() sorts on the host; call it outside tf.function, "
                "after the last batch"
            )
        return self._kept.numpy()
