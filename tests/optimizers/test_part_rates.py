"""Learning rates for parts of the weights, against a separate optimizer for each part."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.optimizers.catalog import OPTIMIZERS
from rocket_tf.optimizers.part_rates import with_part_rates

RATE = 0.05


def weights():
    return [
        keras.Variable([[1.0, -2.0, 0.5]], name="kernel"),
        keras.Variable([0.3, 0.1], name="bias"),
        keras.Variable([[2.0], [1.0]], name="kernel"),
    ]


def gradients(step):
    random = np.random.default_rng(step)
    return [tf.constant(random.normal(size=variable.shape), tf.float32) for variable in weights()]


def make(name, rate, decay=0.1):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [rate, rate / 2])
    return OPTIMIZERS[name].make(schedule, decay)


@pytest.mark.parametrize("name", OPTIMIZERS)
class TestFactors:
    def test_they_scale_the_learning_rate_of_a_part(self, name):
        """With a factor of 1/5, two weights move as under an optimizer with 1/5 of the rate."""
        mine, theirs, slow = weights(), weights(), weights()
        slowed = {id(variable) for variable in mine[:2]}
        optimizer = with_part_rates(
            make(name, RATE), lambda variable: 0.2 if id(variable) in slowed else 1.0
        )
        optimizer.build(mine)
        others = {}
        for variables, rate in ((theirs, RATE), (slow, RATE / 5)):
            others[rate] = make(name, rate)
            others[rate].build(variables)
        for step in range(5):
            optimizer.apply(gradients(step), mine)
            others[RATE].apply(gradients(step), theirs)
            others[RATE / 5].apply(gradients(step), slow)
        for own, expected in zip(mine, [*slow[:2], theirs[2]], strict=True):
            np.testing.assert_allclose(own, expected, rtol=1e-6)
        assert np.abs(mine[0] - theirs[0]).max() > 1e-3

    def test_weights_that_start_later_move_as_in_a_separate_training(self, name):
        mine, fresh = weights(), weights()
        late = {id(variable) for variable in mine[:2]}
        optimizer = with_part_rates(
            make(name, RATE), lambda variable: 1.0, lambda variable: id(variable) in late, 20
        )
        optimizer.build(mine)
        for step in range(20):
            optimizer.apply(gradients(step)[2:], mine[2:])
        for own, before in zip(mine[:2], weights(), strict=False):
            np.testing.assert_array_equal(own, before)
        own = OPTIMIZERS[name].make(RATE / 2, 0.1)
        own.build(fresh)
        for step in range(20, 24):
            optimizer.apply(gradients(step), mine)
            own.apply(gradients(step)[:2], fresh[:2])
        for one, expected in zip(mine[:2], fresh, strict=False):
            np.testing.assert_allclose(one, expected, rtol=1e-5)

    def test_a_saved_model_has_the_plain_optimizer(self, name, tmp_path):
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        plain = make(name, RATE)
        kind = type(plain)
        model.compile(with_part_rates(plain, lambda variable: 0.2), "mse")
        model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert type(loaded.optimizer) is kind
