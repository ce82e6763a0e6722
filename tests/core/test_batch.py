"""Sample weights and masks follow one rule in label losses, logit hints and layer hints."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from rocket_tf import Hint, RocketModel
from rocket_tf.core.batch import mean_of, weights_of
from rocket_tf.core.keras_internals import MASK
from tests.nets import CROSS_ENTROPY
from tests.reference import softmax

TRIES = 400


class OfPositions(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.sum(ops.square(y_pred - y_true), axis=-1)


class OfExamples(keras.losses.Loss):
    def call(self, y_true, y_pred):
        squares = ops.square(y_pred - y_true)
        return ops.sum(squares, axis=list(range(1, len(squares.shape))))


class OfElements(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.square(y_pred - y_true)


def from_the_left(array, shape):
    """Broadcasts an array to a shape; its axes are the shape's first axes."""
    array = np.asarray(array, float)
    return np.broadcast_to(
        array.reshape(array.shape + (1,) * (len(shape) - array.ndim)), shape
    ).astype(float)


def expected_mean(values, positions, weight, mask):
    """The rule, written out: weights and mask are broadcast to the grid of positions.

    Args:
        values: float64, shape (batch,), `positions`, or `positions` and one more axis.
        positions: shape (batch, ...).
        weight: array whose axes are the first ones of `positions`, or `None`.
        mask: the same.
    """
    weight = from_the_left(1.0 if weight is None else weight, positions)
    valid = from_the_left(1.0 if mask is None else mask, positions)
    if values.ndim == 1 and len(positions) > 1:
        axes = tuple(range(1, len(positions)))
        number = valid.sum(axes)
        weight = (weight * valid).sum(axes) / np.where(number, number, 1)
        valid = valid.any(axes)
    weight, valid = (from_the_left(each, values.shape) for each in (weight, valid))
    return (values * weight * valid).sum() / max(valid.sum(), 1)


def random_case(random):
    """Draws shapes at random; the batch is sometimes as long as another axis and sometimes not."""
    rank = random.integers(0, 4)
    positions = tuple(random.integers(1, 6, rank))
    width = random.integers(1, 6)
    batch = random.choice([*positions, width, 7, 8])
    shape = (batch, *positions)

    def prefix(least):
        axes = random.integers(least, len(shape) + 1)
        sizes = [size if random.random() < 0.8 else 1 for size in shape[1:axes]]
        return (*shape[:1], *sizes) if axes else ()

    kinds = [None, prefix(0), prefix(1), (batch,), (batch, 1) if rank == 0 else shape]
    weight = kinds[random.integers(len(kinds))]
    weight = None if weight is None else random.uniform(0, 2, weight)
    mask = random.random(prefix(1)) < 0.6 if random.random() < 0.6 else None
    return shape, width, weight, mask


@pytest.mark.parametrize("loss", [OfPositions(), OfExamples(), OfElements()], ids=lambda x: x.name)
def test_random_shapes(loss):
    random = np.random.default_rng(0)
    equal = 0
    for _ in range(TRIES):
        shape, width, weight, mask = random_case(random)
        equal += shape[0] in (*shape[1:], width)
        followed, own = random.normal(size=(2, *shape, width))
        squares = (own - followed) ** 2
        axes = {"of_positions": -1, "of_examples": tuple(range(1, squares.ndim))}
        values = squares.sum(axes[loss.name]) if loss.name in axes else squares
        prediction = tf.constant(own, tf.float32)
        if mask is not None:
            setattr(prediction, MASK, tf.constant(mask))
        weights = () if weight is None else (weight,)
        grid_weight, grid = weight, shape
        if weight is not None and weight.shape == (shape[0], 1) and len(shape) == 1:
            grid_weight = weight[:, 0]
        value = mean_of(loss, tf.constant(followed, tf.float32), prediction, weights)
        expected = expected_mean(values, grid, grid_weight, mask)
        np.testing.assert_allclose(
            value, expected, rtol=2e-5, atol=1e-6, err_msg=f"{shape} {width} {weight} {mask}"
        )
    assert TRIES / 4 < equal < TRIES


