"""The nets and the compiled model of a configuration: each method as a setting of `RocketModel`."""

import keras

from rocket_tf import config as options
from rocket_tf.data.catalog import DATASETS
from rocket_tf.graph import common_layers, leaf_layers
from rocket_tf.hints import Hint
from rocket_tf.networks import group_outputs, wide_resnet_pair
from rocket_tf.optimization import make_optimizer
from rocket_tf.rocket import RocketModel


def build_nets(config):
    """The light net and the booster of a configuration, as functional models."""
    card = DATASETS[config["dataset"]]
    return wide_resnet_pair(
        light_depth=config["light_depth"] or None,
        booster_depth=config["booster_depth"],
        width=config["width"],
        num_classes=card.num_classes,
        input_shape=card.image_shape,
        layout=config["layout"],
        share=config["share"],
        pixel_mean=card.pixel_mean,
        pixel_std=card.pixel_std,
        batch_normalization=config["batch_normalization"],
        booster_dropout=config["booster_dropout"],
        seed=config["seed"],
    )


def build_model(config, teacher=None):
    """The compiled model of a configuration; a net that is trained alone is its light net.

    Args:
        config: a checked configuration.
        teacher: the trained booster, for the methods in `config.METHODS_WITH_TEACHER`; it becomes
            frozen.

    Returns:
        A compiled `RocketModel` on uint8 or float images of 0 to 255.
    """
    light, booster = build_nets(config)
    method = config["method"]
    label_weights = None
    if method in ("light", "booster"):
        model = RocketModel({"light": light, "booster": booster}[method], hint=None)
    else:
        if method == "no_joint_training":
            _copy_shared_layers(teacher, light, booster)
        model = RocketModel(
            light,
            booster if method in ("rocket", "rocket_kd") else None,
            hint=_hints(config, light, teacher),
            gradient_block=config["gradient_block"],
            teacher=teacher,
        )
        if method == "kd":
            label_weights = {"light": 1 - config["distillation_weight"]}
    loss = (
        keras.losses.CategoricalCrossentropy
        if mixes_labels(config)
        else keras.losses.SparseCategoricalCrossentropy
    )
    model.compile(
        optimizer=make_optimizer(config, options.total_steps(config)),
        loss=loss(from_logits=True),
        loss_weights=label_weights,
        metrics=["accuracy"],
    )
    return model


def mixes_labels(config):
    """Whether augmentation mixes labels, which are one-hot then."""
    return bool(config["mixup"] or config["cutmix"])


def _hints(config, light, teacher):
    """The hints of a method."""
    temperature = config["temperature"]
    hint = Hint(
        config["hint"],
        config["hint_weight"],
        temperature=temperature if config["hint"] == "kd" else None,
    )
    # The authors' release takes alpha * 2 T² KL, and its KL is a mean over classes too. The
    # cross-entropy here differs from KL by the teacher's entropy, which has no gradient.
    distillation = Hint(
        "kd",
        2 * config["distillation_weight"] / DATASETS[config["dataset"]].num_classes,
        follows="teacher",
        temperature=temperature,
    )
    match config["method"]:
        case "rocket":
            return [hint]
        case "rocket_kd":
            return [hint, distillation]
        case "kd":
            return [distillation]
        case "no_joint_training":
            return [Hint(hint.loss, hint.weight, follows="teacher")]
        case "at":
            pairs = zip(group_outputs(light), group_outputs(teacher), strict=True)
            return [
                Hint("attention", config["attention_weight"], follows="teacher", layers=dict(pairs))
            ]


def _copy_shared_layers(teacher, light, booster):
    """Gives the layers that light net and booster share the weights that the teacher has there."""
    trained = {layer.name: layer for layer in leaf_layers(teacher)}
    for layer in common_layers(light, booster):
        layer.set_weights(trained[layer.name].get_weights())
