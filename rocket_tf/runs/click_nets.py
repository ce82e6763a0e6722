"""Builds the click-through nets of a configuration, from its fields and its data's card."""

import dataclasses

from rocket_tf import config as options
from rocket_tf.errors import ConfigError
from rocket_tf.networks import Feature, click_pair


def click_nets(config, card):
    """The light net and the booster of a configuration of clicks, made by `click_pair`.

    Args:
        config: a checked configuration.
        card: card of its data, a `rocket_tf.data.DatasetCard`.

    Raises:
        ConfigError: if a column's name cannot be an input's name, or features do not fit the data.
    """
    field = "features" if config["features"] else "category_columns"
    try:
        return click_pair(
            _completed_features(config, card)
            if config["features"]
            else _features_of_columns(config, card),
            light_tower=tuple(config["light_tower"]),
            booster_tower=tuple(config["booster_tower"]),
            share=config["share"],
            attention=config["history_attention"],
            booster_dropout=config["booster_dropout"],
            booster_only=config["booster_only"],
            # With a sigmoid of its own for each label.
            **({"logits": 1, "outputs": card.outputs} if card.outputs else {}),
            seed=config["seed"],
        )
    except ValueError as error:
        raise ConfigError(f"config.{field}: {error}") from error


def _features_of_columns(config, card):
    """The features given by the fields for simple columns, a list."""
    columns = card.columns
    features = [
        Feature(
            name,
            "category",
            dtype=card.dtypes[name],
            buckets=config["hash_buckets"],
            dimension=config["embedding_dimension"],
            missing=columns.missing,
        )
        for name in columns.categories
    ]
    for name in columns.numbers:
        mean, variance = card.moments[name]
        dtype = card.dtypes[name]
        features.append(
            Feature(name, "number", dtype, mean=mean, variance=variance, missing=columns.missing)
        )
    if columns.history:
        features.append(
            Feature(
                columns.history,
                "history",
                dtype=card.dtypes[columns.item],
                of=columns.item,
                length=columns.history_length,
                missing=columns.missing,
            )
        )
    return features


def _completed_features(config, card):
    """The features of `config.features`, completed from the data, a list."""
    return [_with_facts(feature, card) for feature in options.features_of(config).values()]


def _with_facts(feature, card):
    name = feature.name
    facts = {"dtype": card.dtypes[name]}
    if feature.dtype not in (feature.default_dtype, facts["dtype"]) and feature.kind != "history":
        raise ValueError(
            f"Feature {name!r}: got dtype={feature.dtype!r}, expected {facts['dtype']!r}, the "
            "dtype of its values in the data; leave dtype out"
        )
    if feature.min_count:
        facts |= {"vocabulary": card.vocabularies[name], "min_count": 0}
    if feature.kind == "number" and (feature.mean, feature.variance) == (0.0, 1.0):
        facts["mean"], facts["variance"] = card.moments[name]
    return dataclasses.replace(feature, **facts)
