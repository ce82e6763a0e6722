"""A study: its runs and their order, its search, its verdict, and that no test example leaks."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rocket_tf import config as options
from rocket_tf.commands import study as command
from rocket_tf.config import bundled as ready_configs
from rocket_tf.errors import ConfigError, ExportError
from rocket_tf.reporting import study_pictures
from rocket_tf.reporting.study_page import as_configuration, as_text, study_page
from rocket_tf.runs import fitting
from rocket_tf.runs.folder import RunFolder
from rocket_tf.serving import latency
from rocket_tf.studies import final_figures, study_latency
from rocket_tf.studies.search import Candidate, has_diverged
from rocket_tf.studies.study import FIRST_SEARCH_SEED, Shard, Study
from rocket_tf.studies.study_result import result_of, seeds_needed, verdict_of
from tests.small_runs import FEW_DIGITS, SMALL, quick_runs

TINY = {**SMALL, "epochs": 1, "train_examples": 80, "batch_size": 20}
del TINY["pictures"]
WEIGHTS = [Candidate("logits_mse", weight) for weight in (0.01, 0.1, 1.0, 10.0, 100.0)]

pytestmark = pytest.mark.usefixtures("few_test_digits")


def study(runs, methods=("light", "rocket"), seeds=2, candidates=(), **arguments):
    return Study(ready_configs.load("digits"), methods, seeds, TINY, runs, candidates, **arguments)


def pretend(runs, error):
    """Writes runs as if they were trained; `error` returns a run's validation error."""
    for run in runs:
        run.folder.write_config(run.config)
        figures = {"validation_error": error(run), "parameters": 7, "multiply_adds": 9}
        line = {"epoch": 1, "examples_per_second": 8.0, "val_light_accuracy": 0.5}
        run.folder.append_metrics(line)
        nets = ["light"] if run.config["method"] == "light" else ["light", "booster"]
        run.folder.write_summary({net: dict(figures) for net in nets} | {"versions": {}})


def open_test(runs, error):
    """Writes test figures as if the test examples had been opened."""
    for run in runs:
        summary = run.folder.read_summary()
        for net in ("light", "booster"):
            if net in summary:
                summary[net] |= {"test_error": error(run, net), "errors_by_class": [1, 2, 0]}
        (run.folder.path / "test.json").write_text(json.dumps(summary))


class TestPlan:
    def test_runs_are_paired_by_seed_and_hold_out_examples(self, tmp_path):
        runs = study(tmp_path).comparison()
        assert [run.title for run in runs] == [
            "light, seed 0",
            "rocket, seed 0",
            "light, seed 1",
            "rocket, seed 1",
        ]
        assert {run.config["validation_examples"] for run in runs} == {16}  # a fifth of 80
        assert {run.config["evaluate_test"] for run in runs} == {False}
        assert [run.config["split_seed"] for run in runs] == [0, 0, 1, 1]

    def test_examples_that_the_configuration_holds_out_are_kept(self, tmp_path):
        settings = {**TINY, "validation_examples": 11}
        runs = Study(ready_configs.load("digits"), ["light"], 1, settings, tmp_path).comparison()
        assert runs[0].config["validation_examples"] == 11

    def test_a_booster_to_follow_is_trained_first(self, tmp_path):
        runs = study(tmp_path, ("light", "kd"), 1).comparison()
        assert [run.title for run in runs] == ["booster, seed 0", "light, seed 0", "kd, seed 0"]
        assert runs[2].config["booster_run"] == str(runs[0].folder.path)

    @pytest.mark.parametrize(
        "arguments, named",
        [
            ({"methods": ("light", "roket")}, "--methods: got 'roket'"),
            ({"methods": ("light", "light")}, "each once"),
            ({"seeds": 0}, "--seeds: got 0"),
            ({"search_seeds": 0}, "--search_seeds: got 0"),
        ],
    )
    def test_mistakes(self, tmp_path, arguments, named):
        with pytest.raises(ConfigError, match=named):
            study(tmp_path, **arguments)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["seed", "split_seed", "evaluate_test", "method"])
    def test_settings_that_the_study_makes_itself(self, tmp_path, name):
        settings = {name: options.FIELDS[name].default}
        with pytest.raises(ConfigError, match=f"--set: got {name}, which the study itself sets"):
            Study(ready_configs.load("digits"), ["light"], 1, settings, tmp_path)

    def test_without_test_examples_others_must_be_held_out(self):
        config = options.default()
        config.update({**TINY, "evaluate_test": False})
        with pytest.raises(ConfigError, match=r"config\.evaluate_test: got False"):
            options.check(config)


