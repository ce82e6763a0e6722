"""One run: from a configuration to an exported light net."""

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

from rocket_tf import config as options
from rocket_tf.core.tensorflow_internals import custom_gradients_forgotten
from rocket_tf.data import DataSet
from rocket_tf.data.tensorflow_errors import damage_named
from rocket_tf.distribution.cluster import read_cluster
from rocket_tf.distribution.strategy import make_strategy
from rocket_tf.distribution.workers import Workers
from rocket_tf.errors import ConfigError, Preempted
from rocket_tf.runs import fitting, init_runs, own_parts
from rocket_tf.runs import pictures as run_pictures
from rocket_tf.runs import starts as run_starts
from rocket_tf.runs import summary as summarizing
from rocket_tf.runs.building import build_model
from rocket_tf.runs.checkpoints import Checkpoints
from rocket_tf.runs.finished import (
    keras_settings,
    load_booster,
    open_run,
    trained_model,
)
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.rehearsal import rehearse
from rocket_tf.system import files

_LOGGER = logging.getLogger(__name__)


def train_and_evaluate(
    config: Mapping[str, Any],
    workdir: str | os.PathLike[str],
    verbose: bool = True,
    data: DataSet | None = None,
) -> dict[str, Any]:
    """Trains a run to its end, from where it was interrupted; leaves a finished run unchanged.

    If the method follows a trained booster, that booster's run is found, or trained first. If
    TF_CONFIG names several workers, each of them calls this function, and only the chief writes.

    Args:
        config: a configuration (`rocket_tf.config`).
        workdir: the run's folder, the same for all workers.
        verbose: whether to show progress.
        data: an open `rocket_tf.data.DataSet`, which is used if it is the configuration's; `None`:
            the configuration's data is opened.

    Returns:
        The run's summary, as in its `summary.json`.

    Raises:
        ConfigError: if the configuration or TF_CONFIG cannot be run, or the folder holds another
            run, or is not the same for all workers.
        DataUnavailableError: if the data is not on this machine and cannot be downloaded, or a
            streamed file can no longer be read.
        CheckpointError: if there are checkpoints but none can be read.
        NonFiniteLossError: if a loss is not finite.
        Preempted: if any of the workers received SIGTERM; the progress is saved.
        WorkerLostError: if another worker is lost.
        OSError: if something cannot be written.
    """
    config = run_starts.prepared(config, RunFolder(workdir))
    data = options.check(config, data)
    cluster = read_cluster()
    folder = RunFolder(workdir, writes=cluster.is_chief)
    folder.check(config, data)
    summary = folder.read_summary_of(config)
    if summary is not None:
        return summary
    data = init_runs.with_old_scales(config, folder, data)

    verbose = verbose and cluster.is_chief
    tell = print if verbose else (lambda *_, **__: None)
    strategy = make_strategy(config["replicas"])  # before TensorFlow's first operation
    if strategy.num_replicas_in_sync > config["batch_size"]:
        raise ConfigError(
            f"config.batch_size: got {config['batch_size']}, expected at least the "
            f"{strategy.num_replicas_in_sync} replicas of all workers, one example for each"
        )
    workers = Workers(strategy, cluster)
    with workers.losses_named(), damage_named(), custom_gradients_forgotten():
        check_same_configuration(workers, config)
        if config["own_functions"]:
            data.load()
            with keras_settings(config):
                rehearse(config, data, folder.own_code)
        starts = run_starts.of(config, folder)
        if config["booster_weights"] or config["light_weights"]:
            with keras_settings(config):
                starts.nets(data.card)  # so that mistakes show early
        booster_folder = folder.booster_folder(config)
        if booster_folder is not None:
            booster_config = booster_folder.config_of_booster(config, data)
            if booster_folder.read_summary() is None:
                tell(f"First the booster that the light net will follow, in {booster_folder.path}")
            train_and_evaluate(booster_config, booster_folder.path, verbose, data)
            folder.check(config, data)  # now that it is known which booster that is
        tell(f"Reading {config['dataset']}", flush=True)
        data.load()  # before anything is written
        with (
            folder.owned(),
            _sigterm() as has_come,
            keras_settings(config),
            contextlib.ExitStack() as reading_booster,
        ):
            # Other processes may have worked here, or on the booster, while the data was read.
            if booster_folder is not None:
                reading_booster.enter_context(booster_folder.undisturbed())
            if folder.writes:
                folder.check(config, data)
                summary = folder.read_summary_of(config)
            if workers.any(summary is not None):
                return folder.read_summary()
            followed = None
            if booster_folder is not None:
                followed = booster_folder.read_finished()[1]["booster"]
            with strategy.scope():
                teacher = load_booster(booster_folder, data)
                own = own_parts.of(config, data, folder.own_code)
                model = build_model(config, data.card, teacher, own, starts)
                checkpoints = Checkpoints(
                    folder.checkpoints, model, config["checkpoints_kept"], folder.writes
                )
                restored = checkpoints.restore()
            progress = restored.progress
            _check_workers_agree(workers, progress, workdir)
            _warn_of_other_replicas(restored.replicas, strategy, config)
            folder.begin(config, data, booster_folder, progress)
            run_starts.keep(starts, folder, booster_folder)
            reading_booster.close()
            checkpoints.forget_after(progress)
            workers.wait()
            _check_shared(folder, config, data)
            tell(
                f"Training on {data.train.examples} examples, "
                f"{strategy.num_replicas_in_sync} replica(s), after epoch {progress.epochs} of "
                f"{config['epochs']}"
                f"{f' and step {progress.steps} of the next' if progress.steps else ''}, "
                f"in {workdir}",
                flush=True,
            )
            run = fitting.Run(
                config,
                folder,
                strategy,
                data,
                model,
                checkpoints,
                is_preempted=lambda: workers.any(has_come()),
                of_any_worker=workers.any,
                verbose=verbose,
                starts=starts,
            )
            init_runs.start(run, progress)
            try:
                fitting.fit(run, restored)
            except Preempted:
                workers.wait()  # or the chief might still be writing when the others are gone
                raise
            workers.wait()
            measured = summarizing.measure(run)
            if folder.writes:
                summary = summarizing.summarize(run, measured, followed)
                for name, error in summary.get("largest_errors", {}).items():
                    tell(f"{name} is from bins or a sample of users: wrong by at most {error:.2g}")
                if config["pictures"]:
                    tell("Drawing pictures", flush=True)
                    run_pictures.draw(
                        model, data, folder, fitting.one_hot_classes(config, data.card)
                    )
                folder.write_summary(summary)
            workers.wait()
            return folder.read_summary()


