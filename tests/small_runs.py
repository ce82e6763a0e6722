"""Small runs that tests share, and functions to compare them."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.data import open_data
from rocket_tf.data.catalog import DATASETS
from rocket_tf.data.images import named as images
from rocket_tf.runs import summary as summarizing
from rocket_tf.runs.callbacks import SaveCheckpoints
from rocket_tf.runs.folder import RunFolder

SMALL = {
    "dataset": "digits",
    "epochs": 3,
    "train_examples": 80,
    "batch_size": 32,  # an uneven last batch
    "light_depth": 10,
    "booster_depth": 16,
    "crop_padding": 1,
    "pictures": False,
}

# On a log of 250 rows from `data.clicks.made_up`.
SMALL_CLICK_LOG = {
    "dataset": "click_log",
    "user_column": "hour",
    "category_columns": ("user", "item", "query"),
    "number_columns": ("price",),
    "history_column": "history",
    "history_length": 4,
    "request_columns": ("user",),
    "shuffle_row_groups": 2,
    "epochs": 1,
    "batch_size": 110,  # three steps, the last one with a smaller batch
    "hash_buckets": 40,
    "embedding_dimension": 3,
    "light_tower": (6,),
    "booster_tower": (7, 5),
    "learning_rate": 0.01,
    "pictures": False,
}


FEW_DIGITS = 48  # in batches of 32, the last one smaller
FEW_IMPRESSIONS = 10_000  # the last tenth is the test part
_EXPORT = summarizing._export


def small_config(**changes):
    """The configuration of a run that takes seconds: 80 digits, 3 epochs, WRN-10-1 in WRN-16-1."""
    config = options.default()
    config.update({**SMALL, **changes})
    return config


@contextlib.contextmanager
def quick_runs(traced=False, exported=False):
    """A context in which runs neither trace their steps nor export their light nets by default.

    It is for tests that compare many runs of few steps. An untraced step computes the same, and
    tracing takes most of a small run's time (click nets have many small operations).
    """

    def export(run, summary):
        if not exported:
            return run.folder.light / "1"
        tf.config.run_functions_eagerly(False)
        try:
            return _EXPORT(run, summary)
        finally:
            tf.config.run_functions_eagerly(not traced)

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(not traced)
    try:
        with mock.patch.object(summarizing, "_export", export), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the `tf.config")  # of tf.data
            yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def few_digits():
    """A context with few test digits, because evaluation would dominate small runs.

    Runs in other processes evaluate all of them.
    """
    read = images._read_digits

    def read_few(split_seed):
        train, test, class_names = read(split_seed)
        return train, tuple(part[:FEW_DIGITS] for part in test), class_names

    with mock.patch.object(images, "_read_digits", read_few):
        yield


@contextlib.contextmanager
def few_impressions():
    """A context in which the simulated log has only `FEW_IMPRESSIONS`, test part included."""
    test = FEW_IMPRESSIONS // 10
    card = dataclasses.replace(
        DATASETS["simulated_clicks"], train_examples=FEW_IMPRESSIONS - test, test_examples=test
    )
    with mock.patch.dict(DATASETS, {"simulated_clicks": card}):
        yield


@contextlib.contextmanager
def interrupted_after_epoch(epoch):
    """A context in which a run ends as by Ctrl-C once the metrics of an epoch are written."""
    append = RunFolder.append_metrics

    def interrupt(folder, line):
        append(folder, line)
        if line["epoch"] == epoch:
            raise KeyboardInterrupt

    with (
        mock.patch.object(RunFolder, "append_metrics", interrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        yield


@contextlib.contextmanager
def interrupted_after_step(step, steps):
    """Like `interrupted_after_epoch`, after a step, counted from 1 over epochs of `steps` steps."""
    update = SaveCheckpoints.on_train_batch_end

    def interrupt(callback, batch, logs=None):
        update(callback, batch, logs)
        if callback._epoch * steps + callback._first_step + batch + 1 == step:
            raise KeyboardInterrupt

    with (
        mock.patch.object(SaveCheckpoints, "on_train_batch_end", interrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        yield


def check_resumed(config, folder, epoch):
    """Checks that a run interrupted after an epoch and resumed ends like an uninterrupted one.

    Returns:
        The folder of the run that was interrupted.
    """
    whole, parts = folder / "whole", folder / "parts"
    summary = train.train_and_evaluate(config, whole, verbose=False)
    with interrupted_after_epoch(epoch):
        train.train_and_evaluate(config, parts, verbose=False)
    assert train.train_and_evaluate(config, parts, verbose=False) == summary
    assert metrics(parts) == metrics(whole)
    assert state(parts) == state(whole)
    return parts


def card_of(config):
    """The facts of a configuration's data."""
    return open_data(config).card


def newest_checkpoint(directory):
    """The path of the checkpoint with the most epochs, and then the most steps."""
    indexes = directory.glob("*.index")
    return max(indexes, key=lambda path: list(map(int, path.stem.split("-")[1::2]))).with_suffix("")


def state(workdir):
    """All tensors of a run's newest checkpoint, by name, bit for bit."""
    reader = tf.train.load_checkpoint(str(newest_checkpoint(workdir / "checkpoints")))
    return {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
        if not name.startswith(("_CHECKPOINTABLE", "save_counter"))
    }


def metrics(workdir, times=False):
    """A run's metrics, one dict for each epoch; durations only with `times`."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    if not times:
        for line in lines:
            del line["examples_per_second"]
    return lines


def ended_by_sigterm(command, folder):
    """Ends a command by SIGTERM once its run in a folder has finished an epoch.

    Returns:
        Its exit code, and its output to stderr.
    """
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if list(folder.rglob("metrics.jsonl")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors
