"""The optimizer of a run."""

import keras

from rocket_tf.optimizers.schedules import piecewise_schedule
from rocket_tf.optimizers.sgd import SGDWithL2


def make_schedule(config, total_steps):
    """The learning rate of a run, a `keras.optimizers.schedules.LearningRateSchedule`.

    Args:
        config: a checked configuration (`rocket_tf.config`).
        total_steps: steps in the whole run.
    """
    return piecewise_schedule(
        config["learning_rate"],
        config["learning_rate_drops"],
        config["learning_rate_drop_factor"],
        total_steps,
    )


def make_optimizer(config, total_steps):
    """The optimizer of a run.

    Args:
        config: a checked configuration (`rocket_tf.config`).
        total_steps: steps in the whole run.

    Returns:
        A `keras.optimizers.Optimizer`.
    """
    schedule = make_schedule(config, total_steps)
    if config["optimizer"] == "adam":
        return keras.optimizers.Adam(schedule)
    return SGDWithL2(schedule, momentum=0.9, l2=config["weight_decay"])
