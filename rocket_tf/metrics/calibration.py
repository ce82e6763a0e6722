"""Whether predicted probabilities of clicks match the frequency of clicks."""

import math

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.metrics.sums import MetricOfSums, usable

_BINS = 20  # of the predicted probability, each 0.05 wide


class _ByBins(MetricOfSums):
    """Sums of weights, of predicted probabilities and of clicks, by bins of the former."""

    def __init__(self, name, dtype=None):
        # The last row has the numbers of invalid values.
        super().__init__([_BINS + 1, 3], name=name, dtype=dtype)

    def sums(self):
        """The sums since `reset_state`: weights, predicted clicks and clicks by bins.

        Returns:
            Float64 array of shape (3, 20), or `None` if a logit or a weight is NaN.

        Raises:
            ValueError: if a label is neither 0 nor 1, or a weight is negative.
        """
        sums = self.totals.numpy()
        not_numbers, *faults = sums[_BINS]
        self.check(*faults)
        return None if not_numbers else sums[:_BINS].T

    def _store(self, rows):
        scores, labels, weights, faults = usable(rows)
        predicted = tf.sigmoid(scores)
        bins = tf.cast(tf.minimum(tf.floor(predicted * _BINS), _BINS - 1), tf.int64)
        added = tf.stack([weights, weights * predicted, weights * labels], axis=1)
        by_bin = tf.math.unsorted_segment_sum(added, bins, _BINS)
        self.totals.assign_add(tf.concat([by_bin, faults[None]], axis=0))


@keras.saving.register_keras_serializable(package="rocket_tf")
class Calibration(_ByBins):
    """Predicted clicks divided by observed clicks: 1 is right, above 1 is too many.

    It is the weighted sum of predicted probabilities divided by that of the labels, over a whole
    evaluation; NaN without clicks. It takes the same values as `ExactAUC`, but scores must be
    logits.

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
        """The ratio over all batches since `reset_state`, a float; raises like `ExactAUC`."""
        sums = self.sums()
        if sums is None or not sums[2].sum():
            return math.nan
        return float(sums[1].sum() / sums[2].sum())


@keras.saving.register_keras_serializable(package="rocket_tf")
class CalibrationError(_ByBins):
    """The expected calibration error (Guo et al., "On Calibration ...", ICML 2017).

    Examples are sorted by the predicted probability of a click into 20 bins, each 0.05 wide. The
    error is the distance between a bin's mean prediction and its share of clicks, averaged over
    examples with their weights; NaN without examples. It takes the same values as `ExactAUC`, but
    scores must be logits.

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
        """The error over all batches since `reset_state`, a float; raises like `ExactAUC`."""
        sums = self.sums()
        if sums is None or not sums[0].sum():
            return math.nan
        return float(np.abs(sums[1] - sums[2]).sum() / sums[0].sum())
