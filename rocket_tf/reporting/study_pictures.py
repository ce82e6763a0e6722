"""A study's pictures as matplotlib figures: seeds, search, last epochs, errors by class."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rocket_tf.reporting.pictures import COLOURS, GREY, cycle

_LAST = 0.5  # share of the epochs, the last ones, that a picture shows enlarged


def by_seed(result):
    """Plots the light nets' figures by method, with a line for each seed.

    Args:
        result: the result of `study_result.result_of`.

    Returns:
        A `Figure` with a line for each seed, and the means.
    """
    rows = [row for row in result["rows"] if row["net"] == "light"]
    figure = Figure(figsize=(1.5 + 2.2 * max(len(rows), 1), 4), layout="constrained")
    axes = figure.subplots()
    for seed in dict.fromkeys(seed for row in rows for seed in row["by_seed"]):
        indices = [index for index, row in enumerate(rows) if seed in row["by_seed"]]
        values = [rows[index]["by_seed"][seed] for index in indices]
        axes.plot(indices, values, "-o", color=GREY, alpha=0.5, markersize=3, linewidth=1)
    axes.plot(range(len(rows)), [row["mean"] for row in rows], "-D", color=COLOURS[0])
    axes.set_xticks(range(len(rows)), [row["title"] for row in rows], fontsize=8)
    axes.margins(x=0.25)
    axes.set_ylabel(result["figure_title"] + (", per cent" if result["in_per_cent"] else ""))
    axes.set_title("grey: seeds; blue: their mean", fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    return figure


def search(found):
    """Plots the candidates' validation errors against the weight, with a line for each hint.

    Args:
        found: "search" of `study_result.result_of`.

    Returns:
        A `Figure`: the errors with their 95 % intervals and, once a hint is chosen, each
        candidate's difference to it on the same seeds with its interval. A hollow marker has one
        seed, and so no interval.
    """
    chosen = any(candidate["chosen"] for candidate in found["candidates"])
    columns = 2 if chosen else 1
    figure = Figure(figsize=(2 + 5.5 * columns, 4), layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False)[0]
    hints = list(dict.fromkeys(candidate["hint"] for candidate in found["candidates"]))
    for hint, colour in zip(hints, cycle(len(hints)), strict=True):
        candidates = [candidate for candidate in found["candidates"] if candidate["hint"] == hint]
        _weights(
            panels[0],
            candidates,
            lambda candidate: (candidate["mean"], candidate["interval"]),
            colour,
            hint,
        )
        for candidate in candidates:
            errors = candidate["by_seed"]
            panels[0].plot(
                [candidate["weight"]] * len(errors), errors, ".", color=colour, alpha=0.4
            )
        if chosen:
            _weights(panels[1], candidates, _difference, colour, hint)
    positive = [candidate["weight"] for candidate in found["candidates"] if candidate["weight"] > 0]
    for axes in panels:
        if positive:
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_xlabel("weight of the hint")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("validation error, per cent")
    panels[0].set_title("bars: 95 % intervals of the means; dots: seeds; star: chosen", fontsize=9)
    if hints:
        panels[0].legend(fontsize=8)
    if chosen:
        panels[1].axhline(0, color=GREY, linewidth=1)
        panels[1].set_ylabel("difference to the chosen one, points")
        panels[1].set_title("paired by seed; a bar that crosses 0 is within the noise", fontsize=9)
    return figure


def _weights(axes, candidates, figures, colour, label):
    """Draws a hint's line; `figures` returns a candidate's mean and interval."""
    candidates = sorted(candidates, key=lambda candidate: candidate["weight"])
    means = [figures(candidate)[0] for candidate in candidates]
    axes.plot(
        [candidate["weight"] for candidate in candidates], means, "-", color=colour, label=label
    )
    for candidate, mean in zip(candidates, means, strict=True):
        interval = figures(candidate)[1]
        axes.errorbar(
            candidate["weight"],
            mean,
            yerr=[[mean - interval[0]], [interval[1] - mean]] if interval else None,
            fmt="*" if candidate["chosen"] else "o",
            markersize=14 if candidate["chosen"] else 5,
            markerfacecolor=colour if len(candidate["by_seed"]) > 1 else "white",
            color=colour,
            capsize=3,
        )


def _difference(candidate):
    difference = candidate["difference"]
    return difference["mean"], None if candidate["chosen"] else difference["interval"]


def last_epochs(curves):
    """Plots the light nets' validation error in the second half of the epochs, by method."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for (title, history), colour in zip(curves.items(), cycle(len(curves)), strict=True):
        points = [
            (line["epoch"], 100 * (1 - line["val_light_accuracy"]))
            for line in history
            if "val_light_accuracy" in line and line["epoch"] > _LAST * history[-1]["epoch"]
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "-", marker=".", color=colour, label=title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("validation error, per cent")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8)
    return figure


def errors_by_class(result):
    """Plots the nets' number of test errors by true class, summed over the seeds."""
    rows = [row for row in result["rows"] if row["errors_by_class"] and row["net"] == "light"]
    classes = max(len(row["errors_by_class"]) for row in rows)
    figure = Figure(figsize=(min(14, 3 + 0.5 * classes), 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(rows)
    for index, (row, colour) in enumerate(zip(rows, cycle(len(rows)), strict=True)):
        counts = row["errors_by_class"]
        positions = np.arange(len(counts)) + width * (index - (len(rows) - 1) / 2)
        axes.bar(positions, counts, width, color=colour, label=row["title"])
    axes.set_xlabel("class")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("errors, all seeds together")
    axes.legend(fontsize=8)
    return figure
