"""Pairs of nets, light and booster, that share layers."""

from rocket_tf.networks.normalization import FusedBatchNormalization
from rocket_tf.networks.wide_resnet import wide_resnet_pair

__all__ = ["FusedBatchNormalization", "wide_resnet_pair"]
