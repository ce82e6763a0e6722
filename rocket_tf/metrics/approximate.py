"""AUC and its average over users in constant memory, with bounds of their errors."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.metrics.ranking import GroupAUC, areas_of
from rocket_tf.metrics.sums import MetricOfSums, usable

# Bins of a click's logit, which is clipped: 2**20 bins of 2**-14 each.
_LARGEST_LOGIT, _BINS = 32, 2**20
_HASHES = 2**40
# The probability with which the error of a sample of users is within its bound.
_CONFIDENCE = 0.95


@keras.saving.register_keras_serializable(package="rocket_tf")
class BinnedAUC(MetricOfSums):
    """Area under the ROC curve, from counts of clicks and others by bins of the score.

    It takes the same values as `ExactAUC`, but scores must be logits. Examples in one bin count as
    ties. So the error is at most half the share of pairs (of a click and another example) in the
    same bin; this is `largest_error`. Bins are 2⁻¹⁴ wide, from -32 to 32, and take 16 MiB on every
    replica for any number of examples.

    Args:
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Attributes:
        largest_error: the largest possible difference between the last result and `ExactAUC`;
            `None` before there is a result.

    Example:
        >>> auc = BinnedAUC()
        >>> auc.update_state([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> auc.result(), auc.largest_error
        (0.75, 0.0)
    """

    def __init__(self, name: str = "auc", dtype: Any = None) -> None:
        # Weights of others and of clicks in each bin, then the numbers of invalid values.
        super().__init__([_BINS + 2, 2], name=name, dtype=dtype)
        self.largest_error: float | None = None

    def result(self) -> float:
        """The metric of all batches since `reset_state`, like `ExactAUC.result`."""
        sums = self.totals.numpy()
        (not_numbers, wrong), (negative, _) = sums[_BINS:]
        self.check(wrong, negative)
        others, clicks = sums[:_BINS].T
        pairs = clicks.sum() * others.sum()
        if not_numbers or not pairs:
            self.largest_error = None
            return math.nan
        below = np.cumsum(others) - others
        self.largest_error = float((clicks * others).sum() / 2 / pairs)
        return float((clicks * (below + others / 2)).sum() / pairs)

    def _store(self, rows):
        scores, labels, weights, faults = usable(rows)
        bins = tf.floor((scores + _LARGEST_LOGIT) * (_BINS / (2 * _LARGEST_LOGIT)))
        bins = tf.cast(tf.clip_by_value(bins, 0, _BINS - 1), tf.int64)
        columns = tf.cast(labels == 1, tf.int64)
        fault_indices = tf.constant([[_BINS, 0], [_BINS, 1], [_BINS + 1, 0]], tf.int64)
        tf.raw_ops.ResourceScatterNdAdd(
            ref=self.totals.handle,
            indices=tf.concat([tf.stack([bins, columns], axis=1), fault_indices], axis=0),
            updates=tf.concat([weights, faults], axis=0),
        )


@keras.saving.register_keras_serializable(package="rocket_tf")
class SampledGroupAUC(GroupAUC):
    """The average of users' AUCs, over users drawn by a hash of their ids.

    It is like `GroupAUC`, which keeps 32 bytes of each example, but it keeps only those of a share
    of all users, the same in every evaluation.

    Args:
        group_by: name of the input that identifies the user.
        share: share of the users to keep, above 0 and at most 1.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Attributes:
        largest_error: with a probability of 95 %, the last result differs by no more than this from
            that over all users (Hoeffding's inequality for AUCs between 0 and 1 with impressions as
            weights); `None` before there is a result.

    Example:
        >>> gauc = SampledGroupAUC("user", share=1.0)
        >>> gauc.update_state([0, 1, 0, 1], [0.1, 0.4, 0.9, 0.8], groups=[1, 1, 2, 2])
        >>> gauc.result(), round(gauc.largest_error, 3)
        (0.5, 0.96)
    """

    def __init__(
        self, group_by: str = "user", share: float = 0.1, name: str = "gauc", dtype: Any = None
    ) -> None:
        super().__init__(group_by=group_by, name=name, dtype=dtype)
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1. Received: share={share}")
        self.share = share
        self.largest_error: float | None = None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "share": self.share}

    def result(self) -> float:
        """The metric of all batches since `reset_state`, like `GroupAUC.result`."""
        areas, weights = areas_of(*self.kept_examples())
        if not len(areas):
            self.largest_error = None
            return math.nan
        spread = math.sqrt(np.square(weights / weights.sum()).sum())
        self.largest_error = spread * math.sqrt(math.log(2 / (1 - _CONFIDENCE)) / 2)
        return float(np.average(areas, weights=weights))

    def _store(self, rows):
        hashes = tf.strings.to_hash_bucket_fast(tf.strings.as_string(rows[:, 3]), _HASHES)
        super()._store(tf.boolean_mask(rows, hashes < int(self.share * _HASHES)))
