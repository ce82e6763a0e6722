"""Multiply-adds of every kind of layer, against counts by hand."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from rocket_tf import RocketModel, ownership
from rocket_tf.analysis.costs import count_multiply_adds
from tests.nets import CROSS_ENTROPY

T, D = 7, 4  # steps, width


def count(layer, *shapes, dtype="float32", **call):
    inputs = [keras.Input(shape, dtype=dtype) for shape in shapes]
    outputs = layer(*inputs, **call)
    return count_multiply_adds(keras.Model(inputs, outputs))


DENSE = [
    (layers.Dense(5), (D,), D * 5),
    (layers.Dense(5), (T, D), T * D * 5),
    (layers.Dense(5, use_bias=False, activation="gelu"), (3, T, D), 3 * T * D * 5),
    (layers.EinsumDense("abc,cd->abd", (None, 5)), (T, D), T * D * 5),
    (layers.EinsumDense("...x,xyz->...yz", (3, 5)), (T, D), T * D * 3 * 5),
    (layers.EinsumDense("abc,bcd->ad", (5,)), (T, D), T * D * 5),
    (layers.EinsumDense("abc,dc->abd", (None, 5)), (T, D), T * D * 5),
]
CONVOLUTIONS = [
    # positions of the result × kernel × channels in × filters
    (layers.Conv1D(5, 3), (9, 2), 7 * 3 * 2 * 5),
    (layers.Conv1D(5, 3, padding="causal"), (9, 2), 9 * 3 * 2 * 5),
    (layers.Conv1D(5, 3, padding="causal", dilation_rate=4), (9, 2), 9 * 3 * 2 * 5),
    (layers.Conv1D(5, 3, dilation_rate=2), (9, 2), 5 * 3 * 2 * 5),
    (layers.Conv2D(5, (3, 2)), (8, 6, 2), 6 * 5 * 6 * 2 * 5),
    (layers.Conv2D(5, 3, strides=2, padding="same"), (9, 9, 2), 25 * 9 * 2 * 5),
    (layers.Conv2D(5, 3, strides=2), (9, 9, 2), 16 * 9 * 2 * 5),
    (layers.Conv2D(5, 3, dilation_rate=3, padding="same"), (10, 11, 2), 110 * 9 * 2 * 5),
    (layers.Conv2D(5, 3, dilation_rate=(1, 2)), (9, 9, 2), 7 * 5 * 9 * 2 * 5),
    (layers.Conv2D(6, 3, groups=2), (8, 8, 4), 36 * 9 * 2 * 6),
    (layers.Conv3D(5, 3), (5, 6, 7, 2), 3 * 4 * 5 * 27 * 2 * 5),
    (layers.Conv3D(5, 3, dilation_rate=2), (7, 7, 8, 2), 3 * 3 * 4 * 27 * 2 * 5),
    (layers.DepthwiseConv1D(3, depth_multiplier=2), (9, 3), 7 * 3 * 3 * 2),
    (layers.DepthwiseConv2D(3), (8, 8, 4), 36 * 9 * 4),
    (layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), (9, 9, 3), 16 * 9 * 3 * 2),
    (layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"), (9, 9, 3), 81 * 9 * 3),
    (layers.SeparableConv1D(5, 3, depth_multiplier=2), (9, 3), 7 * (3 * 6 + 6 * 5)),
    (layers.SeparableConv1D(5, 3, dilation_rate=2), (9, 3), 5 * (3 * 3 + 3 * 5)),
    (layers.SeparableConv2D(5, 3, depth_multiplier=2), (8, 8, 3), 36 * (9 * 6 + 6 * 5)),
    (layers.SeparableConv2D(5, 3, strides=2), (9, 9, 3), 16 * (9 * 3 + 3 * 5)),
    # positions of the input × kernel × channels in × filters
    (layers.Conv1DTranspose(5, 3, strides=2), (9, 2), 9 * 3 * 2 * 5),
    (layers.Conv2DTranspose(5, 3, strides=2, padding="same"), (4, 6, 2), 24 * 9 * 2 * 5),
    (layers.Conv2DTranspose(5, (3, 2), strides=(1, 3)), (4, 6, 2), 24 * 6 * 2 * 5),
    (layers.Conv2DTranspose(5, 3, dilation_rate=2), (4, 6, 2), 24 * 9 * 2 * 5),
    (layers.Conv3DTranspose(5, 3, strides=2), (2, 3, 4, 2), 24 * 27 * 2 * 5),
]
# For each gate, units × (inputs + units) in each step.
RECURRENT = [
    (layers.SimpleRNN(5), (T, D), T * 5 * (D + 5)),
    (layers.GRU(5), (T, D), T * 3 * 5 * (D + 5)),
    (layers.GRU(5, reset_after=False), (T, D), T * 3 * 5 * (D + 5)),
    (layers.LSTM(5), (T, D), T * 4 * 5 * (D + 5)),
    (layers.LSTM(5, return_sequences=True, go_backwards=True), (T, D), T * 4 * 5 * (D + 5)),
    (layers.LSTM(5, unroll=True), (T, D), T * 4 * 5 * (D + 5)),
    (layers.RNN(layers.GRUCell(5)), (T, D), T * 3 * 5 * (D + 5)),
    (
        layers.RNN([layers.SimpleRNNCell(3), layers.LSTMCell(5)]),
        (T, D),
        T * (3 * (D + 3) + 4 * 5 * (3 + 5)),
    ),
    (layers.Bidirectional(layers.GRU(5)), (T, D), 2 * T * 3 * 5 * (D + 5)),
    (
        layers.Bidirectional(layers.LSTM(5), backward_layer=layers.GRU(5, go_backwards=True)),
        (T, D),
        T * (4 + 3) * 5 * (D + 5),
    ),
    # The convolution of the state keeps its size.
    (layers.ConvLSTM1D(5, 3), (T, 9, 2), T * 7 * 4 * 5 * 3 * (2 + 5)),
    (layers.ConvLSTM2D(5, 3, strides=2), (T, 9, 9, 2), T * 16 * 4 * 5 * 9 * (2 + 5)),
    (layers.ConvLSTM3D(2, 2), (2, 3, 3, 3, 2), 2 * 8 * 4 * 2 * 8 * (2 + 2)),
    (layers.TimeDistributed(layers.Dense(5)), (T, D), T * D * 5),
    (layers.TimeDistributed(layers.Conv2D(5, 3)), (T, 8, 8, 2), T * 36 * 9 * 2 * 5),
    (layers.TimeDistributed(layers.GRU(5)), (3, T, D), 3 * T * 3 * 5 * (D + 5)),
]
NOTHING = [
    (layers.BatchNormalization(), (8, 8, 3)),
    (layers.LayerNormalization(), (T, D)),
    (layers.GroupNormalization(1), (T, D)),
    (layers.AveragePooling2D(2), (8, 8, 3)),
    (layers.GlobalMaxPooling1D(), (T, D)),
    (layers.PReLU(), (D,)),
    (layers.UpSampling2D(interpolation="bilinear"), (8, 8, 3)),
    (layers.Resizing(4, 4), (8, 8, 3)),
    (layers.Dropout(0.5), (D,)),
    (layers.RandomRotation(0.2), (8, 8, 3)),
    (layers.Normalization(mean=1.0, variance=2.0), (D,)),
    (layers.Reshape((D, T)), (T, D)),
]


@pytest.mark.parametrize("layer, shape, by_hand", [*DENSE, *CONVOLUTIONS, *RECURRENT])
def test_layers(layer, shape, by_hand):
    assert count(layer, shape) == by_hand


def test_recurrent_layers_in_every_form_of_call():
    x, state = keras.Input((T, D)), keras.Input((5,))
    each = T * 3 * 5 * (D + 5)
    for outputs in (
        layers.GRU(5)(sequences=x, initial_state=state),
        layers.GRU(5)(x, initial_state=state),
        layers.GRU(5, return_state=True)(x, initial_state=state)[1],
    ):
        assert count_multiply_adds(keras.Model([x, state], outputs)) == each
    masked = layers.Masking()(x)
    assert count_multiply_adds(keras.Model(x, layers.GRU(5)(masked))) == each
    distributed = layers.TimeDistributed(layers.Dense(3))(masked)
    assert count_multiply_adds(keras.Model(x, distributed)) == T * D * 3


@pytest.mark.parametrize("layer, shape", NOTHING)
def test_elementwise_multiplications(layer, shape):
    assert count(layer, shape) == 0


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("queries, values", [(7, 7), (7, 5)])
def test_multi_head_attention(queries, values, size):
    """Four projections, the products of queries with keys, and the values by their weights."""
    heads, key, value = 2, 3, size or 3
    layer = layers.MultiHeadAttention(heads, key, size)
    projections = D * heads * (queries * key + values * key + values * value) + (
        queries * heads * value * D
    )
    products = heads * queries * values * (key + value)
    assert count(layer, (queries, D), (values, D)) == projections + products


@pytest.mark.parametrize("call", [{"use_causal_mask": True}, {"return_attention_scores": True}])
def test_attention_in_every_form_of_call(call):
    inputs = keras.Input((T, D))
    net = keras.Model(inputs, layers.MultiHeadAttention(2, 3)(inputs, inputs, **call))
    assert count_multiply_adds(net) == 4 * T * D * 6 + 2 * T * T * 6


def test_grouped_query_attention():
    queries, values, size, heads, groups = 7, 5, 3, 4, 2
    layer = layers.GroupQueryAttention(size, heads, groups)
    projections = D * size * (2 * queries * heads + 2 * values * groups)
    products = 2 * heads * queries * values * size
    assert count(layer, (queries, D), (values, D)) == projections + products


def test_attention_layers():
    def counted(layer, *shapes):
        inputs = [keras.Input(shape) for shape in shapes]
        return count_multiply_adds(keras.Model(inputs, layer(inputs)))

    query, value, key = (7, D), (5, 3), (5, D)
    both = [(7, D), (5, D)]
    assert counted(layers.Attention(), *both) == 7 * 5 * (D + D)
    assert counted(layers.Attention(use_scale=True), query, value, key) == 7 * 5 * (D + 3)
    # Scores of additive attention are products with the scale; without it, sums.
    assert counted(layers.AdditiveAttention(), *both) == 7 * 5 * (D + D)
    assert counted(layers.AdditiveAttention(), query, value, key) == 7 * 5 * (D + 3)
    assert counted(layers.AdditiveAttention(use_scale=False), *both) == 7 * 5 * D
    assert counted(layers.Attention(score_mode="concat"), *both) == 7 * 5 * D


def test_embeddings_are_lookups():
    """Only what stands on them multiplies; masks change nothing."""
    ids = keras.Input((T,), dtype="int64")
    words = layers.Embedding(1000, D, mask_zero=True)(ids)
    encoded = layers.CategoryEncoding(9, output_mode="multi_hot")(ids)
    net = keras.Model(ids, [layers.GRU(5)(words), layers.Dense(2)(encoded)])
    assert count_multiply_adds(net) == T * 3 * 5 * (D + 5) + 9 * 2
    assert count_multiply_adds(keras.Model(ids, words)) == 0


def test_nets_on_strings():
    text = keras.Input((T,), dtype="string")
    known = layers.StringLookup(vocabulary=["a", "b"])(text)
    hashed = layers.Hashing(9)(text)
    words = layers.Concatenate()([layers.Embedding(9, D)(each) for each in (known, hashed)])
    net = keras.Model(text, layers.Dense(3)(layers.Flatten()(words)))
    assert count_multiply_adds(net) == T * 2 * D * 3


@pytest.mark.parametrize("shape", [(), (1,)])
def test_nets_on_text(shape):
    """The places of TextVectorization's result have no sizes in a graph."""
    text = keras.Input(shape, dtype="string")
    vectorize = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=T)
    words = layers.Embedding(4, D)(vectorize(text))
    net = keras.Model(text, layers.Dense(3)(layers.Flatten()(words)))
    assert count_multiply_adds(net) == T * D * 3
    assert count_multiply_adds(keras.Model(text, layers.GRU(5)(words))) == T * 15 * (D + 5)


