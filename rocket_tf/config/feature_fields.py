"""`config.features`: the columns of a click log one by one, and their overrides by name.

It does not import TensorFlow.
"""

import ast
import dataclasses
import difflib
from collections.abc import Mapping

from rocket_tf.config.booster_only_checks import check_booster_only
from rocket_tf.config.label_checks import check_weight_column, labels_in_file
from rocket_tf.data.clicks.feature_sets import plain, read_features
from rocket_tf.data.clicks.features import Feature
from rocket_tf.data.own_data import columns_of
from rocket_tf.errors import ConfigError
from rocket_tf.system.argument_names import differ_in_case_only, is_argument_name

_PREFIX = "features."
_FIELDS = {field.name: field for field in dataclasses.fields(Feature)}
# The fields that identify a feature.
_FIXED = ("name", "kind")


def is_of_feature(name: str) -> bool:
    """Whether an override is for a feature's field, such as `features.user.buckets`."""
    return name.startswith(_PREFIX)


def parse_field(name: str, text: str) -> object:
    """The value of a feature's field from its text on the command line.

    Args:
        name: such as `features.user.buckets`.
        text: the value as typed.

    Raises:
        ConfigError: if there is no such field.
    """
    feature, _, field = name.removeprefix(_PREFIX).partition(".")
    settable = [candidate for candidate in _FIELDS if candidate not in _FIXED]
    if not feature or field not in settable:
        near = difflib.get_close_matches(field, settable, n=1)
        raise ConfigError(
            f"config.{name}: expected features, the name of one of them, and one of its fields "
            f"{', '.join(settable)}, as in --config.features.user.buckets=1000"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text  # a word, such as sum


def with_named(config: Mapping, overrides: Mapping) -> dict:
    """Overrides of a configuration; those of features' fields become one of `features`.

    Args:
        config: the configuration to override.
        overrides: dict from fields, and from fields of features, to values.

    Raises:
        ConfigError: if there is no such feature.
    """
    feature_overrides = {name: value for name, value in overrides.items() if is_of_feature(name)}
    rest = {name: value for name, value in overrides.items() if name not in feature_overrides}
    if not feature_overrides:
        return rest
    listed = plain({**config, **rest}["features"])
    features = {
        feature["name"]: feature
        for feature in listed
        if isinstance(feature, dict) and "name" in feature
    }
    for name, value in feature_overrides.items():
        feature, _, field = name.removeprefix(_PREFIX).partition(".")
        if feature not in features:
            choices = (
                f"one of {', '.join(features)}" if features else "features in the configuration"
            )
            raise ConfigError(f"config.{name}: got {feature!r}, expected {choices}")
        features[feature] = {**features[feature], field: value}
    return {**rest, "features": plain(features.values())}


def changes_of_features(first: list, second: list) -> list[str]:
    """Where two lists of features differ, each as `features.name.field: value → value`.

    Args:
        first: features as `plain` gives them.
        second: others.
    """
    before, after = (
        {feature["name"]: feature for feature in features} for features in (first, second)
    )
    if list(before) != list(after):
        return [f"features: {', '.join(before)} → {', '.join(after)}"]
    return [
        f"features.{name}.{field}: {feature.get(field)!r} → {after[name].get(field)!r}"
        for name, feature in before.items()
        for field in dict.fromkeys((*feature, *after[name]))
        if feature.get(field) != after[name].get(field)
    ]


def with_plain(config: Mapping) -> dict:
    """A configuration with its features in a form fit for JSON."""
    features = config.get("features")
    if not features or not isinstance(features, tuple | list):
        return dict(config)
    return {**config, "features": plain(features)}


def features_of(config: Mapping) -> dict[str, Feature]:
    """The features of a configuration by name; the dtypes of their values are still open.

    Raises:
        ConfigError: if one is wrong, or they contradict each other.
    """
    try:
        return read_features(config["features"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.features: {error}") from error


def check_features(config: Mapping, defaults: Mapping) -> None:
    """Checks the features of a configuration, as far as possible without its data.

    Args:
        config: a configuration of a click log with features.
        defaults: dict from fields to their defaults.

    Raises:
        ConfigError: if one is wrong, if fields of simple columns are also given, or if columns and
            inputs cannot have the names.
    """
    features = features_of(config)
    for name in (
        "category_columns",
        "number_columns",
        "history_column",
        "item_column",
        "history_length",
        "missing_values",
        "hash_buckets",
        "embedding_dimension",
    ):
        value = tuple(config[name]) if isinstance(config[name], list) else config[name]
        if value != defaults[name]:
            raise ConfigError(
                f"config.{name}: got {value!r} with features, expected {defaults[name]!r}: set it "
                "in each feature"
            )
    columns = columns_of(config)
    unread = {*columns.labels, columns.user, columns.weight} - set(features)
    inputs = [name for name in columns.all if name not in unread]
    wrong = [name for name in inputs if not is_argument_name(name)]
    if wrong:
        raise ConfigError(
            f"config.features: got {wrong[0]!r}, expected names that inputs of the export can "
            "have: neither self nor a keyword of Python; rename the column"
        )
    clash = differ_in_case_only(inputs)
    if clash:
        raise ConfigError(
            f"config.features: got {clash[1]!r} beside {clash[0]!r}, expected names that differ in "
            "more than case, which TensorFlow ignores in the export; rename a column"
        )
    field, labels = labels_in_file(config)
    taken = (*features, *(column.name for column in columns.lists))
    check_weight_column(config, taken)
    for label in labels:
        if label in taken:
            raise ConfigError(
                f"config.{field}: got {label!r}, which is also a feature; expected that each "
                "column has one role"
            )
    others = (*columns.numbers, *columns.times, *(column.name for column in columns.lists))
    if columns.user in (*labels, *others):
        raise ConfigError(
            f"config.user_column: got {columns.user!r}, which is not a category; expected one, or "
            "a column that the nets do not read"
        )
    unknown = [name for name in config["request_columns"] if name not in inputs]
    if unknown and tuple(config["request_columns"]) != defaults["request_columns"]:
        raise ConfigError(
            f"config.request_columns: got {unknown[0]!r}, expected inputs of {inputs}"
        )
    if config["history_attention"] and not any(f.kind == "history" for f in features.values()):
        raise ConfigError(
            "config.history_attention: got True without a history among the features, expected "
            "False; or add Feature(..., 'history', of=..., length=...)"
        )
    check_booster_only(config, columns)
