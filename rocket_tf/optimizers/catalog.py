"""The optimizers that a configuration can name; another one is another line. Free of TensorFlow."""

import dataclasses
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer by name.

    Attributes:
        meaning: what it is.
        make: `f(learning_rate, l2)` gives the `keras.optimizers.Optimizer`, given a schedule and
            the factor of the L2 term.
        has_l2: whether it has an L2 term inside the gradient.
    """

    meaning: str
    make: Callable
    has_l2: bool


def _sgd(learning_rate, l2):
    from rocket_tf.optimizers.sgd import SGDWithL2

    return SGDWithL2(learning_rate, momentum=0.9, l2=l2)


def _adam(learning_rate, l2):
    import keras

    return keras.optimizers.Adam(learning_rate)


def _sparse_adam(learning_rate, l2):
    from rocket_tf.optimizers.sparse import SparseAdam

    return SparseAdam(learning_rate)


def _sparse_adagrad(learning_rate, l2):
    from rocket_tf.optimizers.sparse import SparseAdagrad

    return SparseAdagrad(learning_rate)


OPTIMIZERS: Mapping[str, OptimizerChoice] = {
    "sgd": OptimizerChoice("SGD with momentum 0.9", _sgd, has_l2=True),
    "adam": OptimizerChoice("Adam, on whole embedding tables", _adam, has_l2=False),
    "sparse_adam": OptimizerChoice(
        "Adam, on the batch's rows of embedding tables", _sparse_adam, has_l2=False
    ),
    "sparse_adagrad": OptimizerChoice(
        "Adagrad, on the batch's rows of embedding tables", _sparse_adagrad, has_l2=False
    ),
}
