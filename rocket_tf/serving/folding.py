"""A net only for inference: with folded batch normalizations, and weights as constants."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from rocket_tf.core import keras_internals

_FOLDABLE = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)


def fold_batch_normalization(net):
    """The same function of the inputs with fewer operations.

    If only a batch normalization reads a convolution or dense layer without activation, it becomes
    that layer's scale and bias. Batch normalizations that read anything else stay, such as those
    after the sums of pre-activation residual nets.

    Args:
        net: functional `keras.Model` of one dtype; it does not change.

    Returns:
        `(folded, count)`: a functional `keras.Model` with the same inputs and outputs, and with the
        net's own other layers; and the number of folded batch normalizations.
    """
    normalization_of = _folded_pairs(net)
    gone = {id(normalization) for normalization in normalization_of.values()}

    def with_bias(layer):
        if layer not in normalization_of:
            return layer
        return type(layer).from_config({**layer.get_config(), "use_bias": True})

    def call(layer, *arguments, **keywords):
        return arguments[0] if id(layer) in gone else layer(*arguments, **keywords)

    folded = keras.models.clone_model(
        keras.Model(net.input, net.output, name=net.name),
        clone_function=with_bias,
        call_function=call,
    )
    for layer, normalization in normalization_of.items():
        _set_folded_weights(folded.get_layer(layer.name), layer, normalization)
    return folded, len(gone)


def as_constants(net):
    """The net's inference as a function with weights as constants of its graph.

    Args:
        net: functional `keras.Model`.

    Returns:
        Function from the net's inputs to its outputs, to be traced by `tf.function`.
    """
    arrays = [(variable, variable.numpy()) for variable in net.variables]

    def infer(inputs):
        # Made in the traced graph: from outside, they would be captured as inputs.
        constants = [(variable, tf.constant(array)) for variable, array in arrays]
        with keras.StatelessScope(state_mapping=constants):
            return net(inputs, training=False)

    return infer


def _folded_pairs(net):
    """The layers into which a batch normalization can be folded, with that normalization."""
    # Calls in the net itself: shared layers are also called in other nets.
    nodes = keras_internals.calls_in(net)
    calls, readers = {}, {id(tensor): ["output"] for tensor in net.outputs}
    for node in nodes:
        calls.setdefault(node.operation, []).append(node)
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node.operation)
    pairs = {}
    for normalization in net.layers:
        if not isinstance(normalization, layers.BatchNormalization):
            continue
        tensors = calls[normalization][0].input_tensors
        if len(tensors) != 1:
            continue  # a mask comes with it
        (tensor,) = tensors
        layer, _ = keras_internals.operation_of(tensor)
        if (
            type(layer) in _FOLDABLE
            and len(calls[layer]) == len(calls[normalization]) == 1
            and readers[id(tensor)] == [normalization]
            and layer.activation is keras.activations.linear
            and getattr(layer, "data_format", "channels_last") == "channels_last"
            and normalization.axis in (-1, len(tensor.shape) - 1)
            and layer.compute_dtype == normalization.compute_dtype == "float32"
        ):
            pairs[layer] = normalization
    return pairs


def _set_folded_weights(folded, layer, normalization):
    """In float64, so that the product is rounded once."""
    mean, variance = (
        np.asarray(moving, np.float64)
        for moving in (normalization.moving_mean, normalization.moving_variance)
    )
    scale = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        scale *= np.asarray(normalization.gamma, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
    offset = np.asarray(normalization.beta, np.float64) if normalization.center else 0.0
    folded.kernel.assign(np.asarray(layer.kernel, np.float64) * scale)
    folded.bias.assign((bias - mean) * scale + offset)
