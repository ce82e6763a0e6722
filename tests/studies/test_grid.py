"""A grid of studies: its runs and their order, its figures and its picture."""

import json

import numpy as np
import pytest
from scipy import stats

from rocket_tf import train
from rocket_tf.commands import pictures
from rocket_tf.commands import study as command
from rocket_tf.config import bundled
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.grid_page import as_text, grid_page, picture
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies.grid import Grid
from rocket_tf.studies.study import Shard, Study

FIELDS = {"train_examples": [50, 100], "epochs": [2, 4]}
SEEDS = 3
CONFIG = {**bundled.load("digits"), "batch_size": 32}


def error_of(config):
    """Test errors of faked runs: the rocket gains more with examples and less with epochs."""
    error = 30.0 - config["train_examples"] / 10 + config["seed"] + 0.5 * config["epochs"]
    if config["method"] == "rocket":
        error -= config["train_examples"] / 100 - config["epochs"] / 10
        error += (-1) ** config["seed"] * 0.1
    return error


def grid(runs, shard=None, fields=FIELDS):
    def make(settings, folder):
        return Study(CONFIG, ("light", "rocket"), SEEDS, settings, folder, shard=shard)

    return Grid(fields, make, runs)


@pytest.fixture(autouse=True)
def done(monkeypatch):
    """Replaces trainings and evaluations on the test examples, and lists them in order."""
    seen = []

    def summary_of(config, name):
        nets = ("light", "booster") if config["method"] == "rocket" else ("light",)
        figures = {name: error_of(config), "parameters": 1, "multiply_adds": 2}
        return {net: dict(figures) for net in nets}

    def finish(config, workdir, data):
        folder = RunFolder(workdir)
        folder.write_config(config)
        folder.append_metrics({"epoch": 1, "examples_per_second": 100.0})
        folder.write_summary(summary_of(config, "validation_error"))
        seen.append("train")

    def evaluate(workdir, data, details):
        seen.append("test")
        return summary_of(RunFolder(workdir).read_config(), "test_error")

    monkeypatch.setattr(train, "train_and_evaluate", finish)
    monkeypatch.setattr(train, "evaluate", evaluate)
    return seen


def gains(examples, epochs):
    """The mean gain over seeds and its 95 % interval, computed by SciPy."""
    values = np.array([examples / 100 - epochs / 10 - (-1) ** seed * 0.1 for seed in range(SEEDS)])
    low, high = stats.t.interval(0.95, SEEDS - 1, values.mean(), stats.sem(values))
    return values.mean(), low, high


def test_all_runs_come_before_any_test_example(tmp_path, done, capsys):
    grids = grid(tmp_path)
    assert grids.complete()
    assert done == ["train"] * 24 + ["test"] * 24
    out = capsys.readouterr().out
    assert "24 of 24 runs to do" in out and "== run 24 of 24: rocket, seed 2; about" in out
    assert out.count("Opening the test examples of 24 runs") == 1
    assert grid(tmp_path).complete() and len(done) == 48  # no work is repeated
    assert (tmp_path / "train_examples_50_epochs_4" / "rocket" / "seed2" / "test.json").exists()


def test_shards_train_each_run_once_and_both_methods(tmp_path, done):
    assert not grid(tmp_path, Shard(1, 2)).complete()
    assert done == ["train"] * 12
    methods = [path.parts[-3] for path in tmp_path.glob("*/*/*/summary.json")]
    assert (methods.count("light"), methods.count("rocket")) in ((4, 8), (8, 4), (6, 6))
    assert grid(tmp_path, Shard(2, 2)).complete()
    assert done.count("train") == 24 and done.count("test") == 24


def test_figures(tmp_path):
    grids = grid(tmp_path)
    assert [settings for settings, _ in grids.points] == [
        {"train_examples": 50, "epochs": 2},
        {"train_examples": 50, "epochs": 4},
        {"train_examples": 100, "epochs": 2},
        {"train_examples": 100, "epochs": 4},
    ]
    empty = grids.result("c")
    assert [point["rows"] for point in empty["points"]] == [[]] * 4
    assert "| training examples | epochs |" in as_text(empty) and "<img" in grid_page(empty)
    grids.complete()
    result = json.loads(json.dumps(grids.result("python -m tools.study")))
    assert result["grid"] == FIELDS and result["seeds"] == SEEDS
    for point in result["points"]:
        light, rocket, booster = point["rows"]
        assert light["gain"] is None and booster["net"] == "booster"
        mean, low, high = gains(*point["settings"].values())
        assert rocket["gain"]["mean"] == pytest.approx(mean)
        assert rocket["gain"]["interval"] == pytest.approx([low, high])
        assert rocket["difference"]["mean"] == pytest.approx(-mean)
        assert point["examples"]["training"] == point["settings"]["train_examples"] * 4 // 5

    mean, low, high = gains(100, 2)
    errors = [30 - 10 + seed + 1 for seed in range(SEEDS)]
    own = [each - 0.8 + (-1) ** seed * 0.1 for seed, each in enumerate(errors)]
    cells = [f"{np.mean(each):.2f} ± {np.std(each, ddof=1):.2f}" for each in (errors, own)]
    gain = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
    assert f"| 80 | 2 | rocket | {cells[0]} | {cells[1]} | {gain} | 3 |" in as_text(result)

    (axes,) = picture(result).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["epochs=2", "epochs=4"]
    for bars, epochs in zip(axes.containers, FIELDS["epochs"], strict=True):
        line, _, (segments,) = bars.lines
        expected = [gains(examples, epochs) for examples in FIELDS["train_examples"]]
        np.testing.assert_allclose(line.get_xdata().astype(float), [40, 80], rtol=0.02)
        means = [mean for mean, _, _ in expected]
        np.testing.assert_allclose(line.get_ydata().astype(float), means)
        found = [segment[:, 1] for segment in segments.get_segments()]
        np.testing.assert_allclose(found, [(low, high) for _, low, high in expected])


