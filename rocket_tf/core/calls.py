"""Repeats the calls of nets' layers on one set of inputs; equal calls of several nets only once."""

import inspect

import keras
import numpy as np

from rocket_tf.core import keras_internals


class Calls:
    """Calls of layers, each made once for all nets that make it.

    Two calls are equal if they have the same layer and equal arguments: the same tensors, and equal
    values under the same names. Two calls of one net stay two, because they may draw different
    random numbers; those of functions (`keras.ops`) become one.

    Args:
        common: ids of the layers that all nets have, if each net must read their masked tensors
            from its own copies; `None` if that makes no difference.

    Attributes:
        outputs: dict from the nets' roles to lists of `(name of a layer, its output)`, in the order
            of the calls.

    Example:
        >>> import keras
        >>> low = keras.layers.Dense(4, name="low")
        >>> nets = []
        >>> for role in ("light", "booster"):
        ...     inputs = keras.Input((5,))
        ...     nets.append(keras.Model(inputs, low(inputs), name=role))
        >>> calls, inputs = Calls(), keras.Input((5,))
        >>> [first], [second] = (calls.repeat(net.name, net, [inputs]) for net in nets)
        >>> first is second
        True
    """

    def __init__(self, common=None):
        self.outputs = {}
        self._common = common
        self._made = {}
        self._makers = {}
        self._copies = {}

    def repeat(self, role, net, inputs, inlined=()):
        """Repeats all calls of a net.

        Args:
            role: the net's name.
            net: functional `keras.Model`.
            inputs: list of tensors, in the order of `net.inputs`.
            inlined: nested models whose calls are repeated one by one.

        Returns:
            List of tensors, as in `net.outputs`.
        """
        self.outputs.setdefault(role, [])
        inner = [as_plain(model) for model in inlined]
        reserved = {id(call) for model in (net, *inner) for call in calls_of_graph(model)}
        inlined = {id(model): plain for model, plain in zip(inlined, inner, strict=True)}
        return self._repeat(role, net, inputs, inlined, reserved, None)

    def _repeat(self, role, net, inputs, inlined, reserved, training):
        tensors = dict(zip(map(id, net.inputs), inputs, strict=True))
        for call in calls_of_graph(net):
            args, kwargs = call.arguments.fill_in(tensors)
            operation = call.operation
            masks = _masks_of_keras(operation, call.arguments.args, call.arguments.kwargs)
            kwargs = {name: value for name, value in kwargs.items() if name not in masks}
            if training is not None and isinstance(operation, keras.Layer):
                kwargs = {**kwargs, "training": training}
            if id(operation) in inlined:
                inner = inlined[id(operation)]
                inner_inputs = flat_inputs(inner, args, kwargs)
                inner_training = kwargs.get("training")
                results = self._repeat(role, inner, inner_inputs, inlined, reserved, inner_training)
                results = keras.tree.pack_sequence_as(inner.output, results)
            else:
                results = self._call(role, call, args, kwargs, reserved)
            self.outputs[role].append((operation.name, results))
            for old, new in zip(call.outputs, keras.tree.flatten(results), strict=True):
                tensors[id(old)] = new
        return [tensors[id(output)] for output in net.outputs]

    def _call(self, role, call, args, kwargs, reserved):
        operation, arguments = call.operation, _by_name(call.operation, args, kwargs)
        is_function = not isinstance(operation, keras.Layer)
        candidates = [
            made
            for made in self._made.setdefault(_key(operation), [])
            if (is_function or role not in made.roles)
            and made.is_of(operation)
            and _same(made.arguments, arguments)
        ]
        # Another net's same call comes first; the calls that the net has yet to make are kept.
        same = [made for made in candidates if call in made.calls]
        others = [
            made
            for made in candidates
            if is_function or not any(id(earlier) in reserved for earlier in made.calls)
        ]
        made = next(iter(same + others), None)
        if made is None:
            self._check_masks_stay(role, operation, arguments)
            if self._reads_copies(role, operation):
                args, kwargs = keras.tree.map_structure(
                    lambda value: self._own_copy(role, value), (args, kwargs)
                )
            made = _Made(operation, arguments, operation(*args, **kwargs))
            self._made[_key(operation)].append(made)
            self._makers |= {id(result): made for result in keras.tree.flatten(made.results)}
        made.roles.add(role)
        made.calls.append(call)
        return made.results

    def _check_masks_stay(self, role, operation, arguments):
        """Refuses attention that would read tensors after another net's call took their masks."""
        if not isinstance(operation, keras.layers.MultiHeadAttention):
            return
        masked = _masked_tensors(arguments)
        for made in self._made[_key(operation)]:
            if made.roles - {role} and masked & _masked_tensors(made.arguments):
                raise ValueError(
                    "keras.layers.MultiHeadAttention takes the mask from the tensors that it "
                    "reads, and so from the next call that reads them. Received: layer "
                    f"{operation.name!r}, which {role} and another net call on the same masked "
                    "tensor, but with different arguments; give each net its own attention layer, "
                    "or both calls the same arguments"
                )

    def _reads_copies(self, role, operation):
        if self._common is None or not isinstance(operation, keras.Layer):
            return False
        is_copy = operation.name.startswith(f"{role}_copy_of_")  # in a net that was joined before
        return id(operation) not in self._common and not is_copy

    def _own_copy(self, role, value):
        """A copy of a masked tensor that another net also has; other values unchanged."""
        made = self._makers.get(id(value))
        if made is None or id(made.operation) not in self._common:
            return value
        if getattr(value, keras_internals.MASK, None) is None:
            return value
        if (role, id(value)) not in self._copies:
            name = f"{role}_copy_of_{made.operation.name}_{len(self._copies) + 1}"
            copy = keras.layers.Rescaling(1.0, dtype=value.dtype, name=name)
            self._copies[role, id(value)] = copy(value)
        return self._copies[role, id(value)]


