"""Label losses of any form have Keras's values; losses that do not fit logits are refused."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from rocket_tf import Hint, RocketModel
from tests.nets import CROSS_ENTROPY, examples, linear_pair, logits_of, weights_of
from tests.reference import cross_entropy, kd

COUNT = 6
WEIGHT = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.1])
LIGHT, BOOSTER = "light", "booster"


def repr_without_address(loss):
    """A name that is equal in all processes, which pytest-xdist needs."""
    return re.sub(" at 0x[0-9a-f]+", "", str(loss))


def _own(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


class Callable:
    def __call__(self, y_true, y_pred):
        return _own(y_true, y_pred)


class Own(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


class Doubled(keras.losses.MeanSquaredError):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return 2 * super().__call__(y_true, y_pred, sample_weight)


SQUARES = {
    "name": "mse",
    "name of a class": "MeanSquaredError",
    "class": keras.losses.MeanSquaredError,
    "instance": keras.losses.MeanSquaredError(),
    "function of Keras": keras.losses.mean_squared_error,
    "function": _own,
    "lambda": lambda y_true, y_pred: ops.mean((y_true - y_pred) ** 2, -1),
    "a value for each element": lambda y_true, y_pred: (y_true - y_pred) ** 2,
    "partial": functools.partial(keras.losses.huber, delta=2.0),
    "callable object": Callable(),
    "tf.function": tf.function(_own),
    "one scalar": lambda y_true, y_pred: ops.mean((y_true - y_pred) ** 2),
    "list": ["mse"],
    "tuple": (_own,),
    "own class": Own(),
    "call of its own": Doubled(),
}


def in_keras(rocket, loss, x, y, weight):
    """The loss of the light net, compiled by Keras alone."""
    alone = keras.Model(rocket.light.input, rocket.light.output)
    alone.compile("sgd", loss, run_eagerly=True)
    return alone.evaluate(x, y, sample_weight=weight, verbose=0)


def evaluated(rocket, loss, x, y, weight=None, run_eagerly=True):
    rocket.compile("sgd", loss, run_eagerly=run_eagerly)
    return rocket.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)


class TestEveryWay:
    @pytest.mark.parametrize("way", SQUARES)
    @pytest.mark.parametrize("shape", [(COUNT,), (COUNT, 1)])
    def test_squares_equal_keras(self, way, shape):
        rocket = RocketModel(*linear_pair(classes=1))
        x, _ = examples(COUNT)
        y = (3 * x[:, 0] + 1).reshape(shape)
        for weight in (None, WEIGHT):
            expected = in_keras(rocket, SQUARES[way], x, y, weight)
            logs = evaluated(rocket, SQUARES[way], x, y, weight)
            np.testing.assert_allclose(logs["light_loss"], expected, rtol=1e-6)
        if way not in ("partial", "one scalar", "own class", "call of its own"):
            light, booster = logits_of(weights_of(rocket), x)
            for name, logits in (("light_loss", light), ("booster_loss", booster)):
                squares = (logits[:, 0] - y.reshape(COUNT)) ** 2
                np.testing.assert_allclose(logs[name], np.mean(WEIGHT * squares), rtol=1e-5)

    @pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float64"])
    @pytest.mark.parametrize("loss", [_own, "mse"])
    def test_labels_of_any_dtype(self, loss, dtype):
        rocket = RocketModel(*linear_pair(classes=1))
        x, _ = examples(COUNT)
        y = (x[:, 0] > 0).astype(dtype)
        logs = evaluated(rocket, loss, x, y)
        light, _ = logits_of(weights_of(rocket), x)
        expected = np.mean((light[:, 0] - y.astype(float)) ** 2)
        np.testing.assert_allclose(logs["light_loss"], expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "loss, one_hot",
        [
            (CROSS_ENTROPY, False),
            (CROSS_ENTROPY.from_config(CROSS_ENTROPY.get_config()).fn, None),
            (functools.partial(CROSS_ENTROPY.fn, from_logits=True), False),
            (keras.losses.CategoricalCrossentropy(from_logits=True), True),
            (functools.partial(keras.losses.categorical_crossentropy, from_logits=True), True),
        ],
        ids=["sparse", "on probabilities", "partial of sparse", "one-hot", "partial of one-hot"],
    )
    def test_cross_entropies(self, loss, one_hot):
        rocket = RocketModel(*linear_pair())
        x, y = examples(COUNT)
        if one_hot is None:
            with pytest.raises(ValueError, match="light expects probabilities"):
                rocket.compile("sgd", loss)
            return
        light, _ = logits_of(weights_of(rocket), x)
        expected = np.mean(WEIGHT * cross_entropy(y, light))
        for labels in (np.eye(3)[y],) if one_hot else (y, y[:, None]):
            logs = evaluated(rocket, loss, x, labels, WEIGHT)
            np.testing.assert_allclose(logs["light_loss"], expected, rtol=1e-5)

    def test_a_dict_by_net(self):
        rocket = RocketModel(*linear_pair(classes=1))
        x, _ = examples(COUNT)
        y = x[:, 0]
        logs = evaluated(rocket, {LIGHT: _own, BOOSTER: "mae"}, x, y)
        light, booster = logits_of(weights_of(rocket), x)
        np.testing.assert_allclose(logs["light_loss"], np.mean((light[:, 0] - y) ** 2), rtol=1e-5)
        np.testing.assert_allclose(logs["booster_loss"], np.mean(abs(booster[:, 0] - y)), rtol=1e-5)

    def test_a_list_by_output_is_in_the_order_of_keras(self):
        inputs = keras.Input((3,))

        def net(role):
            outputs = {name: layers.Dense(1, name=f"{role}_{name}")(inputs) for name in ("b", "a")}
            return keras.Model(inputs, outputs, name=role)

        rocket = RocketModel(net(LIGHT), net(BOOSTER))
        x = np.random.default_rng(0).normal(size=(COUNT, 3)).astype("float32")
        y = {"b": x[:, 0], "a": x[:, 1]}
        logs = evaluated(rocket, [_own, "mae"], x, y)
        alone = keras.Model(rocket.light.input, rocket.light.output)
        alone.compile("sgd", [_own, "mae"], run_eagerly=True)
        expected = alone.evaluate(x, y, return_dict=True, verbose=0)
        for name in ("a", "b"):
            np.testing.assert_allclose(
                logs[f"light_{name}_loss"], expected[f"{name}_loss"], rtol=1e-6
            )
        with pytest.raises(ValueError, match="one for each output of a net, here 2"):
            rocket.compile("sgd", ["mse"] * 3)

    @pytest.mark.parametrize(
        "loss",
        [lambda y, p: (y - p) ** 2, _own, Own(name="a + b"), Own(name="<lambda>")],
        ids=["<lambda>", "_own", "a + b", "named <lambda>"],
    )
    def test_names_that_are_not_valid_as_scopes(self, loss):
        rocket = RocketModel(*linear_pair(classes=1), hint=Hint(name="a + <b>"))
        x, _ = examples(COUNT)
        y = x[:, :1]
        logs = evaluated(rocket, loss, x, y, run_eagerly=False)
        assert set(logs) == {"loss", "light_loss", "booster_loss", "a + <b>"}
        light, _ = logits_of(weights_of(rocket), x)
        np.testing.assert_allclose(logs["light_loss"], np.mean((light - y) ** 2), rtol=1e-5)
        assert set(rocket.fit(x, y, verbose=0).history) == set(logs)

    def test_gradients_of_a_function_equal_those_of_a_loss(self):
        x, _ = examples(COUNT)
        moved = []
        for loss in (_own, keras.losses.MeanSquaredError()):
            keras.utils.set_random_seed(0)
            rocket = RocketModel(*linear_pair(classes=1))
            rocket.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
            rocket.fit(x, x[:, 0], verbose=0)
            moved.append(rocket.get_weights())
        for one, other in zip(*moved, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


class TestRefusals:
    @pytest.mark.parametrize(
        "loss",
        [
            "ce",
            "crossentropy",
            "kld",
            "binary_crossentropy",
            keras.losses.Dice(),
            keras.losses.BinaryFocalCrossentropy(),
            functools.partial(keras.losses.kl_divergence),
            functools.partial(keras.losses.binary_crossentropy, label_smoothing=0.1),
        ],
        ids=repr_without_address,
    )
    def test_losses_on_probabilities(self, loss):
        with pytest.raises(ValueError, match="of light expects probabilities; pass a loss on"):
            RocketModel(*linear_pair()).compile("sgd", loss)

    @pytest.mark.parametrize(
        "loss", ["poisson", "Poisson", keras.losses.Poisson()], ids=repr_without_address
    )
    def test_poisson_expects_rates(self, loss):
        rocket = RocketModel(*linear_pair(classes=1))
        with pytest.raises(ValueError, match="expects rates, which are positive") as caught:
            rocket.compile("sgd", loss)
        assert "probabilities" not in str(caught.value)
        # The loss that the message suggests is Keras's Poisson loss of the exponential.
        x, _ = examples(COUNT)
        y = np.array([0.0, 1.0, 2.0, 3.0, 0.0, 1.0])
        logs = evaluated(rocket, lambda y, log_rate: ops.exp(log_rate) - y * log_rate, x, y)
        light, _ = logits_of(weights_of(rocket), x)
        expected = keras.losses.Poisson()(y[:, None], np.exp(light))
        np.testing.assert_allclose(logs["light_loss"], expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "loss",
        [
            keras.losses.KLDivergence(),
            keras.losses.CategoricalCrossentropy(),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            keras.losses.BinaryCrossentropy(),
            keras.losses.BinaryFocalCrossentropy(from_logits=True),
            keras.losses.Poisson(),
            keras.losses.Dice(),
            keras.losses.Hinge(),
            keras.losses.CategoricalHinge(),
        ],
        ids=lambda loss: loss.name,
    )
    def test_losses_for_labels_are_refused_as_hints_on_logits(self, loss):
        for hint in (loss, Hint):
            with pytest.raises(ValueError, match=f"compares the logits.*{loss.name}.*pass 'kd'"):
                Hint(loss, follows="teacher") if hint is Hint else RocketModel(
                    *linear_pair(), hint=loss
                )
        # Hidden layers may output probabilities.
        assert Hint(loss, layers={"low": "high"}).loss is loss

    def test_a_hint_loss_that_applies_the_softmax_itself(self):
        class Soft(keras.losses.KLDivergence):
            def call(self, y_true, y_pred):
                return super().call(ops.softmax(y_true), ops.softmax(y_pred))

        rocket = RocketModel(*linear_pair(), hint=Soft())
        logs = evaluated(rocket, {LIGHT: CROSS_ENTROPY, BOOSTER: CROSS_ENTROPY}, *examples(COUNT))
        light, booster = logits_of(weights_of(rocket), examples(COUNT)[0])
        divergence = kd(booster, light, 1.0) - kd(booster, booster, 1.0)
        np.testing.assert_allclose(logs["hint_loss"], np.mean(divergence), rtol=1e-4)


class TestOutputsWithoutClasses:
    def net(self, role, as_dict=False):
        inputs = keras.Input((4,))
        outputs = layers.Dense(1, name=f"{role}_logits")(inputs)[:, 0]
        return keras.Model(inputs, {"price": outputs} if as_dict else outputs, name=role)

    def test_are_refused_when_the_rocket_is_built(self):
        with pytest.raises(ValueError, match=r"light must give logits .*\(None,\).*Reshape"):
            RocketModel(self.net(LIGHT), self.net(BOOSTER))
        with pytest.raises(ValueError, match="Received: output 'price' of light of shape"):
            RocketModel(self.net(LIGHT, True), hint=None)
        net = self.net(LIGHT)
        light = keras.Model(net.input, layers.Reshape((1,))(net.output))
        with pytest.raises(ValueError, match=r"teacher must give logits .*\(None,\)"):
            RocketModel(light, teacher=self.net("teacher"), hint=Hint("kd", follows="teacher"))

    def test_a_reshape_fixes_them(self):
        light, booster = self.net(LIGHT), self.net(BOOSTER)
        rocket = RocketModel(
            *(
                keras.Model(net.input, layers.Reshape((1,))(net.output), name=net.name)
                for net in (light, booster)
            )
        )
        x = np.random.default_rng(0).normal(size=(COUNT, 4)).astype("float32")
        logs = evaluated(rocket, "mse", x, x[:, 0])
        squares = (light(x).numpy() - booster(x).numpy()) ** 2
        np.testing.assert_allclose(logs["hint_loss"], np.mean(squares), rtol=1e-5)
