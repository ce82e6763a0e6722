"""Parameters and multiply-adds against counts by hand."""

import keras
from keras import layers

from rocket_tf import RocketModel, ownership
from rocket_tf.analysis.costs import count_multiply_adds, count_parameters
from rocket_tf.networks import wide_resnet_pair


def test_multiply_adds_of_convolutions_and_matrix_products():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(inputs)  # 4 by 4 places
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))
    assert count_multiply_adds(model) == 16 * 9 * 3 * 4 + 16 * 9 * 4 + 64 * 5


def test_the_papers_advertising_tower():
    """Table 5: 576-200-80-2 takes 131 360 multiplications."""
    inputs = keras.Input((576,))
    x = layers.Dense(80)(layers.Dense(200)(inputs))
    assert count_multiply_adds(keras.Model(inputs, layers.Dense(2)(x))) == 131_360


def test_wrn_16_1():
    light, _ = wide_resnet_pair()
    stem, group0 = 32 * 32 * 27 * 16, 4 * 32 * 32 * 9 * 16 * 16
    group1 = 16 * 16 * (9 * (16 * 32 + 3 * 32 * 32) + 16 * 32)
    group2 = 8 * 8 * (9 * (32 * 64 + 3 * 64 * 64) + 32 * 64)
    assert count_multiply_adds(light) == stem + group0 + group1 + group2 + 64 * 10
    assert count_parameters(light) == 175_994


def test_random_generators_do_not_count():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dropout(0.5)(layers.Dense(2)(inputs)))
    assert count_parameters(model) == 3 * 2 + 2


def test_unknown_sizes_are_not_counted():
    words = keras.Input((None, 4))
    net = keras.Model(words, layers.Dense(3)(layers.GlobalAveragePooling1D()(words)))
    assert count_multiply_adds(net) is None
    assert ownership(RocketModel(net, hint=None)).multiply_adds == {"light": None}
    assert "not known" in str(ownership(RocketModel(net, hint=None)))
