"""AUC and its average over users in memory that does not grow, with bounds of their errors."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.metrics.ranking import GroupAUC, areas_of
from rocket_tf.metrics.sums import MetricOfSums, usable

# Of the logit of a click, which is clipped: 2**20 bins of 2**-14 each.
_LARGEST_LOGIT, _BINS = 32, 2**20
_HASHES = 2**40
# With which probability the error of a sample of users is at most what is said.
_CONFIDENCE = 0.95


@keras.saving.register_keras_serializable(package="rocket_tf")
class BinnedAUC(MetricOfSums):
    """Area under the ROC curve, from counts of clicks and others by bins of the score.

    Takes what `ExactAUC` takes; its scores must be logits. Examples in one bin count as ties, so
    that the error is at most half the share of pairs of a click and another example that lie in one
    bin, which is known: `largest_error`. Bins are 2⁻¹⁴ wide, from -32 to 32; 16 MiB on every
    replica, however many examples there are.

    Args:
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Attributes:
        largest_error: how far the last result can be from that of `ExactAUC`; `None` before.

    Example:
        >>> auc = BinnedAUC()
        >>> auc.update_state([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> auc.result(), auc.largest_error
        (0.75, 0.0)
    """

    def __init__(self, name: str = "auc", dtype: Any = None) -> None:
        # Weights of others and of clicks in each bin, then the numbers of what must not be there.
        super().__init__([_BINS + 2, 2], name=name, dtype=dtype)
        self.largest_error: float | None = None

    def result(self) -> float:
        """The metric of all batches since `reset_state`; as `ExactAUC.result`."""
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
        places = tf.constant([[_BINS, 0], [_BINS, 1], [_BINS + 1, 0]], tf.int64)
        tf.raw_ops.ResourceScatterNdAdd(
            ref=self.totals.handle,
            indices=tf.concat([tf.stack([bins, columns], axis=1), places], axis=0),
            updates=tf.concat([weights, faults], axis=0),
        )


@keras.saving.register_keras_serializable(package="rocket_tf")
class SampledGroupAUC(GroupAUC):
    """The average of users' AUCs, over users that are drawn by a hash of their ids.

    As `GroupAUC`, which keeps 32 bytes of each example; this keeps those of a share of all users,
    the same in every evaluation.

    Args:
        group_by: name of the input that identifies the user.
        share: of the users that are kept, above 0 and at most 1.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Attributes:
        largest_error: how far the last result is from that over all users at most, with a
            probability of 95 %, by Hoeffding's inequality for users' AUCs between 0 and 1 with
            their impressions as weights; `None` before.

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
        """The metric of all batches since `reset_state`; as `GroupAUC.result`."""
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
