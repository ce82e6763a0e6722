"""Rocket Launching (Zhou et al., AAAI 2018) for TensorFlow 2 and Keras 3."""

import re as _re
import sys as _sys
import typing as _typing
from importlib.util import find_spec as _find_spec
from pathlib import Path as _Path

from rocket_tf.system.lazy import lazy_names as _lazy_names

__version__ = "0.2.0"


def _module_run():
    """The module with which Python was started by -m; empty if there is none."""
    arguments = iter(_sys.orig_argv[1:])
    for argument in arguments:
        if argument in ("-W", "-X", "--check-hash-based-pycs"):
            next(arguments, "")
        elif match := _re.fullmatch("-[bBdEhiIOPqRsSuvVx]*m(.*)", argument):
            return match[1] or next(arguments, "")
        elif argument.startswith("-c") or not argument.startswith("-"):
            break  # the rest belongs to the program
    return ""


def _is_command():
    """Whether this process is one of the project's own commands."""
    if _sys.argv and _Path(_sys.argv[0]).stem == "rocket-tf":
        return True
    package, _, name = _module_run().partition(".")
    if package != "tools":
        return package == __name__
    # Other projects also have packages of that name.
    folder = _Path(__file__).parents[1] / package
    spec = _find_spec(package)
    is_ours = spec is not None and _Path(spec.origin or "").resolve().parent == folder.resolve()
    return is_ours and (folder / f"{name}.py").is_file()


_DEFINED_IN = {
    "BinnedAUC": "rocket_tf.metrics.approximate",
    "Calibration": "rocket_tf.metrics.calibration",
    "CalibrationError": "rocket_tf.metrics.calibration",
    "ExactAUC": "rocket_tf.metrics.ranking",
    "GroupAUC": "rocket_tf.metrics.ranking",
    "Hint": "rocket_tf.core.hints",
    "MeanAveragePrecision": "rocket_tf.metrics.average_precision",
    "RocketModel": "rocket_tf.core.rocket_model",
    "SampledGroupAUC": "rocket_tf.metrics.approximate",
    "SmoothedCrossEntropy": "rocket_tf.core.smoothing",
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
if _typing.TYPE_CHECKING:  # what the lazy names are
    from rocket_tf import networks as networks
    from rocket_tf import optimizers as optimizers
    from rocket_tf.analysis.gradient_flow import attention_maps as attention_maps
    from rocket_tf.analysis.gradient_flow import gradient_flow as gradient_flow
    from rocket_tf.analysis.ownership import ownership as ownership
    from rocket_tf.core.hints import Hint as Hint
    from rocket_tf.core.rocket_model import RocketModel as RocketModel
    from rocket_tf.core.smoothing import SmoothedCrossEntropy as SmoothedCrossEntropy
    from rocket_tf.metrics.approximate import BinnedAUC as BinnedAUC
    from rocket_tf.metrics.approximate import SampledGroupAUC as SampledGroupAUC
    from rocket_tf.metrics.average_precision import MeanAveragePrecision as MeanAveragePrecision
    from rocket_tf.metrics.calibration import Calibration as Calibration
    from rocket_tf.metrics.calibration import CalibrationError as CalibrationError
    from rocket_tf.metrics.ranking import ExactAUC as ExactAUC
    from rocket_tf.metrics.ranking import GroupAUC as GroupAUC
    from rocket_tf.networks import backbone_names as backbone_names
    from rocket_tf.serving.saved_model import export_light as export_light
else:
    __getattr__, __dir__ = _lazy_names(__name__, _DEFINED_IN, _MODULES)

# Commands report mistakes before they load TensorFlow, which takes seconds. In all other programs,
# all names are imported at once, so that Keras knows the classes of saved models.
if not _is_command():
    for _name in __all__:
        _value = getattr(_sys.modules[__name__], _name)
        for _inner in getattr(_value, "__all__", ()):
            getattr(_value, _inner)