def logits_and_labels(shape, width, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(*shape, width)), random.integers(0, width, shape)


@pytest.mark.parametrize("weights", [(4, 3), (3, 4), (4, 5, 4), (4, 4, 6)], ids=str)
def test_weights_of_labels_must_fit(weights):
    logits, labels = logits_and_labels((4, 5), 3)
    with pytest.raises(
        ValueError, match=r"Received: sample_weight of shape .* label loss of light"
    ):
        mean_of(CROSS_ENTROPY, labels, tf.constant(logits), [np.ones(weights)], labels_of="light")
    if weights[0] == 3:  # the weights have another number of examples
        with pytest.raises(ValueError, match=r"sample_weight of shape \(3, 4\) for a hint with"):
            mean_of(OfPositions(), logits, tf.constant(logits), [np.ones(weights)])


def test_labels_that_a_loss_ignores_and_masked_ones_are_left_out():
    logits, labels = logits_and_labels((4, 5), 3)
    ignoring = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    mask = np.arange(5) < np.array([[5], [3], [1], [0]])
    weight = np.array([1.0, 2.0, 0.0, 3.0])
    prediction = tf.constant(logits)
    setattr(prediction, MASK, tf.constant(mask))
    value = mean_of(ignoring, labels, prediction, [weight], labels_of="light")
    chosen = np.take_along_axis(softmax(logits), labels[..., None], -1)[..., 0]
    expected = expected_mean(-np.log(chosen), (4, 5), weight, mask & (labels != 0))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_the_masks_of_both_nets_count():
    first, second = np.random.default_rng(0).random((2, 4, 5)) < 0.7
    own, followed = np.random.default_rng(1).normal(size=(2, 4, 5, 3))
    prediction = tf.constant(own)
    setattr(prediction, MASK, tf.constant(first))
    value = mean_of(OfPositions(), followed, prediction, mask=tf.constant(second))
    expected = expected_mean(((own - followed) ** 2).sum(-1), (4, 5), None, first & second)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


class TestDicts:
    OUTPUTS = ["click", "like"]

    def test_of_one_net(self):
        by_net = {"light": {"click": 1.0, "like": 2.0}, "booster": 5.0}
        assert weights_of(by_net, "light", "like", self.OUTPUTS) == (2.0,)
        assert weights_of(by_net, "booster", "like", self.OUTPUTS) == (5.0,)
        assert weights_of({"booster": 5.0}, "light", None, self.OUTPUTS) == ()
        # A weight for one output also applies to the others; `None` counts as 1.
        assert weights_of({"click": 3.0}, "light", "like", self.OUTPUTS) == (3.0,)
        assert weights_of({"click": None, "like": 3.0}, "light", "click", self.OUTPUTS) == ()
        assert weights_of({"click": None, "like": 3.0}, "light", None, self.OUTPUTS) == (1.0, 3.0)

    @pytest.mark.parametrize(
        "outputs, given",
        [([None], {"logits": 1.0}), (OUTPUTS, {"kick": 1.0}), (OUTPUTS, {"light": 1, "click": 1})],
    )
    def test_of_other_keys(self, outputs, given):
        with pytest.raises(ValueError, match="sample_weight, as a dict, has the keys 'light'"):
            weights_of(given, "light", outputs[0], outputs)


def segmenting():
    """Nets that segment 4×5 images, with hidden layers at half the resolution."""
    inputs = keras.Input((4, 5, 3), name="images")

    def net(role, units):
        x = layers.Conv2D(units, 2, padding="same", name=f"{role}_low")(inputs)
        small = layers.AveragePooling2D(2, padding="same", name=f"{role}_small")(x)
        small = layers.UpSampling2D(2)(layers.Dense(units)(small))[:, :, :5]
        return keras.Model(inputs, layers.Conv2D(2, 1, name=f"{role}_out")(x + small), name=role)

    return net("light", 3), net("booster", 6)


HIDDEN = {"light_small": "booster_small"}
HINTS = [
    Hint("logits_mse", 1.0),
    Hint("attention", 1.0, layers=HIDDEN, name="attention_loss"),
    Hint("euclidean", 1.0, layers=HIDDEN, projection=True, name="small_loss"),
]


