"""Statistics over seeds, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from rocket_tf.studies.statistics import compare_order, describe, paired_difference


def test_describe():
    figures = describe([2.0, 4.0, 9.0])
    assert figures == {"mean": 5.0, "standard_deviation": pytest.approx(13**0.5), "median": 4.0}
    assert describe([3.0]) == {"mean": 3.0, "standard_deviation": None, "median": 3.0}


def test_the_interval_equals_that_of_the_paired_t_test():
    random = np.random.default_rng(0)
    mine, theirs = random.normal(size=(2, 12))
    difference = paired_difference(dict(enumerate(mine)), dict(enumerate(theirs)))
    expected = stats.ttest_rel(mine, theirs).confidence_interval(0.95)
    np.testing.assert_allclose(difference["interval"], [expected.low, expected.high])
    assert difference["mean"] == pytest.approx(np.mean(mine - theirs))
    assert difference["seeds"] == 12


def test_only_seeds_that_both_have_are_compared():
    difference = paired_difference({0: 5.0, 1: 7.0, 3: 100.0}, {1: 6.0, 0: 1.0, 2: 0.0})
    assert (difference["mean"], difference["seeds"]) == (2.5, 2)
    assert paired_difference({0: 5.0}, {0: 4.0}) == {"mean": 1.0, "interval": None, "seeds": 1}
    assert paired_difference({0: 5.0}, {1: 4.0}) is None


def test_the_interval_covers_the_truth_in_95_per_cent_of_samples():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        values = dict(enumerate(random.normal(0.3, 1.0, 5)))
        low, high = paired_difference(values, dict.fromkeys(values, 0.0))["interval"]
        covered += low <= 0.3 <= high
    assert 925 <= covered <= 975


def test_order():
    expected = {"base": 9.0, "kd": 8.0, "rocket": 7.0, "same": 7.0, "not run": 1.0}
    measured = {
        "base": {0: 5.0, 1: 5.2, 2: 5.1},
        "kd": {0: 6.0, 1: 6.3, 2: 6.1},  # above base by more than the interval
        "rocket": {0: 4.0, 1: 4.3, 2: 4.2},  # below both by more than the interval
        "same": {
            0: 4.9,
            1: 5.4,
            2: 4.9,
        },  # below base only on average, below kd by more than the interval
        "not run": {},
    }
    assert compare_order(expected, measured) == {
        "pairs": 5,
        "agree": 4,
        "certain": [["rocket", "base"], ["rocket", "kd"], ["same", "kd"]],
        "against": [["kd", "base"]],
    }


def test_equal_differences_are_never_certain():
    order = compare_order({"a": 2.0, "b": 1.0}, {"a": {0: 5.0, 1: 6.0}, "b": {0: 4.0, 1: 5.0}})
    assert order == {"pairs": 1, "agree": 1, "certain": [], "against": []}


def test_order_of_one_seed_is_never_certain():
    order = compare_order({"a": 2.0, "b": 1.0}, {"a": {0: 5.0}, "b": {0: 1.0}})
    assert order == {"pairs": 1, "agree": 1, "certain": [], "against": []}
