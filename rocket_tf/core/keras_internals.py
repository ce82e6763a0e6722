"""All private names of Keras and TensorFlow in use: the file to reread when those change.

Nothing else of the package touches one; `tests/core/test_keras_internals.py` holds it.
"""

import contextlib
import threading

import keras
import tensorflow as tf

# The attribute with which a mask travels with a tensor. Keras's layers set it, its losses read it.
MASK = "_keras_mask"


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


def name_in_logs(metric):
    """The name of a metric of `compile` in the logs, by Keras's `get_object_name`.

    Args:
        metric: name, function or `keras.metrics.Metric`.

    Example:
        >>> import keras
        >>> name_in_logs("acc"), name_in_logs(keras.metrics.AUC(name="area"))
        ('acc', 'area')
        >>> name_in_logs(lambda y_true, y_pred: y_pred)
        'lambda'
    """
    from keras.src.utils.naming import get_object_name

    return metric if isinstance(metric, str) else get_object_name(metric)


def hooks_of_fit(cls):
    """Class decorator: lets a `keras.Model` take part in how Keras prepares `fit`.

    Keras asks `_maybe_symbolic_build` before the first step to build what is not built, and
    `_make_function` to make a loop of a step. It has no public hooks there. The class defines:

        before_first_step(iterator, data_batch): gives both as Keras should see them, or `None`
            where nothing is left to build.
        make_loop(step_function, loop_of_keras): gives what Keras is to call with an iterator for
            each batch; `loop_of_keras(step_function)` is what it would call.

    Example:
        >>> import keras, numpy as np
        >>> @hooks_of_fit
        ... class Model(keras.Model):
        ...     def before_first_step(self, iterator, data_batch):
        ...         print("building")
        ...         return iterator, data_batch
        ...
        ...     def make_loop(self, step_function, loop_of_keras):
        ...         print("making the loop")
        ...         return loop_of_keras(step_function)
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
        return self.make_loop(step_function, super(cls, self)._make_function)

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


@contextlib.contextmanager
def with_summed_gradients():
    """Within it, Keras's optimizers take gradients as sums over all replicas.

    Else each sums them itself, after it has clipped them, in `_all_reduce_sum_gradients`. An
    optimizer may have others inside it, and TensorFlow calls it in further threads, so this holds
    for the class of all of them.

    Example:
        >>> with with_summed_gradients():
        ...     gradients_are_summed()
        True
        >>> gradients_are_summed()
        False
    """
    with _SUMMED.lock:
        _SUMMED.depth += 1
        if _SUMMED.depth == 1:
            _SUMMED.by_keras = _optimizers_of_keras()._all_reduce_sum_gradients
            _optimizers_of_keras()._all_reduce_sum_gradients = lambda self, pairs: pairs
    try:
        yield
    finally:
        with _SUMMED.lock:
            _SUMMED.depth -= 1
            if _SUMMED.depth == 0:
                _optimizers_of_keras()._all_reduce_sum_gradients = _SUMMED.by_keras


def gradients_are_summed():
    """Whether this is within `with_summed_gradients`, in whatever thread.

    Example:
        >>> gradients_are_summed()
        False
    """
    return _SUMMED.depth > 0


def _optimizers_of_keras():
    """The class in which Keras's optimizers have `_all_reduce_sum_gradients`."""
    classes = keras.optimizers.Optimizer.__mro__
    return next(cls for cls in classes if "_all_reduce_sum_gradients" in vars(cls))


class _Summed:
    """How many steps, or replicas of a step, are within `with_summed_gradients`."""

    def __init__(self):
        self.depth = 0
        self.by_keras = None
        self.lock = threading.Lock()


_SUMMED = _Summed()


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


def calls_in_order(model):
    """The calls in a functional model's own graph, as Keras runs them: inputs first.

    Each also has `arguments`, which `fill_in` new tensors, and `is_input`.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> outputs = keras.layers.Dense(2, name="logits")(inputs)
        >>> [call.operation.name for call in calls_in_order(keras.Model(inputs, outputs))][-1]
        'logits'
    """
    by_depth = model._nodes_by_depth
    return [call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]]


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


def loss_of_function(function, name):
    """A function as a loss that averages over the batch, by `LossFunctionWrapper`.

    Keras's `compile` makes one of each function. It brings the labels' rank to that of the outputs.

    Example:
        >>> import numpy as np
        >>> loss = loss_of_function(lambda y_true, y_pred: (y_true - y_pred) ** 2, "squares")
        >>> float(loss(np.array([1.0, 3.0]), np.array([[1.0], [1.0]])))
        2.0
    """
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper(function, name=name)


def function_in(loss):
    """The function that a `keras.losses.Loss` consists of, or `None` if its class has a `call`.

    Example:
        >>> import keras
        >>> function_in(keras.losses.KLDivergence()) is keras.losses.kl_divergence
        True
    """
    from keras.src.losses.losses import LossFunctionWrapper

    return loss.fn if type(loss).call is LossFunctionWrapper.call else None


def parts_of(layer):
    """The layers that a layer holds itself, by `_flatten_layers`.

    Example:
        >>> import keras
        >>> inner = keras.layers.Dense(2, name="inner")
        >>> [part.name for part in parts_of(keras.layers.TimeDistributed(inner))]
        ['inner']
    """
    return layer._flatten_layers(include_self=False, recursive=False)


@contextlib.contextmanager
def object_sharing():
    """Within it, objects keep their identity in configurations, by `ObjectSharingScope`.

    Keras opens one where it reads or writes a file; this one leaves what that has noted as it was.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(2)
        >>> with object_sharing():
        ...     first, second = serialize_with_ids([layer, layer])
        ...     again = [keras.saving.deserialize_keras_object(each) for each in (first, second)]
        >>> again[0] is again[1]
        True
    """
    from keras.src.backend.common import global_state
    from keras.src.saving.serialization_lib import ObjectSharingScope

    names = [f"shared_objects/id_to_{what}_map" for what in ("obj", "config")]
    outer = {name: global_state.get_global_attribute(name) for name in names}
    try:
        with ObjectSharingScope():
            yield
    finally:
        for name, value in outer.items():
            global_state.set_global_attribute(name, value)


def serialize_with_ids(value):
    """A configuration in which each object has its `id`, as `shared_object_id`.

    Keras marks objects that come twice, but loses the mark of the first in models, which copy the
    configurations of their layers. The second time, all are known.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(2)
        >>> serialize_with_ids(layer)["shared_object_id"] == id(layer)
        True
    """
    import keras

    with object_sharing():
        keras.saving.serialize_keras_object(value)
        return keras.saving.serialize_keras_object(value)


def is_writing_h5():
    """Whether Keras is writing its old `.h5` files, by the global attribute `use_legacy_config`.

    Example:
        >>> is_writing_h5()
        False
    """
    from keras.src.backend.common import global_state

    return bool(global_state.get_global_attribute("use_legacy_config", False))


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
