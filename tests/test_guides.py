"""The Python code of each guide runs unchanged, from top to bottom."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from rocket_tf import train
from rocket_tf.config import bundled, own_code
from rocket_tf.errors import ConfigError
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import study_latency
from rocket_tf.studies.study import Study
from rocket_tf.studies.study_result import result_of
from tests.small_runs import metrics, quick_runs, state

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = (
    "own_nets",
    "hints",
    "clicks",
    "image_folders",
    "pretrained",
    "choosing_hints",
    "from_distiller",
    "keras_workflows",
)


def blocks_of(guide):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{guide}.md").read_text(), re.DOTALL)
    assert blocks
    return [compile(block, f"{guide}.md", "exec") for block in blocks]


def run(guide):
    """The names that a guide's code defines; guides with short fits run in `quick_runs`."""
    names = {}
    for block in blocks_of(guide):
        exec(block, names)
    return names


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_own_nets(tmp_path, capsys):
    names = run("own_nets")
    assert (tmp_path / "serving" / "words" / "1" / "saved_model.pb").exists()
    assert {"light_bought_loss", "booster_topic_accuracy"} <= set(names["history"].history)
    printed = capsys.readouterr().out
    for line in re.findall(
        r"^ {4}((?:shared|light only|booster only) .*)", guide("own_nets"), re.M
    ):
        assert line in printed  # the line is in the guide's table


@pytest.mark.slow
def test_own_nets_in_the_command(tmp_path):
    """The guide's file is trained, interrupted, resumed in another process and exported."""
    (file,) = re.findall(r'```python\n("""my_nets.py.*?)```', guide("own_nets"), re.DOTALL)
    (tmp_path / "my_nets.py").write_text(file)
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    arguments = ["epochs=2", "train_examples=80", "batch_size=32", "pictures=False"]

    def train_in_a_process(workdir):
        process = subprocess.run(
            [sys.executable, "-m", "rocket_tf.main", "--config=my_nets.py"]
            + [f"--config.{argument}" for argument in arguments]
            + [f"--workdir={workdir}"],
            env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
            capture_output=True,
            text=True,
        )
        return process.returncode, process.stdout, process.stderr

    code, _, errors = train_in_a_process(whole)
    assert (code, errors) == (0, "")
    # This copy looks as if it had been killed after the first epoch.
    shutil.copytree(whole, interrupted, ignore=shutil.ignore_patterns("epoch-2*", "light"))
    (interrupted / "summary.json").unlink()
    code, output, errors = train_in_a_process(interrupted)
    assert (code, errors) == (0, "") and "after epoch 1 of 2" in output
    assert "epoch 1/2" not in output
    assert state(interrupted) == state(whole)
    assert metrics(interrupted) == metrics(whole)
    assert metrics(whole)[-1]["hidden_hint"] > 0

    (tmp_path / "my_nets.py").write_text(f"{file}\n# edited\n")
    edited = json.loads((whole / "config.json").read_text()) | own_code.fields_of("my_nets.py")
    with pytest.raises(ConfigError, match=f"cp {whole}/own_code.py my_nets.py"):
        train.train_and_evaluate(edited, whole)

    # From here on, only the run's folder is needed.
    (tmp_path / "my_nets.py").unlink()
    summary = json.loads((whole / "summary.json").read_text())
    assert train.evaluate(whole) == summary
    (export,) = export_run(whole, ["savedmodel"], tmp_path / "exported")
    assert export.test_error == pytest.approx(summary["light"]["test_error"], abs=1e-3)
    (whole / "own_code.py").write_text(f"{file}\n# edited\n")
    with pytest.raises(
        ConfigError, match=r"config\.own_code: got 'my_nets\.py', expected the file"
    ):
        train.evaluate(whole)


