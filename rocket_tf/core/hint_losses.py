"""Hint losses: the distance between the light net and the net that it follows.

Losses on logits take shape (batch, ..., classes) and give one value for each example, summed over
classes; calling a loss averages over the batch. A single logit means two classes, its own and one
with logit 0, so softmaxes become sigmoids. For multi-label outputs, where each of several logits
means that, there are the sigmoid forms. Equations and figures are in the paper's section on hint
losses and its Table 3. Attention transfer, cosine and Euclidean distance are for hidden layers.

Each loss has an attribute `compares`: "logits"; "vectors" over the last axis, either logits or a
layer's channels; or "maps" of where two layers are active, with any numbers of channels. The shapes
of a loss without it are not checked. A loss that needs a number of classes has `least_classes`.

A loss may have these arguments in its `call`: `mask`, the mask of the positions, shape (batch,
...), if there is one; `labels`, the batch's labels of the output; `weights`, the weight of each
value: the sample weights, and 0 at masked positions.
"""

import math
import numbers

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="rocket_tf")
class LogitsMSE(keras.losses.Loss):
    """Squared distance of the logits, ‖l − z‖² (the paper's choice, "mimic").

    Its gradient with respect to the light net's logits is 2 (l − z), which does not vanish while
    the logits differ (equation 3, where the 2 is missing).

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(LogitsMSE()(booster, light)), 4)
        5.0
    """

    compares = "vectors"

    def __init__(self, name="logits_mse", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.sum(ops.square(y_pred - y_true), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class SoftmaxMSE(keras.losses.Loss):
    """Squared distance of the softmaxes, ‖p − q‖².

    Its gradient with respect to the light net's logits vanishes where p vanishes, even if the light
    net is wrong there (equation 2).

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(SoftmaxMSE()(booster, light)), 4)
        0.7487
    """

    compares = "logits"

    def __init__(self, name="softmax_mse", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        difference = ops.softmax(_with_two_classes(y_pred)) - ops.softmax(_with_two_classes(y_true))
        return ops.sum(ops.square(difference), axis=-1)


class WithTemperature(keras.losses.Loss):
    """Base class of losses with a `temperature`, which may be set at any time.

    Raises:
        ValueError: if `temperature` is set to anything but a finite number above 0.

    Example:
        >>> loss = KnowledgeDistillation()
        >>> loss.temperature = 0.0
        Traceback (most recent call last):
        ValueError: temperature must be above 0, and finite. Received: temperature=0.0
    """

    def __setattr__(self, name, value):
        if name == "temperature" and not (isinstance(value, numbers.Real) and 0 < value < math.inf):
            raise ValueError(
                f"temperature must be above 0, and finite. Received: temperature={value!r}"
            )
        super().__setattr__(name, value)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="rocket_tf")
class KnowledgeDistillation(WithTemperature):
    """Cross-entropy of the softmaxes of z/T and l/T, times T² (Hinton et al., 2015).

    At high T its gradient with respect to the light net's logits tends to (l − z) / N, for N
    classes and centred logits (equation 4, times T²).

    With `standardize`, each example's logits, in both nets, are first scaled to mean 0 and
    (population) standard deviation 1 over the classes. The light net then follows their order and
    ratios, but not their scale (Sun et al., "Logit Standardization in Knowledge Distillation", CVPR
    2024). If all logits of an example are equal, they become 0, and their gradient is 0. At least
    three classes are needed, since two would always become -1 and 1.

    Args:
        temperature: T, a finite number above 0. `None`: 4, or 2 with `standardize`, as in the
            papers.
        name, reduction, dtype: as in `keras.losses.Loss`.
        standardize: whether to standardize the logits.

    Raises:
        ValueError: if `temperature` is given or set to anything but such a number.

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(KnowledgeDistillation(temperature=2.0)(booster, light)), 4)
        3.7429
    """

    compares = "logits"

    def __init__(
        self,
        temperature=None,
        name="kd",
        reduction="sum_over_batch_size",
        dtype=None,
        standardize=False,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if temperature is None:
            temperature = 2.0 if standardize else 4.0
        self.temperature = temperature
        self.standardize = bool(standardize)
        self.least_classes = 3 if standardize else 1

    def call(self, y_true, y_pred):
        y_true, y_pred = _with_two_classes(y_true), _with_two_classes(y_pred)
        if self.standardize:
            y_true, y_pred = _standardized(y_true), _standardized(y_pred)
        target = ops.softmax(y_true / self.temperature)
        log_prediction = ops.log_softmax(y_pred / self.temperature)
        return -(self.temperature**2) * ops.sum(target * log_prediction, axis=-1)

    def get_config(self):
        return {**super().get_config(), "standardize": self.standardize}


@keras.saving.register_keras_serializable(package="rocket_tf")
class SigmoidMSE(keras.losses.Loss):
    """Squared distance of the sigmoids, summed over logits: the softmax MSE of multi-label outputs.

    For a single logit, it is half of `SoftmaxMSE`, which counts both classes.

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(SigmoidMSE()(booster, light)), 4)
        0.1984
    """

    compares = "logits"

    def __init__(self, name="sigmoid_mse", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.sum(ops.square(ops.sigmoid(y_pred) - ops.sigmoid(y_true)), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class SigmoidKnowledgeDistillation(WithTemperature):
    """Binary cross-entropies of the sigmoids of z/T and l/T, times T², summed over logits.

    It is for multi-label outputs. For a single logit, it equals `KnowledgeDistillation`.

    Args:
        temperature: T, a finite number above 0.
        name, reduction, dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: if `temperature` is given or set to anything but such a number.

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(SigmoidKnowledgeDistillation(temperature=2.0)(booster, light)), 4)
        6.0256
    """

    compares = "logits"

    def __init__(
        self, temperature=4.0, name="sigmoid_kd", reduction="sum_over_batch_size", dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        target, prediction = y_true / self.temperature, y_pred / self.temperature
        # -q log p - (1 - q) log(1 - p), where log(1 - p) = log p - l/T
        cross_entropy = (1 - ops.sigmoid(target)) * prediction - ops.log_sigmoid(prediction)
        return self.temperature**2 * ops.sum(cross_entropy, axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class AttentionMSE(keras.losses.Loss):
    """Mean squared difference of two attention maps (Zagoruyko & Komodakis, 2017).

    It takes the activations of two hidden layers, (batch, ..., channels), which may have different
    numbers of channels, and gives one value for each example, the mean over positions. Masked
    positions, such as padding, count neither in the maps nor in the mean.

    Example:
        >>> import numpy as np
        >>> light, booster = np.ones((1, 4, 4, 8)), np.ones((1, 4, 4, 32))
        >>> float(AttentionMSE()(booster, light))
        0.0
    """

    compares = "maps"

    def __init__(self, name="attention", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred, mask=None):
        """One value for each example; `mask`, (batch, ...), is true where positions count."""
        maps = attention_map(y_pred, mask), attention_map(y_true, mask)
        squares = ops.square(maps[0] - maps[1])
        if mask is None:
            return ops.mean(squares, axis=-1)
        valid = ops.broadcast_to(ops.cast(mask, squares.dtype), ops.shape(y_pred)[:-1])
        return ops.divide_no_nan(
            ops.sum(squares, axis=-1), ops.sum(valid, axis=list(range(1, len(valid.shape))))
        )


@keras.saving.register_keras_serializable(package="rocket_tf")
class CosineDistance(keras.losses.Loss):
    """1 − the cosine of two vectors, over the last axis.

    If one of them is shorter than `keras.config.epsilon()`, it is 1, and its gradient is 0.

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(CosineDistance()(booster, light)), 4)
        1.0
    """

    compares = "vectors"

    def __init__(self, name="cosine", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return 1 - ops.sum(_unit_vectors(y_true) * _unit_vectors(y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class EuclideanDistance(keras.losses.Loss):
    """Length of the difference of two vectors, over the last axis.

    Its gradient has length 1, however close they are; for equal vectors, it is 0. `"logits_mse"` is
    its square.

    Example:
        >>> import numpy as np
        >>> booster, light = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> round(float(EuclideanDistance()(booster, light)), 4)
        2.2361
    """

    compares = "vectors"

    def __init__(self, name="euclidean", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        squares = ops.sum(ops.square(y_pred - y_true), axis=-1)
        # The gradient of the root at 0 is infinite, and times 0 it is NaN.
        positive = squares > 0
        return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def attention_map(activations, mask=None):
    """Where a layer is active: the mean of its squares over channels, scaled to length 1.

    Args:
        activations: float tensor, (batch, ..., channels), with one or more axes of positions.
        mask: bool tensor, (batch, ...), false at positions to leave out, where the map is 0; sizes
            may be 1. `None`: all count.

    Returns:
        Tensor of the same dtype, (batch, positions), of Euclidean length 1 for each example; zeros
        if the activations are zeros, or so small that the map is shorter than
        `keras.config.epsilon()`.

    Example:
        >>> import numpy as np
        >>> attention_map(np.ones((1, 2, 2, 8), np.float32)).numpy()
        array([[0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """
    squares = ops.mean(ops.square(activations), axis=-1)
    if mask is not None:
        squares = ops.where(mask, squares, 0.0)
    positions = math.prod(ops.shape(squares)[1:])
    return _unit_vectors(ops.reshape(squares, (-1, positions)))


def _unit_vectors(vectors):
    """Vectors over the last axis, scaled to length 1; zeros if they are shorter than epsilon."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    has_length = squares > keras.config.epsilon() ** 2
    # Without the inner `where`, the gradient at 0 is NaN under XLA.
    return ops.where(has_length, vectors * ops.rsqrt(ops.where(has_length, squares, 1.0)), 0.0)


def _with_two_classes(logits):
    """Logits of at least two classes: a 0 is added to a single logit."""
    if logits.shape[-1] != 1:
        return logits
    return ops.concatenate([ops.zeros_like(logits), logits], axis=-1)


def _standardized(logits):
    """Logits of mean 0 and population standard deviation 1 over classes; 0 if all are equal."""
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    return _unit_vectors(centred) * math.sqrt(logits.shape[-1])
