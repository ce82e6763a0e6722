"""A grid of studies as text, Markdown, a picture, and one self-contained page."""

import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from rocket_tf.reporting import markdown, page
from rocket_tf.reporting.pictures import GREY, as_png, cycle
from rocket_tf.system import files

_SIDE_BY_SIDE = 0.012  # shift of a line's points along the axis, so that error bars do not overlap


def write_grid(result, output):
    """Writes `<output>.json`, `.md`, `.html` and `.png`.

    Args:
        result: the result of `Grid.result`.
        output: path without suffix.
    """
    files.write_json(f"{output}.json", result)
    files.write_text(Path(f"{output}.md"), as_text(result))
    files.write_text(Path(f"{output}.html"), grid_page(result))
    files.write_bytes(Path(f"{output}.png"), as_png(picture(result)))


def as_text(result):
    """The table in Markdown."""
    header, rows = _table(result)
    lines = [*textwrap.wrap(_about(result), 100), "", *markdown.table(header, rows)]
    return "\n".join([*lines, "", f"    {result['command']}", ""])


def grid_page(result):
    """A self-contained HTML page: picture, table, configuration."""
    varied = {*result["grid"], "seed", "split_seed", "validation_examples"}
    config = [item for item in result["config"].items() if item[0] not in varied]
    parts = [
        page.paragraph(_about(result)),
        *page.images({"The light net's gain": as_png(picture(result))}),
        page.table(*_table(result)),
        *page.origin(result, config),
    ]
    return page.whole("When does the rocket help?", parts)


def picture(*results):
    """Plots the light nets' gain with 95 % intervals against the grid's first field.

    Args:
        results: grids as `Grid.result` gives them; several are drawn side by side, with one scale
            of gains where they share its unit.

    Returns:
        A `Figure` with a line for each method and combination of the other fields. Above 0, the
        method helps.
    """
    figure = Figure(
        figsize=(8 if len(results) == 1 else 5 * len(results), 4.5), layout="constrained"
    )
    one_unit = len({result["in_per_cent"] for result in results}) == 1
    panels = figure.subplots(1, len(results), squeeze=False, sharey=one_unit)[0]
    for axes, result in zip(panels, results, strict=True):
        _draw(axes, result)
        if len(results) > 1:
            axes.set_title(result["config"]["dataset"])
    caption = "above 0 it helps; bars: 95 % intervals, paired by seed"
    if len(results) == 1:
        panels[0].set_title(caption, fontsize=9)
    else:
        figure.suptitle(caption, fontsize=9)
    return figure


def _draw(axes, result):
    lines = {}
    for point in result["points"]:
        for row in _compared(point):
            lines.setdefault(_line_of(result, point, row), []).append(
                (_position(result, point), row)
            )
    axis = next(iter(result["grid"]))
    positions = [_position(result, point) for point in result["points"]]
    is_log = all(isinstance(position, int | float) and position > 0 for position in positions)
    for number, (label, colour) in enumerate(zip(lines, cycle(len(lines)), strict=True)):
        shift = _SIDE_BY_SIDE * (number - (len(lines) - 1) / 2)
        shifted = [
            position * (1 + 2 * shift) if is_log else position for position, _ in lines[label]
        ]
        gains = [_gain(row) for _, row in lines[label]]
        means = [mean for mean, _ in gains]
        bars = [
            [mean - (interval or (mean, mean))[0] for mean, interval in gains],
            [(interval or (mean, mean))[1] - mean for mean, interval in gains],
        ]
        axes.errorbar(
            shifted, means, yerr=bars, fmt="o-", color=colour, capsize=3, label=label or None
        )
    axes.axhline(0, color=GREY, linewidth=1)
    if is_log:
        axes.set_xscale("log")
        axes.set_xticks(sorted(set(positions)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training examples" if axis == "train_examples" else axis)
    unit = "points" if result["in_per_cent"] else "AUC"
    axes.set_ylabel(f"gain of the light net, {unit}")
    axes.grid(alpha=0.3)
    if any(lines):
        axes.legend(fontsize=8)


def _compared(point):
    """The rows of light nets that are compared with the first row."""
    rows = point["rows"][1:]
    return [row for row in rows if row["net"] == "light" and row["difference"]]


def _gain(row):
    """How much better a light net is than the first row: mean and interval."""
    return row["gain"]["mean"], row["gain"]["interval"]


def _position(result, point):
    """A point's position on the axis; held-out examples do not count as training examples."""
    axis = next(iter(result["grid"]))
    return point["examples"]["training"] if axis == "train_examples" else point["settings"][axis]


def _line_of(result, point, row):
    """The name of the line that a point's row belongs to."""
    _, *other_fields = result["grid"]
    words = [f"{name}={point['settings'][name]}" for name in other_fields]
    methods = {net["method"] for other in result["points"] for net in _compared(other)}
    return ", ".join([*words, *([row["title"]] if len(methods) > 1 else [])])


def _about(result):
    validation = any(point["figure"].startswith("validation") for point in result["points"])
    title = result["points"][0]["figure_title"]
    return (
        f"{markdown.as_start(title)}{' in per cent' if result['in_per_cent'] else ''} "
        "of the light net, "
        f"{result['seeds']} seeds per point, paired. A gain above 0 means that the method helps; "
        "it is certain only if the interval excludes 0. Each run's epoch is chosen on held-out "
        "examples."
        + (" Not all runs are done, so validation figures are shown." if validation else "")
    )


def _table(result):
    fields = [name for name in result["grid"] if name != "train_examples"]
    rows, digits = [], markdown.digits_of(result)
    for point in result["points"]:
        for row in _compared(point):
            base = point["rows"][0]
            rows.append(
                (
                    str(point["examples"]["training"]),
                    *(str(point["settings"][name]) for name in fields),
                    row["title"],
                    markdown.mean_in_words(base, digits),
                    markdown.mean_in_words(row, digits),
                    markdown.difference_in_words(row["gain"], digits),
                    str(row["difference"]["seeds"]),
                )
            )
    first = next((point["rows"][0]["title"] for point in result["points"] if point["rows"]), "")
    header = ("training examples", *fields, "method", first, "light net of the method")
    return (*header, "gain [95 % interval]", "seeds"), rows
