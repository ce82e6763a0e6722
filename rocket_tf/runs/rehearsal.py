"""Tries a configuration's own functions on a few examples before a run writes anything."""

import keras
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf.core.graph import common_layers
from rocket_tf.core.rocket_model import RocketModel
from rocket_tf.data.interface import by_name
from rocket_tf.runs import own_parts
from rocket_tf.runs.building import build_model, build_nets, mixes_labels

_EXAMPLES = 2


def rehearse(config, data, copy):
    """Builds a run's model and evaluates it on a few examples, so that mistakes show early.

    Args:
        config: a checked configuration with `own_functions`.
        data: its data, a `rocket_tf.data.DataSet`.
        copy: path where the run's folder has its copy of the functions' file, if it has one.

    Raises:
        ConfigError: for the first mistake, with its file and line.
    """
    own = own_parts.of(config, data, copy)
    inputs, labels = data.train.first(_EXAMPLES)
    inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
    if own.has("build_nets"):
        _check_nets(config, own, inputs)
    teacher = None
    if config["method"] in options.METHODS_WITH_TEACHER:
        _, teacher = build_nets(config, data.card, own)
    model = build_model(config, data.card, teacher, own)
    own.callbacks()
    if mixes_labels(config):
        labels = keras.utils.to_categorical(labels, data.card.num_classes)
    labels = by_name(labels, data.card.outputs)
    model.run_eagerly = True  # tracing a step is not worth it for so few examples
    with own.answering("a step", "build_losses"):
        logs = model.test_on_batch(inputs, labels, return_dict=True)
    own.check_loss(float(logs["loss"]))


def _check_nets(config, own, inputs):
    light, booster = own.nets()
    for role, net in (("light", light), ("booster", booster)):
        if net is not None:
            with own.answering(f"the {role}", "build_nets"):
                RocketModel(net, hint=None)
            own.check_outputs(role, net)
            with own.answering(f"a call of the {role}", "build_nets"):
                own_inputs = inputs
                if isinstance(inputs, dict):
                    own_inputs = {name: inputs[name] for name in net.input}
                net(own_inputs, training=True)
    if booster is not None:
        with own.answering("the pair", "build_nets"):
            RocketModel(light, booster)
        if config["method"] == "no_joint_training" and not common_layers(light, booster):
            raise own.mistake(
                "build_nets",
                "returns nets without common layers, but method=no_joint_training starts the light "
                "net from the booster's layers; share some, or use --config.method=kd",
            )
