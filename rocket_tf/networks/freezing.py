"""Which layers of a net are frozen: those that a layer's output is computed from."""

import difflib

from rocket_tf.core.calls import calls_of_graph


def layers_until(net, name):
    """A layer and all layers that its output is computed from.

    Args:
        net: functional `keras.Model`.
        name: the layer's name.

    Returns:
        List of layers, in the order in which the net calls them.

    Raises:
        ValueError: if the net has no such layer.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> low = keras.layers.Dense(4, name="low")(inputs)
        >>> net = keras.Model(inputs, keras.layers.Dense(2, name="high")(low))
        >>> [layer.name for layer in layers_until(net, "low")]
        ['low']
    """
    calls = calls_of_graph(net)
    names = [call.operation.name for call in calls]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
        raise ValueError(f"the net has no layer {name!r}; nearest by name: {', '.join(near)}")
    tensor_ids, frozen = set(), []
    for call in reversed(calls):
        if call.operation.name == name or tensor_ids.intersection(map(id, call.outputs)):
            tensor_ids.update(map(id, call.input_tensors))
            frozen.append(call.operation)
    return list(dict.fromkeys(reversed(frozen)))


def set_frozen(layers, frozen):
    """Freezes layers, or lets them train.

    A frozen layer has no trainable variables. A frozen batch normalization runs in inference mode:
    it uses its moving statistics and does not change them. A traced step is traced again.

    Args:
        layers: list of layers; some may be operations of `keras.ops`.
        frozen: whether to freeze them.

    Example:
        >>> import keras
        >>> layer = keras.layers.BatchNormalization()
        >>> layer.build((None, 3))
        >>> set_frozen([layer], True)
        >>> layer.trainable_variables
        []
    """
    for layer in layers:
        if hasattr(layer, "trainable"):
            layer.trainable = not frozen
