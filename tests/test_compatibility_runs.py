"""Runs of earlier versions are read, resumed and exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import train
from rocket_tf.runs.exports import export_run
from rocket_tf.runs.finished import restore
from rocket_tf.runs.folder import RunFolder
from tests.small_runs import few_digits, interrupted_after_epoch, metrics, quick_runs

WRITTEN = Path(__file__).parent / "compatibility"


@pytest.fixture(params=sorted(path.name for path in WRITTEN.glob("[0-9]*")))
def written(request, tmp_path):
    """A copy of the runs that a version wrote."""
    copy = tmp_path / request.param
    shutil.copytree(WRITTEN / request.param, copy)
    return copy


def config_of(workdir):
    return RunFolder(workdir).read_config()


def test_a_finished_run_is_recognized_and_evaluated_again(written):
    workdir = written / "finished"
    summary = json.loads((workdir / "summary.json").read_text())
    assert train.train_and_evaluate(config_of(workdir), workdir, verbose=False) == summary
    again = train.evaluate(workdir)
    for net in ("light", "booster"):
        # On another processor, 1 of 797 test images may be classified differently.
        assert again[net]["test_error"] == pytest.approx(summary[net]["test_error"], abs=0.13)


def test_a_finished_run_continues_with_more_epochs(written):
    workdir = written / "finished"
    before = metrics(workdir)
    drops = tuple(round(drop * 3 / 4, 6) for drop in config_of(workdir)["learning_rate_drops"])
    longer = {**config_of(workdir), "epochs": 4, "learning_rate_drops": drops}
    with quick_runs(), few_digits():
        train.train_and_evaluate(longer, workdir, verbose=False)
    assert metrics(workdir)[:3] == before
    assert [line["step"] for line in metrics(workdir)] == [2, 4, 6, 8]


@pytest.mark.slow
def test_an_interrupted_run_resumes_where_it_was(written):
    workdir = written / "interrupted"
    before = metrics(workdir)
    last = len(before) + 3  # the run has 40 epochs
    with quick_runs(), few_digits(), interrupted_after_epoch(last):
        train.train_and_evaluate({**config_of(workdir)}, workdir, verbose=False)
    after = metrics(workdir)
    assert after[: len(before)] == before
    assert [line["step"] for line in after] == [2 * epoch for epoch in range(1, last + 1)]


@pytest.mark.slow
def test_its_light_net_is_exported(written, tmp_path):
    model, _, _ = restore(written / "finished")
    assert list(export_run(written / "finished", ["savedmodel"], tmp_path / "exported"))
    (version,) = (tmp_path / "exported").glob("**/saved_model.pb")
    served = tf.saved_model.load(str(version.parent)).signatures["serving_default"]
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)
    logits = model.light(images.astype(np.float32), training=False)
    np.testing.assert_allclose(
        served(images=tf.constant(images))["logits"], logits, rtol=1e-5, atol=1e-5
    )
