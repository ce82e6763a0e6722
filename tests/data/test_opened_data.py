"""Opened data sets: the catalog's, the user's own, and one that generates its batches."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.data import DataSet, DatasetCard, Split, open_data, opening
from rocket_tf.data.images import npz as npz_images
from rocket_tf.data.pipeline import bounds_of_part
from rocket_tf.errors import ConfigError
from rocket_tf.runs.exports import export_run
from tests.small_runs import (
    interrupted_after_step,
    metrics,
    newest_checkpoint,
    quick_runs,
    small_config,
    state,
)

CLASSES, SIZE = 4, 8


class GeneratedSplit(Split):
    """Images that are computed from their numbers batch by batch, without an array of all."""

    def __init__(self, start, number):
        self._start, self._number = start, number

    @property
    def examples(self):
        return self._number

    def training_parts(self, schedule, augment, share):
        """Each epoch walks around a circle in steps of 7 and starts at its own place."""
        assert math.gcd(7, self.examples) == 1
        parts = math.ceil(self.examples / schedule.batch_size) * share.own

        def load(part):
            epoch = part // parts
            bounds = bounds_of_part(part % parts, self.examples, schedule.batch_size, share)
            chosen = (tf.range(*bounds) * 7 + epoch * 11 + schedule.seed) % self.examples
            images, labels = self._generate(chosen)
            if augment is not None:
                images = augment(images, schedule.seed, epoch, chosen)
            return images, labels

        first = schedule.first_epoch * parts + schedule.first_step * share.own
        return tf.data.Dataset.range(first, schedule.epochs * parts).map(load)

    def evaluation_parts(self, batch_size, share):
        parts = math.ceil(self.examples / batch_size) * share.own

        def load(part):
            return self._generate(tf.range(*bounds_of_part(part, self.examples, batch_size, share)))

        return tf.data.Dataset.range(parts).map(load)

    def _generate(self, chosen):
        """The class sets the brightness; the noise is a function of number and place."""
        numbers = chosen + self._start
        labels = numbers % CLASSES
        places = tf.range(SIZE * SIZE, dtype=tf.int64)
        noise = (numbers[:, None] * 7919 + places * 104_729 + numbers[:, None] * places * 31) % 90
        images = tf.cast(labels[:, None] * 50 + noise, tf.uint8)
        return tf.reshape(images, [-1, SIZE, SIZE, 1]), labels


class GeneratedData(DataSet):
    """A data set that consists of generated splits."""

    card = DatasetCard(
        train_examples=80,
        test_examples=50,
        num_classes=CLASSES,
        image_shape=(SIZE, SIZE, 1),
        pixel_mean=(120.0,),
        pixel_std=(60.0,),
    )
    class_names = ("dark", "grey", "light", "white")
    train = GeneratedSplit(0, 80)
    validation = GeneratedSplit(80, 0)
    test = GeneratedSplit(1000, 50)

    def __init__(self, version=1):
        self._version = version

    @property
    def fingerprint(self):
        return {"version": self._version}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The configuration, folder and summary of a finished run on generated data."""
    config = small_config(train_examples=0, flip=True, checkpoint_every_steps=2, pictures=True)
    workdir = tmp_path_factory.mktemp("generated")
    with quick_runs(exported=True):
        summary = train.train_and_evaluate(config, workdir, verbose=False, data=GeneratedData())
    return config, workdir, summary


