"""The base class of click metrics that keep sums, not examples."""

from typing import Any

import tensorflow as tf

from rocket_tf.metrics.ranking import ExactAUC


class MetricOfSums(ExactAUC):
    """A metric of clicks that keeps sums by bins, on every replica.

    A subclass adds to `totals` in `_store`, and reads them in `result`.

    Args:
        shape: of the sums, float64.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Attributes:
        totals: the sums, a `tf.Variable`.

    Example:
        >>> class Clicks(MetricOfSums):
        ...     def _store(self, rows):
        ...         _, labels, weights, _ = usable(rows)
        ...         self.totals.assign_add(tf.reduce_sum(labels * weights)[None])
        ...     def result(self):
        ...         return float(self.totals[0])
        >>> clicks = Clicks([1], name="clicks")
        >>> clicks.update_state([1, 0, 1], [0.5, 0.1, 0.2])
        >>> clicks.result()
        2.0
    """

    def __init__(self, shape: list[int], name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        per_replica = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        with tf.device("CPU:0"):
            self.totals = tf.Variable(tf.zeros(shape, tf.float64), **per_replica)

    def reset_state(self) -> None:
        self.totals.assign(tf.zeros_like(self.totals))

    def check(self, wrong, negative):
        """Raises ValueError if there were wrong labels or negative weights."""
        if wrong:
            raise ValueError(f"{self.name}: labels must be 0 or 1. Received others among them")
        if negative:
            raise ValueError(f"{self.name}: sample weights must be at least 0. Received less")


def usable(rows):
    """The examples that count, and the numbers of invalid values.

    Args:
        rows: as `MetricOfAllExamples` has them, of scores, labels and weights.

    Returns:
        `(scores, labels, weights, faults)`: float64 tensors of shape (examples,), with 0 for scores
        that are NaN and for examples that do not count; and the numbers of NaN scores or weights,
        of wrong labels, and of negative weights, shape (3,).

    Example:
        >>> rows = tf.constant([[0.3, 1.0, 2.0], [float("nan"), 1.0, 1.0]], tf.float64)
        >>> scores, _, weights, faults = usable(tf.bitcast(rows, tf.int64))
        >>> scores.numpy().tolist(), weights.numpy().tolist(), faults.numpy().tolist()
        ([0.3, 0.0], [2.0, 0.0], [1.0, 0.0, 0.0])
    """
    scores, labels, weights = tf.unstack(tf.bitcast(rows, tf.float64), num=3, axis=1)
    is_number = ~(tf.math.is_nan(scores) | tf.math.is_nan(weights))
    is_label = (labels == 0) | (labels == 1)
    is_used = is_number & is_label & (weights > 0)
    faults = [
        tf.math.count_nonzero(fault, dtype=tf.float64)
        for fault in (~is_number & (weights != 0), ~is_label & (weights != 0), weights < 0)
    ]
    zeros = tf.zeros_like(scores)
    return (
        tf.where(is_number, scores, zeros),
        tf.where(is_used, labels, zeros),
        tf.where(is_used, weights, zeros),
        tf.stack(faults),
    )
