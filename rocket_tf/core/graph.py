"""Joins two nets in one functional graph, and checks that they fit together.

Examples in this module that build no nets of their own are of this pair:

    >>> import keras
    >>> inputs = keras.Input((5,))
    >>> low = keras.layers.Dense(4, activation="relu", name="low")(inputs)
    >>> light = keras.Model(inputs, keras.layers.Dense(3)(low), name="light")
    >>> high = keras.layers.Dense(8, activation="relu", name="high")(low)
    >>> booster = keras.Model(inputs, keras.layers.Dense(3)(high), name="booster")
"""

import difflib

import keras

from rocket_tf.core import keras_internals
from rocket_tf.core.calls import Calls, common_where_masks_are_taken
from rocket_tf.core.heads import Head, by_output
from rocket_tf.core.inputs import (
    called,
    in_order_of,
    inputs_like,
    keys_of,
    specification,
    take_the_same,
)
from rocket_tf.core.nesting import models_to_inline, overrides_call

_PROBABILITY_ACTIVATIONS = ("softmax", "sigmoid", "log_softmax", "hard_sigmoid")


def join(light, booster, hidden=None):
    """The graph that holds the light net and, if there is one, the booster.

    Nets with common layers are called layer by layer on one set of inputs. So these layers stay
    shared and are computed once, even if the nets were built on different `Input`s. Nets without
    common layers are used unchanged if they were built on the same `Input`. Otherwise each is
    called as a layer, unless hidden layers are needed. `inputs.order_of` matches the inputs. They
    are the booster's, in its order; the light net may lack some.

    Args:
        light: functional `keras.Model` with one output, logits, or a dict of several (`checked`).
        booster: a net of the same kind, or `None`.
        hidden: dict from "light" or "booster" to names of layers whose outputs are also returned.

    Returns:
        `(inputs, outputs, hidden_outputs)`: the inputs' structure; a dict with the outputs of
        "light" and, if there is one, "booster"; and for each net in `hidden` a dict from its
        layers' names to their outputs.

    Raises:
        ValueError: if the nets do not fit or are the same, or if there is no such layer.

    Example:
        >>> # The pair in the module's docstring.
        >>> inputs, outputs, hidden = join(light, booster, {"booster": ["high"]})
        >>> list(outputs), hidden["booster"]["high"].shape
        (['light', 'booster'], (None, 8))
    """
    hidden = {role: names for role, names in (hidden or {}).items() if names}
    nets = {"light": light} if booster is None else {"light": light, "booster": booster}
    hidden_outputs = {}
    if booster is not None:
        check_pair(light, booster, "booster")
    if hidden or _share_layers(*nets.values()):
        inputs, outputs, hidden_outputs = _repeat_calls(nets, hidden)
    elif booster is None or light.inputs == booster.inputs:
        inputs = (booster or light).input
        outputs = {role: net.output for role, net in nets.items()}
    else:
        if light.name == booster.name:
            raise ValueError(
                "light and booster must have different names, since both become layers of one "
                "model. Received: "
                f"both are {light.name!r}; name one, as in keras.Model(..., name='light')"
            )
        inputs = inputs_like(light, booster)
        outputs = {role: net(in_order_of(net.input, inputs)) for role, net in nets.items()}
    if booster is not None and _are_one_net(outputs["light"], outputs["booster"]):
        raise ValueError(
            "light and booster must be two nets. Received: the same layers, called alike, as both "
            f"(light={light.name!r}, booster={booster.name!r}); a hint between them would be 0"
        )
    _check_layer_names(inputs, outputs)
    return inputs, outputs, hidden_outputs


def reader(role, net, names):
    """A net that gives its logits and the outputs of some of its layers.

    Args:
        role: the net's name in messages.
        net: functional `keras.Model`.
        names: names of its layers.

    Returns:
        `keras.Model` on the net's own layers, with outputs `(logits, {name: output})`.

    Raises:
        ValueError: if it has no such layer.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> low = keras.layers.Dense(4, name="low")(inputs)
        >>> net = keras.Model(inputs, keras.layers.Dense(2, name="logits")(low), name="net")
        >>> logits, hidden = reader("net", net, ["low"]).output
        >>> logits.shape, hidden["low"].shape
        ((None, 2), (None, 4))
    """
    inputs, logits, hidden = _repeat_calls({role: net}, {role: names})
    return keras.Model(inputs, (logits[role], hidden.get(role, {})), name=f"{role}_reader")


