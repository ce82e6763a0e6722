"""Pairs of nets, light and booster, that share layers."""

from rocket_tf.networks.backbones import backbone_pair
from rocket_tf.networks.branching import branch
from rocket_tf.networks.click_towers import click_pair
from rocket_tf.networks.features import Feature
from rocket_tf.networks.normalization import FusedBatchNormalization
from rocket_tf.networks.wide_resnet import group_outputs, wide_resnet_pair

__all__ = [
    "Feature",
    "FusedBatchNormalization",
    "backbone_pair",
    "branch",
    "click_pair",
    "group_outputs",
    "wide_resnet_pair",
]
