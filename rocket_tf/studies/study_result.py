"""The result of a study: figures by method and net, the gain with its interval, and a verdict."""

import math

from scipy import stats

from rocket_tf import config as options
from rocket_tf.studies import statistics, study_latency
from rocket_tf.studies.running import curve_of, seconds_of
from rocket_tf.system.provenance import machine, software

# The figure that decides, by the data's kind: its key, its title, whether more is better.
_DECIDING = {
    "images": ("error", "test error", False),
    "clicks": ("auc", "AUC", True),
}
_MOST_SEEDS = 1000
_CONFIDENCE = 0.95


def result_of(study, command):
    """The results of a study so far, fit for JSON.

    Args:
        study: a `Study`.
        command: the command that gives these figures.

    Returns:
        Dict. "rows" has one row for each method and net: the deciding figure by seed, on the test
        examples if they are open, else on the validation examples; its mean, spread and median; the
        paired difference to the first row; and the net's cost. "verdict" is a sentence that
        compares the light net of "rocket" with the first row, or `None` if either is missing.
    """
    key, title, more_is_better = _DECIDING[study.data.card.kind]
    by_method = {method: study.summaries(method) for method in study.methods}
    is_open = all("test_" + key in net for net in _nets(by_method)) and any(by_method.values())
    figure = ("test_" if is_open else "validation_") + key
    latency = study_latency.read(study.nets(), study.root)
    rows = []
    for method, summaries in by_method.items():
        for net in ("light", "booster"):
            net_summaries = {
                seed: summary[net] for seed, summary in summaries.items() if net in summary
            }
            if net_summaries:
                rows.append(_row(study, method, net, net_summaries, figure, rows, latency))
    verdict = None
    base = rows[0] if rows and rows[0]["net"] == "light" else None
    rocket = next((row for row in rows if (row["method"], row["net"]) == ("rocket", "light")), None)
    if base is not None and rocket is not None and rocket is not base:
        verdict = verdict_of(rocket["difference"], more_is_better)
    config = study.config
    return {
        "command": command,
        "figure": figure,
        "figure_title": title if is_open else f"validation {title.removeprefix('test ')}",
        "in_per_cent": key == "error",
        "verdict": verdict,
        "seeds": len(study.seeds),
        "rows": rows,
        "search": _search(study),
        "latency": latency and {name: latency[name] for name in latency if name != "nets"},
        "examples": {
            "training": options.number_of_training_examples(config, study.data.card),
            "validation": config["validation_examples"],
            "test": study.data.card.test_examples,
        },
        "curves": _curves(study),
        "gradient_flow": by_method.get("rocket", {}).get(0, {}).get("gradient_flow"),
        "config": {
            name: list(value) if isinstance(value := config[name], tuple) else value
            for name in options.FIELDS
        },
        "versions": software("tensorflow", "keras"),
        "machine": machine(),
    }


def verdict_of(difference, more_is_better):
    """One plain sentence about a paired difference of the light net's figure.

    Args:
        difference: the result of `statistics.paired_difference`, or `None`.
        more_is_better: whether larger figures are better.

    Example:
        >>> verdict_of({"mean": -0.31, "interval": [-0.49, -0.13], "seeds": 24}, False)
        'The rocket helps: the interval excludes 0 (24 seeds).'
        >>> verdict_of({"mean": -0.1, "interval": [-0.3, 0.1], "seeds": 9}, False)
        '9 seeds are too few to say whether the rocket helps: the interval includes 0. If mean ...
    """
    if difference is None or difference["interval"] is None:
        return "One seed cannot show whether the rocket helps: use at least two."
    low, high = difference["interval"]
    seeds = difference["seeds"]
    if low > 0 or high < 0:
        helps = (low > 0) == more_is_better
        return (
            f"The rocket {'helps' if helps else 'hurts'}: the interval excludes 0 ({seeds} seeds)."
        )
    needed = seeds_needed(difference)
    if needed is None:
        would = f"No number of seeds up to {_MOST_SEEDS} would show a difference this small."
    else:
        would = f"If mean and spread stayed as they are, {needed} seeds would show it."
    return (
        f"{seeds} seeds are too few to say whether the rocket helps: the interval includes 0. "
        f"{would}"
    )


def seeds_needed(difference):
    """The number of seeds for which an interval of the same mean and spread would exclude 0.

    Returns:
        The smallest number, or `None` if it is above 1000.
    """
    low, high = difference["interval"]
    seeds = difference["seeds"]
    quantile = stats.t.ppf((1 + _CONFIDENCE) / 2, seeds - 1)
    deviation = (high - low) / 2 * math.sqrt(seeds) / quantile
    for number in range(2, _MOST_SEEDS + 1):
        half = stats.t.ppf((1 + _CONFIDENCE) / 2, number - 1) * deviation / math.sqrt(number)
        if half < abs(difference["mean"]):
            return number
    return None


def _nets(by_method):
    return [
        summary[net]
        for summaries in by_method.values()
        for summary in summaries.values()
        for net in ("light", "booster")
        if net in summary
    ]


def _row(study, method, net, summaries, figure, rows, latency):
    by_seed = {
        seed: summary[figure]
        for seed, summary in summaries.items()
        if summary.get(figure) is not None
    }
    base = rows[0]["by_seed"] if rows else by_seed
    base = {int(seed): value for seed, value in base.items()}
    first = next(iter(summaries.values()))
    class_errors = [
        summary["errors_by_class"] for summary in summaries.values() if "errors_by_class" in summary
    ]
    seconds = [seconds_of(study.planned(method, seed)) for seed in summaries]
    return {
        "method": method,
        "title": study.title(method),
        "net": net,
        "by_seed": {str(seed): value for seed, value in by_seed.items()},
        **statistics.describe(list(by_seed.values())),
        "difference": statistics.paired_difference(by_seed, base) if rows else None,
        "parameters": first["parameters"],
        "multiply_adds": first["multiply_adds"],
        "seconds": statistics.describe(seconds)["median"],
        "latency": _latency(latency, method, net),
        "errors_by_class": [sum(counts) for counts in zip(*class_errors, strict=True)],
    }


def _search(study):
    """The results of the search: each candidate's errors, and its difference to the best one."""
    if not study.searches:
        return None
    search = study.search()
    errors = search["errors"]
    best = dict(enumerate(errors.get(search["chosen"], [])))
    return {
        "candidates": [
            {
                "hint": candidate.hint,
                "weight": candidate.weight,
                "by_seed": values,
                **statistics.describe(values),
                "interval": statistics.interval_of(values),
                "chosen": candidate == search["chosen"],
                # On the common seeds; `None` before a candidate is chosen.
                "difference": statistics.paired_difference(dict(enumerate(values)), best),
            }
            for candidate, values in errors.items()
        ]
    }


def _latency(latency, method, net):
    """The measurements of one net, or `None`."""
    for row in latency["nets"] if latency else ():
        if (row["method"], row["net"]) == (method, net):
            return {name: row[name] for name in ("calls", "p50_ms", "p99_ms")}
    return None


def _curves(study):
    """The metrics of the first seed's runs, by method, for the picture."""
    first = study.seeds[0]
    return {study.title(method): curve_of(study.planned(method, first)) for method in study.methods}
