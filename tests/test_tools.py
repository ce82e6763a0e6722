"""Tools: the figures that they write."""

import json

import pytest

from tools import benchmark, compare


def summary(**errors):
    return {
        "epochs": 3,
        "train_examples": 10,
        "test_examples": 5,
        "versions": {"tensorflow": "2"},
        **{net: {"test_error": error} for net, error in errors.items()},
    }


def test_comparison_of_methods(tmp_path, capsys):
    comparison = compare.compare(
        {
            "light": [summary(light=error) for error in (2.0, 4.0, 9.0)],
            "rocket": [summary(light=light, booster=1.0) for light in (1.0, 4.0, 4.0)],
        },
        command="python -m tools.compare",
        note="JPEG",
    )
    errors = comparison["test_errors"]
    assert list(errors) == ["light, light", "light, rocket", "booster, rocket"]
    base = errors["light, light"]
    assert (base["mean"], base["median"], base["standard_deviation"]) == (5.0, 4.0, 3.606)
    assert errors["light, rocket"]["mean difference to light, light"] == -2.0
    compare.write(tmp_path / "results" / "nets", comparison)
    assert json.loads((tmp_path / "results" / "nets.json").read_text()) == comparison
    table = (tmp_path / "results" / "nets.md").read_text()
    assert "| light | in the rocket | 3.00 ± 1.73 % | 4.00 % | 3 |" in table
    assert "JPEG" in table
    assert table in capsys.readouterr().out


def test_one_seed_has_no_spread(tmp_path):
    comparison = compare.compare({"light": [summary(light=2.0)]}, "command")
    assert comparison["test_errors"]["light, light"]["standard_deviation"] is None
    compare.write(tmp_path / "nets", comparison)
    assert "| light | alone | 2.00 % | 2.00 % | 1 |" in (tmp_path / "nets.md").read_text()


def test_benchmark_measures_every_kind_of_step():
    report = benchmark.measure(batch_size=2, steps=2, light_depth=10, booster_depth=10)
    times = report["milliseconds"]
    assert set(times) == {
        "light",
        "booster",
        "rocket",
        "rocket_keras_norm",
        "rocket_bfloat16",
        "rocket_loop",
        "rocket_fit",
    }
    for figures in times.values():
        assert 0 < figures["min"] <= figures["median"] <= figures["max"]
    expected = times["rocket"]["median"] / (times["light"]["median"] + times["booster"]["median"])
    assert report["ratios"]["rocket_to_separate"] == pytest.approx(expected, rel=0.01)
    assert set(report["ratios"]) == set(benchmark.RATIOS)