class TestSearch:
    def test_the_worse_half_is_dropped_after_each_seed(self, tmp_path):
        """0.1 is best on the first seed and 10.0 on the second; their sums over both are equal."""
        errors = {0.01: (5, 5), 0.1: (1, 3), 1.0: (2, 2.5), 10.0: (4, 0), 100.0: (9, 0)}
        planned = study(tmp_path, candidates=WEIGHTS, search_seeds=3)
        tried = []
        while planned.search()["chosen"] is None:
            runs = planned.search()["runs"]
            tried.append([(run.config["hint_weight"], run.config["seed"]) for run in runs])
            turn = runs[0].config["seed"] - FIRST_SEARCH_SEED
            pretend(runs, lambda run, turn=turn: (*errors[run.config["hint_weight"]], 0)[turn])
        first, second, third = FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + 1, FIRST_SEARCH_SEED + 2
        assert tried == [
            [(weight, first) for weight in (0.01, 0.1, 1.0, 10.0, 100.0)],
            [(0.1, second), (1.0, second), (10.0, second)],
            [(0.1, third), (10.0, third)],  # the sums are 4, 4.5 and 4
        ]
        found = planned.search()
        assert found["chosen"] == WEIGHTS[1]  # the smaller weight of those with equal errors
        assert planned.config["hint_weight"] == 0.1
        assert {run.config["split_seed"] for run in planned.comparison()} == {0, 1}

    def test_a_run_that_diverges_has_an_error_of_100_per_cent_and_is_not_retried(
        self, tmp_path, monkeypatch
    ):
        planned = study(tmp_path, candidates=WEIGHTS[:2], search_seeds=1)
        one, other = planned.search()["runs"]
        pretend([other], lambda run: 50.0)
        one.folder.write_config(one.config)
        (one.folder.path / "diverged.txt").write_text("loss = nan")
        assert has_diverged(one) and planned.search()["chosen"] == WEIGHTS[1]
        assert planned.search()["errors"] == {WEIGHTS[0]: [100.0], WEIGHTS[1]: [50.0]}

    def test_how_flat_the_choice_is(self, tmp_path):
        """Of the candidates, two have all three seeds, one has two, and two have one."""
        errors = {
            0.01: (9.0,),
            0.1: (4.0, 5.0, 4.4),
            1.0: (4.5, 5.4, 4.9),
            10.0: (5.0, 6.5),
            100.0: (8.0,),
        }
        planned = study(tmp_path, candidates=WEIGHTS, search_seeds=3)
        assert "is not finished" in as_text(result_of(planned, "c"))
        while (found := planned.search())["chosen"] is None:
            turn = found["runs"][0].config["seed"] - FIRST_SEARCH_SEED
            pretend(found["runs"], lambda run, turn=turn: errors[run.config["hint_weight"]][turn])
        result = result_of(planned, "command")
        by_weight = {each["weight"]: each for each in result["search"]["candidates"]}
        assert {weight: each["by_seed"] for weight, each in by_weight.items()} == {
            weight: list(values) for weight, values in errors.items()
        }
        for weight, count in ((1.0, 3), (10.0, 2)):
            apart = np.subtract(errors[weight], errors[0.1][:count])
            low, high = stats.t.interval(0.95, count - 1, apart.mean(), stats.sem(apart))
            difference = by_weight[weight]["difference"]
            assert difference["mean"] == pytest.approx(apart.mean())
            assert difference["interval"] == pytest.approx([low, high])
        low, high = stats.t.interval(0.95, 2, np.mean(errors[0.1]), stats.sem(errors[0.1]))
        assert by_weight[0.1]["interval"] == pytest.approx([low, high])
        assert by_weight[100.0]["interval"] is None
        words = " ".join(as_text(result).split())
        assert (
            "Its neighbours on the same seeds: "
            "logits_mse with weight 0.01 +5.00, one seed cannot show it; "
            "logits_mse with weight 1 +0.47 [+0.32, +0.61] points over 3 seeds, beyond the noise. "
            "The others: logits_mse with weight 10 +1.25 [-1.93, +4.43] points over 2 seeds, "
            "within the noise; logits_mse with weight 100 +4.00, one seed cannot show it."
        ) in words
        for weight in (0.01, 1.0):
            by_weight[weight]["difference"] = {"mean": 0.1, "interval": [-0.1, 0.3], "seeds": 3}
        assert "The choice is flat; its neighbours are within" in as_text(result).replace("\n", " ")

    def test_its_picture_has_the_intervals(self, tmp_path):
        def candidate(weight, mean, interval, chosen, difference):
            apart = {"mean": difference[0], "interval": difference[1], "seeds": 2}
            own = {"mean": mean, "interval": interval, "by_seed": [mean - 1, mean + 1]}
            return {"hint": "kd", "weight": weight, "chosen": chosen, "difference": apart, **own}

        found = {
            "candidates": [
                candidate(0.3, 6.0, [5.0, 7.0], False, (2.0, [-1.0, 5.0])),
                candidate(0.1, 4.0, [1.0, 7.0], True, (0.0, [0.0, 0.0])),
            ]
        }
        left, right = study_pictures.search(found).axes
        bars = [
            [tuple(line) for line in each.get_children()[-1].get_segments()[0].tolist()]
            for each in left.containers
        ]
        assert bars == [[(0.1, 1.0), (0.1, 7.0)], [(0.3, 5.0), (0.3, 7.0)]]
        assert list(right.lines[0].get_ydata()) == [0.0, 2.0]
        ((low, high),) = right.containers[1].get_children()[-1].get_segments()
        assert (tuple(low), tuple(high)) == ((0.3, -1.0), (0.3, 5.0))
        for each in found["candidates"]:
            each["chosen"] = False
        assert len(study_pictures.search(found).axes) == 1

    def test_a_single_candidate_is_chosen_without_a_search(self, tmp_path):
        planned = study(tmp_path, candidates=WEIGHTS[3:4])
        assert not planned.searches
        assert planned.config["hint_weight"] == 10.0


