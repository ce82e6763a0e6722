"""Reductions over replicas against NumPy, and optimizers on replicas against one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import RocketModel
from rocket_tf.core import keras_internals, reductions
from rocket_tf.networks import FusedBatchNormalization
from tests.nets import CLASSES

REPLICAS = 2


def on_each(strategy, function, eagerly=False):
    """The results on each replica of a function that takes the replica's number."""

    def call():
        return strategy.run(
            lambda: function(tf.distribute.get_replica_context().replica_id_in_sync_group)
        )

    result = call() if eagerly else tf.function(call, autograph=False)()
    return [
        keras.tree.map_structure(
            lambda value, replica=replica: strategy.experimental_local_results(value)[replica],
            result,
        )
        for replica in range(REPLICAS)
    ]


class TestSums:
    @pytest.mark.parametrize("eagerly", [False, True])
    def test_of_all_dtypes_and_shapes(self, two_replicas, eagerly):
        random = np.random.default_rng(0)
        dtypes = [np.float32, np.float64, np.float16, np.float32]
        shapes = [(2, 3), (4,), (), (1, 2, 2)]
        given = [
            [np.asarray(random.normal(size=shape)).astype(dtype) for _ in range(REPLICAS)]
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]

        def step(replica):
            gradients = [tf.gather(tf.constant(np.stack(each)), replica) for each in given]
            with reductions.collected() as waiting:
                pass
            sums = waiting.reduce([gradients[0], None, *gradients[1:]])
            assert sums.pop(1) is None
            return sums

        for sums in on_each(two_replicas, step, eagerly):
            for own, (first, second) in zip(sums, given, strict=True):
                np.testing.assert_array_equal(own, first + second, strict=True)

    def test_are_packed_by_size(self, two_replicas, monkeypatch):
        monkeypatch.setattr(reductions, "_BYTES_A_PACK", 100)
        sizes = [10, 30, 5, 20, 10]

        def step(replica):
            with reductions.collected() as waiting:
                pass
            return waiting.reduce([tf.ones(size) for size in sizes])

        traced = tf.function(lambda: two_replicas.run(step, args=(0,))).get_concrete_function()
        types = [operation.type for operation in traced.graph.get_operations()]
        # Packs fill from the end: 10 and 20 numbers are 120 bytes, 5 and 30 are 140; 10 are left.
        assert types.count("CollectiveReduceV2") == 3 * REPLICAS
        for sums in on_each(two_replicas, step):
            assert [each.numpy().tolist() for each in sums] == [[2.0] * size for size in sizes]


class TestSlices:
    @pytest.mark.parametrize("lengths", [(3, 3), (1, 4), (0, 2), (0, 0)])
    @pytest.mark.parametrize("eagerly", [False, True])
    def test_rows_are_concatenated_in_the_order_of_replicas(self, two_replicas, lengths, eagerly):
        """Covers tables of several dtypes and ranks, NaN, infinity and the sign of 0."""
        random = np.random.default_rng(1)
        kinds = [
            (np.int32, np.float32, (3,)),
            (np.int64, np.float64, (2, 2)),
            (np.int64, np.float16, (1,)),
            (np.int32, np.float32, ()),
        ]
        given = [
            [
                (
                    random.integers(0, 2**31 - 1, length).astype(indices),
                    random.normal(size=(length, *row)).astype(values),
                )
                for length in lengths
            ]
            for indices, values, row in kinds
        ]
        if lengths[1]:
            given[0][1][1][0] = np.nan, -0.0, np.inf
            given[1][1][0][0] = 2**40 + 1

        def step(replica):
            slices = []
            for table in given:
                indices, values = (tf.concat(parts, axis=0) for parts in zip(*table, strict=True))
                own = slice(replica * lengths[0], lengths[0] + replica * lengths[1])
                slices.append(tf.IndexedSlices(values[own], indices[own], tf.constant([2**41])))
            with reductions.collected() as waiting:
                pass
            slices = waiting.reduce([slices[0], tf.ones(2), *slices[1:]])
            np.testing.assert_array_equal(slices.pop(1).shape, [2])
            assert all(isinstance(each, tf.IndexedSlices) for each in slices)
            return [(each.indices, each.values) for each in slices]

        for tables in on_each(two_replicas, step, eagerly):
            for table, parts in zip(tables, given, strict=True):
                for own, expected in zip(table, zip(*parts, strict=True), strict=True):
                    np.testing.assert_array_equal(own, np.concatenate(expected), strict=True)

    def test_any_number_takes_one_gather(self, two_replicas):
        def collectives(tables):
            def step():
                slices = [tf.IndexedSlices(tf.ones((2, 3)), tf.range(2)) for _ in range(tables)]
                with reductions.collected() as waiting:
                    pass
                return [each.values for each in waiting.reduce(slices)]

            traced = tf.function(lambda: two_replicas.run(step)).get_concrete_function()
            types = [operation.type for operation in traced.graph.get_operations()]
            return sum(type_.startswith("Collective") for type_ in types) / REPLICAS

        assert collectives(1) == collectives(5) == 2  # TensorFlow gathers the lengths first


