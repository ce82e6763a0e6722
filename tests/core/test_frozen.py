"""A teacher never trains, whatever is thawed; rockets without trainable variables still run."""

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import Hint, RocketModel
from tests.nets import CLASSES, CROSS_ENTROPY, FEATURES, examples, linear_pair, weights_of

L2 = keras.regularizers.L2(0.1)


def regularized_teacher():
    """A teacher with weight and activation penalties, dropout and batch normalization."""
    inputs = keras.Input((FEATURES,), name="features")
    x = layers.Dense(8, "relu", kernel_regularizer=L2, name="teacher_hidden")(inputs)
    x = layers.ActivityRegularization(l2=0.3, name="teacher_activity")(x)
    x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    logits = layers.Dense(CLASSES, kernel_regularizer=L2, name="teacher_logits")(x)
    return keras.Model(inputs, logits, name="teacher")


def taught(**arguments):
    hint = [Hint("logits_mse", 0.3), Hint("kd", 1.0, follows="teacher")]
    return RocketModel(*linear_pair(), hint=hint, teacher=regularized_teacher(), **arguments)


def compiled(rocket, eagerly=False):
    rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, run_eagerly=eagerly)
    return rocket


def thaw_the_rocket(rocket):
    rocket.trainable = False
    rocket.trainable = True
    return rocket


def thaw_the_teacher(rocket):
    rocket.teacher.trainable = True
    return rocket


def thaw_each_layer(rocket):
    for layer in [*rocket.layers, *rocket.teacher.layers]:
        layer.trainable = True
    return rocket


def thaw_variables(rocket):
    for variable in rocket.teacher.variables:
        variable.trainable = True
    return rocket


THAWING = [thaw_the_rocket, thaw_the_teacher, thaw_each_layer, thaw_variables]


