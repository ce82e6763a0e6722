"""Runs whose booster reads columns that the light net lacks, on a test part without them."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data import open_data
from rocket_tf.data.clicks import made_up
from rocket_tf.reporting.closing_table import closing_table
from rocket_tf.runs.finished import restore
from rocket_tf.runs.fitting import errors_by_class
from tests.small_runs import SMALL_CLICK_LOG, metrics, quick_runs

FIELDS = {**SMALL_CLICK_LOG, "booster_only": ("query", "price")}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log whose test part lacks what only the booster reads."""
    folder = tmp_path_factory.mktemp("log")
    made_up.write(folder, 250, seed=1, rows_in_group=90, test_rows=60)
    test = pq.read_table(folder / "test.parquet")
    pq.write_table(test.drop_columns(["query", "price"]), folder / "test.parquet")
    return folder


def config(log, method="rocket", **changes):
    config = bundled.load("clicks", method)
    config.update({**FIELDS, "data_path": str(log), "streaming": "never", **changes})
    options.check_fields(config)
    return config


@pytest.fixture(scope="module")
def run(log, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    return workdir, train.train_and_evaluate(config(log), workdir, verbose=False)


def test_the_light_net_alone_is_evaluated_and_summarized(run):
    workdir, summary = run
    assert "light" in summary and "booster" not in summary
    (line,) = metrics(workdir)
    validated = {name for name in line if name.startswith("val_")}
    assert {"val_loss", "val_light_auc", "val_light_gauc"} <= validated
    assert not [name for name in validated if "booster" in name or "hint" in name]
    assert "booster_loss" in line and line["val_light_loss"] == pytest.approx(
        summary["light"]["test_log_loss"], abs=1e-6
    )
    table = closing_table(summary, workdir)
    assert "light" in table and "booster" not in table
    assert train.evaluate(workdir)["light"] == summary["light"]


def test_the_export_has_the_light_nets_inputs(run, log):
    workdir, summary = run
    model, _, _ = restore(workdir)
    assert sorted(model.booster_only_inputs) == ["price", "query"]
    signatures = tf.saved_model.load(str(workdir / summary["export"])).signatures
    for signature in ("serving_default", "serve_candidates"):
        inputs = signatures[signature].structured_input_signature[1]
        assert sorted(inputs) == ["history", "item", "user"]
    test = open_data(config(log)).test.inputs
    expected = model.light({n: tf.constant(test[n][:3]) for n in model.light.input})
    items = tf.constant(test["item"][:3])
    once = {name: tf.constant(test[name][:1]) for name in ("user", "history")}
    answers = signatures["serve_candidates"](item=items, **once)["logits"]
    np.testing.assert_allclose(answers[0], expected[0], rtol=1e-5, atol=1e-6)


def test_mistakes_are_counted_by_class(run, log):
    model, config, _ = restore(run[0])
    data = open_data(config)
    wrong = errors_by_class(model, data.test, config, data.card)
    assert set(wrong) == {"light"}
    assert 100 * sum(wrong["light"]) / 60 == pytest.approx(run[1]["light"]["test_error"], abs=1e-3)


@pytest.mark.slow
def test_streamed_equals_in_memory_and_held_out_rows_have_both_nets(log, tmp_path):
    changes = {"validation_examples": 40}
    summaries = []
    with quick_runs():
        for streaming in ("never", "always"):
            own = config(log, streaming=streaming, **changes)
            summaries.append(train.train_and_evaluate(own, tmp_path / streaming, verbose=False))
    assert summaries[0] == summaries[1]
    assert metrics(tmp_path / "never") == metrics(tmp_path / "always")
    light, booster = (summaries[0][net] for net in ("light", "booster"))
    assert "test_auc" in light and "validation_auc" in light
    assert "test_auc" not in booster and "validation_auc" in booster


def test_what_the_booster_reads_has_an_effect(log, run, tmp_path):
    less = config(log, number_columns=(), booster_only=("query",))
    with quick_runs(traced=True):
        train.train_and_evaluate(less, tmp_path, verbose=False)
    first, second = metrics(run[0])[0], metrics(tmp_path)[0]
    assert first["booster_loss"] != second["booster_loss"]
