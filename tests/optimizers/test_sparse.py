"""Sparse updates against float64 NumPy: duplicates, absent ids, decay, clipping, replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rocket_tf import RocketModel
from rocket_tf.networks import Embedding
from rocket_tf.optimizers import (
    SGDWithL2,
    SparseAdagrad,
    SparseAdam,
    SparseSGD,
    SplitOptimizer,
)

ROWS, WIDTH = 7, 3
RATE = 0.1


def steps(count=4, seed=0):
    """The ids and gradients of `count` steps; some ids repeat, and some never occur."""
    random = np.random.default_rng(seed)
    ids = [np.array([5, 2, 5, 5, 0]), np.array([2, 2]), np.array([6, 0, 5]), np.array([0, 2, 0, 6])]
    return [(own, random.normal(size=(len(own), WIDTH))) for own in ids[:count]]


def table():
    return np.random.default_rng(1).normal(size=(ROWS, WIDTH))


def sparse(ids, values):
    return tf.IndexedSlices(tf.constant(values), tf.constant(ids), tf.constant([ROWS, WIDTH]))


def run(optimizer, given=None):
    variable = tf.Variable(table())  # float64
    for ids, values in given or steps():
        optimizer.apply_gradients([(sparse(ids, values), variable)])
    return variable.numpy()


def summed(ids, values):
    """The distinct ids and their summed gradients."""
    once = np.unique(ids)
    return once, np.array([values[ids == each].sum(0) for each in once])


def adam(rows, amsgrad=False, decay=0.0, given=None, beta_1=0.9, beta_2=0.999):
    first, second, largest = (np.zeros_like(rows) for _ in range(3))
    for step, (ids, values) in enumerate(given or steps(), 1):
        ids, gradient = summed(ids, values)
        rows[ids] -= RATE * decay * rows[ids]
        first[ids] = beta_1 * first[ids] + (1 - beta_1) * gradient
        second[ids] = beta_2 * second[ids] + (1 - beta_2) * gradient**2
        largest[ids] = np.maximum(largest[ids], second[ids])
        square = largest[ids] if amsgrad else second[ids]
        rate = RATE * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        rows[ids] -= rate * first[ids] / (np.sqrt(square) + 1e-7)
    return rows


def adagrad(rows, decay=0.0):
    total = np.full_like(rows, 0.125)
    for ids, values in steps():
        ids, gradient = summed(ids, values)
        rows[ids] -= RATE * decay * rows[ids]
        total[ids] += gradient**2
        rows[ids] -= RATE * gradient / np.sqrt(total[ids] + 1e-7)
    return rows


def sgd(rows, momentum=0.0, nesterov=False, l2=0.0, decay=0.0):
    velocity = np.zeros_like(rows)
    for ids, values in steps():
        ids, gradient = summed(ids, values)
        rows[ids] -= RATE * decay * rows[ids]
        gradient = gradient + l2 * rows[ids]
        velocity[ids] = momentum * velocity[ids] - RATE * gradient
        rows[ids] += momentum * velocity[ids] - RATE * gradient if nesterov else velocity[ids]
    return rows


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "optimizer, expected",
    [
        (lambda: SparseAdam(RATE), lambda rows: adam(rows)),
        (lambda: SparseAdam(RATE, amsgrad=True), lambda rows: adam(rows, amsgrad=True)),
        (lambda: SparseAdam(RATE, weight_decay=0.2), lambda rows: adam(rows, decay=0.2)),
        (lambda: SparseAdagrad(RATE, 0.125), lambda rows: adagrad(rows)),
        (
            lambda: SparseAdagrad(RATE, 0.125, weight_decay=0.2),
            lambda rows: adagrad(rows, decay=0.2),
        ),
        (lambda: SparseSGD(RATE), lambda rows: sgd(rows)),
        (lambda: SparseSGD(RATE, momentum=0.8), lambda rows: sgd(rows, 0.8)),
        (
            lambda: SparseSGD(RATE, momentum=0.8, nesterov=True),
            lambda rows: sgd(rows, 0.8, nesterov=True),
        ),
        (lambda: SparseSGD(RATE, weight_decay=0.2), lambda rows: sgd(rows, decay=0.2)),
        (lambda: SGDWithL2(RATE, 0.8, l2=0.3), lambda rows: sgd(rows, 0.8, l2=0.3)),
    ],
)
def test_steps_equal_numpy(optimizer, expected):
    found = run(optimizer())
    np.testing.assert_allclose(found, expected(table()), rtol=1e-13)
    absent = [1, 3, 4]
    np.testing.assert_array_equal(found[absent], table()[absent])  # bit for bit


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("option", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipping_counts_each_id_once(option):
    limit, given = 0.7, steps(1)
    ids, gradient = summed(*given[0])
    if option == "clipvalue":
        gradient = np.clip(gradient, -limit, limit)
    else:
        assert np.linalg.norm(gradient) > 2 * limit
        gradient = gradient * limit / np.linalg.norm(gradient)
    expected = table()
    expected[ids] -= RATE * gradient
    found = run(SparseSGD(RATE, **{option: limit}), given)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("split", [False, True])
def test_a_global_norm_is_over_tables_and_the_rest(split):
    (ids, values), dense = steps(1)[0], np.array([1.5, -0.5])
    once, gradient = summed(ids, values)
    scale = 0.7 / np.sqrt((gradient**2).sum() + (dense**2).sum())
    if split:
        optimizer = SplitOptimizer(SparseSGD(0.2), keras.optimizers.SGD(0.1), global_clipnorm=0.7)
    else:
        optimizer = SparseSGD(0.2, global_clipnorm=0.7)
    rows = keras.Variable(table(), name="embeddings")
    kernel = keras.Variable([1.0, 2.0], name="kernel", dtype="float64")
    optimizer.apply([sparse(ids, values), tf.constant(dense)], [rows, kernel])
    expected = table()
    expected[once] -= 0.2 * scale * gradient
    np.testing.assert_allclose(rows, expected, rtol=1e-13)
    rate = 0.1 if split else 0.2
    np.testing.assert_allclose(kernel, [1.0, 2.0] - rate * scale * dense, rtol=1e-13)


@pytest.mark.parametrize(
    "sparse_class, arguments",
    [
        (SparseAdam, {"amsgrad": True, "weight_decay": 0.1, "global_clipnorm": 0.5}),
        (SparseAdagrad, {"clipnorm": 0.5}),
        (SparseSGD, {"momentum": 0.9, "nesterov": True, "use_ema": True, "weight_decay": 0.1}),
    ],
)
def test_dense_gradients_are_applied_as_by_keras(sparse_class, arguments):
    np.testing.assert_array_equal(*dense_results(sparse_class, arguments))


@pytest.mark.usefixtures("float64")
def test_dense_gradients_under_adam_equal_numpy():
    """A dense gradient is a sparse gradient that has every id once."""
    gradients = [np.random.default_rng(step).normal(size=(ROWS, WIDTH)) for step in range(4)]
    optimizer = SparseAdam(RATE, beta_1=0.8, beta_2=0.95)
    variable = keras.Variable(table())
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [variable])
    given = [(np.arange(ROWS), gradient) for gradient in gradients]
    expected = adam(table(), given=given, beta_1=0.8, beta_2=0.95)
    np.testing.assert_allclose(variable, expected, rtol=1e-13)


@pytest.mark.parametrize(
    "arguments",
    [
        {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        {"gradient_accumulation_steps": 2},
        {
            "weight_decay": 0.1,
            "global_clipnorm": 0.5,
            "use_ema": True,
            "ema_overwrite_frequency": 2,
        },
    ],
)
def test_dense_gradients_under_adam(arguments):
    """Options around a step work as in Keras, which computes 1 - beta less precisely."""
    np.testing.assert_allclose(*dense_results(SparseAdam, arguments), rtol=1e-4, atol=1e-6)


def dense_results(sparse_class, arguments):
    """A weight after dense gradients, trained by a sparse optimizer and by its Keras base class."""
    results = []
    for optimizer_class in (sparse_class, sparse_class.__mro__[2]):
        assert optimizer_class is sparse_class or optimizer_class.__module__.startswith("keras.")
        optimizer, variable = (
            optimizer_class(RATE, **arguments),
            keras.Variable(table(), dtype="float32"),
        )
        for _, values in steps():
            gradient = np.resize(values, (ROWS, WIDTH)).astype(np.float32)
            optimizer.apply([tf.constant(gradient)], [variable])
        results.append(variable.numpy())
    return results


@pytest.mark.parametrize(
    "option, value",
    [("gradient_accumulation_steps", 2), ("use_ema", True), ("loss_scale_factor", 8.0)],
)
@pytest.mark.parametrize("optimizer_class", [SparseAdam, SparseAdagrad, SparseSGD])
def test_options_that_read_whole_tables_are_refused(optimizer_class, option, value):
    with pytest.raises(ValueError, match=rf"^{option} goes over whole.*leave it out"):
        run(optimizer_class(RATE, **{option: value}))


def test_an_optimizer_resumes_from_its_variables():
    whole = SparseAdam(RATE)
    expected = run(whole)
    variable, first = tf.Variable(table()), SparseAdam(RATE)
    for ids, values in steps(2):
        first.apply_gradients([(sparse(ids, values), variable)])
    second = SparseAdam(RATE)
    second.build([variable])
    for mine, theirs in zip(second.variables, first.variables, strict=True):
        mine.assign(theirs)
    for ids, values in steps()[2:]:
        second.apply_gradients([(sparse(ids, values), variable)])
    np.testing.assert_array_equal(variable.numpy(), expected)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # uses the current floatx


def rocket(optimizer, embedding=Embedding, rows=11, eagerly=False, **arguments):
    """Nets that look up ids twice in a shared table and once in a table of their own."""
    keras.utils.set_random_seed(0)
    item, seen = keras.Input((), dtype="int64", name="item"), keras.Input((4,), dtype="int64")
    low = embedding(rows, 3, name="low")
    own = {net: embedding(rows, 2, name=f"{net}_own")(item) for net in ("light", "booster")}
    both = [low(item), keras.ops.mean(low(seen), 1)]
    nets = [
        keras.Model(
            [item, seen],
            keras.layers.Dense(3, name=f"{net}_logits")(
                keras.ops.concatenate([*both, own[net]], -1)
            ),
            name=net,
        )
        for net in ("light", "booster")
    ]
    model = RocketModel(*nets, **arguments)
    model.compile(optimizer, cross_entropy(), run_eagerly=eagerly)
    return model


def shapes_in_a_step(model, x, y):
    """Each operation of a training step with its outputs' shapes; variables are scalar handles."""
    step = tf.function(model.train_step, autograph=False)
    concrete = step.get_concrete_function((tuple(map(tf.constant, x)), tf.constant(y)))
    definition = concrete.graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    return [
        (node.op, [size.size for size in shape.dim])
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
    ]