def test_the_command(tmp_path, capsys):
    arguments = ["--config=digits", "--seeds=2", "--set=batch_size=32", f"--runs={tmp_path}"]
    arguments += ["--grid=train_examples=50,100", "--grid=epochs=2", "--processes=1"]
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    assert "== run 5 of 8: train_examples=100, epochs=2, light, seed 0; about" in out
    assert f"written: {tmp_path}/grid.html, .md, .json, .png" in out
    assert (tmp_path / "grid.md").read_text() in out
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "grid.html").read_text()
    assert "<h1>When does the rocket help?</h1>" in page and page.count("<img") == 1
    assert "<td>batch_size</td><td>32</td>" in page and "<td>epochs</td>" not in page
    result = json.loads((tmp_path / "grid.json").read_text())
    assert [point["rows"][1]["difference"]["seeds"] for point in result["points"]] == [2, 2]


@pytest.mark.parametrize(
    "given, named",
    [
        (["epochs=2,2"], "--grid: got epochs with a repeated value"),
        (["epochs=2", "epochs=3"], "--grid: got epochs, which --grid or --set already sets"),
        (["batch_size=8,16"], "--grid: got batch_size, which --grid or --set already sets"),
        (["light_tower=4,8"], "--grid: got 'light_tower=4,8', expected a field and values"),
        (["epoch=2"], "config.epoch: no such field; did you mean config.epochs?"),
        (["epochs"], "--grid: got 'epochs', expected a field and values"),
        (["epochs="], "config.epochs: got ''"),
        (["epochs=4,0"], "config.epochs: got 0"),
        (["seed=1,2"], "--grid: got seed, which the study itself sets"),
    ],
)
def test_mistakes_give_one_line(given, named, tmp_path, capsys):
    arguments = ["--config=digits", "--set=batch_size=32", f"--runs={tmp_path}"]
    assert command.main([*arguments, *(f"--grid={text}" for text in given)]) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_one_seed_has_no_interval(tmp_path):
    def make(settings, folder):
        return Study(CONFIG, ("light", "rocket"), 1, settings, folder)

    alone = Grid({"epochs": [2]}, make, tmp_path)
    alone.complete()
    result = alone.result("c")
    assert result["points"][0]["rows"][1]["gain"]["interval"] is None
    assert as_text(result).splitlines()[-3].endswith("| 1 |")
    (axes,) = picture(result).axes
    assert axes.get_xlabel() == "epochs"
    with pytest.raises(ConfigError, match="--methods: got 'roket'"):
        Grid(
            {"epochs": [2]},
            lambda point, folder: Study(bundled.load("digits"), ["roket"], 1, point, folder),
            tmp_path,
        )


def test_several_grids_in_one_picture(tmp_path):
    first, other = grid(tmp_path / "a"), grid(tmp_path / "b", fields={"train_examples": [50, 70]})
    for number, grids in enumerate((first, other)):
        grids.complete()
        (tmp_path / f"{number}.json").write_text(json.dumps(grids.result("c")))
    results = first.result("c"), other.result("c")
    left, right = picture(*results).axes
    assert (len(left.containers), len(right.containers)) == (2, 1)
    assert left.get_ylim() == right.get_ylim() and left.get_title() == "digits"
    in_auc = {**results[1], "in_per_cent": False}
    left, right = picture(results[0], in_auc).axes
    assert left.get_ylim() != right.get_ylim()
    assert (left.get_ylabel(), right.get_ylabel()) == tuple(
        f"gain of the light net, {unit}" for unit in ("points", "AUC")
    )

    output = tmp_path / "new" / "grids.png"
    names = [str(tmp_path / f"{number}.json") for number in range(2)]
    assert pictures.main(["grids", *names, f"--output={output}"]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "content, named",
    [(None, "(No such file or directory)"), ("{", "which is not JSON"), ("[1]", "has no grid")],
)
def test_grids_that_cannot_be_drawn(tmp_path, capsys, content, named):
    path = tmp_path / "grid.json"
    if content is not None:
        path.write_text(content)
    assert pictures.main(["grids", str(path), f"--output={tmp_path / 'grids.png'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"got {path}" in line and named in line
    assert "expected a JSON file that study --grid wrote" in line
    assert not (tmp_path / "grids.png").exists()
