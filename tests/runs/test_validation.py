"""Runs whose epoch is chosen on held-out training examples."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import train
from rocket_tf.data.images import named as images
from rocket_tf.errors import CheckpointError
from rocket_tf.runs.building import build_model
from rocket_tf.runs.checkpoints import Checkpoints, Restored
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress
from tests.small_runs import (
    card_of,
    interrupted_after_epoch,
    metrics,
    newest_checkpoint,
    quick_runs,
    small_config,
    state,
)

CONFIG = small_config(validation_examples=20, booster_dropout=0.1)
ACCURACIES = {1: 0.5, 2: 0.9, 3: 0.9}  # the second epoch is the first of the best ones

pytestmark = pytest.mark.usefixtures("few_test_digits", "untraced")


@pytest.fixture(scope="module")
def finished(few_test_digits, tmp_path_factory):
    """A run with preset validation accuracies, so that its last epoch is not the best."""
    workdir = tmp_path_factory.mktemp("validation") / "run"
    with quick_runs(exported=True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "append_metrics", append_given)
        summary = train.train_and_evaluate(CONFIG, workdir, verbose=False)
    return workdir, summary


_append = RunFolder.append_metrics


def append_given(folder, line):
    _append(folder, {**line, "val_light_accuracy": ACCURACIES[line["epoch"]]})


def test_the_epoch_with_the_fewest_errors_is_chosen(finished):
    _, summary = finished
    assert (summary["epoch"], summary["epochs"]) == (2, 3)
    assert summary["light"]["validation_error"] == pytest.approx(10.0)
    assert summary["train_examples"] == 60


def test_its_weights_are_evaluated_on_the_test_examples_and_exported(finished, tmp_path):
    workdir, summary = finished
    # The checkpoint of that epoch from the same training without validation.
    model = build_model(CONFIG, card_of(CONFIG))
    checkpoints = shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")
    for path in checkpoints.glob("epoch-3.*"):
        path.unlink()
    assert Checkpoints(checkpoints, model, kept=3).restore() == Restored(Progress(2), [], 1)
    data = images.load("digits")
    expected = model.light.predict(data.test.inputs, verbose=0)
    serve = tf.saved_model.load(str(workdir / summary["export"])).signatures["serving_default"]
    logits = serve(images=tf.constant(data.test.inputs))["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    error = 100 * np.mean(expected.argmax(-1) != data.test.labels)
    assert summary["light"]["test_error"] == pytest.approx(error, abs=1e-3)


def test_evaluated_again(finished):
    workdir, summary = finished
    assert train.evaluate(workdir) == summary


@pytest.mark.slow
def test_resumed_equals_uninterrupted(finished, tmp_path, monkeypatch):
    whole, summary = finished
    monkeypatch.setattr(RunFolder, "append_metrics", append_given)
    with interrupted_after_epoch(3):
        train.train_and_evaluate(CONFIG, tmp_path, verbose=False)
    assert train.train_and_evaluate(CONFIG, tmp_path, verbose=False) == summary
    assert metrics(tmp_path) == metrics(whole)
    assert state(tmp_path) == state(whole)
    chosen = [newest_checkpoint(folder / "chosen").name for folder in (tmp_path, whole)]
    assert chosen == ["epoch-2", "epoch-2"]


def test_a_damaged_choice_is_not_passed_over(finished, tmp_path):
    copy = shutil.copytree(finished[0], tmp_path / "copy")
    (copy / "chosen" / "epoch-2.index").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="epoch 2, the one that counts"):
        train.evaluate(copy)


def test_evaluated_now_and_then(tmp_path):
    config = small_config(validation_examples=20, evaluate_every_epochs=2, method="light")
    summary = train.train_and_evaluate(config, tmp_path, verbose=False)
    measured = [line["epoch"] for line in metrics(tmp_path) if "val_light_accuracy" in line]
    assert measured == [2, 3]
    assert summary["epoch"] in measured


@pytest.mark.slow
def test_a_choice_that_differs_the_second_time(finished, tmp_path, monkeypatch):
    """The run is killed once epoch 3 is saved as the best; repeated, epoch 3 is worse than 2."""
    _, summary = finished

    def better(folder, line):
        accuracy = {**ACCURACIES, 3: 0.95}[line["epoch"]]
        _append(folder, {**line, "val_light_accuracy": accuracy})

    def interrupt(checkpoints, epoch):
        if checkpoints._directory.name == "checkpoints" and epoch == 3:
            raise KeyboardInterrupt
        save(checkpoints, epoch)

    save = Checkpoints.save
    monkeypatch.setattr(RunFolder, "append_metrics", better)
    monkeypatch.setattr(Checkpoints, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train.train_and_evaluate(CONFIG, tmp_path, verbose=False)
    assert newest_checkpoint(tmp_path / "chosen").name == "epoch-3"
    monkeypatch.setattr(Checkpoints, "save", save)
    monkeypatch.setattr(RunFolder, "append_metrics", append_given)
    assert train.train_and_evaluate(CONFIG, tmp_path, verbose=False) == summary


def test_held_out_examples_are_what_validates(tmp_path):
    config = small_config(validation_examples=20, method="booster", epochs=1)
    summary = train.train_and_evaluate(config, tmp_path, verbose=False)
    model = build_model(config, card_of(config))
    Checkpoints(tmp_path / "checkpoints", model, kept=1).restore()
    data = images.load("digits", train_examples=80, validation_examples=20)
    predicted = model.predict(data.validation.inputs, verbose=0).argmax(-1)
    error = 100 * np.mean(predicted != data.validation.labels)
    assert summary["booster"]["validation_error"] == pytest.approx(error, abs=1e-3)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert 100 * (1 - line["val_booster_accuracy"]) == pytest.approx(error, abs=1e-3)
