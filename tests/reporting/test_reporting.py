"""What people read and look at: Markdown, pictures, pages."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled as ready_configs
from rocket_tf.errors import ConfigError
from rocket_tf.reporting import markdown, page, pictures, writing
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.reporting.latency_picture import error_against_latency
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies.paper_tables import TABLES
from rocket_tf.studies.reproduction import Reproduction
from tests.pretended_runs import ERRORS, pretend
from tests.small_runs import quick_runs, small_config

PNG = b"\x89PNG\r\n"
pytestmark = pytest.mark.usefixtures("few_test_digits")


@pytest.fixture
def result(tmp_path):
    reproduced = Reproduction(TABLES["1"].with_rows(["interval", "bottom"]), 3, {}, tmp_path)
    pretend(reproduced, ERRORS)
    return reproduced.result("python -m tools.reproduce --table=1", note="A <JPEG> copy.")


@pytest.fixture(scope="module")
def finished(few_test_digits, tmp_path_factory):
    """A run with pictures."""
    workdir = tmp_path_factory.mktemp("pictures") / "run"
    config = small_config(pictures=True, train_examples=64, epochs=2, hint_weight=0.05)
    with quick_runs():
        train.train_and_evaluate(config, workdir, verbose=False)
    return RunFolder(workdir)


class TestMarkdown:
    def test_figures_stand_beside_the_papers(self, result):
        text = markdown.table_as_markdown(result)
        assert "| base (light net alone) | 8.77 | 9.00 ± 1.00 | 9.00 | – | 3 |" in text
        assert "| rocket | 7.87 | 7.80 ± 0.72 | 8.00 | -1.20 [-2.06, -0.34] | 3 |" in text
        assert "| booster alone | 6.58 | not run | – | – | 0 |" in text
        assert "| AT | – | not defined for these nets | – | – | – |" in text
        assert "200 epochs on 50000 training examples; errors are the last epoch's" in text
        assert "A <JPEG> copy." in text
        assert "    python -m tools.reproduce --table=1" in text

    def test_recipe_of_rows_that_differ(self, tmp_path):
        reproduced = Reproduction(TABLES["4"], 1, {"precision": "mixed_bfloat16"}, tmp_path)
        pretend(reproduced, ERRORS)
        svhn, cifar = map(markdown.recipe_in_words, reproduced.result("command")["rows"])
        assert svhn.startswith("80 epochs on 598388 training examples, mixed_bfloat16; the epoch")
        assert "chosen on 6000 held-out training examples" in svhn
        assert cifar.startswith("200 epochs on 50000 training examples, mixed_bfloat16; errors")

    def test_order_in_words(self):
        words = markdown.order_in_words(
            {"pairs": 3, "agree": 2, "certain": [["a", "b"]], "against": []}
        )
        assert "does not hold throughout: 2 of 3 pairs" in words
        assert "excludes 0: a below b." in words
        assert words.endswith("contradict the paper in the same way: none.")
        holds = markdown.order_in_words({"pairs": 1, "agree": 1, "certain": [], "against": []})
        assert "holds: 1 of 1" in holds

    def test_one_seed_has_neither_spread_nor_interval(self):
        cell = {
            "title": "rocket",
            "paper": None,
            "by_seed": {"0": 2.0},
            "mean": 2.0,
            "standard_deviation": None,
            "median": 2.0,
            "difference": {"mean": 0.25, "interval": None, "seeds": 1},
        }
        [line] = markdown.lines_of_row({"cells": [cell], "excluded": []})
        assert line == ["rocket", "–", "2.00", "2.00", "+0.25", "1"]


class TestPictures:
    HISTORY = [
        {"epoch": 1, "light_loss": 2.0, "booster_loss": 1.5, "hint_loss": 4.0},
        {
            "epoch": 2,
            "light_loss": 1.0,
            "booster_loss": 0.5,
            "hint_loss": 2.0,
            "val_light_accuracy": 0.9,
            "val_booster_accuracy": 0.95,
        },
    ]

    def test_learning_curves_show_the_metrics(self):
        figure = pictures.learning_curves({"run": self.HISTORY})
        errors, losses, hints = figure.axes
        assert [list(line.get_ydata()) for line in losses.lines] == [[2.0, 1.0], [1.5, 0.5]]
        assert [list(line.get_ydata()) for line in hints.lines] == [[4.0, 2.0]]
        np.testing.assert_allclose([line.get_ydata() for line in errors.lines], [[10.0], [5.0]])
        assert [text.get_text() for text in errors.get_legend().texts] == ["light", "booster"]

    def test_learning_curves_of_several_labels(self):
        heads = {"light_click": 0.9, "light_bought": 0.8, "booster_click": 0.7}
        line = {"epoch": 1} | {f"{head}_accuracy": 0.0 for head in heads}
        line |= {f"val_{head}_accuracy": value for head, value in heads.items()}
        line |= {f"{head}_loss": 1 - value for head, value in heads.items()}
        errors, losses, _ = pictures.learning_curves({"run": [line]}).axes
        found = {own.get_label(): own.get_ydata()[0] for own in errors.lines}
        assert found == pytest.approx(
            {"light click": 10.0, "light bought": 20.0, "booster click": 30.0}
        )
        assert len({own.get_color() for own in errors.lines}) == 2
        assert [own.get_ydata()[0] for own in losses.lines] == pytest.approx([0.1, 0.2, 0.3])

    def test_reliability_is_the_observed_rate_over_the_predicted_one(self):
        weights, predicted, clicks = np.zeros((3, 20))
        weights[[1, 4]], predicted[[1, 4]], clicks[[1, 4]] = [6, 2], [0.6, 0.5], [0.3, 1.0]
        bins = {"click": {"light": np.stack([weights, predicted, clicks])}, "bought": {}}
        axes, other, shares, _ = pictures.reliability(bins, "8 test examples").axes
        curve, diagonal = axes.lines
        np.testing.assert_allclose(curve.get_xydata(), [[0.1, 0.05], [0.25, 0.5]])
        np.testing.assert_allclose(diagonal.get_xydata(), [[0, 0], [0.5, 0.5]])
        np.testing.assert_allclose(shares.lines[0].get_xydata(), [[0.1, 0.75], [0.25, 0.25]])
        assert [own.get_title() for own in (axes, other)] == [
            "click: reliability",
            "bought: reliability",
        ]
        assert len(other.lines) == 1

    def test_several_runs_are_told_apart(self):
        light = [{"epoch": 1, "light_loss": 1.0, "val_light_accuracy": 0.5}]
        figure = pictures.learning_curves({"with": self.HISTORY, "alone": light})
        errors, _, hints = figure.axes
        labels = [text.get_text() for text in errors.get_legend().texts]
        assert labels == ["with: light", "with: booster", "alone: light"]
        assert len({line.get_color() for line in errors.lines}) == 2
        assert len(hints.lines) == 1
        assert pictures.as_png(pictures.learning_curves({"alone": light})).startswith(PNG)

    def test_gradient_flow_shows_norms_and_zeros(self):
        flow = {
            "light_loss": {"shared": 2.0, "light only": 0.5, "booster only": 0.0},
            "hint_loss": {"shared": None, "light only": 0.01234, "booster only": 0.0},
        }
        axes = pictures.gradient_flow(flow).axes[0]
        texts = [text.get_text() for text in axes.texts]
        assert texts == ["2", "0.5", "0", "no such part", "0.0123", "0"]
        assert [label.get_text() for label in axes.get_yticklabels()] == list(flow)
        shown = axes.images[0].get_array()
        assert shown.mask.tolist() == [[False, False, True], [True, False, True]]

    def test_gradient_flow_of_nothing(self):
        flow = {"light_loss": {"shared": 0.0, "light only": 0.0}}
        assert pictures.as_png(pictures.gradient_flow(flow)).startswith(PNG)

    def test_table_errors_show_every_seed_and_the_paper(self, result):
        figure = pictures.table_errors(result)
        measured, paper = figure.axes[:2]
        rows = [label.get_text() for label in measured.get_yticklabels()]
        assert rows[:2] == ["base (light net alone)", "AT"]
        seeds = next(line for line in measured.lines if len(line.get_xdata()) == 3)
        assert list(seeds.get_xdata()) == [9.0, 8.0, 10.0]
        figures = [line.get_xdata()[0] for line in paper.lines]
        assert figures == [8.77, 8.25, 8.39, 7.87, 7.52, 6.64, 6.58]

    def test_attention_maps_stand_side_by_side(self):
        images = np.zeros((2, 4, 4, 1), np.uint8)
        maps = {"light": [np.ones((2, 4, 4))], "booster": [np.ones((2, 4, 4)), np.ones((2, 2, 2))]}
        grid = pictures.attention_maps(images, maps).axes
        titles = [axes.get_title() for axes in grid[:5]]
        assert titles == [
            "image",
            "group 1\nlight",
            "group 1\nbooster",
            "group 2\nlight",
            "group 2\nbooster",
        ]
        assert [len(axes.images) for axes in grid[:5]] == [1, 1, 1, 0, 1]

    def test_the_same_figure_gives_the_same_file(self):
        first, second = (
            pictures.as_png(pictures.learning_curves({"run": self.HISTORY})) for _ in range(2)
        )
        assert first == second


class TestPages:
    def test_a_table_is_one_self_contained_file(self, result, tmp_path):
        result = {**result, "curves": {"rocket": TestPictures.HISTORY}}
        writing.write_table(result, tmp_path / "out" / "table")
        assert json.loads((tmp_path / "out" / "table.json").read_text()) == result
        assert (tmp_path / "out" / "table.png").read_bytes().startswith(PNG)
        text = (tmp_path / "out" / "table.html").read_text()
        sources = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert len(sources) == 2
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        assert "A &lt;JPEG&gt; copy." in text
        assert "<td>7.80 ± 0.72</td>" in text
        assert "<script" not in text
        assert "<td>learning_rate_drops</td><td>[0.295, 0.595, 0.795]</td>" in text

    def test_a_run(self, finished, tmp_path):
        writing.write_run_page(finished, tmp_path / "run.html")
        text = (tmp_path / "run.html").read_text()
        assert text.count("data:image/png;base64,") == 3
        summary = finished.read_summary()
        assert f"<td>{summary['light']['test_error']:.2f} %</td>" in text
        for name in options.FIELDS:
            assert f"<td>{name}</td>" in text
        assert "python -m rocket_tf.main --config=configs/digits.py" in text
        assert summary["versions"]["keras"] in text

    def test_unknown_multiply_adds_are_shown_as_unknown(self, finished, tmp_path):
        folder = RunFolder(tmp_path / "run")
        shutil.copytree(finished.path, folder.path)
        summary = finished.read_summary()
        known = summary["light"]["multiply_adds"]
        for light, shown in ((known, f"{known:,}"), (None, "not known")):
            folder.write_summary(summary | {"light": summary["light"] | {"multiply_adds": light}})
            table = closing_table(folder.read_summary(), folder.path).splitlines()
            assert table[0].endswith("multiply-adds") and table[2].split()[0] == "light"
            assert table[2].endswith(f"  {shown}")
            writing.write_run_page(folder, tmp_path / "run.html")
            assert f"<td>{shown}</td>" in (tmp_path / "run.html").read_text()

    def test_a_run_that_is_not_finished(self, tmp_path):
        folder = RunFolder(tmp_path)
        folder.write_config(dict(small_config()))
        with pytest.raises(ConfigError, match="not finished"):
            writing.write_run_page(folder, tmp_path / "run.html")
        assert not (tmp_path / "run.html").exists()

    def test_the_command_gives_the_configuration(self):
        config = small_config(method="kd", learning_rate_drops=(0.5,))
        command = page.command_of(config)
        assert command.startswith("python -m rocket_tf.main --config=configs/digits.py:kd ")
        overrides = dict(
            argument.removeprefix("--config.").split("=", 1)
            for argument in shlex.split(command)
            if argument.startswith("--config.")
        )
        rebuilt = dict(ready_configs.load("digits", "kd"))
        for name, text in overrides.items():
            rebuilt[name] = options.parse_override(name, text)
        ignored = ["pictures", *options.unread_fields(config)]
        assert options.differences(rebuilt, config, ignored) == []

    def test_the_command_of_a_configuration_that_comes_along_is_the_shortest(self):
        for name, method, expected in (
            ("cifar10", "rocket", "configs/cifar10.py"),
            ("svhn", "rocket_no_sharing", "configs/svhn.py:rocket_no_sharing"),
        ):
            command = page.command_of(ready_configs.load(name, method))
            assert command == f"python -m rocket_tf.main --config={expected}"


@pytest.mark.usefixtures("untraced")
class TestPicturesOfARun:
    def test_are_in_its_folder(self, finished):
        names = {path.name for path in finished.pictures.iterdir()}
        assert names == {"learning_curves.png", "gradient_flow.png", "attention_maps.png"}
        for path in finished.pictures.iterdir():
            assert path.read_bytes().startswith(PNG)

    def test_drawing_leaves_the_run_as_it_is(self, finished, tmp_path):
        config = small_config(pictures=False, train_examples=64, epochs=2, hint_weight=0.05)
        summary = train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert summary == finished.read_summary()
        assert not (tmp_path / "run" / "pictures").exists()

    @pytest.mark.parametrize(
        "changes, drawn",
        [
            ({"method": "light"}, {"learning_curves.png"}),
            pytest.param(
                {"method": "kd", "mixup": 0.2},
                {"learning_curves.png", "gradient_flow.png", "attention_maps.png"},
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_of_other_methods(self, tmp_path, changes, drawn):
        config = small_config(pictures=True, train_examples=64, epochs=1, **changes)
        train.train_and_evaluate(config, tmp_path / "run", verbose=False)
        assert {path.name for path in (tmp_path / "run" / "pictures").iterdir()} == drawn


def test_latencies_are_shown_of_the_smallest_batch_that_was_timed():
    result = {
        "runtimes": ["tensorflow"],
        "test_errors": {
            "light": {"mean": 9.0, "standard_deviation": 0.5},
            "booster": {"mean": 8.0, "standard_deviation": 0.25},
        },
        "rows": [
            {"runtime": "tensorflow", "threads": 1, "batch": batch, "net": net, "p50_ms": latency}
            for batch, net, latency in (
                (300, "light", 5.0),
                (300, "booster", 7.0),
                (200, "light", 2.0),
                (200, "booster", 4.0),
            )
        ],
    }
    (axes,) = error_against_latency(result).axes
    assert axes.get_xlabel() == "median latency in ms, batch of 200, 1 thread"
    shown = [tuple(bars.lines[0].get_xydata()[0]) for bars in axes.containers]
    assert shown == [(2.0, 9.0), (4.0, 8.0)]
