"""Rockets of linear nets, and their terms in float64 NumPy."""

import keras
import numpy as np

from rocket_tf import RocketModel
from tests.nets import CROSS_ENTROPY, linear_pair, logits_of
from tests.reference import cross_entropy, kd, logits_mse, softmax_mse

HINTS = {"logits_mse": logits_mse, "softmax_mse": softmax_mse, "kd": kd}


def compiled(learning_rate=1.0, loss_weights=None, eagerly=True, **arguments):
    """A rocket of linear nets; with learning rate 1, a step subtracts the gradient.

    By default it runs eagerly, which is faster for a few steps.
    """
    rocket = RocketModel(*linear_pair(), **arguments)
    rocket.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss=CROSS_ENTROPY,
        loss_weights=loss_weights,
        metrics=["accuracy"],
        run_eagerly=eagerly,
    )
    return rocket


def terms_of(weights, x, y, hint, sample_weight=1.0, followed=None):
    """The unweighted terms in float64 NumPy; `followed` replaces a blocked booster's logits."""
    light, booster = logits_of(weights, x)
    followed = booster if followed is None else followed
    return {
        "light_loss": np.mean(sample_weight * cross_entropy(y, light)),
        "booster_loss": np.mean(sample_weight * cross_entropy(y, booster)),
        "hint_loss": np.mean(sample_weight * HINTS[hint](followed, light)),
    }
