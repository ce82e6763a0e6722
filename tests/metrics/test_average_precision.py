"""Mean average precision over classes, against scikit-learn and a plain loop."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score

from rocket_tf.metrics.average_precision import MeanAveragePrecision
from tests.metrics.test_ranking_metrics import update_in_batches


def make_examples(examples=600, classes=5, seed=0):
    """Multi-hot labels and logits with many ties; no example has the last class."""
    random = np.random.default_rng(seed)
    labels = random.random((examples, classes)) < np.linspace(0.7, 0.05, classes)
    labels[:, -1] = False
    logits = np.round(random.normal(labels * 0.8, 1.5), 1).astype(np.float32)
    return labels.astype(np.float32), logits


def by_loop(labels, logits):
    """The mean average precision over the classes that have positives, computed in float64.

    At each distinct logit, the precision is weighted with the recall that the logit adds.
    """
    found = []
    for own, scores in zip(
        *(array.T.astype(np.float64) for array in (labels, logits)), strict=True
    ):
        if not own.any():
            continue
        area = before = 0.0
        for threshold in np.unique(scores)[::-1]:
            taken = scores >= threshold
            recall = own[taken].sum() / own.sum()
            area += (recall - before) * own[taken].mean()
            before = recall
        found.append(area)
    assert 1 < len(found) < labels.shape[1]
    return np.mean(found)


def test_equals_scikit_learn_and_a_loop():
    labels, logits = make_examples()
    metric = MeanAveragePrecision(5)
    update_in_batches(metric.update_state, (labels, logits))
    expected = np.mean(
        [average_precision_score(labels[:, each], logits[:, each]) for each in range(4)]
    )
    assert metric.result() == pytest.approx(expected, rel=1e-12)
    assert metric.result() == pytest.approx(by_loop(labels, logits), rel=1e-12)
    metric.reset_state()
    metric.update_state(labels[:50].astype(bool), logits[:50].astype(np.float16))
    assert metric.result() == pytest.approx(
        by_loop(labels[:50], logits[:50].astype(np.float16)), rel=1e-12
    )


def test_undefined_values():
    metric = MeanAveragePrecision(3)
    assert math.isnan(metric.result())
    metric.update_state(np.zeros((4, 3)), np.ones((4, 3)))
    assert math.isnan(metric.result())  # no example has a class
    metric.update_state([[1, 0, 0]], [[-math.inf, math.inf, 0.0]])
    assert metric.result() == pytest.approx(1 / 5)
    metric.update_state([[0, 0, 0]], [[0.0, math.nan, 0.0]])
    assert math.isnan(metric.result())


def test_mistakes():
    metric = MeanAveragePrecision(3)
    for labels, logits in ((np.zeros((2, 4)), np.zeros((2, 3))), (np.zeros((2, 3)), np.zeros(2))):
        with pytest.raises(ValueError, match=r"must have the shape \(batch, 3\)"):
            metric.update_state(labels, logits)
    with pytest.raises(ValueError, match="does not weigh examples"):
        metric.update_state(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(2))
    metric.update_state([[0.0, 0.5, 1.0]], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="map: labels must be 0 or 1"):
        metric.result()


def test_serialization():
    metric = MeanAveragePrecision(7, name="precision")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is MeanAveragePrecision
    assert (again.num_classes, again.name) == (7, "precision")


def test_uneven_and_empty_replicas_equal_one_device(two_replicas):
    labels, logits = make_examples(40)
    with two_replicas.scope():
        metric = MeanAveragePrecision(5)
    start = 0
    for first, second in ((5, 2), (3, 0), (0, 4), (0, 0), (25, 1)):
        middle, end = start + first, start + first + second
        parts = [slice(start, middle), slice(middle, end)]
        values = [
            two_replicas.experimental_distribute_values_from_function(
                lambda context, array=array, parts=parts: tf.constant(
                    array[parts[context.replica_id_in_sync_group]]
                )
            )
            for array in (labels, logits)
        ]
        two_replicas.run(metric.update_state, args=values)
        start = end
    assert start == 40
    assert metric.result() == pytest.approx(by_loop(labels, logits), rel=1e-12)
