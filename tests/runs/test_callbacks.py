"""Callbacks of a run that write files or show its progress."""

import keras
import pytest
import tensorflow as tf

from rocket_tf.runs import callbacks as run_callbacks
from rocket_tf.runs.callbacks import EventFiles, ShowProgress


def test_events_that_cannot_be_written_are_an_error_of_the_system(tmp_path, monkeypatch):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    callback = EventFiles(tmp_path / "events")
    callback.set_model(model)
    callback.on_epoch_end(0, {"loss": 1.0})

    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(keras.callbacks.TensorBoard, "on_epoch_end", full)
    with pytest.raises(OSError, match=r"events: cannot be written: Resource.*No space left"):
        callback.on_epoch_end(1, {"loss": 1.0})
    assert list((tmp_path / "events").rglob("*tfevents*"))


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch, capsys):
    """An epoch resumes after 3 of its 10 steps, and another follows; a step takes 25 s."""
    now = 1000.0
    monkeypatch.setattr(run_callbacks.time, "monotonic", lambda: now)
    progress = ShowProgress(2, 10, 0, 3, lambda logs: logs, "test", [])
    progress.on_train_begin()
    for epoch, steps in ((0, 7), (1, 10)):
        progress.on_epoch_begin(epoch)
        for batch in range(steps):
            now += 95 if (epoch, batch) == (0, 0) else 25  # the first one is traced
            progress.on_train_batch_end(batch)
        progress.on_epoch_end(epoch, {"loss": 0.5})
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2, step 5/10, 6 min left",
        "epoch 1/2, step 8/10, 5 min left",
        "epoch 1/2: loss 0.500",
        "epoch 2/2, step 3/10, 3 min left",
        "epoch 2/2, step 6/10, 2 min left",
        "epoch 2/2, step 9/10, 25 s left",
        "epoch 2/2, 0 s left: loss 0.500",
    ]
