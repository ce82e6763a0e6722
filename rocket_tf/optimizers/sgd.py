"""SGD as in the paper's code."""

from typing import Any

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from rocket_tf.optimizers.sparse import SparseSGD, rows_of


@keras.saving.register_keras_serializable(package="rocket_tf")
class SGDWithL2(SparseSGD):
    """SGD whose L2 term is part of the gradient, as in PyTorch's SGD and so in the paper's code.

    Each gradient becomes g + l2 · w before momentum is applied. Keras's own
    `SGD(weight_decay=...)` is decoupled from the gradient: with momentum 0.9, the same number is
    ten times weaker there.

    In embedding tables, only the batch's rows are updated, including the L2 term (`SparseSGD`).

    Args:
        learning_rate: number or schedule.
        momentum: as in `keras.optimizers.SGD`.
        l2: factor of the L2 term, on every trainable variable, at least 0.
        **kwargs: as in `keras.optimizers.SGD`.

    Raises:
        ValueError: if `l2` is negative.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.1,
        momentum: float = 0.9,
        l2: float = 5e-4,
        name: str = "sgd_with_l2",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        if not l2 >= 0:
            raise ValueError(f"l2 must be at least 0. Received: l2={l2}")
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        if not isinstance(gradient, tf.IndexedSlices):
            gradient += keras.ops.cast(self.l2 * variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate)

    def update_rows(self, ids, gradient, variable, learning_rate):
        gradient += self.l2 * rows_of(variable, ids)
        super().update_rows(ids, gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}
