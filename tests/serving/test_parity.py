"""The difference between the logits of two runtimes, against values computed by hand."""

import math

import numpy as np
import pytest

from rocket_tf.serving.parity import difference


@pytest.mark.parametrize(
    "expected, actual, largest",
    [
        # Absolute for logits below 1; above, relative to the example's largest logit.
        ([[0.25, -0.5, 0.0]], [[0.25, -0.5, 0.125]], 0.125),
        ([[4.0, -2.0, 0.0]], [[4.0, -2.0, 0.5]], 0.125),
        # The second example has its own scale.
        ([[1000.0, 0.0], [1.0, 0.0]], [[1000.0, 0.0], [1.0, 0.25]], 0.25),
        # A single logit without an axis of classes; several positions in one example.
        ([8.0, 0.5], [10.0, 0.5], 0.25),
        ([[[2.0, 1.0], [0.0, 16.0]]], [[[2.0, 2.0], [0.0, 16.0]]], 1 / 16),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0.0),
    ],
)
def test_difference_is_relative_to_the_examples_scale(expected, actual, largest):
    assert difference(expected, actual) == largest


def test_nan_is_not_a_small_difference():
    assert math.isnan(difference([[1.0, math.nan]], [[1.0, 2.0]]))
    assert math.isnan(difference([[1.0, 2.0]], [[1.0, math.nan]]))


def test_equal_values_that_are_not_finite_do_not_differ():
    logits = [[math.nan, math.inf, -math.inf, 4.0]]
    assert difference(logits, logits) == 0
    assert difference(logits, [[math.nan, math.inf, -math.inf, 5.0]]) == 0.25
    assert difference(logits, [[math.nan, -math.inf, -math.inf, 4.0]]) == math.inf
    assert math.isnan(difference(logits, [[math.nan, math.nan, -math.inf, 4.0]]))
    assert math.isnan(
        difference([[math.nan, math.nan]], [[math.nan, math.nan]])
    )  # nothing is left to compare
