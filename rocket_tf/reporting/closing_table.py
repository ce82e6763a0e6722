"""What a run tells its user at the end, as text."""

import os
import sys

_COLUMNS = (
    # title, key in a summary, format
    ("test error", "test_error", "{:.2f} %"),
    ("AUC", "test_auc", "{:.4f}"),
    ("GAUC", "test_gauc", "{:.4f}"),
    ("log loss", "test_log_loss", "{:.4f}"),
    ("parameters", "parameters", "{:,}"),
    ("multiply-adds", "multiply_adds", "{:,}"),
)


def closing_table(summary, workdir):
    """A run's result as a table: what each net reaches on the test examples, and what it costs.

    Args:
        summary: content of a run's `summary.json`.
        workdir: the run's folder.

    Returns:
        Text of several lines, with where the light net was exported and the next command to try.
    """
    nets = [net for net in ("light", "booster") if net in summary]
    columns = [
        column
        for column in _COLUMNS
        if all(summary[net].get(column[1]) is not None for net in nets)
    ]
    rows = [("net", *(title for title, _, _ in columns))]
    rows += [(net, *(form.format(summary[net][name]) for _, name, form in columns)) for net in nets]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append(
        f"after epoch {summary['epoch']}, on {summary['test_examples']} test examples; "
        f"details in {workdir}"
    )
    if summary.get("export"):
        lines.append(f"the exported light net is in {workdir}/{summary['export']}")
    lines.append(f"next: {_python()} -m tensorboard.main --logdir={workdir}/tensorboard")
    return "\n".join(lines)


def _python():
    """This Python, as one would type it here."""
    relative = os.path.relpath(sys.executable)
    return sys.executable if relative.startswith("..") else relative
