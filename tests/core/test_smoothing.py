"""Label smoothing against NumPy, against Keras's loss on one-hot labels, and in a rocket."""

import keras
import numpy as np
import pytest

from rocket_tf import RocketModel
from rocket_tf.core.smoothing import SmoothedCrossEntropy
from tests.nets import linear_pair

LOGITS = np.random.default_rng(0).normal(size=(7, 4)) * 3
LABELS = np.array([0, 3, 1, 1, 2, 0, 3])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_against_numpy_and_keras(smoothing):
    found = float(SmoothedCrossEntropy(smoothing, dtype="float64")(LABELS, LOGITS))
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    target = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    assert found == pytest.approx(-(target * log_p).sum(-1).mean(), rel=1e-12)
    one_hot = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, dtype="float64"
    )
    assert found == pytest.approx(float(one_hot(np.eye(4)[LABELS], LOGITS)), rel=1e-12)


def test_labels_of_pixels():
    logits, labels = LOGITS[:6].reshape(2, 3, 4), LABELS[:6].reshape(2, 3)
    found = SmoothedCrossEntropy(0.3)(labels, logits)
    assert float(found) == pytest.approx(float(SmoothedCrossEntropy(0.3)(LABELS[:6], LOGITS[:6])))


def test_a_rocket_accepts_it_with_a_hint_over_classes():
    rocket = RocketModel(*linear_pair(), hint="dkd")
    rocket.compile("sgd", SmoothedCrossEntropy(0.2), run_eagerly=True)
    assert rocket.objective.label_losses["light"].label_smoothing == 0.2


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(SmoothedCrossEntropy(0.3, name="smooth"))
    again = keras.saving.deserialize_keras_object(config)
    assert (type(again), again.label_smoothing, again.name) == (SmoothedCrossEntropy, 0.3, "smooth")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_out_of_range(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing={smoothing}"):
        SmoothedCrossEntropy(smoothing)
