"""The optimizer of a run."""

from rocket_tf.optimizers.catalog import OPTIMIZERS
from rocket_tf.optimizers.schedules import piecewise_schedule


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
    return OPTIMIZERS[config["optimizer"]].make(schedule, config["weight_decay"])