def test_operations_of_keras():
    first, second = keras.Input((T, D)), keras.Input((D, 5))
    product = ops.matmul(first, second)
    dot = layers.Dot((2, 1))([first, second])
    einsum = ops.einsum("bij,bjk->bik", first, second)
    # j, which only the second factor has, is summed before the product.
    summed = ops.einsum("bi,bjk->bik", first[:, :, 0], second)
    for outputs, by_hand in ((product, T * D * 5), (dot, T * D * 5), (einsum, T * D * 5)):
        assert count_multiply_adds(keras.Model([first, second], outputs)) == by_hand
    assert count_multiply_adds(keras.Model([first, second], summed)) == T * 5
    batched = ops.reshape(layers.Dense(3)(ops.reshape(first, (-1, D))), (-1, T, 3))
    assert count_multiply_adds(keras.Model(first, batched)) == T * D * 3


def test_nets_inside_nets_count_each_time_they_are_called():
    inner = keras.Sequential([keras.Input((T, D)), layers.LSTM(5), layers.Dense(2)])
    first, second = keras.Input((T, D), name="b"), keras.Input((T, D), name="a")
    each = T * 4 * 5 * (D + 5) + 5 * 2
    net = keras.Model([first, second], layers.Add()([inner(first), inner(second)]))
    assert count_multiply_adds(inner) == each and count_multiply_adds(net) == 2 * each
    twice = keras.Input((3, T, D))
    distributed = keras.Model(twice, layers.TimeDistributed(inner)(twice))
    assert count_multiply_adds(distributed) == 3 * each
    as_dict = keras.Model({"b": first, "a": second}, {"z": inner(first), "y": inner(second)})
    outputs = as_dict({"a": second, "b": first})
    assert count_multiply_adds(keras.Model([first, second], list(outputs.values()))) == 2 * each


