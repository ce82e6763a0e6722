"""How far the logits of two runtimes are apart, against hand-computed differences."""

import math

import numpy as np
import pytest

from rocket_tf.serving.parity import difference


@pytest.mark.parametrize(
    "expected, actual, largest",
    [
        # Below 1, absolute; above, relative to the example's largest logit.
        ([[0.25, -0.5, 0.0]], [[0.25, -0.5, 0.125]], 0.125),
        ([[4.0, -2.0, 0.0]], [[4.0, -2.0, 0.5]], 0.125),
        # The second example has its own scale.
        ([[1000.0, 0.0], [1.0, 0.0]], [[1000.0, 0.0], [1.0, 0.25]], 0.25),
        # One logit, without an axis of classes; and positions of one example.
        ([8.0, 0.5], [10.0, 0.5], 0.25),
        ([[[2.0, 1.0], [0.0, 16.0]]], [[[2.0, 2.0], [0.0, 16.0]]], 1 / 16),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0.0),
    ],
)
def test_difference_is_relative_to_the_examples_scale(expected, actual, largest):
    assert difference(expected, actual) == largest


def test_what_is_not_a_number_is_no_small_difference():
    assert math.isnan(difference([[1.0, math.nan]], [[1.0, 2.0]]))
    assert math.isnan(difference([[1.0, 2.0]], [[1.0, math.nan]]))


def test_what_is_alike_is_the_same_also_where_it_is_not_finite():
    logits = [[math.nan, math.inf, -math.inf, 4.0]]
    assert difference(logits, logits) == 0
    assert difference(logits, [[math.nan, math.inf, -math.inf, 5.0]]) == 0.25
    assert difference(logits, [[math.nan, -math.inf, -math.inf, 4.0]]) == math.inf
    assert math.isnan(difference(logits, [[math.nan, math.nan, -math.inf, 4.0]]))
    assert math.isnan(difference([[math.nan, math.nan]], [[math.nan, math.nan]]))  # no comparison