@contextlib.contextmanager
def _sigterm():
    """A function that says whether SIGTERM was received, which no longer ends the process."""
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set  # only the main thread may say what a signal does
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: received.set())
    try:
        yield received.is_set
    finally:
        signal.signal(signal.SIGTERM, previous)
    if received.is_set() and callable(previous):
        previous(signal.SIGTERM, None)  # too late for this run, but not for the next ones


def check_same_configuration(workers, config):
    """Checks that all workers have the same configuration, before anything is built.

    Each worker must call it. Paths may differ from machine to machine.

    Args:
        workers: the `Workers`.
        config: this worker's checked configuration.

    Raises:
        ConfigError: with the fields in which this worker, or another, differs from the chief.
    """
    if workers.count == 1:
        return
    own_text = files.as_json({name: config[name] for name in options.FIELDS}, sort_keys=True)
    chief, *others = (json.loads(text) for text in workers.gather_texts(own_text))
    paths = [name for name, field in options.FIELDS.items() if field.expected == "a path"]
    for number, other in enumerate(others, 1):
        different = options.differences(chief, other, paths)
        if different:
            raise ConfigError(
                f"TF_CONFIG: worker {number} and the chief have different configurations "
                f"({'; '.join(different)}); give all workers the same"
            )


def _check_workers_agree(workers, progress, workdir):
    """Checks that all workers have restored the same checkpoint."""
    restored = [tuple(numbers) for numbers in workers.gather([progress.epochs, progress.steps])]
    if len(set(restored)) > 1:
        checkpoints = ", ".join(
            f"worker {worker}: epoch {epochs} and {steps} steps"
            for worker, (epochs, steps) in enumerate(restored)
        )
        raise ConfigError(
            f"--workdir: the workers find different checkpoints in {workdir} ({checkpoints}); "
            "expected one folder that all of them share"
        )


