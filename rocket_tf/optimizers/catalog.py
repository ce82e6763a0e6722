"""The optimizers that a configuration can name. Does not itself import Keras or TensorFlow."""

import dataclasses
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer by name.

    Attributes:
        meaning: description for the help.
        make: `f(learning_rate, weight_decay, **options)` gives the `keras.optimizers.Optimizer`,
            given a schedule, the factor of its weight decay, and options of every Keras optimizer.
        weight_decay: "l2" inside the gradient, "decoupled" from it, or "" if it has none.
    """

    meaning: str
    make: Callable
    weight_decay: str


def _sgd(learning_rate, weight_decay, **options):
    from rocket_tf.optimizers.sgd import SGDWithL2

    return SGDWithL2(learning_rate, momentum=0.9, l2=weight_decay, **options)


def _nesterov(learning_rate, weight_decay, **options):
    return _sgd(learning_rate, weight_decay, nesterov=True, **options)


def _adam(learning_rate, weight_decay, **options):
    import keras

    return keras.optimizers.Adam(learning_rate, **options)


def _adamw(learning_rate, weight_decay, **options):
    import keras

    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay, **options)
    return _without_decay_of_scales(optimizer)


def _sparse_adam(learning_rate, weight_decay, **options):
    from rocket_tf.optimizers.sparse import SparseAdam

    return SparseAdam(learning_rate, **options)


def _sparse_adamw(learning_rate, weight_decay, **options):
    from rocket_tf.optimizers.sparse import SparseAdam

    optimizer = SparseAdam(learning_rate, weight_decay=weight_decay, **options)
    return _without_decay_of_scales(optimizer)


def _sparse_adagrad(learning_rate, weight_decay, **options):
    from rocket_tf.optimizers.sparse import SparseAdagrad

    return SparseAdagrad(learning_rate, **options)


def _without_decay_of_scales(optimizer):
    """The optimizer, without decay of biases and of the scales and shifts of normalizations.

    These are few, and shrinking them would not make the net simpler.
    """
    # Keras searches in "bias" and, within a step, in TensorFlow's "bias:0".
    optimizer.exclude_from_weight_decay(var_names=["(^|/)(bias|gamma|beta)(:0)?$"])
    return optimizer


OPTIMIZERS: Mapping[str, OptimizerChoice] = {
    "sgd": OptimizerChoice("SGD with momentum 0.9", _sgd, "l2"),
    "sgd_nesterov": OptimizerChoice("the same with Nesterov momentum", _nesterov, "l2"),
    "adam": OptimizerChoice("Adam, on whole embedding tables", _adam, ""),
    "adamw": OptimizerChoice(
        "Adam with decoupled weight decay, on whole embedding tables", _adamw, "decoupled"
    ),
    "sparse_adam": OptimizerChoice(
        "Adam, on the batch's rows of embedding tables", _sparse_adam, ""
    ),
    "sparse_adamw": OptimizerChoice(
        "Adam with decoupled weight decay, on the batch's rows", _sparse_adamw, "decoupled"
    ),
    "sparse_adagrad": OptimizerChoice(
        "Adagrad, on the batch's rows of embedding tables", _sparse_adagrad, ""
    ),
}
# They update whole tables, so they can also average them.
ON_WHOLE_TABLES = ("adam", "adamw")
