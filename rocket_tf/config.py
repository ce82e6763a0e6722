"""Every option of a run: its default, its meaning with unit, and what it must be.

Free of TensorFlow, so that a mistake is answered before the seconds that TensorFlow takes to load.
`python -m rocket_tf.config` prints the table.
"""

import ast
import dataclasses
import difflib
import math
import os
import warnings
from collections.abc import Callable, Mapping

import ml_collections

from rocket_tf.data.catalog import DATASETS


class ConfigError(ValueError):
    """A configuration that cannot be run. Its message is one line: field, given, expected, mend."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One option of a run.

    Attributes:
        default: its value where a configuration does not set it; its type is the field's type.
        meaning: what it does, with the unit of its values.
        expected: in words, the values it takes.
        accepts: the same as a predicate.
    """

    default: object
    meaning: str
    expected: str
    accepts: Callable[[object], bool]


def _integer(default, meaning, minimum):
    return Field(
        default,
        meaning,
        f"a whole number from {minimum} to 2**31 - 1",
        lambda value: minimum <= value < 2**31,
    )


def _number(default, meaning, expected, accepts):
    return Field(default, meaning, expected, lambda value: _is_finite(value) and accepts(value))


def _path(default, meaning):
    return Field(default, meaning, "a path", _is_path)


def _non_negative(default, meaning):
    return _number(default, meaning, "a number of at least 0", lambda value: value >= 0)


def _positive(default, meaning):
    return _number(default, meaning, "a number above 0", lambda value: value > 0)


def _choice(default, meaning, *choices):
    return Field(default, meaning, "one of " + ", ".join(choices), lambda value: value in choices)


def _switch(default, meaning):
    return Field(default, meaning, "True or False", lambda value: True)


def _is_finite(value):
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _is_path(value):
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _is_depth(value):
    return 10 <= value < 2**31 and (value - 4) % 6 == 0


def _is_light_depth(value):
    return value == 0 or (6 <= value < 2**31 and value % 2 == 0)


def _are_drops(values):
    return all(isinstance(value, int | float) and 0 < value < 1 for value in values) and list(
        values
    ) == sorted(set(values))


# Those that need a booster that was trained before.
METHODS_WITH_TEACHER = ("kd", "at", "rocket_kd", "no_joint_training")
METHODS = ("rocket", "light", "booster", *METHODS_WITH_TEACHER)
# None of these changes what is computed.
_FREE_FIELDS = (
    "data_dir",
    "booster_run",
    "checkpoints_kept",
    "checkpoint_every_steps",
    "pictures",
)

