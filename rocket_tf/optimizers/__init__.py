"""Optimizers and learning rate schedules."""

from typing import TYPE_CHECKING

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
if TYPE_CHECKING:  # what the lazy names are
    from rocket_tf.optimizers.schedules import WarmUp as WarmUp
    from rocket_tf.optimizers.schedules import piecewise_schedule as piecewise_schedule
    from rocket_tf.optimizers.sgd import SGDWithL2 as SGDWithL2
    from rocket_tf.optimizers.sparse import SparseAdagrad as SparseAdagrad
    from rocket_tf.optimizers.sparse import SparseAdam as SparseAdam
    from rocket_tf.optimizers.sparse import SparseSGD as SparseSGD
    from rocket_tf.optimizers.split import SplitOptimizer as SplitOptimizer
else:
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
