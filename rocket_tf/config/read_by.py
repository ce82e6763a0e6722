"""Which runs read which fields. It does not import TensorFlow.

A field is read by all runs, by runs on some data, by runs of some nets, or by runs of some methods.
"""

import dataclasses
from collections.abc import Callable, Mapping

from rocket_tf.data.catalog import DATASETS, LOCAL_DATASETS, SIMULATED
from rocket_tf.data.clicks.simulated import BOUGHT
from rocket_tf.networks.weight_sources import has_net

# Methods that follow a booster trained before.
METHODS_WITH_TEACHER = ("kd", "at", "rocket_kd", "no_joint_training")
HINTS_WITH_TEMPERATURE = ("kd", "dkd", "dist")
HINTS_ON_LOGITS = ("logits_mse", "softmax_mse", *HINTS_WITH_TEMPERATURE)


@dataclasses.dataclass(frozen=True)
class Reader:
    """The runs that read a field.

    Attributes:
        words: the runs, in words.
        reads: whether a configuration belongs to such a run.
        otherwise: function from a configuration of another run to the reason, in words; such a run
            refuses a value other than the default. If it is `None` or returns `None`, the run
            ignores the field. Methods ignore each other's fields, so one configuration serves all.
    """

    words: str
    reads: Callable[[Mapping], bool]
    otherwise: Callable[[Mapping], str | None] | None = None


def kind_of(config: Mapping) -> str:
    """The kind of a configuration's data, "images" or "clicks"."""
    dataset = config["dataset"]
    return LOCAL_DATASETS[dataset] if dataset in LOCAL_DATASETS else DATASETS[dataset].kind


def labels_of(config: Mapping) -> tuple[str, ...]:
    """The labels of a configuration whose nets have a head for each; empty: there is one."""
    if LABELLED.reads(config):
        return tuple(config["label_columns"])
    if SIMULATED_LABELS.reads(config) and config["simulated_bought"]:
        columns = DATASETS[config["dataset"]].columns
        assert columns is not None  # as a click log has
        return columns.label, BOUGHT
    return ()


def _is_of_images(config):
    return kind_of(config) == "images"


def has_own(function):
    """A predicate: whether a configuration has its own function of this name."""
    return lambda config: function in config["own_functions"]


_has_own_nets = has_own("build_nets")


def has_named_nets(config: Mapping) -> bool:
    """Whether a configuration names its booster: a backbone, or a file or preset with a net."""
    return bool(config["booster_backbone"] or has_net(config["booster_weights"]))


def _has_wide_resnets(config):
    return _is_of_images(config) and not has_named_nets(config) and not _has_own_nets(config)


def _has_hint(config):
    follows = config["method"] in ("rocket", "rocket_kd", "no_joint_training")
    return follows and not has_own("build_hints")(config)


def _is_distilled(config):
    return config["method"] in ("kd", "rocket_kd")


def _hint_has_its_temperature(config):
    is_plain = config["hint"] == "kd" and not config["standardize_logits"]
    return _has_hint(config) and is_plain and not config["hint_temperature"]


def _dataset(config):
    return f"dataset={config['dataset']}"


def _dataset_or_own_nets(config):
    return "your own build_nets" if _has_own_nets(config) else _dataset(config)


def _not_continuable(config):
    """Why a run cannot start from a finished one, in words, or `None`."""
    if _has_own_nets(config):
        return "your own build_nets"
    if config["method"] in METHODS_WITH_TEACHER:
        return f"method={config['method']}"
    return None if config["dataset"] == "click_log" else _dataset(config)


def _dataset_or_backbones(config):
    if _has_own_nets(config):
        return _dataset_or_own_nets(config)
    return "backbones" if _is_of_images(config) and has_named_nets(config) else _dataset(config)


def _sharing(config):
    return "share=True" if _has_wide_resnets(config) else _dataset_or_backbones(config)


