"""One run, from a configuration to an exported light net."""

import contextlib
import functools
import importlib.metadata
import math

import keras
import tensorflow as tf

from rocket_tf import callbacks as run_callbacks
from rocket_tf import config as options
from rocket_tf.checkpoint import CheckpointError, Checkpoints
from rocket_tf.costs import count_multiply_adds, count_parameters
from rocket_tf.data import images, kerascv, pipeline
from rocket_tf.data.catalog import DATASETS
from rocket_tf.distribution import make_strategy
from rocket_tf.export import export_light
from rocket_tf.networks import wide_resnet_pair
from rocket_tf.optimization import make_optimizer
from rocket_tf.rocket import RocketModel
from rocket_tf.run_folder import RunFolder


def train_and_evaluate(config, workdir, verbose=True):
    """Trains a run to its end, resuming where it was interrupted; a finished run is left as it is.

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
    """
    config = dict(config)
    options.check(config)
    folder = RunFolder(workdir)
    folder.check(config)
    summary = folder.read_summary()
    if summary is not None:
        return summary

    tell = print if verbose else (lambda *_, **__: None)
    with _keras_settings(config):
        strategy = make_strategy(config["replicas"])
        tell(f"Reading {config['dataset']}", flush=True)
        data = images.load(config["dataset"], config["data_dir"], config["train_examples"])
        folder.write_config(config)
        with strategy.scope():
            model = build_model(config)
            checkpoints = Checkpoints(folder.checkpoints, model, config["checkpoints_kept"])
            first_epoch = checkpoints.restore()
        folder.drop_metrics_after(first_epoch)
        tell(
            f"Training on {len(data.train_images)} examples, "
            f"{strategy.num_replicas_in_sync} replica(s), after epoch {first_epoch} of "
            f"{config['epochs']}, in {workdir}",
            flush=True,
        )
        if first_epoch < config["epochs"]:
            _fit(model, data, config, strategy, folder, checkpoints, first_epoch, verbose)
        summary = _summarize(model, data, config, folder)
        folder.write_summary(summary)
    return summary


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
    folder = RunFolder(workdir)
    config = folder.read_config()
    options.check(config)
    summary = folder.read_summary()
    if summary is None:
        raise options.ConfigError(
            f"--workdir: the run in {workdir} is not finished; start it again without "
            "--evaluate_only"
        )
    with _keras_settings(config):
        strategy = make_strategy(config["replicas"])
        data = images.load(config["dataset"], data_dir or config["data_dir"], 1)
        with strategy.scope():
            model = build_model(config)
            checkpoints = Checkpoints(folder.checkpoints, model, config["checkpoints_kept"])
            epoch = checkpoints.restore()
        if epoch < config["epochs"]:
            raise CheckpointError(
                f"{folder.checkpoints}: the checkpoint of epoch {config['epochs']}, the last one, "
                "is missing or damaged; put it back, or train the run anew in another folder"
            )
        dataset, steps = _evaluation_data(data, config, strategy)
        logs = model.evaluate(dataset, steps=steps, return_dict=True, verbose=0)
    for name, value in _renamed(config, logs).items():
        net, _, metric = name.partition("_")
        if metric == "accuracy":
            summary[net]["test_error"] = _error_percent(value)
    return summary


