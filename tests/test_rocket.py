"""RocketModel: objective, gradients, logs, Keras workflows, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import rocket_tf
from rocket_tf import Hint, RocketModel
from tests.nets import CLASSES, FEATURES, examples, linear_pair
from tests.test_hints import kd, logits_mse, softmax, softmax_mse

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HINTS = {"logits_mse": logits_mse, "softmax_mse": softmax_mse, "kd": kd}


def compiled(learning_rate=1.0, loss_weights=None, **arguments):
    """A rocket of linear nets; with learning rate 1, a step subtracts the gradient."""
    rocket = RocketModel(*linear_pair(), **arguments)
    rocket.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss=CROSS_ENTROPY,
        loss_weights=loss_weights,
        metrics=["accuracy"],
    )
    return rocket


def weights_of(rocket):
    """The float64 matrices shared, light only, booster only."""
    return {
        name: rocket.get_layer(name).kernel.numpy().astype(np.float64)
        for name in ("shared", "light_only", "booster_only")
    }


def logits_of(weights, x):
    low = x.astype(np.float64) @ weights["shared"]
    return low @ weights["light_only"], low @ weights["booster_only"]


def cross_entropy(labels, logits):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


def terms_of(weights, x, y, hint, sample_weight=1.0, followed=None):
    """The unweighted terms in float64 NumPy; `followed` stands for blocked booster logits."""
    light, booster = logits_of(weights, x)
    followed = booster if followed is None else followed
    return {
        "light_loss": np.mean(sample_weight * cross_entropy(y, light)),
        "booster_loss": np.mean(sample_weight * cross_entropy(y, booster)),
        "hint_loss": np.mean(sample_weight * HINTS[hint](followed, light)),
    }


def objective(weights, x, y, hint, hint_weight, **kwargs):
    terms = terms_of(weights, x, y, hint, **kwargs)
    return terms["light_loss"] + terms["booster_loss"] + hint_weight * terms["hint_loss"]


def finite_differences(function, weights, step=1e-6):
    gradients = {}
    for name, matrix in weights.items():
        gradients[name] = np.zeros_like(matrix)
        for place in np.ndindex(matrix.shape):
            values = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][place] += sign * step
                values.append(function(moved))
            gradients[name][place] = (values[0] - values[1]) / (2 * step)
    return gradients


def step_of(rocket, x, y, **kwargs):
    """What one step takes from every matrix: at learning rate 1, the gradient."""
    before = weights_of(rocket)
    rocket.train_on_batch(x, y, **kwargs)
    return {name: before[name] - after for name, after in weights_of(rocket).items()}


class TestObjective:
    @pytest.mark.parametrize("hint", HINTS)
    @pytest.mark.parametrize("gradient_block", [True, False])
    def test_gradients_equal_finite_differences(self, hint, gradient_block):
        rocket = compiled(hint=hint, hint_weight=0.3, gradient_block=gradient_block)
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
        rocket = compiled(learning_rate=0.0, hint=hint, hint_weight=0.3)
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

    def test_sample_weight_weighs_label_losses_and_hints(self):
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

    def test_loss_weights_weigh_the_label_losses(self):
        rocket = compiled(0.0, loss_weights={"light": 2.0, "booster": 0.5}, hint_weight=0.3)
        x, y = examples(6)
        terms = terms_of(weights_of(rocket), x, y, "logits_mse")
        expected = (
            2.0 * terms["light_loss"] + 0.5 * terms["booster_loss"] + 0.3 * terms["hint_loss"]
        )
        evaluated = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(evaluated["loss"], expected, rtol=1e-5)
        np.testing.assert_allclose(evaluated["light_loss"], terms["light_loss"], rtol=1e-5)

    def test_regularisation_of_the_nets_is_part_of_the_loss(self):
        inputs = keras.Input((FEATURES,))
        light = keras.Model(inputs, layers.Dense(CLASSES, kernel_regularizer="l2")(inputs))
        booster = keras.Model(inputs, layers.Dense(CLASSES)(inputs))
        rocket = RocketModel(light, booster, hint_weight=0.0)
        rocket.compile(loss=CROSS_ENTROPY)
        logs = rocket.evaluate(*examples(5), return_dict=True, verbose=0)
        penalty = 0.01 * np.sum(np.square(light.layers[-1].kernel.numpy()))
        np.testing.assert_allclose(
            logs["loss"], logs["light_loss"] + logs["booster_loss"] + penalty, rtol=1e-5
        )

    def test_weight_of_the_hint_has_an_effect_and_none_has_none(self):
        x, y = examples(6)
        losses = {
            weight: compiled(0.0, hint_weight=weight).evaluate(x, y, return_dict=True, verbose=0)
            for weight in (0.0, 1.0)
        }
        assert losses[1.0]["loss"] > losses[0.0]["loss"] + 0.1
        without = compiled(0.0, hint=None).evaluate(x, y, return_dict=True, verbose=0)
        assert "hint_loss" not in without


class TestGradientBlock:
    """The hint alone: both label losses weigh 0."""

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

    def test_shared_layers_get_the_hint_by_way_of_the_light_net_alone(self):
        rocket = compiled(hint_weight=1.0, loss_weights=self.ALONE)
        x, y = examples(6)
        weights = weights_of(rocket)
        light, booster = logits_of(weights, x)
        # d mean‖xSL − z‖² / dS with z constant: xᵀ · 2 (l − z) Lᵀ / batch
        expected = x.T.astype(np.float64) @ (2 * (light - booster)) @ weights["light_only"].T / 6
        np.testing.assert_allclose(step_of(rocket, x, y)["shared"], expected, rtol=1e-4, atol=1e-6)

    def test_without_it_shared_layers_get_the_hint_by_way_of_both(self):
        rocket = compiled(hint_weight=1.0, gradient_block=False, loss_weights=self.ALONE)
        x, y = examples(6)
        weights = weights_of(rocket)
        light, booster = logits_of(weights, x)
        paths = weights["light_only"].T - weights["booster_only"].T
        expected = x.T.astype(np.float64) @ (2 * (light - booster)) @ paths / 6
        np.testing.assert_allclose(step_of(rocket, x, y)["shared"], expected, rtol=1e-4, atol=1e-6)


class TestOtherMethods:
    """Settings of the same objective."""

    @staticmethod
    def teacher():
        inputs = keras.Input((FEATURES,), name="features")
        x = layers.Dropout(0.5)(layers.BatchNormalization()(inputs))
        return keras.Model(inputs, layers.Dense(CLASSES)(x), name="teacher")

    def test_a_teacher_beside_the_booster(self):
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
        rocket.compile(optimizer=keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY)
        before = rocket.teacher.get_weights()
        rocket.fit(*examples(6), verbose=0)
        for old, new in zip(before, rocket.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_a_teacher_is_saved_with_the_model(self, tmp_path):
        rocket = RocketModel(*linear_pair(), hint=Hint(follows="teacher"), teacher=self.teacher())
        rocket.compile(loss=CROSS_ENTROPY)
        x, y = examples(6)
        rocket.fit(x, y, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.evaluate(x, y, verbose=0) == rocket.evaluate(x, y, verbose=0)
        assert not loaded.teacher.trainable

    def test_a_frozen_booster_stays_as_it_is(self):
        inputs = keras.Input((FEATURES,), name="features")
        light = keras.Model(inputs, layers.Dense(CLASSES)(inputs), name="light")
        booster = keras.Model(inputs, layers.Dense(CLASSES)(inputs), name="booster")
        booster.trainable = False
        rocket = RocketModel(light, booster)
        rocket.compile(
            optimizer=keras.optimizers.SGD(0.1), loss={"light": CROSS_ENTROPY, "booster": None}
        )
        before = booster.get_weights()
        history = rocket.fit(*examples(6), verbose=0).history
        assert set(history) == {"loss", "light_loss", "hint_loss"}
        np.testing.assert_array_equal(before[0], booster.get_weights()[0])


class TestKerasWorkflows:
    """What a Keras user does with two nets of their own."""

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
        """Also where the nets are built over one Input and each calls the layer itself."""
        inputs = keras.Input((1,))
        low = layers.BatchNormalization(momentum=0.5, name="low")
        light = keras.Model(inputs, layers.Dense(CLASSES, name="light_logits")(low(inputs)))
        booster = keras.Model(inputs, layers.Dense(CLASSES, name="logits")(low(inputs)))
        rocket = RocketModel(light, booster)
        rocket.compile(optimizer=keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
        rocket.train_on_batch(np.full((4, 1), 8.0), np.zeros(4))
        np.testing.assert_allclose(low.moving_mean, [4.0])  # once from 0 half the way to 8
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
        shared = rocket_tf.graph.common_layers(loaded.light, loaded.booster)
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

    def test_several_steps_an_execution_are_the_same_steps(self):
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

    def test_keras_export_holds_the_light_net_alone(self, rocket, tmp_path):
        rocket.export(tmp_path / "model", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "model")
        x, _ = examples(3)
        np.testing.assert_allclose(
            loaded.serve(x), rocket.predict(x, verbose=0), rtol=1e-5, atol=1e-6
        )
        shapes = {tuple(variable.shape) for variable in loaded.variables}
        assert shapes == {tuple(variable.shape) for variable in rocket.light.variables}

    def test_metrics_are_each_nets_own(self):
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

    def test_a_metric_that_cannot_be_copied_is_refused_and_one_of_each_nets_own_taken(self):
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
    def test_nets_without_common_layers_are_called_side_by_side(self, tmp_path):
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


class TestMixedPrecision:
    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_losses_are_float32_and_training_goes_down(self, policy):
        keras.config.set_dtype_policy(policy)
        rocket = compiled(learning_rate=0.1)
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


class TestErrors:
    @pytest.mark.parametrize(
        "last",
        [
            layers.Dense(CLASSES, activation="softmax"),
            layers.Softmax(),
            layers.Activation("sigmoid"),
        ],
        ids=["activation", "layer", "activation layer"],
    )
    @pytest.mark.parametrize("role", ["light", "booster"])
    def test_nets_that_end_in_probabilities(self, last, role):
        inputs = keras.Input((CLASSES,))
        nets = {
            "light": keras.Model(inputs, layers.Dense(CLASSES)(inputs)),
            "booster": keras.Model(inputs, layers.Dense(CLASSES)(inputs)),
        }
        nets[role] = keras.Model(inputs, last(inputs))
        with pytest.raises(ValueError, match=f"{role} must end in logits"):
            RocketModel(**nets)

    def test_softmax_inside_a_nested_net(self):
        inner = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(3, activation="softmax")])
        inputs = keras.Input((FEATURES,))
        with pytest.raises(ValueError, match="must end in logits"):
            RocketModel(keras.Model(inputs, inner(inputs)), linear_pair()[1])

    def test_logits_of_different_shapes(self):
        with pytest.raises(ValueError, match="logits of one shape"):
            RocketModel(linear_pair(3)[0], linear_pair(4)[1])

    @pytest.mark.parametrize(
        "inputs",
        [
            lambda: keras.Input((FEATURES + 1,)),
            lambda: keras.Input((FEATURES,), dtype="float16"),
            lambda: {"features": keras.Input((FEATURES,))},
        ],
        ids=["shape", "dtype", "structure"],
    )
    def test_inputs_that_differ(self, inputs):
        inputs = inputs()
        tensor = inputs["features"] if isinstance(inputs, dict) else inputs
        booster = keras.Model(inputs, layers.Dense(CLASSES)(tensor))
        with pytest.raises(ValueError, match="inputs of one structure, shape and dtype"):
            RocketModel(linear_pair()[0], booster)

    def test_nets_that_are_not_functional(self):
        class Own(keras.Model):
            pass

        for net in (Own(), keras.Sequential([layers.Dense(3)]), "light"):
            with pytest.raises(ValueError, match="functional"):
                RocketModel(net, linear_pair()[1])

    def test_a_subclassed_model_as_last_layer_is_no_error(self):
        class Head(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = layers.Dense(CLASSES)

            def call(self, inputs):
                return self.dense(inputs)

        inputs = keras.Input((FEATURES,))
        nets = [keras.Model(inputs, Head()(inputs)) for _ in range(2)]
        assert RocketModel(*nets)(np.zeros((2, FEATURES)))["light"].shape == (2, CLASSES)

    def test_two_outputs(self):
        inputs = keras.Input((FEATURES,))
        outputs = [layers.Dense(2)(inputs), layers.Dense(2)(inputs)]
        with pytest.raises(ValueError, match="one output"):
            RocketModel(keras.Model(inputs, outputs), linear_pair()[1])

    def test_different_layers_of_one_name(self):
        inputs = keras.Input((FEATURES,))
        nets = [keras.Model(inputs, layers.Dense(3, name="logits")(inputs)) for _ in range(2)]
        with pytest.raises(ValueError, match="different names"):
            RocketModel(*nets)

    @pytest.mark.parametrize(
        "loss",
        [
            "sparse_categorical_crossentropy",
            keras.losses.SparseCategoricalCrossentropy(),
            keras.losses.sparse_categorical_crossentropy,
            keras.losses.CategoricalCrossentropy(),
            "binary_crossentropy",
            keras.losses.KLDivergence(),
            "kl_divergence",
            "poisson",
            keras.losses.Dice(),
        ],
        ids=lambda loss: getattr(loss, "name", None) or getattr(loss, "__name__", loss),
    )
    def test_losses_that_expect_probabilities(self, loss):
        with pytest.raises(ValueError, match="from_logits=True"):
            RocketModel(*linear_pair()).compile(loss=loss)

    @pytest.mark.parametrize(
        "arguments, named",
        [
            ({}, "needs a loss"),
            ({"loss": {"heavy": CROSS_ENTROPY}}, "loss"),
            ({"loss": CROSS_ENTROPY, "loss_weights": [1.0, 2.0]}, "loss_weights"),
            ({"loss": CROSS_ENTROPY, "loss_weights": {"heavy": 1.0}}, "loss_weights"),
            ({"loss": CROSS_ENTROPY, "metrics": {"heavy": ["mse"]}}, "metrics"),
            (
                {"loss": keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")},
                "reduction",
            ),
        ],
    )
    def test_bad_compile(self, arguments, named):
        with pytest.raises(ValueError, match=named):
            RocketModel(*linear_pair()).compile(**arguments)

    @pytest.mark.parametrize(
        "arguments, named",
        [
            ({"hint": [Hint(), Hint()]}, "different names"),
            ({"hint": Hint(name="light_loss")}, "different names"),
            ({"hint": Hint(), "hint_weight": 0.1}, "hint_weight"),
            ({"hint": ["kd"]}, "Hint objects"),
            ({"hint": Hint(follows="teacher")}, "follows the teacher"),
            ({"hint": "logits_mse", "temperature": 2.0}, "temperature"),
        ],
    )
    def test_bad_hints(self, arguments, named):
        with pytest.raises(ValueError, match=named):
            RocketModel(*linear_pair(), **arguments)

    def test_a_hint_without_anybody_to_follow(self):
        with pytest.raises(ValueError, match="follows the booster"):
            RocketModel(linear_pair()[0])

    def test_teachers_that_do_not_fit(self):
        light, booster = linear_pair()
        with pytest.raises(ValueError, match="no hint follows it"):
            RocketModel(light, booster, teacher=linear_pair()[1])
        with pytest.raises(ValueError, match="share layers"):
            RocketModel(light, booster, hint=Hint(follows="teacher"), teacher=booster)
        with pytest.raises(ValueError, match="logits of one shape"):
            RocketModel(
                light, booster, hint=Hint(follows="teacher"), teacher=linear_pair(classes=4)[1]
            )
