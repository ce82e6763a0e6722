"""All private names of Keras and TensorFlow in use: the file to reread when those change.

Nothing else of the package touches one; `tests/test_keras_internals.py` holds it.
"""


def loss_mean(model):
    """The mean that Keras logs as `loss`, `_loss_tracker`; `None` before `compile`.

    Keras fills it in steps of its own, which `RocketModel` replaces.
    """
    return model._loss_tracker


def compiled_metrics(model):
    """What holds the metrics of `compile`, `_compile_metrics`; `None` where there are none.

    `keras.Model.metrics` has it among others, without saying which it is.
    """
    return model._compile_metrics


def forget_compiled_metrics(model):
    """Takes away `_compile_metrics`, which Keras keeps where a second `compile` has no metrics."""
    model._compile_metrics = None


def in_order_of_metrics(model, logs):
    """The values of logs as `evaluate` lists them, by `_flatten_metrics_in_order`.

    `evaluate` of Keras does so before values can be added to the logs.
    """
    return model._flatten_metrics_in_order(logs)


def hooks_of_fit(cls):
    """Class decorator: lets a `keras.Model` take part in how Keras prepares `fit`.

    Keras asks `_maybe_symbolic_build` before the first step to build what is not built, and
    `_make_function` to make a loop of a step. It has no public hooks there. The class defines:

        before_first_step(iterator, data_batch): gives both as Keras should see them, or `None`
            where nothing is left to build.
        adapt_step(step_function): gives the step that Keras is to loop.
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
    """`(operation, index of its output)` that a symbolic tensor comes from, of `_keras_history`."""
    operation, _, index = tensor._keras_history
    return operation, index


def mask_of(tensor):
    """The mask that travels with a tensor, `_keras_mask`, which Keras's losses read; or `None`."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor, mask):
    """Gives a tensor that was computed from another, such as a slice, a mask of its own."""
    tensor._keras_mask = mask


def calls_of(layer):
    """All calls of a layer, in whatever models, `_inbound_nodes`; each has `input_tensors`."""
    return layer._inbound_nodes


def calls_in(model):
    """The calls in a functional model's own graph, `_nodes_by_depth`, outputs first.

    Each has `operation`, `input_tensors` and `outputs`. A layer has all its calls together, also
    those in other models.
    """
    return [call for depth in model._nodes_by_depth.values() for call in depth]


def all_layers(model):
    """A model and all layers in it, nested ones too, by `_flatten_layers`."""
    return list(model._flatten_layers())


def with_constants(function):
    """A concrete function of TensorFlow's with its variables turned into constants.

    The public ways there are converters to other formats.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function)