DROPS = Reader(
    "learning_rate_schedule=drops", lambda config: config["learning_rate_schedule"] == "drops"
)
EVERY_RUN = Reader("every run", lambda config: True)
OWN_CODE = Reader("runs with own_functions", lambda config: bool(config["own_functions"]))
# By data
IMAGES = Reader("images", _is_of_images, _dataset)
_IMAGE_FILES = ("image_folder", "tfds")
IMAGE_FILES = Reader(
    f"dataset={', '.join(_IMAGE_FILES)}", lambda config: config["dataset"] in _IMAGE_FILES, _dataset
)
TFDS = Reader("dataset=tfds", lambda config: config["dataset"] == "tfds", _dataset)
_STREAMABLE = (*_IMAGE_FILES, "click_log")
STREAMABLE = Reader(
    f"dataset={', '.join(_STREAMABLE)}", lambda config: config["dataset"] in _STREAMABLE, _dataset
)
AUGMENTED = Reader(
    "rand_augment, mixup or cutmix above 0",
    lambda config: bool(config["rand_augment"] or config["mixup"] or config["cutmix"]),
)
CROPS = Reader("crop_padding above 0", lambda config: config["crop_padding"] > 0)
CLICKS = Reader("clicks", lambda config: kind_of(config) == "clicks", _dataset)
IMAGE_FOLDERS = Reader(
    "dataset=image_folder", lambda config: config["dataset"] == "image_folder", _dataset
)
LABELS_FILES = Reader(
    "dataset=image_folder with labels_file",
    lambda config: config["dataset"] == "image_folder" and bool(config["labels_file"]),
    lambda config: _dataset(config) if config["labels_file"] else "labels_file=''",
)
_CUT_BY_FRACTION = ("click_log", "image_folder")
CUT_BY_FRACTION = Reader(
    f"dataset={', '.join(_CUT_BY_FRACTION)}",
    lambda config: config["dataset"] in _CUT_BY_FRACTION,
    _dataset,
)
CLICK_LOGS = Reader("dataset=click_log", lambda config: config["dataset"] == "click_log", _dataset)
SIMULATED_LOGS = Reader(
    f"dataset={', '.join(SIMULATED)}", lambda config: config["dataset"] in SIMULATED, _dataset
)
# By nets
BUILT_IN_NETS = Reader(
    "built-in nets", lambda config: not _has_own_nets(config), _dataset_or_own_nets
)
IMAGE_NETS = Reader(
    "built-in nets on images",
    lambda config: _is_of_images(config) and not _has_own_nets(config),
    _dataset_or_own_nets,
)
CLICK_NETS = Reader(
    "built-in nets on clicks",
    lambda config: not _is_of_images(config) and not _has_own_nets(config),
    _dataset_or_own_nets,
)
# 64 was the default before it became 0.
IMAGE_SIZES = Reader(
    IMAGE_FILES.words,
    IMAGE_FILES.reads,
    lambda config: None if config["image_size"] == 64 else _dataset(config),
)
PRETRAINED_BOOSTERS = Reader(
    "runs with booster_weights",
    lambda config: bool(config["booster_weights"]),
    lambda config: "booster_weights=''",
)
PRETRAINED_LIGHT_NETS = Reader(
    "runs with light_weights",
    lambda config: bool(config["light_weights"]),
    lambda config: "light_weights=''",
)
PRETRAINED = Reader(
    "runs with booster_weights or light_weights",
    lambda config: bool(config["booster_weights"] or config["light_weights"]),
    lambda config: "random weights",
)
WITH_FROZEN_LAYERS = Reader(
    "runs with booster_freeze_until or light_freeze_until",
    lambda config: bool(config["booster_freeze_until"] or config["light_freeze_until"]),
    lambda config: "no frozen layers",
)
WIDE_RESNETS = Reader("wide residual nets", _has_wide_resnets, _dataset_or_backbones)
STEMS = Reader(
    "wide residual nets with share=False",
    lambda config: _has_wide_resnets(config) and not config["share"],
    _sharing,
)
LABEL_LOSSES = Reader(
    "runs without build_losses",
    lambda config: not has_own("build_losses")(config),
    lambda config: "your own build_losses",
)
LABELLED = Reader(
    "built-in nets on dataset=click_log",
    lambda config: config["dataset"] == "click_log" and not _has_own_nets(config),
    _dataset_or_own_nets,
)
SIMULATED_LABELS = Reader(
    f"built-in nets on {SIMULATED_LOGS.words}",
    lambda config: config["dataset"] in SIMULATED and not _has_own_nets(config),
    _dataset_or_own_nets,
)
WITH_LABELS = Reader(
    "runs with several labels",
    lambda config: bool(labels_of(config)),
    lambda config: "one label",
)
CONTINUABLE = Reader(
    "built-in nets on dataset=click_log, without a booster that was trained before",
    lambda config: _not_continuable(config) is None,
    lambda config: _not_continuable(config),
)
# By method
FOLLOWERS = Reader(
    f"methods {', '.join(METHODS_WITH_TEACHER)}",
    lambda config: config["method"] in METHODS_WITH_TEACHER,
)
HINTS = Reader(
    "methods rocket, rocket_kd, no_joint_training, without build_hints",
    _has_hint,
    lambda config: "your own build_hints" if has_own("build_hints")(config) else None,
)
JOINT_METHODS = Reader(
    "methods rocket, rocket_kd", lambda config: config["method"] in ("rocket", "rocket_kd")
)
DISTILLATION = Reader("methods kd, rocket_kd", _is_distilled)
TEMPERATURES = Reader(
    "methods kd, rocket_kd, and hint=kd without hint_temperature and standardize_logits",
    lambda config: _is_distilled(config) or _hint_has_its_temperature(config),
)
STANDARDIZABLE = Reader("hint=kd", lambda config: _has_hint(config) and config["hint"] == "kd")
HINT_TEMPERATURES = Reader(
    f"hint={', '.join(HINTS_WITH_TEMPERATURE)}",
    lambda config: _has_hint(config) and config["hint"] in HINTS_WITH_TEMPERATURE,
)
ATTENTION_TRANSFER = Reader("method at", lambda config: config["method"] == "at")
