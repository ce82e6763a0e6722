"""Tables of the paper: the runs of each cell, the results, and resuming after interruptions."""

import json
from pathlib import Path

import pytest

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled as ready_configs
from rocket_tf.data import open_data
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.markdown import recipe_in_words
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import running
from rocket_tf.studies.paper_tables import AT, BOOSTER, KD, LIGHT, ROCKET, TABLES, Column, config_of
from rocket_tf.studies.reproduction import Reproduction
from tests.pretended_runs import ERRORS, pretend
from tests.small_runs import SMALL, quick_runs

TINY = {**SMALL, "epochs": 1, "train_examples": 64}
DIGITS = {name: value for name, value in TINY.items() if name not in ("dataset", "pictures")}

pytestmark = pytest.mark.usefixtures("few_test_digits")


def tiny(runs, table="digits", seeds=2, methods=("light", "kd", "rocket")):
    return Reproduction(TABLES[table].on("digits"), seeds, DIGITS, runs, methods)


class TestTables:
    @pytest.mark.parametrize("name", TABLES)
    def test_every_cell_can_be_run(self, name):
        for row in TABLES[name].rows:
            for column in TABLES[name].columns:
                config = config_of(row, column.method, {})
                if column in row.excluded:
                    with pytest.raises(ConfigError, match="three groups"):
                        options.check(config)
                else:
                    options.check(config)

    def test_the_paper_figures(self):
        rows = {key: {row.key: row for row in TABLES[key].rows} for key in "1234"}
        assert rows["1"]["interval"].paper[ROCKET] == 7.87
        assert rows["1"]["interval_wide"].paper[KD] == 6.08
        assert rows["1"]["bottom"].paper[BOOSTER] == 6.58
        assert AT not in rows["1"]["bottom"].paper
        assert rows["2"]["bottom"].paper[Column("no_joint_training")] == 8.23
        assert rows["3"]["interval"].paper[Column("rocket_softmax_mse")] == 8.32
        assert rows["4"]["svhn"].paper[LIGHT] == 3.58
        assert rows["4"]["cifar100"].paper[Column("rocket_kd")] == 33.0
        assert all(not row.paper for row in TABLES["figure4"].rows)

    def test_rows_equal_the_bundled_configurations(self):
        bottom = next(row for row in TABLES["1"].rows if row.key == "bottom")
        for row, name in ((TABLES["1"].rows[0], "cifar10"), (bottom, "cifar10_bottom")):
            ready = ready_configs.load(name)
            assert options.differences(config_of(row, "rocket", {}), ready) == []

    def test_another_data_set_has_no_figures_of_the_paper(self):
        table = TABLES["1"].on("cifar100")
        assert [row.key for row in table.rows] == ["interval", "interval_wide", "bottom"]
        assert {row.dataset for row in table.rows} == {"cifar100"}
        assert not any(row.paper for row in table.rows)
        assert TABLES["1"].on("cifar10") == TABLES["1"]
        assert [row.key for row in TABLES["4"].on("svhn").rows] == ["svhn"]

    @pytest.mark.parametrize(
        "name, dataset", [("digits", "cifar10"), ("4", "cifar10"), ("1", "svhn"), ("2", "digits")]
    )
    def test_a_table_that_makes_no_sense_on_a_data_set(self, name, dataset):
        with pytest.raises(ConfigError, match=f"--dataset: got '{dataset}'"):
            TABLES[name].on(dataset)


