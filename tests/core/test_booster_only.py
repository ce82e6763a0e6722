"""Boosters that read more inputs than the light net: training, data without them, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import rocket_tf
from rocket_tf import ExactAUC, GroupAUC, Hint, RocketModel
from tests.nets import CROSS_ENTROPY

CLASSES = 2
WEIGHT = 0.3


def data(count=11, seed=0):
    random = np.random.default_rng(seed)
    x = {
        "zoom": random.normal(size=(count, 2)),
        "dwell": random.normal(size=(count, 4)),
        "age": random.normal(size=(count, 3)),
        "user": random.integers(0, 2, count),
    }
    return x, random.integers(0, CLASSES, count)


def pair(as_list=False, regularizer=None):
    """Nets that share a layer; the booster also reads `dwell`, which sorts between the others."""
    zoom, age, dwell = (
        keras.Input((width,), name=name) for name, width in (("zoom", 2), ("age", 3), ("dwell", 4))
    )
    low = layers.Concatenate(name="joined")([zoom, age])
    low = layers.Dense(5, kernel_regularizer=regularizer, name="low")(low)
    light = layers.Dense(CLASSES, name="light_logits")(low)
    high = layers.Dense(6, name="high", kernel_regularizer=regularizer)(
        layers.Concatenate(name="all")([low, dwell])
    )
    booster = layers.Dense(CLASSES, name="booster_logits")(high)
    own, every = {"zoom": zoom, "age": age}, {"zoom": zoom, "dwell": dwell, "age": age}
    if as_list:
        own, every = [zoom, age], [dwell, zoom, age]
    return keras.Model(own, light, name="light"), keras.Model(every, booster, name="booster")


def logits_of(rocket, x):
    """The logits of both nets, in float64 NumPy."""

    def dense(name, values):
        layer = next(each for each in rocket.layers if each.name == name)
        kernel, bias = (w.numpy().astype(np.float64) for w in layer.weights)
        return values @ kernel + bias

    low = dense("low", np.concatenate([x["zoom"], x["age"]], 1))
    high = dense("high", np.concatenate([low, x["dwell"]], 1))
    return {"light": dense("light_logits", low), "booster": dense("booster_logits", high)}


def cross_entropy(logits, y):
    log_sums = np.log(np.exp(logits).sum(-1))
    return np.mean(log_sums - logits[np.arange(len(y)), y])


def compiled(nets, eagerly=True, metrics=("accuracy",), **arguments):
    weight = None if "hint" in arguments else WEIGHT
    rocket = RocketModel(*nets, hint_weight=weight, **arguments)
    rocket.compile(
        keras.optimizers.SGD(0.1), CROSS_ENTROPY, metrics=list(metrics), run_eagerly=eagerly
    )
    return rocket


def without(x, *names):
    return {name: own for name, own in x.items() if name not in names}


@pytest.mark.parametrize("as_list", [False, True])
def test_the_objective_reads_the_union_of_inputs(as_list):
    rocket = compiled(pair(as_list))
    assert rocket.booster_only_inputs == ("dwell",)
    x, y = data()
    given = [x["dwell"], x["zoom"], x["age"]] if as_list else x
    logs = rocket.evaluate(given, y, verbose=0, return_dict=True)
    logits = logits_of(rocket, x)
    expected = {net: cross_entropy(own, y) for net, own in logits.items()}
    hint = np.mean(np.sum((logits["light"] - logits["booster"]) ** 2, -1))
    assert logs["light_loss"] == pytest.approx(expected["light"], rel=1e-5)
    assert logs["booster_loss"] == pytest.approx(expected["booster"], rel=1e-5)
    assert logs["loss"] == pytest.approx(
        sum(expected.values()) + WEIGHT * logs["hint_loss"], rel=1e-5
    )
    assert logs["hint_loss"] == pytest.approx(hint, rel=1e-5)
    before = rocket.light.get_weights()
    rocket.fit(given, y, batch_size=4, verbose=0)
    assert not np.array_equal(before[0], rocket.light.get_weights()[0])
    with pytest.raises(ValueError, match=r"\['dwell'\] are missing"):
        rocket.fit(without(x, "dwell"), y, verbose=0)


FORMS = {
    "dict": (False, lambda x: without(x, "dwell")),
    "dict for lists": (True, lambda x: without(x, "dwell")),
    "list of the light net's": (True, lambda x: [x["zoom"], x["age"]]),
    "dict with all": (False, lambda x: x),
    "list of all": (True, lambda x: [x["dwell"], x["zoom"], x["age"]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_predict_reads_the_light_nets_inputs(form):
    as_list, given = FORMS[form]
    rocket = compiled(pair(as_list))
    x, _ = data()
    got = rocket.predict(given(x), verbose=0)
    np.testing.assert_allclose(got, logits_of(rocket, x)["light"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("eagerly", [True, False])
def test_without_the_columns_the_light_net_is_evaluated_alone(eagerly):
    metrics = ["accuracy", ExactAUC(), GroupAUC(group_by="user")]
    rocket = compiled(pair(regularizer=keras.regularizers.L2(0.01)), eagerly, metrics)
    x, y = data()
    less = without(x, "dwell")
    alone = rocket.evaluate(less, y, batch_size=4, verbose=0, return_dict=True)
    whole = rocket.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    names = ["loss", "light_loss", "light_accuracy", "light_auc", "light_gauc"]
    assert sorted(alone) == sorted(names)
    for name in names[1:]:
        assert alone[name] == whole[name]
    low = next(layer for layer in rocket.layers if layer.name == "low").kernel.numpy()
    expected = cross_entropy(logits_of(rocket, x)["light"], y) + 0.01 * np.sum(low**2.0)
    assert alone["loss"] == pytest.approx(expected, rel=1e-5)
    # Complete data can still be used afterwards.
    assert rocket.evaluate(x, y, batch_size=4, verbose=0, return_dict=True) == whole
    assert rocket.test_on_batch(less, y, return_dict=True).keys() == alone.keys()


def test_validation_data_may_lack_the_columns():
    rocket = compiled(pair())
    x, y = data()
    history = rocket.fit(
        x, y, validation_data=(without(x, "dwell"), y), verbose=0, batch_size=11
    ).history
    assert [name for name in history if name.startswith("val_")] == [
        "val_loss",
        "val_light_loss",
        "val_light_accuracy",
    ]
    assert history["val_light_loss"][0] == pytest.approx(
        cross_entropy(logits_of(rocket, x)["light"], y), rel=1e-5
    )


def test_data_with_only_some_of_the_columns_is_refused():
    price, dwell, scroll = (keras.Input((1,), name=n) for n in ("price", "dwell", "scroll"))
    light = keras.Model({"price": price}, layers.Dense(2, name="a")(price), name="light")
    both = layers.Concatenate()([price, dwell, scroll])
    every = {"price": price, "dwell": dwell, "scroll": scroll}
    rocket = compiled((light, keras.Model(every, layers.Dense(2, name="b")(both), name="booster")))
    assert rocket.booster_only_inputs == ("dwell", "scroll")
    x = {"price": np.ones((3, 1)), "scroll": np.ones((3, 1))}
    with pytest.raises(ValueError, match=r"or none of them.*\['dwell'\] are missing"):
        rocket.evaluate(x, np.zeros(3), verbose=0)
    assert rocket.predict(x, verbose=0).shape == (3, 2)


def test_nets_that_share_no_layer_and_no_input():
    light, _ = pair()
    clone = keras.models.clone_model(pair()[1])
    clone.set_weights(pair()[1].get_weights())
    rocket = compiled((light, clone))
    x, y = data()
    assert rocket.booster_only_inputs == ("dwell",)
    whole = rocket.evaluate(x, y, verbose=0, return_dict=True)
    alone = rocket.evaluate(without(x, "dwell"), y, verbose=0, return_dict=True)
    assert alone["light_loss"] == whole["light_loss"]
    light_logits = light.predict(without(x, "dwell", "user"), verbose=0)
    assert whole["light_loss"] == pytest.approx(cross_entropy(light_logits, y), rel=1e-5)


def test_the_light_net_may_not_have_more_inputs():
    light, booster = pair()
    with pytest.raises(ValueError, match="a booster may have more of them, matched by name"):
        RocketModel(booster, light)


@pytest.mark.parametrize(
    "name, shape, received",
    [
        ("zoom", (5,), r"'zoom': \(\(None, 5\)"),
        ("room", (2,), r"'room': \(\(None, 2\)"),
    ],
)
def test_inputs_in_common_must_be_alike(name, shape, received):
    light, _ = pair()
    inputs = {n: keras.Input((w,), name=n) for n, w in (("age", 3), ("dwell", 4))}
    inputs[name] = keras.Input(shape, name=name)
    joined = layers.Concatenate()(list(inputs.values()))
    booster = keras.Model(inputs, layers.Dense(CLASSES)(joined), name="booster")
    expected = (
        "inputs of the same structure, shape and dtype; .* Received: light .*'zoom'.*, booster"
    )
    with pytest.raises(ValueError, match=f"{expected} .*{received}"):
        RocketModel(light, booster)


@pytest.mark.slow
def test_two_replicas_train_and_evaluate_as_one_device(two_replicas):
    (x, y), results = data(), []  # batches of 5, 5 and 1: the last leaves a replica empty
    start = [net.get_weights() for net in pair()]
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            nets = pair()
            for net, weights in zip(nets, start, strict=True):
                net.set_weights(weights)
            metrics = ["accuracy", ExactAUC()]
            rocket = compiled(nets, False, metrics)
        less = tf.data.Dataset.from_tensor_slices((without(x, "dwell", "user"), y)).batch(5)
        every = tf.data.Dataset.from_tensor_slices((without(x, "user"), y)).batch(5)
        logs = [rocket.evaluate(less, verbose=0, return_dict=True)]  # builds metrics, too
        rocket.fit(every, verbose=0, shuffle=False)
        logs += [rocket.evaluate(each, verbose=0, return_dict=True) for each in (less, every)]
        logs.append({"predicted": rocket.predict(less, verbose=0)})
        results.append(logs)
    for one, two in zip(*results, strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-6)
    assert results[0][0]["light_loss"] != results[0][1]["light_loss"]


@pytest.mark.parametrize("as_list", [False, True])
def test_a_saved_rocket(tmp_path, as_list):
    rocket = compiled(pair(as_list))
    x, y = data()
    rocket.fit(x, y, verbose=0)
    rocket.save(tmp_path / "rocket.keras")
    again = keras.models.load_model(tmp_path / "rocket.keras")
    assert again.booster_only_inputs == ("dwell",)
    assert [each.name for each in again.light.inputs] == [each.name for each in rocket.light.inputs]
    less = without(x, "dwell")
    np.testing.assert_array_equal(again.predict(less, verbose=0), rocket.predict(less, verbose=0))
    assert again.evaluate(less, y, verbose=0, return_dict=True) == rocket.evaluate(
        less, y, verbose=0, return_dict=True
    )


def test_the_export_has_the_light_nets_inputs(tmp_path):
    rocket = compiled(pair())
    x, _ = data(5)
    version = rocket_tf.export_light(rocket, tmp_path / "light")
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    assert sorted(serve.structured_input_signature[1]) == ["age", "zoom"]
    answers = serve(**{n: tf.constant(x[n], tf.float32) for n in ("age", "zoom")})
    np.testing.assert_allclose(
        answers["logits"], logits_of(rocket, x)["light"], rtol=1e-5, atol=1e-6
    )


def test_a_teacher_reads_the_light_nets_inputs():
    light, booster = pair()
    teacher, _ = pair()
    x, y = data()
    rocket = compiled((light, booster), hint=[Hint("kd", follows="teacher")], teacher=teacher)
    logs = rocket.evaluate(x, y, verbose=0, return_dict=True)
    taught = teacher.predict(without(x, "dwell", "user"), verbose=0)
    own = rocket.predict(x, verbose=0)
    loss = rocket.hints[0].loss
    assert logs[rocket.hints[0].name] == pytest.approx(
        float(np.mean(loss.call(tf.constant(taught), tf.constant(own)))), rel=1e-5
    )
    with pytest.raises(ValueError, match="light and teacher must take inputs"):
        compiled((pair()[0],), hint=[Hint("kd", follows="teacher")], teacher=pair()[1])
