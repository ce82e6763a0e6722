"""Pairs of nets, light and booster, that share layers."""

from typing import TYPE_CHECKING

from rocket_tf.system.lazy import lazy_names

_DEFINED_IN = {
    "Embedding": "rocket_tf.networks.embedding",
    "Feature": "rocket_tf.data.clicks.features",
    "FusedBatchNormalization": "rocket_tf.networks.normalization",
    "backbone_pair": "rocket_tf.networks.backbones",
    "branch": "rocket_tf.networks.branching",
    "click_pair": "rocket_tf.networks.click_towers",
    "group_outputs": "rocket_tf.networks.wide_resnet",
    "wide_resnet_pair": "rocket_tf.networks.wide_resnet",
}
__all__ = list(_DEFINED_IN)
if TYPE_CHECKING:  # what the lazy names are
    from rocket_tf.data.clicks.features import Feature as Feature
    from rocket_tf.networks.backbones import backbone_pair as backbone_pair
    from rocket_tf.networks.branching import branch as branch
    from rocket_tf.networks.click_towers import click_pair as click_pair
    from rocket_tf.networks.embedding import Embedding as Embedding
    from rocket_tf.networks.normalization import FusedBatchNormalization as FusedBatchNormalization
    from rocket_tf.networks.wide_resnet import group_outputs as group_outputs
    from rocket_tf.networks.wide_resnet import wide_resnet_pair as wide_resnet_pair
else:
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
