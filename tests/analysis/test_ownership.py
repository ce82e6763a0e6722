"""Who owns which parameters, and what the nets cost, against counts by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import Hint, RocketModel, gradient_flow, ownership
from rocket_tf.analysis.costs import count_multiply_adds, count_parameters
from rocket_tf.core.objective import BOOSTER_ONLY, LIGHT_ONLY, PARTS, SHARED, parts
from rocket_tf.networks import wide_resnet_pair
from tests.nets import CLASSES, CROSS_ENTROPY, FEATURES, examples, linear_pair
from tests.nets import SHARED as UNITS


def by_hand(shared, light, booster):
    return {"shared": shared, "light only": light, "booster only": booster}


def test_a_linear_pair():
    owned = ownership(RocketModel(*linear_pair()))
    assert owned.parameters == by_hand(FEATURES * UNITS, UNITS * CLASSES, UNITS * CLASSES)
    assert owned.layers == by_hand(["shared"], ["light_only"], ["booster_only"])
    each = FEATURES * UNITS + UNITS * CLASSES  # shared layers count in both nets
    assert owned.multiply_adds == {"light": each, "booster": each}


def test_printed_it_is_a_table():
    lines = str(ownership(RocketModel(*linear_pair()))).splitlines()
    cells = [line.rsplit(maxsplit=2) for line in lines[1:4]]
    assert cells == [["shared", "20", "1"], ["light only", "12", "1"], ["booster only", "12", "1"]]
    assert [line.split() for line in lines[5:]] == [["light", "32"], ["booster", "32"]]
    assert lines[0].split() == ["parameters", "layers"] and lines[4].split() == ["multiply-adds"]
    assert len({len(line) for line in lines[:4]}) == 1  # aligned


def test_moving_statistics_count_and_random_states_do_not():
    inputs = keras.Input((FEATURES,))
    low = layers.Dropout(0.5)(layers.BatchNormalization(name="norm")(inputs))
    light = keras.Model(inputs, layers.Dense(CLASSES, name="a")(low))
    high = layers.Dropout(0.5)(layers.BatchNormalization(name="own_norm")(low))
    booster = keras.Model(inputs, layers.Dense(CLASSES, name="b")(high))
    owned = ownership(RocketModel(light, booster))
    dense, norm = (FEATURES + 1) * CLASSES, 4 * FEATURES
    assert owned.parameters == by_hand(norm, dense, norm + dense)
    assert owned.layers == by_hand(["norm"], ["a"], ["own_norm", "b"])


def test_frozen_parameters_count_all_the_same():
    light, booster = linear_pair()
    booster.trainable = False
    assert ownership(RocketModel(light, booster)).parameters["booster only"] == UNITS * CLASSES


def test_layers_within_nets_that_are_layers():
    inner = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(UNITS, name="inside")])
    nets = []
    for role in ("light", "booster"):
        inputs = keras.Input((FEATURES,))
        nets.append(keras.Model(inputs, layers.Dense(CLASSES, name=role)(inner(inputs))))
    owned = ownership(RocketModel(*nets))
    assert owned.layers == by_hand(["inside"], ["light"], ["booster"])
    assert owned.parameters["shared"] == (FEATURES + 1) * UNITS


def test_nets_that_share_nothing_and_a_net_alone():
    (light, _), (_, booster) = linear_pair(), linear_pair()
    owned = ownership(RocketModel(light, booster))
    each = FEATURES * UNITS + UNITS * CLASSES
    assert owned.parameters == by_hand(0, each, each) and owned.layers["shared"] == []
    alone = ownership(RocketModel(light, hint=None))
    assert alone.parameters == by_hand(0, each, 0)
    assert alone.multiply_adds == {"light": each}
    assert "booster " not in str(alone).splitlines()[-1]


def test_a_teacher_is_not_counted():
    _, teacher = linear_pair()
    light, booster = linear_pair()
    with_teacher = RocketModel(light, booster, hint=Hint(follows="teacher"), teacher=teacher)
    assert ownership(with_teacher) == ownership(RocketModel(light, booster))


def test_the_nets_of_the_paper_add_up():
    for share in (True, False):
        light, booster = wide_resnet_pair(10, 16, input_shape=(8, 8, 3), share=share)
        owned = ownership(RocketModel(light, booster))
        assert sum(owned.parameters.values()) == count_parameters(RocketModel(light, booster))
        for net, own in ((light, LIGHT_ONLY), (booster, BOOSTER_ONLY)):
            assert owned.parameters[SHARED] + owned.parameters[own] == count_parameters(net)
        assert owned.multiply_adds == {
            "light": count_multiply_adds(light),
            "booster": count_multiply_adds(booster),
        }
        assert (owned.parameters["shared"] > 0) == share


def test_the_parts_are_those_of_the_gradient_flow_and_hold_each_variable_once():
    rocket = RocketModel(*linear_pair())
    by_part = parts(rocket.light, rocket.booster, lambda net: net.variables)
    assert tuple(by_part) == PARTS
    paths = [variable.path for variables in by_part.values() for variable in variables]
    assert sorted(paths) == sorted(variable.path for variable in rocket.variables)
    rocket.compile("sgd", CROSS_ENTROPY)
    assert set(gradient_flow(rocket, *examples(3))["light_loss"]) == set(PARTS)


def test_it_changes_nothing():
    rocket = RocketModel(*linear_pair())
    before = [weights.copy() for weights in rocket.get_weights()]
    ownership(rocket)
    for old, new in zip(before, rocket.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_models_that_are_not_rockets():
    with pytest.raises(ValueError, match=r"ownership needs a RocketModel. Received: model=<Func"):
        ownership(linear_pair()[0])