FIELDS: Mapping[str, Field] = {
    "seed": Field(
        0,
        "seed of initial weights, shuffling, augmentation and dropout",
        "a whole number from 0 to 2**32 - 1",
        lambda value: 0 <= value < 2**32,
    ),
    "method": _choice(
        "rocket",
        "what is trained. rocket: both nets together; light, booster: one of the same nets alone; "
        "kd or at: the light net follows a trained booster by knowledge distillation or attention "
        "transfer; rocket_kd: rocket and kd at once; no_joint_training: the light net starts from "
        "a copy of a trained booster's shared layers and follows its logits by the hint",
        *METHODS,
    ),
    "booster_run": _path(
        "",
        "folder of the run that trained the booster to follow; the booster is trained there where "
        "none is; empty: `booster` in the run's own folder; not read by methods without one",
    ),
    "epochs": _integer(200, "length of the training, in passes over the training examples", 1),
    "batch_size": _integer(128, "examples a step, over all replicas together", 1),
    # Data
    "dataset": _choice("cifar10", "which data", *DATASETS),
    "data_dir": _path(
        "", "folder of TensorFlow Datasets; empty: $TFDS_DATA_DIR, or ~/tensorflow_datasets"
    ),
    "train_examples": _integer(0, "the first so many training examples are used; 0: all", 0),
    "validation_examples": _integer(
        0,
        "so many of the training examples, the same of each class, are held out; the epoch with "
        "the fewest errors on them is exported and evaluated on the test examples; 0: the last is",
        0,
    ),
    "split_seed": _integer(
        0, "seed of the split into training and test examples; digits only, which has none", 0
    ),
    "flip": _switch(False, "augmentation: mirror half of the images left to right"),
    "crop_padding": _integer(
        0, "augmentation: reflect-pad by so many pixels, then crop at random; 0: off", 0
    ),
    "rand_augment": _number(
        0.0,
        "augmentation: magnitude of KerasCV's RandAugment, 0 to 1; 0: off",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    "mixup": _non_negative(0.0, "augmentation: alpha of KerasCV's MixUp; 0: off"),
    "cutmix": _number(
        0.0,
        "augmentation: alpha of KerasCV's CutMix, 0 to 1; 0: off",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    # Nets
    "layout": _choice(
        "interval",
        "which low layers the light net shares. interval: the first blocks of every group; bottom: "
        "the whole of the first two groups (the paper's Figure 3); constant: the lowest blocks of "
        "a booster whose groups are all of one width (Figure 4)",
        "interval",
        "bottom",
        "constant",
    ),
    "light_depth": Field(
        16,
        "layers of the light net, 6n + 4; 0 with layout=bottom, where the booster decides; 2n + 4 "
        "with layout=constant",
        "6n + 4 with n >= 1 (10, 16, 22, … below 2**31), 0 with layout=bottom, 2n + 4 with "
        "layout=constant",
        _is_light_depth,
    ),
    "booster_depth": Field(
        40,
        "layers of the booster, 6n + 4",
        "6n + 4 with n >= 1 (10, 16, 22, … below 2**31)",
        _is_depth,
    ),
    "width": _integer(1, "widening factor k: the groups have 16k, 32k and 64k channels", 1),
    "share": _switch(True, "share the low layers; False: two nets with only the input in common"),
    "batch_normalization": _choice(
        "fused",
        "batch statistics: fused kernel, each replica its own; synchronized over all replicas; or "
        "Keras's own layer, each replica its own",
        "fused",
        "synchronized",
        "keras",
    ),
    "booster_dropout": _number(
        0.0,
        "fraction of activations dropped after each convolution that is the booster's alone",
        "a number of at least 0 and below 1",
        lambda value: 0 <= value < 1,
    ),
    # Objective; each field is read by the methods that have such a term
    "hint": _choice(
        "logits_mse",
        "the loss by which the light net follows the booster (the paper's Table 3)",
        "logits_mse",
        "softmax_mse",
        "kd",
    ),
    "hint_weight": _non_negative(0.03, "weight of the hint loss; a cross-entropy weighs 1"),
    "gradient_block": _switch(True, "stop the hint's gradient from reaching the booster"),
    "temperature": _positive(
        4.0, "temperature T of both softmaxes; read by hint=kd and by methods kd and rocket_kd"
    ),
    "distillation_weight": _number(
        0.9,
        "alpha of methods kd and rocket_kd: weight of the distillation term, whose factor is "
        "2 / classes; in kd, the labels weigh 1 - alpha",
        "a number from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    "attention_weight": _non_negative(
        1000.0, "beta of method at: weight of the attention maps' mean squared difference"
    ),
    # Optimisation
    "optimizer": _choice("sgd", "sgd, with momentum 0.9, or adam", "sgd", "adam"),
    "learning_rate": _positive(0.1, "step size of the optimizer at the start"),
    "learning_rate_drops": Field(
        (0.3, 0.6, 0.8),
        "when the learning rate drops, in fractions of `epochs`",
        "increasing numbers above 0 and below 1, such as (0.3, 0.6, 0.8)",
        _are_drops,
    ),
    "learning_rate_drop_factor": _number(
        0.2,
        "what each drop multiplies the learning rate by",
        "a number above 0 and at most 1",
        lambda value: 0 < value <= 1,
    ),
    "weight_decay": _non_negative(
        5e-4, "factor of the L2 term inside the gradient, on every parameter; sgd only"
    ),
    # Execution
    "precision": _choice(
        "float32",
        "Keras dtype policy of the nets; logits and losses are float32 in all",
        "float32",
        "mixed_bfloat16",
        "mixed_float16",
    ),
    "replicas": _integer(
        0,
        "replicas of tf.distribute.MirroredStrategy; 0: one for each GPU, or one CPU; without "
        "GPUs, so many logical CPU devices",
        0,
    ),
    "deterministic": _switch(
        True, "same seed, same machine, same result to the last digit; False may be faster on GPUs"
    ),
    "evaluate_every_epochs": _integer(
        1,
        "epochs between two evaluations, on the validation examples or, where none are held out, "
        "on the test examples; the last epoch always is evaluated",
        1,
    ),
    "checkpoints_kept": _integer(3, "the last so many checkpoints are kept", 1),
    "checkpoint_every_steps": _integer(
        0, "a checkpoint after every so many steps, beside those after each epoch; 0: none", 0
    ),
    "pictures": _switch(
        True, "draw learning curves, gradient flow and attention maps into the run's folder"
    ),
}


def default() -> ml_collections.ConfigDict:
    """Every field at its default (the paper's CIFAR-10 recipe, without augmentation), locked.

    Returns:
        A locked `ConfigDict`: a field can be set, a field that does not exist cannot.
    """
    return ml_collections.ConfigDict({name: field.default for name, field in FIELDS.items()}).lock()


def parse_override(name: str, text: str) -> object:
    """The value of a field from its text on the command line.

    Args:
        name: the field's name, as in `--config.name=text`.
        text: the value as typed.

    Returns:
        The value, of the field's type.

    Raises:
        ConfigError: if there is no such field, or the text is not of its type.
    """
    if name not in FIELDS:
        raise ConfigError(unknown_field_message(name))
    field = FIELDS[name]
    kind = type(field.default)
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind is tuple:
            with warnings.catch_warnings():
                # What Python finds odd in the text, it would write to stderr.
                warnings.simplefilter("error")
                value = ast.literal_eval(text)
            return tuple(value) if isinstance(value, list | tuple) else (value,)
        return kind(text)
    # The last two are of texts that are nested too deeply.
    except (KeyError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ConfigError(_message(name, text)) from None


def parse_overrides(overrides: list[str]) -> dict:
    """Fields and values, from texts such as `epochs=20`.

    Raises:
        ConfigError: as `parse_override`.
    """
    parted = (override.partition("=") for override in overrides)
    return {name: parse_override(name, text) for name, _, text in parted}


def check(config: Mapping) -> None:
    """Checks a whole configuration.

    Args:
        config: a mapping from field names to values, such as a `ConfigDict`.

    Raises:
        ConfigError: for the first field that is missing, unknown, of the wrong type or out of
            range, and for combinations of fields that make no sense.
    """
    for name in config:
        if name not in FIELDS:
            raise ConfigError(unknown_field_message(str(name)))
    for name, field in FIELDS.items():
        if name not in config:
            raise ConfigError(
                f"config.{name}: missing; expected {field.expected}; start the configuration from "
                "rocket_tf.config.default()"
            )
        value = config[name]
        if not _has_type(value, type(field.default)) or not field.accepts(value):
            raise ConfigError(_message(name, value))
    _check_combinations(config)


def number_of_training_examples(config: Mapping) -> int:
    """The examples that a run trains on, without those that are held out for validation."""
    available = config["train_examples"] or DATASETS[config["dataset"]].train_examples
    return available - config["validation_examples"]


def steps_per_epoch(config: Mapping) -> int:
    """Steps in an epoch; the last one may have fewer examples than `batch_size`."""
    return math.ceil(number_of_training_examples(config) / config["batch_size"])


def total_steps(config: Mapping) -> int:
    """Steps of the whole run."""
    return steps_per_epoch(config) * config["epochs"]


def drop_steps(drops, total: int) -> list[int]:
    """The steps, counted from 0, from which on the learning rate has dropped once more.

    Args:
        drops: fractions of the training, increasing, between 0 and 1.
        total: steps of the whole training.
    """
    return [round(fraction * total) for fraction in drops]


def differences(first: Mapping, second: Mapping, ignored=()) -> list[str]:
    """The fields in which two configurations differ, each as `name: value → value`."""
    return [
        f"{name}: {_value(first, name)!r} → {_value(second, name)!r}"
        for name in FIELDS
        if name not in ignored and _value(first, name) != _value(second, name)
    ]


def trained_net(config: Mapping) -> str:
    """The net whose error decides: "booster" where it is trained alone, "light" otherwise."""
    return "booster" if config["method"] == "booster" else "light"


def unread_fields(config: Mapping) -> list[str]:
    """The fields of the objective that a configuration's method does not read."""
    hint = config["method"] in ("rocket", "rocket_kd", "no_joint_training")
    distillation = config["method"] in ("kd", "rocket_kd")
    read = {
        "booster_run": config["method"] in METHODS_WITH_TEACHER,
        "hint": hint,
        "hint_weight": hint,
        "gradient_block": config["method"] in ("rocket", "rocket_kd"),
        "temperature": distillation or (hint and config["hint"] == "kd"),
        "distillation_weight": distillation,
        "attention_weight": config["method"] == "at",
    }
    return [name for name, is_read in read.items() if not is_read]


def fields_of_no_account(config: Mapping) -> list[str]:
    """The fields in which two runs may differ and compute the same."""
    return [*_FREE_FIELDS, *unread_fields(config)]


def booster_config(config: Mapping) -> dict:
    """The run that trains the booster of a configuration alone, for methods that need one.

    What it does not read is at its default, so that all of them have the same.
    """
    booster = {**config, "method": "booster"}
    return booster | {name: FIELDS[name].default for name in unread_fields(booster)}


def unknown_field_message(name: str) -> str:
    """The error for a field that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
    hint = f"did you mean config.{near[0]}?" if near else "there is no field like it;"
    return (
        f"config.{shortened(name)}: no such field; {hint} `python -m rocket_tf.config` lists all "
        f"{len(FIELDS)}"
    )


def shortened(text: str) -> str:
    """A text of at most 200 characters: a longer one without its middle."""
    return text if len(text) <= 200 else f"{text[:120]} … {text[-77:]}"


def describe() -> str:
    """All fields, a line each: name, default, meaning with unit, expected values."""
    width = max(map(len, FIELDS))
    return "\n".join(
        f"{name:{width}}  {field.default!r}: {field.meaning} ({field.expected})"
        for name, field in FIELDS.items()
    )


def _value(config, name):
    value = config.get(name)
    return list(value) if isinstance(value, tuple) else value


def _has_type(value, kind) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float)
    if kind is tuple:
        return isinstance(value, tuple | list)
    return isinstance(value, kind)


def _message(name: str, given) -> str:
    return (
        f"config.{name}: got {_shown(given)}, expected {FIELDS[name].expected}; set it with "
        f"--config.{name}={FIELDS[name].default}, for example"
    )


def _shown(value) -> str:
    try:
        return shortened(repr(value))
    except Exception:  # such as of a whole number of more digits than Python writes out
        return f"a value of type {type(value).__name__}"


def _check_combinations(config: Mapping) -> None:
    card = DATASETS[config["dataset"]]
    if config["layout"] == "bottom" and config["light_depth"] != 0:
        raise ConfigError(
            f"config.light_depth: got {config['light_depth']} with layout=bottom, expected 0: the "
            "light net is the booster's first two groups; add --config.light_depth=0"
        )
    if config["layout"] == "interval" and not _is_depth(config["light_depth"]):
        raise ConfigError(
            f"config.light_depth: got {config['light_depth']} with layout=interval, expected "
            "6n + 4 with n >= 1; add --config.light_depth=16, for example"
        )
    if config["layout"] == "constant" and config["light_depth"] == 0:
        raise ConfigError(
            "config.light_depth: got 0 with layout=constant, expected 2n + 4: the light net is the "
            "booster's lowest blocks; add --config.light_depth=16, for example"
        )
    if config["method"] == "at" and config["layout"] != "interval":
        raise ConfigError(
            f"config.layout: got {config['layout']} with method=at, expected interval: attention "
            "transfer pairs the outputs of all three groups, and this light net does not have "
            "three; take another method, such as --config.method=kd"
        )
    if config["method"] == "no_joint_training" and not config["share"]:
        raise ConfigError(
            "config.share: got False with method=no_joint_training, expected True: the light net "
            "starts from the booster's shared layers; add --config.share=True"
        )
    if config["light_depth"] > config["booster_depth"]:
        raise ConfigError(
            f"config.light_depth: got {config['light_depth']}, expected at most the booster's "
            f"{config['booster_depth']}; lower it or raise --config.booster_depth"
        )
    if config["train_examples"] > card.train_examples:
        raise ConfigError(
            f"config.train_examples: got {config['train_examples']}, expected at most "
            f"{card.train_examples}, all that {config['dataset']} has; 0 takes all"
        )
    if number_of_training_examples(config) < 1:
        available = number_of_training_examples(config) + config["validation_examples"]
        raise ConfigError(
            f"config.validation_examples: got {config['validation_examples']}, expected less than "
            f"the {available} training examples that they are taken from; lower it"
        )
    if config["split_seed"] and config["dataset"] != "digits":
        raise ConfigError(
            f"config.split_seed: got {config['split_seed']} with dataset={config['dataset']}, "
            "expected 0: this data set comes with its split; set it to 0"
        )
    if config["batch_size"] > number_of_training_examples(config):
        raise ConfigError(
            f"config.batch_size: got {config['batch_size']}, expected at most the "
            f"{number_of_training_examples(config)} training examples; lower it"
        )
    if config["replicas"] > config["batch_size"]:
        raise ConfigError(
            f"config.replicas: got {config['replicas']}, expected at most batch_size, "
            f"{config['batch_size']}: each replica needs an example; lower it"
        )
    if config["crop_padding"] >= min(card.image_shape[:2]):
        raise ConfigError(
            f"config.crop_padding: got {config['crop_padding']}, expected less than the images' "
            f"{min(card.image_shape[:2])} pixels; lower it"
        )
    if config["rand_augment"] and card.image_shape[-1] != 3:
        raise ConfigError(
            f"config.rand_augment: got {config['rand_augment']} with dataset={config['dataset']}, "
            "expected 0: RandAugment needs colour images; set it to 0"
        )
    if config["mixup"] and config["cutmix"]:
        raise ConfigError(
            f"config.cutmix: got {config['cutmix']} with mixup={config['mixup']}, expected one of "
            "the two to be 0: either mixes the labels of a batch; set one to 0"
        )
    if config["optimizer"] == "adam" and config["weight_decay"]:
        raise ConfigError(
            f"config.weight_decay: got {config['weight_decay']} with optimizer=adam, expected 0: "
            "the recipe's L2 belongs to sgd; add --config.weight_decay=0"
        )


if __name__ == "__main__":
    print(describe())
