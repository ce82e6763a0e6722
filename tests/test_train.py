"""Runs from a configuration to an exported light net: interruptions, faults and all switches."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import RocketModel, train
from rocket_tf.data import open_data
from rocket_tf.data.images import named as images
from rocket_tf.distribution.strategy import make_strategy
from rocket_tf.errors import CheckpointError, ConfigError, NonFiniteLossError, Preempted
from rocket_tf.runs import callbacks as run_callbacks
from rocket_tf.runs.building import build_model
from rocket_tf.runs.checkpoints import Checkpoints
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress
from tests.small_runs import (
    card_of,
    interrupted_after_step,
    metrics,
    newest_checkpoint,
    quick_runs,
    small_config,
    state,
)

pytestmark = pytest.mark.usefixtures("few_test_digits", "untraced")


@pytest.fixture(scope="module")
def finished(few_test_digits, tmp_path_factory):
    """The folder and summary of an uninterrupted run with dropout and augmentation."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    with quick_runs(exported=True):
        return workdir, train.train_and_evaluate(small_config(booster_dropout=0.1), workdir)


def stop_after(epochs, config, workdir):
    """Trains a run and interrupts it once `epochs` are done."""
    save = Checkpoints.save

    def interrupt(checkpoints, done, steps=0):
        save(checkpoints, done, steps)
        if done == epochs:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(config, workdir, verbose=False)


def weights(workdir):
    """The bytes of the weights and statistics in a run's newest checkpoint, sorted by name."""
    return [content for name, content in sorted(state(workdir).items()) if "model/" in name]


class TestRunFolder:
    def test_holds_everything(self, finished):
        workdir, _ = finished
        names = {path.name for path in workdir.iterdir()}
        assert names == {
            "config.json",
            "metrics.jsonl",
            "summary.json",
            "checkpoints",
            "tensorboard",
            "light",
            ".owner",
        }
        assert (workdir / "light" / "1" / "saved_model.pb").exists()
        assert json.loads((workdir / "config.json").read_text())["booster_dropout"] == 0.1

    def test_metrics(self, finished):
        lines = metrics(finished[0], times=True)
        assert [line["epoch"] for line in lines] == [1, 2, 3]
        assert [line["step"] for line in lines] == [3, 6, 9]
        # Drops at 0.295, 0.595 and 0.795 of 9 steps apply from steps 3, 5 and 7, counted from 0.
        rates = [line["learning_rate"] for line in lines]
        np.testing.assert_allclose(rates, [0.1, 0.02, 0.004], rtol=1e-5)
        terms = {"loss", "hint_loss"} | {
            f"{net}_{kind}" for net in ("light", "booster") for kind in ("loss", "accuracy")
        }
        expected = terms | {f"val_{name}" for name in terms}
        expected |= {"epoch", "step", "learning_rate", "examples_per_second"}
        for line in lines:
            assert set(line) == expected
            np.testing.assert_allclose(
                line["loss"],
                line["light_loss"] + line["booster_loss"] + 0.03 * line["hint_loss"],
                rtol=1e-5,
            )
            assert line["examples_per_second"] > 0

    def test_summary_is_of_the_last_epoch(self, finished):
        workdir, summary = finished
        assert json.loads((workdir / "summary.json").read_text()) == summary
        last = metrics(workdir)[-1]
        for net in ("light", "booster"):
            error = summary[net]["test_error"]
            assert error == pytest.approx(100 * (1 - last[f"val_{net}_accuracy"]), abs=1e-3)
            assert summary[net]["multiply_adds"] > summary[net]["parameters"]
        assert summary["export"] == "light/1"

    def test_tensorboard_events(self, finished):
        events = list((finished[0] / "tensorboard").rglob("events.out.tfevents.*"))
        tags = {
            value.tag
            for path in events
            for event in tf.compat.v1.train.summary_iterator(str(path))
            for value in event.summary.value
        }
        assert {"epoch_light_loss", "epoch_booster_accuracy", "epoch_hint_loss"} <= tags

    def test_the_export_is_the_trained_light_net(self, finished):
        workdir, summary = finished
        serve = tf.saved_model.load(str(workdir / "light" / "1")).signatures["serving_default"]
        data = images.load("digits")
        classes = serve(images=tf.constant(data.test.inputs))["classes"].numpy()
        error = 100 * np.mean(classes != data.test.labels)
        assert error == pytest.approx(summary["light"]["test_error"], abs=1e-3)


