"""What a net costs: parameters and multiply-adds."""

import math

import keras

from rocket_tf.analysis import multiply_adds


def count_parameters(model: keras.Model) -> int:
    """Parameters of a model, including batch normalization's moving statistics; shared ones once.

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


def count_multiply_adds(model: keras.Model) -> int | None:
    """Multiply-adds of one inference: those of matrix products and convolutions.

    Products of single elements, such as those of batch normalization, gates and activations, do not
    count, and an embedding is a lookup. A convolution counts its whole kernel at each position,
    also at the edges. A recurrent layer counts its cell for each step, also for masked steps.

    Args:
        model: a functional or sequential `keras.Model`.

    Returns:
        Number of multiplications, each with its addition, for one example, an int. `None` if it is
        not known: an input has an unknown size other than the batch's, or the net multiplies in
        another way, such as in its own loop or a Fourier transform.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> count_multiply_adds(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
        6
    """
    try:
        return multiply_adds.of_net(model)
    except multiply_adds.NotKnown:
        return None