def as_functional(role, net):
    """A net as a functional model; a sequential one keeps its layers and name.

    Raises:
        ValueError: if the net has no graph, like subclassed models and those without inputs, or
            computes something else in its own `call`.

    Example:
        >>> import keras
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> as_functional("light", net).layers[-1] is net.layers[-1]
        True
    """
    if isinstance(net, keras.Sequential) and net.built and not overrides_call(net):
        return keras.Model(net.inputs[0], net.outputs[0], name=net.name)
    if not isinstance(net, keras.Model) or not getattr(net, "inputs", None):
        raise ValueError(
            f"{role} must be a functional keras.Model, or a keras.Sequential that starts with a "
            f"keras.Input: its graph is joined with the other net's. Received: {role}={net!r} of "
            f"type {type(net).__name__}"
        )
    if overrides_call(net):
        raise ValueError(
            f"{role} must compute what its graph says, which is joined with the other net's. "
            f"Received: {role}={net!r} of type {type(net).__name__}, which overrides call; move "
            "the code of call into a layer, and build the net from that layer"
        )
    return net


def checked(role, net):
    """A net as `as_functional` gives it, checked by `check_net`; both may raise a ValueError.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> net = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> checked("light", net) is net
        True
    """
    net = as_functional(role, net)
    check_net(role, net)
    return net


def net_config(role, net, model):
    """Describes where a net of `join` is in a model rebuilt from its configuration.

    Example:
        >>> import keras
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> inputs = keras.Input((3,))
        >>> net_config("light", light, keras.Model(inputs, {"light": light(inputs)}))["is_layer"]
        True
    """
    is_layer = any(layer is net for layer in model.layers)
    outputs = list(net.output) if isinstance(net.output, dict) else None
    config = {"role": role, "name": net.name, "is_layer": is_layer, "outputs": outputs}
    if len(net.inputs) < len(model.inputs):
        config["inputs"] = keras.tree.pack_sequence_as(net.input, keys_of(net.input))
    return config


def net_from_config(config, model):
    """The net that `net_config` describes, in a functional model with the graph of `join`.

    Example:
        >>> import keras
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> inputs = keras.Input((3,))
        >>> model = keras.Model(inputs, {"light": light(inputs)})
        >>> net_from_config(net_config("light", light, model), model) is light
        True
    """
    if config["is_layer"]:
        return model.get_layer(config["name"])
    role, names = config["role"], config.get("outputs")
    heads = {name: model.output[Head(role, name).name] for name in names or [None]}
    inputs = called(config["inputs"], model.input) if "inputs" in config else model.input
    return keras.Model(inputs, heads if names else heads[None], name=config["name"])


def common_layers(*nets):
    """The layers with variables that all nets have, by identity.

    Example:
        >>> # The pair in the module's docstring.
        >>> [layer.name for layer in common_layers(light, booster)]
        ['low']
    """
    common = {id(layer): layer for layer in leaf_layers(nets[0]) if layer.variables}
    for net in nets[1:]:
        present = {id(layer) for layer in leaf_layers(net)}
        common = {key: layer for key, layer in common.items() if key in present}
    return list(common.values())


def leaf_layers(model):
    """The layers of a model, with nested models replaced by their layers.

    Example:
        >>> import keras
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="inside")])
        >>> inputs = keras.Input((3,), name="x")
        >>> [layer.name for layer in leaf_layers(keras.Model(inputs, inner(inputs)))]
        ['x', 'inside']
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def _share_layers(*nets):
    """Whether nets must be called layer by layer.

    They must if they have common layers with variables, if one would take masks from the other, or
    if a nested model has layers that are also called outside it.
    """
    if len(nets) > 1 and (common_layers(*nets) or common_where_masks_are_taken(*nets)):
        return True
    return bool(models_to_inline(*nets))


def _are_one_net(first, second):
    pairs = zip(keras.tree.flatten(first), keras.tree.flatten(second), strict=True)
    return all(one is other for one, other in pairs)


def _repeat_calls(nets, hidden):
    """Repeats the calls of nets' layers on new inputs; equal calls of both nets are made once."""
    inputs = inputs_like(*nets.values())
    inlined = models_to_inline(*nets.values())
    calls = Calls(common_where_masks_are_taken(*nets.values()))
    logits, hidden_outputs = {}, {}
    for role, net in nets.items():
        net_inputs = keras.tree.flatten(in_order_of(net.input, inputs))
        outputs = calls.repeat(role, net, net_inputs, inlined)
        logits[role] = keras.tree.pack_sequence_as(net.output, outputs)
        if hidden.get(role):
            hidden_outputs[role] = {
                name: _output_of(role, calls.outputs[role], name)
                for name in dict.fromkeys(hidden[role])
            }
    return inputs, logits, hidden_outputs


