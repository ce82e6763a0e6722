"""Damaged or missing files of a run give one-line errors; one process writes to a folder."""

import contextlib
import json
import math
import os
import random

import pytest

from rocket_tf import config as options
from rocket_tf.config import bundled
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.reporting.writing import write_run_page
from rocket_tf.runs import records
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress

# By hand: ROCKET_FUZZ=500 python -m pytest tests/runs/test_records.py -n 0
TRIES = int(os.environ.get("ROCKET_FUZZ", 60))
NET = {"test_error": 12.5, "parameters": 3, "multiply_adds": None}
SUMMARY = {
    "method": "rocket",
    "seed": 0,
    "epochs": 2,
    "epoch": 2,
    "train_examples": 1000,
    "test_examples": 797,
    "light": NET,
    "booster": {**NET, "test_error": 9.25},
    "export": "light/1",
    "versions": {"tensorflow": "2", "keras": "3"},
}
LOGS = ("loss", "light_loss", "booster_loss", "hint_loss", "light_accuracy", "booster_accuracy")
LINE = {"step": 8, "learning_rate": 0.1, "examples_per_second": 9.0}
LINE |= {f"{part}{name}": 0.5 for part in ("", "val_") for name in LOGS}


@pytest.fixture
def config():
    return {**bundled.load("digits"), "epochs": 2}


@pytest.fixture
def folder(tmp_path, config):
    """The files of a finished run, without checkpoints."""
    folder = RunFolder(tmp_path / "run")
    folder.write_config(config)
    for epoch in (1, 2):
        folder.append_metrics({"epoch": epoch, **LINE})
    folder.write_summary(SUMMARY)
    return folder


class TestConfig:
    @pytest.mark.parametrize(
        "change, reason",
        [
            ({"epochs": "4"}, "epochs: got '4', expected a whole number"),
            ({"epochs": None}, "epochs: got None"),
            ({"epochs": True}, "epochs: got True"),
            ({"learning_rate_drops": None}, "learning_rate_drops: got None"),
            ({"learning_rate_drops": ["a"]}, r"learning_rate_drops: got \['a'\]"),
            ({"learning_rate": "high"}, "learning_rate: got 'high'"),
            ({"dataset": {"a": 1}}, "dataset: got {'a': 1}"),
            ({"method": "magic"}, "method: got 'magic'"),
            ({"batch_size": 2**40}, "batch_size: got 1099511627776"),
        ],
        ids=str,
    )
    def test_impossible_values(self, folder, config, change, reason):
        folder.write_config({**config, **change})
        with pytest.raises(ConfigError, match=rf"config\.json is damaged \({reason}.*\); expected"):
            folder.read_config()

    def test_fields_that_are_not_read_may_have_values_of_other_versions(self, folder, config):
        folder.write_config({**config, "history_length": 0})
        assert folder.read_config()["history_length"] == 0

    @pytest.mark.parametrize("left", ["summary.json", "metrics.jsonl", "checkpoints"])
    def test_without_it_nothing_is_reused(self, tmp_path, config, left):
        folder = RunFolder(tmp_path)
        if left == "summary.json":
            folder.write_summary(SUMMARY)
        elif left == "metrics.jsonl":
            folder.append_metrics({"epoch": 1})
        else:
            folder.checkpoints.mkdir()
            (folder.checkpoints / "epoch-1.index").write_text("")
        with pytest.raises(ConfigError, match=rf"has {left} of a run, but no config\.json"):
            folder.check(config, options.check(config))


class TestSummary:
    @pytest.mark.parametrize(
        "change, reason",
        [
            ({"epoch": "2"}, "epoch is '2', not a whole number"),
            ({"light": 3}, "light is 3, not an object"),
            ({"light": {"test_error": "x"}}, "test_error is 'x', not a number"),
            ({"versions": None}, "versions is None, not an object"),
            ({"export": 1}, "export is 1, not a string"),
        ],
        ids=str,
    )
    def test_values_of_other_types(self, folder, change, reason):
        folder.write_summary({**SUMMARY, **change})
        with pytest.raises(ConfigError, match=rf"summary\.json is damaged \({reason}\)"):
            folder.read_summary()

    def test_what_is_missing_is_named(self, folder):
        folder.write_summary({name: SUMMARY[name] for name in ("light", "method")})
        summary = folder.read_summary()
        with pytest.raises(ConfigError, match="it has no test_examples"):
            closing_table(summary, folder.path)
        with pytest.raises(ConfigError, match=r"it has no light\.test_auc"):
            summary["light"]["test_auc"]