def clicks(count, rows=11, seed=0):
    random = np.random.default_rng(seed)
    ids = [random.integers(0, rows, size) for size in ((count,), (count, 4))]
    return ids, random.integers(0, 3, count)


class TestInARocket:
    @pytest.mark.parametrize("routing", ["both", "booster"])
    def test_sgd_equals_keras(self, routing):
        """Plain SGD never moves absent rows, so both optimizers compute the same."""
        x, y = clicks(24)
        results = []
        for optimizer, embedding in (
            (keras.optimizers.SGD(0.5), keras.layers.Embedding),
            (SparseSGD(0.5), Embedding),
        ):
            model = rocket(
                optimizer, embedding, eagerly=routing == "both", shared_layers_learn_from=routing
            )
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
            results.append(model.get_weights())
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize(
        "make",
        [
            SparseAdam,  # replicas sum gradients in the same way for each optimizer
            pytest.param(SparseAdagrad, marks=pytest.mark.slow),
            pytest.param(SparseSGD, marks=pytest.mark.slow),
        ],
    )
    @pytest.mark.usefixtures("float64")
    def test_two_replicas_equal_one(self, two_replicas, make):
        x, y = clicks(25)
        data = tf.data.Dataset.from_tensor_slices((tuple(x), y)).batch(8)
        results = []
        for strategy in (tf.distribute.get_strategy(), two_replicas):
            with strategy.scope():
                model = rocket(make(0.1))
            model.fit(data, epochs=2, verbose=0)
            results.append(model.get_weights())
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_mixed_precision(self, policy):
        keras.config.set_dtype_policy(policy)
        x, y = clicks(16)
        model = rocket(SparseAdam(0.1))
        before = model.get_layer("low").embeddings.numpy()
        model.fit(x, y, batch_size=16, verbose=0)
        after = model.get_layer("low").embeddings.numpy()
        present = np.union1d(x[0], x[1])
        assert after.dtype == np.float32
        assert (after[present] != before[present]).any(1).all()

    def test_steps_per_execution(self):
        x, y = clicks(32)
        results = []
        for steps_per_execution in (1, 2):
            model = rocket("sgd")
            model.compile(SparseAdam(0.1), cross_entropy(), steps_per_execution=steps_per_execution)
            model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
            results.append(model.get_weights())
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize(
        "optimizer",
        [
            lambda: SparseAdam(0.1, global_clipnorm=1.0),
            lambda: SparseAdagrad(0.1, clipnorm=1.0),
            lambda: SparseSGD(0.1, momentum=0.9, weight_decay=0.01),
            lambda: SGDWithL2(0.1),
            lambda: SplitOptimizer(SparseAdagrad(0.1), SparseAdam(0.01), global_clipnorm=1.0),
        ],
    )
    @pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
    def test_nothing_in_a_step_has_the_size_of_a_table(self, optimizer, policy):
        keras.config.set_dtype_policy(policy)
        rows = 1009
        model = rocket(optimizer(), rows=rows, eagerly=True)
        x, y = clicks(8, rows)
        model.fit(x, y, batch_size=8, verbose=0)  # builds all variables
        assert [each for each in shapes_in_a_step(model, x, y) if rows in each[1]] == []

    def test_a_step_by_keras_has_tensors_of_that_size(self):
        """This shows that the test above can fail."""
        rows = 1009
        model = rocket(keras.optimizers.Adam(0.1), keras.layers.Embedding, rows, eagerly=True)
        x, y = clicks(8, rows)
        model.fit(x, y, batch_size=8, verbose=0)
        assert [each for each in shapes_in_a_step(model, x, y) if rows in each[1]] != []

    def test_save_and_load_with_the_state_of_both_optimizers(self, tmp_path):
        x, y = clicks(16)
        optimizer = SplitOptimizer(SparseAdagrad(0.1), keras.optimizers.Adam(0.01))
        model = rocket(optimizer, eagerly=True)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        model.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        for each in (model, loaded):
            each.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


