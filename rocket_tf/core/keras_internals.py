"""All private names of Keras and TensorFlow in use: the file to reread when those change.

Nothing else of the package touches one; `tests/core/test_keras_internals.py` holds it.
"""


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
    depths = sorted(model._nodes_by_depth.items())
    return [call for _, calls in depths for call in calls]


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


def graph_of_function(operation, attribute):
    """The graph of a function that an operation of TensorFlow's calls, by `_get_function`.

    Args:
        operation: a `tf.Operation` in a traced function.
        attribute: the attribute that names the function, such as "f".

    Returns:
        `tf.Graph` with static shapes, or `None` where the function was not traced here.

    Example:
        >>> import tensorflow as tf
        >>> inner = tf.function(lambda x: tf.matmul(x, x))
        >>> outer = tf.function(lambda x: inner(x)).get_concrete_function(tf.TensorSpec([2, 2]))
        >>> [call] = [each for each in outer.graph.get_operations() if "Call" in each.type]
        >>> "MatMul" in [each.type for each in graph_of_function(call, "f").get_operations()]
        True
    """
    function = operation.graph._get_function(operation.get_attr(attribute).name)
    return getattr(function, "graph", None)


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