@pytest.mark.slow
def test_own_nets_in_a_study(tmp_path, monkeypatch):
    """Studies of the guide's nets: one runs side by side, one is interrupted and resumed."""
    (file,) = re.findall(r'```python\n("""my_nets.py.*?)```', guide("own_nets"), re.DOTALL)
    (tmp_path / "my_nets.py").write_text(file)
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    settings = {"epochs": 2, "train_examples": 80, "batch_size": 32}

    def study(runs):
        config = bundled.load_file("my_nets.py")
        return Study(config, ("light", "rocket"), 1, settings, tmp_path / runs)

    assert study("side_by_side").complete(processes=2)

    append, calls = RunFolder.append_metrics, []

    def interrupt(folder, line):
        append(folder, line)
        calls.append(line)
        if len(calls) == 4:  # in the second epoch of the second run
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "append_metrics", interrupt)
    monkeypatch.setattr(study_latency, "complete", lambda *_: None)
    with quick_runs():
        with pytest.raises(KeyboardInterrupt):
            study("resumed").complete()
        assert study("resumed").complete()
    assert [line["epoch"] for line in calls] == [1, 2, 1, 2, 2]

    result, resumed = (result_of(study(runs), "c") for runs in ("side_by_side", "resumed"))
    assert [row["by_seed"] for row in result["rows"]] == [row["by_seed"] for row in resumed["rows"]]
    for method in ("light", "rocket"):
        ours, theirs = (
            metrics(tmp_path / runs / method / "seed0") for runs in ("side_by_side", "resumed")
        )
        for own, other in zip(ours, theirs, strict=True):
            assert own == pytest.approx(other, rel=1e-4)
    assert metrics(tmp_path / "side_by_side" / "rocket" / "seed0")[-1]["hidden_hint"] > 0
    # Each net has its own cost and the latency of its own export.
    light, rocket, booster = result["rows"]
    assert light["multiply_adds"] == rocket["multiply_adds"] < booster["multiply_adds"]
    for row in result["rows"]:
        assert 0 < row["latency"]["p50_ms"] <= row["latency"]["p99_ms"]
    ratio = rocket["latency"]["p50_ms"] / booster["latency"]["p50_ms"]
    assert result["latency"]["light_to_booster"] == pytest.approx(ratio)

    # Exporting a run of the study needs only the run's folder.
    (tmp_path / "my_nets.py").unlink()
    run = tmp_path / "side_by_side" / "rocket" / "seed0"
    (export,) = export_run(run, ["savedmodel"], tmp_path / "exported")
    assert export.test_error == pytest.approx(rocket["mean"], abs=1e-3)


@pytest.mark.slow
def test_hints(capsys):
    with quick_runs():
        names = run("hints")
    assert [hint.follows for hint in names["rocket"].hints] == ["booster", "teacher"]
    assert "teacher_loss" in capsys.readouterr().out  # in the table of the gradient flow


def guide(name):
    return (DOCS / f"{name}.md").read_text()


@pytest.mark.slow
def test_clicks(tmp_path):
    names = run("clicks")
    assert names["answers"]["probabilities"].shape == (3, 2)
    assert list(names["alone"]) == ["loss", "light_loss", "light_auc"]
    assert names["alone"]["light_auc"] == names["both"]["light_auc"] < names["both"]["booster_auc"]


@pytest.mark.slow
def test_image_folders(tmp_path):
    with quick_runs(exported=True):
        summary = run("image_folders")["summary"]
    assert summary["train_examples"] == 16 and summary["test_examples"] == 4
    assert (tmp_path / "runs" / "colours" / summary["export"] / "saved_model.pb").exists()


@pytest.mark.slow
def test_pretrained(tmp_path):
    with quick_runs():
        names = run("pretrained")
    assert names["export"].path.samefile(tmp_path / "runs/low/keras/1/booster.keras")
    assert (tmp_path / "runs/high/nets.json").exists()
    assert names["summary"]["epochs"] == 2


@pytest.mark.slow
def test_choosing_hints():
    with quick_runs():
        names = run("choosing_hints")
    assert names["best"] in names["losses"]


@pytest.mark.slow
def test_from_distiller(tmp_path):
    names = run("from_distiller")
    assert isinstance(names["distiller"], keras.distillation.Distiller)
    assert (tmp_path / "serving" / "rocket" / "1").is_dir()


