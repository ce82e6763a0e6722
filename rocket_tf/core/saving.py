"""Writes a RocketModel to a .keras file, and makes it again from one."""

import functools
import random
from collections.abc import Callable
from typing import Any, TypeVar, cast

import keras

from rocket_tf.core import graph, keras_internals

Init = TypeVar("Init", bound=Callable[..., None])


def refuses_cloning(init: Init) -> Init:
    """Decorator of `__init__`: `keras.models.clone_model` of such a model raises a `ValueError`.

    From a functional model of a custom class, Keras makes a plain one, without what the class adds;
    but if `__init__` takes any arguments, Keras calls the class with tensors.

    Example:
        >>> import keras
        >>> class Model(keras.Model):
        ...     @refuses_cloning
        ...     def __init__(self, width):
        ...         inputs = keras.Input((width,))
        ...         super().__init__(inputs, keras.layers.Dense(1)(inputs))
        >>> keras.models.clone_model(Model(3))
        Traceback (most recent call last):
        ValueError: keras.models.clone_model would make a plain functional model of a Model, ...
    """

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        if args and any(
            isinstance(argument, keras.KerasTensor) for argument in keras.tree.flatten(args)
        ):
            name = type(self).__name__
            raise ValueError(
                f"keras.models.clone_model would make a plain functional model of a {name}, "
                f"without what the class adds. Received: tensors; make another with "
                f"{name}.from_config(model.get_config()), or clone one of its nets"
            )
        init(self, *args, **kwargs)

    return cast(Init, checked)


def check_format(path):
    """Checks that a whole rocket is not written in Keras's old format.

    `RocketModel.save` calls it before there is a file, `config_of` when Keras already writes one.

    Raises:
        ValueError: if the path ends in `.h5` or `.hdf5`.

    Example:
        >>> check_format("rocket.h5")
        Traceback (most recent call last):
        ValueError: A rocket is saved as a .keras file, ...
    """
    if str(path).endswith((".h5", ".hdf5")):
        raise ValueError(
            "A rocket is saved as a .keras file, or its weights alone as .weights.h5. Received: "
            f"{path}; call rocket.save('rocket.keras')"
        )


def config_of(rocket):
    """The configuration of a `RocketModel`, a dict; `arguments_from` reads it.

    Raises:
        ValueError: if it is for a file in the old format `.h5`.

    Example:
        >>> import keras, rocket_tf
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> booster = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="booster")
        >>> config_of(rocket_tf.RocketModel(light, booster))["gradient_block"]
        True
    """
    if keras_internals.is_writing_h5():
        check_format("a file in the old format .h5")
    joint = _joint(rocket)
    nets = {"light": rocket.light} | ({} if rocket.booster is None else {"booster": rocket.booster})
    return {
        "name": rocket.name,
        "joint": _configuration(joint),
        "nets": {role: graph.net_config(role, net, joint) for role, net in nets.items()},
        "teacher": _configuration(_without_optimizer(rocket.teacher)),
        "hint": [keras.saving.serialize_keras_object(hint) for hint in rocket.hints],
        "gradient_block": rocket.gradient_block,
        "shared_layers_learn_from": rocket.shared_layers_learn_from,
    }


def arguments_from(config, custom_objects=None):
    """The arguments that make a `RocketModel` from its configuration.

    Args:
        config: as `config_of` gives it, also of earlier versions.
        custom_objects: as in `keras.saving.deserialize_keras_object`.

    Returns:
        Dict of keyword arguments.

    Example:
        >>> import keras, rocket_tf
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> booster = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="booster")
        >>> config = config_of(rocket_tf.RocketModel(light, booster))
        >>> rocket_tf.RocketModel(**arguments_from(config)).booster.name
        'booster'
    """

    def deserialize(part):
        with keras_internals.object_sharing():
            return keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)

    joint = deserialize(config["joint"])
    nets = {
        role: graph.net_from_config(net_config, joint)
        for role, net_config in config["nets"].items()
    }
    return {
        **nets,
        "hint": [deserialize(hint) for hint in config["hint"]],
        "gradient_block": config["gradient_block"],
        "teacher": deserialize(config["teacher"]),
        "shared_layers_learn_from": config.get("shared_layers_learn_from", "both"),
        "name": config["name"],
    }


