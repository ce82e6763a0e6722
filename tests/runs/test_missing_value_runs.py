"""Runs on logs with gaps: the same in memory and streamed, and an export that takes gaps."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data.clicks import made_up
from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.runs.finished import restore
from tests.small_runs import SMALL_CLICK_LOG, metrics, quick_runs, state

FIELDS = {**SMALL_CLICK_LOG, "missing_values": "own_row"}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log in which every third value is missing, and users have negative ids."""
    folder = tmp_path_factory.mktemp("log")
    made_up.write(folder, 250, seed=1, rows_in_group=90, test_rows=60)
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        for place, name in enumerate(("user", "item", "query", "price", "history")):
            values = table[name].to_pylist()
            values = [None if (row + place) % 3 == 0 else own for row, own in enumerate(values)]
            if name == "user":
                values = [None if own is None else -own for own in values]
            column = table.schema.get_field_index(name)
            table = table.set_column(column, name, pa.array(values, table[name].type))
        pq.write_table(table, path, row_group_size=90)
    return folder


def config(log, streaming):
    config = bundled.load("clicks", "rocket")
    config.update({**FIELDS, "data_path": str(log), "streaming": streaming})
    options.check_fields(config)
    return config


def test_streamed_ends_as_in_memory_and_the_export_takes_raw_values(log, tmp_path):
    summary = train.train_and_evaluate(config(log, "never"), tmp_path / "whole", verbose=False)
    with quick_runs(traced=True):
        streamed = train.train_and_evaluate(
            config(log, "always"), tmp_path / "streamed", verbose=False
        )
    assert {**streamed, "export": summary["export"]} == summary
    assert metrics(tmp_path / "streamed") == metrics(tmp_path / "whole")
    assert state(tmp_path / "streamed") == state(tmp_path / "whole")

    model, _, _ = restore(tmp_path / "whole")
    exported = tf.saved_model.load(str(tmp_path / "whole" / summary["export"]))
    once = {
        "user": np.array([-7]),
        "history": np.array([[5, -1, MISSING, MISSING]]),
    }
    candidates = {
        "item": np.array([MISSING, 5, -1]),
        "query": np.array(["", "query 5", " "], object),
        "price": np.array([math.nan, 3.0, -1.0], np.float32),
    }
    answers = exported.signatures["serve_candidates"](
        **{name: tf.constant(value) for name, value in (once | candidates).items()}
    )
    every = candidates | {name: np.repeat(value, 3, axis=0) for name, value in once.items()}
    expected = model.light({name: tf.constant(every[name]) for name in model.light.input})
    np.testing.assert_allclose(answers["logits"], expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(expected).all()
    # The row for missing values, and the indicator, are read.
    there = every | {"item": np.array([4, 5, -1]), "price": np.array([0, 3, -1], np.float32)}
    other = model.light({name: tf.constant(there[name]) for name in model.light.input})
    assert np.abs(np.asarray(other - expected)[0]).min() > 1e-6
    np.testing.assert_array_equal(other[1:], expected[1:])
