"""The multiply-adds of a net, counted call by call in a trace of one example.

A layer's count is the sum over the products among the TensorFlow operations that it calls. Where
these do not show all products, there are rules: a recurrent layer counts its cell for each step.
"""

import inspect
import math
import re

import keras
import tensorflow as tf
from keras import layers

from rocket_tf.core import keras_internals, tensorflow_internals

# Operations that multiply, but have no rule below.
_NOT_COUNTED = re.compile(
    "MatMul|SparseSegment|Conv|Einsum|RNN|LSTM|GRU|FFT|PyFunc|Xla|Correlation"
    "|Matrix(Inverse|Solve|Triangular|Exp|Log|Square|Determinant)|Cholesky|Svd|^Qr|^Lu$|Eig"
)


class NotKnown(Exception):
    """The multiply-adds of a net cannot be counted; the message says why.

    Example:
        >>> import keras
        >>> inputs = keras.Input((None, 3))
        >>> of_net(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
        Traceback (most recent call last):
        rocket_tf.analysis.multiply_adds.NotKnown: inputs of shapes [(None, None, 3)]
    """


def of_net(net):
    """The multiply-adds of one inference.

    Args:
        net: functional or sequential `keras.Model`.

    Returns:
        Number of multiplications, each with its addition, for one example, an int.

    Raises:
        NotKnown: if a size is not known, or there is no rule for an operation.

    Example:
        >>> import keras
        >>> words = keras.Input((7, 3))
        >>> of_net(keras.Model(words, keras.layers.SimpleRNN(2)(words)))  # 7 steps
        70
    """
    batch = _batch(net)
    counts = []

    def count(*tensors):
        counts.append(_run(net, tensors)[1])

    specifications = [_specification(tensor, batch) for tensor in net.inputs]
    tf.function(count, autograph=False).get_concrete_function(*specifications)
    return counts[0] // batch


def _batch(net):
    """How many examples to trace: one, or as many as the net requires."""
    if any(None in tensor.shape[1:] for tensor in net.inputs):
        raise NotKnown(f"inputs of shapes {[tensor.shape for tensor in net.inputs]}")
    fixed = {tensor.shape[0] for tensor in net.inputs} - {None}
    if len(fixed) > 1:
        raise NotKnown(f"inputs in batches of {sorted(fixed)}")
    return fixed.pop() if fixed else 1


def _specification(tensor, batch):
    if getattr(tensor, "ragged", False) or getattr(tensor, "sparse", False):
        raise NotKnown(f"how many values {tensor.name} holds")
    return tf.TensorSpec([batch, *tensor.shape[1:]], tensor.dtype)


def _run(net, tensors):
    """Calls a net's layers on its inputs; returns a list of outputs, and the count."""
    net = keras.Model(net.inputs, net.outputs, name=net.name)  # also for a sequential model
    values = {id(tensor): value for tensor, value in zip(net.inputs, tensors, strict=True)}
    total = 0
    for call in keras_internals.calls_in(net):
        if call.is_input:
            continue
        arguments, keywords = call.arguments.fill_in(values)
        outputs, count = _call(call.operation, arguments, keywords)
        total += count
        values |= zip(map(id, call.outputs), keras.tree.flatten(outputs), strict=False)
    return [values[id(tensor)] for tensor in net.outputs], total


def _call(operation, arguments, keywords):
    """Calls a layer or another Keras operation; returns its outputs and their count."""
    if _is_net(operation) and _fit(operation.inputs, keras.tree.flatten(arguments)):
        outputs, count = _run(operation, keras.tree.flatten(arguments))
        return keras.tree.pack_sequence_as(operation.output, outputs), count
    signature = inspect.signature(operation.call)
    if "training" in signature.parameters:
        keywords = {**keywords, "training": False}
    graph = tf.compat.v1.get_default_graph()
    operations_before = len(graph.get_operations())
    outputs = operation(*arguments, **keywords)
    if isinstance(operation, layers.TextVectorization):  # the result may have an unknown length
        (text,) = keras.tree.flatten((arguments, keywords))
        outputs.set_shape([text.shape[0], *outputs.shape[1:]])
    rule = _rule(operation)
    if rule is not None:
        inputs, *_ = signature.bind(*arguments, **keywords).arguments.values()
        return outputs, rule(operation, inputs)
    if isinstance(operation, layers.Layer):
        for layer in keras_internals.all_layers(operation):
            if isinstance(layer, layers.AdditiveAttention):
                raise NotKnown(f"{layer.name}, inside {operation.name}")
    return outputs, _products(graph.get_operations()[operations_before:])


def _is_net(operation):
    """Whether an operation is a net without its own `call`."""
    if not isinstance(operation, keras.Model) or not getattr(operation, "inputs", None):
        return False
    plain_class = type(keras.Model(operation.inputs, operation.outputs, name=operation.name))
    return type(operation).call in (plain_class.call, keras.Sequential.call)


def _fit(inputs, tensors):
    """Whether tensors match a net's inputs, so that nothing is cast or reshaped."""
    return [(len(tensor.shape), tensor.dtype) for tensor in inputs] == [
        (len(tensor.shape), keras.backend.standardize_dtype(tensor.dtype)) for tensor in tensors
    ]


def _rule(operation):
    """The rule for a layer whose own operations do not show its products."""
    if type(operation) is layers.AdditiveAttention:  # it inherits the call of Attention
        return _additive_attention
    return _RULES.get(type(operation).call)


