"""The loop over the runs of a study: what it trains and prints, and how it ends early."""

import dataclasses
import os
import signal

import pytest

from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data import open_data
from rocket_tf.errors import NonFiniteLossError, Preempted
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import running
from rocket_tf.studies.running import PlannedRun

DATA = open_data(bundled.load("digits"))


@pytest.fixture
def plan(tmp_path):
    return [
        PlannedRun(
            f"run {seed}",
            {**bundled.load("digits", "light"), "seed": seed},
            RunFolder(tmp_path / f"seed{seed}"),
            DATA.card,
        )
        for seed in range(3)
    ]


def finish(config, workdir, data):
    """Replaces training: writes the files of a finished run."""
    folder = RunFolder(workdir)
    folder.write_config(config)
    folder.append_metrics({"epoch": 1, "examples_per_second": 1.0})
    folder.write_summary({"seed": config["seed"]})
    return folder.read_summary()


def test_trains_missing_runs_in_order(plan, monkeypatch, capsys):
    finish(plan[1].config, plan[1].folder.path, DATA)
    trained = []

    def note(config, workdir, data):
        trained.append(config["seed"])
        return finish(config, workdir, data)

    monkeypatch.setattr(train, "train_and_evaluate", note)
    assert running.missing(plan) == [plan[0], plan[2]]
    after = []
    summaries = running.complete(plan, DATA, lambda: after.append(len(trained)))
    assert [summary["seed"] for summary in summaries] == [0, 1, 2]
    assert trained == [0, 2] and after == [1, 2]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "2 of 3 runs to do. Loading TensorFlow"
    assert printed[1].startswith("== run 1 of 2: run 0; about ") and printed[1].endswith(" left")
    assert printed[2].startswith("== run 2 of 2: run 2; about ")
    assert running.complete(plan, DATA) == summaries
    assert capsys.readouterr().out == "" and trained == [0, 2]


def test_a_divergence_ends_it_unless_the_caller_handles_it(plan, monkeypatch):
    def diverge(config, workdir, data):
        if config["seed"] == 1:
            raise NonFiniteLossError("step 3")
        return finish(config, workdir, data)

    monkeypatch.setattr(train, "train_and_evaluate", diverge)
    with pytest.raises(NonFiniteLossError):
        running.complete(plan, DATA)
    diverged = []
    summaries = running.complete(plan, DATA, diverged=lambda run, error: diverged.append(run.title))
    assert summaries[1] is None and summaries[2] == {"seed": 2}
    assert diverged == ["run 1"]


def test_sigterm_between_runs_says_how_many_are_done(plan, monkeypatch):
    monkeypatch.setattr(train, "train_and_evaluate", finish)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted, match=r"^1 of 3 runs$"):
        running.complete(plan, DATA, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert running.missing(plan) == plan[1:]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_sigterm_too_late_for_a_run_stops_before_the_next(plan, monkeypatch):
    """A run with no step left that could react to the signal is finished."""

    def finish_late(config, workdir, data):
        with train._sigterm() as has_come:
            os.kill(os.getpid(), signal.SIGTERM)
            summary = finish(config, workdir, data)
            assert has_come()
        return summary

    monkeypatch.setattr(train, "train_and_evaluate", finish_late)
    with pytest.raises(Preempted, match=r"^1 of 3 runs$"):
        running.complete(plan, DATA)
    assert running.missing(plan) == plan[1:]


def test_costs_of_clicks_depend_on_the_method(tmp_path):
    costs = {
        method: running._cost(
            PlannedRun("", config, RunFolder(tmp_path / method), open_data(config).card)
        )
        for method in ("light", "booster", "rocket")
        for config in [bundled.load("clicks", method)]
    }
    assert costs["light"] == costs["booster"] == costs["rocket"] / 2


def test_runs_on_the_same_data_share_it(plan, monkeypatch):
    other = dataclasses.replace(plan[1], config={**plan[1].config, "train_examples": 100})
    used = []

    def note(config, workdir, data):
        used.append(data)
        return finish(config, workdir, data)

    monkeypatch.setattr(train, "train_and_evaluate", note)
    running.complete([plan[0], other], DATA)
    assert used[0] is DATA
    assert used[1].train.examples == 100
