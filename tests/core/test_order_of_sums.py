"""Sums of three or more tensors are always added in the same order.

`tf.add_n` starts with the first summand whose buffer can be reused, which in training depends on
timing. In these tests, a summand that the function also returns can never be reused.
"""

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.core.objective import Objective, sum_in_order, sum_of_gradients
from rocket_tf.core.tensorflow_internals import aggregate_gradients_by
from rocket_tf.runs.building import build_model
from rocket_tf.runs.finished import keras_settings
from tests.small_runs import card_of, small_config

SUMMANDS = (1e8, -1e8, 1.0)  # forwards, their float32 sum is 1; backwards, it is 0
NEEDED = ((), (0,), (0, 1), (0, 1, 2))


def sum_of(add, needed):
    """The sum of `SUMMANDS` in a function that also returns the summands at `needed`."""

    @tf.function
    def step(inputs, factor):
        values = [each * factor for each in inputs]
        return add(values), [values[each] for each in needed]

    inputs = [tf.constant(value) for value in SUMMANDS]
    return float(step(inputs, tf.constant(1.0))[0])


def test_the_order_is_fixed():
    assert [sum_of(sum_in_order, needed) for needed in NEEDED] == [1.0] * 4


@pytest.mark.parametrize("add", [tf.add_n, sum])
def test_tensorflows_order_is_not_fixed(add):
    """Once this fails, TensorFlow no longer needs `sum_in_order`."""
    assert sum_of(add, ()) != sum_of(add, (0, 1))


def test_the_objective_is_a_sum_in_order():
    objective = Objective({}, {})
    objective.part_of = lambda name: "both"

    def add(values):
        return objective.losses({str(v): (1.0, value) for v, value in enumerate(values)})["both"]

    assert [sum_of(add, needed) for needed in NEEDED] == [1.0] * 4


def gradient_of(needed):
    """The gradient of a tensor that three operations read; its summands cancel."""

    @tf.function
    def step(x, factors):
        with tf.GradientTape() as tape:
            y = tf.identity(x)
            tape.watch(y)
            readings = [y * factor for factor in factors]
            # The gradient of y sums the gradients of these tensors, each multiplied by its factor.
            value = tf.add_n([tf.reduce_sum(reading) for reading in readings])
        gradients = tape.gradient(value, [y, *readings])
        return gradients[0], [gradients[1 + each] for each in needed]

    return step(tf.ones((4, 3)), [tf.constant(value) for value in SUMMANDS])[0].numpy()


def test_tapes_sum_in_order():
    aggregate_gradients_by(sum_of_gradients)
    for needed in NEEDED:
        np.testing.assert_array_equal(gradient_of(needed), np.ones((4, 3)))


def test_gradients_of_tables_stay_sparse():
    aggregate_gradients_by(sum_of_gradients)
    table = tf.Variable(np.arange(10.0).reshape(5, 2))
    with tf.GradientTape() as tape:
        value = sum(tf.reduce_sum(tf.gather(table, ids)) for ids in ([1, 3], [3], [0, 3, 4]))
    gradient = tape.gradient(value, table)
    assert isinstance(gradient, tf.IndexedSlices)
    expected = [[1, 1], [1, 1], [0, 0], [3, 3], [1, 1]]
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient), expected)


@pytest.mark.slow
def test_no_step_of_a_run_leaves_the_order_to_tensorflow():
    """Where the light net and the booster branch, four operations read the last shared tensor."""
    config = small_config()
    with keras_settings(config):
        model = build_model(config, card_of(config))
        x, y = tf.ones((5, 8, 8, 1)), tf.zeros(5, "int64")
        step = tf.function(lambda x, y: model.train_step((x, y))).get_concrete_function(x, y)
    sums = [op for op in step.graph.get_operations() if op.type in ("AddN", "AccumulateNV2")]
    assert len(sums) > 10
    assert [op.name for op in sums if len(op.inputs) > 2] == []
