"""Nested models: which of them have layers that are also called outside them."""

import keras

from rocket_tf.core import keras_internals
from rocket_tf.core.calls import as_plain, calls_of_graph, flat_inputs


def models_to_inline(*nets):
    """The nested models whose calls are repeated one by one when nets become one graph.

    Otherwise a layer in a nested model that is also called outside it would run twice instead of
    once, and Keras would not find it again when it loads the graph.

    Args:
        *nets: functional `keras.Model`s.

    Returns:
        List of models, without those that have their own `call`.

    Example:
        >>> import keras
        >>> inputs, again = keras.Input((5,)), keras.Input((5,))
        >>> low = keras.layers.Dense(4)(inputs)
        >>> backbone = keras.Model(inputs, keras.layers.Dense(4)(low), name="backbone")
        >>> early_exit = keras.Model(inputs, keras.layers.Dense(3)(low))
        >>> whole = keras.Model(again, keras.layers.Dense(3)(backbone(again)))
        >>> [model.name for model in models_to_inline(early_exit, whole)]
        ['backbone']
        >>> models_to_inline(whole)
        []
    """
    inlined = {}
    while True:
        chains_of, kept_whole = {}, set()
        for net in nets:
            _note_chains(net, (), inlined, chains_of, kept_whole)
        to_inline = {
            id(model): model
            for chains in chains_of.values()
            if len({chain[-1:] for chain in chains}) > 1
            for chain in chains
            for model in chain
            if id(model) not in kept_whole
        }
        if to_inline.keys() <= inlined.keys():
            return list(inlined.values())
        inlined |= to_inline


def overrides_call(model):
    """Whether a model computes anything but its graph.

    Example:
        >>> import keras
        >>> class Doubled(keras.Model):
        ...     def call(self, inputs, training=None, mask=None):
        ...         return 2 * super().call(inputs, training=training, mask=mask)
        >>> inputs = keras.Input((3,))
        >>> overrides_call(Doubled(inputs, inputs + 1)), overrides_call(keras.Sequential())
        (True, False)
    """
    plain_class = keras.Sequential if isinstance(model, keras.Sequential) else type(as_plain(model))
    return type(model).call is not plain_class.call


def _note_chains(model, chain, inlined, chains_of, kept_whole):
    """Notes for each layer with variables the nested models around it, outermost first.

    Args:
        model: functional model.
        chain: tuple of the nested models around its calls.
        inlined: dict by id of the models that chains leave out.
        chains_of: dict from layers to sets of chains, filled here.
        kept_whole: set of ids of models that must stay whole, filled here.
    """
    for call in calls_of_graph(model):
        layer = call.operation
        if not isinstance(layer, keras.Layer):
            continue
        if id(layer) not in inlined and layer.variables:
            chains_of.setdefault(layer, set()).add(chain)
        if _is_graph(layer):
            if not _fits(call, layer):
                kept_whole.add(id(layer))
            inner = chain if id(layer) in inlined else (*chain, layer)
            _note_chains(as_plain(layer), inner, inlined, chains_of, kept_whole)


def _is_graph(layer):
    is_model = isinstance(layer, keras.Model) and getattr(layer, "inputs", None)
    return bool(is_model) and not overrides_call(layer)


def _fits(call, model):
    """Whether the model takes the call's tensors unchanged, without a mask from the caller."""
    args, kwargs = call.arguments.args, call.arguments.kwargs
    tensors = flat_inputs(model, args, kwargs)
    masks = keras.tree.flatten(kwargs.get("mask"))
    own_masks = [getattr(tensor, keras_internals.MASK, None) for tensor in tensors]
    return (kwargs.get("mask") is None or list(map(id, masks)) == list(map(id, own_masks))) and all(
        isinstance(tensor, keras.KerasTensor)
        and (tensor.dtype, len(tensor.shape)) == (expected.dtype, len(expected.shape))
        for tensor, expected in zip(tensors, model.inputs, strict=True)
    )
