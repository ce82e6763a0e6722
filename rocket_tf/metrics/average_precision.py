"""How well scores rank the examples that have a class, if examples may have several."""

import math

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.metrics.all_examples import MetricOfAllExamples


@keras.saving.register_keras_serializable(package="rocket_tf")
class MeanAveragePrecision(MetricOfAllExamples):
    """The mean of the classes' average precisions, exact.

    For each class, examples are taken from the highest logit down, those with equal logits
    together. Each gain in recall is weighted with the precision so far: this is the area under the
    steps of the precision-recall curve, without interpolation. Classes that no example has are left
    out.

    All examples of an evaluation are kept on every replica, 8 bytes for each class and 8 more.
    Under `tf.distribute`, make it under the strategy's scope.

    Args:
        num_classes: number of classes.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Example:
        >>> metric = MeanAveragePrecision(2)
        >>> metric.update_state([[1, 0], [0, 0], [1, 1]], [[3.0, 1.0], [2.0, 5.0], [1.0, 3.0]])
        >>> round(metric.result(), 4)  # of (1 + 2/3) / 2 and 1/2
        0.6667
    """

    def __init__(self, num_classes, name="map", dtype=None):
        super().__init__(num_classes + 1, name=name, dtype=dtype)
        self.num_classes = num_classes

    def update_state(self, y_true, y_pred, sample_weight=None, groups=None):
        """Adds a batch.

        Args:
            y_true: 0 or 1, shape (batch, classes).
            y_pred: logits, shape (batch, classes), which are ranked as float32.
            sample_weight: `None`; all examples have the same weight.
            groups: ignored by this metric.

        Raises:
            ValueError: if a shape is not as above, there are weights, or the metric was made under
                another strategy.
        """
        if sample_weight is not None:
            raise ValueError(
                f"{self.name} does not weigh examples. Received: sample_weight; pass it among "
                "metrics, not weighted_metrics"
            )
        y_true, y_pred = (tf.cast(tensor, tf.float32) for tensor in (y_true, y_pred))
        for name, values in (("y_true", y_true), ("y_pred", y_pred)):
            if not values.shape.is_compatible_with((None, self.num_classes)):
                raise ValueError(
                    f"{name} must have the shape (batch, {self.num_classes}). "
                    f"Received: {values.shape}"
                )
        is_label = tf.reduce_all((y_true == 0) | (y_true == 1), axis=-1, keepdims=True)
        # The bits of a logit and one for the label; in front, 1, or 2 for an invalid label.
        bits = tf.cast(tf.bitcast(y_pred, tf.int32), tf.int64)
        packed = 2 * bits + tf.cast(y_true == 1, tf.int64)
        self.append_rows(tf.concat([2 - tf.cast(is_label, tf.int64), packed], axis=-1))

    def result(self):
        """The metric of all batches since `reset_state`.

        Returns:
            A float; NaN if no example has a class, or if a logit is NaN.

        Raises:
            ValueError: if a label is neither 0 nor 1.
            RuntimeError: within a `tf.function`.
        """
        rows = self.kept_rows()
        rows = rows[rows[:, 0] != 0]
        if (rows[:, 0] == 2).any():
            raise ValueError(f"{self.name}: labels must be 0 or 1. Received others among them")
        precisions = []
        for column in rows.T[1:]:
            scores, labels = (column >> 1).astype(np.int32).view(np.float32), column & 1
            if np.isnan(scores).any():
                return math.nan
            if labels.any():
                precisions.append(_average_precision(scores, labels))
        return float(np.mean(precisions)) if precisions else math.nan

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def _average_precision(scores, labels):
    order = np.argsort(-scores)
    scores, hits = scores[order], np.cumsum(labels[order])
    last_of_ties = np.append(scores[1:] != scores[:-1], True)
    hits, ranks = hits[last_of_ties], np.flatnonzero(last_of_ties) + 1
    return float(np.sum(np.diff(hits, prepend=0) * (hits / ranks)) / hits[-1])
