"""Runs on images that are streamed: as in memory, to the last bit, however often they are ended."""

from unittest import mock

import numpy as np
import pytest
from PIL import Image

from rocket_tf import train
from rocket_tf.errors import DamagedDataError
from rocket_tf.runs import callbacks as run_callbacks
from tests.small_runs import metrics, quick_runs, small_config, state


@pytest.fixture
def folder(tmp_path):
    """Two classes of images of other sizes than the nets', 14 for training."""
    random = np.random.default_rng(0)
    for part, count in (("train", 7), ("test", 3)):
        for name, centre in (("dark", 60), ("light", 190)):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(centre - 60, centre + 60, (9 + number, 12, 3))
                path = tmp_path / "images" / part / name / f"{number}.jpg"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "images"


def config_of(folder, streaming):
    return small_config(
        dataset="image_folder",
        data_path=str(folder),
        image_size=8,
        streaming=streaming,
        train_examples=0,
        batch_size=4,
        epochs=2,
        booster_depth=10,
        flip=True,
        checkpoint_every_steps=1,
    )


def interrupted(steps):
    """Ends a run by an exception after so many steps of an epoch."""

    def interrupt(callback, batch, logs=None):
        save(callback, batch, logs)
        if batch + 1 == steps:
            raise KeyboardInterrupt

    save = run_callbacks.SaveCheckpoints.on_train_batch_end
    return mock.patch.object(run_callbacks.SaveCheckpoints, "on_train_batch_end", interrupt)


def test_streamed_and_ended_twice_is_as_in_memory(folder, tmp_path):
    config = config_of(folder, "always")
    with quick_runs():
        expected = train.train_and_evaluate(config_of(folder, "never"), tmp_path / "a", False)
        for steps in (1, 2):
            with interrupted(steps), pytest.raises(KeyboardInterrupt):
                train.train_and_evaluate(config, tmp_path / "b", False)
        summary = train.train_and_evaluate(config, tmp_path / "b", False)
    assert summary == expected
    assert metrics(tmp_path / "b") == metrics(tmp_path / "a")
    assert state(tmp_path / "b") == state(tmp_path / "a")


def test_a_file_that_vanishes_during_a_run_is_named(folder, tmp_path):
    path = folder / "test" / "light" / "2.jpg"

    def vanish(callback, batch, logs=None):
        path.unlink(missing_ok=True)

    patch = mock.patch.object(run_callbacks.SaveCheckpoints, "on_train_batch_end", vanish)
    with quick_runs(), patch, pytest.raises(DamagedDataError, match=r"2\.jpg: No such file"):
        train.train_and_evaluate(config_of(folder, "always"), tmp_path / "run", False)
