"""All private names of Keras in use: the file to check when Keras changes.

Those of optimizers are in `optimizer_internals.py`. No other file of the package uses any;
`tests/core/test_internals.py` checks that.
"""

import contextlib
import threading

import keras
import tensorflow as tf

# The attribute with which a mask travels with a tensor. Keras's layers set it, its losses read it.
MASK = "_keras_mask"
# How many steps, or replicas of a step, are within `with_summed_gradients`.
_SUMMED, _LOCK = {"depth": 0}, threading.Lock()


def running_metrics(model):
    """The mean that Keras logs as `loss`, and the container of `compile`'s metrics, or `None`.

    They are `_loss_tracker` and `_compile_metrics`. `keras.Model.metrics` has both among others,
    but does not say which they are.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
        >>> model.compile("sgd", "mse")
        >>> loss_mean, compiled_metrics = running_metrics(model)
        >>> loss_mean.name, compiled_metrics
        ('loss', None)
    """
    return model._loss_tracker, model._compile_metrics


def forget_compiled_metrics(model):
    """Removes `_compile_metrics`, which Keras keeps if a second `compile` has no metrics.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> forget_compiled_metrics(model)
        >>> running_metrics(model)[1]
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

    Before the first step, Keras calls `_maybe_symbolic_build` to build unbuilt parts, and
    `_make_function` to turn a step into a loop. It has no public hooks there. The class defines:

        before_first_step(iterator, data_batch): returns both as Keras should see them, or `None`
            if nothing is left to build.
        make_loop(step_function, loop_of_keras): returns the function that Keras calls with an
            iterator for each batch; its own would be `loop_of_keras(step_function)`.

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


def build_before_trace(model, iterator, metrics):
    """Makes the metrics' variables if Keras would make them in the first trace of a step.

    Keras does so without a strategy, when `_distribute_strategy` is `None`. TensorFlow would trace
    the whole step twice, since it cannot call a trace in which variables were made.

    Args:
        model: a compiled functional `keras.Model`.
        iterator: Keras's iterator of its batches, or `None`. For batches that are not dense
            tensors, the trace still makes the variables.
        metrics: the container of `compile`'s metrics if they have no variables yet, or `None`.

    Returns:
        Whether Keras would make them in the trace.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> build_before_trace(model, None, None)
        True
    """
    if model._distribute_strategy is not None:
        return False
    if iterator is None or metrics is None:
        return True
    batch = iterator._get_iterator().element_spec
    specs = keras.tree.flatten(batch)
    if all(isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None for spec in specs):
        from keras.src import backend

        symbolic = keras.tree.map_structure(
            lambda spec: keras.KerasTensor(spec.shape, spec.dtype.name), batch
        )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(symbolic)
        backend.compute_output_spec(model.compute_metrics, x, y, model.output, sample_weight)
    return True


def one_list_of_layers(model):
    """Lets a functional model track layers that are later set as attributes.

    Before 3.13, Keras replaces `_layers` of a functional model with a list that its `_tracker` does
    not know, so the variables of such layers are neither trained nor saved.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        >>> one_list_of_layers(model)
        >>> model.extra = keras.layers.Dense(1, name="extra")
        >>> model.extra in all_layers(model)
        True
    """
    tracker = model._tracker
    _, tracked = tracker.config["layers"]
    if model._layers is tracked:
        return
    for layer in model._layers:
        if not tracker.is_in_store("layers", layer):
            tracker.add_to_store("layers", layer)
    # Bypasses Keras's own setting of attributes, which would wrap the list into another.
    vars(model)["_layers"] = tracked


@contextlib.contextmanager
def with_summed_gradients():
    """A context in which Keras's optimizers treat gradients as sums over all replicas.

    Otherwise each optimizer sums them itself, after clipping, in `_all_reduce_sum_gradients`. An
    optimizer may contain others, and TensorFlow calls it in other threads, so this applies to the
    class of all optimizers.

    Example:
        >>> with with_summed_gradients():
        ...     gradients_are_summed()
        True
        >>> gradients_are_summed()
        False
    """
    with _LOCK:
        _SUMMED["depth"] += 1
        if _SUMMED["depth"] == 1:
            _SUMMED["by_keras"] = _optimizers_of_keras()._all_reduce_sum_gradients
            _optimizers_of_keras()._all_reduce_sum_gradients = lambda self, pairs: pairs
    try:
        yield
    finally:
        with _LOCK:
            _SUMMED["depth"] -= 1
            if _SUMMED["depth"] == 0:
                _optimizers_of_keras()._all_reduce_sum_gradients = _SUMMED["by_keras"]


def gradients_are_summed():
    """Whether any thread is within `with_summed_gradients`.

    Example:
        >>> gradients_are_summed()
        False
    """
    return _SUMMED["depth"] > 0


def _optimizers_of_keras():
    """The class of Keras's optimizers that defines `_all_reduce_sum_gradients`."""
    classes = keras.optimizers.Optimizer.__mro__
    return next(cls for cls in classes if "_all_reduce_sum_gradients" in vars(cls))


def operation_of(tensor):
    """The `(operation, index of its output)` that made a symbolic tensor, from `_keras_history`.

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


def calls_in(model):
    """The calls in a functional model's own graph, `_nodes_by_depth`, as Keras runs them.

    Each has `operation`, `input_tensors`, `outputs`, `is_input`, and `arguments`, which `fill_in`
    new tensors. The layers themselves keep all their calls, also those in other models.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> outputs = keras.layers.Dense(2, name="logits")(inputs)
        >>> [call.operation.name for call in calls_in(keras.Model(inputs, outputs))][-1]
        'logits'
    """
    by_depth = model._nodes_by_depth
    return [call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]]


def all_layers(model, nested=True):
    """A model and all layers in it, nested ones too, by `_flatten_layers`.

    Without `nested`, only those that it holds itself.

    Example:
        >>> import keras
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="inside")])
        >>> inputs = keras.Input((3,))
        >>> inner.layers[0] in all_layers(keras.Model(inputs, inner(inputs)))
        True
    """
    return list(model._flatten_layers(include_self=nested, recursive=nested))


def function_losses():
    """The class of losses that consist of a function, `LossFunctionWrapper`.

    Keras's `compile` wraps each function in it. It gives labels the rank of the outputs.

    Example:
        >>> import keras
        >>> isinstance(keras.losses.KLDivergence(), function_losses())
        True
    """
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper


@contextlib.contextmanager
def object_sharing():
    """A context in which objects keep their identity in configurations, by `ObjectSharingScope`.

    Keras opens one when it reads or writes a file; this one does not change what Keras has noted.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(2)
        >>> with object_sharing():
        ...     first, second = keras.saving.serialize_keras_object([layer, layer])
        >>> first["shared_object_id"] == second["shared_object_id"]
        True
    """
    from keras.src.backend.common import global_state
    from keras.src.saving.serialization_lib import ObjectSharingScope

    names = [f"shared_objects/id_to_{kind}_map" for kind in ("obj", "config")]
    outer = {name: global_state.get_global_attribute(name) for name in names}
    try:
        with ObjectSharingScope():
            yield
    finally:
        for name, value in outer.items():
            global_state.set_global_attribute(name, value)


def is_writing_h5():
    """Whether Keras is writing its old `.h5` files, by the global attribute `use_legacy_config`.

    Example:
        >>> is_writing_h5()
        False
    """
    from keras.src.backend.common import global_state

    return bool(global_state.get_global_attribute("use_legacy_config", False))
