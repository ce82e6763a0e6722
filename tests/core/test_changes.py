"""Changes after compile() take effect or are refused; no stale step runs."""

import copy
import functools
import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import rocket_tf
from rocket_tf import Hint, RocketModel
from tests.linear_rockets import terms_of
from tests.nets import (
    CLASSES,
    CROSS_ENTROPY,
    FEATURES,
    KERAS_3_12,
    examples,
    linear_pair,
    weights_of,
)

STILL = {"shuffle": False, "verbose": 0}
# Keras 3.12 fails while it formats this message.
UNKNOWN_VARIABLE = (
    pytest.raises(NotImplementedError)
    if KERAS_3_12
    else pytest.raises(ValueError, match=r"Unknown variable.*recreate a new optimizer")
)


class Set(keras.callbacks.Callback):
    """Calls a function with the model and the epoch at the start of each epoch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch, logs=None):
        self.function(self.model, epoch)


def rocket_of(hint, optimizer=None, **arguments):
    rocket = RocketModel(*linear_pair(), hint=hint)
    rocket.compile(optimizer or keras.optimizers.SGD(0.0), CROSS_ENTROPY, **arguments)
    return rocket


def dense_pair():
    inputs = keras.Input((FEATURES,), name="features")
    low = layers.Dense(8, "relu", name="low")(inputs)
    light = keras.Model(inputs, layers.Dense(CLASSES, name="light_logits")(low), name="light")
    high = layers.Dense(16, "relu", name="high")(low)
    booster = keras.Model(
        inputs, layers.Dense(CLASSES, name="booster_logits")(high), name="booster"
    )
    return light, booster


def trained(eagerly=False, **arguments):
    rocket = RocketModel(*dense_pair(), **arguments)
    rocket.compile(
        keras.optimizers.Adam(0.05), CROSS_ENTROPY, metrics=["accuracy"], run_eagerly=eagerly
    )
    rocket.fit(*examples(32), epochs=2, verbose=0)
    return rocket


def hint_in(loss, history, epoch=-1):
    """What the hint adds to the loss, computed from the logs of an epoch."""
    return loss[epoch] - history["light_loss"][epoch] - history["booster_loss"][epoch]


def hint_of(rocket, x, y, loss="logits_mse"):
    return terms_of(weights_of(rocket), x, y, loss)["hint_loss"]


class TestWeights:
    """Steps that are already traced use the hint weight that was set last."""

    WEIGHTS = (1.0, 0.0, 0.25)

    def anneal(self, rocket, epochs=3, **arguments):
        def set_weight(model, epoch):
            model.hints[0].weight = self.WEIGHTS[epoch]

        x, y = examples(12)
        history = rocket.fit(
            x, y, epochs=epochs, callbacks=[Set(set_weight)], **STILL, **arguments
        ).history
        for epoch, weight in enumerate(self.WEIGHTS[:epochs]):
            np.testing.assert_allclose(
                hint_in(history["loss"], history, epoch), weight * hint_of(rocket, x, y), atol=1e-5
            )
        return history

    @pytest.mark.parametrize("steps", [1, 3])
    @pytest.mark.parametrize("eagerly", [False, True])
    def test_a_callback_sets_it(self, steps, eagerly):
        arguments = {"steps_per_execution": steps, "run_eagerly": eagerly}
        rocket = rocket_of(Hint("logits_mse", 0.5), **arguments)
        self.anneal(rocket, batch_size=2)

    def test_validation_uses_it(self):
        rocket = rocket_of(Hint("logits_mse", 0.5))
        x, y = examples(12)
        history = self.anneal(rocket, validation_data=(x, y))
        np.testing.assert_allclose(history["val_loss"], history["loss"], rtol=1e-5)

    @pytest.mark.slow
    def test_two_replicas(self, two_replicas):
        with two_replicas.scope():
            rocket = rocket_of(Hint("logits_mse", 0.5))
        self.anneal(rocket, batch_size=4)

    def test_no_step_is_traced_for_it(self):
        rocket = rocket_of(Hint("logits_mse", 0.5))
        traced = []
        step = rocket.train_step
        rocket.train_step = lambda data: traced.append(1) or step(data)
        self.anneal(rocket)
        assert len(traced) == 1

    def test_the_gradient_follows_it(self):
        steps = []
        for weight, changed in ((0.5, None), (0.1, 0.5)):
            hint = functools.partial(Hint, "logits_mse", weight)
            keras.utils.set_random_seed(3)
            rocket = rocket_of(hint(), keras.optimizers.SGD(1.0), run_eagerly=True)
            rocket.train_on_batch(*examples(6))
            if changed is None:
                keras.utils.set_random_seed(3)
                rocket = rocket_of(hint(), keras.optimizers.SGD(1.0), run_eagerly=True)
            else:
                keras.utils.set_random_seed(3)
                rocket.set_weights(RocketModel(*linear_pair()).get_weights())
                rocket.hints[0].weight = changed
            rocket.train_on_batch(*examples(6))
            steps.append(weights_of(rocket))
        for name, matrix in steps[0].items():
            np.testing.assert_allclose(matrix, steps[1][name], rtol=1e-5, atol=1e-6)

    def test_custom_steps_follow_it(self):
        rocket = rocket_of(Hint("logits_mse", 1.0))
        x, y = examples(6)
        loss = tf.function(lambda: rocket.compute_loss(x, y, rocket(x)))
        before, expected = float(loss()), hint_of(rocket, x, y)
        rocket.hints[0].weight = 3.0
        np.testing.assert_allclose(float(loss()) - before, 2 * expected, rtol=1e-5)

    def test_two_rockets_with_the_same_hint_follow_it(self):
        hint = Hint("logits_mse", 1.0)
        rockets = [rocket_of(hint), rocket_of(hint)]
        x, y = examples(6)
        before = [rocket.evaluate(x, y, verbose=0)[0] for rocket in rockets]
        hint.weight = 0.0
        for rocket, loss in zip(rockets, before, strict=True):
            now = rocket.evaluate(x, y, verbose=0)[0]
            np.testing.assert_allclose(loss - now, hint_of(rocket, x, y), rtol=1e-4)

    def test_saved_loaded_and_resumed_with_it(self, tmp_path):
        rocket = rocket_of(Hint("logits_mse", 1.0), run_eagerly=True)
        self.anneal(rocket)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.hints[0].weight == 0.25
        x, y = examples(12)
        assert loaded.evaluate(x, y, verbose=0) == rocket.evaluate(x, y, verbose=0)
        self.anneal(loaded)

    def test_compiled_again_with_it(self):
        rocket = rocket_of(Hint("logits_mse", 1.0))
        rocket.hints[0].weight = 0.0
        rocket.compile("sgd", CROSS_ENTROPY, run_eagerly=True)
        logs = rocket.evaluate(*examples(6), verbose=0, return_dict=True)
        np.testing.assert_allclose(logs["loss"], logs["light_loss"] + logs["booster_loss"])

    def test_a_schedule_replaces_a_number_and_a_number_a_schedule(self):
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [2.0, 5.0])
        weights = [1.0, schedule, schedule, 0.5]

        def set_weight(model, epoch):
            model.hints[0].weight = weights[epoch]

        rocket = rocket_of(Hint("logits_mse", 1.0))
        x, y = examples(12)
        history = rocket.fit(
            x, y, batch_size=6, epochs=4, callbacks=[Set(set_weight)], **STILL
        ).history
        # An epoch has two steps, so the schedule holds in steps 2 to 5.
        for epoch, weight in enumerate((1.0, 2.0, 5.0, 0.5)):
            np.testing.assert_allclose(
                hint_in(history["loss"], history, epoch), weight * hint_of(rocket, x, y), rtol=1e-4
            )

    @pytest.mark.parametrize(
        "weight", [-1, float("nan"), float("inf"), "0.5", None, keras.Variable(0.5), np.ones(1)]
    )
    def test_invalid_weights_are_refused_in_the_constructor_and_when_set(self, weight):
        with pytest.raises(ValueError, match=r"finite number.*Received: weight=.*set hint.weight"):
            Hint("logits_mse", weight)
        hint = Hint("logits_mse", 0.5)
        with pytest.raises(ValueError, match="finite number"):
            hint.weight = weight
        assert hint.weight == 0.5

    def test_float64(self):
        keras.config.set_floatx("float64")
        try:
            inputs = keras.Input((FEATURES,))
            light, booster = (
                keras.Model(inputs, layers.Dense(CLASSES)(inputs), name=name)
                for name in ("light", "booster")
            )
            rocket = RocketModel(light, booster, hint=Hint("logits_mse", 0.1))
            rocket.compile("sgd", CROSS_ENTROPY)
            x, y = examples(6)
            weight, _ = rocket.objective_terms(x, y, rocket(x))["hint_loss"]
            assert weight.dtype == "float64" and float(weight) == 0.1
        finally:
            keras.config.set_floatx("float32")

    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))]
    )
    def test_a_copied_hint_is_independent(self, duplicate):
        rocket = rocket_of(Hint("kd", 0.5, temperature=3.0), run_eagerly=True)
        twin = duplicate(rocket.hints[0])
        assert (twin.weight, twin.temperature, twin.name) == (0.5, 3.0, "hint_loss")
        before = rocket.evaluate(*examples(6), verbose=0)
        twin.weight = 9.0
        assert rocket.evaluate(*examples(6), verbose=0) == before


class TestTemperatures:
    def test_a_callback_sets_it(self):
        def set_temperature(model, epoch):
            model.hints[0].temperature = (4.0, 2.0, 1.0)[epoch]

        rocket = rocket_of(Hint("kd", 1.0))
        x, y = examples(12)
        callbacks = [Set(set_temperature)]
        history = rocket.fit(
            x, y, epochs=3, callbacks=callbacks, validation_data=(x, y), **STILL
        ).history
        light, booster = (rocket(x)[net].numpy().astype(float) for net in ("light", "booster"))
        for epoch, temperature in enumerate((4.0, 2.0, 1.0)):
            value = distillation(booster, light, temperature)
            for name in ("hint_loss", "val_hint_loss"):
                np.testing.assert_allclose(history[name][epoch], value, rtol=1e-5)

    def test_the_temperature_of_its_loss_can_be_set_instead(self, tmp_path):
        rocket = rocket_of(Hint("kd", 1.0))
        x, y = examples(12)
        rocket.evaluate(x, y, verbose=0)
        rocket.hints[0].loss.temperature = 2.0
        assert rocket.hints[0].temperature == 2.0
        logs = rocket.evaluate(x, y, verbose=0, return_dict=True)
        light, booster = (rocket(x)[net].numpy().astype(float) for net in ("light", "booster"))
        np.testing.assert_allclose(logs["hint_loss"], distillation(booster, light, 2.0), rtol=1e-5)
        rocket.save(tmp_path / "rocket.keras")
        assert keras.models.load_model(tmp_path / "rocket.keras").hints[0].temperature == 2.0

    def test_a_number_in_a_custom_loss(self):
        class Scaled(keras.losses.Loss):
            scale = 1.0

            def call(self, y_true, y_pred):
                return self.scale * keras.ops.sum((y_true - y_pred) ** 2, axis=-1)

        loss = Scaled()
        rocket = rocket_of(Hint(loss, 1.0))
        x, y = examples(6)
        before = rocket.evaluate(x, y, verbose=0, return_dict=True)["hint_loss"]
        loss.scale = 3.0
        after = rocket.evaluate(x, y, verbose=0, return_dict=True)["hint_loss"]
        np.testing.assert_allclose(after, 3 * before, rtol=1e-6)

    @pytest.mark.parametrize(
        "temperature", [0.0, -1, float("nan"), float("inf"), keras.Variable(4.0)]
    )
    def test_invalid_temperatures_are_refused(self, temperature):
        hint = Hint("kd")
        with pytest.raises(ValueError, match="temperature must be above 0"):
            hint.temperature = temperature
        assert hint.temperature == 4.0
        with pytest.raises(ValueError, match="temperature must be above 0"):
            Hint("sigmoid_kd", temperature=temperature)

    def test_a_loss_without_one(self):
        hint = Hint("logits_mse")
        assert hint.temperature is None
        with pytest.raises(ValueError, match="temperature belongs to loss"):
            hint.temperature = 2.0


def distillation(booster, light, temperature):
    def log_softmax(logits):
        return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    target, prediction = log_softmax(booster / temperature), log_softmax(light / temperature)
    return -(temperature**2) * np.mean(np.sum(np.exp(target) * prediction, axis=-1))


class TestSettings:
    """Settings of the rocket itself."""

    @pytest.mark.parametrize("by_callback", [False, True])
    def test_the_gradient_block(self, by_callback):
        rocket = RocketModel(*linear_pair(), hint=Hint("logits_mse", 1.0))
        rocket.compile(keras.optimizers.SGD(1.0), {"light": CROSS_ENTROPY, "booster": None})
        x, y = examples(6)
        before = weights_of(rocket)
        rocket.fit(x, y, **STILL)
        np.testing.assert_array_equal(weights_of(rocket)["booster_only"], before["booster_only"])

        def lift(model, epoch=None):
            model.gradient_block = False

        if not by_callback:
            lift(rocket)
        before = weights_of(rocket)
        light, booster = (rocket(x)[net].numpy().astype(float) for net in ("light", "booster"))
        rocket.fit(x, y, callbacks=[Set(lift)] if by_callback else [], **STILL)
        gradient = (x.astype(float) @ before["shared"]).T @ (2 * (booster - light)) / 6
        np.testing.assert_allclose(
            before["booster_only"] - weights_of(rocket)["booster_only"],
            gradient,
            rtol=1e-3,
            atol=1e-5,
        )
        assert rocket.get_config()["gradient_block"] is False

    def test_which_losses_shared_layers_learn_from(self):
        rocket = RocketModel(*linear_pair())
        rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, loss_weights={"booster": 0.0})
        x, y = examples(6)
        rocket.fit(x, y, **STILL)
        rocket.shared_layers_learn_from = "booster"
        before = weights_of(rocket)
        rocket.fit(x, y, **STILL)
        np.testing.assert_array_equal(weights_of(rocket)["shared"], before["shared"])
        assert np.abs(weights_of(rocket)["light_only"] - before["light_only"]).max() > 1e-4
        assert rocket_tf.gradient_flow(rocket, x, y)["light_loss"]["shared"] == 0.0
        with pytest.raises(ValueError, match="shared_layers_learn_from is"):
            rocket.shared_layers_learn_from = "light"
        assert rocket.shared_layers_learn_from == "booster"

    def test_run_eagerly(self):
        rocket = rocket_of("logits_mse")
        x, y = examples(6)
        logs = rocket.evaluate(x, y, verbose=0)
        rocket.run_eagerly = True
        eager = []
        forward = rocket.forward
        rocket.forward = lambda x, training: (
            eager.append(tf.executing_eagerly()) or forward(x, training)
        )
        np.testing.assert_allclose(rocket.evaluate(x, y, verbose=0), logs, rtol=1e-6)
        assert eager == [True]

    @pytest.mark.parametrize("name", ["light", "booster", "teacher", "hints", "heads"])
    def test_what_the_graph_is_made_of_is_fixed(self, name):
        rocket = RocketModel(*linear_pair())
        old = getattr(rocket, name)
        with pytest.raises(AttributeError, match=f"A rocket's {name} is fixed"):
            setattr(rocket, name, linear_pair()[0])
        assert getattr(rocket, name) is old

    @pytest.mark.parametrize("name", ["loss", "follows", "name", "layers", "projection"])
    def test_what_a_hint_is_made_of_is_fixed(self, name):
        hint = Hint("kd")
        with pytest.raises(AttributeError, match=f"A hint's {name} is fixed"):
            setattr(hint, name, "logits_mse")


class TestLayers:
    """Layers that are quantized, frozen, thawed or given LoRA after compile()."""

    def test_predict_evaluate_and_fit_of_a_quantized_light_net(self):
        rocket = trained()
        x, y = examples(32)
        rocket.predict(x, verbose=0)
        rocket.evaluate(x, y, verbose=0)
        quantize(rocket.light)
        light = rocket.light(x, training=False).numpy()
        np.testing.assert_allclose(rocket.predict(x, verbose=0), light, atol=1e-5)
        np.testing.assert_allclose(rocket.predict_on_batch(x), light, atol=1e-5)
        logs = rocket.evaluate(x, y, verbose=0, return_dict=True)
        np.testing.assert_allclose(logs["light_accuracy"], np.mean(light.argmax(1) == y), rtol=1e-6)
        expected = float(CROSS_ENTROPY(y, light))
        np.testing.assert_allclose(logs["light_loss"], expected, rtol=1e-5)
        history = rocket.fit(x, y, batch_size=32, **STILL).history
        np.testing.assert_allclose(history["light_loss"][0], expected, rtol=1e-5)

    def test_a_quantized_booster(self):
        rocket = trained()
        x, y = examples(32)
        rocket.evaluate(x, y, verbose=0)
        quantize(rocket.booster)
        expected = float(CROSS_ENTROPY(y, rocket.booster(x, training=False)))
        logs = rocket.evaluate(x, y, verbose=0, return_dict=True)
        np.testing.assert_allclose(logs["booster_loss"], expected, rtol=1e-5)

    @pytest.mark.parametrize("mode", ["int8", "int4"])
    @pytest.mark.parametrize("net", ["light", "booster", "teacher"])
    def test_saved_and_loaded(self, tmp_path, mode, net):
        inputs = keras.Input((FEATURES,))
        teacher = keras.Model(inputs, layers.Dense(CLASSES, name="taught")(inputs), name="teacher")
        rocket = trained(True, hint=Hint("kd", 0.5, follows="teacher"), teacher=teacher)
        quantize(getattr(rocket, net), mode)
        x, y = examples(32)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), rocket.predict(x, verbose=0))
        np.testing.assert_allclose(
            loaded.evaluate(x, y, verbose=0), rocket.evaluate(x, y, verbose=0), rtol=1e-6
        )
        assert any("int" in layer.dtype_policy.name for layer in getattr(loaded, net).layers)

    def test_lora_predicts_at_once_and_trains_after_compile(self, tmp_path):
        rocket = trained()
        x, y = examples(32)
        before = rocket.predict(x, verbose=0)
        layer = rocket.light.get_layer("low")
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
        light = rocket.light(x, training=False).numpy()
        assert np.abs(light - before).max() > 1e-3
        np.testing.assert_allclose(rocket.predict(x, verbose=0), light, atol=1e-5)
        with UNKNOWN_VARIABLE:
            rocket.fit(x, y, verbose=0)
        rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
        kernel, lora = layer._kernel.numpy(), layer.lora_kernel_a.numpy()
        rocket.fit(x, y, verbose=0)
        np.testing.assert_array_equal(layer._kernel.numpy(), kernel)
        assert np.abs(layer.lora_kernel_a.numpy() - lora).max() > 1e-6
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), rocket.predict(x, verbose=0), atol=1e-5
        )

    @pytest.mark.parametrize("by_callback", [False, True])
    def test_a_frozen_layer_does_not_change(self, by_callback):
        rocket = trained()
        layer = rocket.light.get_layer("low")

        def freeze(model, epoch=None):
            layer.trainable = False

        if not by_callback:
            freeze(rocket)
        before, other = layer.get_weights(), rocket.light.get_layer("light_logits").get_weights()
        rocket.fit(*examples(32), callbacks=[Set(freeze)] if by_callback else [], verbose=0)
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        now = rocket.light.get_layer("light_logits").get_weights()
        assert np.abs(now[0] - other[0]).max() > 1e-6

    def test_a_thawed_layer_trains_after_compile(self):
        light, booster = dense_pair()
        light.get_layer("low").trainable = False
        rocket = RocketModel(light, booster)
        rocket.compile(keras.optimizers.Adam(0.05), CROSS_ENTROPY)
        x, y = examples(32)
        rocket.fit(x, y, verbose=0)
        light.get_layer("low").trainable = True
        with UNKNOWN_VARIABLE:
            rocket.fit(x, y, verbose=0)
        rocket.compile(keras.optimizers.Adam(0.05), CROSS_ENTROPY)
        before = light.get_layer("low").get_weights()[0]
        rocket.fit(x, y, verbose=0)
        assert np.abs(light.get_layer("low").get_weights()[0] - before).max() > 1e-4

    def test_frozen_batch_normalization_evaluates_and_trains_in_inference_mode(self):
        inputs = keras.Input((FEATURES,))
        normal = layers.BatchNormalization(name="normal", momentum=0.5)(inputs)
        light = keras.Model(inputs, layers.Dense(CLASSES)(normal), name="light")
        rocket = RocketModel(light, hint=None)
        rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
        x, y = examples(32)
        x = 3 * x + 1
        rocket.fit(x, y, batch_size=32, **STILL)
        light.get_layer("normal").trainable = False
        state = light.get_layer("normal").get_weights()
        history = rocket.fit(x, y, batch_size=32, **STILL).history
        for old, new in zip(state, light.get_layer("normal").get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        expected = float(CROSS_ENTROPY(y, light(x, training=False)))
        np.testing.assert_allclose(history["light_loss"][0], expected, rtol=1e-5)

    def test_without_changes_nothing_is_traced_again(self):
        rocket = trained()
        traced = []
        step = rocket.forward
        rocket.forward = lambda x, training: traced.append(training) or step(x, training)
        x, y = examples(32)
        rocket.train_function = rocket.test_function = None
        for _ in range(3):
            rocket.fit(x, y, verbose=0, validation_data=(x, y))
            rocket.evaluate(x, y, verbose=0)
        assert sorted(traced) == [False, True]

    def test_a_custom_predict_function_is_kept(self):
        rocket = trained()
        rocket.predict_function = lambda data: tf.zeros((len(data[0][0]), CLASSES))
        quantize(rocket.light)
        assert not rocket.predict(examples(5)[0], verbose=0).any()


def quantize(net, mode="int8"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # input layers cannot be quantized
        net.quantize(mode)
