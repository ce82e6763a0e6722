"""Sigmoid, cosine and Euclidean hint losses against float64 NumPy, edge cases, schedules."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.optimizers import schedules

from rocket_tf import Hint, RocketModel
from rocket_tf.core.hint_losses import (
    AttentionMSE,
    CosineDistance,
    EuclideanDistance,
    KnowledgeDistillation,
    SigmoidKnowledgeDistillation,
    SigmoidMSE,
    SoftmaxMSE,
)
from tests.nets import CROSS_ENTROPY, examples, linear_pair
from tests.reference import cosine, differences_of_sum, euclidean, sigmoid, sigmoid_kd, sigmoid_mse

LIGHT = np.array([[0.3, -1.2, 2.0], [1.5, 0.1, -0.4], [-3.0, 7.0, 0.0]])
BOOSTER = np.array([[1.0, 0.5, -0.7], [0.2, 0.4, 3.0], [2.0, -6.0, 0.5]])


LOSSES = [
    (SigmoidMSE(), sigmoid_mse),
    (SigmoidKnowledgeDistillation(), sigmoid_kd),
    (SigmoidKnowledgeDistillation(1.5), lambda z, logits: sigmoid_kd(z, logits, 1.5)),
    (CosineDistance(), cosine),
    (EuclideanDistance(), euclidean),
]


def gradients(loss, followed, light, jit_compile=False):
    """The gradients at both nets' logits of the loss summed over examples."""

    @tf.function(jit_compile=jit_compile)
    def compute(followed, light):
        with tf.GradientTape() as tape:
            tape.watch((followed, light))
            value = loss(followed, light) * len(followed)
        return tape.gradient(value, (followed, light))

    return [
        gradient.numpy()
        for gradient in compute(tf.constant(followed, tf.float32), tf.constant(light, tf.float32))
    ]


@pytest.mark.parametrize("loss, expected", LOSSES)
class TestEveryLoss:
    def test_value_is_the_mean_over_the_batch(self, loss, expected):
        np.testing.assert_allclose(loss(BOOSTER, LIGHT), expected(BOOSTER, LIGHT).mean(), rtol=1e-6)

    def test_sample_weights(self, loss, expected):
        weights = np.array([0.25, 3.0, 0.0])
        np.testing.assert_allclose(
            loss(BOOSTER, LIGHT, weights), (weights * expected(BOOSTER, LIGHT)).mean(), rtol=1e-6
        )

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_gradients_equal_finite_differences(self, loss, expected, jit_compile):
        followed, light = gradients(loss, BOOSTER, LIGHT, jit_compile)
        tolerance = {"rtol": 1e-4, "atol": 1e-6}
        np.testing.assert_allclose(
            light, differences_of_sum(lambda moved: expected(BOOSTER, moved), LIGHT), **tolerance
        )
        np.testing.assert_allclose(
            followed, differences_of_sum(lambda moved: expected(moved, LIGHT), BOOSTER), **tolerance
        )

    def test_bfloat16_is_compared_in_float32(self, loss, expected):
        light, booster = tf.cast(LIGHT, tf.bfloat16), tf.cast(BOOSTER, tf.bfloat16)
        value = loss(booster, light)
        assert value.dtype == tf.float32
        rounded = [tf.cast(logits, tf.float64).numpy() for logits in (booster, light)]
        np.testing.assert_allclose(value, expected(*rounded).mean(), rtol=1e-6)

    def test_positions_between_batch_and_last_axis_each_have_a_value(self, loss, expected):
        random = np.random.default_rng(0)
        mine, theirs = random.normal(size=(2, 3, 4, 5))
        values = loss.call(tf.constant(theirs), tf.constant(mine))
        assert values.shape == (3, 4)
        np.testing.assert_allclose(values, expected(theirs, mine), rtol=1e-6)

    def test_config_round_trip(self, loss, expected):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        assert type(copy) is type(loss)
        np.testing.assert_array_equal(copy(BOOSTER, LIGHT), loss(BOOSTER, LIGHT))

    def test_a_hint_takes_it_by_its_name(self, loss, expected):
        assert type(Hint(loss.name).loss) is type(loss)