def build_model(config):
    """The compiled model of a configuration: a `RocketModel`, or one of its nets alone.

    Args:
        config: a checked configuration.

    Returns:
        A compiled `keras.Model` on uint8 or float images of 0 to 255.
    """
    light, booster = build_nets(config)
    if config["method"] == "rocket":
        model = RocketModel(
            light,
            booster,
            hint=config["hint"],
            hint_weight=config["hint_weight"],
            gradient_block=config["gradient_block"],
            temperature=config["temperature"] if config["hint"] == "kd" else None,
        )
    else:
        model = {"light": light, "booster": booster}[config["method"]]
    loss = (
        keras.losses.CategoricalCrossentropy
        if _mixes_labels(config)
        else keras.losses.SparseCategoricalCrossentropy
    )
    total_steps = options.steps_per_epoch(config) * config["epochs"]
    model.compile(
        optimizer=make_optimizer(config, total_steps),
        loss=loss(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def build_nets(config):
    """The light net and the booster of a configuration, as functional models."""
    card = DATASETS[config["dataset"]]
    return wide_resnet_pair(
        light_depth=config["light_depth"] or None,
        booster_depth=config["booster_depth"],
        width=config["width"],
        num_classes=card.num_classes,
        input_shape=card.image_shape,
        layout=config["layout"],
        share=config["share"],
        pixel_mean=card.pixel_mean,
        pixel_std=card.pixel_std,
        batch_normalization=config["batch_normalization"],
        booster_dropout=config["booster_dropout"],
        seed=config["seed"],
    )


@contextlib.contextmanager
def _keras_settings(config):
    """Seed, determinism and dtype policy of a run; the dtype policy is put back afterwards."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(config["seed"])
    if config["deterministic"]:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config["precision"])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _fit(model, data, config, strategy, folder, checkpoints, first_epoch, verbose):
    epochs, steps = config["epochs"], options.steps_per_epoch(config)
    replicas = strategy.num_replicas_in_sync
    train = pipeline.training_dataset(
        data.train_images,
        data.train_labels,
        config["batch_size"],
        epochs,
        config["seed"],
        first_epoch=first_epoch,
        flip=config["flip"],
        crop_padding=config["crop_padding"],
        batch_augmentation=kerascv.make_augmentation(
            config["rand_augment"], config["mixup"], config["cutmix"], config["seed"]
        ),
        num_classes=_one_hot_classes(config),
        replicas=replicas,
    )
    test, test_steps = _evaluation_data(data, config, strategy)
    every = config["evaluate_every_epochs"]
    rename = functools.partial(_renamed, config)

    callbacks = [
        # First of all, so that nothing is written of an epoch that went wrong.
        run_callbacks.StopOnNonFiniteLoss(first_step=first_epoch * steps),
        run_callbacks.LogEpochs(folder.append_metrics, rename, len(data.train_images), steps),
        run_callbacks.SaveCheckpoints(checkpoints),
        keras.callbacks.TensorBoard(str(folder.tensorboard), write_graph=False),
    ]
    if verbose:
        callbacks.append(run_callbacks.ShowProgress(epochs, steps, first_epoch, rename))
    model.fit(
        pipeline.distribute(train, strategy),
        epochs=epochs,
        initial_epoch=first_epoch,
        steps_per_epoch=steps,
        validation_data=test,
        validation_steps=test_steps,
        validation_freq=[e for e in range(1, epochs + 1) if e % every == 0 or e == epochs],
        callbacks=callbacks,
        shuffle=False,  # the pipeline has shuffled
        verbose=0,
    )


def _evaluation_data(data, config, strategy):
    """The test examples for `evaluate`, and their number of steps."""
    dataset = pipeline.evaluation_dataset(
        data.test_images,
        data.test_labels,
        config["batch_size"],
        num_classes=_one_hot_classes(config),
        replicas=strategy.num_replicas_in_sync,
    )
    steps = math.ceil(len(data.test_images) / config["batch_size"])
    return pipeline.distribute(dataset, strategy), steps


def _summarize(model, data, config, folder):
    """The summary of a run whose epochs are done, with its light net exported."""
    light, booster = build_nets(config)
    nets = {"light": light, "booster": booster}
    if config["method"] != "rocket":
        nets = {config["method"]: nets[config["method"]]}
    history = folder.read_metrics()
    summary = {
        "method": config["method"],
        "seed": config["seed"],
        "epochs": config["epochs"],
        "train_examples": len(data.train_images),
        "test_examples": len(data.test_images),
    }
    for role, net in nets.items():
        summary[role] = {
            "test_error": _error_percent(history[-1][f"val_{role}_accuracy"]),
            "parameters": count_parameters(net),
            "multiply_adds": count_multiply_adds(net),
        }
    if "light" in nets:
        # An earlier process may have come as far as this, with the same weights.
        version = folder.newest_export() or export_light(
            model, folder.light, class_names=data.class_names
        )
        summary["export"] = str(version.relative_to(folder.path))
    summary["versions"] = {
        package: importlib.metadata.version(package) for package in ("tensorflow", "keras")
    }
    return summary


def _renamed(config, logs):
    """Keras's logs under the names of a run's metrics, which say whose they are."""
    if config["method"] == "rocket":
        return dict(logs)
    renamed = {}
    for name, value in logs.items():
        prefix = "val_" if name.startswith("val_") else ""
        metric = name.removeprefix("val_")
        renamed[f"{prefix}{config['method']}_{metric}"] = value
        if metric == "loss":
            renamed[name] = value
    return renamed


def _error_percent(accuracy):
    return round(100 * (1 - accuracy), 4)


def _mixes_labels(config):
    return bool(config["mixup"] or config["cutmix"])


def _one_hot_classes(config):
    """Classes of the one-hot labels that mixing needs; `None` for labels as integers."""
    return DATASETS[config["dataset"]].num_classes if _mixes_labels(config) else None
