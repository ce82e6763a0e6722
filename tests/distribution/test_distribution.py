"""RocketModel under MirroredStrategy equals one device for every split of the batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import Hint, RocketModel
from rocket_tf.core.batch import mean_of
from rocket_tf.core.class_hint_losses import CorrelationDistance
from rocket_tf.core.distributed_model import share_of_global_batch, sum_over_replicas
from rocket_tf.distribution.strategy import make_strategy
from rocket_tf.errors import ConfigError
from rocket_tf.networks import FusedBatchNormalization
from tests.nets import CLASSES, CROSS_ENTROPY, examples, linear_pair
from tests.reference import dist
from tests.trainings import trained

# Sums over a batch are in another order, so they differ by a few units of float64 rounding.
ROUNDING = {"rtol": 1e-12, "atol": 1e-13}


def images(count, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(count, 4, 4, 2)).astype(np.float32)
    return pixels, random.integers(0, CLASSES, count)


def normalized_pair():
    """Nets whose batch statistics are over the examples of all replicas."""
    inputs = keras.Input((4, 4, 2))
    low = layers.Conv2D(4, 3, name="low")(inputs)

    def head(name):
        normalization = FusedBatchNormalization(synchronized=True, name=f"{name}_norm")
        x = layers.Flatten(name=f"{name}_flat")(
            layers.ReLU(name=f"{name}_relu")(normalization(low))
        )
        return keras.Model(inputs, layers.Dense(CLASSES, name=f"{name}_logits")(x), name=name)

    return head("light"), head("booster")


def assert_same(one, two, **tolerance):
    for mine, theirs in zip(keras.tree.flatten(one), keras.tree.flatten(two), strict=True):
        np.testing.assert_allclose(mine, theirs, **tolerance)


@pytest.mark.parametrize(
    "count, batch_size, gradient_block",
    [
        # The tests of two workers have such batches, too.
        pytest.param(16, 8, True, marks=pytest.mark.slow),
        pytest.param(34, 17, True, marks=pytest.mark.slow),
        pytest.param(29, 8, False, marks=pytest.mark.slow),
        (17, 8, True),
        pytest.param(9, 32, True, marks=pytest.mark.slow),
    ],
    ids=["even", "odd batches", "uneven last", "last leaves a replica empty", "one uneven batch"],
)
def test_equals_one_device(two_replicas, float64, count, batch_size, gradient_block):
    arguments = (linear_pair, examples(count), batch_size, 2, gradient_block)
    assert_same(trained(None, *arguments), trained(two_replicas, *arguments), **ROUNDING)


@pytest.mark.slow
def test_equals_one_device_with_synchronized_batch_normalization(two_replicas, float64):
    arguments = (normalized_pair, images(29), 8, 2)
    # Variances over replicas are computed as E[x²] − E[x]², unlike on one device.
    assert_same(trained(None, *arguments), trained(two_replicas, *arguments), rtol=1e-9, atol=1e-10)


def hints_of_three_classes():
    return [
        Hint("dist", 0.3, name="dist_loss"),
        Hint("dkd", 0.1, name="dkd_loss"),
        Hint("kd", 0.2, standardize=True),
        Hint("dist", 0.1, follows="light"),
    ]


# The next test compares the gradients of uneven parts in a few operations.
@pytest.mark.slow
@pytest.mark.parametrize(
    "count, batch_size, gradient_block",
    [(29, 8, False), (17, 8, True)],
    ids=["uneven last, no block", "last leaves a replica empty"],
)
def test_hints_over_classes_and_batch_equal_one_device(
    two_replicas, float64, count, batch_size, gradient_block
):
    arguments = (linear_pair, examples(count), batch_size, 2, gradient_block)
    results = [
        trained(strategy, *arguments, hints_of_three_classes) for strategy in (None, two_replicas)
    ]
    assert_same(*results, **ROUNDING)


def test_correlations_are_over_the_masked_positions_of_all_replicas(two_replicas, float64):
    """One replica gets two of three sequences, yet all positions have the weight they need."""
    logits = np.random.default_rng(0).normal(0, 2, (2, 3, 4, CLASSES))
    weights = np.array([0.5, 2.0, 1.5])
    valid = np.arange(4) < np.array([[2], [4], [1]])

    def step(light, booster, mask, weight):
        loss = CorrelationDistance()
        light._keras_mask = mask
        with tf.GradientTape() as tape:
            tape.watch((light, booster))
            value = mean_of(loss, booster, light, [weight])
            share = value * share_of_global_batch(light, "float64")
        return sum_over_replicas(share), *tape.gradient(share, (light, booster))

    values = [logits[0], logits[1], valid, weights]
    parts = [[tf.constant(each[rows]) for each in values] for rows in (slice(2), slice(2, 3))]
    one = step(*(tf.constant(each) for each in values))
    per_replica = [
        two_replicas.experimental_distribute_values_from_function(
            lambda context, place=place: parts[context.replica_id_in_sync_group][place]
        )
        for place in range(4)
    ]
    results = tf.function(lambda *args: two_replicas.run(step, args))(*per_replica)
    first = two_replicas.experimental_local_results(results[0])[0]
    np.testing.assert_allclose(first, one[0], rtol=1e-12)
    rows = [each[valid] for each in logits]
    rows_weights = np.broadcast_to(weights[:, None], valid.shape)[valid]
    expected = (rows_weights * dist(rows[1], rows[0], rows_weights)).mean()
    np.testing.assert_allclose(one[0], expected, rtol=1e-12)
    for mine, both in zip(one[1:], results[1:], strict=True):
        both = np.concatenate(two_replicas.experimental_local_results(both))
        np.testing.assert_allclose(both, mine, rtol=1e-10, atol=1e-15)


@pytest.mark.slow
def test_masks_reach_the_losses_of_every_replica(two_replicas, float64):
    """No loss counts masked tokens; here, each sequence has equally many valid tokens."""

    def pair():
        inputs = keras.Input((4,), dtype="int64")
        low = layers.Embedding(5, 3, mask_zero=True, name="low")(inputs)
        heads = (layers.Dense(CLASSES, name=f"{net}_logits")(low) for net in ("light", "booster"))
        return [keras.Model(inputs, head) for head in heads]

    tokens = np.array([[1, 2, 0, 0], [3, 4, 0, 0], [2, 2, 0, 0]] * 3)
    labels = np.random.default_rng(0).integers(0, CLASSES, (9, 4))
    dataset = tf.data.Dataset.from_tensor_slices((tokens, labels)).batch(4)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            rocket = RocketModel(*pair())
            rocket.compile(
                optimizer=keras.optimizers.SGD(0.1),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )
        results.append((rocket.fit(dataset, verbose=0).history, rocket.get_weights()))
    assert_same(*results, **ROUNDING)
    logits = rocket(tokens)["light"].numpy()[:, :2]
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    chosen = np.take_along_axis(probabilities, labels[:, :2, None], -1)
    evaluated = rocket.evaluate(dataset, return_dict=True, verbose=0)
    np.testing.assert_allclose(evaluated["light_loss"], -np.log(chosen).mean(), rtol=1e-9)


@pytest.mark.slow
def test_an_empty_replica_leaves_finite_statistics(two_replicas):
    def pair():
        inputs = keras.Input((4, 4, 2))
        heads = []
        for name in ("light", "booster"):
            x = FusedBatchNormalization(name=f"{name}_norm")(inputs)
            x = layers.Dense(CLASSES, name=f"{name}_logits")(layers.Flatten()(x))
            heads.append(keras.Model(inputs, x, name=name))
        return heads

    history, _, predictions, weights = trained(two_replicas, pair, images(9), 8)
    assert all(np.isfinite(value).all() for value in keras.tree.flatten((history, weights)))
    assert np.isfinite(predictions).all()


def test_moving_statistics_follow_the_mean_over_the_replicas(two_replicas):
    x, y = images(8)
    with two_replicas.scope():
        inputs = keras.Input((4, 4, 2))
        light = FusedBatchNormalization(momentum=0.0, name="light_norm")(inputs)
        light = layers.Dense(CLASSES, name="a")(layers.Flatten(name="b")(light))
        booster = layers.Dense(CLASSES, name="c")(layers.Flatten(name="d")(inputs))
        rocket = RocketModel(keras.Model(inputs, light), keras.Model(inputs, booster))
        rocket.compile(optimizer=keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
    rocket.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), verbose=0)
    halves = x.astype(np.float64).reshape(2, -1, 2)
    norm = rocket.get_layer("light_norm")
    for replica in range(2):
        values = two_replicas.experimental_local_results(norm.moving_variance.value)
        np.testing.assert_allclose(
            values[replica], halves.var(axis=1, ddof=1).mean(axis=0), rtol=1e-5
        )
    np.testing.assert_allclose(norm.moving_mean, halves.mean(axis=(0, 1)), atol=1e-6)


def test_strategies():
    assert make_strategy(0).num_replicas_in_sync == max(
        1, len(tf.config.list_physical_devices("GPU"))
    )
    if not tf.config.list_physical_devices("GPU"):
        assert make_strategy(2).num_replicas_in_sync == 2
        with pytest.raises(ConfigError, match=r"config.replicas: got 3, expected at most"):
            make_strategy(3)


@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="no GPU on this machine")
def test_trains_on_gpus():
    x, y = images(32)
    strategy = make_strategy()
    history, _, _, _ = trained(strategy, normalized_pair, (x, y), 8)
    assert history["loss"][-1] < history["loss"][0]


def test_a_process_has_one_strategy_for_the_same_devices():
    """In TensorFlow, two of them fail because their collectives have the same keys."""
    assert make_strategy(2) is make_strategy(2)
    assert make_strategy(2).num_replicas_in_sync == 2