def _check_shared(folder, config, data):
    """Checks that a worker sees what the chief has written."""
    if not folder.holds_run():
        raise ConfigError(
            f"--workdir: {folder.path} has no config.json, which the chief has written; expected "
            "one folder that all workers share"
        )
    folder.check(config, data)


def _warn_of_other_replicas(replicas, strategy, config):
    current = strategy.num_replicas_in_sync
    if replicas in (0, current) or config["batch_normalization"] == "synchronized":
        return
    _LOGGER.warning(
        "The run was trained on %d replica(s) so far and goes on with %d, each of which normalizes "
        "its own examples: its results will differ from those of an uninterrupted run "
        "(batch_normalization=synchronized would)",
        replicas,
        current,
    )


def evaluate(
    workdir: str | os.PathLike[str],
    data_dir: str = "",
    data: DataSet | None = None,
    details: bool = False,
    data_path: str = "",
) -> dict[str, Any]:
    """Evaluates a finished run's nets on the test examples again.

    Args:
        workdir: the run's folder; nothing in it is changed.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.
        data: an open `rocket_tf.data.DataSet`, which is used if it is the run's.
        details: whether to count each net's errors by class, and to measure the hints' gradients.
        data_path: where the run's own data is now; empty: where it was. The test part is enough for
            a folder of images, and for a click log whose test part has its own files.

    Returns:
        The run's summary with the test errors measured now. With `details`, it also has each net's
        "errors_by_class", lists of counts, and for a model with hints "gradient_flow", as
        `rocket_tf.gradient_flow` gives it for training examples.

    Raises:
        ConfigError: if the folder holds no finished run.
        CheckpointError: if the checkpoint of its last epoch is missing or damaged.
        DataUnavailableError: if the data is not on this machine and cannot be downloaded.
        WorkerLostError: if another worker is lost.
    """
    with RunFolder(workdir).undisturbed():
        return _evaluate(workdir, data_dir, data, details, data_path)


def _evaluate(workdir, data_dir, data, details, data_path):
    folder, config, summary, data = open_run(workdir, data_dir, data, data_path)
    strategy = make_strategy(config["replicas"])
    workers = Workers(strategy, read_cluster())
    with workers.losses_named(), damage_named(), keras_settings(config):
        # The user's own functions see all of the data, as in training.
        seen, test_only = data, {"train_examples": 1, "validation_examples": 0}
        test_only = {} if config["own_functions"] else test_only
        data_dir = data_dir or config["data_dir"]
        data = data.reopen({**config, **test_only, "data_dir": data_dir})
        data.load()
        model = trained_model(config, data, folder, strategy)
        logs = fitting.evaluate(model, data.test, config, data.card, strategy)
        wrong = {}
        if details:
            wrong = fitting.errors_by_class(model, data.test, config, data.card)
            summary["gradient_flow"] = run_pictures.flow_of(
                model, seen, fitting.one_hot_classes(config, data.card)
            )
    for net, figures in summarizing.figures(logs, "test", data.card.outputs).items():
        summary[net] = summarizing.together(summary[net], figures)
    for net, counts in wrong.items():
        summary[net]["errors_by_class"] = counts
    return summary


def draw_pictures(workdir, data_dir="", data=None):
    """Draws a finished run's pictures into its folder, again if it has them.

    Args:
        workdir: the run's folder.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.
        data: an open `rocket_tf.data.DataSet`, which is used if it is the run's.

    Raises:
        ConfigError, CheckpointError, DataUnavailableError: as `evaluate`.
    """
    with RunFolder(workdir).undisturbed():
        _draw_pictures(workdir, data_dir, data)


def _draw_pictures(workdir, data_dir, data):
    folder, config, _, data = open_run(workdir, data_dir, data)
    strategy = make_strategy(config["replicas"])
    with damage_named(), keras_settings(config):
        data.load()
        model = trained_model(config, data, folder, strategy)
        run_pictures.draw(model, data, folder, fitting.one_hot_classes(config, data.card))
