"""Runs on click logs that are streamed: what data in memory gives, also after interruptions."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled as ready_configs
from rocket_tf.data.clicks import made_up
from rocket_tf.errors import ConfigError, DamagedDataError
from rocket_tf.runs import callbacks as run_callbacks
from rocket_tf.runs.folder import RunFolder
from tests.small_runs import interrupted_after_step, metrics, newest_checkpoint, quick_runs, state

FIELDS = {
    "dataset": "click_log",
    "user_column": "hour",  # of which there are few, so that there is a GAUC
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
    """500 training rows in row groups of 130, and one that float32 would blur the time of."""
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
