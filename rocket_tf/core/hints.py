"""Hint losses: what pulls the light net towards the net that it follows.

Those on logits take shape (batch, ..., classes) and give one value for each example, summed over
classes; calling a loss averages over the batch. One logit stands for two classes, its own and one
whose logit is 0, so that the softmaxes become sigmoids; where each of several logits does so, as
with multi-label outputs, there are the sigmoid forms. Equations and figures: the paper's section on
hint losses, and its Table 3. Attention transfer, cosine and Euclidean distance are for hidden
layers.
"""

import math
import numbers

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule


@keras.saving.register_keras_serializable(package="rocket_tf")
class LogitsMSE(keras.losses.Loss):
    """Squared distance of the logits, ‖l − z‖² (the paper's choice, "mimic").

    Its gradient with respect to the light net's logits is 2 (l − z): it never vanishes while the
    logits differ (equation 3, without its missing 2).
    """

    def __init__(self, name="logits_mse", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.sum(ops.square(y_pred - y_true), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class SoftmaxMSE(keras.losses.Loss):
    """Squared distance of the softmaxes, ‖p − q‖².

    Its gradient with respect to the light net's logits vanishes wherever p does, however wrong the
    light net is there (equation 2).
    """

    def __init__(self, name="softmax_mse", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        difference = ops.softmax(_two_or_more(y_pred)) - ops.softmax(_two_or_more(y_true))
        return ops.sum(ops.square(difference), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class KnowledgeDistillation(keras.losses.Loss):
    """Cross-entropy of the softmaxes of z/T and l/T, times T² (Hinton et al., 2015).

    At high T its gradient with respect to the light net's logits tends to (l − z) / N, for N
    classes and centred logits (equation 4, times T²).

    Args:
        temperature: T, above 0.
        name, reduction, dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: if `temperature` is not above 0.
    """

    def __init__(self, temperature=4.0, name="kd", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0. Received: temperature={temperature}")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        target = ops.softmax(_two_or_more(y_true) / self.temperature)
        log_prediction = ops.log_softmax(_two_or_more(y_pred) / self.temperature)
        return -(self.temperature**2) * ops.sum(target * log_prediction, axis=-1)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="rocket_tf")
class SigmoidMSE(keras.losses.Loss):
    """Squared distance of the sigmoids, summed over logits: multi-label outputs' softmax MSE.

    Of a single logit it is half of `SoftmaxMSE`, which counts both classes.
    """

    def __init__(self, name="sigmoid_mse", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.sum(ops.square(ops.sigmoid(y_pred) - ops.sigmoid(y_true)), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class SigmoidKnowledgeDistillation(KnowledgeDistillation):
    """Binary cross-entropies of the sigmoids of z/T and l/T, times T², summed over logits.

    For multi-label outputs; of a single logit, the same as `KnowledgeDistillation`.

    Args:
        temperature: T, above 0.
        name, reduction, dtype: as in `keras.losses.Loss`.

    Raises:
        ValueError: if `temperature` is not above 0.
    """

    def __init__(
        self, temperature=4.0, name="sigmoid_kd", reduction="sum_over_batch_size", dtype=None
    ):
        super().__init__(temperature, name, reduction, dtype)

    def call(self, y_true, y_pred):
        target, prediction = y_true / self.temperature, y_pred / self.temperature
        # -q log p - (1 - q) log(1 - p), where log(1 - p) = log p - l/T
        cross_entropy = (1 - ops.sigmoid(target)) * prediction - ops.log_sigmoid(prediction)
        return self.temperature**2 * ops.sum(cross_entropy, axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class AttentionMSE(keras.losses.Loss):
    """Mean squared difference of two attention maps (Zagoruyko & Komodakis, 2017).

    Takes the activations of two hidden layers, (batch, height, width, channels), whose numbers of
    channels may differ; gives one value for each example, the mean over positions.
    """

    def __init__(self, name="attention", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        difference = attention_map(y_pred) - attention_map(y_true)
        return ops.mean(ops.square(difference), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class CosineDistance(keras.losses.Loss):
    """One less the cosine of two vectors, over the last axis.

    Where one of them is shorter than `keras.config.epsilon()`, it is 1, and its gradient 0.
    """

    def __init__(self, name="cosine", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return 1 - ops.sum(_of_length_one(y_true) * _of_length_one(y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="rocket_tf")
class EuclideanDistance(keras.losses.Loss):
    """Length of the difference of two vectors, over the last axis.

    Its gradient has length 1 however near they are; where they are equal, it is 0. `"logits_mse"`
    is its square.
    """

    def __init__(self, name="euclidean", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        squares = ops.sum(ops.square(y_pred - y_true), axis=-1)
        # The root's own gradient at 0 is no number.
        apart = squares > 0
        return ops.where(apart, ops.sqrt(ops.where(apart, squares, 1.0)), 0.0)


def attention_map(activations):
    """Where a layer is active: its squares' mean over channels, as a vector of length 1.

    Args:
        activations: float tensor, (batch, ..., channels), with one or more axes of positions.

    Returns:
        Tensor of the same dtype, (batch, positions), of Euclidean length 1 for each example; zeros
        where the activations are zeros, or so small that the map is shorter than
        `keras.config.epsilon()`.
    """
    squares = ops.mean(ops.square(activations), axis=-1)
    positions = math.prod(ops.shape(squares)[1:])
    return _of_length_one(ops.reshape(squares, (-1, positions)))


HINT_LOSSES = {
    "logits_mse": LogitsMSE,
    "softmax_mse": SoftmaxMSE,
    "kd": KnowledgeDistillation,
    "sigmoid_mse": SigmoidMSE,
    "sigmoid_kd": SigmoidKnowledgeDistillation,
    "cosine": CosineDistance,
    "euclidean": EuclideanDistance,
    "attention": AttentionMSE,
}


@keras.saving.register_keras_serializable(package="rocket_tf")
class Hint:
    """One hint term of the objective: weight · loss(what is followed, the light net's own).

    Args:
        loss: one of `HINT_LOSSES` by name, or a `keras.losses.Loss` that is called with the
            followed values and the light net's and averages over the batch. On logits:
            `"logits_mse"`, `"softmax_mse"`, `"kd"`, and for multi-label outputs `"sigmoid_mse"` and
            `"sigmoid_kd"`; between layers: `"cosine"`, `"euclidean"`, `"logits_mse"` (squared
            distance), `"attention"`.
        weight: factor of the term, at least 0; a label loss weighs 1. 0.03 is the paper's for
            `"logits_mse"` on CIFAR-10. Or a `keras.optimizers.schedules.LearningRateSchedule`, from
            the optimizer's steps to the factor.
        follows: `"booster"`, the net that trains beside the light one, or `"teacher"`, a trained
            net that stays as it is.
        name: name of the term in the logs, unique among a model's hints. `None`: `"hint_loss"`
            for the booster's, `"teacher_loss"` for the teacher's.
        temperature: T of `loss="kd"` and `"sigmoid_kd"`, 4 where not given (the paper's).
        layers: where the hint reads: a dict from names of the light net's layers to names of
            layers of the net that it follows. The term is the sum of the loss over these pairs of
            outputs. `None`: the logits; where nets have several outputs, the sum over them.
        projection: whether the light net's layer goes through a trained linear map to the width
            (last axis) of the layer that it is compared with, so that widths may differ (Romero et
            al., "FitNets", 2015). The map is the hint's alone and no part of the light net.

    Raises:
        ValueError: if an argument is not as above.
    """

    def __init__(
        self,
        loss="logits_mse",
        weight=0.03,
        follows="booster",
        name=None,
        temperature=None,
        layers=None,
        projection=False,
    ):
        is_schedule = isinstance(weight, LearningRateSchedule)
        if not is_schedule and not (isinstance(weight, numbers.Real) and weight >= 0):
            raise ValueError(
                "A hint's weight must be a number, at least 0, or a LearningRateSchedule. "
                f"Received: weight={weight!r}"
            )
        if follows not in ("booster", "teacher"):
            raise ValueError(
                f'A hint follows "booster" or "teacher". Received: follows={follows!r}'
            )
        if layers is not None and not _maps_names(layers):
            raise ValueError(
                "A hint's layers are a dict from names of the light net's layers to names of the "
                f"{follows}'s. Received: layers={layers!r}"
            )
        self.loss = _resolve(loss, temperature)
        if isinstance(self.loss, AttentionMSE) and layers is None:
            raise ValueError(
                'loss="attention" reads hidden layers. Received: layers=None; name pairs of them, '
                "as in Hint('attention', layers={'light_layer': 'booster_layer'})"
            )
        if projection and (layers is None or isinstance(self.loss, AttentionMSE)):
            raise ValueError(
                "A projection is for hidden layers that are compared in their width. Received: "
                f"projection={projection} with loss={self.loss.name!r} and layers={layers}; leave "
                "it out"
            )
        self.weight = weight if is_schedule else float(weight)
        self.follows = follows
        self.name = name or {"booster": "hint_loss", "teacher": "teacher_loss"}[follows]
        self.layers = None if layers is None else dict(layers)
        self.projection = bool(projection)

    def weight_at(self, step):
        """The weight at a step of the optimizer: a float, or a scalar tensor of a schedule."""
        return self.weight(step) if isinstance(self.weight, LearningRateSchedule) else self.weight

    def get_config(self):
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weight": keras.saving.serialize_keras_object(self.weight),
            "follows": self.follows,
            "name": self.name,
            "layers": self.layers,
            "projection": self.projection,
        }

    @classmethod
    def from_config(cls, config):
        resolved = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("loss", "weight")
        }
        return cls(**{**config, **resolved})


def _maps_names(layers):
    return (
        isinstance(layers, dict)
        and bool(layers)
        and all(isinstance(name, str) for name in (*layers, *layers.values()))
    )


def _resolve(loss, temperature):
    if temperature is not None and loss not in ("kd", "sigmoid_kd"):
        raise ValueError(
            'temperature belongs to loss="kd" and "sigmoid_kd"; a loss of your own holds its own. '
            f"Received: loss={loss!r}, temperature={temperature}"
        )
    if isinstance(loss, str):
        if loss not in HINT_LOSSES:
            raise ValueError(
                f"A hint's loss is one of {sorted(HINT_LOSSES)} or a keras.losses.Loss. "
                f"Received: loss={loss!r}"
            )
        return HINT_LOSSES[loss]() if temperature is None else HINT_LOSSES[loss](temperature)
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(
            f"A hint's loss is one of {sorted(HINT_LOSSES)} or a keras.losses.Loss. "
            f"Received: loss={loss!r} of type {type(loss).__name__}"
        )
    check_reduction("A hint's loss", loss)
    return loss


def check_reduction(what, loss):
    """Checks that a loss averages over the batch, as all terms of an objective do.

    Raises:
        ValueError: if it sums, does not reduce, or divides by the sum of sample weights.
    """
    if loss.reduction not in ("sum_over_batch_size", "mean"):
        raise ValueError(
            f"{what} must average over the batch. Received: {loss.name} with "
            f"reduction={loss.reduction!r}; pass reduction='sum_over_batch_size'"
        )


def _of_length_one(vectors):
    """Vectors over the last axis, of length 1; zeros where they are shorter than epsilon."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    has_length = squares > keras.config.epsilon() ** 2
    # Without the inner choice, the gradient at 0 is no number under XLA.
    return ops.where(has_length, vectors * ops.rsqrt(ops.where(has_length, squares, 1.0)), 0.0)


def _two_or_more(logits):
    """Logits of at least two classes: one logit is set beside a 0."""
    if logits.shape[-1] != 1:
        return logits
    return ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
