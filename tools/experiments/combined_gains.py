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

from rocket_tf.studies.statistics import interval_of

_RESULTS = Path(__file__).parents[2] / "results"


def main():
    """Prints the figures."""
    grid = json.loads((_RESULTS / "when_it_helps.json").read_text())
    for epochs in grid["grid"]["epochs"]:
        points = [point for point in grid["points"] if point["settings"]["epochs"] == epochs]
        gains = []
        for light, rocket, _ in (point["rows"] for point in points):
            gains.append([light["by_seed"][s] - rocket["by_seed"][s] for s in light["by_seed"]])
        print(f"{epochs} epochs, mean gain: {_in_words(_means(gains))}")

    light, rocket = (
        [_errors_of(name, method) for name in ("digits", "digits_hints")]
        for method in ("light", "rocket")
    )
    differences = [_less(after, before) for before, after in zip(light, rocket, strict=True)]
    print(f"digits, mean difference of two processors: {_in_words(_means(differences))}")
    for name, (first, second) in {"light net alone": light, "in the rocket": rocket}.items():
        moved = statistics.stdev(_less(second, first)) / math.sqrt(2)
        print(f"{name}, one run's error moves by {moved:.2f}")

    alone = _errors_of("cifar10_five_seeds", "light")
    for net in ("light", "booster"):
        with_hint, without_hint = (
            _errors_of(name, "rocket", net) for name in ("cifar10_five_seeds", "cifar10_no_hint")
        )
        to_alone, to_no_hint = _less(without_hint, alone), _less(with_hint, without_hint)
        print(f"CIFAR-10, {net} without a hint, less the light net alone: {_in_words(to_alone)}")
        print(f"CIFAR-10, {net} with a hint, less without: {_in_words(to_no_hint)}")


def _errors_of(name, method, net="light"):
    (row,) = json.loads((_RESULTS / f"{name}.json").read_text())["rows"]
    cells = (cell for cell in row["cells"] if (cell["method"], cell["net"]) == (method, net))
    return next(cells)["by_seed"]


def _less(first, second):
    """The differences of two nets' errors, seed by seed."""
    return [first[seed] - second[seed] for seed in first]


def _means(lists):
    """The mean of several figures, seed by seed."""
    return [statistics.mean(values) for values in zip(*lists, strict=True)]


def _in_words(values):
    low, high = interval_of(values)
    return f"{statistics.mean(values):+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
