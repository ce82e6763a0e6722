"""RocketModel reports mistakes at once, with what it received and how to fix it."""

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import Hint, RocketModel
from tests.nets import CLASSES, CROSS_ENTROPY, FEATURES, linear_pair


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
        with pytest.raises(ValueError, match="logits of the same shape"):
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
        with pytest.raises(ValueError, match="inputs of the same structure, shape and dtype"):
            RocketModel(linear_pair()[0], booster)

    def test_nets_that_are_not_functional(self):
        class Own(keras.Model):
            pass

        for net in (Own(), keras.Sequential([layers.Dense(3)]), "light"):
            with pytest.raises(ValueError, match="functional"):
                RocketModel(net, linear_pair()[1])

    def test_a_subclassed_model_as_last_layer_is_allowed(self):
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

    def test_different_layers_with_the_same_name(self):
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

    def test_a_hint_without_a_net_to_follow(self):
        with pytest.raises(ValueError, match="follows the booster"):
            RocketModel(linear_pair()[0])

    def test_teachers_that_do_not_fit(self):
        light, booster = linear_pair()
        with pytest.raises(ValueError, match="no hint follows it"):
            RocketModel(light, booster, teacher=linear_pair()[1])
        with pytest.raises(ValueError, match="share layers"):
            RocketModel(light, booster, hint=Hint(follows="teacher"), teacher=booster)
        with pytest.raises(ValueError, match="logits of the same shape"):
            RocketModel(
                light, booster, hint=Hint(follows="teacher"), teacher=linear_pair(classes=4)[1]
            )
