"""Figures over seeds: spread, and differences between methods on the same seeds."""

import math
import statistics

from scipy import stats

_CONFIDENCE = 0.95


def describe(values):
    """Mean, spread and median of a method's figures.

    Args:
        values: list of at least one number, one for each seed.

    Returns:
        Dict with "mean", "standard_deviation" (of a sample; `None` for one value) and "median" (the
        paper's statistic).

    Example:
        >>> describe([1.0, 2.0, 6.0])["mean"], describe([1.0, 2.0, 6.0])["median"]
        (3.0, 2.0)
    """
    return {
        "mean": statistics.mean(values),
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
        "median": statistics.median(values),
    }


def paired_difference(values, base):
    """The difference of a method to another on the same seeds.

    Args:
        values: dict from seeds to figures.
        base: the same for the other method; the seeds in both are compared.

    Returns:
        Dict with "mean" of the differences, "interval" (their mean's 95 % confidence interval by
        Student's t, a list of two; `None` for one seed) and "seeds", their number; `None` if no
        seed is in both.

    Example:
        >>> difference = paired_difference({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0, 2: 5.0})
        >>> difference["mean"], difference["seeds"]
        (-1.0, 2)
    """
    differences = [values[seed] - base[seed] for seed in values if seed in base]
    if not differences:
        return None
    return {
        "mean": statistics.mean(differences),
        "interval": interval_of(differences),
        "seeds": len(differences),
    }


def interval_of(values):
    """The 95 % confidence interval of a mean by Student's t, a list of two; `None` for one value.

    Args:
        values: list of numbers.
    """
    if len(values) < 2:
        return None
    quantile = stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return [mean - half, mean + half]


def compare_order(expected, measured):
    """Whether figures come in an expected order, pair by pair.

    Args:
        expected: dict from names to expected figures.
        measured: dict from names to dicts from seeds to figures; names without figures are left
            out.

    Returns:
        Dict with "pairs", the number of pairs of names that differ in `expected`; "agree", the
        number of these whose measured means differ in the same direction; and "certain" and
        "against", lists of pairs `[lower, higher]` as expected, for which the interval of the
        paired difference excludes 0, in the expected direction and in the other. An interval of
        zero width, of equal differences, does not count. The intervals are not corrected for
        multiple comparisons.

    Example:
        >>> order = compare_order({"rocket": 1, "alone": 2}, {"rocket": {0: 3}, "alone": {0: 4}})
        >>> order["agree"], order["pairs"]
        (1, 1)
    """
    names = [name for name in expected if measured.get(name)]
    result = {"pairs": 0, "agree": 0, "certain": [], "against": []}
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            if expected[first] == expected[second]:
                continue
            lower, higher = sorted((first, second), key=expected.get)
            difference = paired_difference(measured[lower], measured[higher])
            if difference is None:
                continue
            result["pairs"] += 1
            result["agree"] += difference["mean"] < 0
            low, high = difference["interval"] or (0.0, 0.0)
            if low < high < 0:
                result["certain"].append([lower, higher])
            if 0 < low < high:
                result["against"].append([lower, higher])
    return result
