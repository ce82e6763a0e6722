"""Which backbones, weights and frozen layers make sense together."""

from collections.abc import Mapping

from rocket_tf.config.read_by import IMAGE_NETS, has_named_nets
from rocket_tf.errors import ConfigError
from rocket_tf.networks.backbone_names import KERAS_CV
from rocket_tf.networks.weight_sources import has_net, kind_of


def check_nets(config: Mapping) -> None:
    """Checks the nets that a configuration names.

    Raises:
        ConfigError: for the first combination that makes no sense.
    """
    if not IMAGE_NETS.reads(config):
        return
    for net in ("booster", "light"):
        _check_weights(config, net)
    light, branch = config["light_backbone"], config["branch_layer"]
    if not has_named_nets(config):
        for name in ("light_backbone", "branch_layer", "light_weights"):
            if config[name]:
                raise ConfigError(
                    f"config.{name}: got {config[name]!r} without a booster, expected ''; add "
                    "--config.booster_backbone=ResNet50, for example"
                )
        return
    light_net = light or (has_net(config["light_weights"]) and config["light_weights"])
    if bool(light_net) == bool(branch):
        raise ConfigError(
            f"config.light_backbone: got {light_net or ''!r} with branch_layer={branch!r}, "
            "expected one of the two: a light net of its own, or one that branches off the booster"
        )
    if branch and config["light_weights"]:
        raise ConfigError(
            f"config.light_weights: got {config['light_weights']!r} with branch_layer={branch!r}, "
            "expected '': what the light net shares starts as the booster does"
        )
    if config["method"] == "at":
        raise ConfigError(
            "config.method: got at with backbones, expected another: attention transfer pairs the "
            "groups of wide residual nets; take --config.method=kd, for example"
        )
    if config["method"] == "no_joint_training" and not branch:
        raise ConfigError(
            "config.method: got no_joint_training with two backbones, expected nets that share "
            "layers, from which the light net could start; set branch_layer instead"
        )
    if config["unfreeze_epoch"] and not 2 <= config["unfreeze_epoch"] <= config["epochs"]:
        raise ConfigError(
            f"config.unfreeze_epoch: got {config['unfreeze_epoch']}, expected 2 to epochs, "
            f"{config['epochs']}, or 0: layers that are frozen in no epoch, or in all, need none"
        )


def _check_weights(config, net):
    weights, backbone = config[f"{net}_weights"], config[f"{net}_backbone"]
    if has_net(weights) and backbone:
        raise ConfigError(
            f"config.{net}_weights: got {weights!r} with {net}_backbone={backbone!r}, expected one "
            f"of the two: it has a net of its own; set {net}_backbone=''"
        )
    if not weights or has_net(weights):
        return
    if not backbone:
        raise ConfigError(
            f"config.{net}_weights: got {weights!r} without {net}_backbone, expected the net that "
            f"these weights are for; add --config.{net}_backbone=ResNet50, for example"
        )
    if backbone in KERAS_CV:
        raise ConfigError(
            f"config.{net}_weights: got {weights!r} with {net}_backbone={backbone!r}, expected '': "
            "KerasCV is no longer developed; take hub/<preset> of KerasHub"
        )
    if kind_of(weights) == "weights.h5" and backbone.startswith("EfficientNetB"):
        raise ConfigError(
            f"config.{net}_weights: got {weights!r} with {net}_backbone={backbone!r}, expected a "
            ".keras file: Keras builds this net in two ways, and weights alone do not say which"
        )
