"""Hints by which the booster follows the light net: values, gradients, routing, layers, errors."""

import keras
import numpy as np
import pytest

from rocket_tf import Hint, RocketModel, gradient_flow
from tests.linear_rockets import compiled
from tests.nets import CROSS_ENTROPY, examples, linear_pair, logits_of, weights_of
from tests.reference import cross_entropy, finite_differences, kd, logits_mse

X, Y = examples(6)


def both_ways(**arguments):
    """A rocket with a hint in each direction; their losses and weights differ."""
    hints = [Hint("kd", 0.5, temperature=2.0), Hint("logits_mse", 0.2, follows="light")]
    return compiled(hint=hints, **arguments)


def test_the_default_name_tells_which_net_follows():
    hint = Hint("kd", follows="light")
    assert (hint.name, hint.follower) == ("booster_hint_loss", "booster")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(hint))
    assert (copy.name, copy.follows, copy.follower) == (hint.name, "light", "booster")


@pytest.mark.parametrize("routing", ["both", "booster"])
def test_a_step_equals_numpy(routing):
    rocket = both_ways(shared_layers_learn_from=routing)
    before = weights_of(rocket)
    light, booster = logits_of(before, X)
    own_by_light, own_by_booster = {"light_only"}, {"booster_only"}

    def of_light(weights):
        logits, _ = logits_of(weights, X)
        return np.mean(cross_entropy(Y, logits) + 0.5 * kd(booster, logits, 2.0))

    def of_booster(weights):
        _, logits = logits_of(weights, X)
        return np.mean(cross_entropy(Y, logits) + 0.2 * logits_mse(light, logits))

    expected = {name: matrix.copy() for name, matrix in before.items()}
    for function, own in ((of_light, own_by_light), (of_booster, own_by_booster)):
        moved = own if routing == "booster" and function is of_light else own | {"shared"}
        for name, gradient in finite_differences(function, before).items():
            expected[name] -= gradient if name in moved else 0
    logs = rocket.train_on_batch(X, Y, return_dict=True)
    assert list(logs)[:5] == [
        "loss",
        "light_loss",
        "booster_loss",
        "hint_loss",
        "booster_hint_loss",
    ]
    np.testing.assert_allclose(
        logs["booster_hint_loss"], logits_mse(light, booster).mean(), rtol=1e-5
    )
    for name, matrix in weights_of(rocket).items():
        np.testing.assert_allclose(matrix, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gradient_block", [True, False])
def test_gradient_flow(gradient_block):
    flow = gradient_flow(both_ways(gradient_block=gradient_block), X, Y)
    back = flow["booster_hint_loss"]
    assert back["light only"] == 0 < min(back["shared"], back["booster only"])
    assert (flow["hint_loss"]["booster only"] == 0) == gradient_block


def test_it_is_part_of_the_boosters_objective():
    rocket = both_ways(shared_layers_learn_from="booster")
    assert rocket.objective.part_of("booster_hint_loss") == "booster"
    flow = gradient_flow(rocket, X, Y)
    assert flow["hint_loss"]["shared"] == 0 < flow["booster_hint_loss"]["shared"]


def test_it_is_weighted_by_the_boosters_sample_weights():
    rocket = both_ways()
    own = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0], np.float32)
    weights = {"light": np.ones(6, np.float32), "booster": own}
    logits, _ = rocket.forward(X, training=False)
    terms = rocket.objective_terms(X, Y, logits, weights)
    light, booster = (np.float64(logits[net]) for net in ("light", "booster"))
    expected = (own * logits_mse(light, booster)).mean()
    np.testing.assert_allclose(terms["booster_hint_loss"][1], expected, rtol=1e-5)
    np.testing.assert_allclose(terms["hint_loss"][1], kd(booster, light, 2.0).mean(), rtol=1e-5)


class TestLayers:
    def pair(self):
        inputs = keras.Input((5,))
        nets = []
        for name, width in (("light", 4), ("booster", 7)):
            hidden = keras.layers.Dense(width, name=f"{name}_hidden")(inputs)
            nets.append(keras.Model(inputs, keras.layers.Dense(3)(hidden), name=name))
        return nets

    def test_map_the_boosters_layers_to_the_light_nets(self):
        pairs = {"booster_hidden": "light_hidden"}
        hint = Hint("logits_mse", 0.3, follows="light", layers=pairs, projection=True)
        light, booster = self.pair()
        rocket = RocketModel(light, booster, hint=hint)
        rocket.compile("sgd", CROSS_ENTROPY)
        logits, hidden = rocket.forward(X, training=False)
        (projection,) = rocket.objective.projections.values()
        assert projection.kernel.shape == (7, 4)
        own = np.float64(hidden["booster"]["booster_hidden"]) @ np.float64(projection.kernel)
        expected = logits_mse(np.float64(hidden["light"]["light_hidden"]), own).mean()
        _, value = rocket.objective_terms(X, Y, logits, hidden=hidden)["booster_hint_loss"]
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert gradient_flow(rocket, X, Y)["booster_hint_loss"]["light only"] == 0

    def test_are_named_in_messages(self):
        pairs = {"booster_hidden": "light_hidden"}
        with pytest.raises(ValueError, match="cannot compare the booster's layer 'booster_hidden'"):
            RocketModel(*self.pair(), hint=Hint("cosine", follows="light", layers=pairs))
        with pytest.raises(ValueError, match="names of the booster's layers to names of the light"):
            Hint("cosine", follows="light", layers=["low"])


def test_it_needs_a_booster():
    light, _ = linear_pair()
    with pytest.raises(ValueError, match="the booster follows the light net, and there is no"):
        RocketModel(light, hint=Hint("kd", follows="light"))


def test_two_hints_with_the_same_name_are_refused():
    hints = [Hint("kd", follows="light"), Hint("logits_mse", follows="light")]
    with pytest.raises(ValueError, match="different names"):
        RocketModel(*linear_pair(), hint=hints)
