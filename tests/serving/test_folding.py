"""Nets with folded batch normalization against the original nets, and cases that are not folded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf.networks import wide_resnet_pair
from rocket_tf.serving.folding import as_constants, fold_batch_normalization


def moved(net):
    """The net after its weights and statistics are replaced by random values."""
    random = np.random.default_rng(0)
    for variable in net.variables:
        variable.assign(random.uniform(0.3, 1.2, variable.shape))
    return net


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_a_convolution_with_batch_normalization_by_hand():
    inputs = keras.Input((1, 1, 2))
    x = layers.Conv2D(1, 1)(inputs)
    net = keras.Model(inputs, layers.BatchNormalization(epsilon=0.0)(x))
    # With gamma, beta, mean and variance, y = 3 (x - 5) / 2 + 7 for x = a + 10 b + 0.5.
    values = [[[[1.0], [10.0]]]], [0.5], [3.0], [7.0], [5.0], [4.0]
    net.set_weights(list(map(np.array, values)))
    folded, count = fold_batch_normalization(net)
    assert count == 1
    kernel, bias = folded.get_weights()
    np.testing.assert_allclose(kernel.ravel(), [1.5, 15.0])
    np.testing.assert_allclose(bias, [0.25])


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(3, 3, strides=2, use_bias=False),
        lambda: layers.Conv2D(3, 3, padding="same"),
        lambda: layers.Dense(4),
    ],
)
def test_folded_layers_compute_the_same(layer, options):
    inputs = keras.Input((6, 6, 2))
    x = layers.BatchNormalization(**options)(layer()(inputs))
    net = moved(keras.Model(inputs, layers.ReLU()(x)))
    folded, count = fold_batch_normalization(net)
    assert count == 1
    assert not any(isinstance(each, layers.BatchNormalization) for each in folded.layers)
    x = images(4, 6, 6, 2)
    np.testing.assert_allclose(folded(x), net(x, training=False), rtol=2e-5, atol=2e-5)


def with_activation(inputs):
    return layers.BatchNormalization()(layers.Conv2D(2, 1, activation="relu")(inputs))


def with_two_readers(inputs):
    x = layers.Conv2D(2, 1)(inputs)
    return layers.Add()([x, layers.BatchNormalization()(x)])


def after_a_sum(inputs):
    return layers.BatchNormalization()(layers.Add()([layers.Conv2D(2, 1)(inputs), inputs]))


def over_another_axis(inputs):
    return layers.BatchNormalization(axis=1)(layers.Conv2D(2, 1)(inputs))


def of_a_layer_called_twice(inputs):
    convolve = layers.Conv2D(2, 1)
    return layers.Add()([layers.BatchNormalization()(convolve(inputs)), convolve(2 * inputs)])


def in_half_precision(inputs):
    return layers.BatchNormalization()(layers.Conv2D(2, 1, dtype="mixed_bfloat16")(inputs))


def test_a_net_with_masks_is_left_alone():
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Dense(3)(layers.Embedding(5, 2, mask_zero=True)(inputs))
    net = moved(keras.Model(inputs, layers.BatchNormalization()(x)))
    folded, count = fold_batch_normalization(net)
    assert count == 0
    x = np.array([[1, 2, 0, 0]])
    np.testing.assert_allclose(folded(x), net(x, training=False), rtol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        with_activation,
        with_two_readers,
        after_a_sum,
        over_another_axis,
        of_a_layer_called_twice,
        in_half_precision,
    ],
)
def test_layers_that_cannot_be_folded_are_left_alone(build):
    inputs = keras.Input((4, 4, 2))
    net = moved(keras.Model(inputs, build(inputs)))
    folded, count = fold_batch_normalization(net)
    assert count == 0
    x = images(2, 4, 4, 2)
    np.testing.assert_allclose(folded(x), net(x, training=False), rtol=1e-6)


def test_a_light_net_that_shares_layers_with_the_booster():
    light, booster = wide_resnet_pair(10, 16, 1, 3, (8, 8, 3), seed=0)
    moved(light)
    x = 255 * np.random.default_rng(0).uniform(size=(4, 8, 8, 3)).astype(np.float32)
    before = light(x, training=False).numpy(), booster(x, training=False).numpy()
    folded, count = fold_batch_normalization(light)
    assert count == 3  # one in each block
    np.testing.assert_allclose(folded(x), before[0], rtol=1e-4)
    np.testing.assert_array_equal(light(x, training=False), before[0])
    np.testing.assert_array_equal(booster(x, training=False), before[1])


def test_constants_have_the_weights_of_the_trace_and_the_graph_captures_nothing():
    inputs = keras.Input((3,))
    net = keras.Model(inputs, layers.Dense(2)(inputs))
    infer = tf.function(as_constants(net)).get_concrete_function(tf.TensorSpec([None, 3]))
    x = tf.constant(images(5, 3))
    before = net(x).numpy()
    assert not infer.variables and not infer.captured_inputs
    moved(net)
    np.testing.assert_allclose(infer(x), before, rtol=1e-6)
