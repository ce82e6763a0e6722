"""An embedding table that is read row by row."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rocket_tf")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding` that reads the batch's rows, without a copy of the table.

    Keras's layer converts the whole table to a tensor first, which copies it after every update.
    With an optimizer in `rocket_tf.optimizers` that takes sparse gradients (`SparseAdam`,
    `SparseAdagrad`, `SparseSGD`), the cost of a step on this layer depends only on the batch.

    Arguments, inputs, outputs and masks are those of `keras.layers.Embedding`. A regularizer or a
    constraint still needs the whole table. With LoRA or quantization, the layer computes as Keras's
    does.

    Example:
        >>> import numpy as np
        >>> from rocket_tf.networks import Embedding
        >>> Embedding(10, 3)(np.array([[1, 2], [2, 9]])).shape
        TensorShape([2, 2, 3])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # XLA needs known shapes, but the number of different ids in a batch is not known.
        self.supports_jit = False

    def call(self, inputs: Any) -> Any:
        if self.lora_enabled or self.quantization_mode:
            return super().call(inputs)
        if keras.backend.standardize_dtype(inputs.dtype) not in ("int32", "int64"):
            inputs = keras.ops.cast(inputs, "int32")
        rows = tf.gather(self.embeddings.value, inputs)
        return keras.ops.cast(rows, self.compute_dtype)

    def quantize(self, mode=None, type_check=True, **kwargs):
        # Keras refuses to quantize subclasses, which may compute something else.
        super().quantize(mode, type_check=False, **kwargs)