@pytest.mark.slow
class TestGeneratedData:
    def test_a_configuration_is_checked_by_its_card(self):
        data = GeneratedData()
        assert options.check(small_config(train_examples=0), data) is data
        with pytest.raises(ConfigError, match="batch_size: got 81, expected at most the 80"):
            options.check(small_config(train_examples=0, batch_size=81), data)

    def test_the_summary(self, generated):
        _, workdir, summary = generated
        assert (summary["train_examples"], summary["test_examples"]) == (80, 50)
        assert json.loads((workdir / "data.json").read_text()) == {"version": 1}
        assert {path.stem for path in (workdir / "pictures").iterdir()} == {
            "attention_maps",
            "gradient_flow",
            "learning_curves",
        }
        assert summary["light"]["test_error"] < 75  # guessing has an error of 75

    def test_the_summary_is_measured_again(self, generated):
        _, workdir, summary = generated
        with quick_runs():
            assert train.evaluate(workdir, data=GeneratedData()) == summary

    @pytest.mark.usefixtures("untraced")
    def test_interrupted_in_an_epoch_equals_uninterrupted(self, generated, tmp_path):
        config, whole, summary = generated
        config = {**config, "pictures": False}
        with interrupted_after_step(5, steps=3):
            train.train_and_evaluate(config, tmp_path, verbose=False, data=GeneratedData())
        assert newest_checkpoint(tmp_path / "checkpoints").name == "epoch-1-step-1"
        again = train.train_and_evaluate(config, tmp_path, verbose=False, data=GeneratedData())
        assert again == summary
        assert state(tmp_path) == state(whole)
        assert metrics(tmp_path) == metrics(whole)

    def test_exports(self, generated, tmp_path):
        pytest.importorskip("ai_edge_litert")
        _, workdir, summary = generated
        formats = ["savedmodel", "litert"]
        exports = list(export_run(workdir, formats, output=tmp_path, data=GeneratedData()))
        assert len(exports) == 3  # LiteRT comes in float32 and int8
        for export in exports[:2]:
            assert export.test_error == pytest.approx(summary["light"]["test_error"], abs=1e-4)
        labels = (exports[0].path / "assets" / "labels.txt").read_text().split()
        assert labels == list(GeneratedData.class_names)

    def test_data_that_has_changed_is_refused(self, generated):
        config, workdir, _ = generated
        for again in (
            lambda: train.train_and_evaluate(config, workdir, data=GeneratedData(2)),
            lambda: train.evaluate(workdir, data=GeneratedData(2)),
        ):
            with pytest.raises(ConfigError, match=r"has changed since .*version: 1 → 2"):
                again()

    def test_replicas_get_the_batches_of_one_device(self):
        split = GeneratedData.train
        whole = split.training_batches(32, 2, 7, first_step=1, flip=True)
        parts = split.training_batches(32, 2, 7, first_step=1, flip=True, replicas=3)
        one, three = (list(zip(*each.as_numpy_iterator(), strict=True)) for each in (whole, parts))
        assert (len(one[0]), len(three[0])) == (5, 15)
        for mine, theirs in zip(one, three, strict=True):
            np.testing.assert_array_equal(np.concatenate(mine), np.concatenate(theirs))

    def test_first_examples_without_arrays(self):
        images, labels = GeneratedData.test.first(3)
        assert images.shape == (3, SIZE, SIZE, 1) and images.dtype == np.uint8
        np.testing.assert_array_equal(labels, [0, 1, 2])
        assert len(GeneratedData.test.first(1000)[1]) == 50


def test_the_catalog_is_opened_without_tensorflow_and_without_reading():
    script = """
import sys
from rocket_tf.data import open_data
from rocket_tf.data.catalog import DATASETS
for name in DATASETS:
    data = open_data({"dataset": name, "data_dir": "/nowhere", "history_length": 3})
    assert data.fingerprint is None
    assert data.card.kind == "images" or data.card.columns.history_length == 3
assert not {"tensorflow", "sklearn", "tensorflow_datasets"} & set(sys.modules)
"""
    # The script poses as one of the project's commands, which load names lazily.
    command = [sys.executable, "-c", f"import sys; sys.argv[0] = 'rocket-tf'\n{script}"]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_defaults_are_those_of_a_configuration():
    default = {
        **options.default(),
        "image_size": 64,
    }  # what 0 means for nets without pretrained weights
    assert {name: default[name] for name in opening.DEFAULTS} == opening.DEFAULTS


class TestReopen:
    def test_the_catalog(self):
        data = open_data(small_config())
        assert data.reopen(small_config(epochs=9)) is data
        more = data.reopen(small_config(train_examples=90))
        assert (data.train.examples, more.train.examples) == (80, 90)

    def test_own_data_is_read_again_only_for_another_path(self, reads, archive, tmp_path):
        data = open_data(own_config(archive))
        held_out = data.reopen(own_config(archive, validation_examples=8))
        assert (data.train.examples, held_out.train.examples) == (40, 32)
        assert held_out.validation.examples == 8
        assert held_out.fingerprint == data.fingerprint
        assert reads == [str(archive)]
        other = archive.rename(tmp_path / "other.npz")
        assert data.reopen(own_config(other)).card == data.card
        assert reads == [str(archive), str(other)]


def test_a_run_reads_own_data_once(reads, archive, tmp_path):
    config = own_config(archive, method="kd", epochs=1)  # kd trains its booster in a run of its own
    with quick_runs():
        train.train_and_evaluate(config, tmp_path / "run", verbose=False)
    assert reads == [str(archive)]
    with quick_runs():
        assert train.evaluate(tmp_path / "run", data=open_data(config))["method"] == "kd"
    assert reads == [str(archive)] * 2


@pytest.fixture
def archive(tmp_path):
    """The path of an .npz file with 40 training and 12 test images."""
    random = np.random.default_rng(0)
    labels = np.arange(52) % CLASSES
    images = random.integers(0, 100, (52, SIZE, SIZE, 1)) + 50 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    return path


@pytest.fixture
def reads(monkeypatch):
    """A list to which each archive that is read adds its path."""
    paths, read = [], npz_images.read
    monkeypatch.setattr(npz_images, "read", lambda path: paths.append(path) or read(path))
    return paths


def own_config(archive, **changes):
    changes = {"batch_size": 16, **changes}
    return small_config(dataset="npz", data_path=str(archive), train_examples=0, **changes)
