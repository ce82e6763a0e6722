"""One run, from a configuration to an exported light net."""

import contextlib
import functools
import importlib.metadata
import math
import signal
import threading

import keras

from rocket_tf import callbacks as run_callbacks
from rocket_tf import config as options
from rocket_tf import run_pictures
from rocket_tf.building import build_model, build_nets, mixes_labels
from rocket_tf.checkpoint import Checkpoints, Progress
from rocket_tf.costs import count_multiply_adds, count_parameters
from rocket_tf.data import kerascv, pipeline
from rocket_tf.data.catalog import DATASETS
from rocket_tf.distribution import make_strategy
from rocket_tf.finished_run import (
    keras_settings,
    load_booster,
    load_data,
    open_run,
    provenance,
    restore_result,
    result_epoch,
    trained_model,
)
from rocket_tf.optimization import make_schedule
from rocket_tf.run_folder import RunFolder
from rocket_tf.serving.saved_model import export_light


def train_and_evaluate(config, workdir, verbose=True):
    """Trains a run to its end, resuming where it was interrupted; a finished run is left as it is.

    Where the method follows a trained booster, that booster's run is found, or trained first.

    Args:
        config: a configuration (`rocket_tf.config`).
        workdir: the run's folder.
        verbose: whether to show progress.

    Returns:
        The run's summary, as in its `summary.json`.

    Raises:
        ConfigError: if the configuration cannot be run, or the folder holds another run.
        DataUnavailableError: if the data is neither on this machine nor to be downloaded.
        CheckpointError: if there are checkpoints, and none can be read.
        NonFiniteLossError: if a loss is no number any more.
        Preempted: if SIGTERM has come; what was done is saved.
        OSError: if something cannot be written.
    """
    config = dict(config)
    options.check(config)
    folder = RunFolder(workdir)
    folder.check(config)
    summary = folder.read_summary()
    if summary is not None:
        return summary

    tell = print if verbose else (lambda *_, **__: None)
    booster_folder = folder.booster_folder(config)
    if booster_folder is not None:
        booster_config = booster_folder.config_of_booster(config)
        if booster_folder.read_summary() is None:
            tell(f"First the booster that the light net will follow, in {booster_folder.path}")
        train_and_evaluate(booster_config, booster_folder.path, verbose)
        folder.check(config)  # now that it is known which booster that is
    tell(f"Reading {config['dataset']}", flush=True)
    data = load_data(config)  # before anything is written
    with folder.owned(), _sigterm() as is_preempted, keras_settings(config):
        strategy = make_strategy(config["replicas"])
        with strategy.scope():
            model = build_model(config, load_booster(booster_folder))
            checkpoints = Checkpoints(folder.checkpoints, model, config["checkpoints_kept"])
            progress, metrics = checkpoints.restore()
        folder.write_config(config)
        if booster_folder is not None:
            folder.write_followed(booster_folder)
        checkpoints.forget_after(progress)
        folder.drop_metrics_after(progress.epochs)
        done = f"epoch {progress.epochs} of {config['epochs']}"
        tell(
            f"Training on {len(data.train_images)} examples, "
            f"{strategy.num_replicas_in_sync} replica(s), after {done}"
            f"{f' and step {progress.steps} of the next' if progress.steps else ''}, in {workdir}",
            flush=True,
        )
        fit = functools.partial(
            _fit, model, data, config, strategy, folder, checkpoints, is_preempted, verbose
        )
        if progress.steps:
            fit(progress, progress.epochs + 1, metrics)
            progress = Progress(progress.epochs + 1)
        if progress.epochs < config["epochs"]:
            fit(progress, config["epochs"])
        summary = _summarize(model, data, config, strategy, folder, booster_folder)
        if config["pictures"]:
            tell("Drawing pictures", flush=True)
            run_pictures.draw(model, data, folder, _one_hot_classes(config))
        folder.write_summary(summary)
    return summary


