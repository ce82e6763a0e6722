"""RocketModel: objective, gradients, logs, other methods, mixed precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import Hint, RocketModel
from tests.linear_rockets import HINTS, compiled, terms_of
from tests.nets import (
    CLASSES,
    CROSS_ENTROPY,
    FEATURES,
    examples,
    linear_pair,
    logits_of,
    weights_of,
)
from tests.reference import finite_differences, kd


def objective(weights, x, y, hint, hint_weight, **kwargs):
    terms = terms_of(weights, x, y, hint, **kwargs)
    return terms["light_loss"] + terms["booster_loss"] + hint_weight * terms["hint_loss"]


def step_of(rocket, x, y, **kwargs):
    """What one step subtracts from each matrix; at learning rate 1, this is the gradient."""
    before = weights_of(rocket)
    rocket.train_on_batch(x, y, **kwargs)
    return {name: before[name] - after for name, after in weights_of(rocket).items()}


class TestObjective:
    @pytest.mark.parametrize("hint", HINTS)
    @pytest.mark.parametrize("gradient_block", [True, False])
    def test_gradients_equal_finite_differences(self, hint, gradient_block):
        rocket = compiled(
            hint=hint,
            hint_weight=0.3,
            gradient_block=gradient_block,
            eagerly=hint != "logits_mse",
        )
        x, y = examples(7)
        weights = weights_of(rocket)
        followed = logits_of(weights, x)[1] if gradient_block else None
        expected = finite_differences(
            lambda moved: objective(moved, x, y, hint, 0.3, followed=followed), weights
        )
        computed = step_of(rocket, x, y)
        for name, gradient in expected.items():
            np.testing.assert_allclose(computed[name], gradient, rtol=1e-3, atol=2e-6)

    @pytest.mark.parametrize("hint", HINTS)
    def test_logs_are_means_over_all_examples_with_an_uneven_last_batch(self, hint):
        eagerly = hint != "logits_mse"
        rocket = compiled(learning_rate=0.0, hint=hint, hint_weight=0.3, eagerly=eagerly)
        x, y = examples(11)
        terms = terms_of(weights_of(rocket), x, y, hint)
        terms["loss"] = objective(weights_of(rocket), x, y, hint, 0.3)
        light, booster = logits_of(weights_of(rocket), x)
        terms["light_accuracy"] = np.mean(light.argmax(-1) == y)
        terms["booster_accuracy"] = np.mean(booster.argmax(-1) == y)
        history = rocket.fit(x, y, batch_size=4, validation_data=(x, y), verbose=0).history
        evaluated = rocket.evaluate(x, y, batch_size=4, return_dict=True, verbose=0)
        assert set(evaluated) == set(terms)
        assert set(history) == set(terms) | {f"val_{name}" for name in terms}
        for name, value in terms.items():
            np.testing.assert_allclose(evaluated[name], value, rtol=1e-5)
            np.testing.assert_allclose(history[name], value, rtol=1e-5)
            np.testing.assert_allclose(history[f"val_{name}"], value, rtol=1e-5)

    def test_sample_weight_applies_to_label_losses_and_hints(self):
        rocket = compiled(learning_rate=0.0, hint_weight=0.3)
        x, y = examples(6)
        sample_weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.1])
        terms = terms_of(weights_of(rocket), x, y, "logits_mse", sample_weight)
        evaluated = rocket.evaluate(
            x, y, sample_weight=sample_weight, batch_size=4, return_dict=True, verbose=0
        )
        for name, value in terms.items():
            np.testing.assert_allclose(evaluated[name], value, rtol=1e-5)

    def test_class_weight_equals_sample_weight_by_class(self):
        x, y = examples(8)
        class_weight = {0: 1.0, 1: 0.0, 2: 5.0}
        weights = np.array([class_weight[label] for label in y])
        keras.utils.set_random_seed(1)
        by_class = compiled()
        by_class.fit(x, y, class_weight=class_weight, batch_size=8, shuffle=False, verbose=0)
        keras.utils.set_random_seed(1)
        by_sample = compiled()
        by_sample.fit(x, y, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
        keras.utils.set_random_seed(1)
        without = compiled()
        without.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        for name, matrix in weights_of(by_class).items():
            np.testing.assert_array_equal(matrix, weights_of(by_sample)[name])
            assert np.abs(matrix - weights_of(without)[name]).max() > 1e-3

    def test_loss_weights_apply_to_the_label_losses(self):
        rocket = compiled(0.0, loss_weights={"light": 2.0, "booster": 0.5}, hint_weight=0.3)
        x, y = examples(6)
        terms = terms_of(weights_of(rocket), x, y, "logits_mse")
        expected = (
            2.0 * terms["light_loss"] + 0.5 * terms["booster_loss"] + 0.3 * terms["hint_loss"]
        )
        evaluated = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(evaluated["loss"], expected, rtol=1e-5)
        np.testing.assert_allclose(evaluated["light_loss"], terms["light_loss"], rtol=1e-5)

    def test_regularization_of_the_nets_is_part_of_the_loss(self):
        inputs = keras.Input((FEATURES,))
        light = keras.Model(inputs, layers.Dense(CLASSES, kernel_regularizer="l2")(inputs))
        booster = keras.Model(inputs, layers.Dense(CLASSES)(inputs))
        rocket = RocketModel(light, booster, hint_weight=0.0)
        rocket.compile(loss=CROSS_ENTROPY, run_eagerly=True)
        logs = rocket.evaluate(*examples(5), return_dict=True, verbose=0)
        penalty = 0.01 * np.sum(np.square(light.layers[-1].kernel.numpy()))
        np.testing.assert_allclose(
            logs["loss"], logs["light_loss"] + logs["booster_loss"] + penalty, rtol=1e-5
        )

    def test_the_weight_of_the_hint_has_an_effect_and_no_hint_has_no_term(self):
        x, y = examples(6)
        losses = {
            weight: compiled(0.0, hint_weight=weight).evaluate(x, y, return_dict=True, verbose=0)
            for weight in (0.0, 1.0)
        }
        assert losses[1.0]["loss"] > losses[0.0]["loss"] + 0.1
        without = compiled(0.0, hint=None).evaluate(x, y, return_dict=True, verbose=0)
        assert "hint_loss" not in without


class TestGradientBlock:
    """Only the hint has a weight; both label losses weigh 0."""

    ALONE = {"light": 0.0, "booster": 0.0}

    @pytest.mark.parametrize("hint", HINTS)
    def test_the_hint_never_reaches_the_booster(self, hint):
        step = step_of(compiled(hint=hint, loss_weights=self.ALONE), *examples(6))
        assert np.all(step["booster_only"] == 0.0)
        assert np.abs(step["light_only"]).max() > 0

    @pytest.mark.parametrize("hint", HINTS)
    def test_without_it_the_hint_reaches_the_booster(self, hint):
        rocket = compiled(hint=hint, gradient_block=False, loss_weights=self.ALONE)
        assert np.abs(step_of(rocket, *examples(6))["booster_only"]).max() > 0

    def test_shared_layers_get_the_hint_through_the_light_net_alone(self):
        rocket = compiled(hint_weight=1.0, loss_weights=self.ALONE)
        x, y = examples(6)
        weights = weights_of(rocket)
        light, booster = logits_of(weights, x)
        # d mean‖xSL − z‖² / dS with z constant: xᵀ · 2 (l − z) Lᵀ / batch
        expected = x.T.astype(np.float64) @ (2 * (light - booster)) @ weights["light_only"].T / 6
        np.testing.assert_allclose(step_of(rocket, x, y)["shared"], expected, rtol=1e-4, atol=1e-6)

    def test_without_it_shared_layers_get_the_hint_through_both_nets(self):
        rocket = compiled(hint_weight=1.0, gradient_block=False, loss_weights=self.ALONE)
        x, y = examples(6)
        weights = weights_of(rocket)
        light, booster = logits_of(weights, x)
        paths = weights["light_only"].T - weights["booster_only"].T
        expected = x.T.astype(np.float64) @ (2 * (light - booster)) @ paths / 6
        np.testing.assert_allclose(step_of(rocket, x, y)["shared"], expected, rtol=1e-4, atol=1e-6)


class TestOtherMethods:
    """Other methods are settings of the same objective."""

    @staticmethod
    def teacher():
        inputs = keras.Input((FEATURES,), name="features")
        x = layers.Dropout(0.5)(layers.BatchNormalization()(inputs))
        return keras.Model(inputs, layers.Dense(CLASSES)(x), name="teacher")

    def test_a_teacher_next_to_the_booster(self):
        teacher = self.teacher()
        before = [variable.numpy() for variable in teacher.variables]
        rocket = RocketModel(
            *linear_pair(),
            hint=[Hint("logits_mse", 0.3), Hint("kd", 0.7, follows="teacher")],
            teacher=teacher,
        )
        rocket.compile(optimizer=keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
        x, y = examples(6)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        terms = terms_of(weights_of(rocket), x, y, "logits_mse")
        light, _ = logits_of(weights_of(rocket), x)
        terms["teacher_loss"] = kd(teacher.predict(x, verbose=0), light).mean()
        for name, value in terms.items():
            np.testing.assert_allclose(logs[name], value, rtol=1e-5)
        total = terms["light_loss"] + terms["booster_loss"] + 0.3 * terms["hint_loss"]
        np.testing.assert_allclose(logs["loss"], total + 0.7 * terms["teacher_loss"], rtol=1e-5)
        rocket.compile(optimizer=keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY)
        rocket.fit(x, y, epochs=2, verbose=0)
        for old, variable in zip(before, teacher.variables, strict=True):
            np.testing.assert_array_equal(old, variable.numpy())

    def test_distillation_without_a_booster(self):
        light, _ = linear_pair()
        rocket = RocketModel(light, hint=Hint("kd", 0.9, follows="teacher"), teacher=self.teacher())
        rocket.compile(
            optimizer=keras.optimizers.SGD(0.1),
            loss=CROSS_ENTROPY,
            loss_weights={"light": 0.1},
            metrics=["accuracy"],
            run_eagerly=True,
        )
        x, y = examples(6)
        history = rocket.fit(x, y, epochs=3, verbose=0).history
        assert set(history) == {"loss", "light_loss", "teacher_loss", "light_accuracy"}
        np.testing.assert_allclose(
            history["loss"],
            0.1 * np.array(history["light_loss"]) + 0.9 * np.array(history["teacher_loss"]),
            rtol=1e-5,
        )

    def test_a_teacher_never_learns_even_when_it_is_thawed(self):
        rocket = RocketModel(
            *linear_pair(),
            hint=Hint(follows="teacher"),
            teacher=self.teacher(),
            gradient_block=False,
        )
        rocket.trainable = True
        rocket.compile(optimizer=keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, run_eagerly=True)
        before = rocket.teacher.get_weights()
        rocket.fit(*examples(6), verbose=0)
        for old, new in zip(before, rocket.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_a_teacher_is_saved_with_the_model(self, tmp_path):
        rocket = RocketModel(*linear_pair(), hint=Hint(follows="teacher"), teacher=self.teacher())
        rocket.compile(loss=CROSS_ENTROPY, run_eagerly=True)
        x, y = examples(6)
        rocket.fit(x, y, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        mine, theirs = (model.evaluate(x, y, verbose=0) for model in (loaded, rocket))
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
        assert not loaded.teacher.trainable

    def test_a_frozen_booster_does_not_change(self):
        inputs = keras.Input((FEATURES,), name="features")
        light = keras.Model(inputs, layers.Dense(CLASSES)(inputs), name="light")
        booster = keras.Model(inputs, layers.Dense(CLASSES)(inputs), name="booster")
        booster.trainable = False
        rocket = RocketModel(light, booster)
        rocket.compile(
            optimizer=keras.optimizers.SGD(0.1),
            loss={"light": CROSS_ENTROPY, "booster": None},
            run_eagerly=True,
        )
        before = booster.get_weights()
        history = rocket.fit(*examples(6), verbose=0).history
        assert set(history) == {"loss", "light_loss", "hint_loss"}
        np.testing.assert_array_equal(before[0], booster.get_weights()[0])


class TestMixedPrecision:
    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_losses_are_float32_and_the_loss_falls(self, policy):
        keras.config.set_dtype_policy(policy)
        rocket = compiled(learning_rate=0.1, eagerly=False)
        assert rocket.light.output.dtype == policy.removeprefix("mixed_")
        x, y = examples(64)
        logits = rocket(x)
        for _, value in rocket.objective_terms(x, y, logits).values():
            assert value.dtype == tf.float32
        losses = rocket.fit(x, y, epochs=8, verbose=0).history["loss"]
        assert losses[-1] < losses[0]

    def test_float16_scales_the_loss_and_unscales_the_gradient(self):
        keras.config.set_dtype_policy("mixed_float16")
        rocket = compiled(hint_weight=0.3)
        assert isinstance(rocket.optimizer, keras.optimizers.LossScaleOptimizer)
        x, y = examples(7)
        weights = weights_of(rocket)
        followed = logits_of(weights, x)[1]
        expected = finite_differences(
            lambda moved: objective(moved, x, y, "logits_mse", 0.3, followed=followed), weights
        )
        for name, gradient in step_of(rocket, x, y).items():
            np.testing.assert_allclose(gradient, expected[name], rtol=0.02, atol=0.005)
