"""Removes inputs that are known only in training, and have a fixed value in an export."""

import keras
import tensorflow as tf

from rocket_tf.core import keras_internals
from rocket_tf.core.calls import Calls
from rocket_tf.networks.row_layers import ServedAs


@keras.saving.register_keras_serializable(package="rocket_tf")
class FixedValue(keras.layers.Layer):
    """The same value for each example, shape (batch,), given any tensor of shape (batch, ...).

    Args:
        value: a string or a number.
        value_dtype: its dtype.
        **kwargs: as in `keras.layers.Layer`.

    Example:
        >>> import tensorflow as tf
        >>> FixedValue(7, "int64")(tf.zeros((3, 2))).numpy().tolist()
        [7, 7, 7]
    """

    def __init__(self, value, value_dtype, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.value, self.value_dtype = value, value_dtype
        self.supports_jit = False  # XLA cannot handle strings

    def call(self, example):
        return tf.fill(tf.shape(example)[:1], tf.constant(self.value, self.value_dtype))

    def compute_output_spec(self, example):
        return keras.KerasTensor(example.shape[:1], dtype=self.value_dtype)

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "value": self.value, "value_dtype": self.value_dtype}


def served_net(net: keras.Model) -> keras.Model:
    """A net for serving: without the inputs for which a `ServedAs` layer has a value.

    Args:
        net: functional `keras.Model`.

    Returns:
        A functional `keras.Model` with the same layers and the other inputs; the net itself if it
        has no such layer.

    Raises:
        ValueError: if no input would be left.

    Example:
        >>> from rocket_tf.networks import Feature, click_pair
        >>> position = Feature("position", "category", buckets=9, served_as="1")
        >>> light, _ = click_pair([Feature("item", "category"), position])
        >>> sorted(light.input), sorted(served_net(light).input)
        (['item', 'position'], ['item'])
    """
    values = {
        call.input_tensors[0].name: call.operation.value
        for call in keras_internals.calls_in(net)
        if isinstance(call.operation, ServedAs)
    }
    if not values:
        return net
    remaining = {name: tensor for name, tensor in net.input.items() if name not in values}
    if not remaining:
        raise ValueError(
            f"All inputs of the net have served_as: {sorted(values)}; at least one must remain an "
            "input"
        )
    example = next(iter(remaining.values()))
    net_inputs = [
        FixedValue(values[tensor.name], tensor.dtype, name=f"fixed_{tensor.name}")(example)
        if tensor.name in values
        else tensor
        for tensor in net.inputs
    ]
    outputs = Calls().repeat(net.name, net, net_inputs)
    return keras.Model(remaining, keras.tree.pack_sequence_as(net.output, outputs), name=net.name)
