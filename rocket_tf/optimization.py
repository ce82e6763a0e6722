"""Optimizers and learning rate schedules of the paper's recipes."""

import keras

from rocket_tf.config import drop_steps


@keras.saving.register_keras_serializable(package="rocket_tf")
class SGDWithL2(keras.optimizers.SGD):
    """SGD whose L2 term is part of the gradient, as in PyTorch's SGD and so in the paper's code.

    Each gradient becomes g + l2 · w before momentum is applied. Keras's own
    `SGD(weight_decay=...)` is decoupled from the gradient: with momentum 0.9 the same number is ten
    times weaker there.

    Args:
        learning_rate: number or schedule.
        momentum: as in `keras.optimizers.SGD`.
        l2: factor of the L2 term, on every trainable variable, at least 0.
        **kwargs: as in `keras.optimizers.SGD`.

    Raises:
        ValueError: if `l2` is negative.
    """

    def __init__(self, learning_rate=0.1, momentum=0.9, l2=5e-4, name="sgd_with_l2", **kwargs):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        if not l2 >= 0:
            raise ValueError(f"l2 must be at least 0. Received: l2={l2}")
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        penalty = keras.ops.cast(self.l2 * variable, gradient.dtype)
        super().update_step(gradient + penalty, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def piecewise_schedule(learning_rate, drops, factor, total_steps):
    """A learning rate that is multiplied by a factor at fractions of the training.

    Args:
        learning_rate: at the start.
        drops: fractions of the training, increasing, between 0 and 1.
        factor: what each drop multiplies the learning rate by.
        total_steps: steps in the whole training.

    Returns:
        `keras.optimizers.schedules.LearningRateSchedule`: step → learning rate. A drop at fraction
        f holds from step round(f · total_steps) on, steps counted from 0.
    """
    if not drops:
        # A schedule, too, so that checkpoints are the same with drops and without.
        return keras.optimizers.schedules.PiecewiseConstantDecay([total_steps], [learning_rate] * 2)
    values = [learning_rate * factor**count for count in range(len(drops) + 1)]
    # Keras keeps a value up to and including its boundary.
    boundaries = [step - 1 for step in drop_steps(drops, total_steps)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)


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
