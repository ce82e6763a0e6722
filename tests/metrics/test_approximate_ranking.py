"""Binned AUC and GAUC of sampled users: their values and the bounds of their errors."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from rocket_tf.metrics.approximate import BinnedAUC, SampledGroupAUC
from rocket_tf.metrics.ranking import ExactAUC, GroupAUC


def examples(number, seed=0, scale=1.0):
    random = np.random.default_rng(seed)
    scores = random.normal(-2, scale, number)
    labels = (random.random(number) < 1 / (1 + np.exp(-scores))).astype(np.int64)
    return labels, scores, random.random(number), random.integers(0, number // 9, number)


def update(metric, labels, scores, weights=None, groups=None):
    """Updates a metric with three batches of different sizes."""
    for part in (slice(3), slice(3, 700), slice(700, None)):
        own = [
            None if array is None else array[part] for array in (labels, scores, weights, groups)
        ]
        metric.update_state(*own[:3], groups=own[3])


class TestBins:
    @pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_the_area_is_exact_up_to_largest_error(self, scale, weighted):
        labels, scores, weights, _ = examples(5000, scale=scale)
        metric = BinnedAUC()
        update(metric, labels, scores, weights if weighted else None)
        exact = roc_auc_score(labels, scores, sample_weight=weights if weighted else None)
        result = metric.result()
        assert abs(result - exact) <= metric.largest_error + 1e-12
        if scale == 1.0:
            assert abs(result - exact) < 2e-6 and 0 < metric.largest_error < 2e-5
        elif scale < 1:  # many scores share a bin
            assert metric.largest_error > 1e-4

    def test_two_logits_and_a_new_evaluation(self):
        labels, scores, _, _ = examples(900)
        metric = BinnedAUC()
        update(metric, 1 - labels, scores)
        metric.reset_state()
        logits = np.stack([np.full(900, 1.5), scores + 1.5], axis=1)
        update(metric, labels, logits)
        assert metric.result() == pytest.approx(roc_auc_score(labels, scores), abs=1e-5)

    def test_undefined_areas_and_bad_values(self):
        metric = BinnedAUC()
        metric.update_state([1, 1], [0.5, 0.1])
        assert math.isnan(metric.result()) and metric.largest_error is None
        metric.update_state([0, 1], [math.nan, 0.1])
        assert math.isnan(metric.result())
        metric.reset_state()
        metric.update_state([0, 2, 1], [0.5, 0.1, 0.2])
        with pytest.raises(ValueError, match="labels must be 0 or 1"):
            metric.result()
        metric.reset_state()
        metric.update_state([0, 1], [0.5, 0.1], [1.0, -1.0])
        with pytest.raises(ValueError, match="weights must be at least 0"):
            metric.result()
        metric.reset_state()
        metric.update_state([0, 1, 7], [0.5, 1.0, 0.0], [1.0, 1.0, 0.0])
        assert metric.result() == 1.0

    def test_replicas_count_each_example_once(self, two_replicas):
        labels, scores, _, _ = examples(60)
        with two_replicas.scope():
            metric, exact = BinnedAUC(), ExactAUC()
        parts = [slice(45), slice(45, 60)]  # of different sizes
        for own in (metric, exact):

            def step(context, own=own):
                part = parts[context.replica_id_in_sync_group]
                return tf.constant(labels[part]), tf.constant(scores[part])

            values = two_replicas.experimental_distribute_values_from_function(
                lambda context: step(context)
            )
            two_replicas.run(own.update_state, args=values)
        assert metric.result() == pytest.approx(exact.result(), abs=1e-4)


class TestSample:
    def test_of_all_users_is_exact(self):
        labels, scores, weights, users = examples(3000)
        whole, sample = GroupAUC("user"), SampledGroupAUC("user", share=1.0)
        for metric in (whole, sample):
            update(metric, labels, scores, weights, groups=users)
        assert sample.result() == whole.result()

    def test_keeps_all_examples_of_a_share_of_users(self):
        labels, scores, _, users = examples(9000, seed=3)
        names = np.array([f"u{user}" for user in users])
        whole, sample = GroupAUC("user"), SampledGroupAUC("user", share=0.3)
        for metric in (whole, sample):
            update(metric, labels, scores, groups=names)
        kept = sample._kept.numpy()
        in_sample = set(kept[:, 3])
        assert 0.25 < len(in_sample) / len(set(users)) < 0.35
        everyone = whole._kept.numpy()
        assert len(kept) == np.isin(everyone[:, 3], list(in_sample)).sum()
        assert abs(sample.result() - whole.result()) < sample.largest_error < 0.2
        again = SampledGroupAUC.from_config(sample.get_config())
        update(again, labels, scores, groups=names)
        assert again.result() == sample.result()

    def test_an_invalid_share(self):
        with pytest.raises(ValueError, match="share must be above 0"):
            SampledGroupAUC(share=0.0)


def test_both_are_registered():
    for metric in (BinnedAUC(name="a"), SampledGroupAUC("item", 0.5)):
        copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(copy) is type(metric) and copy.get_config() == metric.get_config()
