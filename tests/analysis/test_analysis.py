"""Gradient flow and attention maps, against float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import Hint, RocketModel, attention_maps, gradient_flow
from rocket_tf.networks import Embedding, group_outputs, wide_resnet_pair
from tests.linear_rockets import compiled, terms_of
from tests.nets import (
    CLASSES,
    CROSS_ENTROPY,
    FEATURES,
    examples,
    linear_pair,
    logits_of,
    weights_of,
)
from tests.reference import attention, finite_differences


class OrZero(layers.Layer):
    def call(self, absent=None):
        return 0.0 if absent is None else absent

    def compute_output_spec(self, absent=None):
        return keras.KerasTensor((None, 1))


@pytest.mark.parametrize("gradient_block", [True, False])
@pytest.mark.parametrize("sample_weight", [None, np.array([0.0, 2.0, 1.0, 0.5, 3.0])])
def test_norms_equal_finite_differences(gradient_block, sample_weight):
    rocket = compiled(hint_weight=0.3, gradient_block=gradient_block, loss_weights={"light": 2.0})
    x, y = examples(5)
    weights = weights_of(rocket)
    followed = logits_of(weights, x)[1] if gradient_block else None
    weighed = 1.0 if sample_weight is None else sample_weight
    factors = {"light_loss": 2.0, "booster_loss": 1.0, "hint_loss": 0.3}
    flow = gradient_flow(rocket, x, y, sample_weight)
    assert set(flow) == set(factors)
    for term, factor in factors.items():
        gradients = finite_differences(
            lambda moved, term=term: terms_of(
                moved, x, y, "logits_mse", weighed, followed=followed
            )[term],
            weights,
        )
        for part, layer in (
            ("shared", "shared"),
            ("light only", "light_only"),
            ("booster only", "booster_only"),
        ):
            expected = factor * np.linalg.norm(gradients[layer])
            assert flow[term][part] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    zero = flow["hint_loss"]["booster only"] == 0.0
    assert zero == gradient_block
    assert flow["light_loss"]["booster only"] == flow["booster_loss"]["light only"] == 0.0


def test_the_model_stays_as_it_was():
    inputs = keras.Input((FEATURES,))
    low = layers.BatchNormalization()(layers.Dropout(0.5, seed=1)(inputs))
    light = keras.Model(inputs, layers.Dense(CLASSES)(low), name="light")
    booster = keras.Model(inputs, layers.Dense(CLASSES)(low), name="booster")
    rocket = RocketModel(light, booster)
    rocket.compile("adam", CROSS_ENTROPY)
    x, y = examples(6)
    before = [variable.numpy() for variable in rocket.variables]
    first, second = gradient_flow(rocket, x, y), gradient_flow(rocket, x, y)
    assert first == second  # the same dropout, from the same state
    for variable, value in zip(rocket.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_teacher_alone():
    light, _ = linear_pair()
    _, teacher = linear_pair()
    rocket = RocketModel(light, teacher=teacher, hint=Hint("logits_mse", 1.0, follows="teacher"))
    rocket.compile("sgd", CROSS_ENTROPY)
    flow = gradient_flow(rocket, *examples(4))
    assert set(flow) == {"light_loss", "teacher_loss"}
    assert flow["teacher_loss"]["booster only"] is None
    assert flow["teacher_loss"]["light only"] > 0


def test_a_model_made_under_a_strategy(two_replicas):
    with two_replicas.scope():
        rocket = compiled(hint_weight=0.3)
    alone = compiled(hint_weight=0.3)
    alone.set_weights(rocket.get_weights())
    x, y = examples(5)
    expected = gradient_flow(alone, x, y)
    for term, parts in gradient_flow(rocket, x, y).items():
        assert parts == pytest.approx(expected[term], rel=1e-5)


@pytest.mark.parametrize("embedding", [layers.Embedding, Embedding])
def test_inputs_of_all_kinds(embedding):
    """Sparse and absent inputs give what the same numbers give as dense arrays.

    An id that comes twice counts once in the norm, with its gradients summed: the dense input's
    table is a kernel, which has no ids.
    """
    x, y = examples(5)
    ids = np.array([[1, 1], [0, 2], [1, 3], [2, 2], [1, 0]])
    counts = np.stack([np.sum(ids == place, axis=1) for place in range(4)], axis=1) / 2

    def rocket(low, inputs):
        nets = [
            keras.Model(inputs, layers.Dense(CLASSES, name=f"{role}_logits")(low), name=role)
            for role in ("light", "booster")
        ]
        model = RocketModel(*nets, hint_weight=0.3)
        model.compile("sgd", CROSS_ENTROPY)
        return model

    tags = keras.Input((2,), dtype="int32", name="tags")
    rare = keras.Input((FEATURES,), sparse=True, name="rare")
    absent = keras.Input((1,), optional=True, name="absent")
    table = layers.GlobalAveragePooling1D()(embedding(4, 3, name="table")(tags))
    low = table + layers.Dense(3, name="rare_kernel")(rare) + OrZero()(absent)
    mixed = rocket(low, {"tags": tags, "rare": rare, "absent": absent})
    fraction, dense = keras.Input((4,), name="fraction"), keras.Input((FEATURES,), name="dense")
    low = layers.Dense(3, use_bias=False, name="table")(fraction) + layers.Dense(3)(dense)
    plain = rocket(low, {"fraction": fraction, "dense": dense})
    plain.set_weights(mixed.get_weights())
    sparse = tf.sparse.from_dense(x.astype("float32"))
    flow = gradient_flow(mixed, {"tags": ids, "rare": sparse, "absent": None}, y)
    expected = gradient_flow(plain, {"fraction": counts, "dense": x.astype("float32")}, y)
    for term, parts in expected.items():
        assert flow[term] == pytest.approx(parts, rel=1e-5)


def test_models_that_are_not_compiled_rockets():
    light, booster = linear_pair()
    for model in (light, RocketModel(light, booster)):
        with pytest.raises(ValueError, match="RocketModel whose losses are set by compile"):
            gradient_flow(model, *examples(4))


def test_attention_maps_equal_numpy():
    light, _ = wide_resnet_pair(10, 16, input_shape=(8, 8, 3))
    names = group_outputs(light)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    maps = attention_maps(light, pixels, names)
    assert [each.shape for each in maps] == [(3, 8, 8), (3, 4, 4), (3, 2, 2)]
    for name, computed in zip(names, maps, strict=True):
        activations = keras.Model(light.input, light.get_layer(name).output)(pixels).numpy()
        expected = attention(activations.astype(np.float64)).reshape(computed.shape)
        np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="light has no layer 'group7'"):
        attention_maps(light, pixels, ["group7"])
