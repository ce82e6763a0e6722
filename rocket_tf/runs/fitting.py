"""Trains a run's epochs, with its data and callbacks, and evaluates its model."""

import contextlib
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf.core.batch import inputs_of
from rocket_tf.core.heads import Head, flat
from rocket_tf.core.light_alone import lacks_booster_only
from rocket_tf.data import DataSet, pipeline
from rocket_tf.data.images import kerascv
from rocket_tf.runs import callbacks as run_callbacks
from rocket_tf.runs import own_parts
from rocket_tf.runs.building import class_weights, make_schedule, mixes_labels
from rocket_tf.runs.checkpoints import Checkpoints, Restored
from rocket_tf.runs.finished import has_lost_patience, result_epoch
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress
from rocket_tf.runs.starts import Starts


@dataclasses.dataclass(frozen=True)
class Run:
    """The parts of a run that its epochs need.

    Attributes:
        config: its configuration.
        folder: its `RunFolder`.
        strategy: its `tf.distribute` strategy.
        data: its data.
        model: its compiled `RocketModel`.
        checkpoints: the checkpoints of `model`.
        is_preempted: function that returns whether the run must stop; all workers call it together.
        of_any_worker: function that returns whether a value is true on any worker; all workers call
            it together.
        verbose: whether to show progress.
        starts: the start of its nets, a `rocket_tf.runs.starts.Starts`.
    """

    config: Mapping
    folder: RunFolder
    strategy: tf.distribute.Strategy
    data: DataSet
    model: keras.Model
    checkpoints: Checkpoints
    is_preempted: Callable[[], bool]
    of_any_worker: Callable[[bool], bool]
    verbose: bool
    starts: Starts


def fit(run, restored):
    """Trains from the restored progress to the end of the run's epochs.

    Args:
        run: a `Run`.
        restored: the restored state, a `Restored`.
    """
    progress, epochs = restored.progress, run.config["epochs"]
    if progress.steps:
        # For Keras, the rest of an epoch is an epoch with fewer steps.
        _fit(run, restored, progress.epochs + 1)
        progress = Progress(progress.epochs + 1)
    if progress.epochs < epochs and not _is_over(run):
        _fit(run, Restored(progress), epochs)


def _is_over(run):
    """Whether patience has run out. Only the chief of several workers has the metrics."""
    if not run.config["patience"]:
        return False
    return run.of_any_worker(run.folder.writes and has_lost_patience(run.config, run.folder))


@contextlib.contextmanager
def _weights_left_alone(optimizer):
    """Keeps `fit` from replacing weights by their averages, as an epoch may be incomplete."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def evaluate(model, split, config, card, strategy):
    """The metrics of a model on some examples, by the names of a run's metrics.

    Args:
        model: a compiled `RocketModel`.
        split: the examples, a `rocket_tf.data.Split`.
        config: the run's configuration.
        card: of its data, a `rocket_tf.data.DatasetCard`.
        strategy: its `tf.distribute` strategy.
    """
    dataset, steps = _evaluation_data(split, config, card, strategy)
    logs = model.evaluate(dataset, steps=steps, return_dict=True, verbose=0)
    return renamed(config, logs)


def predictor(model):
    """A function from the inputs of a batch to the logits of its heads, by their names.

    If inputs that only the booster reads are missing, it gives the light net's logits.

    Args:
        model: a `RocketModel`.
    """

    @tf.function
    def predict(inputs):
        if lacks_booster_only(model, inputs):
            return flat({"light": model.light(inputs_of(model.light, inputs), training=False)})
        return model(inputs, training=False)

    return predict


def weight_column(card):
    """The column with the weights of clicks' examples; empty: there is none."""
    return card.columns.weight if card.kind == "clicks" else ""


def errors_by_class(model, split, config, card):
    """The number of examples of each class that a model assigns to another class.

    For multi-label images, an example counts for each class about which the model is wrong. For
    clicks with several labels, the counts are those of the first label.

    Args:
        model: a `RocketModel`.
        split: the examples, a `rocket_tf.data.Split`.
        config: the run's configuration.
        card: of its data, a `rocket_tf.data.DatasetCard`.

    Returns:
        Dict from "light" and "booster", if present, to lists of counts, one for each class.
    """
    wrong, predict = {}, predictor(model)
    nets = {Head(net, next(iter(card.outputs), None)).name: net for net in ("light", "booster")}
    for inputs, labels in split.evaluation_batches(config["batch_size"]):
        labels = labels[:, 0] if card.outputs else labels
        for head, logits in predict(inputs).items():
            if head not in nets:
                continue
            net = nets[head]
            if card.multi_label:
                counts = tf.math.count_nonzero((logits > 0) != (labels > 0), 0, dtype=tf.int32)
            else:
                if card.outputs:  # the logit of the label, beside a 0 for its absence
                    logits = tf.pad(logits, [[0, 0], [1, 0]])
                missed = tf.boolean_mask(labels, tf.argmax(logits, -1, labels.dtype) != labels)
                counts = tf.math.bincount(tf.cast(missed, tf.int32), minlength=card.num_classes)
            wrong[net] = wrong.get(net, 0) + counts
    if options.trained_net(config) == "booster":
        wrong = {"booster": wrong["light"]}
    return {net: counts.numpy().tolist() for net, counts in wrong.items()}