def common_where_masks_are_taken(*nets):
    """The layers that all nets have, if another of their layers takes masks away.

    `keras.layers.MultiHeadAttention` takes the mask from the tensors that it reads, and so from all
    layers that read them later.

    Returns:
        Set of the layers' ids, or `None`.

    Example:
        >>> import keras
        >>> inputs = keras.Input((4, 2))
        >>> high = keras.layers.MultiHeadAttention(1, 2)(inputs, inputs)
        >>> common_where_masks_are_taken(keras.Model(inputs, high), keras.Model(inputs, high))
    """
    layers = [{id(layer): layer for layer in keras_internals.all_layers(net)} for net in nets]
    common = set.intersection(*map(set, layers))
    takes = any(
        isinstance(layer, keras.layers.MultiHeadAttention) and key not in common
        for by_id in layers
        for key, layer in by_id.items()
    )
    return common if takes else None


class _Made:
    """A call that was made: its arguments and results, and the nets' calls that it replaces."""

    def __init__(self, operation, arguments, results):
        self.operation = operation
        self.arguments = arguments
        self.results = results
        self.roles = set()
        self.calls = []

    def is_of(self, operation):
        """Whether it calls this layer, or an equal function of `keras.ops`."""
        configuration = _configuration(self.operation)
        return self.operation is operation or (
            configuration is not None and _same(configuration, _configuration(operation))
        )


def calls_of_graph(net):
    """The calls of a functional model, in the order in which Keras runs them, without its inputs.

    Example:
        >>> import keras
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
        >>> [call.operation.name for call in calls_of_graph(as_plain(net))]
        ['logits']
    """
    return [call for call in keras_internals.calls_in(net) if not call.is_input]


def as_plain(model):
    """A functional or sequential model as a plain functional one on the same graph.

    Example:
        >>> import keras
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="net")
        >>> type(as_plain(net)).__name__
        'Functional'
    """
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def flat_inputs(model, args, kwargs):
    """The inputs of a call of a functional model, in the order of `model.inputs`.

    Example:
        >>> import keras
        >>> price, age = keras.Input((1,), name="price"), keras.Input((1,), name="age")
        >>> net = keras.Model([price, age], keras.layers.Subtract()([price, age]))
        >>> flat_inputs(net, ({"age": 30, "price": 2},), {})
        [2, 30]
    """
    inputs = args[0] if args else kwargs["inputs"]
    if isinstance(inputs, dict) and not isinstance(model.input, dict):
        return [inputs[tensor.name] for tensor in model.inputs]
    return keras.tree.flatten(inputs)


def _key(operation):
    return id(operation) if isinstance(operation, keras.Layer) else type(operation)


def _configuration(operation):
    """A key by which two functions of `keras.ops` are equal; `None` for a layer."""
    is_of_keras = type(operation).__module__.startswith("keras.")
    if isinstance(operation, keras.Layer) or not is_of_keras:
        return None
    try:
        configuration = operation.get_config()
    except NotImplementedError:
        return None
    return {key: value for key, value in configuration.items() if key != "name"}


def _by_name(operation, args, kwargs):
    """The arguments of a call by the names of the layer's parameters.

    Arguments that Keras finds itself if they are None are left out, whether passed or not.
    """
    try:
        arguments = dict(inspect.signature(operation.call).bind(*args, **kwargs).arguments)
    except TypeError:  # such as `training`, of a layer that does not take it
        arguments = {"args": args, **kwargs}
    return {
        name: value
        for name, value in arguments.items()
        if value is not None or not name.endswith(("training", "mask"))
    }


def _masks_of_keras(operation, args, kwargs):
    """The names of the arguments that are masks which travel with the other arguments.

    Keras passes them if the call does not, so a call repeated without them is the same.
    """
    tensors = {
        name: value
        for name, value in _by_name(operation, args, kwargs).items()
        if not name.endswith("mask") and any(map(_is_tensor, keras.tree.flatten(value)))
    }
    masks = {
        "mask" if len(tensors) == 1 else f"{name}_mask": keras.tree.map_structure(
            lambda tensor: getattr(tensor, keras_internals.MASK, None), value
        )
        for name, value in tensors.items()
    }
    return {name for name, mask in masks.items() if name in kwargs and _same(kwargs[name], mask)}


def _masked_tensors(arguments):
    return {
        id(value)
        for value in keras.tree.flatten(arguments)
        if _is_tensor(value) and getattr(value, keras_internals.MASK, None) is not None
    }


def _is_tensor(value):
    return isinstance(value, keras.KerasTensor)


def _same(first, second):
    """Whether two arguments are the same tensors, or equal values of the same types."""
    if first is second:
        return True
    if type(first) is not type(second) or _is_tensor(first):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            _same(first[name], second[name]) for name in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second)
    if isinstance(first, float):
        return repr(first) == repr(second)  # 0.0 and -0.0 differ
    return isinstance(first, int | str | bytes | slice | np.generic) and first == second
