"""All private names of TensorFlow in use: the file to check when TensorFlow changes.

No other file of the package uses any; `tests/core/test_internals.py` checks that.
"""

import contextlib
import functools


def with_constants(function):
    """A concrete function of TensorFlow with its variables turned into constants.

    The public functions for this are converters to other formats.

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


def aggregate_gradients_by(aggregate):
    """Sets the function that sums a tensor's gradients, for all tapes of this process.

    It is `aggregate_fn` of TensorFlow's `_default_vspace`.

    Args:
        aggregate: `f(gradients, otherwise)`, which sums a list of tensors and `tf.IndexedSlices`;
            `otherwise` is TensorFlow's own function.

    Example:
        >>> import tensorflow as tf
        >>> from rocket_tf.core.objective import sum_of_gradients
        >>> aggregate_gradients_by(sum_of_gradients)
        >>> x = tf.Variable(2.0)
        >>> with tf.GradientTape() as tape:
        ...     y = x * x * x
        >>> float(tape.gradient(y, x))
        12.0
    """
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import backprop

    space = backprop._default_vspace
    replacement = functools.partial(aggregate, otherwise=space.aggregate_fn)
    pywrap_tfe.TFE_Py_RegisterVSpace(space._replace(aggregate_fn=replacement))


@contextlib.contextmanager
def custom_gradients_forgotten():
    """Forgets the custom gradients of what is traced within it.

    TensorFlow keeps the function of each traced `tf.custom_gradient` until the process ends, and
    with it the whole graph. There is one in each training step, where an optimizer adds the
    gradients of replicas. So a process that trains many models would grow with each of them.

    Afterwards, no tape can differentiate a function that was traced within.

    Example:
        >>> import tensorflow as tf
        >>> @tf.custom_gradient
        ... def square(x):
        ...     return x * x, lambda upstream: upstream * 2 * x
        >>> with custom_gradients_forgotten():
        ...     function = tf.function(square).get_concrete_function(tf.TensorSpec([]))
        >>> float(function(tf.constant(3.0)))
        9.0
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in set(registered) - before:
            if name.startswith("CustomGradient-"):
                del registered[name]


def graph_of_function(operation, attribute):
    """The graph of a function that a TensorFlow operation calls, by `_get_function`.

    Args:
        operation: a `tf.Operation` in a traced function.
        attribute: the attribute that names the function, such as "f".

    Returns:
        `tf.Graph` with static shapes, or `None` if the function was not traced here.

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