def _recurrent(layer, sequences):
    """A recurrent layer: its cell, once for each step."""
    states = layer.get_initial_state(_size(sequences.shape[0]))
    return _size(sequences.shape[1]) * _call(layer.cell, (sequences[:, 0], states), {})[1]


def _bidirectional(layer, sequences):
    return sum(
        _call(direction, (sequences,), {})[1]
        for direction in (layer.forward_layer, layer.backward_layer)
    )


def _time_distributed(layer, sequences):
    """The wrapped layer, once for each step."""
    return _size(sequences.shape[1]) * _call(layer.layer, (sequences[:, 0],), {})[1]


def _additive_attention(layer, inputs):
    """The scores (sums of products with the scale) and the weighted sums of values."""
    query, value, key = inputs[0], inputs[1], inputs[-1]
    pairs = query.shape[0] * _size(query.shape[1]) * _size(value.shape[1])
    return pairs * (layer.use_scale * key.shape[-1] + value.shape[-1])


_RULES = {
    **{
        layer.call: _recurrent
        for layer in (
            layers.RNN,
            layers.SimpleRNN,
            layers.GRU,
            layers.LSTM,
            layers.ConvLSTM1D,
            layers.ConvLSTM2D,
            layers.ConvLSTM3D,
        )
    },
    layers.Bidirectional.call: _bidirectional,
    layers.TimeDistributed.call: _time_distributed,
}


def _products(operations):
    """The multiply-adds of operations of TensorFlow: matrix products and convolutions."""
    return sum(map(_product, operations))


def _product(operation):
    count = _OPERATIONS.get(operation.type)
    if count is not None:
        return count(operation)
    if _NOT_COUNTED.search(operation.type):
        raise NotKnown(f"the operation {operation.type} in {operation.name}")
    functions = [attribute.name for attribute in operation.op_def.attr if attribute.type == "func"]
    return sum(_function(operation, name) for name in functions)


def _function(operation, attribute):
    """The count of a function that an operation calls once, not in a loop or a condition."""
    graph = tensorflow_internals.graph_of_function(operation, attribute)
    count = None if graph is None else _products(graph.get_operations())
    if count == 0 or (count is not None and operation.type.endswith("PartitionedCall")):
        return count
    raise NotKnown(f"what {operation.type} in {operation.name} calls, and how often")


def _matrix_product(operation):
    """Each element of the result is a sum over the inner axis of the first factor."""
    first = operation.inputs[0].shape
    transposed = "transpose_a" if operation.type == "MatMul" else "adj_x"
    inner = first[-2 if operation.get_attr(transposed) else -1]
    return _elements(operation.outputs[0]) * _size(inner)


def _einsum(operation):
    """The product of all indices that the factors share or the result keeps.

    An index of only one factor that the result lacks is summed before the product.
    """
    *factors, result = re.split(",|->", operation.get_attr("equation").decode().replace(" ", ""))
    if len(factors) == 1:
        return 0
    sizes = {}
    for tensor, factor in zip(operation.inputs, factors, strict=True):
        sizes |= _sizes_of_indices(factor, tensor.shape)
    summed = set(factors[0]) & set(factors[1]) - set(result) - set(".")
    return _elements(operation.outputs[0]) * math.prod(_size(sizes[index]) for index in summed)


def _sizes_of_indices(factor, shape):
    """The sizes of an equation's indices, except those in an ellipsis."""
    before, _, after = factor.partition("...")
    return dict(zip(before, shape, strict=False)) | dict(
        zip(reversed(after), reversed(shape), strict=False)
    )


def _convolution(operation):
    """Each element of the result is a sum over the kernel, except its axis of filters."""
    kernel = operation.inputs[1].shape
    return _elements(_result(operation)) * math.prod(map(_size, kernel[:-1]))


def _depthwise_convolution(operation):
    """Each element of the result is a sum over the kernel's positions only."""
    return _elements(_result(operation)) * math.prod(map(_size, operation.inputs[1].shape[:2]))


def _transposed_convolution(operation):
    """Each convolved element is multiplied by all of its part of the kernel."""
    kernel = operation.inputs[1].shape
    return _elements(operation.inputs[2]) * math.prod(map(_size, kernel[:-1]))


def _result(convolution):
    """A convolution's result; for a dilated one, TensorFlow assembles it from blocks."""
    (result,) = convolution.outputs
    for consumer in result.consumers():
        if consumer.type == "Squeeze":  # of one dimension
            return _result(consumer) if _is_in_blocks(consumer) else result
        if consumer.type == "BatchToSpaceND":
            return consumer.outputs[0]
    return result


def _is_in_blocks(operation):
    return any(consumer.type == "BatchToSpaceND" for consumer in operation.outputs[0].consumers())


def _elements(tensor):
    if tensor.shape.rank is None:
        raise NotKnown(f"the shape of {tensor.name}")
    return math.prod(map(_size, tensor.shape))


def _size(size):
    if size is None:
        raise NotKnown("a size inside the net")
    return size


_OPERATIONS = {
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matrix_product),
    "Einsum": _einsum,
    **dict.fromkeys(("Conv2D", "Conv3D"), _convolution),
    "DepthwiseConv2dNative": _depthwise_convolution,
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed_convolution),
}