def test_custom_layers_count_what_they_compute():
    class Bilinear(layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], shape[-1]))
            self.convolution = layers.Conv1D(5, 3, dilation_rate=2)
            self.convolution.build(shape)

        def call(self, x):
            return ops.matmul(ops.matmul(x, self.matrix), ops.transpose(x, (0, 2, 1))), (
                self.convolution(x)
            )

    by_hand = T * D * D + T * T * D + 3 * 3 * D * 5
    assert count(Bilinear(), (T, D)) == by_hand
    assert count(layers.TimeDistributed(layers.Dense(2)), (T, D)) == T * D * 2


class Wrapped(layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


class AttendsToItself(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = layers.AdditiveAttention()

    def call(self, x):
        return self.attention([x, x])


@pytest.mark.parametrize(
    "layer, shape",
    [
        (Wrapped(layers.LSTM(5)), (T, D)),  # the number of iterations of a loop is unknown
        (AttendsToItself(), (T, D)),  # its scores are not counted
        (layers.Lambda(lambda x: tf.map_fn(lambda each: each @ each, x)), (D, D)),
        (layers.Lambda(lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x @ x, lambda: x)), (D, D)),
        (layers.Lambda(lambda x: tf.linalg.inv(x), output_shape=(D, D)), (D, D)),
        (layers.Lambda(lambda x: tf.abs(tf.signal.rfft(x)), output_shape=(3,)), (D,)),
        (layers.Lambda(lambda x: tf.numpy_function(np.sin, [x], tf.float32), (D,)), (D,)),
    ],
)
def test_layers_without_a_rule_are_unknown(layer, shape):
    assert count(layer, shape) is None
    inputs = keras.Input(shape)
    net = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(inputs))), name="light")
    assert ownership(RocketModel(net, hint=None)).multiply_adds == {"light": None}