def values_of(rocket, x, y):
    """The values of each term in float64, before they are averaged."""
    logits, hidden = keras.tree.map_structure(
        lambda value: value.numpy().astype(float), rocket.forward(x, training=False)
    )
    values = {}
    for role, own in logits.items():
        chosen = np.take_along_axis(softmax(own), y[..., None], -1)[..., 0]
        values[f"{role}_loss"] = -np.log(chosen)
    values["hint_loss"] = ((logits["light"] - logits["booster"]) ** 2).sum(-1)
    own, followed = hidden["light"]["light_small"], hidden["booster"]["booster_small"]
    maps = [(each**2).mean(-1).reshape(len(each), -1) for each in (own, followed)]
    maps = [each / np.linalg.norm(each, axis=-1, keepdims=True) for each in maps]
    values["attention_loss"] = ((maps[0] - maps[1]) ** 2).mean(-1)
    kernel = rocket._projections["small_loss", "light_small"].kernel.numpy().astype(float)
    values["small_loss"] = np.linalg.norm(own @ kernel - followed, axis=-1)
    return values


def images(count):
    random = np.random.default_rng(count)
    x = random.normal(size=(count, 4, 5, 3)).astype("float32")
    return x, random.integers(0, 2, (count, 4, 5)), random


def assert_weighted(logs, values, weight, rtol=1e-5):
    """Asserts that terms are weighted; terms at other positions use each example's mean weight."""
    for name, each in values.items():
        fitting = weight
        if weight.ndim > 1 and name in ("attention_loss", "small_loss"):
            fitting = weight.reshape(len(weight), -1).mean(-1)
        expected = np.mean(each * from_the_left(fitting, each.shape))
        np.testing.assert_allclose(logs[name], expected, rtol=rtol, err_msg=name)


@pytest.fixture(scope="module")
def segmenter():
    keras.utils.set_random_seed(0)
    rocket = RocketModel(*segmenting(), hint=HINTS)
    rocket.compile(
        keras.optimizers.SGD(0.0),
        CROSS_ENTROPY,
        weighted_metrics=["accuracy"],
        run_eagerly=True,
    )
    return rocket


