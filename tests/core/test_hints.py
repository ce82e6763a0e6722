"""Hint losses: values and gradients against float64 NumPy, and the paper's equations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.core.hint_losses import KnowledgeDistillation, LogitsMSE, SoftmaxMSE
from rocket_tf.core.hints import Hint
from tests.reference import differences_of_sum, kd, logits_mse, softmax, softmax_mse

LIGHT = np.array([[0.3, -1.2, 2.0], [1.5, 0.1, -0.4]])
BOOSTER = np.array([[1.0, 0.5, -0.7], [0.2, 0.4, 3.0]])


def gradient(loss, followed, light):
    """The gradient at the light net's logits of the loss summed over examples."""
    light = tf.constant(light, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(light)
        value = loss(tf.constant(followed, tf.float32), light) * len(followed)
    return tape.gradient(value, light).numpy()


@pytest.mark.parametrize(
    "loss, expected",
    [
        (LogitsMSE(), logits_mse),
        (SoftmaxMSE(), softmax_mse),
        (KnowledgeDistillation(), kd),
        (KnowledgeDistillation(2.0), lambda followed, light: kd(followed, light, 2.0)),
    ],
)
class TestEveryLoss:
    def test_value_is_summed_over_classes_and_averaged_over_the_batch(self, loss, expected):
        np.testing.assert_allclose(loss(BOOSTER, LIGHT), expected(BOOSTER, LIGHT).mean(), rtol=1e-6)

    def test_sample_weights(self, loss, expected):
        weights = np.array([0.25, 3.0])
        np.testing.assert_allclose(
            loss(BOOSTER, LIGHT, weights), (weights * expected(BOOSTER, LIGHT)).mean(), rtol=1e-6
        )

    def test_gradient_equals_finite_differences(self, loss, expected):
        differences = differences_of_sum(lambda moved: expected(BOOSTER, moved), LIGHT)
        np.testing.assert_allclose(
            gradient(loss, BOOSTER, LIGHT), differences, rtol=1e-4, atol=1e-6
        )

    def test_bfloat16_logits_are_compared_in_float32(self, loss, expected):
        light, booster = tf.cast(LIGHT, tf.bfloat16), tf.cast(BOOSTER, tf.bfloat16)
        value = loss(booster, light)
        assert value.dtype == tf.float32
        rounded = [tf.cast(logits, tf.float64).numpy() for logits in (booster, light)]
        np.testing.assert_allclose(value, expected(*rounded).mean(), rtol=1e-6)

    def test_one_logit_is_a_class_beside_a_logit_of_zero(self, loss, expected):
        if isinstance(loss, LogitsMSE):
            pytest.skip("logits are compared as they are")
        light, booster = LIGHT[:, :1], BOOSTER[:, :1]
        two = [np.concatenate([np.zeros((2, 1)), logits], -1) for logits in (booster, light)]
        np.testing.assert_allclose(loss(booster, light), expected(*two).mean(), rtol=1e-6)

    def test_config_round_trip(self, loss, expected):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        np.testing.assert_array_equal(copy(BOOSTER, LIGHT), loss(BOOSTER, LIGHT))


def test_equation_2_softmax_mse_gradient():
    p, q = softmax(LIGHT), softmax(BOOSTER)
    expected = 2 * p * (p - q + (p * (q - p)).sum(-1, keepdims=True))
    np.testing.assert_allclose(gradient(SoftmaxMSE(), BOOSTER, LIGHT), expected, rtol=1e-5)


def test_equation_3_logits_mse_gradient():
    np.testing.assert_allclose(
        gradient(LogitsMSE(), BOOSTER, LIGHT), 2 * (LIGHT - BOOSTER), rtol=1e-6
    )


def test_equation_4_kd_gradient_at_high_temperature():
    centred = [logits - logits.mean(-1, keepdims=True) for logits in (BOOSTER, LIGHT)]
    temperature = 1000.0
    # The equation leaves out the loss's factor T².
    computed = gradient(KnowledgeDistillation(temperature), *centred) / temperature**2
    expected = (centred[1] - centred[0]) / (3 * temperature**2)
    np.testing.assert_allclose(computed, expected, rtol=5e-3)


def test_softmax_mse_gradient_vanishes_where_logits_mse_does_not():
    """The light net is confident in the wrong class: the right one has a probability near 0."""
    light, booster = np.array([[-20.0, 20.0, -20.0]]), np.array([[20.0, -20.0, -20.0]])
    assert np.abs(gradient(SoftmaxMSE(), booster, light)).max() < 1e-12
    assert np.abs(gradient(LogitsMSE(), booster, light)[0, 0]) == 80.0


def test_temperature_has_an_effect():
    assert KnowledgeDistillation(1.0)(BOOSTER, LIGHT) != KnowledgeDistillation(4.0)(BOOSTER, LIGHT)


class TestHint:
    def test_config_round_trip(self):
        hint = Hint("kd", 0.5, follows="teacher", name="taught", temperature=3.0)
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(hint))
        assert (copy.weight, copy.follows, copy.name) == (0.5, "teacher", "taught")
        assert copy.loss.temperature == 3.0

    def test_its_default_name_tells_which_net_it_follows(self):
        assert Hint().name == "hint_loss"
        assert Hint(follows="teacher").name == "teacher_loss"

    @pytest.mark.parametrize(
        "arguments, named",
        [
            ({"loss": "mse"}, "logits_mse"),
            ({"loss": 3}, "keras.losses.Loss"),
            ({"weight": -1}, "weight"),
            ({"weight": float("nan")}, "weight"),
            ({"follows": "nobody"}, "follows"),
            ({"loss": "logits_mse", "temperature": 2.0}, "temperature"),
            ({"loss": "kd", "temperature": 0.0}, "temperature"),
            ({"loss": keras.losses.MeanSquaredError(reduction="sum")}, "reduction"),
        ],
    )
    def test_bad_arguments(self, arguments, named):
        with pytest.raises(ValueError, match=named):
            Hint(**arguments)