class TestPlan:
    def test_each_run_once_seed_by_seed_boosters_first(self, tmp_path):
        reproduced = Reproduction(TABLES["1"], 2, {}, tmp_path)
        folders = [run.folder.path for run in reproduced.runs]
        assert len(set(folders)) == len(folders)
        # Two rows have six methods. The last row has no AT and uses the first row's booster.
        # The booster in the rocket needs no run of its own.
        assert len(folders) == 2 * (6 + 6 + 4)
        assert [run.seed for run in reproduced.runs] == [0] * 16 + [1] * 16
        boosters = [place for place, run in enumerate(reproduced.runs) if run.method == "booster"]
        assert boosters == [0, 6, 16, 22]

    @pytest.mark.parametrize(
        "key, methods", [("1", ("kd", "rocket_kd")), ("2", ("no_joint_training",))]
    )
    def test_the_bottom_row_follows_the_interval_rows_booster(self, tmp_path, key, methods):
        runs = Reproduction(TABLES[key], 1, {}, tmp_path).runs
        (booster,) = {
            run.config["booster_run"]
            for run in runs
            if run.method in methods and "width2" not in str(run.folder.path)
        }
        assert booster == str(tmp_path / "cifar10_200_epochs/interval_16_40_width1/booster/seed0")
        (run,) = [run for run in runs if str(run.folder.path) == booster]
        assert run.config["learning_rate_drops"] == (0.295, 0.595, 0.795)
        assert run.config["layout"] == "interval"
        bottom = [run for run in runs if run.config["layout"] == "bottom"]
        assert {run.config["learning_rate_drops"] for run in bottom} == {(0.345, 0.645, 0.945)}

    def test_cells_with_the_same_run_share_its_folder_in_all_tables(self, tmp_path):
        first, second, third = (Reproduction(TABLES[key], 1, {}, tmp_path) for key in "123")
        folders = [
            {run.folder.path for run in reproduced.runs} for reproduced in (first, second, third)
        ]
        # In both layouts, Tables 1 and 2 share base and rocket, and Tables 2 and 3 the rocket.
        # Tables 1 and 2 also share the booster.
        assert len(folders[0] & folders[1]) == 5
        assert len(folders[1] & folders[2]) == 2

    def test_boosters_without_a_column_are_planned_too(self, tmp_path):
        runs = Reproduction(TABLES["4"].on("svhn"), 1, {}, tmp_path).runs
        assert [run.method for run in runs] == [
            "booster",
            "light",
            "at",
            "kd",
            "rocket",
            "rocket_kd",
        ]
        runs = Reproduction(TABLES["4"].on("svhn"), 1, {}, tmp_path, ("light", "rocket")).runs
        assert [run.method for run in runs] == ["light", "rocket"]

    def test_a_booster_with_other_settings_is_refused(self, tmp_path):
        booster = next(run for run in tiny(tmp_path).runs if run.method == "booster")
        booster.folder.write_config({**booster.config, "learning_rate": 0.3})
        with pytest.raises(ConfigError, match=r"learning_rate: 0\.3 → 0\.1"):
            tiny(tmp_path)

    @pytest.mark.parametrize(
        "name, setting",
        [
            ("2", {"share": True}),
            ("2", {"gradient_block": True}),
            ("3", {"hint_weight": 0.1}),
            ("1", {"method": "kd"}),
            ("1", {"width": 2}),
            ("1", {"dataset": "digits"}),
            ("1", {"seed": 5}),
            ("digits", {"split_seed": 1}),
            ("1", {"pictures": True}),
        ],
    )
    def test_a_setting_in_which_cells_differ_is_refused(self, tmp_path, name, setting):
        with pytest.raises(ConfigError, match=f"--set: got {next(iter(setting))}, which"):
            Reproduction(TABLES[name], 1, setting, tmp_path)
        # Other fields can still be set.
        Reproduction(TABLES["1"], 1, {"hint_weight": 0.1}, tmp_path)

    def test_runs_follow_the_booster_of_the_table(self, tmp_path):
        reproduced = tiny(tmp_path, methods=None)
        boosters = {run.seed: run for run in reproduced.runs if run.method == "booster"}
        for run in reproduced.runs:
            if run.config["method"] in options.METHODS_WITH_TEACHER:
                booster = boosters[run.seed]
                assert run.config["booster_run"] == str(booster.folder.path)
                own = run.folder.booster_folder(run.config).config_of_booster(
                    run.config, open_data(run.config)
                )
                unread = options.unread_fields(booster.config)
                assert options.differences(own, booster.config, ["pictures", *unread]) == []

    def test_splits_follow_the_seed_on_digits(self, tmp_path):
        assert {(run.config["seed"], run.config["split_seed"]) for run in tiny(tmp_path).runs} == {
            (0, 0),
            (1, 1),
        }

    def test_each_budget_has_its_own_folders(self, tmp_path):
        small = Reproduction(TABLES["2"], 1, {"epochs": 2, "train_examples": 500}, tmp_path)
        whole = Reproduction(TABLES["2"], 1, {}, tmp_path)
        assert not {run.folder.path for run in small.runs} & {run.folder.path for run in whole.runs}

    def test_runs_with_other_settings_are_refused_before_any_work(self, tmp_path):
        pretend(tiny(tmp_path), {("light", "light"): [1.0]})
        with pytest.raises(ConfigError, match="holds a run with other settings"):
            Reproduction(
                TABLES["digits"], 1, {**DIGITS, "learning_rate": 0.2}, tmp_path, ("light",)
            )

    def test_settings_that_cannot_be_run(self, tmp_path):
        with pytest.raises(ConfigError, match=r"config\.batch_size"):
            Reproduction(TABLES["digits"], 1, {"batch_size": 5000}, tmp_path)
        bottom = TABLES["1"].with_rows(["bottom"])
        with pytest.raises(ConfigError, match="defined for these rows: light, kd"):
            Reproduction(bottom, 1, {}, tmp_path, ("at",))


class TestResult:
    def result(self, tmp_path, seeds=3):
        reproduced = Reproduction(TABLES["1"].with_rows(["interval"]), seeds, {}, tmp_path)
        pretend(reproduced, ERRORS)
        return reproduced.result("python -m tools.reproduce --table=1", note="JPEG")

    def test_figures(self, tmp_path):
        result = self.result(tmp_path)
        cells = {cell["title"]: cell for cell in result["rows"][0]["cells"]}
        rocket = cells["rocket"]
        assert rocket["by_seed"] == {"0": 8.0, "1": 7.0, "2": 8.4}
        assert (rocket["paper"], rocket["median"]) == (7.87, 8.0)
        assert rocket["mean"] == pytest.approx(7.8)
        assert rocket["difference"]["mean"] == pytest.approx(-1.2)
        # Differences -1, -1, -1.6 have sd 0.3464; t with 2 degrees of freedom is 4.3027.
        half = 4.3027 * 0.34641 / 3**0.5
        assert rocket["difference"]["interval"] == pytest.approx([-1.2 - half, -1.2 + half], 1e-4)
        assert cells["booster in rocket"]["by_seed"] == {"0": 6.0, "1": 6.1, "2": 6.2}
        assert "difference" not in cells["base (light net alone)"]
        assert cells["AT"]["by_seed"] == {} and cells["AT"]["paper"] == 8.25

    def test_order_counts_the_light_nets_with_results(self, tmp_path):
        order = self.result(tmp_path)["rows"][0]["order"]
        assert (order["pairs"], order["agree"], order["against"]) == (3, 3, [])
        assert ["KD", "base (light net alone)"] in order["certain"]

    def test_recipe_and_machine(self, tmp_path):
        result = self.result(tmp_path)
        recipe = result["rows"][0]["config"]
        assert (recipe["epochs"], recipe["learning_rate"]) == (200, 0.1)
        assert not {"seed", "method", "data_dir"} & set(recipe)
        assert result["versions"]["tensorflow"] == "2"
        assert result["note"] == "JPEG"
        assert json.loads(json.dumps(result)) == result

    def test_runs_of_the_recipe_before_0_2_are_read_and_named(self, tmp_path):
        pretend(tiny(tmp_path, methods=("light", "rocket")), ERRORS)
        older = list(tmp_path.glob("*/*/*/seed*/config.json"))
        assert len(older) == 4
        for path in older:
            config = json.loads(path.read_text())
            del config["crop_padding_mode"]
            path.write_text(json.dumps(config | {"learning_rate_drops": [0.3, 0.6, 0.8]}))
        with pytest.raises(ConfigError, match="recipe before 0"):
            tiny(tmp_path, methods=("light", "rocket"))
        read = Reproduction(
            TABLES["digits"], 2, DIGITS, tmp_path, ("light", "rocket"), write_only=True
        )
        (row,) = read.result("command")["rows"]
        assert row["config"]["crop_padding_mode"] == "reflect"
        assert ", recipe before 0.2;" in recipe_in_words(row)
        assert row["cells"][0]["by_seed"] == {"0": 9.0, "1": 8.0}
        # Other differences are still refused, and so is a mixture of both recipes.
        older[0].write_text(json.dumps({**config, "hint_weight": 7.0}))
        with pytest.raises(ConfigError, match="with other settings"):
            Reproduction(
                TABLES["digits"], 2, DIGITS, tmp_path, ("light", "rocket"), write_only=True
            )

    @pytest.mark.parametrize(
        "key, methods",
        [
            ("1", ("light", "kd", "rocket", "booster")),
            ("2", ("light", "rocket_no_gradient_block", "rocket_no_sharing", "rocket")),
        ],
    )
    def test_the_committed_tables_agree_with_their_runs(self, key, methods):
        results = Path(__file__).parents[2] / "results"
        committed = json.loads((results / f"cifar10_table{key}.json").read_text())
        budget = {
            "epochs": 20,
            "train_examples": 10_000,
            "precision": "mixed_bfloat16",
            "evaluate_every_epochs": 4,
        }
        table = TABLES[key].with_rows(["interval"])
        read = Reproduction(table, 3, budget, results / "runs", methods, write_only=True)
        (row,) = read.result("command")["rows"]
        (kept,) = committed["rows"]
        row = json.loads(json.dumps(row))
        older = json.loads(json.dumps(options.with_older_fields(kept["config"])))
        assert set(kept["config"]) <= set(row["config"])
        kept["config"] = {name: older[name] for name in row["config"]}  # adds the newer fields
        assert row == kept
        assert ", recipe before 0.2;" in recipe_in_words(row)
        assert ", recipe before 0.2;" in (results / f"cifar10_table{key}.md").read_text()

    def test_runs_of_two_recipes_do_not_make_a_table(self, tmp_path):
        pretend(tiny(tmp_path, methods=("light", "rocket")), ERRORS)
        path = next(iter(tmp_path.glob("*/*/light/seed0/config.json")))
        config = json.loads(path.read_text())
        path.write_text(json.dumps(config | {"crop_padding_mode": "reflect"}))
        with pytest.raises(ConfigError, match="light/seed0 follows the recipe"):
            Reproduction(
                TABLES["digits"], 2, DIGITS, tmp_path, ("light", "rocket"), write_only=True
            )

    def test_a_row_without_figures_of_the_paper_has_no_order(self, tmp_path):
        reproduced = tiny(tmp_path)
        pretend(reproduced, ERRORS)
        assert reproduced.result("command")["rows"][0]["order"] is None