class TestVerdict:
    def test_words(self):
        def difference(low, high, seeds=9):
            return {"mean": (low + high) / 2, "interval": [low, high], "seeds": seeds}

        assert verdict_of(difference(-0.5, -0.1), False).startswith("The rocket helps")
        assert verdict_of(difference(-0.5, -0.1), True).startswith("The rocket hurts")
        assert verdict_of(difference(0.1, 0.5), False).startswith("The rocket hurts")
        assert verdict_of(difference(0.1, 0.5), True).startswith("The rocket helps")
        for low, high in ((-0.5, 0.1), (-0.1, 0.5), (-0.2, 0.2), (0.0, 0.4)):
            assert "9 seeds are too few to say whether" in verdict_of(difference(low, high), False)
        assert "No number of seeds" in verdict_of(difference(-0.2, 0.2), False)
        alone = {"mean": 1.0, "interval": None, "seeds": 1}
        assert "at least two" in verdict_of(alone, False)

    @pytest.mark.parametrize("values", [[0.3, -0.4, 0.9, 0.1], [1.0, 0.9, -1.5, 2.0, 0.2]])
    def test_how_many_seeds_would_be_needed(self, values):
        mean, deviation = np.mean(values), np.std(values, ddof=1)

        def half(count):
            return stats.t.ppf(0.975, count - 1) * deviation / math.sqrt(count)

        own = half(len(values))
        difference = {"mean": mean, "interval": [mean - own, mean + own], "seeds": len(values)}
        needed = seeds_needed(difference)
        assert half(needed) < mean <= half(needed - 1)


