"""Coupled L2 and schedules against hand-computed steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf.config import bundled as ready_configs
from rocket_tf.optimizers.schedules import piecewise_schedule
from rocket_tf.optimizers.sgd import SGDWithL2
from rocket_tf.runs.building import make_optimizer, make_schedule
from tests.small_runs import card_of


def test_l2_is_part_of_the_gradient():
    variable = keras.Variable([2.0, -1.0])
    optimizer = SGDWithL2(0.1, momentum=0.9, l2=0.01)
    weight, velocity = np.array([2.0, -1.0]), np.zeros(2)
    gradient = np.array([0.5, 0.25])
    for _ in range(3):
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        velocity = 0.9 * velocity - 0.1 * (gradient + 0.01 * weight)
        weight = weight + velocity
        np.testing.assert_allclose(variable, weight, rtol=1e-6)


def test_l2_equals_a_penalty_in_the_loss():
    results = []
    for penalised in (False, True):
        variable = keras.Variable([2.0, -1.0])
        optimizer = SGDWithL2(0.1, l2=0.0 if penalised else 0.02)
        for _ in range(4):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.sin(variable.value))
                if penalised:
                    loss += 0.02 / 2 * tf.reduce_sum(variable.value**2)
            optimizer.apply([tape.gradient(loss, variable.value)], [variable])
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_config_round_trip():
    optimizer = SGDWithL2(0.3, momentum=0.5, l2=0.25)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert (float(copy.learning_rate), copy.momentum, copy.l2) == (pytest.approx(0.3), 0.5, 0.25)


def test_negative_l2():
    with pytest.raises(ValueError, match="l2"):
        SGDWithL2(l2=-1.0)


@pytest.mark.parametrize(
    "name, epochs",
    [
        # Epochs are counted from 1, as in the authors' release.
        ("cifar10", (60, 120, 160)),
        ("cifar100", (60, 120, 160)),
        ("cifar10_bottom", (70, 130, 190)),
        ("cifar10_bottom:booster", (60, 120, 160)),
    ],
)
def test_drops_fall_on_the_first_step_of_their_epoch(name, epochs):
    config = dict(ready_configs.load(*name.split(":")))
    steps = options.steps_per_epoch(config, card_of(config))
    assert steps == 391
    schedule = make_schedule(config, options.total_steps(config, card_of(config)))
    assert float(schedule(0)) == pytest.approx(0.1)
    for epoch, expected in zip(epochs, (0.02, 0.004, 0.0008), strict=True):
        first_step = (epoch - 1) * steps
        np.testing.assert_allclose(schedule(first_step - 1), expected * 5, rtol=1e-5)
        np.testing.assert_allclose(schedule(first_step), expected, rtol=1e-5)


def test_without_drops_the_learning_rate_stays():
    schedule = piecewise_schedule(0.1, (), 0.2, 100)
    assert [float(schedule(step)) for step in (0, 99, 1000)] == [np.float32(0.1)] * 3


@pytest.mark.parametrize("epochs", [1, 5, 20])
def test_drops_scale_with_the_epochs(epochs):
    config = dict(options.default(), epochs=epochs)
    total = options.steps_per_epoch(config, card_of(config)) * epochs
    schedule = make_optimizer(config, total)._learning_rate
    rates = [float(schedule(round(fraction * total))) for fraction in (0, 0.295, 0.595, 0.795)]
    np.testing.assert_allclose(rates, [0.1, 0.02, 0.004, 0.0008], rtol=1e-5)


def test_optimizers_of_the_recipes():
    config = dict(options.default())
    optimizer = make_optimizer(config, 100)
    assert (optimizer.momentum, optimizer.l2, optimizer.nesterov) == (0.9, 5e-4, False)
    config.update(optimizer="adam", weight_decay=0.0, learning_rate=1e-3)
    assert isinstance(make_optimizer(config, 100), keras.optimizers.Adam)
