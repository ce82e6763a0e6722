"""Prints all fields: `python -m rocket_tf.config`."""

from rocket_tf.config.configuration import describe

print(describe())
