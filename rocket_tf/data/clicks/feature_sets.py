"""Features that form the inputs of one net, and their form in configurations.

It does not import TensorFlow.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from rocket_tf.data.clicks.features import DTYPES, Feature


def check_features(features):
    """Checks that features can form the inputs of one net.

    Args:
        features: sequence of `Feature`s.

    Returns:
        Dict from their names to them, in their order.

    Raises:
        ValueError: if there are none, if two inputs have the same name, or if a history's category
            is not among them or has another dtype.
    """
    features = list(features)
    if not features or not all(isinstance(feature, Feature) for feature in features):
        raise ValueError(f"features must be one or more Feature objects. Received: {features!r}")
    by_name = {feature.name: feature for feature in features}
    weights = [feature.weights for feature in features if feature.weights is not None]
    if len({*by_name, *weights}) < len(features) + len(weights):
        raise ValueError(
            "Each feature needs a name of its own. "
            f"Received: {[*(feature.name for feature in features), *weights]}"
        )
    if all(feature.served_as is not None for feature in features):
        raise ValueError(
            "One feature at least must be an input of an export. Received served_as for all of "
            f"{list(by_name)}"
        )
    for feature in features:
        if feature.kind != "history":
            continue
        category = by_name.get(feature.of)
        if category is None or category.kind != "category":
            categories = [candidate.name for candidate in features if candidate.kind == "category"]
            raise ValueError(
                f"Feature {feature.name!r}: got of={feature.of!r}, expected one of the categories "
                f"{categories}"
            )
        if category.dtype != feature.dtype:
            raise ValueError(
                f"Feature {feature.name!r}: got dtype={feature.dtype!r}, expected "
                f"{category.dtype!r}, that of {category.name!r}, whose values it has"
            )
        if category.missing != feature.missing:
            raise ValueError(
                f"Feature {feature.name!r}: got missing={feature.missing}, expected "
                f"{category.missing}, that of {category.name!r}, whose values it has"
            )
    return by_name


def plain(features):
    """Features in a form fit for JSON: the fields that differ from the defaults.

    Args:
        features: sequence of `Feature`s, or of mappings of their fields.

    Returns:
        Tuple of dicts.
    """
    return tuple(map(_plain, features))


def _plain(feature):
    if isinstance(feature, Mapping):
        fields = dict(feature)
    elif isinstance(feature, Feature):
        fields = {
            field.name: getattr(feature, field.name)
            for field in dataclasses.fields(Feature)
            if getattr(feature, field.name) != field.default
        }
        if feature.dtype == feature.default_dtype:
            del fields["dtype"]
    else:
        return feature  # reading it reports the error
    return {name: _as_json(value) for name, value in fields.items()}


def _as_json(value):
    if isinstance(value, tuple | list):
        return list(map(_as_json, value))
    return value.item() if isinstance(value, np.generic) else value


def read_features(features):
    """The features of a configuration, each checked; the dtypes of their values are still open.

    Args:
        features: as for `plain`.

    Returns:
        Dict from their names to `Feature`s. A history's dtype is that of its category.

    Raises:
        ValueError: if one is wrong, or they contradict each other.
    """
    parsed = [_read(feature) for feature in features]
    dtypes = {feature.name: feature.dtype for feature in parsed}
    parsed = [
        dataclasses.replace(feature, dtype=dtypes[feature.of])
        if feature.kind == "history" and dtypes.get(feature.of) in DTYPES["history"]
        else feature
        for feature in parsed
    ]
    return check_features(parsed)


def _read(feature):
    if isinstance(feature, Feature):
        return feature
    if not isinstance(feature, Mapping):
        raise ValueError(f"got {feature!r}, expected a Feature, or a mapping of its fields")
    names = [field.name for field in dataclasses.fields(Feature)]
    unknown = [name for name in feature if name not in names]
    if unknown:
        raise ValueError(f"got {unknown[0]!r}, expected fields of a Feature: {', '.join(names)}")
    lacking = [name for name in ("name", "kind") if name not in feature]
    if lacking:
        raise ValueError(f"got {dict(feature)}, expected a {lacking[0]}, too")
    values = {n: tuple(value) if isinstance(value, list) else value for n, value in feature.items()}
    return Feature(**values)
