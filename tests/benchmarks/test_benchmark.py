"""The benchmark: what it measures, how it counts, and what it says to mistakes."""

import dataclasses
import importlib.util
import json
import math

import pytest

from rocket_tf.benchmarks import click_steps, figures, keras_steps, measuring, processes
from rocket_tf.benchmarks.figures import FIGURES
from rocket_tf.benchmarks.kinds import HERE, KINDS, Kind
from rocket_tf.benchmarks.settings import Settings
from rocket_tf.commands import benchmark
from rocket_tf.errors import ConfigError
from rocket_tf.system.provenance import software

TINY = Settings(batch_size=4, steps=2, processes=1, examples=10, light_depth=10, booster_depth=10)
MEASURED = {
    "rocket": [90.0, 100.0, 500.0],
    "light": [40.0],
    "booster": [60.0, 70.0],  # median 65
    "distiller": [60.0],
    "rocket_fit": [104.0],
    "rocket_loop": [100.0],
    "rocket_keras_norm": [125.0],
    "booster_keras_norm": [80.0],
    "distiller_keras_norm": [120.0],
    "rocket_bfloat16": [72.0],
    "rocket_pytorch": [160.0],
    "rocket_pytorch_bfloat16": [90.0],
    "rocket_1_replica": [100.0],
    "rocket_2_replicas": [110.0],
    "rocket_2_workers": [120.0],
    "clicks_smallest": [4.0],
    "clicks_middle": [5.0],
    "clicks_largest": [5.6],
    "clicks_smallest_history": [8.0],
    "clicks_largest_history": [10.0],
    "clicks": [5.0],
    "clicks_keras": [1000.0],
    "clicks_pytorch": [16.0],
    "pipeline_rate": [50_000.0],
    "rocket_rate": [400.0],
    "rocket_memory": [1300.0],
    "booster_memory": [1000.0],
    "rocket_memory_above_tensorflow": [700.0],
    "booster_memory_above_tensorflow": [400.0],
    "first_step": [8.0, 9.0, 30.0],
}
EXPECTED = {
    "rocket_to_separate": 100 / 105,
    "fit_to_loop": 1.04,
    "fused_to_keras": 0.8,
    "bfloat16_to_float32": 0.72,
    "rocket_to_pytorch": 0.625,
    "bfloat16_to_pytorch": 0.8,
    "rocket_to_two_stage": 0.8,
    "rocket_to_two_stage_keras_norm": 0.5,
    "pipeline_to_rocket": 125,
    "rocket_memory_to_booster": 1.3,
    "rocket_memory_to_booster_above_tensorflow": 1.75,
    "two_replicas_to_one": 1.1,
    "two_workers_to_one": 1.2,
    "largest_table_to_smallest": 1.4,
    "middle_table_to_smallest": 1.25,
    "largest_table_to_smallest_history": 1.25,
    "clicks_to_pytorch": 0.3125,
    "clicks_to_keras": 0.005,
    "first_step": 9.0,
}
MISSED = {"fit_to_loop", "rocket_to_two_stage", "two_workers_to_one"}