class TestMeans:
    def test_wait_for_the_gradients_and_are_applied_in_order(self, two_replicas):
        with two_replicas.scope():
            moving = keras.Variable([0.0, 0.0], trainable=False)

        def follow(mean):
            moving.assign(moving * 0.5 + mean)

        def step(replica):
            value = tf.constant([1.0, 2.0]) + tf.cast(replica, tf.float32)
            with reductions.collected() as waiting:
                reductions.follow_mean([value], follow, owner=None)
                reductions.follow_mean([10 * value], follow, owner=None)
                before = moving.value + 0.0
            gradient = waiting.reduce([value])
            return before, gradient

        for before, [gradient] in on_each(two_replicas, step):
            np.testing.assert_array_equal(before, [0, 0])
            np.testing.assert_array_equal(gradient, [3, 5])
        mean = np.array([1.5, 2.5])
        for value in two_replicas.experimental_local_results(moving.value):
            np.testing.assert_array_equal(value, mean / 2 + 10 * mean)

    def test_in_an_inner_graph_are_reduced_at_once_and_refused_by_tensorflow(self, two_replicas):
        """Tensors of an inner graph must not wait for the end of the step."""

        def step(replica):
            with reductions.collected() as waiting:
                inner = tf.function(
                    lambda: reductions.follow_mean([tf.ones(2)], lambda mean: None, owner=None)
                )
                with pytest.raises(RuntimeError, match="merge_call"):
                    inner()
            return waiting.reduce([tf.ones(1)])

        on_each(two_replicas, step)

    def test_a_nested_step_has_its_own(self, two_replicas):
        followed = []

        def step(replica):
            with reductions.collected() as outer:
                reductions.follow_mean([tf.ones(1)], lambda mean: followed.append("outer"), None)
                with reductions.collected() as inner:
                    reductions.follow_mean([tf.ones(1)], lambda _: followed.append("inner"), None)
                inner.reduce()
                assert followed[-1] == "inner"
            outer.reduce()
            assert followed[-1] == "outer"
            return tf.ones(1)

        on_each(two_replicas, step)
        assert sorted(followed) == ["inner"] * REPLICAS + ["outer"] * REPLICAS

    def test_outside_a_step_are_reduced_at_once(self, two_replicas):
        means = on_each(
            two_replicas,
            lambda replica: (
                followed := [],
                reductions.follow_mean([tf.cast(replica, tf.float32)], followed.append, None),
            )[0],
        )
        assert [float(mean) for [mean] in means] == [0.5, 0.5]


