"""Hint losses for three classes or more; their attributes are those of `hint_losses.py`.

Both take logits of shape (batch, ..., classes), and give one value for each example and position.
"""

import math
import numbers

import keras
import tensorflow as tf
from keras import ops

from rocket_tf.core.distributed_model import stacked_over_replicas
from rocket_tf.core.hint_losses import WithTemperature

_ONE_CLASS_EACH = (
    "The hint 'dkd' compares by the class of each label, and needs labels of one class each: whole "
    "numbers below the number of classes, or one-hot. Mixed labels, such as those of MixUp and "
    "CutMix, have no such class; take another hint, such as 'kd', or turn the mixing off"
)


@keras.saving.register_keras_serializable(package="rocket_tf")
class DecoupledKnowledgeDistillation(WithTemperature):
    """Decoupled knowledge distillation (Zhao et al., CVPR 2022).

    With softmaxes q of z/T and p of l/T, and t the class of the label:

        T² · (alpha · KL((q_t, 1 − q_t), (p_t, 1 − p_t)) + beta · KL(q without t, p without t))

    where the last two are softmaxes over the other classes. It needs labels of one class each:
    whole numbers of shape (batch, ...) or (batch, ..., 1), or one-hot, (batch, ..., classes). If a
    label is neither, such as a mixture of two classes, the step fails. Under XLA, which cannot
    raise such errors, the value is NaN, with gradient 0. The authors raise the weight linearly over
    the first 20 epochs; a `Hint`'s weight may be a schedule.

    Args:
        temperature: T, a finite number above 0.
        name, reduction, dtype: as in `keras.losses.Loss`.
        alpha, beta: weights of the two parts, finite numbers of at least 0.

    Raises:
        ValueError: if an argument is not such a number, or if it is called without labels.
        tf.errors.InvalidArgumentError: if a label is not one of the classes.

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0, 3.0]]), np.array([[0.0, 2.0, 1.0]])
        >>> loss = DecoupledKnowledgeDistillation(temperature=1.0)
        >>> loss.call(booster, light, labels=[2]).numpy().round(4)
        array([8.853])
    """

    compares = "logits"
    least_classes = 3

    def __init__(
        self,
        temperature=4.0,
        name="dkd",
        reduction="sum_over_batch_size",
        dtype=None,
        alpha=1.0,
        beta=8.0,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature
        self.alpha, self.beta = _factor("alpha", alpha), _factor("beta", beta)

    def call(self, y_true, y_pred, labels=None):
        """One value for each example and position, shape (batch, ...)."""
        if labels is None:
            raise ValueError("'dkd' compares by the labels' classes, but there are no labels")
        is_target, has_class = _target_classes(labels, y_pred)
        tf.debugging.Assert(ops.all(has_class), [_ONE_CLASS_EACH])  # which XLA leaves out
        followed, follower = (
            _target_and_rest(self._scaled(logits), is_target) for logits in (y_true, y_pred)
        )
        # At the target, both logarithms among the rest are 0, and so is their difference.
        target_term, rest_term = (
            ops.sum(ops.exp(q) * (q - p), axis=-1) for q, p in zip(followed, follower, strict=True)
        )
        value = self.temperature**2 * (self.alpha * target_term + self.beta * rest_term)
        return ops.where(has_class, value, math.nan)

    def _scaled(self, logits):
        """Divides by the temperature; the highest becomes 0, because large ones are rounded."""
        highest = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
        return (logits - highest) / self.temperature

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable(package="rocket_tf")
class CorrelationDistance(WithTemperature):
    """DIST: 1 − the correlation of the softmaxes (Huang et al., NeurIPS 2022).

    With softmaxes q of z/T and p of l/T, and Pearson's correlation r:

        T² · (beta · (1 − r over classes) + gamma · (1 − r over the batch, mean over classes))

    The first part belongs to each example. The second is the same for all: it is over all examples
    and positions of the global batch, of all replicas. `weights` weigh the examples in it, so an
    example of weight 0 has no effect. The whole term, the mean of weight times value, is
    proportional to the weights, like other hints. If a standard deviation is below
    `keras.config.epsilon()`, the correlation is 0, with gradient 0.

    If it is called like other Keras losses, its correlations ignore sample weights; a `RocketModel`
    passes it the weights.

    Args:
        temperature: T, a finite number above 0.
        name, reduction, dtype: as in `keras.losses.Loss`.
        beta, gamma: weights of the two parts, finite numbers of at least 0.

    Raises:
        ValueError: if an argument is not such a number.

    Example:
        >>> import numpy as np
        >>> booster = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
        >>> light = np.array([[0.0, 2.0, 1.0], [1.0, 0.5, 0.0]])
        >>> round(float(CorrelationDistance()(booster, light)), 4)
        1.9044
    """

    compares = "logits"
    least_classes = 3

    def __init__(
        self,
        temperature=1.0,
        name="dist",
        reduction="sum_over_batch_size",
        dtype=None,
        beta=1.0,
        gamma=1.0,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature
        self.beta, self.gamma = _factor("beta", beta), _factor("gamma", gamma)

    def call(self, y_true, y_pred, weights=None):
        """One value for each example and position; `weights` of the same shape, (batch, ...)."""
        followed, follower = (ops.softmax(logits / self.temperature) for logits in (y_true, y_pred))
        centred = [
            probabilities - ops.mean(probabilities, axis=-1, keepdims=True)
            for probabilities in (followed, follower)
        ]
        example_correlation = _correlation(
            *_second_moments(*centred, lambda x: ops.mean(x, axis=-1))
        )
        class_correlations = _correlation_over_batch(followed, follower, weights)
        value = self.beta * (1 - example_correlation) + self.gamma * (
            1 - ops.mean(class_correlations)
        )
        return self.temperature**2 * value

    def get_config(self):
        return {**super().get_config(), "beta": self.beta, "gamma": self.gamma}


def _factor(name, value):
    if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
        raise ValueError(
            f"{name} must be a finite number of at least 0. Received: {name}={value!r}"
        )
    return float(value)


def _target_classes(labels, logits):
    """The label's class as a mask, (batch, ..., classes); and whether it has one, (batch, ...)."""
    labels = ops.convert_to_tensor(labels)
    classes = logits.shape[-1]
    if len(labels.shape) == len(logits.shape) and labels.shape[-1] != 1:
        labels = ops.cast(labels, logits.dtype)
    else:
        if len(labels.shape) == len(logits.shape):
            labels = ops.squeeze(labels, axis=-1)
        labels = ops.one_hot(ops.cast(labels, "int64"), classes, dtype=logits.dtype)
    is_target = labels == 1
    one_target = ops.sum(ops.cast(is_target, "int32"), axis=-1) == 1
    has_class = one_target & ops.all(is_target | (labels == 0), axis=-1)
    return is_target & has_class[..., None], has_class


def _target_and_rest(logits, is_target):
    """Log-probabilities of (target, rest), and of the classes among the rest, 0 at the target."""
    rest_logits = ops.where(is_target, -math.inf, logits)
    highest = ops.stop_gradient(ops.max(rest_logits, axis=-1, keepdims=True))
    # A finite number replaces the target, or the gradient of exp would be NaN.
    shifted = ops.where(is_target, 0.0, logits - highest)
    exponentials = ops.where(is_target, 0.0, ops.exp(shifted))
    rest_logit = highest + ops.log(ops.sum(exponentials, axis=-1, keepdims=True))
    target_logit = ops.sum(ops.where(is_target, logits, 0.0), axis=-1, keepdims=True)
    log_probabilities = ops.log_softmax(
        ops.concatenate([target_logit, rest_logit], axis=-1), axis=-1
    )
    return log_probabilities, ops.where(is_target, 0.0, logits - rest_logit)


def _second_moments(x, y, mean):
    return mean(x * y), mean(x * x), mean(y * y)


def _correlation(covariance, first, second):
    """Pearson's correlation from moments; 0, without a gradient, if a variance is tiny."""
    tiny = keras.config.epsilon() ** 2
    varies = (first > tiny) & (second > tiny)
    product = ops.where(varies, first, 1.0) * ops.where(varies, second, 1.0)
    return ops.where(varies, covariance * ops.rsqrt(product), 0.0)


def _correlation_over_batch(x, y, weights):
    """The correlation over all examples and positions of all replicas, for each class."""
    classes = x.shape[-1]
    weights = ops.ones_like(x[..., 0]) if weights is None else weights
    x, y = ops.reshape(x, (-1, classes)), ops.reshape(y, (-1, classes))
    weights = ops.reshape(weights, (-1, 1))
    # Each replica's means and the moments around them, in one collective: sums of squares that are
    # not centred would cancel in float32.
    total = ops.sum(weights)

    def mean(values):
        return ops.divide_no_nan(ops.sum(weights * values, axis=0), total)

    means = mean(x), mean(y)
    moments = _second_moments(x - means[0], y - means[1], mean)
    statistics = ops.concatenate([ops.full((classes,), 1.0, x.dtype) * total, *means, *moments])
    by_replica = ops.reshape(stacked_over_replicas(statistics), (-1, 6, classes))
    totals = by_replica[:, 0]
    shares = ops.divide_no_nan(totals, ops.sum(totals, axis=0))

    def mean_of_replicas(values):
        return ops.sum(shares * values, axis=0)

    x_means, y_means = by_replica[:, 1], by_replica[:, 2]
    within = [mean_of_replicas(by_replica[:, index]) for index in (3, 4, 5)]
    between = _second_moments(
        x_means - mean_of_replicas(x_means), y_means - mean_of_replicas(y_means), mean_of_replicas
    )
    return _correlation(*(a + b for a, b in zip(within, between, strict=True)))
