"""Checkpoints alone: each variable is read back as it was written, or the file is refused."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.errors import CheckpointError
from rocket_tf.runs import checkpoints as run_checkpoints
from rocket_tf.runs.checkpoints import Checkpoints, restore_weights
from rocket_tf.runs.progress import Progress


def net(units=3, dtype="float32", seed=0):
    """A net with weights, a generator's state and an optimizer with moments."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,), dtype=dtype)
    low = keras.layers.Dropout(0.5, seed=seed, dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(units, dtype=dtype)(low))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def trained(**arguments):
    model = net(**arguments)
    model.train_on_batch(np.ones((5, 4)), np.zeros((5, model.output.shape[-1])))
    return model


def state(model):
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def test_what_is_saved_is_restored(tmp_path, capsys, monkeypatch):
    first, second = trained(), net(seed=1)
    Checkpoints(tmp_path, first, kept=1).save(2)
    restored = Checkpoints(tmp_path, second, kept=1).restore()
    assert (restored.progress, restored.replicas) == (Progress(2), 1)
    for mine, theirs in zip(state(second), state(first), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert capsys.readouterr().out == ""  # nothing is shown for a small one
    monkeypatch.setattr("rocket_tf.system.transfers.LARGE", 1)
    Checkpoints(tmp_path, first, kept=1).save(3)
    third = net(seed=2)
    restore_weights(tmp_path, 3, third)
    for mine, theirs in zip(third.variables, first.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    path = tmp_path / "epoch-3"
    assert capsys.readouterr().out == f"Saving {path} (0.0 GB)\nReading {path} (0.0 GB)\n"


def test_replicas_get_the_same(tmp_path, two_replicas):
    first = trained()
    Checkpoints(tmp_path, first, kept=1).save(1)
    with two_replicas.scope():
        second = net(seed=1)
    Checkpoints(tmp_path, second, kept=1).restore()
    for variable, expected in zip(
        second.trainable_variables, first.trainable_variables, strict=True
    ):
        copies = two_replicas.experimental_local_results(variable.value)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_array_equal(copy.numpy(), expected.numpy())


@pytest.mark.parametrize("other", [{"units": 2}, {"dtype": "float64"}], ids=["shape", "dtype"])
def test_a_checkpoint_of_another_net(other, tmp_path, caplog):
    Checkpoints(tmp_path, trained(), kept=1).save(1)
    model = net(**other)
    before = state(model)
    caplog.set_level(logging.WARNING)
    with pytest.raises(CheckpointError, match="None of the checkpoints"):
        Checkpoints(tmp_path, model, kept=1).restore()
    assert "there, but" in caplog.text
    with pytest.raises(CheckpointError, match="the checkpoint of epoch 1"):
        restore_weights(tmp_path, 1, model)
    for mine, theirs in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_checkpoint_without_a_variable(tmp_path):
    inputs = keras.Input((4,))
    small = keras.Model(inputs, keras.layers.Dense(3, use_bias=False)(inputs))
    small.compile("sgd", "mse")
    Checkpoints(tmp_path, small, kept=1).save(1)
    with pytest.raises(CheckpointError, match="None of the checkpoints"):
        Checkpoints(tmp_path, net(), kept=1).restore()


def test_variables_are_read_one_by_one(tmp_path, monkeypatch):
    """At most the largest is in memory twice, not all of them at once."""
    Checkpoints(tmp_path, trained(), kept=1).save(1)
    alive, most = 0, 0
    model = net()
    load = tf.train.load_checkpoint

    class Reader:
        def __init__(self, path):
            self._reader = load(path)

        def __getattr__(self, name):
            return getattr(self._reader, name)

        def get_tensor(self, name):
            nonlocal alive, most
            alive += name.startswith(("model/", "optimizer/"))
            most = max(most, alive)
            return self._reader.get_tensor(name)

    kind = type(model.variables[0].value)
    assign = kind.assign

    def count(self, *arguments):
        nonlocal alive
        alive -= 1
        return assign(self, *arguments)

    checkpoints = Checkpoints(tmp_path, model, kept=1)
    monkeypatch.setattr(run_checkpoints.tf.train, "load_checkpoint", Reader)
    monkeypatch.setattr(kind, "assign", count)
    checkpoints.restore()
    assert (alive, most) == (0, 1)
