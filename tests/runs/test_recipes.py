"""Modern recipes in runs: averages of weights, class weights, smoothing, patience, schedules."""

import contextlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.core.optimizer_internals import averages_of
from rocket_tf.data.images import named as images
from rocket_tf.errors import Preempted
from rocket_tf.runs.building import build_model, class_weights
from rocket_tf.runs.callbacks import EvaluateAverages
from rocket_tf.runs.finished import restore
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress
from rocket_tf.runs.resuming import refused_changes
from tests.small_runs import (
    card_of,
    check_resumed,
    metrics,
    quick_runs,
    small_config,
    state,
)

AVERAGED = small_config(average_momentum=0.75, booster_dropout=0.1)

pytestmark = pytest.mark.usefixtures("few_test_digits")


def dense_rocket_config(**changes):
    return small_config(**{"method": "light", **changes})


@pytest.mark.slow
class TestAverages:
    @pytest.fixture(scope="class")
    def finished(self, few_test_digits, tmp_path_factory):
        workdir = tmp_path_factory.mktemp("averages") / "run"
        with quick_runs(exported=True):
            return workdir, train.train_and_evaluate(AVERAGED, workdir, verbose=False)

    def test_they_follow_the_weights_as_numpy_does(self):
        config = dense_rocket_config(average_momentum=0.75)
        model = build_model(config, card_of(config))
        data = images.load("digits").train
        expected = None
        for step in range(3):
            batch = slice(10 * step, 10 * step + 10)
            model.train_on_batch(data.inputs[batch], data.labels[batch])
            weights = [weight.numpy().astype(np.float64) for weight in model.trainable_variables]
            if expected is None:
                expected = weights
            else:
                pairs = zip(expected, weights, strict=True)
                expected = [0.75 * mine + 0.25 * new for mine, new in pairs]
        for (_, average), value in zip(averages_of(model.optimizer), expected, strict=True):
            np.testing.assert_allclose(average, value, atol=1e-6)

    def test_an_evaluation_exchanges_them_and_puts_them_back(self):
        config = dense_rocket_config(average_momentum=0.75)
        model = build_model(config, card_of(config))
        data = images.load("digits").train
        for step in range(3):
            model.train_on_batch(data.inputs[step : step + 9], data.labels[step : step + 9])
        pairs = averages_of(model.optimizer)
        before = [(weight.numpy(), average.numpy()) for weight, average in pairs]
        callback = EvaluateAverages()
        callback.set_model(model)
        callback.on_test_begin()
        for (weight, average), (mine, other) in zip(pairs, before, strict=True):
            np.testing.assert_array_equal(weight, other)
            np.testing.assert_array_equal(average, mine)
        callback.on_test_end()
        for (weight, average), (mine, other) in zip(pairs, before, strict=True):
            np.testing.assert_array_equal(weight, mine)
            np.testing.assert_array_equal(average, other)

    def test_the_training_is_what_it_is_without(self, finished, tmp_path):
        workdir, _ = finished
        config = {**AVERAGED, "average_momentum": 0.0}
        with quick_runs():
            train.train_and_evaluate(config, tmp_path, verbose=False)
        plain, averaged = state(tmp_path), state(workdir)
        weights = [name for name in plain if name.startswith("model/")]
        assert [name for name in weights if plain[name] != averaged[name]] == []
        assert any(name.startswith("averages/") for name in averaged)
        trained = [(line["loss"], line["light_loss"]) for line in metrics(workdir)]
        assert trained == [(line["loss"], line["light_loss"]) for line in metrics(tmp_path)]
        # Only the evaluated weights differ.
        assert metrics(workdir)[-1]["val_light_loss"] != metrics(tmp_path)[-1]["val_light_loss"]

    def test_evaluation_checkpoints_and_export_have_the_same_weights(self, finished):
        workdir, summary = finished
        model, _, _ = restore(workdir)
        test = images.load("digits").test
        logits = model.light.predict(test.inputs, verbose=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(test.labels, logits)
        assert metrics(workdir)[-1]["val_light_loss"] == pytest.approx(float(loss), rel=1e-5)
        error = 100 * np.mean(logits.argmax(-1) != test.labels)
        assert summary["light"]["test_error"] == pytest.approx(error, abs=1e-3)
        serve = tf.saved_model.load(str(workdir / summary["export"])).signatures["serving_default"]
        served = serve(images=tf.constant(test.inputs))["logits"]
        np.testing.assert_allclose(served, logits, atol=1e-4)
        with quick_runs():
            assert train.evaluate(workdir) == summary

    def test_two_replicas_average_what_one_device_does(self, tmp_path):
        config = dense_rocket_config(
            average_momentum=0.75, batch_normalization="synchronized", epochs=2
        )
        with quick_runs(traced=True):
            for replicas in (1, 2):
                own = {**config, "replicas": replicas}
                train.train_and_evaluate(own, tmp_path / str(replicas), verbose=False)
        one, two = (
            [line["val_light_loss"] for line in metrics(tmp_path / name)] for name in ("1", "2")
        )
        np.testing.assert_allclose(two, one, rtol=1e-5)

    def test_interrupted_within_an_epoch_and_resumed(self, finished, tmp_path, monkeypatch):
        whole, summary = finished
        stops = iter([False] * 3 + [True])  # asked after two steps, an epoch, and a step

        @contextlib.contextmanager
        def sigterm():
            yield lambda: next(stops, False)

        monkeypatch.setattr("rocket_tf.train._sigterm", sigterm)
        with quick_runs():
            with pytest.raises(Preempted, match="epoch 2, step 1"):
                train.train_and_evaluate(AVERAGED, tmp_path, verbose=False)
            again = train.train_and_evaluate(AVERAGED, tmp_path, verbose=False)
        assert again["light"] == summary["light"]
        assert metrics(tmp_path) == metrics(whole)
        assert state(tmp_path) == state(whole)


class TestPatience:
    CONFIG = small_config(method="light", validation_examples=20, patience=2, epochs=6)
    ACCURACIES = (0.5, 0.75, 0.7, 0.75, 0.9, 0.9)  # ends after the fourth

    @pytest.fixture
    def given_accuracies(self, monkeypatch):
        append = RunFolder.append_metrics

        def append_given(folder, line):
            append(folder, {**line, "val_light_accuracy": self.ACCURACIES[line["epoch"] - 1]})

        monkeypatch.setattr(RunFolder, "append_metrics", append_given)
        return append_given

    @pytest.mark.usefixtures("given_accuracies")
    def test_training_ends_after_that_many_epochs_without_improvement(self, tmp_path):
        with quick_runs():
            summary = train.train_and_evaluate(self.CONFIG, tmp_path, verbose=False)
            assert [line["epoch"] for line in metrics(tmp_path)] == [1, 2, 3, 4]
            assert (summary["epoch"], summary["epochs_done"], summary["epochs"]) == (2, 4, 6)
            # A finished run stays finished.
            assert train.train_and_evaluate(self.CONFIG, tmp_path, verbose=False) == summary

    @pytest.mark.slow
    def test_killed_after_the_last_epoch(self, tmp_path, given_accuracies, monkeypatch):
        def interrupted(run):
            raise KeyboardInterrupt

        with quick_runs():
            with monkeypatch.context() as patch:
                patch.setattr("rocket_tf.runs.summary.measure", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    train.train_and_evaluate(self.CONFIG, tmp_path, verbose=False)
            summary = train.train_and_evaluate(self.CONFIG, tmp_path, verbose=False)
        assert (summary["epoch"], summary["epochs_done"]) == (2, 4)

    @pytest.mark.slow
    @pytest.mark.usefixtures("given_accuracies")
    def test_without_it_all_epochs_are_trained(self, tmp_path):
        with quick_runs():
            config = {**self.CONFIG, "patience": 0}
            summary = train.train_and_evaluate(config, tmp_path, verbose=False)
        assert len(metrics(tmp_path)) == 6 and "epochs_done" not in summary


class TestLosses:
    """Compares the loss that one step logs with NumPy."""

    @staticmethod
    def step(**changes):
        """The loss that a step logs, and the logits and labels that it was computed from."""
        config = dense_rocket_config(**changes)
        model = build_model(config, card_of(config))
        split = images.load("digits", train_examples=80).train
        weights = class_weights(config, open_digits(split))
        batches = split.training_batches(30, 1, 0, class_weights=weights)
        x, y, *w = next(iter(batches))
        logits = model.light(x, training=True).numpy().astype(np.float64)
        logged = model.train_on_batch(x, y, *w, return_dict=True)["light_loss"]
        return float(logged), logits, y.numpy()

    def test_smoothing(self):
        logged, logits, labels = self.step(label_smoothing=0.3)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        target = np.eye(10)[labels] * 0.7 + 0.03
        assert logged == pytest.approx(-(target * log_p).sum(-1).mean(), rel=1e-5)

    def test_weights_of_classes(self):
        weights = tuple(np.linspace(0.5, 5.0, 10))
        logged, logits, labels = self.step(class_weights=weights)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses = -log_p[np.arange(len(labels)), labels]
        assert logged == pytest.approx(np.mean(losses * np.array(weights)[labels]), rel=1e-5)

    def test_balanced_classes(self):
        split = images.load("digits", train_examples=80).train
        found = class_weights(small_config(balance_classes=True), open_digits(split))
        counts = np.array([(split.labels == label).sum() for label in range(10)])
        np.testing.assert_allclose(found, 80 / (10 * counts))
        assert np.sum(found[split.labels]) == pytest.approx(80)

    def test_none(self):
        split = images.load("digits", train_examples=80).train
        assert class_weights(small_config(), open_digits(split)) is None


def open_digits(split):
    """What `class_weights` reads of a data set."""
    return type("Data", (), {"train": split, "card": card_of(small_config())})


class TestGoingOn:
    """A run may be lengthened if no finished step would have had another learning rate."""

    @pytest.mark.parametrize(
        "schedule, done, refused",
        [("constant", 2, False), ("cosine", 2, True), ("cosine", 0, False), ("drops", 2, True)],
    )
    def test_with_more_epochs(self, schedule, done, refused):
        before = small_config(learning_rate_schedule=schedule, epochs=3)
        now = {**before, "epochs": 5}
        found = refused_changes(before, now, Progress(done), card_of(before))
        assert bool(found) == refused
        if schedule == "cosine" and refused:
            assert "change the cosine" in found[-1]


@pytest.mark.slow
def test_everything_at_once_resumes(tmp_path):
    """All of it in one run, interrupted after an epoch."""
    config = small_config(
        optimizer="adamw",
        epochs=2,
        learning_rate=1e-3,
        weight_decay=0.01,
        learning_rate_schedule="cosine",
        warmup_epochs=0.5,
        gradient_clip_norm=1.0,
        average_momentum=0.9,
        label_smoothing=0.1,
        balance_classes=True,
        validation_examples=20,
        patience=2,
    )
    with quick_runs():
        parts = check_resumed(config, tmp_path, epoch=2)
    saved = json.loads((parts / "config.json").read_text())
    assert options.differences(saved, config) == []
