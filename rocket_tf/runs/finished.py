"""Opens finished runs: their model, their data, and the provenance of both."""

import contextlib
import math

import keras
import tensorflow as tf

from rocket_tf import config as options
from rocket_tf.core.heads import Head
from rocket_tf.core.objective import sum_of_gradients
from rocket_tf.core.tensorflow_internals import aggregate_gradients_by
from rocket_tf.data.clicks.examples import MISSING
from rocket_tf.runs import init_runs, own_parts
from rocket_tf.runs import starts as run_starts
from rocket_tf.runs.building import build_model, build_nets
from rocket_tf.runs.checkpoints import restore_weights
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress
from rocket_tf.serving.fixed_inputs import served_net

_WARM_UP_EXAMPLES = 8


def restore(workdir, precision=None, data=None):
    """The model of a finished run, with the weights that its summary describes.

    Args:
        workdir: the run's folder.
        precision: dtype policy of the nets; `None`: the run's own.
        data: the run's data if it is open already, a `rocket_tf.data.DataSet`.

    Returns:
        `(model, config, summary)`: a `RocketModel` (a net that was trained alone is its light net);
        the run's configuration; its summary.

    Raises:
        ConfigError: if the folder holds no finished run.
        CheckpointError: if the checkpoint of these weights is missing or damaged.
    """
    with RunFolder(workdir).undisturbed():
        return _restore(workdir, precision, data)


def _restore(workdir, precision, data):
    folder, config, summary, data = open_run(workdir, data=data)
    with keras_settings({**config, "precision": precision or config["precision"]}):
        model = trained_model(config, data, folder, tf.distribute.get_strategy())
    return model, config, summary


def provenance(folder, config, summary):
    """The provenance that an export of a run records, as JSON values.

    Args:
        folder: the run's `RunFolder`.
        config: its configuration.
        summary: its summary, or the part of it that exists before it is written.
    """
    error = "test_error" if config["evaluate_test"] else "validation_error"
    return {
        "config": {name: config[name] for name in options.FIELDS},
        "data": {name: summary[name] for name in ("train_examples", "test_examples")}
        | {"dataset": config["dataset"]},
        error: {net: summary[net][error] for net in ("light", "booster") if net in summary},
        "nets": {net: summary[net] for net in ("light", "booster", "teacher") if net in summary},
        "epoch": summary["epoch"],
        "checkpoint": str(
            Progress(summary["epoch"])
            .checkpoint_in(_result_directory(config, folder))
            .relative_to(folder.path)
        ),
    }


def class_names_of(data):
    """The names of the classes for an export; `None` for several labels, which have no classes.

    Args:
        data: the run's `rocket_tf.data.DataSet`.
    """
    return None if data.card.outputs else data.class_names


def export_arguments(data, light, test_is_open=True):
    """The arguments of `export_light` for a run's net, except names.

    Args:
        data: the run's `rocket_tf.data.DataSet`.
        light: its light net.
        test_is_open: whether examples may be test examples, which need no training data; if not,
            they are validation examples.

    Returns:
        Dict of keyword arguments. For nets that read columns: examples to warm up with, the inputs
        that are the same for all candidates of a request, if others are not, and defaults for
        missing values in serialized examples. For images with several classes: the argument that
        allows them.
    """
    card = data.card
    if card.kind != "clicks":
        return {"multi_label": True} if card.multi_label else {}
    histories = {column.name for column in card.columns.lists if column.kind == "history"}
    request_columns = {*card.request_columns, *histories}
    split = data.test if test_is_open else data.validation
    examples, _ = split.first(_WARM_UP_EXAMPLES)
    served = list(served_net(light).input)
    user_inputs = [name for name in served if name in request_columns]
    return {
        "examples": {name: examples[name] for name in served},
        "user_inputs": user_inputs if len(user_inputs) < len(served) else [],
        "example_defaults": _example_defaults(card, served_net(light)),
    }


def _example_defaults(card, net):
    """Defaults of serialized examples, which may lack the ends of lists, and missing values.

    `None` if the user's own net takes histories of any length, which serialized examples cannot
    express.
    """
    columns = card.columns
    if any(len(tensor.shape) > 2 or None in tensor.shape[1:] for tensor in net.inputs):
        return None
    lists = {column.name: column for column in columns.lists}
    defaults = {}
    for name in net.input:
        dtype = card.dtypes[name]
        if name in lists and (lists[name].kind != "vector" or lists[name].missing):
            defaults[name] = lists[name].padding(dtype == "string")
        elif name not in lists and columns.may_miss(name):
            defaults[name] = {"string": "", "int64": MISSING}.get(dtype, math.nan)
    return defaults


