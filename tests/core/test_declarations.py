"""Losses declare what they compare and metrics that they rank; the core relies on nothing else."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import rocket_tf
from rocket_tf import Hint, RocketModel
from rocket_tf.core.hints import HINT_LOSSES
from tests.nets import CROSS_ENTROPY, examples, linear_pair

CORE = Path(rocket_tf.__file__).parent / "core"


class MeanOfSquares(keras.losses.Loss):
    """Squared difference of the means over the last axis, whatever its length."""

    def call(self, y_true, y_pred):
        difference = keras.ops.mean(y_pred, axis=-1) - keras.ops.mean(y_true, axis=-1)
        return keras.ops.square(difference)


class MeanOfVectors(MeanOfSquares):
    compares = "vectors"


class MeanOfMaps(MeanOfSquares):
    compares = "maps"


def pair_of_widths():
    """Nets with hidden layers "low" of width 4 and "high" of width 6."""
    inputs = keras.Input((5,))
    low, high = (layers.Dense(w, name=n)(inputs) for n, w in (("low", 4), ("high", 6)))
    light = keras.Model(inputs, layers.Dense(3)(low), name="light")
    return light, keras.Model(inputs, layers.Dense(3)(high), name="booster")


def test_every_hint_loss_declares_what_it_compares():
    said = {name: loss.compares for name, loss in HINT_LOSSES.items()}
    assert said == {
        "logits_mse": "vectors",
        "softmax_mse": "logits",
        "kd": "logits",
        "dkd": "logits",
        "dist": "logits",
        "sigmoid_mse": "logits",
        "sigmoid_kd": "logits",
        "cosine": "vectors",
        "euclidean": "vectors",
        "attention": "maps",
    }


def test_a_custom_loss_without_a_declaration_takes_any_shapes():
    hint = Hint(MeanOfSquares(), 0.5, layers={"low": "high"})
    light, booster = pair_of_widths()
    rocket = RocketModel(light, booster, hint=hint)
    rocket.compile(loss=CROSS_ENTROPY)
    x, y = examples(6)
    logs = rocket.evaluate(x, y, return_dict=True, verbose=0)
    low, high = (
        x.astype(float) @ np.float64(net.get_layer(name).kernel)
        for net, name in ((light, "low"), (booster, "high"))
    )
    expected = np.mean((low.mean(-1) - high.mean(-1)) ** 2)
    np.testing.assert_allclose(logs["hint_loss"], expected, rtol=1e-5)


def test_a_loss_that_compares_vectors_needs_equal_widths():
    hint = Hint(MeanOfVectors(), layers={"low": "high"})
    with pytest.raises(ValueError, match="cannot compare the light net's layer 'low'"):
        RocketModel(*pair_of_widths(), hint=hint)


def test_a_loss_that_compares_maps_needs_layers_with_positions():
    with pytest.raises(ValueError, match="reads hidden layers"):
        Hint(MeanOfMaps())
    with pytest.raises(ValueError, match="A projection is for hidden layers"):
        Hint(MeanOfMaps(), layers={"low": "high"}, projection=True)
    with pytest.raises(ValueError, match="cannot compare"):
        RocketModel(*pair_of_widths(), hint=Hint(MeanOfMaps(), layers={"low": "high"}))


class Best(keras.metrics.Metric):
    """The highest logit of an evaluation; counts how often its result is read."""

    ranks_all_examples = True

    def __init__(self, name="best", **kwargs):
        super().__init__(name=name, **kwargs)
        self.best = self.add_weight(name="best", initializer="zeros")
        self.asked = 0

    def update_state(self, y_true, y_pred, sample_weight=None, groups=None):
        self.best.assign(keras.ops.maximum(self.best, keras.ops.max(y_pred)))

    def result(self):
        self.asked += 1
        return self.best


def test_a_custom_metric_can_rank():
    rocket = RocketModel(*linear_pair())
    rocket.compile(loss=CROSS_ENTROPY, metrics=["accuracy", Best()])
    x, y = examples(10)
    logs = rocket.evaluate(x, y, 4, return_dict=True, verbose=0)
    logits = rocket(x)
    for net in ("light", "booster"):
        expected = max(0.0, float(np.max(logits[net])))
        assert logs[f"{net}_best"] == pytest.approx(expected, rel=1e-6)
    assert [metric.asked for metric in rocket.metrics if isinstance(metric, Best)] == [1, 1]


def test_the_core_never_checks_for_the_classes_of_losses_and_metrics():
    own = {loss.__name__ for loss in HINT_LOSSES.values()} | {"ExactAUC", "GroupAUC"}
    for path in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                assert not asked & own, path.name
