"""Optimizers and learning rate schedules."""

from rocket_tf.system.lazy import lazy_names

_DEFINED_IN = {
    "SGDWithL2": "rocket_tf.optimizers.sgd",
    "SparseAdagrad": "rocket_tf.optimizers.sparse",
    "SparseAdam": "rocket_tf.optimizers.sparse",
    "SparseSGD": "rocket_tf.optimizers.sparse",
    "SplitOptimizer": "rocket_tf.optimizers.split",
    "WarmUp": "rocket_tf.optimizers.schedules",
    "piecewise_schedule": "rocket_tf.optimizers.schedules",
}
__all__ = list(_DEFINED_IN)
__getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