@pytest.mark.slow
class TestKerasWorkflows:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        return tmp_path_factory.mktemp("keras_workflows")

    @pytest.fixture(scope="class")
    def names(self, folder):
        """The names that all blocks define, except for the last one, which needs KerasTuner."""
        names = {}
        with contextlib.chdir(folder):
            for block in blocks_of("keras_workflows")[:-1]:
                exec(block, names)
        return names

    def test_text(self, names, folder):
        history = names["history"].history
        assert history["val_booster_accuracy"][-1] > 0.9 < history["val_light_accuracy"][-1]
        assert names["answers"]["class_names"].numpy().tolist() == [b"good", b"good"]
        rocket, texts = names["rocket"], names["texts"][:5]
        expected = rocket.light(texts).numpy()
        rocket.save(folder / "text.keras")
        loaded = keras.models.load_model(folder / "text.keras")
        np.testing.assert_array_equal(loaded.light(texts), expected)

        strings = [text.decode() for text in texts.numpy()]
        given = rocket.predict(np.array(strings, dtype=object), verbose=0)
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
        for refused in (strings, np.array(strings)):
            with pytest.raises(ValueError, match=r"Unrecognized data type|Invalid dtype"):
                rocket.predict(refused, verbose=0)

    def test_regression(self, names):
        light, x = names["served"].layers, names["x"][names["test"]]
        kernels = [np.float64(layer.get_weights()[0]) for layer in light if layer.name in LIGHT]
        biases = [np.float64(layer.get_weights()[1]) for layer in light if layer.name in LIGHT]
        train_part = np.float64(names["x"][names["train"]])
        scaled = (x - train_part.mean(0)) / train_part.std(0)
        hidden = np.maximum(scaled @ kernels[0] + biases[0], 0)
        targets = np.float64(names["y"][names["train"]])
        expected = (hidden @ kernels[1] + biases[1]) * targets.std() + targets.mean()
        np.testing.assert_allclose(names["predictions"], expected, rtol=1e-4)
        errors = np.abs(names["predictions"] - names["y"][names["test"]])
        assert errors.mean() < 0.9 * np.abs(targets.mean() - names["y"][names["test"]]).mean()

    def test_callbacks(self, names):
        history = names["stopped"].history
        losses = history["val_light_loss"]
        assert len(losses) == np.argmin(losses) + 1 + 6 < 200  # EarlyStopping's patience
        x, y = names["x"][names["rest"]], names["standard"][names["rest"]]
        for rocket in (names["regression"], names["best"]):
            assert rocket.evaluate(x, y, return_dict=True, verbose=0)[
                "light_loss"
            ] == pytest.approx(min(losses), rel=1e-5)

        rate, best, waited, rates = 0.02, np.inf, 0, []
        for loss in losses:
            rates.append(rate)
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited == 2:
                rate, waited = rate / 2, 0
        assert rates[-1] < 0.02
        np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-6)

    @pytest.mark.parametrize(
        "callback",
        [
            keras.callbacks.EarlyStopping(monitor="val_light_accuracy"),
            keras.callbacks.ReduceLROnPlateau(monitor="val_light_mae"),
            keras.callbacks.ModelCheckpoint("x.keras", "val_light_loss", save_best_only=True),
        ],
        ids=lambda callback: type(callback).__name__,
    )
    def test_callbacks_do_not_guess_the_direction(self, names, callback):
        x, y = names["x"][:32], names["standard"][:32]
        with pytest.raises(ValueError, match="whether that metric should be"):
            names["regression"].fit(x, y, validation_data=(x, y), callbacks=[callback], verbose=0)

    def test_keras_tuner(self, names):
        keras_tuner = pytest.importorskip("keras_tuner")
        names = dict(names)
        exec(blocks_of("keras_workflows")[-1], names)
        tuner, tuned = names["tuner"], names["tuned"]
        trials = tuner.oracle.get_best_trials(10)
        assert len(trials) == 2 and trials[0].score < trials[1].score
        x, y = names["x"][names["rest"]], names["standard"][names["rest"]]
        found = tuned.evaluate(x, y, return_dict=True, verbose=0)
        assert found["light_loss"] == pytest.approx(trials[0].score, rel=1e-5)
        assert tuned.light.output.shape == (None, 1)
        (hint,) = tuned.hints
        assert hint.weight == trials[0].hyperparameters["hint_weight"]
        with pytest.raises(ValueError, match="optimization direction"):
            keras_tuner.RandomSearch(names["build"], objective="val_light_loss")


LIGHT = ("light_hidden", "light_value")


def test_every_guide_is_tested_and_linked_in_the_readme():
    readme = (DOCS.parent / "README.md").read_text()
    for name in GUIDES:
        assert f"docs/{name}.md" in readme
        title = name.title().replace("_", "")
        assert re.search(f"def test_{name}\\(|class Test{title}:", Path(__file__).read_text())
