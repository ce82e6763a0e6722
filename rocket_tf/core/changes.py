"""Changes after `compile`: what a step is traced from, and steps that are traced again.

TensorFlow traces a step once. Everything except variables is fixed in it. So a layer that is
quantized, frozen or given LoRA later, or a hint's new temperature, would have no effect.
"""

import functools

from rocket_tf.core import keras_internals
from rocket_tf.core.objective import check_routing

NOTHING_TO_TRAIN = (
    "The rocket has no trainable variables, so no step changes it; set trainable = True on a net "
    "or on layers"
)
_FIXED = ("light", "booster", "teacher", "hints", "heads")
_OF_THE_OBJECTIVE = ("gradient_block", "shared_layers_learn_from")
# The attributes of a rocket that `check_attribute` and `pass_on_attribute` are for.
WATCHED = (*_FIXED, *_OF_THE_OBJECTIVE, "trainable")


class Step:
    """A step of `fit`, `evaluate` or `predict`, made again after its parts have changed.

    Settings of the objective and `trainable` flags are compared at every call, so that callbacks
    may set them. `is_current` compares everything else when `fit`, `evaluate` or `predict` starts.

    Args:
        model: `RocketModel`.
        make: name of the model's method that makes the step.
        function: Keras's function from an iterator or a batch to the step's outputs.

    Example:
        >>> import keras, numpy as np, rocket_tf
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="light")
        >>> rocket = rocket_tf.RocketModel(light, hint=None)
        >>> rocket.predict(np.ones((1, 3)), verbose=0).shape
        (1, 2)
        >>> step = rocket.predict_function
        >>> step.is_current()
        True
        >>> light.quantize("int8", filters="dense")
        >>> step.is_current()
        False
    """

    def __init__(self, model, make, function):
        self._model, self._make, self._function = model, make, function
        self._flagged = [*keras_internals.all_layers(model), *model.variables]
        self._settings = self._current_settings()
        self._structure = _structure(model)

    def __call__(self, data):
        if self._settings == self._current_settings():
            return self._function(data)
        getattr(self._model, self._make)(force=True)
        return getattr(self._model, self._make.removeprefix("make_"))(data)

    def is_current(self):
        """Whether a step made now would be the same."""
        return (self._settings, self._structure) == (
            self._current_settings(),
            _structure(self._model),
        )

    def _current_settings(self):
        objective = self._model.objective
        return (
            [each.trainable for each in self._flagged],
            None if objective is None else _settings(objective),
        )


def remade(make):
    """A method that makes a step, also if there is one that is no longer current.

    Args:
        make: `make_train_function`, `make_test_function` or `make_predict_function` of a
            `keras.Model`, which `fit`, `evaluate` and `predict` call at their start.

    Returns:
        The method of a `RocketModel`.

    Example:
        >>> import keras, rocket_tf
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="light")
        >>> rocket = rocket_tf.RocketModel(light, hint=None)
        >>> rocket.make_predict_function()
        >>> type(rocket.predict_function).__name__
        'Step'
    """
    attribute = make.__name__.removeprefix("make_")

    @functools.wraps(make)
    def make_where_needed(self, force=False):
        step = getattr(self, attribute)
        if force or step is None or (isinstance(step, Step) and not step.is_current()):
            make(self, force=True)
            setattr(self, attribute, Step(self, make.__name__, getattr(self, attribute)))

    return make_where_needed


def check_attribute(rocket, name, value):
    """Checks that an attribute of a `RocketModel` may be set.

    Raises:
        AttributeError: if the graph is built from it.
        ValueError: if it cannot have this value.

    Example:
        >>> import keras, rocket_tf
        >>> light = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="light")
        >>> rocket = rocket_tf.RocketModel(light, hint=None)
        >>> rocket.light = light
        Traceback (most recent call last):
        AttributeError: A rocket's light is fixed once it is made; ...
    """
    if name in _FIXED and vars(rocket).get(name, value) is not value:
        raise AttributeError(
            f"A rocket's {name} is fixed once it is made; make another, as in "
            f"RocketModel(rocket.light, rocket.booster, ...). Received: {name}={value!r}"
        )
    if name == "shared_layers_learn_from":
        check_routing(value, rocket.booster)


def pass_on_attribute(rocket, name):
    """Passes an attribute of a `RocketModel` that was set on to the parts that depend on it.

    Example:
        >>> import keras, rocket_tf
        >>> inputs = keras.Input((3,))
        >>> light = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="light")
        >>> booster = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="booster")
        >>> rocket = rocket_tf.RocketModel(light, booster)
        >>> rocket.compile("sgd", "mse")
        >>> rocket.gradient_block = False  # calls pass_on_attribute
        >>> rocket.objective.gradient_block
        False
    """
    # Keras may set attributes before the rocket has its own.
    objective, teacher = getattr(rocket, "objective", None), getattr(rocket, "teacher", None)
    if name in _OF_THE_OBJECTIVE and objective is not None:
        setattr(objective, name, getattr(rocket, name))
    if name in ("teacher", "trainable") and teacher is not None:
        teacher.trainable = False


def _settings(objective):
    """The settings of an objective that are traced as constants."""
    return (
        objective.gradient_block,
        objective.shared_layers_learn_from,
        dict(objective.label_weights),
        [(_schedule(hint), _constants(hint.loss)) for hint in objective.hints],
    )


def _schedule(hint):
    # A number is a variable of the objective, which follows it.
    return hint.weight if callable(hint.weight) else None


def _constants(loss):
    """Numbers and words that a loss holds, such as a temperature."""
    return {
        name: value
        for name, value in vars(loss).items()
        if isinstance(value, bool | float | int | str)
    }


def _structure(model):
    """How a model's functions run, and what its layers consist of."""
    return (
        (model.run_eagerly, model.jit_compile, model.steps_per_execution),
        [(id(layer), layer.dtype_policy.name) for layer in keras_internals.all_layers(model)],
        [(id(variable), variable.dtype) for variable in model.variables],
    )
