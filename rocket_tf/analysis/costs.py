"""What a net costs: parameters and multiply-adds."""

import math

import keras
import tensorflow as tf

_MULTIPLYING_OPERATIONS = ("MatMul", "Conv", "Einsum")


def count_parameters(model):
    """Parameters of a model, shared ones once; batch normalisation's moving statistics count.

    Args:
        model: a built `keras.Model`.

    Returns:
        Number of parameters, an int. The state of random generators does not count.

    Example:
        >>> import keras
        >>> count_parameters(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
        8
    """
    return sum(math.prod(variable.shape) for variable in model.variables if is_parameter(variable))


def is_parameter(variable):
    """Whether a variable counts as a parameter: all but the state of random generators.

    Example:
        >>> import keras
        >>> dropout = keras.layers.Dropout(0.5)
        >>> [is_parameter(variable) for variable in dropout.variables]
        [False]
    """
    return "seed_generator" not in variable.path


def count_multiply_adds(model):
    """Multiply-adds of one inference: those of matrix products and convolutions.

    Args:
        model: a functional `keras.Model`.

    Returns:
        Number of multiplications, each with its addition, for one example, an int. The body of a
        loop, such as a recurrent layer's, counts once.

    Raises:
        ValueError: if an input has a size that is not known, beside the batch's.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> count_multiply_adds(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
        6
    """
    if not has_known_sizes(model):
        raise ValueError(
            "Multiply-adds are counted for inputs of known sizes. Received: inputs of shapes "
            f"{[tensor.shape for tensor in model.inputs]}; build the net with fixed ones"
        )
    one_example = keras.tree.map_structure(
        lambda tensor: tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype), model.input
    )
    inference = tf.function(lambda inputs: model(inputs, training=False))
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # the profiler warns of its own use of old interfaces
    try:
        profile = tf.compat.v1.profiler.profile(
            inference.get_concrete_function(one_example).graph, cmd="op", options=options
        )
    finally:
        logger.setLevel(level)
    return _multiplying_float_operations(profile) // 2


def has_known_sizes(model):
    """Whether all sizes of a functional model's inputs are known, beside the batch's.

    Example:
        >>> import keras
        >>> pool = keras.layers.GlobalAveragePooling2D()
        >>> has_known_sizes(keras.Sequential([keras.Input((None, None, 3)), pool]))
        False
    """
    return all(None not in tensor.shape[1:] for tensor in model.inputs)


def _multiplying_float_operations(node):
    own = node.float_ops if any(name in node.name for name in _MULTIPLYING_OPERATIONS) else 0
    return own + sum(_multiplying_float_operations(child) for child in node.children)