class TestBatchNormalization:
    def statistics(self, strategy, waits, call):
        """The outputs and moving statistics of both replicas after a step that calls a layer."""
        keras.utils.set_random_seed(0)
        with strategy.scope():
            layer = FusedBatchNormalization(momentum=0.9)
            layer.build((None, 4, 4, 3))
        x = tf.random.stateless_normal((8, 4, 4, 3), seed=(0, 0))

        def step(replica):
            own = x[4 * replica : 4 * replica + 4]
            if waits:
                with reductions.collected() as waiting:
                    outputs = call(layer, own)
                waiting.reduce()
            else:
                outputs = call(layer, own)
            return outputs

        outputs = on_each(strategy, step)
        moving = [
            strategy.experimental_local_results(variable.value)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        for first, second in moving:
            np.testing.assert_array_equal(first, second)
        return [*keras.tree.flatten(outputs), *(each[0] for each in moving)]

    @pytest.mark.parametrize(
        "call",
        [
            lambda layer, x: layer(x, training=True),
            lambda layer, x: layer(x**2, training=True) + layer(x + 1, training=True),
            lambda layer, x: (layer(x, training=True), layer(x, training=False)),
            lambda layer, x: (layer(x, training=False), layer(x, training=True)),
        ],
        ids=["once", "twice", "then in inference", "after inference"],
    )
    def test_waiting_changes_no_bit(self, two_replicas, call):
        waited, at_once = (self.statistics(two_replicas, waits, call) for waits in (True, False))
        for mine, theirs in zip(waited, at_once, strict=True):
            np.testing.assert_array_equal(mine, theirs)


OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "SGD clipped": {"global_clipnorm": 0.1},
    "Adam": {"clipnorm": 0.1, "amsgrad": True},
    "Adam by value": {"clipvalue": 0.02},
    "AdamW": {"use_ema": True},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {},
    "Adamax": {},
    "Ftrl": {},
    "Lamb": {},
    "Lion": {},
    "Nadam": {},
    "RMSprop": {"centered": True},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_equal_one_device(two_replicas, name):
    """Optimizers apply and clip the sum over the replicas, and nothing is summed twice."""
    shares = np.random.default_rng(0).normal(size=(3, REPLICAS, 4, 2))

    def trained(strategy, step_of):
        with strategy.scope():
            variable = keras.Variable(np.ones((4, 2)), dtype="float64")
            optimizer = getattr(keras.optimizers, name.split()[0])(0.1, **OPTIMIZERS[name])
            optimizer.build([variable])

        @tf.function(autograph=False)
        def step(gradients):
            strategy.run(lambda: step_of(gradients, optimizer, variable))

        for gradients in shares:
            step(tf.constant(gradients))
        return variable.numpy()

    def reduced(gradients, optimizer, variable):
        own = gradients[tf.distribute.get_replica_context().replica_id_in_sync_group]
        with reductions.collected() as waiting:
            pass
        sums = waiting.reduce([own])
        with keras_internals.with_summed_gradients():
            optimizer.apply(sums, [variable])

    def alone(gradients, optimizer, variable):
        optimizer.apply([tf.reduce_sum(gradients, axis=0)], [variable])

    one = trained(tf.distribute.get_strategy(), alone)
    np.testing.assert_allclose(trained(two_replicas, reduced), one, rtol=1e-12, atol=1e-14)
    assert np.abs(one - 1).max() > 1e-4


def test_outside_the_context_keras_sums_gradients_itself(two_replicas):
    with two_replicas.scope():
        variable = keras.Variable(0.0)
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build([variable])

    def step(replica):
        with keras_internals.with_summed_gradients():
            assert keras_internals.gradients_are_summed()
        optimizer.apply([tf.constant(1.0)], [variable])
        return tf.ones(1)

    on_each(two_replicas, step)
    assert variable.numpy() == -2.0


def tables_pair():
    """Two nets with a table each and a shared table."""
    ids = keras.Input((3,), dtype="int64")
    shared = layers.Embedding(7, 2, name="shared")(ids)

    def net(name, width):
        own = layers.Embedding(7, width, name=f"{name}_table")(ids)
        flat = layers.Concatenate(name=f"{name}_both")([layers.Flatten()(shared), own[:, 0]])
        return keras.Model(ids, layers.Dense(CLASSES, name=f"{name}_logits")(flat), name=name)

    return net("light", 2), net("booster", 3)


@pytest.mark.parametrize("learn_from", [pytest.param("both", marks=pytest.mark.slow), "booster"])
def test_tables_and_clipping_equal_one_device(two_replicas, learn_from):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    random = np.random.default_rng(0)
    ids, labels = random.integers(0, 7, (29, 3)), random.integers(0, CLASSES, 29)
    try:
        weights = []
        for strategy in (tf.distribute.get_strategy(), two_replicas):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                rocket = RocketModel(*tables_pair(), shared_layers_learn_from=learn_from)
                rocket.compile(
                    keras.optimizers.Adam(0.1, global_clipnorm=0.05),
                    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                )
            before = rocket.get_weights()
            rocket.fit(ids, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
            weights.append(rocket.get_weights())
    finally:
        keras.config.set_floatx("float32")
    for start, one, two in zip(before, *weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-11, atol=1e-12)
        assert np.abs(one - start).max() > 0.01
