"""The methods that the paper compares, each as settings of one configuration.

    python -m rocket_tf.main --config=configs/cifar10.py:kd

Like configurations, it does not import TensorFlow.
"""

import dataclasses
from collections.abc import Mapping

from rocket_tf.config import booster_settings
from rocket_tf.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of the paper's tables.

    Attributes:
        title: its name in tables.
        settings: the fields in which it differs from the rocket.
    """

    title: str
    settings: Mapping[str, object]


METHODS: Mapping[str, Method] = {
    "light": Method("base (light net alone)", {"method": "light"}),
    "booster": Method("booster alone", {"method": "booster"}),
    "at": Method("AT", {"method": "at"}),
    "kd": Method("KD", {"method": "kd"}),
    "rocket": Method("rocket", {"method": "rocket"}),
    "rocket_kd": Method("rocket + KD", {"method": "rocket_kd"}),
    "rocket_no_gradient_block": Method("no gradient block", {"gradient_block": False}),
    "rocket_no_sharing": Method("no sharing, not even the stem", {"share": False}),
    "rocket_no_sharing_but_stem": Method(
        "no sharing but the stem", {"share": False, "share_stem": True}
    ),
    "no_joint_training": Method("no joint training", {"method": "no_joint_training"}),
    # No paper gives a weight in a rocket for the hints below; results/hint_weight_*.json chose them
    # on a validation split of the digits.
    "rocket_softmax_mse": Method(
        "rocket, softmax MSE (weight 0.3)", {"hint": "softmax_mse", "hint_weight": 0.3}
    ),
    "rocket_kd_hint": Method("rocket, KD as hint (weight 0.2)", {"hint": "kd", "hint_weight": 0.2}),
    "rocket_standardized_kd": Method(
        "rocket, standardized KD as hint (weight 0.0125)",
        {"hint": "kd", "standardize_logits": True, "hint_weight": 0.0125},
    ),
    "rocket_dkd": Method(
        "rocket, decoupled KD as hint (weight 0.003)", {"hint": "dkd", "hint_weight": 0.003}
    ),
    "rocket_dist": Method(
        "rocket, DIST as hint (weight 0.3)", {"hint": "dist", "hint_weight": 0.3}
    ),
    # Its own paper has weight 1 in both directions, for nets that share no layers.
    "rocket_mutual": Method(
        "rocket, mutual learning (weights 0.1 and 1)",
        {"hint": "kd", "hint_temperature": 1.0, "hint_weight": 0.1, "booster_hint_weight": 1.0},
    ),
}


def with_method(config, name):
    """A configuration, changed into that of one of the `METHODS`.

    Args:
        config: a `ConfigDict` of the rocket; it is changed.
        name: key of `METHODS`.

    Returns:
        The same `ConfigDict`.

    Raises:
        ConfigError: if there is no such method.
    """
    if name not in METHODS:
        raise ConfigError(
            f"--config: got method {name!r} after the colon, expected one of {', '.join(METHODS)}"
        )
    config.update(METHODS[name].settings)
    if name == "booster":
        config.update(booster_settings(config))
    return config