class TestFigures:
    def test_are_ratios_of_medians(self):
        assert figures.evaluate(FIGURES, MEASURED) == pytest.approx(EXPECTED, abs=1e-4)

    def test_say_whether_they_meet_their_targets(self):
        verdicts = {name: FIGURES[name].verdict(value) for name, value in EXPECTED.items()}
        assert {name for name, words in verdicts.items() if "missed" in words} == MISSED
        assert verdicts["pipeline_to_rocket"] == "target: at least 100, met"
        assert verdicts["fused_to_keras"] == "" and FIGURES["fused_to_keras"].target == {}
        assert FIGURES["first_step"].target == {"at_most": 15}

    def test_measurements_are_summarized_by_median_and_range(self):
        assert figures.summarize([3.0, 1.0, 2.5]) == {"median": 2.5, "min": 1.0, "max": 3.0}

    def test_steps_that_other_work_slowed_down_are_reported(self):
        times = {"quiet": [1.0, 1.1, 9.0], "slowed": [1.0, 1.3, 1.4]}
        assert figures.disturbed(times) == ["slowed"]

    def test_those_that_need_pytorch_are_left_out_without_it(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        chosen, left_out = figures.choose()
        assert left_out == ["rocket_to_pytorch", "bfloat16_to_pytorch", "clicks_to_pytorch"]
        assert list(chosen) == [name for name in FIGURES if name not in left_out]
        with pytest.raises(ConfigError, match=r"rocket_to_pytorch needs PyTorch.*pip install"):
            figures.choose("rocket_to_pytorch")


class TestReport:
    def test_has_all_figures_in_one_run(self, tmp_path, monkeypatch, capsys):
        """The command as it is, with steps that take no time in place of the nets'."""
        for name, kind in KINDS.items():
            monkeypatch.setitem(KINDS, name, Kind(kind.builder, {}, HERE))
        monkeypatch.setattr(Kind, "build", lambda kind, settings: lambda: None)
        monkeypatch.setattr(measuring, "load_libraries", lambda names: None)
        monkeypatch.setattr(processes, "peak_memory", lambda *_: ([1000.0], [400.0]))
        monkeypatch.setattr(processes, "seconds_to_first_step", lambda *_: [8.0, 9.0])

        def rounds(settings, warm_up, take_round):
            for done in range(settings.steps):
                take_round(done)
            return [0.002] * settings.steps

        monkeypatch.setattr(keras_steps, "rounds_within_fit", rounds)
        # Also without PyTorch.
        monkeypatch.setattr(benchmark, "choose", lambda names: (FIGURES, []))
        monkeypatch.setattr(measuring, "software", lambda *names: software(*names[:2]))
        output = tmp_path / "new" / "benchmark.json"
        assert benchmark.main(["--steps=3", f"--output={output}"]) == 0
        report, printed = json.loads(output.read_text()), capsys.readouterr().out
        assert [*report["ratios"], "first_step"] == list(FIGURES)
        assert set(report["milliseconds"]) == {*KINDS, "rocket_fit"}
        assert set(report["examples_per_second"]) == {"pipeline_rate", "rocket_rate"}
        assert report["ratios"]["rocket_memory_to_booster"] == 1
        assert report["seconds"]["first_step"] == {"median": 8.5, "min": 8.0, "max": 9.0}
        assert report["targets"]["rocket_to_separate"] == {"at_most": 0.97}
        assert list(report["profile"]) == ["rocket"]
        assert report["command"].startswith("python -m tools.benchmark --batch_size=128 --steps=3")
        assert {"python", "tensorflow", "keras", "rocket_tf"} <= set(report["versions"])
        assert report["machine"]["processors"] >= 1
        assert "round 3 of 3" in printed
        assert report["disturbed"] == [] or "disturbed: " in printed
        for figure in FIGURES.values():
            assert figure.meaning in printed

    @pytest.mark.slow
    def test_steps_of_this_process_and_of_fit(self):
        chosen, _ = figures.choose("fit_to_loop,pipeline_to_rocket")
        report = measuring.measure(TINY, chosen, lambda line: None)
        times = report["milliseconds"]
        assert set(times) == {"rocket", "rocket_loop", "input_pipeline", "rocket_fit"}
        convolutions = [name for name in report["profile"]["rocket"] if "Conv2D" in name]
        assert len(convolutions) >= 3  # forwards, and backwards to inputs and to filters
        assert all(report["profile"]["rocket"][name] > 0 for name in convolutions)
        for range_ in times.values():
            assert 0 < range_["min"] <= range_["median"] <= range_["max"]
        fit_to_loop = times["rocket_fit"]["median"] / times["rocket_loop"]["median"]
        assert report["ratios"]["fit_to_loop"] == pytest.approx(fit_to_loop, rel=0.01)
        rate = report["examples_per_second"]["rocket_rate"]["max"]
        assert rate == pytest.approx(1000 * TINY.batch_size / times["rocket"]["min"], rel=0.01)

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"net": "distiller"}, marks=pytest.mark.slow),
            {"net": "rocket", "policy": "mixed_bfloat16"},
            pytest.param({"net": "rocket", "replicas": 2}, marks=pytest.mark.slow),
        ],
        ids=["distiller", "bfloat16", "replicas"],
    )
    def test_other_steps_have_finite_losses(self, options):
        step = keras_steps.training_step(TINY, **options)
        assert math.isfinite(step()) and math.isfinite(step())

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "options",
        [
            {"history": True},
            pytest.param({"share": 0.5}, marks=pytest.mark.slow),
            pytest.param({"sparse": False}, marks=pytest.mark.slow),
        ],
    )
    def test_steps_of_click_nets_lower_the_loss(self, options):
        settings = dataclasses.replace(TINY, click_batch_size=256, table_rows=1000)
        step = click_steps.training_step(settings, **options)
        losses = [step() for _ in range(150)]  # three times over the same batches
        assert sum(losses[100:]) < sum(losses[:50])

    def test_kinds_are_what_the_figures_need(self):
        steps = {
            name
            for figure in FIGURES.values()
            for name in figure.measurements
            if not any(unit in name for unit in ("rate", "memory", "first_step"))
        }
        assert steps | {"input_pipeline"} == {*KINDS, "rocket_fit"}


class TestProcesses:
    @pytest.mark.slow
    def test_peak_memory_of_a_fresh_process(self):
        [peak], [above] = processes.peak_memory(TINY, "light", 1, lambda line: None)
        assert 0 < above < peak

    def test_a_worker_that_cannot_start_says_why(self):
        with pytest.raises(RuntimeError, match=r"measures has ended.*KeyError: 'unknown'"):
            processes.start_worker(TINY, ["unknown"])

    @pytest.mark.slow
    def test_first_step_of_the_command(self):
        [seconds] = processes.seconds_to_first_step(TINY, lambda line: None)
        assert seconds > 0


class TestMistakes:
    @pytest.mark.parametrize(
        "argument, named",
        [
            ("--batch_size=1", "--batch_size: got 1, expected a whole number of at least 2"),
            ("--steps=0", "--steps: got 0"),
            ("--processes=0", "--processes: got 0"),
            ("--examples=0", "--examples: got 0"),
            ("--steps=many", "--steps: invalid int value: 'many'"),
            ("--light_depth=12", "--light_depth: got 12, expected 6n + 4"),
            ("--light_depth=46", "--light_depth: got 46, expected at most the booster's 40"),
            ("--only=speed", "--only: got 'speed', expected some of rocket_to_separate,"),
            ("--unknown", "unrecognized arguments: --unknown"),
            ("--output=.", "--output: got ., a folder"),
        ],
    )
    def test_are_answered_in_one_line_before_any_work(self, argument, named, capsys):
        try:
            code = benchmark.main([argument])
        except SystemExit as error:
            code = error.code
        assert code == 2
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1