class TestSplitOptimizer:
    def test_each_part_has_its_optimizer_and_rate(self):
        optimizer = SplitOptimizer(SparseSGD(0.5), keras.optimizers.Adam(0.01))
        rows = keras.Variable(np.ones((4, 2), np.float32), name="embeddings")
        kernel = keras.Variable([1.0, 2.0], name="kernel")
        gradient = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([2]), tf.constant([4, 2]))
        for _ in range(2):
            optimizer.apply([gradient, tf.constant([3.0, -3.0])], [rows, kernel])
        np.testing.assert_allclose(rows[2], [0.0, 0.0], atol=1e-7)
        np.testing.assert_allclose(
            kernel, [0.98, 2.02], rtol=1e-5
        )  # Adam's first steps are as large as its rate
        assert int(optimizer.iterations) == 2

    def test_learning_rate_is_that_of_the_rest(self):
        optimizer = SplitOptimizer(SparseSGD(0.5), keras.optimizers.SGD(0.25))
        optimizer.learning_rate = 0.125
        assert float(optimizer.rest.learning_rate) == 0.125
        assert float(optimizer.tables.learning_rate) == 0.5

    def test_config_round_trip(self):
        optimizer = SplitOptimizer(SparseSGD(0.5), keras.optimizers.SGD(0.25), global_clipnorm=2.0)
        copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
        assert isinstance(copy.tables, SparseSGD)
        assert (float(copy.tables.learning_rate), float(copy.learning_rate)) == (0.5, 0.25)
        assert copy.global_clipnorm == 2.0

    def test_other_arguments_than_two_optimizers(self):
        one = SparseSGD(0.5)
        with pytest.raises(ValueError, match="two optimizers"):
            SplitOptimizer(one, one)
        with pytest.raises(ValueError, match=r"^rest must be a keras.optimizers.Optimizer"):
            SplitOptimizer(one, "sgd")