class TestImages:
    # The batch size equals the rows, columns, channels or hidden rows, or none of them.
    @pytest.mark.parametrize("count", [4, 5, 3, 2, 7])
    @pytest.mark.parametrize("axes", [(), (1,), (4, 5), (4, 1), (4, 5, 1)], ids=str)
    def test_weights_of_examples_and_pixels(self, segmenter, count, axes):
        x, y, random = images(count)
        weight = random.uniform(0, 2, (count, *axes))
        logs = segmenter.evaluate(
            x, y, sample_weight=weight, batch_size=count, return_dict=True, verbose=0
        )
        if axes in ((), (1,)):
            pixels = weight.reshape(count)
        else:
            pixels = np.broadcast_to(weight, (count, 4, 5, 1)[: weight.ndim]).reshape(y.shape)
        values = values_of(segmenter, x, y)
        assert_weighted(logs, values, pixels)
        right = segmenter(x)["booster"].numpy().argmax(-1) == y
        expected = np.average(right, weights=from_the_left(pixels, y.shape))
        np.testing.assert_allclose(logs["booster_accuracy"], expected, rtol=1e-5)

    def test_in_a_graph_and_with_gradients(self):
        keras.utils.set_random_seed(0)
        x, y, random = images(5)  # as many images as columns
        weight = random.uniform(0, 2, 5)
        moved = []
        for sample_weight in (weight, np.broadcast_to(weight[:, None, None], y.shape)):
            keras.utils.set_random_seed(1)
            rocket = RocketModel(*segmenting(), hint=HINTS)
            rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
            values = values_of(rocket, x, y)
            logs = rocket.fit(x, y, sample_weight=sample_weight, batch_size=5, verbose=0).history
            assert_weighted({name: log[0] for name, log in logs.items()}, values, weight)
            moved.append(rocket.get_weights())
        for one, other in zip(*moved, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)

    def test_a_dict_by_net(self, segmenter):
        x, y, random = images(5)
        by_net = {"light": random.uniform(0, 2, 5), "booster": random.uniform(0, 2, (5, 4, 5))}
        logs = segmenter.evaluate(x, y, sample_weight=by_net, return_dict=True, verbose=0)
        values = values_of(segmenter, x, y)
        booster = {"booster_loss": values.pop("booster_loss")}
        assert_weighted(logs, booster, by_net["booster"])
        assert_weighted(logs, values, by_net["light"])
        right = segmenter(x)["booster"].numpy().argmax(-1) == y
        np.testing.assert_allclose(
            logs["booster_accuracy"], np.average(right, weights=by_net["booster"]), rtol=1e-5
        )
        with pytest.raises(ValueError, match=r"Received: a dict of \['lihgt'\]"):
            segmenter.evaluate(x, y, sample_weight={"lihgt": by_net["light"]}, verbose=0)

    def test_weights_for_other_positions_are_refused(self, segmenter):
        x, y, _ = images(5)
        for shape in ((5, 3), (5, 5), (5, 4, 4)):
            with pytest.raises(ValueError, match=r"from the first \(the batch\) on"):
                segmenter.evaluate(x, y, sample_weight=np.ones(shape), verbose=0)

    @pytest.mark.parametrize("form", ["classes", "classes, one axis more", "one-hot"])
    @pytest.mark.parametrize("as_data_set", [True, False])
    def test_class_weights(self, segmenter, form, as_data_set):
        x, y, _ = images(5)
        loss = CROSS_ENTROPY
        labels = y if form == "classes" else y[..., None]
        if form == "one-hot":
            loss, labels = keras.losses.CategoricalCrossentropy(from_logits=True), np.eye(2)[y]
        segmenter.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
        data = (x, labels)
        if as_data_set:
            data = (tf.data.Dataset.from_tensor_slices(data).batch(5),)
        history = segmenter.fit(*data, class_weight={1: 3.0}, verbose=0).history
        logs = {name: log[0] for name, log in history.items()}
        assert_weighted(logs, values_of(segmenter, x, y), np.where(y == 1, 3.0, 1.0))
        # They do not apply to later fits or to evaluations.
        for logs in (
            {name: log[0] for name, log in segmenter.fit(*data, verbose=0).history.items()},
            segmenter.evaluate(*data, return_dict=True, verbose=0),
        ):
            assert_weighted(logs, values_of(segmenter, x, y), np.ones(5))
        segmenter.reset_metrics()  # Keras 3.12 includes the evaluation
        logs = segmenter.train_on_batch(x, labels, class_weight={1: 3.0}, return_dict=True)
        assert_weighted(logs, values_of(segmenter, x, y), np.where(y == 1, 3.0, 1.0))

    def test_steps_in_a_graph_follow_other_class_weights(self, segmenter):
        segmenter.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
        x, y, _ = images(4)
        values = values_of(segmenter, x, y)
        for class_weight in ({1: 3.0}, None, {0: 0.5, 1: 2.0}):
            history = segmenter.fit(x, y, class_weight=class_weight, verbose=0).history
            weight = np.vectorize(lambda label, by=class_weight: (by or {}).get(label, 1.0))(y)
            assert_weighted({name: log[0] for name, log in history.items()}, values, weight)

    def test_class_weights_with_sample_weights_are_refused_as_in_keras(self, segmenter):
        x, y, _ = images(5)
        with pytest.raises(ValueError, match="class_weight and sample_weight cannot be given"):
            segmenter.fit(x, y, sample_weight=np.ones(5), class_weight={1: 2.0}, verbose=0)

    def test_in_mixed_precision(self):
        keras.config.set_dtype_policy("mixed_float16")
        rocket = RocketModel(*segmenting(), hint=HINTS)
        keras.config.set_dtype_policy("float32")
        rocket.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY, run_eagerly=True)
        x, y, random = images(5)
        for shape in ((5,), y.shape):
            # Their sum exceeds float16's range.
            weight = random.uniform(0, 60000, shape)
            logs = rocket.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
            assert_weighted(logs, values_of(rocket, x, y), weight, rtol=1e-4)


