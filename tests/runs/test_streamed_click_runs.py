"""Runs on streamed click logs give the same as data in memory, also after interruptions."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled as ready_configs
from rocket_tf.data import own_data
from rocket_tf.data.clicks import made_up
from rocket_tf.data.clicks.storage import LocalStorage
from rocket_tf.data.opening import listing_of, settings_of
from rocket_tf.errors import ConfigError, DamagedDataError
from rocket_tf.runs import callbacks as run_callbacks
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.folder import RunFolder
from tests.small_runs import interrupted_after_step, metrics, newest_checkpoint, quick_runs, state

FIELDS = {
    "dataset": "click_log",
    "user_column": "hour",  # few values, so that there is a GAUC
    "category_columns": ("user", "item", "query"),
    "number_columns": ("price", "time"),
    "history_column": "history",
    "history_length": 5,
    "shuffle_row_groups": 2,
    "epochs": 2,
    "batch_size": 110,  # five steps, the last one smaller
    "hash_buckets": 50,
    "embedding_dimension": 4,
    "light_tower": (8,),
    "booster_tower": (8,),
    "learning_rate": 0.01,
    "pictures": False,
    "checkpoint_every_steps": 2,
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """500 training rows in row groups of 130; float32 would blur the time of one of them."""
    folder = tmp_path_factory.mktemp("log")
    made_up.write(folder, 500, seed=1, rows_in_group=130, test_rows=90)
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        time = pa.array(1_700_000_000 + np.arange(len(table)))
        pq.write_table(table.append_column("time", time), path, row_group_size=130)
    return folder


def config(log, streaming, **changes):
    config = ready_configs.load("clicks", "rocket")
    config.update({**FIELDS, "data_path": str(log), "streaming": streaming, **changes})
    options.check_fields(config)
    return config


@pytest.fixture(scope="module")
def in_memory(log, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "in_memory"
    with quick_runs():
        return workdir, train.train_and_evaluate(config(log, "never"), workdir, verbose=False)


def test_interrupted_at_any_step_ends_as_data_in_memory_does(log, in_memory, tmp_path):
    whole, summary = in_memory
    with quick_runs():
        for step, newest in ((3, "epoch-0-step-2"), (7, "epoch-1-step-1"), (9, "epoch-1-step-3")):
            with interrupted_after_step(step, steps=5):
                train.train_and_evaluate(config(log, "always"), tmp_path, verbose=False)
            assert newest_checkpoint(tmp_path / "checkpoints").name == newest
        resumed = train.train_and_evaluate(config(log, "always"), tmp_path, verbose=False)
    assert resumed == summary
    assert metrics(tmp_path) == metrics(whole)
    assert state(tmp_path) == state(whole)


def write_csv(log, folder):
    """Writes both parts of a log in Parquet as CSV."""
    folder.mkdir()
    for part in ("train", "test"):
        table = pq.read_table(log / f"{part}.parquet")
        history = pc.cast(table["history"].combine_chunks(), pa.list_(pa.string()))
        place = table.column_names.index("history")
        table = table.set_column(place, "history", pc.binary_join(history, " "))
        csv.write_csv(table, folder / f"{part}.csv")


@pytest.mark.slow
@pytest.mark.parametrize("streaming", ["always", "never"])
def test_a_folder_of_csv_is_listed_once(log, tmp_path, capsys, monkeypatch, streaming):
    """This holds for evaluation; a log in memory is evaluated without reading the training part."""
    folder = tmp_path / "log"
    write_csv(log, folder)
    (folder / "notes.csv").write_text("of no part")
    (folder / "test.md").write_text("of no form")
    with quick_runs():
        summary = train.train_and_evaluate(config(folder, streaming), tmp_path / "run", False)
    listed = []

    def names(storage):
        listed.append(storage.root)
        return own_names(storage)

    own_names = LocalStorage.names
    monkeypatch.setattr(LocalStorage, "names", names)
    capsys.readouterr()
    if streaming == "never":
        (folder / "train.csv").unlink()
    with quick_runs():
        assert train.evaluate(tmp_path / "run") == summary
    out = capsys.readouterr().out
    assert listed.count(folder) == 1
    assert out.count(f"{folder}: not read: test.md\n") == 1
    both_parts = f"{folder}: not read, being neither train* nor test*: notes.csv\n"
    assert out.count(both_parts) == (1 if streaming == "always" else 0)


class TestTestPartAlone:
    """Evaluation and export of a finished run whose training part is gone."""

    @pytest.fixture
    def alone(self, log, tmp_path):
        folder = tmp_path / "alone"
        folder.mkdir()
        shutil.copy(log / "test.parquet", folder)
        return folder

    @staticmethod
    def copied(workdir, tmp_path, **changes):
        run = shutil.copytree(workdir, tmp_path / "run")
        before = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps({**before, **changes}))
        return run

    @pytest.mark.parametrize("streaming", ["always", "never"])
    def test_evaluates(self, in_memory, alone, tmp_path, streaming):
        workdir, summary = in_memory
        run = self.copied(workdir, tmp_path, streaming=streaming)
        with quick_runs():
            assert train.evaluate(run, data_path=str(alone)) == summary

    def test_is_exported(self, in_memory, alone, tmp_path):
        (export,) = export_run(in_memory[0], ["savedmodel"], tmp_path / "out", data_path=str(alone))
        assert export.difference < 1e-5

    def test_changed_data_is_refused(self, in_memory, alone):
        table = pq.read_table(alone / "test.parquet")
        pq.write_table(table.slice(0, 80), alone / "test.parquet")
        with pytest.raises(ConfigError, match=r"test_examples: 90 → 80; test_files: "):
            train.evaluate(in_memory[0], data_path=str(alone))

    @pytest.mark.slow
    def test_in_csv(self, log, tmp_path):
        """A log in memory needs only its test part; one converted to Parquet needs both parts."""
        both, alone = tmp_path / "both", tmp_path / "alone"
        write_csv(log, both)
        alone.mkdir()
        shutil.copy(both / "test.csv", alone)
        with quick_runs():
            summary = train.train_and_evaluate(config(both, "never"), tmp_path / "run", False)
            assert train.evaluate(tmp_path / "run", data_path=str(alone)) == summary
        lines = (alone / "test.csv").read_text().splitlines()
        (alone / "test.csv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
        with pytest.raises(ConfigError, match=r"changed .* \(test_checksum: "):
            train.evaluate(tmp_path / "run", data_path=str(alone))
        user = lines[0].replace('"', "").split(",").index("user")
        values = lines[1].split(",")
        values[user] = "u3"
        (alone / "test.csv").write_text("\n".join([lines[0], ",".join(values)]) + "\n")
        with pytest.raises(DamagedDataError, match=r"test\.csv: 'user' has other values than wh"):
            train.evaluate(tmp_path / "run", data_path=str(alone))
        # As for a run on a log that was converted to Parquet.
        settings = settings_of(config(alone, "auto"))
        listing = listing_of(settings)
        assert own_data.read_test(settings, None, [], {"test_files": "0"}, listing) is None

    def test_split_off_by_a_fraction_it_is_read_with_the_rest(self, log):
        settings = settings_of(config(log, "never", test_fraction=0.2))
        listing = listing_of(settings)
        assert own_data.read_test(settings, None, [], {"checksum": "0"}, listing) is None


def test_a_file_that_vanishes_is_one_line_and_the_run_goes_on_once_it_is_back(
    log, in_memory, tmp_path, monkeypatch
):
    whole, summary = in_memory
    file, aside = log / "train.parquet", tmp_path / "aside"
    begin = run_callbacks.SaveCheckpoints.on_epoch_begin

    def vanish(callback, epoch, logs=None):
        begin(callback, epoch, logs)
        if epoch == 1:
            file.rename(aside)

    with quick_runs():
        with monkeypatch.context() as patch:
            patch.setattr(run_callbacks.SaveCheckpoints, "on_epoch_begin", vanish)
            with pytest.raises(DamagedDataError) as caught:
                train.train_and_evaluate(config(log, "always"), tmp_path / "run", verbose=False)
        message = str(caught.value)
        assert f"{file}: row group " in message and len(message.splitlines()) == 1
        with pytest.raises(ConfigError, match=r"no files of train examples"):
            train.train_and_evaluate(config(log, "always"), tmp_path / "run", verbose=False)
        aside.rename(file)
        again = train.train_and_evaluate(config(log, "always"), tmp_path / "run", verbose=False)
    assert again == summary
    assert state(tmp_path / "run") == state(whole)


def test_rankings_of_many_examples_are_approximate_and_say_how_much(log, in_memory, tmp_path):
    _, exact = in_memory
    changes = {"exact_ranking_examples": 60}
    with quick_runs():
        run = config(log, "always", **changes)
        summary = train.train_and_evaluate(run, tmp_path, verbose=False)
    errors = summary["largest_errors"]
    assert set(errors) == {"light_auc", "light_gauc", "booster_auc", "booster_gauc"}
    for net in ("light", "booster"):
        difference = abs(summary[net]["test_auc"] - exact[net]["test_auc"])
        assert difference <= errors[f"{net}_auc"] + 1e-6 < 0.01
        assert summary[net]["test_log_loss"] == exact[net]["test_log_loss"]
    assert "largest_errors" not in exact


def test_a_workdir_at_a_url_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--workdir: got a URL, s3:/bucket/run, expected a fold"):
        RunFolder("s3://bucket/run").check({}, None)
