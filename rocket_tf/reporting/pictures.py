"""Pictures of runs and tables, as matplotlib figures.

They are made from plain data, without pyplot, so they open no windows and leave no global state.
"""

import io
import math
import re

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rocket_tf.system import files

# Okabe and Ito's colours, which colour-blind people can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = {"light": "-", "booster": "--"}
GREY = "#777777"
_HINTS = {
    "hint_loss": "hint",
    "teacher_loss": "teacher's hint",
    "booster_hint_loss": "booster's hint",
}


def learning_curves(histories):
    """Plots errors, label losses and hints by epoch, for one run or several.

    Args:
        histories: dict from the runs' names to their metrics, lists of dicts as in a run's
            `metrics.jsonl`.

    Returns:
        A `Figure`: test error, label losses in training, and hints, each by epoch. Colours are
        runs, or labels for one run with several; solid lines are light nets, dashed lines boosters.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    error_axes, loss_axes, hint_axes = figure.subplots(1, 3)
    for (name, history), colour in zip(histories.items(), cycle(len(histories)), strict=True):
        for net, style in _STYLES.items():
            heads = _heads(net, history)
            colours = cycle(len(heads)) if len(histories) == 1 else [colour] * len(heads)
            for head, head_colour in zip(heads, colours, strict=True):
                _curve(
                    error_axes,
                    history,
                    f"val_{head}_accuracy",
                    lambda accuracy: 100 * (1 - accuracy),
                    color=head_colour,
                    linestyle=style,
                    marker="." if len(history) <= 50 else "",
                    label=_label(name, head.replace("_", " ", 1), histories),
                )
                _curve(loss_axes, history, f"{head}_loss", color=head_colour, linestyle=style)
        hints = [key for key in history[0] if key in _HINTS] if history else []
        for key, style in zip(hints, ("-", ":", "--"), strict=False):
            _curve(
                hint_axes,
                history,
                key,
                color=colour,
                linestyle=style,
                label=_label(name, _HINTS[key], histories),
            )
    _finish(error_axes, "error of the evaluated examples", "per cent")
    _finish(loss_axes, "label loss in training", "cross-entropy")
    _finish(hint_axes, "hint in training, without its weight", "loss", empty="no hint")
    error_axes.legend(fontsize=8)
    if hint_axes.lines:
        hint_axes.set_yscale("log")
        hint_axes.legend(fontsize=8)
    return figure


def reliability(bins, examples):
    """Plots observed against predicted click rates (a reliability diagram).

    Args:
        bins: dict from labels ("" for a single one) to dicts from nets to arrays of shape (3, n):
            for each bin of the predicted probability its weight, its predicted clicks and its
            observed clicks, from `CalibrationError.sums`.
        examples: description of the examples.

    Returns:
        A `Figure`: for each label, the observed rate against the predicted one (the diagonal is
        calibrated), and below it the share of examples in each bin.
    """
    figure = Figure(figsize=(5 * len(bins), 5.6), layout="constrained")
    grid = figure.subplots(2, len(bins), squeeze=False, sharex="col", height_ratios=(3, 1))
    for (label, by_net), axes, shares in zip(bins.items(), *grid, strict=True):
        limit = 0.05
        for (net, style), colour in zip(_STYLES.items(), COLOURS, strict=False):
            if net not in by_net:
                continue
            weights, predicted, clicks = by_net[net]
            filled = weights > 0
            predicted_rates, observed_rates = (
                counts[filled] / weights[filled] for counts in (predicted, clicks)
            )
            limit = max(limit, *predicted_rates, *observed_rates)
            look = {"color": colour, "linestyle": style, "marker": ".", "label": net}
            axes.plot(predicted_rates, observed_rates, **look)
            shares.plot(predicted_rates, weights[filled] / weights.sum(), **look)
        axes.plot([0, limit], [0, limit], color=GREY, linewidth=0.8)
        axes.set_title(f"{label}: reliability" if label else "reliability", fontsize=10)
        axes.set_ylabel("observed rate")
        shares.set_ylabel("share")
        shares.set_yscale("log")
        shares.set_xlabel("predicted probability")
        for panel in (axes, shares):
            panel.grid(alpha=0.3)
        if any(by_net):
            axes.legend(fontsize=8)
    words = f"on {examples}; grey: calibrated; below: the share of examples in each bin"
    figure.supxlabel(words, fontsize=8, color=GREY)
    return figure


def table_errors(result):
    """Plots a table's errors, by seed and as mean with spread, beside the paper's.

    Args:
        result: the result of `Reproduction.result`.

    Returns:
        A `Figure`: for each row of the table, the measured errors, and if the paper has figures,
        these on another axis.
    """
    rows = result["rows"]
    with_paper = any(cell["paper"] is not None for row in rows for cell in row["cells"])
    columns = 2 if with_paper else 1
    heights = [len(row["cells"]) for row in rows]
    figure = Figure(
        figsize=(6.5 * columns, 0.6 + sum(0.9 + 0.32 * height for height in heights)),
        layout="constrained",
    )
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for axes, row in zip(grid, rows, strict=True):
        names = [cell["title"] for cell in row["cells"]]
        positions = np.arange(len(names))
        colours = [COLOURS[cell["net"] == "booster"] for cell in row["cells"]]
        for position, cell, colour in zip(positions, row["cells"], colours, strict=True):
            _error_bar(axes[0], position, cell, colour)
        _label_rows(axes[0], names)
        axes[0].set_title(f"measured: {row['title']}, {row['dataset']}", fontsize=9)
        if with_paper:
            for position, cell, colour in zip(positions, row["cells"], colours, strict=True):
                if cell["paper"] is not None:
                    axes[1].plot(cell["paper"], position, "D", color=colour)
            _label_rows(axes[1], names)
            axes[1].set_title("the paper's medians of three seeds", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("test error, per cent")
    figure.supxlabel(
        "blue: light nets; orange: boosters; small dots: seeds; bars: mean ± standard deviation",
        fontsize=8,
        color=GREY,
    )
    return figure


def attention_maps(images, maps):
    """Shows attention maps of each group of the nets (the paper's Figure 5).

    Args:
        images: uint8 array, (images, height, width, channels).
        maps: dict from the nets' names to lists of arrays (images, height, width), one for each
            group.

    Returns:
        A `Figure` with a row for each image: first the image, then each group's map in one net
        beside that in the other.
    """
    groups = max(map(len, maps.values()))
    columns = 1 + groups * len(maps)
    figure = Figure(figsize=(1.25 * columns, 1.25 * len(images) + 0.5), layout="constrained")
    grid = figure.subplots(len(images), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, image in enumerate(images):
        grid[row, 0].imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        for group in range(groups):
            for index, (name, net_maps) in enumerate(maps.items()):
                axes = grid[row, 1 + group * len(maps) + index]
                if row == 0:
                    axes.set_title(f"group {group + 1}\n{name}", fontsize=8)
                if group < len(net_maps):
                    axes.imshow(net_maps[group][row], cmap="viridis")
                else:
                    axes.text(0.5, 0.5, "none", ha="center", fontsize=8, color=GREY)
    grid[0, 0].set_title("image", fontsize=8)
    return figure


def gradient_flow(flow, title=""):
    """Plots which term of the objective reaches which part of a model, as a heat map.

    Args:
        flow: the result of `rocket_tf.gradient_flow`.
        title: title of the figure.

    Returns:
        A `Figure` with a row for each term and a column for each part. Darker is stronger; white is
        exactly zero.
    """
    terms, parts = list(flow), list(next(iter(flow.values())))
    norms = np.array([[flow[term][part] or 0.0 for part in parts] for term in terms])
    positive = norms[norms > 0]
    scale = None
    if positive.size:
        scale = LogNorm(positive.min() / 2, positive.max() * 1.2)
    figure = Figure(figsize=(5.2, 1.0 + 0.5 * len(terms)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.ma.masked_equal(norms, 0), norm=scale, cmap="Blues", aspect="auto")
    for line, term in enumerate(terms):
        for column, part in enumerate(parts):
            norm = flow[term][part]
            text = "no such part" if norm is None else f"{norm:.3g}" if norm else "0"
            dark = bool(norm) and scale is not None and scale(norm) > 0.6
            axes.text(
                column, line, text, ha="center", va="center", color="white" if dark else "black"
            )
    axes.set_xticks(range(len(parts)), parts)
    axes.set_yticks(range(len(terms)), terms)
    axes.set_title(title or "norm of each term's gradient on each part", fontsize=10)
    axes.tick_params(length=0)
    return figure


def as_png(figure):
    """The bytes of a PNG file of a figure."""
    buffer = io.BytesIO()
    # Without matplotlib's version, so that equal figures have equal files.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def save(figure, path):
    """Writes a figure as a PNG file."""
    files.write_bytes(path, as_png(figure))


def cycle(count):
    """A list of `count` different colours."""
    if count <= len(COLOURS):
        return COLOURS[:count]
    return [matplotlib.colormaps["turbo"](index / count) for index in range(count)]


def _heads(net, history):
    """The names of a net's heads in a run's metrics: the net's own, or one for each label."""
    matches = (re.fullmatch(rf"({net}(_.+)?)_accuracy", name) for name in (history or [{}])[-1])
    return [match[1] for match in matches if match] or [net]


def _label(name, text, histories):
    return text if len(histories) == 1 else f"{name}: {text}"


def _curve(axes, history, metric, transform=lambda value: value, **style):
    points = [(line["epoch"], transform(line[metric])) for line in history if metric in line]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def _finish(axes, title, unit, empty=""):
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    if not axes.lines:
        axes.text(0.5, 0.5, empty, ha="center", transform=axes.transAxes, color=GREY)


def _error_bar(axes, position, cell, colour):
    errors = list(cell["by_seed"].values())
    if not errors:
        return
    axes.plot(errors, [position + 0.18] * len(errors), ".", color=colour, alpha=0.35, markersize=4)
    spread = cell["standard_deviation"]
    axes.errorbar(
        cell["mean"],
        position,
        xerr=spread if spread and math.isfinite(spread) else None,
        fmt="o",
        color=colour,
        capsize=3,
    )


def _label_rows(axes, names):
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
