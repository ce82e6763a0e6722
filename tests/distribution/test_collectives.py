"""A training step has few collectives, no matter how many layers a net has."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import RocketModel
from rocket_tf.networks import FusedBatchNormalization
from tests.distribution import collectives
from tests.distribution.test_multi_worker import start_two
from tests.nets import CLASSES, CROSS_ENTROPY

pytestmark = pytest.mark.slow


def normalized(name, count):
    inputs = keras.Input((4, 4, 2))
    x = inputs
    for _ in range(count):
        x = FusedBatchNormalization()(x)
    x = layers.Dense(CLASSES, name=f"{name}_logits")(layers.Flatten()(x))
    return keras.Model(inputs, x, name=name)


def test_on_two_workers(tmp_path):
    """The five tell whether a batch is left, count examples, sum gradients, and sum logs twice.

    Before packing there were 65: 50 for statistics, 12 for 6 logs, and 3 others.
    """
    workers = start_two("-m", "tests.distribution.collectives", f"{tmp_path}/{{worker}}.json")
    for worker in workers:
        _, printed = worker.communicate(timeout=540)
        assert worker.returncode == 0, printed
    first, second = (json.loads((tmp_path / f"{worker}.json").read_text()) for worker in range(2))
    assert first["count"] == second["count"] == 5
    # The workers train on different examples and end with the same weights and statistics.
    assert first["digest"] == second["digest"]


def test_on_two_replicas(two_replicas):
    """One collective counts examples; the other sums gradients and statistics."""
    count, rocket = collectives.of_a_pair(two_replicas, 10, 16)
    assert count == 2
    for variable in rocket.variables:
        first, second = two_replicas.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second)


def test_all_are_counted(two_replicas):
    """A step by Keras has a collective for each normalization and one for the gradients."""
    with two_replicas.scope():
        net = normalized("net", 3)
        net.compile("sgd", CROSS_ENTROPY)
    x, y = np.zeros((4, 4, 4, 2), np.float32), np.zeros(4, np.int64)
    assert collectives.of_a_step(net, x, y) == 3 + 1


def test_a_hint_over_the_batch_adds_one_forward_and_one_back(two_replicas):
    with two_replicas.scope():
        rocket = RocketModel(normalized("light", 1), normalized("booster", 2), hint="dist")
        rocket.compile("sgd", CROSS_ENTROPY)
    x, y = np.zeros((4, 4, 4, 2), np.float32), np.zeros(4, np.int64)
    assert collectives.of_a_step(rocket, x, y) == 2 + 2


def test_loss_scaling_needs_no_more(two_replicas):
    keras.config.set_dtype_policy("mixed_float16")
    with two_replicas.scope():
        rocket = RocketModel(normalized("light", 1), normalized("booster", 2))
        rocket.compile(keras.optimizers.Adam(global_clipnorm=1.0), CROSS_ENTROPY)
    x, y = np.zeros((4, 4, 4, 2), np.float32), np.zeros(4, np.int64)
    assert collectives.of_a_step(rocket, x, y) == 2
