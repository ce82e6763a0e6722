"""Whether predicted probabilities of clicks are as high as clicks are frequent."""

import math

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.metrics.ranking import ExactAUC

_BINS = 20  # of the predicted probability, each 0.05 wide


class _ByBins(ExactAUC):
    """Sums of weights, of predicted probabilities and of clicks, by bins of the former."""

    def __init__(self, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        per_replica = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        with tf.device("CPU:0"):
            # In the last row, sums of what must not be there.
            self._sums = tf.Variable(tf.zeros([_BINS + 1, 3], tf.float64), **per_replica)

    def reset_state(self):
        self._sums.assign(tf.zeros_like(self._sums))

    def sums(self):
        """What was added since `reset_state`: weights, predicted clicks and clicks by bins.

        Returns:
            Float64 array of shape (3, 20), or `None` where a logit or a weight is NaN.

        Raises:
            ValueError: if a label is neither 0 nor 1, or a weight is negative.
        """
        sums = self._sums.numpy()
        not_numbers, wrong, negative = sums[_BINS]
        if wrong:
            raise ValueError(f"{self.name}: labels must be 0 or 1. Received others among them")
        if negative:
            raise ValueError(f"{self.name}: sample weights must be at least 0. Received less")
        return None if not_numbers else sums[:_BINS].T

    def _store(self, rows):
        scores, labels, weights = tf.unstack(tf.bitcast(rows, tf.float64), num=3, axis=1)
        is_number = ~(tf.math.is_nan(scores) | tf.math.is_nan(weights))
        is_label = (labels == 0) | (labels == 1)
        is_used = is_number & is_label & (weights > 0)
        zeros = tf.zeros_like(scores)
        predicted = tf.sigmoid(tf.where(is_number, scores, zeros))
        weight = tf.where(is_used, weights, zeros)
        bins = tf.cast(tf.minimum(tf.floor(predicted * _BINS), _BINS - 1), tf.int64)
        added = tf.stack([weight, weight * predicted, weight * tf.where(is_used, labels, zeros)], 1)
        faults = [
            tf.math.count_nonzero(fault, dtype=tf.float64)
            for fault in (~is_number & (weights != 0), ~is_label & (weights != 0), weights < 0)
        ]
        by_bin = tf.math.unsorted_segment_sum(added, bins, _BINS)
        self._sums.assign_add(tf.concat([by_bin, tf.stack(faults)[None]], axis=0))


@keras.saving.register_keras_serializable(package="rocket_tf")
class Calibration(_ByBins):
    """How many clicks were predicted for each one that there is: 1 is right, more is too many.

    The sum of predicted probabilities divided by that of the labels, over a whole evaluation, by
    sample weights. Takes what `ExactAUC` takes; scores must be logits. NaN where there is no click.

    Args:
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Example:
        >>> import math
        >>> calibration = Calibration()
        >>> calibration.update_state([0, 0, 0, 1], [-math.log(3)] * 4)  # a probability of 1/4
        >>> round(calibration.result(), 6)
        1.0
    """

    def __init__(self, name="calibration", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def result(self):
        """The ratio over all batches since `reset_state`, a float; errors as of `ExactAUC`."""
        sums = self.sums()
        if sums is None or not sums[2].sum():
            return math.nan
        return float(sums[1].sum() / sums[2].sum())


@keras.saving.register_keras_serializable(package="rocket_tf")
class CalibrationError(_ByBins):
    """The expected calibration error (Guo et al., "On Calibration ...", ICML 2017).

    Examples are sorted into 20 bins by the predicted probability of a click, each 0.05 wide. The
    error is the mean over examples of how far their bin's mean prediction is from its share of
    clicks, by sample weights. Takes what `ExactAUC` takes; scores must be logits. NaN where there
    are no examples.

    Args:
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Example:
        >>> error = CalibrationError()
        >>> error.update_state([0, 1, 1, 1], [0.0] * 4)  # predicted 1/2, observed 3/4
        >>> error.result()
        0.25
    """

    def __init__(self, name="calibration_error", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def result(self):
        """The error over all batches since `reset_state`, a float; errors as of `ExactAUC`."""
        sums = self.sums()
        if sums is None or not sums[0].sum():
            return math.nan
        return float(np.abs(sums[1] - sums[2]).sum() / sums[0].sum())