@contextlib.contextmanager
def _sigterm():
    """A function that tells whether SIGTERM has come, which then ends nothing by itself."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, lambda *_: came.set())
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


def evaluate(workdir, data_dir=""):
    """Evaluates a finished run's nets on the test examples again.

    Args:
        workdir: the run's folder; nothing in it is changed.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.

    Returns:
        The run's summary with the test errors as measured now.

    Raises:
        ConfigError: if the folder holds no finished run.
        CheckpointError: if the checkpoint of its last epoch is missing or damaged.
        DataUnavailableError: if the data is neither on this machine nor to be downloaded.
    """
    folder, config, summary = open_run(workdir)
    with keras_settings(config):
        strategy = make_strategy(config["replicas"])
        test_only = {**config, "train_examples": 1, "validation_examples": 0}
        data = load_data(test_only, data_dir)
        model = trained_model(config, folder, strategy)
        errors = _errors(_test(model, data, config, strategy))
    for net, error in errors.items():
        summary[net]["test_error"] = error
    return summary


def draw_pictures(workdir, data_dir=""):
    """Draws a finished run's pictures into its folder, where it has none, or again.

    Args:
        workdir: the run's folder.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.

    Raises:
        ConfigError, CheckpointError, DataUnavailableError: as `evaluate`.
    """
    folder, config, _ = open_run(workdir)
    with keras_settings(config):
        data = load_data(config, data_dir)
        model = trained_model(config, folder, make_strategy(config["replicas"]))
        run_pictures.draw(model, data, folder, _one_hot_classes(config))


def _fit(
    model,
    data,
    config,
    strategy,
    folder,
    checkpoints,
    is_preempted,
    verbose,
    progress,
    last_epoch,
    metrics=(),
):
    """Trains from what is done to the end of an epoch; all of an epoch, or all of several."""
    epochs, steps = config["epochs"], options.steps_per_epoch(config)
    first_epoch, first_step = progress.epochs, progress.steps
    replicas = strategy.num_replicas_in_sync
    train = pipeline.training_dataset(
        data.train_images,
        data.train_labels,
        config["batch_size"],
        epochs,
        config["seed"],
        first_epoch=first_epoch,
        first_step=first_step,
        flip=config["flip"],
        crop_padding=config["crop_padding"],
        batch_augmentation=kerascv.make_augmentation(
            config["rand_augment"], config["mixup"], config["cutmix"], config["seed"]
        ),
        num_classes=_one_hot_classes(config),
        replicas=replicas,
    )
    held_out = bool(config["validation_examples"])
    validation, validation_steps = _evaluation_data(
        data.validation_images if held_out else data.test_images,
        data.validation_labels if held_out else data.test_labels,
        config,
        strategy,
    )
    every = config["evaluate_every_epochs"]
    rename = functools.partial(_renamed, config)

    callbacks = [
        # First of all, so that nothing is written of an epoch that went wrong.
        run_callbacks.StopOnNonFiniteLoss(first_step=first_epoch * steps + first_step),
        *([run_callbacks.RestoreMetrics(metrics)] if first_step else []),
        run_callbacks.LogEpochs(
            folder.append_metrics,
            rename,
            len(data.train_images) - first_step * config["batch_size"],
            steps,
            make_schedule(config, epochs * steps),
        ),
        *([_keep_chosen(model, config, folder, progress)] if held_out else []),
        run_callbacks.SaveCheckpoints(
            checkpoints, steps, first_step, config["checkpoint_every_steps"], is_preempted
        ),
        keras.callbacks.TensorBoard(str(folder.tensorboard), write_graph=False),
    ]
    if verbose:
        examples = "validation" if held_out else "test"
        callbacks.append(
            run_callbacks.ShowProgress(epochs, steps, first_epoch, first_step, rename, examples)
        )
    if first_step:
        # Metrics have variables once they have seen a batch.
        model.evaluate(validation, steps=1, verbose=0)
    model.fit(
        pipeline.distribute(train, strategy),
        epochs=last_epoch,
        initial_epoch=first_epoch,
        steps_per_epoch=steps - first_step,
        validation_data=validation,
        validation_steps=validation_steps,
        validation_freq=[e for e in range(1, epochs + 1) if e % every == 0 or e == epochs],
        callbacks=callbacks,
        shuffle=False,  # the pipeline has shuffled
        verbose=0,
    )


def _evaluation_data(images, labels, config, strategy):
    """Examples for `evaluate`, and their number of steps."""
    dataset = pipeline.evaluation_dataset(
        images,
        labels,
        config["batch_size"],
        num_classes=_one_hot_classes(config),
        replicas=strategy.num_replicas_in_sync,
    )
    return pipeline.distribute(dataset, strategy), math.ceil(len(images) / config["batch_size"])


def _keep_chosen(model, config, folder, progress):
    # Two, because a killed process may have saved one that comes out otherwise the second time.
    checkpoints = Checkpoints(folder.chosen, model, kept=2)
    checkpoints.forget_after(progress)
    return run_callbacks.KeepChosen(
        checkpoints, is_chosen=lambda epoch: epoch == result_epoch(config, folder)
    )


def _test(model, data, config, strategy):
    """The metrics of a model on the test examples."""
    dataset, steps = _evaluation_data(data.test_images, data.test_labels, config, strategy)
    logs = model.evaluate(dataset, steps=steps, return_dict=True, verbose=0)
    return _renamed(config, logs)


def _summarize(model, data, config, strategy, folder, booster_folder):
    """The summary of a run whose epochs are done, with its light net exported."""
    epoch = result_epoch(config, folder)
    measured = next(line for line in folder.read_metrics() if line["epoch"] == epoch)
    measured = {name.removeprefix("val_"): measured[name] for name in measured if "val_" in name}
    test_errors, validation_errors = _errors(measured), {}
    if config["validation_examples"]:
        validation_errors = test_errors
        restore_result(model, config, folder)
        test_errors = _errors(_test(model, data, config, strategy))
    summary = {
        "method": config["method"],
        "seed": config["seed"],
        "epochs": config["epochs"],
        "epoch": epoch,
        "train_examples": len(data.train_images),
        "test_examples": len(data.test_images),
    }
    nets = dict(zip(("light", "booster"), build_nets(config), strict=True))
    for role, error in test_errors.items():
        summary[role] = {
            "test_error": error,
            "parameters": count_parameters(nets[role]),
            "multiply_adds": count_multiply_adds(nets[role]),
        }
        if role in validation_errors:
            summary[role]["validation_error"] = validation_errors[role]
    if booster_folder is not None:
        summary["teacher"] = booster_folder.read_summary()["booster"]
    if "light" in test_errors:
        # An earlier process may have come as far as this, with the same weights.
        version = folder.newest_export() or export_light(
            model,
            folder.light,
            class_names=data.class_names,
            provenance=provenance(folder, config, summary),
        )
        summary["export"] = str(version.relative_to(folder.path))
    summary["versions"] = {
        package: importlib.metadata.version(package) for package in ("tensorflow", "keras")
    }
    return summary


def _errors(metrics):
    """The error in per cent of each net, from metrics such as `light_accuracy`."""
    return {
        net: round(100 * (1 - metrics[f"{net}_accuracy"]), 4)
        for net in ("light", "booster")
        if f"{net}_accuracy" in metrics
    }


def _renamed(config, logs):
    """Keras's logs under the names of a run's metrics, which say whose they are."""
    if config["method"] not in ("light", "booster"):
        return dict(logs)  # a RocketModel names them itself
    renamed = {}
    for name, value in logs.items():
        prefix = "val_" if name.startswith("val_") else ""
        metric = name.removeprefix("val_")
        renamed[f"{prefix}{config['method']}_{metric}"] = value
        if metric == "loss":
            renamed[name] = value
    return renamed


def _one_hot_classes(config):
    """Classes of the one-hot labels that mixing needs; `None` for labels as integers."""
    return DATASETS[config["dataset"]].num_classes if mixes_labels(config) else None
