"""Several inputs as a dict or a list, ids and strings, missing inputs and unread ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rocket_tf import Hint, RocketModel, gradient_flow, ownership
from tests.nets import CLASSES, CROSS_ENTROPY, examples, linear_pair

COLOURS = ["red", "green", "blue"]


def numbers(count, seed=0):
    random = np.random.default_rng(seed)
    x = {"zoom": random.normal(size=(count, 2)), "age": random.normal(size=(count, 3))}
    return x, random.integers(0, CLASSES, count)


def pair(as_dict=True, share=True):
    """Nets with two inputs that are not in alphabetical order."""
    made = []
    for role in ("light", "booster"):
        if not made or not share:
            zoom, age = keras.Input((2,), name="zoom"), keras.Input((3,), name="age")
            inputs = {"zoom": zoom, "age": age} if as_dict else [zoom, age]
            low = layers.Concatenate(name=f"{role}_joined")([zoom, age])
            low = layers.Dense(4, name=f"{role}_low")(low)
        made.append(
            keras.Model(inputs, layers.Dense(CLASSES, name=f"{role}_logits")(low), name=role)
        )
    return made


def logits_of(net, x):
    """The logits of a net of `pair`, in float64 NumPy."""
    low, last = (layer for layer in net.layers if isinstance(layer, layers.Dense))
    joined = np.concatenate([x["zoom"], x["age"]], axis=-1)
    return (joined @ low.kernel.numpy() + low.bias.numpy()) @ last.kernel.numpy()


def compiled(nets, learning_rate=0.0, eagerly=True, **arguments):
    """A compiled rocket; by default it runs eagerly, which is faster for a few steps."""
    rocket = RocketModel(*nets, **arguments)
    rocket.compile(
        keras.optimizers.SGD(learning_rate),
        CROSS_ENTROPY,
        metrics=["accuracy"],
        run_eagerly=eagerly,
    )
    return rocket


FORMS = {
    "dict": lambda x: x,
    "dict in another order": lambda x: {"age": x["age"], "zoom": x["zoom"]},
    "dict with more": lambda x: {"user": np.arange(len(x["age"])), **x},
    "list": lambda x: [x["zoom"], x["age"]],
    "tuple": lambda x: (x["zoom"], x["age"]),
}


@pytest.mark.parametrize(
    "as_dict, form",
    [(True, form) for form in FORMS if "dict" in form] + [(False, form) for form in FORMS],
)
@pytest.mark.parametrize("share", [True, False])
def test_several_inputs_in_every_form(as_dict, form, share):
    x, y = numbers(7)
    rocket = compiled(pair(as_dict, share))
    light, booster = (logits_of(net, x) for net in (rocket.light, rocket.booster))
    given = FORMS[form](x)
    np.testing.assert_allclose(rocket.predict(given, verbose=0), light, rtol=1e-4, atol=1e-5)
    expected = np.sum((light - booster) ** 2, -1).mean()
    logs = rocket.evaluate(given, y, batch_size=4, return_dict=True, verbose=0)
    np.testing.assert_allclose(logs["hint_loss"], expected, rtol=1e-4)
    if not isinstance(given, list | tuple):  # from_tensor_slices would stack these into one tensor
        history = rocket.fit(
            tf.data.Dataset.from_tensor_slices((given, y)).batch(4), verbose=0
        ).history
        np.testing.assert_allclose(history["hint_loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize("share", [True, False])
def test_saved_and_loaded(as_dict, share, tmp_path):
    x, y = numbers(6)
    rocket = compiled(pair(as_dict, share), 0.1)
    rocket.fit(x, y, verbose=0)
    rocket.save(tmp_path / "rocket.keras")
    loaded = keras.models.load_model(tmp_path / "rocket.keras")
    assert type(loaded.input) is type(rocket.input)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), rocket.predict(x, verbose=0))
    assert loaded.evaluate(x, y, verbose=0) == rocket.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("more", [False, True])
def test_hidden_layers_and_a_teacher_read_them_too(more):
    x, y = numbers(6)
    given = {**x, "user": np.arange(6)} if more else x
    light, _ = pair()
    _, teacher = pair(share=False)
    hints = [
        Hint("logits_mse", 1.0, follows="teacher"),
        Hint(
            "logits_mse",
            follows="teacher",
            layers={"light_low": "booster_low"},
            name="low_hint",
        ),
    ]
    rocket = compiled([light], teacher=teacher, hint=hints)
    logs = rocket.evaluate(given, y, return_dict=True, verbose=0)
    expected = np.sum((logits_of(light, x) - logits_of(teacher, x)) ** 2, -1).mean()
    np.testing.assert_allclose(logs["teacher_loss"], expected, rtol=1e-4)
    flow = gradient_flow(rocket, given, y)
    assert flow["teacher_loss"]["light only"] > 0 and flow["low_hint"]["light only"] > 0


def test_a_single_input_is_found_by_name_in_a_dict(recwarn):
    rocket = compiled(linear_pair(), eagerly=False)
    x, y = examples(6)
    expected = rocket.evaluate(x, y, verbose=0)
    given = {"features": x, "user": np.arange(6)}
    assert rocket.evaluate(given, y, verbose=0) == expected
    rocket.fit(given, y, verbose=0)
    np.testing.assert_array_equal(rocket.predict(given, verbose=0), rocket.predict(x, verbose=0))
    assert not [each for each in recwarn if "structure of `inputs`" in str(each.message)]


@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize("call", ["fit", "evaluate", "predict", "forward"])
@pytest.mark.parametrize("others", [{}, {"ages": np.zeros((4, 3))}], ids=["fewer", "misspelt"])
def test_an_input_that_is_missing_is_named(as_dict, call, others):
    rocket = compiled(pair(as_dict))
    x, y = numbers(4)
    given = {"zoom": x["zoom"], **others}
    arguments = {
        "fit": {"y": y, "verbose": 0},
        "evaluate": {"y": y, "verbose": 0},
        "predict": {"verbose": 0},
        "forward": {"training": False},
    }[call]
    with pytest.raises(
        ValueError, match=r"inputs \['\w+', '\w+'\], but \['age'\] are missing.*zoom"
    ):
        getattr(rocket, call)(given, **arguments)


def test_nets_whose_inputs_differ():
    (light, _), (_, listed) = pair(), pair(as_dict=False)
    with pytest.raises(ValueError, match="must take inputs of the same structure, shape and dtype"):
        RocketModel(light, listed)
    low = keras.Input((2,), name="zoom"), keras.Input((3,), dtype="int32", name="age")
    joined = layers.Concatenate()([low[0], layers.Rescaling(1.0)(low[1])])
    integers = keras.Model({"zoom": low[0], "age": low[1]}, layers.Dense(CLASSES)(joined))
    with pytest.raises(ValueError, match=r"'age': \(\(None, 3\), 'int32'\)"):
        RocketModel(light, integers)


def words(count):
    random = np.random.default_rng(count)
    x = {
        "colour": random.choice([*COLOURS, "violet"], (count, 1)).astype(object),
        "words": random.choice(["a", "bb", "ccc", ""], (count, 4)).astype(object),
        "user": random.integers(0, 50, (count, 1)),
        "age": random.normal(size=(count, 1)).astype(np.float32),
    }
    return x, random.integers(0, CLASSES, count)


def batches(data, size=6):
    """A data set, because Keras accepts strings only in data sets."""
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def word_pair(normalized=False):
    inputs = {
        "colour": keras.Input((1,), dtype="string", name="colour"),
        "words": keras.Input((4,), dtype="string", name="words"),
        "user": keras.Input((1,), dtype="int64", name="user"),
        "age": keras.Input((1,), name="age"),
    }
    colour = layers.StringLookup(vocabulary=COLOURS, name="lookup")(inputs["colour"])
    words = layers.Hashing(11, name="hash_words")(inputs["words"])
    user = layers.Hashing(7, name="hash_users")(inputs["user"])
    embedded = [
        layers.Flatten()(layers.Embedding(size, 3, name=f"{name}_embedding")(ids))
        for name, ids, size in (("colour", colour, 4), ("words", words, 11), ("user", user, 7))
    ]
    low = layers.Concatenate()([*embedded, inputs["age"]])
    if normalized:
        low = layers.BatchNormalization(name="norm")(low)
    high = layers.Dense(8, "relu", name="booster_hidden")(low)
    return [
        keras.Model(inputs, layers.Dense(CLASSES, name="light_logits")(low), name="light"),
        keras.Model(inputs, layers.Dense(CLASSES, name="booster_logits")(high), name="booster"),
    ]


class TestIdsAndStrings:
    @pytest.mark.parametrize("learn_from", ["both", "booster"])
    def test_they_are_trained_on(self, learn_from):
        rocket = compiled(word_pair(), 0.5, eagerly=False, shared_layers_learn_from=learn_from)
        losses = rocket.fit(batches(words(24)), epochs=6, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        assert set(ownership(rocket).layers["shared"]) == {
            "colour_embedding",
            "words_embedding",
            "user_embedding",
        }

    def test_a_step_moves_only_the_rows_that_were_read(self):
        rocket = compiled(word_pair(), 0.5)
        x, y = words(5)
        x["colour"][:] = "green"
        table = rocket.get_layer("colour_embedding")
        before = table.get_weights()[0]
        rocket.train_on_batch(x, y)
        moved = (table.get_weights()[0] != before).any(-1)
        row = int(rocket.get_layer("lookup")(tf.constant("green")))
        np.testing.assert_array_equal(moved, np.arange(4) == row)

    def test_saved_and_loaded(self, tmp_path):
        rocket = compiled(word_pair(), 0.1)
        data = batches(words(6))
        rocket.fit(data, verbose=0)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(tmp_path / "rocket.keras")
        for model in (rocket, loaded):
            model.fit(data, verbose=0)
        np.testing.assert_array_equal(
            loaded.predict(data, verbose=0), rocket.predict(data, verbose=0)
        )

    @pytest.mark.slow
    def test_two_replicas_equal_one_even_if_one_is_empty(self, two_replicas):
        """With 5 examples in batches of 4, a replica gets none of the last batch."""
        x, y = words(5)
        data = batches(({**x, "more": np.array(["not read"] * 5)}, y), 4)
        one = compiled(word_pair(), 0.1, eagerly=False)
        with two_replicas.scope():
            two = compiled(word_pair(), 0.1, eagerly=False)
        two.set_weights(one.get_weights())
        histories = [model.fit(data, epochs=2, verbose=0).history for model in (one, two)]
        for name, values in histories[0].items():
            np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, err_msg=name)
        for mine, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
        assert two.predict(data, verbose=0).shape == (5, CLASSES)

    def test_an_empty_replica_leaves_finite_statistics(self, two_replicas):
        with two_replicas.scope():
            rocket = compiled(word_pair(normalized=True), 0.1, eagerly=False)
        rocket.fit(batches(words(5), 4), verbose=0)
        assert all(np.isfinite(weights).all() for weights in rocket.get_weights())

    def test_gradient_flow(self):
        flow = gradient_flow(compiled(word_pair()), *words(5))
        assert flow["hint_loss"]["shared"] > 0 and flow["hint_loss"]["booster only"] == 0