class TestResuming:
    def test_a_finished_run_is_not_trained_again(self, finished, monkeypatch):
        workdir, summary = finished
        monkeypatch.setattr(train, "build_model", None)
        assert train.train_and_evaluate(small_config(booster_dropout=0.1), workdir) == summary

    @pytest.mark.parametrize(
        "fault", [pytest.param("in an epoch", marks=pytest.mark.slow), "before the checkpoint"]
    )
    def test_resumed_equals_uninterrupted(self, finished, tmp_path, monkeypatch, fault):
        whole, summary = finished
        append = RunFolder.append_metrics

        def interrupt(folder, line):
            append(folder, line)
            if line["epoch"] == 2:
                raise KeyboardInterrupt

        def interrupt_batch(callback, batch, logs=None):
            if callback._step == 4:
                raise KeyboardInterrupt
            callback._step += 1

        with monkeypatch.context() as patch:
            if fault == "in an epoch":
                patch.setattr(
                    run_callbacks.StopOnNonFiniteLoss, "on_train_batch_end", interrupt_batch
                )
            else:
                patch.setattr(RunFolder, "append_metrics", interrupt)
            with pytest.raises(KeyboardInterrupt):
                train.train_and_evaluate(small_config(booster_dropout=0.1), tmp_path)
        assert not (tmp_path / "summary.json").exists()
        resumed = train.train_and_evaluate(small_config(booster_dropout=0.1), tmp_path)
        assert resumed == summary
        assert state(tmp_path) == state(whole)
        assert metrics(tmp_path) == metrics(whole)

    @pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_resumed_in_the_middle_of_an_epoch(self, finished, tmp_path, monkeypatch, replicas):
        whole, summary = finished
        config = small_config(booster_dropout=0.1, checkpoint_every_steps=2)
        if replicas == 2:
            config.update(epochs=1, replicas=2, pictures=False)
            whole = tmp_path / "whole"
            with quick_runs(traced=True):
                summary = train.train_and_evaluate(config, whole, verbose=False)
        # An epoch has three steps; checkpoints come after 2 and 4 steps and after each epoch.
        stopped_at, newest = {1: (5, "epoch-1-step-1"), 2: (2, "epoch-0-step-2")}[replicas]
        with quick_runs(traced=replicas == 2):
            with interrupted_after_step(stopped_at, steps=3):
                train.train_and_evaluate(config, tmp_path / "resumed", verbose=False)
            assert newest_checkpoint(tmp_path / "resumed" / "checkpoints").name == newest
            resumed = train.train_and_evaluate(config, tmp_path / "resumed", verbose=False)
        assert resumed == summary
        assert state(tmp_path / "resumed") == state(whole)
        # With two replicas, logged means are sums of two parts, which changes the rounding.
        tolerance = 0 if replicas == 1 else 1e-6
        for resumed, uninterrupted in zip(
            metrics(tmp_path / "resumed"), metrics(whole), strict=True
        ):
            assert resumed == pytest.approx(uninterrupted, rel=tolerance, abs=0)

    def test_sigterm_saves_and_stops(self, tmp_path, monkeypatch):
        """The tests above and tests/runs/test_recipes.py resume such checkpoints."""
        update = run_callbacks.StopOnNonFiniteLoss.on_train_batch_end

        def terminate(callback, batch, logs=None):
            update(callback, batch, logs)
            if callback._step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(run_callbacks.StopOnNonFiniteLoss, "on_train_batch_end", terminate)
            with pytest.raises(Preempted, match=r"step 5 \(epoch 2, step 2\)"):
                train.train_and_evaluate(small_config(method="light"), tmp_path)
        assert newest_checkpoint(tmp_path / "checkpoints").name == "epoch-1-step-2"
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    def test_a_damaged_newer_checkpoint_does_not_displace_a_good_one(self, tmp_path):
        config = small_config(method="light", checkpoints_kept=1)
        model = build_model(config, card_of(config))
        checkpoints = Checkpoints(tmp_path, model, kept=1)
        checkpoints.save(1)
        (tmp_path / "epoch-1-step-2.index").write_bytes(b"damaged")
        progress = checkpoints.restore().progress
        assert progress == Progress(1)
        checkpoints.forget_after(progress)
        checkpoints.save(1, 1)
        assert checkpoints.restore().progress == Progress(1, 1)

    def test_one_owner_at_a_time(self, tmp_path):
        script = """
            import sys, time
            sys.orig_argv = ["python", "-m", "rocket_tf.main"]
            from rocket_tf.runs.folder import RunFolder
            with RunFolder(sys.argv[1]).owned():
                print("owned", flush=True)
                time.sleep(600)
        """
        arguments = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout.readline() == "owned\n"
            with pytest.raises(ConfigError, match=rf"is in use by process {owner.pid} on .*; wait"):
                train.train_and_evaluate(small_config(method="light"), tmp_path)
            assert [path.name for path in tmp_path.iterdir()] == [".owner"]
            owner.kill()
        # A dead owner's lock does not block.
        with RunFolder(tmp_path).owned():
            pass

    @pytest.mark.parametrize("other", [{"seed": 7}, {}], ids=["another", "the same"])
    def test_a_run_that_appears_while_the_data_is_read_counts(self, tmp_path, monkeypatch, other):
        """Once the process owns the folder, it checks again what the folder contains."""
        config, folder = small_config(), RunFolder(tmp_path)
        data = open_data(config)

        def load():
            folder.write_config(small_config(**other))
            folder.write_summary({"seed": 5})

        monkeypatch.setattr(data, "load", load)
        monkeypatch.setattr(train, "build_model", lambda *_: 1 / 0)
        if other:
            with pytest.raises(ConfigError, match=r"other settings \(seed: 7 → 0\)"):
                train.train_and_evaluate(config, tmp_path, verbose=False, data=data)
        else:
            found = train.train_and_evaluate(config, tmp_path, verbose=False, data=data)
            assert found == {"seed": 5}
        assert folder.read_config()["seed"] == other.get("seed", 0)

    @pytest.mark.slow
    def test_interrupted_after_the_export(self, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "write_summary", lambda *_: 1 / 0)
            with quick_runs(exported=True), pytest.raises(ZeroDivisionError):
                train.train_and_evaluate(small_config(method="light"), tmp_path)
        with quick_runs(exported=True):
            summary = train.train_and_evaluate(small_config(method="light"), tmp_path)
        assert summary["export"] == "light/1"
        assert [path.name for path in (tmp_path / "light").iterdir()] == ["1"]

    def test_a_damaged_checkpoint_is_skipped(self, finished, tmp_path, caplog):
        whole, summary = finished
        shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
        (tmp_path / "summary.json").unlink()  # looks as if the run had been killed before its end
        newest = tmp_path / "checkpoints" / "epoch-3.data-00000-of-00001"
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 0xFF
        newest.write_bytes(content)
        assert train.train_and_evaluate(small_config(booster_dropout=0.1), tmp_path) == summary
        assert "epoch-3 cannot be read" in caplog.text
        assert state(tmp_path) == state(whole)

    @pytest.mark.parametrize("name", ["a[1]", "what?", "all*"])
    def test_folders_that_tensorflow_reads_as_patterns_are_refused(self, name, tmp_path):
        with pytest.raises(ConfigError, match=r"--workdir: .*without \* \? \[ \]"):
            train.train_and_evaluate(small_config(), tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_without_a_readable_checkpoint(self, tmp_path, monkeypatch):
        monkeypatch.setattr(train.summarizing, "summarize", lambda *_: 1 / 0)
        config = small_config(epochs=1, method="light")
        with pytest.raises(ZeroDivisionError):
            train.train_and_evaluate(config, tmp_path)
        for path in (tmp_path / "checkpoints").glob("*.index"):
            path.write_bytes(b"damaged")
        with pytest.raises(RuntimeError, match="None of the checkpoints"):
            train.train_and_evaluate(config, tmp_path)

    @pytest.mark.slow
    def test_on_another_number_of_replicas(self, tmp_path):
        """Batch statistics are those of the whole batch, so only rounding differs."""
        changes = {"batch_normalization": "synchronized", "epochs": 2, "learning_rate": 0.01}
        changes["method"] = "light"
        summaries = []
        for replicas in (1, 2):
            config = small_config(**changes, replicas=1)
            workdir = tmp_path / f"then_{replicas}"
            with quick_runs(traced=True):
                stop_after(1, config, workdir)
                config = {**config, "replicas": replicas}
                summaries.append(train.train_and_evaluate(config, workdir, verbose=False))
        for mine, theirs in zip(*(metrics(tmp_path / f"then_{n}") for n in (1, 2)), strict=True):
            assert mine == pytest.approx(theirs, rel=2e-3)
        mine, theirs = (
            np.concatenate([np.frombuffer(each, np.float32) for each in weights(workdir)])
            for workdir in (tmp_path / "then_1", tmp_path / "then_2")
        )
        assert np.linalg.norm(mine - theirs) < 1e-3 * np.linalg.norm(mine)

    @pytest.mark.slow
    def test_with_statistics_of_each_replica_another_number_is_refused_or_warned_about(
        self, tmp_path, caplog, monkeypatch
    ):
        config = small_config(epochs=2, method="light")
        stop_after(1, config, tmp_path)
        with pytest.raises(ConfigError, match=r"\(replicas: 0 → 2\)"):
            train.train_and_evaluate({**config, "replicas": 2}, tmp_path)
        monkeypatch.setattr(train, "make_strategy", lambda replicas: make_strategy(2))
        with quick_runs(traced=True):
            train.train_and_evaluate(config, tmp_path, verbose=False)
        assert "was trained on 1 replica(s) so far and goes on with 2" in caplog.text

    @pytest.mark.slow
    def test_more_epochs(self, tmp_path):
        """The run continues like one that had the larger number of epochs from the start."""
        config = small_config(method="light", learning_rate_drops=(0.9,), epochs=2)
        longer = {**config, "epochs": 3, "learning_rate_drops": (0.7,)}
        summary = train.train_and_evaluate(longer, tmp_path / "whole", verbose=False)
        (tmp_path / "longer").mkdir()
        with quick_runs(exported=True):
            train.train_and_evaluate(
                {**config, "learning_rate_drops": ()}, tmp_path / "longer", verbose=False
            )
        config_file = tmp_path / "longer" / "config.json"
        before = config_file.read_text()
        # The drop would come before the last of the 6 steps that are already done.
        moved = {**longer, "learning_rate_drops": (0.6,)}
        with pytest.raises(ConfigError, match=r"epochs: 2 → 3; learning_rate_drops: .*\[5\]"):
            train.train_and_evaluate(moved, tmp_path / "longer")
        assert config_file.read_text() == before
        with quick_runs(exported=True):
            again = train.train_and_evaluate(longer, tmp_path / "longer", verbose=False)
        assert again == {**summary, "export": "light/2"}
        assert state(tmp_path / "longer") == state(tmp_path / "whole")
        assert metrics(tmp_path / "longer") == metrics(tmp_path / "whole")

    @pytest.mark.slow
    def test_if_more_epochs_would_move_the_drops_the_message_gives_the_remedy(self, tmp_path):
        config = small_config(method="light", learning_rate_drops=(0.5,), epochs=2)
        train.train_and_evaluate(config, tmp_path, verbose=False)
        with pytest.raises(
            ConfigError, match=r"at steps \[3\], and would be at \[\] of .*; .*drops='\(0.25,\)'"
        ) as error:
            train.train_and_evaluate({**config, "epochs": 4}, tmp_path)
        assert str(error.value).count("\n") == 0
        kept = {**config, "epochs": 4, "learning_rate_drops": (0.25,)}
        train.train_and_evaluate(kept, tmp_path, verbose=False)
        rates = [line["learning_rate"] for line in metrics(tmp_path)]
        np.testing.assert_allclose(rates, [0.1, 0.02, 0.02, 0.02], rtol=1e-6)

    def test_fewer_epochs_are_refused(self, finished):
        workdir, _ = finished
        with pytest.raises(ConfigError, match=r"\(epochs: 3 → 2\)"):
            train.train_and_evaluate(small_config(booster_dropout=0.1, epochs=2), workdir)

    def test_another_configuration_is_refused(self, finished):
        workdir, _ = finished
        with pytest.raises(ConfigError, match=r"--workdir: .*\(hint_weight: 0.03 → 0.1\)"):
            train.train_and_evaluate(small_config(booster_dropout=0.1, hint_weight=0.1), workdir)

    def test_a_run_of_the_recipe_before_0_2_is_not_resumed_under_the_new_one(
        self, finished, tmp_path
    ):
        workdir = tmp_path / "older"
        shutil.copytree(finished[0], workdir)
        older = json.loads((workdir / "config.json").read_text())
        for name in ("crop_padding_mode", "share_stem", "booster_learning_rate_drops"):
            del older[name]
        older["learning_rate_drops"] = [0.3, 0.6, 0.8]
        (workdir / "config.json").write_text(json.dumps(older))
        (workdir / "summary.json").unlink()  # makes the run unfinished
        with pytest.raises(ConfigError) as error:
            train.train_and_evaluate(small_config(booster_dropout=0.1), workdir)
        assert "crop_padding_mode: 'reflect' → 'symmetric'" in str(error.value)
        assert "that run follows the recipe before 0.2" in str(error.value)
        assert "\n" not in str(error.value)
        # The run can be resumed with its own recipe.
        own = {"crop_padding_mode": "reflect", "learning_rate_drops": (0.3, 0.6, 0.8)}
        summary = train.train_and_evaluate(small_config(booster_dropout=0.1, **own), workdir)
        assert train.evaluate(workdir)["light"] == summary["light"]

    def test_only_the_configured_number_of_checkpoints_is_kept(self, tmp_path):
        train.train_and_evaluate(small_config(checkpoints_kept=1, method="light"), tmp_path)
        names = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index"))
        assert names == ["epoch-3.index"]


@pytest.mark.slow
def test_a_run_leaves_no_graph_behind(tmp_path):
    """TensorFlow would keep the graph of every step; a process must be able to train many runs."""

    def graphs():
        keras.backend.clear_session()
        gc.collect()
        return sum(isinstance(each, tf.Graph) for each in gc.get_objects())

    counts = []
    for number in range(3):
        with quick_runs(traced=True):
            config = small_config(epochs=1, method="light")
            train.train_and_evaluate(config, tmp_path / str(number), verbose=False)
        counts.append(graphs())
    assert counts[1] == counts[2]


class TestEvaluate:
    def test_returns_the_runs_summary_and_changes_nothing(self, finished):
        workdir, summary = finished
        before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
        assert train.evaluate(workdir) == summary
        assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before

    def test_measures_instead_of_reading_the_summary(self, finished, tmp_path):
        workdir, summary = finished
        copy = shutil.copytree(workdir, tmp_path / "copy")
        changed = {**summary, "light": {**summary["light"], "test_error": -1.0}}
        (copy / "summary.json").write_text(json.dumps(changed))
        assert train.evaluate(copy) == summary

    @pytest.mark.parametrize("left", ["epoch-2", "nothing"])
    def test_without_the_last_checkpoint(self, finished, tmp_path, left):
        copy = shutil.copytree(finished[0], tmp_path / "copy")
        for path in (copy / "checkpoints").iterdir():
            if left not in path.name:
                path.unlink()
        with pytest.raises(CheckpointError):
            train.evaluate(copy)

    def test_a_damaged_summary(self, finished, tmp_path):
        copy = shutil.copytree(finished[0], tmp_path / "copy")
        (copy / "summary.json").write_text("{")
        with pytest.raises(ConfigError, match="damaged"):
            train.evaluate(copy)

    def test_an_unfinished_run(self, tmp_path):
        folder = RunFolder(tmp_path)
        folder.write_config(small_config())
        with pytest.raises(ConfigError, match="not finished"):
            train.evaluate(tmp_path)

    def test_a_folder_without_a_run(self, tmp_path):
        with pytest.raises(ConfigError, match="holds no run"):
            train.evaluate(tmp_path / "nothing")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    config = small_config(learning_rate=1e18, learning_rate_drops=())
    with pytest.raises(NonFiniteLossError) as error:
        train.train_and_evaluate(config, tmp_path)
    assert "step 2: " in str(error.value) and "_loss = " in str(error.value)
    assert not (tmp_path / "summary.json").exists()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_the_last_good_checkpoint_is_kept(tmp_path, monkeypatch):
    update = run_callbacks.StopOnNonFiniteLoss.on_train_batch_end

    def spoil(callback, batch, logs=None):
        if callback._step == 5:
            logs = {**logs, "loss": float("nan"), "hint_loss": float("nan")}
        update(callback, batch, logs)

    monkeypatch.setattr(run_callbacks.StopOnNonFiniteLoss, "on_train_batch_end", spoil)
    with pytest.raises(NonFiniteLossError, match="step 6: hint_loss = nan"):
        train.train_and_evaluate(small_config(), tmp_path)
    assert newest_checkpoint(tmp_path / "checkpoints").name == "epoch-1"


def test_weights_that_are_not_finite_are_not_saved(tmp_path, monkeypatch):
    """Losses are computed before updates, so an epoch's last update shows only in the weights."""
    evaluate = RocketModel.evaluate

    def spoil(model, *args, **kwargs):
        logs = evaluate(model, *args, **kwargs)
        model.get_layer("light_logits").bias.assign([np.nan] * 10)
        return logs

    monkeypatch.setattr(RocketModel, "evaluate", spoil)
    with pytest.raises(NonFiniteLossError, match=r"the end of epoch 1 .*light_logits/bias = nan"):
        train.train_and_evaluate(small_config(method="light"), tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*.index"))
    assert not (tmp_path / "metrics.jsonl").exists()


class TestSwitches:
    """Each switch has an effect: the losses of one epoch differ from those of the plain run.

    Switches that do not need two nets are tested with a light net alone, which trains in half the
    time.
    """

    @staticmethod
    def losses(tmp_path, name, **changes):
        config = small_config(epochs=1, train_examples=64, **changes)
        with quick_runs():
            train.train_and_evaluate(config, tmp_path / name, verbose=False)
        return metrics(tmp_path / name)[0]

    @pytest.fixture(scope="class")
    @classmethod
    def plain(cls, few_test_digits, tmp_path_factory):
        folder = tmp_path_factory.mktemp("plain")
        return {method: cls.losses(folder, method, method=method) for method in ("light", "rocket")}

    @pytest.mark.parametrize(
        "method, changes",
        [
            ("light", {"seed": 1}),
            ("light", {"flip": True}),
            ("light", {"crop_padding": 0}),
            pytest.param("light", {"crop_padding_mode": "reflect"}, marks=pytest.mark.slow),
            pytest.param("light", {"mixup": 0.4}, marks=pytest.mark.slow),
            pytest.param("light", {"cutmix": 0.4}, marks=pytest.mark.slow),
            pytest.param("light", {"batch_normalization": "keras"}, marks=pytest.mark.slow),
            pytest.param("light", {"batch_normalization": "synchronized"}, marks=pytest.mark.slow),
            ("light", {"optimizer": "adam", "weight_decay": 0.0}),
            pytest.param("light", {"learning_rate": 0.05}, marks=pytest.mark.slow),
            pytest.param("light", {"learning_rate_drop_factor": 1.0}, marks=pytest.mark.slow),
            ("light", {"learning_rate_drops": (0.5,)}),
            ("light", {"weight_decay": 0.05}),
            ("light", {"precision": "mixed_bfloat16"}),
            ("rocket", {"booster_dropout": 0.5}),
            ("rocket", {"hint_weight": 0.5}),
            pytest.param("rocket", {"share": False}, marks=pytest.mark.slow),
            pytest.param("rocket", {"width": 2}, marks=pytest.mark.slow),
            pytest.param("rocket", {"layout": "bottom", "light_depth": 0}, marks=pytest.mark.slow),
            pytest.param("rocket", {"hint": "softmax_mse"}, marks=pytest.mark.slow),
            pytest.param("rocket", {"hint": "kd"}, marks=pytest.mark.slow),
            pytest.param("rocket", {"gradient_block": False}, marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_has_an_effect(self, plain, tmp_path, method, changes):
        changed, plain = self.losses(tmp_path, "changed", method=method, **changes), plain[method]
        assert set(changed) == set(plain)
        assert changed["loss"] != plain["loss"] or changed["val_loss"] != plain["val_loss"]

    # tests/config/test_methods.py shows that these fields reach the nets and the hint.
    @pytest.mark.slow
    def test_share_stem(self, tmp_path):
        own = self.losses(tmp_path, "own", share=False)
        shared = self.losses(tmp_path, "shared", share=False, share_stem=True)
        assert own["loss"] != shared["loss"]

    @pytest.mark.slow
    def test_temperature(self, tmp_path):
        one = self.losses(tmp_path, "one", hint="kd", temperature=1.0)
        four = self.losses(tmp_path, "four", hint="kd")
        assert one["hint_loss"] != four["hint_loss"]

    def test_evaluate_every_epochs(self, tmp_path):
        config = small_config(evaluate_every_epochs=2, method="light")
        train.train_and_evaluate(config, tmp_path)
        assert ["val_loss" in line for line in metrics(tmp_path)] == [False, True, True]

    def test_one_net_alone(self, tmp_path):
        for method in ("light", "booster"):
            losses = self.losses(tmp_path, method, method=method)
            assert losses["loss"] == losses[f"{method}_loss"]
            assert f"val_{method}_accuracy" in losses
            summary = json.loads((tmp_path / method / "summary.json").read_text())
            assert ("light" in summary) == ("export" in summary) == (method == "light")

    def test_a_light_net_alone_starts_like_that_of_the_rocket(self):
        alone, rocket = (
            train.build_model(small_config(method=method), card_of(small_config()))
            for method in ("light", "rocket")
        )
        for mine, theirs in zip(alone.weights, rocket.light.weights, strict=True):
            np.testing.assert_array_equal(mine, theirs)
