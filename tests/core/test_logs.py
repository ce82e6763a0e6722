"""evaluate() as list and dict, metrics_names and fit's history agree in names and order."""

import keras
import numpy as np
import pytest
from keras import layers

from rocket_tf import ExactAUC, GroupAUC, Hint, RocketModel
from tests.nets import CROSS_ENTROPY, KERAS_3_12, examples, linear_pair

BINARY = keras.losses.BinaryCrossentropy(from_logits=True)


def distance(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(keras.ops.cast(y_true, y_pred.dtype) - y_pred), axis=-1)


def one_output():
    return RocketModel(*linear_pair(1)), BINARY


def one_net():
    return RocketModel(linear_pair(1)[0], hint=None), BINARY


def several_outputs():
    inputs = keras.Input((5,), name="features")
    light, booster = (
        keras.Model(
            inputs,
            {name: layers.Dense(1, name=f"{role}_{name}")(inputs) for name in ("like", "click")},
            name=role,
        )
        for role in ("light", "booster")
    )
    return RocketModel(light, booster, hint=[Hint("logits_mse", 0.1, name="z_hint")]), BINARY


METRICS = {
    "none": {},
    "names": {"metrics": ["accuracy", "mae"]},
    "twice": {
        "metrics": ["mae", keras.metrics.AUC(name="area", from_logits=True), "mae", distance]
    },
    "weighted": {"metrics": ["mae"], "weighted_metrics": ["mae", distance]},
    "weighted alone": {"weighted_metrics": ["accuracy"]},
    "class": {"metrics": [keras.metrics.MeanAbsoluteError]},
    "ranking": {
        "metrics": [ExactAUC(), "accuracy", GroupAUC("user")],
        "weighted_metrics": [ExactAUC(), "accuracy"],
    },
    "ranking alone": {"metrics": [ExactAUC(name="a_auc")]},
    "of one net": {"metrics": {"light": ["mae", ExactAUC()]}},
}


CASES = [
    *((one_output, name) for name in METRICS),
    *((one_net, name) for name in ("twice", "weighted", "ranking")),
    *((several_outputs, name) for name in ("twice", "weighted", "ranking", "of one net")),
]


# Cases that run traced steps, one for each kind of net.
TRACED = [(one_output, "names"), (one_net, "ranking"), (several_outputs, "weighted")]
FAST = [*TRACED, (one_output, "twice"), (several_outputs, "ranking")]


def data_for(rocket, count=12):
    x, y = examples(count, classes=2)
    y = y[:, None].astype("float32")
    outputs = {head.output for head in rocket.heads.values()}
    labels = y if outputs == {None} else dict.fromkeys(outputs, y)
    weight = np.linspace(0.5, 1.5, count).astype("float32")
    return {"features": x, "user": np.arange(count) % 2}, labels, weight


def values_of(rocket):
    """The values of an evaluation by name, after all logs are found to agree."""
    names = rocket.metrics_names
    x, y, weight = data = data_for(rocket)
    assert names[0] == "loss" and len(set(names)) == len(names)
    values = rocket.evaluate(x, y, sample_weight=weight, verbose=0)
    logs = rocket.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert list(logs) == names == rocket.metrics_names
    assert values == list(logs.values())
    history = rocket.fit(x, y, sample_weight=weight, validation_data=data, verbose=0).history
    ranking = [name for name in names if name not in history]
    assert [name for name in ranking if "auc" not in name] == []
    of_training = [name for name in names if name not in ranking]
    assert list(history) == [*of_training, *(f"val_{name}" for name in names)]
    for name in names:
        np.testing.assert_allclose(history[f"val_{name}"], logs[name], rtol=1e-5)
    return logs


