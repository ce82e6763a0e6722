"""The configuration of a run: defaults, overrides, checks, and values that follow from the fields.

It does not import TensorFlow, which takes seconds to load, so mistakes are reported at once.
`python -m rocket_tf.config` prints all fields.
"""

import ast
import difflib
import math
import re
import warnings
from collections.abc import Mapping

import ml_collections

from rocket_tf.config.cross_checks import check_before_data, check_with_data
from rocket_tf.config.feature_fields import (
    changes_of_features,
    is_of_feature,
    parse_field,
    with_named,
)
from rocket_tf.config.fields import FIELDS
from rocket_tf.data import DataSet, DatasetCard, open_data
from rocket_tf.data.clicks.feature_sets import plain
from rocket_tf.errors import ConfigError, DataUnavailableError
from rocket_tf.networks.weight_sources import image_size_of_net

# Of nets with random weights, in pixels.
_IMAGE_SIZE = 64


def default() -> ml_collections.ConfigDict:
    """Every field at its default (the paper's CIFAR-10 recipe, without augmentation), locked.

    Returns:
        A locked `ConfigDict`: a field can be set, a field that does not exist cannot.
    """
    return ml_collections.ConfigDict({name: field.default for name, field in FIELDS.items()}).lock()


def parse_override(name: str, text: str) -> object:
    """The value of a field from its text on the command line.

    Args:
        name: the field's name, as in `--config.name=text`, or features.<its name>.<its field>.
        text: the value as typed.

    Returns:
        The value, of the field's type.

    Raises:
        ConfigError: if there is no such field, or the text is not of its type.
    """
    if is_of_feature(name):
        return parse_field(name, text)
    if name not in FIELDS:
        raise ConfigError(unknown_field_message(name))
    field = FIELDS[name]
    kind = type(field.default)
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind is tuple:
            return _parse_tuple(text, field.accepts)
        return kind(text)
    # The last two are raised for texts that are nested too deeply.
    except (KeyError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ConfigError(_message(name, text)) from None


def _parse_tuple(text, accepts):
    """Values between commas, in brackets or without; names need no quotes; nothing: none."""
    if not text:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if re.fullmatch(r"[^\W\d]\w*(, *[^\W\d]\w*)*", text):
        return names
    with warnings.catch_warnings():
        # Python would print its warnings about the text to stderr.
        warnings.simplefilter("error")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            # Names with spaces or other signs, which the field may accept.
            if not set(text) & set("()[]{}'\"") and accepts(names):
                return names
            raise
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def parse_overrides(overrides: list[str], config: Mapping | None = None) -> dict:
    """Fields and values, from texts such as `epochs=20`.

    Args:
        overrides: the texts.
        config: the configuration to override, whose features may be overridden by name; `None`:
            there are no features.

    Raises:
        ConfigError: like `parse_override`.
    """
    for override in overrides:
        if "=" not in override:
            raise ConfigError(f"--set: got {shortened(override)}, expected a field=value")
    parts = (override.partition("=") for override in overrides)
    values = {name: parse_override(name, text) for name, _, text in parts}
    return with_named({"features": ()} if config is None else config, values)


def check_fields(config: Mapping) -> None:
    """Checks a configuration, as far as possible without its data.

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
    check_before_data(config)


def problem_of_values(config: Mapping) -> str:
    """What is wrong with a configuration that was read from a file.

    Args:
        config: a mapping with all fields. For those that its run does not read, only types count:
            they may have values of another version.

    Returns:
        The first field whose value has the wrong type or is out of range, in words; empty if none.
    """
    for name, field in FIELDS.items():
        if not _has_type(config[name], type(field.default)):
            return f"{name}: got {_shown(config[name])}, expected {field.expected}"
    unread = unread_fields(config)
    for name, field in FIELDS.items():
        if name not in unread and not field.accepts(config[name]):
            return f"{name}: got {_shown(config[name])}, expected {field.expected}"
    return ""


def check(config: Mapping, data: DataSet | None = None) -> DataSet:
    """Checks a whole configuration, and opens its data.

    Args:
        config: a mapping from field names to values, such as a `ConfigDict`.
        data: an open data set, which is used if it is the configuration's.

    Returns:
        The configuration's data, a `rocket_tf.data.DataSet`.

    Raises:
        ConfigError: like `check_fields`; if your own data cannot be read; and for fields that do
            not fit the data.
    """
    check_fields(config)
    try:
        sized = with_image_size(config)
        data = open_data(sized) if data is None else data.reopen(sized)
    except (DataUnavailableError, OSError) as error:  # the user's own data is read here
        field = "tfds_name" if config["dataset"] == "tfds" else "data_path"
        raise ConfigError(f"config.{field}: {error}") from error
    check_with_data(config, data.card, number_of_training_examples(config, data.card))
    return data


def with_image_size(config: Mapping) -> dict:
    """The configuration, with the image size that its nets are made for if it gives none.

    Raises:
        ConfigError: if a net takes images of any size, or its file cannot be read.
    """
    if config["image_size"] or "image_size" in unread_fields(config):
        return dict(config)
    for net in ("booster", "light"):
        weights = config[f"{net}_weights"]
        if not weights:
            continue
        try:
            size = image_size_of_net(weights, config[f"{net}_backbone"])
        except ValueError as error:
            raise ConfigError(f"config.{net}_weights: got {weights!r}: {error}") from error
        if not size:
            raise ConfigError(
                f"config.image_size: got 0 with {net}_weights={weights!r}, expected a size, since "
                "that net does not say one; add --config.image_size=224, for example"
            )
        return {**config, "image_size": size}
    return {**config, "image_size": _IMAGE_SIZE}


def number_of_training_examples(config: Mapping, card: DatasetCard) -> int:
    """The number of a run's training examples, without those held out for validation."""
    return (config["train_examples"] or card.train_examples) - config["validation_examples"]


def steps_per_epoch(config: Mapping, card: DatasetCard) -> int:
    """Steps in an epoch; the last one may have fewer examples than `batch_size`."""
    return math.ceil(number_of_training_examples(config, card) / config["batch_size"])


def total_steps(config: Mapping, card: DatasetCard) -> int:
    """Steps of the whole run."""
    return steps_per_epoch(config, card) * config["epochs"]


def differences(first: Mapping, second: Mapping, ignored=()) -> list[str]:
    """The fields in which two configurations differ, each as `name: value → value`."""
    changes = []
    for name in FIELDS:
        before, after = _value(first, name), _value(second, name)
        if name in ignored or before == after:
            continue
        if name == "features" and before and after:
            changes += changes_of_features(before, after)
        else:
            changes.append(f"{name}: {before!r} → {after!r}")
    return changes


def trained_net(config: Mapping) -> str:
    """The net whose error decides: "booster" if it is trained alone, else "light"."""
    return "booster" if config["method"] == "booster" else "light"


def unread_fields(config: Mapping) -> list[str]:
    """The fields that a run with this configuration does not read."""
    return [name for name, field in FIELDS.items() if not field.read_by.reads(config)]


def with_unread_at_defaults(config: Mapping) -> dict:
    """The configuration, with fields that its run does not read at their defaults."""
    return {**config, **{name: FIELDS[name].default for name in unread_fields(config)}}


def fields_without_effect(config: Mapping) -> list[str]:
    """The fields in which two runs may differ and compute the same."""
    unread = unread_fields(config)
    return [name for name, field in FIELDS.items() if name in unread or not field.changes_results]


def booster_config(config: Mapping) -> dict:
    """The configuration that trains a configuration's booster alone, for methods that need one.

    Fields that it does not read have their defaults, so that equal boosters have equal ones.
    """
    booster = {**config, **booster_settings(config)}
    return with_unread_at_defaults(booster)


def booster_settings(config: Mapping) -> dict:
    """The fields in which the training of the booster alone differs from that of the pair.

    For the bottom layout, the paper's booster alone and the teacher are the net of the interval
    layout's row, trained with that row's drops of the learning rate (as in the authors' release;
    the paper prints one figure for both rows).
    """
    settings = {"method": "booster", "booster_learning_rate_drops": ()}
    if config["booster_learning_rate_drops"]:
        settings["learning_rate_drops"] = config["booster_learning_rate_drops"]
    if config["layout"] == "bottom":
        light_depth = min(FIELDS["light_depth"].default, config["booster_depth"])
        settings |= {"layout": "interval", "light_depth": light_depth}
    return settings


def with_older_fields(config: Mapping) -> dict:
    """The configuration of a run that may be older than some fields, with values for these."""
    older = {
        name: field.default if field.before is None else field.before
        for name, field in FIELDS.items()
    }
    return older | dict(config)


# The fields in which the recipe of 0.2 differs from the one before.
CHANGED_IN_0_2 = ("crop_padding_mode", "learning_rate_drops", "booster_learning_rate_drops")


def is_before_0_2(config: Mapping) -> bool:
    """Whether a run follows the recipe before 0.2, which had another padding."""
    return config["crop_padding"] > 0 and config["crop_padding_mode"] == "reflect"


def unknown_field_message(name: str) -> str:
    """The error message for an unknown field, with the nearest known one."""
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
    hint = f"did you mean config.{near[0]}?" if near else "there is no field like it;"
    return (
        f"config.{shortened(name)}: no such field; {hint} `python -m rocket_tf.config` lists all "
        f"{len(FIELDS)}"
    )


def shortened(text: str) -> str:
    """A text of at most 200 characters; longer ones lose their middle."""
    return text if len(text) <= 200 else f"{text[:120]} … {text[-77:]}"


def describe() -> str:
    """All fields, a line each: name, default, meaning with unit, expected values."""
    width = max(map(len, FIELDS))
    return "\n".join(
        f"{name:{width}}  {field.default!r}: {field.meaning} ({field.expected}; read by "
        f"{field.read_by.words})"
        for name, field in FIELDS.items()
    )


def _value(config, name):
    value = config.get(name)
    if name == "features":
        value = plain(value or ())
    return list(value) if isinstance(value, tuple) else value


def _has_type(value, kind) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float)
    if kind is tuple:
        return isinstance(value, tuple | list)
    return isinstance(value, kind)


def _message(name: str, value) -> str:
    return (
        f"config.{name}: got {_shown(value)}, expected {FIELDS[name].expected}; set it with "
        f"--config.{name}={FIELDS[name].default}, for example"
    )


def _shown(value) -> str:
    try:
        return shortened(repr(value))
    except Exception:  # for instance for an integer with more digits than Python prints
        return f"a value of type {type(value).__name__}"