class TestMetrics:
    def test_are_strict_json_and_read_as_numbers(self, folder):
        folder.append_metrics({"epoch": 3, "val_light_gauc": math.nan})
        path = folder.path / "metrics.jsonl"
        assert path.read_text().splitlines()[2] == '{"epoch": 3, "val_light_gauc": null}'
        assert math.isnan(folder.read_metrics()[2]["val_light_gauc"])
        # As an earlier version wrote it.
        path.write_text(path.read_text().replace("null", "NaN"))
        assert math.isnan(folder.read_metrics()[2]["val_light_gauc"])

    @pytest.mark.parametrize(
        "content, reason",
        [
            (b'{"epoch": 2, "ste}\n', "line 3: "),
            (b"\xff\xfe}\n", "line 3: .*utf-8"),
            (b"[1]\n", "line 3: it holds list"),
            (b'{"step": 2}\n', "line 3: it has no epoch"),
            (b'{"epoch": "2"}\n', "line 3: epoch is '2', not a number"),
            (b"[" * 100_000 + b"\n", "line 3: it is nested too deeply"),
        ],
        ids=["cut", "no UTF-8", "list", "no epoch", "text", "deep"],
    )
    def test_a_damaged_line_is_named(self, folder, content, reason):
        with (folder.path / "metrics.jsonl").open("ab") as file:
            file.write(content)
        with pytest.raises(ConfigError, match=rf"metrics\.jsonl is damaged \({reason}"):
            folder.read_metrics()

    def test_an_unfinished_line_is_left_out(self, folder):
        with (folder.path / "metrics.jsonl").open("ab") as file:
            file.write(b'{"epoch": 3, "lo')
        assert [line["epoch"] for line in folder.read_metrics()] == [1, 2]

    def test_a_run_goes_on_only_with_those_of_all_its_epochs(self, folder, config):
        data = options.check(config)
        folder.begin(config, data, None, Progress(2))
        (folder.path / "metrics.jsonl").unlink()
        with pytest.raises(ConfigError, match=r"has the epochs \[\], and the checkpoint is of"):
            folder.begin(config, data, None, Progress(2))
        with pytest.raises(ConfigError, match="no line of epoch 2"):
            folder.metrics_of(2)


def damage(content, chance):
    """Some bytes flipped, cut off or doubled, or a value replaced by another."""
    kind = chance.randrange(4)
    place = chance.randrange(max(1, len(content)))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[place // 2 :]
    if kind == 2:
        flipped = bytearray(content)
        for _ in range(chance.randrange(1, 9)):
            flipped[chance.randrange(len(flipped))] ^= chance.randrange(1, 256)
        return bytes(flipped)
    values = [b"null", b"-1", b"1e999", b'"\\ud800"', b"[]", b"{}", b"true", b"[[1]]"]
    start = content.find(b": ", place)
    ends = [content.find(mark, start) for mark in (b",", b"\n") if content.find(mark, start) > 0]
    if start < 0 or not ends:
        return b""
    return content[: start + 2] + chance.choice(values) + content[min(ends) :]


@pytest.mark.slow
def test_damaged_files_are_answered_by_errors_that_commands_know(folder, config):
    data = options.check(config)
    chance = random.Random(0)
    names = ("config.json", "summary.json", "metrics.jsonl")
    whole = {name: (folder.path / name).read_bytes() for name in names}
    refused = []
    for _ in range(TRIES):
        name = chance.choice(names)
        (folder.path / name).write_bytes(damage(whole[name], chance))
        for use in (
            lambda: folder.check(config, data),
            lambda: closing_table(folder.read_summary(), folder.path),
            lambda: write_run_page(folder, folder.path / "report.html"),
        ):
            try:
                use()
            except (ConfigError, OSError) as error:
                refused.append(str(error))
        (folder.path / name).write_bytes(whole[name])
    assert len(refused) > TRIES / 4 and not any("\n" in line for line in refused)


class TestOwners:
    def test_readers_share_a_folder_and_keep_trainings_out(self, tmp_path):
        one, two = RunFolder(tmp_path), RunFolder(tmp_path)
        with one.owned(), pytest.raises(ConfigError, match=r"is in use by process \d+ on"):
            contextlib.ExitStack().enter_context(two.undisturbed())
        with (
            one.undisturbed(),
            two.undisturbed(),
            pytest.raises(ConfigError, match="is in use by another process"),
        ):
            contextlib.ExitStack().enter_context(two.owned())
        with two.owned():
            pass

    def test_a_folder_without_an_owner_is_read(self, tmp_path):
        with RunFolder(tmp_path / "none").undisturbed():
            pass
        assert not (tmp_path / "none").exists()

    def test_the_next_owner_takes_leftovers_away(self, tmp_path):
        kept = tmp_path / "booster" / ".x.partial"  # of another run
        leftovers = [
            tmp_path / ".config.json.12.partial",
            tmp_path / "light" / ".34.partial" / "variables" / "x",
            tmp_path / "onnx" / ".56.partial" / "x",
            tmp_path / "pictures" / ".a.png.78.partial",
        ]
        for path in (kept, *leftovers):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
        with RunFolder(tmp_path).owned():
            left = {path.name for path in tmp_path.rglob("*.partial")}
        assert left == {".x.partial"}


def test_a_record_is_a_dict(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(SUMMARY))
    assert records.read_summary(tmp_path / "x.json") == SUMMARY
    assert records.read_summary(tmp_path / "none.json") is None
    assert records.read_summary(tmp_path / "x.json" / "under") is None
