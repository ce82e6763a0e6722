"""Pairs of nets, light and booster, that share layers."""

from rocket_tf.system.lazy import lazy_names

_DEFINED_IN = {
    "Embedding": "rocket_tf.networks.embedding",
    "Feature": "rocket_tf.networks.features",
    "FusedBatchNormalization": "rocket_tf.networks.normalization",
    "backbone_pair": "rocket_tf.networks.backbones",
    "branch": "rocket_tf.networks.branching",
    "click_pair": "rocket_tf.networks.click_towers",
    "group_outputs": "rocket_tf.networks.wide_resnet",
    "wide_resnet_pair": "rocket_tf.networks.wide_resnet",
}
__all__ = list(_DEFINED_IN)
__getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
