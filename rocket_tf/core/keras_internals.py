"""All private names of Keras and TensorFlow in use: the file to reread when those change.

Nothing else of the package touches one; `tests/core/test_keras_internals.py` holds it.
"""

import tensorflow as tf


def loss_mean(model):
    """The mean that Keras logs as `loss`, `_loss_tracker`; `None` before `compile`.

    Keras fills it in steps of its own, which `RocketModel` replaces.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> loss_mean(model).name
        'loss'
    """
    return model._loss_tracker


def compiled_metrics(model):
    """What holds the metrics of `compile`, `_compile_metrics`; `None` where there are none.

    `keras.Model.metrics` has it among others, without saying which it is.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> compiled_metrics(model) in model.metrics
        True
    """
    return model._compile_metrics


def forget_compiled_metrics(model):
    """Takes away `_compile_metrics`, which Keras keeps where a second `compile` has no metrics.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> forget_compiled_metrics(model)
        >>> compiled_metrics(model) is None
        True
    """
    model._compile_metrics = None


def in_order_of_metrics(model, logs):
    """The values of logs as `evaluate` lists them, by `_flatten_metrics_in_order`.

    `evaluate` of Keras does so before values can be added to the logs.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> in_order_of_metrics(model, {"more": 3.0, "loss": 1.0})
        [1.0, 3.0]
    """
    return model._flatten_metrics_in_order(logs)


def hooks_of_fit(cls):
    """Class decorator: lets a `keras.Model` take part in how Keras prepares `fit`.

    Keras asks `_maybe_symbolic_build` before the first step to build what is not built, and
    `_make_function` to make a loop of a step. It has no public hooks there. The class defines:

        before_first_step(iterator, data_batch): gives both as Keras should see them, or `None`
            where nothing is left to build.
        adapt_step(step_function): gives the step that Keras is to loop.

    Example:
        >>> import keras, numpy as np
        >>> @hooks_of_fit
        ... class Model(keras.Model):
        ...     def before_first_step(self, iterator, data_batch):
        ...         print("building")
        ...         return iterator, data_batch
        ...
        ...     def adapt_step(self, step_function):
        ...         print("making the loop")
        ...         return step_function
        >>> inputs = keras.Input((3,))
        >>> model = Model(inputs, keras.layers.Dense(1)(inputs))
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
        building
        making the loop
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        build_from = self.before_first_step(iterator, data_batch)
        if build_from is not None:
            super(cls, self)._maybe_symbolic_build(*build_from)

    def _make_function(self, step_function):
        return super(cls, self)._make_function(self.adapt_step(step_function))

    cls._maybe_symbolic_build = _maybe_symbolic_build
    cls._make_function = _make_function
    return cls


def one_list_of_layers(model):
    """Lets a functional model track the layers that it is given as attributes later.

    Before 3.13, Keras replaces `_layers` of a functional model by a list that its `_tracker` does
    not know: the variables of such layers are neither trained nor saved.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> one_list_of_layers(model)
        >>> model.extra = keras.layers.Dense(1, name="extra")
        >>> model.layers[-1].name
        'extra'
    """
    tracker = model._tracker
    _, tracked = tracker.config["layers"]
    if model._layers is tracked:
        return
    for layer in model._layers:
        if not tracker.is_in_store("layers", layer):
            tracker.add_to_store("layers", layer)
    # Past Keras's own setting of attributes, which would wrap the list into another.
    vars(model)["_layers"] = tracked


def operation_of(tensor):
    """`(operation, index of its output)` that a symbolic tensor comes from, of `_keras_history`.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> outputs = keras.layers.Dense(2, name="logits")(inputs)
        >>> operation, index = operation_of(outputs)
        >>> operation.name, index
        ('logits', 0)
    """
    operation, _, index = tensor._keras_history
    return operation, index


def mask_of(tensor):
    """The mask that travels with a tensor, `_keras_mask`, which Keras's losses read; or `None`.

    Example:
        >>> import keras, numpy as np
        >>> masked = keras.layers.Masking()(np.array([[[1.0], [0.0]]], np.float32))
        >>> mask_of(masked).numpy()
        array([[ True, False]])
    """
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor, mask):
    """Gives a tensor that was computed from another, such as a slice, a mask of its own.

    Example:
        >>> import tensorflow as tf
        >>> tensor = tf.ones((1, 2))
        >>> set_mask(tensor, [True])
        >>> mask_of(tensor)
        [True]
    """
    tensor._keras_mask = mask


def calls_of(layer):
    """All calls of a layer, in whatever models, `_inbound_nodes`; each has `input_tensors`.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> outputs = keras.layers.Dense(2, name="logits")(inputs)
        >>> [call] = calls_of(keras.Model(inputs, outputs).get_layer("logits"))
        >>> call.input_tensors[0] is inputs
        True
    """
    return layer._inbound_nodes


def calls_in(model):
    """The calls in a functional model's own graph, `_nodes_by_depth`, outputs first.

    Each has `operation`, `input_tensors` and `outputs`. A layer has all its calls together, also
    those in other models.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> outputs = keras.layers.Dense(2, name="logits")(inputs)
        >>> [call.operation.name for call in calls_in(keras.Model(inputs, outputs))][0]
        'logits'
    """
    return [call for depth in model._nodes_by_depth.values() for call in depth]


def all_layers(model):
    """A model and all layers in it, nested ones too, by `_flatten_layers`.

    Example:
        >>> import keras
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="inside")])
        >>> inputs = keras.Input((3,))
        >>> inner.layers[0] in all_layers(keras.Model(inputs, inner(inputs)))
        True
    """
    return list(model._flatten_layers())


def with_constants(function):
    """A concrete function of TensorFlow's with its variables turned into constants.

    The public ways there are converters to other formats.

    Example:
        >>> import tensorflow as tf
        >>> factor = tf.Variable(2.0)
        >>> function = tf.function(lambda x: factor * x)
        >>> frozen = with_constants(function.get_concrete_function(tf.TensorSpec([])))
        >>> len(frozen.variables)
        0
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function)


