"""How a RocketModel is written to a .keras file, and made again from it."""

import keras

from rocket_tf.core import graph


def config_of(rocket):
    """The configuration of a `RocketModel`, a dict; `arguments_from` reads it.

    Example:
        >>> import keras, rocket_tf
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> booster = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="booster")
        >>> config_of(rocket_tf.RocketModel(light, booster))["gradient_block"]
        True
    """
    # One graph holds both nets, so that the layers they share are written, and read, once.
    joint = keras.Model(rocket.input, rocket.output, name=f"{rocket.name}_graph")
    nets = {"light": rocket.light} | ({} if rocket.booster is None else {"booster": rocket.booster})
    return {
        "name": rocket.name,
        "joint": keras.saving.serialize_keras_object(joint),
        "nets": {role: graph.net_config(role, net, joint) for role, net in nets.items()},
        "teacher": keras.saving.serialize_keras_object(_without_optimizer(rocket.teacher)),
        "hint": [keras.saving.serialize_keras_object(hint) for hint in rocket.hints],
        "gradient_block": rocket.gradient_block,
        "shared_layers_learn_from": rocket.shared_layers_learn_from,
    }


def arguments_from(config, custom_objects=None):
    """The arguments that make a `RocketModel` of its configuration.

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


def _without_optimizer(net):
    """The net as it was before `compile`; what it was trained with is not needed any more."""
    return None if net is None else keras.Model(net.input, net.output, name=net.name)