@contextlib.contextmanager
def keras_settings(config):
    """Sets seed, determinism and dtype policy of a run; restores the dtype policy afterwards."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(config["seed"])
    if config["deterministic"]:
        tf.config.experimental.enable_op_determinism()
        aggregate_gradients_by(sum_of_gradients)
    keras.config.set_dtype_policy(config["precision"])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def open_run(workdir, data_dir="", data=None, data_path=""):
    """A finished run, with its data.

    Args:
        workdir: the run's folder.
        data_dir: folder of TensorFlow Datasets; empty: the run's own.
        data: an open data set, which is used if it is the run's.
        data_path: where the run's own data is now; empty: where it was.

    Returns:
        `(folder, config, summary, data)`: a `RunFolder`; the run's configuration and summary; its
        data, a `rocket_tf.data.DataSet`. The user's own data is read when a split is first used,
        since the run has kept its card.

    Raises:
        ConfigError: if the folder holds no finished run, or its data has changed.
    """
    folder = RunFolder(workdir)
    config, summary = folder.read_finished()
    config = {**config, "data_path": data_path or config["data_path"]}
    # Fields that the run does not read may have values that a later version refuses.
    checked = options.with_unread_at_defaults(config)
    data_dir = data_dir or config["data_dir"]
    checked = {**checked, "data_dir": data_dir}
    data = options.check(checked, folder.known_data(checked) if data is None else data)
    folder.check_data(config, data)
    return folder, config, summary, init_runs.with_old_scales(config, folder, data)


def trained_model(config, data, folder, strategy):
    """The model of a finished run, with the weights that its summary describes."""
    with strategy.scope():
        followed, teacher = folder.read_followed(), None
        if followed is not None:
            # Its weights are in the run's own checkpoints.
            booster_config = config | followed["config"]
            starts = run_starts.of_begun(booster_config, folder.nets_of_booster)
            teacher = _booster(booster_config, data, folder.own_code_of_booster, starts)
        own = own_parts.of(config, data, folder.own_code)
        starts = run_starts.of_begun(config, folder.nets)
        model = build_model(config, data.card, teacher, own, starts)
        restore_result(model, config, folder)
    return model


def load_booster(folder, data):
    """The trained booster of a finished run, or `None` without a run.

    Args:
        folder: the run's `RunFolder`, or `None`.
        data: the data of the run that follows it, a `rocket_tf.data.DataSet`.
    """
    if folder is None:
        return None
    config = folder.read_config()
    booster = _booster(config, data, folder.own_code, run_starts.of_begun(config, folder.nets))
    restore_result(booster, config, folder)
    return booster


def _booster(config, data, own_code, starts):
    """The booster of a run, with new weights; `own_code` is the copy of its own functions' file."""
    data = data.reopen(config)
    _, booster = build_nets(config, data.card, own_parts.of(config, data, own_code), starts)
    return booster


def restore_result(model, config, folder, new_rows=None):
    """Loads the weights that a run's summary describes into its model.

    Args:
        model: as for `checkpoints.restore_weights`.
        config: the run's configuration.
        folder: its `RunFolder`.
        new_rows: as for `checkpoints.restore_weights`.

    Raises:
        CheckpointError: if their checkpoint is missing or damaged.
    """
    directory, epoch = _result_directory(config, folder), result_epoch(config, folder)
    restore_weights(directory, epoch, model, new_rows)


def result_checkpoint(config, folder):
    """Path of the checkpoint that a finished run's summary describes, in TensorFlow's form."""
    epoch = result_epoch(config, folder)
    return Progress(epoch).checkpoint_in(_result_directory(config, folder))


def _result_directory(config, folder):
    """The folder of the checkpoint that a run's summary describes."""
    return folder.chosen if config["validation_examples"] else folder.checkpoints


def result_epoch(config, folder):
    """The chosen epoch; `None` before the first evaluation.

    Without validation, it is the last one. Otherwise, it is the first with the fewest validation
    errors; for clicks, with the highest AUC; for multi-label images, with the highest mean average
    precision.
    """
    if not config["validation_examples"]:
        return config["epochs"]
    return _best_epoch(config, _evaluated(config, folder))


def has_lost_patience(config, folder):
    """Whether the last `config.patience` evaluations or more have not beaten the best one."""
    evaluated = _evaluated(config, folder) if config["patience"] else []
    best = _best_epoch(config, evaluated)
    since = [line for line in evaluated if line["epoch"] > best]
    return bool(evaluated) and len(since) >= config["patience"]


def _evaluated(config, folder):
    """The lines of metrics of the epochs after which the net that decides was evaluated."""
    accuracy = f"val_{_deciding_head(config)}_accuracy"
    return [line for line in folder.read_metrics() if accuracy in line]


def _deciding_head(config):
    """The name of the head by which epochs are compared."""
    return Head(options.trained_net(config), next(iter(options.labels_of(config)), None)).name


def _best_epoch(config, evaluated):
    """The first of the best epochs; `None` if there are none."""
    head = _deciding_head(config)
    names = [f"val_{head}_{metric}" for metric in ("auc", "map", "accuracy")]
    metric = next((name for name in names if evaluated and name in evaluated[0]), names[-1])
    # The AUC is undefined if all examples have the same label.
    finite = [line for line in evaluated if math.isfinite(line[metric])] or evaluated
    best = max(finite, key=lambda line: line[metric], default={})
    return best.get("epoch")
