"""Rocket Launching (Zhou et al., AAAI 2018) for TensorFlow 2 and Keras 3."""

import sys as _sys
from pathlib import Path as _Path

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


# Commands answer mistakes before they load TensorFlow, which takes seconds. Everybody else gets
# all names at once, and Keras the classes that it needs to load saved models.
if not _is_command():
    from rocket_tf import backbone_names, networks
    from rocket_tf.analysis import attention_maps, gradient_flow
    from rocket_tf.hints import Hint
    from rocket_tf.ownership import ownership
    from rocket_tf.ranking_metrics import ExactAUC, GroupAUC
    from rocket_tf.rocket import RocketModel
    from rocket_tf.serving.saved_model import export_light

    __all__ = [
        "ExactAUC",
        "GroupAUC",
        "Hint",
        "RocketModel",
        "attention_maps",
        "backbone_names",
        "export_light",
        "gradient_flow",
        "networks",
        "ownership",
    ]