def check_loadable(rocket):
    """Checks that layers held by several others stay one layer in a rebuilt rocket.

    Only if there are such layers, the nets are rebuilt and their variables counted. Layers that
    Keras cannot write at all are not checked.

    Raises:
        ValueError: if there would be more variables, or none could be made.

    Example:
        >>> import keras, rocket_tf
        >>> inputs = keras.Input((4, 5))
        >>> both_ways = keras.layers.Bidirectional(keras.layers.GRU(3, name="gru"))
        >>> low, alone = both_ways(inputs), both_ways.forward_layer(inputs)
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(alone))
        >>> booster = keras.Model(inputs, keras.layers.Dense(2)(low))
        >>> rocket_tf.RocketModel(light, booster)
        Traceback (most recent call last):
        ValueError: The rocket could not be loaded again, once saved: ...
    """
    for model in (_joint(rocket), _without_optimizer(rocket.teacher)):
        shared = {} if model is None else _shared_layers(model)
        if not shared:
            continue
        try:
            config = _configuration(model)
        except NotImplementedError:
            continue
        problem = _problem_of_loading(model, config)
        if problem:
            raise ValueError(
                "The rocket could not be loaded again, once saved: layers or variables are held by "
                "several layers or nested models, and Keras would make several of them. "
                f"Received: {sorted(shared.values())} ({problem}); call the layers themselves in "
                "both nets, or give each its own"
            )


def _problem_of_loading(model, config):
    """What goes wrong when a model is rebuilt from its configuration; `None` if nothing does."""
    classes = {type(layer).__name__: type(layer) for layer in keras_internals.all_layers(model)}
    state = random.getstate()  # from which Keras draws seeds
    try:
        with keras_internals.object_sharing():
            rebuilt = keras.saving.deserialize_keras_object(config, classes, safe_mode=False)
    except Exception as error:  # layers and Keras raise many kinds
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        random.setstate(state)
    counts = len(model.variables), len(rebuilt.variables)
    return None if counts[0] == counts[1] else "{} variables would become {}".format(*counts)


def _configuration(model):
    """A model's configuration, with marks on layers that several others hold."""
    held = {} if model is None else _shared_layers(model)
    if not held:
        return keras.saving.serialize_keras_object(model)
    return _with_ids_of(held, _serialized_with_ids(model))


def _with_ids_of(held, config):
    """The configuration without the marks of other objects, whose ids may be in use again."""
    if isinstance(config, list):
        return [_with_ids_of(held, value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _with_ids_of(held, value)
        for key, value in config.items()
        if key != "shared_object_id" or value in held
    }


def _shared_layers(model):
    """Layers with variables that several layers hold, or whose variables do; names by id."""
    layers = keras_internals.all_layers(model)
    holders, owners = {}, {}
    for layer in layers:
        inner = keras_internals.all_layers(layer, nested=False)
        for part in inner:
            if part.variables:
                holders.setdefault(id(part), []).append(part)
        inner_variables = {id(variable) for part in inner for variable in part.variables}
        for variable in layer.variables:
            if id(variable) not in inner_variables:
                owners.setdefault(id(variable), []).append(layer)
    shared = [group for group in (*holders.values(), *owners.values()) if len(group) > 1]
    return {id(layer): layer.name for group in shared for layer in group}


def _joint(rocket):
    """One graph with both nets, so that shared layers are written and read once."""
    return keras.Model(rocket.input, rocket.output, name=f"{rocket.name}_graph")


def _without_optimizer(net):
    """The net as it was before `compile`, whose settings are no longer needed."""
    return None if net is None else keras.Model(net.input, net.output, name=net.name)


def _serialized_with_ids(value):
    """A configuration in which each object has its `id`, as `shared_object_id`.

    Keras marks objects that occur twice, but loses the mark of the first in models, which copy the
    configurations of their layers. The second time, all are known.
    """
    with keras_internals.object_sharing():
        keras.saving.serialize_keras_object(value)
        return keras.saving.serialize_keras_object(value)
