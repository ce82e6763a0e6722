"""The results of a finished training: figures, export and summary."""

import importlib.metadata
import math

from rocket_tf.analysis.costs import count_multiply_adds, count_parameters
from rocket_tf.config import trained_net
from rocket_tf.core.heads import Head
from rocket_tf.core.light_alone import of_light
from rocket_tf.runs import fitting, init_runs
from rocket_tf.runs.finished import (
    class_names_of,
    export_arguments,
    provenance,
    restore_result,
    result_epoch,
)
from rocket_tf.serving.companions import comes_from
from rocket_tf.serving.saved_model import export_light

_CALIBRATION = ("calibration", "calibration_error")


def measure(run):
    """Measures the figures of the chosen epoch; afterwards, the model has that epoch's weights.

    Args:
        run: a `rocket_tf.runs.fitting.Run`.

    Returns:
        The result of `figures` for the test examples, unless they stay closed, and for the
        validation examples, if some are held out.
    """
    config, folder, data = run.config, run.folder, run.data
    epoch = result_epoch(config, folder)
    line = folder.metrics_of(epoch)
    logs = {name.removeprefix("val_"): value for name, value in line.items() if "val_" in name}
    if not config["validation_examples"]:
        if config["average_momentum"]:
            restore_result(run.model, config, folder)
        return figures(logs, "test", data.card.outputs)
    restore_result(run.model, config, folder)
    if not config["evaluate_test"]:
        return figures(logs, "validation", data.card.outputs)
    test_logs = fitting.evaluate(run.model, data.test, config, data.card, run.strategy)
    validation = figures(logs, "validation", data.card.outputs)
    # Only the light net is tested if the booster's columns are missing.
    tested = figures(test_logs, "test", data.card.outputs)
    return {
        net: together(tested.get(net, {}), net_figures) for net, net_figures in validation.items()
    }


def figures_now(run):
    """The same figures as `measure`, for the model's current weights."""
    config, data = run.config, run.data
    splits = {"validation": data.validation} if config["validation_examples"] else {}
    splits |= {"test": data.test} if config["evaluate_test"] else {}
    by_net = {}
    for examples, split in splits.items():
        logs = fitting.evaluate(run.model, split, config, data.card, run.strategy)
        for net, net_figures in figures(logs, examples, data.card.outputs).items():
            by_net[net] = together(net_figures, by_net.get(net, {}))
    return by_net


def together(first, second):
    """Merges the nets' figures of two evaluations; those of the second take precedence."""
    merged = {**first, **second}
    if "labels" in merged:
        before, after = (net_figures.get("labels", {}) for net_figures in (first, second))
        merged["labels"] = {
            label: before.get(label, {}) | after.get(label, {}) for label in merged["labels"]
        }
    return merged


def figures(logs, examples, labels=()):
    """The figures of each net.

    Args:
        logs: the logs of an evaluation, such as `light_accuracy`.
        examples: the evaluated examples, "test" or "validation".
        labels: names of the labels of clicks with several.

    Returns:
        Dict from nets to dicts with "test_error" in per cent. For clicks also "test_auc",
        "test_gauc" if there are users, "test_log_loss" in nats, "test_calibration" (predicted
        clicks ÷ observed ones) and "test_calibration_error". For images with several classes also
        "test_map"; their error is over all pairs of an image and a class. With several labels,
        these figures are those of the first, and "labels" is a dict from all labels to such dicts.
    """
    by_net = {}
    for net in ("light", "booster"):
        by_head = [_figures_of_head(logs, examples, Head(net, label)) for label in labels or [None]]
        if not by_head[0]:
            continue
        by_net[net] = dict(by_head[0])
        if labels:
            by_net[net]["labels"] = dict(zip(labels, by_head, strict=True))
    return by_net


def _figures_of_head(logs, examples, head):
    """The figures of one head of a net; empty if it was not evaluated."""
    head = head.name
    if f"{head}_accuracy" not in logs:
        return {}
    result = {f"{examples}_error": round(100 * (1 - logs[f"{head}_accuracy"]), 4)}
    if f"{head}_map" in logs:
        result[f"{examples}_map"] = _rounded(logs[f"{head}_map"])
    if f"{head}_auc" in logs:
        log_loss = "log_loss" if f"{head}_log_loss" in logs else "loss"
        names = {"auc": "auc", "gauc": "gauc", "log_loss": log_loss}
        # Missing without users, and in runs of earlier versions.
        names |= {n: n for n in _CALIBRATION}
        names = {n: log for n, log in names.items() if f"{head}_{log}" in logs}
        result |= {
            f"{examples}_{name}": _rounded(logs[f"{head}_{log}"]) for name, log in names.items()
        }
    return result


def _rounded(value):
    """A rounded figure; `None` if it is undefined, such as the AUC if all labels are equal."""
    return round(value, 6) if math.isfinite(value) else None


def summarize(run, measured, teacher=None):
    """Exports the light net of a run whose epochs are done, and returns the run's summary.

    Args:
        run: a `rocket_tf.runs.fitting.Run`.
        measured: the result of `measure`.
        teacher: the figures of the booster that it follows, from that run's summary; `None` without
            a booster to follow.
    """
    config, folder, data = run.config, run.folder, run.data
    summary = {
        "method": config["method"],
        "seed": config["seed"],
        "epochs": config["epochs"],
        "epoch": result_epoch(config, folder),
        "train_examples": data.train.examples,
        "test_examples": data.test.examples,
    }
    if config["patience"]:
        summary["epochs_done"] = folder.read_metrics()[-1]["epoch"]
    for role, net_figures in measured.items():
        # A net that was trained alone is the model's light net.
        net = run.model.light if role == trained_net(config) else run.model.booster
        costs = {"parameters": count_parameters(net), "multiply_adds": count_multiply_adds(net)}
        summary[role] = net_figures | costs
    errors = run.model.head_metrics.ranking.largest_errors
    if data.card.test_lacks and not config["validation_examples"]:
        errors = of_light(run.model, errors)
    if errors:
        renamed = fitting.renamed(config, errors)
        summary["largest_errors"] = {name: round(error, 8) for name, error in renamed.items()}
    if teacher is not None:
        summary["teacher"] = teacher
    if config["init_run"]:
        summary["before"] = init_runs.figures_before(folder)
    if "light" in measured:
        summary["export"] = str(_export(run, summary).relative_to(folder.path))
    summary["versions"] = {
        package: importlib.metadata.version(package) for package in ("tensorflow", "keras")
    }
    return summary


def _export(run, summary):
    """The folder of the light net's export."""
    config, folder, data = run.config, run.folder, run.data
    origin = provenance(folder, config, summary)
    # An earlier process may have exported the same weights already.
    version = folder.newest_export()
    if version is not None and comes_from(version, origin):
        return version
    return export_light(
        run.model,
        folder.light,
        class_names=class_names_of(data),
        provenance=origin,
        **export_arguments(data, run.model.light, config["evaluate_test"]),
    )