class TestTeacher:
    @pytest.mark.parametrize("again", [False, True], ids=["", "compiled again"])
    @pytest.mark.parametrize("thaw", THAWING)
    def test_it_neither_changes_nor_adds_its_penalty(self, thaw, again):
        # Steps that are already traced must follow without another compile().
        rocket = compiled(taught(), eagerly=again)
        x, y = examples(12)
        logs = rocket.evaluate(x, y, verbose=0, return_dict=True)
        terms = logs["light_loss"] + logs["booster_loss"] + 0.3 * logs["hint_loss"]
        np.testing.assert_allclose(logs["loss"], terms + logs["teacher_loss"], rtol=1e-5)
        trained = [variable.path for variable in rocket.trainable_variables]
        before = rocket.teacher.get_weights()
        thaw(rocket)
        if again:
            compiled(rocket, eagerly=True)
        assert [variable.path for variable in rocket.trainable_variables] == trained
        assert rocket.evaluate(x, y, verbose=0, return_dict=True) == logs
        start = weights_of(rocket)
        rocket.fit(x, y, epochs=2, verbose=0)
        for old, new in zip(before, rocket.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        assert np.abs(weights_of(rocket)["light_only"] - start["light_only"]).max() > 1e-4

    @pytest.mark.parametrize("thaw", THAWING)
    def test_variables_are_trained_or_not(self, thaw):
        rocket = thaw(taught())
        for kind in ("variables", "weights"):
            trained = getattr(rocket, f"trainable_{kind}")
            others = getattr(rocket, f"non_trainable_{kind}")
            every = getattr(rocket, kind)
            trained, others, every = (list(map(id, each)) for each in (trained, others, every))
            nets = rocket.light.trainable_variables + rocket.booster.trainable_variables
            assert set(trained) == set(map(id, nets))
            assert [each for each in every if each not in trained] == others
            assert len(trained) + len(others) == len(every)

    def test_thawed_saved_and_loaded(self, tmp_path):
        rocket = compiled(thaw_each_layer(taught()), eagerly=True)
        x, y = examples(12)
        rocket.fit(x, y, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = thaw_the_rocket(keras.models.load_model(tmp_path / "rocket.keras"))
        before = loaded.teacher.get_weights()
        assert loaded.evaluate(x, y, verbose=0) == rocket.evaluate(x, y, verbose=0)
        loaded.fit(x, y, verbose=0)
        for old, new in zip(before, loaded.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_two_replicas(self, two_replicas):
        with two_replicas.scope():
            rocket = compiled(thaw_the_teacher(taught()))
        before = rocket.teacher.get_weights()
        rocket.fit(*examples(12), batch_size=4, verbose=0)
        for old, new in zip(before, rocket.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_penalties_of_the_nets_stay_in_the_loss(self):
        inputs = keras.Input((FEATURES,), name="features")
        light = layers.Dense(CLASSES, kernel_regularizer=L2, name="light_logits")(inputs)
        rocket = RocketModel(
            keras.Model(inputs, light, name="light"),
            hint=Hint("kd", 1.0, follows="teacher"),
            teacher=regularized_teacher(),
        )
        compiled(thaw_the_teacher(rocket), eagerly=True)
        logs = rocket.evaluate(*examples(12), verbose=0, return_dict=True)
        kernel = rocket.light.get_layer("light_logits").kernel.numpy().astype(np.float64)
        expected = logs["light_loss"] + logs["teacher_loss"] + 0.1 * np.sum(kernel**2)
        np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)

    def test_the_rockets_own_flag_freezes_it_again(self):
        rocket = thaw_the_teacher(taught())
        rocket.trainable = True
        assert not rocket.teacher.trainable


class TestNothingToTrain:
    """Rockets do what Keras does: they warn, log correct values and change no weight."""

    def check(self, rocket, **arguments):
        x, y = examples(12)
        before = rocket.get_weights()
        with pytest.warns(UserWarning, match="no trainable variables"):
            history = rocket.fit(x, y, verbose=0, **arguments).history
        for old, new in zip(before, rocket.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        logs = rocket.evaluate(x, y, verbose=0, return_dict=True)
        for name, value in logs.items():
            np.testing.assert_allclose(history[name], [value], rtol=1e-5)

    @pytest.mark.parametrize("learn_from", ["both", "booster"])
    def test_a_frozen_rocket(self, learn_from):
        rocket = RocketModel(*linear_pair(), shared_layers_learn_from=learn_from)
        rocket.trainable = False
        self.check(compiled(rocket, eagerly=learn_from == "booster"))

    def test_all_layers_frozen(self):
        rocket = RocketModel(*linear_pair())
        for layer in rocket.light.layers + rocket.booster.layers:
            layer.trainable = False
        self.check(compiled(rocket, eagerly=True))

    def test_frozen_after_it_was_trained(self):
        rocket = compiled(taught())
        rocket.fit(*examples(12), verbose=0)
        rocket.trainable = False
        self.check(rocket)
        rocket.trainable = True
        before = weights_of(rocket)
        rocket.fit(*examples(12), verbose=0)
        assert np.abs(weights_of(rocket)["shared"] - before["shared"]).max() > 1e-4

    def test_two_replicas(self, two_replicas):
        with two_replicas.scope():
            rocket = RocketModel(*linear_pair())
            rocket.trainable = False
            compiled(rocket)
        self.check(rocket, batch_size=4)

    def test_loss_scaling(self):
        keras.config.set_dtype_policy("mixed_float16")
        rocket = RocketModel(*linear_pair())
        rocket.trainable = False
        self.check(compiled(rocket, eagerly=True))

    def test_saved_and_loaded(self, tmp_path):
        rocket = RocketModel(*linear_pair())
        rocket.trainable = False
        compiled(rocket, eagerly=True).save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        assert loaded.trainable_variables == []
        self.check(loaded)


def test_without_an_optimizer_a_rocket_is_saved_and_loaded(tmp_path):
    rocket = RocketModel(*linear_pair())
    rocket.compile(None, CROSS_ENTROPY, run_eagerly=True)
    x, y = examples(12)
    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    assert loaded.evaluate(x, y, verbose=0) == rocket.evaluate(x, y, verbose=0)


def test_shared_layers_are_recognized_whatever_the_nets_trainable_flags():
    rocket = RocketModel(*linear_pair(), shared_layers_learn_from="booster")
    rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, loss_weights={"booster": 0.0})
    rocket.light.trainable = False
    rocket.booster.trainable = True  # also sets the shared layer's flag
    before = weights_of(rocket)
    rocket.fit(*examples(12), verbose=0)
    np.testing.assert_array_equal(weights_of(rocket)["shared"], before["shared"])