class TestSigmoids:
    def test_large_logits_give_finite_values_and_gradients(self):
        light, booster = np.array([[200.0, -200.0, 0.0]]), np.array([[-200.0, 200.0, 200.0]])
        # At T = 1, -log p of the wrong class is the size of its logit; of logit 0, it is log 2.
        value = SigmoidKnowledgeDistillation(1.0)(booster, light)
        np.testing.assert_allclose(value, 200 + 200 + np.log(2), rtol=1e-6)
        _, gradient = gradients(SigmoidKnowledgeDistillation(1.0), booster, light)
        np.testing.assert_allclose(gradient, [[1.0, -1.0, -0.5]], atol=1e-6)
        _, gradient = gradients(SigmoidMSE(), booster, light)
        np.testing.assert_allclose(gradient, [[0.0, 0.0, -0.25]], atol=1e-6)

    def test_the_gradient_of_kd_is_the_difference_of_the_sigmoids_times_the_temperature(self):
        _, gradient = gradients(SigmoidKnowledgeDistillation(3.0), BOOSTER, LIGHT)
        np.testing.assert_allclose(
            gradient, 3 * (sigmoid(LIGHT / 3) - sigmoid(BOOSTER / 3)), rtol=1e-4, atol=1e-6
        )

    def test_kd_is_smallest_for_equal_logits(self):
        loss = SigmoidKnowledgeDistillation(2.0)
        _, gradient = gradients(loss, BOOSTER, BOOSTER)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
        assert loss(BOOSTER, BOOSTER) < loss(BOOSTER, BOOSTER + 0.1)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_kd_of_a_single_logit_equals_the_softmax_form(self, temperature):
        mine, theirs = LIGHT[:, :1], BOOSTER[:, :1]
        sigmoid_form = SigmoidKnowledgeDistillation(temperature)
        softmax_form = KnowledgeDistillation(temperature)
        np.testing.assert_allclose(
            sigmoid_form(theirs, mine), softmax_form(theirs, mine), rtol=1e-6
        )
        for one, other in zip(
            gradients(sigmoid_form, theirs, mine),
            gradients(softmax_form, theirs, mine),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)

    def test_mse_of_a_single_logit_is_half_the_softmax_form(self):
        mine, theirs = LIGHT[:, :1], BOOSTER[:, :1]
        np.testing.assert_allclose(
            2 * SigmoidMSE()(theirs, mine), SoftmaxMSE()(theirs, mine), rtol=1e-6
        )

    def test_several_logits_are_not_classes(self):
        assert SigmoidKnowledgeDistillation()(BOOSTER, LIGHT) != KnowledgeDistillation()(
            BOOSTER, LIGHT
        )

    def test_the_temperature_has_an_effect_and_must_be_positive(self):
        hot, cold = (Hint("sigmoid_kd", temperature=T).loss for T in (8.0, 1.0))
        assert hot(BOOSTER, LIGHT) != cold(BOOSTER, LIGHT)
        with pytest.raises(ValueError, match=r"temperature must be above 0.*temperature=0"):
            Hint("sigmoid_kd", temperature=0)
        with pytest.raises(ValueError, match="temperature belongs to"):
            Hint("sigmoid_mse", temperature=2.0)


