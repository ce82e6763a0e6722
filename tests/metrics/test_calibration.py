"""Predicted ÷ observed clicks and the expected calibration error against loops in NumPy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf.metrics.calibration import Calibration, CalibrationError


def examples(number=700, seed=0):
    random = np.random.default_rng(seed)
    scores = random.normal(-1, 2, number)
    labels = (random.random(number) < 1 / (1 + np.exp(-0.5 * scores))).astype(np.int64)
    return labels, scores, random.random(number)


def expected(labels, scores, weights):
    predicted = 1 / (1 + np.exp(-scores))
    ratio = np.sum(weights * predicted) / np.sum(weights * labels)
    total = 0.0
    for low in np.arange(20) / 20:
        own = (predicted >= low) & (predicted < low + 0.05)
        if own.any():
            mean, rate = (
                np.average(each[own], weights=weights[own]) for each in (predicted, labels)
            )
            total += weights[own].sum() * abs(mean - rate)
    return {"calibration": ratio, "calibration_error": total / weights.sum()}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", ["one logit", "two logits"])
@pytest.mark.parametrize("metric", [Calibration(), CalibrationError()], ids=lambda m: m.name)
def test_equals_a_loop_over_bins(metric, form, weighted):
    labels, scores, weights = examples()
    metric.reset_state()
    logits = scores[:, None]
    if form == "two logits":
        logits = np.stack([np.full(len(scores), 1.5), scores + 1.5], axis=1)
    for part in (slice(3), slice(3, 300), slice(300, None)):
        metric.update_state(labels[part], logits[part], weights[part] if weighted else None)
    own = weights if weighted else np.ones(len(labels))
    assert metric.result() == pytest.approx(expected(labels, scores, own)[metric.name], rel=1e-9)


def test_probabilities_of_0_and_1_have_a_bin():
    metric = CalibrationError()
    metric.update_state([0, 1, 0], [-1000.0, 1000.0, 1000.0])
    assert metric.result() == pytest.approx(
        1 / 3
    )  # one of the two examples predicted as 1 is wrong


def test_undefined_values_and_bad_values():
    ratio, error = Calibration(), CalibrationError()
    assert math.isnan(error.result())
    for metric in (ratio, error):
        metric.update_state([0, 0], [0.0, 0.0])
    assert math.isnan(ratio.result()) and error.result() == 0.5
    for metric in (ratio, error):
        metric.update_state([0, 1], [math.nan, 0.0])
        assert math.isnan(metric.result())
        metric.reset_state()
        metric.update_state([0, 3], [0.0, 0.0])
        with pytest.raises(ValueError, match="labels must be 0 or 1"):
            metric.result()
        metric.reset_state()
        metric.update_state([0, 1], [0.0, 0.0], [1.0, -1.0])
        with pytest.raises(ValueError, match="sample weights must be at least 0"):
            metric.result()


def test_two_replicas_see_all_examples(two_replicas):
    labels, scores, _ = examples(11)
    with two_replicas.scope():
        metrics = Calibration(), CalibrationError()
    dataset = tf.data.Dataset.from_tensor_slices((labels, scores)).batch(5)  # 5, 5 and 1
    for batch in two_replicas.experimental_distribute_dataset(dataset):
        for metric in metrics:
            two_replicas.run(metric.update_state, batch)
    own = expected(labels, scores, np.ones(11))
    for metric in metrics:
        assert metric.result() == pytest.approx(own[metric.name], rel=1e-9)


def test_it_is_rebuilt_from_its_configuration():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(CalibrationError(name="ece"))
    )
    assert (type(again), again.name) == (CalibrationError, "ece")
