"""Which input of one net is which of another's, by name; new inputs that are like those of nets."""

import keras

from rocket_tf.core import keras_internals


def order_of(reference, inputs, what="nets"):
    """Where each input of a reference stands among other inputs.

    Entries of a dict belong together by their keys. Those of a list belong together by the inputs'
    names, if both lists have the same names; by their positions otherwise, as where Keras made up
    the names.

    Args:
        reference: structure of inputs, such as `net.input`: a tensor, a list or a dict.
        inputs: inputs of the same structure.
        what: whose they are, in messages.

    Returns:
        List of positions in the flat `inputs`, one for each of the flat `reference`.

    Raises:
        ValueError: if some names are in both, at other positions.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> order_of([price, age], [age, price])
        [1, 0]
    """
    places = list(range(len(keras.tree.flatten(reference))))
    if isinstance(reference, dict):
        return places
    wanted, given = (_names(tensors) for tensors in (reference, inputs))
    if isinstance(reference, list | tuple) and sorted(wanted) == sorted(given):
        return [given.index(name) for name in wanted]
    moved = [name for name in wanted if name in given and given.index(name) != wanted.index(name)]
    if moved:
        raise ValueError(
            f"{what} have inputs of the same names at other positions, and others beside them. "
            f"Received: {given} and {wanted}; give both the same names, or make both take a dict"
        )
    return places


def in_order_of(reference, inputs):
    """The inputs, each where the reference has the one that belongs to it.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> [tensor.name for tensor in in_order_of([price, age], [age, price])]
        ['price', 'age']
    """
    flat = keras.tree.flatten(inputs)
    ordered = [flat[place] for place in order_of(reference, inputs)]
    return keras.tree.pack_sequence_as(reference, ordered)


def specification(inputs):
    """What two nets' inputs must have in common: shape, dtype, and whether sparse or ragged.

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
    """New inputs for nets of one `specification`, in the last net's structure and order.

    An input is optional if it is in all nets.

    Example:
        >>> import keras
        >>> words = keras.Input((3,), sparse=True, name="words")
        >>> inputs_like(keras.Model(words, keras.layers.Dense(2)(words))).sparse
        True
    """
    reference = nets[-1].input

    def like(*tensors):
        return keras.Input(
            batch_shape=tensors[0].shape,
            dtype=tensors[0].dtype,
            sparse=tensors[0].sparse,
            ragged=tensors[0].ragged,
            optional=all(_is_optional(tensor) for tensor in tensors),
            name=tensors[0].name,
        )

    others = [in_order_of(reference, net.input) for net in nets[:-1]]
    return keras.tree.map_structure(like, reference, *others)


def _is_optional(tensor):
    return keras_internals.operation_of(tensor)[0].optional


def _names(tensors):
    return [tensor.name for tensor in keras.tree.flatten(tensors)]
