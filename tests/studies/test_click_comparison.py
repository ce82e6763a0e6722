"""The comparison on simulated clicks: its runs and its table."""

import json
from pathlib import Path

import numpy as np
import pytest

from rocket_tf.commands import compare_clicks
from rocket_tf.errors import ConfigError
from rocket_tf.studies import statistics
from rocket_tf.studies.click_comparison import FIGURES, NETS, ClickComparison, as_markdown
from rocket_tf.studies.dwell_comparison import NETS as DWELL_NETS
from rocket_tf.studies.dwell_comparison import DwellComparison
from rocket_tf.studies.dwell_comparison import as_markdown as dwell_markdown
from rocket_tf.studies.hint_weights import compare
from rocket_tf.studies.running import missing
from rocket_tf.studies.search import validation_error
from tests.small_runs import quick_runs

SMALL = {
    "epochs": 1,
    "train_examples": 600,
    "hash_buckets": 20,
    "embedding_dimension": 2,
    "light_tower": "(4,)",
    "booster_tower": "(8,)",
}
RESULTS = Path(__file__).parents[2] / "results"
SETTINGS = [f"--set={name}={value}" for name, value in SMALL.items()]

pytestmark = pytest.mark.usefixtures("few_simulated_clicks")


@pytest.mark.slow
def test_trains_missing_runs_and_writes_the_table(tmp_path, capsys):
    arguments = [
        "--seeds=2",
        f"--runs={tmp_path / 'runs'}",
        f"--output={tmp_path / 'clicks'}",
        *SETTINGS,
    ]
    with quick_runs(traced=True):
        assert compare_clicks.main(arguments) == 0
    first = capsys.readouterr().out
    assert "== run 8 of 8: booster, seed 1" in first
    result = json.loads((tmp_path / "clicks.json").read_text())
    assert [row["title"] for row in result["rows"]] == [
        "light net alone",
        "light net in the rocket",
        "booster in the rocket",
        "light net in the rocket, shared layers learn from the booster alone",
        "booster alone",
    ]
    for row in result["rows"]:
        for figure in FIGURES:
            values = np.array(list(row[figure]["by_seed"].values()))
            base = np.array(list(result["rows"][0][figure]["by_seed"].values()))
            assert row[figure]["mean"] == pytest.approx(values.mean())
            assert row[figure]["standard_deviation"] == pytest.approx(values.std(ddof=1))
            assert row[figure]["difference"]["mean"] == pytest.approx((values - base).mean())
    # Rows hold the figures of each seed's summary, and each seed has its own log.
    summary = json.loads((tmp_path / "runs" / "booster" / "seed1" / "summary.json").read_text())
    assert result["rows"][-1]["test_auc"]["by_seed"]["1"] == summary["booster"]["test_auc"]
    configs = [
        json.loads((tmp_path / "runs" / "light" / f"seed{seed}" / "config.json").read_text())
        for seed in (0, 1)
    ]
    assert [config["split_seed"] for config in configs] == [0, 1]
    table = (tmp_path / "clicks.md").read_text()
    assert table == as_markdown(result) and table in first
    assert f"{result['rows'][0]['test_auc']['mean']:.4f} ± " in table
    assert result["command"].startswith("python -m tools.compare_clicks --seeds=2 --set=epochs=1")

    unknown = {**result["rows"][0], "multiply_adds": None}
    assert as_markdown({**result, "rows": [unknown]}).splitlines()[2].endswith("| not known |")

    assert compare_clicks.main(arguments) == 0  # trains nothing again
    assert "== run" not in capsys.readouterr().out
    assert json.loads((tmp_path / "clicks.json").read_text()) == result


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--seeds=0"], "--seeds: got 0"),
        (["--set=seed=3"], "--set: got seed, which the comparison itself sets"),
        (["--set=epoch=3"], "config.epoch: no such field"),
        (["--set=flip=True"], "config.flip: got True"),
    ],
)
def test_mistakes_give_one_line_before_any_work(arguments, named, tmp_path, capsys):
    assert compare_clicks.main([*arguments, f"--runs={tmp_path / 'runs'}"]) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["clicks_1m", "clicks_200k"])
