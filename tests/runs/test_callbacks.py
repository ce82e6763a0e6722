"""Callbacks of a run that write files."""

import keras
import pytest
import tensorflow as tf

from rocket_tf.runs.callbacks import EventFiles


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
