"""How well scores rank clicks above other impressions: exact AUC, and its average over users.

`keras.metrics.AUC` sorts scores into buckets, and does not average over users.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rocket_tf.metrics.all_examples import MetricOfAllExamples

_LARGEST_HASH = 2**63 - 1


@keras.saving.register_keras_serializable(package="rocket_tf")
class ExactAUC(MetricOfAllExamples):
    """Area under the ROC curve: how often an example with a click outranks one without.

    Ties count one half. All examples of an evaluation are kept on every replica, 24 bytes each (32
    in `GroupAUC`). `update_state` appends them, also in a `tf.function` and in `strategy.run`, even
    if replicas have different numbers of examples, or none. `result` sorts all in float64, so call
    it once, at the end.

    Under `tf.distribute`, make it under the strategy's scope.

    Args:
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Example:
        >>> import rocket_tf
        >>> auc = rocket_tf.ExactAUC()
        >>> auc.update_state([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> auc.result()
        0.75
    """

    _columns = 3

    def __init__(self, name: str = "auc", dtype: Any = None) -> None:
        super().__init__(self._columns, name=name, dtype=dtype)

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: 0 or 1 (click), shape (batch,) or (batch, 1).
            y_pred: logits, shape (batch,), (batch, 1) or (batch, 2); of two, the score is the
                second, the click's, minus the first. Any other scores with the same ranking work,
                too.
            sample_weight: weights of the examples, at least 0, shape (batch,) or (batch, 1).
                `None`: all 1.
            groups: ignored by this metric.

        Raises:
            ValueError: if a shape is not as above, or the metric was made under another strategy.
        """
        self._append(_columns_of(y_true, y_pred, sample_weight))

    def result(self) -> float:
        """The metric of all batches since `reset_state`.

        Returns:
            A float; NaN if there are no clicks or only clicks, or if a score or a weight is NaN.

        Raises:
            ValueError: if a label is neither 0 nor 1, or a weight is negative.
            RuntimeError: within a `tf.function`.
        """
        areas, weights = areas_of(*self.kept_examples())
        return float(np.average(areas, weights=weights)) if len(areas) else math.nan

    def _append(self, columns):
        self.append_rows(tf.stack(columns, axis=1))

    def kept_examples(self):
        """All examples with weights above 0: groups, scores, labels and weights, arrays."""
        columns = np.ascontiguousarray(self.kept_rows().T)
        columns = columns[:, columns[2].view(np.float64) != 0]
        scores, labels, weights = columns[:3].view(np.float64)
        if ((labels != 0) & (labels != 1)).any():
            wrong = labels[(labels != 0) & (labels != 1)][0]
            raise ValueError(f"{self.name}: labels must be 0 or 1. Received: {wrong:g} among them")
        if (weights < 0).any():
            raise ValueError(
                f"{self.name}: sample weights must be at least 0. Received: {weights.min():g}"
            )
        groups = columns[3] if len(columns) > 3 else np.zeros(len(scores), np.int64)
        return groups, scores, labels, weights


@keras.saving.register_keras_serializable(package="rocket_tf")
class GroupAUC(ExactAUC):
    """The users' AUCs, averaged with their impressions as weights.

    It says how well the items shown to each user are ranked, independently of other users' clicks
    (Zhou et al., "Deep Interest Network", KDD 2018, section on metrics). Impressions are the sums
    of sample weights. Users with only clicks, or without any, are left out.

    Args:
        group_by: name of the input that identifies the user.
        name: name of the metric.
        dtype: as in `keras.metrics.Metric`; it changes nothing that is computed.

    Example:
        >>> import rocket_tf
        >>> gauc = rocket_tf.GroupAUC("user")
        >>> users = ["ann", "ann", "bob", "bob"]
        >>> gauc.update_state([0, 1, 0, 1], [0.1, 0.4, 0.9, 0.8], groups=users)
        >>> gauc.result()
        0.5
    """

    _columns = 4

    def __init__(self, group_by: str = "user", name: str = "gauc", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.group_by = group_by

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None
    ) -> None:
        """Adds a batch, as `ExactAUC.update_state` does.

        Args:
            y_true: as there.
            y_pred: as there.
            sample_weight: as there.
            groups: the user of each example, shape (batch,) or (batch, 1): integers, or strings,
                which `tf.strings.to_hash_bucket_fast` hashes into 2⁶³ - 1 buckets (two of a
                million users fall into one with a probability of 5e-8).

        Raises:
            ValueError: as there, or if there are no groups, or they are neither integers nor
                strings.
        """
        if groups is None:
            raise ValueError(
                f"{self.name} ranks within each {self.group_by!r}. Received: groups=None; pass "
                "the user or group of each example, integers or strings of shape (batch,)"
            )
        columns = _columns_of(y_true, y_pred, sample_weight)
        self._append([*columns, _group_numbers(groups, columns[0])])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "group_by": self.group_by}


def _columns_of(y_true, y_pred, sample_weight):
    """Scores, labels and weights of a batch, float64 with their bits read as int64."""
    y_pred = tf.convert_to_tensor(y_pred)
    if y_pred.shape.rank == 2 and y_pred.shape[1] == 2:
        logits = tf.cast(y_pred, tf.float64)
        scores = logits[:, 1] - logits[:, 0]
    else:
        scores = _vector("y_pred", y_pred, "(batch,), (batch, 1) or (batch, 2)")
    labels = _vector("y_true", y_true, like=scores)
    weights = tf.ones_like(scores)
    if sample_weight is not None:
        weights = _vector("sample_weight", sample_weight, like=scores)
    return [tf.bitcast(tf.cast(x, tf.float64), tf.int64) for x in (scores, labels, weights)]


def _group_numbers(groups, like):
    groups = _vector("groups", groups, like=like)
    if groups.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(groups, _LARGEST_HASH)
    if not groups.dtype.is_integer:
        raise ValueError(f"groups must be integers or strings. Received: dtype {groups.dtype.name}")
    return tf.cast(groups, tf.int64)


def _vector(name, values, expected="(batch,) or (batch, 1)", like=None):
    """Values in the shape (batch,), that of `like` if it is given."""
    values = tf.convert_to_tensor(values)
    shape = values.shape
    if not (shape.rank in (None, 1) or (shape.rank == 2 and shape[1] in (None, 1))):
        raise ValueError(f"{name} must have the shape {expected}. Received: {shape}")
    vector = tf.reshape(values, [-1])
    if like is not None and not vector.shape.is_compatible_with(like.shape):
        raise ValueError(
            f"{name} must have an entry for each of the {like.shape[0]} scores in y_pred. "
            f"Received: shape {shape}"
        )
    return vector


def areas_of(groups, scores, labels, weights):
    """The AUC of each group that has both clicks and others, and its sum of weights.

    Args:
        groups: int64 array, shape (examples,).
        scores: float64 array, shape (examples,).
        labels: array of 0 and 1, shape (examples,).
        weights: array of numbers above 0, shape (examples,).

    Returns:
        Two float64 arrays with an entry for each such group. If a score or a weight is NaN, all
        areas are NaN.

    Example:
        >>> groups, scores, labels = [7, 7, 8], [0.2, 0.1, 0.5], [1, 0, 1]
        >>> areas, weights = areas_of(*map(np.array, (groups, scores, labels, [1.0, 1.0, 1.0])))
        >>> areas.tolist(), weights.tolist()
        ([1.0], [2.0])
    """
    if np.isnan(scores).any() or np.isnan(weights).any():
        return np.array([math.nan]), np.ones(1)
    order = np.lexsort((scores, groups))
    groups, scores = groups[order], scores[order]
    clicks = (weights * labels)[order]
    others = (weights * (1 - labels))[order]
    ties = _starts(groups, scores)
    if not len(ties):
        return np.empty(0), np.empty(0)
    clicks, others = np.add.reduceat(clicks, ties), np.add.reduceat(others, ties)
    starts = _starts(groups[ties])
    below = np.cumsum(others) - others
    below -= np.repeat(below[starts], np.diff(starts, append=len(ties)))
    outranked = np.add.reduceat(clicks * (below + others / 2), starts)
    clicks, others = np.add.reduceat(clicks, starts), np.add.reduceat(others, starts)
    both = (clicks > 0) & (others > 0)
    return outranked[both] / (clicks[both] * others[both]), (clicks + others)[both]


def _starts(*sorted_keys):
    """Where runs of equal keys begin."""
    begins = np.ones(len(sorted_keys[0]), bool)
    begins[1:] = np.any([key[1:] != key[:-1] for key in sorted_keys], axis=0)
    return np.flatnonzero(begins)
