"""Runs on streamed images equal those in memory to the last bit, however often interrupted."""

import json
import shutil
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from rocket_tf import train
from rocket_tf.data import catalog, open_data
from rocket_tf.errors import ConfigError, DamagedDataError, DataUnavailableError
from rocket_tf.runs import callbacks as run_callbacks
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import restore
from rocket_tf.runs.folder import RunFolder
from tests.small_runs import metrics, quick_runs, small_config, state


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "images")


def made(root):
    """Two classes of images whose sizes differ from the nets' inputs; 14 are for training."""
    random = np.random.default_rng(0)
    for part, count in (("train", 7), ("test", 3)):
        for name, centre in (("dark", 60), ("light", 190)):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(centre - 60, centre + 60, (9 + number, 12, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{number}.jpg")
    return root


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
    """Ends a run by an exception after a number of steps of an epoch."""

    def interrupt(callback, batch, logs=None):
        save(callback, batch, logs)
        if batch + 1 == steps:
            raise KeyboardInterrupt

    save = run_callbacks.SaveCheckpoints.on_train_batch_end
    return mock.patch.object(run_callbacks.SaveCheckpoints, "on_train_batch_end", interrupt)


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return made(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A finished run on images that are read into memory, and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    with quick_runs():
        summary = train.train_and_evaluate(config_of(images, "auto"), workdir, False)
    return workdir, summary


class TestKeptCard:
    def test_moved_data_is_the_same(self, images, finished, tmp_path):
        moved = shutil.copytree(images, tmp_path / "moved")
        with quick_runs():
            config = config_of(moved, "always")
            assert train.train_and_evaluate(config, finished[0], False) == finished[1]
            assert train.evaluate(finished[0], data_path=str(moved)) == finished[1]

    @pytest.mark.parametrize("streaming", ["always", "never"])
    def test_evaluation_reads_the_test_part_alone(self, images, finished, tmp_path, streaming):
        shutil.copytree(images / "test", tmp_path / "test")
        workdir = shutil.copytree(finished[0], tmp_path / "run")
        config = json.loads((workdir / "config.json").read_text())
        (workdir / "config.json").write_text(json.dumps({**config, "streaming": streaming}))
        with quick_runs():
            assert train.evaluate(workdir, data_path=str(tmp_path)) == finished[1]
        (tmp_path / "test" / "dark" / "1.jpg").write_bytes(
            (tmp_path / "test" / "dark" / "0.jpg").read_bytes()
        )
        with quick_runs(), pytest.raises(ConfigError, match=r"has changed since .*test_content"):
            train.evaluate(workdir, data_path=str(tmp_path))

    def test_nets_are_built_without_data(self, images, finished, tmp_path, monkeypatch):
        card = open_data(config_of(images, "never")).card
        monkeypatch.setattr("rocket_tf.data.opening.open_data", None)
        monkeypatch.setattr("rocket_tf.data.own_data.read_test", None)
        model, _, _ = restore(finished[0])
        scaled = model.light.get_layer("normalized")
        np.testing.assert_allclose(np.ravel(scaled.mean), card.pixel_mean, rtol=1e-6)
        assert finished_data(finished).card == card

    @pytest.mark.slow
    def test_exports_without_data(self, finished, tmp_path, caplog):
        workdir = shutil.copytree(finished[0], tmp_path / "run")
        (export,) = export_run(
            workdir, ["savedmodel"], tmp_path / "out", data_path=str(tmp_path / "nowhere")
        )
        assert export.test_error is None and export.difference < 1e-4
        assert "There are no test images" in caplog.text and "nowhere" in caplog.text
        with pytest.raises(DataUnavailableError, match="nowhere"):
            train.evaluate(workdir, data_path=str(tmp_path / "nowhere"))

    def test_a_damaged_card_is_named(self, finished, tmp_path):
        workdir = shutil.copytree(finished[0], tmp_path / "run")
        (workdir / "data_card.json").write_text('{"card": {"kind": "images"}}')
        with pytest.raises(ConfigError, match=r"data_card\.json is damaged \(KeyError"):
            restore(workdir)


def finished_data(finished):
    folder = RunFolder(finished[0])
    return folder.known_data(folder.read_config())


def test_another_fraction_is_another_run(images, tmp_path):
    config = config_of(images / "train", "always")
    config.update(test_fraction=0.5)
    folder = RunFolder(tmp_path / "run")
    folder.write_config(config)
    folder.check(config, open_data(config))
    config.update(test_fraction=0.6)
    with pytest.raises(
        ConfigError, match=r"other settings \(test_fraction: 0\.5 → 0\.6\)"
    ) as error:
        folder.check(config, open_data(config))
    assert len(str(error.value).splitlines()) == 1


def test_cards_survive_json():
    for card in (*catalog.DATASETS.values(), catalog.DATASETS["movielens_1m"]):
        assert catalog.from_json(json.loads(json.dumps(catalog.as_json(card)))) == card
