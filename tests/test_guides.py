"""The guides' Python code runs as it stands, each guide from top to bottom."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
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
)


def run(guide):
    """The names that a guide's code leaves."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{guide}.md").read_text(), re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, f"{guide}.md", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_own_nets(tmp_path, capsys):
    names = run("own_nets")
    assert (tmp_path / "serving" / "words" / "1" / "saved_model.pb").exists()
    assert {"light_bought_loss", "booster_topic_accuracy"} <= set(names["history"].history)
    told = capsys.readouterr().out
    for line in re.findall(
        r"^ {4}((?:shared|light only|booster only) .*)", guide("own_nets"), re.M
    ):
        assert line in told  # the table of the guide


@pytest.mark.slow
def test_own_nets_in_the_command(tmp_path):
    """The guide's file, trained, interrupted, resumed in another process, evaluated, exported."""
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
    # As if it had been killed after the first epoch.
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

    # What follows needs the run's folder alone.
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
    """The guide's nets: studied side by side; interrupted, and resumed in one process; exported."""
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
    # Each net has its cost, and the latency of its own export.
    light, rocket, booster = result["rows"]
    assert light["multiply_adds"] == rocket["multiply_adds"] < booster["multiply_adds"]
    for row in result["rows"]:
        assert 0 < row["latency"]["p50_ms"] <= row["latency"]["p99_ms"]
    ratio = rocket["latency"]["p50_ms"] / booster["latency"]["p50_ms"]
    assert result["latency"]["light_to_booster"] == pytest.approx(ratio)

    # What the study ended with needs the run's folder alone.
    (tmp_path / "my_nets.py").unlink()
    run = tmp_path / "side_by_side" / "rocket" / "seed0"
    (export,) = export_run(run, ["savedmodel"], tmp_path / "exported")
    assert export.test_error == pytest.approx(rocket["mean"], abs=1e-3)


def test_hints(capsys):
    names = run("hints")
    assert [hint.follows for hint in names["rocket"].hints] == ["booster", "teacher"]
    assert "teacher_loss" in capsys.readouterr().out  # of the gradient flow


def guide(name):
    return (DOCS / f"{name}.md").read_text()


def test_clicks(tmp_path):
    names = run("clicks")
    assert names["answers"]["probabilities"].shape == (3, 2)
    assert list(names["alone"]) == ["loss", "light_loss", "light_auc"]
    assert names["alone"]["light_auc"] == names["both"]["light_auc"] < names["both"]["booster_auc"]


def test_image_folders(tmp_path):
    summary = run("image_folders")["summary"]
    assert summary["train_examples"] == 16 and summary["test_examples"] == 4
    assert (tmp_path / "runs" / "colours" / summary["export"] / "saved_model.pb").exists()


def test_pretrained(tmp_path):
    names = run("pretrained")
    assert names["export"].path.samefile(tmp_path / "runs/low/keras/1/booster.keras")
    assert (tmp_path / "runs/high/nets.json").exists()
    assert names["summary"]["epochs"] == 2


def test_choosing_hints():
    names = run("choosing_hints")
    assert names["best"] in names["losses"]


def test_from_distiller(tmp_path):
    names = run("from_distiller")
    assert isinstance(names["distiller"], keras.distillation.Distiller)
    assert (tmp_path / "serving" / "rocket" / "1").is_dir()


def test_every_guide_is_run_and_named_in_the_readme():
    readme = (DOCS.parent / "README.md").read_text()
    for name in GUIDES:
        assert f"docs/{name}.md" in readme
        assert f"def test_{name}(" in Path(__file__).read_text()
