"""Click logs with a column of sample weights: how it is read, and its effect on a run."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data import click_dataset, open_data
from rocket_tf.data.clicks import made_up
from rocket_tf.errors import ConfigError, DamagedDataError, DataUnavailableError
from rocket_tf.runs.finished import restore
from tests.reference import click_figures
from tests.small_logs import write_log
from tests.small_runs import SMALL_CLICK_LOG, metrics, quick_runs, state

ROWS = {"click": [1, 0, 0, 1, 1], "user": [4, 4, 5, 5, 5], "item": [7, 9, 8, 5, 6]}
WEIGHTS = [0.5, 2.0, 0.0, 3.0, 1.0]


def write(folder, form, weights):
    """Writes a small log in one of the formats, with weights in column w."""
    return write_log(folder, form, {**ROWS, "w": weights}, floats=["w"])


@pytest.mark.parametrize("streaming", ["never", "always"])
@pytest.mark.parametrize("form", ["csv", "tfrecord", "parquet"])
def test_weights_are_read(tmp_path, form, streaming):
    log = write(tmp_path / "log", form, WEIGHTS)
    fields = {"batch_size": 3, "weight_column": "w", "streaming": streaming}
    batches = list(click_dataset(log, "test", **fields).as_numpy_iterator())
    assert [len(labels) for _, labels, _ in batches] == [3, 2]
    assert all(sorted(inputs) == ["item", "user"] for inputs, _, _ in batches)
    weights = np.concatenate([weights for _, _, weights in batches])
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, np.float32(WEIGHTS))
    trained = []
    for inputs, labels, weights in click_dataset(log, **fields).as_numpy_iterator():
        trained += zip(inputs["item"], labels, weights, strict=True)
    assert sorted(trained) == sorted(zip(ROWS["item"], ROWS["click"], WEIGHTS, strict=True))


@pytest.mark.parametrize("bad", [-0.25, float("nan"), float("inf"), 1e39])
@pytest.mark.parametrize(
    ("form", "streaming", "place"),
    [
        ("csv", "never", "train.csv: line 5"),
        ("csv", "always", "train.csv: line 5"),
        ("parquet", "never", "train.parquet: row group 2, row 1"),
        ("tfrecord", "never", "train.tfrecord: record 4"),
    ],
)
def test_a_bad_weight_is_named_with_its_place(tmp_path, form, streaming, place, bad):
    log = write(tmp_path / "log", form, [*WEIGHTS[:3], bad, 1.0])
    settings = {"dataset": "click_log", "data_path": str(log), "streaming": streaming}
    message = rf"{place}: \S+ in 'w'; expected a weight: a finite number of at least 0"
    with pytest.raises(DamagedDataError, match=message):
        open_data({**settings, "weight_column": "w"})
    open_data(settings)  # without the field, it is any column


def test_missing_or_invalid_weights(tmp_path):
    log = write(tmp_path / "log", "parquet", [None, *WEIGHTS[1:]])
    settings = {"dataset": "click_log", "data_path": str(log), "weight_column": "w"}
    with pytest.raises(DamagedDataError, match=r"row group 1, row 1: None in 'w'"):
        open_data({**settings, "missing_values": "own_row"})
    with pytest.raises(DataUnavailableError, match=r"has no column 'v'"):
        open_data({**settings, "weight_column": "v"})
    texts = write(tmp_path / "texts", "parquet", list("abcde"))
    with pytest.raises(DataUnavailableError, match=r"has 'w' as string, expected integers or flo"):
        open_data({**settings, "data_path": str(texts)})
    for column in ("user", "click", "item"):
        config = bundled.load("clicks", "rocket")
        config.update(dataset="click_log", data_path=str(log), weight_column=column)
        with pytest.raises(ConfigError, match=rf"weight_column: got '{column}', which is the lab"):
            options.check_fields(config)


def with_weights(folder, log, weights):
    folder.mkdir()
    for path in log.glob("*.parquet"):
        table = pq.read_table(path)
        own = weights(len(table))
        pq.write_table(table.append_column("w", pa.array(own)), folder / path.name, 90)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs") / "plain"
    made_up.write(folder, 250, seed=1, rows_in_group=90, test_rows=60)
    return folder


def config(log, method="rocket", **changes):
    config = bundled.load("clicks", method)
    config.update({**SMALL_CLICK_LOG, "data_path": str(log), "weight_column": "w", **changes})
    options.check_fields(config)
    return config


@pytest.mark.slow
def test_an_evaluation_is_weighted_and_streams_as_in_memory(plain, tmp_path):
    random = np.random.default_rng(0)
    log = with_weights(tmp_path / "log", plain, lambda n: random.choice([0.0, 0.5, 3.0], n))
    with quick_runs():
        summary = train.train_and_evaluate(
            config(log, streaming="never"), tmp_path / "whole", verbose=False
        )
        train.train_and_evaluate(
            config(log, streaming="always"), tmp_path / "streamed", verbose=False
        )
        assert state(tmp_path / "whole") == state(tmp_path / "streamed")
        assert metrics(tmp_path / "whole") == metrics(tmp_path / "streamed")
        assert train.evaluate(tmp_path / "whole")["light"] == summary["light"]
    test = open_data(dict(config(log))).test.inputs
    labels = open_data(dict(config(log))).test.labels
    model, _, _ = restore(tmp_path / "whole")
    logits = np.float64(model.light({n: tf.constant(test[n]) for n in model.light.input}))
    scores, weights = logits[:, 1] - logits[:, 0], np.float64(test["w"])
    expected = click_figures(scores, labels, weights, test["hour"])
    for name, value in expected.items():
        assert summary["light"][f"test_{name}"] == pytest.approx(value, rel=2e-5), name
    assert abs(expected["auc"] - _plain_auc(scores, labels)) > 1e-3


def _plain_auc(scores, labels):
    gaps = scores[labels == 1][:, None] - scores[labels == 0]
    return ((gaps > 0) + (gaps == 0) / 2).mean()


def test_a_row_that_weighs_twice_trains_as_two_rows(plain, tmp_path):
    # One of every three rows is left out, and one counts twice.
    counts = np.array([0, 1, 2])
    log = with_weights(tmp_path / "weighted", plain, lambda n: np.resize(counts, n).astype(float))
    copies = with_weights(tmp_path / "copies", plain, np.ones)
    for path in copies.glob("*.parquet"):
        table = pq.read_table(path)
        rows = np.repeat(np.arange(len(table)), np.resize(counts, len(table)))
        pq.write_table(table.take(pa.array(rows)), path, row_group_size=90)
    changes = {"number_columns": (), "optimizer": "sgd", "learning_rate": 0.5, "batch_size": 249}
    nets = []
    with quick_runs():
        for own in (log, copies):
            own = config(own, "light", train_examples=249, **changes)
            train.train_and_evaluate(own, tmp_path / f"run{len(nets)}", verbose=False)
            model, _, _ = restore(tmp_path / f"run{len(nets)}")
            nets.append(model.light.get_weights())
    losses = [metrics(tmp_path / f"run{number}")[0]["light_loss"] for number in (0, 1)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(*nets, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