def test_the_committed_tables_agree_with_their_figures(name):
    result = json.loads((RESULTS / f"{name}.json").read_text())
    assert as_markdown(result) == (RESULTS / f"{name}.md").read_text()
    assert [row["title"] for row in result["rows"]] == list(NETS.values())
    base = result["rows"][0]["test_auc"]["by_seed"]
    for row in result["rows"]:
        by_seed = row["test_auc"]["by_seed"]
        found = statistics.paired_difference(by_seed, base)
        assert found["interval"] == pytest.approx(row["test_auc"]["difference"]["interval"])


def test_the_committed_table_of_dwell_times_agrees_with_its_figures():
    result = json.loads((RESULTS / "clicks_dwell.json").read_text())
    assert dwell_markdown(result) == (RESULTS / "clicks_dwell.md").read_text()
    assert [row["title"] for row in result["rows"]] == list(DWELL_NETS.values())


@pytest.mark.parametrize("name", ["clicks", "kd", "softmax_mse"])
def test_the_committed_errors_lead_to_the_committed_weights(name):
    result = json.loads((RESULTS / f"hint_weight_{name}.json").read_text())
    errors = {
        float(weight): each["by_seed"] for weight, each in result["validation_errors"].items()
    }
    again = json.loads(json.dumps(compare(errors)))
    assert again == {key: result[key] for key in ("chosen", "validation_errors")}


def test_a_hint_weight_for_clicks_is_chosen_by_auc():
    assert validation_error({"validation_error": 20.0, "validation_auc": 0.75}) == pytest.approx(
        25.0
    )
    assert validation_error({"validation_error": 20.0}) == 20.0


def test_one_seed_has_four_runs_and_the_method_cannot_be_set(tmp_path):
    comparison = ClickComparison(1, {}, tmp_path)
    assert len(missing(comparison.comparison())) == 4
    with pytest.raises(ConfigError, match="got method"):
        ClickComparison(1, {"method": "kd"}, tmp_path)


def test_the_number_of_processes_is_passed_on_and_recorded(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(ClickComparison, "complete", lambda _, processes=1: asked.append(processes))
    monkeypatch.setattr(
        ClickComparison, "result", lambda _, command: {"rows": [], "command": command}
    )
    arguments = ["--seeds=1", f"--runs={tmp_path}"]
    assert compare_clicks.main(arguments) == 0
    assert "--processes" not in capsys.readouterr().out
    assert compare_clicks.main([*arguments, "--processes=3"]) == 0
    assert "--seeds=1 --processes=3" in capsys.readouterr().out
    assert asked == [1, 3]


def test_boosters_that_read_the_dwell_time_are_compared_with_the_plain_rocket(
    tmp_path, monkeypatch
):
    comparison = DwellComparison(2, {}, tmp_path)
    configs = {arm.name: comparison.planned(arm.name, 1).config for arm in comparison.arms}
    read = {name: (own["simulated_dwell"], own["booster_only"]) for name, own in configs.items()}
    assert read == {
        "light": ("off", ()),
        "rocket": ("off", ()),
        **{f"rocket_dwell_{each}": (each, ("dwell",)) for each in ("noise", "weak", "strong")},
    }
    random = np.random.default_rng(0)
    figures = {
        (name, seed): {
            net: {
                **{figure: random.random() for figure in DwellComparison.figures},
                "multiply_adds": 9,
            }
            for net in ("light", "booster")
        }
        for name in configs
        for seed in (0, 1)
    }
    monkeypatch.setattr(
        DwellComparison, "summaries", lambda _, arm: {s: figures[arm, s] for s in (0, 1)}
    )
    result = comparison.result("the command")
    strong = next(
        row for row in result["rows"] if "light net" in row["title"] and "much" in row["title"]
    )
    for figure in DwellComparison.figures:
        own = [figures["rocket_dwell_strong", seed]["light"][figure] for seed in (0, 1)]
        for key, arm in (("difference", "light"), ("difference_to_rocket", "rocket")):
            base = [figures[arm, seed]["light"][figure] for seed in (0, 1)]
            assert strong[figure][key]["mean"] == pytest.approx(np.mean(np.subtract(own, base)))
    assert {"test_calibration", "test_calibration_error"} < set(DwellComparison.figures)
    table = dwell_markdown(result)
    assert table.count("light net in the rocket whose booster reads dwell, which says much") == 3
    assert f"{strong['test_auc']['mean']:.4f}" in table and table.endswith("    the command\n")
