"""Learning rate schedules."""

import keras

from rocket_tf.optimizers.drops import drop_steps


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