def one_hot_classes(config, card):
    """Classes of the one-hot labels that mixing needs; `None` for labels as integers."""
    return card.num_classes if mixes_labels(config) else None


def augmentation(config):
    """RandAugment, MixUp and CutMix, as arguments of `rocket_tf.data.Split.training_batches`."""
    rand_augment, mixup, cutmix = (config[name] for name in ("rand_augment", "mixup", "cutmix"))
    if config["augmentation_library"] == "keras_cv":
        make = kerascv.make_augmentation
        return {"batch_augmentation": make(rand_augment, mixup, cutmix, config["seed"])}
    mixing = ("mixup", mixup) if mixup else ("cutmix", cutmix) if cutmix else None
    return {"rand_augment": rand_augment, "mixing": mixing}


def _fit(run, restored, last_epoch):
    config, data = run.config, run.data
    epochs, steps = config["epochs"], options.steps_per_epoch(config, run.data.card)
    first_epoch, first_step = restored.progress.epochs, restored.progress.steps
    train = functools.partial(
        data.train.training_batches,
        config["batch_size"],
        epochs,
        config["seed"],
        first_epoch=first_epoch,
        first_step=first_step,
        flip=config["flip"],
        crop_padding=config["crop_padding"],
        crop_padding_mode=config["crop_padding_mode"],
        **augmentation(config),
        num_classes=one_hot_classes(config, data.card),
        class_weights=class_weights(config, data),
        weight_column=weight_column(data.card),
        label_names=data.card.outputs,
    )
    held_out = bool(config["validation_examples"])
    validation, validation_steps = _evaluation_data(
        data.validation if held_out else data.test, config, data.card, run.strategy
    )
    own = own_parts.of(config, data, run.folder.own_code)
    if first_step:
        # Metrics have variables after their first batch.
        run.model.evaluate(validation, steps=1, verbose=0)
    every = config["evaluate_every_epochs"]
    with own.training(run.model, epochs), _weights_left_alone(run.model.optimizer):
        run.model.fit(
            pipeline.distribute(train, run.strategy),
            epochs=last_epoch,
            initial_epoch=first_epoch,
            steps_per_epoch=steps - first_step,
            validation_data=validation,
            validation_steps=validation_steps,
            validation_freq=[e for e in range(1, epochs + 1) if e % every == 0 or e == epochs],
            callbacks=_callbacks(run, restored, own.callbacks()),
            shuffle=False,  # the pipeline has shuffled
            verbose=0,
        )


def _callbacks(run, restored, own_callbacks):
    config, folder = run.config, run.folder
    epochs, steps = config["epochs"], options.steps_per_epoch(config, run.data.card)
    first_epoch, first_step = restored.progress.epochs, restored.progress.steps
    held_out = bool(config["validation_examples"])
    rename = functools.partial(renamed, config)
    callbacks = [
        # First, so that nothing is written for an epoch that failed.
        run_callbacks.StopOnNonFiniteLoss(first_step=first_epoch * steps + first_step),
        *([run_callbacks.RestoreMetrics(restored.metrics)] if first_step else []),
        *([run_callbacks.Freeze(run.starts.freeze)] if config["unfreeze_epoch"] else []),
        *own_callbacks,  # before anything is written: they may still change the epoch's results
        run_callbacks.LogEpochs(
            folder.append_metrics,
            rename,
            run.data.train.examples - first_step * config["batch_size"],
            steps,
            make_schedule(config, epochs * steps),
        ),
        *([run_callbacks.EvaluateAverages()] if config["average_momentum"] else []),
        *([_keep_chosen(run, restored.progress)] if held_out and folder.writes else []),
        run_callbacks.SaveCheckpoints(
            run.checkpoints, steps, first_step, config["checkpoint_every_steps"], run.is_preempted
        ),
    ]
    if config["patience"]:
        callbacks.append(run_callbacks.StopWithoutProgress(functools.partial(_is_over, run)))
    if folder.writes:
        callbacks.append(run_callbacks.EventFiles(folder.tensorboard))
    if run.verbose:
        examples = "validation" if held_out else "test"
        labels = run.data.card.outputs or [None]
        heads = [Head(net, label) for net in ("light", "booster") for label in labels]
        callbacks.append(
            run_callbacks.ShowProgress(
                epochs, steps, first_epoch, first_step, rename, examples, heads
            )
        )
    return callbacks


def _keep_chosen(run, progress):
    # Keeps two: a killed process may have saved an epoch that turns out different when repeated.
    checkpoints = Checkpoints(run.folder.chosen, run.model, kept=2)
    checkpoints.forget_after(progress)
    return run_callbacks.KeepChosen(
        checkpoints, is_chosen=lambda epoch: epoch == result_epoch(run.config, run.folder)
    )


def _evaluation_data(split, config, card, strategy):
    """Examples for `evaluate`, and their number of steps."""
    batches = functools.partial(
        split.evaluation_batches,
        config["batch_size"],
        num_classes=one_hot_classes(config, card),
        weight_column=weight_column(card),
        label_names=card.outputs,
    )
    return pipeline.distribute(batches, strategy), math.ceil(split.examples / config["batch_size"])


def renamed(config, logs):
    """Keras's logs under a run's names: a booster that trains alone is called "booster"."""
    if config["method"] != "booster":
        return dict(logs)
    prefix = re.compile("^(val_)?light_")
    return {prefix.sub(r"\1booster_", name): value for name, value in logs.items()}
