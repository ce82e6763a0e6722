"""Pairs of nets, light and booster, that share layers."""

from rocket_tf.networks.normalization import FusedBatchNormalization
from rocket_tf.networks.wide_resnet import group_outputs, wide_resnet_pair

__all__ = ["FusedBatchNormalization", "group_outputs", "wide_resnet_pair"]
