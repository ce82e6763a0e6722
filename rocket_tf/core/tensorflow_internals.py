"""All private names of TensorFlow in use: the file to reread when those change.

Nothing else of the package touches one; `tests/core/test_internals.py` holds it.
"""

import tensorflow as tf


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


def sum_gradients_in_order():
    """From here on, each tape of this process sums the gradients of a tensor in a fixed order.

    A tensor that three or more operations read, such as the last one that two residual nets share,
    gets as many gradients. TensorFlow adds them with one `AddN`, whose order of summation depends
    on which buffers are free at that instant, also under
    `tf.config.experimental.enable_op_determinism`. The last bit would depend on the machine's load.

    Example:
        >>> sum_gradients_in_order()
        >>> x = tf.Variable(2.0)
        >>> with tf.GradientTape() as tape:
        ...     y = x * x * x
        >>> float(tape.gradient(y, x))
        12.0
    """
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import backprop

    space = backprop._default_vspace

    def summed(gradients):
        dense = all(isinstance(each, tf.Tensor) and each.dtype.is_floating for each in gradients)
        if dense and len(gradients) > 2:
            return tf.reduce_sum(tf.stack(gradients), axis=0)
        return space.aggregate_fn(gradients)

    pywrap_tfe.TFE_Py_RegisterVSpace(space._replace(aggregate_fn=summed))