@pytest.fixture(scope="module")
def whole(few_test_digits, tmp_path_factory):
    """A table whose runs were not interrupted."""
    reproduced = tiny(tmp_path_factory.mktemp("whole"))
    with quick_runs():
        reproduced.complete()
    return reproduced


@pytest.mark.slow
class TestRuns:
    def test_the_figures_are_those_of_the_runs(self, whole):
        for cell in whole.result("command")["rows"][0]["cells"]:
            for run in whole.runs:
                if run.method == cell["method"]:
                    summary = run.folder.read_summary()
                    assert cell["by_seed"][str(run.seed)] == summary[cell["net"]]["test_error"]

    def test_equal_a_separate_run_of_the_trainer(self, whole, tmp_path):
        run = next(run for run in whole.runs if (run.method, run.seed) == ("rocket", 1))
        with quick_runs():
            alone = train.train_and_evaluate(run.config, tmp_path, verbose=False)
        assert alone == run.folder.read_summary()

    @pytest.mark.parametrize("instant", ["during a run", "between runs"])
    def test_interrupted_and_resumed_gives_the_same_table(
        self, whole, tmp_path, monkeypatch, instant
    ):
        calls = []
        append = RunFolder.append_metrics

        def interrupt(folder, line):
            append(folder, line)
            calls.append(1)
            if len(calls) == 3:  # the epoch is logged but has no checkpoint yet
                raise KeyboardInterrupt

        def stop():
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            if instant == "during a run":
                patch.setattr(RunFolder, "append_metrics", interrupt)
            after_run = stop if instant == "between runs" else lambda: None
            with pytest.raises(KeyboardInterrupt), quick_runs():
                tiny(tmp_path).complete(after_run)
        missing = [run for run in tiny(tmp_path).runs if run.folder.read_summary() is None]
        assert 0 < len(missing) < len(whole.runs)
        again = tiny(tmp_path)
        with quick_runs():
            again.complete()
        assert again.result("command") == whole.result("command")

    def test_prints_each_run_and_the_remaining_time(self, tmp_path, capsys, monkeypatch):
        first = tiny(tmp_path)

        def write(config, workdir, data):
            run = next(run for run in first.runs if run.folder.path == workdir)
            run.folder.write_config(config)
            run.folder.append_metrics({"epoch": 1, "examples_per_second": 0.5})
            run.folder.write_summary({"light": {"test_error": 1.0}, "versions": {}})

        monkeypatch.setattr(train, "train_and_evaluate", write)
        first.complete()
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("==")]
        assert len(lines) == len(first.runs)
        assert lines[0].startswith("== run 1 of 8: WRN-10-1 in WRN-28-1, interval, booster alone")
        assert "left" not in lines[0]  # nothing is known yet
        # Each run took 64 examples at 0.5 a second and 12 seconds to start: 140 s. By depth, the
        # booster, light, KD and rocket cost 16, 10, 10 + 16 / 3 and 26. The last rocket is left.
        average = 7 * 140 / (2 * (16 + 10 + 10 + 16 / 3) + 26)
        assert lines[-1].endswith(f"; about {round(average * 26 / 60)} min left")

    def test_without_missing_runs_nothing_is_loaded(self, whole, monkeypatch):
        monkeypatch.setattr(running, "load_tensorflow_quietly", lambda: 1 / 0)
        whole.complete()


def test_costs_are_proportional(tmp_path):
    runs = {
        run.method: running._cost(run)
        for run in Reproduction(TABLES["1"].with_rows(["interval"]), 1, {}, tmp_path).runs
    }
    assert runs["rocket"] == runs["light"] + runs["booster"]
    assert runs["light"] < runs["kd"] == runs["at"] < runs["booster"]
    assert runs["rocket_kd"] > runs["rocket"]
