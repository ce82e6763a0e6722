"""Learning rate schedules."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from rocket_tf.optimizers.drops import drop_steps


def piecewise_schedule(
    learning_rate: float, drops: Sequence[float], factor: float, total_steps: int
) -> LearningRateSchedule:
    """A learning rate that is multiplied by a factor at fractions of the training.

    Args:
        learning_rate: learning rate at the start.
        drops: fractions of the training, increasing, between 0 and 1.
        factor: factor on the learning rate at each drop.
        total_steps: steps in the whole training.

    Returns:
        `keras.optimizers.schedules.LearningRateSchedule`: step → learning rate. A drop at fraction
        f holds from step round(f · total_steps) on, steps counted from 0.
    """
    if not drops:
        # Also a schedule, so that checkpoints are the same with drops and without.
        return keras.optimizers.schedules.PiecewiseConstantDecay([total_steps], [learning_rate] * 2)
    values = [learning_rate * factor**count for count in range(len(drops) + 1)]
    # Keras keeps a value up to and including its boundary.
    boundaries = [step - 1 for step in drop_steps(drops, total_steps)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)


@keras.saving.register_keras_serializable(package="rocket_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor that rises linearly to 1.

    The factor is 1 / steps in the first step, 2 / steps in the second, and 1 from the last of these
    steps on (Goyal et al., "Accurate, Large Minibatch SGD", 2017).

    Args:
        schedule: `keras.optimizers.schedules.LearningRateSchedule`.
        steps: steps over which the factor rises, at least 1.

    Example:
        >>> import keras
        >>> schedule = WarmUp(keras.optimizers.schedules.CosineDecay(1.0, 100), steps=4)
        >>> [round(float(schedule(step)), 2) for step in (0, 1, 3, 50)]
        [0.25, 0.5, 1.0, 0.5]
    """

    def __init__(self, schedule: LearningRateSchedule, steps: int) -> None:
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        learning_rate = self.schedule(step)
        steps_done = tf.cast(step, learning_rate.dtype) + 1
        return learning_rate * tf.minimum(steps_done / self.steps, 1)

    def get_config(self) -> dict[str, Any]:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])