class TestSingleLogits:
    """A yes or no at each position: labels (batch, time) with logits (batch, time, 1)."""

    def rocket(self, loss):
        inputs = keras.Input((5, 3))
        keras.utils.set_random_seed(0)
        light, booster = (
            keras.Model(inputs, layers.Dense(1, name=f"{role}_logits")(inputs), name=role)
            for role in ("light", "booster")
        )
        rocket = RocketModel(light, booster)
        rocket.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True)
        return rocket

    def data(self, count):
        random = np.random.default_rng(0)
        x = random.normal(size=(count, 5, 3)).astype("float32")
        return x, random.integers(0, 2, (count, 5)), random

    @pytest.mark.parametrize("count", [5, 4])
    @pytest.mark.parametrize("with_axis", [True, False])
    def test_weights_of_steps_and_classes(self, count, with_axis):
        rocket = self.rocket(keras.losses.BinaryCrossentropy(from_logits=True))
        x, y, random = self.data(count)
        logits = rocket(x)["light"].numpy()[..., 0].astype(float)
        values = np.logaddexp(0, logits) - y * logits
        labels = y[..., None] if with_axis else y
        for shape in ((count,), (count, 5), (count, 5, 1)):
            weight = random.uniform(0, 2, shape)
            logs = rocket.evaluate(x, labels, sample_weight=weight, return_dict=True, verbose=0)
            fitting = from_the_left(weight[..., 0] if len(shape) == 3 else weight, y.shape)
            np.testing.assert_allclose(logs["light_loss"], np.mean(fitting * values), rtol=1e-5)
        history = rocket.fit(x, labels, class_weight={0: 0.5, 1: 2.0}, verbose=0).history
        expected = np.mean(np.where(y, 2.0, 0.5) * values)
        np.testing.assert_allclose(history["light_loss"][0], expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "loss",
        ["mse", lambda y, p: ops.sum((y - p) ** 2, -1), lambda y, p: ops.mean((y - p) ** 2, -1)],
        ids=["mse", "sum", "mean"],
    )
    def test_values_equal_keras(self, loss):
        rocket = self.rocket(loss)
        x, y, random = self.data(5)
        alone = keras.Model(rocket.light.input, rocket.light.output)
        alone.compile("sgd", loss, run_eagerly=True)
        for weight in (None, random.uniform(0, 2, 5)):
            logs = rocket.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
            expected = alone.evaluate(x, y, sample_weight=weight, verbose=0)
            np.testing.assert_allclose(logs["light_loss"], expected, rtol=1e-6)
        # Here, custom functions return a value per example, and "mse" returns a value per step.
        if loss != "mse":
            with pytest.raises(ValueError, match=r"light with values of shape \(5,\)"):
                rocket.evaluate(x, y, sample_weight=np.ones((5, 5)), verbose=0)


