"""Hints between layers of different widths, which a trained linear map projects."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import Hint, RocketModel, export_light, gradient_flow, ownership
from rocket_tf.analysis.costs import count_parameters
from tests.nets import CLASSES, CROSS_ENTROPY, FEATURES, examples
from tests.reference import cosine, euclidean, finite_differences, logits_mse
from tests.trainings import assert_trained_alike

LAYERS = {"light_hidden": "booster_hidden"}
NARROW, WIDE = 2, 6
NAMES = ("shared", "light_hidden", "booster_hidden")
LOSSES = {"logits_mse": logits_mse, "cosine": cosine, "euclidean": euclidean}


def pair(prefix="", wide=WIDE):
    """Linear nets whose hidden layers have different widths."""
    inputs = keras.Input((FEATURES,), name="features")
    low = layers.Dense(4, use_bias=False, name=f"{prefix}shared")(inputs)

    def net(role, units):
        hidden = layers.Dense(units, use_bias=False, name=f"{prefix}{role}_hidden")(low)
        logits = layers.Dense(CLASSES, name=f"{prefix}{role}_logits")(hidden)
        return keras.Model(inputs, logits, name=f"{prefix}{role}")

    return net("light", NARROW), net("booster", wide)


def rocket_with(hint, learning_rate=1.0, label_weight=0.0, nets=None, eagerly=True, **arguments):
    """A compiled rocket; by default it runs eagerly, which is faster for a few steps."""
    rocket = RocketModel(*(nets or pair()), hint=hint, **arguments)
    rocket.compile(
        keras.optimizers.SGD(learning_rate),
        CROSS_ENTROPY,
        loss_weights={"light": label_weight, "booster": label_weight},
        run_eagerly=eagerly,
    )
    return rocket


def projected(loss="logits_mse", weight=1.0, **arguments):
    return Hint(loss, weight, layers=LAYERS, projection=True, **arguments)


def variable_of_projection(rocket):
    [variable] = [v for v in rocket.trainable_variables if "projection" in v.path]
    return variable


def matrices(rocket):
    kernels = {name: rocket.get_layer(name).kernel for name in NAMES}
    kernels["projection"] = variable_of_projection(rocket)
    return {name: kernel.numpy().astype(np.float64) for name, kernel in kernels.items()}


def term(weights, x, loss, followed=None):
    """The hint loss in float64 NumPy; `followed` replaces the outputs of a blocked booster."""
    low = x.astype(np.float64) @ weights["shared"]
    booster = low @ weights["booster_hidden"] if followed is None else followed
    light = low @ weights["light_hidden"] @ weights["projection"]
    return np.mean(LOSSES[loss](booster, light))


class TestObjective:
    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("gradient_block", [True, False])
    def test_value_and_gradients_equal_numpy(self, loss, gradient_block):
        eagerly = loss != "logits_mse"
        rocket = rocket_with(projected(loss), gradient_block=gradient_block, eagerly=eagerly)
        x, y = examples(7)
        weights = matrices(rocket)
        booster = x.astype(np.float64) @ weights["shared"] @ weights["booster_hidden"]
        followed = booster if gradient_block else None
        expected = finite_differences(lambda moved: term(moved, x, loss, followed), weights)
        logs = rocket.train_on_batch(x, y, return_dict=True)
        np.testing.assert_allclose(logs["hint_loss"], term(weights, x, loss), rtol=1e-5)
        after = matrices(rocket)
        for name, gradient in expected.items():
            np.testing.assert_allclose(
                weights[name] - after[name], gradient, rtol=1e-3, atol=2e-6, err_msg=name
            )
        assert (weights["booster_hidden"] == after["booster_hidden"]).all() == gradient_block

    def test_there_is_a_map_even_for_equal_widths(self):
        rocket = rocket_with(projected(), nets=pair(wide=NARROW))
        assert variable_of_projection(rocket).shape == (NARROW, NARROW)
        x, y = examples(5)
        logs = rocket.train_on_batch(x, y, return_dict=True)
        assert logs["hint_loss"] > 0

    def test_it_learns(self):
        rocket = rocket_with(projected(), 0.02)
        before = variable_of_projection(rocket).numpy()
        losses = rocket.fit(*examples(32), epochs=10, verbose=0).history["hint_loss"]
        assert losses[-1] < 0.8 * losses[0]
        assert np.abs(variable_of_projection(rocket).numpy() - before).max() > 1e-3

    def test_it_learns_even_if_shared_layers_learn_from_the_booster(self):
        rocket = rocket_with(projected(), shared_layers_learn_from="booster")
        x, y = examples(7)
        weights = matrices(rocket)
        booster = x.astype(np.float64) @ weights["shared"] @ weights["booster_hidden"]
        expected = finite_differences(lambda moved: term(moved, x, "logits_mse", booster), weights)
        rocket.train_on_batch(x, y)
        after = matrices(rocket)
        for name in ("light_hidden", "projection"):
            np.testing.assert_allclose(
                weights[name] - after[name], expected[name], rtol=1e-3, atol=2e-6
            )
        for name in ("shared", "booster_hidden"):
            np.testing.assert_array_equal(weights[name], after[name])

    def test_each_hint_and_each_layer_has_a_map_of_its_own(self):
        nets = pair()
        hints = [
            Hint("logits_mse", layers={**LAYERS, "shared": "booster_hidden"}, projection=True),
            projected("cosine", name="cosine_loss"),
        ]
        rocket = rocket_with(hints, nets=nets)
        shapes = {
            v.path.split("/")[0]: tuple(v.shape)
            for v in rocket.trainable_variables
            if "projection" in v.path
        }
        assert shapes == {
            "hint_loss_light_hidden_projection": (NARROW, WIDE),
            "hint_loss_shared_projection": (4, WIDE),
            "cosine_loss_light_hidden_projection": (NARROW, WIDE),
        }

    def test_maps_of_convolutions_are_over_channels_at_every_position(self):
        inputs = keras.Input((4, 4, 2))

        def net(role, channels):
            hidden = layers.Conv2D(channels, 1, use_bias=False, name=f"{role}_hidden")(inputs)
            logits = layers.Dense(CLASSES, name=f"{role}_logits")(layers.Flatten()(hidden))
            return keras.Model(inputs, logits, name=role)

        rocket = rocket_with(projected(), 0.0, nets=(net("light", 3), net("booster", 5)))
        x = np.random.default_rng(0).normal(size=(6, 4, 4, 2))
        weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.1])
        light, booster = (
            x @ rocket.get_layer(f"{role}_hidden").kernel.numpy()[0, 0].astype(np.float64)
            for role in ("light", "booster")
        )
        light = light @ variable_of_projection(rocket).numpy()
        for sample_weight in (None, weight):
            logs = rocket.evaluate(
                x, np.zeros(6), sample_weight=sample_weight, return_dict=True, verbose=0
            )
            values = logits_mse(booster, light).mean((1, 2))
            expected = np.mean((1 if sample_weight is None else weight) * values)
            np.testing.assert_allclose(logs["hint_loss"], expected, rtol=1e-5)

    def test_a_teachers_layers_can_be_followed(self):
        _, teacher = pair(prefix="teacher_")
        hint = Hint(
            "cosine",
            1.0,
            follows="teacher",
            layers={"light_hidden": "teacher_booster_hidden"},
            projection=True,
        )
        rocket = RocketModel(pair()[0], teacher=teacher, hint=hint)
        rocket.compile(
            keras.optimizers.SGD(0.5), CROSS_ENTROPY, loss_weights={"light": 0.0}, run_eagerly=True
        )
        before = teacher.get_weights()
        losses = rocket.fit(*examples(16), epochs=10, verbose=0).history["teacher_loss"]
        assert losses[-1] < 0.8 * losses[0]
        for old, new in zip(before, teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_two_replicas_equal_one(self, two_replicas):
        x, y = examples(7)
        one = rocket_with(projected(), 0.05, 1.0)
        with two_replicas.scope():
            two = rocket_with(projected(), 0.05, 1.0, eagerly=False)
        assert_trained_alike(one, two, x, y)

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_it_is_float32_under_every_policy(self, policy):
        keras.config.set_dtype_policy(policy)
        rocket = rocket_with(projected("euclidean"), 0.0)
        x, y = examples(6)
        logits, hidden = rocket.forward(x, training=False)
        light, booster = (
            tf.cast(hidden[role][f"{role}_hidden"], tf.float64).numpy()
            for role in ("light", "booster")
        )
        assert hidden["light"]["light_hidden"].dtype == policy.removeprefix("mixed_")
        _, value = rocket.objective_terms(x, y, logits, hidden=hidden)["hint_loss"]
        light = light @ variable_of_projection(rocket).numpy()
        np.testing.assert_allclose(value, euclidean(booster, light).mean(), rtol=1e-6)


class TestOutsideTraining:
    def test_the_light_net_and_the_booster_do_not_contain_it(self):
        with_it, without = rocket_with(projected()), rocket_with(None)
        for role in ("light", "booster"):
            paths = [
                [variable.path for variable in getattr(rocket, role).variables]
                for rocket in (with_it, without)
            ]
            assert paths[0] == paths[1]
        assert count_parameters(with_it) == count_parameters(without) + NARROW * WIDE
        assert str(ownership(with_it)) == str(ownership(without))
        flow = gradient_flow(with_it, *examples(4))
        assert set(flow["hint_loss"]) == {"shared", "light only", "booster only"}

    def test_an_export_does_not_contain_it(self, tmp_path):
        rocket = rocket_with(projected(), 0.1)
        x, _ = examples(5)
        version = export_light(rocket, tmp_path)
        shapes = [
            tuple(shape)
            for _, shape in tf.train.list_variables(f"{version}/variables/variables")
            if shape
        ]
        assert sorted(shapes) == sorted(
            tuple(variable.shape) for variable in rocket.light.variables
        )
        logits = tf.saved_model.load(str(version)).signatures["serving_default"](
            features=tf.constant(x)
        )["logits"]
        np.testing.assert_allclose(logits, rocket.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


class TestSaving:
    @pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
    def test_saved_and_loaded(self, tmp_path, policy):
        keras.config.set_dtype_policy(policy)
        hints = [projected(), projected("cosine", 0.5, name="cosine_loss")]
        rocket = rocket_with(hints, 0.1, 1.0)
        x, y = examples(8)
        rocket.fit(x, y, batch_size=8, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert [hint.projection for hint in loaded.hints] == [True, True]
        for model in (rocket, loaded):
            model.fit(x, y, batch_size=8, verbose=0)
        logs = [model.evaluate(x, y, return_dict=True, verbose=0) for model in (rocket, loaded)]
        assert logs[0] == logs[1]
        for mine, theirs in zip(rocket.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_loaded_under_another_policy_it_computes_the_same(self, tmp_path):
        keras.config.set_dtype_policy("mixed_bfloat16")
        rocket = rocket_with(projected())
        rocket.save(tmp_path / "rocket.keras")
        keras.config.set_dtype_policy("float32")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        data = examples(8)
        assert loaded.evaluate(*data, verbose=0) == rocket.evaluate(*data, verbose=0)

    def test_weights_alone_saved_and_loaded(self, tmp_path):
        rocket, other = rocket_with(projected()), rocket_with(projected())
        rocket.save_weights(tmp_path / "rocket.weights.h5")
        other.load_weights(tmp_path / "rocket.weights.h5")
        np.testing.assert_array_equal(variable_of_projection(rocket), variable_of_projection(other))

    def test_a_saved_hint_that_predates_projections(self):
        config = Hint("logits_mse", layers=LAYERS).get_config()
        del config["projection"]
        assert not Hint.from_config(config).projection


class TestErrors:
    @pytest.mark.parametrize(
        "arguments",
        [{"loss": "logits_mse"}, {"loss": "attention", "layers": LAYERS}],
        ids=["on logits", "attention"],
    )
    def test_a_projection_with_nothing_to_project(self, arguments):
        with pytest.raises(ValueError, match=r"projection=True with loss='.*leave it out"):
            Hint(projection=True, **arguments)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_without_it_widths_must_be_equal(self, loss):
        with pytest.raises(
            ValueError, match=r"cannot compare.*\(None, 2\) and \(None, 6\).*projection=True"
        ):
            RocketModel(*pair(), hint=Hint(loss, layers=LAYERS))

    def test_positions_must_be_equal_even_with_it(self):
        inputs = keras.Input((4, 4, 2))

        def net(role, channels, size):
            hidden = layers.Conv2D(channels, size, name=f"{role}_hidden")(inputs)
            logits = layers.Dense(CLASSES, name=f"{role}_logits")(layers.Flatten()(hidden))
            return keras.Model(inputs, logits, name=role)

        with pytest.raises(ValueError, match=r"\(None, 4, 4, 2\) and \(None, 3, 3, 5\)"):
            RocketModel(net("light", 2, 1), net("booster", 5, 2), hint=projected())

    def test_widths_must_be_known(self):
        inputs = keras.Input((2, None))

        def net(role):
            hidden = layers.Activation("relu", name=f"{role}_hidden")(inputs)
            logits = layers.Lambda(lambda x: x[..., :CLASSES], (2, CLASSES))(hidden)
            return keras.Model(inputs, logits, name=role)

        with pytest.raises(ValueError, match="A projection is between layers of known widths"):
            RocketModel(net("light"), net("booster"), hint=projected())