def hooks_of_optimizer(cls):
    """Class decorator: lets a mixin of a Keras optimizer take part in `apply`.

    Keras clips in `_clip_gradients` and decays in `_apply_weight_decay`, which read and write whole
    variables. The class defines:

        clip_gradients(gradients, clip): the clipped gradients; `clip` is Keras's way.

    Sparse gradients' variables are left out of `_apply_weight_decay`; `decays` says which the class
    has to decay itself.

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
        dense = [each for each in variables if self._var_key(each) not in self._undecayed]
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


def slot_of(optimizer, slots, variable):
    """Of an optimizer's variables, such as momentums, the one of a weight: `_get_variable_index`.

    Example:
        >>> import keras
        >>> first, second = keras.Variable([1.0]), keras.Variable([1.0, 2.0])
        >>> optimizer = keras.optimizers.SGD(momentum=0.9)
        >>> optimizer.build([first, second])
        >>> slot_of(optimizer, optimizer.momentums, second).path
        'sgd/variable_1_momentum'
    """
    return slots[optimizer._get_variable_index(variable)]


def moments_of(optimizer, variable):
    """A weight's first and second moment in an Adam, and the largest second or `None`.

    They are `_momentums`, `_velocities` and `_velocity_hats`.

    Example:
        >>> import keras
        >>> weight = keras.Variable([1.0])
        >>> optimizer = keras.optimizers.Adam()
        >>> optimizer.build([weight])
        >>> [moment is None for moment in moments_of(optimizer, weight)]
        [False, False, True]
    """
    slots = [optimizer._momentums, optimizer._velocities]
    if optimizer.amsgrad:
        slots.append(optimizer._velocity_hats)
    moments = [slot_of(optimizer, each, variable) for each in slots]
    return moments if optimizer.amsgrad else [*moments, None]


def accumulator_of(optimizer, variable):
    """A weight's sum of squared gradients in an Adagrad, of `_accumulators`.

    Example:
        >>> import keras
        >>> weight = keras.Variable([1.0])
        >>> optimizer = keras.optimizers.Adagrad(initial_accumulator_value=0.5)
        >>> optimizer.build([weight])
        >>> float(accumulator_of(optimizer, weight)[0])
        0.5
    """
    return slot_of(optimizer, optimizer._accumulators, variable)