def test_loops_and_conditions_that_multiply_nothing_count_nothing():
    doubled = layers.Lambda(lambda x: tf.map_fn(lambda each: each + each, x))
    assert count(doubled, (T, D)) == 0
    inputs = keras.Input((T, D))
    assert count_multiply_adds(keras.Model(inputs, layers.Dense(3)(doubled(inputs)))) == T * D * 3


def test_sparse_inputs_are_unknown():
    inputs = keras.Input((100,), sparse=True)
    assert count_multiply_adds(keras.Model(inputs, layers.Dense(3)(inputs))) is None


def test_fixed_batches_count_one_example():
    inputs = keras.Input(batch_shape=(8, T, D))
    net = keras.Model(inputs, layers.Dense(3)(ops.reshape(inputs, (8 * T, D))))
    assert count_multiply_adds(net) == T * D * 3
    stateful = keras.Model(inputs, layers.LSTM(5, stateful=True)(inputs))
    assert count_multiply_adds(stateful) == T * 4 * 5 * (D + 5)
    others = keras.Input(batch_shape=(4, D))
    both = [layers.Dense(3)(inputs), layers.Dense(3)(others)]
    assert count_multiply_adds(keras.Model([inputs, others], both)) is None


def test_counting_prints_and_changes_nothing(capfd):
    ids = keras.Input((T,), dtype="int64", name="ids")
    words = layers.Embedding(9, D, mask_zero=True)(ids)
    attended = layers.MultiHeadAttention(2, 3, name="attention")(words, words)
    logits = layers.Dense(2)(layers.LSTM(3)(attended))
    light = keras.Model(ids, logits, name="light")
    rocket = RocketModel(light, hint=None)
    rocket.compile("sgd", CROSS_ENTROPY)
    weights, answer = light.get_weights(), light(np.arange(T)[None])
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert count_multiply_adds(light) > 0
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(light(np.arange(T)[None]), answer)
    for before, after in zip(weights, light.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
