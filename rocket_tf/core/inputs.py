"""Matches the inputs of nets by name, and makes new inputs like those of nets."""

import keras

from rocket_tf.core import keras_internals


def order_of(reference, inputs, what="nets"):
    """The position of each input of a reference among other inputs.

    Entries of dicts are matched by key. Entries of lists are matched by the inputs' names if both
    lists have the same names, otherwise by position, for instance if Keras made up the names. If
    the reference has fewer inputs, keys or names decide.

    Args:
        reference: structure of inputs, such as `net.input`: a tensor, a list or a dict.
        inputs: inputs of the same structure, or with more entries.
        what: the nets, in messages.

    Returns:
        List of positions in the flat `inputs`, one for each of the flat `reference`.

    Raises:
        ValueError: if some names are in both at different positions, or one of fewer is missing.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> order_of([price, age], [age, price]), order_of([price], [age, price])
        ([1, 0], [1])
    """
    positions = list(range(len(keras.tree.flatten(reference))))
    if len(positions) < len(keras.tree.flatten(inputs)):
        keys, available = keys_of(reference), keys_of(inputs)
        if not set(keys) <= set(available):
            raise ValueError(
                f"{what} have inputs that cannot be matched by name. Received: {keys}, not all "
                f"among {available}"
            )
        return [available.index(key) for key in keys]
    if isinstance(reference, dict):
        return positions
    reference_names, input_names = (_names(tensors) for tensors in (reference, inputs))
    if isinstance(reference, list | tuple) and sorted(reference_names) == sorted(input_names):
        return [input_names.index(name) for name in reference_names]
    moved = [
        name
        for name in reference_names
        if name in input_names and input_names.index(name) != reference_names.index(name)
    ]
    if moved:
        raise ValueError(
            f"{what} have inputs of the same names at different positions, and other inputs. "
            f"Received: {input_names} and {reference_names}; give both the same names, or make "
            "both take a dict"
        )
    return positions


def in_order_of(reference, inputs):
    """The inputs in the order of the reference.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> [tensor.name for tensor in in_order_of([price, age], [age, price])]
        ['price', 'age']
    """
    flat = keras.tree.flatten(inputs)
    ordered = [flat[position] for position in order_of(reference, inputs)]
    return keras.tree.pack_sequence_as(reference, ordered)


def keys_of(inputs):
    """The names of inputs in the order of `keras.tree.flatten`: a dict's keys, or their names.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> keys_of([price, age]), keys_of({"price": price, "age": age})
        (['price', 'age'], ['age', 'price'])
    """
    if isinstance(inputs, dict) and not any(map(keras.tree.is_nested, inputs.values())):
        return keras.tree.flatten({key: key for key in inputs})
    return _names(inputs)


def called(names, inputs):
    """The inputs with the names in a structure, as `keys_of` gives them.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> [tensor.name for tensor in called(["age"], [price, age])]
        ['age']
    """
    by_key = dict(zip(keys_of(inputs), keras.tree.flatten(inputs), strict=True))
    return keras.tree.map_structure(by_key.get, names)


def only_of(booster, light):
    """The keys of the inputs that the booster has and the light net lacks, in the booster's order.

    Example:
        >>> import keras
        >>> price, dwell = keras.Input((1,), name="price"), keras.Input((1,), name="dwell")
        >>> light = keras.Model([price], keras.layers.Dense(1)(price))
        >>> both = keras.layers.Concatenate()([dwell, price])
        >>> only_of(keras.Model([dwell, price], keras.layers.Dense(1)(both)), light)
        ('dwell',)
    """
    if booster is None or len(booster.inputs) <= len(light.inputs):
        return ()
    light_keys = keys_of(light.input)
    return tuple(key for key in keys_of(booster.input) if key not in light_keys)


def take_the_same(light, other, what, may_have_more=False):
    """Whether two nets take inputs of the same structure, shape and dtype.

    Args:
        light: functional model.
        other: functional model.
        what: the nets, in messages.
        may_have_more: whether the other may have more inputs than the light net; they are matched
            by a dict's keys, or by name.

    Raises:
        ValueError: like `order_of`.

    Example:
        >>> import keras
        >>> price = keras.Input((1,), name="price")
        >>> net = keras.Model(price, keras.layers.Dense(1)(price))
        >>> take_the_same(net, net, "both")
        True
    """
    has_more = may_have_more and len(other.inputs) > len(light.inputs)
    if has_more:
        if isinstance(light.input, dict) != isinstance(other.input, dict):
            return False
        if not set(keys_of(light.input)) <= set(keys_of(other.input)):
            return False
    else:
        try:
            keras.tree.assert_same_structure(light.input, other.input)
        except ValueError:
            return False
    positions = order_of(light.input, other.input, what)
    return specification([other.inputs[position] for position in positions]) == specification(
        light.inputs
    )


def specification(inputs):
    """The properties that the inputs of two nets must share: shape, dtype, sparse or ragged.

    Example:
        >>> import keras
        >>> specification(keras.Input((3,))), specification([keras.Input((3,), sparse=True)])
        (((None, 3), 'float32'), [((None, 3), 'float32', 'sparse')])
    """

    def of(tensor):
        flags = [flag for flag in ("sparse", "ragged") if getattr(tensor, flag)]
        return (tensor.shape, tensor.dtype, *flags)

    return keras.tree.map_structure(of, inputs)


def inputs_like(*nets):
    """New inputs for nets of the same `specification`, in the last net's structure and order.

    The last net may have more inputs. An input is optional if it is so in all nets that have it.

    Example:
        >>> import keras
        >>> words = keras.Input((3,), sparse=True, name="words")
        >>> inputs_like(keras.Model(words, keras.layers.Dense(2)(words))).sparse
        True
    """
    reference = nets[-1].input

    required = set()
    for net in nets:
        positions = order_of(net.input, reference)
        required |= {
            position
            for position, tensor in zip(positions, net.inputs, strict=True)
            if not _is_optional(tensor)
        }

    def like(position, tensor):
        return keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            ragged=tensor.ragged,
            optional=position not in required,
            name=tensor.name,
        )

    flat = [like(*each) for each in enumerate(keras.tree.flatten(reference))]
    return keras.tree.pack_sequence_as(reference, flat)


def taking(inputs, net):
    """The net as a model with inputs in the order of others.

    It is the net itself if the order is the same, or if it has fewer inputs.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> net = keras.Model([price, age], keras.layers.Subtract()([price, age]))
        >>> [tensor.name for tensor in taking([age, price], net).inputs]
        ['age', 'price']
        >>> taking([price, age], net) is net
        True
    """
    if len(net.inputs) < len(keras.tree.flatten(inputs)):
        return net
    ordered = in_order_of(inputs, net.input)
    if keras.tree.flatten(ordered) == net.inputs:
        return net
    return keras.Model(ordered, net.output, name=net.name)


def _is_optional(tensor):
    return keras_internals.operation_of(tensor)[0].optional


def _names(tensors):
    return [tensor.name for tensor in keras.tree.flatten(tensors)]
