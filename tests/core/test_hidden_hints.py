"""Hints on hidden layers: values, gradients and whom they reach, saving, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import Hint, RocketModel
from rocket_tf.core.hint_losses import AttentionMSE, attention_map
from tests.convolutional_pairs import CHANNELS, LAYERS, SIZE, images, pair
from tests.nets import CROSS_ENTROPY
from tests.reference import attention, finite_differences
from tests.trainings import assert_trained_alike


def rocket_with(hint, learning_rate=1.0, eagerly=True, **arguments):
    """A compiled rocket; by default it runs eagerly, which is faster for a few steps."""
    rocket = RocketModel(*pair(), hint=hint, **arguments)
    # The label losses weigh 0, so a step follows only the hint's gradient.
    rocket.compile(
        keras.optimizers.SGD(learning_rate),
        CROSS_ENTROPY,
        loss_weights={"light": 0.0, "booster": 0.0},
        run_eagerly=eagerly,
    )
    return rocket


def kernels(rocket):
    return {
        name: rocket.get_layer(name).kernel.numpy().astype(np.float64)[0, 0]
        for name in ("low", "light_high", "booster_high")
    }


def attention_loss(weights, x, followed=None):
    """The hint loss in float64 NumPy; `followed` replaces the outputs of a blocked booster."""
    x = x.astype(np.float64)
    light = x @ weights["low"] @ weights["light_high"]
    booster = x @ weights["low"] @ weights["booster_high"] if followed is None else followed
    return np.mean((attention(light) - attention(booster)) ** 2)


class TestAttention:
    def test_map_and_loss_equal_numpy(self):
        random = np.random.default_rng(1)
        mine, theirs = random.normal(size=(2, 3, 4, 5, 6))
        np.testing.assert_allclose(attention_map(tf.constant(mine)), attention(mine), rtol=1e-6)
        expected = np.mean((attention(mine) - attention(theirs)) ** 2)
        np.testing.assert_allclose(AttentionMSE()(theirs, mine), expected, rtol=1e-5)

    def test_zero_activations_have_a_map_and_a_gradient_of_zeros(self):
        zeros = tf.zeros((2, 3, 3, 4))
        with tf.GradientTape() as tape:
            tape.watch(zeros)
            loss = AttentionMSE()(tf.ones((2, 3, 3, 1)), zeros)
        np.testing.assert_array_equal(attention_map(zeros), 0)
        np.testing.assert_array_equal(tape.gradient(loss, zeros), 0)

    def test_channels_may_differ_and_their_scale_does_not_matter(self):
        random = np.random.default_rng(2)
        mine, theirs = random.normal(size=(2, 3, 3, 4)), random.normal(size=(2, 3, 3, 7))
        scaled = AttentionMSE()(10 * theirs, 3 * mine)
        np.testing.assert_allclose(scaled, AttentionMSE()(theirs, mine), rtol=1e-5)

    def test_bfloat16_is_compared_in_float32(self):
        value = AttentionMSE()(tf.ones((1, 2, 2, 1), "bfloat16"), tf.ones((1, 2, 2, 1), "bfloat16"))
        assert value.dtype == tf.float32


class TestObjective:
    @pytest.mark.parametrize("gradient_block", [True, False])
    def test_gradients_equal_finite_differences(self, gradient_block):
        hint = Hint("attention", weight=10.0, layers=LAYERS)
        rocket = rocket_with(hint, gradient_block=gradient_block, eagerly=not gradient_block)
        x, y = images(5)
        weights = kernels(rocket)
        booster = x.astype(np.float64) @ weights["low"] @ weights["booster_high"]
        followed = booster if gradient_block else None
        expected = finite_differences(
            lambda moved: 10 * attention_loss(moved, x, followed), weights
        )
        logs = rocket.train_on_batch(x, y, return_dict=True)
        np.testing.assert_allclose(logs["hint_loss"], attention_loss(weights, x), rtol=1e-5)
        after = kernels(rocket)
        for name, gradient in expected.items():
            np.testing.assert_allclose(weights[name] - after[name], gradient, rtol=1e-3, atol=1e-6)
        blocked = (weights["booster_high"] == after["booster_high"]).all()
        assert blocked == gradient_block

    def test_a_hint_on_several_layers_is_the_sum(self):
        one = rocket_with(Hint("attention", layers=LAYERS), 0.0)
        two = rocket_with(Hint("attention", layers={**LAYERS, "low": "booster_high"}), 0.0)
        two.set_weights(one.get_weights())
        x, y = images(4)
        weights = kernels(one)
        pixels = x.astype(np.float64)
        low = attention(pixels @ weights["low"])
        booster = attention(pixels @ weights["low"] @ weights["booster_high"])
        expected = attention_loss(weights, x) + np.mean((low - booster) ** 2)
        logs = two.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["hint_loss"], expected, rtol=1e-5)

    def test_other_losses_read_hidden_layers_too(self):
        rocket = rocket_with(Hint("logits_mse", layers={"low": "low"}, weight=1.0), 0.0)
        assert rocket.evaluate(*images(4), return_dict=True, verbose=0)["hint_loss"] == 0

    @pytest.mark.parametrize("count", [4, 6])
    def test_sample_weight_applies_to_all_positions_of_an_example(self, count):
        # The images have as many columns as there are examples in one case, but not in the other.
        hint = Hint("logits_mse", layers={"low": "other_low"}, weight=1.0)
        (light, _), (_, booster) = pair(), pair(prefix="other_")
        rocket = RocketModel(light, booster, hint=hint)
        rocket.compile("sgd", CROSS_ENTROPY, run_eagerly=True)
        x, y = images(count)
        weight = np.linspace(0.0, 2.0, count)
        mine, theirs = (
            x.astype(np.float64) @ net.get_layer(name).kernel.numpy()[0, 0]
            for net, name in ((light, "low"), (booster, "other_low"))
        )
        values = np.sum((mine - theirs) ** 2, -1).mean((1, 2))
        logs = rocket.evaluate(
            x, y, sample_weight=weight, batch_size=count, return_dict=True, verbose=0
        )
        np.testing.assert_allclose(logs["hint_loss"], np.mean(weight * values), rtol=1e-5)

    def test_images_of_any_size(self):
        inputs = keras.Input((None, None, CHANNELS))

        def net(role):
            high = layers.Conv2D(3, 1, use_bias=False, name=f"{role}_high")(inputs)
            logits = layers.GlobalAveragePooling2D()(high)
            return keras.Model(inputs, layers.Dense(3, name=f"{role}_logits")(logits), name=role)

        rocket = RocketModel(net("light"), net("booster"), hint=Hint("attention", layers=LAYERS))
        rocket.compile("sgd", CROSS_ENTROPY)
        for size in (4, 6):
            x = np.random.default_rng(size).normal(size=(2, size, size, CHANNELS))
            mine, theirs = (
                attention(x @ rocket.get_layer(f"{role}_high").kernel.numpy()[0, 0])
                for role in ("light", "booster")
            )
            logs = rocket.evaluate(x, np.zeros(2), return_dict=True, verbose=0)
            np.testing.assert_allclose(logs["hint_loss"], np.mean((mine - theirs) ** 2), rtol=1e-4)

    def test_hidden_and_logit_hints_together(self):
        hints = [Hint("logits_mse"), Hint("attention", layers=LAYERS, name="attention_loss")]
        rocket = rocket_with(hints, 0.0)
        x, y = images(4)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        logits = rocket(x)
        mse = np.mean(np.sum((logits["light"] - logits["booster"]) ** 2, -1))
        np.testing.assert_allclose(logs["hint_loss"], mse, rtol=1e-5)
        np.testing.assert_allclose(
            logs["attention_loss"], attention_loss(kernels(rocket), x), rtol=1e-5
        )

    def test_nets_that_share_nothing_and_have_inputs_of_their_own(self):
        (light, _), (_, booster) = pair(), pair(prefix="other_")
        rocket = RocketModel(
            light, booster, hint=Hint("attention", layers={"light_high": "other_booster_high"})
        )
        rocket.compile("sgd", CROSS_ENTROPY, run_eagerly=True)
        x, y = images(4)
        pixels = x.astype(np.float64)
        mine, theirs = (
            attention(
                pixels
                @ net.get_layer(low).kernel.numpy()[0, 0]
                @ net.get_layer(high).kernel.numpy()[0, 0]
            )
            for net, low, high in (
                (light, "low", "light_high"),
                (booster, "other_low", "other_booster_high"),
            )
        )
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["hint_loss"], np.mean((mine - theirs) ** 2), rtol=1e-5)


class TestTeacher:
    def test_it_is_followed_and_never_changes(self):
        light, _ = pair()
        _, teacher = pair(prefix="teacher_")
        before = teacher.get_weights()
        layers_read = {"light_high": "teacher_booster_high"}
        rocket = RocketModel(
            light,
            hint=Hint("attention", 1.0, follows="teacher", layers=layers_read),
            teacher=teacher,
        )
        rocket.compile(
            keras.optimizers.SGD(1.0), CROSS_ENTROPY, loss_weights={"light": 0.0}, run_eagerly=True
        )
        x, y = images(8)
        losses = rocket.fit(x, y, epochs=15, verbose=0).history["teacher_loss"]
        assert losses[-1] < 0.9 * losses[0]
        for old, new in zip(before, teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_its_own_losses_are_not_part_of_the_objective(self):
        light, _ = pair()
        inputs = keras.Input((SIZE, SIZE, CHANNELS))
        flat = layers.ActivityRegularization(l2=1.0, name="regularized")(layers.Flatten()(inputs))
        teacher = keras.Model(inputs, layers.Dense(3)(flat), name="teacher")
        rocket = RocketModel(
            light, hint=Hint("logits_mse", 0.0, follows="teacher"), teacher=teacher
        )
        rocket.compile("sgd", CROSS_ENTROPY, run_eagerly=True)
        logs = rocket.evaluate(*images(4), return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["loss"], logs["light_loss"], rtol=1e-6)

    @pytest.mark.parametrize(
        "layers_read",
        [None, pytest.param({"light_high": "teacher_booster_high"}, marks=pytest.mark.slow)],
    )
    def test_a_replica_without_examples(self, two_replicas, layers_read):
        """With 5 examples in batches of 2, the second replica gets none of the last batch."""
        loss = "logits_mse" if layers_read is None else "attention"
        x, y = images(5)

        def build():
            light, _ = pair()
            _, teacher = pair(prefix="teacher_")
            hint = Hint(loss, 1.0, follows="teacher", layers=layers_read)
            model = RocketModel(light, teacher=teacher, hint=hint)
            model.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
            return model

        one = build()
        with two_replicas.scope():
            two = build()
        two.set_weights(one.get_weights())
        one, two = (
            model.fit(x, y, batch_size=2, shuffle=False, verbose=0).history for model in (one, two)
        )
        assert set(two) == set(one)
        for name, values in one.items():
            np.testing.assert_allclose(two[name], values, rtol=1e-5)

    def test_a_compiled_teacher_is_saved_without_its_optimizer(self, tmp_path, recwarn):
        light, _ = pair()
        _, teacher = pair(prefix="teacher_")
        teacher.compile("adam", CROSS_ENTROPY, run_eagerly=True)
        teacher.fit(*images(4), verbose=0)
        rocket = RocketModel(light, hint=Hint("kd", follows="teacher"), teacher=teacher)
        rocket.compile("sgd", CROSS_ENTROPY)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert not [str(each.message) for each in recwarn if "optimizer" in str(each.message)]
        assert not loaded.teacher.compiled
        for mine, theirs in zip(teacher.get_weights(), loaded.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


class TestWorkflows:
    def test_saved_and_loaded(self, tmp_path):
        rocket = rocket_with(Hint("attention", weight=2.0, layers=LAYERS), 0.1)
        x, y = images(6)
        rocket.fit(x, y, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.hints[0].layers == LAYERS
        for model in (rocket, loaded):
            model.fit(x, y, batch_size=6, verbose=0)
        assert rocket.evaluate(x, y, return_dict=True, verbose=0) == loaded.evaluate(
            x, y, return_dict=True, verbose=0
        )
        assert set(loaded(x)) == {"light", "booster"}

    @pytest.mark.slow
    def test_two_replicas_equal_one(self, two_replicas):
        x, y = images(7)
        one = rocket_with(Hint("attention", weight=5.0, layers=LAYERS), 0.1)
        with two_replicas.scope():
            two = rocket_with(Hint("attention", weight=5.0, layers=LAYERS), 0.1, eagerly=False)
        assert_trained_alike(one, two, x, y)


class TestErrors:
    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"loss": "attention"}, "reads hidden layers"),
            ({"loss": "attention", "layers": {}}, "dict from names"),
            ({"loss": "attention", "layers": ["a"]}, "dict from names"),
            ({"loss": "attention", "layers": {"a": 1}}, "dict from names"),
        ],
    )
    def test_layers_that_are_not_names(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            Hint(**arguments)

    @pytest.mark.parametrize(
        "loss, layers_read, message",
        [
            (
                "attention",
                {"light_hi": "booster_high"},
                "light has no layer 'light_hi'.*light_high",
            ),
            ("attention", {"light_high": "nothing"}, "booster has no layer 'nothing'"),
            ("attention", {"light_high": "light_high"}, "booster has no layer 'light_high'"),
            ("attention", {"light_logits": "booster_logits"}, "cannot compare"),
            ("logits_mse", LAYERS, r"shapes \(None, 4, 4, 2\) and \(None, 4, 4, 5\)"),
        ],
    )
    def test_layers_that_are_missing_or_do_not_fit(self, loss, layers_read, message):
        with pytest.raises(ValueError, match=message):
            RocketModel(*pair(), hint=Hint(loss, layers=layers_read))

    def test_a_layer_that_a_net_calls_twice(self):
        inputs = keras.Input((SIZE, SIZE, CHANNELS))
        twice = layers.Conv2D(CHANNELS, 1, name="twice")
        net = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(twice(twice(inputs)))))
        _, booster = pair()
        with pytest.raises(ValueError, match="'twice' of light, which is called 2 times"):
            RocketModel(net, booster, hint=Hint("attention", layers={"twice": "booster_high"}))
