"""Plots error against latency of each net in every runtime."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_MARKERS = {"light_alone": "o", "light": "*", "booster": "s"}
_NAMES = {
    "light_alone": "light net alone",
    "light": "light net from the rocket",
    "booster": "booster in the rocket",
}


def error_against_latency(result, batch=None, threads=1):
    """Plots the errors of the nets against their median latencies.

    Args:
        result: content of the JSON file of `rocket-tf latency`.
        batch: the batch size to show; `None`: the smallest timed one.
        threads: the number of threads to show.

    Returns:
        A matplotlib `Figure`: colours are runtimes, markers are nets, bars are standard deviations
        of the error over seeds.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    batch = batch or min(row["batch"] for row in result["rows"])
    rows = [row for row in result["rows"] if (row["batch"], row["threads"]) == (batch, threads)]
    # int8 changes the errors, and these are not measured here.
    runtimes = [name for name in result["runtimes"] if "int8" not in name]
    # The light nets are equally fast, so their bars are shifted apart.
    aside = {
        net: offset_copy(axes.transData, figure, x=points, units="points")
        for net, points in (("light_alone", -3), ("light", 3), ("booster", 0))
    }
    for runtime, colour in zip(runtimes, _COLOURS, strict=False):
        latency = {row["net"]: row["p50_ms"] for row in rows if row["runtime"] == runtime}
        for net, errors in result["test_errors"].items():
            axes.errorbar(
                latency["booster" if net == "booster" else "light"],
                errors["mean"],
                yerr=errors["standard_deviation"],
                color=colour,
                marker=_MARKERS[net],
                markersize=12 if net == "light" else 7,
                markerfacecolor="white" if net == "light_alone" else colour,
                capsize=3,
                transform=aside[net],
            )
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=name)
        for name, colour in zip(runtimes, _COLOURS, strict=False)
    ] + [
        Line2D(
            [],
            [],
            color="black",
            marker=_MARKERS[net],
            markersize=12 if net == "light" else 7,
            markerfacecolor="white" if net == "light_alone" else "black",
            linestyle="",
            label=_NAMES[net],
        )
        for net in result["test_errors"]
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    axes.set_xlim(left=0, right=1.1 * max(row["p50_ms"] for row in rows))
    ends = [
        errors["mean"] + sign * errors["standard_deviation"]
        for errors in result["test_errors"].values()
        for sign in (-1, 1)
    ]
    margin = 0.1 * (max(ends) - min(ends)) or 0.1
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.set_xlabel(
        f"median latency in ms, batch of {batch}, {threads} thread{'s' if threads > 1 else ''}"
    )
    axes.set_ylabel("test error, per cent")
    axes.grid(alpha=0.3)
    return figure