@pytest.mark.parametrize(
    "make, metrics",
    [pytest.param(*case, marks=[pytest.mark.slow] * (case not in FAST)) for case in CASES],
)
class TestAgreement:
    def test_compiled_twice_saved_and_loaded(self, make, metrics, tmp_path):
        rocket, loss = make()
        arguments = {"run_eagerly": (make, metrics) not in TRACED}
        old = [ExactAUC(name="old"), "mse"]
        rocket.compile(keras.optimizers.SGD(0.0), loss, metrics=old, **arguments)
        rocket.evaluate(*data_for(rocket)[:2], verbose=0)
        rocket.compile(keras.optimizers.SGD(0.0), loss, **METRICS[metrics], **arguments)
        logs = values_of(rocket)
        rocket.save(tmp_path / "rocket.keras")
        loaded = keras.models.load_model(
            tmp_path / "rocket.keras", custom_objects={"distance": distance}
        )
        assert loaded.metrics_names == list(logs)
        again = values_of(loaded)
        assert list(again) == list(logs)
        np.testing.assert_allclose(list(again.values()), list(logs.values()), rtol=1e-6)

    def test_on_a_batch(self, make, metrics):
        rocket, loss = make()
        eager = (make, metrics) not in TRACED
        rocket.compile(keras.optimizers.SGD(0.0), loss, **METRICS[metrics], run_eagerly=eager)
        x, y, weight = data_for(rocket)
        expected = rocket.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
        logs = rocket.test_on_batch(x, y, weight, return_dict=True)
        assert list(logs) == rocket.metrics_names
        values = rocket.test_on_batch(x, y, weight)
        # Keras 3.12 averages over both calls.
        rtol = 1e-6 if KERAS_3_12 else 0
        np.testing.assert_allclose(values, list(logs.values()), rtol=rtol)
        np.testing.assert_allclose(list(logs.values()), list(expected.values()), rtol=1e-5)
        logs = rocket.train_on_batch(x, y, weight, return_dict=True)
        assert list(logs) == [name for name in rocket.metrics_names if name in logs]
        values = rocket.train_on_batch(x, y, weight)
        np.testing.assert_allclose(values, list(logs.values()), rtol=1e-6)


def test_without_compile_there_are_no_names():
    assert RocketModel(*linear_pair()).metrics_names == []


def test_the_order_is_loss_then_terms_then_metrics_alphabetically():
    rocket = RocketModel(*linear_pair())
    rocket.compile("sgd", CROSS_ENTROPY, metrics=["accuracy"])
    expected = ["loss", "light_loss", "booster_loss", "hint_loss"]
    assert rocket.metrics_names == [*expected, "booster_accuracy", "light_accuracy"]


def test_what_callbacks_log_comes_last_in_the_history():
    class Rate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["a_rate"] = 0.5

    rocket = RocketModel(*linear_pair())
    rocket.compile("sgd", CROSS_ENTROPY)
    x, y = examples(8)
    callbacks = keras.callbacks.CallbackList(
        [Rate()], add_history=True, model=rocket, epochs=2, steps=1
    )
    # The rate is logged before the History callback runs, so that the history has it.
    callbacks.callbacks.sort(key=lambda callback: isinstance(callback, keras.callbacks.History))
    history = rocket.fit(x, y, epochs=2, callbacks=callbacks, verbose=0).history
    assert list(history) == [*rocket.metrics_names, "a_rate"]
    assert history["a_rate"] == [0.5, 0.5]


class Loss(keras.metrics.MeanAbsoluteError):
    """A metric whose name can clash with a term's."""

    def __init__(self, name="loss", **arguments):
        super().__init__(name=name, **arguments)


@pytest.mark.parametrize(
    "hint, metrics, name",
    [
        ("logits_mse", [Loss()], "light_loss"),
        (Hint(name="light_accuracy"), ["accuracy"], "light_accuracy"),
        ("logits_mse", [keras.metrics.AUC(name="auc", from_logits=True), ExactAUC()], "light_auc"),
        (Hint(name="val_loss"), [], "val_loss"),
        ("logits_mse", ["mae", "mae", keras.metrics.MeanAbsoluteError("mae_1")], "light_mae_1"),
    ],
)
def test_two_values_with_the_same_name_are_refused(hint, metrics, name):
    rocket = RocketModel(*linear_pair(1), hint=hint)
    with pytest.raises(ValueError, match=f"different names in the logs.*{name}' twice"):
        rocket.compile("sgd", BINARY, metrics={"light": metrics})
    assert not rocket.compiled
