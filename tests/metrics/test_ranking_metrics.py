"""Exact AUC and its average over users, against scikit-learn on one user at a time."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from rocket_tf.metrics.growing_rows import _FIRST_CAPACITY
from rocket_tf.metrics.ranking import ExactAUC, GroupAUC

EXAMPLES = 600


def make_examples(examples=EXAMPLES, users=40, seed=0):
    """Labels, scores with many ties, weights and users; some users have only one class."""
    random = np.random.default_rng(seed)
    user = random.integers(0, users, examples) * 1000 - 7000
    likes = random.choice([0.0, 0.3, 0.6, 1.0], users)
    label = (random.uniform(size=examples) < likes[(user + 7000) // 1000]).astype(np.int64)
    score = np.round(random.normal(label * 0.5, 1.0), 1).astype(np.float32)
    weight = random.choice([0.0, 0.5, 1.0, 2.75], examples).astype(np.float32)
    return label, score, weight, user


def expected_gauc(label, score, weight, user):
    """The GAUC by a plain loop over users."""
    areas, impressions = [], []
    for one in np.unique(user):
        own = (user == one) & (weight > 0)
        if 0 < label[own].sum() < own.sum():
            areas.append(roc_auc_score(label[own], score[own], sample_weight=weight[own]))
            impressions.append(weight[own].astype(np.float64).sum())
    assert 1 < len(areas) < len(np.unique(user))
    return np.average(areas, weights=impressions)


def update_in_batches(update, arrays, sizes=(1, 0, 250, 3, 97, 249)):
    """Calls `update` with batches of different sizes, one of which is empty."""
    bounds = np.cumsum([0, *sizes])
    for start, end in itertools.pairwise(bounds):
        update(*(array[start:end] for array in arrays))


class TestExactAUC:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_equals_scikit_learn(self, weighted):
        label, score, weight, _ = make_examples()
        metric = ExactAUC()
        if weighted:
            update_in_batches(metric.update_state, (label, score, weight))
            expected = roc_auc_score(label, score, sample_weight=weight)
        else:
            update_in_batches(metric.update_state, (label, score))
            expected = roc_auc_score(label, score)
        assert metric.result() == pytest.approx(expected, rel=1e-12)

    def test_pairs_counted_by_hand(self):
        # Clicks score 2 and 1, the others 0, 1 and 3: 2 + (1 + 1/2) of 6 pairs are right.
        metric = ExactAUC()
        metric.update_state([1, 1, 0, 0, 0], [2.0, 1.0, 0.0, 1.0, 3.0])
        assert metric.result() == pytest.approx(3.5 / 6, rel=1e-15)

    def test_close_scores_are_not_ties(self):
        score = np.float32(1) + np.arange(4, dtype=np.float32) * np.finfo(np.float32).eps
        metric = ExactAUC()
        metric.update_state([0, 0, 1, 1], score)
        assert metric.result() == 1.0

    def test_infinite_scores_tie(self):
        metric = ExactAUC()
        metric.update_state([1, 0, 0, 1], [math.inf, math.inf, -math.inf, -math.inf])
        assert metric.result() == 0.5

    def test_score_of_two_logits_is_their_difference(self):
        label, score, _, _ = make_examples()
        base = np.random.default_rng(1).normal(size=(len(label), 1)) * 5
        logits = np.concatenate([base, base + score[:, None]], axis=1)
        one, two = ExactAUC(), ExactAUC()
        one.update_state(label, logits[:, 1] - logits[:, 0])
        two.update_state(label, logits)
        assert one.result() == two.result() == roc_auc_score(label, logits @ [-1.0, 1.0])

    def test_columns_are_accepted_as_vectors(self):
        label, score, weight, _ = make_examples()
        flat, columns = ExactAUC(), ExactAUC()
        flat.update_state(label, score, weight)
        columns.update_state(label[:, None].astype(bool), score[:, None], weight[:, None])
        assert flat.result() == columns.result()

    @pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
    def test_logits_of_other_dtypes(self, dtype):
        label, score, _, _ = make_examples()
        score = tf.cast(score, dtype)
        metric = ExactAUC()
        metric.update_state(label, score)
        expected = roc_auc_score(label, tf.cast(score, tf.float64))
        assert metric.result() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("label", [[], [0, 0], [1, 1]])
    def test_without_both_classes_it_is_nan(self, label):
        metric = ExactAUC()
        metric.update_state(np.array(label, np.int64), np.arange(len(label), dtype=np.float32))
        assert math.isnan(metric.result())

    def test_before_any_batch_it_is_nan(self):
        assert math.isnan(ExactAUC().result())

    def test_a_score_of_nan_gives_nan(self):
        metric = ExactAUC()
        metric.update_state([0, 1, 1], [0.0, 1.0, math.nan])
        assert math.isnan(metric.result())

    def test_examples_of_weight_0_do_not_count(self):
        metric = ExactAUC()
        metric.update_state([0, 1, 1], [0.0, 1.0, math.nan], sample_weight=[1.0, 1.0, 0.0])
        assert metric.result() == 1.0

    def test_reset_state_starts_anew(self):
        label, score, _, _ = make_examples(5000)
        metric = ExactAUC()
        metric.update_state(1 - label, score)
        metric.reset_state()
        assert math.isnan(metric.result())
        metric.update_state(label[:100], score[:100])
        assert metric.result() == pytest.approx(roc_auc_score(label[:100], score[:100]), rel=1e-12)

    def test_capacity_grows_over_several_doublings(self):
        label, score, _, _ = make_examples(40 * _FIRST_CAPACITY)
        metric = ExactAUC()
        update = tf.function(metric.update_state, reduce_retracing=True)
        sizes = [1000] * 20 + [17 * _FIRST_CAPACITY] + [999]
        update_in_batches(lambda *batch: update(*map(tf.constant, batch)), (label, score), sizes)
        count = sum(sizes)
        assert metric.result() == pytest.approx(
            roc_auc_score(label[:count], score[:count]), rel=1e-12
        )

    def test_in_a_tf_function_with_unknown_batch_sizes(self):
        label, score, weight, _ = make_examples()
        metric = ExactAUC()
        update = tf.function(
            metric.update_state,
            input_signature=[
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([None, 1], tf.float32),
                tf.TensorSpec([None], tf.float32),
            ],
        )
        update_in_batches(update, (label, score[:, None], weight))
        assert metric.result() == pytest.approx(
            roc_auc_score(label, score, sample_weight=weight), rel=1e-12
        )

    def test_result_within_a_tf_function_is_refused(self):
        metric = ExactAUC()
        with pytest.raises(RuntimeError, match=r"outside tf.function"):
            tf.function(metric.result)()

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (([0, 1], np.zeros((2, 3), "float32")), r"y_pred .*\(batch, 2\).*\(2, 3\)"),
            ((np.eye(2), [0.0, 1.0]), r"y_true must have the shape .*\(2, 2\)"),
            (([0, 1, 1], [0.0, 1.0]), r"y_true must have an entry for each of the 2 scores"),
            (([0, 1], [0.0, 1.0], 2.0), r"sample_weight must have the shape .*\(\)"),
        ],
    )
    def test_shapes_that_do_not_fit(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ExactAUC().update_state(*arguments)

    def test_labels_other_than_0_and_1(self):
        metric = ExactAUC()
        metric.update_state([1, -1], [0.0, 1.0])
        with pytest.raises(ValueError, match=r"auc: labels must be 0 or 1. Received: -1"):
            metric.result()

    def test_negative_weights(self):
        metric = ExactAUC()
        metric.update_state([1, 0], [0.0, 1.0], sample_weight=[1.0, -0.5])
        with pytest.raises(ValueError, match=r"weights must be at least 0. Received: -0.5"):
            metric.result()

    def test_config_round_trip(self):
        metric = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(ExactAUC(name="ranking"))
        )
        assert type(metric) is ExactAUC and metric.name == "ranking"


class TestGroupAUC:
    @pytest.mark.parametrize("strings", [False, True])
    def test_equals_a_loop_over_users(self, strings):
        label, score, weight, user = make_examples()
        groups = user.astype(str) if strings else user
        metric = GroupAUC()
        update_in_batches(metric.update_state, (label, score, weight, groups))
        assert metric.result() == pytest.approx(
            expected_gauc(label, score, weight, user), rel=1e-12
        )
        assert metric.result() != pytest.approx(roc_auc_score(label, score), rel=0.02)

    def test_without_weights_impressions_are_examples(self):
        label, score, _, user = make_examples()
        metric = GroupAUC()
        update_in_batches(
            lambda y, s, u: metric.update_state(y, s, groups=u), (label, score, user[:, None])
        )
        assert metric.result() == pytest.approx(
            expected_gauc(label, score, np.ones(EXAMPLES), user), rel=1e-12
        )

    def test_users_counted_by_hand(self):
        # a: 1 of 1 pair, 2 impressions. b: 0.5 of 2 pairs, 3 impressions. c, d: only one class.
        metric = GroupAUC()
        metric.update_state(
            [1, 0, 1, 0, 0, 1, 1, 0],
            [9.0, 8.0, 1.0, 1.0, 2.0, 5.0, 6.0, 7.0],
            groups=["a", "a", "b", "b", "b", "c", "c", "d"],
        )
        assert metric.result() == pytest.approx((2 * 1 + 3 * 0.25) / 5, rel=1e-15)

    def test_groups_at_the_limits_of_int64(self):
        metric = GroupAUC()
        least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        metric.update_state([1, 0, 1, 0], [1.0, 0.0, 0.0, 1.0], groups=[least, least, most, most])
        assert metric.result() == 0.5

    def test_if_every_user_has_only_one_class_it_is_nan(self):
        metric = GroupAUC()
        metric.update_state([1, 0], [1.0, 0.0], groups=[1, 2])
        assert math.isnan(metric.result())

    def test_in_a_tf_function_with_string_groups(self):
        label, score, weight, user = make_examples()
        metric = GroupAUC()
        update = tf.function(
            metric.update_state,
            input_signature=[
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.string),
            ],
        )
        update_in_batches(update, (label, score, weight, user.astype(str).astype(object)))
        assert metric.result() == pytest.approx(
            expected_gauc(label, score, weight, user), rel=1e-12
        )

    def test_without_groups(self):
        with pytest.raises(ValueError, match=r"gauc ranks within each 'user'.*groups=None"):
            GroupAUC().update_state([0, 1], [0.0, 1.0])

    def test_groups_of_other_dtypes(self):
        with pytest.raises(ValueError, match=r"groups must be integers or strings.*float"):
            GroupAUC().update_state([0, 1], [0.0, 1.0], groups=[0.5, 1.5])

    def test_config_round_trip(self):
        metric = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(GroupAUC("visitor", name="by_visitor"))
        )
        assert type(metric) is GroupAUC
        assert (metric.group_by, metric.name) == ("visitor", "by_visitor")


class TestReplicas:
    def test_uneven_and_empty_replicas_equal_one_device(self, two_replicas):
        label, score, weight, user = make_examples(3000)
        with two_replicas.scope():
            gauc, auc = GroupAUC(), ExactAUC()

        @tf.function(reduce_retracing=True)
        def step(batch):
            def update(label, score, weight, user):
                gauc.update_state(label, score, weight, groups=user)
                auc.update_state(label, score, weight)

            two_replicas.run(update, args=batch)

        def run(parts):
            step(
                tuple(
                    two_replicas.experimental_distribute_values_from_function(
                        lambda context, array=array: tf.constant(
                            array[parts[context.replica_id_in_sync_group]]
                        )
                    )
                    for array in (label, score, weight, user.astype(str).astype(object))
                )
            )

        for _ in range(2):  # the second run follows a reset
            start = 0
            for first, second in [(5, 2), (3, 0), (0, 4), (0, 0), (1000, 986), (1, 999)]:
                middle, end = start + first, start + first + second
                run([slice(start, middle), slice(middle, end)])
                start = end
            assert start == len(label)
            assert gauc.result() == pytest.approx(
                expected_gauc(label, score, weight, user), rel=1e-12
            )
            assert auc.result() == pytest.approx(
                roc_auc_score(label, score, sample_weight=weight), rel=1e-12
            )
            gauc.reset_state()
            auc.reset_state()
            assert math.isnan(gauc.result())

    def test_every_replica_keeps_all_examples(self, two_replicas):
        with two_replicas.scope():
            metric = ExactAUC()
        values = two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.ones([3 - 2 * context.replica_id_in_sync_group])
        )
        two_replicas.run(metric.update_state, args=(values, values))
        sizes = two_replicas.experimental_local_results(metric._kept._size)
        assert [int(size) for size in sizes] == [4, 4]

    def test_a_metric_made_outside_the_scope_is_refused(self, two_replicas):
        metric = ExactAUC()
        ones = tf.ones([2])
        with pytest.raises(ValueError, match="under the scope of the strategy"):
            two_replicas.run(metric.update_state, args=(ones, ones))

    def test_updates_outside_of_replicas_are_refused(self, two_replicas):
        with two_replicas.scope():
            metric = ExactAUC()
            with pytest.raises(ValueError, match=r"update it in `strategy.run`"):
                metric.update_state(tf.ones([2]), tf.ones([2]))
        with pytest.raises(ValueError, match="made under MirroredStrategy"):
            metric.update_state(tf.ones([2]), tf.ones([2]))