class TestResult:
    def test_figures_and_files(self, tmp_path):
        planned = study(tmp_path, seeds=3)
        runs = planned.comparison()
        assert result_of(planned, "command")["rows"] == []  # there are no runs yet
        pretend(runs, lambda run: 10.0 + run.config["seed"])
        result = result_of(planned, "command")
        assert result["figure"] == "validation_error"
        assert result["rows"][0]["by_seed"] == {"0": 10.0, "1": 11.0, "2": 12.0}
        errors = {"light": (8.0, 9.0, 7.0), "rocket": (7.0, 7.5, 6.5)}
        open_test(runs, lambda run, net: errors[run.config["method"]][run.config["seed"]])
        result = result_of(planned, "command")
        light, rocket, booster = result["rows"]
        assert result["figure"] == "test_error"
        assert rocket["difference"]["mean"] == pytest.approx(-1.0)
        half = 4.302653 * 0.5 / math.sqrt(3)  # the differences are -1, -1.5 and -0.5
        assert rocket["difference"]["interval"] == pytest.approx([-1 - half, -1 + half], rel=1e-6)
        assert result["verdict"].startswith("3 seeds are too few to say whether")
        assert rocket["errors_by_class"] == [3, 6, 0]
        assert (light["net"], booster["net"]) == ("light", "booster")
        # A run trains on 64 examples at 8 per second and takes 12 seconds to start.
        assert light["seconds"] == 64 / 8 + 12
        text = as_text(result)
        assert "| rocket | light | 7.00 ± 0.50 | 7.00 | -1.00 [-2.24, +0.24] | 3 |" in text
        page = study_page(result)
        assert page.count("<img") == 4 and result["verdict"] in page
        written = tmp_path / "chosen.py"
        written.write_text(as_configuration(result))
        config = ready_configs.load_file(str(written))
        ignored = ["pictures", "evaluate_test", "split_seed", "seed"]
        assert options.differences(config, planned.config, ignored) == []

    def test_a_result_that_predates_latencies_is_read(self):
        results = Path(__file__).parents[2] / "results"
        text = as_text(json.loads((results / "study_digits.json").read_text()))
        figures = (results / "study_digits.md").read_text().split("\n\n")[:3]
        assert text.split("\n\n")[:3] == figures
        assert "| rocket | booster | 371,034 | 3,417,728 | 30 |" in text

    def test_a_file_can_build_its_own_nets(self, tmp_path):
        written = tmp_path / "own.py"
        written.write_text(
            "from rocket_tf import config\n\n"
            "def get_config():\n    return config.default()\n\n"
            "def build_nets(data):\n    return None\n"
        )
        config = ready_configs.load_file(str(written))
        assert config["own_functions"] == ("build_nets",)
        assert config["own_code"] == str(written)

    def test_a_file_that_is_not_a_configuration(self, tmp_path):
        with pytest.raises(ConfigError, match="there is no such file"):
            ready_configs.load_file(str(tmp_path / "absent.py"))
        (tmp_path / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
        with pytest.raises(
            ConfigError, match=r"cannot be loaded \(ZeroDivisionError\).*broken\.py:2\)$"
        ):
            ready_configs.load_file(str(tmp_path / "broken.py"))


class TestLatency:
    """Runs and exports are faked; the calls of the exports take 1, 2, … ms in order."""

    @pytest.fixture
    def timed(self, tmp_path, monkeypatch):
        asked = []

        def measure(exports, rounds, threads, batches, tell, loads):
            asked.append((exports, threads, batches, loads))
            ((runtime, (_, paths)),) = exports.items()
            columns = {"runtime": runtime, "threads": threads[0], "batch": batches[0], "calls": 400}
            return [
                {**columns, "net": net, "p50_ms": place, "p95_ms": 0.0, "p99_ms": 10.0 * place}
                for place, net in enumerate(paths, 1)
            ], {}

        monkeypatch.setattr(latency, "measure", measure)
        monkeypatch.setattr(study_latency, "_export", lambda run, net, *_: run.title + net)
        planned = study(tmp_path)
        pretend(planned.comparison(), lambda run: 20.0)
        return planned, asked

    def test_of_each_net_of_the_table(self, timed):
        planned, asked = timed
        study_latency.complete(planned.nets(), planned.data, planned.root)
        paths = {
            "light light": "light, seed 0light",
            "rocket light": "rocket, seed 0light",
            "rocket booster": "rocket, seed 0booster",
        }
        assert asked == [({"tensorflow": ("tensorflow", paths)}, (1,), (1,), 0)]
        result = result_of(planned, "command")
        found = [row["latency"] for row in result["rows"]]
        assert [each["p50_ms"] for each in found] == [1, 2, 3]
        assert found[2] == {"calls": 400, "p50_ms": 3, "p99_ms": 30.0}
        conditions = {name: result["latency"][name] for name in ("batch", "threads", "runtime")}
        assert conditions == {"batch": 1, "threads": 1, "runtime": "tensorflow"}
        assert result["latency"]["light_to_booster"] == pytest.approx(2 / 3)
        text = as_text(result)
        assert "batches of 1, one\nthread. Light net ÷ booster: 0.67." in text
        (costs,) = (line for line in text.splitlines() if line.startswith("| rocket | light | 7 |"))
        assert costs.endswith("| 2.00 | 20.00 |")
        assert "Light net ÷ booster: 0.67." in study_page(result)

    def test_a_measurement_is_kept_until_there_is_another_net(self, timed, tmp_path):
        planned, asked = timed
        for _ in range(2):
            study_latency.complete(planned.nets(), planned.data, planned.root)
        assert len(asked) == 1
        wider = study(tmp_path, ("light", "rocket", "booster"))
        pretend(wider.comparison(), lambda run: 20.0)
        assert result_of(wider, "command")["latency"] is None
        study_latency.complete(wider.nets(), wider.data, wider.root)
        assert len(asked) == 2 and len(wider.nets()) == 5
        # This compares the pair's light net, although the booster's own run comes last.
        assert study_latency.read(wider.nets(), tmp_path)["light_to_booster"] == pytest.approx(
            2 / 3
        )

    def test_a_study_leaves_it_out_if_it_cannot_be_measured(self, timed, monkeypatch, capsys):
        planned, _ = timed

        def fail(*_):
            raise ExportError("no room")

        monkeypatch.setattr(study_latency, "_export", fail)
        study_latency.complete(planned.nets(), planned.data, planned.root)
        assert "Latency is left out: no room" in capsys.readouterr().out
        result = result_of(planned, "command")
        assert result["latency"] is None and "Latency" not in as_text(result)
        assert "| – | – |" in as_text(result)


@pytest.mark.slow
class TestRuns:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def no_latency(cls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(study_latency, "complete", lambda *_: None)
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, few_test_digits, tmp_path_factory):
        """An uninterrupted study; for each evaluation, its examples and if all runs were done."""
        folder = tmp_path_factory.mktemp("whole")
        planned = study(folder, seeds=1, candidates=WEIGHTS[:2], search_seeds=1)
        evaluated = []
        evaluate = fitting.evaluate
        with quick_runs(), pytest.MonkeyPatch.context() as patch:

            def note(model, split, *arguments):
                done = all(run.folder.read_summary() for run in planned.comparison())
                evaluated.append((split.examples, done))
                return evaluate(model, split, *arguments)

            patch.setattr(fitting, "evaluate", note)
            assert planned.complete()
        return planned, evaluated

    def test_the_test_examples_are_opened_last(self, whole):
        planned, evaluated = whole
        assert evaluated == [(FEW_DIGITS, True), (FEW_DIGITS, True)]
        for run in planned.comparison():
            assert "test_error" not in run.folder.read_summary()["light"]
            opened = final_figures.read(run)
            assert 0 <= opened["light"]["test_error"] <= 100
            wrong = sum(opened["light"]["errors_by_class"])
            error = 100 * wrong / FEW_DIGITS
            assert error == pytest.approx(opened["light"]["test_error"], abs=1e-3)
        assert set(final_figures.read(planned.planned("rocket", 0))["gradient_flow"]) == {
            "light_loss",
            "booster_loss",
            "hint_loss",
        }

    def test_interrupted_twice_it_gives_the_same_table(self, whole, tmp_path, monkeypatch):
        append, calls = RunFolder.append_metrics, []

        def interrupt(folder, line):
            append(folder, line)
            calls.append(1)
            if len(calls) in (1, 4):
                raise KeyboardInterrupt

        monkeypatch.setattr(RunFolder, "append_metrics", interrupt)
        arguments = {"seeds": 1, "candidates": WEIGHTS[:2], "search_seeds": 1}
        with quick_runs():
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    study(tmp_path, **arguments).complete()
            again = study(tmp_path, **arguments)
            assert again.complete()
        mine, theirs = result_of(again, "command"), result_of(whole[0], "command")
        for row in (*mine["rows"], *theirs["rows"]):
            del row["seconds"]
        assert mine == theirs

    def test_shards_merge(self, whole, tmp_path):
        arguments = {"seeds": 1, "candidates": WEIGHTS[:2], "search_seeds": 1}
        with quick_runs():
            # Each shard does its part of the search and waits for the other's.
            assert not study(tmp_path, **arguments, shard=Shard(1, 2)).complete()
            assert study(tmp_path, **arguments).search()["chosen"] is None
            assert not study(tmp_path, **arguments, shard=Shard(2, 2)).complete()
            assert study(tmp_path, **arguments, shard=Shard(1, 2)).complete()
        mine, theirs = (
            result_of(each, "c")["rows"] for each in (study(tmp_path, **arguments), whole[0])
        )
        assert [row["by_seed"] for row in mine] == [row["by_seed"] for row in theirs]


class TestCommand:
    def test_reports_existing_results(self, tmp_path, capsys):
        pretend(study(tmp_path).comparison(), lambda run: 20.0)
        settings = [f"--set={name}={value}" for name, value in TINY.items()]
        arguments = ["--config=digits", "--seeds=2", f"--runs={tmp_path}", *settings]
        assert command.main([*arguments, "--report_only"]) == 0
        assert "| base (light net alone) | light | 20.00 ± 0.00 |" in capsys.readouterr().out
        for suffix in (".json", ".md", ".html", "_config.py"):
            assert (tmp_path / f"study{suffix}").exists()
        result = json.loads((tmp_path / "study.json").read_text())
        assert result["command"].startswith(
            "python -m tools.study --config=digits --seeds=2 --set="
        )
        assert "--runs" not in result["command"]

    @pytest.mark.parametrize(
        "arguments, named",
        [
            (["--shard=3/2"], "--shard: got '3/2'"),
            (["--hints=kd,mse"], "config.hint: got 'mse'"),
            (["--weights=0.1,-1"], "config.hint_weight: got -1"),
            (["--set=epochs=0"], "config.epochs: got 0"),
        ],
    )
    def test_mistakes_give_one_line(self, arguments, named, tmp_path, capsys):
        assert command.main(["--config=digits", f"--runs={tmp_path}", *arguments]) == 2
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1
        assert not list(tmp_path.iterdir())
