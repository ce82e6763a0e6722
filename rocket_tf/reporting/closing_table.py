"""The table that a run prints at the end."""

import os
import sys

from rocket_tf.reporting.markdown import count_in_words

_COLUMNS = (
    # title, key in a summary, formatting function
    ("test error", "test_error", "{:.2f} %".format),
    ("validation error", "validation_error", "{:.2f} %".format),
    ("mAP", "test_map", "{:.4f}".format),
    ("AUC", "test_auc", "{:.4f}".format),
    ("GAUC", "test_gauc", "{:.4f}".format),
    ("log loss", "test_log_loss", "{:.4f}".format),
    ("calibration", "test_calibration", "{:.3f}".format),
    ("ECE", "test_calibration_error", "{:.4f}".format),
    ("parameters", "parameters", "{:,}".format),
    ("multiply-adds", "multiply_adds", count_in_words),
)


def closing_table(summary, workdir):
    """A run's result as a table: each net's figures on the test examples, and its cost.

    Args:
        summary: content of a run's `summary.json`.
        workdir: the run's folder.

    Returns:
        Text of several lines; with several labels, a line for each head. Below the table: where the
        light net was exported, and the next command to try.
    """
    nets = {}
    for net in ("light", "booster"):
        if net in summary.get("before", {}):
            nets |= _by_label(f"{net} before", summary["before"][net])
        if net in summary:
            nets |= _by_label(net, summary[net])
    columns = [
        column for column in _COLUMNS if any(_has(figures, column[1]) for figures in nets.values())
    ]
    rows = [("net", *(title for title, _, _ in columns))]
    rows += [
        (net, *(_shown(figures, name, show) for _, name, show in columns))
        for net, figures in nets.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    measured = f"{summary['test_examples']} test examples"
    if not any("test_error" in figures for figures in nets.values()):
        measured = "the validation examples; the test examples are closed"
    lines.append(f"after epoch {summary['epoch']}, on {measured}; details in {workdir}")
    if "before" in summary:
        lines.append("before: the nets of config.init_run, on the same examples")
    if summary.get("export"):
        lines.append(f"the light net was exported to {workdir}/{summary['export']}")
    lines.append(f"next: {_python()} -m tensorboard.main --logdir={workdir}/tensorboard")
    return "\n".join(lines)


def _by_label(net, figures):
    """A net's rows: one, or with several labels one for each; the first has the net's cost."""
    if "labels" not in figures:
        return {net: figures}
    costs = {name: figures[name] for name in ("parameters", "multiply_adds") if name in figures}
    rows = {f"{net} {label}": label_figures for label, label_figures in figures["labels"].items()}
    first = next(iter(rows))
    return {**rows, first: rows[first] | costs}


def _shown(figures, name, show):
    """A figure, or "-" if the net has none, such as when the test part lacks its columns."""
    return show(figures[name]) if _has(figures, name) else "-"


def _has(figures, name):
    """Whether there is a figure to show; unknown multiply-adds are shown as well."""
    return figures.get(name) is not None or (name in figures and name == "multiply_adds")


def _python():
    """The command that starts this Python."""
    relative = os.path.relpath(sys.executable)
    return sys.executable if relative.startswith("..") else relative
