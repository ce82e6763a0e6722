"""Keras workflows with a RocketModel: fit, save, load and export, with nets built in any way."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import rocket_tf
from rocket_tf import RocketModel
from tests.nets import (
    CLASSES,
    CROSS_ENTROPY,
    FEATURES,
    examples,
    linear_pair,
    logits_of,
    weights_of,
)


class TestKerasWorkflows:
    """Keras workflows with two nets of the user's own."""

    @staticmethod
    def own_pair():
        inputs = keras.Input((FEATURES,), name="features")
        low = layers.Dense(16, activation="relu", name="low")(inputs)
        light = keras.Model(inputs, layers.Dense(CLASSES, name="light_logits")(low), name="small")
        high = layers.BatchNormalization()(layers.Dense(32, activation="relu", name="high")(low))
        high = layers.Dropout(0.1)(high)
        booster = keras.Model(inputs, layers.Dense(CLASSES, name="logits")(high), name="large")
        return light, booster

    @pytest.fixture
    def rocket(self):
        rocket = RocketModel(*self.own_pair())
        rocket.compile(
            optimizer=keras.optimizers.Adam(0.01), loss=CROSS_ENTROPY, metrics=["accuracy"]
        )
        return rocket

    def test_fit_on_arrays_learns(self, rocket):
        x, _ = examples(400)
        y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
        history = rocket.fit(x, y, epochs=15, validation_split=0.25, verbose=0).history
        assert history["val_light_accuracy"][-1] > 0.8 > history["val_light_accuracy"][0]
        assert rocket.predict(x, verbose=0).shape == (400, CLASSES)
        np.testing.assert_array_equal(
            rocket.predict(x, verbose=0), rocket.light.predict(x, verbose=0)
        )

    def test_fit_on_a_tf_data_pipeline(self, rocket):
        x, y = examples(40)
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40).batch(16)
        history = rocket.fit(dataset, validation_data=dataset, epochs=2, verbose=0).history
        assert len(history["val_light_loss"]) == 2

    def test_calling_the_model_gives_both_nets_logits(self, rocket):
        x, _ = examples(3)
        logits = rocket(x)
        np.testing.assert_allclose(logits["light"], rocket.light(x), rtol=1e-6)
        np.testing.assert_allclose(logits["booster"], rocket.booster(x), rtol=1e-6)

    def test_shared_layers_are_computed_once(self, rocket):
        step = tf.function(lambda x: rocket(x)).get_concrete_function(
            tf.TensorSpec((None, FEATURES))
        )
        products = [op for op in step.graph.get_operations() if op.type == "MatMul"]
        assert len(products) == 4  # low, light_logits, high, logits

    def test_a_layer_that_each_net_calls_is_computed_once(self):
        """The nets are built over the same Input, and each calls the layer itself."""
        inputs = keras.Input((1,))
        low = layers.BatchNormalization(momentum=0.5, name="low")
        light = keras.Model(inputs, layers.Dense(CLASSES, name="light_logits")(low(inputs)))
        booster = keras.Model(inputs, layers.Dense(CLASSES, name="logits")(low(inputs)))
        rocket = RocketModel(light, booster)
        rocket.compile(optimizer=keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
        rocket.train_on_batch(np.full((4, 1), 8.0), np.zeros(4))
        np.testing.assert_allclose(
            low.moving_mean, [4.0]
        )  # moved once, half of the way from 0 to 8
        assert rocket.light is light

    def test_save_and_load_keep_sharing_weights_optimizer_and_settings(self, tmp_path):
        rocket = RocketModel(*self.own_pair(), hint="kd", hint_weight=0.2, gradient_block=False)
        rocket.compile(
            optimizer=keras.optimizers.Adam(0.01),
            loss=CROSS_ENTROPY,
            loss_weights={"booster": 0.5},
            metrics=["accuracy"],
        )
        x, y = examples(40)
        rocket.fit(x, y, batch_size=8, epochs=2, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.evaluate(x, y, return_dict=True, verbose=0) == rocket.evaluate(
            x, y, return_dict=True, verbose=0
        )
        assert (loaded.light.name, loaded.booster.name) == ("small", "large")
        assert not loaded.gradient_block
        shared = rocket_tf.core.graph.common_layers(loaded.light, loaded.booster)
        assert [layer.name for layer in shared] == ["low"]
        assert len(loaded.trainable_variables) == len(rocket.trainable_variables)
        for mine, theirs in zip(
            rocket.optimizer.variables, loaded.optimizer.variables, strict=True
        ):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
        loaded.fit(x, y, verbose=0)

    def test_callbacks_see_the_logs(self, rocket):
        x, y = examples(40)
        stop = keras.callbacks.EarlyStopping(
            "val_light_loss", patience=1, min_delta=100.0, mode="min"
        )
        history = rocket.fit(
            x, y, epochs=5, validation_data=(x, y), callbacks=[stop], verbose=0
        ).history
        assert len(history["loss"]) < 5

    def test_several_steps_per_execution_give_the_same_weights(self):
        results = []
        for steps in (1, 3):
            keras.utils.set_random_seed(2)
            rocket = RocketModel(*linear_pair())
            rocket.compile(optimizer="sgd", loss=CROSS_ENTROPY, steps_per_execution=steps)
            x, y = examples(50)
            rocket.fit(x, y, batch_size=8, shuffle=False, verbose=0)
            results.append(weights_of(rocket))
        for name, matrix in results[0].items():
            np.testing.assert_allclose(matrix, results[1][name], rtol=1e-6)

    def test_compiling_again_changes_the_objective(self, rocket):
        x, y = examples(20)
        rocket.fit(x, y, verbose=0)
        rocket.compile(optimizer="sgd", loss=CROSS_ENTROPY, loss_weights={"booster": 0.0})
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(
            logs["loss"], logs["light_loss"] + 0.03 * logs["hint_loss"], rtol=1e-5
        )
        assert "light_accuracy" not in logs

    def test_keras_export_contains_only_the_light_net(self, rocket, tmp_path):
        rocket.export(tmp_path / "model", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "model")
        x, _ = examples(3)
        np.testing.assert_allclose(
            loaded.serve(x), rocket.predict(x, verbose=0), rtol=1e-5, atol=1e-6
        )
        shapes = {tuple(variable.shape) for variable in loaded.variables}
        assert shapes == {tuple(variable.shape) for variable in rocket.light.variables}

    def test_each_net_has_its_own_metrics(self):
        rocket = RocketModel(*linear_pair())
        metric = keras.metrics.SparseCategoricalAccuracy(name="right")
        entropy = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="entropy")
        rocket.compile(loss=CROSS_ENTROPY, metrics=[metric], weighted_metrics={"light": [entropy]})
        x, y = examples(30)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        light, booster = logits_of(weights_of(rocket), x)
        np.testing.assert_allclose(logs["light_right"], np.mean(light.argmax(-1) == y))
        np.testing.assert_allclose(logs["booster_right"], np.mean(booster.argmax(-1) == y))
        np.testing.assert_allclose(logs["light_entropy"], logs["light_loss"], rtol=1e-5)
        assert "booster_entropy" not in logs

    @pytest.mark.parametrize(
        "metrics",
        ["accuracy", {"light": "accuracy"}, {"light": keras.metrics.SparseCategoricalAccuracy()}],
        ids=["name", "name of one net's", "metric of one net's"],
    )
    def test_metrics_need_not_be_in_a_list(self, metrics):
        rocket = RocketModel(*linear_pair())
        rocket.compile(loss=CROSS_ENTROPY, metrics=metrics)
        logs = rocket.evaluate(*examples(5), return_dict=True, verbose=0)
        assert sum("accuracy" in name for name in logs) == (2 if metrics == "accuracy" else 1)

    def test_a_metric_that_cannot_be_copied_must_be_given_for_each_net(self):
        class Scaled(keras.metrics.Mean):
            def __init__(self, factor=1, **kwargs):
                super().__init__(**kwargs)
                self.factor = factor

            def update_state(self, y_true, y_pred, sample_weight=None):
                return super().update_state(self.factor)

        with pytest.raises(ValueError, match="get_config"):
            RocketModel(*linear_pair()).compile(loss=CROSS_ENTROPY, metrics=[Scaled(3)])
        rocket = RocketModel(*linear_pair())
        metrics = {"light": [Scaled(3, name="s")], "booster": [Scaled(5, name="s")]}
        rocket.compile(loss=CROSS_ENTROPY, metrics=metrics)
        logs = rocket.evaluate(*examples(5), return_dict=True, verbose=0)
        assert (logs["light_s"], logs["booster_s"]) == (3.0, 5.0)

    def test_one_logit_counts_as_positive_above_zero(self):
        rocket = RocketModel(*linear_pair(classes=1))
        rocket.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
        x, _ = examples(30)
        y = np.arange(30) % 2
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        light, _ = logits_of(weights_of(rocket), x)
        np.testing.assert_allclose(logs["light_accuracy"], np.mean((light[:, 0] > 0) == y))


class TestSeparateInputs:
    def test_nets_without_common_layers_are_both_called(self, tmp_path):
        nets = []
        for name in ("light", "booster"):
            inputs = keras.Input((FEATURES,), name="features")
            nets.append(keras.Model(inputs, layers.Dense(CLASSES, name="out")(inputs), name=name))
        rocket = RocketModel(*nets)
        rocket.compile(loss=CROSS_ENTROPY)
        x, y = examples(5)
        rocket.fit(x, y, verbose=0)
        np.testing.assert_allclose(rocket(x)["light"], nets[0](x), rtol=1e-6)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), rocket.predict(x, verbose=0))
        assert loaded.light.name == "light"

    def test_common_layers_stay_common_and_are_computed_once(self, tmp_path):
        low = layers.Dense(4, name="low")
        nets = []
        for name in ("light", "booster"):
            inputs = keras.Input((FEATURES,))
            outputs = layers.Dense(CLASSES, name=f"{name}_logits")(low(inputs))
            nets.append(keras.Model(inputs, outputs, name=name))
        rocket = RocketModel(*nets)
        assert len(rocket.trainable_variables) == 6
        graph = tf.function(lambda x: rocket(x)).get_concrete_function(
            tf.TensorSpec((None, FEATURES))
        )
        assert sum(op.type == "MatMul" for op in graph.graph.get_operations()) == 3
        rocket.compile(loss=CROSS_ENTROPY)
        x, y = examples(5)
        rocket.fit(x, y, verbose=0)
        np.testing.assert_allclose(rocket(x)["light"], nets[0](x), rtol=1e-6)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert len(loaded.trainable_variables) == 6
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), rocket.predict(x, verbose=0))

    def test_sequential_nets(self):
        nets = [
            keras.Sequential([keras.Input((FEATURES,)), layers.Dense(width), layers.Dense(CLASSES)])
            for width in (2, 8)
        ]
        rocket = RocketModel(*nets)
        rocket.compile(loss=CROSS_ENTROPY)
        rocket.fit(*examples(5), verbose=0)

    def test_dict_inputs(self, tmp_path):
        def net(name, width):
            inputs = {key: keras.Input((2,), name=key) for key in ("user", "item")}
            joined = layers.Concatenate()([inputs["user"], inputs["item"]])
            outputs = layers.Dense(CLASSES)(layers.Dense(width)(joined))
            return keras.Model(inputs, outputs, name=name)

        rocket = RocketModel(net("light", 2), net("booster", 8))
        rocket.compile(loss=CROSS_ENTROPY)
        random = np.random.default_rng(0)
        x = {key: random.normal(size=(6, 2)).astype("float32") for key in ("user", "item")}
        rocket.fit(x, np.arange(6) % CLASSES, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), rocket.predict(x, verbose=0))
