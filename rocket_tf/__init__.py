"""Rocket Launching (Zhou et al., AAAI 2018) for TensorFlow 2 and Keras 3."""

import sys as _sys
from pathlib import Path as _Path

from rocket_tf.system.lazy import lazy_names as _lazy_names

__version__ = "0.2.0"

_COMMANDS = (
    "rocket_tf.main",
    "rocket_tf.benchmarks.worker",
    "rocket_tf.config",
    "rocket_tf.serving.latency_worker",
    "tools.benchmark",
    "tools.choose_hint_weight",
    "tools.compare_clicks",
    "tools.export",
    "tools.interruptions",
    "tools.latency",
    "tools.pictures",
    "tools.predict",
    "tools.report",
    "tools.reproduce",
    "tools.serve_check",
)


def _is_command():
    """Whether this process is one of the project's own commands."""
    arguments = _sys.orig_argv
    module = arguments[arguments.index("-m") + 1] if "-m" in arguments[:-1] else ""
    return module in _COMMANDS or (bool(_sys.argv) and _Path(_sys.argv[0]).stem == "rocket-tf")


_DEFINED_IN = {
    "ExactAUC": "rocket_tf.metrics.ranking",
    "GroupAUC": "rocket_tf.metrics.ranking",
    "Hint": "rocket_tf.core.hints",
    "RocketModel": "rocket_tf.core.rocket_model",
    "attention_maps": "rocket_tf.analysis.gradient_flow",
    "export_light": "rocket_tf.serving.saved_model",
    "gradient_flow": "rocket_tf.analysis.gradient_flow",
    "ownership": "rocket_tf.analysis.ownership",
}
_MODULES = {
    "backbone_names": "rocket_tf.networks.backbone_names",
    "networks": "rocket_tf.networks",
    "optimizers": "rocket_tf.optimizers",
}
__all__ = [*_DEFINED_IN, *_MODULES]
__getattr__, __dir__ = _lazy_names(__name__, _DEFINED_IN, _MODULES)

# Commands answer mistakes before they load TensorFlow, which takes seconds. Everybody else gets
# all names at once, and Keras the classes that it needs to load saved models.
if not _is_command():
    for _name in __all__:
        for _inner in getattr(__getattr__(_name), "__all__", ()):
            getattr(__getattr__(_name), _inner)