def test_outputs_of_several_ranks():
    inputs = keras.Input((5, 3))

    def net(role):
        low = layers.Dense(4, name=f"{role}_low")(inputs)
        outputs = {
            "word": layers.Dense(2, name=f"{role}_word")(low),
            "text": layers.Dense(2, name=f"{role}_text")(layers.GlobalAveragePooling1D()(low)),
        }
        return keras.Model(inputs, outputs, name=role)

    hint = Hint("logits_mse", 1.0, layers={"light_low": "booster_low"}, name="low_loss")
    rocket = RocketModel(net("light"), net("booster"), hint=[Hint(), hint])
    rocket.compile("sgd", CROSS_ENTROPY, weighted_metrics=["accuracy"], run_eagerly=True)
    random = np.random.default_rng(0)
    x = random.normal(size=(5, 5, 3)).astype("float32")  # as many texts as words
    y = {"word": random.integers(0, 2, (5, 5)), "text": random.integers(0, 2, 5)}
    weights = {"word": random.uniform(0, 2, (5, 5)), "text": random.uniform(0, 2, 5)}
    logits, hidden = keras.tree.map_structure(
        lambda value: value.numpy().astype(float), rocket.forward(x, training=False)
    )
    low = ((hidden["light"]["light_low"] - hidden["booster"]["booster_low"]) ** 2).sum(-1)
    one = random.uniform(0, 2, 5)
    for given, own in ((weights, weights), (one, {"word": one[:, None], "text": one})):
        logs = rocket.evaluate(x, y, sample_weight=given, return_dict=True, verbose=0)
        hinted = 0
        for output, weight in own.items():
            light = logits[f"light_{output}"]
            chosen = np.take_along_axis(softmax(light), y[output][..., None], -1)[..., 0]
            np.testing.assert_allclose(
                logs[f"light_{output}_loss"], np.mean(weight * -np.log(chosen)), rtol=1e-5
            )
            right = light.argmax(-1) == y[output]
            expected = np.average(right, weights=np.broadcast_to(weight, right.shape))
            np.testing.assert_allclose(logs[f"light_{output}_accuracy"], expected, rtol=1e-5)
            hinted += np.mean(weight * ((light - logits[f"booster_{output}"]) ** 2).sum(-1))
        np.testing.assert_allclose(logs["hint_loss"], hinted, rtol=1e-5)
        mean = (own["word"] + own["text"][:, None]) / 2
        np.testing.assert_allclose(logs["low_loss"], np.mean(mean * low), rtol=1e-5)


def tokens(lengths, steps, seed=0):
    random = np.random.default_rng(seed)
    x = random.integers(1, 9, (len(lengths), steps))
    x[np.arange(steps) >= np.array(lengths)[:, None]] = 0
    return x, random.integers(0, 3, x.shape), random


def masked_rocket(steps=None):
    words = keras.Input((steps,), dtype="int64", name="words")
    low = layers.Embedding(9, 4, mask_zero=True, name="low")(words)
    light = layers.Dense(3, name="light_logits")(layers.Dense(5, name="small")(low))
    high = layers.Dense(7, name="large")(low)
    booster = layers.Dense(3, name="booster_logits")(high)
    hints = [
        Hint("logits_mse", 1.0),
        Hint("attention", 1.0, layers={"small": "large"}, name="attention_loss"),
        Hint("cosine", 1.0, layers={"small": "large"}, projection=True, name="cosine_loss"),
    ]
    light, booster = keras.Model(words, light, name="light"), keras.Model(words, booster, name="b")
    return RocketModel(light, booster, hint=hints)


def terms_of_valid(rocket, x, y, weight=None):
    """The terms averaged over the words that are not padding, in float64."""
    logits, hidden = keras.tree.map_structure(
        lambda value: value.numpy().astype(float), rocket.forward(x, training=False)
    )
    chosen = np.take_along_axis(softmax(logits["light"]), y[..., None], -1)[..., 0]
    own, followed = hidden["light"]["small"], hidden["booster"]["large"]
    projected = own @ rocket._projections["cosine_loss", "small"].kernel.numpy().astype(float)
    cosine = (projected * followed).sum(-1)
    cosine /= np.linalg.norm(projected, axis=-1) * np.linalg.norm(followed, axis=-1)
    values = {
        "light_loss": -np.log(chosen),
        "hint_loss": ((logits["light"] - logits["booster"]) ** 2).sum(-1),
        "cosine_loss": 1 - cosine,
    }
    terms = {name: expected_mean(each, x.shape, weight, x > 0) for name, each in values.items()}
    attention = np.zeros(len(x))
    for row, words in enumerate(x):
        valid = words > 0
        if valid.any():  # each text alone, without its padding
            maps = [(each[row, valid] ** 2).mean(-1) for each in (own, followed)]
            maps = [each / np.linalg.norm(each) for each in maps]
            attention[row] = ((maps[0] - maps[1]) ** 2).mean()
    terms["attention_loss"] = expected_mean(attention, x.shape, weight, x > 0)
    return terms