# By default, Keras compiles a training step with XLA.
@pytest.mark.parametrize("jit_compile", [False, True])
class TestZeroAndEqualVectors:
    ONES = np.ones((2, 3))

    @pytest.mark.parametrize("length", [0.0, 1e-25, 1e-12])
    def test_cosine_distance_of_a_zero_vector_is_1_with_a_gradient_of_0(self, jit_compile, length):
        short = np.full((2, 3), length)
        assert CosineDistance()(self.ONES, short) == CosineDistance()(short, self.ONES) == 1
        for pair in ((self.ONES, short), (short, self.ONES), (short, short)):
            for gradient in gradients(CosineDistance(), *pair, jit_compile):
                np.testing.assert_array_equal(gradient, 0)

    def test_a_zero_vector_does_not_change_the_gradients_of_other_examples(self, jit_compile):
        light = LIGHT.copy()
        light[1] = 0
        _, with_zeros = gradients(CosineDistance(), BOOSTER, light, jit_compile)
        _, without = gradients(CosineDistance(), BOOSTER, LIGHT, jit_compile)
        np.testing.assert_allclose(with_zeros[[0, 2]], without[[0, 2]], rtol=1e-6)
        np.testing.assert_array_equal(with_zeros[1], 0)

    def test_cosine_distance_is_0_if_parallel_1_if_orthogonal_2_if_opposite(self, jit_compile):
        vector = np.array([[3.0, 4.0, 0.0]])
        for other, value in ((2 * vector, 0), (-vector, 2), ([[0.0, 0.0, 5.0]], 1)):
            np.testing.assert_allclose(CosineDistance()(vector, np.array(other)), value, atol=1e-6)
        _, gradient = gradients(CosineDistance(), vector, 2 * vector, jit_compile)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)

    def test_euclidean_distance_of_equal_vectors_is_0_with_a_gradient_of_0(self, jit_compile):
        for vectors in (LIGHT, np.zeros((2, 3))):
            assert EuclideanDistance()(vectors, vectors) == 0
            for gradient in gradients(EuclideanDistance(), vectors, vectors, jit_compile):
                np.testing.assert_array_equal(gradient, 0)

    def test_euclidean_gradient_has_length_1_at_any_distance(self, jit_compile):
        for distance in (1e-6, 1.0, 1e6):
            light = np.array([[0.0, distance, 0.0]])
            _, gradient = gradients(EuclideanDistance(), np.zeros((1, 3)), light, jit_compile)
            np.testing.assert_allclose(gradient, [[0.0, 1.0, 0.0]], rtol=1e-6)

    @pytest.mark.parametrize("length", [0.0, 1e-25, 1e-12])
    def test_attention_of_a_layer_without_activity_has_a_gradient_of_0(self, jit_compile, length):
        inactive, active = np.full((2, 3, 3, 4), length), np.ones((2, 3, 3, 1))
        for pair in ((active, inactive), (inactive, active)):
            for gradient in gradients(AttentionMSE(), *pair, jit_compile):
                np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_a_step_on_dead_units_gives_no_nan():
    """All units of a light layer are dead, so its vectors have no direction."""
    inputs = keras.Input((5,))
    dead = keras.layers.Dense(
        4, "relu", kernel_initializer="zeros", bias_initializer="zeros", name="light_hidden"
    )(inputs)
    alive = keras.layers.Dense(4, name="booster_hidden")(inputs)
    light = keras.Model(inputs, keras.layers.Dense(3, name="light_logits")(dead))
    booster = keras.Model(inputs, keras.layers.Dense(3, name="booster_logits")(alive))
    rocket = RocketModel(
        light, booster, hint=Hint("cosine", 1.0, layers={"light_hidden": "booster_hidden"})
    )
    rocket.compile("sgd", CROSS_ENTROPY, jit_compile=True)
    logs = rocket.train_on_batch(*examples(6), return_dict=True)
    assert logs["hint_loss"] == 1
    assert all(np.isfinite(weights).all() for weights in rocket.get_weights())


