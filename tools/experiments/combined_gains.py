r"""Gains combined over several results, from the figures by seed in `results/`.

    python -m tools.experiments.combined_gains

It prints:

- the mean gain over the sizes of `results/when_it_helps.json`, for each number of epochs;
- for the digits' 24 splits on two processors (`results/digits.json` and
  `results/digits_hints.json`), the mean difference of both and how far one run's error moves;
- for CIFAR-10 (`results/cifar10_five_seeds.json` and `results/cifar10_no_hint.json`), how the
  errors without a hint differ from the light net's alone, and what the hint adds.
"""

import json
import math
import statistics
from pathlib import Path

from rocket_tf.studies.statistics import paired_difference

_RESULTS = Path(__file__).parents[2] / "results"


def main():
    """Prints the figures."""
    grid = json.loads((_RESULTS / "when_it_helps.json").read_text())
    for epochs in grid["grid"]["epochs"]:
        points = [point for point in grid["points"] if point["settings"]["epochs"] == epochs]
        light, rocket, _ = (
            _mean_by_seed([row["by_seed"] for row in rows])
            for rows in zip(*(point["rows"] for point in points), strict=True)
        )
        print(f"{epochs} epochs, mean gain: {_difference(light, rocket)}")

    light, rocket = (
        [_errors_of(name, method) for name in ("digits", "digits_hints")]
        for method in ("light", "rocket")
    )
    difference = _difference(_mean_by_seed(rocket), _mean_by_seed(light))
    print(f"digits, mean difference of two processors: {difference}")
    for name, (first, second) in {"light net alone": light, "in the rocket": rocket}.items():
        moved = statistics.stdev([second[seed] - first[seed] for seed in first]) / math.sqrt(2)
        print(f"{name}, one run's error moves by {moved:.2f}")

    alone = _errors_of("cifar10_five_seeds", "light")
    for net in ("light", "booster"):
        with_hint, without_hint = (
            _errors_of(name, "rocket", net) for name in ("cifar10_five_seeds", "cifar10_no_hint")
        )
        to_alone = _difference(without_hint, alone)
        print(f"CIFAR-10, {net} without a hint, less the light net alone: {to_alone}")
        print(f"CIFAR-10, {net} with a hint, less without: {_difference(with_hint, without_hint)}")


def _errors_of(name, method, net="light"):
    (row,) = json.loads((_RESULTS / f"{name}.json").read_text())["rows"]
    cells = (cell for cell in row["cells"] if (cell["method"], cell["net"]) == (method, net))
    return next(cells)["by_seed"]


def _mean_by_seed(results):
    """The mean of several figures for each seed, from dicts from seeds to figures."""
    return {seed: statistics.mean(figures[seed] for figures in results) for seed in results[0]}


def _difference(values, base):
    difference = paired_difference(values, base)
    low, high = difference["interval"]
    return f"{difference['mean']:+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
