"""The measurements of streamed data: what is compared, and what is said to mistakes."""

import json

import numpy as np
import pytest

from rocket_tf.benchmarks import streaming
from rocket_tf.benchmarks.streaming import FIGURES, Settings
from rocket_tf.commands import benchmark_streaming
from rocket_tf.data import open_data
from rocket_tf.data.images import made_up

MEASURED = {
    "clicks_larger": [1040.0],
    "clicks_smaller": [1000.0],
    "images_larger": [1200.0],
    "images_smaller": [1000.0],
    "clicks_streamed": [90.0, 95.0, 10.0],  # median 90
    "clicks_in_memory": [100.0],
    "images_streamed": [70.0],
    "images_in_memory": [100.0],
    "clicks_pipeline": [1800.0],
    "images_pipeline": [95.0],
    "images_bare": [100.0],
    "clicks_late": [0.5, 2.5, 3.0],
}
EXPECTED = {
    "click_memory": 1.04,
    "image_memory": 1.2,
    "click_speed": 0.9,
    "image_speed": 0.7,
    "click_pipeline": 20,
    "image_pipeline": 0.95,
    "click_resume": 2.5,
}
MISSED = {"image_memory", "image_speed", "click_resume"}


@pytest.fixture
def measured(monkeypatch):
    """Measurements without runs: each function gives its part of `MEASURED`."""

    def give(names):
        return lambda settings, needed, place: {n: MEASURED[n] for n in names if n in needed}

    parts = {
        "_peaks": [name for name in MEASURED if name.endswith("er")],
        "_speeds_of_runs": [name for name in MEASURED if name.endswith(("streamed", "memory"))],
        "_speeds_of_pipelines": [n for n in MEASURED if n.endswith(("pipeline", "bare"))],
    }
    for function, names in parts.items():
        monkeypatch.setattr(streaming, function, give(names))
    monkeypatch.setattr(streaming, "_late_minus_early", lambda *_: MEASURED["clicks_late"])


def test_figures_are_of_medians_and_say_whether_they_meet_their_targets(measured, tmp_path, capsys):
    output = tmp_path / "new" / "streaming.json"
    assert benchmark_streaming.main([f"--output={output}", "--rows=300000"]) == 0
    report = json.loads(output.read_text())
    assert report["figures"] == pytest.approx(EXPECTED)
    assert report["measured"]["clicks_streamed"] == {"median": 90, "min": 10, "max": 95}
    assert report["command"].startswith("python -m tools.benchmark_streaming --rows=300000 ")
    lines = capsys.readouterr().out.splitlines()
    for name, figure in FIGURES.items():
        (line,) = [line for line in lines if figure.meaning in line]
        assert line.endswith(", missed]" if name in MISSED else ", met]")


def test_only_what_is_asked_for_is_measured(measured, tmp_path):
    output = tmp_path / "streaming.json"
    assert benchmark_streaming.main([f"--output={output}", "--only=image_memory"]) == 0
    report = json.loads(output.read_text())
    assert set(report["figures"]) == {"image_memory"}
    assert set(report["measured"]) == {"images_larger", "images_smaller"}
    assert "--only=image_memory" in report["command"]


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--rows=199999", "--rows: got 199999, expected a whole number of at least 200000"),
        ("--turns=0", "--turns: got 0, expected a whole number of at least 1"),
        ("--only=speed", "--only: got 'speed', expected some of click_memory, "),
        ("--folder={file}", "--folder: got {file}, a file; expected a folder"),
    ],
)
def test_mistakes(argument, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(streaming, "_peaks", None)  # nothing is measured
    file = tmp_path / "file"
    file.write_text("")
    assert benchmark_streaming.main([argument.format(file=file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message.format(file=file) in lines[0]


def test_the_bare_pipeline_gives_the_images_of_the_streamed_one(tmp_path):
    made_up.write(tmp_path / "images", 14, 24, 2, 90, 0)
    mapping = {"dataset": "image_folder", "data_path": str(tmp_path / "images"), "image_size": 16}
    split = open_data({**mapping, "streaming": "always"}).train

    def examples(dataset):
        batches = list(dataset.as_numpy_iterator())
        images = np.concatenate([images for images, _ in batches])
        labels = np.concatenate([labels for _, labels in batches])
        return sorted(zip((image.tobytes() for image in images), labels.tolist(), strict=True))

    bare = examples(streaming._bare_pipeline(split, 4))
    assert bare == examples(split.training_batches(4, 1, 0))
    assert len(set(bare)) == 14


@pytest.mark.slow
def test_runs_and_pipelines_are_measured(tmp_path):
    """Those of two figures are left out: memory of clicks and speed of images go the same ways."""
    settings = Settings(40_000, 1000, speed_rows=5000, speed_images=100, turns=1, starts=1)
    names = [name for name in FIGURES if name not in ("click_memory", "image_speed")]
    report = streaming.measure(settings, names, folder=tmp_path)
    needed = {part for name in names for part in FIGURES[name].measurements}
    assert set(report["measured"]) == needed
    assert {name.partition("_")[0] for name in needed} == {"clicks", "images"}
    # TensorFlow alone takes 300 MiB; a process that did nothing would take less.
    for name in ("images_larger", "images_smaller"):
        assert 300 < report["measured"][name]["median"] < 4000
    assert 0.5 < report["figures"]["image_memory"] < 2
    assert all(
        value["median"] > 0 for name, value in report["measured"].items() if "late" not in name
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        *("clicks_4000", "clicks_5000"),
        *("images_1000", "images_100"),
    }
