"""Optimizers that train some of a model's weights more slowly, or from a later step on."""

import functools

import keras
import tensorflow as tf

from rocket_tf.core import optimizer_internals


def with_part_rates(optimizer, factor_of, late_of=None, first_step=0):
    """The optimizer, with learning rates for parts of its weights.

    A factor on the learning rate also scales decoupled weight decay. Adam's correction of its
    moments counts the steps in which a weight was trained. So weights that are trained from a later
    step on move as if their training began there, not three times as far in their first step.

    Args:
        optimizer: one of Keras's, not built, without loss scaling; it is changed. A saved model
            has the unchanged one.
        factor_of: function from a `keras.Variable` to the factor on its learning rate.
        late_of: function from a `keras.Variable` to whether it is trained only from `first_step`
            on; `None`: no weight is late.
        first_step: number of steps before late weights train.

    Returns:
        The same optimizer.

    Example:
        >>> import keras
        >>> low, high = keras.Variable([1.0], name="low"), keras.Variable([1.0], name="high")
        >>> optimizer = with_part_rates(
        ...     keras.optimizers.SGD(0.5), lambda variable: 0.1 if variable.name == "low" else 1.0
        ... )
        >>> optimizer.build([low, high])
        >>> optimizer.apply([tf.constant([1.0]), tf.constant([1.0])])
        >>> low.numpy(), high.numpy()
        (array([0.95], dtype=float32), array([0.5], dtype=float32))
    """
    optimizer.__class__ = _with_rates(type(optimizer))
    optimizer.factor_of = factor_of
    optimizer.late_of = late_of or (lambda variable: False)
    optimizer.first_step = first_step
    return optimizer


@functools.cache
def _with_rates(cls):
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    rated_class = type(cls.__name__, (_PartRates, cls), names)
    package, registered, name = keras.saving.get_registered_name(cls).partition(">")
    if registered:
        # Both classes are saved under one name; the one registered last is loaded.
        for class_ in (rated_class, cls):
            keras.saving.register_keras_serializable(package, name)(class_)
    return rated_class


class _PartRates:
    """The mixin that `with_part_rates` puts before an optimizer's class."""

    def build(self, variables):
        if self.built:
            return
        decayed = [optimizer_internals.decays(self, variable) for variable in variables]
        self.parts = [
            (self.factor_of(variable), self.late_of(variable), is_decayed)
            for variable, is_decayed in zip(variables, decayed, strict=True)
        ]
        # Keras would decay with the full learning rate.
        self.exclude_from_weight_decay(
            [
                variable
                for variable, (factor, _, is_decayed) in zip(variables, self.parts, strict=True)
                if factor != 1 or not is_decayed
            ]
        )
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        factor, is_late, is_decayed = optimizer_internals.slot_of(self, "parts", variable)
        learning_rate *= factor
        if is_decayed and factor != 1:
            rate = tf.cast(learning_rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * rate)
        if is_late and isinstance(self, keras.optimizers.Adam):
            steps = tf.cast(self.iterations + 1, learning_rate.dtype)
            own_correction = self._correction(steps - self.first_step)
            learning_rate *= own_correction / self._correction(steps)
        super().update_step(gradient, variable, learning_rate)

    def _correction(self, steps):
        """The factor on Adam's learning rate after a number of steps."""
        return tf.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)