def _output_of(role, calls, name):
    """The output of the layer with this name, in the calls of a net's layers."""
    outputs = [output for called, output in calls if called == name]
    if len(outputs) == 1 and not keras.tree.is_nested(outputs[0]):
        return outputs[0]
    if outputs:
        raise ValueError(
            f"A hint reads layers with one output, called once. Received: layer {name!r} of "
            f"{role}, which is called {len(outputs)} times or gives several outputs"
        )
    near = difflib.get_close_matches(name, [called for called, _ in calls], n=3, cutoff=0.3)
    raise ValueError(
        f"{role} has no layer {name!r} for a hint to read. Nearest by name: {near or 'none'}; "
        f"[layer.name for layer in {role}.layers] lists them all"
    )


def check_net(role, net):
    """Checks that a functional net has one output, logits, or a dict of several.

    Raises:
        ValueError: if it has not, naming the net by its role.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> net = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
        >>> check_net("light", net)
        Traceback (most recent call last):
        ValueError: light must end in logits, ...
    """
    outputs = by_output(net.output)
    if {"light", "booster"} & set(outputs):
        raise ValueError(
            f"Outputs must not have the names of nets. Received: {role} with outputs "
            f"{list(outputs)}; rename them"
        )
    if any(keras.tree.is_nested(output) for output in outputs.values()):
        raise ValueError(
            f"{role} must have one output, its logits, or a dict of several. Received outputs: "
            f"{keras.tree.map_structure(lambda tensor: tensor.shape, net.output)}"
        )
    for name, output in outputs.items():
        what = role if name is None else f"output {name!r} of {role}"
        if len(output.shape) < 2:
            raise ValueError(
                f"{role} must give logits of shape (batch, ..., classes), or (batch, 1) for a "
                f"single one: the last axis holds one example's logits. Received: {what} of shape "
                f"{output.shape}; end it in keras.layers.Reshape((1,))"
            )
        activation = _final_activation(output)
        if activation in _PROBABILITY_ACTIVATIONS:
            raise ValueError(
                f"{role} must end in logits, before any softmax or sigmoid: hints compare logits, "
                f"and the losses take from_logits=True. Received: {what} ends in {activation!r} "
                f"(layer {_final_operation(output).name!r}); remove its activation"
            )


def check_pair(light, other, role):
    """Checks that the inputs and logits of light net and booster, or teacher, fit together.

    A booster may have more inputs.

    Raises:
        ValueError: if their inputs' structure, shapes or dtypes differ (by name, in lists), or
            their logits' shapes.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> booster = keras.Model(inputs, keras.layers.Dense(5)(inputs))
        >>> check_pair(light, booster, "booster")
        Traceback (most recent call last):
        ValueError: light and booster must have logits of the same shape, ...
    """
    light_shapes, other_shapes = (_shapes(net.output) for net in (light, other))
    if light_shapes != other_shapes:
        raise ValueError(
            f"light and {role} must have logits of the same shape, and outputs of the same names. "
            f"Received: light {light_shapes}, {role} {other_shapes}"
        )
    light_inputs, other_inputs = specification(light.input), specification(other.input)
    if not take_the_same(light, other, f"light and {role}", may_have_more=role == "booster"):
        more = "; a booster may have more of them, matched by name" if role == "booster" else ""
        raise ValueError(
            f"light and {role} must take inputs of the same structure, shape and dtype{more}. "
            f"Received: light {light_inputs}, {role} {other_inputs}"
        )


def _shapes(outputs):
    return keras.tree.map_structure(lambda tensor: tensor.shape, outputs)


def _check_layer_names(inputs, outputs):
    try:
        keras.Model(inputs, outputs)
    except ValueError as error:
        if "unique" not in str(error):
            raise
        raise ValueError(
            "All layers of light and booster must have different names, unless they are the same "
            f"layer. {error}"
        ) from None


def _final_operation(tensor):
    operation, index = keras_internals.operation_of(tensor)
    inner = getattr(operation, "outputs", None)  # of a model that is a layer
    return _final_operation(inner[index]) if inner else operation


def _final_activation(tensor):
    operation = _final_operation(tensor)
    activation = getattr(operation, "activation", None)
    if activation is not None:
        return getattr(activation, "__name__", type(activation).__name__)
    # Layers such as keras.layers.Softmax and operations such as keras.ops.softmax.
    return {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax"}.get(
        type(operation).__name__
    )