class TestPadding:
    # The batch size equals the words, classes or channels, or none of them. A text may be empty.
    @pytest.mark.parametrize("lengths", [(6, 1, 3, 2, 6, 4), (6, 0, 2), (1, 2, 6, 4, 5), (6,) * 8])
    def test_is_left_out_of_every_term(self, lengths):
        rocket = masked_rocket()
        rocket.compile("sgd", CROSS_ENTROPY, weighted_metrics=["accuracy"], run_eagerly=True)
        x, y, random = tokens(lengths, 6)
        for shape in (None, (len(x),), (len(x), 1), x.shape):
            weight = None if shape is None else random.uniform(0.1, 2, shape)
            logs = rocket.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
            for name, expected in terms_of_valid(rocket, x, y, weight).items():
                np.testing.assert_allclose(logs[name], expected, rtol=2e-5, err_msg=name)
            right = rocket(x)["light"].numpy().argmax(-1) == y
            weighing = from_the_left(1.0 if weight is None else weight, x.shape) * (x > 0)
            if weight is not None:
                np.testing.assert_allclose(
                    logs["light_accuracy"], np.average(right, weights=weighing), rtol=1e-5
                )

    def test_more_of_it_changes_nothing(self):
        rocket = masked_rocket()
        rocket.compile("sgd", CROSS_ENTROPY)
        x, y, _ = tokens((4, 2, 3), 4)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        wider = [np.pad(each, ((0, 0), (0, 3))) for each in (x, y)]
        padded = rocket.evaluate(*wider, return_dict=True, verbose=0)
        for name, value in logs.items():
            np.testing.assert_allclose(padded[name], value, rtol=1e-5, err_msg=name)

    def test_receives_no_gradient_from_attention(self):
        rocket = masked_rocket()
        rocket.compile(
            keras.optimizers.SGD(1.0), CROSS_ENTROPY, loss_weights={"light": 0, "booster": 0}
        )
        before = rocket.get_layer("low").embeddings.numpy()
        x, y, _ = tokens((4, 0, 3), 4)
        rocket.fit(x, y, verbose=0)
        moved = rocket.get_layer("low").embeddings.numpy() - before
        assert np.isfinite(moved).all() and np.abs(moved[1:]).max() > 0
        np.testing.assert_array_equal(moved[0], 0)

    def test_of_the_booster_alone_is_left_out_of_the_hint(self):
        words = keras.Input((None,), dtype="int64")
        low = layers.Embedding(9, 4, mask_zero=True)(words)
        light = keras.Model(words, layers.Dense(3)(ops.tanh(low)), name="light")
        booster = keras.Model(words, layers.Dense(3)(layers.Dense(7)(low)), name="booster")
        rocket = RocketModel(light, booster)
        rocket.compile("sgd", CROSS_ENTROPY, run_eagerly=True)
        x, y, _ = tokens((4, 1, 3), 4)
        logits = keras.tree.map_structure(lambda each: each.numpy().astype(float), rocket(x))
        distance = ((logits["light"] - logits["booster"]) ** 2).sum(-1)
        logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["hint_loss"], distance[x > 0].mean(), rtol=1e-5)
        for role, valid in (("light", x >= 0), ("booster", x > 0)):
            chosen = np.take_along_axis(softmax(logits[role]), y[..., None], -1)[..., 0]
            expected = -np.log(chosen[valid]).mean()
            np.testing.assert_allclose(logs[f"{role}_loss"], expected, rtol=1e-5)

    @pytest.mark.slow
    def test_uneven_padding_on_two_replicas_equals_one_device(self, two_replicas):
        x, y, random = tokens((6, 1, 3, 0, 2, 1, 5), 6)
        weight = random.uniform(0.1, 2, 7)
        results = []
        for strategy in (tf.distribute.get_strategy(), two_replicas):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                rocket = masked_rocket()
                rocket.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
            fitted = rocket.fit(x, y, sample_weight=weight, batch_size=4, shuffle=False, verbose=0)
            logs = rocket.evaluate(x, y, batch_size=7, return_dict=True, verbose=0)
            for name, expected in terms_of_valid(rocket, x, y).items():
                np.testing.assert_allclose(logs[name], expected, rtol=2e-5, err_msg=name)
            results.append((fitted.history, rocket.get_weights()))
        one, two = (keras.tree.flatten(result) for result in results)
        for mine, other in zip(one, two, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
