"""An embedding with sparse gradients computes what Keras's embedding computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.networks import Embedding

IDS = np.array([[1, 4, 0], [2, 2, 5]])


def pair(**arguments):
    mine, theirs = Embedding(6, 4, **arguments), keras.layers.Embedding(6, 4, **arguments)
    for layer in (mine, theirs):
        layer.build()
    mine.set_weights(theirs.get_weights())
    return mine, theirs


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_values_dtype_and_mask(policy, dtype):
    mine, theirs = pair(mask_zero=True, dtype=policy)
    ids = tf.constant(IDS.astype(dtype))
    assert mine(ids).dtype == theirs(ids).dtype
    np.testing.assert_array_equal(tf.cast(mine(ids), "float64"), tf.cast(theirs(ids), "float64"))
    np.testing.assert_array_equal(mine.compute_mask(ids), IDS != 0)


def test_gradient_has_the_rows_of_the_batch():
    layer, _ = pair()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant(IDS)))
    gradient = tape.gradient(loss, layer.embeddings.value)
    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_array_equal(gradient.indices, IDS.ravel())


def test_lora_and_quantization_equal_keras():
    mine, theirs = pair()
    for layer in (mine, theirs):
        layer.enable_lora(2)
        layer.lora_embeddings_b.assign(np.arange(8).reshape(2, 4))
    theirs.set_weights(mine.get_weights())
    np.testing.assert_array_equal(mine(IDS), theirs(IDS))
    mine, theirs = pair()
    for layer in (mine, theirs):
        layer.quantize("int8")
    np.testing.assert_array_equal(mine(IDS), theirs(IDS))


def test_save_and_load(tmp_path):
    inputs = keras.Input((3,), dtype="int64")
    model = keras.Model(inputs, Embedding(6, 4, embeddings_initializer="normal")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[1], Embedding)
    np.testing.assert_array_equal(loaded(IDS), model(IDS))
