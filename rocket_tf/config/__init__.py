"""The configuration of a run: fields, checks, methods, and the bundled configurations.

It does not import TensorFlow, which takes seconds to load, so mistakes are reported at once.
`python -m rocket_tf.config` prints all fields.
"""

from rocket_tf.config.configuration import (
    CHANGED_IN_0_2,
    booster_config,
    booster_settings,
    check,
    check_fields,
    default,
    describe,
    differences,
    fields_without_effect,
    is_before_0_2,
    number_of_training_examples,
    parse_override,
    parse_overrides,
    problem_of_values,
    shortened,
    steps_per_epoch,
    total_steps,
    trained_net,
    unknown_field_message,
    unread_fields,
    with_image_size,
    with_older_fields,
    with_unread_at_defaults,
)
from rocket_tf.config.feature_fields import features_of, with_named, with_plain
from rocket_tf.config.fields import FIELDS, METHODS
from rocket_tf.config.read_by import HINTS_WITH_TEMPERATURE, METHODS_WITH_TEACHER, labels_of
from rocket_tf.errors import ConfigError

__all__ = [
    "CHANGED_IN_0_2",
    "FIELDS",
    "HINTS_WITH_TEMPERATURE",
    "METHODS",
    "METHODS_WITH_TEACHER",
    "ConfigError",
    "booster_config",
    "booster_settings",
    "check",
    "check_fields",
    "default",
    "describe",
    "differences",
    "features_of",
    "fields_without_effect",
    "is_before_0_2",
    "labels_of",
    "number_of_training_examples",
    "parse_override",
    "parse_overrides",
    "problem_of_values",
    "shortened",
    "steps_per_epoch",
    "total_steps",
    "trained_net",
    "unknown_field_message",
    "unread_fields",
    "with_image_size",
    "with_named",
    "with_older_fields",
    "with_plain",
    "with_unread_at_defaults",
]
