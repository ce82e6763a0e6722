"""All private names of Keras's optimizers in use, except those in `keras_internals.py`."""

import tensorflow as tf


def hooks_of_optimizer(cls):
    """Class decorator: lets a mixin of a Keras optimizer take part in `apply`.

    Keras clips in `_clip_gradients` and decays in `_apply_weight_decay`, which read and write whole
    variables. The class defines:

        clip_gradients(gradients, clip): the clipped gradients; `clip` is Keras's way.

    Variables with sparse gradients are not decayed here; `decays` says which the class must decay.

    Example:
        >>> import keras, tensorflow as tf
        >>> @hooks_of_optimizer
        ... class Halving:
        ...     def clip_gradients(self, gradients, clip):
        ...         return [gradient / 2 for gradient in clip(gradients)]
        >>> class HalvingSGD(Halving, keras.optimizers.SGD):
        ...     pass
        >>> weight = tf.Variable(1.0)
        >>> step = HalvingSGD(0.5).apply_gradients([(tf.constant(1.0), weight)])
        >>> float(weight)
        0.75
    """

    def _backend_apply_gradients(self, grads, trainable_variables):
        self._undecayed = {
            self._var_key(variable)
            for gradient, variable in zip(grads, trainable_variables, strict=True)
            if isinstance(gradient, tf.IndexedSlices)
        }
        super(cls, self)._backend_apply_gradients(grads, trainable_variables)

    def _clip_gradients(self, grads):
        return self.clip_gradients(grads, super(cls, self)._clip_gradients)

    def _apply_weight_decay(self, variables):
        dense = [
            variable for variable in variables if self._var_key(variable) not in self._undecayed
        ]
        super(cls, self)._apply_weight_decay(dense)

    cls._backend_apply_gradients = _backend_apply_gradients
    cls._clip_gradients = _clip_gradients
    cls._apply_weight_decay = _apply_weight_decay
    return cls


def decays(optimizer, variable):
    """Whether an optimizer decays a variable's weights, by `_use_weight_decay`.

    Example:
        >>> import keras
        >>> kernel, bias = keras.Variable(1.0, name="kernel"), keras.Variable(1.0, name="bias")
        >>> optimizer = keras.optimizers.SGD(weight_decay=0.1)
        >>> optimizer.exclude_from_weight_decay(var_names=["bias"])
        >>> decays(optimizer, kernel), decays(optimizer, bias)
        (True, False)
    """
    return optimizer.weight_decay is not None and optimizer._use_weight_decay(variable)


def averages_of(optimizer):
    """The weights that an optimizer averages, each with its average: a list of pairs.

    They are `_trainable_variables` and `_model_variables_moving_average`, under `use_ema`.

    Example:
        >>> import keras
        >>> optimizer = keras.optimizers.SGD(use_ema=True, name="sgd")
        >>> optimizer.build([keras.Variable([1.0], name="kernel")])
        >>> [(weight.name, average.path) for weight, average in averages_of(optimizer)]
        [('kernel', 'sgd/kernel_average')]
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    if not optimizer.use_ema:
        return []
    averages = optimizer._model_variables_moving_average
    return list(zip(optimizer._trainable_variables, averages, strict=True))


def slot_of(optimizer, kind, variable):
    """The variable that an optimizer keeps for a weight, by `_get_variable_index`.

    Args:
        optimizer: one of Keras's, built.
        kind: "momentums", "velocities" or "velocity_hats" of an Adam, "accumulators" of an Adagrad;
            `_momentums` and so on.
        variable: the weight.

    Example:
        >>> import keras
        >>> first, second = keras.Variable([1.0]), keras.Variable([1.0, 2.0], name="second")
        >>> optimizer = keras.optimizers.Adam(name="adam")
        >>> optimizer.build([first, second])
        >>> slot_of(optimizer, "momentums", second).path
        'adam/second_momentum'
    """
    slots = getattr(optimizer, f"_{kind}", None) or getattr(optimizer, kind)
    return slots[optimizer._get_variable_index(variable)]