class TestSchedule:
    SCHEDULE = schedules.PiecewiseConstantDecay([1, 3], [0.5, 0.25, 0.0])
    # At its boundary, the schedule still has the previous value.
    WEIGHTS = (0.5, 0.5, 0.25, 0.25, 0.0, 0.0)

    def rocket(self, schedule, **arguments):
        rocket = RocketModel(*linear_pair(), hint=Hint("logits_mse", schedule))
        rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY, **arguments)
        return rocket

    def weights(self, rocket, steps):
        """The hint's weight in each step, computed from the logged loss and its terms."""
        data = examples(6)
        weights = []
        for _ in range(steps):
            logs = rocket.train_on_batch(*data, return_dict=True)
            rocket.reset_metrics()
            labels = logs["light_loss"] + logs["booster_loss"]
            weights.append((logs["loss"] - labels) / logs["hint_loss"])
        return weights

    def test_the_weight_is_the_schedules_at_each_step(self):
        np.testing.assert_allclose(
            self.weights(self.rocket(self.SCHEDULE), 6), self.WEIGHTS, atol=1e-5
        )

    def test_hint_weight_takes_a_schedule_too(self):
        rocket = RocketModel(*linear_pair(), hint_weight=self.SCHEDULE)
        assert rocket.hints[0].weight is self.SCHEDULE

    def test_a_loaded_model_continues_at_its_step(self, tmp_path):
        rocket = self.rocket(self.SCHEDULE, run_eagerly=True)
        self.weights(rocket, 3)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.hints[0].weight.get_config() == self.SCHEDULE.get_config()
        np.testing.assert_allclose(self.weights(loaded, 3), self.WEIGHTS[3:], atol=1e-5)

    def test_it_reaches_the_gradient(self):
        x, y = examples(6)
        steps = []
        for weight in (schedules.PolynomialDecay(0.5, 10, 0.1), 0.5):
            keras.utils.set_random_seed(0)
            rocket = self.rocket(weight, run_eagerly=True)
            rocket.optimizer.learning_rate = 0.1
            rocket.train_on_batch(x, y)
            steps.append(rocket.get_weights())
        for scheduled, constant in zip(*steps, strict=True):
            np.testing.assert_allclose(scheduled, constant, rtol=1e-6)

    def test_accumulated_gradients_count_as_one_step(self):
        rocket = self.rocket(self.SCHEDULE)
        rocket.compile(keras.optimizers.SGD(0.0, gradient_accumulation_steps=2), CROSS_ENTROPY)
        np.testing.assert_allclose(
            self.weights(rocket, 8), np.repeat(self.WEIGHTS[:4], 2), atol=1e-5
        )

    def test_under_loss_scaling_skipped_steps_do_not_count(self):
        keras.config.set_dtype_policy("mixed_float16")
        rocket = self.rocket(self.SCHEDULE)
        weights = self.weights(rocket, 8)
        taken = int(rocket.optimizer.iterations)
        assert 4 <= taken <= 8  # the first ones may overflow
        np.testing.assert_allclose(weights[8 - taken :], ([*self.WEIGHTS, 0, 0])[:taken], atol=1e-3)

    def test_two_replicas(self, two_replicas):
        with two_replicas.scope():
            rocket = self.rocket(self.SCHEDULE)
        np.testing.assert_allclose(self.weights(rocket, 5), self.WEIGHTS[:5], atol=1e-5)

    def test_evaluation_uses_the_weight_of_the_next_step_and_needs_no_optimizer(self):
        x, y = examples(6)
        for optimizer, weight in ((keras.optimizers.SGD(0.0), 0.25), (None, 0.5)):
            rocket = self.rocket(self.SCHEDULE, run_eagerly=True)
            self.weights(rocket, 2)
            rocket.compile(rocket.optimizer if optimizer else None, CROSS_ENTROPY, run_eagerly=True)
            logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
            labels = logs["light_loss"] + logs["booster_loss"]
            np.testing.assert_allclose(logs["loss"], labels + weight * logs["hint_loss"], rtol=1e-5)

    @pytest.mark.parametrize("weight", ["0.1", None, -0.1, float("nan"), lambda step: 0.1])
    def test_other_weights_are_refused(self, weight):
        with pytest.raises(ValueError, match="at least 0, or a LearningRateSchedule"):
            Hint("logits_mse", weight)
